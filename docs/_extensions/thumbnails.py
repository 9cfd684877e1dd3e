"""Thumbnails of wide figures show their left part; the whole figure would be too small to read."""

from pathlib import Path

from PIL import Image


def crop(app):
    width, height = app.config.sphinx_gallery_conf["thumbnail_size"]
    for folder in app.config.sphinx_gallery_conf["gallery_dirs"]:
        images = Path(app.srcdir, folder, "images")
        for path in images.glob("sphx_glr_*_001_2_00x.png"):
            name = path.name.removesuffix("_001_2_00x.png")
            with Image.open(path) as figure:
                part = figure.height * width / height
                if figure.width <= 1.2 * part:
                    continue
                left = figure.crop((0, 0, round(part), figure.height))
                left.resize((width, height)).save(images / "thumb" / f"{name}_thumb.png")


def setup(app):
    app.connect("builder-inited", crop, priority=900)  # after the gallery
    return {"parallel_read_safe": True, "parallel_write_safe": True}

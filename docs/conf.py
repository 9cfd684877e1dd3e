"""How Sphinx builds the site: `make docs`, then open docs/_build/html/index.html."""

import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

import fastbp

project = "fastbp"
author = "the fastbp developers"
project_copyright = author
version = release = fastbp.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "speed",
    "thumbnails",
]
exclude_patterns = ["_build", "_extensions", "lesson"]
nitpicky = True
smartquotes = False
nitpick_ignore_regex = [("py:.*", r"(numpy|sklearn|torch)\..*")]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Copied without prompts, and without what is printed below them.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_selector = "div:not(.sphx-glr-script-out) > div.highlight > pre"

# A name in single backticks that is public becomes a link; others are set in italics.
default_role = "autolink"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say it in words
templates_path = ["_templates"]
numpydoc_show_class_members = False  # the templates list them

sphinx_gallery_conf = {
    "examples_dirs": ["lesson", "../examples"],
    "gallery_dirs": ["generated/lesson", "generated/examples"],
    # Not run: workers of a cluster, which say much, and what needs Gymnasium.
    "filename_pattern": r"/(?!dask_|reinforcement_)\w+\.py$",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("fastbp",),
    "reference_url": {"fastbp": None},
    "image_srcset": ["2x"],
    "thumbnail_size": (400, 280),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "furo"
html_title = f"fastbp {version}"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["fastbp.css"]
html_show_sphinx = False


def read_source(app, docname, source):
    """Let links that are right in the repository lead to pages of the site."""
    text = source[0].replace("](../bench/README.md)", "](benchmarks.md)")
    example = re.compile(r"\]\((\.\./)?\.\./examples/(\w+)\.py\)")
    source[0] = example.sub(r"](\1generated/examples/\2.rst)", text)


def setup(app):
    app.connect("source-read", read_source)

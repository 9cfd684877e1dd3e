"""What tests of pictures share: samples, colours, and checks that a picture can be read."""

import warnings

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Text

import fastbp


def luminance(color):
    rgb = np.array(to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(one, other):
    """The contrast of two colours by WCAG 2, from 1 to 21."""
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def is_clean(display):
    """There is a title, all text can be read and is inside the picture when that is drawn."""
    figure = display.figure_
    figure.canvas.draw()
    assert display.ax_.get_title()
    whole = figure.bbox.padded(2)
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    for text in filter(Text.get_visible, texts):
        outside = text.axes is None or text not in text.axes.texts
        box = text.get_window_extent()
        if not outside and box.width:
            assert whole.contains(*box.p0) and whole.contains(*box.p1), text.get_text()
        assert contrast(text.get_color(), background(display.ax_)) > 3, text.get_text()
    legend = display.ax_.get_legend()
    if legend is not None:
        box = legend.get_window_extent()
        assert whole.contains(*box.p0) and whole.contains(*box.p1)


def background(ax):
    face = ax.get_facecolor()
    return face[:3] if face[3] else ax.figure.get_facecolor()[:3]


def legend_texts(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def hexes(colors):
    return [to_hex(color) for color in colors]


def classes(n=60, n_classes=2):
    """Samples of two features, and labels that quadrants determine."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    quadrant = (X[:, 0] > 0) + 2 * (X[:, 1] > 0)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int) if n_classes == 2 else quadrant % n_classes


def fitted(kind, X, y, **settings):
    """An estimator trained for some epochs."""
    settings = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        return getattr(fastbp, kind)(backend="numpy", **settings).fit(X, y)

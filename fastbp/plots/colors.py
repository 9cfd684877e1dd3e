"""Colours that suit the style in force: the style's own, or else a palette for all eyes."""

from __future__ import annotations

import numpy as np

# The palette of Okabe and Ito, which colour-blind readers can tell apart; without its black and
# yellow, which cannot be read on a dark or a light background.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
LINES = ["-", "--", "-.", ":"]


def ink(ax):
    """Return the colour of the text on the axes, for lines that belong to no series."""
    return ax.xaxis.label.get_color()


def ground(ax):
    """Return the colour behind the curves, as RGB."""
    from matplotlib.colors import to_rgba

    color = np.ones(3)
    for face in (ax.figure.get_facecolor(), ax.get_facecolor()):
        *rgb, alpha = to_rgba(face)
        color = (1 - alpha) * color + alpha * np.array(rgb)
    return color


def is_dark(ax):
    """Return whether the background is dark, by its relative luminance."""
    return bool(ground(ax) @ [0.2126, 0.7152, 0.0722] < 0.4)


def cycle(ax):
    """Return the colours of series: those of the style or, if it has none, the palette and ink."""
    from matplotlib import rcParams, rcParamsDefault

    colors = rcParams["axes.prop_cycle"].by_key().get("color", [])
    if not colors or colors == rcParamsDefault["axes.prop_cycle"].by_key()["color"]:
        return [*PALETTE, ink(ax)]
    return colors


def of_classes(ax, n):
    """Return n different colours."""
    from matplotlib import colormaps

    colors = cycle(ax)
    if n <= len(colors):
        return colors[:n]
    return [tuple(color) for color in colormaps["turbo"](np.linspace(0.04, 0.96, n))]


def of_layers(ax, n):
    """Return n colours in order: the first stands out most, the last least."""
    from matplotlib import colormaps

    first, last = (1.0, 0.25) if is_dark(ax) else (0.0, 0.85)
    return [tuple(color) for color in colormaps["viridis"](np.linspace(first, last, n))]


def series(ax, i):
    """Return colour and line style of series i; they differ for four times as many as colours."""
    colors = cycle(ax)
    return {"color": colors[i % len(colors)], "linestyle": LINES[i // len(colors) % len(LINES)]}


def unused(*axes):
    """Return the first colour of the cycle that no line on the axes has yet."""
    from matplotlib.colors import to_hex

    used = [to_hex(line.get_color()) for ax in axes for line in ax.get_lines()]
    colors = cycle(axes[0])
    for color in colors:
        if to_hex(color) not in used:
            return color
    return colors[len(used) % len(colors)]


def mixed(ax, color, share):
    """Return a colour mixed with the background, which keeps `1 - share`."""
    from matplotlib.colors import to_rgb

    return tuple((1 - share) * ground(ax) + share * np.array(to_rgb(color)))


def between(low, middle, high):
    """Return a colour map from one colour through another to a third."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("fastbp", [low, middle, high])


def signed(ax, middle=0.3):
    """Return a colour map for numbers of both signs: blue, then grey for 0, then vermilion.

    The grey is the background's, with a share `middle` of the text's colour.
    """
    grey = mixed(ax, ink(ax), middle)
    return between("#56B4E9" if is_dark(ax) else "#0072B2", grey, "#D55E00")

"""Axes, legends and files of pictures, shared by the displays."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Metadata that marks a picture as drawn by fastbp, by file extension.
SIGNATURES = {
    "pdf": {"Creator": "fastbp"},
    "png": {"Software": "fastbp"},
    "svg": {"Creator": "fastbp"},
}


def axes_for(ax: Axes | None, size: tuple[float, float] | None = None) -> Axes:
    """Return the given axes, or new ones, of the style's size unless one is given."""
    if ax is not None:
        from matplotlib.axes import Axes

        if not isinstance(ax, Axes):
            raise TypeError(
                f"ax must be the Axes of matplotlib to draw on, got {type(ax).__name__}"
            )
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("plotting needs matplotlib: pip install 'fastbp[plot]'") from error
    return pyplot.subplots(figsize=size, layout="constrained")[1]


def save(figure, path, dpi):
    """Write a figure in the format of the path's extension; if it has none, add ``.png``."""
    path = os.fsdecode(path)
    ending = os.path.splitext(path)[1]
    if not ending:
        ending = ".png"
        path += ending
    form, picture = ending[1:].lower(), io.BytesIO()
    signature = {"metadata": SIGNATURES[form]} if form in SIGNATURES else {}
    figure.savefig(picture, format=form, dpi=dpi, **signature)
    writing.write(path, picture.getvalue())


def check_kind(name, value, kind, made_by):
    """Raise TypeError unless `value` is of a class; `made_by` says what returns one."""
    if not isinstance(value, kind):
        raise TypeError(
            f"{name} must be a {kind.__name__}, which {made_by} returns, got {type(value).__name__}"
        )


class Display:
    """Base class of the displays.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    ax_: Axes
    figure_: Figure | Any  # Any: a SubFigure if the axes belong to one

    def _drawn(self, ax: Axes) -> Self:
        self.ax_, self.figure_ = ax, ax.figure
        return self


def bare(ax):
    ax.spines[["top", "right"]].set_visible(False)


def size_of(ax, whole=False):
    """Return width and height of axes in points, before a layout makes room for labels.

    With `whole`, colour bars beside the axes are included.
    """
    place, figure = ax.get_position(), ax.figure
    if whole and ax.get_subplotspec() is not None:
        place = ax.get_subplotspec().get_topmost_subplotspec().get_position(ax.figure)
    return tuple(np.array([place.width, place.height]) * figure.bbox.size / figure.dpi * 72)


def points(text):
    """Return the size of a text's font in points."""
    return float(text.get_fontsize())


def legend_below(ax, handles):
    """Add a legend below the axes, or inside them where there is no room or no layout for it.

    Return whether it is inside.
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import FontProperties
    from matplotlib.transforms import ScaledTranslation

    font = FontProperties(size=rcParams["legend.fontsize"]).get_size_in_points()
    width, height = size_of(ax, whole=True)
    font *= min(1, max(height, 120) / 200)
    n = _columns(handles, width / font)
    rows = -(-len(handles) // n)
    if ax.figure.get_layout_engine() is None or 1.4 * rows * font > 0.3 * height:
        n = n if len(handles) > 6 else 1
        ax.legend(handles=handles, framealpha=0.85, fontsize=font, handlelength=1.6, ncols=n)
        return True
    # Below the tick labels and the label of the axis, whatever the size of axes and fonts.
    tick = points(ax.xaxis.get_major_ticks()[0].label1)
    down = 1.3 * tick + 1.4 * points(ax.xaxis.label) + ax.xaxis.labelpad + 8
    scale = ax.figure.dpi_scale_trans
    ax.legend(
        handles=handles,
        frameon=False,
        loc="upper center",
        borderaxespad=0,
        bbox_to_anchor=(0.5, 0),
        bbox_transform=ax.transAxes + ScaledTranslation(0, -down / 72, scale),
        ncols=n,
        fontsize=font,
        markerscale=1.3,
    )
    return False


def _columns(handles, room):
    """Return how many columns a legend may have, at most 4, in so many times the font's size."""
    lengths = [len(str(handle.get_label())) for handle in handles]
    for n in range(min(4, len(handles)), 1, -1):
        columns = np.array_split(lengths, n)
        if sum(0.5 * column.max() + 3.6 for column in columns) <= room:
            return n
    return 1

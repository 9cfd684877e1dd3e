"""Axes, colours and legends, shared by the displays."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any, Self

from ..basis import writing
from ..network.network import Network

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The palette of Okabe and Ito, readable with colour blindness.
COLORS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
LINES = ["-", "--", "-.", ":"]
# Metadata that marks a picture as drawn by fastbp, by file extension.
SIGNATURES = {
    "pdf": {"Creator": "fastbp"},
    "png": {"Software": "fastbp"},
    "svg": {"Creator": "fastbp"},
}


def axes_for(ax: Axes | None, size: tuple[float, float] = (6.4, 4.8)) -> Axes:
    """Return the given axes, or new ones."""
    if ax is not None:
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


def network_of(estimator):
    """Return the Network of a fitted estimator, or the Network itself."""
    network = estimator._network() if hasattr(estimator, "coefs_") else estimator
    if not isinstance(network, Network):
        raise TypeError(
            f"expected a Network or a fitted estimator of fastbp, got {type(estimator).__name__}"
        )
    return network


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


def style(i):
    """Return the colour and line style of curve i, distinct for the first 32 curves."""
    return {"color": COLORS[i % len(COLORS)], "linestyle": LINES[i // len(COLORS) % len(LINES)]}


def bare(ax):
    ax.spines[["top", "right"]].set_visible(False)


def legend_below(ax, handles):
    """Add a legend below the axes, or inside them if no layout engine makes room for it."""
    if ax.figure.get_layout_engine() is None:
        ax.legend(handles=handles, framealpha=0.9)
        return
    ax.legend(
        handles=handles,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
        ncols=2 if len(handles) > 3 else max(len(handles), 1),
    )

"""The roofline of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import colors
from .common import Display, axes_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

# Colour (Okabe and Ito's; None: the text's) and marker of each library in the benchmarks.
STYLES = {
    "cython": ("#0072B2", "o"),
    "numba": ("#56B4E9", "s"),
    "numpy": (None, "x"),
    "scikit-learn": ("#E69F00", "^"),
    "pytorch": ("#D55E00", "v"),
    "torch.compile": ("#CC79A7", "D"),
    "torch.compile bf16": ("#CC79A7", "d"),
    "jax": ("#009E73", "P"),
    "onnxruntime": ("#8C6D31", "<"),
    "openvino": ("#999999", ">"),
}
BACKENDS = ("cython", "numba", "numpy")
ROUNDED = ("torch.compile bf16",)  # compute with fewer digits, so they are not compared with others


def style_of(ax, name):
    """Return colour and marker of a library."""
    color, marker = STYLES[name]
    return color or colors.ink(ax), marker


def best(figures, names):
    """Return (name, median seconds) of the fastest contender, or None if none was measured."""
    measured = [
        (figures[name]["median"], name) for name in names if "median" in figures.get(name, {})
    ]
    return min(measured)[::-1] if measured else None


def rivals(figures):
    """Return `best` of fastbp's backends, and `best` of its peers in precision, for a workload."""
    compiled = [name for name in figures if name in BACKENDS and name != "numpy"]
    peers = [name for name in figures if name not in (*BACKENDS, *ROUNDED)]
    return best(figures, compiled or ["numpy"]), best(figures, peers)


class RooflineDisplay(Display):
    """Roofline plot: speed against arithmetic intensity, below the machine's limits.

    Two limits bound the speed of a workload: the machine's peak arithmetic rate (the horizontal
    line), and its intensity times the bandwidth of the cache or memory that holds its data (the
    slopes).

    Parameters
    ----------
    intensities : list of float
        Operations per byte of each workload.
    ours, theirs : list of (str, float) or None
        For each workload, name and speed in operations per second of fastbp's fastest backend,
        and of the fastest other library. None if there is none.
    roofs : dict
        "peak" in operations per second, "memory" and "cache" in bytes per second.

    References
    ----------
    Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
    multicore architectures", Communications of the ACM 52, 2009.

    Examples
    --------
    >>> import fastbp
    >>> roofs = {"peak": 1e11, "memory": 1e10, "cache": 1e11}
    >>> display = fastbp.RooflineDisplay([1.0, 8.0], [("numba", 1e9)] * 2, [None] * 2, roofs)
    >>> display.plot().ax_.get_xscale()
    'log'
    """

    def __init__(
        self,
        intensities: Sequence[float],
        ours: Sequence[tuple[str, float] | None],
        theirs: Sequence[tuple[str, float] | None],
        roofs: Mapping[str, float],
    ) -> None:
        self.intensities, self.ours, self.theirs = list(intensities), list(ours), list(theirs)
        self.roofs = dict(roofs)

    @classmethod
    def from_results(cls, results: Mapping[str, Any], *, ax: Axes | None = None) -> Self:
        """Create and draw the display of results.json, which ``python -m fastbp bench`` writes.

        Parameters
        ----------
        results : dict
            The file's content, as ``json.load`` returns it.
        ax : matplotlib Axes, optional

        Returns
        -------
        RooflineDisplay
        """
        known = isinstance(results, Mapping) and {"training", "peak", "settings"} <= results.keys()
        if not known:
            raise TypeError(
                "results must be the content of results.json, which python -m fastbp bench writes"
            )
        rows, peak = results["training"], results["peak"]

        def rate(row, rival):
            return rival and (rival[0], row["flops"] / rival[1])

        pairs = [rivals(row["contenders"]) for row in rows]
        return cls(
            [row["flops"] / row["bytes"] for row in rows],
            [rate(row, ours) for row, (ours, _) in zip(rows, pairs, strict=True)],
            [rate(row, theirs) for row, (_, theirs) in zip(rows, pairs, strict=True)],
            {
                "peak": peak[results["settings"]["dtype"]],
                "memory": peak["memory"],
                "cache": peak["cache"],
            },
        ).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the display; the points are labelled with the workload's number, from 1.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        RooflineDisplay
        """
        ax = axes_for(ax, (8, 6.4))
        top = self.roofs["peak"] / 1e9
        intensities = self.intensities
        x = np.geomspace(min(0.2, min(intensities) / 2), max(100, 2 * max(intensities)), 500)
        lowest = top
        for i, point in enumerate(zip(intensities, self.ours, self.theirs, strict=True), 1):
            lowest = min([lowest, *_draw_point(ax, i, *point)])
        _draw_roofs(ax, x, self.roofs, top, lowest)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlim(x[0], x[-1])
        ax.set_ylim(lowest / 2, top * 1.8)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_xlabel("intensity: FLOP per byte of batch, parameters and optimiser state")
        ax.set_ylabel("speed (GFLOP/s; more is better)")
        _share_axis(ax, top, lowest / 2)
        ax.grid(color=colors.mixed(ax, colors.ink(ax), 0.12))
        ax.set_axisbelow(True)
        ax.set_title("Roofline: fastbp's best backend (filled), best peer (hollow)")
        _name_markers(ax, [rival[0] for rival in (*self.ours, *self.theirs) if rival])
        return self._drawn(ax)


def _name_markers(ax, names):
    """Add a legend of the libraries, in the order of STYLES."""
    from matplotlib.lines import Line2D

    shown = {name: style_of(ax, name) for name in STYLES if name in names}
    handles = [
        Line2D([], [], color=color, marker=marker, linestyle="", label=name)
        for name, (color, marker) in shown.items()
    ]
    if handles:
        ax.legend(handles=handles, loc="lower right", framealpha=0.9)


def _draw_point(ax, number, intensity, ours, theirs):
    """Draw a workload's two speeds above each other; return them in GFLOP/s."""
    from matplotlib.patheffects import withStroke

    rates = {rival: rival[1] / 1e9 for rival in (theirs, ours) if rival}
    ax.plot(
        [intensity] * len(rates),
        list(rates.values()),
        color=colors.mixed(ax, colors.ink(ax), 0.4),
        lw=1,
        zorder=1,
    )
    for rival, rate in rates.items():
        color, marker = style_of(ax, rival[0])
        # Hollow markers are larger, so that they stay visible around a filled one.
        look = dict(mfc="none", ms=11, mew=1.5) if rival is theirs else dict(ms=7)
        ax.plot(intensity, rate, marker, color=color, zorder=2, **look)
    if ours:
        # Put the label on the side away from the other library's marker.
        side = -1 if theirs and theirs[1] > ours[1] else 1
        text = ax.annotate(
            str(number),
            (intensity, rates[ours]),
            xytext=(0, side * 12),
            textcoords="offset points",
            ha="center",
            va="center_baseline",
            weight="bold",
            color=colors.ink(ax),
        )
        text.set_path_effects([withStroke(linewidth=3, foreground=tuple(colors.ground(ax)))])
    return rates.values()


def _draw_roofs(ax, x, roofs, top, lowest):
    """Draw the limits of cache, memory and arithmetic, with labels beside the lines."""
    ink = colors.mixed(ax, colors.ink(ax), 0.7)
    sides = {  # placed where the label crosses no other line
        "cache": dict(ha="right", va="bottom", xytext=(-4, 2)),
        "memory": dict(ha="left", va="top", xytext=(4, -2)),
    }
    for (name, side), style in zip(sides.items(), ("--", "-"), strict=True):
        bandwidth = roofs[name] / 1e9
        ax.plot(x, np.minimum(x * bandwidth, top), style, color=ink, lw=1.5, zorder=1)
        height = 0.5 * top if name == "cache" else 0.8 * lowest
        ax.annotate(
            f"{name}, {bandwidth:.0f} GB/s",
            (max(height / bandwidth, 2 * x[0]), max(height, 2 * x[0] * bandwidth)),
            textcoords="offset points",
            color=ink,
            **side,
        )
    ax.annotate(
        f"FMA peak, {top:.0f} GFLOP/s",
        (x[-1], top),
        xytext=(-5, 4),
        textcoords="offset points",
        ha="right",
        color=ink,
    )


def _share_axis(ax, top, lowest):
    """Add an axis on the right that shows speeds as a share of the peak."""
    functions = (partial(np.multiply, 100 / top), partial(np.multiply, top / 100))
    axis = ax.secondary_yaxis("right", functions=functions)
    axis.set_ylabel("share of the FMA peak")
    shares = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 50, 70, 100]
    shares = [share for share in shares if share / 100 * top > lowest]
    axis.set_yticks(shares, [f"{share:g} %" for share in shares])
    axis.minorticks_off()

"""Plots of a comparison of backends: dots on logarithmic axes, with the spread of the rounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

from ..study.compare import Comparison
from . import colors
from .common import Display, axes_for, bare, check_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

UNITS = {1.0: "s", 1e-3: "ms", 1e-6: "µs", 1e-9: "ns"}


class BackendComparisonDisplay(Display):
    """Plot of the time of a training step on each backend, on a logarithmic axis.

    A dot is the median of the measured rounds, the line through it reaches from the fastest to the
    slowest one.

    Parameters
    ----------
    names : list of str
        The backends.
    seconds : list of float
        Time per step on each backend.
    gflops : list of float
        Speed of each backend, in 10⁹ operations per second.
    problem : str, default=""
        Description of the training problem, for the title.
    ranges : list of (float, float) or None, optional
        Time per step in the fastest and the slowest round of each backend.

    Examples
    --------
    >>> import fastbp
    >>> display = fastbp.BackendComparisonDisplay(["cython", "numpy"], [1.43e-3, 0.02], [3.2, 0.2])
    >>> [text.get_text() for text in display.plot().ax_.texts]
    ['1.43 ms, 3.2 GFLOP/s', '20 ms, 0.2 GFLOP/s']
    """

    def __init__(
        self,
        names: Sequence[str],
        seconds: Sequence[float],
        gflops: Sequence[float],
        problem: str = "",
        ranges: Sequence[tuple[float, float] | None] | None = None,
    ) -> None:
        self.names, self.seconds, self.gflops = list(names), list(seconds), list(gflops)
        self.problem = problem
        self.ranges = [None] * len(self.names) if ranges is None else list(ranges)

    @classmethod
    def from_comparison(cls, comparison: Comparison, *, ax: Axes | None = None) -> Self:
        """Create and draw the display of a `Comparison`, which `compare_backends` returns.

        Parameters
        ----------
        comparison : Comparison
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        BackendComparisonDisplay
        """
        check_kind("comparison", comparison, Comparison, "compare_backends")
        results = comparison.results
        return cls(
            [result.backend for result in results],
            [result.step for result in results],
            [result.gflops for result in results],
            comparison.problem,
            [result.step_range for result in results],
        ).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        BackendComparisonDisplay
        """
        ax = axes_for(ax)
        color = colors.cycle(ax)[0]
        rows = np.arange(len(self.names))
        for row, bounds in zip(rows, self.ranges, strict=True):
            if bounds is not None:
                ax.plot(bounds, [row, row], color=color, lw=3, alpha=0.5, solid_capstyle="butt")
        ax.plot(self.seconds, rows, "o", color=color, ms=8)
        pairs = zip(self.seconds, self.gflops, strict=True)
        texts = [f"{duration(time)}, {_short(rate)} GFLOP/s" for time, rate in pairs]
        _name_dots(ax, self.seconds, rows, texts)
        title = "\n".join(filter(None, ["Training step, after warm-up", self.problem]))
        ax.set_title(title, fontsize="medium" if self.problem else None)
        ax.set_xlabel("time per step (less is better)")
        _set_axes(ax, self.names)
        return self._drawn(ax)


def draw(figure, comparison):
    """Draw a `Comparison` on an empty figure: time per step, and beside it the time to start."""
    left, right = figure.subplots(1, 2)
    display = BackendComparisonDisplay.from_comparison(comparison, ax=left)
    left.set_title("Training step, after warm-up")  # the figure's title names the problem
    rows = np.arange(len(display.names))
    starts = {
        "empty compile cache": ("s", -0.12, [result.cold_start for result in comparison.results]),
        "next process": ("D", 0.12, [result.cached_start for result in comparison.results]),
    }
    for i, (label, (marker, shift, seconds)) in enumerate(starts.items(), start=1):
        color = colors.cycle(right)[i]
        right.plot(seconds, rows + shift, marker, color=color, ms=7, label=label)
        _name_dots(right, seconds, rows + shift, map(duration, seconds), beside=True)
    right.set_title("Start: import, compile, first fit")
    right.set_xlabel("time to the end of a first fit (less is better)")
    _set_axes(right, display.names)
    handles, labels = right.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=2, frameon=False)
    figure.suptitle(comparison.problem, fontsize="medium")


def _name_dots(ax, values, rows, texts, beside=False):
    """Write a text above each dot, or beside it."""
    place = {"xytext": (9, 0), "va": "center_baseline"} if beside else {"xytext": (0, 9)}
    for value, row, text in zip(values, rows, texts, strict=True):
        ax.annotate(
            text,
            (value, row),
            textcoords="offset points",
            ha="left" if beside else "center",
            color=colors.ink(ax),
            **place,
        )


def _set_axes(ax, names):
    """Set the axis of times, with room for the texts, and that of the backends, first on top."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_xscale("log")
    low, high = ax.dataLim.intervalx
    if high / low < 10:  # room for ticks: a decade
        low, high = low / 2, high * 2
    ratio = high / low
    ax.set_xlim(low / ratio**0.25, high * ratio**0.35)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 30 else (1,), numticks=7))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(_tick)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color=colors.mixed(ax, colors.ink(ax), 0.15))
    ax.grid(False, axis="y")
    ax.set_axisbelow(True)
    bare(ax)
    ax.spines["left"].set_visible(False)


def _tick(value, _):
    return duration(value)


def duration(seconds):
    """Return a time as text of up to three digits with a unit, such as "1.43 ms"."""
    rounded = float(f"{seconds:.3g}")  # so that 999.7 µs are 1 ms
    unit = next((unit for unit in UNITS if rounded >= 0.9999999 * unit), 1e-9)
    return f"{_short(rounded / unit)} {UNITS[unit]}"


def _short(number):
    """Return a number as text of three digits, or more if it is large, without exponent."""
    return f"{number:,.0f}" if number >= 999.5 else f"{number:.3g}"

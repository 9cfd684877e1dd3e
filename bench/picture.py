"""The picture of a run: times by workload, and the roofline."""

import numpy as np

from fastbp import RooflineDisplay
from fastbp.plots import colors, common
from fastbp.plots.speed import style_of


def draw(results, path):
    """Draw the results of run.py into a PNG file.

    Parameters
    ----------
    results : dict
        What run.py writes as JSON.
    path : path
    """
    from matplotlib.figure import Figure

    rows = results["training"]
    figure = Figure(figsize=(15, 6.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.05])
    _times(left, rows)
    threads = results["settings"]["threads"]
    RooflineDisplay.from_results(results, ax=right)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    machine = results["machine"]
    cores = "one core, one thread" if threads == 1 else f"{threads} cores, {threads} threads"
    figure.suptitle(f"{machine['cpu']}, {cores}, {results['settings']['dtype']}")
    common.save(figure, path, dpi=110)


def _times(axes, rows):
    places = np.arange(len(rows))[::-1]
    ink = colors.ink(axes)
    names = list(dict.fromkeys(name for row in rows for name in row["contenders"]))
    for place in places[::2]:
        axes.axhspan(place - 0.5, place + 0.5, color=colors.mixed(axes, ink, 0.06), lw=0, zorder=0)
    # Side by side within a row, so that equal times do not hide one another.
    for name, shift in zip(names, np.linspace(0.3, -0.3, len(names)), strict=True):
        points = [
            (row["contenders"][name]["median"] * 1e6, place + shift)
            for row, place in zip(rows, places, strict=True)
            if "median" in row["contenders"].get(name, {})
        ]
        color, marker = style_of(axes, name)
        x, y = np.reshape(points, (-1, 2)).T
        axes.plot(x, y, marker, color=color, label=name, ms=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel("median time of a training step (µs; less is better)")
    axes.set_yticks(places, [f"{row['name']}  ({i})" for i, row in enumerate(rows, 1)])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.grid(axis="x", color=colors.mixed(axes, ink, 0.15))
    axes.set_axisbelow(True)
    axes.set_title("Time of a training step")

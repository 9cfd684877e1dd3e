"""The picture of a run: times by workload, and the roofline."""

import numpy as np
from report import rivals

# Okabe and Ito's colours, which colour-blind readers can tell apart, and a marker each.
STYLES = {
    "cython": ("#0072B2", "o"),
    "numba": ("#56B4E9", "s"),
    "numpy": ("#000000", "x"),
    "scikit-learn": ("#E69F00", "^"),
    "pytorch": ("#D55E00", "v"),
    "torch.compile": ("#CC79A7", "D"),
    "jax": ("#009E73", "P"),
}


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
    _roofline(right, rows, results["peak"], results["settings"]["dtype"])
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    machine = results["machine"]
    cores = "one core, one thread" if threads == 1 else f"{threads} cores, {threads} threads"
    figure.suptitle(f"{machine['cpu']}, {cores}, {results['settings']['dtype']}")
    figure.savefig(path, dpi=110)


def _times(axes, rows):
    places = np.arange(len(rows))[::-1]
    names = list(dict.fromkeys(name for row in rows for name in row["contenders"]))
    for place in places[::2]:
        axes.axhspan(place - 0.5, place + 0.5, color="#f3f3f3", lw=0, zorder=0)
    # Side by side within a row, so that equal times do not hide one another.
    for name, shift in zip(names, np.linspace(0.3, -0.3, len(names)), strict=True):
        points = [
            (row["contenders"][name]["median"] * 1e6, place + shift)
            for row, place in zip(rows, places, strict=True)
            if "median" in row["contenders"].get(name, {})
        ]
        color, marker = STYLES[name]
        x, y = np.reshape(points, (-1, 2)).T
        axes.plot(x, y, marker, color=color, label=name, ms=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xlabel("median time of a training step, µs (less is better)")
    axes.set_yticks(places, [f"{row['name']}  ({i})" for i, row in enumerate(rows, 1)])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.grid(axis="x", color="#d8d8d8")
    axes.set_axisbelow(True)
    axes.set_title("Time of a training step")


def _roofline(axes, rows, peak, dtype):
    """Rates against intensity, under the roofs that were measured."""
    from matplotlib.patheffects import withStroke

    top = peak[dtype] / 1e9
    intensities = [row["flops"] / row["bytes"] for row in rows]
    x = np.geomspace(min(0.2, min(intensities) / 2), max(100, 2 * max(intensities)), 500)
    lowest = top
    _roofs(axes, x, peak, top)
    for i, (row, intensity) in enumerate(zip(rows, intensities, strict=True), 1):
        ours, theirs = rivals(row["contenders"])
        rates = {rival: row["flops"] / rival[1] / 1e9 for rival in (theirs, ours) if rival}
        lowest = min([lowest, *rates.values()])
        axes.plot([intensity] * len(rates), list(rates.values()), color="#999999", lw=1, zorder=1)
        for rival, rate in rates.items():
            color, marker = STYLES[rival[0]]
            # The hollow ones are larger, to be seen around a filled one in the same place.
            look = dict(mfc="none", ms=11, mew=1.5) if rival is theirs else dict(ms=7)
            axes.plot(intensity, rate, marker, color=color, zorder=2, **look)
        if ours:
            # On the side where no peer is.
            side = -1 if theirs and theirs[1] < ours[1] else 1
            text = axes.annotate(
                str(i),
                (intensity, rates[ours]),
                xytext=(0, side * 12),
                textcoords="offset points",
                ha="center",
                va="center_baseline",
                weight="bold",
            )
            text.set_path_effects([withStroke(linewidth=3, foreground="white")])
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(lowest / 2, top * 1.8)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("arithmetic intensity, FLOP a byte of batch, parameters and optimiser's state")
    axes.set_ylabel("achieved GFLOP/s (more is better)")
    _share_axis(axes, top, lowest / 2)
    axes.grid(color="#e8e8e8")
    axes.set_axisbelow(True)
    axes.set_title("Roofline: best backend of fastbp (filled), best peer (hollow)")


def _roofs(axes, x, peak, top):
    """The slopes of cache and memory under the flat peak, labelled beside the lines."""
    ink = "#555555"
    sides = {  # where there is no other line
        "cache": dict(ha="right", va="bottom", xytext=(-4, 2)),
        "memory": dict(ha="left", va="top", xytext=(4, -2)),
    }
    for (name, side), style in zip(sides.items(), ("--", "-"), strict=True):
        bandwidth = peak[name] / 1e9
        axes.plot(x, np.minimum(x * bandwidth, top), style, color=ink, lw=1.5, zorder=1)
        height = 0.15 * top if name == "cache" else 0.01 * top
        axes.annotate(
            f"{name}, {bandwidth:.0f} GB/s",
            (max(height / bandwidth, 2 * x[0]), max(height, 2 * x[0] * bandwidth)),
            textcoords="offset points",
            color=ink,
            **side,
        )
    axes.annotate(
        f"FMA peak, {top:.0f} GFLOP/s",
        (x[-1], top),
        xytext=(-5, 4),
        textcoords="offset points",
        ha="right",
        color=ink,
    )


def _share_axis(axes, top, lowest):
    """The rates once more on the right, as a share of the peak."""
    functions = (lambda rate: rate / top * 100, lambda share: share / 100 * top)
    axis = axes.secondary_yaxis("right", functions=functions)
    axis.set_ylabel("share of the FMA peak")
    shares = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 50, 70, 100]
    shares = [share for share in shares if share / 100 * top > lowest]
    axis.set_yticks(shares, [f"{share:g} %" for share in shares])
    axis.minorticks_off()

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
    axes.hlines(places, 0, 1, transform=axes.get_yaxis_transform(), color="#e8e8e8", zorder=0)
    for name in names:
        points = [
            (row["contenders"][name]["median"] * 1e6, place)
            for row, place in zip(rows, places, strict=True)
            if "median" in row["contenders"].get(name, {})
        ]
        color, marker = STYLES[name]
        axes.plot(
            *zip(*points, strict=True), marker, color=color, label=name, ms=8
        ) if points else 0
    axes.set_xscale("log")
    axes.set_xlabel("median time of a training step, µs (less is better)")
    labels = [f"{row['name']}   [{i}]" for i, row in enumerate(rows, 1)]
    axes.set_yticks(places, labels)
    axes.grid(axis="x", which="major", color="#e8e8e8")
    axes.set_axisbelow(True)
    axes.set_title("Time of a training step")


def _roofline(axes, rows, peak, dtype):
    """Rates against intensity, under the roofs that were measured."""
    top = peak[dtype] / 1e9
    intensities = [row["flops"] / row["bytes"] for row in rows]
    x = np.geomspace(min(0.3, min(intensities) / 2), max(intensities) * 4, 200)
    for name, style in (("memory", "-"), ("cache", "--")):
        roof = np.minimum(x * peak[name] / 1e9, top)
        label = f"{name}, {peak[name] / 1e9:.0f} GB/s"
        axes.plot(x, roof, style, color="#555555", lw=1.5)
        i = np.searchsorted(x, 1.3 * x[0])
        axes.annotate(
            label, (x[i], roof[i]), xytext=(4, 6), textcoords="offset points", color="#555555"
        )
    axes.annotate(
        f"FMA peak, {top:.0f} GFLOP/s",
        (x[-1], top),
        xytext=(-4, 5),
        textcoords="offset points",
        ha="right",
        color="#555555",
    )
    for i, (row, intensity) in enumerate(zip(rows, intensities, strict=True), 1):
        ours, theirs = rivals(row["contenders"])
        rates = [row["flops"] / r[1] / 1e9 for r in (theirs, ours) if r]
        axes.plot([intensity] * len(rates), rates, color="#bbbbbb", lw=1, zorder=1)
        for rival, hollow in ((theirs, True), (ours, False)):
            if rival is None:
                continue
            color, marker = STYLES[rival[0]]
            face = "white" if hollow else color
            rate = row["flops"] / rival[1] / 1e9
            axes.plot(intensity, rate, marker, color=color, mfc=face, ms=8, zorder=2)
            if not hollow:
                axes.annotate(
                    f"[{i}]", (intensity, rate), xytext=(7, -3), textcoords="offset points"
                )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity, FLOP a byte that a step has to move from memory")
    axes.set_ylabel("achieved GFLOP/s (more is better)")
    share = axes.secondary_yaxis(
        "right", functions=(lambda g: g / top * 100, lambda s: s / 100 * top)
    )
    share.set_ylabel("share of the FMA peak")
    shares = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100]
    low, high = axes.get_ylim()
    axes.set_ylim(low / 1.3, top * 1.6)
    shares = [s for s in shares if low <= s / 100 * top <= high * 2]
    share.set_yticks(shares, [f"{s:g} %" for s in shares])
    share.minorticks_off()
    axes.grid(which="major", color="#e8e8e8")
    axes.set_axisbelow(True)
    axes.set_title("Roofline: best backend of fastbp (filled) and best peer (hollow)")

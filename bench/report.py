"""The tables that the runner prints."""

import statistics

from fastbp.plots.speed import BACKENDS, rivals

FASTBP = BACKENDS


def ratio(figures):
    """The best peer's time over that of fastbp's best backend, round beside round; or None."""
    ours, theirs = rivals(figures)
    if not ours or not theirs:
        return None
    pairs = zip(figures[theirs[0]]["rounds"], figures[ours[0]]["rounds"], strict=True)
    return statistics.median(theirs / ours for theirs, ours in pairs)


def training_table(rows, peak):
    """A step of every workload: times, the ratio to the best peer, rate, share of the peak.

    Parameters
    ----------
    rows : list of dict
        With "name", "flops" and "contenders": name -> figures from `measure.interleaved`.
    peak : float
        Operations a second.

    Returns
    -------
    str
    """
    names = list(dict.fromkeys(name for row in rows for name in row["contenders"]))
    lines = [["µs a step", *names, "peer/fastbp", "GFLOP/s", "of peak"]]
    for row in rows:
        figures = row["contenders"]
        ours, _ = rivals(figures)
        line = [row["name"], *(time_cell(figures.get(name)) for name in names)]
        line.append(ratio_cell(figures))
        rate = row["flops"] / ours[1] if ours else None
        line += [f"{rate / 1e9:.1f}", f"{rate / peak:.0%}"] if rate else ["", ""]
        lines.append(line)
    return aligned(lines)


def times_table(title, rows):
    """Times alone, of rows as for `training_table`; one with "per" is divided by it."""
    names = list(dict.fromkeys(name for row in rows for name in row["contenders"]))
    lines = [[title, *names, "peer/fastbp"]]
    for row in rows:
        figures = row["contenders"]
        cells = [time_cell(figures.get(name), row.get("per", 1)) for name in names]
        lines.append([row["name"], *cells, ratio_cell(figures)])
    return aligned(lines)


def checks_table(rows):
    """The correctness figures beside the times."""
    names = list(dict.fromkeys(name for row in rows for name in row["contenders"]))
    lines = [["correctness", *names]]
    for row in rows:
        lines.append([row["name"], *(check_cell(row["contenders"].get(n)) for n in names)])
    return aligned(lines)


def plain_table(title, figures, unit):
    """Name -> number, one a line."""
    return aligned([[title, unit], *([name, f"{value:.3g}"] for name, value in figures.items())])


def time_cell(figures, per=1):
    """Median in µs and half the distance of the quartiles in per cent of it."""
    if not figures or "median" not in figures:
        return "-"
    median = figures["median"]
    spread = (figures["upper quartile"] - figures["lower quartile"]) / 2 / median
    return f"{microseconds(median / per)} ±{spread:.0%}"


def ratio_cell(figures):
    value = ratio(figures)
    return "" if value is None else f"{value:.2f}"


def microseconds(seconds):
    """Three significant digits, without powers of ten."""
    value = seconds * 1e6
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def check_cell(figures):
    if not figures or "median" not in figures:
        return "-"
    if "loss after" in figures:
        return f"{figures['loss before']:.2f} -> {figures['loss after']:.2f}"
    difference = figures.get("largest difference from NumPy")
    return "-" if difference is None else f"{difference:.0e}"


def notes(rows):
    """What contenders could not do: one line each, without repeating."""
    lines = {}
    for row in rows:
        for name, figures in row["contenders"].items():
            if "error" in figures:
                lines.setdefault(f"{name}: {figures['error']}", []).append(row["name"])
    return [f"{text} ({', '.join(where)})" for text, where in lines.items()]


def aligned(lines):
    """Columns side by side, the first to the left and the others to the right."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = []
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        text.append("  ".join(cells).rstrip())
    return "\n".join(text)

"""The report of a training: one HTML file that opens without a network."""

import html
import io

import numpy as np

from ..basis import writing
from . import importance, metrics, preparing, training
from .outputs import GENERATOR
from .problems import predict

STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #0072b2; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem .2rem 0; text-align: left;
  border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.out { opacity: .6; } p.verdict { font-size: 1.15rem; }
svg { max-width: 100%; height: auto; background: white; }
span.bar { display: inline-block; height: .8em; background: var(--bar); }
"""
# Calibration is drawn for at most this many classes; columns by importance likewise.
MOST_CLASSES = 8
MOST_COLUMNS = 30
# Bins of the calibration.
MOST_BINS, ROWS_OF_A_BIN = 10, 10


def write(path, report, chosen, trained, judged, options):
    """Write the report.

    Parameters
    ----------
    path : Path
    report : dict
        The report that ``train --json`` prints.
    chosen : dict of str to Reading
        The columns that were learnt from.
    trained : Trained
    judged : Judged
        The rows to judge by.
    options : namespace
        Options of the command `train`.
    """
    title = f"{report['target']} from {report['data']}"
    parts = [
        f"<h1>{_text(title)}</h1>",
        f'<p class="verdict">{_text(_sentence(report["verdict"]))}</p>',
        _facts(report),
        "<h2>Figures</h2>",
        _figures(report),
        *_of_predictions(trained.estimator, report, judged, options.log_target),
        "<h2>Importance of the columns</h2>",
        _importance(trained, chosen, judged, options),
        *_curve(trained),
        "<h2>Columns</h2>",
        _columns(report["columns"]),
    ]
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    writing.write(path, page.encode("utf-8"))


def _sentence(parts):
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _text(value):
    return html.escape(str(value))


def _table(rows, numbers=(), classes=()):
    """Return a table, with a heading and with the columns `numbers` aligned right."""
    lines = []
    for i, row in enumerate(rows):
        tag = "td" if i else "th"
        kinds = [' class="number"' if j in numbers else "" for j in range(len(row))]
        cells = "".join(
            f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True)
        )
        out = ' class="out"' if i in classes else ""
        lines.append(f"<tr{out}>{cells}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _facts(report):
    rows, settings = report["rows"], report["training"]
    parts = ", ".join(f"{n} for {name}" for name, n in rows.items() if n)
    if "recipes" in report:
        kinds = len(report["recipes"])
        model = f"{report['networks']} networks of {kinds} kind{'s' if kinds > 1 else ''}"
    else:
        model = f"a network {'-'.join(map(str, report['sizes']))}; {settings['epochs']} epochs"
        if settings["best_epoch"]:
            model += f", the weights are those of epoch {settings['best_epoch']}"
    return (
        f"<p>{_text(report['task'].capitalize())} of {sum(rows.values())} rows ({parts}) by "
        f"{model}. Trained {_text(settings['date'])} with seed "
        f"{settings['seed']}.</p>"
    )


def _figures(report):
    found = report["metrics"]
    keys = list(next(iter(found.values())))
    rows = [["", *map(_text, found)]]
    for key in keys:
        rows.append([metrics.NAMES[key], *(metrics.figure(part[key]) for part in found.values())])
    note = (
        f"<p>The baseline ignores the columns; it is judged on the {report['judged_on']} rows.</p>"
    )
    return _table(rows, range(1, len(found) + 1)) + note


def _of_predictions(model, report, judged, log_target):
    """Return pictures of the predictions for the rows to judge by."""
    if not hasattr(model, "classes_"):
        predicted = predict(model, judged.X, log_target)
        return ["<h2>Predictions and residuals</h2>", _residuals(predicted, judged.y)]
    made = []
    if report["confusion"]:
        labels = [_text(label) for label in model.classes_]
        rows = [["true \\ predicted", *labels]]
        rows += [[label, *line] for label, line in zip(labels, report["confusion"], strict=True)]
        made += ["<h2>Confusion matrix</h2>", _table(rows, range(1, len(labels) + 1))]
    return [*made, "<h2>Calibration</h2>", _calibration(model, judged)]


def _picture(draw, width=6.4):
    """Return a figure as SVG; `draw` takes its axes."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "fastbp", "figure.facecolor": "white"}):
        figure = Figure(figsize=(width, 4), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": "fastbp"})
    text = drawn.getvalue()
    return text[text.index("<svg") :]


def _residuals(predicted, y):
    dots = {"s": 8, "alpha": 0.6, "linewidths": 0}

    def draw(figure):
        left, right = figure.subplots(1, 2)
        ends = [min(y.min(), predicted.min()), max(y.max(), predicted.max())]
        left.plot(ends, ends, color="0.6", linewidth=1)
        left.scatter(predicted, y, **dots)
        left.set(xlabel="predicted", ylabel="true")
        right.axhline(0, color="0.6", linewidth=1)
        right.scatter(predicted, y - predicted, **dots)
        right.set(xlabel="predicted", ylabel="true minus predicted")

    return _picture(draw, 9)


def _calibration(model, judged):
    """Draw how often a class is right where it is predicted with some probability."""
    probabilities = model.predict_proba(judged.X)
    shown = list(enumerate(model.classes_))[:MOST_CLASSES]
    if len(model.classes_) == 2:
        shown = shown[1:]

    def draw(figure):
        ax = figure.subplots()
        ax.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        for j, label in shown:
            share, right = _reliability(probabilities[:, j], judged.y == label)
            ax.plot(share, right, marker="o", label=str(label))
        ax.set(xlabel="mean predicted probability", ylabel="share of rows of the class")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        ax.legend()

    return _picture(draw)


def _reliability(probability, is_class):
    """Return mean probability and share of the class in bins with equal numbers of rows."""
    n_bins = min(MOST_BINS, max(2, len(probability) // ROWS_OF_A_BIN))
    bins = [rows for rows in np.array_split(np.argsort(probability), n_bins) if len(rows)]
    return (
        [probability[rows].mean() for rows in bins],
        [is_class[rows].mean() for rows in bins],
    )


def _importance(trained, chosen, judged, options):
    found = importance.by_permutation(
        trained.estimator,
        judged.X,
        judged.y,
        preparing.owners(trained.prepare, chosen),
        options.log_target,
        options.seed,
    )
    largest = max(found[0].mean, 1e-300)
    rows = [["column", "increase", "±", ""]]
    for each in found[:MOST_COLUMNS]:
        width = 20 * max(each.mean, 0) / largest
        bar = f'<span class="bar" style="width:{width:.2f}rem"></span>'
        numbers = [metrics.figure(each.mean), metrics.figure(each.spread)]
        rows.append([_text(each.column), *numbers, bar])
    what = "the share of wrong predictions" if judged.y.dtype.kind != "f" else "the RMSE"
    note = f"By how much {what} on the {judged.name} rows increases if a column is shuffled "
    note += f"(mean and standard deviation of {importance.REPEATS} shuffles)."
    more = len(found) - MOST_COLUMNS
    after = f"<p>... and {more} more columns</p>" if more > 0 else ""
    return f"<p>{note}</p>" + _table(rows, (1, 2)) + after


def _curve(trained):
    if not trained.loss:
        return []
    drawn = _picture(lambda figure: training.draw_curve(trained, figure.subplots()))
    return ["<h2>Learning curve</h2>", drawn]


def _columns(columns):
    rows = [["column", "read as", "missing", "examples", "why"]]
    for each in columns:
        examples = ", ".join(text[:40] for text in each["examples"])
        rows.append(
            [
                *(_text(each["column"]), _text(each["read_as"]), each["missing"] or ""),
                *(_text(examples), _text(each["why"])),
            ]
        )
    out = [i for i, each in enumerate(columns, start=1) if each["read_as"] == "left out"]
    return _table(rows, (2,), out)

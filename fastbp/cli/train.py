"""The command `train`: reads a table; writes a model, its metrics and its learning curve."""

import datetime
import json
from pathlib import Path

from ..backends import BACKENDS
from ..basis import spec
from . import (
    columns,
    completion,
    learnt,
    live,
    metrics,
    outputs,
    problems,
    readings,
    reporting,
    store,
    tables,
    training,
    verdict,
)
from .metrics import Judged
from .options import (
    WrongUsage,
    add_argument,
    add_command,
    filled,
    fraction,
    new_file,
    not_negative,
    note,
    page,
    picture,
    positive,
    seed,
    sizes,
    status,
    whole_number,
)
from .outputs import Output

EXAMPLES = """
fastbp train titanic.csv --target survived
fastbp train houses.parquet --target price --drop id --output houses.safetensors
fastbp train wine.csv --target quality --task regression --hidden 32,16 --epochs 500
fastbp train titanic.csv --target survived --json > report.json
"""


def add(commands):
    """Register the command with argparse."""
    command = add_command(
        commands,
        "train",
        run,
        help="train a network on a table",
        description="Train a network on a table and save it. How each column is read is shown "
        "first: numbers are scaled, dates become year, month, weekday and days, texts become one "
        "input for each value (one-hot), gaps are filled. A part of the rows is held out to stop "
        "training in time (validation), another one to judge the result (test). Ctrl-C ends the "
        "training and keeps what was learnt.",
        examples=EXAMPLES,
    )
    add_argument(
        command,
        "data",
        completer=completion.TABLES,
        type=tables.data_path,
        metavar="DATA",
        help=f"a file that ends in {', '.join(tables.EXTENSIONS)}, also compressed "
        f"({', '.join(tables.COMPRESSIONS)}); - for standard input",
    )
    add_argument(
        command,
        "--target",
        completer=completion.columns,
        required=True,
        metavar="COLUMN",
        help="what to predict",
    )
    command.add_argument(
        "--output",
        type=new_file,
        metavar="FILE",
        help="where to save the model (default: the name of DATA, ending in .safetensors, here)",
    )
    command.add_argument("--task", choices=problems.TASKS, help="default: by the target's values")
    for option, what in (
        ("--drop", "leave these columns out"),
        ("--keep", "use these columns, even if they look like identifiers or repeat the target"),
        ("--categorical", "the numbers in these columns are names of categories"),
    ):
        add_argument(
            command,
            option,
            completer=completion.columns,
            action="append",
            default=[],
            metavar="COLUMNS",
            help=f"{what} (separated by commas, or repeated)",
        )
    command.add_argument(
        "--day-first",
        action="store_true",
        help="read 3/4/2024 as 3 April where the column leaves it open (default: as March 4)",
    )
    command.add_argument(
        "--log-target",
        action="store_true",
        help="regression: learn the logarithm of the target, for skewed targets above 0",
    )
    tables.add_form(command)
    rows = command.add_argument_group("rows")
    rows.add_argument(
        "--validation", type=fraction, default=0.15, metavar="SHARE", help="default: %(default)s"
    )
    rows.add_argument(
        "--test", type=fraction, default=0.15, metavar="SHARE", help="default: %(default)s"
    )
    rows.add_argument(
        "--seed", type=seed, default=0, help="of the split and the training (default: %(default)s)"
    )
    network = command.add_argument_group("network and training")
    network.add_argument(
        "--hidden",
        type=sizes,
        default=[64, 64],
        metavar="SIZES",
        help="of the hidden layers; none for a linear model (default: 64,64)",
    )
    network.add_argument(
        "--activation",
        choices=sorted(spec.ACTIVATIONS),
        default="relu",
        metavar="NAME",
        help=f"one of {', '.join(spec.ACTIVATIONS)} (default: %(default)s)",
    )
    network.add_argument(
        "--optimizer",
        choices=["adam", "sgd"],
        default="adam",
        help="sgd has Nesterov's momentum 0.9 (default: %(default)s)",
    )
    network.add_argument(
        "--epochs", type=whole_number, default=200, metavar="N", help="at most (default: 200)"
    )
    network.add_argument(
        "--batch-size", type=whole_number, default=64, metavar="N", help="default: %(default)s"
    )
    network.add_argument(
        "--learning-rate", type=positive, default=1e-3, metavar="RATE", help="default: %(default)s"
    )
    network.add_argument(
        "--l2",
        type=not_negative,
        default=0.1,
        metavar="STRENGTH",
        help="of the penalty on large weights, see MLPClassifier's alpha (default: %(default)s)",
    )
    network.add_argument(
        "--patience",
        type=whole_number,
        default=20,
        metavar="N",
        help="early stopping: end after N epochs in a row without a better validation loss, and "
        "go back to the best one (default: %(default)s)",
    )
    network.add_argument(
        "--no-early-stopping",
        dest="patience",
        action="store_const",
        const=None,
        help="train for all epochs",
    )
    network.add_argument(
        "--backend", choices=["auto", *BACKENDS], help="default: FASTBP_BACKEND, else auto"
    )
    network.add_argument(
        "--threads", type=whole_number, metavar="N", help="default: as many as are worth it"
    )
    output = command.add_argument_group("report")
    drawing = output.add_mutually_exclusive_group()
    drawing.add_argument(
        "--plot",
        type=picture,
        metavar="FILE",
        help="where to draw the learning curve, as .png, .svg or .pdf (default: beside the model, "
        "as .png)",
    )
    drawing.add_argument("--no-plot", action="store_true", help="draw nothing")
    output.add_argument(
        "--report",
        type=page,
        metavar="FILE",
        help="where to write a report as .html: columns, figures, confusion matrix or residuals, "
        "calibration, importance of the columns, learning curve",
    )
    output.add_argument(
        "--live",
        action="store_true",
        help="draw the losses in the terminal during the training (needs rich)",
    )
    outputs.add_force(output)
    output.add_argument("--json", action="store_true", help="print the report as JSON")


def run(options):
    """Train a model, save it and report the result."""
    if options.validation + options.test >= 1:
        raise WrongUsage("--validation and --test together must leave rows for training")
    path = options.output or Path(f"{tables.stem(options.data)}.safetensors")
    curve = _curve(options, path)
    written = [Output("the model", path, "--output", outputs.is_model)]
    if curve:
        written.append(Output("the learning curve", curve, "--plot", outputs.is_picture))
    if options.report:
        written.append(Output("the report", options.report, "--report", outputs.is_report))
        outputs.needs_matplotlib("--report")
    outputs.check(written, [options.data], options.force)
    if options.live:
        live.needs_rich()
    status(f"reading {tables.shown(options.data)} ...")
    table = learnt.read(options)
    status("")
    if not options.json:
        print(_before(table), flush=True)
    chosen = {column.name: column.reading for column in table.columns if column.reading}
    status("preparing the training ...")
    trained = training.train(table.features, table.problem, table.parts, chosen, options)
    status("judging the model ...")
    ranges = columns.with_ranges(chosen, table.features)
    judged, figures = _figures(trained, table, options)
    report = {
        "data": table.name,
        "target": table.problem.target,
        "task": table.problem.task,
        "log_target": options.log_target,
        "rows": {name: len(rows) for name, rows in table.parts._asdict().items()},
        "training": _settings(options, trained),
        **figures,
    }
    notes = {
        "readings": {name: readings.to_json(reading) for name, reading in ranges.items()},
        "target_reading": readings.to_json(table.reading),
    }
    store.save(trained.model, path, report | notes)
    if not trained.loss:
        curve = None
    if curve:
        training.draw(trained, curve)
    report |= {
        "columns": [column.to_json() for column in table.columns],
        "sizes": _sizes(trained.model["network"]),
        "model": str(path),
        "picture": str(curve) if curve else None,
        "loss": trained.loss,
        "validation_loss": trained.validation_loss,
        "html": str(options.report) if options.report else None,
    }
    if options.report:
        reporting.write(options.report, report, chosen, trained, judged, options)
    status("")
    print(json.dumps(report, indent=2) if options.json else _after(report, trained))
    return 0


def _curve(options, path):
    """Return the path of the learning curve; None if none is drawn."""
    special = path.exists() and not path.is_file()
    if options.no_plot or special and not options.plot:  # no file can be beside a pipe
        return None
    if outputs.can_draw():
        return options.plot or path.with_suffix(".png")
    if options.plot:
        outputs.needs_matplotlib("--plot")
    note("the learning curve is not drawn; drawing needs matplotlib: pip install 'fastbp[cli]'")
    return None


def _sizes(network):
    return [network.n_features_in_, *(len(biases) for biases in network.intercepts_)]


def _settings(options, trained):
    """Return the settings of the training, for the report."""
    names = ("optimizer", "batch_size", "learning_rate", "l2", "patience", "seed")
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **{name: getattr(options, name) for name in names},
        "epochs": len(trained.loss),
        "best_epoch": trained.best_epoch,
        "interrupted": trained.interrupted,
        "backend": trained.backend,
    }


def _figures(trained, table, options):
    """Return metrics of each part, the rows to judge by with the baseline's, and the verdict.

    The judged rows are those of the last part that is not empty.
    """
    model, problem, used = trained.model, table.problem, table.parts.used()
    network, found = model["network"], {}
    for name, rows in used.items():
        judged = Judged(
            name, model["columns"].transform(table.features.iloc[rows]), problem.y[rows]
        )
        found[name] = metrics.of_model(network, judged.X, judged.y, options.log_target)
    dummy = metrics.baseline(problem.task, problem.y[table.parts.training])
    found["baseline"] = metrics.of_baseline(dummy, judged.y)
    counts = None
    if problem.task == "classification":
        counts = metrics.confusion(network.classes_, network.predict(judged.X), judged.y)
    said = verdict.sentences(network, judged, dummy, problem, trained, options)
    return judged, {
        "judged_on": judged.name,
        "metrics": found,
        "confusion": counts,
        "verdict": said,
    }


def _before(table):
    """Return the text printed before the training: rows, target and columns."""
    problem, n = table.problem, {name: len(rows) for name, rows in table.parts.used().items()}
    lines = [
        f"{table.name}: {sum(n.values())} rows, {', '.join(f'{n[k]} {k}' for k in n)}",
        f"target {problem.target}: {problem.task} ({problem.why})",
        *table.notes,
    ]
    return "\n".join(
        [*(filled(line, "  ") for line in lines), "", columns.table(table.columns), ""]
    )


def _after(report, trained):
    """Return the text printed after the training: its course, metrics and written files."""
    model, judged = trained.model, report["judged_on"]
    settings, found = report["training"], dict(report["metrics"])
    ended = f"{settings['epochs']} epochs"
    if settings["interrupted"]:
        ended += ", then interrupted by Ctrl-C"
    if settings["best_epoch"]:
        ended += f"; the weights of epoch {settings['best_epoch']} are kept"
    if not settings["interrupted"] and settings["best_epoch"] == trained.planned:
        ended += ", and the loss was still improving: try more --epochs"
    baseline = found.pop("baseline")
    texts = [
        filled(
            f"network {'-'.join(map(str, report['sizes']))} on {settings['backend']}: {ended}", "  "
        ),
        "",
        metrics.table({**found, "baseline": baseline}),
        filled(f"(baseline: without features, on the {judged} rows)"),
        "",
    ]
    if report["confusion"]:
        labels = model["network"].classes_
        texts += [metrics.confusion_table(labels, report["confusion"]), f"({judged} rows)", ""]
    texts += [filled(f"verdict: {'; '.join(report['verdict'])}", "  "), ""]
    texts.append(f"model: {report['model']}")
    if report["picture"]:
        texts.append(f"learning curve: {report['picture']}")
    if report["html"]:
        texts.append(f"report: {report['html']}")
    return "\n".join(texts)

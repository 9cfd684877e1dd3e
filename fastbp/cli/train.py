"""The command `train`: reads a table; writes a model, its metrics and its learning curve."""

import datetime
import json
from pathlib import Path

from ..backends import BACKENDS
from . import (
    columns,
    completion,
    learnt,
    live,
    metrics,
    outputs,
    preparing,
    problems,
    readings,
    reporting,
    single,
    store,
    tables,
    training,
    verdict,
)
from .metrics import Judged
from .options import (
    add_argument,
    add_command,
    filled,
    fraction,
    new_file,
    note,
    page,
    picture,
    positive,
    seed,
    status,
    threads,
)
from .outputs import Output

EXAMPLES = """
fastbp train titanic.csv --target survived
fastbp train houses.parquet --target price --drop id --output houses.safetensors
fastbp train loans.csv --target default --time 20 --report loans.html
fastbp train wine.csv --target quality --task regression --hidden 32,16 --epochs 500
fastbp train titanic.csv --target survived --json > report.json
"""


def add(commands):
    """Register the command with argparse."""
    command = add_command(
        commands,
        "train",
        run,
        help="train a model on a table",
        description="Train a model on a table and save it. How each column is read is shown first: "
        "dates become year, month, weekday and days, identifiers are left out. The model is an "
        "ensemble of small networks that chooses the columns that help (TabularClassifier or "
        "TabularRegressor). With --network, or an option of a single network, it is one network "
        "with your settings, which a part of the rows stops in time (validation). Another part of "
        "the rows judges the result (test). Ctrl-C ends the training and keeps what was learnt.",
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
        "--test", type=fraction, default=0.15, metavar="SHARE", help="default: %(default)s"
    )
    rows.add_argument(
        "--seed", type=seed, default=0, help="of the split and the training (default: %(default)s)"
    )
    training_ = command.add_argument_group("training")
    training_.add_argument(
        "--time",
        type=positive,
        metavar="SECONDS",
        help="try no further kind of network after that time (default: try all)",
    )
    training_.add_argument(
        "--backend", choices=["auto", *BACKENDS], help="default: FASTBP_BACKEND, else auto"
    )
    training_.add_argument(
        "--threads", type=threads, metavar="N", help="default: as many as are worth it"
    )
    single.add_options(command)
    output = command.add_argument_group("report")
    drawing = output.add_mutually_exclusive_group()
    drawing.add_argument(
        "--plot",
        type=picture,
        metavar="FILE",
        help="where to draw the importance of the columns, or the learning curve of a single "
        "network, as .png, .svg or .pdf (default: beside the model, as .png)",
    )
    drawing.add_argument("--no-plot", action="store_true", help="draw nothing")
    output.add_argument(
        "--report",
        type=page,
        metavar="FILE",
        help="where to write a report as .html: columns, figures, confusion matrix or residuals, "
        "calibration, importance of the columns, learning curve",
    )
    outputs.add_force(output)
    output.add_argument("--json", action="store_true", help="print the report as JSON")


def run(options):
    """Train a model, save it and report the result."""
    single.settle(options)
    path = options.output or Path(f"{tables.stem(options.data)}.safetensors")
    picture = _picture(options, path)
    written = [Output("the model", path, "--output", outputs.is_model)]
    if picture:
        written.append(Output("the picture", picture, "--plot", outputs.is_picture))
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
    trained = training.train(table, chosen, options)
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
    if not trained.loss and not trained.recipes:
        picture = None
    if picture:
        training.draw(trained, picture)
    report |= {
        "columns": [column.to_json() for column in table.columns],
        **_about(trained),
        "model": str(path),
        "picture": str(picture) if picture else None,
        "html": str(options.report) if options.report else None,
    }
    if options.report:
        reporting.write(options.report, report, chosen, trained, judged, options)
    status("")
    print(json.dumps(report, indent=2) if options.json else _after(report, trained))
    return 0


def _picture(options, path):
    """Return the path of the picture; None if none is drawn."""
    special = path.exists() and not path.is_file()
    if options.no_plot or special and not options.plot:  # no file can be beside a pipe
        return None
    if outputs.can_draw():
        return options.plot or path.with_suffix(".png")
    if options.plot:
        outputs.needs_matplotlib("--plot")
    note("no picture is drawn; drawing needs matplotlib: pip install 'fastbp[cli]'")
    return None


def _about(trained):
    """Return what was trained, for the report."""
    if trained.recipes:
        networks = sum(len(member.networks) for member in trained.model._members)
        return {"networks": networks, "recipes": trained.recipes}
    network = trained.estimator
    return {
        "sizes": [network.n_features_in_, *(len(biases) for biases in network.intercepts_)],
        "loss": trained.loss,
        "validation_loss": trained.validation_loss,
    }


def _settings(options, trained):
    """Return the settings of the training, for the report."""
    settings = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": options.seed,
        "interrupted": trained.interrupted,
        "backend": trained.backend,
    }
    if trained.recipes:
        return {**settings, "time": options.time}
    names = ("optimizer", "batch_size", "learning_rate", "l2", "patience")
    return {
        **settings,
        **{name: getattr(options, name) for name in names},
        "epochs": len(trained.loss),
        "best_epoch": trained.best_epoch,
    }


def _figures(trained, table, options):
    """Return metrics of each part, the rows to judge by with the baseline's, and the verdict.

    The judged rows are those of the last part that is not empty.
    """
    estimator, problem, found = trained.estimator, table.problem, {}
    for name, rows in table.parts.used().items():
        X = preparing.transform(trained.prepare, table.features.iloc[rows], table.name)
        judged = Judged(name, X, problem.y[rows])
        found[name] = metrics.of_model(estimator, judged.X, judged.y, options.log_target)
    dummy = metrics.baseline(problem.task, problem.y[table.parts.training])
    found["baseline"] = metrics.of_baseline(dummy, judged.y)
    counts = None
    if problem.task == "classification":
        counts = metrics.confusion(estimator.classes_, estimator.predict(judged.X), judged.y)
    said = verdict.sentences(estimator, judged, dummy, problem, trained, options)
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


def _of_network(report, trained):
    """Return lines about the training of a single network."""
    settings = report["training"]
    ended = f"{settings['epochs']} epochs"
    if settings["interrupted"]:
        ended += ", then interrupted by Ctrl-C"
    if settings["best_epoch"]:
        ended += f"; the weights of epoch {settings['best_epoch']} are kept"
    if not settings["interrupted"] and settings["best_epoch"] == trained.planned:
        ended += ", and the loss was still improving: try more --epochs"
    sizes = "-".join(map(str, report["sizes"]))
    return [filled(f"network {sizes} on {settings['backend']}: {ended}", "  ")]


def _of_ensemble(report, trained):
    """Return lines about the training of an ensemble."""
    settings, features = report["training"], trained.model.n_features_in_
    ended = "; interrupted by Ctrl-C" if settings["interrupted"] else ""
    rows = [["kind of networks", "columns", "held-out loss", "weight"]]
    for row in report["recipes"]:
        loss, share = metrics.figure(row["loss"]), f"{row['weight']:.0%}"
        rows.append([row["recipe"], f"{row['columns']} of {features}", loss, share])
    return [
        f"{report['networks']} networks on {settings['backend']}{ended}",
        "",
        metrics.aligned(rows),
    ]


def _after(report, trained):
    """Return the text printed after the training: its course, metrics and written files."""
    judged, found = report["judged_on"], dict(report["metrics"])
    baseline = found.pop("baseline")
    texts = [
        *(_of_ensemble if trained.recipes else _of_network)(report, trained),
        "",
        metrics.table({**found, "baseline": baseline}),
        filled(f"(baseline: without features, on the {judged} rows)"),
        "",
    ]
    if report["confusion"]:
        labels = trained.estimator.classes_
        texts += [metrics.confusion_table(labels, report["confusion"]), f"({judged} rows)", ""]
    texts += [filled(f"verdict: {'; '.join(report['verdict'])}", "  "), ""]
    texts.append(f"model: {report['model']}")
    if report["picture"]:
        what = "importance of the columns" if trained.recipes else "learning curve"
        texts.append(f"{what}: {report['picture']}")
    if report["html"]:
        texts.append(f"report: {report['html']}")
    return "\n".join(texts)

"""The commands `predict` and `evaluate`, which apply a saved model to new rows."""

import functools
import json
import sys
from pathlib import Path

import numpy as np

from ..files import file
from . import columns, completion, metrics, outputs, preparing, problems, readings, store, tables
from .options import add_argument, add_command, note, printable, status
from .outputs import Output
from .packages import pandas

PREDICT_EXAMPLES = """
fastbp predict titanic.safetensors passengers.csv --output predictions.csv
fastbp predict titanic.safetensors passengers.csv --proba | head
"""
EVALUATE_EXAMPLES = """
fastbp evaluate titanic.safetensors more.csv
fastbp evaluate titanic.safetensors more.csv --target survived --json
"""


def add(commands):
    """Register the commands with argparse."""
    predict = add_command(
        commands,
        "predict",
        predict_rows,
        help="predict for the rows of a table",
        description="Predict a class or a value for each row of a table, in its order.",
        examples=PREDICT_EXAMPLES,
    )
    evaluate = add_command(
        commands,
        "evaluate",
        evaluate_rows,
        help="compare predictions with the truth",
        description="Predict for rows whose target is known, and say how good that is. The "
        "baseline knows this table's targets, but no features.",
        examples=EVALUATE_EXAMPLES,
    )
    for command in (predict, evaluate):
        add_argument(
            command,
            "model",
            completer=completion.MODELS,
            type=Path,
            metavar="MODEL",
            help="a file of fastbp train",
        )
        add_argument(
            command,
            "data",
            completer=completion.TABLES,
            type=tables.data_path,
            metavar="DATA",
            help="a table, as train reads it",
        )
        tables.add_form(command)
    predict.add_argument(
        "--output",
        type=tables.output_path,
        metavar="FILE",
        help="a .csv or .parquet file to write (default: CSV on standard output)",
    )
    add_argument(
        predict,
        "--id",
        completer=completion.columns,
        metavar="COLUMN",
        help="copy this column to the output, before the predictions",
    )
    predict.add_argument("--proba", action="store_true", help="also the probability of each class")
    outputs.add_force(predict)
    predict.add_argument("--json", action="store_true", help="print JSON")
    add_argument(
        evaluate,
        "--target",
        completer=completion.columns,
        metavar="COLUMN",
        help="default: the one the model was trained for",
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")


def inputs(stored, frame, path, decimal):
    """Return what the model takes for the rows of a table; notes say what is new in them."""
    prepare, _ = store.parts(stored)
    chosen, known = preparing.readings_of(stored), preparing.known_texts(prepare)
    missing = [name for name in chosen if name not in frame]
    if missing:
        others = [name for name in frame.columns if name not in chosen]
        raise ValueError(
            f"{path} lacks columns that the model was trained on: {tables.listed(missing)}. "
            f"Its columns that the model does not know: {tables.listed(others) or 'none'}"
        )
    if decimal:
        chosen = {name: reading.with_decimal(decimal) for name, reading in chosen.items()}
    features = columns.prepare(frame, chosen, path, known)
    for name, reading in chosen.items():
        made = {key: features[key].to_numpy() for key in readings.names(name, reading)}
        for text in readings.surprises(frame[name], reading, made, known):
            note(f"warning: {text}")
    return preparing.transform(prepare, features, path)


def predict_rows(options):
    """Predict for the rows of a table and write the predictions."""
    if options.output:
        is_ours = functools.partial(outputs.is_table, identifier=options.id)
        written = Output("the predictions", options.output, "--output", is_ours)
        outputs.check([written], [options.model, options.data], options.force)
    stored = store.load(options.model)
    _, model = store.parts(stored)
    if options.proba and not hasattr(model, "classes_"):
        raise ValueError("--proba requires a classifier, but this model is a regressor")
    name = tables.shown(options.data)
    status(f"reading {name} ...")
    frame = tables.read(options.data, tables.form(options))
    predicted = {}
    if options.id is not None:
        predicted[options.id] = tables.column(frame, options.id, name)
    status("predicting ...")
    X = inputs(stored, frame, name, options.decimal)
    results = {"prediction": problems.predict(model, X, log_target(stored))}
    if options.proba:
        probabilities = model.predict_proba(X).T
        for label, column in zip(model.classes_, probabilities, strict=True):
            results[f"probability_{label}"] = column
    if options.id in results:
        raise ValueError(f"--id {options.id}: a column of the predictions has this name; rename it")
    frame = pandas().DataFrame(predicted | results)
    status("")
    if options.output:
        tables.write(frame, options.output)
        if options.json:
            print(json.dumps({"rows": len(frame), "output": str(options.output)}))
        else:
            print(f"{len(frame)} predictions: {options.output}")
    elif options.json:
        cells = frame.astype(object).where(frame.notna(), None)  # JSON has no NaN
        print(json.dumps(cells.to_dict("list"), indent=2, default=str))
    else:
        if sys.stdout is None:
            raise OSError("standard output is closed; name a file with --output")
        _check_encoding(frame, getattr(sys.stdout, "encoding", None) or "utf-8")
        frame.to_csv(sys.stdout, index=False, lineterminator="\n")
    return 0


def _check_encoding(frame, encoding):
    """Raise ValueError unless an encoding has all characters of the predictions."""
    if encoding.lower() in ("utf-8", "utf8"):
        return
    text = frame.to_csv(index=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"standard output is in {encoding}, which lacks {text[error.start]!a}; name a file "
            "with --output, or set the environment variable PYTHONIOENCODING=utf-8"
        ) from None


def log_target(stored):
    """Return whether a model predicts the logarithm of its target."""
    return stored.notes.get("log_target") is True


def evaluate_rows(options):
    """Predict for rows with known targets and print the metrics."""
    stored = store.load(options.model)
    _, model = store.parts(stored)
    target = options.target or stored.notes.get("target")
    if not isinstance(target, str):
        raise ValueError("the model's file does not name its target; name it with --target")
    labels, path = getattr(model, "classes_", None), tables.shown(options.data)
    frame = tables.read(options.data, tables.form(options))
    series = tables.column(frame, target, path)
    reading = _target_reading(stored, labels, options.decimal)
    given = readings.given(series, reading)
    if not given.any():
        raise ValueError(f"{path} has no value of {target!r} in any row")
    if not given.all():
        note(f"{len(given) - given.sum()} of {len(given)} rows have no {target!r} and are left out")
        frame = frame[given]
    y = problems.known(frame[target], reading, path, labels)
    X = inputs(stored, frame, path, options.decimal)
    task = "regression" if labels is None else "classification"
    report = {
        "rows": len(y),
        "target": target,
        "task": task,
        "metrics": {
            "model": metrics.of_model(model, X, y, log_target(stored)),
            "baseline": metrics.of_baseline(metrics.baseline(task, y), y),
        },
    }
    if labels is not None:
        report["confusion"] = metrics.confusion(labels, model.predict(X), y)
        report["classes"] = labels.tolist()
    if options.json:
        print(json.dumps(report, indent=2))
        return 0
    print(printable(f"{path}: {len(y)} rows, target {target}") + "\n")
    print(metrics.table(report["metrics"]))
    if report.get("confusion"):
        print("\n" + metrics.confusion_table(labels, report["confusion"]))
    if labels is not None and len(np.unique(y)) < len(labels):
        note("not all classes occur in this table, so there is no ROC AUC")
    return 0


def _target_reading(stored, labels, decimal):
    """Return how the target is read; models of earlier versions do not say it."""
    document = stored.notes.get("target_reading")
    if isinstance(document, dict):
        with file.named(stored.path):
            reading = readings.from_json(str(stored.notes.get("target")), document)
    else:
        texts = labels is not None and labels.dtype.kind == "U"
        reading = readings.Reading("category" if texts else "number")
    return reading.with_decimal(decimal) if decimal else reading

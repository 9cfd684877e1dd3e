"""The commands `predict` and `evaluate`, which apply a saved model to new rows."""

import json
import sys
from pathlib import Path

import numpy as np

from . import columns, metrics, outputs, problems, store, tables
from .options import add_command, note
from .outputs import Output

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
        command.add_argument("model", type=Path, metavar="MODEL", help="a file of fastbp train")
        command.add_argument(
            "data", type=tables.data_path, metavar="DATA", help=".csv, .tsv, .parquet or .npz"
        )
    predict.add_argument(
        "--output",
        type=tables.output_path,
        metavar="FILE",
        help="a .csv or .parquet file to write (default: CSV on standard output)",
    )
    predict.add_argument("--proba", action="store_true", help="also the probability of each class")
    outputs.add_force(predict)
    predict.add_argument("--json", action="store_true", help="print JSON")
    evaluate.add_argument(
        "--target", metavar="COLUMN", help="default: the one the model was trained for"
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")


def _inputs(prepare, frame, path):
    """Return the network's inputs for the rows of a table."""
    chosen, known = columns.of_transformer(prepare), columns.known_texts(prepare)
    return prepare.transform(columns.prepare(frame, chosen, path, known))


def predict_rows(options):
    """Predict for the rows of a table and write the predictions."""
    if options.output:
        written = Output("the predictions", options.output, "--output", outputs.is_table)
        outputs.check([written], [options.model, options.data], options.force)
    stored = store.load(options.model)
    prepare, network = store.parts(stored)
    if options.proba and not hasattr(network, "classes_"):
        raise ValueError("--proba requires a classifier, but this model is a regressor")
    frame = tables.read(options.data, columns.known_texts(prepare))
    X = _inputs(prepare, frame, options.data)
    predicted = {"prediction": network.predict(X)}
    if options.proba:
        probabilities = network.predict_proba(X).T
        for label, column in zip(network.classes_, probabilities, strict=True):
            predicted[f"probability_{label}"] = column
    frame = tables.pandas().DataFrame(predicted)
    if options.output:
        tables.write(frame, options.output)
        if options.json:
            print(json.dumps({"rows": len(frame), "output": str(options.output)}))
        else:
            print(f"{len(frame)} predictions: {options.output}")
    elif options.json:
        print(json.dumps(frame.to_dict("list"), indent=2))
    else:
        frame.to_csv(sys.stdout, index=False, lineterminator="\n")
    return 0


def evaluate_rows(options):
    """Predict for rows with known targets and print the metrics."""
    stored = store.load(options.model)
    prepare, network = store.parts(stored)
    name = options.target or stored.notes.get("target")
    if not isinstance(name, str):
        raise ValueError("the model's file does not name its target; name it with --target")
    labels = getattr(network, "classes_", None)
    texts = list(columns.known_texts(prepare))
    if labels is not None and labels.dtype.kind == "U":
        texts.append(name)
    frame = tables.read(options.data, texts)
    y = problems.known(tables.column(frame, name, options.data), labels)
    X = _inputs(prepare, frame, options.data)
    task = "regression" if labels is None else "classification"
    report = {
        "rows": len(y),
        "target": name,
        "task": task,
        "metrics": {
            "model": metrics.of_model(network, X, y),
            "baseline": metrics.of_baseline(metrics.baseline(task, y), y),
        },
    }
    if labels is not None:
        report["confusion"] = metrics.confusion(labels, network.predict(X), y)
        report["classes"] = labels.tolist()
    if options.json:
        print(json.dumps(report, indent=2))
        return 0
    print(f"{options.data}: {len(y)} rows, target {name}\n")
    print(metrics.table(report["metrics"]))
    if report.get("confusion"):
        print("\n" + metrics.confusion_table(labels, report["confusion"]))
    if labels is not None and len(np.unique(y)) < len(labels):
        note("not all classes occur in this table, so there is no ROC AUC")
    return 0

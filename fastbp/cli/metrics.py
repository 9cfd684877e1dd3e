"""Metrics of a model and of a trivial baseline, as numbers and as text."""

import shutil
from typing import NamedTuple

import numpy as np

from .options import printable, shortened
from .problems import predict

# A confusion matrix is shown for at most this many classes.
MOST_CLASSES = 12
NAMES = {
    "accuracy": "accuracy",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "mse": "MSE",
    "mae": "MAE",
    "r2": "R²",
}


class Judged(NamedTuple):
    """The rows by which a model is judged.

    Attributes
    ----------
    name : {"test", "validation", "training"}
    X : ndarray of shape (n_rows, n_inputs)
    y : ndarray of shape (n_rows,)
    """

    name: str
    X: np.ndarray
    y: np.ndarray


def of_model(model, X, y, log_target=False):
    """Compute the metrics of a fitted classifier or regressor on some rows.

    Parameters
    ----------
    model : estimator
    X : array or DataFrame that the model accepts
    y : ndarray of shape (n_rows,)
    log_target : bool
        Whether a regressor predicts the logarithm of y.

    Returns
    -------
    dict of str to float or None
        None for metrics that are undefined for these rows, such as R² of a constant y.
    """
    from sklearn.base import is_classifier

    if is_classifier(model):
        return _of_classes(model.classes_, model.predict(X), model.predict_proba(X), y)
    return _of_numbers(predict(model, X, log_target), y)


def _of_classes(labels, predicted, probabilities, y):
    from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

    probabilities = np.asarray(probabilities, np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)  # float32 sums are not exactly 1
    if len(labels) == 1:  # the baseline on rows of one class is always right
        return {"accuracy": 1.0, "log_loss": 0.0, "roc_auc": None}
    area = None
    if len(np.unique(y)) == len(labels):
        if len(labels) == 2:
            area = roc_auc_score(y, probabilities[:, 1])
        else:
            area = roc_auc_score(y, probabilities, multi_class="ovr", labels=labels)
    return {
        "accuracy": float(accuracy_score(y, predicted)),
        "log_loss": float(log_loss(y, probabilities, labels=labels)),
        "roc_auc": None if area is None else float(area),
    }


def _of_numbers(predicted, y):
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    defined = len(y) > 1 and np.ptp(y) > 0
    return {
        "mse": float(mean_squared_error(y, predicted)),
        "mae": float(mean_absolute_error(y, predicted)),
        "r2": float(r2_score(y, predicted)) if defined else None,
    }


def baseline(task, y):
    """Return a fitted model that ignores features: it predicts class frequencies, or the mean."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    dummy = DummyClassifier() if task == "classification" else DummyRegressor()
    return dummy.fit(np.zeros((len(y), 1)), y)


def of_baseline(dummy, y):
    """Compute the metrics of the baseline for these targets."""
    return of_model(dummy, np.zeros((len(y), 1)), y)


def confusion(labels, predicted, y):
    """Return counts by true class (rows) and predicted class (columns); None for many classes."""
    from sklearn.metrics import confusion_matrix

    if len(labels) > MOST_CLASSES:
        return None
    return confusion_matrix(y, predicted, labels=labels).tolist()


def figure(value):
    """Format a number with about four digits, None as a dash."""
    if value is None:
        return "-"
    return f"{value:.4f}" if 1e-3 <= abs(value) < 10 or value == 0 else f"{value:.4g}"


def table(columns):
    """Format metrics as a table with one column for each heading.

    Parameters
    ----------
    columns : dict of str to dict
        Heading -> metrics.

    Returns
    -------
    str
    """
    keys = list(next(iter(columns.values())))
    rows = [["", *columns]]
    rows += [[NAMES[key], *(figure(part[key]) for part in columns.values())] for key in keys]
    return aligned(rows)


def confusion_table(labels, counts):
    """Format a confusion matrix as text, with a line for each true class."""
    names = [printable(shortened(label)) for label in labels]
    rows = [["true \\ predicted", *names]]
    rows += [[name, *map(str, line)] for name, line in zip(names, counts, strict=True)]
    text = aligned(rows)
    if max(map(len, text.splitlines())) < shutil.get_terminal_size().columns:
        return text
    rows[0] = ["true \\ pred.", *(f"[{j}]" for j in range(len(names)))]
    for j, row in enumerate(rows[1:]):
        row[0] = f"[{j}] {row[0]}"
    return aligned(rows)


def aligned(rows):
    """Format rows as a table: the first column aligned left, the others right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)

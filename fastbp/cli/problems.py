"""Decides between classification and regression, prepares targets and splits the rows."""

from typing import NamedTuple

import numpy as np

from . import readings
from .numerals import TRUTH
from .tables import as_known, listed

# Whole numbers with at most this many distinct values count as classes.
FEW_VALUES = 20
# ... if there are on average at least this many rows of each.
FEWEST_OF_A_VALUE = 5
FEWEST_ROWS = 10
# Up to here, float64 represents all whole numbers exactly, and no other number is rounded to one.
EXACT = 2**53 - 1
# The largest targets of a regression are between these, so that float32 has them and their errors.
SMALLEST, LARGEST = 1e-30, 1e37
TASKS = ("classification", "regression")


class Problem(NamedTuple):
    """The target of a training.

    Attributes
    ----------
    target : str
        Name of the column.
    task : {"classification", "regression"}
    y : ndarray of shape (n_rows,)
        Classes as text or int64, or float64 values.
    why : str
        The reason for choosing the task.
    """

    target: str
    task: str
    y: np.ndarray
    why: str


def find(series, reading, path, task=None):
    """Find out which problem a target column poses.

    Parameters
    ----------
    series : Series
        Rows that have a value.
    reading : Reading
    path : str
        The table's file, for messages.
    task : {"classification", "regression"} or None
        None decides by the values.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        If the target cannot be learnt; the message gives the reason.
    """
    name, n = series.name, len(series)
    if n < FEWEST_ROWS:
        raise ValueError(
            f"the table has {n} rows with a target, but training needs at least {FEWEST_ROWS}"
        )
    if reading.kind == "date":
        raise ValueError(
            f"target {name!r} holds dates; replace them with numbers, such as days until then, or "
            "with classes"
        )
    texts, values = _is_text(series, reading), None
    if not texts:
        values = readings.numbers(series, reading, path)
    n_values = series.nunique() if values is None else len(np.unique(values))
    if n_values == 1:
        raise ValueError(
            f"target {name!r} is {str(series.iloc[0])!r} in every row, so there is nothing to learn"
        )
    guessed, why = _guess(values, n_values, n)
    if task is not None:
        why = "as asked for"
    task = task or guessed
    if task == "regression":
        y = _numbers(series, values, reading, path)
    else:
        y = _texts(series, reading) if texts else _classes(name, values)
    if task == "classification" and n_values > n / 2:
        raise ValueError(
            f"target {name!r} has {n_values} different values in {n} rows, too many for classes; "
            "is it a name or an identifier?"
        )
    return Problem(name, task, y, why)


def check_log(problem, index):
    """Raise ValueError unless all targets have a logarithm; `index` has the numbers of the rows."""
    if problem.task != "regression":
        raise ValueError(f"--log-target is for regression; target {problem.target!r} has classes")
    wrong = problem.y <= 0
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"--log-target needs targets above 0, but {problem.target!r} has {problem.y[row]:g} in "
            f"row {index[row] + 1}"
        )


def check_float32(problem):
    """Raise ValueError unless float32, in which the networks predict, tells the targets apart."""
    if problem.task != "regression":
        return
    largest, spread = np.abs(problem.y).max(), problem.y.std()
    if not SMALLEST <= largest <= LARGEST:
        raise ValueError(
            f"target {problem.target!r} has values up to {largest:g}, but must have some above "
            f"{SMALLEST:g} and none above {LARGEST:g}; multiply it by a power of ten"
        )
    step = float(np.spacing(np.float32(largest)))
    if spread < 10 * step:
        raise ValueError(
            f"target {problem.target!r} has values up to {largest:g}, but a standard deviation of "
            f"only {spread:g}, and float32, in which the network predicts, has steps of {step:g} "
            "there; subtract a constant, such as the mean, from the target"
        )


def predict(network, X, log_target):
    """Return the predictions of a network; of one trained on logarithms, in the target's units."""
    predicted = network.predict(X)
    if log_target:  # the exponential of larger numbers is infinite
        return np.exp(np.minimum(predicted.astype(np.float64), 700))
    return predicted


def reading_of(series, decided):
    """Return how a target is read; its rows with a question mark count as rows without one."""
    if decided.kind == "category" and (series.astype(str).str.strip() == "?").any():
        return decided._replace(missing=("?",))
    return decided


def _is_text(series, reading):
    """Return whether the values are names of classes, as truth values are, too."""
    if reading.kind == "category":
        return True
    truth = {"True", "False"} | {text for word in TRUTH for text in (word, word.upper())}
    return series.astype(str).str.strip().isin(truth).all()


def _guess(values, n_values, n):
    if values is None:
        return "classification", "values that are not numbers"
    if n_values * FEWEST_OF_A_VALUE > n:
        return "regression", f"numbers, {n_values} different ones in {n} rows"
    if n_values > FEW_VALUES:
        return "regression", f"numbers, {n_values} different ones"
    if (values % 1 == 0).all():
        return "classification", f"whole numbers, only {n_values} different ones"
    return "regression", "numbers with fractions"


def _texts(series, reading):
    """Return names of classes as an array of str."""
    made = readings.features(series, reading._replace(kind="category"), "")[series.name]
    if reading.kind != "category":
        made = [text.capitalize() for text in made.tolist()]
    return np.array(made, dtype=str)


def _classes(name, values):
    """Return whole numbers as int64 labels; raise ValueError if some are not whole."""
    if (values % 1 != 0).any():
        raise ValueError(
            f"target {name!r} has numbers with fractions, such as {values[values % 1 != 0][0]:g}, "
            "which cannot be classes; use --task regression"
        )
    if (large := np.abs(values) > EXACT).any():
        raise ValueError(
            f"target {name!r} has whole numbers such as {values[large][0]:.0f}, which are too "
            "large to be told apart exactly; as text they can be classes (train --categorical "
            f"{name})"
        )
    return values.astype(np.int64)


def _numbers(series, values, reading, path):
    """Return the values as float64; raise ValueError if they are not numbers."""
    if values is not None:
        return values
    try:
        return readings.numbers(series, _as_numbers(reading), path)
    except ValueError as error:
        raise ValueError(
            f"{error}: regression needs numbers; for classes use --task classification"
        ) from error


def _as_numbers(reading):
    """Return a reading of a target as numbers, which times of day, in hours, are already."""
    return reading if reading.kind == "clock" else reading._replace(kind="number")


def known(series, reading, path, labels):
    """Return the targets of a table, checked for the evaluation of a model.

    Parameters
    ----------
    series : Series
        Rows that have a value.
    reading : Reading
    path : str
        The table's file, for messages.
    labels : ndarray of shape (n_classes,) or None
        The model's classes; None for a regression.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    if labels is None:
        return readings.numbers(series, _as_numbers(reading), path)
    if labels.dtype.kind == "U":
        names = set(labels.tolist())
        texts = readings.features(series, reading._replace(kind="category"), path)[series.name]
        y = np.array([as_known(text, names) for text in texts.tolist()])
    else:
        y = _classes(series.name, readings.numbers(series, _as_numbers(reading), path))
    unknown = sorted(set(y.tolist()) - set(labels.tolist()))
    if unknown:
        raise ValueError(
            f"target {series.name!r} has classes that the model was not trained on: "
            f"{listed(unknown)}; it knows {listed(labels)}"
        )
    return y


class Parts(NamedTuple):
    """Indices of the rows for training, for early stopping (validation) and for the test."""

    training: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def used(self):
        """Return a dict of name to rows, without empty parts."""
        return {name: rows for name, rows in self._asdict().items() if len(rows)}


class Split(NamedTuple):
    """The parts of the rows, and sentences on what is special about them."""

    parts: Parts
    notes: list


def split(problem, validation, test, seed):
    """Draw the rows of each part, stratified by class.

    Rows of a class with too few of them for all parts are used for training only, unless most rows
    are of such classes. Each class has a row for training.

    Parameters
    ----------
    problem : Problem
    validation, test : float
        Shares of all rows; their sum must be below 1. The rest is for training.
    seed : int

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        If the table has too few rows.
    """
    y, n_parts, notes = problem.y, 1 + (validation > 0) + (test > 0), []
    rows = others = np.arange(len(y))
    if problem.task == "classification":
        labels, counts = np.unique(y, return_counts=True)
        rare = counts < 2 * n_parts
        # Where most rows are of such classes, they are held out at random.
        if n_parts > 1 and 0 < counts[rare].sum() <= len(y) / 2:
            others, rows = rows[np.isin(y, labels[rare])], rows[~np.isin(y, labels[rare])]
            named = [f"{a} ({b})" for a, b in zip(labels[rare], counts[rare], strict=True)]
            notes.append(
                f"classes with fewer than {2 * n_parts} rows are used for training only, so that "
                f"no figure tells how well they are predicted: {listed(named)}"
            )
        else:
            others = rows[:0]
    else:
        others = rows[:0]
    shares, held_out = {"test": test, "validation": validation}, {}
    for name, share in shares.items():
        size = max(1, round(share * len(y))) if share > 0 else 0
        rows, held_out[name] = _hold_out(problem, rows, size, seed, notes)
    rows = np.concatenate([rows, others]) if len(others) else rows
    return Split(Parts(rows, held_out["validation"], held_out["test"]), notes)


def _hold_out(problem, rows, size, seed, notes):
    """Divide rows in two parts, the second of them of the given size."""
    from sklearn.model_selection import train_test_split

    if not size:
        return rows, rows[:0]
    y = problem.y
    if size >= len(rows):
        raise ValueError(
            f"target {problem.target!r}: of {len(y)} rows, {len(rows)} are of classes with enough "
            f"rows, too few to hold out {size}; decrease --validation or --test, set them to 0, or "
            "join classes"
        )
    strata = y[rows] if problem.task == "classification" else None
    labels, first, counts = np.unique(
        y[:0] if strata is None else strata, return_index=True, return_counts=True
    )
    n_classes = len(labels)
    if n_classes > min(size, len(rows) - size) or (counts < 2).any():
        note = f"{n_classes} classes are too many for {size} rows, which are drawn at random"
        notes += [note] * (note not in notes)
        # One row of each class stays for the training.
        rest = np.setdiff1d(rows, rows[first])
        if size > len(rest):
            raise ValueError(
                f"{len(y)} rows of {n_classes} classes are too few to hold out {size}; decrease "
                "--validation or --test, or set them to 0"
            )
        part = np.random.RandomState(seed).permutation(rest)[:size]
        return np.setdiff1d(rows, part), part
    rest, part = train_test_split(rows, test_size=size, random_state=seed, stratify=strata)
    return rest, part

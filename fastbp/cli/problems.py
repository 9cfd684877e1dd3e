"""Decides between classification and regression, prepares targets and splits the rows."""

from typing import NamedTuple

import numpy as np

from .tables import as_known, listed, pandas, refuse_nested

# Whole numbers with at most this many distinct values count as classes.
FEW_VALUES = 20
FEWEST_ROWS = 10
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


def find(series, task=None):
    """Find out which problem a target column poses.

    Parameters
    ----------
    series : Series
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
        raise ValueError(f"the table has {n} rows, but training needs at least {FEWEST_ROWS}")
    refuse_nested(series)
    _refuse_missing(series)
    n_values = series.nunique()
    if n_values == 1:
        raise ValueError(
            f"target {name!r} is {str(series.iloc[0])!r} in every row, so there is nothing to learn"
        )
    guessed, why = _guess(series, n_values)
    if task is not None:
        why = "as asked for"
    task = task or guessed
    y = classes(series) if task == "classification" else numbers(series)
    if task == "classification" and n_values > n / 2:
        raise ValueError(
            f"target {name!r} has {n_values} different values in {n} rows, too many for classes; "
            "is it a name or an identifier?"
        )
    return Problem(name, task, y, why)


def _refuse_missing(series):
    missing = series.isna().to_numpy()
    if missing.any():
        raise ValueError(
            f"target {series.name!r} has no value in {missing.sum()} of {len(series)} rows, the "
            f"first of them row {missing.argmax() + 1}; fill them in or remove these rows"
        )


def _guess(series, n_values):
    types = pandas().api.types
    if types.is_bool_dtype(series) or not types.is_numeric_dtype(series):
        return "classification", "values that are not numbers"
    if n_values > FEW_VALUES:
        return "regression", f"numbers, {n_values} different ones"
    if (series % 1 == 0).all():
        return "classification", f"whole numbers, only {n_values} different ones"
    return "regression", "numbers with fractions"


def classes(series):
    """Return labels of classes: int64 for whole numbers, text otherwise."""
    types = pandas().api.types
    if types.is_bool_dtype(series) or not types.is_numeric_dtype(series):
        return series.astype(str).to_numpy(dtype=str)
    values = series.to_numpy(dtype=np.float64)
    if (values % 1 != 0).any():
        raise ValueError(
            f"target {series.name!r} has numbers with fractions, such as "
            f"{values[values % 1 != 0][0]:g}, which cannot be classes; use --task regression"
        )
    return series.to_numpy(dtype=np.int64)


def numbers(series):
    """Return values as float64; raise ValueError if some are not finite numbers."""
    pd = pandas()
    values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values)))
        raise ValueError(
            f"target {series.name!r} has {str(series.iloc[row])!r} in row {row + 1}, where "
            "regression needs a number; for classes use --task classification"
        )
    return values


def known(series, labels):
    """Return the targets of a table, checked for the evaluation of a model.

    Parameters
    ----------
    series : Series
    labels : ndarray of shape (n_classes,) or None
        The model's classes; None for a regression.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    _refuse_missing(series)
    if labels is None:
        return numbers(series)
    y = classes(series)
    if labels.dtype.kind == "U":
        names = set(labels.tolist())
        y = np.array([as_known(text, names) for text in y.astype(str).tolist()])
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


def split(problem, validation, test, seed):
    """Draw the rows of each part, stratified by class.

    Parameters
    ----------
    problem : Problem
    validation, test : float
        Shares of all rows; their sum must be below 1. The rest is for training.
    seed : int

    Returns
    -------
    Parts

    Raises
    ------
    ValueError
        If a class has too few rows, or the table does.
    """
    from sklearn.model_selection import train_test_split

    y = problem.y
    strata = y if problem.task == "classification" else None
    n_parts = 1 + (validation > 0) + (test > 0)
    if strata is not None:
        labels, counts = np.unique(y, return_counts=True)
        rare = [f"{a} ({b})" for a, b in zip(labels, counts, strict=True) if b < 2 * n_parts]
        if rare:
            raise ValueError(
                f"classes of target {problem.target!r} with too few rows to be split into "
                f"{n_parts} parts: {listed(rare)}; {2 * n_parts} rows each are needed. Remove "
                "these rows, join classes, or set --test 0"
            )
    rows, others = np.arange(len(y)), []
    for share in (test, validation):
        part = rows[:0]
        if share > 0:
            size = max(1, round(share * len(y)))
            try:
                rows, part = train_test_split(
                    rows,
                    test_size=size,
                    random_state=seed,
                    stratify=None if strata is None else strata[rows],
                )
            except ValueError as error:
                raise ValueError(
                    f"{len(y)} rows cannot be split so that {size} are held out: {error}"
                ) from error
        others.append(part)
    if strata is not None and len(np.unique(y[rows])) < len(labels):
        raise ValueError("a class has no row left for training; decrease --validation or --test")
    return Parts(rows, others[1], others[0])

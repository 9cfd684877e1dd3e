"""Importance of columns: how much worse predictions become when a column is shuffled."""

from typing import NamedTuple

import numpy as np

from .problems import predict

REPEATS = 5
# More rows than this are not needed to rank columns.
MOST_ROWS = 2000


class Importance(NamedTuple):
    """The importance of a column.

    Attributes
    ----------
    column : str
    mean, spread : float
        Mean and standard deviation of the increase of the error, over a few shuffles.
    """

    column: str
    mean: float
    spread: float


def by_permutation(model, X, y, columns, log_target, seed):
    """Compute the importance of columns by permutation (Breiman, 2001).

    The error is the share of wrong predictions for classes, and the root of the mean squared
    error for numbers.

    Parameters
    ----------
    model : fitted estimator
    X : ndarray or DataFrame of shape (n_rows, n_inputs)
        As the model takes it.
    y : ndarray of shape (n_rows,)
    columns : list of str
        The column of the table that each input comes from.
    log_target : bool
    seed : int

    Returns
    -------
    list of Importance
        The most important column first.
    """
    from sklearn.utils import _safe_indexing

    random = np.random.RandomState(seed)
    rows = np.sort(random.permutation(len(y))[:MOST_ROWS])
    X, y, columns = _safe_indexing(X, rows), y[rows], np.array(columns)
    before, found = _error(model, X, y, log_target), []
    for name in dict.fromkeys(columns.tolist()):
        inputs, errors = np.flatnonzero(columns == name), []
        for _ in range(REPEATS):
            shuffled, order = X.copy(), random.permutation(len(y))
            if isinstance(X, np.ndarray):
                shuffled[:, inputs] = X[order][:, inputs]
            else:
                for j in inputs:
                    shuffled.isetitem(j, X.iloc[order, j].to_numpy())
            errors.append(_error(model, shuffled, y, log_target) - before)
        found.append(Importance(name, float(np.mean(errors)), float(np.std(errors))))
    return sorted(found, key=lambda each: -each.mean)


def _error(model, X, y, log_target):
    predicted = predict(model, X, log_target)
    if hasattr(model, "classes_"):
        return np.mean(predicted != y)
    return np.sqrt(np.mean((predicted - y) ** 2))

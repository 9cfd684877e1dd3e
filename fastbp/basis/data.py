"""Checked samples, in the form that the backends take."""

from typing import Any, NamedTuple

import numpy as np


class Data(NamedTuple):
    """Checked samples as the backends take them, see backends/interface.py.

    Attributes
    ----------
    X : real array of shape (n, n_0) or SparseRows
    labels : int64 array of shape (n,) or (0,)
        Class numbers, or empty if there are `targets`.
    targets : real array of shape (n, n_t) or (0, n_t)
        Target values, or empty if there are `labels`. n_t is n_m, or 1 for distributions.
    sample_weight : real array of shape (n,) or (0,)
        Sample weights; empty means 1 for every sample.
    """

    X: Any  # an ndarray or SparseRows
    labels: np.ndarray
    targets: np.ndarray
    sample_weight: np.ndarray

    def with_weight(self):
        """The samples whose weight is not 0, for computations without batches."""
        if self.sample_weight.all():
            return self
        kept = self.sample_weight > 0
        return Data(*(array[kept] if len(array) else array for array in self))

    def rows(self, rows):
        """Some of the samples, by a slice or by their numbers."""
        return Data(*(array[rows] if len(array) else array for array in self))

    def arrays(self):
        """The arrays that hold the samples."""
        X, *others = self
        return [X, *others] if isinstance(X, np.ndarray) else [*X.arrays(), *others]

    def batches(self, size):
        """The samples in parts of `size` rows; the last may have fewer."""
        return (self.rows(slice(i, i + size)) for i in range(0, len(self.X), size))

    def total_weight(self):
        """Σ w, in double precision."""
        weight = self.sample_weight
        return float(weight.sum(dtype=np.float64)) if weight.size else float(len(self.X))

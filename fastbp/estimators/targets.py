"""Standardised targets, and a last layer whose outputs are in the units of y again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from sklearn.preprocessing import StandardScaler

SMALLEST = np.finfo(np.float64).smallest_subnormal


class TargetScale(NamedTuple):
    """Means and standard deviations of targets.

    Attributes
    ----------
    mean, deviation : float64 array of shape (n_outputs,)
        The deviation of a constant column is 1.
    """

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, y, weight=None):
        """The scale of targets of shape (n, n_outputs) whose samples have weights, if any."""
        if weight is not None and not weight.any():
            weight = None  # such a fit has no gradient; it only needs finite numbers
        if weight is not None:
            weight = near_one(np.asarray(weight, np.float64))[0]
        y, exponent = near_one(np.asarray(y, np.float64))
        with np.errstate(all="ignore"):
            scaler = StandardScaler().fit(y, sample_weight=weight)
        mean, deviation = scaler.mean_, scaler.scale_
        if not (np.isfinite(mean).all() and (deviation > 0).all()):
            raise ValueError(
                "normalize_y=True needs the weighted mean and the weighted standard deviation of "
                "y, which do not exist for these sample weights; pass weights of at least 0"
            )
        # StandardScaler has 1 for constant columns. Other ones, between -1 and 1, have less.
        deviation = np.where(deviation == 1, 1.0, np.ldexp(deviation, exponent))
        return cls(np.ldexp(mean, exponent), np.maximum(deviation, SMALLEST))

    def apply(self, y):
        """Targets with mean 0 and standard deviation 1, in float64."""
        return (y - self.mean) / self.deviation


def near_one(columns):
    """Columns divided by powers of two, so that squares neither overflow nor vanish, and these.

    Such a division is exact, so the results have the same bits as without it.
    """
    exponent = np.frexp(np.abs(columns).max(axis=0))[1]
    return np.ldexp(columns, -exponent), exponent


class StandardisedLayer:
    """A last layer that is one for standardised targets for the time of a training.

    Its outputs s are in units of y as ``factors * s + offsets``. Weights and biases that the
    training does not change get back the same bits.

    Parameters
    ----------
    factors, offsets : ndarray of shape (n_m,)
    """

    def __init__(self, factors, offsets):
        self.factors, self.offsets = factors, offsets
        self._pairs = None  # each array before and after `enter`

    def enter(self, weights, biases):
        """Turn a layer in units of y into one for standardised targets, in place."""
        before = weights.copy(), biases.copy()
        weights /= self.factors
        biases -= self.offsets
        biases /= self.factors
        self._pairs = tuple(zip(before, (weights.copy(), biases.copy()), strict=True))

    def leave(self, weights, biases):
        """Turn it back, in place."""
        made = weights * self.factors, biases * self.factors + self.offsets
        for k, (array, new) in enumerate(zip((weights, biases), made, strict=True)):
            if self._pairs is not None:
                before, entered = self._pairs[k]
                new = np.where(array == entered, before, new)
            array[...] = new

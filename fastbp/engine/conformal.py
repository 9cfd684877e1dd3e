"""Split conformal prediction: how wide intervals must be, from the errors of held-out samples."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from ..basis import checks


class Calibration:
    """The scores of held-out samples, from which intervals take their width.

    A score says how far a value lies from its prediction, see the forecasts in forecasts.py.

    Parameters
    ----------
    scores : ndarray of shape (n_kinds, n_samples)
        One row for each output, or for each pair of quantiles.
    fingerprint : bytes
        Of the model that made the predictions.

    Attributes
    ----------
    scores : ndarray of shape (n_kinds, n_samples)
        Each row sorted.
    """

    def __init__(self, scores, fingerprint):
        self.scores = np.sort(np.ascontiguousarray(scores), axis=1)  # files have rows in C order
        self.fingerprint = fingerprint

    def score_for(self, coverage):
        """The score that a new sample's does not exceed with probability `coverage`, of each kind.

        It is the k-th smallest of the n scores, k = ⌈(n + 1) coverage⌉.
        """
        n = self.scores.shape[1]
        k = rank(n, coverage)
        if k > n:
            raise ValueError(
                f"coverage={coverage} needs at least {fewest(coverage)} samples in calibrate, but "
                f"there were {n}: from so few, only an interval without bounds is sure to cover; "
                "calibrate with more samples, or ask for less coverage"
            )
        return self.scores[:, k - 1]


def rank(n, coverage):
    """⌈(n + 1) coverage⌉, with the coverage as the decimal number that it is written as."""
    return math.ceil((n + 1) * _decimal(coverage))


def fewest(coverage):
    """The smallest n with ⌈(n + 1) coverage⌉ ≤ n."""
    share = _decimal(coverage)
    return math.ceil(share / (1 - share))


def _decimal(coverage):
    # In binary 0.07 is a little more than 7/100, so that (99 + 1) * 0.07 is more than 7.
    return Fraction(repr(coverage))


def check_coverage(coverage):
    """Return a coverage as a float in (0, 1)."""
    value = checks.number("coverage", coverage)
    if not 0 < value < 1:
        hint = f"; for {value:g} % pass {value / 100:g}" if 1 < value < 100 else ""
        raise ValueError(
            "coverage must lie between 0 and 1, the share of new values that intervals shall hold, "
            f"got {coverage!r}{hint}"
        )
    return value


def check_quantiles(quantiles):
    """Return quantiles as a vector of numbers in [0, 1]."""
    try:
        values = np.asarray(quantiles, dtype=float)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"quantiles must be a list of numbers in [0, 1], got {quantiles!r}")
    return values

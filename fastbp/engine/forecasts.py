"""Forecasts: what a model says about the values of some samples, and how uncertain it is.

A forecast gives standard deviations, quantiles, and what split conformal prediction needs: scores
of known values, and intervals of the values whose scores are at most as large.
"""

from __future__ import annotations

import numpy as np

# Halvings of the interval in which a mixture's quantile lies; there are fewer unless it is near 0.
HALVINGS = 200
SMALLEST = np.finfo(np.float64).tiny
NO_SPREAD = (
    "the model predicts single values, so it has no {what}: use a loss that is a distribution, "
    "such as loss='gaussian' of MLPRegressor, or an MLPEnsembleRegressor, whose members disagree; "
    "for intervals alone, predict_interval serves every loss, after calibrate"
)


class Points:
    """Single values, with nothing about their spread.

    Parameters
    ----------
    center : ndarray of shape (n_samples, n_outputs)
        The predictions.
    """

    def __init__(self, center):
        self.center = np.asarray(center, np.float64)

    @property
    def n_kinds(self):
        """How many kinds of scores there are."""
        return self.center.shape[1]

    def std(self):
        """The standard deviations, of the shape of `center`."""
        raise ValueError(NO_SPREAD.format(what="standard deviation"))

    def quantiles(self, q):
        """Quantiles, of shape (n_samples, len(q), n_outputs)."""
        raise ValueError(NO_SPREAD.format(what="quantiles"))

    def scores(self, y):
        """The distances |y - center| of values, of shape (n_kinds, n_samples)."""
        return np.abs(y - self.center).T

    def interval(self, scores, coverage):
        """The lowest and the highest values whose scores are at most `scores`, one of each kind.

        `coverage` is what the interval is for.
        """
        return self.center - scores, self.center + scores


class Members(Points):
    """Single values of an ensemble's members, which disagree.

    Parameters
    ----------
    forecasts : list of Points
    """

    def __init__(self, forecasts):
        self.members = np.stack([forecast.center for forecast in forecasts])
        super().__init__(self.members.mean(axis=0))

    def std(self):
        return self.members.std(axis=0)

    def quantiles(self, q):
        return np.moveaxis(np.quantile(self.members, q, axis=0), 0, 1)


class Distributions(Points):
    """A distribution for each sample: that of a network's loss, or an ensemble's mixture of these.

    Parameters
    ----------
    parts : list of (Distribution, ndarray)
        For each member its loss's distribution and the raw outputs, of shape (n_samples, n_m).
    """

    def __init__(self, parts):
        self.parts = parts
        self._centers = np.stack([distribution.center(s) for distribution, s in parts])
        super().__init__(self._centers.mean(axis=0)[:, None])

    def std(self):
        """The law of total variance: the mean of variances plus the variance of means."""
        own = np.stack([distribution.std(s) for distribution, s in self.parts])
        variance = (own**2).mean(axis=0) + self._centers.var(axis=0)
        if not np.isfinite(variance).all():
            raise ValueError(
                "the predicted distributions have no finite standard deviation (student_t has one "
                "for loss_parameter above 2); use predict_quantiles"
            )
        return np.sqrt(variance)[:, None]

    def quantiles(self, q):
        if ((q == 0) | (q == 1)).any():
            raise ValueError(
                "quantiles of a predicted distribution must lie between 0 and 1, which themselves "
                f"are without bounds, got {q.tolist()}"
            )
        if len(self.parts) == 1:
            ((distribution, s),) = self.parts
            return distribution.quantiles(s, q)[:, :, None]
        return self._of_mixture(q)[:, :, None]

    def _of_mixture(self, q):
        """The smallest numbers at which the mixture's distribution function is at least q.

        They lie between the smallest and the largest of the parts' own quantiles, and are found by
        bisection, for all rows and quantiles at once.
        """
        own = np.stack([distribution.quantiles(s, q).ravel() for distribution, s in self.parts])
        parts = [(distribution, s.repeat(len(q), axis=0)) for distribution, s in self.parts]
        wanted = np.tile(q, len(self.center))
        low, high = own.min(axis=0), own.max(axis=0)
        high = np.where(_cdf(parts, low) >= wanted, low, high)
        for _ in range(HALVINGS):
            middle = low + (high - low) / 2
            inside = (low < middle) & (middle < high)
            if not inside.any():
                break
            enough = _cdf(parts, middle) >= wanted
            high = np.where(inside & enough, middle, high)
            low = np.where(inside & ~enough, middle, low)
        return high.reshape(-1, len(q))

    def scores(self, y):
        """The distances in standard deviations, |y - center| / σ, of shape (1, n_samples)."""
        return (np.abs(y - self.center) / self._scale()).T

    def interval(self, scores, coverage):
        reach = scores * self._scale()
        return self.center - reach, self.center + reach

    def _scale(self):
        return np.maximum(self.std(), SMALLEST)


class Levels(Points):
    """Some quantiles for each sample: those of a network's list, or their means over an ensemble.

    Parameters
    ----------
    parts : list of (Distribution, ndarray)
        As for `Distributions`.
    levels : tuple of float
        The list of quantiles, in rising order.
    """

    def __init__(self, parts, levels):
        self.parts, self.levels = parts, levels
        super().__init__(np.mean([d.center(s) for d, s in parts], axis=0)[:, None])

    @property
    def n_kinds(self):
        return max(len(self.levels) // 2, 1)

    def std(self):
        return self.parts[0][0].std(self.parts[0][1])  # raises an error with advice

    def quantiles(self, q):
        return np.mean([d.quantiles(s, q) for d, s in self.parts], axis=0)[:, :, None]

    def _pairs(self):
        """The outermost pair of quantiles, the next, and so on: (lower, upper), (n, n_kinds)."""
        own = self.quantiles(np.asarray(self.levels))[:, :, 0]
        n = self.n_kinds
        return own[:, :n], own[:, ::-1][:, :n]

    def scores(self, y):
        """How far values lie outside of each pair, max(l - y, y - u); negative if inside."""
        low, high = self._pairs()
        return np.maximum(low - y, y - high).T

    def interval(self, scores, coverage):
        """Move the bounds of one pair, that for the coverage which is nearest to the given one."""
        levels, n = np.asarray(self.levels), self.n_kinds
        k = int(np.argmin(np.abs(levels[::-1][:n] - levels[:n] - coverage)))
        low, high = (bound[:, k : k + 1] for bound in self._pairs())
        low, high = low - scores[k], high + scores[k]
        crossed, middle = low > high, low + (high - low) / 2  # no value has so small a score
        return np.where(crossed, middle, low), np.where(crossed, middle, high)


def _cdf(parts, y):
    """The distribution function of a mixture at one number for each row."""
    return sum(distribution.cdf(s, y) for distribution, s in parts) / len(parts)


def forecast(engine, outputs):
    """The forecast of a network with raw outputs h_m, of shape (n_samples, n_m)."""
    distribution = engine.distribution
    if distribution is None:
        return Points(outputs)
    parts = [(distribution, outputs)]
    levels = engine.loss_parameter if engine.loss_name == "quantile" else None
    return Distributions(parts) if levels is None else Levels(parts, levels)


def mixture(forecasts):
    """The forecast of an ensemble whose members make these."""
    kinds = {type(forecast) for forecast in forecasts}
    levels = {forecast.levels for forecast in forecasts if isinstance(forecast, Levels)}
    if len(kinds) > 1 or len(levels) > 1:
        raise ValueError(
            "members with different losses make no common forecast; fit the ensemble again"
        )
    if kinds == {Points}:
        return Members(forecasts)
    parts = [part for forecast in forecasts for part in forecast.parts]
    return Levels(parts, *levels) if levels else Distributions(parts)

"""The distributions that losses imply: mean, standard deviation, quantiles and cdf of raw outputs.

A loss such as "gaussian" is the negative log likelihood of a target y, and the network's outputs
s = s_m are the parameters of its distribution. A `Distribution` maps them on what users ask for. It
computes in float64, a row of s at a time, and SciPy does the work.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

# The largest exponent of exp for scales: their squares and products stay finite.
LARGEST = 340.0
# The largest 1 / dispersion: beyond, the negative binomial distribution is a Poisson distribution.
LARGEST_SHAPE = 1e12
# Halvings of the interval in which a mixture's quantile lies: more than float64 has bits.
HALVINGS = 80


def positive(log_scale):
    """exp(log_scale), positive and finite."""
    return np.exp(np.clip(log_scale, -LARGEST, LARGEST))


class Family(NamedTuple):
    """One loss's distributions, as functions of s (float64, of shape (n, n_m)) and its parameter.

    Attributes
    ----------
    n_outputs : callable
        n_m, as a function of the parameter.
    center, mean, std : callable
        ``f(s, parameter)``, of shape (n,). `center` is what ``predict`` returns.
    quantiles : callable
        ``f(s, parameter, levels)``, of shape (n, n_levels).
    cdf : callable
        ``f(s, parameter, y)``, of shape (n,): P(Y ≤ y) for one y a row.
    """

    n_outputs: Callable
    center: Callable
    mean: Callable
    std: Callable
    quantiles: Callable
    cdf: Callable


def _location_scale(frozen, scale, width):
    """The Family of a location s_0, a scale from s_1, and a standard distribution of SciPy's.

    ``frozen(parameter)`` makes the standard distribution; its deviation is `width(parameter)`.
    """

    def location(s, parameter):
        return s[:, 0]

    def mean(s, parameter):
        return s[:, 0] + frozen(parameter).mean()  # infinite or NaN where there is none

    def std(s, parameter):
        return scale(s[:, 1]) * width(parameter)

    def quantiles(s, parameter, levels):
        standard = frozen(parameter).ppf(levels)
        return s[:, :1] + scale(s[:, 1:]) * standard

    def cdf(s, parameter, y):
        return frozen(parameter).cdf((y - s[:, 0]) / scale(s[:, 1]))

    return Family(lambda parameter: 2, location, mean, std, quantiles, cdf)


def _standard(name, *, takes_parameter=False):
    def frozen(parameter):
        import scipy.stats

        return getattr(scipy.stats, name)(*((parameter,) if takes_parameter else ()))

    return frozen


def _from_variance(log_variance):
    return positive(log_variance / 2)


_norm, _t, _laplace = (
    _standard("norm"),
    _standard("t", takes_parameter=True),
    _standard("laplace"),
)
_GAUSSIAN = _location_scale(_norm, _from_variance, lambda _: 1.0)
_STUDENT_T = _location_scale(_t, positive, lambda nu: _t(nu).std())
_LAPLACE = _location_scale(_laplace, positive, lambda _: np.sqrt(2.0))


# Counts of mean m = exp(s_0) and dispersion α = exp(s_1): variance m + α m².


def _counts(s):
    """SciPy's distributions of the rows, as columns: r = 1/α successes of p = r / (r + m)."""
    import scipy.stats

    mean = positive(s[:, :1])
    shape = np.minimum(positive(-s[:, 1:]), LARGEST_SHAPE)
    return scipy.stats.nbinom(shape, shape / (shape + mean))


def _counts_mean(s, _):
    return positive(s[:, 0])


def _counts_std(s, _):
    mean = positive(s[:, 0])
    return np.sqrt(mean) * np.sqrt(1 + mean * positive(s[:, 1]))


_NEGATIVE_BINOMIAL = Family(
    lambda parameter: 2,
    _counts_mean,
    _counts_mean,
    _counts_std,
    lambda s, _, levels: _counts(s).ppf(levels),
    lambda s, _, y: _counts(s).cdf(y[:, None])[:, 0],
)


# Mixtures of K normal distributions: logits of the shares, means, and log standard deviations.


def mixture_parts(s, components):
    """Shares, means and standard deviations of the components, each of shape (n, K)."""
    logits, means, log_scales = np.split(s, 3, axis=1)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True), means, positive(log_scales)


def _mixture_mean(s, components):
    shares, means, _ = mixture_parts(s, components)
    return (shares * means).sum(axis=1)


def _mixture_std(s, components):
    shares, means, scales = mixture_parts(s, components)
    deviations = means - (shares * means).sum(axis=1, keepdims=True)
    return np.sqrt((shares * (scales**2 + deviations**2)).sum(axis=1))


def _mixture_cdf(s, components, y):
    from scipy.special import ndtr

    shares, means, scales = mixture_parts(s, components)
    return (shares * ndtr((y[:, None] - means) / scales)).sum(axis=1)


def _mixture_quantiles(s, components, levels):
    """By bisection, from the smallest to the largest of the components' quantiles."""
    from scipy.special import ndtr, ndtri

    shares, means, scales = (part[:, None] for part in mixture_parts(s, components))
    of_components = means + scales * ndtri(levels)[:, None]  # (n, n_levels, K)
    low, high = of_components.min(axis=2), of_components.max(axis=2)
    for _ in range(HALVINGS):
        middle = low + (high - low) / 2
        below = (shares * ndtr((middle[:, :, None] - means) / scales)).sum(axis=2) < levels
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return high


_MIXTURE = Family(
    lambda components: 3 * components,
    _mixture_mean,
    _mixture_mean,
    _mixture_std,
    _mixture_quantiles,
    _mixture_cdf,
)


# Several quantiles q_1 < q_2 < ...: the first is s_0, each further one softplus(s_j) above it.


def rising(s):
    """The quantiles of each row, of the shape of s; they never cross."""
    return np.concatenate([s[:, :1], np.logaddexp(0, s[:, 1:])], axis=1).cumsum(axis=1)


def _between(s, own, levels):
    """Quantiles between the network's own, by linear interpolation in the level."""
    own, found = np.asarray(own), rising(s)
    outside = (levels < own[0]) | (levels > own[-1])
    if outside.any():
        raise ValueError(
            f"the network has quantiles from {own[0]:g} to {own[-1]:g}, which do not tell the "
            f"quantile {levels[outside][0]:g}; list that in its loss_parameter"
        )
    right = np.clip(np.searchsorted(own, levels), 1, len(own) - 1)
    share = (levels - own[right - 1]) / (own[right] - own[right - 1])
    return (1 - share) * found[:, right - 1] + share * found[:, right]


def _middle(s, own):
    """The median, or the quantile nearest to it, if all of them lie on one side."""
    return _between(s, own, np.clip([0.5], own[0], own[-1]))[:, 0]


def _unknown(what):
    def refuse(s, own, *_):
        raise ValueError(
            f'a network with loss="quantile" gives some quantiles, which do not tell {what}; use a '
            'loss with a distribution, such as "gaussian"'
        )

    return refuse


_QUANTILES = Family(
    len,
    _middle,
    _unknown("the mean"),
    _unknown("the standard deviation"),
    _between,
    _unknown("the distribution function"),
)

FAMILIES = {
    "gaussian": _GAUSSIAN,
    "student_t": _STUDENT_T,
    "laplace": _LAPLACE,
    "negative_binomial": _NEGATIVE_BINOMIAL,
    "mixture_density": _MIXTURE,
    "quantile": _QUANTILES,
}


class Distribution:
    """The distributions of targets that a network's raw outputs s stand for, one a row.

    All methods take s = s_m, real of shape (n, n_m), and return float64.

    Parameters
    ----------
    loss : str
        A key of `FAMILIES`.
    parameter : float, int, tuple of float or None
        The loss's parameter: ν of student_t, K of mixture_density, the levels of quantile.
    """

    def __init__(self, loss, parameter):
        self._family, self._parameter = FAMILIES[loss], parameter

    @property
    def n_outputs(self):
        """n_m."""
        return self._family.n_outputs(self._parameter)

    def center(self, s):
        """What ``predict`` returns, of shape (n,): the mean, or the median of quantiles.

        For student_t it is the location, which is the mean if ν > 1.
        """
        return self._of(self._family.center, s)

    def mean(self, s):
        """The means, of shape (n,); infinite or NaN where there is none."""
        return self._of(self._family.mean, s)

    def std(self, s):
        """The standard deviations, of shape (n,); infinite or NaN where there is none."""
        return self._of(self._family.std, s)

    def quantiles(self, s, levels):
        """The quantiles at levels in (0, 1), of shape (n, n_levels)."""
        return self._of(self._family.quantiles, s, np.asarray(levels, np.float64))

    def cdf(self, s, y):
        """P(Y ≤ y) for one y a row, of shape (n,)."""
        return self._of(self._family.cdf, s, np.asarray(y, np.float64).reshape(len(s)))

    def _of(self, function, s, *more):
        with np.errstate(all="ignore"):
            return function(np.asarray(s, np.float64), self._parameter, *more)


def distribution_of(loss, parameter):
    """The Distribution of a loss with that parameter, None if it has none.

    quantile with a single level has none: it predicts one quantile, and no distribution.
    """
    if loss not in FAMILIES or (loss == "quantile" and not isinstance(parameter, tuple)):
        return None
    return Distribution(loss, parameter)

"""The distributions that losses imply: mean, standard deviation, quantiles and cdf of raw outputs.

A loss such as "gaussian" is the negative log likelihood of a target y, and the network's outputs
s = s_m are the parameters of its distribution. A `Distribution` maps them on what users ask for. It
computes in float64, a row of s at a time, and SciPy does the work.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..backends.numpy_.distributions import numbers_of_student_t
from ..basis import checks, spec

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
    slopes : callable
        ``f(s, parameter)``, ∂center/∂s, of the shape of s.
    quantiles : callable
        ``f(s, parameter, levels)``, of shape (n, n_levels).
    cdf : callable
        ``f(s, parameter, y)``, of shape (n,): P(Y ≤ y) for one y a row.
    begin : callable
        ``f(parameter)``: the outputs whose initial weights stay as they were drawn, as a slice, and
        the initial biases of all outputs.
    rescaled : callable or None
        ``f(parameter, mean, deviation)``: factors and offsets of the outputs that make of a
        distribution of y that of mean + deviation y. None if no such numbers do.
    """

    n_outputs: Callable
    center: Callable
    slopes: Callable
    mean: Callable
    std: Callable
    quantiles: Callable
    cdf: Callable
    begin: Callable
    rescaled: Callable | None = None


def _begin_location(parameter):
    """Scales begin as 1, of all samples."""
    return slice(0, 1), np.zeros(2)


def _location_scale(frozen, scale, width, power=1):
    """The Family of a location s_0, a scale from s_1, and a standard distribution of SciPy's.

    ``frozen(parameter)`` makes the standard distribution; its deviation is `width(parameter)`. The
    output s_1 is the logarithm of the scale's `power`.
    """

    def location(s, parameter):
        return s[:, 0]

    def slopes(s, parameter):
        return np.tile([1.0, 0.0], (len(s), 1))

    def mean(s, parameter):
        return s[:, 0] + frozen(parameter).mean()  # infinite or NaN where there is none

    def std(s, parameter):
        return scale(s[:, 1]) * width(parameter)

    def quantiles(s, parameter, levels):
        standard = frozen(parameter).ppf(levels)
        return s[:, :1] + scale(s[:, 1:]) * standard

    def cdf(s, parameter, y):
        return frozen(parameter).cdf((y - s[:, 0]) / scale(s[:, 1]))

    def rescaled(parameter, center, factor):
        return np.array([factor, 1.0]), np.array([center, power * np.log(factor)])

    return Family(
        lambda _: 2, location, slopes, mean, std, quantiles, cdf, _begin_location, rescaled
    )


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
_GAUSSIAN = _location_scale(_norm, _from_variance, lambda _: 1.0, power=2)
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


def _counts_slopes(s, _):
    return np.column_stack([positive(s[:, 0]), np.zeros(len(s))])


def _counts_std(s, _):
    mean = positive(s[:, 0])
    return np.sqrt(mean) * np.sqrt(1 + mean * positive(s[:, 1]))


_NEGATIVE_BINOMIAL = Family(
    lambda _: 2,
    _counts_mean,
    _counts_slopes,
    _counts_mean,
    _counts_std,
    lambda s, _, levels: _counts(s).ppf(levels),
    lambda s, _, y: _counts(s).cdf(y[:, None])[:, 0],
    _begin_location,
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


def _mixture_slopes(s, components):
    shares, means, scales = mixture_parts(s, components)
    deviations = means - (shares * means).sum(axis=1, keepdims=True)
    return np.concatenate([shares * deviations, shares, np.zeros_like(scales)], axis=1)


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


def _begin_mixture(components):
    """Equal shares of means that are spread like quantiles of the standard normal distribution."""
    from scipy.special import ndtri

    biases = np.zeros(3 * components)
    biases[components : 2 * components] = ndtri((np.arange(components) + 0.5) / components)
    return slice(components, 2 * components), biases


def _rescaled_mixture(components, center, factor):
    same, ones = np.zeros(components), np.ones(components)
    factors = np.concatenate([ones, factor * ones, ones])
    return factors, np.concatenate([same, center * ones, np.log(factor) * ones])


_MIXTURE = Family(
    lambda components: 3 * components,
    _mixture_mean,
    _mixture_slopes,
    _mixture_mean,
    _mixture_std,
    _mixture_quantiles,
    _mixture_cdf,
    _begin_mixture,
    _rescaled_mixture,
)


# Several quantiles q_1 < q_2 < ...: the first is s_0, each further one softplus(s_j) above it.


def rising(s):
    """The quantiles of each row, of the shape of s; they never cross."""
    return np.concatenate([s[:, :1], np.logaddexp(0, s[:, 1:])], axis=1).cumsum(axis=1)


def _neighbours(own, levels):
    """The numbers of the quantiles above the levels, and their shares of these."""
    outside = (levels < own[0]) | (levels > own[-1])
    if outside.any():
        raise ValueError(
            f"the network has quantiles from {own[0]:g} to {own[-1]:g}, which do not tell the "
            f"quantile {levels[outside][0]:g}; list that in its loss_parameter"
        )
    above = np.clip(np.searchsorted(own, levels), 1, len(own) - 1)
    return above, (levels - own[above - 1]) / (own[above] - own[above - 1])


def _between(s, own, levels):
    """Quantiles between the network's own, by linear interpolation in the level."""
    found = rising(s)
    above, share = _neighbours(np.array(own), levels)
    return (1 - share) * found[:, above - 1] + share * found[:, above]


def _nearest_to_median(own):
    """The level 0.5, or the nearest one if all levels lie on one side."""
    return np.clip([0.5], own[0], own[-1])


def _middle(s, own):
    return _between(s, own, _nearest_to_median(own))[:, 0]


def _middle_slopes(s, own):
    from scipy.special import expit

    (above,), (share,) = _neighbours(np.array(own), _nearest_to_median(own))
    weight = np.zeros(len(own))
    weight[:above], weight[above] = 1.0, share
    return weight * np.concatenate([np.ones((len(s), 1)), expit(s[:, 1:])], axis=1)


def _unknown(what):
    def refuse(s, own, *_):
        raise ValueError(
            f'a network with loss="quantile" gives some quantiles, which do not tell {what}; use a '
            'loss with a distribution, such as "gaussian"'
        )

    return refuse


def _begin_quantiles(own):
    """The quantiles of the standard normal distribution."""
    from scipy.special import ndtri

    first, *others = ndtri(own)
    steps = np.diff([first, *others])
    return slice(0, 1), np.concatenate([[first], np.log(np.expm1(steps))])


_QUANTILES = Family(
    len,
    _middle,
    _middle_slopes,
    _unknown("the mean"),
    _unknown("the standard deviation"),
    _between,
    _unknown("the distribution function"),
    _begin_quantiles,
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
        self._family, self._parameter, self._loss = FAMILIES[loss], parameter, loss

    def check_targets(self, y):
        """Refuse targets that the distribution cannot have, of shape (n, number of columns)."""
        if y.shape[1] > 1:
            raise ValueError(
                f"y must have one column for loss={self._loss!r}, got {y.shape[1]}; the network's "
                "outputs are the parameters of its distribution"
            )
        checks.targets(y, len(y), 1, self._loss, spec.LOSSES[self._loss], y.dtype)

    @property
    def n_outputs(self):
        """n_m."""
        return self._family.n_outputs(self._parameter)

    def begin(self, weights, biases):
        """Turn a last layer's drawn weights and biases into the initial ones, in place.

        The scales do not depend on the sample at first, so their weights are zero. For targets of
        mean 0 and deviation 1, the distributions are about right.
        """
        kept, initial = self._family.begin(self._parameter)
        drawn = weights[:, kept].copy()
        weights[...] = 0
        weights[:, kept] = drawn
        biases[...] = initial

    def rescaled(self, mean, deviation):
        """Factors and offsets of the outputs that make of a distribution of y another one.

        With them, the outputs are those of the distribution of mean + deviation y. None if there
        are no such numbers: for counts, and for the steps between quantiles.
        """
        if self._family.rescaled is None:
            return None
        return self._family.rescaled(self._parameter, mean, deviation)

    def center(self, s):
        """What ``predict`` returns, of shape (n,): the mean, or the median of quantiles.

        For student_t it is the location, which is the mean if ν > 1.
        """
        return self._of(self._family.center, s)

    def slopes(self, s):
        """The derivatives of `center` by the outputs, of the shape of s."""
        return self._of(self._family.slopes, s)

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


def numbers_of(loss, parameter):
    """The float64 numbers that the kernels need of a loss, empty if one number is enough."""
    if isinstance(loss, str) and loss == "student_t":
        return numbers_of_student_t(parameter)
    return np.array(parameter if isinstance(parameter, tuple) else [], np.float64)


def check_outputs(loss, parameter, n_outputs, where="the last of layer_sizes"):
    """Refuse a number of outputs, given at `where`, that a loss with a distribution cannot have."""
    distribution = distribution_of(loss, parameter)
    if distribution is not None and distribution.n_outputs != n_outputs:
        meaning = spec.loss_of(loss, parameter).meaning
        of_parameter = "" if parameter is None else f" with loss_parameter={parameter!r}"
        raise ValueError(
            f"{loss}{of_parameter} needs {distribution.n_outputs} outputs: {meaning}; {where} is "
            f"{n_outputs}"
        )


def distribution_of(loss, parameter):
    """The Distribution of a loss with that parameter, None if it has none.

    quantile with a single level has none: it predicts one quantile, and no distribution.
    """
    if not isinstance(loss, str) or loss not in FAMILIES:
        return None
    if loss == "quantile" and not isinstance(parameter, tuple):
        return None
    return Distribution(loss, parameter)

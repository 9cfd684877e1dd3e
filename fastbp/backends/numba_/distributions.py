"""Losses of distributions: negative log likelihoods of one target a sample, from all its outputs.

In rows of n numbers, `stride` apart, they replace pre-activations s by deltas, and targets y, the
first number of each row, by losses. A vector has one number of each of as many rows as it has
lanes. Factors 1 / σ are bounded, so that deltas are finite. The twin of this file is
``src_cython/distributions.pxi``; the reference, which has the equations, is ``numpy_``.
"""

import numpy as np

from ._jit import inlined, inner
from .elementwise import softplus
from .simd import (
    absolute,
    copysign,
    fma,
    is_single,
    lane,
    lanes,
    numbers_at,
    select_le,
    select_lt,
    splat,
    with_lane,
)
from .vmath import at_least, at_most, exp, log, log1p_unit, log_sum, sigmoid, stirling_error

HALF_LOG_2_PI = 0.9189385332046727
LOG_2 = 0.6931471805599453
# Half the largest exponent of exp, and a deviation whose square is finite, in both precisions.
LARGEST_F4, LARGEST_F8 = 44.0, 354.0
FAR_F4, FAR_F8 = 1e18, 1e150


@inlined
def column(p, r, rows, stride, j):
    """The j-th numbers of rows r, r + 1, ...; behind the last row, those of the last one again."""
    v = splat(p, 0.0)
    for i in range(lanes(p)):
        v = with_lane(v, i, p[min(r + i, rows - 1) * stride + j])
    return v


@inlined
def put_column(p, r, rows, stride, j, v):
    """Write the j-th numbers of rows r, r + 1, ..."""
    for i in range(lanes(p)):
        p[min(r + i, rows - 1) * stride + j] = lane(v, i)


@inner
def inverse_scale(log_scale):
    """exp(-log_scale), bounded."""
    if is_single(log_scale):
        return exp(at_most(-log_scale, LARGEST_F4))
    return exp(at_most(-log_scale, LARGEST_F8))


@inner
def far(like):
    return splat(like, FAR_F4) if is_single(like) else splat(like, FAR_F8)


@inner
def nearby(z):
    """z, at most FAR in size."""
    if is_single(z):
        return at_most(at_least(z, -FAR_F4), FAR_F4)
    return at_most(at_least(z, -FAR_F8), FAR_F8)


def gaussian_loss(function, outside, parameter, rows, n, stride, s, y, unwritten):
    for r in range(0, rows, lanes(s)):
        log_variance = column(s, r, rows, stride, 1)
        v = inverse_scale(0.5 * log_variance)
        z = (column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)) * v
        half = 0.5 * log_variance + splat(s, HALF_LOG_2_PI)
        put_column(y, r, rows, stride, 0, half + 0.5 * z * z)
        z = nearby(z)
        put_column(s, r, rows, stride, 0, -z * v)
        put_column(s, r, rows, stride, 1, 0.5 * (1.0 - z * z))


def student_t(function, outside, parameter, rows, n, stride, s, y, unwritten):
    numbers = numbers_at(function)
    nu, constant, root, half_log = numbers[0], numbers[1], numbers[2], numbers[3]
    for r in range(0, rows, lanes(s)):
        zero, one = splat(s, 0.0), splat(s, 1.0)
        log_scale = column(s, r, rows, stride, 1)
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        v = inverse_scale(log_scale)
        a = absolute(d) * v * (1.0 / root)
        b = select_lt(one, a, one / a, a)
        square = b * b
        log_a = log(absolute(d)) - log_scale - half_log
        log_of_sum = log1p_unit(square) + select_lt(one, a, 2.0 * log_a, zero)
        e = fma(splat(s, 0.5 * (nu + 1.0)), log_of_sum, log_scale + constant)
        put_column(y, r, rows, stride, 0, e)
        slope = ((nu + 1.0) / root) * v * (b / (1.0 + square))
        put_column(s, r, rows, stride, 0, copysign(slope, -d))
        share = select_lt(one, a, one, square) / (1.0 + square)
        put_column(s, r, rows, stride, 1, 1.0 - (nu + 1.0) * share)


def laplace(function, outside, parameter, rows, n, stride, s, y, unwritten):
    for r in range(0, rows, lanes(s)):
        zero = splat(s, 0.0)
        log_scale = column(s, r, rows, stride, 1)
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        v = inverse_scale(log_scale)
        z = absolute(d) * v
        put_column(y, r, rows, stride, 0, log_scale + LOG_2 + z)
        slope = select_lt(zero, d, -v, select_lt(d, zero, v, zero))
        put_column(s, r, rows, stride, 0, slope)
        put_column(s, r, rows, stride, 1, 1.0 - nearby(z))


def negative_binomial(function, outside, parameter, rows, n, stride, s, y, unwritten):
    most = 2.0 * LARGEST_F4 - 8.0 if is_single(s) else 2.0 * LARGEST_F8 - 8.0
    for r in range(0, rows, lanes(s)):
        log_mean, t = column(s, r, rows, stride, 0), column(y, r, rows, stride, 0)
        log_dispersion = at_most(at_least(column(s, r, rows, stride, 1), -most), most)
        zero, quarter = splat(s, 0.0), splat(s, 0.25)
        m, k = exp(at_most(log_mean, most)), exp(-log_dispersion)
        x, log_t = log_mean + log_dispersion, log(t)
        u = log_t + log_dispersion
        first = (m - t) / (k + t)
        second = -first * exp(-x)
        nearest = select_lt(absolute(first), absolute(second), absolute(second), absolute(first))
        of_k = select_le(nearest, quarter, log_sum(zero, first), softplus(x) - softplus(u))
        of_t = select_le(nearest, quarter, log_sum(zero, second), softplus(-x) - softplus(-u))
        error_k, slope_k = stirling_error(k)
        error_t, _ = stirling_error(t)
        error_both, slope_both = stirling_error(k + t)
        spread = 0.5 * (log_t + softplus(u)) + HALF_LOG_2_PI
        likely = error_k + error_t - error_both + spread + k * of_k + t * of_t
        put_column(y, r, rows, stride, 0, select_lt(zero, t, likely, k * of_k))
        of_mean = (m - t) * (k / (m + k))
        series = fma(first, splat(s, -5.0 / 6.0), splat(s, 0.8))
        series = fma(-first, series, splat(s, 0.75))
        series = fma(-first, series, splat(s, 2.0 / 3.0))
        series = fma(-first, series, splat(s, 0.5))
        series = k * (-first * first * series)
        excess = select_lt(absolute(first), splat(s, 1e-3), series, of_mean - k * of_k)
        share = 1.0 / (k + t)
        of_dispersion = excess + 0.5 * t * share + k * share * slope_both - slope_k
        put_column(s, r, rows, stride, 0, of_mean)
        put_column(s, r, rows, stride, 1, of_dispersion)


@inlined
def of_component(s, r, rows, stride, k, j, t):
    """The logit, z, 1 / σ and the likelihood's logarithm, but for a constant, of component j."""
    logit, log_scale = column(s, r, rows, stride, j), column(s, r, rows, stride, 2 * k + j)
    v = inverse_scale(log_scale)
    z = nearby((t - column(s, r, rows, stride, k + j)) * v)
    return logit, z, v, logit - log_scale - 0.5 * z * z


def mixture_density(function, outside, parameter, rows, n, stride, s, y, unwritten):
    k = n // 3
    for r in range(0, rows, lanes(s)):
        t, one = column(y, r, rows, stride, 0), splat(s, 1.0)
        top = best = splat(s, -np.inf)
        nearest = splat(s, np.inf)
        for j in range(k):
            logit, z, _, likelihood = of_component(s, r, rows, stride, k, j, t)
            top = select_lt(top, logit, logit, top)
            best = select_lt(best, likelihood, likelihood, best)
            nearest = select_lt(absolute(z), nearest, absolute(z), nearest)
        total = found = splat(s, 0.0)
        for j in range(k):
            logit, _, _, likelihood = of_component(s, r, rows, stride, k, j, t)
            total = total + exp(logit - top)
            found = found + exp(likelihood - best)
        e = (top + log(total)) - (best + log(found)) + HALF_LOG_2_PI
        put_column(y, r, rows, stride, 0, select_lt(nearest, far(s), e, splat(s, np.inf)))
        total, found = one / total, one / found
        for j in range(k):
            logit, z, v, likelihood = of_component(s, r, rows, stride, k, j, t)
            share = exp(likelihood - best) * found
            put_column(s, r, rows, stride, j, exp(logit - top) * total - share)
            put_column(s, r, rows, stride, k + j, -share * z * v)
            put_column(s, r, rows, stride, 2 * k + j, share * (1.0 - z * z))


def quantiles(function, outside, parameter, rows, n, stride, s, y, unwritten):
    """The slope of each quantile is kept where the row has no target."""
    numbers = numbers_at(function)
    for r in range(0, rows, lanes(s)):
        t, zero = column(y, r, rows, stride, 0), splat(s, 0.0)
        quantile = e = zero
        for j in range(n):
            step = column(s, r, rows, stride, j)
            quantile = step if j == 0 else quantile + softplus(step)
            d, level = quantile - t, numbers[j]
            above, below = splat(s, (1.0 - level) / n), splat(s, -level / n)
            slope = select_lt(zero, d, above, select_lt(d, zero, below, zero))
            e = fma(slope, d, e)
            put_column(y, r, rows, stride, j, slope)
        rest = zero
        for j in range(n - 1, 0, -1):
            rest = rest + column(y, r, rows, stride, j)
            put_column(y, r, rows, stride, j, zero)
            step = column(s, r, rows, stride, j)
            put_column(s, r, rows, stride, j, rest * sigmoid(step))
        put_column(s, r, rows, stride, 0, rest + column(y, r, rows, stride, 0))
        put_column(y, r, rows, stride, 0, e)

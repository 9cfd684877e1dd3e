"""Losses of distributions: negative log likelihoods of one target a sample, from all its outputs.

In rows of n numbers, `stride` apart, they replace pre-activations s by deltas, and targets y, the
first number of each row, by losses. A vector has one number of each of as many rows as it has
lanes. Factors 1 / σ are bounded, so that deltas are finite. Products of ∂²e/∂s∂s and vectors v go
to `out`. The twin of this file is ``src_cython/distributions.pxi``; the reference, which has the
equations, is ``numpy_``.
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
from .vmath import (
    at_least,
    at_most,
    exp,
    log,
    log1p_unit,
    log_sum,
    sigmoid,
    stirling_curve,
    stirling_error,
)

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


def gaussian_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    for r in range(0, rows, lanes(s)):
        u = inverse_scale(0.5 * column(s, r, rows, stride, 1))
        z = nearby((column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)) * u)
        a, b = u * column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(out, r, rows, stride, 0, u * (a + z * b))
        put_column(out, r, rows, stride, 1, z * (a + 0.5 * z * b))


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


def student_t_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    numbers = numbers_at(function)
    nu, root = numbers[0], numbers[2]
    for r in range(0, rows, lanes(s)):
        one = splat(s, 1.0)
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        w = inverse_scale(column(s, r, rows, stride, 1)) * (1.0 / root)
        t = absolute(d) * w
        least = select_lt(one, t, one / t, t)
        square = least * least
        share = one / (1.0 + square)
        p, q = select_lt(one, t, one, square) * share, select_lt(one, t, square, one) * share
        f = copysign(least * share, d)
        a, b = w * column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        by_location = (nu + 1.0) * (w * q) * ((q - p) * a + 2.0 * f * b)
        put_column(out, r, rows, stride, 0, by_location)
        put_column(out, r, rows, stride, 1, (2.0 * (nu + 1.0)) * q * (f * a + p * b))


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


def laplace_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    for r in range(0, rows, lanes(s)):
        zero = splat(s, 0.0)
        u = inverse_scale(column(s, r, rows, stride, 1))
        d = column(y, r, rows, stride, 0) - column(s, r, rows, stride, 0)
        slope = select_lt(zero, d, u, select_lt(d, zero, -u, zero))
        a, b = column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(out, r, rows, stride, 0, slope * b)
        put_column(out, r, rows, stride, 1, slope * a + nearby(absolute(d) * u) * b)


@inlined
def slope_of_dispersion(first, k, t, of_mean, of_k, slope_k, slope_both):
    """The derivative of a count's loss by the log dispersion."""
    series = fma(first, splat(first, -5.0 / 6.0), splat(first, 0.8))
    series = fma(-first, series, splat(first, 0.75))
    series = fma(-first, series, splat(first, 2.0 / 3.0))
    series = fma(-first, series, splat(first, 0.5))
    series = k * (-first * first * series)
    small = 0.05 if is_single(first) else 1e-3  # numpy_/distributions.py has why
    excess = select_lt(absolute(first), splat(first, small), series, of_mean - k * of_k)
    share = 1.0 / (k + t)
    return excess + 0.5 * t * share + k * share * slope_both - slope_k


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
        of_dispersion = slope_of_dispersion(first, k, t, of_mean, of_k, slope_k, slope_both)
        put_column(s, r, rows, stride, 0, of_mean)
        put_column(s, r, rows, stride, 1, of_dispersion)


def negative_binomial_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    most = 2.0 * LARGEST_F4 - 8.0 if is_single(s) else 2.0 * LARGEST_F8 - 8.0
    for r in range(0, rows, lanes(s)):
        log_mean, t = column(s, r, rows, stride, 0), column(y, r, rows, stride, 0)
        log_dispersion = at_most(at_least(column(s, r, rows, stride, 1), -most), most)
        zero, quarter = splat(s, 0.0), splat(s, 0.25)
        m, k = exp(at_most(log_mean, most)), exp(-log_dispersion)
        u = log(t) + log_dispersion
        first = (m - t) / (k + t)
        second = -first * exp(-(log_mean + log_dispersion))
        nearest = select_lt(absolute(first), absolute(second), absolute(second), absolute(first))
        apart = softplus(log_mean + log_dispersion) - softplus(u)
        of_k = select_le(nearest, quarter, log_sum(zero, first), apart)
        _, slope_k = stirling_error(k)
        _, slope_both = stirling_error(k + t)
        of_mean = (m - t) * (k / (m + k))
        slope = slope_of_dispersion(first, k, t, of_mean, of_k, slope_k, slope_both)
        share, both = 1.0 / (k + t), m * (k / (m + k))
        g, w = (m - t) / (m + k), t * share
        rest = 1.0 - w
        curve = stirling_curve(k) - rest * rest * stirling_curve(k + t) - k * (k * share) * (g * g)
        curve = 0.5 * w * (2.0 - w) + curve - slope
        mixed = -g * both
        a, b = column(v, r, rows, stride, 0), column(v, r, rows, stride, 1)
        put_column(out, r, rows, stride, 0, both * ((k + t) / (m + k)) * a + mixed * b)
        put_column(out, r, rows, stride, 1, mixed * a + curve * b)


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


@inlined
def of_vector(v, r, rows, stride, k, j, z, u):
    """The parts of a vector for component j: of the logit, of the log scale, and -∂z along it."""
    of_mean, of_scale = column(v, r, rows, stride, k + j), column(v, r, rows, stride, 2 * k + j)
    return column(v, r, rows, stride, j), of_scale, u * of_mean + z * of_scale


def mixture_density_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    k = n // 3
    for r in range(0, rows, lanes(s)):
        t, one = column(y, r, rows, stride, 0), splat(s, 1.0)
        top = best = splat(s, -np.inf)
        for j in range(k):
            logit, _, _, likelihood = of_component(s, r, rows, stride, k, j, t)
            top = select_lt(top, logit, logit, top)
            best = select_lt(best, likelihood, likelihood, best)
        total = found = mean = mean_found = splat(s, 0.0)
        for j in range(k):
            logit, z, u, likelihood = of_component(s, r, rows, stride, k, j, t)
            a, b, of_z = of_vector(v, r, rows, stride, k, j, z, u)
            share = exp(logit - top)
            total, mean = total + share, fma(share, a, mean)
            share = exp(likelihood - best)
            found, mean_found = found + share, fma(share, a - b + z * of_z, mean_found)
        total, found = one / total, one / found
        mean, mean_found = mean * total, mean_found * found
        for j in range(k):
            logit, z, u, likelihood = of_component(s, r, rows, stride, k, j, t)
            a, b, of_z = of_vector(v, r, rows, stride, k, j, z, u)
            along, share = (a - b + z * of_z) - mean_found, exp(likelihood - best) * found
            of_logit = exp(logit - top) * total * (a - mean) - share * along
            put_column(out, r, rows, stride, j, of_logit)
            put_column(out, r, rows, stride, k + j, share * u * (of_z + z * (b - along)))
            of_scale = share * (along * (1.0 - z * z) + 2.0 * z * of_z)
            put_column(out, r, rows, stride, 2 * k + j, of_scale)


@inlined
def slope_of_quantile(d, level, n):
    """The derivative by one of n quantiles, whose distance from the target is d."""
    zero, above, below = splat(d, 0.0), splat(d, (1.0 - level) / n), splat(d, -level / n)
    return select_lt(zero, d, above, select_lt(d, zero, below, zero))


def quantiles(function, outside, parameter, rows, n, stride, s, y, unwritten):
    """The slope of each quantile is kept where the row has no target."""
    numbers = numbers_at(function)
    for r in range(0, rows, lanes(s)):
        t, zero = column(y, r, rows, stride, 0), splat(s, 0.0)
        quantile = e = zero
        for j in range(n):
            step = column(s, r, rows, stride, j)
            quantile = step if j == 0 else quantile + softplus(step)
            d = quantile - t
            slope = slope_of_quantile(d, numbers[j], n)
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


def quantiles_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    """The slope of each quantile is kept in `out` for a while."""
    numbers = numbers_at(function)
    for r in range(0, rows, lanes(s)):
        t, rest = column(y, r, rows, stride, 0), splat(s, 0.0)
        quantile = rest
        for j in range(n):
            step = column(s, r, rows, stride, j)
            quantile = step if j == 0 else quantile + softplus(step)
            put_column(out, r, rows, stride, j, slope_of_quantile(quantile - t, numbers[j], n))
        for j in range(n - 1, 0, -1):
            rest = rest + column(out, r, rows, stride, j)
            p = sigmoid(column(s, r, rows, stride, j))
            curve = rest * p * (1.0 - p) * column(v, r, rows, stride, j)
            put_column(out, r, rows, stride, j, curve)
        put_column(out, r, rows, stride, 0, splat(s, 0.0))

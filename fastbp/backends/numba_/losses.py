"""Losses with their output activations: a sample's loss e and its delta ∂e/∂s.

Below each loss is the product of its Hessian ∂²e/∂s∂s and a vector v. All but cross_entropy treat
each output by itself; their results for padding are not used. The twin of this file is
``src_cython/losses.pxi``; the reference is ``numpy_``.
"""

from typing import NamedTuple

import numpy as np
from numba import types

from ...basis import spec
from . import distributions
from ._jit import REALS, Piece, call, inner
from .denormals import control, set_control
from .simd import (
    absolute,
    fma,
    is_single,
    keep_first,
    lane,
    lanes,
    load,
    max_lanes,
    offset,
    pointer,
    select_le,
    select_lt,
    splat,
    store,
    sum_lanes,
)
from .tile import transpose_block
from .vmath import exp, log, log1p_unit, sigmoid

# Losses that treat each output by itself: in rows of n numbers, padded to `stride`, they replace
# pre-activations s by deltas and targets y by losses. For custom losses, `outside` is the control
# word to call them with, and `unwritten` a number of scratch space. Their Hessians are diagonal, so
# the products are functions of vectors.


def log_loss(function, outside, parameter, rows, n, stride, s, y, unwritten):
    """A positive parameter clips the probabilities in the reported loss."""
    if parameter > 0.0:
        for i in range(0, rows * stride, lanes(s)):
            h, t = sigmoid(load(s, i)), load(y, i)
            p = select_lt(splat(t, 0.5), t, h, 1.0 - h)
            least, most = splat(p, parameter), splat(p, 1.0 - parameter)
            store(y, i, -log(select_lt(p, least, least, select_lt(most, p, most, p))))
            store(s, i, h - t)
        return
    for i in range(0, rows * stride, lanes(s)):
        x, t = load(s, i), load(y, i)
        zero = splat(x, 0.0)
        u = exp(-absolute(x))
        h = select_lt(x, zero, u, splat(x, 1.0)) / (1.0 + u)
        store(y, i, fma(-x, t, select_lt(x, zero, zero, x)) + log1p_unit(u))
        store(s, i, h - t)


@inner
def log_loss_hessian_product(parameter, s, y, v):
    """h (1 - h) = u / (1 + u)² with u = exp(-|s|), which keeps its digits where h is near 1."""
    u = exp(-absolute(s))
    a = 1.0 + u
    return u / (a * a) * v


def squared_error(function, outside, parameter, rows, n, stride, s, y, unwritten):
    """A positive parameter is a factor of the reported loss."""
    half = 0.5 * (parameter if parameter > 0.0 else 1.0)
    for i in range(0, rows * stride, lanes(s)):
        d = load(s, i) - load(y, i)
        store(y, i, half * d * d)
        store(s, i, d)


@inner
def squared_error_slope(parameter, s, y):
    return s - y


@inner
def squared_error_hessian_product(parameter, s, y, v):
    return v


@inner
def no_curvature(parameter, s, y, v):
    """The product for piecewise linear losses; their kinks count for nothing."""
    return splat(v, 0.0)


def absolute_error(function, outside, parameter, rows, n, stride, s, y, unwritten):
    for i in range(0, rows * stride, lanes(s)):
        x, t = load(s, i), load(y, i)
        store(y, i, absolute(x - t))
        store(s, i, absolute_error_slope(parameter, x, t))


@inner
def absolute_error_slope(parameter, s, y):
    d = s - y
    zero = splat(d, 0.0)
    upper = select_lt(zero, d, splat(d, 1.0), zero)
    return select_lt(d, zero, splat(d, -1.0), upper)


def huber(function, outside, parameter, rows, n, stride, s, y, unwritten):
    for i in range(0, rows * stride, lanes(s)):
        x, t = load(s, i), load(y, i)
        d = x - t
        linear = parameter * absolute(d) - 0.5 * parameter * parameter
        store(y, i, select_le(absolute(d), splat(d, parameter), 0.5 * d * d, linear))
        store(s, i, huber_slope(parameter, x, t))


@inner
def huber_slope(parameter, s, y):
    d = s - y
    high, low = splat(d, parameter), splat(d, -parameter)
    return select_lt(d, low, low, select_lt(high, d, high, d))


@inner
def huber_hessian_product(parameter, s, y, v):
    """v for |d| ≤ δ, the bounds included; 0 beyond."""
    return select_le(absolute(s - y), splat(s, parameter), v, splat(v, 0.0))


def poisson(function, outside, parameter, rows, n, stride, s, y, unwritten):
    for i in range(0, rows * stride, lanes(s)):
        x, t = load(s, i), load(y, i)
        h = exp(x)
        y_log_y = t * log(select_le(t, splat(t, 0.0), splat(t, 1.0), t))
        store(y, i, fma(-t, x, h) + (y_log_y - t))
        store(s, i, h - t)


@inner
def poisson_hessian_product(parameter, s, y, v):
    return exp(s) * v


def poisson_rate(function, outside, parameter, rows, n, stride, h, y, unwritten):
    """The same as a function of h. It is NaN where h < 0; at 0 it is infinite unless y is 0."""
    for i in range(0, rows * stride, lanes(h)):
        x, t = not_negative(load(h, i)), load(y, i)
        ratio = select_le(t, splat(h, 0.0), splat(h, 1.0), t / x)
        store(y, i, t * log(ratio) + (x - t))
        store(h, i, poisson_rate_slope(parameter, x, t))


@inner
def not_negative(h):
    """NaN where h < 0."""
    return select_lt(h, splat(h, 0.0), splat(h, np.nan), h)


@inner
def poisson_rate_slope(parameter, h, y):
    x = not_negative(h)
    return 1.0 - select_le(y, splat(h, 0.0), 0.0 * x, y / x)


@inner
def poisson_rate_hessian_product(parameter, h, y, v):
    """y / h²; NaN where h < 0."""
    x = not_negative(h)
    return select_le(y, splat(h, 0.0), 0.0 * x, y / x / x) * v


def quantile(function, outside, parameter, rows, n, stride, s, y, unwritten):
    for i in range(0, rows * stride, lanes(s)):
        x, t = load(s, i), load(y, i)
        slope = quantile_slope(parameter, x, t)
        store(y, i, slope * (x - t))
        store(s, i, slope)


@inner
def quantile_slope(parameter, s, y):
    d = s - y
    zero, above, below = splat(d, 0.0), splat(d, 1.0 - parameter), splat(d, -parameter)
    return select_lt(zero, d, above, select_lt(d, zero, below, zero))


def custom(function, outside, parameter, rows, n, stride, s, y, unwritten):
    """Call a user's function with the floating-point control word `outside`; see interface.py.

    Losses that it has not written become NaN.
    """
    if rows == 0:
        return
    unwritten[0] = 1.0
    inside = control()
    set_control(outside)
    call(function, (rows, n, stride, s, y, unwritten))
    set_control(inside)
    if unwritten[0] != 0.0:
        for r in range(rows):
            y[r * stride] = np.nan


@inner
def unknown(parameter, s, y, v):
    """A function of the user's own gives no second derivative."""
    return splat(v, np.nan)


@inner
def row_max(s, n):
    """The largest of the first n numbers of a padded row, in every lane."""
    top = splat(s, -np.inf)
    for j in range(0, n, lanes(s)):
        v = keep_first(load(s, j), n - j, -np.inf)
        top = select_lt(top, v, v, top)
    return splat(s, max_lanes(top))


@inner
def sum_of_four(h, k, stride):
    """h[k] + h[k + 4] + ..., vectors `stride` apart, added like lanes in `sum_lanes`."""
    low, high = load(h, k * stride), load(h, (k + 4) * stride)
    if is_single(h):
        low = low + load(h, (k + 8) * stride)
        high = high + load(h, (k + 12) * stride)
    return low + high


@inner
def exp_of_lanes(s, h, top, total, n, stride):
    """`exp_rows` for as many rows as a vector has lanes: each lane works on a row of its own.

    So no lanes have to be combined, which takes longer than exp. The rows, of n <= lanes numbers,
    are transposed into h. Sums are added up in the order of `sum_lanes`, so the bits are the same.
    """
    width, largest = lanes(s), splat(s, -np.inf)
    transpose_block(s, stride, width, h, stride, n)
    for j in range(n):
        v = load(h, j * stride)
        largest = select_lt(largest, v, v, largest)
    for j in range(n):
        store(h, j * stride, exp(load(h, j * stride) - largest))
    for j in range(n, width):
        store(h, j * stride, splat(s, 0.0))
    even = sum_of_four(h, 0, stride) + sum_of_four(h, 2, stride)
    odd = sum_of_four(h, 1, stride) + sum_of_four(h, 3, stride)
    store(top, 0, largest)
    store(total, 0, even + odd)
    transpose_block(h, stride, width, h, stride, width)


@inner
def exp_rows(s, h, top, total, rows, n, stride):
    """h = exp(s - max s), with the maximum and the sum of each row in `top` and `total`."""
    width, together = lanes(s), 0
    if n <= width:
        together = rows // width * width
    for r in range(0, together, width):
        exp_of_lanes(
            offset(s, r * stride),
            offset(h, r * stride),
            offset(top, r),
            offset(total, r),
            n,
            stride,
        )
    for r in range(together, rows):
        largest = row_max(offset(s, r * stride), n)
        sum_of_row = splat(s, 0.0)
        for j in range(0, n, lanes(s)):
            v = keep_first(exp(load(s, r * stride + j) - largest), n - j, 0.0)
            store(h, r * stride + j, v)
            sum_of_row = sum_of_row + v
        top[r] = lane(largest, 0)
        total[r] = sum_lanes(sum_of_row)


@inner
def scale_rows(h, factor, rows, n, stride):
    """Multiply each row of n numbers by its factor."""
    for r in range(rows):
        f = splat(h, factor[r])
        for j in range(0, n, lanes(h)):
            store(h, r * stride + j, load(h, r * stride + j) * f)


@inner
def sum_outputs(delta, e, d, losses, shares, rows, n, stride):
    """d = share * delta, and the sums of e over each row, without padding."""
    for r in range(rows):
        total, share = splat(d, 0.0), splat(d, shares[r])
        for j in range(0, n, lanes(d)):
            scaled = load(delta, r * stride + j) * share
            store(d, r * stride + j, keep_first(scaled, n - j, 0.0))
            total = total + keep_first(load(e, r * stride + j), n - j, 0.0)
        losses[r] = sum_lanes(total)


# cross_entropy takes two pieces. Between them, its caller computes Σ y (max - s) and Σ y.


def begin_softmax(s, h, top, total, rows, n, stride):
    exp_rows(s, h, top, total, rows, n, stride)


def cross_entropy(parameter, losses, targets, h, total, shares, rows, n, stride):
    """Turn Σ y (max - s) into losses and exp(s - max) into share * h.

    e = Σ y (ln Σ exp(s - max) - (s - max)), h = exp(s - max) / Σ exp(s - max). `targets` has Σ y;
    `total` has Σ exp(s - max) and is overwritten.
    """
    largest = parameter if parameter > 0.0 else np.inf
    for r in range(0, rows, lanes(losses)):
        sums = load(total, r)
        e = fma(load(targets, r), log(sums), load(losses, r))
        limit = splat(sums, largest)
        store(losses, r, select_lt(limit, e, limit, e))
        store(total, r, load(shares, r) / sums)
    scale_rows(h, total, rows, n, stride)


def cross_entropy_hessian_product(function, parameter, rows, n, stride, s, y, v, out):
    """out = p ∘ v - p (p · v) with p = softmax(s)."""
    for r in range(rows):
        row = r * stride
        largest = row_max(offset(s, row), n)
        total = weighted = splat(s, 0.0)
        for j in range(row, row + n, lanes(s)):
            e = keep_first(exp(load(s, j) - largest), row + n - j, 0.0)
            store(out, j, e)
            total = total + e
            weighted = fma(e, load(v, j), weighted)
        total = splat(s, sum_lanes(total))
        mean = splat(s, sum_lanes(weighted)) / total
        for j in range(row, row + n, lanes(s)):
            store(out, j, load(out, j) / total * (load(v, j) - mean))


# Output activations: write the network's output for rows of pre-activations s to h. `top` and
# `total` are scratch space.


def sigmoid_output(s, h, top, total, rows, n, stride):
    for i in range(0, rows * stride, lanes(s)):
        store(h, i, sigmoid(load(s, i)))


def exp_output(s, h, top, total, rows, n, stride):
    for i in range(0, rows * stride, lanes(s)):
        store(h, i, exp(load(s, i)))


def softmax_output(s, h, top, total, rows, n, stride):
    exp_rows(s, h, top, total, rows, n, stride)
    for r in range(0, rows, lanes(s)):
        store(total, r, 1.0 / load(total, r))
    scale_rows(h, total, rows, n, stride)


# The whole interface.


def loss_hessian_product(piece, function, parameter, n, s, y, v, out):
    rows, stride = s.shape
    numbers = function, parameter, rows, n, stride
    call(piece, (*numbers, pointer(s), pointer(y), pointer(v), pointer(out)))


class Loss(NamedTuple):
    """Pieces for one loss: e with ∂e/∂s, the product of ∂²e/∂s∂s and vectors, and the output.

    The latter is None where the output is s. `functions`, of vectors, give ∂e/∂s and the product,
    for losses that other output activations may have.
    """

    losses_and_deltas: Piece
    hessian_product: Piece
    output: Piece | None = None
    functions: tuple = ()


WHOLE = types.intp


def _over_rows(hessian_product):
    return Piece(hessian_product, types.int64, types.float64, *[WHOLE] * 3, *[REALS] * 4)


def pointwise_product(title, hessian_product):
    """The Piece of a product that is a function of vectors."""

    def multiply(function, parameter, rows, n, stride, s, y, v, out):
        """Out = (∂²e/∂s∂s) v for rows of n numbers, padded to `stride`."""
        for i in range(0, rows * stride, lanes(s)):
            store(out, i, hessian_product(parameter, load(s, i), load(y, i), load(v, i)))

    multiply.__qualname__ = title
    return _over_rows(multiply)


def _over_losses(loss):
    numbers = types.int64, types.int64, types.float64, WHOLE, WHOLE, WHOLE
    return Piece(loss, *numbers, REALS, REALS, REALS)


def _of_distribution(loss, hessian_product):
    return Loss(_over_losses(loss), _over_rows(hessian_product))


def _pointwise(loss, hessian_product, output=None, slope=None):
    return Loss(
        _over_losses(loss),
        pointwise_product(f"{loss.__name__}_{hessian_product.__name__}", hessian_product),
        output,
        () if slope is None else (slope, hessian_product),
    )


def _output(function):
    return Piece(function, *[REALS] * 4, WHOLE, WHOLE, WHOLE)


LOSSES = {
    spec.LOG_LOSS: _pointwise(log_loss, log_loss_hessian_product, _output(sigmoid_output)),
    spec.CROSS_ENTROPY: Loss(
        Piece(cross_entropy, types.float64, *[REALS] * 5, WHOLE, WHOLE, WHOLE),
        _over_rows(cross_entropy_hessian_product),
        _output(softmax_output),
    ),
    spec.SQUARED_ERROR: _pointwise(
        squared_error, squared_error_hessian_product, slope=squared_error_slope
    ),
    spec.ABSOLUTE_ERROR: _pointwise(absolute_error, no_curvature, slope=absolute_error_slope),
    spec.HUBER: _pointwise(huber, huber_hessian_product, slope=huber_slope),
    spec.POISSON: _pointwise(poisson, poisson_hessian_product, _output(exp_output)),
    spec.QUANTILE: _pointwise(quantile, no_curvature, slope=quantile_slope),
    spec.CUSTOM: _pointwise(custom, unknown),
    spec.POISSON_RATE: _pointwise(
        poisson_rate, poisson_rate_hessian_product, slope=poisson_rate_slope
    ),
    spec.GAUSSIAN: _of_distribution(
        distributions.gaussian_loss, distributions.gaussian_hessian_product
    ),
    spec.STUDENT_T: _of_distribution(
        distributions.student_t, distributions.student_t_hessian_product
    ),
    spec.LAPLACE: _of_distribution(distributions.laplace, distributions.laplace_hessian_product),
    spec.NEGATIVE_BINOMIAL: _of_distribution(
        distributions.negative_binomial, distributions.negative_binomial_hessian_product
    ),
    spec.MIXTURE_DENSITY: _of_distribution(
        distributions.mixture_density, distributions.mixture_density_hessian_product
    ),
    spec.QUANTILES: _of_distribution(
        distributions.quantiles, distributions.quantiles_hessian_product
    ),
}
BEGIN_SOFTMAX = Piece(begin_softmax, *[REALS] * 4, WHOLE, WHOLE, WHOLE)

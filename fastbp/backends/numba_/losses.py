"""Losses with their output activations: a sample's loss e and its delta ∂e/∂s.

All but cross_entropy treat each output by itself; what they make of padding is not used.
The twin of this file is ``src_cython/losses.pxi``; the reference is ``numpy_``.
"""

import ctypes

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.extending import intrinsic

from ... import spec
from ._jit import inner
from .simd import (
    absolute,
    fma,
    keep_first,
    lane,
    lanes,
    load,
    max_lanes,
    offset,
    select_le,
    select_lt,
    splat,
    store,
    sum_lanes,
)
from .vmath import exp, log, log1p_unit, sigmoid


@inner
def pointwise(loss, parameter, s, y, n):
    """From pre-activations s[:n] and targets y[:n] to deltas (in s) and losses (in y)."""
    if loss == spec.LOG_LOSS and parameter > 0.0:
        for i in range(0, n, lanes(s)):
            h, t = sigmoid(load(s, i)), load(y, i)
            p = select_lt(splat(t, 0.5), t, h, 1.0 - h)
            least, most = splat(p, parameter), splat(p, 1.0 - parameter)
            store(y, i, -log(select_lt(p, least, least, select_lt(most, p, most, p))))
            store(s, i, h - t)
    elif loss == spec.LOG_LOSS:
        for i in range(0, n, lanes(s)):
            x, t = load(s, i), load(y, i)
            zero = splat(x, 0.0)
            u = exp(-absolute(x))
            h = select_lt(x, zero, u, splat(x, 1.0)) / (1.0 + u)
            store(y, i, fma(-x, t, select_lt(x, zero, zero, x)) + log1p_unit(u))
            store(s, i, h - t)
    elif loss == spec.SQUARED_ERROR:
        half = 0.5 * (parameter if parameter > 0.0 else 1.0)
        for i in range(0, n, lanes(s)):
            d = load(s, i) - load(y, i)
            store(y, i, half * d * d)
            store(s, i, d)
    elif loss == spec.ABSOLUTE_ERROR:
        for i in range(0, n, lanes(s)):
            d = load(s, i) - load(y, i)
            zero = splat(d, 0.0)
            store(y, i, absolute(d))
            upper = select_lt(zero, d, splat(d, 1.0), zero)
            store(s, i, select_lt(d, zero, splat(d, -1.0), upper))
    elif loss == spec.HUBER:
        for i in range(0, n, lanes(s)):
            d = load(s, i) - load(y, i)
            high, low = splat(d, parameter), splat(d, -parameter)
            linear = parameter * absolute(d) - 0.5 * parameter * parameter
            store(y, i, select_le(absolute(d), high, 0.5 * d * d, linear))
            store(s, i, select_lt(d, low, low, select_lt(high, d, high, d)))
    elif loss == spec.POISSON:
        for i in range(0, n, lanes(s)):
            x, t = load(s, i), load(y, i)
            h = exp(x)
            y_log_y = t * log(select_le(t, splat(t, 0.0), splat(t, 1.0), t))
            store(y, i, fma(-t, x, h) + (y_log_y - t))
            store(s, i, h - t)
    elif loss == spec.QUANTILE:
        for i in range(0, n, lanes(s)):
            d = load(s, i) - load(y, i)
            zero, above, below = splat(d, 0.0), splat(d, 1.0 - parameter), splat(d, -parameter)
            slope = select_lt(zero, d, above, select_lt(d, zero, below, zero))
            store(y, i, slope * d)
            store(s, i, slope)


if config.DISABLE_JIT:

    def call_function(function, rows, n, stride, s, y):
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 2)
        kind(function)(rows, n, stride, s.ctypes.data, y.ctypes.data)

else:

    @intrinsic
    def call_function(typingctx, function, rows, n, stride, s, y):
        """Call the C function at an address, see `function` in backends/interface.py."""

        def codegen(context, builder, signature, args):
            kind = ir.FunctionType(ir.VoidType(), [a.type for a in args[1:]])
            builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, types.int64, types.int64, s, y), codegen


@inner
def row_max(s, n):
    """The largest of the first n numbers of a padded row, in every lane."""
    top = splat(s, -np.inf)
    for j in range(0, n, lanes(s)):
        v = keep_first(load(s, j), n - j, -np.inf)
        top = select_lt(top, v, v, top)
    return splat(s, max_lanes(top))


@inner
def exp_rows(s, h, top, total, rows, n, stride):
    """h = exp(s - max s), and the rows' maxima and sums."""
    for r in range(rows):
        largest = row_max(offset(s, r * stride), n)
        sum_of_row = splat(s, 0.0)
        for j in range(0, n, lanes(s)):
            v = keep_first(exp(load(s, r * stride + j) - largest), n - j, 0.0)
            store(h, r * stride + j, v)
            sum_of_row = sum_of_row + v
        top[r] = lane(largest, 0)
        total[r] = sum_lanes(sum_of_row)


@inner
def cross_entropy(parameter, losses, targets, total, shares, rows):
    """Turn Σ y (max - s), Σ y and Σ exp(s - max) into losses, and the last into share / sum.

    e = Σ y (ln Σ exp(s - max) - (s - max)), h = exp(s - max) / Σ exp(s - max).
    """
    largest = parameter if parameter > 0.0 else np.inf
    for r in range(0, rows, lanes(losses)):
        sums = load(total, r)
        e = fma(load(targets, r), log(sums), load(losses, r))
        limit = splat(sums, largest)
        store(losses, r, select_lt(limit, e, limit, e))
        store(total, r, load(shares, r) / sums)


@inner
def scale_rows(h, factor, rows, n, stride):
    """Multiply each row by its factor; n is the rows' length."""
    for r in range(rows):
        f = splat(h, factor[r])
        for j in range(0, n, lanes(h)):
            store(h, r * stride + j, load(h, r * stride + j) * f)


@inner
def output_activation(loss, s, top, total, rows, n, stride):
    """Turn rows of pre-activations into the network's output; `top` and `total` are scratch."""
    if loss == spec.LOG_LOSS:
        for i in range(0, rows * stride, lanes(s)):
            store(s, i, sigmoid(load(s, i)))
    elif loss == spec.POISSON:
        for i in range(0, rows * stride, lanes(s)):
            store(s, i, exp(load(s, i)))
    elif loss == spec.CROSS_ENTROPY:
        exp_rows(s, s, top, total, rows, n, stride)
        for r in range(0, rows, lanes(s)):
            store(total, r, 1.0 / load(total, r))
        scale_rows(s, total, rows, n, stride)

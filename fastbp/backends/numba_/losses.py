"""Losses with their output activations: a sample's loss e and its delta ∂e/∂s.

All but cross_entropy treat each output by itself and work on outputs without padding.
The twin of this file is ``src_cython/losses.pxi``; the reference is ``numpy_.py``.
"""

import numpy as np

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
def pointwise(loss, s, y, n):
    """From pre-activations s[:n] and targets y[:n] to deltas (in s) and losses (in y)."""
    if loss == spec.LOG_LOSS:
        for i in range(0, n, lanes(s)):
            x, t = load(s, i), load(y, i)
            zero = splat(x, 0.0)
            u = exp(-absolute(x))
            h = select_lt(x, zero, u, splat(x, 1.0)) / (1.0 + u)
            store(y, i, fma(-x, t, select_lt(x, zero, zero, x)) + log1p_unit(u))
            store(s, i, h - t)
    elif loss == spec.SQUARED_ERROR:
        for i in range(0, n, lanes(s)):
            d = load(s, i) - load(y, i)
            store(y, i, 0.5 * d * d)
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
            high, low = splat(d, spec.HUBER_DELTA), splat(d, -spec.HUBER_DELTA)
            linear = spec.HUBER_DELTA * absolute(d) - 0.5 * spec.HUBER_DELTA * spec.HUBER_DELTA
            store(y, i, select_le(absolute(d), high, 0.5 * d * d, linear))
            store(s, i, select_lt(d, low, low, select_lt(high, d, high, d)))
    elif loss == spec.POISSON:
        for i in range(0, n, lanes(s)):
            x, t = load(s, i), load(y, i)
            h = exp(x)
            y_log_y = t * log(select_le(t, splat(t, 0.0), splat(t, 1.0), t))
            store(y, i, fma(-t, x, h) + (y_log_y - t))
            store(s, i, h - t)


@inner
def row_max(s, n, stride):
    """The largest of the first n numbers of a padded row, in every lane."""
    top = splat(s, -np.inf)
    for j in range(0, stride, lanes(s)):
        v = keep_first(load(s, j), n - j, -np.inf)
        top = select_lt(top, v, v, top)
    return splat(s, max_lanes(top))


@inner
def softmax(s, n, stride):
    """h = exp(s - max) / Σ exp(s - max) for one padded row, in place."""
    top = row_max(s, n, stride)
    total = splat(s, 0.0)
    for j in range(0, stride, lanes(s)):
        v = keep_first(exp(load(s, j) - top), n - j, 0.0)
        store(s, j, v)
        total = total + v
    inverse = 1.0 / splat(s, sum_lanes(total))
    for j in range(0, stride, lanes(s)):
        store(s, j, load(s, j) * inverse)


@inner
def cross_entropy(s, d, n, stride, share):
    """One padded row: targets in d become share * delta; returns the row's loss.

    e = Σ y (ln Σ exp(s - max) - (s - max)); s is destroyed.
    """
    top = row_max(s, n, stride)
    total = splat(s, 0.0)
    targets = splat(s, 0.0)  # Σ y, 1 up to rounding
    dot = splat(s, 0.0)  # Σ y (s - max)
    for j in range(0, stride, lanes(s)):
        t = load(d, j)
        shifted = load(s, j) - top
        v = keep_first(exp(shifted), n - j, 0.0)
        store(s, j, v)
        total = total + v
        targets = targets + t
        dot = fma(t, shifted, dot)
    all_exp = splat(s, sum_lanes(total))
    inverse = splat(s, share) / all_exp
    scale = splat(s, share)
    for j in range(0, stride, lanes(s)):
        store(d, j, fma(load(s, j), inverse, -(scale * load(d, j))))
    loss = splat(s, sum_lanes(targets)) * log(all_exp) - splat(s, sum_lanes(dot))
    return lane(loss, 0)


@inner
def output_activation(loss, s, rows, n, stride):
    """Turn padded rows of pre-activations into the network's output, in place."""
    if loss == spec.LOG_LOSS:
        for i in range(0, rows * stride, lanes(s)):
            store(s, i, sigmoid(load(s, i)))
    elif loss == spec.POISSON:
        for i in range(0, rows * stride, lanes(s)):
            store(s, i, exp(load(s, i)))
    elif loss == spec.CROSS_ENTROPY:
        for r in range(rows):
            softmax(offset(s, r * stride), n, stride)

"""Penalties, frozen layers, clipping of gradients and averaging of weights.

The twin of this file is ``src_cython/regularizers.pxi``; the reference is ``numpy_``.
"""

import math

from ...basis.layout import COLUMNS, INPUTS, SIZE, STRIDE, WEIGHTS
from ...basis.spec import FROZEN, L1, L2, RULES
from ._jit import inlined, inner
from .gradients import rows_of, stride_of_rows
from .net import bottom, padded, single_output
from .optimizers import sign
from .simd import absolute, fma, lanes, load, offset, splat, store, sum_lanes

# Added to a norm before dividing by it, as in PyTorch.
NORM_OFFSET = 1e-6


@inlined
def is_frozen(layer_rules, i):
    """Return whether layer i is frozen."""
    return layer_rules[i * RULES + FROZEN] != 0.0


@inner
def lowest_learning(plan, layer_rules, m):
    """Return the first layer that is not frozen; 0 if the input learns."""
    for i in range(0 if plan[INPUTS] != 0 else 1, m):
        if not is_frozen(layer_rules, i):
            return i
    return m


@inner
def penalised(layer_rules, m):
    """Return whether any layer has a penalty."""
    largest = 0.0
    for i in range(1, m + 1):
        largest = max(largest, layer_rules[i * RULES + L1], layer_rules[i * RULES + L2])
    return largest > 0.0


@inner
def penalties(net, layer_rules):
    """Return Σ l1 |W| + l2 / 2 W² over all weights, biases excluded."""
    total = 0.0
    for i in range(1, net.m + 1):
        l1, half_l2 = layer_rules[i * RULES + L1], 0.5 * layer_rules[i * RULES + L2]
        if l1 == 0.0 and half_l2 == 0.0:
            continue
        here = offset(net.plan, i * COLUMNS)
        W = offset(net.parameters, here[WEIGHTS])
        rows, n, stride = net.plan[(i - 1) * COLUMNS + SIZE], here[SIZE], here[STRIDE]
        if single_output(net, i):
            rows, n = 1, rows
        for k in range(rows):
            squares = sizes = splat(W, 0.0)
            for j in range(0, n, lanes(W)):
                w = load(W, k * stride + j)
                squares = fma(w, w, squares)
                sizes = sizes + absolute(w)
            total += half_l2 * sum_lanes(squares)
            total += l1 * sum_lanes(sizes)
    return total


@inner
def add_penalties(w, g, n, l1, l2):
    """g[:n] += l1 sign(w) + l2 w."""
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        share = fma(splat(w, l2), x, load(g, i))
        store(g, i, fma(splat(w, l1), sign(x), share))


@inner
def note_squares(net, i, gradient, first, last, squares):
    """Write Σ g² of each of layer i's rows first..last - 1 to its part of `squares`.

    The part of the input's tables is the last.
    """
    here = offset(net.plan, i * COLUMNS)
    n, stride = padded(gradient, here[SIZE]), stride_of_rows(net, i)
    G = offset(gradient, here[WEIGHTS])
    if i == 0:
        n = stride
    for k in range(1, i if i > 0 else net.m + 1):
        squares = offset(squares, rows_of(net, k))
    if single_output(net, i):  # one row, the bias in the vector behind it
        n = padded(gradient, net.plan[(i - 1) * COLUMNS + SIZE]) + lanes(gradient)
        first, last = 0, 1
    for k in range(first, last):
        total = splat(G, 0.0)
        for j in range(0, n, lanes(G)):
            g = load(G, k * stride + j)
            total = fma(g, g, total)
        squares[k] = sum_lanes(total)


@inner
def clip_factor(net, squares, norm):
    """Return the factor that scales the gradient's norm down to at most `norm`."""
    rows, total = 0, 0.0
    for i in range(bottom(net), net.m + 1):
        rows += rows_of(net, i)
    for k in range(rows):
        total += squares[k]
    return min(1.0, norm / (math.sqrt(total) + NORM_OFFSET))


@inner
def scale(g, n, factor):
    """g[:n] *= factor."""
    for i in range(0, n, lanes(g)):
        store(g, i, splat(g, factor) * load(g, i))


@inner
def blend(average, w, n, keep):
    """average[:n] = keep average + (1 - keep) w."""
    add = splat(w, 1.0 - keep)
    for i in range(0, n, lanes(w)):
        store(average, i, fma(splat(w, keep), load(average, i), add * load(w, i)))

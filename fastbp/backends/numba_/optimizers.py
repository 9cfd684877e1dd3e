"""Optimisers: each an elementwise update of weights from gradients, which knows nothing of layers.

The signs that weights must keep are restored behind it.

Rules and sources are in ``fastbp/rules/optimizers.py``. The twin of this file is
``src_cython/optimizers.pxi``; the reference is ``numpy_``.
"""

import math
from collections import namedtuple

from numba import types

from ...basis import spec
from ._jit import REALS, Piece, inner
from .simd import (
    fma,
    lanes,
    load,
    select_lt,
    splat,
    sqrt,
    store,
)
from .vmath import reciprocal

# A step's learning rate, and the rate and epsilon after Adam's bias corrections.
Pace = namedtuple("Pace", "rate corrected epsilon")


@inner
def pace_of(optimizer, hyper, learning_rate, counters):
    """The Pace of a step that `counters` already counts."""
    corrected, epsilon = learning_rate, hyper[3]
    if optimizer == spec.ADAM or optimizer == spec.ADAMW:
        # η m̂ / (√v̂ + ε) = (η c / (1 - β1^t)) m / (√v + c ε) with c = √(1 - β2^t); ε̂ = c ε.
        correction = math.sqrt(1.0 - counters[2])
        corrected = learning_rate * correction / (1.0 - counters[1])
        if hyper[5] == 0.0:
            epsilon = hyper[3] * correction
    return Pace(learning_rate, corrected, epsilon)


@inner
def sign(v):
    """-1, 0 or 1."""
    zero = splat(v, 0.0)
    return select_lt(v, zero, splat(v, -1.0), select_lt(zero, v, splat(v, 1.0), zero))


# One step of w[:n] for gradients g[:n] and the state arrays `first` and `second`. `hyper` are the
# optimiser's numbers; `rate`, `corrected` and `epsilon` are the step's Pace. n is a whole number of
# vectors; `l2` and `decay` apply to these weights (0 for biases).


def sgd(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    minus_rate, penalty = splat(w, -rate), splat(w, l2)
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        store(w, i, fma(minus_rate, fma(penalty, x, load(g, i)), x))


def momentum(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    minus_rate, penalty = splat(w, -rate), splat(w, l2)
    mu = splat(w, hyper[1])
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        v = fma(mu, load(first, i), minus_rate * fma(penalty, x, load(g, i)))
        store(first, i, v)
        store(w, i, x + v)


def nesterov(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    minus_rate, penalty = splat(w, -rate), splat(w, l2)
    mu = splat(w, hyper[1])
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        step = minus_rate * fma(penalty, x, load(g, i))
        v = fma(mu, load(first, i), step)
        store(first, i, v)
        store(w, i, x + fma(mu, v, step))


def rmsprop(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    eta, penalty, offset = splat(w, rate), splat(w, l2), splat(w, epsilon)
    keep, add = splat(w, hyper[1]), splat(w, 1.0 - hyper[1])
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        d = fma(penalty, x, load(g, i))
        v = fma(keep, load(first, i), add * d * d)
        store(first, i, v)
        store(w, i, x - eta * d * reciprocal(sqrt(v) + offset))


def adagrad(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    eta, penalty, offset = splat(w, rate), splat(w, l2), splat(w, epsilon)
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        d = fma(penalty, x, load(g, i))
        v = fma(d, d, load(first, i))
        store(first, i, v)
        store(w, i, x - eta * d * reciprocal(sqrt(v) + offset))


def adam(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    """With weight decay, AdamW."""
    eta, penalty, offset = splat(w, corrected), splat(w, l2), splat(w, epsilon)
    keep_1, add_1 = splat(w, hyper[1]), splat(w, 1.0 - hyper[1])
    keep_2, add_2 = splat(w, hyper[2]), splat(w, 1.0 - hyper[2])
    shrink = splat(w, 1.0 - rate * decay)
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        d = fma(penalty, x, load(g, i))
        m = fma(keep_1, load(first, i), add_1 * d)
        v = fma(keep_2, load(second, i), add_2 * d * d)
        store(first, i, m)
        store(second, i, v)
        store(w, i, shrink * x - eta * m * reciprocal(sqrt(v) + offset))


def rprop(hyper, rate, corrected, epsilon, w, g, first, second, n, l2, decay):
    penalty, zero, one = splat(w, l2), splat(w, 0.0), splat(w, 1.0)
    minus, plus = splat(w, hyper[1]), splat(w, hyper[2])
    smallest, largest = splat(w, hyper[3]), splat(w, hyper[4])
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        d = fma(penalty, x, load(g, i))
        # The product of the signs; the product of the numbers could underflow.
        agreement = sign(d) * sign(load(first, i))
        factor = select_lt(zero, agreement, plus, select_lt(agreement, zero, minus, one))
        step = load(second, i) * factor
        step = select_lt(step, smallest, smallest, select_lt(largest, step, largest, step))
        d = select_lt(agreement, zero, zero, d)
        store(first, i, d)
        store(second, i, step)
        store(w, i, x - sign(d) * step)


def _piece(function):
    pointer, real = types.CPointer(types.float64), types.float64
    return Piece(function, pointer, real, real, real, *[REALS] * 4, types.intp, real, real)


_adam = _piece(adam)
UPDATES = {
    spec.SGD: _piece(sgd),
    spec.MOMENTUM: _piece(momentum),
    spec.NESTEROV: _piece(nesterov),
    spec.RMSPROP: _piece(rmsprop),
    spec.ADAGRAD: _piece(adagrad),
    spec.ADAM: _adam,
    spec.ADAMW: _adam,
    spec.RPROP: _piece(rprop),
}


def keep_signs(w, signs, n):
    """w[:n] = 0 where it has not the sign that `signs` demands; 0 there demands none."""
    zero = splat(w, 0.0)
    for i in range(0, n, lanes(w)):
        x = load(w, i)
        store(w, i, select_lt(load(signs, i) * x, zero, zero, x))


KEEP_SIGNS = Piece(keep_signs, REALS, REALS, types.intp)

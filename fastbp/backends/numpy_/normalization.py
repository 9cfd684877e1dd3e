"""Normalised layers of the reference: jets, the way back, and derivatives along a vector.

The derivatives are those of docs/mathematics.md, "Derivatives of normalised layers". Jets are
arrays of shape (P, n, n_i), see ``Backend.jets`` in interface.py.
"""

from typing import NamedTuple

import numpy as np

from ...basis import spec
from ...basis.layout import NORM


class Normalized(NamedTuple):
    """The jets of x̂, and what the way back needs besides.

    Attributes
    ----------
    x : ndarray of shape (P, n, n_i)
        x̂, x̂'_k and x̂''.
    u : ndarray of shape (P, n, n_i)
        x̂, and the derivatives of s without their means and divided by the deviation.
    inverse : ndarray of shape (n, 1)
        r = 1 / √(variance + ε).
    growth : ndarray of shape (K, n, 1)
        The first derivatives of the deviation, divided by it.
    second_growth : ndarray of shape (S, n, 1)
        Its second derivatives, or their sum, divided by it.
    """

    x: np.ndarray
    u: np.ndarray
    inverse: np.ndarray
    growth: np.ndarray
    second_growth: np.ndarray


def _mean(a):
    return a.mean(axis=-1, keepdims=True)


def _centred(layer, a):
    """`a` without the mean of each row, if the layer subtracts it."""
    return a - _mean(a) if layer[NORM] == spec.LAYER_NORM else a


def _for(like, sets):
    """A set for each of the second derivatives in `like`: each k for itself, or the sum."""
    return sets if len(like) == len(sets) else sets.sum(axis=0, keepdims=True)


def normalize(layer, s, K):
    """The `Normalized` of the jets s along K directions."""
    c = _centred(layer, s)
    inverse = 1 / np.sqrt(_mean(c[0] * c[0]) + s.dtype.type(spec.NORM_EPSILON))
    u = c * inverse
    x, first, second = u.copy(), u[1 : K + 1], u[K + 1 :]
    growth = _mean(u[0] * first)
    x[1 : K + 1] -= growth * u[0]
    of_squares = _mean(first * first) - growth * growth
    second_growth = second[:, :, :1]
    if len(second):
        second_growth = _mean(u[0] * second) + _for(second, of_squares)
        x[K + 1 :] -= _for(second, 2 * growth * x[1 : K + 1]) + second_growth * u[0]
    return Normalized(x, u, inverse, growth, second_growth)


def normalize_back(layer, b, found, K):
    """Adjoints of the jets of s from those of x̂."""
    (x, u, inverse, growth, second_growth), u0 = found, found.u[0]
    by_x, by_first, by_second = b[0].copy(), b[1 : K + 1].copy(), b[K + 1 :]
    back = b.copy()
    if len(by_second):
        of_second = -_mean(by_second * u0)
        by_first -= 2 * growth * by_second
        of_growth = -2 * _mean(by_second * x[1 : K + 1]) - 2 * growth * of_second
        by_x += (of_second * u[K + 1 :] - second_growth * by_second).sum(axis=0)
        back[K + 1 :] += of_second * u0
    else:
        of_growth = of_second = np.zeros_like(growth)
    of_growth = of_growth - _mean(by_first * u0)
    by_x += (of_growth * u[1 : K + 1] - growth * by_first).sum(axis=0)
    back[1 : K + 1] = by_first + 2 * of_second * u[1 : K + 1] + of_growth * u0
    back[0] = by_x
    back[0] -= u0 * _mean((back * u).sum(axis=0))
    return inverse * _centred(layer, back)


def back_along(layer, dz, dz_along, scale, scale_along, found):
    """∂e/∂s and its derivative along a vector, from ∂e/∂z and its derivative.

    `scale` is γ, `scale_along` its part of the vector; `found` has K = 1 first derivative.
    """
    (x, x_along), inverse, (growth,) = found.x, found.inverse, found.growth
    g, g_along = scale * dz, scale * dz_along + scale_along * dz
    mean, mean_along = _mean(g * x), _mean(g_along * x + g * x_along)
    ds = inverse * (_centred(layer, g) - x * mean)
    core = _centred(layer, g_along) - x_along * mean - x * mean_along
    return ds, inverse * core - growth * ds

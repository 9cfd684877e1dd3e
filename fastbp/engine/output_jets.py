"""Jets of the output activations: how h_m and its derivatives follow from those of s_m.

Jets are arrays of shape (P, n, n_m), see ``Backend.jets``: values, derivatives in K directions, and
second derivatives: none, in the same directions, or their sum.
"""

from typing import Any

import numpy as np

from ..backends.numpy_.jets import back_through, through
from ..backends.numpy_.losses import softmax
from .output import functions_of


def jets(activation, s, K):
    """The jets of h from those of s; s itself if they are the same."""
    if activation == "identity":
        return s
    with np.errstate(all="ignore"):
        if activation == "softmax":
            return _jets_of_softmax(s, K)
        functions, h = functions_of(activation), np.empty_like(s)
        h[0] = functions.value(s[0])
        d1, d2 = functions.derivative(s[0], h[0]), functions.second_derivative(s[0], h[0])
        through(s, h, K, d1, d2)
    return h


def adjoints(activation, s, h, K, by_h):
    """∂f/∂s of a function f of the jets of h, from ∂f/∂h, all of the same shape."""
    if activation == "identity":
        return by_h
    with np.errstate(all="ignore"):
        if activation == "softmax":
            return _adjoints_of_softmax(s, h, K, by_h)
        functions: Any = functions_of(activation)
        of_values = s[0], h[0]
        by_s, d3 = by_h.copy(), 0
        if len(s) > K + 1:
            d3 = functions.third_derivative(*of_values)
        d1, d2 = functions.derivative(*of_values), functions.second_derivative(*of_values)
        back_through(by_s, s, K, d1, d2, d3)
    return by_s


def _dot(a, b):
    """The inner products of rows, as columns."""
    return (a * b).sum(axis=-1, keepdims=True)


# softmax: with p = h and u_k = s'_k - <p, s'_k>, p'_k = p ∘ u_k, and
# p''_k = p'_k ∘ u_k + p ∘ (s''_k - <p, s''_k> - <p'_k, s'_k>), or the sum of these over k.


def _sum(sets, like):
    """A set for each of the second derivatives in `like`: each k for itself, or the sum."""
    return sets if len(like) == len(sets) else sets.sum(axis=0, keepdims=True)


def _jets_of_softmax(s, K):
    first, second = s[1 : K + 1], s[K + 1 :]
    h = np.empty_like(s)
    p = h[0] = softmax(s[0])
    u = first - _dot(p, first)
    h[1 : K + 1] = p * u
    if len(second):
        curved = h[1 : K + 1] * u - p * _dot(h[1 : K + 1], first)
        h[K + 1 :] = _sum(curved, second) + p * (second - _dot(p, second))
    return h


def _adjoints_of_softmax(s, h, K, by_h):
    """Back through the lines of `_jets_of_softmax`, from the last to the first."""
    p, first, second = h[0], s[1 : K + 1], s[K + 1 :]
    p_first = h[1 : K + 1]
    u = first - _dot(p, first)
    by_s = np.zeros_like(by_h)
    by_p, by_p_first = by_h[0].copy(), by_h[1 : K + 1].copy()
    by_u = np.zeros_like(u)
    if len(second):
        by_second = by_h[K + 1 :]
        total = _dot(p, by_second)
        w = second - _dot(p, second) - _sum(_dot(p_first, first), second)
        by_p += (by_second * w - total * second).sum(axis=0)
        by_p_first += by_second * u - total * first
        by_u += by_second * p_first
        by_s[K + 1 :] = p * (by_second - total)
        by_s[1 : K + 1] = -total * p_first
    by_u += p * by_p_first
    total = by_u.sum(axis=-1, keepdims=True)
    by_p += (by_p_first * u - total * first).sum(axis=0)
    by_s[1 : K + 1] += by_u - total * p
    by_s[0] = p * (by_p - _dot(p, by_p))
    return by_s

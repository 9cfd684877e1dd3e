"""Derivatives of the outputs by the inputs, and products with the Hessian, of the reference.

Values of a unit that belong together are one array: its jet of shape (P, n, n_i), see
``Backend.jets`` in interface.py.
"""

from typing import Any

import numpy as np

from ...basis.layout import SIZE, views
from .elementwise import of_layer
from .losses import dense, loss_and_delta
from .losses import hessian_product as loss_hessian_product


def _derivatives(plan, i, s, h, order):
    """σ', σ'' and, of order 3, σ''' of hidden layer i, from the values s and h of its units."""
    functions: Any = of_layer(plan[i])
    third = functions.third_derivative(s, h) if order == 3 else 0
    return functions.derivative(s, h), functions.second_derivative(s, h), third


def through(s, h, K, d1, d2):
    """Write the derivatives of h = σ(s) along K directions; h[0] = σ(s[0]) is there already."""
    first, second = s[1 : K + 1], s[K + 1 :]
    h[1 : K + 1] = d1 * first
    if len(second):
        squares = first * first if len(second) == K else (first * first).sum(axis=0)
        h[K + 1 :] = d1 * second + d2 * squares


def back_through(a, s, K, d1, d2, d3):
    """Adjoints of s from those of h = σ(s), in place."""
    first, second = s[1 : K + 1], s[K + 1 :]
    by_value, by_first, by_second = a[0], a[1 : K + 1], a[K + 1 :]
    value = d1 * by_value + (d2 * first * by_first).sum(axis=0)
    by_first *= d1
    if len(second):
        squares = first * first if len(second) == K else (first * first).sum(axis=0)
        value += ((d2 * second + d3 * squares) * by_second).sum(axis=0)
        by_first += 2 * d2 * first * by_second
        by_second *= d1
    by_value[...] = value


def _forward(model, X, directions, seconds):
    """The jets (s_i, h_i) of all layers, as two lists; h_0 and s_0 are the input."""
    plan, n_in = model.plan, X.shape[1]
    K = len(directions) or n_in
    weights, biases, *_ = views(plan, model.parameters)
    first = np.zeros((1 + K + seconds, *X.shape), X.dtype)
    first[0] = X
    first[1 : K + 1] = directions if len(directions) else np.eye(n_in)[:, None]
    s, h = [first], [first]
    for i in range(1, len(plan)):
        s.append(h[-1] @ weights[i - 1])
        s[i][0] += biases[i - 1]
        h.append(np.empty_like(s[i]))
        if i < len(plan) - 1:
            h[i][0] = of_layer(plan[i]).value(s[i][0])
            d1, d2, _ = _derivatives(plan, i, s[i][0], h[i][0], 2)
            through(s[i], h[i], K, d1, d2)
    return s, h


@np.errstate(all="ignore")
def jets(model, X, directions, seconds, block, workspace, out):
    out[...] = _forward(model, X, directions, seconds)[0][-1]


@np.errstate(all="ignore")
def jets_backward(model, X, directions, seconds, adjoints, workspace, transposed, gradient):
    plan = model.plan
    weights = views(plan, model.parameters).weights
    of_weights, of_biases, *_ = views(plan, gradient)
    s, h = _forward(model, X, directions, seconds)
    K, a = len(directions) or X.shape[1], adjoints
    for i in range(len(weights), 0, -1):
        of_weights[i - 1][...] = np.einsum("pri,prj->ij", h[i - 1], a)
        of_biases[i - 1][...] = a[0].sum(axis=0)
        if i > 1:
            a = a @ weights[i - 1].T
            order = 3 if seconds else 2
            of_unit = _derivatives(plan, i - 1, s[i - 1][0], h[i - 1][0], order)
            back_through(a, s[i - 1], K, *of_unit)


@np.errstate(all="ignore")
def input_derivatives(model, X, block, workspace, transposed, s, first, second):
    K, seconds = X.shape[1], second.shape[2] if second.size else 0
    found = _forward(model, X, np.empty((0, *X.shape)), seconds)[0][-1]
    s[...] = found[0]
    if first.size:
        first[...] = found[1 : K + 1].transpose(1, 2, 0)
    if second.size:
        second[...] = found[K + 1 :].transpose(1, 2, 0)


@np.errstate(all="ignore")
def hessian_product(model, data, vector, total, workspace, transposed, out):
    plan, X = model.plan, data.X
    (W, b), (V, v), (of_W, of_b) = (views(plan, x)[:2] for x in (model.parameters, vector, out))
    m = len(W)
    s, ds, h, dh = [None], [None], [X], [np.zeros_like(X)]  # d is the derivative along the vector
    for i in range(1, m + 1):
        s.append(h[-1] @ W[i - 1] + b[i - 1])
        ds.append(dh[-1] @ W[i - 1] + h[-1] @ V[i - 1] + v[i - 1])
        if i < m:
            functions = of_layer(plan[i])
            h.append(functions.value(s[i]).astype(X.dtype, copy=False))
            slope = functions.derivative(s[i], h[i])
            dh.append((slope * ds[i]).astype(X.dtype, copy=False))
    y = dense(data.labels, data.targets, plan[-1, SIZE], X.dtype)
    share = (data.sample_weight if data.sample_weight.size else np.ones(len(X), X.dtype))[:, None]
    # In double precision: Σ w may be too large for float32.
    share = share / np.float64(total) if total != 0 else np.zeros_like(share)
    delta = (loss_and_delta(model, s[m], y)[1] * share).astype(X.dtype, copy=False)
    d_delta = (loss_hessian_product(model, s[m], y, ds[m]) * share).astype(X.dtype, copy=False)
    left_out = share[:, 0] == 0
    if left_out.any():  # these rows may have overflowed, and 0 * inf is NaN
        for array in (delta, d_delta, *s[1:], *ds[1:], *h, *dh):
            array[left_out] = 0
    for i in range(m, 0, -1):
        of_W[i - 1][...] = dh[i - 1].T @ delta + h[i - 1].T @ d_delta
        of_b[i - 1][...] = d_delta.sum(axis=0)
        if i > 1:
            back, d_back = delta @ W[i - 1].T, d_delta @ W[i - 1].T + delta @ V[i - 1].T
            d1, d2, _ = _derivatives(plan, i - 1, s[i - 1], h[i - 1], 2)
            delta = (d1 * back).astype(X.dtype, copy=False)
            d_delta = (d1 * d_back + d2 * ds[i - 1] * back).astype(X.dtype, copy=False)


@np.errstate(all="ignore")
def loss_deltas(model, data, s, block, workspace, losses, deltas):
    y = dense(data.labels, data.targets, s.shape[1], s.dtype)
    losses[...], deltas[...] = loss_and_delta(model, s, y)

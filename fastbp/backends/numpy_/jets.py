"""Derivatives of the outputs by the inputs, and products with the Hessian, of the reference.

Values of a unit that belong together are one array: its jet of shape (P, n, n_i), see
``Backend.jets`` in interface.py.
"""

from typing import Any, NamedTuple

import numpy as np

from ...basis import spec
from ...basis.layout import ACTIVATION, NORM, RESIDUAL, SIZE, views
from .elementwise import activation_of
from .losses import dense, loss_and_delta
from .losses import hessian_product as loss_hessian_product
from .normalization import back_along, normalize, normalize_back
from .outputs import first_derivatives, second_derivatives


def _derivatives(plan, arrays, i, s, h, order):
    """σ', σ'' and, of order 3, σ''' of hidden layer i, from the values s and h of its units."""
    functions: Any = activation_of(plan, arrays, i)
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


class Pass(NamedTuple):
    """The jets that a pass forward leaves: lists by layer, whose index 0 is the input.

    Attributes
    ----------
    z, h : list
        Jets of what σ_i gets, which is s_i, or z_i after a normalisation; and of σ_i of that.
    out : list
        Jets as the next layer gets them, after the addition of the layer's input.
    normalized : list
        The `Normalized` of s_i; None without a normalisation.
    """

    z: list
    h: list
    out: list
    normalized: list


def _forward(model, X, directions, seconds):
    """The `Pass` of the rows X."""
    plan, n_in = model.plan, X.shape[1]
    K = len(directions) or n_in
    arrays = views(plan, model.parameters)
    first = np.zeros((1 + K + seconds, *X.shape), X.dtype)
    first[0] = X
    first[1 : K + 1] = directions if len(directions) else np.eye(n_in)[:, None]
    found = Pass([first], [first], [first], [None])
    for i in range(1, len(plan)):
        z = s = found.out[-1] @ arrays.weights[i - 1]
        s[0] += arrays.biases[i - 1]
        normalized = None
        if plan[i, NORM]:
            normalized = normalize(plan[i], s, K)
            z = arrays.norm_weights[i - 1] * normalized.x
            if plan[i, NORM] == spec.LAYER_NORM:
                z[0] += arrays.norm_biases[i - 1]
        h = np.empty_like(z)
        if i < len(plan) - 1:
            h[0] = activation_of(plan, arrays, i).value(z[0])
            d1, d2, _ = _derivatives(plan, arrays, i, z[0], h[0], 2)
            through(z, h, K, d1, d2)
        out = h + found.out[-1] if plan[i, RESIDUAL] else h
        for array, of_layers in zip((z, h, out, normalized), found, strict=True):
            of_layers.append(array)
    return found


@np.errstate(all="ignore")
def jets(model, X, directions, seconds, block, workspace, out):
    out[...] = _forward(model, X, directions, seconds).z[-1]


@np.errstate(all="ignore")
def jets_backward(model, X, directions, seconds, adjoints, workspace, transposed, gradient):
    _backward(model, _forward(model, X, directions, seconds), adjoints, seconds, gradient)


def _backward(model, found, adjoints, seconds, gradient):
    """Write the gradient, from the adjoints of the jets of s_m."""
    plan = model.plan
    arrays, of = views(plan, model.parameters), views(plan, gradient)
    K, a, by_out = len(adjoints) - 1 - seconds, adjoints, None
    for i in range(len(plan) - 1, 0, -1):
        of.weights[i - 1][...] = np.einsum("pri,prj->ij", found.out[i - 1], a)
        of.biases[i - 1][...] = a[0].sum(axis=0)
        if i > 1:
            back = a @ arrays.weights[i - 1].T
            by_out = back + by_out if plan[i, RESIDUAL] else back
            a = _back_through_units(plan, arrays, i - 1, found, by_out, K, seconds, of)


def _back_through_units(plan, arrays, i, found, by_out, K, seconds, of):
    """Adjoints of s_i of a hidden layer, and the gradient of its parameters behind the biases."""
    a, z, h, normalized = by_out.copy(), found.z[i], found.h[i], found.normalized[i]
    if plan[i, ACTIVATION] == spec.PRELU:
        of.slopes[i - 1][...] = np.where(z[0] > 0, 0, a * z).sum(axis=(0, 1))
    order = 3 if seconds else 2
    back_through(a, z, K, *_derivatives(plan, arrays, i, z[0], h[0], order))
    if plan[i, NORM]:
        of.norm_weights[i - 1][...] = (a * normalized.x).sum(axis=(0, 1))
        if plan[i, NORM] == spec.LAYER_NORM:
            of.norm_biases[i - 1][...] = a[0].sum(axis=0)
        a = normalize_back(plan[i], arrays.norm_weights[i - 1] * a, normalized, K)
    return a


@np.errstate(all="ignore")
def input_derivatives(model, X, direction, back, block, workspace, transposed, first, second):
    K, seconds = first.shape[2], second.shape[2] if second.size else 0
    directions = direction[None] if direction.size else np.empty((0, *X.shape))
    found = _forward(model, X, directions, seconds).z[-1]
    s, slopes, curves = found[0], found[1 : K + 1], found[K + 1 :]
    slopes, curves = (sets.transpose(1, 2, 0) for sets in (slopes, curves))
    if seconds:
        second[...] = second_derivatives(model, s, slopes, curves)
    else:
        first[...] = first_derivatives(model, s, slopes)


@np.errstate(all="ignore")
def sobolev_gradient(
    model,
    data,
    dy,
    order,
    derivative_weight,
    back,
    total,
    block,
    workspace,
    transposed,
    gradient,
    sums,
    first,
    last,
    stop,
):
    rows, mean = order if len(order) else np.arange(len(data.X)), 0.0
    if not len(sums):
        return _of_rows(model, data.rows(rows), dy[rows], derivative_weight, total, gradient)
    blocks, groups = -(-len(rows) // block), len(sums)
    for group in range(first, last):
        start, end = (block * (blocks * k // groups) for k in (group, group + 1))
        part = rows[start:end]
        mean = _of_rows(model, data.rows(part), dy[part], derivative_weight, total, gradient)
        sums[group] = 0
        sums[group, : len(gradient)], sums[group, -1] = gradient, mean
    return mean


def _of_rows(model, data, dy, derivative_weight, total, gradient):
    """The part of the objective that some rows have, and its gradient."""
    found = _forward(model, data.X, np.empty((0, *data.X.shape)), 0)
    s = found.z[-1]
    weight = data.sample_weight if len(data.sample_weight) else np.ones(len(s[0]), s.dtype)
    shares = (weight / np.float64(total)).astype(s.dtype)
    y = dense(data.labels, data.targets, s.shape[2], s.dtype)
    losses, deltas = loss_and_delta(model, s[0], y)
    differences = s[1:].transpose(1, 2, 0) - dy
    differences[np.isnan(dy)] = 0
    adjoints = np.empty_like(s)
    adjoints[0] = shares[:, None] * deltas
    of_slopes = (derivative_weight * shares)[:, None, None] * differences
    adjoints[1:] = of_slopes.transpose(2, 0, 1)
    _backward(model, found, adjoints, 0, gradient)
    squares = np.square(differences, dtype=np.float64).sum(axis=(1, 2))
    return float(shares @ (losses + derivative_weight / 2 * squares))


def _forward_along(plan, arrays, vector, X):
    """The `Pass` with a set for the values and one for their derivatives along the vector."""
    first = np.stack([X, np.zeros_like(X)])
    found = Pass([first], [first], [first], [None])
    for i in range(1, len(plan)):
        below = found.out[-1]
        z = s = below @ arrays.weights[i - 1]
        s[0] += arrays.biases[i - 1]
        s[1] += below[0] @ vector.weights[i - 1] + vector.biases[i - 1]
        normalized = None
        if plan[i, NORM]:
            normalized = normalize(plan[i], s, 1)
            z = arrays.norm_weights[i - 1] * normalized.x
            z[1] += vector.norm_weights[i - 1] * normalized.x[0]
            if plan[i, NORM] == spec.LAYER_NORM:
                z[0] += arrays.norm_biases[i - 1]
                z[1] += vector.norm_biases[i - 1]
        h = np.empty_like(z)
        if i < len(plan) - 1:
            functions = activation_of(plan, arrays, i)
            h[0] = functions.value(z[0])
            h[1] = functions.derivative(z[0], h[0]) * z[1]
            if plan[i, ACTIVATION] == spec.PRELU:
                h[1] += vector.slopes[i - 1] * np.minimum(z[0], 0)
        out = h + found.out[-1] if plan[i, RESIDUAL] else h
        for array, of_layers in zip((z, h, out, normalized), found, strict=True):
            of_layers.append(array)
    return found


@np.errstate(all="ignore")
def hessian_product(model, data, vector, total, workspace, transposed, out):
    plan, X = model.plan, data.X
    y = dense(data.labels, data.targets, plan[-1, SIZE], X.dtype)
    share = (data.sample_weight if data.sample_weight.size else np.ones(len(X), X.dtype))[:, None]
    # In double precision: Σ w may be too large for float32.
    share = share / np.float64(total) if total != 0 else np.zeros_like(share)
    kept = share[:, 0] != 0  # the other rows may overflow, and 0 * inf is NaN
    X, y, share = X[kept], y[kept], share[kept]
    arrays, along, of = (views(plan, x) for x in (model.parameters, vector, out))
    found = _forward_along(plan, arrays, along, X)
    s, ds = found.z[-1]
    delta = (loss_and_delta(model, s, y)[1] * share).astype(X.dtype, copy=False)
    d_delta = (loss_hessian_product(model, s, y, ds) * share).astype(X.dtype, copy=False)
    back = d_back = 0  # errors at the layer's output
    for i in range(len(plan) - 1, 0, -1):
        (h, dh), W = found.out[i - 1], arrays.weights[i - 1]
        of.weights[i - 1][...] = dh.T @ delta + h.T @ d_delta
        of.biases[i - 1][...] = d_delta.sum(axis=0)
        if i > 1:
            through_weights = delta @ W.T, d_delta @ W.T + delta @ along.weights[i - 1].T
            if plan[i, RESIDUAL]:
                back, d_back = back + through_weights[0], d_back + through_weights[1]
            else:
                back, d_back = through_weights
            both = _back_through_units_along(plan, arrays, along, i - 1, found, back, d_back, of)
            delta, d_delta = (array.astype(X.dtype, copy=False) for array in both)


def _back_through_units_along(plan, arrays, along, i, found, back, d_back, of):
    """∂e/∂s_i of a hidden layer and its derivative, from those by the layer's output."""
    (z, dz), normalized = found.z[i], found.normalized[i]
    d1, d2, _ = _derivatives(plan, arrays, i, z, found.h[i][0], 2)
    delta, d_delta = d1 * back, d1 * d_back + d2 * dz * back
    if plan[i, ACTIVATION] == spec.PRELU:
        d_delta += np.where(z > 0, 0, along.slopes[i - 1] * back)
        of.slopes[i - 1][...] = np.where(z > 0, 0, d_back * z + back * dz).sum(axis=0)
    if plan[i, NORM]:
        x, dx = normalized.x
        of.norm_weights[i - 1][...] = (d_delta * x + delta * dx).sum(axis=0)
        if plan[i, NORM] == spec.LAYER_NORM:
            of.norm_biases[i - 1][...] = d_delta.sum(axis=0)
        scales = arrays.norm_weights[i - 1], along.norm_weights[i - 1]
        return back_along(plan[i], delta, d_delta, *scales, normalized)
    return delta, d_delta


@np.errstate(all="ignore")
def loss_deltas(model, data, s, block, workspace, losses, deltas):
    y = dense(data.labels, data.targets, s.shape[1], s.dtype)
    losses[...], deltas[...] = loss_and_delta(model, s, y)

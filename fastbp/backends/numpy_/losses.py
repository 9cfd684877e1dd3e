"""Losses of the reference, with the output activations that belong to them.

A loss takes pre-activations s and targets y of shape (n, n_m) and the loss's parameter. It returns
each sample's loss e, summed over the outputs, and its delta ∂e/∂s. The function below it takes a
vector v besides, for each sample, and returns the product of the Hessian ∂²e/∂s∂s and v.

Where the plan has an output activation σ of its own (PAIRED), the losses are functions of the
output h = σ(s) instead, and ∂e/∂s = ∂e/∂h σ'(s).
"""

import ctypes
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...basis import spec
from ...basis.layout import PAIRED
from . import distributions, heads
from .elementwise import ACTIVATIONS, identity, sigmoid


def log_loss(s, y, least):
    """e = -y ln h - (1 - y) ln(1 - h) with h = σ(s), as max(s, 0) - s y + ln(1 + exp(-|s|))."""
    h = sigmoid(s)
    if least:
        e = -np.log(np.clip(np.where(y > 0.5, h, 1 - h), least, 1 - least))
    else:
        e = np.maximum(s, 0) - s * y + np.log1p(np.exp(-np.abs(s)))
    return e.sum(axis=1), h - y


def log_loss_hessian_product(s, y, least, v):
    """h (1 - h) = u / (1 + u)² with u = exp(-|s|), which keeps its digits where h is near 1."""
    u = np.exp(-np.abs(s))
    return u / (1 + u) ** 2 * v


def softmax(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(s, y, most):
    """e = -Σ y ln softmax(s) for targets that sum to 1."""
    shifted = s - s.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    e = (y * (log_sum - shifted)).sum(axis=1)
    return np.minimum(e, most or np.inf), softmax(s) - y


def cross_entropy_hessian_product(s, y, most, v):
    """p ∘ v - p (p · v) with p = softmax(s)."""
    p = softmax(s)
    return p * (v - (p * v).sum(axis=1, keepdims=True))


def squared_error(s, y, factor):
    """e = ½ (s - y)²."""
    return ((s - y) ** 2).sum(axis=1) * ((factor or 1) / 2), s - y


def squared_error_hessian_product(s, y, factor, v):
    return v


def no_curvature(s, y, _, v):
    """The product for piecewise linear losses: 0, also at their kinks."""
    return np.zeros_like(v)


def absolute_error(s, y, _):
    """e = |s - y|; the derivative at 0 is taken as 0."""
    return np.abs(s - y).sum(axis=1), np.sign(s - y)


def huber(s, y, delta):
    """e = ½ d² for |d| ≤ δ, δ |d| - ½ δ² beyond; d = s - y."""
    d = s - y
    e = np.where(np.abs(d) <= delta, d * d / 2, delta * np.abs(d) - delta * delta / 2)
    return e.sum(axis=1), np.clip(d, -delta, delta)


def huber_hessian_product(s, y, delta, v):
    """v for |d| ≤ δ, the bounds included; 0 beyond."""
    return np.where(np.abs(s - y) <= delta, v, 0)


def poisson(s, y, _):
    """Half the Poisson deviance: e = h - y + y ln(y / h) with h = exp(s); y ln y is 0 at 0."""
    h = np.exp(s)
    y_log_y = y * np.log(np.where(y > 0, y, 1))
    return (h - y * s + y_log_y - y).sum(axis=1), h - y


def poisson_hessian_product(s, y, _, v):
    return np.exp(s) * v


def poisson_rate(h, y, _):
    """The same as a function of h. It is NaN where h < 0; at 0 it is infinite unless y is 0."""
    h = np.where(h < 0, np.nan, h)
    # y / h first: the difference of two logarithms would lose digits where h is near y.
    e = h - y + np.where(y > 0, y * np.log(y / h), 0 * h)
    return e.sum(axis=1), 1 - np.where(y > 0, y / h, 0 * h)


def poisson_rate_hessian_product(h, y, _, v):
    """y / h²; NaN where h < 0."""
    h = np.where(h < 0, np.nan, h)
    return np.where(y > 0, y / h / h, 0 * h) * v


def quantile(s, y, q):
    """e = (1 - q) d for d > 0, -q d below; d = s - y; the derivative at 0 is taken as 0."""
    d = s - y
    return np.where(d > 0, (1 - q) * d, -q * d).sum(axis=1), np.select([d > 0, d < 0], [1 - q, -q])


def custom(s, y, function):
    """e and ∂e/∂s from the C function at an address, see interface.py."""
    real = ctypes.POINTER(ctypes.c_float if s.dtype == np.float32 else ctypes.c_double)
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, real, real, real)
    arrays = s, y, unwritten = np.array(s, order="C"), np.array(y, order="C"), np.ones(1, s.dtype)
    kind(function)(*s.shape, s.shape[1], *(array.ctypes.data_as(real) for array in arrays))
    return np.full(len(y), np.nan) if unwritten[0] else y[:, 0], s


def unknown(s, y, _, v):
    """A function of the user's own gives no second derivative."""
    return np.full_like(v, np.nan)


class Loss(NamedTuple):
    """e with ∂e/∂s, the product of ∂²e/∂s∂s and a vector, and the output activation."""

    loss_and_delta: Callable
    hessian_product: Callable
    output: Callable


def _of_distribution(loss_and_delta, hessian_product):
    return Loss(loss_and_delta, hessian_product, identity)


LOSSES = {
    spec.LOG_LOSS: Loss(log_loss, log_loss_hessian_product, sigmoid),
    spec.CROSS_ENTROPY: Loss(cross_entropy, cross_entropy_hessian_product, softmax),
    spec.SQUARED_ERROR: Loss(squared_error, squared_error_hessian_product, identity),
    spec.ABSOLUTE_ERROR: Loss(absolute_error, no_curvature, identity),
    spec.HUBER: Loss(huber, huber_hessian_product, identity),
    spec.POISSON: Loss(poisson, poisson_hessian_product, np.exp),
    spec.QUANTILE: Loss(quantile, no_curvature, identity),
    spec.CUSTOM: Loss(custom, unknown, identity),
    spec.POISSON_RATE: Loss(poisson_rate, poisson_rate_hessian_product, identity),
    spec.GAUSSIAN: _of_distribution(distributions.gaussian, distributions.gaussian_hessian_product),
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


def _paired(model):
    """The output activation if the loss does not imply it, else None."""
    code = model.plan[-1, PAIRED]
    return None if code == spec.IDENTITY else ACTIVATIONS[code]


def loss_and_delta(model, s, y):
    """e and ∂e/∂s of the samples. The parameter of some losses is an address."""
    if model.loss == spec.HEADS:
        return heads.loss_and_delta(LOSSES, model.function, s, y)
    of_loss, parameter = LOSSES[model.loss].loss_and_delta, model.function or model.loss_parameter
    activation = _paired(model)
    if activation is None:
        return of_loss(s, y, parameter)
    h = output(model, s)
    e, delta = of_loss(h, y, parameter)
    return e, (delta * activation.derivative(s, h)).astype(s.dtype, copy=False)


def add_losses_of_heads(model, s, y, w):
    """Add each head's Σ w e to its sum, if that is wanted."""
    if model.loss == spec.HEADS:
        heads.add_sums(LOSSES, model.function, s, y, w)


def hessian_product(model, s, y, v):
    """The product of each sample's ∂²e/∂s∂s and v; with σ apart, e'' σ'² v + e' σ'' v."""
    if model.loss == spec.HEADS:
        return heads.hessian_product(LOSSES, model.function, s, y, v)
    loss, activation = LOSSES[model.loss], _paired(model)
    parameter = model.function or model.loss_parameter
    if activation is None:
        return loss.hessian_product(s, y, parameter, v)
    h = output(model, s)
    slope, curvature = activation.derivative(s, h), activation.second_derivative(s, h)
    product = loss.hessian_product(h, y, parameter, v * slope * slope)
    if model.loss == spec.CUSTOM:
        return product
    return product + loss.loss_and_delta(h, y, parameter)[1] * (v * curvature)


def output(model, s):
    """The network's output from the last layer's pre-activations."""
    if model.loss == spec.HEADS:
        return heads.output(LOSSES, model.function, s)
    activation = _paired(model)
    if activation is None:
        return LOSSES[model.loss].output(s)
    return activation.value(s).astype(s.dtype, copy=False)


def dense(labels, targets, width, dtype):
    """Targets of shape (n, n_m), from labels if given."""
    return np.eye(width, dtype=dtype)[labels] if labels.size else targets

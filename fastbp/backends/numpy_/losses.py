"""Losses of the reference, with the output activations that belong to them.

A loss takes pre-activations s and targets y of shape (n, n_m) and the loss's parameter. It returns
each sample's loss e, summed over the outputs, and its delta ∂e/∂s.
"""

import ctypes
from collections.abc import Callable

import numpy as np

from ...basis import spec
from .elementwise import identity, sigmoid


def log_loss(s, y, least):
    """e = -y ln h - (1 - y) ln(1 - h) with h = σ(s), as max(s, 0) - s y + ln(1 + exp(-|s|))."""
    h = sigmoid(s)
    if least:
        e = -np.log(np.clip(np.where(y > 0.5, h, 1 - h), least, 1 - least))
    else:
        e = np.maximum(s, 0) - s * y + np.log1p(np.exp(-np.abs(s)))
    return e.sum(axis=1), h - y


def softmax(s):
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(s, y, most):
    """e = -Σ y ln softmax(s) for targets that sum to 1."""
    shifted = s - s.max(axis=1, keepdims=True)
    log_sum = np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    e = (y * (log_sum - shifted)).sum(axis=1)
    return np.minimum(e, most or np.inf), softmax(s) - y


def squared_error(s, y, factor):
    """e = ½ (s - y)²."""
    return ((s - y) ** 2).sum(axis=1) * ((factor or 1) / 2), s - y


def absolute_error(s, y, _):
    """e = |s - y|; the derivative at 0 is taken as 0."""
    return np.abs(s - y).sum(axis=1), np.sign(s - y)


def huber(s, y, delta):
    """e = ½ d² for |d| ≤ δ, δ |d| - ½ δ² beyond; d = s - y."""
    d = s - y
    e = np.where(np.abs(d) <= delta, d * d / 2, delta * np.abs(d) - delta * delta / 2)
    return e.sum(axis=1), np.clip(d, -delta, delta)


def poisson(s, y, _):
    """Half the Poisson deviance: e = h - y + y ln(y / h) with h = exp(s); y ln y is 0 at 0."""
    h = np.exp(s)
    y_log_y = y * np.log(np.where(y > 0, y, 1))
    return (h - y * s + y_log_y - y).sum(axis=1), h - y


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


LOSSES: dict[int, tuple[Callable, Callable]] = {
    spec.LOG_LOSS: (log_loss, sigmoid),
    spec.CROSS_ENTROPY: (cross_entropy, softmax),
    spec.SQUARED_ERROR: (squared_error, identity),
    spec.ABSOLUTE_ERROR: (absolute_error, identity),
    spec.HUBER: (huber, identity),
    spec.POISSON: (poisson, np.exp),
    spec.QUANTILE: (quantile, identity),
    spec.CUSTOM: (custom, identity),
}


def loss_and_delta(model, s, y):
    """e and ∂e/∂s of the samples. The parameter of a custom loss is its function."""
    return LOSSES[model.loss][0](s, y, model.function or model.loss_parameter)


def output(loss, s):
    """The network's output from the last layer's pre-activations."""
    return LOSSES[loss][1](s)

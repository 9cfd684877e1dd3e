"""Activations of the reference: each h = σ(s), followed by its derivative σ'(s)."""

import math

import numpy as np

from ...basis import spec


def sigmoid(s):
    """σ(s) = 1 / (1 + exp(-s)), without overflow for either sign."""
    e = np.exp(-np.abs(s))
    return np.where(s < 0, e, 1) / (1 + e)


def sigmoid_derivative(s, h):
    return h * (1 - h)


def tanh(s):
    return np.tanh(s)


def tanh_derivative(s, h):
    return 1 - h * h


def relu(s):
    return np.where(s <= 0, 0, s)


def relu_derivative(s, h):
    return np.where(h > 0, 1, 0)


def leaky_relu(s):
    return np.where(s <= 0, spec.LEAKY_SLOPE * s, s)


def leaky_relu_derivative(s, h):
    return np.where(h > 0, 1, spec.LEAKY_SLOPE)


def elu(s):
    """s for s > 0, exp(s) - 1 below."""
    return np.where(s <= 0, np.expm1(np.minimum(s, 0)), s)


def elu_derivative(s, h):
    return np.where(h > 0, 1, h + 1)


def softplus(s):
    """log(1 + exp(s)), without overflow."""
    return np.maximum(s, 0) + np.log1p(np.exp(-np.abs(s)))


def softplus_derivative(s, h):
    """σ(s) = 1 - exp(-h)."""
    return -np.expm1(-h)


def silu(s):
    """s σ(s) with the logistic σ."""
    return s * sigmoid(s)


def silu_derivative(s, h):
    p = sigmoid(s)
    return p + h * (1 - p)


def gelu(s):
    """s Φ(s) with the normal distribution function Φ (exact, not the tanh approximation)."""
    return s * _normal_cdf(s)


def gelu_derivative(s, h):
    return _normal_cdf(s) + s * np.exp(-s * s / 2) / math.sqrt(2 * math.pi)


def _normal_cdf(s):
    from scipy.special import ndtr  # SciPy comes with scikit-learn; loaded when needed

    return ndtr(s)


def identity(s):
    return s


def identity_derivative(s, h):
    return np.ones_like(s)


ACTIVATIONS = {
    spec.IDENTITY: (identity, identity_derivative),
    spec.SIGMOID: (sigmoid, sigmoid_derivative),
    spec.TANH: (tanh, tanh_derivative),
    spec.RELU: (relu, relu_derivative),
    spec.LEAKY_RELU: (leaky_relu, leaky_relu_derivative),
    spec.ELU: (elu, elu_derivative),
    spec.SOFTPLUS: (softplus, softplus_derivative),
    spec.SILU: (silu, silu_derivative),
    spec.GELU: (gelu, gelu_derivative),
}

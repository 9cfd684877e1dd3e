"""Activations of the reference: each h = σ(s), then its first three derivatives."""

import ctypes
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...basis import spec
from ...basis.layout import ACTIVATION, FUNCTION
from ...basis.memory import functions_at


def zero(s, h):
    """The higher derivatives of piecewise linear functions."""
    return np.zeros_like(h)


def sigmoid(s):
    """σ(s) = 1 / (1 + exp(-s)), without overflow for either sign."""
    e = np.exp(-np.abs(s))
    return np.where(s < 0, e, 1) / (1 + e)


def sigmoid_derivative(s, h):
    return h * (1 - h)


def sigmoid_second_derivative(s, h):
    return h * (1 - h) * (1 - 2 * h)


def sigmoid_third_derivative(s, h):
    d = h * (1 - h)
    return d * (1 - 6 * d)


def tanh(s):
    return np.tanh(s)


def tanh_derivative(s, h):
    return 1 - h * h


def tanh_second_derivative(s, h):
    return -2 * h * (1 - h * h)


def tanh_third_derivative(s, h):
    d = 1 - h * h
    return d * (4 - 6 * d)


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


def elu_second_derivative(s, h):
    return np.where(h > 0, 0, h + 1)


def elu_third_derivative(s, h):
    return np.where(h > 0, 0, h + 1)


def softplus(s):
    """log(1 + exp(s)), without overflow."""
    return np.maximum(s, 0) + np.log1p(np.exp(-np.abs(s)))


def softplus_derivative(s, h):
    """σ(s) = 1 - exp(-h)."""
    return -np.expm1(-h)


def softplus_second_derivative(s, h):
    """p (1 - p) with p = σ(s) = 1 - exp(-h)."""
    return -np.expm1(-h) * np.exp(-h)


def softplus_third_derivative(s, h):
    """p q (q - p) with p = σ(s) = 1 - exp(-h) and q = 1 - p."""
    p, q = -np.expm1(-h), np.exp(-h)
    return p * q * (q - p)


def silu(s):
    """s σ(s) with the logistic σ."""
    return s * sigmoid(s)


def silu_derivative(s, h):
    p = sigmoid(s)
    return p + h * (1 - p)


def silu_second_derivative(s, h):
    p = sigmoid(s)
    return p * (1 - p) * (2 + s * (1 - 2 * p))


def silu_third_derivative(s, h):
    p = sigmoid(s)
    d = p * (1 - p)
    return d * (3 * (1 - 2 * p) + s * (1 - 6 * d))


def gelu(s):
    """s Φ(s) with the normal distribution function Φ (exact, not the tanh approximation)."""
    return s * _normal_cdf(s)


def gelu_derivative(s, h):
    return _normal_cdf(s) + s * np.exp(-s * s / 2) / math.sqrt(2 * math.pi)


def gelu_second_derivative(s, h):
    e = np.exp(-s * s / 2) / math.sqrt(2 * math.pi)
    return 2 * e - e * s * s  # (2 - s²) e, which would be NaN where s² overflows


def gelu_third_derivative(s, h):
    e = np.exp(-s * s / 2) / math.sqrt(2 * math.pi)
    return s * (e * s * s - 4 * e)


def _normal_cdf(s):
    from scipy.special import ndtr  # SciPy comes with scikit-learn; loaded when needed

    return ndtr(s)


def sin(s):
    return np.sin(s)


def sin_derivative(s, h):
    return np.cos(s)


def sin_second_derivative(s, h):
    return -h


def sin_third_derivative(s, h):
    return -np.cos(s)


def hard_tanh(s):
    return np.clip(s, -1, 1)


def hard_tanh_derivative(s, h):
    return np.where(np.abs(h) < 1, 1, 0)


def selu(s):
    """λ s for s > 0, λ α (exp(s) - 1) below."""
    below = spec.SELU_DEPTH * np.expm1(np.minimum(s, 0))
    return np.where(s <= 0, below, spec.SELU_SCALE * s)


def selu_derivative(s, h):
    return np.where(h > 0, spec.SELU_SCALE, h + spec.SELU_DEPTH)


def selu_second_derivative(s, h):
    return np.where(h > 0, 0, h + spec.SELU_DEPTH)


def selu_third_derivative(s, h):
    return np.where(h > 0, 0, h + spec.SELU_DEPTH)


def mish(s):
    """s t with t = tanh(ln(1 + exp(s)))."""
    return s * _tanh_of_softplus(s)


def mish_derivative(s, h):
    """t + s d with d = t' = (1 - t²) p and p = 1 / (1 + exp(-s))."""
    t, _, d, _ = _mish_parts(s)
    return t + s * d


def mish_second_derivative(s, h):
    """2 d + s d a with a = d' / d."""
    _, _, d, a = _mish_parts(s)
    return 2 * d + s * d * a


def mish_third_derivative(s, h):
    """3 d a + s d (a² + a')."""
    t, p, d, a = _mish_parts(s)
    return 3 * d * a + s * d * (a * a - p * (1 - p) * (1 + 2 * t) - 2 * d * p)


def _tanh_of_softplus(s):
    """((1 + exp(s))² - 1) / ((1 + exp(s))² + 1), in powers of exp(-|s|)."""
    u = np.exp(-np.abs(s))
    above = np.where(s < 0, u * (u + 2), 1 + 2 * u)
    return above / (above + np.where(s < 0, 2, 2 * u * u))


def _mish_parts(s):
    t, p = _tanh_of_softplus(s), sigmoid(s)
    return t, p, (1 - t * t) * p, 1 - p - 2 * t * p


def identity(s):
    return s


def identity_derivative(s, h):
    return np.ones_like(s)


class Activation(NamedTuple):
    """σ(s), and functions of (s, h) that give its derivatives."""

    value: Callable
    derivative: Callable
    second_derivative: Callable
    third_derivative: Callable


# exp is its own derivative, of any order; as an output activation only.
EXP = Activation(np.exp, *[lambda s, h: h] * 3)
ACTIVATIONS = {
    spec.IDENTITY: Activation(identity, identity_derivative, zero, zero),
    spec.SIGMOID: Activation(
        sigmoid, sigmoid_derivative, sigmoid_second_derivative, sigmoid_third_derivative
    ),
    spec.TANH: Activation(tanh, tanh_derivative, tanh_second_derivative, tanh_third_derivative),
    spec.RELU: Activation(relu, relu_derivative, zero, zero),
    spec.LEAKY_RELU: Activation(leaky_relu, leaky_relu_derivative, zero, zero),
    spec.ELU: Activation(elu, elu_derivative, elu_second_derivative, elu_third_derivative),
    spec.SOFTPLUS: Activation(
        softplus, softplus_derivative, softplus_second_derivative, softplus_third_derivative
    ),
    spec.SILU: Activation(silu, silu_derivative, silu_second_derivative, silu_third_derivative),
    spec.GELU: Activation(gelu, gelu_derivative, gelu_second_derivative, gelu_third_derivative),
    spec.SIN: Activation(sin, sin_derivative, sin_second_derivative, sin_third_derivative),
    spec.HARD_TANH: Activation(hard_tanh, hard_tanh_derivative, zero, zero),
    spec.SELU: Activation(selu, selu_derivative, selu_second_derivative, selu_third_derivative),
    spec.MISH: Activation(mish, mish_derivative, mish_second_derivative, mish_third_derivative),
}


def activation_of(plan, arrays, i):
    """The Activation of hidden layer i, whose parameters `arrays` holds."""
    if plan[i, ACTIVATION] == spec.PRELU:
        return of_slopes(arrays.slopes[i - 1])
    return of_code(plan[i, ACTIVATION], plan[i, FUNCTION])


def of_slopes(a):
    """PReLU (He et al., ICCV 2015) with slopes a where s is not positive."""
    return Activation(
        lambda s: np.where(s > 0, s, a * s),
        lambda s, h: np.where(s > 0, np.ones_like(a), a),
        zero,
        zero,
    )


def of_code(code, table):
    """The Activation of that code or, for functions of the user's own, of their table."""
    if not table:
        return ACTIVATIONS[code]
    return Activation(*map(_called, functions_at(table)))


def _called(address):
    """A function of the user's own, of s or (s, h), by the address of its C function."""

    def function(s, h=None):
        s = np.ascontiguousarray(s)
        result = np.ones_like(s)
        arrays = [s, result] if h is None else [s, s, result]
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * len(arrays), ctypes.c_int64)
        kind(address)(*(array.ctypes.data for array in arrays), s.size)
        return result

    return function

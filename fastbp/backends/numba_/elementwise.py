"""Activations on vectors: each h = σ(s), then its first three derivatives.

The twin of this file is ``src_cython/elementwise.pxi``; the reference is ``numpy_``.
"""

from typing import NamedTuple

from numba import types

from ...basis import spec
from ._jit import REALS, Piece, inner
from .simd import absolute, lanes, load, select_le, select_lt, splat, store
from .trigonometry import cos, sin
from .vmath import (
    at_least,
    at_most,
    exp,
    expm1_nonpositive,
    gaussian,
    log1p_unit,
    normal_cdf,
    sigmoid,
    tanh,
)

INV_SQRT_2PI = 0.3989422804014327


@inner
def zero(s, h):
    """The higher derivatives of piecewise linear functions."""
    return splat(s, 0.0)


@inner
def sigmoid_derivative(s, h):
    return h * (1.0 - h)


@inner
def sigmoid_second_derivative(s, h):
    return h * (1.0 - h) * (1.0 - 2.0 * h)


@inner
def sigmoid_third_derivative(s, h):
    d = h * (1.0 - h)
    return d * (1.0 - 6.0 * d)


@inner
def tanh_derivative(s, h):
    return 1.0 - h * h


@inner
def tanh_second_derivative(s, h):
    return -2.0 * h * (1.0 - h * h)


@inner
def tanh_third_derivative(s, h):
    d = 1.0 - h * h
    return d * (4.0 - 6.0 * d)


@inner
def relu(s):
    return select_le(s, splat(s, 0.0), splat(s, 0.0), s)


@inner
def relu_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 1.0), splat(h, 0.0))


@inner
def leaky_relu(s):
    return select_le(s, splat(s, 0.0), spec.LEAKY_SLOPE * s, s)


@inner
def leaky_relu_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 1.0), splat(h, spec.LEAKY_SLOPE))


@inner
def elu(s):
    return select_le(s, splat(s, 0.0), expm1_nonpositive(-absolute(s)), s)


@inner
def elu_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 1.0), h + 1.0)


@inner
def elu_second_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 0.0), h + 1.0)


@inner
def elu_third_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 0.0), h + 1.0)


@inner
def softplus(s):
    return select_lt(s, splat(s, 0.0), splat(s, 0.0), s) + log1p_unit(exp(-absolute(s)))


@inner
def softplus_derivative(s, h):
    return -expm1_nonpositive(-h)


@inner
def softplus_second_derivative(s, h):
    """p (1 - p) with p = σ(s) = 1 - exp(-h)."""
    return -expm1_nonpositive(-h) * exp(-h)


@inner
def softplus_third_derivative(s, h):
    """p q (q - p) with p = σ(s) = 1 - exp(-h) and q = 1 - p."""
    p, q = -expm1_nonpositive(-h), exp(-h)
    return p * q * (q - p)


@inner
def silu(s):
    return s * sigmoid(s)


@inner
def silu_derivative(s, h):
    p = sigmoid(s)
    return p + h * (1.0 - p)


@inner
def silu_second_derivative(s, h):
    p = sigmoid(s)
    return p * (1.0 - p) * (2.0 + s * (1.0 - 2.0 * p))


@inner
def silu_third_derivative(s, h):
    p = sigmoid(s)
    d = p * (1.0 - p)
    return d * (3.0 * (1.0 - 2.0 * p) + s * (1.0 - 6.0 * d))


@inner
def gelu(s):
    return s * normal_cdf(s, gaussian(s))


@inner
def gelu_derivative(s, h):
    e = gaussian(s)
    return normal_cdf(s, e) + s * e * INV_SQRT_2PI


@inner
def gelu_second_derivative(s, h):
    e = gaussian(s) * INV_SQRT_2PI
    return 2.0 * e - e * s * s  # (2 - s²) e, which would be NaN where s² overflows


@inner
def gelu_third_derivative(s, h):
    e = gaussian(s) * INV_SQRT_2PI
    return s * (e * s * s - 4.0 * e)


@inner
def sin_derivative(s, h):
    return cos(s)


@inner
def sin_second_derivative(s, h):
    return -h


@inner
def sin_third_derivative(s, h):
    return -cos(s)


@inner
def hard_tanh(s):
    return at_most(at_least(s, -1.0), 1.0)


@inner
def hard_tanh_derivative(s, h):
    return select_lt(absolute(h), splat(h, 1.0), splat(h, 1.0), splat(h, 0.0))


@inner
def selu(s):
    below = spec.SELU_DEPTH * expm1_nonpositive(-absolute(s))
    return select_le(s, splat(s, 0.0), below, spec.SELU_SCALE * s)


@inner
def selu_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, spec.SELU_SCALE), h + spec.SELU_DEPTH)


@inner
def selu_second_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 0.0), h + spec.SELU_DEPTH)


@inner
def selu_third_derivative(s, h):
    return select_lt(splat(h, 0.0), h, splat(h, 0.0), h + spec.SELU_DEPTH)


@inner
def tanh_of_softplus(s):
    """tanh(ln(1 + exp(s))) = ((1 + exp(s))² - 1) / ((1 + exp(s))² + 1), in powers of exp(-|s|)."""
    zero, u = splat(s, 0.0), exp(-absolute(s))
    above = select_lt(s, zero, u * (u + 2.0), 1.0 + 2.0 * u)
    return above / (above + select_lt(s, zero, splat(s, 2.0), 2.0 * u * u))


@inner
def mish(s):
    return s * tanh_of_softplus(s)


@inner
def mish_derivative(s, h):
    """t + s d with t = tanh(ln(1 + exp(s))), d = t' = (1 - t²) p and p = 1 / (1 + exp(-s))."""
    t = tanh_of_softplus(s)
    return t + s * ((1.0 - t * t) * sigmoid(s))


@inner
def mish_second_derivative(s, h):
    """2 d + s d a with a = d' / d."""
    t, p = tanh_of_softplus(s), sigmoid(s)
    d = (1.0 - t * t) * p
    return 2.0 * d + s * d * (1.0 - p - 2.0 * t * p)


@inner
def mish_third_derivative(s, h):
    """3 d a + s d (a² + a')."""
    t, p = tanh_of_softplus(s), sigmoid(s)
    d = (1.0 - t * t) * p
    a = 1.0 - p - 2.0 * t * p
    return 3.0 * d * a + s * d * (a * a - p * (1.0 - p) * (1.0 + 2.0 * t) - 2.0 * d * p)


class Activation(NamedTuple):
    """Pieces for one activation: h = σ(s), and d *= a derivative at s, over arrays of units.

    `functions` are those of vectors: σ and its derivatives.
    """

    activate: Piece
    multiply_by_derivative: Piece
    multiply_by_second_derivative: Piece
    multiply_by_third_derivative: Piece
    functions: tuple


def _activation(value, *derivatives):
    def activate(s, h, n):
        """h[:n] = σ(s[:n]); n is a multiple of the vector length, h may be s."""
        for i in range(0, n, lanes(h)):
            store(h, i, value(load(s, i)))

    activate.__qualname__ = f"activate_{value.__name__}"
    return Activation(
        Piece(activate, REALS, REALS, types.intp),
        *(_multiply_by(derivative) for derivative in derivatives),
        (value, *derivatives),
    )


def _multiply_by(derivative):
    def multiply(s, h, d, n):
        """d[:n] *= a derivative at s[:n]; with the first one, ∂e/∂h becomes ∂e/∂s."""
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * derivative(load(s, i), load(h, i)))

    multiply.__qualname__ = f"multiply_by_{derivative.__name__}"
    return Piece(multiply, REALS, REALS, REALS, types.intp)


# All activations but identity, for which h is s.
ACTIVATIONS = {
    spec.SIGMOID: _activation(
        sigmoid, sigmoid_derivative, sigmoid_second_derivative, sigmoid_third_derivative
    ),
    spec.TANH: _activation(tanh, tanh_derivative, tanh_second_derivative, tanh_third_derivative),
    spec.RELU: _activation(relu, relu_derivative, zero, zero),
    spec.LEAKY_RELU: _activation(leaky_relu, leaky_relu_derivative, zero, zero),
    spec.ELU: _activation(elu, elu_derivative, elu_second_derivative, elu_third_derivative),
    spec.SOFTPLUS: _activation(
        softplus, softplus_derivative, softplus_second_derivative, softplus_third_derivative
    ),
    spec.SILU: _activation(silu, silu_derivative, silu_second_derivative, silu_third_derivative),
    spec.GELU: _activation(gelu, gelu_derivative, gelu_second_derivative, gelu_third_derivative),
    spec.SIN: _activation(sin, sin_derivative, sin_second_derivative, sin_third_derivative),
    spec.HARD_TANH: _activation(hard_tanh, hard_tanh_derivative, zero, zero),
    spec.SELU: _activation(selu, selu_derivative, selu_second_derivative, selu_third_derivative),
    spec.MISH: _activation(mish, mish_derivative, mish_second_derivative, mish_third_derivative),
}

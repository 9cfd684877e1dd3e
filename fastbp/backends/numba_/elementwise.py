"""Activations on vectors: each h = σ(s), followed by its derivative σ'(s).

The twin of this file is ``src_cython/elementwise.pxi``; the reference is ``numpy_``.
"""

from numba import types

from ...basis import spec
from ._jit import REALS, Piece, inner
from .simd import absolute, lanes, load, select_le, select_lt, splat, store
from .vmath import exp, expm1_nonpositive, gaussian, log1p_unit, normal_cdf, sigmoid, tanh

INV_SQRT_2PI = 0.3989422804014327


@inner
def sigmoid_derivative(s, h):
    return h * (1.0 - h)


@inner
def tanh_derivative(s, h):
    return 1.0 - h * h


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
def softplus(s):
    return select_lt(s, splat(s, 0.0), splat(s, 0.0), s) + log1p_unit(exp(-absolute(s)))


@inner
def softplus_derivative(s, h):
    return -expm1_nonpositive(-h)


@inner
def silu(s):
    return s * sigmoid(s)


@inner
def silu_derivative(s, h):
    p = sigmoid(s)
    return p + h * (1.0 - p)


@inner
def gelu(s):
    return s * normal_cdf(s, gaussian(s))


@inner
def gelu_derivative(s, h):
    e = gaussian(s)
    return normal_cdf(s, e) + s * e * INV_SQRT_2PI


def _pieces(value, derivative):
    """σ and σ' over arrays of units, as pieces."""

    def activate(s, h, n):
        """h[:n] = σ(s[:n]); n is a multiple of the vector length, h may be s."""
        for i in range(0, n, lanes(h)):
            store(h, i, value(load(s, i)))

    def multiply_by_derivative(s, h, d, n):
        """d[:n] *= σ'(s[:n]), which turns ∂e/∂h into ∂e/∂s."""
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * derivative(load(s, i), load(h, i)))

    activate.__qualname__ = f"activate_{value.__name__}"
    multiply_by_derivative.__qualname__ = f"multiply_by_{derivative.__name__}"
    return (
        Piece(activate, REALS, REALS, types.intp),
        Piece(multiply_by_derivative, REALS, REALS, REALS, types.intp),
    )


# All activations but identity, for which h is s.
ACTIVATIONS = {
    spec.SIGMOID: _pieces(sigmoid, sigmoid_derivative),
    spec.TANH: _pieces(tanh, tanh_derivative),
    spec.RELU: _pieces(relu, relu_derivative),
    spec.LEAKY_RELU: _pieces(leaky_relu, leaky_relu_derivative),
    spec.ELU: _pieces(elu, elu_derivative),
    spec.SOFTPLUS: _pieces(softplus, softplus_derivative),
    spec.SILU: _pieces(silu, silu_derivative),
    spec.GELU: _pieces(gelu, gelu_derivative),
}

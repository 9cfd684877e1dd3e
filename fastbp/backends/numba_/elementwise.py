"""Activations: each h = σ(s) with its derivative σ'(s) below it, on vectors.

The twin of this file is ``src_cython/elementwise.pxi``; the reference is ``numpy_``.
"""

from ... import spec
from ._jit import inner
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


@inner
def activate(code, s, h, n):
    """h[:n] = σ(s[:n]); n is a whole number of vectors, h may be s."""
    if code == spec.SIGMOID:
        for i in range(0, n, lanes(h)):
            store(h, i, sigmoid(load(s, i)))
    elif code == spec.TANH:
        for i in range(0, n, lanes(h)):
            store(h, i, tanh(load(s, i)))
    elif code == spec.RELU:
        for i in range(0, n, lanes(h)):
            store(h, i, relu(load(s, i)))
    elif code == spec.LEAKY_RELU:
        for i in range(0, n, lanes(h)):
            store(h, i, leaky_relu(load(s, i)))
    elif code == spec.ELU:
        for i in range(0, n, lanes(h)):
            store(h, i, elu(load(s, i)))
    elif code == spec.SOFTPLUS:
        for i in range(0, n, lanes(h)):
            store(h, i, softplus(load(s, i)))
    elif code == spec.SILU:
        for i in range(0, n, lanes(h)):
            store(h, i, silu(load(s, i)))
    elif code == spec.GELU:
        for i in range(0, n, lanes(h)):
            store(h, i, gelu(load(s, i)))
    # identity: h is s


@inner
def multiply_by_derivative(code, s, h, d, n):
    """d[:n] *= σ'(s[:n]): turns ∂e/∂h into ∂e/∂s."""
    if code == spec.SIGMOID:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * sigmoid_derivative(load(s, i), load(h, i)))
    elif code == spec.TANH:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * tanh_derivative(load(s, i), load(h, i)))
    elif code == spec.RELU:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * relu_derivative(load(s, i), load(h, i)))
    elif code == spec.LEAKY_RELU:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * leaky_relu_derivative(load(s, i), load(h, i)))
    elif code == spec.ELU:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * elu_derivative(load(s, i), load(h, i)))
    elif code == spec.SOFTPLUS:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * softplus_derivative(load(s, i), load(h, i)))
    elif code == spec.SILU:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * silu_derivative(load(s, i), load(h, i)))
    elif code == spec.GELU:
        for i in range(0, n, lanes(h)):
            store(d, i, load(d, i) * gelu_derivative(load(s, i), load(h, i)))

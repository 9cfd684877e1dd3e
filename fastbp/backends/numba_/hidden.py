"""Pieces for hidden layers with parameters of their own: normalisation of each row, and PReLU.

They are called by layer_parameters.py. In the twin, ``src_cython/layer_parameters.pxi``, they are
one file.
"""

from numba import types

from ...basis import spec
from ._jit import REALS, Piece
from .simd import fma, keep_first, lanes, load, offset, select_le, splat, sqrt, store, sum_lanes


def normalize(s, x, scales, gamma, beta, rows, n, stride, centred):
    """x = (s - mean) r with r = 1 / √(variance + ε), and s becomes gamma x + beta.

    `scales` gets r of each row, in all lanes of a vector. Without `centred`, the mean counts as 0
    and there is no beta.
    """
    for r in range(rows):
        numbers, normalized = offset(s, r * stride), offset(x, r * stride)
        mean = splat(s, 0.0)
        if centred != 0:
            for j in range(0, n, lanes(s)):
                mean = mean + load(numbers, j)
            mean = splat(s, sum_lanes(mean)) / splat(s, n)
        squares = splat(s, 0.0)
        for j in range(0, n, lanes(s)):
            d = keep_first(load(numbers, j) - mean, n - j, 0.0)
            squares = fma(d, d, squares)
            store(normalized, j, d)
        variance = splat(s, sum_lanes(squares)) / splat(s, n)
        scale = splat(s, 1.0) / sqrt(variance + splat(s, spec.NORM_EPSILON))
        store(scales, r * lanes(s), scale)
        for j in range(0, n, lanes(s)):
            d = load(normalized, j) * scale
            store(normalized, j, d)
            if centred != 0:
                store(numbers, j, fma(load(gamma, j), d, load(beta, j)))
            else:
                store(numbers, j, load(gamma, j) * d)


def normalize_back(d, x, scales, gamma, of_gamma, of_beta, rows, n, stride, centred):
    """Turn ∂e/∂z in d into ∂e/∂s, and write each row's terms of the gradients of gamma and beta.

    With g = γ ∂e/∂z, ∂e/∂s = r (g - mean(g) - x̂ mean(g x̂)), without `centred` no mean(g).
    """
    for r in range(rows):
        errors, normalized = offset(d, r * stride), offset(x, r * stride)
        mean = product_mean = splat(d, 0.0)
        for j in range(0, n, lanes(d)):
            dz, v = load(errors, j), load(normalized, j)
            g = dz * load(gamma, j)
            mean = mean + g
            product_mean = fma(g, v, product_mean)
            store(of_gamma, r * stride + j, dz * v)
            if centred != 0:
                store(of_beta, r * stride + j, dz)
            store(errors, j, g)
        mean = splat(d, sum_lanes(mean)) / splat(d, n)
        product_mean = splat(d, sum_lanes(product_mean)) / splat(d, n)
        scale = load(scales, r * lanes(d))
        for j in range(0, n, lanes(d)):
            if centred != 0:
                g = load(errors, j) - fma(load(normalized, j), product_mean, mean)
            else:
                g = load(errors, j) - load(normalized, j) * product_mean
            store(errors, j, keep_first(scale * g, n - j, 0.0))


NORMALIZE = Piece(normalize, *[REALS] * 5, *[types.intp] * 4)
NORMALIZE_BACK = Piece(normalize_back, *[REALS] * 6, *[types.intp] * 4)


def prelu(z, h, a, rows, n, stride):
    """h = z, or a z where z is not positive, with each unit's slope a."""
    for r in range(rows):
        for j in range(0, n, lanes(h)):
            x = load(z, r * stride + j)
            store(h, r * stride + j, select_le(x, splat(x, 0.0), load(a, j) * x, x))


def prelu_back(z, d, a, of_slopes, rows, n, stride):
    """Turn ∂e/∂h in d into ∂e/∂z, and write each row's terms of the gradient of the slopes."""
    for r in range(rows):
        for j in range(0, n, lanes(d)):
            x, dh = load(z, r * stride + j), load(d, r * stride + j)
            zero = splat(x, 0.0)
            store(of_slopes, r * stride + j, select_le(x, zero, dh * x, zero))
            store(d, r * stride + j, select_le(x, zero, dh * load(a, j), dh))


PRELU = Piece(prelu, *[REALS] * 3, *[types.intp] * 3)
PRELU_BACK = Piece(prelu_back, *[REALS] * 4, *[types.intp] * 3)

"""Pieces for derivatives through normalisation and PReLU: jets, and derivatives along a vector.

They are called by layer_jets.py. In the twin, ``src_cython/layer_jets.pxi``, they are one file. The
equations are in docs/mathematics.md, "Derivatives of normalised layers".

Sets of rows follow each other: values, K sets of first derivatives, and `seconds` sets of second
ones. Of a normalised layer, `x` holds u = (x̂, r c'_k, r c''), where c is s without its mean, and
`scales` r, the first derivatives of the deviation divided by it, and the second ones.
"""

from numba import types

from ...basis import spec
from ._jit import REALS, Piece, inlined
from .simd import fma, keep_first, lanes, load, offset, select_le, splat, sqrt, store, sum_lanes


@inlined
def mean_of(total, n):
    """The mean of n numbers in every lane, from the sums in the lanes."""
    return splat(total, sum_lanes(total)) / splat(total, n)


@inlined
def row_mean(s, n, centred):
    """The mean of a row's n numbers in every lane; 0 if rows are not centred."""
    total = splat(s, 0.0)
    if centred != 0:
        for j in range(0, n, lanes(s)):
            total = total + load(s, j)
    return mean_of(total, n)


@inlined
def centre(s, n, centred, scale, x):
    """x = (s - mean) scale for a row."""
    mean = row_mean(s, n, centred)
    for j in range(0, n, lanes(s)):
        store(x, j, keep_first(load(s, j) - mean, n - j, 0.0) * scale)


def normalize_jets(s, x, scales, gamma, beta, rows, n, stride, centred, K, seconds):
    """z = γ x̂ + β with its derivatives in the place of s; u and `scales` are kept.

    Without `centred`, the mean counts as 0 and there is no beta.
    """
    size, apart = rows * stride, rows * lanes(s)
    for r in range(rows):
        z, u, of_row = offset(s, r * stride), offset(x, r * stride), offset(scales, r * lanes(s))
        mean, squares = row_mean(z, n, centred), splat(s, 0.0)
        for j in range(0, n, lanes(s)):
            d = keep_first(load(z, j) - mean, n - j, 0.0)
            squares = fma(d, d, squares)
            store(u, j, d)
        scale = splat(s, 1.0) / sqrt(mean_of(squares, n) + splat(s, spec.NORM_EPSILON))
        store(of_row, 0, scale)
        for j in range(0, n, lanes(s)):
            d = load(u, j) * scale
            store(u, j, d)
            if centred != 0:
                store(z, j, fma(load(gamma, j), d, load(beta, j)))
            else:
                store(z, j, load(gamma, j) * d)
        for t in range(K + 1, K + 1 + seconds):
            z2, u2 = offset(z, t * size), offset(u, t * size)
            centre(z2, n, centred, scale, u2)
            total = splat(s, 0.0)
            for j in range(0, n, lanes(s)):
                d = load(u2, j)
                total = fma(load(u, j), d, total)
                store(z2, j, d)
            store(of_row, t * apart, mean_of(total, n))
        for k in range(1, K + 1):
            z1, u1 = offset(z, k * size), offset(u, k * size)
            t = K + k if seconds == K else K + 1
            z2, of_second = offset(z, t * size), offset(of_row, t * apart)
            centre(z1, n, centred, scale, u1)
            total = squares = splat(s, 0.0)
            for j in range(0, n, lanes(s)):
                d = load(u1, j)
                total, squares = fma(load(u, j), d, total), fma(d, d, squares)
            growth, squares = mean_of(total, n), mean_of(squares, n)
            store(of_row, k * apart, growth)
            if seconds > 0:
                store(of_second, 0, load(of_second, 0) + (squares - growth * growth))
            twice = growth + growth
            for j in range(0, n, lanes(s)):
                d = load(u1, j) - growth * load(u, j)
                store(z1, j, load(gamma, j) * d)
                if seconds > 0:
                    store(z2, j, load(z2, j) - twice * d)
        for t in range(K + 1, K + 1 + seconds):
            z2, growth = offset(z, t * size), load(of_row, t * apart)
            for j in range(0, n, lanes(s)):
                store(z2, j, load(gamma, j) * (load(z2, j) - growth * load(u, j)))


@inlined
def finish(d, n, centred, scale):
    """d = (d - mean) scale for a row."""
    mean = row_mean(d, n, centred)
    for j in range(0, n, lanes(d)):
        store(d, j, keep_first((load(d, j) - mean) * scale, n - j, 0.0))


def normalize_jets_back(
    d, x, scales, gamma, of_gamma, of_beta, rows, n, stride, centred, K, seconds
):
    """Turn adjoints of z into adjoints of s, and write each row's terms for gamma and beta."""
    size, apart = rows * stride, rows * lanes(d)
    for r in range(rows):
        a, u, of_row = offset(d, r * stride), offset(x, r * stride), offset(scales, r * lanes(d))
        for_gamma, for_beta = offset(of_gamma, r * stride), offset(of_beta, r * stride)
        scale, of_second, along = load(of_row, 0), splat(d, 0.0), splat(d, 0.0)
        for j in range(0, n, lanes(d)):
            dz = load(a, j)
            store(for_gamma, j, dz * load(u, j))
            if centred != 0:
                store(for_beta, j, dz)
            store(a, j, dz * load(gamma, j))
        for k in range(1, K + 1):
            a1, u1, growth = offset(a, k * size), offset(u, k * size), load(of_row, k * apart)
            t = K + k if seconds == K else K + 1
            a2, u2 = offset(a, t * size), offset(u, t * size)
            twice = growth + growth
            if seconds > 0 and (seconds == K or k == 1):
                total = splat(d, 0.0)
                for j in range(0, n, lanes(d)):
                    total = fma(load(gamma, j) * load(a2, j), load(u, j), total)
                of_second = -mean_of(total, n)
            total = products = splat(d, 0.0)
            for j in range(0, n, lanes(d)):
                g, by_first, v = load(gamma, j), load(a1, j), load(u, j)
                derivative = load(u1, j) - growth * v
                if seconds > 0:
                    by_second = load(a2, j)
                    by_first = by_first - twice * by_second
                    products = fma(g * by_second, derivative, products)
                store(for_gamma, j, fma(by_first, derivative, load(for_gamma, j)))
                by_first = g * by_first
                total = fma(by_first, v, total)
                store(a1, j, by_first)
            products = mean_of(products, n)
            of_growth = -(products + products + twice * of_second + mean_of(total, n))
            total, bend = splat(d, 0.0), of_second + of_second
            for j in range(0, n, lanes(d)):
                by_first, w = load(a1, j), load(u1, j)
                store(a, j, load(a, j) + (of_growth * w - growth * by_first))
                by_first = by_first + fma(bend, w, of_growth * load(u, j))
                total = fma(by_first, w, total)
                store(a1, j, by_first)
            along = along + total
            finish(a1, n, centred, scale)
            if seconds > 0 and (seconds == K or k == K):
                growth, total = load(of_row, t * apart), splat(d, 0.0)
                for j in range(0, n, lanes(d)):
                    by_second, v, w = load(a2, j), load(u, j), load(u2, j)
                    of_scale = fma(by_second, w - growth * v, load(for_gamma, j))
                    store(for_gamma, j, of_scale)
                    by_second = load(gamma, j) * by_second
                    store(a, j, load(a, j) + (of_second * w - growth * by_second))
                    by_second = by_second + of_second * v
                    total = fma(by_second, w, total)
                    store(a2, j, by_second)
                along = along + total
                finish(a2, n, centred, scale)
        for j in range(0, n, lanes(d)):
            along = fma(load(a, j), load(u, j), along)
        along = mean_of(along, n)
        for j in range(0, n, lanes(d)):
            store(a, j, load(a, j) - along * load(u, j))
        finish(a, n, centred, scale)


def normalize_along(s, x, gamma, beta, rows, n, stride, centred):
    """Add γ' x̂ + β' to the derivatives of z along a vector, which holds γ' and β'."""
    along = offset(s, rows * stride)
    for r in range(0, rows * stride, stride):
        for j in range(0, n, lanes(s)):
            v = load(gamma, j) * load(x, r + j)
            if centred != 0:
                v = v + load(beta, j)
            store(along, r + j, load(along, r + j) + v)


def normalize_along_back(
    d, x, scales, gamma, gamma_along, of_gamma, of_beta, rows, n, stride, centred
):
    """Turn ∂e/∂z and its derivative along a vector into those by s, both in d.

    The terms are those of the derivatives of ∇γ and ∇β along the vector.
    """
    size, apart = rows * stride, rows * lanes(d)
    for r in range(rows):
        a, u, of_row = offset(d, r * stride), offset(x, r * stride), offset(scales, r * lanes(d))
        a1, u1 = offset(a, size), offset(u, size)
        scale, growth = load(of_row, 0), load(of_row, apart)
        total = total_along = splat(d, 0.0)
        for j in range(0, n, lanes(d)):
            dz, dz1, v = load(a, j), load(a1, j), load(u, j)
            derivative = load(u1, j) - growth * v
            store(of_gamma, r * stride + j, fma(dz, derivative, dz1 * v))
            if centred != 0:
                store(of_beta, r * stride + j, dz1)
            g = load(gamma, j) * dz
            g1 = fma(load(gamma_along, j), dz, load(gamma, j) * dz1)
            total = fma(g, v, total)
            total_along = fma(g1, v, fma(g, derivative, total_along))
            store(a, j, g)
            store(a1, j, g1)
        total, total_along = mean_of(total, n), mean_of(total_along, n)
        for j in range(0, n, lanes(d)):
            v = load(u, j)
            derivative = load(u1, j) - growth * v
            store(a, j, load(a, j) - v * total)
            store(a1, j, load(a1, j) - fma(derivative, total, v * total_along))
        finish(a, n, centred, scale)
        finish(a1, n, centred, scale)
        for j in range(0, n, lanes(d)):
            store(a1, j, load(a1, j) - growth * load(a, j))


NUMBERS = [types.intp] * 4
NORMALIZE_JETS = Piece(normalize_jets, *[REALS] * 5, *NUMBERS, types.intp, types.intp)
NORMALIZE_JETS_BACK = Piece(normalize_jets_back, *[REALS] * 6, *NUMBERS, types.intp, types.intp)
NORMALIZE_ALONG = Piece(normalize_along, *[REALS] * 4, *NUMBERS)
NORMALIZE_ALONG_BACK = Piece(normalize_along_back, *[REALS] * 7, *NUMBERS)


def prelu_jets(z, h, a, rows, n, stride, sets):
    """h = σ(z) with its derivatives, with each unit's slope a where z is not positive."""
    size = rows * stride
    for at in range(0, sets * size, size):
        for r in range(0, size, stride):
            for j in range(0, n, lanes(h)):
                x, v = load(z, r + j), load(z, at + r + j)
                store(h, at + r + j, select_le(x, splat(x, 0.0), load(a, j) * v, v))


def prelu_jets_back(z, d, a, of_slopes, rows, n, stride, sets):
    """Turn adjoints of h in d into adjoints of z, and write each row's terms for the slopes."""
    size = rows * stride
    for r in range(0, size, stride):
        for j in range(0, n, lanes(d)):
            x, slope = load(z, r + j), load(a, j)
            zero = total = splat(x, 0.0)
            for at in range(r + j, sets * size, size):
                dh = load(d, at)
                total = fma(dh, load(z, at), total)
                store(d, at, select_le(x, zero, dh * slope, dh))
            store(of_slopes, r + j, select_le(x, zero, total, zero))


def prelu_along(z, h, a, a_along, rows, n, stride):
    """h = σ(z) with its derivative along a vector, which holds a'."""
    size = rows * stride
    for r in range(0, size, stride):
        for j in range(0, n, lanes(h)):
            x, v, zero = load(z, r + j), load(z, size + r + j), splat(h, 0.0)
            below = fma(load(a_along, j), x, load(a, j) * v)
            store(h, r + j, select_le(x, zero, load(a, j) * x, x))
            store(h, size + r + j, select_le(x, zero, below, v))


def prelu_along_back(z, d, a, a_along, of_slopes, rows, n, stride):
    """Turn ∂e/∂h and its derivative along a vector into those by z, both in d.

    The terms are those of the derivative of the slopes' gradient along the vector.
    """
    size = rows * stride
    for r in range(0, size, stride):
        for j in range(0, n, lanes(d)):
            x, zero, slope = load(z, r + j), splat(d, 0.0), load(a, j)
            dh, dh1 = load(d, r + j), load(d, size + r + j)
            of_slope = fma(dh1, x, dh * load(z, size + r + j))
            below = fma(load(a_along, j), dh, slope * dh1)
            store(of_slopes, r + j, select_le(x, zero, of_slope, zero))
            store(d, r + j, select_le(x, zero, dh * slope, dh))
            store(d, size + r + j, select_le(x, zero, below, dh1))


PRELU_JETS = Piece(prelu_jets, *[REALS] * 3, *NUMBERS)
PRELU_JETS_BACK = Piece(prelu_jets_back, *[REALS] * 4, *NUMBERS)
PRELU_ALONG = Piece(prelu_along, *[REALS] * 4, *[types.intp] * 3)
PRELU_ALONG_BACK = Piece(prelu_along_back, *[REALS] * 5, *[types.intp] * 3)

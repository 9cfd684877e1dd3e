"""sin and cos on vectors, in explicit arithmetic, for arguments of any size.

An argument x becomes n π/2 + r with a whole number n and abs(r) at most π/4; polynomials in r then
give both functions. Up to `FAR`, x - n π/2 is computed with three parts of π/2 (Cody and Waite,
1980). The products of n with the first two are exact. Larger arguments are reduced lane by lane,
with as many digits of 2/π as they need (Payne and Hanek, 1983). So the errors that the docstrings
state hold for all finite numbers. Infinities give NaN.

The twin, ``src_cython/trigonometry.pxi``, has the same operations in the same order. Errors are
measured as those in ``vmath.py``.
"""

import math

import numpy as np

from ._jit import inner
from .simd import (
    absolute,
    fma,
    high_half,
    is_single,
    lane,
    lanes,
    low_half,
    max_lanes,
    narrow,
    select_lt,
    shifter,
    splat,
    with_lane,
)
from .vmath import horner, linear, multiply_add

FAR = 20000.0
TWO_OVER_PI = 0.63661977236758138
# The first two parts of π/2 have 39 bits each.
HALF_PI = 1.5707963267948966
HALF_PI_1 = 1.5707963267923333
HALF_PI_2 = 2.5633441515905732e-12
HALF_PI_3 = 3.9455541665632055e-24

BASE = 16777216.0  # 2**24
INVERSE_BASE = 5.9604644775390625e-08  # 2**-24
# 2/π in that base: the digit of BASE**-k is at k + 2.
DIGITS = np.array(
    [
        *(0, 0, 0, 10680707, 7228996, 1387004, 2578385, 16069853, 12639074, 9804092, 4427841),
        *(16666979, 11263675, 12935607, 2387514, 4345298, 14681673, 3074569, 13734428, 16653803),
        *(1880361, 10960616, 8533493, 3062596, 8710556, 7349940, 6258241, 3772886, 3769171),
        *(3798172, 8675211, 12450088, 3874808, 9961438, 366607, 15675153, 9132554, 7151469),
        *(3571407, 2607881, 12013382, 4155038, 6285869, 7677882, 13102053, 15825725, 473591),
        *(9065106, 15363067, 6271263, 9264392, 5636912, 4652155, 7056368),
    ],
    np.float64,
)


@inner
def far_quadrant(x):
    """n modulo 4 and r of one number beyond FAR.

    abs(x) = M BASE**q with a whole number M of four digits. Each digit of x 2/π is a sum of four
    products of digits. These sums and the carries are exact. Seven digits behind the point are
    enough even for the float64 number that comes nearest to a multiple of π/2.
    """
    a = abs(x)
    if not a < math.inf:
        return 0.0, math.nan
    fraction, exponent = math.frexp(a)
    q = (exponent - 53) // 24
    rest = math.ldexp(fraction, exponent - 24 * q)
    digit_3 = np.floor(rest * (INVERSE_BASE * INVERSE_BASE * INVERSE_BASE))
    rest -= digit_3 * (BASE * BASE * BASE)
    digit_2 = np.floor(rest * (INVERSE_BASE * INVERSE_BASE))
    rest -= digit_2 * (BASE * BASE)
    digit_1 = np.floor(rest * INVERSE_BASE)
    digit_0 = rest - digit_1 * BASE
    carry, up, down, first = 0.0, 0.0, 0.0, 0.0
    for i in range(8):
        k = q + 9 - i  # of the digit 7 - i behind the point, or before it in the last round
        first = digit_0 * DIGITS[k] + digit_1 * DIGITS[k + 1]
        first = first + digit_2 * DIGITS[k + 2] + digit_3 * DIGITS[k + 3] + carry
        if i < 7:
            carry = np.floor(first * INVERSE_BASE)
            first = first - carry * BASE
            up = (up + first) * INVERSE_BASE
            down = (down + (BASE - 1.0 - first)) * INVERSE_BASE
    n = first
    r = up * HALF_PI
    if up > 0.5:
        n = n + 1.0
        r = -down * HALF_PI
    n = n - 4.0 * np.floor(0.25 * n)
    if x < 0.0:
        return -n, -r
    return n, r


@inner
def less_two_parts(x, n):
    """x - n π/2 without the third part of π/2, in float64."""
    return (x - HALF_PI_1 * n) - HALF_PI_2 * n


@inner
def less_half_pi(x, n):
    """x - n π/2 for abs(n) below 2**14 and a small result; float32 is computed in float64."""
    if is_single(x):
        low = less_two_parts(low_half(x), low_half(n))
        r = narrow(x, low, less_two_parts(high_half(x), high_half(n)))
    else:
        near = x - HALF_PI_1 * n
        second = HALF_PI_2 * n
        r = near - second
        lost = (near - r) - second
        r = r + multiply_add(n, -HALF_PI_3, lost)
    return r


@inner
def quadrant(x):
    """n modulo 4, from -2 to 2, and r with x = n π/2 + r."""
    n = multiply_add(x, TWO_OVER_PI, shifter(x)) - shifter(x)
    r = less_half_pi(x, n)
    far = select_lt(splat(x, FAR), absolute(x), splat(x, 1.0), splat(x, 0.0))
    if max_lanes(far) > 0.0:
        for i in range(lanes(x)):
            if lane(far, i) > 0.0:
                whole, rest = far_quadrant(np.float64(lane(x, i)))
                n, r = with_lane(n, i, whole), with_lane(r, i, rest)
    return n - 4.0 * (multiply_add(n, 0.25, shifter(n)) - shifter(n)), r


@inner
def sin_near(r, z):
    """sin r for abs(r) <= π/4 and z = r**2."""
    if is_single(r):
        p = linear(z, -0.00019587639, 0.00833274703)
        p = horner(p, z, -0.166666642)
    else:
        p = linear(z, 1.5917988979397435e-10, -2.5051129896450185e-08)
        p = horner(p, z, 2.7557316093198404e-06)
        p = horner(p, z, -0.00019841269836740532)
        p = horner(p, z, 0.0083333333333309358)
        p = horner(p, z, -0.16666666666666666)
    return fma(r * z, p, r)


@inner
def cos_near(z):
    """cos r for abs(r) <= π/4 and z = r**2; the rounding error of 1 - z / 2 is added back."""
    if is_single(z):
        p = linear(z, 2.45476895e-05, -0.00138883013)
        p = horner(p, z, 0.0416666642)
    else:
        p = linear(z, -1.138254464534925e-11, 2.0876145049413178e-09)
        p = horner(p, z, -2.7557317265878082e-07)
        p = horner(p, z, 2.48015872987544e-05)
        p = horner(p, z, -0.0013888888888887389)
        p = horner(p, z, 0.041666666666666664)
    half = 0.5 * z
    most = 1.0 - half
    return most + fma(z * z, p, (1.0 - most) - half)


@inner
def sin(x):
    """sin x. Error below 2.5 ulp. The sign of a zero is not kept."""
    n, r = quadrant(x)
    z, a = r * r, absolute(n)
    odd = absolute(a - 1.0)  # 0 for odd n, else 1
    sign = select_lt(odd, splat(x, 0.5), n, 1.0 - a)
    return sign * select_lt(odd, splat(x, 0.5), cos_near(z), sin_near(r, z))


@inner
def cos(x):
    """cos x. Error below 2.5 ulp."""
    n, r = quadrant(x)
    z, a = r * r, absolute(n)
    odd = absolute(a - 1.0)
    sign = select_lt(odd, splat(x, 0.5), -n, 1.0 - a)
    return sign * select_lt(odd, splat(x, 0.5), sin_near(r, z), cos_near(z))

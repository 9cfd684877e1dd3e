"""exp, log, tanh, sigmoid and the normal distribution on vectors, in explicit arithmetic.

Every function maps a Vector on a Vector, lane by lane, with fused multiply-adds written out:
the twin, ``src_cython/vmath.pxi``, has the same operations in the same order and gives the
same bits. (The sign and payload of a NaN are not promised.) NaN stays NaN everywhere.

Errors are in units in the last place (ulp) of the result. A docstring states the largest error
found, rounded up to the next half. In float32 the search covered every number of the range
where errors are largest (millions for normal_cdf), in float64 a million numbers or more (65
thousand for normal_cdf). The errors are measured, not proven; ``tests/backends/test_vmath.py``
checks them on samples. ``tools/fit_polynomials.py`` has fitted the polynomials.
"""

import numpy as np

from ._jit import inner
from .simd import (
    absolute,
    copysign,
    fma,
    is_single,
    log_exponent,
    log_mantissa,
    pow2,
    reciprocal_estimate,
    select_le,
    select_lt,
    shifter,
    splat,
)

# ln 2 = high + low; the high part has few bits, so that its small multiples are exact.
LOG2_E = 1.4426950408889634
LN2_HIGH_F4 = 0.693145752
LN2_LOW_F4 = 1.42860677e-06
LN2_HIGH_F8 = 0.6931471805601177
LN2_LOW_F8 = -1.7239444525614835e-13
TINY_F4 = 1.1754943508222875e-38
TINY_F8 = 2.2250738585072014e-308

INFINITY = np.inf
NAN = np.nan


@inner
def linear(x, a, b):
    """a x + b."""
    return fma(x, splat(x, a), splat(x, b))


@inner
def horner(p, x, c):
    """p x + c: one step of Horner's scheme."""
    return fma(p, x, splat(x, c))


@inner
def multiply_add(x, s, y):
    """x s + y for a scalar s."""
    return fma(x, splat(x, s), y)


@inner
def at_least(x, low):
    """The larger of x and low, or NaN."""
    return select_lt(x, splat(x, low), splat(x, low), x)


@inner
def at_most(x, high):
    """The smaller of x and high, or NaN."""
    return select_lt(splat(x, high), x, splat(x, high), x)


@inner
def less_ln2(x, n):
    """x - n ln 2 in two steps (Cody and Waite 1980); the first is exact."""
    if is_single(x):
        return multiply_add(n, -LN2_LOW_F4, multiply_add(n, -LN2_HIGH_F4, x))
    return multiply_add(n, -LN2_LOW_F8, multiply_add(n, -LN2_HIGH_F8, x))


@inner
def reciprocal(v):
    """1 / v for v in [2**-126, 2**125], by an estimate and steps that cube or square its error.

    Error below 1.5 ulp; 0 at infinity, since a squared gradient may overflow. A division would be
    the slowest instruction of Adam. (In float64, v is in [2**-1022, 2**1021].)
    """
    one = splat(v, 1.0)
    r = reciprocal_estimate(v)
    e = fma(-v, r, one)
    r = fma(r, fma(e, e, e), r)
    e = fma(-v, r, one)
    if not is_single(v):
        r = fma(r, fma(e, e, e), r)
        e = fma(-v, r, one)
    return select_le(splat(v, np.inf), v, splat(v, 0.0), fma(r, e, r))


@inner
def exp_fraction(r):
    """(e**r - 1 - r) / r**2 for |r| <= ln(2)/2."""
    if is_single(r):
        p = linear(r, 0.000198910799, 0.00139337312)
        p = horner(p, r, 0.00833331048)
        p = horner(p, r, 0.041666463)
        p = horner(p, r, 0.166666672)
        p = horner(p, r, 0.5)
    else:
        p = linear(r, 2.0914755325893202e-09, 2.5105312729622103e-08)
        p = horner(p, r, 2.7557273478718582e-07)
        p = horner(p, r, 2.7557255170000888e-06)
        p = horner(p, r, 2.4801587325677461e-05)
        p = horner(p, r, 0.00019841269875002279)
        p = horner(p, r, 0.0013888888888883711)
        p = horner(p, r, 0.0083333333333260838)
        p = horner(p, r, 0.041666666666666671)
        p = horner(p, r, 0.16666666666666671)
        p = horner(p, r, 0.5)
    return p


@inner
def exp_scaled(r, n):
    """2**n e**r for |r| <= ln(2)/2, rounded only once where the result is subnormal."""
    p = horner(exp_fraction(r), r, 1.0)
    p = horner(p, r, 1.0)
    # 2**n may overflow or underflow; its two factors never do.
    t = multiply_add(n, 0.5, shifter(n))
    first = t - shifter(n)
    second = (n - first) + shifter(n)
    return (p * pow2(t)) * pow2(second)


@inner
def exp_bounded(x):
    """x, limited to a range beyond which exp is 0 or infinite, so that n stays small."""
    if is_single(x):
        return at_most(at_least(x, -104.0), 89.0)
    return at_most(at_least(x, -746.0), 710.0)


@inner
def nearest(x):
    """The whole number nearest to x / ln 2."""
    return multiply_add(x, LOG2_E, shifter(x)) - shifter(x)


@inner
def exp(x):
    """e**x = 2**n e**r with n = round(x / ln 2) and r = x - n ln 2.

    Error below 1 ulp, subnormal results included; 0 and infinity beyond the range.
    """
    x = exp_bounded(x)
    n = nearest(x)
    return exp_scaled(less_ln2(x, n), n)


@inner
def gaussian(x):
    """exp(-x**2 / 2), with the rounding error of x**2 added back to r. Error below 1.5 ulp."""
    # 39**2 / 2 and 15**2 / 2 are beyond the range of exp too, and their squares do not overflow.
    if is_single(x):
        a = at_most(absolute(x), 15.0)
    else:
        a = at_most(absolute(x), 39.0)
    h = a * (-0.5 * a)
    lost = fma(a, 0.5 * a, h)  # x**2 / 2 + h, exactly
    n = nearest(h)
    return exp_scaled(less_ln2(h, n) - lost, n)


@inner
def expm1_nonpositive(x):
    """e**x - 1 for x <= 0 as 2**n (e**r - 1) + (2**n - 1), where n = 0 near x = 0.

    Error below 1 ulp. The sign of a zero is not kept.
    """
    # Below, e**x is less than half an ulp of 1.
    if is_single(x):
        x = at_least(x, -18.0)
    else:
        x = at_least(x, -38.0)
    t = multiply_add(x, LOG2_E, shifter(x))
    n = t - shifter(x)
    # As in less_ln2, but `lost` keeps the second step's rounding error: it matters below ln 2 / 2.
    if is_single(x):
        near = multiply_add(n, -LN2_HIGH_F4, x)
        r = multiply_add(n, -LN2_LOW_F4, near)
        lost = multiply_add(n, -LN2_LOW_F4, near - r)
    else:
        near = multiply_add(n, -LN2_HIGH_F8, x)
        r = multiply_add(n, -LN2_LOW_F8, near)
        lost = multiply_add(n, -LN2_LOW_F8, near - r)
    p = r + fma(r * r, exp_fraction(r), lost)
    s = pow2(t)
    return fma(s, p, s - 1.0)


@inner
def log_sum(n, f):
    """n ln 2 + ln(1 + f) for whole n and 1/sqrt(2) <= 1 + f <= 3/2.

    ln(1 + f) = 2 atanh(s) with s = f / (2 + f), written as f - s (f - z P(z)) with z = s**2, so
    that the rounding of s matters little (as in Sun's fdlibm, e_log.c).
    """
    s = f / (2.0 + f)
    z = s * s
    if is_single(z):
        p = linear(z, 0.237473443, 0.285327435)
        p = horner(p, z, 0.400003105)
        p = horner(p, z, 0.666666687)
    else:
        p = linear(z, 0.13604015707124079, 0.13210360485132619)
        p = horner(p, z, 0.15388834677801916)
        p = horner(p, z, 0.18181738454723026)
        p = horner(p, z, 0.22222223037807243)
        p = horner(p, z, 0.28571428567339191)
        p = horner(p, z, 0.40000000000007802)
        p = horner(p, z, 0.66666666666666663)
    # n * LN2_HIGH is exact; `low` has the rounding error of its sum with f.
    if is_single(f):
        high = LN2_HIGH_F4 * n
        sum = high + f
        low = multiply_add(n, LN2_LOW_F4, (high - sum) + f)
    else:
        high = LN2_HIGH_F8 * n
        sum = high + f
        low = multiply_add(n, LN2_LOW_F8, (high - sum) + f)
    return sum + (low - s * (f - z * p))


@inner
def log1p_unit(u):
    """ln(1 + u) for 0 <= u <= 1; above 1/2 as ln 2 + ln(1 + (u - 1) / 2). Error below 1 ulp."""
    half = splat(u, 0.5)
    n = select_le(u, half, splat(u, 0.0), splat(u, 1.0))
    f = select_le(u, half, u, 0.5 * u - half)
    return log_sum(n, f)


@inner
def log(x):
    """ln x = n ln 2 + ln m with x = 2**n m and m near 1; error below 1 ulp.

    Subnormal x included; -inf at 0, inf at inf, NaN below 0.
    """
    # Scale subnormal numbers by a power of two, and correct n by its exponent.
    zero = splat(x, 0.0)
    if is_single(x):
        normal = splat(x, TINY_F4)
        scale = select_lt(x, normal, splat(x, 16777216.0), splat(x, 1.0))
        shift = select_lt(x, normal, splat(x, 24.0), zero)
    else:
        normal = splat(x, TINY_F8)
        scale = select_lt(x, normal, splat(x, 18014398509481984.0), splat(x, 1.0))
        shift = select_lt(x, normal, splat(x, 54.0), zero)
    scaled = x * scale
    y = log_sum(log_exponent(scaled) - shift, log_mantissa(scaled) - 1.0)
    y = select_le(x, zero, select_lt(x, zero, splat(x, NAN), splat(x, -INFINITY)), y)
    return select_lt(x, splat(x, INFINITY), y, x)


@inner
def tanh(x):
    """tanh |x| = -m / (2 + m) with m = e**(-2|x|) - 1, and the sign of x. Error below 2.5 ulp."""
    m = expm1_nonpositive(-2.0 * absolute(x))
    return copysign(m / (2.0 + m), x)


@inner
def sigmoid(x):
    """1 / (1 + e**-x), for x < 0 as e**x / (1 + e**x). Error below 2.5 ulp, subnormals included."""
    one = splat(x, 1.0)
    e = exp(-absolute(x))
    return select_lt(x, splat(x, 0.0), e, one) / (one + e)


@inner
def normal_cdf(x, e):
    """The normal distribution function at x, given e = gaussian(x).

    For a = |x|, the tail is e P(w) / (a + k) with w = (a - k) / (a + k) and k = 5/2, where P is
    smooth up to infinity (Shepherd and Laframboise, Math. Comp. 36, 1981, p. 249); for x > 0 the
    result is 1 - tail. Error below 5.5 ulp where e is a normal number; where e underflows, the
    lower tail loses digits with it.
    """
    t = 1.0 / (absolute(x) + 2.5)
    w = linear(t, -5.0, 1.0)  # = (a - k) / (a + k), and 1 at infinity
    if is_single(w):
        p = linear(w, -3.34592332e-05, -0.000203600037)
        p = horner(p, w, -0.000279535336)
        p = horner(p, w, 0.00073976384)
        p = horner(p, w, 0.0025146422)
        p = horner(p, w, -0.00162342133)
        p = horner(p, w, -0.0163853411)
        p = horner(p, w, 0.00923933368)
        p = horner(p, w, 0.131986961)
        p = horner(p, w, -0.433692157)
        p = horner(p, w, 0.706656635)
    else:
        p = linear(w, 9.157473107661518e-09, 3.3247137474196374e-08)
        p = horner(p, w, 2.3661413315208441e-09)
        p = horner(p, w, -1.5889268236565756e-07)
        p = horner(p, w, -2.5694134292289091e-07)
        p = horner(p, w, 8.7907560114025697e-08)
        p = horner(p, w, 8.7820408383038589e-07)
        p = horner(p, w, 1.3437697339092041e-06)
        p = horner(p, w, -4.8206772515408004e-08)
        p = horner(p, w, -4.4169964776135314e-06)
        p = horner(p, w, -8.5236710092174651e-06)
        p = horner(p, w, -8.4709750810314529e-07)
        p = horner(p, w, 2.9472089469600855e-05)
        p = horner(p, w, 5.6416978927601236e-05)
        p = horner(p, w, -1.8237821955291724e-05)
        p = horner(p, w, -0.0002625432139051879)
        p = horner(p, w, -0.00032422353095420633)
        p = horner(p, w, 0.00075920174226256569)
        p = horner(p, w, 0.002538158546829733)
        p = horner(p, w, -0.0016250100082821637)
        p = horner(p, w, -0.016390025391223171)
        p = horner(p, w, 0.0092391746163202476)
        p = horner(p, w, 0.13198727850248618)
        p = horner(p, w, -0.43369214184698351)
        p = horner(p, w, 0.7066566569028766)
    tail = e * (t * p)
    return select_lt(x, splat(x, 0.0), tail, 1.0 - tail)


@inner
def stirling_error(x):
    """φ(x) = ln Γ(x) - (x - ½) ln x + x - ½ ln 2π for x > 0, and x φ'(x).

    So ln Γ and its derivative ψ(x) = ln x - 1 / (2 x) + φ'(x) come without the large part that
    cancels in differences of them. From 4 on (10 in float64) it is the series of Stirling's
    formula; below, the same at x + 4 (x + 10), less ln x (x + 1) (x + 2) ... (DLMF 5.5.1, 5.11.1).
    Errors below 2e-6 (2e-14 in float64) times the larger of 1 and φ.
    """
    steps = 4 if is_single(x) else 10
    one, limit = splat(x, 1.0), splat(x, float(steps))
    small = select_lt(x, limit, x, one)
    product, slope = small + one, one
    for i in range(2, steps):
        term = small + splat(x, float(i))
        slope = fma(slope, term, product)
        product = product * term
    large = select_lt(x, limit, small + limit, x)
    r = one / large
    q = r * r
    phi = linear(q, 0.00641025641025641, -0.0019175269175269176)
    phi = horner(phi, q, 0.0008417508417508417)
    phi = horner(phi, q, -0.0005952380952380953)
    phi = horner(phi, q, 0.0007936507936507937)
    phi = horner(phi, q, -0.002777777777777778)
    phi = r * horner(phi, q, 0.08333333333333333)
    of_phi = linear(q, -0.08333333333333333, 0.021092796092796094)
    of_phi = horner(of_phi, q, -0.007575757575757576)
    of_phi = horner(of_phi, q, 0.004166666666666667)
    of_phi = horner(of_phi, q, -0.003968253968253968)
    of_phi = horner(of_phi, q, 0.008333333333333333)
    of_phi = q * horner(of_phi, q, -0.08333333333333333)
    log_large, log_small = log(large), log(small)
    shifted = (large - 0.5) * log_large - (small + 0.5) * log_small - log(product)
    ratio = (log_large - log_small) - 0.5 * r + of_phi - slope / product
    return (
        select_lt(x, limit, shifted - limit + phi, phi),
        select_lt(x, limit, small * ratio - 0.5, x * of_phi),
    )


@inner
def stirling_curve(x):
    """x² φ''(x) with φ of `stirling_error`, so that ψ'(x) = 1 / x + 1 / (2 x²) + φ''(x).

    The series, and ψ'(x) = 1 / x² + 1 / (x + 1)² + ... + ψ'(x + 10) below 10 (4 in float32).
    Errors below 2e-6 (5e-15 in float64).
    """
    steps = 4 if is_single(x) else 10
    one, limit = splat(x, 1.0), splat(x, float(steps))
    small, squares = select_lt(x, limit, x, one), splat(x, 0.0)
    for i in range(1, steps):
        term = one / (small + splat(x, float(i)))
        squares = fma(term, term, squares)
    r = one / select_lt(x, limit, small + limit, x)
    q = r * r
    curve = linear(q, 1.1666666666666667, -0.2531135531135531)
    curve = horner(curve, q, 0.07575757575757576)
    curve = horner(curve, q, -0.03333333333333333)
    curve = horner(curve, q, 0.023809523809523808)
    curve = horner(curve, q, -0.03333333333333333)
    curve = horner(curve, q, 0.16666666666666666)
    rest = r * fma(r, fma(r, curve, splat(x, 0.5)), one)
    shifted = fma(small * small, squares + rest, 0.5 - small)
    return select_lt(x, limit, shifted, r * curve)

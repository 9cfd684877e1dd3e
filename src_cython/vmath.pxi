# exp, log, tanh, sigmoid and the normal distribution on vectors, in explicit arithmetic.
#
# The twin of fastbp/backends/numba_/vmath.py: the same operations in the same order, and
# therefore the same bits. That file also states the functions' errors.
# tools/fit_polynomials.py has fitted the polynomials.

cdef extern from *:
    """
    #include <math.h>
    /* ln 2 = high + low; the high part has few bits, so that its small multiples are exact. */
    static const double LOG2_E = 1.4426950408889634;
    static const double LN2_HIGH_F4 = 0.693145752;
    static const double LN2_LOW_F4 = 1.42860677e-06;
    static const double LN2_HIGH_F8 = 0.6931471805601177;
    static const double LN2_LOW_F8 = -1.7239444525614835e-13;
    static const double TINY_F4 = 1.1754943508222875e-38;
    static const double TINY_F8 = 2.2250738585072014e-308;
    """
    const double LOG2_E
    const double LN2_HIGH_F4
    const double LN2_LOW_F4
    const double LN2_HIGH_F8
    const double LN2_LOW_F8
    const double TINY_F4
    const double TINY_F8
    const double INFINITY
    const double NAN


cdef inline vec linear(vec x, real a, real b) noexcept nogil:
    """a x + b."""
    return fma(x, splat(a), splat(b))


cdef inline vec horner(vec p, vec x, real c) noexcept nogil:
    """p x + c: one step of Horner's scheme."""
    return fma(p, x, splat(c))


cdef inline vec multiply_add(vec x, real s, vec y) noexcept nogil:
    """x s + y for a scalar s."""
    return fma(x, splat(s), y)


cdef inline vec at_least(vec x, real low) noexcept nogil:
    """The larger of x and low, or NaN."""
    return select_lt(x, splat(low), splat(low), x)


cdef inline vec at_most(vec x, real high) noexcept nogil:
    """The smaller of x and high, or NaN."""
    return select_lt(splat(high), x, splat(high), x)


cdef inline vec less_ln2(vec x, vec n) noexcept nogil:
    """x - n ln 2 in two steps (Cody and Waite 1980); the first is exact."""
    if FBP_SINGLE:
        return multiply_add(n, -LN2_LOW_F4, multiply_add(n, -LN2_HIGH_F4, x))
    return multiply_add(n, -LN2_LOW_F8, multiply_add(n, -LN2_HIGH_F8, x))


cdef inline vec reciprocal(vec v) noexcept nogil:
    """1 / v for v in [2**-126, 2**125], by an estimate and steps that cube or square its error.

    0 at infinity, which a squared gradient may be.
    """
    cdef vec r = reciprocal_estimate(v)
    cdef vec e = fma(-v, r, splat(1.0))
    r = fma(r, fma(e, e, e), r)
    e = fma(-v, r, splat(1.0))
    if not FBP_SINGLE:
        r = fma(r, fma(e, e, e), r)
        e = fma(-v, r, splat(1.0))
    return select_le(splat(INFINITY), v, splat(0.0), fma(r, e, r))


cdef inline vec exp_fraction(vec r) noexcept nogil:
    """(e**r - 1 - r) / r**2 for |r| <= ln(2)/2."""
    cdef vec p
    if FBP_SINGLE:
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


cdef inline vec exp_scaled(vec r, vec n) noexcept nogil:
    """2**n e**r for |r| <= ln(2)/2, rounded only once where the result is subnormal."""
    cdef vec p, t, first, second
    p = horner(exp_fraction(r), r, 1.0)
    p = horner(p, r, 1.0)
    # 2**n may overflow or underflow; its two factors never do.
    t = multiply_add(n, 0.5, shifter())
    first = t - shifter()
    second = (n - first) + shifter()
    return (p * pow2(t)) * pow2(second)


cdef inline vec exp_bounded(vec x) noexcept nogil:
    """x, limited to a range beyond which exp is 0 or infinite, so that n stays small."""
    if FBP_SINGLE:
        return at_most(at_least(x, -104.0), 89.0)
    return at_most(at_least(x, -746.0), 710.0)


cdef inline vec nearest(vec x) noexcept nogil:
    """The whole number nearest to x / ln 2."""
    return multiply_add(x, LOG2_E, shifter()) - shifter()


cdef inline vec exp(vec x) noexcept nogil:
    """e**x = 2**n e**r with n = round(x / ln 2) and r = x - n ln 2.

    Error below 1 ulp, subnormal results included; 0 and infinity beyond the range.
    """
    cdef vec n
    x = exp_bounded(x)
    n = nearest(x)
    return exp_scaled(less_ln2(x, n), n)


cdef inline vec gaussian(vec x) noexcept nogil:
    """exp(-x**2 / 2), with the rounding error of x**2 added back to r. Error below 1.5 ulp."""
    cdef vec a, h, lost, n
    # 39**2 / 2 and 15**2 / 2 are beyond the range of exp too, and their squares do not overflow.
    if FBP_SINGLE:
        a = at_most(absolute(x), 15.0)
    else:
        a = at_most(absolute(x), 39.0)
    h = a * (<real>-0.5 * a)
    lost = fma(a, <real>0.5 * a, h)  # x**2 / 2 + h, exactly
    n = nearest(h)
    return exp_scaled(less_ln2(h, n) - lost, n)


cdef inline vec expm1_nonpositive(vec x) noexcept nogil:
    """e**x - 1 for x <= 0 as 2**n (e**r - 1) + (2**n - 1), where n = 0 near x = 0.

    Error below 1 ulp. The sign of a zero is not kept.
    """
    cdef vec t, n, near, r, lost, p, s
    # Below, e**x is less than half an ulp of 1.
    if FBP_SINGLE:
        x = at_least(x, -18.0)
    else:
        x = at_least(x, -38.0)
    t = multiply_add(x, LOG2_E, shifter())
    n = t - shifter()
    # As in less_ln2, but `lost` keeps the second step's rounding error: it matters below ln 2 / 2.
    if FBP_SINGLE:
        near = multiply_add(n, -LN2_HIGH_F4, x)
        r = multiply_add(n, -LN2_LOW_F4, near)
        lost = multiply_add(n, -LN2_LOW_F4, near - r)
    else:
        near = multiply_add(n, -LN2_HIGH_F8, x)
        r = multiply_add(n, -LN2_LOW_F8, near)
        lost = multiply_add(n, -LN2_LOW_F8, near - r)
    p = r + fma(r * r, exp_fraction(r), lost)
    s = pow2(t)
    return fma(s, p, s - <real>1.0)


cdef inline vec log_sum(vec n, vec f) noexcept nogil:
    """n ln 2 + ln(1 + f) for whole n and 1/sqrt(2) <= 1 + f <= 3/2.

    ln(1 + f) = 2 atanh(s) with s = f / (2 + f), written as f - s (f - z P(z)) with z = s**2, so
    that the rounding of s matters little (as in Sun's fdlibm, e_log.c).
    """
    cdef vec s, z, p, high, sum, low
    s = f / (<real>2.0 + f)
    z = s * s
    if FBP_SINGLE:
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
    if FBP_SINGLE:
        high = <real>LN2_HIGH_F4 * n
        sum = high + f
        low = multiply_add(n, LN2_LOW_F4, (high - sum) + f)
    else:
        high = <real>LN2_HIGH_F8 * n
        sum = high + f
        low = multiply_add(n, LN2_LOW_F8, (high - sum) + f)
    return sum + (low - s * (f - z * p))


cdef inline vec log1p_unit(vec u) noexcept nogil:
    """ln(1 + u) for 0 <= u <= 1; above 1/2 as ln 2 + ln(1 + (u - 1) / 2). Error below 1 ulp."""
    cdef vec half, n, f
    half = splat(0.5)
    n = select_le(u, half, splat(0.0), splat(1.0))
    f = select_le(u, half, u, <real>0.5 * u - half)
    return log_sum(n, f)


cdef inline vec log(vec x) noexcept nogil:
    """ln x = n ln 2 + ln m with x = 2**n m and m near 1; error below 1 ulp.

    Subnormal x included; -inf at 0, inf at inf, NaN below 0.
    """
    cdef vec normal, scale, scaled, shift, zero, y
    # Scale subnormal numbers by a power of two, and correct n by its exponent.
    zero = splat(0.0)
    if FBP_SINGLE:
        normal = splat(TINY_F4)
        scale = select_lt(x, normal, splat(16777216.0), splat(1.0))
        shift = select_lt(x, normal, splat(24.0), zero)
    else:
        normal = splat(TINY_F8)
        scale = select_lt(x, normal, splat(18014398509481984.0), splat(1.0))
        shift = select_lt(x, normal, splat(54.0), zero)
    scaled = x * scale
    y = log_sum(log_exponent(scaled) - shift, log_mantissa(scaled) - <real>1.0)
    y = select_le(x, zero, select_lt(x, zero, splat(NAN), splat(-INFINITY)), y)
    return select_lt(x, splat(INFINITY), y, x)


cdef inline vec tanh(vec x) noexcept nogil:
    """tanh |x| = -m / (2 + m) with m = e**(-2|x|) - 1, and the sign of x. Error below 2.5 ulp."""
    cdef vec m
    m = expm1_nonpositive(<real>-2.0 * absolute(x))
    return copysign(m / (<real>2.0 + m), x)


cdef inline vec sigmoid(vec x) noexcept nogil:
    """1 / (1 + e**-x), for x < 0 as e**x / (1 + e**x). Error below 2.5 ulp, subnormals included."""
    cdef vec e, one
    one = splat(1.0)
    e = exp(-absolute(x))
    return select_lt(x, splat(0.0), e, one) / (one + e)


cdef inline vec normal_cdf(vec x, vec e) noexcept nogil:
    """The normal distribution function at x, given e = gaussian(x).

    For a = |x|, the tail is e P(w) / (a + k) with w = (a - k) / (a + k) and k = 5/2, where P is
    smooth up to infinity (Shepherd and Laframboise, Math. Comp. 36, 1981, p. 249); above 0 it is
    one less the tail. Error below 5.5 ulp where e is a normal number; where e underflows, the
    lower tail loses digits with it.
    """
    cdef vec t, w, p, tail
    t = <real>1.0 / (absolute(x) + <real>2.5)
    w = linear(t, -5.0, 1.0)  # = (a - k) / (a + k), and 1 at infinity
    if FBP_SINGLE:
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
    return select_lt(x, splat(0.0), tail, <real>1.0 - tail)


cdef inline vec stirling_error(vec x, vec *times_slope) noexcept nogil:
    """φ(x) = ln Γ(x) - (x - ½) ln x + x - ½ ln 2π for x > 0; x φ'(x) goes to `times_slope`."""
    cdef Py_ssize_t i, steps = 4 if FBP_SINGLE else 10
    cdef vec one = splat(1.0), limit = splat(<real>steps)
    cdef vec small = select_lt(x, limit, x, one), product = small + one, slope = one
    cdef vec term, large, r, q, phi, of_phi, log_large, log_small, shifted, ratio
    for i in range(2, steps):
        term = small + splat(<real>i)
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
    shifted = (
        (large - <real>0.5) * log_large - (small + <real>0.5) * log_small - log(product)
    )
    ratio = (log_large - log_small) - <real>0.5 * r + of_phi - slope / product
    times_slope[0] = select_lt(x, limit, small * ratio - <real>0.5, x * of_phi)
    return select_lt(x, limit, shifted - limit + phi, phi)


cdef inline vec stirling_curve(vec x) noexcept nogil:
    """x² φ''(x) with φ of `stirling_error`, so that ψ'(x) = 1 / x + 1 / (2 x²) + φ''(x)."""
    cdef Py_ssize_t i, steps = 4 if FBP_SINGLE else 10
    cdef vec one = splat(1.0), limit = splat(<real>steps)
    cdef vec small = select_lt(x, limit, x, one), squares = splat(0.0), term, r, q, curve, rest
    for i in range(1, steps):
        term = one / (small + splat(<real>i))
        squares = fma(term, term, squares)
    r = one / select_lt(x, limit, small + limit, x)
    q = r * r
    curve = linear(q, 1.1666666666666667, -0.2531135531135531)
    curve = horner(curve, q, 0.07575757575757576)
    curve = horner(curve, q, -0.03333333333333333)
    curve = horner(curve, q, 0.023809523809523808)
    curve = horner(curve, q, -0.03333333333333333)
    curve = horner(curve, q, 0.16666666666666666)
    rest = r * fma(r, fma(r, curve, splat(0.5)), one)
    return select_lt(
        x, limit, fma(small * small, squares + rest, <real>0.5 - small), r * curve
    )

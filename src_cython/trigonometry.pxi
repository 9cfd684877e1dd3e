# sin and cos on vectors, in explicit arithmetic, for arguments of any size.
#
# The twin of fastbp/backends/numba_/trigonometry.py, which says how they are computed.

cdef extern from *:
    """
    static const double FAR = 20000.0;
    static const double TWO_OVER_PI = 0.63661977236758138;
    /* The first two parts of π/2 have 39 bits each. */
    static const double HALF_PI = 1.5707963267948966;
    static const double HALF_PI_1 = 1.5707963267923333;
    static const double HALF_PI_2 = 2.5633441515905732e-12;
    static const double HALF_PI_3 = 3.9455541665632055e-24;
    static const double BASE = 16777216.0; /* 2**24 */
    static const double INVERSE_BASE = 5.9604644775390625e-08; /* 2**-24 */
    /* 2/π in that base: the digit of BASE**-k is at k + 2. */
    static const double DIGITS[] = {
        0, 0, 0, 10680707, 7228996, 1387004, 2578385, 16069853, 12639074, 9804092, 4427841,
        16666979, 11263675, 12935607, 2387514, 4345298, 14681673, 3074569, 13734428, 16653803,
        1880361, 10960616, 8533493, 3062596, 8710556, 7349940, 6258241, 3772886, 3769171,
        3798172, 8675211, 12450088, 3874808, 9961438, 366607, 15675153, 9132554, 7151469,
        3571407, 2607881, 12013382, 4155038, 6285869, 7677882, 13102053, 15825725, 473591,
        9065106, 15363067, 6271263, 9264392, 5636912, 4652155, 7056368,
    };
    """
    const double FAR, TWO_OVER_PI, HALF_PI, HALF_PI_1, HALF_PI_2, HALF_PI_3, BASE, INVERSE_BASE
    const double DIGITS[]

cdef extern from "math.h" nogil:
    double c_floor "floor"(double x)
    double frexp(double x, int *exponent)
    double ldexp(double x, int exponent)


cdef double far_quadrant(double x, double *n) noexcept nogil:
    """n modulo 4, and as the result r, of one number beyond FAR."""
    cdef double a = -x if x < 0.0 else x
    cdef double rest, digit_3, digit_2, digit_1, digit_0, r, first = 0.0
    cdef double carry = 0.0, up = 0.0, down = 0.0
    cdef int exponent, q, k, i
    n[0] = 0.0
    if not a < INFINITY:
        return NAN
    rest = frexp(a, &exponent)
    q = (exponent - 53 + 240) // 24 - 10  # rounded down: C rounds towards 0
    rest = ldexp(rest, exponent - 24 * q)
    digit_3 = c_floor(rest * (INVERSE_BASE * INVERSE_BASE * INVERSE_BASE))
    rest -= digit_3 * (BASE * BASE * BASE)
    digit_2 = c_floor(rest * (INVERSE_BASE * INVERSE_BASE))
    rest -= digit_2 * (BASE * BASE)
    digit_1 = c_floor(rest * INVERSE_BASE)
    digit_0 = rest - digit_1 * BASE
    for i in range(8):
        k = q + 9 - i  # of the digit 7 - i behind the point, or before it in the last round
        first = digit_0 * DIGITS[k] + digit_1 * DIGITS[k + 1]
        first = first + digit_2 * DIGITS[k + 2] + digit_3 * DIGITS[k + 3] + carry
        if i < 7:
            carry = c_floor(first * INVERSE_BASE)
            first = first - carry * BASE
            up = (up + first) * INVERSE_BASE
            down = (down + (BASE - 1.0 - first)) * INVERSE_BASE
    n[0] = first
    r = up * HALF_PI
    if up > 0.5:
        n[0] = n[0] + 1.0
        r = -down * HALF_PI
    n[0] = n[0] - 4.0 * c_floor(0.25 * n[0])
    if x < 0.0:
        n[0] = -n[0]
        return -r
    return r


cdef inline wide less_two_parts(wide x, wide n) noexcept nogil:
    """x - n π/2 without the third part of π/2, in float64."""
    return (x - HALF_PI_1 * n) - HALF_PI_2 * n


cdef inline vec less_half_pi(vec x, vec n) noexcept nogil:
    """x - n π/2 for abs(n) below 2**14 and a small result; float32 is computed in float64."""
    cdef vec near, second, r, lost
    cdef wide low
    if FBP_SINGLE:
        low = less_two_parts(low_half(x), low_half(n))
        return narrow(low, less_two_parts(high_half(x), high_half(n)))
    near = x - <real>HALF_PI_1 * n
    second = <real>HALF_PI_2 * n
    r = near - second
    lost = (near - r) - second
    return r + multiply_add(n, -HALF_PI_3, lost)


cdef inline vec quadrant(vec x, vec *n_of_x) noexcept nogil:
    """n modulo 4, from -2 to 2, and as the result r with x = n π/2 + r."""
    cdef vec n = multiply_add(x, TWO_OVER_PI, shifter()) - shifter(), far
    cdef vec r = less_half_pi(x, n)
    cdef Py_ssize_t i
    cdef double whole, rest
    far = select_lt(splat(FAR), absolute(x), splat(1.0), splat(0.0))
    if max_lanes(far) > 0.0:
        for i in range(FBP_LANES):
            if lane(far, i) > 0.0:
                rest = far_quadrant(lane(x, i), &whole)
                n, r = with_lane(n, i, whole), with_lane(r, i, rest)
    n_of_x[0] = n - <real>4.0 * (multiply_add(n, 0.25, shifter()) - shifter())
    return r


cdef inline vec sin_near(vec r, vec z) noexcept nogil:
    """sin r for abs(r) <= π/4 and z = r**2."""
    cdef vec p
    if FBP_SINGLE:
        p = linear(z, -0.00019587639, 0.00833274703)
        p = horner(p, z, -0.166666642)
    else:
        p = linear(z, 1.5917988979397435e-10, -2.5051129896450185e-08)
        p = horner(p, z, 2.7557316093198404e-06)
        p = horner(p, z, -0.00019841269836740532)
        p = horner(p, z, 0.0083333333333309358)
        p = horner(p, z, -0.16666666666666666)
    return fma(r * z, p, r)


cdef inline vec cos_near(vec z) noexcept nogil:
    """cos r for abs(r) <= π/4 and z = r**2; the rounding error of 1 - z / 2 is added back."""
    cdef vec p, half, most
    if FBP_SINGLE:
        p = linear(z, 2.45476895e-05, -0.00138883013)
        p = horner(p, z, 0.0416666642)
    else:
        p = linear(z, -1.138254464534925e-11, 2.0876145049413178e-09)
        p = horner(p, z, -2.7557317265878082e-07)
        p = horner(p, z, 2.48015872987544e-05)
        p = horner(p, z, -0.0013888888888887389)
        p = horner(p, z, 0.041666666666666664)
    half = <real>0.5 * z
    most = <real>1.0 - half
    return most + fma(z * z, p, (<real>1.0 - most) - half)


cdef inline vec sin(vec x) noexcept nogil:
    cdef vec n
    cdef vec r = quadrant(x, &n)
    cdef vec z = r * r, a = absolute(n)
    cdef vec odd = absolute(a - <real>1.0)  # 0 for odd n, else 1
    cdef vec sign = select_lt(odd, splat(0.5), n, <real>1.0 - a)
    return sign * select_lt(odd, splat(0.5), cos_near(z), sin_near(r, z))


cdef inline vec cos(vec x) noexcept nogil:
    cdef vec n
    cdef vec r = quadrant(x, &n)
    cdef vec z = r * r, a = absolute(n)
    cdef vec odd = absolute(a - <real>1.0)
    cdef vec sign = select_lt(odd, splat(0.5), -n, <real>1.0 - a)
    return sign * select_lt(odd, splat(0.5), sin_near(r, z), cos_near(z))

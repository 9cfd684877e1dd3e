"""Print the polynomials of vmath.py and vmath.pxi, as they stand in both files.

Each is the Chebyshev interpolant of its function on its interval, computed with 40 digits and
turned into powers, whose coefficients are then rounded to the precision that uses them. That is
within a small factor of the best polynomial of its degree. `error` is the largest relative
error of the function computed with the rounded polynomial in exact arithmetic; one ulp
is 6e-8 to 1.2e-7 in float32 and 1.1e-16 to 2.2e-16 in float64.

Run: python tools/fit_polynomials.py
"""

import numpy as np
from mpmath import atanh, chebyfit, cos, erfc, exp, expm1, log, log1p, mp, mpf, pi, sin, sqrt

mp.dps = 40
DIGITS = {np.float32: 9, np.float64: 17}  # decimal digits that identify a number


def exp_fraction(r):
    """(e**r - 1 - r) / r**2."""
    if abs(r) < mpf(10) ** -8:
        return mpf(1) / 2 + r / 6 + r * r / 24
    return (expm1(r) - r) / r**2


def exp_weight(r):
    """What an error of exp_fraction does to e**r - 1."""
    return abs(r**2 / expm1(r)) if r else mpf(0)


def log_fraction(z):
    """P(z) of ln(1+f) = f - s (f - z P(z)) where s = f / (2 + f) and z = s**2."""
    if z < mpf(10) ** -8:
        return mpf(2) / 3 + 2 * z / 5 + 2 * z * z / 7
    s = sqrt(z)
    return 2 * (atanh(s) - s) / (s * z)


def log_weight(z):
    """What an error of log_fraction does to ln(1+f), f > 0."""
    s = sqrt(z)
    return s * z / log1p(2 * s / (1 - s)) if z else mpf(0)


def normal_fraction(k):
    """P(w) of Phi(-a) = exp(-a**2/2) P(w) / (a+k) where w = (a-k) / (a+k)."""

    def fraction(w):
        a = k * (1 + w) / (1 - w)
        return (a + k) * exp(a * a / 2) * erfc(a / sqrt(mpf(2))) / 2

    return fraction


def sin_fraction(z):
    """S(z) of sin r = r + r z S(z) where z = r**2."""
    if z < mpf(10) ** -8:
        return -mpf(1) / 6 + z / 120 - z * z / 5040
    r = sqrt(z)
    return (sin(r) - r) / (r * z)


def sin_weight(z):
    """What an error of sin_fraction does to sin r."""
    r = sqrt(z)
    return r * z / sin(r) if z else mpf(0)


def cos_fraction(z):
    """C(z) of cos r = 1 - z / 2 + z**2 C(z) where z = r**2."""
    if z < mpf(10) ** -8:
        return mpf(1) / 24 - z / 720 + z * z / 40320
    return (cos(sqrt(z)) - 1 + z / 2) / z**2


def cos_weight(z):
    """What an error of cos_fraction does to cos r."""
    return z**2 / cos(sqrt(z))


def round_to(dtype, x):
    """x rounded to the precision, as text, a number of Python and of mpmath."""
    text = f"{float(dtype(mp.nstr(x, 25))):.{DIGITS[dtype]}g}"
    assert dtype(float(text)) == dtype(mp.nstr(x, 25))
    return text, mpf(float(dtype(float(text))))


def fit(name, dtype, function, low, high, degree, weight):
    """Print the Horner chain of one polynomial and its largest weighted relative error."""
    powers = chebyfit(function, [low, high], degree + 1)  # highest power first
    texts, values = zip(*(round_to(dtype, c) for c in powers), strict=True)
    error = mpf(0)
    for i in range(401):
        x = low + (high - low) * i / 400
        exact = function(x)
        error = max(error, abs(mp.polyval(values, x) - exact) * weight(x))
    print(f"{name}, {dtype.__name__}, degree {degree}, error {mp.nstr(error, 2)}")
    variable = {"exp_fraction": "r", "normal_fraction": "w"}.get(name, "z")
    print(f"    p = linear({variable}, {texts[0]}, {texts[1]})")
    for text in texts[2:]:
        print(f"    p = horner(p, {variable}, {text})")
    print()


def split_ln2(suffix, dtype, bits):
    """Print ln 2 as a number of few bits, whose small multiples are exact, and a remainder."""
    high = mp.nint(log(2) * 2**bits) / 2**bits
    print(f"LN2_HIGH_{suffix} = {round_to(dtype, high)[0]}")
    print(f"LN2_LOW_{suffix} = {round_to(dtype, log(2) - high)[0]}")


def split_half_pi(bits):
    """Print π/2 as two numbers of few bits, whose small multiples are exact, and a remainder."""
    rest = pi / 2
    for k in (1, 2):
        part = mp.floor(rest * mpf(2) ** (k * bits - 1)) / mpf(2) ** (k * bits - 1)
        print(f"HALF_PI_{k} = {round_to(np.float64, part)[0]}")
        rest -= part
    print(f"HALF_PI_3 = {round_to(np.float64, rest)[0]}")


def digits_of_two_over_pi(count):
    """Print 2/π in base 2**24, behind two zeros."""
    whole, digits = int(mp.floor(2 / pi * mpf(2) ** (24 * count))), []
    for _ in range(count):
        whole, digit = divmod(whole, 2**24)
        digits.append(digit)
    print(f"DIGITS = {[0, 0, *digits[::-1]]}")


def main():
    half_ln2 = log(2) / 2 * mpf("1.001")  # a little more, for the rounding of the reduction
    furthest = mpf(1) / 25  # s = 1/5, of log1p_unit at 1/2
    print(f"LOG2_E = {round_to(np.float64, 1 / log(2))[0]}")
    split_ln2("F4", np.float32, 15)  # times 150 is exact in float32
    split_ln2("F8", np.float64, 41)  # times 1075 is exact in float64
    print(f"TINY_F4 = {float(np.finfo(np.float32).tiny)!r}  # the smallest normal numbers")
    print(f"TINY_F8 = {float(np.finfo(np.float64).tiny)!r}")
    print()
    for dtype, degree in [(np.float32, 5), (np.float64, 10)]:
        fit("exp_fraction", dtype, exp_fraction, -half_ln2, half_ln2, degree, exp_weight)
    for dtype, degree in [(np.float32, 3), (np.float64, 7)]:
        fit("log_fraction", dtype, log_fraction, mpf(0), furthest, degree, log_weight)
    print(f"TWO_OVER_PI = {round_to(np.float64, 2 / pi)[0]}")
    split_half_pi(39)  # times 2**14 is exact in float64
    with mp.workdps(400):
        digits_of_two_over_pi(51)
    print()
    furthest = (pi / 4) ** 2 * mpf("1.001")
    for dtype, degree in [(np.float32, 2), (np.float64, 5)]:
        fit("sin_fraction", dtype, sin_fraction, mpf(0), furthest, degree, sin_weight)
        fit("cos_fraction", dtype, cos_fraction, mpf(0), furthest, degree, cos_weight)
    k = mpf(5) / 2
    function = normal_fraction(k)
    for dtype, degree, furthest in [(np.float32, 10, mpf(29) / 2), (np.float64, 24, mpf(39))]:
        nearest_to_one = (furthest - k) / (furthest + k)
        fit(
            "normal_fraction", dtype, function, mpf(-1), nearest_to_one, degree,
            lambda w: 1 / function(w),
        )  # fmt: skip


if __name__ == "__main__":
    main()

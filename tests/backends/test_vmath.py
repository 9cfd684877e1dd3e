"""The vector functions of vmath and trigonometry keep the errors that their docstrings state.

Errors are in units in the last place of the correctly rounded result. References are mpmath,
and NumPy in float64 for more numbers of float32.
"""

import re

import mpmath
import numpy as np
import pytest
from numba import config, njit
from scipy.special import polygamma

from fastbp.backends.numba_ import trigonometry, vmath
from fastbp.backends.numba_.simd import lanes, load, pointer, store

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

F4, F8 = np.float32, np.float64
# The stand-in for a float64 fma rounds twice, which is not what the bounds are about.
PRECISIONS = [F4] if config.DISABLE_JIT else [F4, F8]
FEW, MANY = (320, 4800) if config.DISABLE_JIT else (1600, 320000)  # of mpmath's, of NumPy's


def over_arrays(function):
    """The same function on arrays of whole vectors."""

    @njit(error_model="numpy")
    def run(x, y):
        p, q = pointer(x), pointer(y)
        for i in range(0, x.size, lanes(p)):
            store(q, i, function(load(p, i)))

    def apply(values, dtype):
        x = np.resize(np.asarray(values, dtype), -(-len(values) // 16) * 16)
        y = np.empty_like(x)
        with np.errstate(all="ignore"):
            run(x, y)
        return x[: len(values)], y[: len(values)]

    return apply


@njit(error_model="numpy")
def cdf(x):
    return vmath.normal_cdf(x, vmath.gaussian(x))


VECTOR = {
    name: over_arrays(getattr(vmath, name))
    for name in ["exp", "gaussian", "expm1_nonpositive", "log1p_unit", "log", "tanh", "sigmoid"]
    + ["reciprocal"]
} | {
    "normal_cdf": over_arrays(cdf),
    "sin": over_arrays(trigonometry.sin),
    "cos": over_arrays(trigonometry.cos),
}

EXACT = {
    "exp": mpmath.exp,
    "gaussian": lambda x: mpmath.exp(-x * x / 2),
    "expm1_nonpositive": mpmath.expm1,
    "log1p_unit": mpmath.log1p,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "reciprocal": lambda x: 1 / x,
    "normal_cdf": lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
}

NUMPY = {
    "exp": np.exp,
    "gaussian": lambda x: np.exp(-x * x / 2),
    "expm1_nonpositive": np.expm1,
    "log1p_unit": np.log1p,
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "reciprocal": lambda x: 1 / x,
    "sin": np.sin,
    "cos": np.cos,
}

# Where each function works: from, to; further intervals are where errors are largest.
INTERVALS = {
    F4: {
        "exp": [(-104, 88.7), (-6, -5), (-88, -87)],
        "gaussian": [(-14.4, 14.4), (8, 9)],
        "expm1_nonpositive": [(-20, 0), (-0.4, -0.2)],
        "log1p_unit": [(0, 1), (0.45, 0.55)],
        "log": [(0.5, 2), (0, 3e38), (0, 1e-38)],
        "tanh": [(-10, 10), (4.5, 4.51), (-1, 1)],
        "sigmoid": [(-104, 20), (-4.2, -4.1)],
        "reciprocal": [(1, 2), (1e-8, 1), (1e-38 * 1.2, 1e-37), (1, 4e37)],
        "normal_cdf": [(-13, 6), (-8, -7), (-2, 0)],
        **dict.fromkeys(["sin", "cos"], [(-9, 9), (-2e4, 2e4), (2e4, 1e6), (0, 3e38)]),
    },
    F8: {
        "exp": [(-745, 709.7), (-1, 1), (-709, -708)],
        "gaussian": [(-38.5, 38.5), (-2, 2)],
        "expm1_nonpositive": [(-40, 0), (-0.4, -0.2)],
        "log1p_unit": [(0, 1), (0.45, 0.55)],
        "log": [(0.5, 2), (0, 1.7e308), (0, 2e-308)],
        "tanh": [(-20, 20), (4.5, 4.7), (-1, 1)],
        "sigmoid": [(-745, 40), (-2, -1.9)],
        "reciprocal": [(1, 2), (1e-8, 1), (2.3e-308, 1e-307), (1, 4e307)],
        "normal_cdf": [(-37.5, 9), (-8, -6), (-2, 0)],
        **dict.fromkeys(["sin", "cos"], [(-9, 9), (-2e4, 2e4), (2e4, 1e6), (0, 1.7e308)]),
    },
}
TINY_ARGUMENTS = [
    "expm1_nonpositive",
    "log1p_unit",
    "log",
    "tanh",
    "sin",
]  # down to subnormal numbers


def stated_bound(name):
    function = getattr(vmath, name, None) or getattr(trigonometry, name)
    return float(re.search(r"rror below ([\d.]+) ulp", function.__doc__)[1])


def arguments(name, dtype, count):
    rng = np.random.default_rng(sum(map(ord, name)))
    intervals = INTERVALS[dtype][name]
    parts = [rng.uniform(low, high, count // len(intervals)) for low, high in intervals]
    if name in TINY_ARGUMENTS:
        smallest = np.log10(float(np.finfo(dtype).smallest_subnormal))
        sign = -1 if name == "expm1_nonpositive" else 1
        parts.append(sign * 10 ** rng.uniform(smallest, 0, count // 4))
    x = np.concatenate(parts).astype(dtype)
    return x[x != 0]


def exact(name, x):
    """The function's value and its rounding to the precision of x."""
    with mpmath.workdps(40):
        values = [EXACT[name](mpmath.mpf(float(v))) for v in x]
        return values, np.array([float(v) for v in values]).astype(x.dtype)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", VECTOR)
def test_error_against_mpmath(name, dtype):
    x, y = VECTOR[name](arguments(name, dtype, FEW), dtype)
    values, rounded = exact(name, x)
    ulp = np.spacing(np.abs(rounded))
    with mpmath.workdps(40):
        errors = [
            float(abs(mpmath.mpf(float(a)) - b) / mpmath.mpf(float(u)))
            for a, b, u in zip(y, values, ulp, strict=True)
        ]
    worst = int(np.argmax(errors))
    assert errors[worst] < stated_bound(name), x[worst]


@pytest.mark.parametrize("name", NUMPY)
def test_error_of_float32_against_numpy(name):
    x, y = VECTOR[name](arguments(name, F4, MANY), F4)
    reference = NUMPY[name](x.astype(F8))
    errors = np.abs(y - reference) / np.spacing(np.abs(reference.astype(F4))).astype(F8)
    worst = np.argmax(errors)
    assert errors[worst] < stated_bound(name), x[worst]


@njit(error_model="numpy")
def _stirling_errors(x, y, slopes):
    p, q, r = pointer(x), pointer(y), pointer(slopes)
    for i in range(0, x.size, lanes(p)):
        value, slope = vmath.stirling_error(load(p, i))
        store(q, i, value)
        store(r, i, slope)


def _exact_stirling_error(x):
    x = mpmath.mpf(float(x))
    half, log = mpmath.mpf(1) / 2, mpmath.log(x)
    value = mpmath.loggamma(x) - (x - half) * log + x - half * mpmath.log(2 * mpmath.pi)
    return value, x * (mpmath.digamma(x) - log) + half


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_error_of_stirlings_formula(dtype):
    """Both results, from tiny numbers to large ones, with most of them where the shift is."""
    rng = np.random.default_rng(0)
    smallest = np.log10(float(np.finfo(dtype).tiny))
    ranges = [(smallest, -3), (-3, 0), (0, 1.2), (1.2, 20)]
    x = np.concatenate([10 ** rng.uniform(*ends, 80) for ends in ranges]).astype(dtype)
    y, slopes = np.empty_like(x), np.empty_like(x)
    _stirling_errors(x, y, slopes)
    single = dtype is F4
    stated = re.search(r"below ([\de-]+) \(([\de-]+) in", vmath.stirling_error.__doc__)
    bound = float(stated[1 if single else 2])
    with mpmath.workdps(60):  # digits cancel in the definition
        for given, value, slope in zip(x, y, slopes, strict=True):
            exact_value, exact_slope = _exact_stirling_error(given)
            scale = max(1, abs(exact_value))
            assert abs(mpmath.mpf(float(value)) - exact_value) < bound * scale, given
            assert abs(mpmath.mpf(float(slope)) - exact_slope) < bound, given
            if given > (4 if single else 10):  # Stirling's series alone: small relative errors
                close = 16 * np.finfo(dtype).eps
                assert abs(mpmath.mpf(float(value)) / exact_value - 1) < close, given


@njit(error_model="numpy")
def _stirling_curves(x, y):
    p, q = pointer(x), pointer(y)
    for i in range(0, x.size, lanes(p)):
        store(q, i, vmath.stirling_curve(load(p, i)))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_curve_of_stirlings_formula(dtype):
    """ψ'(x) = 1 / x + 1 / (2 x²) + φ''(x), as SciPy has it."""
    rng = np.random.default_rng(0)
    x = np.concatenate([10 ** rng.uniform(*ends, 800) for ends in [(-6, 0), (0, 1.2), (1.2, 8)]])
    x = x.astype(dtype)
    y = np.empty_like(x)
    _stirling_curves(x, y)
    exact = x.astype(F8)
    stated = re.search(r"below ([\de-]+) \(([\de-]+) in", vmath.stirling_curve.__doc__)
    trigamma = polygamma(1, exact)
    with mpmath.workdps(40):
        curve = [float(v * v * mpmath.polygamma(1, v) - v - 0.5) for v in map(mpmath.mpf, exact)]
    assert np.abs(y - curve).max() < float(stated[1 if dtype is F4 else 2])
    if dtype is F8:
        assert np.abs((exact + 0.5 + y) / exact**2 / trigamma - 1).max() < 1e-12


def test_lower_tail_where_the_exponential_underflows():
    """Errors stay near the last place of what the exponential still holds, and the end is 0."""
    for dtype, low, high in [(F4, -14.6, -13), (F8, -38.7, -37.5)]:
        x, y = VECTOR["normal_cdf"](np.linspace(low, high, 320), dtype)
        _, rounded = exact("normal_cdf", x)
        step = np.finfo(dtype).smallest_subnormal
        # The Gaussian is 30 to 100 times the tail.
        assert np.all(np.abs(y - rounded) <= np.maximum(2 * step, rounded / 1000))
        assert y[0] == 0


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", ["sin", "cos"])
def test_near_the_zeros_of_sine_and_cosine(name, dtype):
    """The numbers next to multiples of π/2, and the worst of all doubles (Muller, 2006)."""
    near = (np.arange(1, 16000, 20) * np.pi / 2).astype(dtype)
    powers = (2.0 ** np.arange(1, np.finfo(dtype).maxexp)).astype(dtype)
    worst = [6381956970095103 * 2.0**797] if dtype is F8 else [16367173 * 2.0**72]
    x, y = VECTOR[name](np.concatenate([near, powers, worst]), dtype)
    _, rounded = exact(name, x)
    np.testing.assert_array_max_ulp(y, rounded, 2)


def specials(dtype):
    info = np.finfo(dtype)
    inf, nan = np.inf, np.nan
    tiny, small, big = float(info.tiny), float(info.smallest_subnormal), float(info.max)
    edge = np.log(big)  # exp just below and just above it
    above = float(np.nextafter(dtype(edge * (1 + 4 * info.eps)), dtype(inf)))
    end = np.log(small) - 0.7  # exp is 0 from here on
    ln_tiny, ln_small = np.log(tiny), np.log(small)
    half_of = 0.5 * (1 + info.eps)  # just above a half
    return {
        "exp": [
            (0.0, 1), (-0.0, 1), (inf, inf), (-inf, 0), (nan, nan), (big, inf), (-big, 0),
            (above, inf), (end, 0), (small, 1), (-tiny, 1),
        ],
        "gaussian": [
            (0.0, 1), (inf, 0), (-inf, 0), (nan, nan), (big, 0), (-big, 0), (small, 1), (-tiny, 1),
        ],
        "expm1_nonpositive": [
            (0.0, 0), (-0.0, 0), (-inf, -1), (-big, -1), (nan, nan), (-small, -small),
            (-tiny, -tiny),
        ],
        "log1p_unit": [
            (0.0, 0), (1, np.log(2)), (0.5, np.log(1.5)), (half_of, np.log1p(half_of)),
            (small, small), (tiny, tiny), (nan, nan),
        ],
        "log": [
            (1, 0), (0.0, -inf), (-0.0, -inf), (inf, inf), (-inf, nan), (-1, nan), (-small, nan),
            (nan, nan), (small, ln_small), (tiny, ln_tiny), (big, edge),
        ],
        "tanh": [
            (0.0, 0.0), (-0.0, -0.0), (inf, 1), (-inf, -1), (big, 1), (-big, -1), (nan, nan),
            (small, small), (-small, -small), (-tiny, -tiny), (25, 1), (-25, -1),
        ],
        "reciprocal": [(nan, nan), (inf, 0)],  # others are normal and positive
        "sigmoid": [
            (0.0, 0.5), (-0.0, 0.5), (inf, 1), (-inf, 0), (big, 1), (-big, 0), (nan, nan),
            (end, 0), (small, 0.5),
        ],
        "sin": [
            (0.0, 0), (-0.0, 0), (inf, nan), (-inf, nan), (nan, nan), (small, small),
            (-tiny, -tiny),
        ],
        "cos": [
            (0.0, 1), (-0.0, 1), (inf, nan), (-inf, nan), (nan, nan), (small, 1), (-tiny, 1),
        ],
        "normal_cdf": [
            (inf, 1), (-inf, 0), (big, 1), (-big, 0), (nan, nan), (40, 1), (-40, 0),
        ],
    }  # fmt: skip


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", VECTOR)
def test_special_values(name, dtype):
    given, expected = zip(*specials(dtype)[name], strict=True)
    expected = np.array(expected).astype(dtype)
    x, y = VECTOR[name](given, dtype)
    # One step of rounding is allowed where the value is no special number.
    plain = np.isin(np.abs(expected), [0, 0.5, 1, np.inf]) | np.isnan(expected)
    np.testing.assert_array_equal(y[plain], expected[plain])
    np.testing.assert_array_max_ulp(y[~plain], expected[~plain], 1, dtype=dtype)
    if name == "tanh":
        np.testing.assert_array_equal(np.signbit(y), np.signbit(np.where(np.isnan(x), y, x)))


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_small_results_are_not_lost(dtype):
    """Relative accuracy of sigmoid far below zero: the case of a naive 1 / (1 + exp(-x))."""
    low = -100 if dtype is F4 else -740
    _, y = VECTOR["sigmoid"]([low], dtype)
    _, rounded = exact("exp", np.array([low], dtype))
    assert 0 < y[0] < np.finfo(dtype).tiny
    np.testing.assert_array_max_ulp(y, rounded, 1)


def test_lanes_do_not_see_each_other():
    """A NaN or an overflow in one lane leaves its neighbours as they are."""
    quiet = np.linspace(-3, 3, 16)
    loud = quiet.copy()
    loud[::3] = [np.nan, np.inf, -np.inf, 1e30, -1e30, -np.nan]
    for name in ["exp", "gaussian", "tanh", "sigmoid", "normal_cdf", "sin", "cos"]:
        for dtype in PRECISIONS:
            _, a = VECTOR[name](quiet, dtype)
            _, b = VECTOR[name](loud, dtype)
            kept = np.arange(16) % 3 != 0
            np.testing.assert_array_equal(a[kept], b[kept])

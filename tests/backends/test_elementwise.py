"""Activations and their three derivatives, on every backend."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES

from fastbp import backends
from fastbp.basis import spec

STEP = 1e-5
# Symmetric around 0, but 0 and its surroundings are left out: some functions have a kink there.
FAR = np.geomspace(0.01, 40, 120)
S = np.concatenate([-FAR[::-1], FAR])


def values(backend, name, s, dtype="float64"):
    """σ(s), σ'(s), σ''(s) and σ'''(s)."""
    s = np.asarray(s, dtype)
    out = np.full((4, len(s)), np.nan, dtype)
    backends.get(backend).activation(spec.ACTIVATIONS[name].code, s, out)
    return out


@pytest.mark.nojit
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_derivatives_are_slopes(backend, name):
    """Each derivative is the slope of the row before it, by central differences."""
    above, here, below = (values(backend, name, S + shift) for shift in (STEP, 0.0, -STEP))
    slopes = (above - below) / (2 * STEP)
    assert here[1:] == pytest.approx(slopes[:3], rel=1e-9, abs=2e-9)
    assert np.abs(here[1]).max() <= spec.ACTIVATIONS[name].largest_slope


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_compiled_ones_equal_the_reference(compiled, name, dtype):
    s = np.concatenate([S, [0.0, -0.0, 1e-30, -1e-30, 200.0, -200.0, 1e4, -1e4], np.zeros(8)])
    eps = np.finfo(dtype).eps
    expected = values("numpy", name, s)
    # s itself is rounded to dtype, and far-out values are as large as s.
    allowed = 8 * eps * np.maximum(np.abs(expected), np.maximum(1, np.abs(s)))
    assert (np.abs(values(compiled, name, s, dtype) - expected) <= allowed).all()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_higher_derivatives_vanish_far_out(backend, name, dtype):
    """Also where s² overflows. Those of sin are bounded."""
    found = values(backend, name, np.repeat([-3e38, -1e25, 1e25, 3e38], 4), dtype)
    assert np.abs(found[2:]).max() < (1 if name == "sin" else 1e-40)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_twins_give_the_same_bits(twins, name, dtype):
    rng = np.random.default_rng(0)
    s = np.concatenate([S, 10 * rng.standard_normal(752)])
    cython, numba = (values(backend, name, s, dtype) for backend in twins)
    assert cython.tobytes() == numba.tobytes()

"""Layers whose weights exceed the caches: products take a few rows of the weights at a time."""

import numpy as np
import pytest

import fastbp
from fastbp.backends.numba_.tile import WIDE


def pair(backend, dtype):
    """A network whose layers 1 and 2 exceed WIDE bytes, and one with half of the columns."""
    n = 1700 if dtype == "float32" else 1200
    assert n * n * np.dtype(dtype).itemsize > WIDE > n * n / 2 * np.dtype(dtype).itemsize
    wide = fastbp.Network([n, n, n, 2], loss="cross_entropy", dtype=dtype, seed=3, backend=backend)
    half = fastbp.Network([n, n, n // 2, 2], loss="cross_entropy", dtype=dtype, backend=backend)
    for i in range(3):
        rows, columns = half.weights[i].shape
        half.weights[i] = wide.weights[i][:rows, :columns]
    return wide, half, np.random.default_rng(0).standard_normal((37, n)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_do_not_depend_on_the_order(compiled, dtype):
    """Half of the columns is a small enough layer to be computed in the ordinary order."""
    wide, half, X = pair(compiled, dtype)
    n = half.biases[1].size
    assert np.array_equal(wide.layer_outputs(X)[1][:, :n], half.layer_outputs(X)[1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_against_numpy(compiled, dtype):
    wide, _, X = pair(compiled, dtype)
    y = np.arange(37) % 2
    reference = fastbp.Network(
        [X.shape[1], *map(len, wide.biases)], loss="cross_entropy", dtype=dtype, backend="numpy"
    )
    for i in range(3):
        reference.weights[i] = wide.weights[i]
    found, expected = wide.loss_and_gradient(X, y)[1], reference.loss_and_gradient(X, y)[1]
    for a, b in zip(found.weights, expected.weights, strict=True):
        assert np.abs(a - b).max() <= 1e2 * np.finfo(dtype).eps * np.abs(b).max()

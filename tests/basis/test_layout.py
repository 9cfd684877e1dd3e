"""Where things lie: padding, and buffers."""

import os

import numpy as np
import pytest
from helpers import DTYPES

from fastbp.basis import initial, memory
from fastbp.basis.layout import Layout, views


def make(sizes, dtype):
    return Layout(tuple(sizes), ("relu",) * (len(sizes) - 2), np.dtype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [[3, 1], [17, 33, 5], [256, 256, 1], [4, 16, 32]])
def test_all_but_weights_and_biases_is_padding(sizes, dtype):
    plan = make(sizes, dtype)
    cleared = np.full(plan.n_parameters, np.nan, dtype)
    for arrays in views(plan.plan, cleared):
        for array in arrays:
            array[...] = 1
    plan.clear_padding(cleared)
    assert np.array_equal(np.unique(cleared), [1] if (cleared == 1).all() else [0, 1])
    n_weights = sum((a + 1) * b for a, b in zip(sizes, sizes[1:], strict=False))
    assert np.count_nonzero(cleared) == n_weights


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_bytes", [0, 64, 1000 * 8, memory.LARGE_BYTES, 3 * memory.PAGE_BYTES])
def test_buffers_are_zero_and_aligned(n_bytes, dtype):
    plan = make([2, 2], dtype)
    size = n_bytes // plan.dtype.itemsize
    buffer = plan.zeros(size)
    assert buffer.shape == (size,) and buffer.dtype == plan.dtype and not buffer.any()
    assert buffer.ctypes.data % memory.VECTOR_BYTES == 0 or not size
    buffer[:] = 1
    assert plan.zeros(size).sum() == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork")
def test_large_buffers_are_not_shared_with_forked_processes():
    buffer = make([2, 2], "float32").zeros(memory.LARGE_BYTES)
    child = os.fork()
    if child == 0:
        buffer[:] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert not buffer.any()


def test_bounds_of_initial_weights():
    """Glorot, He, LeCun, and SIREN with its factor of 30 in the first layer's weights."""

    def bounds(*names):
        return initial.bounds(Layout((9, 6, 24, 3), names, np.dtype("float32")))

    glorot = [(6 / 15) ** 0.5, (6 / 30) ** 0.5, (6 / 27) ** 0.5]
    assert bounds("tanh", "hard_tanh") == pytest.approx(glorot)
    assert bounds("relu", "mish") == pytest.approx([(6 / 9) ** 0.5, 1.0, glorot[2]])
    assert bounds("selu", "selu") == pytest.approx([(3 / 9) ** 0.5, 0.5**0.5, glorot[2]])
    assert bounds("sin", "sin") == pytest.approx([30 / 9, 1.0, (6 / 24) ** 0.5 / 30])
    assert bounds("tanh", "sin") == pytest.approx([glorot[0], 1.0, (6 / 24) ** 0.5 / 30])
    assert bounds("sin", "tanh") == pytest.approx([30 / 9, glorot[1], glorot[2]])

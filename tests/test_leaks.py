"""Nothing is left behind by ten thousand fits, whether they end well or in an error."""

import gc
import sys

import numpy as np
import pytest

import fastbp

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's"),
]

FITS = 10_000
# A network below has some kilobytes: leaking one of them a fit would be a hundred times as much.
MOST_BYTES = 1 << 20


def memory():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def fit(backend, i):
    """A network, trained, used and forgotten; every fourth one diverges."""
    X = np.full((20, 8), 1.0, np.float32)
    net = fastbp.Network([8, 16, 2], loss="squared_error", seed=i, backend=backend)
    if i % 4 == 3:
        with pytest.raises(fastbp.TrainingDiverged):
            net.fit(X, X[:, :2], optimizer=fastbp.SGD(1e30), epochs=3)
    else:
        net.fit(X, X[:, :2], optimizer=fastbp.Adam(), epochs=1, threads=1 + i % 50 // 49)
        net.predict(X)


def test_fits(compiled):
    for i in range(FITS // 10):  # caches fill, the allocator settles
        fit(compiled, i)
    before = memory()
    for i in range(FITS):
        fit(compiled, i)
    assert memory() - before < MOST_BYTES


def test_that_a_leak_would_be_seen(cython):
    kept = []
    before = memory()
    for i in range(FITS // 10):
        fit(cython, i)
        kept.append(np.zeros(1000) + i)
    assert memory() - before > MOST_BYTES

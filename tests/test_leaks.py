"""Nothing is left behind by ten thousand fits, whether they end well or in an error.

They run in a process of their own, whose heap has no holes that other tests left for a leak to go
unseen.
"""

import gc
import os
import subprocess
import sys
from pathlib import Path

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


def growth(backend, leaked):
    """By how many bytes the process grows in all fits, if each leaks so many numbers."""
    for i in range(FITS // 10):  # caches fill, the allocator settles
        fit(backend, i)
    before = memory()
    kept = []
    for i in range(FITS):
        fit(backend, i)
        if leaked:
            kept.append(np.ones(leaked))
    return memory() - before


def grown(backend, leaked=0):
    done = subprocess.run(
        [sys.executable, __file__, backend, str(leaked)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_fits(compiled):
    assert grown(compiled) < MOST_BYTES


def test_that_a_leak_would_be_seen(cython):
    """Of a hundred numbers a fit."""
    assert grown(cython, 100) > MOST_BYTES


if __name__ == "__main__":
    print(growth(sys.argv[1], int(sys.argv[2])))

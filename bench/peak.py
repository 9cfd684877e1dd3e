"""What the machine could do at best: the roofs of the roofline.

The FMA peak is measured by independent chains of fused multiply-adds in registers, made of the
vectors that the Numba kernels are made of; bandwidths by adding two arrays into a third with
NumPy, for arrays that fit a core's own cache and for arrays that fit none.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numba import njit

from fastbp.backends.numba_.simd import VECTOR_BYTES, fma, load, pointer, splat, store
from fastbp.backends.numba_.tile import FEATURES

STEPS = 1_000_000
ROUNDS = 7
MEMORY_BYTES = 3 * 128 * 2**20
CACHE_BYTES = 3 * 128 * 2**10


@njit(nogil=True)
def twelve_chains(a, factor, term, steps):
    """Repeat a = a * factor + term on each number of a."""
    p = pointer(a)
    f, t, n = splat(p, factor), splat(p, term), a.size // 12
    # The chains start from numbers of their own, or the compiler would take them for one.
    a0, a1, a2, a3 = load(p, 0), load(p, n), load(p, 2 * n), load(p, 3 * n)
    a4, a5, a6, a7 = load(p, 4 * n), load(p, 5 * n), load(p, 6 * n), load(p, 7 * n)
    a8, a9, b0, b1 = load(p, 8 * n), load(p, 9 * n), load(p, 10 * n), load(p, 11 * n)
    for _ in range(steps):
        a0, a1, a2, a3 = fma(a0, f, t), fma(a1, f, t), fma(a2, f, t), fma(a3, f, t)
        a4, a5, a6, a7 = fma(a4, f, t), fma(a5, f, t), fma(a6, f, t), fma(a7, f, t)
        a8, a9, b0, b1 = fma(a8, f, t), fma(a9, f, t), fma(b0, f, t), fma(b1, f, t)
    store(p, 0, a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + b0 + b1)


@njit(nogil=True)
def six_chains(a, factor, term, steps):
    """The same with fewer chains."""
    p = pointer(a)
    f, t, n = splat(p, factor), splat(p, term), a.size // 6
    a0, a1, a2 = load(p, 0), load(p, n), load(p, 2 * n)
    a3, a4, a5 = load(p, 3 * n), load(p, 4 * n), load(p, 5 * n)
    for _ in range(steps):
        a0, a1, a2 = fma(a0, f, t), fma(a1, f, t), fma(a2, f, t)
        a3, a4, a5 = fma(a3, f, t), fma(a4, f, t), fma(a5, f, t)
    store(p, 0, a0 + a1 + a2 + a3 + a4 + a5)


def fma_peak(dtype, threads=1):
    """Operations a second in registers, an FMA being two.

    Two units with a latency of 4 or 5 steps need 8 to 10 chains in flight, and all of them a
    place in registers. AVX-512 has 32 registers of a vector each; AVX2 has 16 of half a vector,
    so that six chains of two halves are twelve.
    """
    chains, run = 6, six_chains
    if FEATURES.get("avx512f", False):
        chains, run = 12, twelve_chains
    factor, term = np.array([0.999, 0.001], dtype)  # towards 1, whatever the start

    def work(steps):
        a = np.linspace(0.5, 1.5, chains * VECTOR_BYTES // np.dtype(dtype).itemsize, dtype=dtype)
        run(a, factor, term, steps)

    seconds = _best_time(work, STEPS, threads)
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    return 2 * chains * lanes * STEPS * threads / seconds


def bandwidth(total_bytes, threads=1):
    """Bytes a second that c = a + b reads and writes, the three arrays of `total_bytes`."""
    length = total_bytes // 3 // 8 // threads
    arrays = [[np.ones(length) for _ in range(3)] for _ in range(threads)]
    repeats = max(1, MEMORY_BYTES // total_bytes)
    idle = list(arrays)

    def work(repeats):
        a, b, c = idle.pop()
        for _ in range(repeats):
            np.add(a, b, out=c)
        idle.append((a, b, c))

    return total_bytes * repeats / _best_time(work, repeats, threads)


def _best_time(work, argument, threads):
    """Seconds that all threads take to call work(argument) once each; the best of some rounds."""
    times = []
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, [1] * threads))  # compiles
        for _ in range(ROUNDS):
            started = time.perf_counter()
            list(pool.map(work, [argument] * threads))
            times.append(time.perf_counter() - started)
    return min(times)


def measure(threads=1):
    """All roofs: operations a second by precision, bytes a second of memory and cache."""
    return {
        "float32": fma_peak("float32", threads),
        "float64": fma_peak("float64", threads),
        "memory": bandwidth(MEMORY_BYTES, threads),
        "cache": bandwidth(CACHE_BYTES * threads, threads),
    }


if __name__ == "__main__":
    for name, value in measure().items():
        print(f"{name:8} {value / 1e9:8.1f} 10⁹ {'FLOP/s' if 'float' in name else 'bytes/s'}")

"""What computes the products of matrices that are rounded to bfloat16.

These are the processor's tiles (AMX), if it has them, the system permits it and the Cython kernels
are built; else an emulation, which gives the same bits. Numba does not know tiles, so its kernels
call the product of the Cython kernels.
"""

import functools
import sys
import warnings
from typing import Any

import numpy as np

from .. import backends


def _built():
    """What the processor can do, and the Cython kernels of single precision."""
    cython: Any = backends.get("cython")
    return cython.cpu(), cython.SINGLE


@functools.cache
def obstacle():
    """Why the products are emulated; an empty text if tiles compute them.

    The first call asks the system for tiles, and switches them on.
    """
    try:
        cpu, kernels = _built()
    except (ImportError, ValueError):  # ValueError: a wrong FASTBP_CPU
        return "the Cython kernels are not built"
    if not cpu.has_tiles():
        return "the processor has no AMX tiles"
    if not kernels.HAS_TILES:
        return "the Cython kernels in use are built without AMX tiles"
    if not cpu.may_use_tiles():
        return "the operating system does not permit AMX tiles"
    if not _same_bits(kernels):
        reason = "the AMX tiles do not give the bits that they should"
        warnings.warn(f"{reason}, so bfloat16 is emulated; please report it", stacklevel=2)
        return reason
    kernels.use_tiles(True)
    return ""


def _same_bits(kernels):
    """Whether tiles and emulation agree on products of all sizes of numbers; leaves tiles off."""
    random = np.random.default_rng(0)
    for scale in (1, 1e-19):  # squared, the second one is denormal
        A, B, init = (
            random.normal(size=shape).astype(np.float32) * np.float32(scale)
            for shape in ((75, 300), (300, 80), (75, 80))
        )
        results = []
        for on in (True, False):
            results.append(np.empty_like(init))
            kernels.use_tiles(on)
            kernels.multiply_rounded(A, B, init * np.float32(scale), results[-1])
        if results[0].tobytes() != results[1].tobytes():
            return False
    return True


@functools.cache
def _notify(reason):
    text = f"bfloat16 is emulated, which is slower than float32: {reason}"
    print(f"fastbp: {text}", file=sys.stderr, flush=True)


def prepare(backend):
    """Find out what computes for a backend; the first time, print a notice of the emulation."""
    if obstacle():
        _notify(obstacle())
    elif backend.name == "numba":
        backend.use_product(_built()[1].bfloat16_address())

"""How kernels are compiled: the policy, stated once.

- ``nogil``: kernels touch no Python object, so other threads may run.
- ``error_model="numpy"``: a division by zero gives an infinity; kernels cannot raise.
- No ``fastmath``: it would delete the checks for NaN and reorder sums, and with them the
  promise that results repeat to the bit. Fused multiply-adds are written out instead.
- The entry points have explicit signatures, one per precision, in which arrays that are
  only read may be read-only. They are compiled when first called and cached on disk. The
  cache's stamp covers every file that kernels are made of, because Numba by itself would only
  look at the file of the entry point.
"""

import contextlib
import functools
import hashlib
import sys
import threading
from pathlib import Path

import numpy as np
from numba import config, njit

inner = njit(nogil=True, error_model="numpy")


@functools.cache
def source_stamp():
    """A digest of all files that compiled kernels are made of."""
    here = Path(__file__).parent
    shared = [here.parents[1] / name for name in ("spec.py", "layout.py")]
    files = [*sorted(here.glob("*.py")), *shared]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def entry(function, signatures):
    """A function of a dtype that returns `function` compiled for it, at first use.

    `signatures` maps "float32" and "float64" to Numba signatures. Each gets a dispatcher of
    its own, since one with a fixed signature accepts writable arrays for read-only ones
    while a lazy one compiles the whole kernel again for every combination.
    """
    if config.DISABLE_JIT:
        # Compiled code does not warn of overflow either (padding may hold any number).
        quiet = np.errstate(all="ignore")(function)
        return lambda dtype: quiet

    @functools.cache
    def compiled(dtype):
        dispatcher = njit(nogil=True, error_model="numpy")(function)
        # Without a place to write (no home folder, say), every process compiles anew.
        with contextlib.suppress(RuntimeError):
            dispatcher.enable_caching()
            cache_file = dispatcher._cache._cache_file
            cache_file._source_stamp = (source_stamp(), cache_file._source_stamp)
        with _notice(f"fastbp: compiling Numba kernels for {dtype.name}; the result is cached"):
            dispatcher.compile(signatures[dtype.name])
        dispatcher.disable_compile()
        return dispatcher

    return compiled


@contextlib.contextmanager
def _notice(text):
    """Say what is going on, on standard error, if it takes more than two seconds."""
    timer = threading.Timer(2.0, lambda: print(text, file=sys.stderr, flush=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

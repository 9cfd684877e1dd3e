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

import hashlib
from pathlib import Path

from numba import config, njit

inner = njit(nogil=True, error_model="numpy")


def source_stamp():
    """A digest of all files that compiled kernels are made of."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *(here.parents[1] / name for name in ("spec.py", "layout.py"))]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def entry(function, signatures):
    """A function that compiles `function` for a precision when that is first needed.

    `signatures` maps "float32" and "float64" to Numba signatures.
    """
    if config.DISABLE_JIT:
        return lambda dtype: function
    dispatcher = njit(nogil=True, error_model="numpy", cache=True)(function)
    _stamp_cache(dispatcher)

    def compiled(dtype):
        signature = signatures[dtype.name]
        if dispatcher.overloads.get(signature.args) is None:
            dispatcher.compile(signature)
        return dispatcher

    return compiled


def _stamp_cache(dispatcher):
    """Make the dispatcher's disk cache depend on all kernel files."""
    cache = dispatcher._cache
    stamp = (source_stamp(), cache._cache_file._source_stamp)
    cache._cache_file._source_stamp = stamp

"""How kernels are compiled: the policy, stated once.

- ``nogil``: kernels touch no Python object, so other threads may run.
- ``error_model="numpy"``: a division by zero gives an infinity; kernels cannot raise.
- No ``fastmath``: it would delete the checks for NaN and reorder sums, and with them the
  promise that results repeat to the bit. Fused multiply-adds are written out instead.
- The entry points have explicit signatures, one per precision, in which arrays that are
  only read may be read-only. They are compiled when first called and cached on disk, see
  `Cache`.
"""

import collections
import contextlib
import functools
import hashlib
import pickle
import sys
import threading
import uuid
from pathlib import Path

import numba
import numpy as np
from numba import config, njit
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

_defined = collections.Counter()  # how many inner functions there are of each name


def inner(function):
    """`function` compiled for use in other kernels.

    Each gets a name of its own. Numba tells functions of one name apart by a number that
    counts what a process has compiled, so in cached kernels of two processes the same symbol
    could stand for different functions, and a process that loads both would mix them up.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    _defined[name] += 1
    if _defined[name] > 1:
        function.__qualname__ += f"_{_defined[name]}"
    return njit(nogil=True, error_model="numpy")(function)


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


class Cache(FunctionCache):
    """Numba's cache with one file per kernel: a digest and, behind it, the compiled code.

    The digest is of the code and of all that it was made from. Numba's own cache looks at the
    file of the entry point only, stops at damaged files, and keeps an index apart from the
    code, so that processes which write together, or die in between, may leave an index that
    names the wrong code.
    """

    def load_overload(self, sig, target_context):
        target_context.refresh()
        path, made_from = self._place(sig, target_context.codegen())
        try:
            content = path.read_bytes()
        except OSError:
            return None
        size = hashlib.sha256().digest_size
        digest, code = content[:size], content[size:]
        if digest != hashlib.sha256(made_from + code).digest():
            return None
        return self._impl.rebuild(target_context, pickle.loads(code))

    def save_overload(self, sig, data):
        if not self._impl.check_cachable(data):
            return
        path, made_from = self._place(sig, data.codegen)
        code = dumps(self._impl.reduce(data))
        temporary = path.with_suffix(f".{uuid.uuid4().hex}")
        with contextlib.suppress(OSError):  # a full disk, say: the next process compiles anew
            try:
                temporary.write_bytes(hashlib.sha256(made_from + code).digest() + code)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _place(self, sig, codegen):
        """The file for a signature on this processor, and what its content depends on."""
        key = self._index_key(sig, codegen)
        name = hashlib.sha256(repr(key[:2]).encode()).hexdigest()[:16]
        path = Path(self.cache_path, f"{self._impl.filename_base}.{name}.nbc")
        return path, repr((key, numba.__version__, source_stamp())).encode()


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
            dispatcher._cache = Cache(function)
        with _notice(f"fastbp: compiling Numba kernels for {dtype.name}; the result is cached"):
            dispatcher.compile(signatures[dtype.name])
        # Not the dispatcher, which would look at the type of each argument at each call.
        return dispatcher.get_overload(signatures[dtype.name])

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

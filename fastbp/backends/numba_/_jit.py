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
from numba import config, njit, types
from numba.core.caching import FunctionCache
from numba.core.serialize import dumps

REALS = object()  # in the arguments of a `Piece`: a pointer to numbers of the network's precision

KERNELS: list = []  # all that is compiled on its own, as functions of a dtype

_defined = collections.Counter()  # how many functions there are of each name


def _give_name_of_its_own(function):
    """Make the function's name unique.

    Numba tells functions of one name apart by a number that counts what a process has compiled,
    so in cached kernels of two processes the same symbol could stand for different functions,
    and a process that loads both would mix them up.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    _defined[name] += 1
    if _defined[name] > 1:
        function.__qualname__ += f"_{_defined[name]}"


def inner(function, forceinline=False):
    """`function` compiled for use in other kernels, as a part of them.

    Only kernels call it, so it gets no wrappers for Python and C. Numba would compile it once
    more for each literal number that a caller passes; here, a number is a number. Together that
    saves much of the time that compiling takes.
    """
    _give_name_of_its_own(function)
    compiled = njit(
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        forceinline=forceinline,
    )
    dispatcher = compiled(function)
    if not config.DISABLE_JIT:
        usual = dispatcher.get_call_template
        dispatcher.get_call_template = lambda args, kws: usual(
            [types.unliteral(kind) for kind in args], kws
        )
    return dispatcher


def inlined(function):
    """`inner` for small functions: LLVM copies the code into each caller.

    Then numbers that a caller passes are constants there again. That makes steps of tiny networks
    5 to 10 % faster; for long functions it would cost seconds of compiling.
    """
    return inner(function, forceinline=True)


@functools.cache
def source_stamp():
    """A digest of all files that compiled kernels are made of."""
    here = Path(__file__).parent
    shared = [here.parents[1] / "basis" / name for name in ("spec.py", "layout.py")]
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
        key = (sig, codegen.magic_tuple())
        name = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        path = Path(self.cache_path, f"{self._impl.filename_base}.{name}.nbc")
        return path, repr((key, numba.__version__, source_stamp())).encode()


def by_precision(make):
    """The signatures of an entry point, made from the type of the network's numbers."""
    return {"float32": make(types.float32), "float64": make(types.float64)}


def read(dtype, ndim):
    """An array that is only read; writable ones fit too."""
    return types.Array(dtype, ndim, "C", readonly=True)


def written(dtype, ndim):
    """An array that is written to."""
    return types.Array(dtype, ndim, "C")


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
        with _notice(f"fastbp: compiling Numba kernels for {dtype.name}; the result is cached"):
            dispatcher = _compile(function, signatures[dtype.name])
        # Not the dispatcher, which would look at the type of each argument at each call.
        return dispatcher.get_overload(signatures[dtype.name])

    KERNELS.append(compiled)
    return compiled


class Piece:
    """A kernel that others call by its address, compiled when the address is first asked for.

    So a training compiles the one loss, the one optimiser and the few activations that it uses,
    and not all there are. See pieces.py.

    Parameters
    ----------
    function : callable
        Returns nothing.
    *arguments : numba type or REALS
        The types of its arguments.
    """

    def __init__(self, function, *arguments):
        _give_name_of_its_own(function)
        self.function, self.arguments = function, arguments
        KERNELS.append(self.address)
        self._compiled: dict = {}  # an address is good for as long as its dispatcher lives

    def address(self, dtype):
        """The address of the function compiled for a precision; without a JIT the function."""
        if config.DISABLE_JIT:
            return self.function
        if dtype not in self._compiled:
            reals = types.CPointer(getattr(types, dtype.name))
            signature = types.void(*(reals if kind is REALS else kind for kind in self.arguments))
            dispatcher = _compile(self.function, signature, no_cpython_wrapper=True)
            # Another thread may have been faster. There must be one for all.
            self._compiled.setdefault(dtype, (dispatcher, dispatcher.overloads[signature.args]))
        code = self._compiled[dtype][1]
        return code.library.get_pointer_to_function(code.fndesc.llvm_cfunc_wrapper_name)


def _compile(function, signature, **options):
    """The dispatcher of `function` with one signature, compiled or from the cache."""
    dispatcher = njit(nogil=True, error_model="numpy", **options)(function)
    # Without a place to write (no home folder, say), every process compiles anew.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = Cache(function)
    dispatcher.compile(signature)
    return dispatcher


@contextlib.contextmanager
def _notice(text):
    """Say what is going on, on standard error, if it takes more than two seconds."""
    timer = threading.Timer(2.0, lambda: print(text, file=sys.stderr, flush=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

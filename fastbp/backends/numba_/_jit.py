"""Compiles the kernels with Numba, all by the same rules.

- ``nogil``: kernels use no Python objects, so other threads may run.
- ``error_model="numpy"``: a division by zero gives an infinity; kernels cannot raise.
- No ``fastmath``: it would delete the checks for NaN and reorder sums, and with them the
  promise that results repeat to the bit. Fused multiply-adds are written out instead.
- Entry points have explicit signatures, one per precision. Arrays that a kernel only reads may be
  read-only. Entry points are compiled when first called, and cached on disk, see `Cache`.
"""

import collections
import contextlib
import ctypes
import functools
import hashlib
import pickle
import sys
import threading
import uuid
from pathlib import Path

import numba
import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.core.caching import FunctionCache
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.serialize import dumps
from numba.extending import intrinsic

from ...basis import interrupts

REALS = object()  # type of a `Piece`'s argument: a pointer to numbers in the network's precision

KERNELS: list = []  # functions; each compiles one kernel for the dtype that it is given

_defined = collections.Counter()  # number of functions with each name


def _give_name_of_its_own(function):
    """Make the function's name unique.

    Numba distinguishes functions with the same name by a counter of compilations in the process.
    So the same symbol could mean different functions in kernels that two processes have cached,
    and a process that loads both would mix them up.
    """
    name = f"{function.__module__}.{function.__qualname__}"
    _defined[name] += 1
    if _defined[name] > 1:
        function.__qualname__ += f"_{_defined[name]}"


class _PartLibrary(JITCodeLibrary):
    """The code of a function that only kernels call, as input for LLVM.

    Numba would optimise each function together with all that it calls, generate machine code for
    them, and do so again for its callers. Here only whole kernels are optimised, in half the time.
    """

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalized = True

    # Numba asks for the address of machine code, and sets the code's Python environment.

    def get_pointer_to_function(self, name):
        return 0

    @property
    def codegen(self):
        return self

    def set_env(self, name, environment):
        pass


class _PartCompiler(Compiler):
    """Numba's compiler, made to keep a function's code in a `_PartLibrary`."""

    def __init__(self, typingctx, targetctx, library, *rest):
        library = _PartLibrary(targetctx.codegen(), "part")
        super().__init__(typingctx, targetctx, library, *rest)


def inner(function, forceinline=False):
    """Return `function` compiled as a part of other kernels.

    Only kernels call it, so it needs no wrappers for Python and C. By default, Numba also compiles
    a function again for each literal number that a caller passes; here, literals are ordinary
    numbers. Both save much compile time, and so does `_PartLibrary`.
    """
    _give_name_of_its_own(function)
    compiled = njit(
        nogil=True,
        error_model="numpy",
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        forceinline=forceinline,
        pipeline_class=_PartCompiler,
    )
    dispatcher = compiled(function)
    if not config.DISABLE_JIT:
        usual = dispatcher.get_call_template
        dispatcher.get_call_template = lambda args, kws: usual(
            [types.unliteral(kind) for kind in args], kws
        )
    return dispatcher


def inlined(function):
    """Return a small function compiled as by `inner`, which LLVM copies into each caller.

    Then LLVM can use the constants that a caller passes. This makes steps of tiny networks 5 to
    10 % faster; for long functions it would cost seconds of compile time.
    """
    return inner(function, forceinline=True)


@functools.cache
def source_stamp():
    """Return a digest of all source files of the compiled kernels."""
    here = Path(__file__).parent
    shared = [here.parents[1] / "basis" / name for name in ("spec.py", "layout.py", "inputs.py")]
    files = [*sorted(here.glob("*.py")), *shared]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


class Cache(FunctionCache):
    """A cache with one file per kernel: a digest, followed by the compiled code.

    The digest covers the code and all its sources. Numba's own cache checks only the source file
    of the entry point, and fails on damaged files. It also keeps its index in a separate file, so
    processes that write at the same time, or are killed while writing, can leave an index that
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
        with contextlib.suppress(OSError):  # for example a full disk: the next process recompiles
            try:
                temporary.write_bytes(hashlib.sha256(made_from + code).digest() + code)
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)

    def _place(self, sig, codegen):
        """Return the file for a signature on this processor, and a text of its dependencies."""
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
    """Return a function of a dtype that returns the compiled `function`, compiling at first use.

    `signatures` maps "float32" and "float64" to Numba signatures. Each has its own dispatcher: a
    dispatcher with a fixed signature accepts writable arrays as read-only ones, while a lazy one
    would compile the whole kernel again for every combination.
    """
    if config.DISABLE_JIT:
        # Compiled code does not warn of overflow either (padding may hold any numbers).
        quiet = np.errstate(all="ignore")(function)
        return lambda dtype: quiet

    @functools.cache
    def compiled(dtype):
        with _notice(f"fastbp: compiling Numba kernels for {dtype.name}; the result is cached"):
            dispatcher = _compile(function, signatures[dtype.name])
        # The dispatcher itself would check the types of all arguments at each call.
        return dispatcher.get_overload(signatures[dtype.name])

    KERNELS.append(compiled)
    return compiled


class Piece:
    """A kernel that other kernels call by address, compiled when the address is first requested.

    So a training compiles only the loss, the optimiser and the activations that it uses, see
    pieces.py.

    Parameters
    ----------
    function : callable
        A function that returns nothing.
    *arguments : numba type or REALS
        The types of the function's arguments.
    """

    def __init__(self, function, *arguments):
        _give_name_of_its_own(function)
        self.function, self.arguments = function, arguments
        KERNELS.append(self.address)
        # Dispatchers are kept, since an address is valid only while its dispatcher exists.
        self._compiled: dict = {}

    def address(self, dtype):
        """Return the address of the function compiled for a dtype; without a JIT the function."""
        if config.DISABLE_JIT:
            return self.function
        if dtype not in self._compiled:
            reals = types.CPointer(getattr(types, dtype.name))
            signature = types.void(*(reals if kind is REALS else kind for kind in self.arguments))
            dispatcher = _compile(self.function, signature, no_cpython_wrapper=True)
            # If another thread was faster, use its result: all threads need the same address.
            self._compiled.setdefault(dtype, (dispatcher, dispatcher.overloads[signature.args]))
        code = self._compiled[dtype][1]
        return code.library.get_pointer_to_function(code.fndesc.llvm_cfunc_wrapper_name)


if config.DISABLE_JIT:

    def call(function, arguments):
        if isinstance(function, int):  # the address of a function of the user's own
            arrays = [isinstance(x, np.ndarray) for x in arguments]
            kinds = [ctypes.c_void_p if array else ctypes.c_int64 for array in arrays]
            function = ctypes.CFUNCTYPE(None, *kinds)(function)
            given = zip(arguments, arrays, strict=True)
            arguments = [x.ctypes.data if array else int(x) for x, array in given]
        function(*arguments)

else:

    @intrinsic
    def call(typingctx, address, arguments):
        """Call the function at an address with a tuple of pointers, integers and float64s."""
        kinds = [types.unliteral(kind) for kind in arguments]
        kinds = [types.intp if isinstance(kind, types.Integer) else kind for kind in kinds]

        def codegen(context, builder, signature, args):
            address, values = args[0], cgutils.unpack_tuple(builder, args[1])
            values = [
                context.cast(builder, value, given, kind)
                for value, given, kind in zip(values, arguments, kinds, strict=True)
            ]
            kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
            builder.call(builder.inttoptr(address, kind.as_pointer()), values)
            return context.get_dummy_value()

        return types.void(types.int64, arguments), codegen


def _compile(function, signature, **options):
    """Return a dispatcher of `function` with one signature, compiled or from the cache."""
    dispatcher = njit(nogil=True, error_model="numpy", **options)(function)
    # Without a writable folder (for example no home folder), every process compiles again.
    with contextlib.suppress(RuntimeError):
        dispatcher._cache = Cache(function)
    # Ctrl-C waits for a few seconds. Inside Numba and LLVM it would be lost, or leave their tables
    # half filled, and fits would end in errors like "no compiled object yet".
    with interrupts.held():
        dispatcher.compile(signature)
    return dispatcher


@contextlib.contextmanager
def _notice(text):
    """Print a text to standard error if the block takes more than two seconds."""
    timer = threading.Timer(2.0, lambda: print(text, file=sys.stderr, flush=True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()

"""Custom losses: makes a C function from a Python function or one compiled by Numba.

The kernels of all backends call the C function by address, with outputs and targets of a block.
"""

import contextlib
import ctypes
import functools
import sys

import numpy as np

from ..basis import interrupts

REAL = "fiub"  # the kinds of dtypes that functions of the user's may return


class CustomLoss:
    """A custom loss for the backends; `address` is the address of the C function.

    Parameters
    ----------
    function : callable
        Called as ``function(output, y)`` with arrays of shape (n, n_m); returns the losses of
        the n samples and their derivatives by the output, of shape (n, n_m).
    n_outputs : int
    dtype : numpy.dtype
    """

    def __init__(self, function, n_outputs, dtype):
        self.function = function
        self._error: BaseException | None = None
        self._try(n_outputs, dtype)
        self.compiled = compiled = is_compiled(function)
        # Keep the C function: its address is valid only while the object exists.
        self._callback = _compile(function, dtype) if compiled else self._wrap(dtype)
        if compiled:
            self.address = self._callback.address
        else:
            self.address = ctypes.cast(self._callback, ctypes.c_void_p).value

    def _try(self, n_outputs, dtype):
        """Call the function with a few zeros, to find errors before training."""
        zeros = np.zeros((3, n_outputs), dtype)
        compile_for(self.function, zeros, zeros)
        with np.errstate(all="ignore"):
            try:
                result = self.function(zeros, zeros.copy())
            except Exception as error:
                error.add_note(
                    f"in the loss function {self.function!r}, called as loss(h, y) with zeros of "
                    f"shape {zeros.shape}, to find errors before training"
                )
                raise
        _checked(result, 3, n_outputs)

    def _wrap(self, dtype):
        number = ctypes.c_float if dtype == np.float32 else ctypes.c_double

        def call(rows, n, stride, s, y, unwritten):
            block = number * (rows * stride)
            s, y = (
                np.frombuffer(block.from_address(start), dtype).reshape(rows, stride)[:, :n]
                for start in (s, y)
            )
            try:
                e, ds = _checked(self.function(s.copy(), y.copy()), rows, n)
            except BaseException as error:  # an exception cannot pass through compiled code
                self._error = self._error or error
                e = ds = np.nan
            y[...] = 0
            y[:, 0], s[...] = e, ds
            number.from_address(unwritten).value = 0

        return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 3)(call)

    @property
    def failed(self):
        """Whether the function has raised an exception that `raise_error` has not raised yet."""
        return self._error is not None

    def raise_error(self, output, y):
        """Raise the exception that made the loss NaN, if there was one.

        A compiled function cannot report its exception, so it is called again with all outputs.
        """
        if self.compiled:
            self.function(output, y)
        error, self._error = self._error, None
        if error is not None:
            raise error


def is_compiled(function):
    """Return whether Numba compiles the function; with NUMBA_DISABLE_JIT it does not."""
    numba = sys.modules.get("numba")
    return numba is not None and isinstance(function, numba.core.dispatcher.Dispatcher)


def compile_for(function, *arguments):
    """Compile a function for such arguments if Numba can; one in Python is left as it is.

    Ctrl-C waits for a second: inside Numba it would be lost, or leave its tables half filled.
    Errors are left to the call of the function.
    """
    if not is_compiled(function):
        return
    import numba

    with contextlib.suppress(Exception), interrupts.held():
        function.compile(tuple(map(numba.typeof, arguments)))


@functools.lru_cache(maxsize=64)
def _compile(function, dtype):
    """Make a C function that calls a compiled function, and sets NaN if that raises.

    Compiling takes about a second and networks are copied often, so results are cached.
    """
    import numba
    from numba import types

    real = types.CPointer(types.float32 if dtype == np.float32 else types.float64)
    nan = np.nan

    def call(rows, n, stride, s_of_block, y_of_block, unwritten):
        s = numba.carray(s_of_block, (rows, stride))[:, :n]
        y = numba.carray(y_of_block, (rows, stride))[:, :n]
        done = False
        try:
            e, ds = function(s.copy(), y.copy())
            if e.shape == (rows,) and ds.shape == (rows, n):
                s[:, :] = ds
                y[:, :] = 0.0
                y[:, 0] = e
                done = True
        except Exception:
            done = False
        if not done:
            s[:, :] = nan
            y[:, :] = nan
        numba.carray(unwritten, (1,))[0] = 0.0

    kind = types.void(types.int64, types.int64, types.int64, real, real, real)
    with interrupts.held():  # as in `compile_for`
        return numba.cfunc(kind)(call)


def _checked(result, rows, n):
    """Return the losses and derivatives that a function returned, with their shapes checked."""
    expected = (
        f"the loss function must return (losses, derivatives) of shapes ({rows},) and ({rows}, {n})"
    )
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"{expected}, got {type(result).__name__}")
    e, ds = map(np.asarray, result)
    if e.dtype.kind not in REAL or ds.dtype.kind not in REAL:
        raise TypeError(f"{expected}, of real numbers, got {e.dtype} and {ds.dtype}")
    if e.shape != (rows,) or ds.shape != (rows, n):
        raise ValueError(f"{expected}, got {e.shape} and {ds.shape}")
    return e, ds

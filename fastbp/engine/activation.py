"""User-defined activation functions: makes C functions from compiled or Python functions.

The kernels of all backends call the C functions by address, with the numbers of a layer's units.
"""

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..basis import interrupts, spec
from .custom import REAL, compile_for, is_compiled

# The C functions of an activation, in the order of the table that `Activation._table` makes.
ORDERS = ("value", "derivative", "second_derivative", "third_derivative")
# Where a new activation is tried. Kinks of functions are rather at round numbers.
POINTS = np.linspace(-5.03, 4.97, 41)
STEP, STEP_OF_FLOAT32 = 1e-4, 1e-3
TOLERANCE = 1e-3
# Tables of C functions, which stay for good: the Numba backend remembers pieces by their addresses.
# At an address that is used again, it would find functions that do not exist any more.
TABLES: list = []
# Characters that mean something else in LaTeX's texts, and how to write them.
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {letter: "\\" + letter for letter in "_%$#&{}"}


class Activation(spec.Activation):
    """An elementwise activation function h = σ(s) of your own, for hidden layers.

    The functions are either compiled by ``numba.njit`` or plain Python. Compiled functions get one
    number s and return one; all backends call them without Python, at about the speed of the
    activations that have a name. Python functions get an array of any shape and return one of the
    same shape; each call costs some microseconds.

    Parameters
    ----------
    value : callable
        σ(s). It must be finite for every finite s.
    derivative : callable
        σ'(s). It is compared with finite differences of `value`.
    second_derivative, third_derivative : callable, optional
        σ''(s) and σ'''(s). They are needed only for second derivatives by the inputs, and for
        products with the Hessian, which needs σ''. The third one is needed to train on second
        derivatives.
    name : str, optional
        What representations, summaries and messages call it; by default the name of `value`.

    Raises
    ------
    TypeError
        If something is no function, or a function does not return real numbers.
    ValueError
        If a function returns NaN or an infinity for a number between -5 and 5, an array of
        another shape, or values that are not the slope of the function before it.

    Notes
    -----
    It goes where the name of an activation goes: ``Network(activation=...)``, alone or in a
    sequence with names and others. Initial weights are uniform in ±√(6 / (n_{i-1} + n_i)). A
    network with it can be copied, pickled (if its functions can), trained and compared as others.
    It cannot be saved to a file or exchanged with other tools, which have no way to write a
    function down; both raise a ValueError.

    The kernels ask for values in the network's precision. Where a compiled function raises an
    exception, the values are NaN; an exception of a Python function reaches the caller.

    Examples
    --------
    >>> import numba, numpy as np, fastbp
    >>> @numba.njit
    ... def squareplus(s):
    ...     return (s + np.sqrt(s * s + 4)) / 2
    >>> @numba.njit
    ... def slope(s):
    ...     return (1 + s / np.sqrt(s * s + 4)) / 2
    >>> activation = fastbp.Activation(squareplus, slope)
    >>> net = fastbp.Network([2, 8, 1], activation=activation, loss="squared_error", seed=0)
    >>> net.predict([[0.5, -1.0]]).shape
    (1, 1)
    """

    value: Callable[[Any], Any]
    derivative: Callable[[Any], Any]
    second_derivative: Callable[[Any], Any] | None
    third_derivative: Callable[[Any], Any] | None
    name: str
    _tables: dict[np.dtype, tuple]
    _errors: list[BaseException]

    def __init__(
        self,
        value: Callable[[Any], Any],
        derivative: Callable[[Any], Any],
        second_derivative: Callable[[Any], Any] | None = None,
        third_derivative: Callable[[Any], Any] | None = None,
        *,
        name: str | None = None,
    ) -> None:
        functions = (value, derivative, second_derivative, third_derivative)
        name = getattr(value, "__name__", "function") if name is None else name
        if not isinstance(name, str):
            raise TypeError(f"name must be a string, got {type(name).__name__}: {name!r}")
        _check(name, functions)
        slopes = np.abs(_tried(name, "derivative", derivative, POINTS))
        # The attributes of the table's rows, and those of a frozen dataclass are set like this.
        row = (spec.CUSTOM_ACTIVATION, True, "glorot", float(slopes.max()), False, _formulas(name))
        fields = ("code", "uses_preactivation", "initialization", "largest_slope", "one_sided")
        vars(self).update(zip((*fields, "formulas"), row, strict=True))
        vars(self).update(zip(ORDERS, functions, strict=True))
        vars(self).update(name=name, _tables={}, _errors=[])

    def _identity(self):
        """The name and which functions; objects that can be called need not have a hash."""
        return (self.name, *(id(getattr(self, order)) for order in ORDERS))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Activation) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def __repr__(self) -> str:
        return f"Activation({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __copy__(self):
        return self

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return _again, (self.name, *(getattr(self, order) for order in ORDERS))

    @property
    def _compiled(self):
        """Whether no function is in Python."""
        return all(is_compiled(f) for order in ORDERS if (f := getattr(self, order)) is not None)

    def _table(self, dtype):
        """The address of a table of four C functions for that precision; see `interface.Model`."""
        if dtype not in self._tables:
            functions = [
                _c_function(order, getattr(self, order), np.dtype(dtype), self._errors)
                for order in ORDERS
            ]
            addresses = (ctypes.c_void_p * len(ORDERS))(*map(_address, functions))
            # An address is valid as long as its function and the table exist. If another thread was
            # faster, its table counts.
            TABLES.append(addresses)
            self._tables.setdefault(dtype, (addresses, functions))
        return ctypes.addressof(self._tables[dtype][0])

    @property
    def _failed(self):
        """Whether a function has raised an exception that `_raise_error` has not raised yet."""
        return bool(self._errors)

    def _raise_error(self):
        """Raise the first exception of a function in Python, if there was one."""
        if self._errors:
            error = self._errors[0]
            self._errors.clear()
            raise error


def _again(name, value, derivative, second_derivative, third_derivative):
    return Activation(value, derivative, second_derivative, third_derivative, name=name)


def _formulas(name):
    latex = "".join(LATEX.get(letter, letter) for letter in name)
    text, slope = f"{name}(s)", f"{name}'(s)"
    return text, slope, rf"\text{{{latex}}}(s)", rf"\text{{{latex}}}'(s)"


def _check(name, functions):
    """Refuse functions that are none, give no numbers, or are not each other's derivatives."""
    above = None  # the function before
    for order, function in zip(ORDERS, functions, strict=True):
        if function is None and order != ORDERS[0] and order != ORDERS[1]:
            above = None
            continue
        if not callable(function):
            raise TypeError(
                f"{order} of the activation {name!r} must be a function of s, got "
                f"{type(function).__name__}: {function!r}"
            )
        _tried(name, order, function, np.zeros(1))
        comp = _tried(name, order, function, POINTS)
        if order == ORDERS[0]:
            above = function
            continue
        if above is None:
            raise ValueError(f"the activation {name!r} has a {order}, but not the one before it")
        before = ORDERS[ORDERS.index(order) - 1]
        here = _tried(name, before, above, POINTS)
        in_float32 = np.array_equal(here, here.astype(np.float32))
        step = STEP_OF_FLOAT32 if in_float32 else STEP
        high, low = (_tried(name, before, above, POINTS + d) for d in (step, -step))
        ref = (high - low) / (2 * step)
        allowed = TOLERANCE * np.maximum(1e-3, np.maximum(np.abs(comp), np.abs(ref)))
        if in_float32:  # terms that cancel were rounded, too
            allowed += 16 * np.finfo(np.float32).eps * np.abs(here).max() / step
        else:
            allowed += 1e-9 * np.maximum(np.abs(high), np.abs(low)) / step
        wrong = int(np.argmax(np.abs(comp - ref) - allowed))
        if abs(comp[wrong] - ref[wrong]) > allowed[wrong]:
            raise ValueError(
                f"{order} of the activation {name!r} is not the slope of its {before}: at s = "
                f"{POINTS[wrong]:.3g} it is {comp[wrong]:.6g}, but the difference quotient of "
                f"{before} is {ref[wrong]:.6g}; correct the function"
            )
        above = function


def _tried(name, order, function, points):
    """The function's values at some points, in float64."""
    where = f"{order} of the activation {name!r}"
    try:
        with np.errstate(all="ignore"):
            if is_compiled(function):
                compile_for(function, float(points[0]))
                values = [function(float(s)) for s in points]
            else:
                values = function(points.copy())
    except Exception as error:
        error.add_note(f"in {where}, called with numbers from {points[0]:g} to {points[-1]:g}")
        raise
    found = np.asarray(values)
    if found.dtype.kind not in REAL:
        raise TypeError(f"{where} must return real numbers, got {found.dtype}")
    if found.shape != points.shape:
        raise ValueError(
            f"{where} must return an array of the shape of its argument, {points.shape}, got "
            f"{found.shape}; a function of one number has to be compiled by numba.njit"
        )
    finite = np.isfinite(found)
    if not finite.all():
        first = int(np.argmin(finite))
        raise ValueError(
            f"{where} is {found[first]} at s = {points[first]:.3g}, but it must be finite for "
            "every finite s"
        )
    return found.astype(np.float64)


def _address(function):
    if hasattr(function, "address"):
        return function.address
    return ctypes.cast(function, ctypes.c_void_p).value


def _c_function(order, function, dtype, errors):
    """A C function of (s, h, n) for the value, else of (s, h, d, n).

    The former sets h[:n] = σ(s[:n]), the latter multiplies d[:n] by a derivative at s[:n].
    """
    if function is None:
        function = _unknown  # it is never called, see `Engine.check_activations`
    if is_compiled(function):
        return _compile(function, dtype, order == ORDERS[0])
    return _wrap(function, dtype, order == ORDERS[0], errors)


def _unknown(s):
    return np.full_like(s, np.nan)


@functools.lru_cache(maxsize=256)
def _compile(function, dtype, of_value):
    import numba
    from numba import types

    real = types.CPointer(types.float32 if dtype == np.float32 else types.float64)
    nan = np.nan

    def activate(s, h, n):
        done = False
        try:
            for i in range(n):
                h[i] = function(s[i])
            done = True
        except Exception:
            done = False
        if not done:
            for i in range(n):
                h[i] = nan

    def multiply(s, h, d, n):
        done = False
        try:
            for i in range(n):
                d[i] *= function(s[i])
            done = True
        except Exception:
            done = False
        if not done:
            for i in range(n):
                d[i] = nan

    arguments = [real] * (2 if of_value else 3)
    with interrupts.held():  # as in `custom.compile_for`
        return numba.cfunc(types.void(*arguments, types.intp))(activate if of_value else multiply)


def _wrap(function, dtype, of_value, errors):
    number = ctypes.c_float if dtype == np.float32 else ctypes.c_double

    def numbers(start, n):
        return np.frombuffer((number * n).from_address(start), dtype)

    def values(s):
        try:
            with np.errstate(all="ignore"):
                found = np.asarray(function(s.copy()))
            if found.dtype.kind not in REAL:
                raise TypeError(f"{function!r} must return real numbers, got {found.dtype}")
            if found.shape != s.shape:
                raise ValueError(f"{function!r} returned shape {found.shape} for {s.shape}")
        except BaseException as error:  # an exception cannot pass through compiled code
            errors.append(error)
            # NaN in the outputs ends a training before its step. From NaN in a gradient, a step
            # makes weights that are NaN.
            return np.nan if of_value else 0
        return found

    def activate(s, h, n):
        if n:
            numbers(h, n)[...] = values(numbers(s, n))

    def multiply(s, h, d, n):
        if n:
            numbers(d, n)[...] *= values(numbers(s, n))

    pointers = [ctypes.c_void_p] * (2 if of_value else 3)
    return ctypes.CFUNCTYPE(None, *pointers, ctypes.c_int64)(activate if of_value else multiply)

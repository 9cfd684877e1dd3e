"""Checks of values in files. Each returns the value, or raises a ValueError that names it."""

import json
import math

import numpy as np

from ..basis import checks


def shown(value):
    """Return a short text of a value, for messages."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."


def wrong(what, value, expected):
    """Return the ValueError for a value that differs from the expected."""
    return ValueError(f"broken file: {what} must be {expected}, got {shown(value)}")


def decode(text):
    """Return the document, a dict, in a JSON string."""
    if not isinstance(text, str):
        raise wrong("the document", text, "a string")

    def constant(name):
        raise ValueError(f"broken file: {name} is not a number of JSON")

    try:
        document = json.loads(text, parse_constant=constant)
    except RecursionError:
        raise ValueError("broken file: the document is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"broken file: the document is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise wrong("the document", document, "a JSON object")
    return document


def fields(what, value, names):
    """Check that a value is a dict with exactly these keys."""
    if not isinstance(value, dict):
        raise wrong(what, value, "a JSON object")
    missing, unknown = [n for n in names if n not in value], sorted(value.keys() - set(names))
    if missing or unknown:
        raise ValueError(
            f"broken file: {what}: missing fields {shown(missing)}, unknown fields {shown(unknown)}"
        )
    return value


def some_fields(what, value, names, needed=()):
    """Check that a value is a dict with some of these keys, including all that are needed."""
    if not isinstance(value, dict):
        raise wrong(what, value, "a JSON object")
    return fields(what, value, [name for name in names if name in value or name in needed])


def listed(what, value, length=None):
    """Check that a value is a list, of the given length if there is one."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise wrong(what, value, "a list" if length is None else f"a list of {length}")
    return value


def whole(what, value, low=0, high=2**63 - 1):
    """Check that a value is an int in [low, high]."""
    if type(value) is not int or not low <= value <= high:
        raise wrong(what, value, f"a whole number in {low}..{high}")
    return value


def flag(what, value):
    """Check that a value is True or False."""
    if type(value) is not bool:
        raise wrong(what, value, "true or false")
    return value


def text(what, value, choices=None):
    """Check that a value is a string, and one of the choices if there are any."""
    if not isinstance(value, str) or (choices is not None and value not in choices):
        raise wrong(what, value, "a string" if choices is None else f"one of {sorted(choices)}")
    return value


def real(what, value):
    """Check that a value is a finite number; return it as a float."""
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.nan
    if not math.isfinite(number):
        raise wrong(what, value, "a finite number")
    return number


def number(what, value):
    """Check that a value is a float, finite or not."""
    if type(value) is not float:
        raise wrong(what, value, "a number")
    return value


def optional(check, what, value, *rest):
    """Return None for None, else the result of another check."""
    return None if value is None else check(what, value, *rest)


class Tensors:
    """The arrays of a file; each can be taken once.

    Parameters
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self, arrays):
        self._arrays = arrays

    def __contains__(self, name):
        return name in self._arrays

    def take(self, name, dtype, shape=None, finite=True):
        """Remove the array of a name, check it and return it.

        Parameters
        ----------
        name : str
        dtype : numpy.dtype
        shape : tuple, optional
            The expected shape; an entry None means any length. By default a vector.
        finite : bool, default=True
            Raise ValueError if there are NaN or infinite values.
        """
        array = self._arrays.pop(name, None)
        if array is None:
            raise ValueError(f"broken file: the tensor {name!r} is missing")
        shape = (None,) if shape is None else shape
        fits = len(shape) == array.ndim and all(
            n is None or n == size for n, size in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype != dtype:
            raise ValueError(
                f"broken file: the tensor {name!r} must have shape {shape} and dtype "
                f"{np.dtype(dtype)}, got {array.shape} and {array.dtype}"
            )
        if finite and array.dtype.kind == "f" and not checks.all_finite(array):
            raise ValueError(f"broken file: {checks.not_finite(f'the tensor {name!r}', array)}")
        return array

    def split(self):
        """Remove all arrays and return them as Tensors by the part of the name before a dot."""
        parts: dict = {}
        while self._arrays:
            name, array = self._arrays.popitem()
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = array
        return {part: Tensors(arrays) for part, arrays in parts.items()}

    def end(self):
        """Raise ValueError if arrays are left that have not been taken."""
        if self._arrays:
            raise ValueError(f"broken file: unknown tensors {shown(sorted(self._arrays))}")

"""Where in a table an entry is, by row and column, with the names of the columns."""

import numbers
from decimal import Decimal

import numpy as np

# Advice for features that are text, and for those that may be codes of categories.
ENCODED = "; encode text as numbers, for example with pandas.get_dummies or OneHotEncoder"
CODED = "; encode text as codes, for example with pandas.Categorical(...).codes or OrdinalEncoder"
MISSING = ("NAType", "NaTType")  # pandas.NA and NaT, without importing pandas


def columns_of(value):
    """Return the names of a table's columns; None if it has none, or they are no text.

    Parameters
    ----------
    value : object
        A user's argument: pandas' and polars' tables have names, arrays have none.
    """
    columns = getattr(value, "columns", None)
    if columns is None or not hasattr(columns, "__len__"):
        return None
    columns = list(columns)
    return columns if all(isinstance(each, str) for each in columns) else None


def index_of(value):
    """Return the names of a Series' entries; None if there are none, or they are no text."""
    index = getattr(value, "index", None)
    if index is None or not hasattr(index, "__len__") or np.ndim(value) != 1:
        return None
    index = list(index)
    return index if all(isinstance(each, str) for each in index) else None


def place(at, shape, columns=None):
    """Return a text that says where the entry with the indices `at` is.

    Parameters
    ----------
    at : tuple of int
    shape : tuple of int
        The shape of the array.
    columns : list of str, optional
        The names of its columns.
    """
    shown = at[:1] if shape[1:] == (1,) and columns is None else at
    names = ("row", "column", *["index"] * len(shown))
    parts = [f"{name} {i}" for name, i in zip(names, shown, strict=False)]
    if columns is not None and len(at) == 2 and len(columns) == shape[1]:
        parts[1] += f" ({columns[at[1]]!r})"
    return ", ".join(parts)


def with_nan(array):
    """Return an array of objects with NaN in place of pandas.NA and NaT."""
    missing = [type(entry).__name__ in MISSING for entry in array.flat]
    return np.where(np.reshape(missing, array.shape), np.nan, array)


def odd_entry(array, columns=None, of_text=""):
    """Return a text on the first entry that is not a number, and whether it is a missing value.

    The text is empty if there is no such entry.

    Parameters
    ----------
    array : ndarray of object
    columns : list of str, optional
        The names of its columns.
    of_text : str
        Advice if the entry is text.
    """
    for at, entry in np.ndenumerate(array):
        kind = type(entry).__name__
        where = f"in {place(at, array.shape, columns)}, counted from 0"
        if kind in MISSING:
            return f"{kind.removesuffix('Type')} {where}; fill or drop missing values first", True
        if isinstance(entry, (str, bytes)):
            return f"{entry!r} {where}, is text{of_text}", False
        if not (entry is None or isinstance(entry, (numbers.Real, Decimal, np.generic))):
            return f"the entry {where}, is a {kind}", False
    return "", False


def no_missing(name, y):
    """Refuse targets among which are pandas.NA or None, which NumPy cannot compare.

    NaN among numbers is left to scikit-learn's checks.
    """
    dtype = getattr(y, "dtype", None)
    of_numpy = isinstance(dtype, np.dtype)
    if dtype is None or (of_numpy and dtype.kind != "O") or not np.ndim(y):
        return
    for row, values in enumerate(np.asarray(y, object).reshape(len(y), -1).tolist()):
        for value in values:
            if value is None or type(value).__name__ in MISSING:
                raise ValueError(
                    f"Input {name} contains a missing value: {value!r} in row {row}; leave out "
                    "the rows whose target is unknown"
                )

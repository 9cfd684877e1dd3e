"""Checks of arguments, before any compiled code sees them.

Each function returns the value in the form that the kernels expect, or raises a TypeError (wrong
type) or ValueError (wrong value) that names the argument, its value and the expected values.
Arrays that are already C-contiguous, aligned and of the right dtype are not copied.
"""

import contextlib
import itertools
import math
import numbers
import operator
import os
from collections.abc import Mapping, Set
from decimal import Decimal

import numpy as np

from . import tables

NO_LABELS = np.empty(0, np.int64)
# Advice for targets that are text.
NUMBERED = (
    "; number the classes, as numpy.unique(y, return_inverse=True) does, or use MLPClassifier"
)
# Up to this size, Python's min and max are faster than NumPy's.
FEW = 16
# Catches typing errors: no machine has more processors, and more threads would only wait.
MOST_THREADS = 1024
# Limit of epochs, steps and units of a layer: more would take too long or too much memory.
MOST = 2**31 - 1
# Limit of weights and biases of a network. With padding, their number still fits into int64.
MOST_PARAMETERS = 2**53


def plain(value):
    """Unwrap a scalar or 0-dimensional array (NumPy's, PyTorch's, JAX's) to a Python object."""
    if isinstance(value, np.ma.MaskedArray) or not hasattr(value, "item"):
        return value
    return value.item() if getattr(value, "shape", None) == () else value


def whole_number(name, value, lowest=1, highest=math.inf):
    """Return `value` as an int, checked to be in [lowest, highest]."""
    if type(value) is int and lowest <= value <= highest:  # the usual case
        return value
    value = plain(value)
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number, got {type(value).__name__}: {value!r}"
        ) from None
    if number < lowest:
        raise ValueError(f"{name} must be at least {lowest}, got {number}")
    if number > highest:
        raise ValueError(f"{name} must be at most {highest}, got {_short(number)}")
    return number


def _short(number):
    """Return an int as text, in powers of ten if it is long."""
    return str(number) if number < 10**20 else f"about 10^{int(math.log10(number))}"


def path(name, value):
    """Return a path as a str."""
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a path (str or path-like), got {type(value).__name__}: {value!r}"
        ) from None


def threads(value):
    """Return a number of threads as an int, checked to be in 1..MOST_THREADS."""
    number = whole_number("threads", value)
    if number > MOST_THREADS:
        raise ValueError(
            f"threads must be at most {MOST_THREADS}, got {number}; more threads than processors "
            "only wait for each other (None chooses the number)"
        )
    return number


def number(name, value):
    """Return `value` as a float; infinities and NaN are allowed."""
    if type(value) is float:  # the usual case; the checks below take a microsecond
        return value
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    try:
        return float(value)
    except OverflowError:
        return -math.inf if operator.lt(value, 0) else math.inf


def real_number(name, value, lowest=0.0, highest=1e30):
    """Return `value` as a float in [lowest, highest]; the default 1e30 is finite in float32."""
    checked = number(name, value)
    if not lowest <= checked <= highest:  # true for NaN, too
        raise ValueError(f"{name} must be in [{lowest:g}, {highest:g}], got {checked:g}")
    return checked


def settle(instance, **values):
    """Set fields of a frozen dataclass to their checked values."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def flag(name, value):
    """Return `value` as a bool."""
    if type(value) is bool:  # the usual case
        return value
    value = plain(value)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def all_finite(array):
    """Return whether an array holds neither NaN nor infinities."""
    flat = array.reshape(-1)
    # The dot product takes one pass and no temporary array. It may overflow for finite values;
    # only then are the entries checked one by one.
    with np.errstate(all="ignore"):
        if math.isfinite(np.dot(flat, flat)):
            return True
    return all(np.isfinite(flat[i : i + 65536]).all() for i in range(0, flat.size, 65536))


def names(name, value, of):
    """Return a list of str, from any iterable of these; a message calls them names `of` what."""
    try:
        found = [] if isinstance(value, (str, bytes)) else list(value)
    except TypeError:
        found = []
    if not found or not all(isinstance(entry, str) for entry in found):
        raise TypeError(f"{name} must be a list of names of {of}, got {value!r}")
    return found


@contextlib.contextmanager
def locating(**arrays):
    """A context in which scikit-learn checks arrays; a note says which entry is wrong."""
    try:
        yield
    except ValueError as error:
        for name, array in arrays.items():
            with contextlib.suppress(TypeError, ValueError):  # no numbers: that is the error
                try:
                    numbers = real_numbers(name, array, tables.ENCODED)
                except TypeError as no_numbers:
                    if name == "X":  # y may be text
                        error.add_note(str(no_numbers))
                    continue
                if numbers.dtype.kind == "f" and numbers.ndim and not all_finite(numbers):
                    error.add_note(not_finite(name, numbers, tables.columns_of(array)))
        raise


def no_dates(name, array):
    """Refuse dates and time spans, which NumPy would convert to numbers in any unit."""
    dtype = np.asarray(array).dtype
    if dtype.kind in "mM":
        since = f"({name} - {name}.min())" if dtype.kind == "M" else name
        raise TypeError(
            f"{name} must hold real numbers, got dtype {dtype}; pass numbers of a unit, such as "
            f"days: {since} / np.timedelta64(1, 'D')"
        )


def is_sparse(value):
    """Return whether a value is a sparse matrix of SciPy's."""
    return hasattr(value, "toarray") and not isinstance(value, (np.ndarray, type))


def is_sequence(value):
    """Return whether a value has ordered entries: no text, set or sparse matrix, and no dict."""
    if getattr(value, "shape", None) == () or is_sparse(value):
        return False
    if isinstance(value, (str, bytes, Mapping, type)):
        return False
    return hasattr(value, "__len__") and hasattr(value, "__getitem__")


def first_of(wrong, array=None, columns=None):
    """Return a text on the entries for which `wrong` is True: how many, and where the first is.

    Parameters
    ----------
    wrong : ndarray of bool
        At least one entry is True.
    array : ndarray, optional
        Of the same shape, with the values to show.
    columns : list of str, optional
        The names of its columns.
    """
    at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    place = tables.place(at, wrong.shape, columns)
    first = "the first" if array is None else f"the first, {array[at]},"
    return f"{np.count_nonzero(wrong)} in all; {first} is in {place}, counted from 0"


def not_finite(name, array, columns=None):
    """Return the message for an array that has NaN or infinite values."""
    return f"{name} has NaN or infinite values ({first_of(~np.isfinite(array), array, columns)})"


def real_numbers(name, value, instead_of_text="", nullable=False):
    """Return `value` as an ndarray of real numbers of any dtype.

    If it is `nullable`, NaN takes the place of pandas.NA.
    """
    if is_sparse(value):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        entries = first_of(np.atleast_1d(np.ma.getmaskarray(value)))
        raise ValueError(f"{name} has masked entries ({entries}); fill or drop them first")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from None
    if array.dtype.kind == "O":
        try:
            if any(isinstance(entry, (str, bytes)) for entry in array.flat):
                raise TypeError  # astype would convert the text "1" to a number
            array = (tables.with_nan(array) if nullable else array).astype(np.float64)
        except OverflowError:
            raise ValueError(f"{name} has whole numbers too large for float64") from None
        except (TypeError, ValueError):
            if not array.ndim:
                found = type(array.item()).__name__
                raise TypeError(f"{name} must hold numbers, got {found}") from None
            columns = tables.columns_of(value)
            entry, missing = tables.odd_entry(array, columns, instead_of_text)
            if missing:
                raise ValueError(f"{name} has {entry}") from None
            what = f"an array of Python objects{entry and f': {entry}'}"
            raise TypeError(f"{name} must hold numbers, got {what}") from None
    if array.dtype.kind not in "fiub":
        hint = instead_of_text if array.dtype.kind in "USO" else ""
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{hint}")
    return array


def _for_kernels(array, dtype):
    """Return whether an array is C-contiguous, aligned and of `dtype`."""
    flags = array.flags
    return array.dtype == dtype and flags.c_contiguous and flags.aligned


def cast(name, array, dtype, finite=all_finite, given=None):
    """Return an array as C-contiguous, aligned and of `dtype`, checked by `finite`.

    `given` is the argument from which it was made: a table has names of columns for messages.
    """
    if _for_kernels(array, dtype) and finite(array):
        return array  # the usual case; the lines below would return it too, more slowly
    with np.errstate(over="ignore", invalid="ignore"):  # invalid: a signalling NaN
        result = np.require(np.ascontiguousarray(array, dtype), requirements="A")
        if finite(result):
            return result
        too_large = np.isfinite(array).all()
    columns = tables.columns_of(given)
    if too_large:
        entries = first_of(~np.isfinite(result), array, columns)
        raise ValueError(f"{name} has values too large for {dtype} ({entries})")
    raise ValueError(f"{not_finite(name, array, columns)}; all must be finite")


def samples(X, n_features, dtype, name="X", finite=all_finite, nullable=False):
    """Return X as an (n_samples, n_features) array of `dtype`; `finite` checks its values.

    If X is `nullable`, as it is with categories, NaN takes the place of pandas.NA.
    """
    if (
        type(X) is np.ndarray
        and X.ndim == 2
        and X.shape[1] == n_features
        and X.size
        and _for_kernels(X, dtype)
        and finite(X)
    ):
        return X  # the usual case; the checks below would return it too, more slowly
    array = real_numbers(name, X, tables.CODED if nullable else tables.ENCODED, nullable)
    if array.ndim != 2:
        hint = f"; for one sample pass {name}.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must be 2-D, of shape (n_samples, {n_features}), got shape {array.shape}{hint}"
        )
    check_shape(name, array.shape, n_features)
    return cast(name, array, dtype, finite, X)


def check_shape(name, shape, n_features):
    """Refuse samples with another number of features, or without any rows."""
    if shape[1] != n_features:
        raise ValueError(
            f"{name} has {shape[1]} features, but the network's input layer has {n_features}"
        )
    if shape[0] == 0:
        raise ValueError(f"{name} has no rows; at least one sample is needed")


def targets(y, n_samples, n_outputs, loss_name, loss, dtype, name="y", finite=all_finite):
    """Return targets as (labels, values), one of them empty, see backends/interface.py.

    `finite` checks numbers of `dtype`.
    """
    array = y
    if type(y) is not np.ndarray or y.dtype.kind not in "fiub":
        classes = loss_name in ("cross_entropy", "log_loss")
        array = real_numbers(name, y, NUMBERED if classes else "")
    if array.ndim == 0 or len(array) != n_samples:
        raise ValueError(
            f"{name} must have one entry per sample: {n_samples} samples, "
            f"but {name} has shape {array.shape}"
        )
    if array.ndim == 1 and loss_name == "cross_entropy":
        return _labels(name, array, n_outputs), np.empty((0, n_outputs), dtype)
    if array.ndim == 1 and n_outputs == 1:
        array = array.reshape(-1, 1)
    if array.shape != (n_samples, n_outputs):
        expected = f"({n_samples}, {n_outputs})"
        if loss_name == "cross_entropy":
            expected = f"({n_samples},) (labels) or {expected} (one-hot or probabilities)"
        elif n_outputs == 1:
            expected = f"({n_samples},) or {expected}"
        column = loss_name == "cross_entropy" and array.shape == (n_samples, 1)
        hint = f"; for a column of labels pass numpy.ravel({name})" if column else ""
        if loss_name == "log_loss" and n_outputs > 1 and array.size == n_samples:
            hint = (
                f"; log_loss with {n_outputs} outputs takes several labels per sample. For one "
                f"class per sample use the loss cross_entropy, which has one output per class"
            )
        raise ValueError(
            f"{name} must have shape {expected} for this network, got {array.shape}{hint}"
        )
    values = cast(name, array, dtype, finite, y)
    if (loss.lowest, loss.highest) != (-math.inf, math.inf):
        low, high = _range(values)
        if low < loss.lowest or high > loss.highest:
            raise ValueError(
                f"{loss_name} requires targets in [{loss.lowest:g}, {loss.highest:g}], "
                f"but {name} ranges from {low:g} to {high:g}"
            )
    if loss.counts and (broken := values != np.rint(values)).any():
        raise ValueError(
            f"{loss_name} requires counts 0, 1, 2, ..., but {name} has other numbers "
            f"({first_of(broken, values)})"
        )
    if loss_name == "cross_entropy":
        sums = values.sum(axis=1, dtype=np.float64)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > 1e-3:
            raise ValueError(
                f"rows of {name} must sum to 1 for cross_entropy, "
                f"but row {worst} sums to {sums[worst]:g}"
            )
    return NO_LABELS, values


def _range(array):
    """Return the smallest and the largest entry."""
    if array.size > FEW:
        return array.min().item(), array.max().item()
    numbers = array.ravel().tolist()
    return min(numbers), max(numbers)


def _labels(name, array, n_classes):
    """Return class indices as int64, checked to be in 0..n_classes-1."""
    if array.dtype.kind == "f":
        if not all_finite(array):
            raise ValueError(f"{not_finite(name, array)}; labels must be whole numbers")
        broken = array != np.rint(array)
        if broken.any():
            raise ValueError(
                f"labels in {name} must be whole numbers, but some are not "
                f"({first_of(broken, array)})"
            )
    low, high = _range(array)
    if low < 0 or high >= n_classes:
        raise ValueError(
            f"labels in {name} must be in 0..{n_classes - 1} "
            f"(there are {n_classes} outputs for them), but they range from {low} to {high}"
        )
    return array if _for_kernels(array, np.int64) else np.require(array, np.int64, ["C", "A"])


def rows(name, value, n_samples):
    """Return row indices as an int64 array, from row indices or a boolean mask."""
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "iub":
        raise TypeError(
            f"{name} must be a 1-D array of row numbers, or a mask of {n_samples} booleans; got "
            f"shape {array.shape} and dtype {array.dtype}"
        )
    if array.dtype.kind == "b":
        if len(array) != n_samples:
            raise ValueError(
                f"{name} is a mask of {len(array)} entries, but there are {n_samples} samples"
            )
        array = np.flatnonzero(array)
    if not len(array):
        raise ValueError(f"{name} is empty; at least one row is needed")
    if array.min() < 0 or array.max() >= n_samples:
        raise ValueError(
            f"{name} must be in 0..{n_samples - 1}, but ranges from {array.min()} to {array.max()}"
        )
    return np.require(array, np.int64, ["C", "A"])


def shaped(value, shape, name):
    """Return an array of real numbers of any dtype, of that shape."""
    array = value
    if type(value) is not np.ndarray or value.dtype.kind not in "fiub":
        array = real_numbers(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return array


def parameter(value, shape, dtype, name, finite=all_finite):
    """Return a layer's weights or biases, or their like, as an array of `shape` and `dtype`.

    `finite` checks numbers of `dtype`.
    """
    return cast(name, shaped(value, shape, name), dtype, finite)


def layer_sizes(value):
    """Return the sizes of at least two layers as a tuple of ints."""
    try:
        given = list(value)
        if isinstance(value, Set | Mapping):
            raise TypeError("they have no order")
    except TypeError:
        raise TypeError(f"layer_sizes must be a list of sizes, got {value!r}") from None
    if len(given) < 2:
        raise ValueError(
            f"layer_sizes must have at least 2 entries, inputs and outputs, got {given!r}"
        )
    sizes = tuple(whole_number(f"layer_sizes[{i}]", n, 1, MOST) for i, n in enumerate(given))
    n_parameters = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    if n_parameters > MOST_PARAMETERS:
        raise ValueError(
            f"layer_sizes {list(sizes)} make {n_parameters:.2g} weights and biases, more than any "
            "memory holds"
        )
    return sizes


def dtype(value):
    """Return float32 or float64 as a numpy.dtype."""
    try:
        found = None if value is None else np.dtype(value)  # np.dtype(None) is float64
    except (TypeError, ValueError):
        found = None
    if found not in (np.float32, np.float64):  # dtypes of another byte order are not equal
        raise ValueError(f'dtype must be "float32" or "float64", got {value!r}')
    return found


def compute_dtype(value, dtype):
    """Return None or "bfloat16", the precision of the products of a network of that dtype."""
    if value is None:
        return None
    if not isinstance(value, str) or value != "bfloat16":
        raise ValueError(f'compute_dtype must be None or "bfloat16", got {value!r}')
    if dtype != np.float32:
        raise ValueError(
            f'compute_dtype="bfloat16" needs dtype="float32", got dtype={dtype.name!r}: products '
            "with operands of 8 bits are added up in float32"
        )
    return value


def seed(value):
    """Return a seed as an int of at least 0, or None."""
    if value is None:
        return None
    return whole_number("seed", value, lowest=0)

"""Checks of what users pass in, before any compiled code sees it.

Each function returns the value in the form that kernels take, or raises a TypeError (wrong
kind of thing) or ValueError (wrong value) that says what was wrong and what was expected.
Arrays that are already C-contiguous, aligned and of the right dtype are not copied.
"""

import math
import numbers
import operator
from decimal import Decimal

import numpy as np

NO_LABELS = np.empty(0, np.int64)
# What to do with targets that are text.
NUMBERED = (
    "; number the classes, as numpy.unique(y, return_inverse=True) does, or use MLPClassifier"
)
# So many numbers are faster compared one by one than by NumPy.
FEW = 16
# More threads than any machine has processors only wait for each other.
MOST_THREADS = 1024


def plain(value):
    """The Python object in a scalar or an array of no dimensions (NumPy's, PyTorch's, JAX's)."""
    if isinstance(value, np.ma.MaskedArray) or not hasattr(value, "item"):
        return value
    return value.item() if getattr(value, "shape", None) == () else value


def whole_number(name, value, lowest=1):
    """`value` as an int of at least `lowest`."""
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
    return number


def threads(value):
    """A number of threads as an int."""
    number = whole_number("threads", value)
    if number > MOST_THREADS:
        raise ValueError(
            f"threads must be at most {MOST_THREADS}, got {number}; more than there are processors "
            "only wait for each other (None takes as many as are worth it)"
        )
    return number


def number(name, value):
    """`value` as a float of any size, or NaN."""
    if type(value) is float:  # as most are; the rest takes a microsecond
        return value
    value = plain(value)
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, Decimal)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}: {value!r}")
    try:
        return float(value)
    except OverflowError:
        return -math.inf if operator.lt(value, 0) else math.inf


def real_number(name, value, lowest=0.0, highest=1e30):
    """`value` as a float in [lowest, highest]; 1e30 is still finite in float32."""
    checked = number(name, value)
    if not lowest <= checked <= highest:  # true for NaN, too
        raise ValueError(f"{name} must be in [{lowest:g}, {highest:g}], got {checked:g}")
    return checked


def settle(instance, **values):
    """Give the fields of a frozen dataclass their checked values."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def loss_parameter(value, name, loss):
    """The parameter of a loss as a float: `value`, or the loss's default for None, if any."""
    if value is None:
        return loss.parameter
    if loss.parameter is None:
        raise ValueError(f"{name} has no parameter, but loss_parameter is {value!r}")
    number = real_number("loss_parameter", value, -math.inf, math.inf)
    if not 0 < number < loss.parameter_below:
        raise ValueError(
            f"loss_parameter of {name} must be in (0, {loss.parameter_below:g}), got {value!r}"
        )
    return number


def flag(name, value):
    """`value` as a bool."""
    value = plain(value)
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


def all_finite(array):
    """Whether an array holds neither NaN nor infinities."""
    flat = array.reshape(-1)
    # One pass without a temporary; a finite array can overflow it, so a failure is looked into.
    with np.errstate(all="ignore"):
        if math.isfinite(np.dot(flat, flat)):
            return True
    return all(np.isfinite(flat[i : i + 65536]).all() for i in range(0, flat.size, 65536))


def _numbers(name, value, instead_of_text=""):
    """`value` as an ndarray of real numbers of any kind."""
    if hasattr(value, "toarray") and not isinstance(value, np.ndarray):
        raise TypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries; fill or drop them first")
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} cannot be read as an array: {error}") from None
    if array.dtype.kind == "O":
        try:
            if any(isinstance(entry, (str, bytes)) for entry in array.flat):
                raise TypeError  # astype would read "1" as a number
            array = array.astype(np.float64)
        except OverflowError:
            raise ValueError(f"{name} has whole numbers too large for float64") from None
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} must hold numbers, got an array of Python objects{instead_of_text}"
            ) from None
    if array.dtype.kind not in "fiub":
        hint = instead_of_text if array.dtype.kind in "USO" else ""
        raise TypeError(f"{name} must hold real numbers, got dtype {array.dtype}{hint}")
    return array


def _cast(name, array, dtype):
    """C-contiguous and aligned, of `dtype`, and finite."""
    with np.errstate(over="ignore", invalid="ignore"):  # invalid is a signalling NaN
        result = np.require(np.ascontiguousarray(array, dtype), requirements="A")
        if all_finite(result):
            return result
        too_large = np.isfinite(array).all()
    if too_large:
        raise ValueError(f"{name} has values too large for {dtype}")
    raise ValueError(f"{name} has NaN or infinite values; all must be finite")


def samples(X, n_features, dtype, name="X", finite=all_finite):
    """X as an (n_samples, n_features) array of `dtype`; `finite` is how to look at its values."""
    if (
        type(X) is np.ndarray
        and X.dtype == dtype
        and X.ndim == 2
        and X.shape[1] == n_features
        and X.size
        and X.flags.c_contiguous
        and X.flags.aligned
        and finite(X)
    ):
        return X  # which is what all of the following would find, more slowly
    array = _numbers(name, X)
    if array.ndim != 2:
        hint = f"; for one sample pass {name}.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} must be 2-D, of shape (n_samples, {n_features}), got shape {array.shape}{hint}"
        )
    if array.shape[1] != n_features:
        raise ValueError(
            f"{name} has {array.shape[1]} features, but the network's input layer has {n_features}"
        )
    if array.shape[0] == 0:
        raise ValueError(f"{name} has no rows; at least one sample is needed")
    return _cast(name, array, dtype)


def targets(y, n_samples, n_outputs, loss_name, loss, dtype, name="y"):
    """Targets as the pair (labels, values) of which one is empty, see backends/interface.py."""
    array = y
    if type(y) is not np.ndarray or y.dtype.kind not in "fiub":
        classes = loss_name in ("cross_entropy", "log_loss")
        array = _numbers(name, y, NUMBERED if classes else "")
    if array.ndim == 0 or len(array) != n_samples:
        raise ValueError(
            f"{name} must have one entry a sample: {n_samples} samples, "
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
        raise ValueError(
            f"{name} must have shape {expected} for this network, got {array.shape}{hint}"
        )
    values = _cast(name, array, dtype)
    low, high = _range(values)
    if low < loss.lowest or high > loss.highest:
        raise ValueError(
            f"{loss_name} takes targets in [{loss.lowest:g}, {loss.highest:g}], "
            f"but {name} ranges from {low:g} to {high:g}"
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
    """The smallest and the largest entry."""
    if array.size > FEW:
        return array.min().item(), array.max().item()
    numbers = array.ravel().tolist()
    return min(numbers), max(numbers)


def _labels(name, array, n_classes):
    """Class numbers as int64."""
    if array.dtype.kind == "f":
        if not all_finite(array):
            raise ValueError(f"{name} has NaN or infinite values; labels must be whole numbers")
        if not (array == np.rint(array)).all():
            bad = array[array != np.rint(array)][0]
            raise ValueError(f"labels in {name} must be whole numbers, got {bad:g}")
    low, high = _range(array)
    if low < 0 or high >= n_classes:
        raise ValueError(
            f"labels in {name} must be in 0..{n_classes - 1} "
            f"(the output layer has {n_classes} units), but they range from {low} to {high}"
        )
    return np.require(array, np.int64, ["C", "A"])


def weights_of_samples(sample_weight, n_samples, dtype, name="sample_weight", part=False):
    """Sample weights as an (n_samples,) array of `dtype`, or an empty one for None.

    Those of a part of the samples may all be 0.
    """
    if sample_weight is None:
        return np.empty(0, dtype)
    array = _numbers(name, sample_weight)
    if array.shape != (n_samples,):
        raise ValueError(f"{name} must have shape ({n_samples},), got {array.shape}")
    values = _cast(name, array, dtype)
    if values.min() < 0:
        raise ValueError(f"{name} must not be negative, but its smallest is {values.min():g}")
    if values.max() == 0 and not part:
        raise ValueError(f"{name} is zero for every sample; at least one must be positive")
    return values


def class_weights(class_weight, loss_name, labels, targets, rows=None):
    """What class_weight multiplies the weights of samples by, as an (n_samples,) array.

    `labels` and `targets` are checked; "balanced" are the samples of those rows, all by default.
    A dict may name any class of the network, whether or not these samples have it.
    """
    if loss_name not in ("cross_entropy", "log_loss"):
        raise ValueError(f"class_weight is for cross_entropy and log_loss, not for {loss_name}")
    if not (isinstance(class_weight, dict) or class_weight == "balanced"):
        raise TypeError(f'class_weight must be "balanced" or a dict, got {class_weight!r}')
    if not labels.size:
        if not np.isin(targets, (0, 1)).all():
            raise ValueError("class_weight needs labels, but y holds probabilities")
        if loss_name == "cross_entropy":
            labels = targets.argmax(axis=1)
        elif targets.shape[1] == 1:
            labels = targets.ravel().astype(np.int64)
        else:
            raise ValueError("class_weight is for classes that exclude each other, not multi-label")
    if class_weight == "balanced":
        from sklearn.utils.class_weight import compute_sample_weight

        return compute_sample_weight("balanced", labels, indices=rows)
    factors = np.ones(len(labels))
    n_classes = max(targets.shape[1], 2)
    for key, factor in class_weight.items():
        if key not in range(n_classes):
            raise ValueError(
                f"class_weight has the key {key!r}, but the network's classes are "
                f"0..{n_classes - 1}"
            )
        factors[labels == key] = real_number(f"class_weight[{key}]", factor)
    return factors


def rows(name, value, n_samples):
    """Numbers of rows as an int64 array, from such numbers or a mask."""
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


def parameter(value, shape, dtype, name):
    """Weights or biases of one layer as an array of `shape` and `dtype`."""
    array = _numbers(name, value)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
    return _cast(name, array, dtype)


def layer_sizes(value):
    """Sizes of at least two layers as a tuple of ints."""
    try:
        sizes = list(value)
    except TypeError:
        raise TypeError(f"layer_sizes must be a list of sizes, got {value!r}") from None
    if len(sizes) < 2:
        raise ValueError(
            f"layer_sizes needs at least the numbers of inputs and outputs, got {sizes!r}"
        )
    return tuple(whole_number(f"layer_sizes[{i}]", size) for i, size in enumerate(sizes))


def dtype(value):
    """One of the two precisions as a numpy.dtype."""
    try:
        found = None if value is None else np.dtype(value)  # NumPy takes None for float64
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):  # other byte orders are not equal to these
        raise ValueError(f'dtype must be "float32" or "float64", got {value!r}')
    return found


def seed(value):
    """A seed as an int, or None."""
    if value is None:
        return None
    return whole_number("seed", value, lowest=0)

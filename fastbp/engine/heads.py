"""What a network with several losses does for each of its heads, see `basis.heads`."""

import itertools

import numpy as np

from ..basis import checks, spec
from . import distributions


def numbers_of(heads):
    """The numbers that the kernels need of heads, float64: see `spec.HEAD_COLUMNS`."""
    table = np.zeros((len(heads), spec.HEAD_COLUMNS))
    found = [np.array([len(heads)], np.float64), table.reshape(-1)]
    place = 1 + table.size
    for line, head in zip(table, heads, strict=True):
        own = distributions.numbers_of(head.loss, head.parameter)
        line[spec.HEAD_FIRST], line[spec.HEAD_WIDTH] = head.outputs.start, head.n_outputs
        line[spec.HEAD_FIRST_TARGET], line[spec.HEAD_TARGETS] = head.targets.start, head.n_targets
        line[spec.HEAD_LOSS], line[spec.HEAD_WEIGHT] = head.row.code, head.weight
        if own.size:
            line[spec.HEAD_NUMBERS] = place
            found.append(own)
            place += own.size
        else:
            line[spec.HEAD_PARAMETER] = head.parameter or 0.0
    return np.concatenate(found)


def with_sums(numbers, n_heads, groups):
    """A copy of the numbers with places for sums of the losses of each head.

    Returns
    -------
    numbers : ndarray of float64
    sums : ndarray of shape (n_heads, max(groups, 1))
        A view of these places. Kernels add Σ w e over the rows of each group of blocks.
    """
    first, places = numbers.size, max(groups, 1)
    numbers = np.concatenate([numbers, np.zeros(n_heads * places)])
    table = numbers[1 : 1 + n_heads * spec.HEAD_COLUMNS].reshape(n_heads, -1)
    table[:, spec.HEAD_SUMS] = first + places * np.arange(n_heads)
    return numbers, numbers[first:].reshape(n_heads, places)


def begin(heads, weights, biases):
    """Set the initial weights and biases of the outputs that stand for distributions, in place."""
    for head in heads:
        distribution = distributions.distribution_of(head.loss, head.parameter)
        if distribution is not None:
            distribution.begin(weights[:, head.outputs], biases[head.outputs])


def targets(heads, y, n_samples, dtype, name, finite):
    """Return the checked targets of all heads as an array; classes as rows of 0 and 1.

    `y` has an entry for each head, in the form of a network that has this loss alone.
    """
    if not isinstance(y, list | tuple):
        raise TypeError(
            f"{name} must be a tuple with one entry for each head ({_names(heads)}), got "
            f"{type(y).__name__}{_as_tuple(heads, y, name)}"
        )
    if len(y) != len(heads):
        raise ValueError(
            f"{name} must have one entry for each head ({_names(heads)}), got {len(y)}"
        )
    found = np.empty((n_samples, heads[-1].targets.stop), dtype)
    for k, (head, entry) in enumerate(zip(heads, y, strict=True)):
        labels, values = checks.targets(
            *(entry, n_samples, head.n_targets, head.loss, head.row, dtype),
            *(f"{name}[{k}]", finite),
        )
        if labels.size:
            values = np.zeros((n_samples, head.n_targets), dtype)
            values[np.arange(n_samples), labels] = 1
        found[:, head.targets] = values
    return found


def side_by_side(heads, arrays, n_samples, name):
    """A tuple with an array of shape (n, n_outputs) for each head as one array of all outputs.

    Anything else, which need not be an array, is returned as it is.
    """
    if not isinstance(arrays, tuple):
        return arrays
    if len(arrays) != len(heads):
        raise ValueError(
            f"{name} is a tuple of {len(arrays)} entries, but must have one array for each head "
            f"({_names(heads)}), or be a single array with the outputs of all heads side by side"
        )
    parts = []
    for k, (head, part) in enumerate(zip(heads, arrays, strict=True)):
        shape = n_samples, head.n_outputs
        if head.n_outputs == 1 and np.shape(part) == (n_samples,):
            part = np.reshape(part, shape)
        parts.append(checks.shaped(part, shape, f"{name}[{k}]"))
    return np.concatenate(parts, axis=1)


def _names(heads):
    return ", ".join(head.loss for head in heads)


def _as_tuple(heads, y, name):
    """Advice for targets in one table, in which classes are labels or rows of numbers."""
    if len(heads) == 1:
        return f"; pass ({name},)"
    of_labels = [1 if head.loss == "cross_entropy" else head.n_targets for head in heads]
    of_rows = [head.n_targets for head in heads]
    n_columns = np.shape(y)[1] if np.ndim(y) == 2 else 0
    for widths in (of_labels, of_rows):
        if n_columns == sum(widths):
            table = f"{name}.iloc" if hasattr(y, "iloc") else name
            ends = itertools.accumulate(widths)
            entries = [
                f"{table}[:, {end - 1 if width == 1 else f'{end - width}:{end}'}]"
                for end, width in zip(ends, widths, strict=True)
            ]
            return f"; pass ({', '.join(entries)})"
    return ""


def predictions(heads, outputs):
    """What `Network.predict` returns: for each head an array of its own."""
    found = []
    for head in heads:
        part = np.ascontiguousarray(outputs[:, head.outputs])
        distribution = distributions.distribution_of(head.loss, head.parameter)
        if distribution is not None:
            part = distribution.center(part).astype(part.dtype)[:, None]
        found.append(part)
    return tuple(found)

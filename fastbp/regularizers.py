"""What holds training back from fitting too closely: penalties and frozen layers.

`Regularizers` is the checked form in which a `training.Training` takes them.
"""

from dataclasses import dataclass, field

import numpy as np

from . import checks, spec


@dataclass(frozen=True)
class Regularizers:
    """What besides loss and optimiser shapes the steps of a training.

    Parameters
    ----------
    rules : ndarray of shape (m + 1, spec.RULES)
        Penalties and frozen layers, see backends/interface.py.
    divided : bool, default=False
        scikit-learn's convention: penalties are divided by a batch's total weight, and an
        epoch's loss is the mean of its batches' losses by rows.
    """

    rules: np.ndarray = field(compare=False)
    divided: bool = False


def checked(m, l1=0.0, l2=0.0, frozen=(), divided=False):
    """The Regularizers of a network of m layers, from what users pass to `Network.fit`."""
    rules = np.zeros((m + 1, spec.RULES))
    rules[1:, spec.L1] = _by_layer("l1", l1, m)
    rules[1:, spec.L2] = _by_layer("l2", l2, m)
    rules[_layers("frozen", frozen, m), spec.FROZEN] = 1
    if rules[1:, spec.FROZEN].all():
        raise ValueError(f"frozen names all {m} layers; at least one must be left to train")
    return Regularizers(rules, divided)


def _by_layer(name, value, m):
    """One number for each of m layers, from a number or a sequence of m."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        return [checks.real_number(name, value)] * m
    if len(value) != m:
        raise ValueError(
            f"{name} must be a number or one number for each of the {m} layers of weights, "
            f"got {len(value)} of them"
        )
    return [checks.real_number(f"{name}[{i}]", number) for i, number in enumerate(value)]


def _layers(name, value, m):
    """Numbers 1..m of layers, from their indices in `Network.weights`."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        raise TypeError(
            f"{name} must be a list of indices into the network's weights, got {value!r}"
        )
    numbers = []
    for entry in value:
        index = checks.whole_number(f"an entry of {name}", entry, lowest=-m)
        if index >= m:
            raise ValueError(
                f"{name} has the index {index}, but the network has {m} layers of weights: "
                f"0..{m - 1}"
            )
        numbers.append(index % m + 1)
    return numbers

"""How a network shows its weights, biases and gradients."""

from collections.abc import MutableSequence
from typing import NamedTuple

from . import checks


class Gradient(NamedTuple):
    """∂(mean loss)/∂(weights and biases), shaped like those of the network."""

    weights: list
    biases: list


class Parameters(MutableSequence):
    """The weights (or biases) of all layers: a list of views of fixed length.

    Reading an entry gives a writable view of the network's own numbers; assigning to one
    checks shape and values and copies them in.
    """

    def __init__(self, name, arrays):
        self._name, self._arrays = name, arrays

    def __getitem__(self, i):
        return self._arrays[i]

    def __len__(self):
        return len(self._arrays)

    def __setitem__(self, i, value):
        view = self._arrays[i]
        if isinstance(i, slice):
            raise TypeError(f"assign {self._name} layer by layer, not by slice")
        view[...] = checks.parameter(value, view.shape, view.dtype, f"{self._name}[{i}]")

    def __delitem__(self, i):
        raise TypeError(f"{self._name} of a network cannot be deleted")

    def insert(self, i, value):
        raise TypeError(f"{self._name} of a network cannot be added to")

    def __repr__(self):
        return repr(self._arrays)

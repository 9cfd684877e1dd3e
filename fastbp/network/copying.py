"""Copies of a network: by `copy`, by pickle, in another precision, on another backend.

Each owns what training changes, the parameters and the random generator. Other attributes, of
subclasses too, are copied as `copy` and pickle do.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from ..basis import spec
from ..basis.layout import Layout

# What no copy takes over: a loss as a C function, workspaces, online training.
LEFT_OUT = ("_backend", "_custom", "_function", "_workspaces", "_online")


class Copying:
    """The methods of `Network` that copy it."""

    # Of Network.
    layout: Layout
    loss: Any
    weights: Any
    biases: Any
    _parameters: np.ndarray
    _random: np.random.Generator
    _use: Callable
    _forget: Callable

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key not in LEFT_OUT}

    def __setstate__(self, state):
        # The parameters are another network's if copied, and may be read-only if unpickled.
        self.__dict__.update(state)
        self._loss = spec.loss_of(self.loss)
        self._random = copy.deepcopy(self._random)
        self._allocate(self.layout)
        self._parameters[...] = state["_parameters"]
        self._use(state["backend"])
        self._forget()

    def _allocate(self, like):
        """Make parameters of that layout, and its tables anew."""
        self.layout = replace(like)
        self._parameters = self.layout.zeros(self.layout.n_parameters)

    def _converted(self, dtype, backend):
        """A copy of this network in another precision and on another backend."""
        other = copy.copy(self)
        other._allocate(replace(self.layout, dtype=np.dtype(dtype)))
        for i, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            other.weights[i], other.biases[i] = W, b
        other._use(backend)
        other._forget()
        return other

    def to_backend(self, backend: str | None) -> Self:
        """A copy of this network, weights and random state included, on another backend.

        Parameters
        ----------
        backend : {"auto", "cython", "numba", "numpy"} or None
            As for `Network`.

        Returns
        -------
        Network
        """
        other = copy.deepcopy(self)
        other._use(backend)
        return other

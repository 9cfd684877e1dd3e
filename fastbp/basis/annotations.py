"""Types shared by public signatures. Only type checkers read this file; fastbp never imports it.

Names of activations, losses, optimisers, schedules and scores are ``str``, not ``Literal``: they
are checked at run time, and programs often read them from lists and files. Backends are few, and
programs name them as they are written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

# float32 or float64, depending on the network's dtype.
Floats: TypeAlias = NDArray[np.floating[Any]]
# What a network predicts: an array, or a tuple of arrays if it has heads. The union with Any leaves
# it to users which of the two they expect.
Predictions: TypeAlias = Floats | Any
StrPath: TypeAlias = str | os.PathLike[str]
BackendName: TypeAlias = Literal["cython", "numba", "numpy"]
Backend: TypeAlias = Literal["auto", BackendName]


class OwnActivation(Protocol):
    """A `fastbp.Activation`, which is defined on a higher floor."""

    name: str
    value: Callable[[Any], Any]
    derivative: Callable[[Any], Any]


Activation: TypeAlias = str | OwnActivation | Sequence[str | OwnActivation]
# The function gets arrays of the network's dtype.
LossFunction: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
Loss: TypeAlias = str | LossFunction
# (name, n_outputs) or (name, n_outputs, loss_parameter).
Head: TypeAlias = tuple[str, int] | tuple[str, int, float | Sequence[float] | None]
ByLayer: TypeAlias = float | Sequence[float]
Scorer: TypeAlias = str | Callable[..., Any]
Scoring: TypeAlias = Scorer | Sequence[Scorer] | Mapping[str, Scorer]
ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float]
Quantity: TypeAlias = Literal["gradient", "update", "dead", "saturated"]  # recorded by Health
RandomState: TypeAlias = int | np.random.RandomState | None


class Sparse(Protocol):
    """A SciPy sparse matrix or array, as far as fastbp uses it."""

    def tocsr(self) -> Any: ...


Matrix: TypeAlias = ArrayLike | Sparse
# (X, y) or (X, y, sample_weight).
Samples: TypeAlias = tuple[Matrix, ArrayLike] | tuple[Matrix, ArrayLike, ArrayLike | None]


# Types of scikit-learn's decorators; its own hide the types of the decorated functions.
Function = TypeVar("Function", bound=Callable[..., Any])


def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Function], Function]:
    raise NotImplementedError


def with_callbacks(function: Function) -> Function:
    raise NotImplementedError


def available_if(check: Callable[[Any], bool]) -> Callable[[Function], Function]:
    raise NotImplementedError

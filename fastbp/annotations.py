"""Types shared by public signatures. Only type checkers read this file; fastbp never imports it.

Names of activations, losses, backends and scores are ``str``, not ``Literal``: they are checked at
run time, and programs often read them from lists and files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .network import Network
    from .optimizers import Optimizer
    from .regularizers import EMA, SWA
    from .schedules import Schedule
    from .training import History

# float32 or float64, depending on the network's dtype.
Floats: TypeAlias = NDArray[np.floating[Any]]
StrPath: TypeAlias = str | os.PathLike[str]
Activation: TypeAlias = str | Sequence[str]
# The function gets arrays of the network's dtype.
LossFunction: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]
Loss: TypeAlias = str | LossFunction
ByLayer: TypeAlias = float | Sequence[float]
# (X, y) or (X, y, sample_weight).
Samples: TypeAlias = tuple[ArrayLike, ArrayLike] | tuple[ArrayLike, ArrayLike, ArrayLike | None]
Scorer: TypeAlias = str | Callable[..., Any]
Scoring: TypeAlias = Scorer | Sequence[Scorer] | Mapping[str, Scorer]
ClassWeight: TypeAlias = Literal["balanced"] | Mapping[Any, float]
Quantity: TypeAlias = Literal["gradient", "update", "dead", "saturated"]  # recorded by Health
RandomState: TypeAlias = int | np.random.RandomState | None


class CallbackLike(Protocol):
    """A callback for `Network.fit`: a `Callback`, or any object with the same methods."""

    def begin(self, network: Network, history: History, /) -> object: ...
    def epoch(self, network: Network, history: History, /) -> bool | None: ...
    def end(self, network: Network, history: History, /) -> object: ...


class Sparse(Protocol):
    """A SciPy sparse matrix or array, as far as the estimators use it."""

    def tocsr(self) -> Any: ...


Matrix: TypeAlias = ArrayLike | Sparse


# Options that other functions pass on to `Network.fit`; tests/test_typing.py compares them.


class BatchOptions(TypedDict, total=False):
    """The ``**options`` of `Network.fit_batches`."""

    optimizer: Optimizer | None
    schedule: Schedule | None
    l1: ByLayer
    l2: ByLayer
    dropout: ByLayer
    clip_norm: float | None
    average: EMA | SWA | None
    frozen: Sequence[int]
    validation_data: Samples | None
    scoring: Scoring | None
    patience: int | None
    min_delta: float
    monitor: str
    callbacks: Sequence[CallbackLike]
    progress: bool


T = TypeVar("T")
Item = TypeVar("Item", covariant=True)


class List(Protocol[Item]):
    """A list, but no tuple: it has `reverse`. ``list[T]`` would refuse lists of T's subclasses."""

    def __iter__(self) -> Iterator[Item]: ...
    def __len__(self) -> int: ...
    def reverse(self) -> None: ...


# One value for all networks, or a list with one value per network.
Each: TypeAlias = T | List[T]


class ManyOptions(TypedDict, total=False):
    """The ``**options`` of `fit_many`."""

    optimizer: Each[Optimizer | None]
    schedule: Each[Schedule | None]
    epochs: Each[int]
    batch_size: Each[int | None]
    sample_weight: Each[ArrayLike | None]
    class_weight: Each[ClassWeight | None]
    l1: Each[ByLayer]
    l2: Each[ByLayer]
    dropout: Each[ByLayer]
    clip_norm: Each[float | None]
    label_smoothing: Each[float]
    average: Each[EMA | SWA | None]
    frozen: Each[Sequence[int]]
    validation_data: Each[Samples | None]
    scoring: Each[Scoring | None]
    patience: Each[int | None]
    min_delta: Each[float]
    monitor: Each[str]
    callbacks: List[Sequence[CallbackLike]]
    shuffle: Each[bool]
    resume_from: Each[StrPath | None]


# Types of scikit-learn's decorators; its own hide the types of the decorated functions.
Function = TypeVar("Function", bound=Callable[..., Any])


def _fit_context(*, prefer_skip_nested_validation: bool) -> Callable[[Function], Function]:
    raise NotImplementedError


def with_callbacks(function: Function) -> Function:
    raise NotImplementedError


def available_if(check: Callable[[Any], bool]) -> Callable[[Function], Function]:
    raise NotImplementedError

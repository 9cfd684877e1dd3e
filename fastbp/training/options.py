"""Types of the options that `Network.fit_batches` and `fit_many` share with `Network.fit`.

Only type checkers read this file; tests/test_typing.py compares it with the signatures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, TypeAlias, TypedDict, TypeVar

from numpy.typing import ArrayLike

from ..basis.annotations import ByLayer, ClassWeight, Samples, Scoring, StrPath
from ..rules.optimizers import Optimizer
from ..rules.regularizers import EMA, SWA
from ..rules.schedules import Schedule
from .callbacks import CallbackLike


class BatchOptions(TypedDict, total=False):
    """The ``**options`` of `Network.fit_batches`."""

    optimizer: Optimizer | str | None
    schedule: Schedule | str | None
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
    """A list but not a tuple, which lacks `reverse`; ``list[T]`` would be invariant in T."""

    def __iter__(self) -> Iterator[Item]: ...
    def __len__(self) -> int: ...
    def reverse(self) -> None: ...


# One value for all networks, or a list with one value per network.
Each: TypeAlias = T | List[T]


class ManyOptions(TypedDict, total=False):
    """The ``**options`` of `fit_many`."""

    optimizer: Each[Optimizer | str | None]
    schedule: Each[Schedule | str | None]
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
    dy: Each[ArrayLike | None]
    derivative_weight: Each[float]

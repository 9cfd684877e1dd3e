"""Learning-rate schedules: frozen dataclasses, like the optimisers.

A schedule returns factors of the optimiser's learning rate η. Most schedules are functions of the
step; the kernels get the rates of all steps of a call. `ReduceOnPlateau` decides between epochs.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from ..basis import checks, spec
from ..basis.names import keywords
from . import monitoring

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Schedule:
    """Base class of the schedules.

    Examples
    --------
    >>> import fastbp
    >>> class Halved(fastbp.Schedule):
    ...     def factors(self, epochs, steps, total):
    ...         return 0.5**epochs
    >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    >>> history = net.fit([[1.0]], [0.0], optimizer=fastbp.SGD(0.1), schedule=Halved(), epochs=4)
    >>> history.learning_rate
    [0.1, 0.05, 0.025, 0.0125]
    """

    total_needed = False  # not annotated, so not a field

    def factors(
        self, epochs: NDArray[np.int64], steps: NDArray[np.int64], total: int | None
    ) -> NDArray[np.float64]:
        """Return the factors of η in the given steps.

        Parameters
        ----------
        epochs, steps : int array of shape (n,)
            Each step's epoch and number, both counted from 0.
        total : int or None
            Number of steps of the whole training; not None if ``total_needed`` is True.

        Returns
        -------
        ndarray of shape (n,)
            Finite factors of at least 0.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class StepDecay(Schedule):
    """Multiply the rate by a factor at regular intervals of epochs.

    In epoch e = 0, 1, ... the rate is ``η factor^⌊e / every⌋``.

    Parameters
    ----------
    every : int
        The number of epochs between two changes.
    factor : float, default=0.1
        In (0, 1].

    References
    ----------
    ``torch.optim.lr_scheduler.StepLR``, stepped once per epoch, does the same.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> steps = np.arange(5)
    >>> fastbp.StepDecay(2, factor=0.5).factors(steps, steps, 5).round(3)
    array([1.  , 1.  , 0.5 , 0.5 , 0.25])
    """

    every: int
    factor: float = 0.1

    def __post_init__(self):
        checks.settle(
            self,
            every=checks.whole_number("StepDecay: every", self.every),
            factor=_positive_share("StepDecay: factor", self.factor),
        )

    def factors(
        self, epochs: NDArray[np.int64], steps: NDArray[np.int64], total: int | None
    ) -> NDArray[np.float64]:
        return np.asarray(self.factor ** (epochs // self.every), np.float64)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """Multiply the rate by a factor after every epoch.

    In epoch e = 0, 1, ... the rate is ``η factor^e``.

    Parameters
    ----------
    factor : float
        In (0, 1].

    References
    ----------
    ``torch.optim.lr_scheduler.ExponentialLR``, stepped once per epoch, does the same.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> steps = np.arange(5)
    >>> fastbp.ExponentialDecay(0.9).factors(steps, steps, 5).round(3)
    array([1.   , 0.9  , 0.81 , 0.729, 0.656])
    """

    factor: float

    def __post_init__(self):
        checks.settle(self, factor=_positive_share("ExponentialDecay: factor", self.factor))

    def factors(
        self, epochs: NDArray[np.int64], steps: NDArray[np.int64], total: int | None
    ) -> NDArray[np.float64]:
        return self.factor ** np.asarray(epochs, np.float64)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Lower the rate along half a cosine, step by step, after an optional linear warm-up.

    Of T steps, the first w = ⌊warmup T⌋ have the rates ``η (t + 1) / (w + 1)``, t = 0, 1, ...,
    and the others ``η (final + (1 - final) (1 + cos(π (t - w) / (T - w))) / 2)``.

    Parameters
    ----------
    warmup : float, default=0.0
        The share of the steps that warm up, in [0, 1).
    final : float, default=0.0
        The rate that the decay approaches, as a share of η in [0, 1].

    References
    ----------
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
    equation (5), without restarts. ``torch.optim.lr_scheduler.CosineAnnealingLR``, stepped with
    the optimiser, does the same without warm-up.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> steps = np.arange(5)
    >>> fastbp.CosineDecay().factors(steps, steps, 5).round(3)
    array([1.   , 0.905, 0.655, 0.345, 0.095])
    >>> fastbp.CosineDecay(warmup=0.4, final=0.1).factors(steps, steps, 5).round(3)
    array([0.333, 0.667, 1.   , 0.775, 0.325])
    """

    warmup: float = 0.0
    final: float = 0.0
    total_needed = True

    def __post_init__(self):
        checks.settle(
            self,
            warmup=checks.real_number("CosineDecay: warmup", self.warmup),
            final=checks.real_number("CosineDecay: final", self.final, highest=1.0),
        )
        if self.warmup >= 1:
            raise ValueError(f"CosineDecay: warmup must be in [0, 1), got {self.warmup:g}")

    def factors(
        self, epochs: NDArray[np.int64], steps: NDArray[np.int64], total: int | None
    ) -> NDArray[np.float64]:
        assert total is not None  # as total_needed says
        w = int(self.warmup * total)
        # A stream may have more steps than announced.
        share = np.clip((steps - w) / (total - w), 0, 1)
        decay = self.final + (1 - self.final) * (1 + np.cos(np.pi * share)) / 2
        return np.where(steps < w, (steps + 1) / (w + 1), decay)


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Raise the rate to η and then lower it to nearly zero, each along half a cosine.

    The rate begins at ``initial η``, reaches η after the share ``peak`` of the steps, and ends at
    ``final η`` in the last step.

    Parameters
    ----------
    peak : float, default=0.3
        The share of the steps before the largest rate, in (0, 1).
    initial : float, default=0.04
        The first rate as a share of η, in (0, 1].
    final : float, default=4e-6
        The last rate as a share of η, in [0, 1].

    References
    ----------
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large
    Learning Rates", 2018. Rates and defaults as in ``torch.optim.lr_scheduler.OneCycleLR`` with
    ``max_lr`` η; the momentum stays as it is.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> steps = np.arange(10)
    >>> fastbp.OneCycle(peak=0.3).factors(steps, steps, 10).round(2)
    array([0.04, 0.52, 1.  , 0.95, 0.81, 0.61, 0.39, 0.19, 0.05, 0.  ])
    """

    peak: float = 0.3
    initial: float = 0.04
    final: float = 4e-6
    total_needed = True

    def __post_init__(self):
        checks.settle(
            self,
            peak=checks.real_number("OneCycle: peak", self.peak),
            initial=_positive_share("OneCycle: initial", self.initial),
            final=checks.real_number("OneCycle: final", self.final, highest=1.0),
        )
        if not 0 < self.peak < 1:
            raise ValueError(f"OneCycle: peak must be in (0, 1), got {self.peak:g}")

    def factors(
        self, epochs: NDArray[np.int64], steps: NDArray[np.int64], total: int | None
    ) -> NDArray[np.float64]:
        assert total is not None  # as total_needed says
        top, last = self.peak * total - 1, total - 1
        up = np.clip(steps / max(top, np.finfo(float).tiny), 0, 1)
        down = np.clip((steps - top) / (last - top), 0, 1)
        rising = self.initial + (1 - self.initial) * (1 - np.cos(np.pi * up)) / 2
        falling = self.final + (1 - self.final) * (1 + np.cos(np.pi * down)) / 2
        return np.where(steps <= top, rising, falling)


@dataclass(frozen=True)
class ReduceOnPlateau(Schedule):
    """Multiply the rate by a factor when a loss or score has stopped improving.

    Parameters
    ----------
    factor : float, default=0.1
        In (0, 1).
    patience : int, default=10
        The number of consecutive epochs without improvement after which the rate is reduced.
    min_delta : float, default=1e-4
        An epoch improves on the best one if it is better by more than this.
    cooldown : int, default=0
        The number of epochs after a reduction that do not count towards ``patience``.
    lowest : float, default=0.0
        A lower bound of the rate, as a share of η in [0, 1].
    monitor : str, optional
        "loss", "validation_loss", the name of a score, see ``scoring`` of `Network.fit`, or that of
        a head's loss. By default the validation loss if there is one, else the loss.

    References
    ----------
    ``torch.optim.lr_scheduler.ReduceLROnPlateau`` with ``threshold_mode="abs"`` does the same,
    with a patience that is smaller by 1.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> schedule = fastbp.ReduceOnPlateau(0.5, patience=2)
    >>> history = net.fit(  # the loss stays, since both targets have the weight 0 as their optimum
    ...     [[0.0], [0.0]], [1.0, -1.0], optimizer=fastbp.SGD(0.1), schedule=schedule, epochs=6
    ... )
    >>> history.learning_rate
    [0.1, 0.1, 0.1, 0.05, 0.05, 0.025]
    """

    factor: float = 0.1
    patience: int = 10
    min_delta: float = 1e-4
    cooldown: int = 0
    lowest: float = 0.0
    monitor: str | None = None

    def __post_init__(self):
        who = "ReduceOnPlateau"
        patience, min_delta = monitoring.check_arguments(
            who, self.monitor, self.patience, self.min_delta
        )
        checks.settle(
            self,
            factor=_positive_share(f"{who}: factor", self.factor),
            patience=patience,
            min_delta=min_delta,
            cooldown=checks.whole_number(f"{who}: cooldown", self.cooldown, lowest=0),
            lowest=checks.real_number(f"{who}: lowest", self.lowest, highest=1.0),
        )
        if self.factor == 1:
            raise ValueError(f"{who}: factor must be in (0, 1), got {self.factor:g}")


# The schedules by name.
SCHEDULES: dict[str, Any] = {
    "cosine": CosineDecay,
    "exponential": ExponentialDecay,
    "one_cycle": OneCycle,
    "plateau": ReduceOnPlateau,
    "step": StepDecay,
}
for _class in SCHEDULES.values():
    _class.__init__ = keywords(_class.__init__)
del _class


def _named(schedule):
    """Return the schedule that a name stands for, with its defaults; anything else as it is."""
    if not isinstance(schedule, str):
        return schedule
    found = spec.choose("schedule", schedule.lower(), SCHEDULES)
    required = [entry.name for entry in fields(found) if entry.default is MISSING]
    if required:
        raise ValueError(
            f"schedule {schedule!r} has no default for {required[0]}; pass "
            f"fastbp.{found.__name__}({required[0]}=...)"
        )
    return found()


def schedule_of(schedule, optimizer):
    """Return a schedule argument, checked to fit the optimiser; None for None."""
    if schedule is None:
        return None
    schedule = _named(schedule)
    if not isinstance(schedule, Schedule) or type(schedule) is Schedule:
        a_class = isinstance(schedule, type) and issubclass(schedule, Schedule)
        hint = f"; pass an instance, {schedule.__name__}(...)" if a_class else ""
        raise TypeError(
            "schedule must be one of fastbp's, such as fastbp.OneCycle(), or the name of one, got "
            f"{schedule!r}{hint}"
        )
    if optimizer.full_batch_only:
        raise ValueError(
            f"{type(optimizer).__name__} has no learning rate to schedule, since it adapts each "
            "weight's step; pass schedule=None"
        )
    return schedule


def factors(schedule, epochs, steps, total):
    """Return a schedule's factors, checked, since a custom schedule may return anything."""
    found = np.asarray(schedule.factors(epochs, steps, total))
    who = f"{type(schedule).__name__}.factors"
    if found.shape != steps.shape or found.dtype.kind not in "fiu":
        raise ValueError(
            f"{who} must return one number for each of the {len(steps)} steps, got shape "
            f"{found.shape} and dtype {found.dtype}"
        )
    wrong = ~(np.isfinite(found) & (found >= 0))
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(
            f"{who} must return finite numbers of at least 0, got {found[first]} for step "
            f"{steps[first]}"
        )
    return found.astype(np.float64)


def _positive_share(name, value):
    share = checks.real_number(name, value)
    if not 0 < share <= 1:
        raise ValueError(f"{name} must be in (0, 1], got {share:g}")
    return share

"""Training on data that arrive bit by bit, or do not fit into memory.

These are methods of `Network`, which is where they are to be found by users.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from ..basis.layout import Layout
from ..rules import optimizers, regularizers
from ..training import fitting
from ..training.run import Training

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike

    from ..basis.annotations import Samples
    from ..rules.optimizers import Optimizer
    from ..training.options import BatchOptions
    from ..training.run import History
    from ..training.streaming import Stream


class Online:
    """The methods of `Network` that do not need all data at once."""

    # Of Network.
    layout: Layout
    _online: Training | None
    _check_parameters: Callable
    _validation: Callable
    _data: Callable

    def fit_batches(
        self,
        batches: Iterable[Samples] | Stream,
        *,
        epochs: int = 1,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
        class_weight: Mapping[Any, float] | None = None,
        label_smoothing: float = 0.0,
        threads: int | None = None,
        **options: Unpack[BatchOptions],
    ) -> History:
        """Train on data that come batch by batch, and need not fit into memory.

        Parameters
        ----------
        batches : iterable of (X, y) or (X, y, sample_weight)
            Each a batch, or a block of several; taken in their order. `ArrayStream`
            and `ParquetStream` read them from files. In some, all samples may have the weight 0
            (see `fit`); those without rows are passed over.
        epochs : int, default=1
            How often to go through `batches`, which must start anew each time; an iterator or
            generator can be gone through once.
        batch_size : int or None, default=None
            Samples a step, within one of `batches`; the last step may take fewer. None takes
            each as one step.
        steps_per_epoch : int, optional
            The number of steps in an epoch, which `CosineDecay` and `OneCycle` need; by default
            ``len(batches)`` where that is the same.
        class_weight : dict, optional
            As for `fit`; not each of `batches` need have each class.
        label_smoothing : float, default=0.0
            As for `fit`.
        threads : int, optional
            As for `fit`.
        **options
            Others of `fit`: the optimizer, schedule, l1, l2, dropout, clip_norm, average,
            frozen, validation_data, scoring, patience, min_delta, monitor, callbacks, progress.

        Returns
        -------
        History
            As of `fit`. The optimiser's state is kept throughout.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged, unless a later batch is bad.
        TrainingDiverged
            If loss or weights stop being finite, as in `fit`.
        """
        self._check_parameters()
        samples = fitting.Blocks(
            self, batches, epochs, batch_size, steps_per_epoch, class_weight, label_smoothing
        )
        others: dict[str, Any] = {**options}
        rules = regularizers.checked(len(self.layout.sizes) - 1, **fitting.of_rules(others))
        validation = self._validation(others.pop("validation_data", None))
        control = fitting.control(self, epochs=epochs, validation=validation, **others)
        return fitting.fit(self, samples.begin(), control, rules, threads)

    def fit_step(
        self,
        X: ArrayLike,
        y: ArrayLike,
        *,
        optimizer: Optimizer | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> float:
        """One step of training on one batch, for data that arrives bit by bit.

        The optimiser's state is kept from call to call, until another optimiser is passed; `fit`
        does not touch it. A copy of the network (copy, pickle, `to_backend`) begins anew.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_0)
            The batch, often a single row.
        y : array-like of shape (n_samples,) or (n_samples, n_m)
            Targets as the loss takes them, see `Network`.
        optimizer : Optimizer, optional
            How to step; by default as in the last call, Adam() in the first.
        sample_weight : array-like of shape (n_samples,), optional
            Weights w ≥ 0, not all zero.

        Returns
        -------
        float
            The batch's loss before the step.

        Raises
        ------
        TypeError, ValueError
            For bad arguments; the network is unchanged.
        TrainingDiverged
            If the loss or the weights are not finite.
        """
        data = self._data(X, y, sample_weight)
        online = self._online
        if online is None or (optimizer is not None and optimizer != online.optimizer):
            rules = regularizers.checked(len(self.layout.sizes) - 1)
            online = Training(self, data, optimizers.checked(optimizer), len(data.X), rules, 1)
            self._online = online
        return online.step(data)

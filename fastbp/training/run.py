"""A training in memory: the arrays that it allocates, and its calls of the backend.

The loop drives a `Training`, see loop.py.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..backends.interface import SHARED_SIZE
from ..backends.numpy_ import penalties
from ..basis import interrupts, teams
from ..basis.heads import names_of_losses
from ..basis.memory import address
from ..basis.sparse import SparseRows
from ..engine import buffers, heads
from ..engine.work import dense_rows
from ..rules.regularizers import EMA, SWA
from .history import History, TrainingDiverged

NATURAL_ORDER = np.empty((0, 0), np.int64)
NO_SQUARES = np.empty(0)
DOUBLE = np.dtype(np.float64)


@dataclass
class Memory:
    """The state of an optimiser between steps, see backends/interface.py.

    Attributes
    ----------
    hyper : ndarray of shape (6,)
        The hyper-parameters; the first is the learning rate of the next step.
    counters : ndarray of shape (3,)
        The counters of one thread; all threads have the same.
    state : ndarray of shape (slots, n_parameters)
    """

    hyper: np.ndarray
    counters: np.ndarray
    state: np.ndarray

    @classmethod
    def empty(cls, optimizer, layout):
        """The memory before the first step."""
        state = buffers.take(layout, optimizer.slots * layout.n_parameters, zeroed=True)
        state = state.reshape(optimizer.slots, layout.n_parameters)
        for slot in range(optimizer.slots):
            if initial := optimizer.initial_state(slot):
                state[slot] = initial
        return cls(np.array(optimizer.hyper(), np.float64), np.array([0.0, 1.0, 1.0]), state)

    def __setstate__(self, state):
        """Copy the arrays: unpickled ones may be read-only memory maps."""
        vars(self).update({name: np.array(array) for name, array in state.items()})


def is_sparse(data):
    """Whether samples are sparse; None counts as dense."""
    return data is not None and isinstance(data.X, SparseRows)


def check_lazy(optimizer, regularizers, layout, data):
    """Refuse rules that concern all weights of the first layer, if steps change only some."""
    if not (optimizer.lazy and is_sparse(data)):
        return
    name, widths = type(optimizer).__name__, layout.sizes[1:]
    l1, l2, _ = regularizers.layer_rules[1]
    zeros = "[0" + ", ..." * (len(widths) > 1) + "]"
    for option, wrong, advice in (
        ("l1", l1 > 0, f"penalise the other layers alone, l1={zeros}"),
        ("l2", l2 > 0, f"penalise the other layers alone, l2={zeros}"),
        ("clip_norm", regularizers.clip_norm is not None, "leave clip_norm out"),
        ("average", isinstance(regularizers.average, EMA), "average by fastbp.SWA"),
        ("a single output as the first layer", tuple(widths) == (1,), "add a hidden layer"),
    ):
        if wrong:
            raise ValueError(
                f"{name} changes only those weights of the first layer that a sparse batch "
                f"touches, which does not go with {option}; {advice}, or use fastbp.Adam"
            )


class Training:
    """The arrays that a call of fit allocates, and its calls of the backend.

    A `memory` that is passed in is continued and updated. Several trainings may share a `stop`.
    """

    def __init__(
        self,
        engine,
        data,
        optimizer,
        batch_size,
        regularizers,
        threads,
        memory=None,
        seed=0,
        stop=None,
    ):
        self.engine, self.data = engine, data
        self.optimizer, self.regularizers = optimizer, regularizers
        self.seed = seed  # of dropout
        self._layout = plan = engine.layout
        if regularizers.dropout:
            self._layout = plan = replace(plan, dropout=regularizers.dropout)
        self._dense_layout, self._sparse_layout = plan, None
        self.averaged = 0  # how many epochs or steps the average has seen
        self.average = np.empty(0, plan.dtype)
        if regularizers.average is not None:
            self.average = plan.zeros(plan.n_parameters)
        if isinstance(regularizers.average, EMA):  # frozen layers keep these values
            self.average[...] = engine.parameters
        self.threads = threads
        self._forgets = memory is None  # once the training has ended
        self.memory = Memory.empty(optimizer, plan) if memory is None else memory
        self._check_owned()
        self.hyper, self.state = self.memory.hyper, self.memory.state
        self._rate = self.hyper[:1]
        self.counters = np.empty((threads, 3))
        self.counters[...] = self.memory.counters
        self.memory.counters = self.counters[0]
        self.transposed = buffers.take(plan, plan.n_transposed)
        self.gradient = buffers.take(plan, plan.n_parameters, zeroed=True)
        self.stop = np.zeros(1, np.int64) if stop is None else stop
        self.spare: dict = {}  # workspaces of sources that compute gradients
        self._one_loss = np.zeros(1 + len(engine.heads))
        self._shared = np.zeros(SHARED_SIZE, np.int64)
        self._job: Any = None
        self._workspace: Any = None
        if data is not None:
            self._make_room(batch_size)

    def _check_owned(self):
        """Refuse arrays from outside that compiled code would crash on when it writes to them."""
        n, slots, dtype = self._layout.n_parameters, self.optimizer.slots, self._layout.dtype
        for name, array, shape, kind in (
            ("the network's parameters", self.engine.parameters, (n,), dtype),
            ("the optimiser's hyper-parameters", self.memory.hyper, (6,), DOUBLE),
            ("the optimiser's counters", self.memory.counters, (3,), DOUBLE),
            ("the optimiser's state", self.memory.state, (slots, n), dtype),
        ):
            if not (array.flags.carray and array.shape == shape and array.dtype == kind):
                raise ValueError(
                    f"{name} must be a writable, aligned, contiguous array of shape {shape} and "
                    f"dtype {kind}; it has been replaced or changed from outside"
                )

    def _make_room(self, batch_size):
        """A workspace and a job for batches of that size."""
        layout = self._layout = self._layout_for_data()
        self.batch_size = batch_size
        block, groups = layout.partition(batch_size)
        space = layout.team_workspace_size(block, groups, self.threads)
        self._workspace = buffers.take(layout, space)
        regularizers, average = self.regularizers, self.regularizers.average
        squares, by_step = NO_SQUARES, isinstance(average, EMA)
        if regularizers.clip_norm is not None:
            squares = np.zeros(layout.n_rows)
        model = self.engine.model_of(layout)
        if self.engine.heads:  # with places for the sums of their losses
            self._numbers, _ = heads.with_sums(self.engine.numbers, len(self.engine.heads), groups)
            model = model._replace(function=address(self._numbers))
        self._job = self.engine.backend.job(
            model,
            self.data,
            batch_size=batch_size,
            optimizer=self.optimizer.code,
            hyper=self.hyper,
            layer_rules=regularizers.layer_rules,
            sklearn_penalties=regularizers.sklearn_penalties,
            clip_norm=regularizers.clip_norm or 0.0,
            squares=squares,
            decay=average.decay if by_step else 0.0,
            average=self.average if by_step else self.average[:0],
            signs=self.engine.signs,
            seed=self.seed,
            counters=self.counters,
            state=self.state,
            block=block,
            workspace=self._workspace,
            transposed=self.transposed,
            gradient=self.gradient,
            sums=layout.sums(groups),
            stop=self.stop,
            shared=self._shared,
        )

    def _layout_for_data(self):
        """The layout for the samples, dense or sparse."""
        if not is_sparse(self.data):
            return self._dense_layout
        check_lazy(self.optimizer, self.regularizers, self._layout, self.data)
        if self._sparse_layout is None:
            how = {"sparse": self.threads, "touched": self.optimizer.lazy}
            self._sparse_layout = replace(self._dense_layout, **how)
        return self._sparse_layout

    def take(self, data, batch_size):
        """Go on with other data."""
        self.data = data
        other = is_sparse(data) != (self._layout.sparse > 0)
        if self._job is None or batch_size != self.batch_size or other:
            self._make_room(batch_size)
        else:
            self._job.take(data)

    def drop_job(self):
        """Have the next step make a job anew."""
        self._job = None
        if self._workspace is not None:
            buffers.give(self._workspace)
            self._workspace = None

    def step(self, data):
        """Take one step on a batch; return its loss."""
        self.take(data, len(data.X))
        losses = self._one_loss
        engine = self.engine

        def call():
            return self._job.run(NATURAL_ORDER, 1, self._rate, losses, 0)

        if not engine.run(call, dense_rows(engine.layout, data.X), changing=True):
            engine.raise_error(data)
            raise TrainingDiverged(1, f"the loss of a batch is {losses[0]:g}", History())
        engine.raise_of_activations()
        self.check_weights()
        return float(losses[0])

    def update(self, rate=None):
        """Take one step with the gradient that is in `gradient`, which is destroyed.

        `rate` is the step's learning rate; by default the optimiser's.
        """
        rate = self._rate.item() if rate is None else rate
        self.engine.run(lambda: self._job.update(rate), 1, changing=True)
        if isinstance(self.regularizers.average, EMA):
            self.averaged = int(self.counters[0, 0])

    def check_weights(self):
        """Raise TrainingDiverged if a step has left weights that are not finite."""
        if not self.engine.finite():
            self.engine.clear_padding()
            raise TrainingDiverged(1, "the weights are not finite", History())

    def run(self, order, epochs, history, rates):
        """Train for some epochs and add them to the history.

        `rates` is a float64 array of the learning rate of each step, or of one for all steps.
        """
        engine = self.engine
        losses = np.empty(epochs * (1 + len(engine.heads)))
        losses.fill(np.nan)
        of_epochs = losses.reshape(epochs, -1)  # the loss and those of the heads

        def call():
            return teams.run(
                lambda rank: self._job.run(order, epochs, rates, losses, rank), self.threads
            )

        self.stopped()
        rows = dense_rows(engine.layout, self.data.X) * epochs
        inline = self.threads == 1 and engine.may_run_inline(rows, True)
        with interrupts.held(self.stop):
            try:
                finished = call() if inline else interrupts.in_thread(call)
            except KeyboardInterrupt:  # raised in the call, not by a signal
                self.stop[0] = 1
                finished = np.count_nonzero(np.isfinite(of_epochs[:, 0]))
            history.loss.extend(of_epochs[:finished, 0].tolist())
            for k, name in enumerate(names_of_losses(engine.heads), start=1):
                figures = history.head_losses.setdefault(name, [])
                figures.extend(of_epochs[:finished, k].tolist())
            history.interrupted = bool(self.stop[0])
            if isinstance(self.regularizers.average, EMA):
                self.averaged = int(self.counters[0, 0])
        engine.raise_of_activations()
        if finished < epochs and (engine.failed or not history.interrupted):
            engine.raise_error(self.data)
            raise TrainingDiverged(
                len(history.loss) + 1,
                f"the loss of a batch is {of_epochs[finished, 0]:g}",
                history,
            )

    def stopped(self):
        """Whether the training is to end before its next step."""
        if teams.abandoned():
            self.stop[0] = 1
        return bool(self.stop[0])

    def penalty(self):
        """The penalties that the next step adds to its batch's loss."""
        with np.errstate(over="ignore"):
            return penalties(self.regularizers.layer_rules, self.engine.weights)

    def end_epoch(self, done):
        """Add the weights to SWA's average, if it averages after `done` epochs."""
        average = self.regularizers.average
        if isinstance(average, SWA) and done >= average.start:
            self.averaged += 1
            self.average += (self.engine.parameters - self.average) / self.averaged

    @contextlib.contextmanager
    def averaged_weights(self):
        """A context in which the network has the averaged weights, if there are any yet."""
        parameters = self.engine.parameters
        if not self.averaged:
            yield
            return
        own = parameters.copy()
        try:
            parameters[...] = self.average
            yield
        finally:
            parameters[...] = own

    def epochs_a_call(self, done, most):
        """How many epochs `run` may train after `done` ones; SWA averages after each call."""
        if self.engine.in_python:  # an exception in a derivative is raised after the call
            return 1
        average = self.regularizers.average
        return most if not isinstance(average, SWA) else max(1, min(most, average.start - done))

    def finish(self):
        """Give the network the averaged weights, if there are any."""
        if self.averaged:
            self.engine.parameters[...] = self.average

    def close(self):
        """Let other calls have the scratch memory; no thread may be in `run` any more."""
        if self._workspace is not None:  # None if only Dask's workers computed steps
            buffers.give(self._workspace)
        buffers.give(self.transposed, self.gradient)
        if self._forgets:
            buffers.give(self.state.reshape(-1))
        self.spare.clear()
        self._job = self._workspace = self.transposed = self.gradient = self.state = None
        self.memory = None

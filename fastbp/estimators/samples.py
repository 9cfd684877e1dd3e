"""The samples of a fit, dense or sparse, as the estimators have checked them."""

import math

import numpy as np

from ..basis import interrupts
from ..basis.checks import NO_LABELS
from ..basis.data import Data
from ..basis.sparse import csr, rows_of
from ..rules import regularizers
from ..training.history import History, TrainingDiverged
from ..training.run import NATURAL_ORDER

# Where sparse rows must be made dense, they are in parts of about this many numbers.
DENSE_NUMBERS = 1 << 22
NO_TARGETS = np.empty((0, 0))


class CheckedSamples:
    """Checked samples: X, dense or in sparse rows, labels or targets, and weights (or none).

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_0)
    labels : ndarray of shape (n,) or (0,)
        Numbers of classes, for a softmax.
    targets : ndarray of shape (n, n_m) or (0, n_m)
        Values, for the other outputs.
    weight : ndarray of shape (n,) or None
    """

    def __init__(self, X, labels=NO_LABELS, targets=NO_TARGETS, weight=None):
        self.X, self.labels, self.targets, self.weight = X, labels, targets, weight
        self.sparse = not isinstance(X, np.ndarray)

    def __len__(self):
        return self.X.shape[0]

    def keep_apart(self, network):
        """Copy arrays that lie in the network's parameters, which training changes."""
        if not self.sparse:
            self.X = network._engine.apart(self.X)
        self.targets = network._engine.apart(self.targets)
        if self.weight is not None:
            self.weight = network._engine.apart(self.weight)

    def take(self, rows):
        """The samples with these row numbers."""
        return CheckedSamples(
            self.X[rows],
            self.labels[rows] if self.labels.size else NO_LABELS,
            self.targets[rows] if len(self.targets) else self.targets,
            None if self.weight is None else self.weight[rows],
        )

    def with_weight(self):
        """The samples whose weight is not 0; all, if there are none."""
        if self.weight is None or not self.weight.any() or self.weight.all():
            return self
        return self.take(np.flatnonzero(self.weight))

    def encoded(self, n_outputs):
        """Labels as one-hot rows, or the targets."""
        return np.eye(n_outputs, dtype=bool)[self.labels] if self.labels.size else self.targets

    def smooth(self, network, amount):
        """These samples with smoothed labels, see `regularizers.smooth`."""
        if amount == 0:
            return self
        classes, targets = network.layout.sizes[-1], (self.labels, self.targets)
        labels, values = regularizers.smooth(targets, classes, network._engine.loss_name, amount)
        return CheckedSamples(self.X, labels, values, self.weight)

    def total(self):
        """Σ w."""
        return float(len(self) if self.weight is None else self.weight.sum(dtype=np.float64))

    def data(self, dtype):
        """The samples as the backends take them."""
        weight = np.empty(0) if self.weight is None else self.weight
        return Data(
            rows_of(self.X, dtype) if self.sparse else np.require(self.X, dtype, ["C", "A"]),
            self.labels,
            np.require(self.targets, dtype, ["C", "A"]),
            np.require(weight, dtype, ["C", "A"]),
        )


def outputs(network, X):
    """The network's output for validated X, dense or in sparse rows."""
    if not isinstance(X, np.ndarray):
        X = rows_of(csr(X), network.layout.dtype)
    return network._engine.outputs(X)


def by_parts(network, X, compute):
    """``compute(X)`` for validated X; sparse rows are made dense and passed some at a time."""
    if isinstance(X, np.ndarray):
        return compute(X)
    X, n, dtype = X.tocsr(), X.shape[0], network.layout.dtype
    size = max(1, DENSE_NUMBERS // X.shape[1])
    parts = (X[at : at + size].toarray() for at in range(0, n, size))
    return np.concatenate([compute(np.require(part, dtype, ["C", "A"])) for part in parts])


class EstimatorRows:
    """The samples of a fit as a source for the training loop, shuffled as scikit-learn does.

    One array of row numbers is shuffled again and again, which draws the same numbers as
    `sklearn.utils.shuffle`. The optimiser's attributes may have been set between epochs.

    Parameters
    ----------
    samples : CheckedSamples
    stepping : Stepping
    batch_size : int
    random_state : RandomState or None
        Shuffles; None for the samples' own order.
    tasks : Tasks
    """

    must_stay_finite = False  # the estimator's rules end a training whose loss is not finite

    def __init__(self, samples, stepping, batch_size, random_state, tasks):
        self.samples, self.stepping, self.batch_size = samples, stepping, batch_size
        self.steps = -(-len(samples) // batch_size)
        self._random_state, self._tasks = random_state, tasks
        self._order = None if random_state is None else np.arange(len(samples))

    def data(self, dtype):
        """The samples as the backends take them."""
        return self.samples.data(dtype)

    def epochs_a_call(self, scheduled):
        return 1

    def run(self, training, epochs, history, rates):
        """Train for an epoch; its loss is NaN if training diverged."""
        if self._tasks.active:
            with interrupts.released():
                self._tasks.begin_epoch()
        order, n = self._order, len(self.samples)
        if order is not None:
            self._random_state.shuffle(order)
        self.stepping.load()
        of_steps = rates.next(self.steps, len(history.loss))
        training.counters[...] = self.stepping.memory.counters  # of all threads
        try:
            line = NATURAL_ORDER if order is None else order.reshape(1, n)
            loss = self._trained(training, line, of_steps)
        finally:
            self.stepping.note()
        history.loss.append(loss)

    def _trained(self, training, order, rates):
        part = History()
        try:
            training.run(order, 1, part, rates)
        except TrainingDiverged:
            return math.nan
        interrupts.check()
        if part.interrupted:
            raise KeyboardInterrupt
        return part.loss[0]

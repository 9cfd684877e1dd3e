"""How the estimators train: L-BFGS through SciPy, and epochs of mini-batches.

scikit-learn's definitions are kept to the letter, so that the numbers are the same: what the
penalty is divided by, how an epoch's loss is averaged, when a learning rate goes down. The
estimators decide when to stop; here is what happens in between.
"""

import math

import numpy as np

from ..basis import interrupts
from ..basis.checks import NO_LABELS
from ..basis.data import Data
from ..basis.layout import views
from ..basis.spec import FROZEN
from ..rules import regularizers
from ..training.run import CONSTANT_RATE, NATURAL_ORDER, History, Training, TrainingDiverged

# Sparse rows are made dense for as many numbers as this at a time.
DENSE_NUMBERS = 1 << 22
NO_TARGETS = np.empty((0, 0))


class Samples:
    """Validated samples: X dense or in sparse rows, what to learn, and weights (or none).

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
        """Copy what lies in the parameters of the network, which training changes."""
        if not self.sparse:
            self.X = network._engine.apart(self.X)
        self.targets = network._engine.apart(self.targets)
        if self.weight is not None:
            self.weight = network._engine.apart(self.weight)

    def take(self, rows):
        """The samples of those numbers."""
        return Samples(
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
        """What to learn as a matrix, classes as rows of a one and zeros."""
        return np.eye(n_outputs, dtype=bool)[self.labels] if self.labels.size else self.targets

    def smooth(self, network, amount):
        """These with an amount of the targets' weight spread over all classes."""
        if amount == 0:
            return self
        classes, targets = network.layout.sizes[-1], (self.labels, self.targets)
        labels, values = regularizers.smooth(targets, classes, network._engine.loss_name, amount)
        return Samples(self.X, labels, values, self.weight)

    def total(self):
        """Σ w."""
        return float(len(self) if self.weight is None else self.weight.sum(dtype=np.float64))

    def data(self, dtype):
        """All of it as the backends take it, X made dense."""
        weight = np.empty(0) if self.weight is None else self.weight
        return Data(
            np.require(self.X.toarray() if self.sparse else self.X, dtype, ["C", "A"]),
            self.labels,
            np.require(self.targets, dtype, ["C", "A"]),
            np.require(weight, dtype, ["C", "A"]),
        )

    def chunk(self, multiple):
        """How many rows to make dense at a time: all, or a multiple of that number."""
        n, n_features = self.X.shape
        if not self.sparse:
            return n
        return min(n, max(1, DENSE_NUMBERS // (n_features * multiple)) * multiple)


def outputs(network, X):
    """The network's output for validated X, dense or in sparse rows."""
    if isinstance(X, np.ndarray):
        return network._engine.outputs(X)
    samples = Samples(X.tocsr())
    rows = samples.chunk(1)
    parts = [samples.take(slice(at, at + rows)) for at in range(0, len(samples), rows)]
    dtype = network.layout.dtype
    return np.concatenate([network._engine.outputs(part.data(dtype).X) for part in parts])


def report_as_scikit_learn(network, exactly=False):
    """Let the network report scikit-learn's losses, of which its gradients are not derivatives.

    That of a probability p is -ln p with p at least the machine epsilon, or if `exactly` just
    -ln p, and the squared error is averaged over the outputs, while its gradient is that of the
    sum.
    """
    engine = network._engine
    epsilon = float(np.finfo(engine.layout.dtype).eps)
    if engine.loss_name == "log_loss":
        engine.reporting = 0.0 if exactly else epsilon
    elif engine.loss_name == "cross_entropy":
        engine.reporting = 0.0 if exactly else -math.log(epsilon)
    elif engine.loss_name == "squared_error":
        engine.reporting = 1 / engine.layout.sizes[-1]


class Epochs:
    """Mini-batch training that stops after every epoch, in orders that the caller draws.

    Parameters
    ----------
    network : Network
    samples : Samples
    stepping : Stepping
    batch_size : int
    rules : Regularizers
        Penalties that are divided by the sum of a batch's sample weights, and the like.
    threads : int or None
    seed : int
        Of dropout.
    """

    def __init__(self, network, samples, stepping, batch_size, rules, threads, seed):
        self.network, self.samples, self.stepping = network, samples, stepping
        self.rows = samples.chunk(batch_size)
        self.whole = self.rows == len(samples)
        dtype = network.layout.dtype
        data = (samples if self.whole else samples.take(slice(0, 0))).data(dtype)
        self.training = Training(
            network._engine,
            data,
            stepping,
            batch_size,
            rules,
            network._engine.team_size(threads, batch_size),
            memory=stepping.memory,
            seed=seed,
        )
        self.history = History()

    def run(self, order, rates=CONSTANT_RATE):
        """Train for an epoch, and return its loss: NaN or infinite if training diverged.

        Parameters
        ----------
        order : ndarray of shape (n,) or None
            The samples' numbers in the order of training; None for 0, 1, 2, ...
        rates : float64 array of shape (steps,) or (0,)
            The learning rate of each step; if empty, the optimiser's own.

        Raises
        ------
        KeyboardInterrupt
            The network is as the last step left it.
        """
        self.stepping.load()
        self.training.counters[...] = self.stepping.memory.counters  # of all threads
        try:
            if self.whole:
                n = len(self.samples)
                loss = self._part(NATURAL_ORDER if order is None else order.reshape(1, n), rates)
            else:
                loss = self._parts(order, rates)
        finally:
            self.stepping.note()
        self.history.loss.append(loss)
        if math.isfinite(loss):
            self.training.end_epoch(len(self.history.loss))
        return loss

    def _parts(self, order, rates):
        """An epoch over rows that are made dense some at a time."""
        n, total = len(self.samples), 0.0
        for start in range(0, n, self.rows):
            rows = slice(start, start + self.rows)
            part = self.samples.take(rows if order is None else order[rows])
            data = part.data(self.network.layout.dtype)
            self.training.take(data, self.training.batch_size)
            steps = -(-len(part) // self.training.batch_size)
            total += self._part(NATURAL_ORDER, rates[:steps]) * len(part)
            rates = rates[steps:]
        return total / n

    def _part(self, order, rates):
        history = History()
        try:
            self.training.run(order, 1, history, rates)
        except TrainingDiverged:
            return math.nan
        interrupts.check()
        if history.interrupted:
            raise KeyboardInterrupt
        return history.loss[0]


def minimize(network, samples, rules, alpha, *, tol, max_iter, max_fun):
    """Minimise scikit-learn's objective by L-BFGS; the network ends at the minimum.

    If an exception comes before, it ends where the last iteration left it.

    The objective is the mean loss over all samples plus α/2 Σ W² / Σ w; of the rules only those
    of frozen layers count.

    Returns
    -------
    scipy.optimize.OptimizeResult
    """
    import scipy.optimize

    objective = Objective(network, samples, alpha, rules.rules[1:, FROZEN])
    reached = objective.start()

    def note(x):
        nonlocal reached
        reached = x.copy()

    with interrupts.held():
        try:
            with interrupts.released():
                result = scipy.optimize.minimize(
                    objective,
                    reached,
                    method="L-BFGS-B",
                    jac=True,
                    callback=note,
                    options={"maxfun": max_fun, "maxiter": max_iter, "gtol": tol},
                )
            reached = result.x
        finally:
            objective.set(reached)
    return result


class Objective:
    """The objective and its gradient as functions of one vector: all weights, then all biases."""

    def __init__(self, network, samples, alpha, frozen):
        self.network, self.samples = network, samples
        layout = network.layout
        self.parameters = [*network.weights, *network.biases]
        self.gradient = layout.zeros(layout.n_parameters)
        weights, biases = views(layout.plan, self.gradient)
        self.gradients = [*weights, *biases]
        ends = np.cumsum([view.size for view in self.parameters]).tolist()
        self.slices = [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]
        self.n_weights = ends[len(weights) - 1]
        layers = zip(self.slices, [*frozen, *frozen], strict=True)
        self.frozen = [part for part, still in layers if still]
        self.total = samples.total()
        if self.total == 0:  # of weights of both signs; as scikit-learn says it
            raise ZeroDivisionError("Weights sum to zero, can't be normalized")
        self.penalty = alpha / self.total
        self.rows = samples.chunk(1)
        whole = self.rows == len(samples)
        self.parts = [(samples.data(layout.dtype), 1.0)] if whole else None

    def start(self):
        """Where the network is now."""
        return np.concatenate([np.ravel(view) for view in self.parameters], dtype=np.float64)

    def set(self, x):
        """Move the network to x."""
        for view, part in zip(self.parameters, self.slices, strict=True):
            view[...] = x[part].reshape(view.shape)

    def __call__(self, x):
        self.set(x)
        W = x[: self.n_weights]
        loss = self.penalty / 2 * float(W @ W)
        slope = np.zeros_like(x)
        slope[: self.n_weights] = self.penalty * W
        for data, share in self.parts or self._sparse_parts():
            loss += share * self.network._engine.loss_and_gradient(data, self.gradient)
            for part, gradient in zip(self.slices, self.gradients, strict=True):
                slope[part] += share * gradient.ravel()
        for part in self.frozen:
            slope[part] = 0
        return loss, slope

    def _sparse_parts(self):
        """Some rows at a time, made dense, with their share of the sample weights."""
        for start in range(0, len(self.samples), self.rows):
            part = self.samples.take(slice(start, start + self.rows))
            yield part.data(self.network.layout.dtype), part.total() / self.total

"""Trains one network on data in partitions, which are held by the workers of a Dask cluster.

The unit of work is the partition, never the worker: the result of a task depends only on its
partition, and sums are taken in the order of the partitions. So a training gives the same bits
for any number of workers. Dask recomputes results that were lost with a worker. The client keeps
the weights, so this never goes back further than the current round.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import dask
import dask.array
import numpy as np
from dask import delayed
from distributed import Client

from ..backends import numpy_
from ..basis import checks, interrupts
from ..basis.data import Data
from ..basis.layout import views
from ..basis.names import keywords
from ..engine.engine import NAMES, Engine
from ..network.network import Network, check_network
from ..rules.optimizers import optimizer_of
from ..rules.regularizers import regularizers_of
from ..training import control as control_
from ..training import fitting, sources
from ..training.history import History, TrainingDiverged
from ..training.run import NATURAL_ORDER, Memory, Training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..basis.annotations import Samples
    from ..rules.optimizers import Optimizer
    from ..training.callbacks import CallbackLike

# How many partial sums one task adds up.
FAN_IN = 8


@keywords
def fit(
    network: Network,
    X: Any,
    y: Any,
    *,
    client: Client,
    sample_weight: Any = None,
    optimizer: Optimizer | str | None = None,
    epochs: int = 20,
    batch_size: int | None = 1024,
    local_steps: int | None = None,
    partitions_at_once: int | None = None,
    shuffle: bool = True,
    validation_data: Samples | None = None,
    callbacks: Sequence[CallbackLike] = (),
    progress: bool = False,
) -> History:
    """Train a network on the partitions of Dask collections; the weights are changed in place.

    Training runs in rounds. In each round, the client sends the weights to the workers, they
    compute a result on every partition, and the client adds the results up.

    - Without `local_steps`, each partition p computes the gradient on its share of a batch. The
      client then takes one step of the optimiser with Σ_p W_p g_p / Σ_p W_p, where W_p is the
      sum of the sample weights and g_p the gradient of the mean loss. `Network.fit` does the same
      on these batches.
    - With `local_steps`, each partition trains on its own batches, starting from the same
      weights. Then the weights and the optimiser's state, including its step counts, are averaged
      with the same weighting.

    The result depends on the partitions. Down to the last bit, it depends neither on the number
    of workers nor on workers that die during training.

    Parameters
    ----------
    network : Network
        Its generator gives the seed of the shuffling.
    X : dask.array.Array of shape (n_samples, n_0), or dask.dataframe.DataFrame
        Partitioned by rows; lengths need not be known, and empty partitions are left out.
    y : dask.array.Array of shape (n_samples,) or (n_samples, n_m), or a Series or DataFrame
        Targets in the loss's form, see `Network`, in the same partitions as X.
    client : distributed.Client
        The client of the cluster.
    sample_weight : dask.array.Array of shape (n_samples,), or Series, optional
        Weights w ≥ 0, not all zero in any partition; in the same partitions.
    optimizer : Optimizer or str, default=Adam()
        The optimiser, or its name. Its state is reset in each call.
    epochs : int, default=20
        The number of passes through the data.
    batch_size : int or None, default=1024
        Samples per step. Without `local_steps`, each partition has a share in proportion to its
        length; because of rounding, a batch can differ by a few samples. None takes all rows at
        once. With `local_steps`, each step uses samples of one partition.
    local_steps : int, optional
        The maximum number of steps on a partition between two averages of the weights.
    partitions_at_once : int, optional
        How many partitions to hold in the workers' memory. In each epoch, one group of this
        size after another is read, trained on and dropped. None holds all partitions until the
        end.
    shuffle : bool, default=True
        Draw a new order of each partition's rows for every epoch, and new groups.
    validation_data : (X, y) or (X, y, sample_weight), optional
        Arrays on which to compute the loss after each epoch, on the client.
    callbacks : list of Callback, default=()
        Called before, between and after the epochs, see `Callback`.
    progress : bool, default=False
        Show a progress bar.

    Returns
    -------
    History
        As from `Network.fit`. After Ctrl-C the network has the weights of the last finished round.

    Raises
    ------
    TypeError, ValueError
        For bad arguments or data; for bad data, the message names the partition. The network is
        unchanged, unless `partitions_at_once` delayed reading the partition.
    TrainingDiverged
        If loss or weights stop being finite, as in `Network.fit`.

    References
    ----------
    Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019, for `local_steps`.

    Examples
    --------
    >>> import dask.array, fastbp, numpy as np
    >>> from distributed import Client
    >>> from fastbp import distributed
    >>> X = dask.array.from_array(np.linspace(-1, 1, 100).reshape(-1, 1), chunks=(50, 1))
    >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    >>> with Client(n_workers=1, processes=False, dashboard_address=None) as client:
    ...     history = distributed.fit(net, X, 3 * X[:, 0], client=client, epochs=2)
    >>> len(history.loss)
    2
    """
    if not isinstance(client, Client) or client.asynchronous:
        raise TypeError(f"client must be a distributed.Client, not asynchronous, got {client!r}")
    check_network("network", network)
    network._engine.check_one_loss("fastbp.distributed.fit", "fit_batches takes portions of data")
    network._engine.check_finite()
    given = zip(NAMES, (X, y, sample_weight), strict=True)
    pieces = _pieces({name: data for name, data in given if data is not None})
    if batch_size is not None:
        batch_size = checks.whole_number("batch_size", batch_size)
    if local_steps is not None:
        local_steps = checks.whole_number("local_steps", local_steps)
    if partitions_at_once is not None:
        partitions_at_once = checks.whole_number("partitions_at_once", partitions_at_once)
    optimizer = optimizer_of(optimizer)
    whole = batch_size is local_steps is partitions_at_once is None
    if optimizer.full_batch_only and not whole:
        raise ValueError(
            f"{type(optimizer).__name__} works on the full batch only; pass batch_size=None, and "
            "neither local_steps nor partitions_at_once"
        )
    asked = control_.control(
        network,
        epochs=epochs,
        optimizer=optimizer,
        validation=sources.validation(network._engine, validation_data),
        callbacks=callbacks,
        progress=progress,
    )
    shuffle = checks.flag("shuffle", shuffle)
    partitions = Partitions(
        network._engine, client, pieces, batch_size, local_steps, partitions_at_once, shuffle
    )
    regularizers = regularizers_of(len(network.weights))
    return fitting.fit(network, partitions, asked, regularizers, threads=1)


def _pieces(collections):
    """For each partition, the Delayed pieces of X, y and perhaps sample weights."""
    columns = []
    for name, data in collections.items():
        if isinstance(data, dask.array.Array):
            if data.ndim == 0 or max(data.numblocks[1:], default=1) > 1:
                raise ValueError(
                    f"{name} must be in chunks of whole rows, got chunks {data.chunks}; "
                    f"pass {name}.rechunk({{1: -1}})"
                )
            columns.append(data.to_delayed().ravel().tolist())
        elif dask.is_dask_collection(data) and hasattr(data, "dtypes"):
            columns.append(data.to_delayed())
        else:
            raise TypeError(
                f"{name} must be a Dask array or dataframe, got {type(data).__name__}; "
                "dask.array.from_array makes one of an array"
            )
    for name, column in zip(collections, columns, strict=True):
        if len(column) != len(columns[0]):
            raise ValueError(
                f"X has {len(columns[0])} partitions, but {name} has {len(column)}; "
                "partition both alike, with rechunk or repartition"
            )
    return list(zip(*columns, strict=True))


class Partitions:
    """Samples on the workers, as a source for `fitting.fit`.

    The parameters are the checked arguments of `fit`; `pieces` has a tuple for each partition.
    Without `at_once`, all partitions are read immediately.
    """

    data = None
    steps = None
    must_stay_finite = True
    batch_size = 1  # for the client's workspace; the workers have their own
    full_batch = True  # `fit` below has already checked optimisers that need the full batch

    def __init__(self, engine, client, pieces, batch_size, local_steps, at_once, shuffle):
        self._engine, self._client, self._pieces = engine, client, pieces
        self._size, self._local_steps, self._shuffle = batch_size, local_steps, shuffle
        self._at_once = at_once or len(pieces)
        # Each task gets the current parameters, so a single zero is a sufficient placeholder.
        bare = _with_parameters(engine, np.zeros(1, engine.layout.dtype))
        self._bare = client.compute(_call(_as_it_is, bare))
        self._held = None
        if at_once is None:
            self._held = self._read(range(len(pieces)))
            if not self._held:
                raise ValueError("X has no rows in any partition; at least one sample is needed")
        self._seed = int(engine.random.integers(2**63)) if shuffle else 0

    def epochs_a_call(self, scheduled):
        return 1

    def run(self, training, epochs, history, rates):
        """Train for an epoch."""
        numbers = np.arange(len(self._pieces))
        groups = range(0, len(numbers), self._at_once)
        if self._shuffle and len(groups) > 1:
            np.random.default_rng([self._seed, len(history.loss)]).shuffle(numbers)
        weight = loss = 0.0
        for start in groups:
            group = np.sort(numbers[start : start + self._at_once]).tolist()
            for of_round in self._rounds(training, group, history):
                interrupts.check()
                weight, loss = weight + of_round[0], loss + of_round[1]
        if not weight:
            raise ValueError(
                "X has no rows in any partition, or all have the weight 0; at least one sample "
                "with a weight is needed"
            )
        history.loss.append(loss / weight)

    def _read(self, group):
        """The non-empty partitions of a group of numbers, held by the workers."""
        data = [_call(_checked, self._bare, i, *self._pieces[i]) for i in group]
        futures = self._client.compute([*data, *[_call(_length, part) for part in data]])
        held, lengths = futures[: len(data)], futures[len(data) :]
        try:
            with interrupts.released():
                known = self._client.gather(lengths)
        except Exception as error:
            pairs = zip(group, lengths, strict=True)
            failed = [i for i, future in pairs if future.status == "error"]
            error.add_note(f"Partitions that could not be read: {failed}")
            raise
        parts = zip(group, held, known, strict=True)
        return [Held(i, future, n) for i, future, n in parts if n]

    def _rounds(self, training, group, history):
        """Train on partitions; yield Σ w and Σ w e of each round."""
        held = self._held or self._read(group)
        orders = [None] * len(held)
        if self._shuffle:
            seeds = self._seed, len(history.loss)
            orders = [_call(_order, part.data, *seeds, part.number) for part in held]
            orders = self._client.compute(orders)
        lengths = np.array([part.length for part in held], dtype=np.int64)
        if self._local_steps is None:
            together = lengths.sum()
            rounds = -(-together // (self._size or max(together, 1)))
        else:
            longest = lengths.max(initial=0)
            rounds = -(-longest // (self._local_steps * (self._size or max(longest, 1))))
        # Partitions take their surplus rows in different rounds, so that batches stay even.
        offsets = (np.cumsum(lengths) - lengths) % max(rounds, 1)
        ends = np.zeros_like(lengths)
        for i in range(1, rounds + 1):
            starts, ends = ends, (i * lengths + offsets) // rounds
            ranges = np.column_stack([starts, ends]).tolist()
            shares = [
                (part.data, order, *rows)
                for part, order, rows in zip(held, orders, ranges, strict=True)
                if rows[0] < rows[1]
            ]
            if shares:  # a few rows can leave some of many rounds empty
                yield self._round(training, shares, history)

    def _round(self, training, shares, history):
        """Take one step, or average weights once, from shares of partitions; return Σ w, Σ w e."""
        engine, memory = self._engine, training.memory
        if self._local_steps is None:
            sent = _call(_as_it_is, engine.parameters)
            parts = [_call(_gradient, self._bare, sent, *share) for share in shares]
        else:
            sent = _call(_as_it_is, np.stack([engine.parameters, *memory.state]))
            how = training.optimizer, memory.counters.tolist(), self._size
            parts = [_call(_train, self._bare, sent, *share, *how) for share in shares]
        while len(parts) > FAN_IN:
            parts = [_call(_sum, *parts[i : i + FAN_IN]) for i in range(0, len(parts), FAN_IN)]
        try:
            # The weights are part of the graph, so that Dask can send them again.
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
                future = self._client.compute(_call(_sum, *parts))
            with interrupts.released():
                numbers, facts = future.result()
        except TrainingDiverged as error:
            raise TrainingDiverged(len(history.loss) + 1, error._what, history) from None
        weight, loss, *counters = facts.tolist()
        if not math.isfinite(loss):
            what = f"the loss of a batch is {loss / (weight or 1):g}"
            raise TrainingDiverged(len(history.loss) + 1, what, history)
        with np.errstate(all="ignore"):
            if (
                self._local_steps is None
            ):  # without weight a step with gradient 0, as in Network.fit
                np.divide(numbers, weight or 1, out=training.gradient, casting="same_kind")
                _step(training)
            elif weight:
                average = (numbers / weight).astype(numbers.dtype)
                memory.state[...] = average[1:]
                memory.counters[...] = np.array(counters) / weight
                engine.parameters[...] = average[0]
        if not engine.finite():
            raise TrainingDiverged(len(history.loss) + 1, "the weights are not finite", history)
        return weight, loss


def _step(training):
    """Take one step with the gradient of `training`.

    The reference backend does it; its time is small compared with a round. The weights change
    all at once, so that Ctrl-C cannot leave a partial step.
    """
    engine, memory = training.engine, training.memory
    plan = engine.layout.plan
    parameters = engine.parameters.copy()
    numpy_.step(
        training.optimizer.code,
        memory.hyper,
        float(memory.hyper[0]),
        memory.counters,
        (views(plan, parameters).layers, views(plan, training.gradient).layers),
        [views(plan, slot).layers for slot in memory.state],
        range(len(plan) - 1),
    )
    engine.parameters[...] = parameters


class Held(NamedTuple):
    """A partition that the workers hold."""

    number: int
    data: object  # a future of basis.data.Data
    length: int


class Sums(NamedTuple):
    """The results of partitions, in a form that can be summed.

    Attributes
    ----------
    numbers : real array
        W times the gradient, or times weights and state, laid out like the parameters.
    facts : float64 array
        W = Σ w, Σ w e and, if there is a state, W times its counters.
    """

    numbers: np.ndarray
    facts: np.ndarray


def _call(function, *arguments):
    """Return a task with a new key, so that Dask never reuses an earlier result."""
    return delayed(function, pure=False, traverse=False)(*arguments)


# The functions below run on the workers. The client checks for numbers that are not finite.


def _as_it_is(value):
    return value


def _with_parameters(engine, parameters):
    """Return a copy of the engine with other parameters; it shares all else, as a compiled loss."""
    other = object.__new__(Engine)
    vars(other).update(vars(engine), parameters=parameters)
    return other


def _checked(engine, number, X, y, sample_weight=None):
    """Return a partition as Data; None if it is empty."""
    if len(X) == len(y) == 0:
        return None
    names = [f"{name} of partition {number}" for name in NAMES]
    return engine.data(X, y, sample_weight, names=names, part=True)


def _length(data):
    return 0 if data is None else len(data.X)


def _order(data, *seeds):
    return np.random.default_rng(seeds).permutation(len(data.X))


def _share(data, order, start, stop):
    """Return some rows of a partition, and their Σ w."""
    rows = slice(start, stop) if order is None else order[start:stop]
    share = Data(*(array[rows] if len(array) else array for array in data))
    weight = share.sample_weight
    return share, float(weight.sum(dtype=np.float64)) if weight.size else float(len(share.X))


@np.errstate(all="ignore")
def _gradient(engine, parameters, data, order, start, stop):
    """Return W times loss and gradient on some rows of a partition."""
    share, weight = _share(data, order, start, stop)
    engine = _with_parameters(engine, np.array(parameters))
    gradient = engine.layout.zeros(engine.layout.n_parameters)
    loss = engine.loss_and_gradient(share, gradient)
    gradient *= weight
    return Sums(gradient, np.array([weight, weight * loss]))


@np.errstate(all="ignore")
def _train(engine, numbers, data, order, start, stop, optimizer, counters, batch_size):
    """Return W times weights, state and loss after training on some rows of a partition."""
    share, weight = _share(data, order, start, stop)
    engine = _with_parameters(engine, np.array(numbers[0]))
    memory = Memory(np.array(optimizer.hyper()), np.array(counters), np.array(numbers[1:]))
    regularizers = regularizers_of(len(engine.weights))
    rows = min(batch_size or len(share.X), len(share.X))
    training = Training(engine, share, optimizer, rows, regularizers, 1, memory)
    history = History()
    training.run(NATURAL_ORDER, 1, history, memory.hyper[:1])
    facts = np.array([1.0, *history.loss, *memory.counters])
    return Sums(weight * np.stack([engine.parameters, *memory.state]), weight * facts)


@np.errstate(all="ignore")
def _sum(first, *others):
    """Add results in the given order."""
    numbers, facts = first.numbers.copy(), first.facts.copy()
    for other in others:
        numbers += other.numbers
        facts += other.facts
    return Sums(numbers, facts)

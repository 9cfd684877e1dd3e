"""Training over Dask workers: `fastbp.distributed`.

The workers are real processes on the loopback interface.
"""

import os
import signal
import sys

import numpy as np
import pytest
from helpers import (
    OPTIMIZERS,
    SECONDS,
    copy_parameters,
    error,
    make_data,
    make_network,
    parameters,
)

import fastbp

pytest.importorskip("distributed")
import dask.array as da
from dask import delayed
from distributed import Client, Future, LocalCluster

from fastbp import distributed

pytestmark = pytest.mark.slow

SIZES, LOSS = [6, 12, 3], "cross_entropy"


def workers(n):
    return LocalCluster(
        n_workers=n,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=":0",
        memory_limit=None,
    )


@pytest.fixture(scope="module")
def client():
    with workers(2) as cluster, Client(cluster) as client:
        yield client


@pytest.fixture(scope="module")
def single():
    """A client of one worker. Not the default one, which collections use by themselves."""
    with workers(1) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


def partitioned(lengths, *arrays):
    """Arrays as Dask arrays with partitions of these lengths."""
    return [da.from_array(a, chunks=(tuple(lengths), *a.shape[1:])) for a in arrays]


def start(lengths, dtype="float64", **options):
    """A network, data, and the same data in partitions."""
    net = make_network(SIZES, LOSS, None, dtype, **options)
    X, y = make_data(LOSS, sum(lengths), 6, 3)
    return net, X, y, *partitioned(lengths, X, y)


def copied(net):
    other = make_network(net.layout.sizes, net.loss, net.backend, net.layout.dtype)
    copy_parameters(net, other)
    return other


# Against training on one machine.


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_full_batch_is_that_of_fit(client, name):
    """Of twenty partitions, so that sums are added up in two stages."""
    lengths = [5, 1, 9] + 17 * [3]
    net, X, y, X_parts, y_parts = start(lengths)
    w = np.random.default_rng(0).uniform(0.1, 2, len(X))
    ref = copied(net)
    options = {"optimizer": OPTIMIZERS[name], "epochs": 3, "batch_size": None}
    (w_parts,) = partitioned(lengths, w)
    history = distributed.fit(
        net, X_parts, y_parts, client=client, sample_weight=w_parts, **options
    )
    expected = ref.fit(X, y, sample_weight=w, **options)
    assert error(parameters(net), parameters(ref)) < 1e-12
    assert history.loss == pytest.approx(expected.loss, rel=1e-12)


@pytest.mark.parametrize("options", [{"batch_size": None}, {"partitions_at_once": 1}])
def test_partitions_without_weight(client, options):
    """That of fit on all rows, or with a partition a step: that of fit_batches."""
    net, X, y, X_parts, y_parts = start([10, 10, 10])
    w = np.repeat([1.0, 0.0, 2.0], 10)
    X[w == 0] = 1e300
    X_parts, y_parts, w_parts = partitioned([10, 10, 10], X, y, w)
    ref = copied(net)
    options = {**options, "epochs": 2, "optimizer": OPTIMIZERS["momentum"]}
    distributed.fit(
        net, X_parts, y_parts, client=client, sample_weight=w_parts, shuffle=False, **options
    )
    size = 10 if options.pop("partitions_at_once", None) else 30
    ref.fit(X, y, sample_weight=w, shuffle=False, **{**options, "batch_size": size})
    assert error(parameters(net), parameters(ref)) < 1e-12


def test_batches_are_shares_of_the_partitions(client):
    net, X, y, X_parts, y_parts = start([30, 60, 30])
    ref = copied(net)
    distributed.fit(net, X_parts, y_parts, client=client, epochs=2, batch_size=40, shuffle=False)
    numbers = [np.arange(30), np.arange(30, 90), np.arange(90, 120)]
    for _ in range(2):
        for third in range(3):
            batch = np.concatenate([np.split(rows, 3)[third] for rows in numbers])
            ref.fit_step(X[batch], y[batch])
    assert error(parameters(net), parameters(ref)) < 1e-12


def test_local_steps_against_numpy(client):
    """Momentum on a linear regression, written down here."""
    lengths, k, size, rate, mu = [12, 8], 2, 3, 0.05, 0.8
    X, y = make_data("squared_error", 20, 4, 1)
    net = make_network([4, 1], "squared_error", None)
    ones = np.column_stack([X, np.ones(20)])
    theta, v = np.append(net.weights[0].ravel(), net.biases[0]), np.zeros(5)
    distributed.fit(
        net,
        *partitioned(lengths, X, y),
        client=client,
        epochs=3,
        batch_size=size,
        local_steps=k,
        optimizer=fastbp.SGD(rate, momentum=mu),
        shuffle=False,
    )
    for _ in range(3):
        for i in range(2):  # rounds of at most 6 rows a partition
            ends = []
            for first, n in ((0, 12), (12, 8)):
                rows = np.arange(first + i * n // 2, first + (i + 1) * n // 2)
                own, own_v = theta.copy(), v.copy()
                for batch in (rows[:3], rows[3:]):
                    difference = ones[batch] @ own - y[batch, 0]
                    own_v = mu * own_v - rate * ones[batch].T @ difference / len(batch)
                    own = own + own_v
                ends.append((len(rows), own, own_v))
            theta = sum(n * own for n, own, _ in ends) / 10
            v = sum(n * own_v for n, _, own_v in ends) / 10
    assert error(np.append(net.weights[0].ravel(), net.biases[0]), theta) < 1e-12


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"rprop"}))
def test_local_steps_keep_the_state(client, name):
    """Averages of equal partitions are those partitions, as if one had trained on."""
    net, X, y, *_ = start([24])
    ref = copied(net)
    twice = partitioned([24, 24], np.tile(X, (2, 1)), np.tile(y, 2))
    options = {"optimizer": OPTIMIZERS[name], "epochs": 2, "batch_size": 4, "shuffle": False}
    distributed.fit(net, *twice, client=client, local_steps=2, **options)
    ref.fit(X, y, **options)
    assert error(parameters(net), parameters(ref)) < 1e-12


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 13},
        {"batch_size": 1},
        {"batch_size": 4, "local_steps": 3},
        {"batch_size": None, "local_steps": 1},
        {"batch_size": 7, "partitions_at_once": 2},
    ],
)
def test_every_row_counts_once(client, options):
    """With weights that hardly move, an epoch's loss is that of all data."""
    lengths = [11, 0, 1, 20, 3, 2]
    net, X, y, X_parts, y_parts = start(lengths)
    expected = net.loss_and_gradient(X, y)[0]
    history = distributed.fit(
        net, X_parts, y_parts, client=client, epochs=1, optimizer=fastbp.SGD(1e-25), **options
    )
    assert history.loss == pytest.approx([expected], rel=1e-12)


def test_batches_stay_even(client):
    """Of partitions with one row each, not all give it to the same step."""
    net, X, y, X_parts, y_parts = start(6 * [1])
    ref = copied(net)
    distributed.fit(net, X_parts, y_parts, client=client, epochs=1, batch_size=1, shuffle=False)
    ref.fit(X[::-1], y[::-1], epochs=1, batch_size=1, shuffle=False)
    assert error(parameters(net), parameters(ref)) < 1e-12


def test_shuffle(client):
    trained = []
    for shuffle, seed in ((False, 0), (True, 0), (True, 0), (True, 1)):
        net, _, _, X, y = start([20, 20], seed=seed)
        copy_parameters(start([20])[0], net)
        distributed.fit(net, X, y, client=client, epochs=2, batch_size=8, shuffle=shuffle)
        trained.append(parameters(net).tobytes())
    plain, first, again, other = trained
    assert first == again
    assert len({plain, first, other}) == 3


# The same bits, whatever happens to the workers.

SCHEDULES = [
    {"batch_size": 30},
    {"batch_size": 5, "local_steps": 3},
    {"batch_size": 20, "partitions_at_once": 2},
]
LENGTHS = [20, 7, 31, 12, 10]


def trained_bits(client, options, callbacks=()):
    net, _, _, X, y = start(LENGTHS, "float32")
    distributed.fit(net, X, y, client=client, epochs=3, callbacks=callbacks, **options)
    return parameters(net).tobytes()


@pytest.fixture(scope="module")
def bits(client):
    """What two workers make of the schedules."""
    return [trained_bits(client, options) for options in SCHEDULES]


def test_bits_do_not_depend_on_the_number_of_workers(bits, single):
    assert [trained_bits(single, options) for options in SCHEDULES] == bits
    with workers(3) as cluster, Client(cluster, set_as_default=False) as other:
        assert len(other.scheduler_info()["workers"]) == 3
        assert [trained_bits(other, options) for options in SCHEDULES] == bits


class Killer(fastbp.Callback):
    """Kills the worker that holds most, in the middle of the round after the first epoch."""

    def __init__(self, client):
        self.client = client

    def epoch(self, network, history):
        if len(history.loss) == 1:
            held = {address: len(keys) for address, keys in self.client.has_what().items()}
            most = max(held, key=held.get)
            assert held[most] > 0  # The scheduler may not have heard of all of them yet.
            self.killed = self.client.run(os.getpid)[most]
            self.client.compute = self._compute

    def _compute(self, tasks):
        """Kill once the tasks of a round have been sent."""
        future = type(self.client).compute(self.client, tasks)
        if not isinstance(tasks, list):
            del self.client.compute
            os.kill(self.killed, signal.SIGKILL)
        return future


@pytest.mark.parametrize("i", range(len(SCHEDULES)))
def test_a_killed_worker_changes_nothing(client, bits, i):
    client.wait_for_workers(2, timeout=SECONDS)
    killer = Killer(client)
    assert trained_bits(client, SCHEDULES[i], [killer]) == bits[i]
    assert killer.killed not in client.run(os.getpid).values()


# Memory.


def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024


def made(number, rows, width):
    return np.random.default_rng(number).standard_normal((rows, width), np.float32)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_peak_memory(single):
    """Of a worker: a few partitions, not the 24 that go through it in each epoch."""
    rows, width = 20_000, 64
    parts = [delayed(made)(i, rows, width) for i in range(24)]
    X = da.concatenate([da.from_delayed(part, (rows, width), np.float32) for part in parts])
    net = make_network([width, 4, 1], "squared_error", None, "float32")
    options = {"client": single, "batch_size": 4000, "partitions_at_once": 2}
    distributed.fit(net, X[:10], X[:10, 0], epochs=1, **options)
    before = max(single.run(peak).values())
    distributed.fit(net, X, X[:, 0], epochs=1, **options)
    taken = (max(single.run(peak).values()) - before) / (rows * width * 4)
    assert taken < 4


# Collections.


def test_frames_are_as_arrays(client):
    """Lengths are unknown after filtering, and one partition is empty."""
    pd, dd = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    net, X, y, *_ = start([40])
    names = [f"x{j}" for j in range(6)]
    frame = pd.DataFrame(X, columns=names).assign(y=y, kept=np.arange(40) // 10 != 2)
    frames = dd.from_pandas(frame, npartitions=4)
    frames = frames[frames.kept]
    other = copied(net)
    other._engine.random = np.random.default_rng(5)
    net._engine.random = np.random.default_rng(5)
    options = {"client": client, "epochs": 2, "batch_size": 10}
    distributed.fit(net, frames[names], frames["y"], **options)
    kept = np.r_[0:20, 30:40]
    parts = partitioned([10, 10, 0, 10], X[kept], y[kept])
    distributed.fit(other, *parts, **options)
    assert np.array_equal(parameters(net), parameters(other))

    X_parts, y_parts = partitioned([10, 10, 10, 10], X, y)
    known = da.from_array(frame.kept.to_numpy(), chunks=10)
    third = copied(net)
    distributed.fit(third, X_parts[known], y_parts[known], **options)
    assert np.isfinite(parameters(third)).all()
    assert np.isnan(X_parts[known].chunks[0]).all()


def failing():
    raise OSError("the disk is gone")


@pytest.mark.parametrize("at_once", [None, 1])
def test_bad_partitions_name_themselves(client, at_once):
    net, X, y, X_parts, y_parts = start([10, 10, 10])
    before = parameters(net)
    bad = X.copy()
    bad[25, 3] = np.nan
    (holed,) = partitioned([10, 10, 10], bad)
    (labels,) = partitioned([10, 10, 10], np.where(np.arange(30) == 15, 3, y))
    ones, gone = (
        da.from_delayed(part, (10, 6), float)
        for part in (delayed(np.ones)((10, 5)), delayed(failing)())
    )
    narrow, lost = (da.concatenate([X_parts[:20], part]) for part in (ones, gone))
    cases = [
        (holed, y_parts, "X of partition 2 has NaN or infinite values"),
        (narrow, y_parts, "X of partition 2 has 5 features, but .* input layer has 6"),
        (X_parts, labels, "labels in y of partition 1 must be in 0..2"),
        (X_parts, y_parts.rechunk(((10, 15, 5),)), "y of partition [12] must have one entry"),
    ]
    for X_given, y_given, message in cases:
        with pytest.raises(ValueError, match=message):
            distributed.fit(
                net, X_given, y_given, client=client, partitions_at_once=at_once, shuffle=False
            )
    with pytest.raises(OSError, match="the disk is gone") as caught:
        distributed.fit(net, lost, y_parts, client=client)
    assert caught.value.__notes__ == ["Partitions that could not be read: [2]"]
    if at_once is None:
        assert np.array_equal(parameters(net), before)


def test_bad_arguments(client):
    net, X, y, X_parts, y_parts = start([10, 10, 10])
    cases = [
        (TypeError, "X must be a Dask array or dataframe, got ndarray", {"X": X}),
        (TypeError, "y must be a Dask array or dataframe", {"y": y.tolist()}),
        (TypeError, "client must be a distributed.Client", {"client": "127.0.0.1:8786"}),
        (ValueError, "X has 3 partitions, but y has 2", {"y": y_parts.rechunk(15)}),
        (ValueError, "chunks of whole rows.*rechunk", {"X": X_parts.rechunk((10, 3))}),
        (ValueError, "no rows in any partition", {"X": X_parts[:0], "y": y_parts[:0]}),
        (ValueError, "all have the weight 0", {"sample_weight": da.zeros(30, chunks=10)}),
        (ValueError, "batch_size must be at least 1", {"batch_size": 0}),
        (ValueError, "local_steps must be at least 1", {"local_steps": 0}),
        (ValueError, "partitions_at_once must be at least 1", {"partitions_at_once": 0}),
        (TypeError, "shuffle must be True or False", {"shuffle": 1}),
        (ValueError, "epochs must be at least 1", {"epochs": 0}),
        (ValueError, "Rprop works on the full batch only", {"optimizer": fastbp.Rprop()}),
        (
            ValueError,
            "neither local_steps nor",
            {"optimizer": fastbp.Rprop(), "batch_size": None, "local_steps": 1},
        ),
        (
            ValueError,
            "sample_weight of partition . must not be negative",
            {"sample_weight": da.full(30, -1, chunks=10)},
        ),
        (
            ValueError,
            "needs a network with a single loss",
            {"network": fastbp.Network([6, 3], loss=[("log_loss", 1), ("poisson", 2)])},
        ),
    ]
    before = parameters(net)
    given = {"network": net, "X": X_parts, "y": y_parts, "client": client}
    for kind, message, change in cases:
        with pytest.raises(kind, match=message):
            distributed.fit(**given | change)
    with pytest.raises(ValueError, match="no rows in any partition"):
        distributed.fit(net, X_parts[:0], y_parts[:0], client=client, partitions_at_once=1)
    assert np.array_equal(parameters(net), before)


def own_loss(h, y):
    if len(h) == 10:  # of a partition, that is, and not a first try
        raise ZeroDivisionError("of the user's own")
    return ((h - y) ** 2).sum(axis=1), 2 * (h - y)


def test_errors_of_custom_losses(client):
    net = fastbp.Network([2, 1], loss=own_loss, seed=0)
    X, y = partitioned([9, 9], *make_data("squared_error", 18, 2, 1))
    distributed.fit(net, X, y, client=client, epochs=1, batch_size=None)
    X, y = partitioned([10, 9], *make_data("squared_error", 19, 2, 1))
    with pytest.raises(ZeroDivisionError, match="of the user's own"):
        distributed.fit(net, X, y, client=client, epochs=1, batch_size=None)


# How it ends.


@pytest.mark.parametrize("local_steps", [None, 2])
def test_divergence(client, local_steps):
    X, y = partitioned([20, 20], *make_data("squared_error", 40, 6, 3))
    net = make_network(SIZES, "squared_error", None, "float32")
    with pytest.raises(fastbp.TrainingDiverged, match="training diverged in epoch [2-9]") as caught:
        distributed.fit(
            net,
            X,
            y,
            client=client,
            local_steps=local_steps,
            batch_size=None,
            optimizer=fastbp.SGD(1e9),
        )
    assert caught.value.epoch == len(caught.value.history.loss) + 1


class Interrupter(fastbp.Callback):
    """Presses Ctrl-C in the wait for the round after the third epoch; notes all weights."""

    def __init__(self, monkeypatch):
        self.weights, self.monkeypatch = [], monkeypatch

    def epoch(self, network, history):
        self.weights.append(parameters(network))
        if len(history.loss) == 3:
            self.monkeypatch.setattr(Future, "result", self._result)

    def _result(self, **options):
        self.monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c(client, monkeypatch):
    net, _, _, X, y = start([10, 10])
    interrupter = Interrupter(monkeypatch)
    with pytest.warns(RuntimeWarning, match="interrupted after 3 of 10 epochs"):
        history = distributed.fit(
            net, X, y, client=client, batch_size=None, epochs=10, callbacks=[interrupter]
        )
    assert history.interrupted
    assert len(history.loss) == 3
    assert np.array_equal(parameters(net), interrupter.weights[-1])
    distributed.fit(net, X, y, client=client, epochs=1)  # all is usable


def test_validation_and_progress(client, capsys):
    net, X, y, X_parts, y_parts = start([10, 10])
    history = distributed.fit(
        net, X_parts, y_parts, client=client, epochs=2, validation_data=(X, y), progress=True
    )
    assert history.validation_loss[-1] == net.loss_and_gradient(X, y)[0]
    assert "2/2" in capsys.readouterr().err

"""fit_many: each network as if it were fitted alone, whatever happens to the others."""

import copy
import os
import signal
import tracemalloc

import numpy as np
import pytest
from many_helpers import alone, assert_same, networks

import fastbp
from fastbp.rules.optimizers import SGD, Adam, AdamW, RMSprop

N = 150


@pytest.fixture
def data(rng):
    """Samples of 6 features, and labels of 3 classes."""
    return rng.normal(size=(N, 6)), rng.integers(0, 3, N)


@pytest.mark.parametrize("threads", [1, 3])
def test_same_bits_as_alone(backend, data, threads):
    nets = networks(backend)
    options = {
        "optimizer": [Adam(0.01), SGD(0.1, momentum=0.9), AdamW(0.01), RMSprop(0.01)],
        "epochs": [3, 1, 4, 2],
        "batch_size": [16, 32, None, 7],
        "schedule": [None, fastbp.StepDecay(2), fastbp.CosineDecay(), None],
        "dropout": [0.0, 0.2, 0.0, 0.5],
        "l2": 0.01,
        "average": [None, None, fastbp.EMA(0.9), fastbp.SWA(1)],
    }
    expected = alone(nets, *data, **options)
    histories = fastbp.fit_many(nets, *data, threads=threads, **options)
    assert_same(nets, histories, expected)


def test_rows_are_as_a_copy_of_those(backend, data, rng):
    nets = networks(backend)
    mask = rng.random(N) < 0.5
    rows = [rng.integers(0, N, N), mask, None, np.arange(10)]
    options = {
        "epochs": 3,
        "shuffle": [True, False, True, False],
        "batch_size": [16, 16, 32, None],
        "sample_weight": rng.random(N),
    }
    expected = alone(nets, *data, rows, **options)
    assert_same(nets, fastbp.fit_many(nets, *data, rows=rows, **options), expected)


def test_balanced_are_the_rows_of_each(data, rng):
    nets = networks("numpy", 2)
    rows = [np.flatnonzero(data[1] < 2)[:30], np.arange(100)]
    options = {"class_weight": "balanced", "epochs": 2}
    expected = alone(nets, *data, rows, **options)
    assert_same(nets, fastbp.fit_many(nets, *data, rows=rows, **options), expected)


def test_early_stopping_of_each(data, rng):
    nets = networks("numpy")
    held_out = (rng.normal(size=(40, 6)), rng.integers(0, 3, 40))
    options = {"epochs": 40, "patience": 2, "optimizer": Adam(0.05), "validation_data": held_out}
    expected = alone(nets, *data, **options)
    histories = fastbp.fit_many(nets, *data, **options)
    assert_same(nets, histories, expected)
    assert len({len(history.loss) for history in histories}) > 1  # they did stop on their own


def test_different_losses_share_the_data(data):
    X, y = data
    binary = np.minimum(y, 1)
    nets = [
        fastbp.Network([6, 4, 1], loss=loss, seed=0, backend="numpy")
        for loss in ("log_loss", "squared_error", "huber")
    ]
    expected = alone(nets, X, binary, epochs=2)
    assert_same(nets, fastbp.fit_many(nets, X, binary, epochs=2), expected)


def test_a_failure_leaves_the_others(backend, data):
    X, y = data
    nets = [
        fastbp.Network([6, 5, 1], loss="squared_error", seed=i, backend=backend) for i in range(3)
    ]
    rates = [SGD(0.01), SGD(1e20), SGD(0.02)]
    expected = [copy.deepcopy(net) for net in nets]
    for i in (0, 2):
        expected[i].fit(X, y, optimizer=rates[i], epochs=3)
    with pytest.raises(
        fastbp.SomeFailed, match="1 of 3 networks failed, network 1 first.*diverged"
    ) as e:
        fastbp.fit_many(nets, X, y, optimizer=rates, epochs=3)
    assert e.value.indices == [1]
    (error,) = e.value.exceptions
    assert isinstance(error, fastbp.TrainingDiverged)
    assert "in network 1" in error.__notes__
    assert [len(history.loss) for history in e.value.histories] == [3, len(error.history.loss), 3]
    for i in (0, 2):
        np.testing.assert_array_equal(nets[i]._engine.parameters, expected[i]._engine.parameters)


def test_failures_can_be_picked_by_kind(data):
    def bad(network, history):
        raise RuntimeError("no")

    callback = fastbp.Callback()
    callback.epoch = bad
    nets = networks("numpy", 3)
    options = {"callbacks": [[], [callback], []], "epochs": 1}
    seen = []
    try:
        fastbp.fit_many(nets, *data, optimizer=[SGD(1e30), SGD(0.1), SGD(0.1)], **options)
    except* RuntimeError as group:
        seen += group.indices
    except* fastbp.TrainingDiverged as group:
        seen += group.indices
    assert sorted(seen) == [0, 1]


def test_many_more_networks_than_threads(compiled, data):
    nets = [
        fastbp.Network([6, 4, 3], loss="cross_entropy", seed=i, backend=compiled)
        for i in range(100)
    ]
    expected = alone(nets, *data, epochs=2)
    assert_same(nets, fastbp.fit_many(nets, *data, epochs=2, threads=4), expected)


def test_progress_counts_networks(data, capfd):
    fastbp.fit_many(networks("numpy"), *data, epochs=1, progress=True)
    assert "4/4" in capfd.readouterr().err


class Presses(fastbp.Callback):
    """Presses Ctrl-C after the first epoch."""

    def epoch(self, network, history):
        os.kill(os.getpid(), signal.SIGINT)


def test_interrupt_keeps_what_there_is(compiled, data):
    nets = networks(compiled, 3)
    expected = copy.deepcopy(nets[0])
    of_first = expected.fit(*data, epochs=3000)
    # The longest comes first; the next one presses, in the midst of its training.
    options = {"epochs": [3000, 1000, 500], "callbacks": [[], [Presses()], []], "threads": 1}
    with pytest.warns(RuntimeWarning, match="interrupted; 2 of 3 networks"):
        histories = fastbp.fit_many(nets, *data, **options)
    assert [history.interrupted for history in histories] == [False, True, True]
    assert histories[0] == of_first
    np.testing.assert_array_equal(nets[0]._engine.parameters, expected._engine.parameters)
    assert 1 <= len(histories[1].loss) < 1000
    assert histories[2].loss == []


BAD = {
    "no networks": ({"networks": []}, ValueError, "networks is empty"),
    "no network": ({"networks": [3]}, TypeError, r"networks\[0\] must be a fastbp.Network"),
    "unknown": ({"epoch": 3}, TypeError, "no argument 'epoch'"),
    "threads": ({"threads": 0}, ValueError, "threads"),
    "list too short": ({"epochs": [1]}, ValueError, "epochs is a list of 1, but there are 2"),
    "one's epochs": ({"epochs": [1, 0]}, ValueError, "network 1: epochs"),
    "callbacks": ({"callbacks": ()}, TypeError, "callbacks must be a list with one list"),
    "rows too high": ({"rows": [None, [N]]}, ValueError, "network 1: rows must be in 0..149"),
    "rows negative": ({"rows": [[-1], None]}, ValueError, "network 0: rows must be in"),
    "no rows": ({"rows": [[False] * N, None]}, ValueError, "network 0: rows is empty"),
    "short mask": ({"rows": [[True], None]}, ValueError, "mask of 1 entries"),
    "rows of floats": ({"rows": [[0.5], None]}, TypeError, "1-D array of row numbers"),
    "weights": (
        {"rows": [[0], None], "sample_weight": np.arange(N)},
        ValueError,
        "network 0: sample_weight is zero for all rows",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_change_nothing(data, case):
    given, error, message = BAD[case]
    nets = networks("numpy", 2)
    before = copy.deepcopy(nets)
    with pytest.raises(error, match=message):
        fastbp.fit_many(**{"networks": nets, "X": data[0], "y": data[1], **given})
    for net, other in zip(nets, before, strict=True):
        np.testing.assert_array_equal(net._engine.parameters, other._engine.parameters)


def test_the_same_network_twice(data):
    (net,) = networks("numpy", 1)
    with pytest.raises(ValueError, match=r"networks\[0\] and networks\[1\] are the same object"):
        fastbp.fit_many([net, net], *data)


def test_memory_is_bounded_by_the_networks(compiled):
    """More networks need no more than their jobs and histories: one workspace a thread."""
    X = np.zeros((2000, 64), np.float32)
    y = np.zeros(2000, int)

    def peak(count):
        nets = [
            fastbp.Network([64, 64, 10], loss="cross_entropy", seed=seed, backend=compiled)
            for seed in range(count)
        ]
        tracemalloc.start()
        fastbp.fit_many(nets, X, y, epochs=2, threads=2, validation_data=(X[:500], y[:500]))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, nets[0]._engine.parameters.nbytes

    few, parameters = peak(4)
    many, _ = peak(104)
    assert few > 2 * parameters  # the gradient and Adam's moments of two are in it
    assert (many - few) / 100 < 0.25 * parameters


def test_going_on_from_checkpoints(data, tmp_path):
    nets, whole = networks("numpy"), networks("numpy")
    expected = fastbp.fit_many(whole, *data, epochs=5)
    checkpoints = [fastbp.Checkpoint(tmp_path / str(i)) for i in range(4)]
    fastbp.fit_many(nets, *data, epochs=2, callbacks=[[each] for each in checkpoints])
    files = [each.newest() for each in checkpoints]
    again = networks("numpy")
    histories = fastbp.fit_many(again, *data, epochs=5, resume_from=files)
    assert_same(again, histories, (whole, expected))
    files[1], files[2] = files[2], None
    with pytest.raises(fastbp.SomeFailed, match="differs in layer_sizes") as caught:
        fastbp.fit_many(networks("numpy"), *data, epochs=5, resume_from=files)
    assert caught.value.indices == [1]

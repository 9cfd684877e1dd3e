"""Teams of threads: the same bits for any number, and how many there are."""

import contextlib
import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest
from helpers import gradient_of, make_data, make_network, parameters, use_threads

import fastbp
from fastbp.backends.numba_ import shares
from fastbp.basis import teams

pytestmark = pytest.mark.serial

MANY = 1 << 20  # weights

# Sizes, samples, batch size: rows and weight rows that do not divide evenly, fewer of them than
# threads, single outputs, groups of blocks and several blocks a batch, no hidden layer.
SHAPES = {
    "groups": ([4, 32, 16, 4], 9000, 9000),
    "groups in all batches but the last": ([4, 32, 16, 4], 5100, 2500),
    "groups, one output": ([9, 5, 1], 5000, 5000),
    "several blocks": ([40, 400, 250, 11], 1500, 1500),
    "ragged": ([17, 70, 33, 3], 500, 130),
    "one output": ([30, 65, 1], 200, 32),
    "batches of one": ([5, 20, 2], 40, 1),
    "no hidden layer": ([50, 1], 100, 17),
    "columns": ([20, 300, 1, 280, 150, 3], 37, 16),
}


def trained(backend, shape, threads, loss="squared_error", **options):
    sizes, n, batch_size = SHAPES[shape]
    net = make_network(sizes, loss, backend, "float32", activation="tanh", seed=0)
    X, y = make_data(loss, n, sizes[0], sizes[-1], seed=0)
    history = net.fit(X, y, batch_size=batch_size, epochs=2, threads=threads, **options)
    return parameters(net).tobytes(), tuple(history.loss)


REGULARIZED = {
    "l1": 1e-4,
    "l2": 1e-3,
    "dropout": 0.3,
    "frozen": [1],
    "average": fastbp.EMA(0.9),
    "optimizer": fastbp.AdamW(1e-3, weight_decay=1e-2),
}


@pytest.mark.parametrize("clip_norm", [None, 0.1])
def test_columns_change_no_bit(compiled, clip_norm):
    """With few rows in a batch, threads divide the columns of the layers, too."""
    sizes, _, batch_size = SHAPES["columns"]
    split = [
        shares.column_parts.py_func(-(-batch_size // 16), -(-n // 64), 4) > 1 for n in sizes[1:]
    ]
    assert split == [True, False, True, True, False]
    one = trained(compiled, "columns", 1, clip_norm=clip_norm, **REGULARIZED)
    for threads in (2, 3, 4, 8):
        assert trained(compiled, "columns", threads, clip_norm=clip_norm, **REGULARIZED) == one


@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_threads_changes_no_bit(compiled, shape):
    weights = np.random.default_rng(0).uniform(0.5, 2, SHAPES[shape][1])
    for options in ({}, {"l2": 1e-3, "sample_weight": weights}):
        one = trained(compiled, shape, 1, **options)
        for threads in (2, 5):
            assert trained(compiled, shape, threads, **options) == one


def test_the_shapes_are_what_they_say():
    for shape, (sizes, n, batch_size) in SHAPES.items():
        _, groups = make_network(sizes, "squared_error", None, "float32").layout.partition(
            min(n, batch_size)
        )
        assert groups == 1 if shape == "several blocks" else (groups >= 8) == ("groups" in shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_threads_change_no_bit_of_gradients(compiled, shape, monkeypatch):
    sizes, n, _ = SHAPES[shape]
    net = make_network(sizes, "squared_error", compiled, "float32", activation="tanh", seed=0)
    X, y = make_data("squared_error", n, sizes[0], sizes[-1], seed=0)
    found = set()
    for threads in (1, 2, 5):
        with monkeypatch.context() as patch:
            sizes = use_threads(patch, threads)
            loss, gradient = net.loss_and_gradient(X, y)
            found.add((loss, *(array.tobytes() for array in (*gradient.weights, *gradient.biases))))
            engine = net._engine
            assert engine.loss_and_gradient(engine.data(X, y), np.empty(0, "float32")) == loss
        assert sizes == [threads, threads]
    assert len(found) == 1


def test_threads_take_part(compiled, monkeypatch):
    ranks = set()
    run = teams.run

    def watched(member, threads):
        def noted(rank):
            ranks.add((rank, threading.get_ident()))
            return member(rank)

        return run(noted, threads)

    monkeypatch.setattr(teams, "run", watched)
    trained(compiled, "ragged", 3)
    assert {rank for rank, _ in ranks} == {0, 1, 2}
    assert len({ident for _, ident in ranks}) == 3


def test_diverging_ends_all_threads(compiled):
    net = make_network([8, 40, 2], "squared_error", compiled, "float32")
    X, y = make_data("squared_error", 300, 8, 2)
    before = threading.active_count()
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit(X, y, optimizer=fastbp.SGD(1e20), threads=3)
    assert threading.active_count() == before


def test_a_team_that_cannot_be_started_runs_nothing(monkeypatch):
    start, called, before = threading.Thread.start, [], threading.active_count()

    def failing(self):
        if threading.active_count() > before + 2:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(threading.Thread, "start", failing)
    with pytest.raises(RuntimeError, match="start"):
        teams.run(called.append, 8)
    assert called == []
    assert threading.active_count() == before


def test_ctrl_c_ends_no_part_of_a_team(compiled, monkeypatch):
    """Threads that have started wait for the first one's part; without it they would not end."""
    pressed = []

    @contextlib.contextmanager
    def pressing(threads):  # between the start of the others and the first one's part
        pressed.append(threads)
        signal.raise_signal(signal.SIGINT)
        yield

    net = make_network([20, 30, 4], "squared_error", compiled)
    data = make_data("squared_error", 300, 20, 4)
    net.predict(data[0])  # compiles, with a timer for the message in a thread of its own
    expected, before = gradient_of(net, *data), set(threading.enumerate())
    with monkeypatch.context() as patch:
        use_threads(patch, 3)
        patch.setattr(teams, "_occupying", pressing)
        for call in (net.loss_and_gradient, lambda X, y: net.predict(X)):
            with pytest.raises(KeyboardInterrupt):
                call(*data)
            assert set(threading.enumerate()) <= before
    assert pressed == [3, 3]
    assert np.array_equal(gradient_of(net, *data), expected)


def test_errors_of_members_are_raised():
    def member(rank):
        if rank == 1:
            raise OSError("of rank 1")

    with pytest.raises(OSError, match="of rank 1"):
        teams.run(member, 2)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux")
@pytest.mark.parametrize("forbidden", [False, True])
def test_members_move_to_cores_of_their_own(monkeypatch, forbidden):
    """A thread on a core that the team already uses leaves it, and may run anywhere afterwards."""
    allowed, move, moves, cores = os.sched_getaffinity(0), os.sched_setaffinity, [], []

    def moved(of, to):
        moves.append(set(to))
        if forbidden:
            raise PermissionError
        move(of, to)

    monkeypatch.setattr(os, "sched_setaffinity", moved)
    monkeypatch.setattr(teams, "_current_core", lambda: lambda: min(allowed))
    teams.run(lambda rank: cores.append(os.sched_getaffinity(0)), 2)
    assert cores == [allowed, allowed]
    others = allowed - {min(allowed)}
    assert moves == ([others, allowed][: 2 - forbidden] if others else [])


def test_the_current_core_is_one_of_the_allowed():
    current = teams._current_core()
    assert current is None or current() in os.sched_getaffinity(0)


def test_small_steps_get_one_thread():
    assert teams.automatic(1e6, MANY, 0) == 1
    assert teams.automatic(1e9, 5000, 0) == 1  # too few weights to share
    assert teams.automatic(1e9, MANY, 1) >= teams.automatic(1e9, 5000, 1) == 1


def test_large_steps_get_what_is_free(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert teams.automatic(1e9, MANY, 0) == 4
    assert teams.automatic(2.5e7, MANY, 0, steps=100) == 2
    assert teams.automatic(2.5e7, MANY, 0, steps=10) == 1  # done before a thread has started
    assert teams.automatic(1e9, 5, 3) == 3  # no more than there are groups
    found = []
    teams.run(lambda rank: found.append(teams.automatic(1e9, MANY, 0)), 3)
    assert found == [1, 1, 1]
    assert teams.automatic(1e9, MANY, 0) == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert teams.automatic(1e9, MANY, 0) == 2


def _automatic(_):
    return teams.automatic(1e9, MANY, 0)


def test_workers_of_a_pool_get_one_thread():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(_automatic, [0]) == [1]


def test_threads_of_joblib_get_one_thread(monkeypatch):
    joblib = pytest.importorskip("joblib")
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)  # a cluster of Dask's leaves it behind
    work = joblib.Parallel(n_jobs=2, backend="threading")
    assert work(joblib.delayed(teams.available)() for _ in range(4)) == [1, 1, 1, 1]
    assert teams.available() == 4


def test_a_process_of_joblib_gets_its_share(monkeypatch):
    """As one of two on four cores, with what joblib sets there."""
    joblib = pytest.importorskip("joblib")
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(multiprocessing.current_process(), "name", "LokyProcess-1")
    with joblib.parallel_config("threading"):  # as in such a process
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(teams.available)() for _ in range(2))
    assert found == [2, 2]


def test_workers_of_joblib_share_the_cores(monkeypatch):
    joblib = pytest.importorskip("joblib")
    cores = joblib.cpu_count()
    work = joblib.Parallel(n_jobs=2, backend="loky")
    assert max(work(joblib.delayed(_automatic)(i) for i in range(2))) <= max(1, cores // 2)


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_bad_numbers_of_threads(threads):
    net = make_network([2, 1], "log_loss", "numpy", "float32")
    with pytest.raises((TypeError, ValueError), match="threads"):
        net.fit([[0, 1]], [1], threads=threads)

"""Threads, processes and signals: several fits at once do not meet, and none outlives its call."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from helpers import SECONDS, make_data, make_network, parameters

import fastbp
from fastbp.engine.engine import FLOPS_PER_SECOND, INLINE_SECONDS

# Python's word of caution about forks beside threads is what some of these tests are about.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork"),
    pytest.mark.serial,
]

THREADS = 8
TEAMS = [1, 2]  # threads of each fit

# Data, and options of a fit that is long enough to run in a thread of its own.
SIZES, SAMPLES, LOSS = [16, 48, 32, 3], 500, "squared_error"
EPOCHS = 40


def fitted(backend, seed=0, threads=1):
    """All parameters after a fit, as bytes. They do not depend on the number of threads."""
    dtype = ["float32", "float64"][seed % 2]
    net = make_network(SIZES, LOSS, backend, dtype, seed=seed)
    X, y = make_data(LOSS, SAMPLES, SIZES[0], SIZES[-1], seed=seed)
    net.fit(X, y, optimizer=fastbp.SGD(0.001), epochs=EPOCHS, threads=threads)
    return parameters(net).tobytes()


def test_the_fits_are_long_enough():
    flops = make_network(SIZES, LOSS, "numpy").layout.flops_per_row * SAMPLES * EPOCHS
    assert flops / FLOPS_PER_SECOND > INLINE_SECONDS


def all_at_once(function, arguments):
    """[function(a) for a in arguments], each in a thread, all started at the same moment."""
    barrier = threading.Barrier(len(arguments))
    results = [None] * len(arguments)

    def work(i):
        barrier.wait(SECONDS)
        results[i] = function(arguments[i])

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(len(arguments))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "hangs"
    return results


@pytest.mark.parametrize("threads", TEAMS)
def test_threads_fit_networks_of_their_own(compiled, threads):
    seeds = range(THREADS)
    alone = [fitted(compiled, seed) for seed in seeds]
    assert len(set(alone)) == THREADS
    assert all_at_once(lambda seed: fitted(compiled, seed, threads), seeds) == alone


def test_threads_predict_with_one_network(compiled):
    net = make_network([20, 100, 80, 5], LOSS, compiled, "float32")
    samples = [make_data(LOSS, 700 + i, 20, 5, seed=i)[0] for i in range(THREADS)]
    alone = [net.predict(X) for X in samples]

    def many(X):
        return [net.predict(X) for _ in range(10)]

    for found, expected in zip(all_at_once(many, samples), alone, strict=True):
        assert all(np.array_equal(one, expected) for one in found)


# Processes. The parent has fitted before, so what a fork copies has been used.


def _send_fitted(connection, *arguments):
    connection.send(fitted(*arguments))
    connection.close()


@pytest.mark.parametrize("threads", TEAMS)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes(compiled, method, threads):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    context = multiprocessing.get_context(method)
    expected = fitted(compiled)
    assert fitted(compiled, threads=2) == expected
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_fitted, args=(sender, compiled, 0, threads))
    process.start()
    try:
        sender.close()
        assert receiver.poll(SECONDS), "hangs"
        assert receiver.recv() == expected
        process.join(SECONDS)
        assert process.exitcode == 0
    finally:
        process.kill()
        process.join()


@pytest.mark.parametrize("threads", TEAMS)
@pytest.mark.parametrize("kind", ["loky", "threading"])
def test_joblib(compiled, kind, threads):
    joblib = pytest.importorskip("joblib")
    seeds = range(4)
    expected = [fitted(compiled, seed) for seed in seeds]
    try:
        work = joblib.Parallel(n_jobs=2, backend=kind, timeout=SECONDS)
        calls = [joblib.delayed(fitted)(compiled, seed, threads) for seed in seeds]
        assert work(calls) == expected
    finally:
        if kind == "loky":
            from joblib.externals.loky import get_reusable_executor

            get_reusable_executor().shutdown(wait=True, kill_workers=True)


# Ctrl-C. Where it comes just before or after the wait for the training thread, the fit must not
# end before that thread does.

INTERRUPTS = """
import contextlib, json, os, random, signal, sys, threading, warnings
import numpy as np
import fastbp

backend, way, *numbers = sys.argv[1:]
sizes, epochs, threads = map(json.loads, numbers)
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X, y = rng.standard_normal((500, sizes[0])), rng.standard_normal((500, sizes[-1]))
net = fastbp.Network(sizes, loss="squared_error", seed=0, backend=backend)
left, changed, handlers, rounds, interrupted = [], [], [], 0, 0


def fit(epochs):
    options = {"optimizer": fastbp.SGD(1e-4), "shuffle": False, "threads": threads}
    history = net.fit(X, y, **options, epochs=epochs)
    return history.interrupted


def check(when):
    # Threads that a fit has left; waits for them, so that the next round is a fair one.
    others = set(threading.enumerate()) - {threading.main_thread()}
    alive = [t for t in others if t.ident is not None]  # the rest will never start
    before = [w.copy() for w in net.weights]
    for thread in alive:
        with contextlib.suppress(RuntimeError):  # stuck while it starts
            thread.join(0.2)
    if alive:
        left.append(when)
    if not all(map(np.array_equal, before, net.weights)):
        changed.append(when)
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        handlers.append(when)


def at_random_moments():
    # The alarm stands for another process that presses Ctrl-C.
    global rounds, interrupted
    signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    draw = random.Random(0)
    for rounds in range(1, 201):
        delay = draw.uniform(2e-5, 0.01)
        try:
            signal.setitimer(signal.ITIMER_REAL, delay)
            interrupted += fit(100 * epochs)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        check(f"{delay * 1e6:.0f} us")


def at_every_step():
    # Python looks for signals where a function starts and where a call comes back: each such
    # place while the fit starts its thread, waits for it and leaves.
    global rounds, interrupted
    while True:
        count, place = 0, None

        def profile(frame, event, argument):
            nonlocal count, place
            code = frame.f_code
            name = os.path.basename(code.co_filename)
            if name not in ("threading.py", "signal.py", "interrupts.py"):
                return
            count += event in ("call", "c_return")
            if count > rounds and place is None:
                place = f"{name}:{frame.f_lineno}"
                signal.raise_signal(signal.SIGINT)

        try:
            sys.setprofile(profile)
            interrupted += fit(epochs)
        except KeyboardInterrupt:
            interrupted += 1
        finally:
            sys.setprofile(None)
        check(place)
        if place is None:
            break
        rounds += 1


fit(epochs)  # compiles
{"random moments": at_random_moments, "every step": at_every_step}[way]()
print(json.dumps({
    "rounds": rounds, "interrupted": interrupted,
    "left": left, "changed": changed, "handlers": handlers,
}), flush=True)
os._exit(0)  # waits for no thread that is stuck
"""


@pytest.mark.skipif(os.name == "nt", reason="no alarms on Windows")
@pytest.mark.parametrize("threads", TEAMS)
@pytest.mark.parametrize("way", ["random moments", "every step"])
def test_no_fit_outlives_its_call(compiled, way, threads):
    root = str(Path(fastbp.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    numbers = [json.dumps(number) for number in (SIZES, EPOCHS, threads)]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTS, compiled, way, *numbers],
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    comp = json.loads(done.stdout)
    assert comp["rounds"] >= 20  # or this tests nothing
    assert comp["interrupted"] == comp["rounds"]
    problems = {name: comp[name] for name in ("left", "changed", "handlers") if comp[name]}
    assert problems == {}

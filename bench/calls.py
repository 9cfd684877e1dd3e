"""What calls cost over their kernels: small calls of Network, most of whose time is Python's.

    python bench/calls.py          # a minute
    python bench/calls.py BASE     # this working tree beside a commit, in turn

bench/README.md says more.
"""

import argparse
import contextlib
import inspect
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from gate import build, unpack
from measure import HERE, Worker, WorkerFailed, cores_for
from report import aligned, microseconds

import fastbp
from fastbp.backends import interface
from fastbp.basis import writing

LAYERS = [4, 32, 1]
ROWS = 64
ROUNDS, BATCH = 100, 50


def prepared(backend):
    """Call -> (the call of Network, its kernel alone with the same samples), as functions."""
    random = np.random.default_rng(0)
    X = random.standard_normal((ROWS, LAYERS[0])).astype(np.float32)
    y = random.standard_normal((ROWS, LAYERS[-1])).astype(np.float32)
    row, optimizer = X[:1].copy(), fastbp.Adam(1e-6)
    net = fastbp.Network(LAYERS, loss="squared_error", seed=0, backend=backend)
    engine = net._engine
    kernels, model, data, layout = engine.backend, engine.model, engine.data(X, y), engine.layout
    separated = layout.separated
    of_samples = model._replace(plan=separated.plan)
    workspace = layout.zeros(separated.workspace_size(ROWS))
    transposed = layout.zeros(layout.n_all_transposed)
    gradient = layout.zeros(layout.n_parameters)
    stop = np.zeros(1, np.int64)
    out = np.empty((1, LAYERS[-1]), np.float32)
    nothing, none = np.empty(0, np.float32), np.empty((0, LAYERS[-1]), np.float32)
    errors, of_all, slopes = np.empty_like(X), np.empty_like(y), np.ones_like(y)
    net.fit_step(X, y, optimizer=optimizer)
    job = net._online._job
    order, rates, losses = np.empty((0, 0), np.int64), np.full(1, 1e-6), np.zeros(1)

    def step():
        job.run(order, 1, rates, losses, 0)

    def there_and_back(gradient):
        kernels.forward(model, X, workspace, of_all)
        kernels.backward(model, X, slopes, workspace, transposed, gradient, errors)

    # The last arguments of `loss_and_gradient` for a single block; older commits have fewer.
    rest = (stop,)
    if "sums" in inspect.signature(interface.Backend.loss_and_gradient).parameters:
        rest = layout.sums(0), stop, np.zeros(interface.SHARED_SIZE, np.int64), 1, 0
    only_inputs = {}
    if "parameters" in inspect.signature(fastbp.ForwardPass.backward).parameters:
        only_inputs = {"parameters": False}
    return {
        "predict, 1 row": (
            lambda: net.predict(row),
            lambda: kernels.predict(model, row, 1, workspace, out),
        ),
        "loss_and_gradient": (
            lambda: net.loss_and_gradient(X, y),
            lambda: kernels.loss_and_gradient(
                *(model, data, ROWS, workspace, transposed, gradient),
                *rest,
            ),
        ),
        "input_gradient": (
            lambda: net.input_gradient(X, y),
            lambda: kernels.per_sample(
                *(of_samples, data, none, ROWS, workspace, transposed),
                *(nothing, none, errors, none),
            ),
        ),
        "forward, backward": (
            lambda: net.forward(X).backward(slopes),
            lambda: there_and_back(gradient),
        ),
        "backward to X only": (
            lambda: net.forward(X).backward(slopes, **only_inputs),
            lambda: there_and_back(nothing if only_inputs else gradient),
        ),
        "fit_step": (lambda: net.fit_step(X, y, optimizer=optimizer), step),
        "fit, 1 epoch": (
            lambda: net.fit(X, y, optimizer=optimizer, epochs=1, batch_size=ROWS),
            step,
        ),
    }


class Calls:
    """The functions of `prepared`, timed in turn."""

    def __init__(self, backend):
        self.pairs = prepared(backend)
        for functions in self.pairs.values():
            for function in functions:
                seconds(function, BATCH)  # Numba compiles

    def round(self):
        """Call -> seconds of [the call, its kernel alone]."""
        return {
            call: [seconds(function, BATCH) for function in functions]
            for call, functions in self.pairs.items()
        }


def seconds(function, times):
    """Seconds a call, of the processor: other processes may have it in between."""
    started = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - started) / times


def measured(workers, rounds):
    """Worker -> call -> seconds of [the call, its kernel alone] in each round."""
    results = {name: {} for name in workers}
    for worker in workers.values():
        worker.tell("prepare_calls")
    for i in range(rounds):
        for name in list(workers)[:: -1 if i % 2 else 1]:
            for call, figures in workers[name].tell("round_of_calls").items():
                results[name].setdefault(call, []).append(figures)
    return results


def lines_of(name, results):
    """A line of the table for each call."""
    for call, rounds in results.items():
        figures = [
            f(column) for f in (min, statistics.median) for column in zip(*rounds, strict=True)
        ]
        figures.insert(2, figures[0] - figures[1])
        yield [f"{name}: {call}", *map(microseconds, figures)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("base", nargs="?", help="a commit to measure in turn with this tree")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    parser.add_argument("--output", metavar="FILE", help="write all rounds there, as JSON")
    options = parser.parse_args(arguments)
    usable = fastbp.available_backends()
    backends = [name for name in ("cython", "numba") if usable[name].startswith("yes")]
    table, results = [["µs", "call", "kernel", "over it", "median call", "kernel"]], {}
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        trees = {"": HERE.parent}
        try:
            if options.base:
                base = unpack(options.base, Path(folder, "base"))
                build(base)
                trees = {f"{options.base} ": base, **trees}
            for backend in backends:
                workers = {
                    side + backend: stack.enter_context(Worker(backend, cores_for(1), package=tree))
                    for side, tree in trees.items()
                }
                results |= measured(workers, 3 if options.quick else ROUNDS)
        except (WorkerFailed, ValueError, OSError) as error:
            print(f"calls: {error}", file=sys.stderr)
            return 2
    for name, of_worker in results.items():
        table += lines_of(name, of_worker)
    print(aligned(table))
    print("Minima of the rounds, and medians of call and kernel.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

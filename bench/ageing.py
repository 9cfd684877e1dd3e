"""Does a step take longer when the training has converged? Early steps beside late ones.

    python bench/ageing.py          # a few losses and activations; half a minute
    python bench/ageing.py --all    # each loss with each hidden activation; some minutes

bench/README.md says more.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time

import numpy as np
from measure import cores_for
from report import aligned, microseconds
from sklearn.datasets import load_digits

import fastbp
from fastbp.basis import spec, writing

LAYERS, BATCH = [64, 64, 10], 32
EPOCHS, EARLY, LATE = 3000, slice(20, 40), slice(-20, None)
# The losses and hidden activations of a run without --all.
CASES = [
    ("cross_entropy", "relu"),
    ("cross_entropy", "tanh"),
    ("log_loss", "sigmoid"),
    ("squared_error", "relu"),
    ("poisson", "softplus"),
]
WANTED = 1.2  # ratio


class Clock(fastbp.Callback):
    """The processor's time after each epoch, which other programs disturb little."""

    def __init__(self):
        self.times = []

    def epoch(self, network, history):
        self.times.append(time.process_time())


def samples(loss):
    """The digits; for regression, the class as ten numbers."""
    X, y = load_digits(return_X_y=True)
    return X / 16, y if loss == "cross_entropy" else np.eye(10)[y]


def step_times(loss, activation, backend, dtype, epochs):
    """Median seconds of a step, early and late in a training."""
    X, y = samples(loss)
    net = fastbp.Network(
        LAYERS, activation=activation, loss=loss, dtype=dtype, backend=backend, seed=0
    )
    clock = Clock()
    net.fit(X, y, batch_size=BATCH, epochs=epochs, callbacks=[clock])
    seconds = np.diff(clock.times) / -(-len(X) // BATCH)
    return [statistics.median(seconds[part].tolist()) for part in (EARLY, LATE)]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="each loss with each activation")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float64"])
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    parser.add_argument("--output", metavar="FILE", help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    if options.epochs <= EARLY.stop:
        parser.error(f"--epochs: more than {EARLY.stop}, or no epoch is late")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(1))
    usable = fastbp.available_backends()
    backends = [name for name in ("cython", "numba") if usable[name].startswith("yes")]
    cases = itertools.product(spec.LOSSES, spec.ACTIVATIONS) if options.all else CASES
    table, results = [["µs a step", "backend", "early", "late", "ratio", ""]], []
    for (loss, activation), backend in itertools.product(cases, backends):
        name = f"{loss}, {activation}"
        print(f"{name}, {backend}", file=sys.stderr)
        how = (loss, activation, backend, options.dtype, options.epochs)
        early, late = step_times(*how)
        if late > WANTED * early:  # perhaps only the machine was busy
            early, late = step_times(*how)
        figures = dict(loss=loss, activation=activation, backend=backend, early=early, late=late)
        results.append(figures)
        slow = "slow" if late > WANTED * early else ""
        cells = [*map(microseconds, (early, late)), f"{late / early:.2f}", slow]
        table.append([name, backend, *cells])
    print(aligned(table))
    print(
        f"Medians of epochs {EARLY.start} to {EARLY.stop} and of the last {-LATE.start} of "
        f"{options.epochs}. The ratio is to be at most {WANTED}."
    )
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

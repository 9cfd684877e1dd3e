"""What threads gain: as many as fastbp chooses beside one, round beside round.

    python bench/threads.py         # two threads; a minute
    python bench/threads.py 4       # cores to use at most

bench/README.md says more.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time

import numpy as np
from measure import cores_for
from report import aligned, microseconds

import fastbp
from fastbp.basis import teams, writing

# Layers, batch size, and the gain that is wanted of two threads.
TRAININGS = [
    ((4, 32, 16, 4), 10000, 1.7),
    ((784, 128, 10), 128, 1.6),
    ((784, 512, 512, 10), 256, 1.8),
    ((2048, 2048, 10), 256, 1.8),
    ((2048, 2048, 10), 16, None),
    ((64, 64, 10), 32, None),
]
CALLS = [((4, 32, 16, 4), 1.7), ((64, 64, 10), 1.7), ((784, 128, 10), 1.7)]
ROWS = 10_000
SECONDS = 0.15  # of a round
QUICK_INPUTS = 64  # the most that a network has in a quick run


def network(layers, backend):
    return fastbp.Network(layers, loss="cross_entropy", seed=0, backend=backend)


def samples(layers, rows):
    random = np.random.default_rng(0)
    X = random.standard_normal((rows, layers[0])).astype(np.float32)
    return X, random.integers(0, layers[-1], rows)


def training(layers, batch, backend):
    """A function that trains and returns the weights, and its number of steps."""
    steps, epochs = max(1, 2048 // batch), 40 if batch > 2048 else 4
    net, (X, y) = network(layers, backend), samples(layers, steps * batch)
    optimizer, start = fastbp.Adam(1e-4), [weights.copy() for weights in net.weights]

    def train():
        for i, weights in enumerate(start):
            net.weights[i], net.biases[i] = weights, np.zeros(layers[i + 1])
        net.fit(X, y, batch_size=batch, epochs=epochs, optimizer=optimizer, shuffle=False)
        return net.weights

    return train, steps * epochs


def calls(layers, backend):
    """Name -> a call of a network with many rows."""
    net, (X, y) = network(layers, backend), samples(layers, ROWS)
    return {
        "predict": lambda: [net.predict(X)],
        "loss_and_gradient": lambda: net.loss_and_gradient(X, y)[1].weights,
    }


def times(call, cores, rounds, seconds):
    """Seconds of a call in each round, with one core and with as many as are there.

    A round repeats the call for about that many seconds.

    Raises RuntimeError if the call does not return the same bits with both.
    """
    found, available, bits = {1: [], cores: []}, teams.available, set()
    try:
        for number in range(rounds + 1):
            for most in found:
                teams.available = lambda most=most: most
                bits.add(b"".join(array.tobytes() for array in call()))
                repeats, start = 0, time.perf_counter()
                while time.perf_counter() - start < seconds:
                    call()
                    repeats += 1
                if number:  # the first round warms up
                    found[most].append((time.perf_counter() - start) / repeats)
    finally:
        teams.available = available
    if len(bits) > 1:
        raise RuntimeError("the results depend on the number of threads")
    return found[1], found[cores]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cores", nargs="?", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--backend", choices=["cython", "numba"], help="default: the fastest")
    parser.add_argument("--output", metavar="FILE", help="write the figures there, as JSON")
    parser.add_argument("--quick", action="store_true", help="one round of the small networks")
    options = parser.parse_args(arguments)
    if options.cores < 2 or options.rounds < 1:
        parser.error("at least 2 cores and 1 round")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(options.cores))
    rounds, seconds, most_inputs = options.rounds, SECONDS, math.inf
    if options.quick:
        rounds, seconds, most_inputs = 1, 0.001, QUICK_INPUTS
    trainings, of_calls = (
        [case for case in cases if case[0][0] <= most_inputs] for cases in (TRAININGS, CALLS)
    )
    cases = []
    for layers, batch, wanted in trainings:
        call, steps = training(layers, batch, options.backend)
        cases.append((f"fit, {'-'.join(map(str, layers))}, batch {batch}", call, steps, wanted))
    for layers, wanted in of_calls:
        for name, call in calls(layers, options.backend).items():
            name = f"{name}, {'-'.join(map(str, layers))}, {ROWS} rows"
            cases.append((name, call, 1, wanted))
    results = {}
    table = [["µs", "1 core", f"{options.cores} cores", "gain", "of the best", "wanted"]]
    for name, call, steps, wanted in cases:
        print(name, file=sys.stderr)
        one, many = times(call, options.cores, rounds, seconds)
        results[name] = {"1 core": one, f"{options.cores} cores": many}
        gain = statistics.median(a / b for a, b in zip(one, many, strict=True))
        cells = [microseconds(statistics.median(t) / steps) for t in (one, many)]
        gains = f"{gain:.2f}", f"{min(one) / min(many):.2f}"
        table.append([name, *cells, *gains, f"{wanted:.1f}" if wanted else ""])
    print(aligned(table))
    print("Medians of the rounds; a step of `fit`, or a call. The gain: median of the ratios of")
    print("neighbouring rounds, and ratio of the best rounds. All results had the same bits.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One row at a time: exported C beside Network.predict, in turn, on one core.

    python bench/latency.py           # a quarter of a minute
    python bench/latency.py --quick   # a look

Needs a C compiler, cc. bench/README.md says more.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import cores_for, summary
from report import FASTBP, aligned, time_cell
from workloads import WORKLOADS

import fastbp
from fastbp.basis import writing

# Contender -> (weights, options of the compiler).
BUILDS = {
    "C float32, -O3 -march=native": ("float32", ["-O3", "-march=native"]),
    "C int8, -O3 -march=native": ("int8", ["-O3", "-march=native"]),
    "C float32, -O2": ("float32", ["-O2"]),
}
LAYERS = [(2, 8, 1), (64, 64, 10), (64, 128, 64, 10), (784, 128, 10)]
SAMPLES = 8

# Prints the seconds of a call: "./program CALLS".
PROGRAM = """
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "net.h"

static float X[%(samples)d][NET_INPUTS];
static volatile float kept;

static double seconds(long calls)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (long i = 0; i < calls; i++) {
        float h[NET_OUTPUTS];
        net_predict(X[i %% %(samples)d], h);
        kept = h[0];
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}

int main(int count, char **arguments)
{
    const long calls = count > 1 ? atol(arguments[1]) : 1;
    if (fread(X, sizeof X, 1, stdin) != 1)
        return 1;
    seconds(calls / 5 + 1);
    printf("%%.17g\\n", seconds(calls) / (double)calls);
    return 0;
}
"""


class Exported:
    """A network as a C program; says how long a call takes."""

    def __init__(self, net, weights, options, X, folder):
        net.to_c(folder, "net", weights=weights, X=X)
        (folder / "main.c").write_text(PROGRAM % {"samples": len(X)})
        for main in ("net_test", "main"):
            command = ["cc", "-std=c99", *options, "net.c", f"{main}.c", "-o", main]
            subprocess.run(command, cwd=folder, check=True)
        # Returns 0 only if every bit is that of predict.
        subprocess.run([folder / "net_test"], check=True, stdout=subprocess.DEVNULL)
        self._program, self._input = folder / "main", X.tobytes()

    def seconds(self, calls):
        done = subprocess.run(
            [self._program, str(calls)], input=self._input, capture_output=True, check=True
        )
        return float(done.stdout)


class Predicted:
    """Network.predict."""

    def __init__(self, net, X):
        self._net, self._rows = net, [X[i : i + 1] for i in range(len(X))]

    def seconds(self, calls):
        predict, rows = self._net.predict, self._rows
        started = time.perf_counter()
        for i in range(calls):
            predict(rows[i % len(rows)])
        return (time.perf_counter() - started) / calls


def measured(layers, backends, rounds, seconds):
    """Contender -> figures as from `summary`."""
    (workload,) = [w for w in WORKLOADS if w.layers == layers]
    net = fastbp.Network(layers, activation=workload.activation, loss=workload.loss, seed=0)
    X = np.random.default_rng(0).standard_normal((SAMPLES, layers[0])).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        contenders = {name: Predicted(net.to_backend(name), X) for name in backends}
        for i, (name, build) in enumerate(BUILDS.items()):
            contenders[name] = Exported(net, *build, X, Path(folder, str(i)))
        calls = {
            name: max(1, round(seconds / contender.seconds(200)))
            for name, contender in contenders.items()
        }
        times = {name: [] for name in contenders}
        for _ in range(rounds):
            for name, contender in contenders.items():
                times[name].append(contender.seconds(calls[name]))
    return {name: summary(taken) for name, taken in times.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two networks, few and short rounds")
    parser.add_argument("--output", metavar="FILE", help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(1))
    usable = fastbp.available_backends()
    backends = [name for name in FASTBP if usable[name].startswith("yes")]
    rounds, seconds = (3, 0.01) if options.quick else (9, 0.05)
    lines, results = [["µs a row", *backends, *BUILDS]], {}
    for layers in LAYERS[:2] if options.quick else LAYERS:
        name = "-".join(map(str, layers))
        print(name, file=sys.stderr)
        results[name] = measured(layers, backends, rounds, seconds)
        lines.append([name, *(time_cell(results[name][column]) for column in lines[0][1:])])
    print(aligned(lines))
    print(
        "Median of the rounds ± half the distance of the quartiles. All C programs give the bits of"
    )
    print("predict for the weights as they were rounded, or there would be no table.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

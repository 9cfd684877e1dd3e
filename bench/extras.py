"""The smaller benchmarks: prediction, small batches, updates, starting up, memory."""

import dataclasses
import json
import subprocess
import sys

from measure import interleaved
from workloads import Workload

SMALL = Workload((64, 64, 10), 32, 8192)


PREDICTIONS = [
    ((64, 64, 10), 1),
    ((64, 64, 10), 10_000),
    ((784, 512, 512, 10), 1),
    ((784, 512, 512, 10), 1000),
    ((2048, 2048, 10), 1000),
    ((4096, 4096, 10), 512),
]


def prediction(workers, rounds, seconds):
    """A call for a row and for many rows, NumPy in and out."""
    rows = []
    for layers, samples in PREDICTIONS:
        workload = dataclasses.replace(SMALL, layers=layers, samples=samples)
        figures = interleaved(workers, workload, "predict", rounds, seconds)
        name = f"{'-'.join(map(str, layers))}, rows: {samples}"
        rows.append({"name": name, "contenders": figures})
    return rows


def small_batches(workers, rounds, seconds):
    """Plain SGD with batches so small that the fixed cost of a step shows."""
    rows = []
    for batch in (1, 2, 4, 8):
        workload = dataclasses.replace(SMALL, batch=batch, samples=1024, optimizer="sgd")
        figures = interleaved(workers, workload, "train", rounds, seconds)
        rows.append({"name": f"64-64-10, batch {batch}", "per": batch, "contenders": figures})
    return rows


def online_update(workers, rounds, seconds):
    """One call that learns from one sample."""
    workload = dataclasses.replace(SMALL, batch=1, samples=1)
    figures = interleaved(workers, workload, "update", rounds, seconds)
    return [{"name": "64-64-10, 1 sample", "contenders": figures}]


_START = """
import json, sys, time
statement, = json.loads(sys.argv[1])
import numpy as np
started = time.perf_counter()
exec(statement)
print(time.perf_counter() - started)
"""

_FIRST_FIT = """
import fastbp
net = fastbp.Network([64, 64, 10], loss="cross_entropy", backend={backend!r})
net.fit(np.zeros((8, 64)), np.zeros(8, int), epochs=1)
"""

STARTS = {
    "import fastbp": ("fastbp", "import fastbp"),
    "import and first fit, Cython": ("cython", _FIRST_FIT.format(backend="cython")),
    "import and first fit, Numba with a warm cache": (
        "numba",
        _FIRST_FIT.format(backend="numba"),
    ),
    "import sklearn.neural_network": ("sklearn", "import sklearn.neural_network"),
    "import torch": ("torch", "import torch"),
    "import jax": ("jax", "import jax, jax.numpy"),
}


def cold_start(available, rounds):
    """Seconds that fresh processes take, beyond importing NumPy; the best of some rounds.

    `available` says of a package or backend whether it is there. The first run of each warms
    the file cache, and Numba's, and does not count.
    """
    figures = {}
    for name, (package, statement) in STARTS.items():
        if not available(package):
            continue
        runs = [_python(_START, [statement]) for _ in range(rounds + 1)]
        if all(run is not None for run in runs):
            figures[name] = min(runs[1:])
    return figures


_MEMORY = """
import json, resource, sys
sizes, backend, batch = json.loads(sys.argv[1])
import numpy as np, fastbp

def high_water():
    try:  # ru_maxrss starts at that of the process which started this one
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) * 1024
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024

X = np.random.default_rng(0).normal(size=(2 * batch, sizes[0])).astype("float32")
y = np.zeros(len(X), np.int64)
settings = dict(loss="cross_entropy", backend=backend, seed=0)
fastbp.Network([sizes[0], 8, 10], **settings).fit(X, y, epochs=1, batch_size=batch)  # loads all
before = high_water()
net = fastbp.Network(sizes, **settings)
net.fit(X, y, epochs=1, batch_size=batch, optimizer=fastbp.Adam())
used = high_water() - before
plan = net.layout
# Parameters, gradient and Adam's two slots; the transposed copy; the workspace of a block.
numbers = 4 * plan.n_parameters + plan.n_transposed
numbers += plan.workspace_size(plan.block_rows(batch))
print(json.dumps([used, numbers * 4]))
"""


def peak_memory(backends):
    """MB that training takes beyond the data, and what the buffers add up to."""
    figures = {}
    for backend in backends:
        answer = _python(_MEMORY, [[2048, 2048, 2048, 10], backend, 128])
        if answer is not None:
            used, predicted = (n / 1e6 for n in answer)
            figures[f"{backend}, measured"] = used
            figures["sum of the buffers"] = predicted
    return figures


def _python(code, arguments):
    """What a fresh process that runs `code` prints, as JSON; None if it fails."""
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(arguments)],
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None

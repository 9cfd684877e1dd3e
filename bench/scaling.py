"""Training over Dask workers: what a round costs, and how that scales.

One and two workers are measured on this machine. For more there is a model of what was measured
and of an assumed network; docs/distributed.md has its terms.
"""

import argparse
import math
import statistics
import time

import dask.array as da
import numpy as np
from distributed import Client, protocol

import fastbp
from fastbp import distributed
from fastbp.rules.regularizers import regularizers_of
from fastbp.training.run import Training

# Layers, rows of a worker's share of a step.
WORKLOADS = [((64, 128, 64, 10), 4096), ((784, 512, 512, 10), 1024)]
LOCAL_STEPS = 10
WORKERS = [1, 2, 8, 64, 512]


def network(layers):
    return fastbp.Network(layers, loss="cross_entropy", seed=0)


def round_time(client, layers, partitions, rows, rounds=12, **options):
    """Median seconds of a round on partitions of so many rows, one round an epoch."""
    X = da.random.default_rng(0).normal(size=(partitions * rows, layers[0]), chunks=(rows, -1))
    times = []

    class Clock(fastbp.Callback):
        def epoch(self, network, history):
            times.append(time.perf_counter())

    y = da.zeros(len(X), int, chunks=rows)
    distributed.fit(
        *(network(layers), X.astype(np.float32), y),
        client=client,
        epochs=rounds,
        shuffle=False,
        callbacks=[Clock()],
        **options,
    )
    return statistics.median(np.diff(times[1:]))


def overhead(client):
    """Seconds of a round that computes next to nothing: (fixed, for each task)."""
    partitions = np.array([4, 16, 64])
    times = [round_time(client, (2, 2), int(n), 1, batch_size=None) for n in partitions]
    slope, fixed = np.polyfit([tasks(n) for n in partitions], times, 1)
    return max(fixed, 0.0), slope


def levels(workers):
    """How many tasks each level of the sum has, with one partition a worker."""
    counts = [workers]
    while counts[-1] > 1:
        counts.append(math.ceil(counts[-1] / distributed.FAN_IN))
    return counts[1:] or [1]


def tasks(workers):
    """The number of tasks in a round: weights, partitions, sums."""
    return 1 + workers + sum(levels(workers))


def seconds(call, rounds=5):
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def of_one_process(layers, rows):
    """What the model takes from one process.

    Seconds for a gradient, for `LOCAL_STEPS` steps, for the client's step; bytes of the
    messages with gradients and with weights and state.
    """
    net = network(layers)
    X = np.random.default_rng(0).normal(size=(rows * LOCAL_STEPS, layers[0])).astype(np.float32)
    y = np.zeros(len(X), int)
    data = net._engine.data(X, y, None)
    adam = fastbp.Adam()
    training = Training(net._engine, None, adam, 1, regularizers_of(len(net.weights)), 1)
    weights = net._engine.parameters.copy()
    both = np.stack([weights, *training.memory.state])
    counters = training.memory.counters.tolist()
    gradient = seconds(lambda: distributed._gradient(net._engine, weights, data, None, 0, rows))
    local = seconds(
        lambda: distributed._train(net._engine, both, data, None, 0, len(X), adam, counters, rows)
    )
    training.gradient[...] = 0
    step = seconds(lambda: distributed._step(training))
    sizes = []
    for sums in (
        distributed._gradient(net._engine, weights, data, None, 0, rows),
        distributed._train(net._engine, both, data, None, 0, rows, adam, counters, rows),
    ):
        sizes.append(len(protocol.serialize_bytes(sums, compression=None)))
    return gradient, local, step, *sizes


def modelled(workers, compute, size, step, fixed, per_task, latency, bandwidth):
    """Seconds of a round: see docs/distributed.md."""
    spreading = math.ceil(math.log2(workers)) if workers > 1 else 0
    messages = 2 + spreading + len(levels(workers)) + 1
    transfers = 2 + spreading + sum(min(workers, distributed.FAN_IN) for _ in levels(workers)) + 1
    wire = messages * latency + transfers * size / bandwidth
    return compute + step + fixed + per_task * tasks(workers) + wire


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--latency", type=float, default=1e-4, help="of a message, in seconds")
    parser.add_argument("--bandwidth", type=float, default=1.25e9, help="in bytes a second")
    options = parser.parse_args()
    measured = {}
    for workers in (1, 2):
        with Client(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
        ) as client:
            if workers == 2:
                fixed, per_task = overhead(client)
            for layers, rows in WORKLOADS:
                many = rows * LOCAL_STEPS
                measured[layers, workers] = (
                    round_time(client, layers, workers, rows, batch_size=None),
                    round_time(
                        *(client, layers, workers, many),
                        batch_size=rows,
                        local_steps=LOCAL_STEPS,
                    ),
                )
    print(f"A round that computes nothing: {fixed * 1e3:.1f} ms and {per_task * 1e3:.2f} ms a task")
    wire = {"latency": options.latency, "bandwidth": options.bandwidth}
    print(f"Network of the model: {options.latency:g} s, {options.bandwidth:g} bytes/s")
    for layers, rows in WORKLOADS:
        gradient, local, step, *sizes = of_one_process(layers, rows)
        alone = rows * LOCAL_STEPS / local
        print(f"\n{'-'.join(map(str, layers))}, {rows} rows of a worker in a step")
        print(
            f"gradient {gradient * 1e3:.1f} ms, {LOCAL_STEPS} steps {local * 1e3:.1f} ms, "
            f"the client's step {step * 1e3:.2f} ms, one worker alone {alone:.3g} rows/s"
        )
        kinds = (
            ("gradients", gradient, step, rows),
            (f"weights after {LOCAL_STEPS} steps", local, 0.0, rows * LOCAL_STEPS),
        )
        for kind, (name, compute, of_client, done) in enumerate(kinds):
            print(f"{name}: messages of {sizes[kind] / 1e3:.0f} kB")
            print("  workers   ms a round   (measured)   rows/s   speed-up   efficiency")
            for workers in WORKERS:
                took = modelled(workers, compute, sizes[kind], of_client, fixed, per_task, **wire)
                seen = measured.get((layers, workers))
                seen = f"{seen[kind] * 1e3:10.1f}" if seen else 10 * " "
                rate = workers * done / took
                print(
                    f"  {workers:7}   {took * 1e3:10.1f}   {seen}   {rate:6.2g}   "
                    f"{rate / alone:8.1f}   {rate / alone / workers:10.0%}"
                )


if __name__ == "__main__":
    main()

"""What the scripts that time fastbp beside JAX and PyTorch on one core have in common."""

import argparse
import os
import time

from measure import cores_for

import fastbp


def parsed(arguments, description, dtype, quick):
    """The options of such a script; `dtype` is the default, `quick` says what --quick does."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--dtype", default=dtype, choices=["float32", "float64"])
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--output", metavar="FILE", help="write the figures there, as JSON")
    return parser.parse_args(arguments)


def take_one_core():
    """Run on one core from now on, JAX included, which must not have been imported yet."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(1))
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ |= {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}


def compiled_backends():
    """The names of the compiled backends that can be used here."""
    usable = fastbp.available_backends()
    return [name for name in ("cython", "numba") if usable[name].startswith("yes")]


def seconds_a_step(steps, count):
    """Seconds a step, of the processor: other processes may have it in between."""
    started = time.process_time()
    steps(count)
    return (time.process_time() - started) / count


def in_turns(contenders, seconds, trial, rounds, duration):
    """Contender -> seconds in each round; they take turns.

    `seconds` takes a contender and how often it is to run; a trial runs it that often, to find out
    how often a round of `duration` seconds does.
    """
    counts, times = {}, {name: [] for name in contenders}
    for name, contender in contenders.items():
        seconds(contender, 1)
        counts[name] = max(2, int(duration / seconds(contender, trial)))
    for i in range(rounds):
        for name in list(contenders)[:: -1 if i % 2 else 1]:
            times[name].append(seconds(contenders[name], counts[name]))
    return times

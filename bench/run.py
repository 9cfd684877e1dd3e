"""The benchmark: fastbp's backends and other libraries, interleaved, on pinned cores.

``python -m fastbp bench``, ``make bench`` or ``python bench/run.py``; --help says what can be
chosen. bench/README.md says how to read the results.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from pathlib import Path

import extras
import report
from machine import commit, cpu
from measure import Worker, WorkerFailed, cores_for, interleaved
from peers import PEERS, PREDICT_ONLY
from workloads import WORKLOADS

import fastbp
from fastbp.basis import writing
from fastbp.cli import outputs
from fastbp.cli.outputs import Output

PACKAGES = (
    *("numpy", "numba", "cython", "scikit-learn", "torch", "jax", "onnxruntime", "openvino"),
)


def main(arguments=None):
    """Run the benchmark; returns the exit code."""
    options = _options(arguments)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        json_file, picture = options.output / "results.json", options.output / "results.png"
        written = [
            Output("the results", json_file, "--output", outputs.is_benchmark),
            Output("the picture", picture, "--output", outputs.is_picture),
        ]
        outputs.check(written, [], options.force)
        results = run(options)
    except (ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    writing.write(json_file, (json.dumps(results, indent=1) + "\n").encode())
    print(f"\nwritten: {json_file}")
    if importlib.util.find_spec("matplotlib"):
        from picture import draw

        draw(results, picture)
        print(f"written: {picture}")
    else:
        print("no picture: matplotlib is not installed")
    return 0


def _options(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m fastbp bench",
        description="Time fastbp's backends and other libraries, in turn, on pinned cores.",
        epilog="example: python -m fastbp bench --quick --workloads 64-64-10",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("bench-results"),
        metavar="DIR",
        help="folder for results.json and results.png (default: %(default)s)",
    )
    parser.add_argument(
        "--workloads", default="", metavar="TEXT", help="only those with TEXT in their name"
    )
    parser.add_argument(
        "--contenders",
        metavar="NAMES",
        help=f"a comma list of {', '.join([*report.FASTBP, *PEERS])} "
        "(default: all that are there, but for numpy)",
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="cores and threads to use (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, help="of each contender (default: 7; quick: 2)")
    parser.add_argument("--dtype", choices=["float32", "float64"], default="float32")
    parser.add_argument(
        "--quick", action="store_true", help="short rounds and no extra sections, for trying out"
    )
    outputs.add_force(parser)
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (2 if options.quick else 7)
    options.seconds = 0.02 if options.quick else 0.1
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads take positive numbers")
    return options


def run(options):
    """Measure and print everything; returns the content of results.json."""
    workloads = [w for w in WORKLOADS if options.workloads in w.name]
    if not workloads:
        known = "; ".join(w.name for w in WORKLOADS)
        raise ValueError(f"no workload has {options.workloads!r} in its name; there are: {known}")
    names = contenders(options.contenders)
    cores = cores_for(options.threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)  # the extra sections' processes inherit that
    results = about(options, names)
    with contextlib.ExitStack() as stack:

        def worker(name):
            return stack.enter_context(Worker(name, cores, options.dtype))

        roofs = worker("numba")
        results["peak"] = _peak(roofs)
        workers = {name: worker(name) for name in names}
        learning = {name: workers[name] for name in names if name not in PREDICT_ONLY}
        results["training"] = training(learning, workloads, options)
        # Once more: a virtual machine may have been slow just then.
        results["peak"] = {k: max(v, results["peak"][k]) for k, v in _peak(roofs).items()}
        _print_training(results)
        if not options.quick:
            results["extras"] = _extras(workers, learning, options)
    return results


def contenders(chosen):
    """The names to run: those chosen, or all that are installed."""
    known = [*report.FASTBP, *PEERS]
    if chosen:
        names = chosen.split(",")
        if unknown := set(names) - set(known):
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
        return names
    return [name for name in known if name != "numpy" and available(name)]


def available(name):
    """Whether a backend, a peer or a package can be used here."""
    if name in report.FASTBP:
        return fastbp.available_backends()[name].startswith("yes")
    return importlib.util.find_spec(PEERS[name][1] if name in PEERS else name) is not None


def _peak(worker):
    print("measuring the peak", file=sys.stderr)
    try:
        return worker.tell("peak")
    except WorkerFailed as error:
        raise ValueError(f"the peak cannot be measured: {error}") from error


def training(workers, workloads, options):
    """A training step of each workload, of all workers."""
    rows = []
    for i, workload in enumerate(workloads, 1):
        print(f"training, {i} of {len(workloads)}: {workload.name}", file=sys.stderr)
        figures = interleaved(workers, workload, "train", options.rounds, options.seconds)
        rows.append(
            {
                "name": workload.name,
                "flops": workload.flops,
                "bytes": workload.least_bytes(4 if options.dtype == "float32" else 8),
                "contenders": figures,
            }
        )
    return rows


def _print_training(results):
    settings, machine, rows = results["settings"], results["machine"], results["training"]
    peak = results["peak"][settings["dtype"]]
    print(
        f"\n{machine['cpu']}, {settings['threads']} thread(s), {settings['dtype']}; "
        f"FMA peak {peak / 1e9:.0f} GFLOP/s, memory {results['peak']['memory'] / 1e9:.1f} GB/s\n"
    )
    print(report.training_table(rows, peak))
    print(
        "\nMedian of the rounds ± half the distance of the quartiles. peer/fastbp: the best peer's"
    )
    print("time over that of fastbp's best backend, whose rate and share of the peak follow.\n")
    print(report.checks_table(rows))
    print("\nfastbp: largest difference of outputs from the NumPy reference after an epoch from")
    print("the same seed. Peers: training loss before -> after.")
    _print_notes(rows)


def _print_notes(rows):
    for note in report.notes(rows):
        print(f"note: {note}")


def _extras(workers, learning, options):
    """The smaller benchmarks, printed as they come; `learning` are the workers that can train."""
    results = {}
    sections = {
        "prediction": (extras.prediction, workers, "prediction, µs a call"),
        "small batches": (extras.small_batches, learning, "plain SGD, µs a sample"),
        "online update": (extras.online_update, learning, "online update, µs"),
    }
    for name, (function, contenders, title) in sections.items():
        print(name, file=sys.stderr)
        rows = results[name] = function(contenders, options.rounds, options.seconds)
        print(f"\n{report.times_table(title, rows)}")
        _print_notes(rows)
    print("starting up", file=sys.stderr)
    results["starting up"] = extras.cold_start(available, rounds=3)
    print()
    print(report.plain_table("starting up, without NumPy", results["starting up"], "s"))
    print("memory", file=sys.stderr)
    backends = [name for name in workers if name in report.FASTBP]
    results["memory"] = extras.peak_memory(backends)
    print()
    print(report.plain_table("memory of training 2048-2048-2048-10", results["memory"], "MB"))
    return results


def about(options, names):
    """When, where and what: everything but the figures."""
    versions = {"python": platform.python_version(), "fastbp": fastbp.__version__}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": {"name": platform.node(), "cpu": cpu(), "cores": os.cpu_count()},
        "versions": versions,
        "settings": {
            "contenders": names,
            "threads": options.threads,
            "rounds": options.rounds,
            "seconds a round": options.seconds,
            "dtype": options.dtype,
        },
    }


if __name__ == "__main__":
    sys.exit(main())

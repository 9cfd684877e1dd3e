"""The command line: ``python -m fastbp``."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from . import available_backends, backends, spec
from .compare import compare_backends
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, RMSprop, Rprop

OPTIMIZERS = {
    optimizer.__name__.lower(): optimizer
    for optimizer in (SGD, RMSprop, Adagrad, Adam, AdamW, Rprop)
}


def main(arguments=None):
    """Run one command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m fastbp",
        description="Backpropagation on CPUs, fast.",
        epilog="example: python -m fastbp compare --layers 64,128,64,10 --batch-size 128",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_compare(commands)
    commands.add_parser("backends", help="say which backends can be used here, and if not, why")
    commands.add_parser(
        "bench",
        add_help=False,
        help="time fastbp against other libraries (from a copy of the repository)",
    )
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if options.command == "bench":
            return _bench(rest)
        return {"compare": _compare, "backends": _backends}[options.command](options)
    except (TypeError, ValueError, ImportError, ArithmeticError, OSError) as error:
        print(f"fastbp: {error}", file=sys.stderr)
        return 1


def _add_compare(commands):
    compare = commands.add_parser(
        "compare",
        help="compare the backends' start, speed and numbers",
        description="Train a network on random data with every backend and compare start-up, "
        "time per step and difference from the NumPy reference.",
    )
    compare.add_argument(
        "--layers", default="64,64,10", help="layer sizes, inputs first (default: %(default)s)"
    )
    compare.add_argument("--batch-size", type=int, default=32, help="default: %(default)s")
    compare.add_argument("--samples", type=int, default=4096, help="default: %(default)s")
    compare.add_argument("--activation", default="relu", help="default: %(default)s")
    compare.add_argument(
        "--loss",
        help="default: log_loss for one output, else cross_entropy; known: "
        + ", ".join(spec.LOSSES),
    )
    compare.add_argument(
        "--optimizer", choices=sorted(OPTIMIZERS), default="adam", help="default: %(default)s"
    )
    compare.add_argument(
        "--dtype", choices=["float32", "float64"], default="float32", help="default: %(default)s"
    )
    compare.add_argument(
        "--backend",
        action="append",
        choices=sorted(backends.BACKENDS),
        help="compare this one (may be repeated; default: all); the reference is always shown",
    )
    compare.add_argument("--json", action="store_true", help="print JSON instead of a table")
    compare.add_argument("--plot", metavar="FILE", help="also draw a picture (needs matplotlib)")


def _compare(options):
    try:
        sizes = [int(size) for size in options.layers.split(",")]
    except ValueError:
        raise ValueError(
            f"--layers takes sizes separated by commas, such as 64,64,10; got {options.layers!r}"
        ) from None
    if options.samples < 1:
        raise ValueError(f"--samples must be at least 1, got {options.samples}")
    loss = options.loss or ("log_loss" if sizes[-1] == 1 else "cross_entropy")
    # Refuses bad sizes and names before data are made for them.
    Network(sizes, activation=options.activation, loss=loss, backend="numpy")
    random = np.random.default_rng(0)
    X = random.normal(size=(options.samples, sizes[0])).astype(options.dtype)
    if loss == "cross_entropy":
        y = random.integers(0, sizes[-1], options.samples)
    else:
        y = random.integers(0, 2, (options.samples, sizes[-1]))
    comparison = compare_backends(
        sizes,
        X,
        y,
        activation=options.activation,
        loss=loss,
        optimizer=OPTIMIZERS[options.optimizer](),
        batch_size=options.batch_size,
        dtype=options.dtype,
        only=options.backend,
    )
    print(comparison.to_json() if options.json else comparison)
    if options.plot:
        comparison.plot(options.plot)
    return 0


def _backends(options):
    for name, answer in available_backends().items():
        print(f"{name:8} {answer}")
    return 0


def _bench(arguments):
    """Hand over to bench/run.py, which is part of the repository but not of the package."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package, Path.cwd()):
        script = folder / "bench" / "run.py"
        if script.is_file():
            break
    else:
        raise FileNotFoundError(
            "there is no bench/run.py beside the package or in the current folder; run this in "
            "a copy of fastbp's repository"
        )
    # What is measured is this very package, installed or not.
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}).returncode


if __name__ == "__main__":
    sys.exit(main())

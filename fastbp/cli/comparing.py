"""The commands `compare`, `backends` and `bench`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from .. import backends
from ..basis import spec
from ..rules import optimizers
from . import outputs
from .options import add_command, layer_sizes, picture, whole_number
from .outputs import Output

OPTIMIZERS = {name.lower(): optimizer for name, optimizer in optimizers.OPTIMIZERS.items()}
EXAMPLES = """
fastbp compare
fastbp compare --layers 64,128,64,10 --batch-size 128
fastbp compare --backend cython --json --plot comparison.png
"""


def add(commands):
    """Register the commands with argparse."""
    compare = add_command(
        commands,
        "compare",
        _compare,
        help="compare the backends' start, speed and numbers",
        description="Train a network on random data with every backend and compare start-up, "
        "time per step and difference from the NumPy reference.",
        examples=EXAMPLES,
    )
    compare.add_argument(
        "--layers",
        type=layer_sizes,
        default="64,64,10",
        metavar="SIZES",
        help="layer sizes, inputs first (default: %(default)s)",
    )
    for option, default in (("--batch-size", 32), ("--samples", 4096)):
        compare.add_argument(
            option, type=whole_number, default=default, metavar="N", help="default: %(default)s"
        )
    compare.add_argument(
        "--activation",
        choices=sorted(spec.HIDDEN_ACTIVATIONS),
        default="relu",
        metavar="NAME",
        help=f"one of {', '.join(spec.HIDDEN_ACTIVATIONS)} (default: %(default)s)",
    )
    compare.add_argument(
        "--loss",
        choices=sorted(spec.LOSSES),
        metavar="NAME",
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
    compare.add_argument(
        "--plot",
        type=picture,
        metavar="FILE",
        help="also draw a picture, .png, .svg or .pdf (needs matplotlib)",
    )
    outputs.add_force(compare)
    add_command(
        commands,
        "backends",
        _backends,
        help="say which backends can be used here, and if not, why",
        description="Say which backends can be used here, and if not, why.",
        examples="fastbp backends",
    )
    add_command(
        commands,
        "bench",
        _bench,
        add_help=False,
        help="time fastbp against other libraries (from a copy of the repository)",
        description="",
        examples="fastbp bench --quick",
    )


def _compare(options):
    from ..network.network import Network
    from ..study.compare import compare_backends

    sizes = options.layers
    if options.plot:
        drawn = Output("the picture", options.plot, "--plot", outputs.is_picture)
        outputs.check([drawn], [], options.force)
        outputs.needs_matplotlib("--plot")
    loss = options.loss or ("log_loss" if sizes[-1] == 1 else "cross_entropy")
    # Creating a network checks sizes and names, before data are generated for them.
    net = Network(sizes, activation=options.activation, loss=loss, backend="numpy")
    random = np.random.default_rng(0)
    X = random.normal(size=(options.samples, sizes[0])).astype(options.dtype)
    if loss == "cross_entropy":
        y = random.integers(0, sizes[-1], options.samples)
    else:
        y = random.integers(0, 2, (options.samples, net.layout.n_targets))
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
    for name, answer in backends.available().items():
        print(f"{name:8} {answer}")
    return 0


def _bench(options):
    """Run bench/run.py, which is part of the repository but not of the package."""
    package = Path(__file__).resolve().parents[2]
    for folder in (package, Path.cwd()):
        script = folder / "bench" / "run.py"
        if script.is_file():
            break
    else:
        raise FileNotFoundError(
            "bench/run.py is neither beside the package nor in the current folder; run this "
            "command in a copy of fastbp's repository"
        )
    # The script must measure this package, installed or not.
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, str(script), *options.rest]
    return subprocess.run(command, env={**os.environ, "PYTHONPATH": paths}).returncode

"""Compares the backends: start-up time, speed, and difference from the reference."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backends
from ..basis import checks, inputs, late
from ..basis.layout import PARAMETERS
from ..basis.names import keywords
from ..network.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, DTypeLike

    from ..basis.annotations import Activation, Loss, StrPath
    from ..rules.optimizers import Optimizer

REFERENCE = "numpy"
# Trained weights are compared after this many steps. Longer runs amplify rounding errors, and show
# less clearly whether a backend is correct.
COMPARED_STEPS = 20

_START = """
import json, sys, time
started = time.perf_counter()
import numpy as np
import fastbp
network, backend, dtype, activation, loss, output = json.loads(sys.argv[1])
n = 8
X = np.zeros((n, network[0]))
y = np.zeros(n) if loss == "cross_entropy" else np.zeros((n, network[-1]))
net = fastbp.Network(
    network, activation=activation, loss=loss, output_activation=output, dtype=dtype,
    backend=backend,
)
net.fit(X, y, epochs=1)
print(time.perf_counter() - started)
"""


@dataclass
class BackendResult:
    """Results of one backend, a line of a `Comparison`.

    Attributes
    ----------
    backend : str
        Name of the backend.
    description : str
        Versions of the backend's packages, and its build for the CPU.
    cold_start : float
        Seconds to import NumPy and fastbp and run a first, tiny fit, in a fresh process with an
        empty compile cache; NaN with functions of your own, which that process does not have.
    cached_start : float
        The same in the next process, which uses the cache that the first one filled.
    step : float
        Median seconds per training step, after warm-up.
    gflops : float
        10⁹ floating-point operations per second, from the true operation count
        (4 n n_0 n_1 for the first layer, 6 n n_{i-1} n_i for the others).
    speedup : float
        The reference's time per step, divided by this backend's.
    gradient_error : float
        Largest difference from the reference's gradient, divided by that gradient's largest
        entry.
    weight_error : float
        Largest difference from the reference's weights after some steps, divided by the largest
        weight.
    step_range : (float, float) or None
        Seconds per training step in the fastest and the slowest of the seven measured rounds. The
        true median lies between them with a probability of 98 %, if the rounds are independent.
    """

    backend: str
    description: str
    cold_start: float
    cached_start: float
    step: float
    gflops: float
    speedup: float
    gradient_error: float
    weight_error: float
    step_range: tuple[float, float] | None = None


@dataclass
class Comparison:
    """The result of `compare_backends`; prints as a table.

    Attributes
    ----------
    problem : str
        Description of the network and the training.
    results : list of BackendResult
        One entry per backend, fastest first.
    missing : dict
        Backend -> the reason why it could not be compared.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((64, 4))
    >>> comparison = fastbp.compare_backends(
    ...     [4, 8, 1], X, X[:, 0], loss="squared_error", seconds=0.02, only=["numpy"]
    ... )
    >>> [result.backend for result in comparison.results], comparison.problem
    (['numpy'], '4-8-1, squared_error, batch 32, float32, 64 samples')
    """

    problem: str
    results: list[BackendResult]
    missing: dict[str, str]

    def __str__(self):
        header = (
            "backend",
            "cold start",
            "cached",
            "a step",
            "GFLOP/s",
            "speed-up",
            "gradient",
            "weights",
        )
        lines = [
            (
                r.backend,
                f"{r.cold_start:.2f} s",
                f"{r.cached_start:.2f} s",
                f"{r.step * 1e6:.2f} µs",
                f"{r.gflops:.1f}",
                f"{r.speedup:.1f}x",
                f"{r.gradient_error:.1e}",
                f"{r.weight_error:.1e}",
            )
            for r in self.results
        ]
        widths = [max(len(line[c]) for line in [header, *lines]) for c in range(len(header))]
        text = [self.problem]
        for line in [header, *lines]:
            cells = [line[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
            text.append("  ".join(cells))
        text.append(
            f"(speed-up over {REFERENCE}; last two columns: largest difference from it, relative)"
        )
        text += [f"{name}: {why}" for name, why in self.missing.items()]
        return "\n".join(text)

    def to_json(self) -> str:
        """Return the comparison as JSON text.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((64, 4))
        >>> comparison = fastbp.compare_backends(
        ...     [4, 8, 1], X, X[:, 0], loss="squared_error", seconds=0.02, only=["numpy"]
        ... )
        >>> import json
        >>> sorted(json.loads(comparison.to_json()))
        ['missing', 'problem', 'results']
        """
        return json.dumps(asdict(self), indent=2)

    def plot(self, path: StrPath) -> None:
        """Draw time per step and start-up time as dots on logarithmic axes.

        Parameters
        ----------
        path : str or path-like
            File to write; its extension (.png, .svg, .pdf) sets the format.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((64, 4))
        >>> comparison = fastbp.compare_backends(
        ...     [4, 8, 1], X, X[:, 0], loss="squared_error", seconds=0.02, only=["numpy"]
        ... )
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "speed.png")
        >>> comparison.plot(path)
        >>> os.path.getsize(path) > 1000
        True
        """
        try:
            import matplotlib.figure
        except ImportError as error:
            raise ImportError("plotting needs matplotlib: pip install 'fastbp[plot]'") from error
        figure = matplotlib.figure.Figure(figsize=(10, 4), layout="constrained")
        plots = late.load("plots")
        plots.comparison.draw(figure, self)
        plots.common.save(figure, path, dpi=150)


@keywords
def compare_backends(
    layer_sizes: Sequence[int],
    X: ArrayLike,
    y: ArrayLike,
    *,
    activation: Activation = "relu",
    loss: Loss | None,
    output_activation: str | None = None,
    optimizer: Optimizer | str | None = None,
    batch_size: int | None = 32,
    dtype: DTypeLike = "float32",
    seconds: float = 0.5,
    only: Sequence[str] | None = None,
) -> Comparison:
    """Train the same network on every backend and compare.

    Parameters
    ----------
    layer_sizes, activation, loss, output_activation, dtype
        As for `Network`.
    X, y
        As for `Network.fit`.
    optimizer : Optimizer or str, default=Adam()
        As for `Network.fit`.
    batch_size : int or None, default=32
        As for `Network.fit`.
    seconds : float, default=0.5
        Approximate time for measuring each backend. The backends take turns; in each turn they
        train for the same number of epochs from the same weights.
    only : sequence of str, optional
        Names of the backends to compare; the reference is always added.

    Returns
    -------
    Comparison
        Prints as a table; also has ``to_json()`` and ``plot(path)``.

    Raises
    ------
    TypeError, ValueError
        For bad arguments, as in `Network` and `Network.fit`.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((64, 4))
    >>> comparison = fastbp.compare_backends(
    ...     [4, 8, 1], X, X[:, 0], loss="squared_error", seconds=0.02, only=["numpy"]
    ... )
    >>> comparison.results[0].backend, comparison.results[0].step > 0
    ('numpy', True)
    """
    seconds = checks.real_number("seconds", seconds, lowest=1e-3)
    settings: dict[str, Any] = dict(
        activation=activation, loss=loss, output_activation=output_activation, dtype=dtype, seed=0
    )
    names: list[Any] = list(backends.BACKENDS)
    if only is not None:
        names = [*dict.fromkeys([*checks.names("only", only, "backends"), REFERENCE])]
    networks, missing = {}, {}
    for name in names:
        try:
            networks[name] = Network(layer_sizes, backend=name, **settings)
        except backends.BackendUnavailable as error:
            missing[name] = str(error)

    def fit(network, rows=None, epochs=1):
        network.fit(
            samples[:rows],
            targets[:rows],
            optimizer=optimizer,
            batch_size=batch_size,
            epochs=epochs,
            shuffle=False,
        )

    reference = networks[REFERENCE]
    inputs.refuse(reference.layout, "compare_backends")
    reference._engine.check_one_loss("compare_backends")
    # Convert once, so that timings exclude the conversion.
    samples = checks.samples(X, reference.layout.sizes[0], reference.layout.dtype)
    targets = checks.real_numbers("y", y)
    n = len(samples)
    batch = n if batch_size is None else min(checks.whole_number("batch_size", batch_size), n)
    reference_gradient = _flat(reference.loss_and_gradient(samples, targets)[1])
    few = min(n, batch * COMPARED_STEPS)
    errors = {}
    trained = {name: network.to_backend(name) for name, network in networks.items()}
    for network in trained.values():
        fit(network, few)  # this also compiles the kernels
    reference_weights = _flat(trained[REFERENCE])
    for name, network in networks.items():
        gradient = _flat(network.loss_and_gradient(samples, targets)[1])
        errors[name] = (
            _relative(gradient, reference_gradient),
            _relative(_flat(trained[name]), reference_weights),
        )

    steps = -(-n // batch)
    times = _interleaved_times(networks, fit, steps, seconds)
    flops = reference.layout.flops_per_row * n / steps
    results = []
    for name, rounds in times.items():
        step = statistics.median(rounds)
        cold, cached = _starts(
            *(list(reference.layout.sizes), name, dtype, activation, loss, output_activation),
            reference.layout.own_activations,
        )
        results.append(
            BackendResult(
                name,
                networks[name]._engine.backend.describe(),
                cold,
                cached,
                step,
                flops / step / 1e9,
                statistics.median(times[REFERENCE]) / step,
                *errors[name],
                (min(rounds), max(rounds)),
            )
        )
    results.sort(key=lambda result: result.step)
    sizes = "-".join(map(str, reference.layout.sizes))
    ends_in = f" behind {output_activation}" if output_activation else ""
    problem = f"{sizes}, {loss}{ends_in}, batch {batch}, {reference.layout.dtype.name}, {n} samples"
    return Comparison(problem, results, missing)


def _flat(parameters):
    """Return all parameters of a network or gradient in one array."""
    arrays = (array for kind in PARAMETERS for array in getattr(parameters, kind))
    return np.concatenate([np.ravel(array) for array in arrays])


def _relative(values, reference):
    return float(np.abs(values - reference).max() / max(np.abs(reference).max(), 1e-300))


def _interleaved_times(networks, fit, steps, seconds):
    """Return the seconds per step of each network in seven rounds.

    A step's time may depend on the weights. So in each round, all networks train for the same
    number of epochs from the weights that they are given with; fast ones do so several times.
    They take turns, so that changes of the machine's speed affect all equally.
    """
    rounds = 7

    def timed(name, epochs, repeats):
        copies = [networks[name].to_backend(name) for _ in range(repeats)]
        started = time.perf_counter()
        for network in copies:
            fit(network, epochs=epochs)
        return (time.perf_counter() - started) / repeats / epochs

    once = {name: max(timed(name, 1, 1), 1e-7) for name in networks}
    slowest = max(once.values())
    epochs = max(1, int(seconds / rounds / slowest))
    times: dict[str, list[float]] = {name: [] for name in networks}
    for _ in range(rounds):
        for name in networks:
            times[name].append(timed(name, epochs, int(slowest / once[name])) / steps)
    return times


def _starts(sizes, backend, dtype, activation, loss, output_activation, own):
    """Return the seconds to a first fit in a fresh process, without and with a compile cache.

    NaN with user-defined functions, which another process does not have.
    """
    if callable(loss) or own:
        return math.nan, math.nan
    arguments = json.dumps(
        [sizes, backend, str(np.dtype(dtype)), activation, loss, output_activation]
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        runs = [
            subprocess.run(
                [sys.executable, "-c", _START, arguments],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            for _ in range(2)
        ]
    return tuple(float(run.stdout) for run in runs)

"""The trainings whose bits are written down in reference_hashes.json, and how they are hashed.

Data and initial weights are whole numbers from a seeded generator, divided by powers of two:
exact everywhere, so that only what fastbp computes can change a hash.
"""

import hashlib
import inspect
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helpers import ACTIVATIONS, DTYPES, LOSSES_AND_TARGETS, OPTIMIZERS, outputs_for

import fastbp

TABLE = Path(__file__).with_name("reference_hashes.json")
RESULTS = ["parameters", "losses", "predictions"]  # what each case has a hash of

# Sizes (the last is the wanted number of outputs), samples, batch size.
SHAPES = {
    "ragged": ([5, 17, 3], 23, 8),
    "width 1": ([1, 1, 1], 7, 3),
    "batches of 1": ([3, 33, 2], 9, 1),
    "one row": ([4, 5, 2], 1, 1),
    "no hidden layer": ([17, 3], 41, 16),
    "no hidden layer, width 1": ([33, 1], 29, 29),
    "whole vectors": ([16, 32, 16], 64, 32),
    "narrow middle": ([9, 33, 1, 17, 1], 31, 7),
    "deep": ([3, 6, 17, 6, 5, 33, 5, 2], 37, 10),
    "many outputs": ([3, 4, 131], 19, 6),
    "several blocks": ([40, 130, 70, 11], 700, 300),
    "full batch": ([20, 65, 33, 3], 515, 515),
}
# Those that the cases by activation, loss and optimiser go through in turn.
AWKWARD = ["ragged", "narrow middle", "several blocks", "whole vectors", "deep"]


# The losses and activations that there were when the table began; later ones come last, to add
# cases only.
FIRST = [pair for pair in LOSSES_AND_TARGETS if pair[0] != "quantile"]
FIRST_ACTIVATIONS = ACTIVATIONS[: ACTIVATIONS.index("gelu") + 1]


@dataclass(frozen=True)
class Case:
    """One training; its name is its key in the table."""

    activation: str
    loss: str
    kind: str
    optimizer: str
    shape: str
    dtype: str
    weighted: bool
    l2: float
    validation: bool

    def __str__(self):
        extras = {"weighted": self.weighted, "l2": self.l2, "validation": self.validation}
        first = [self.activation, self.loss, self.kind, self.optimizer, self.shape, self.dtype]
        return " / ".join([*first, *(name for name, used in extras.items() if used)])


def _cases():
    """Each activation, loss, optimiser and shape. What is added to a table adds cases only."""
    picks = [pick for i, name in enumerate(FIRST_ACTIVATIONS) for pick in _by_activation(i, name)]
    for i, (loss, kind) in enumerate(FIRST):
        for j in range(2):
            picks.append((["tanh", "gelu"][j], loss, kind, "sgd", AWKWARD[(i + 2 * j) % 5]))
    for i, optimizer in enumerate(OPTIMIZERS):
        picks.append(("silu", "cross_entropy", "labels", optimizer, AWKWARD[i % 5]))
        picks.append(("relu", "huber", "real", optimizer, "full batch"))
    for shape in SHAPES:
        picks.append(("elu", "poisson", "counts", "adamw", shape))
        picks.append(("sigmoid", "cross_entropy", "soft", "nesterov", shape))
    for i, (loss, kind) in enumerate(pair for pair in LOSSES_AND_TARGETS if pair not in FIRST):
        picks.append(("tanh", loss, kind, "adam", AWKWARD[i % 5]))
    for i, activation in enumerate(ACTIVATIONS):
        if activation not in FIRST_ACTIVATIONS:
            picks += _by_activation(i, activation)
    for i, (pick, dtype) in enumerate(itertools.product(picks, DTYPES)):
        extras = i // 2  # so that both precisions have each
        yield Case(*pick, dtype, extras % 3 == 1, [0.0, 2.0**-6][extras % 4 == 3], extras % 5 == 2)


def _by_activation(i, name):
    """The cases of the activation number i."""
    losses = [("squared_error", "real", "adam"), ("log_loss", "hard", "momentum")]
    return [(name, *losses[j], AWKWARD[(i + j) % 5]) for j in range(2)]


CASES = {str(case): case for case in _cases()}


def _dyadic(rng, shape, bound):
    """Numbers in [-bound, bound), multiples of bound / 2**12."""
    return rng.integers(-(2**12), 2**12, shape) * (bound / 2**12)


def _data(case, sizes, n, rng):
    """Samples, targets, and weights of the samples or None."""
    X = _dyadic(rng, (n, sizes[0]), 2.0)
    k = sizes[-1]
    match case.kind:
        case "hard":
            y = rng.integers(0, 2, (n, k))
        case "labels":
            y = rng.integers(0, k, n)
        case "one_hot":
            y = np.eye(k)[rng.integers(0, k, n)]
        case "counts":
            y = rng.integers(0, 5, (n, k))
        case "real":
            y = _dyadic(rng, (n, k), 2.0)
        case "soft":  # [0, 1] cut at k - 1 places
            cuts = np.sort(rng.integers(0, 257, (n, k - 1)), axis=1)
            y = np.diff(cuts, axis=1, prepend=0, append=256) / 256
    w = rng.integers(1, 9, n) / 4
    return X, y, w if case.weighted else None


def options_of(threads):
    """What passes a number of threads to `fit`, where it takes one."""
    known = "threads" in inspect.signature(fastbp.Network.fit).parameters
    return {"threads": threads} if known and threads is not None else {}


def hashes(case, backend, threads=None):
    """The hashes of a case, in the order of RESULTS."""
    sizes, n, batch_size = SHAPES[case.shape]
    sizes = [*sizes[:-1], outputs_for(case.loss, sizes[-1])]
    rng = np.random.default_rng(20191101)
    net = fastbp.Network(
        sizes,
        activation=case.activation,
        loss=case.loss,
        dtype=case.dtype,
        backend=backend,
        seed=3,
    )
    for weights, biases in zip(net.weights, net.biases, strict=True):
        bound = 2.0 ** -(len(weights).bit_length() // 2)  # about one over the root of the fan-in
        weights[...] = _dyadic(rng, weights.shape, bound)
        biases[...] = _dyadic(rng, biases.shape, 0.25)
    X, y, w = _data(case, sizes, n, rng)
    validation = None
    if case.validation:
        validation = [part for part in _data(case, sizes, n // 2 + 1, rng) if part is not None]
    rprop = case.optimizer == "rprop"
    history = net.fit(
        X,
        y,
        optimizer=OPTIMIZERS[case.optimizer],
        epochs=5 if rprop else 3,
        batch_size=None if rprop else batch_size,
        sample_weight=w,
        l2=case.l2,
        validation_data=validation,
        **options_of(threads),
    )
    losses = [*history.loss, *history.validation_loss]
    return [
        _digest([*net.weights, *net.biases]),
        _digest([np.array(losses, np.float64)]),
        _digest([net.predict(X)]),
    ]


def _digest(arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes("C"))
    return digest.hexdigest()[:16]


def table(backend, threads=None):
    """Name -> hashes of every case."""
    return {name: hashes(case, backend, threads) for name, case in CASES.items()}


def differences(found, expected):
    """A line for each case that is missing or not as expected."""
    lines = []
    for name in sorted({*found, *expected}):
        comp, ref = found.get(name), expected.get(name)
        if comp is None or ref is None:
            lines.append(f"{name}: not in the {'cases' if comp is None else 'table'}")
        elif comp != ref:
            changed = [r for r, a, b in zip(RESULTS, comp, ref, strict=True) if a != b]
            lines.append(f"{name}: {', '.join(changed)}")
    return lines

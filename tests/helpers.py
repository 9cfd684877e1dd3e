"""What several tests share: networks, data for a loss, and comparisons."""

import functools
import time
from types import SimpleNamespace

import numpy as np
import pytest

import fastbp
from fastbp.basis import spec, teams
from fastbp.engine import engine

ACTIVATIONS = list(spec.ACTIVATIONS)
DTYPES = ["float32", "float64"]
SECONDS = 300  # until something counts as hanging

# Loss -> the kinds of targets it takes, see `make_targets`.
TARGETS = {
    "log_loss": ["hard", "soft"],
    "cross_entropy": ["labels", "one_hot", "soft"],
    "squared_error": ["real"],
    "absolute_error": ["real"],
    "huber": ["real"],
    "poisson": ["counts", "soft"],
    "quantile": ["real"],
}
# Parameters of losses in the tests, where they are not at their defaults.
PARAMETERS = {"quantile": 0.7}
LOSSES_AND_TARGETS = [(loss, kind) for loss, kinds in TARGETS.items() for kind in kinds]

# One optimiser of each code, no hyper-parameter at its default.
OPTIMIZERS = {
    "sgd": fastbp.SGD(0.03),
    "momentum": fastbp.SGD(0.02, momentum=0.8),
    "nesterov": fastbp.SGD(0.02, momentum=0.7, nesterov=True),
    "rmsprop": fastbp.RMSprop(0.003, decay=0.8, epsilon=1e-3),
    "adagrad": fastbp.Adagrad(0.02, epsilon=1e-3),
    "adam": fastbp.Adam(0.005, beta_1=0.8, beta_2=0.95, epsilon=1e-3),
    "adamw": fastbp.AdamW(0.005, beta_1=0.7, beta_2=0.9, epsilon=1e-3, weight_decay=0.3),
    "rprop": fastbp.Rprop(0.05, eta_minus=0.4, eta_plus=1.3, smallest_step=0.01, largest_step=0.1),
}


def make_targets(kind, n, n_outputs, rng):
    """Targets of a kind for n samples."""
    match kind:
        case "hard":
            return rng.integers(0, 2, (n, n_outputs)).astype(float)
        case "labels":
            return rng.integers(0, n_outputs, n)
        case "one_hot":
            return np.eye(n_outputs)[rng.integers(0, n_outputs, n)]
        case "real":
            return 2 * rng.standard_normal((n, n_outputs))
        case "counts":
            return rng.poisson(1.5, (n, n_outputs)).astype(float)
        case "soft":
            y = rng.uniform(0.05, 1, (n, n_outputs))
            return y / y.sum(axis=1, keepdims=True) if n_outputs > 1 else y


def make_data(loss, n, n_features, n_outputs, seed=0, kind=None):
    """Samples and targets (of the first kind the loss takes, unless said otherwise)."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, n_features))
    return X, make_targets(kind or TARGETS[loss][0], n, n_outputs, rng)


def make_network(
    sizes, loss, backend, dtype="float64", activation="tanh", seed=0, output_activation=None
):
    """A network with biases that are not zero."""
    net = fastbp.Network(
        sizes,
        activation=activation,
        loss=loss,
        loss_parameter=None if callable(loss) else PARAMETERS.get(loss),
        output_activation=output_activation,
        dtype=dtype,
        backend=backend,
        seed=seed,
    )
    rng = np.random.default_rng(seed + 1)
    for b in net.biases:
        b[...] = rng.uniform(-0.3, 0.3, b.shape)
    return net


def outputs_for(loss, wanted):
    """The number of outputs nearest to the one wanted that the loss allows."""
    return max(wanted, 2) if loss == "cross_entropy" else wanted


def flat(arrays):
    """One vector of all numbers in a list of arrays, or in the lists of a Gradient."""
    return np.concatenate([np.ravel(a) for a in arrays])


def parameters(net):
    """All weights, then all biases, as one vector (a copy)."""
    return flat([*net.weights, *net.biases])


def gradient_of(net, *data):
    """The gradient as one vector, in the order of `parameters`."""
    gradient = net.loss_and_gradient(*data)[1]
    return flat([*gradient.weights, *gradient.biases])


def error(comp, ref):
    """The largest difference, relative to the largest entry of the reference."""
    comp, ref = np.asarray(comp, np.float64), np.asarray(ref, np.float64)
    assert comp.shape == ref.shape
    assert np.isfinite(comp).all()
    scale = np.abs(ref).max() or 1.0
    return np.abs(comp - ref).max() / scale


def copy_parameters(source, target):
    """Give a network the weights and biases of another one."""
    for i in range(len(source.weights)):
        target.weights[i] = source.weights[i]
        target.biases[i] = source.biases[i]


def use_threads(patch, threads):
    """Have calls of few rows, too, run in that many threads; return the sizes of their teams."""
    run, sizes = teams.run, []

    def noted(member, threads):
        sizes.append(threads)
        return run(member, threads)

    patch.setattr(teams, "run", noted)
    patch.setattr(teams, "automatic", lambda *_: threads)
    patch.setattr(engine, "INLINE_SECONDS", 0.0)  # shorter calls have no team
    return sizes


def wait_until(condition):
    """Come back once `condition()` is true."""
    end = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > end:
            pytest.fail("it hangs")
        time.sleep(0.001)


def watch_runs(monkeypatch, backend, watch):
    """Let ``watch(run, *arguments)`` take the place of ``run(*arguments)`` of a backend's jobs."""
    make = backend.job

    def job(*arguments, **options):
        made = make(*arguments, **options)
        run = functools.partial(watch, made.run)
        return SimpleNamespace(take=made.take, run=run, update=made.update)

    monkeypatch.setattr(backend, "job", job)

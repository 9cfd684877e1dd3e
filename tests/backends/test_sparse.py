"""Sparse samples give the bits of dense ones, on both compiled backends and in any team."""

import numpy as np
import pytest
import scipy.sparse
from helpers import DTYPES, error, flat, make_network, make_targets, parameters

import fastbp

N = 53
# Sizes and losses: whole and broken vectors, no hidden layer, a single output behind the input.
NETWORKS = {
    "wide": ([90, 70, 3], "cross_entropy", "labels"),
    "deep": ([40, 5, 4, 2], "squared_error", "real"),
    "no hidden layer": ([35, 3], "squared_error", "real"),
    "single": ([50, 1], "log_loss", "hard"),
}
OPTIONS = {
    "plain": {},
    "weights of 0": {"sample_weight": np.arange(N) % 3},
    "dropped inputs": {"dropout": 0.4},
    "penalties, clipping": {"l2": 0.01, "l1": 0.001, "clip_norm": 0.3},
    "an average": {"average": fastbp.EMA(0.9)},
    "one batch": {"batch_size": None},
}


def samples(n, features, rng, density=0.1):
    """A CSR matrix with an empty row and an empty column."""
    X = rng.standard_normal((n, features)) * (rng.random((n, features)) < density)
    X[2], X[:, 3] = 0, 0
    return scipy.sparse.csr_array(X)


def trained(net, X, y, **options):
    """All numbers that come out of a training, a gradient and a prediction."""
    dropout = options.pop("dropout", None)
    if dropout:
        options["dropout"] = [dropout] + [0.2] * (len(net.weights) - 1)
    options = {"batch_size": 20, "epochs": 3, **options}
    history = net.fit(X, y, **options)
    loss, gradient = net.loss_and_gradient(X, y)
    found = [*gradient.weights, *gradient.biases, net.predict(X)]
    return np.concatenate([parameters(net), flat(found), history.loss, [loss]])


def problem(which, dtype, backend):
    sizes, loss, kind = NETWORKS[which]
    rng = np.random.default_rng(7)
    y = make_targets(kind, N, sizes[-1], rng)
    return make_network(sizes, loss, backend, dtype, "relu"), samples(N, sizes[0], rng), y


@pytest.mark.parametrize("how", OPTIONS)
@pytest.mark.parametrize("which", NETWORKS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_of_dense_samples(backend, dtype, which, how):
    net, X, y = problem(which, dtype, backend)
    ref = trained(net, X.toarray(), y, **OPTIONS[how])
    for threads in (1, 3):
        net, X, y = problem(which, dtype, backend)
        comp = trained(net, X, y, threads=threads, **OPTIONS[how])
        if backend == "numpy":  # SciPy's products add up in another order
            assert error(comp, ref) < (1e-12 if dtype == "float64" else 1e-4)
        else:
            assert np.array_equal(comp, ref)


@pytest.mark.nojit
@pytest.mark.parametrize("which", ["deep", "single"])
def test_close_to_dense_samples(backend, which):
    """Also where kernels are plain Python, whose fused multiply-adds round twice."""
    found = []
    for form in (lambda X: X, lambda X: X.toarray()):
        net, X, y = problem(which, "float64", backend)
        found.append(trained(net, form(X), y, epochs=1, **OPTIONS["dropped inputs"]))
    assert error(*found) < 1e-12


@pytest.mark.parametrize("sizes", [[30, 8, 2], [700, 60, 2]])
def test_large_batches(compiled, sizes):
    """In groups of blocks, and in several blocks that a team shares."""
    rng = np.random.default_rng(1)
    X, y = samples(6000, sizes[0], rng, 0.01), rng.standard_normal((6000, 2))
    found = []
    for given, threads in ((X, 1), (X, 3), (X.toarray(), 1)):
        net = make_network(sizes, "squared_error", compiled)
        options = {"batch_size": None, "threads": threads, "dropout": 0.5}
        found.append(trained(net, given, y, **options))
    assert np.array_equal(found[0], found[1])
    assert error(found[0], found[2]) < 1e-12  # their blocks may have other numbers of rows


@pytest.mark.nojit
@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_lazy_steps_of_all_backends(compiled, dtype, dropout):
    """The bits do not depend on threads or the backend, and the reference is close."""
    rng = np.random.default_rng(3)
    X, y = samples(N, 300, rng, 0.01), rng.standard_normal((N, 2))
    found = {}
    for backend, threads in (("numpy", 1), (compiled, 1), (compiled, 3)):
        net = make_network([300, 9, 2], "squared_error", backend, dtype)
        options = {"optimizer": fastbp.LazyAdam(0.01), "dropout": dropout, "threads": threads}
        found[backend, threads] = trained(net, X, y, **options)
    assert np.array_equal(found[compiled, 1], found[compiled, 3])
    close = 1e-11 if dtype == "float64" else 1e-3
    assert error(found[compiled, 1], found["numpy", 1]) < close


def test_lazy_steps_of_both_compiled_backends():
    pytest.importorskip("fastbp.backends.cython_", exc_type=fastbp.BackendUnavailable)
    rng = np.random.default_rng(3)
    X, y = samples(N, 300, rng, 0.01), rng.standard_normal((N, 2))
    one, other = (
        trained(
            make_network([300, 9, 2], "squared_error", backend),
            *(X, y),
            optimizer=fastbp.LazyAdam(0.01),
        )
        for backend in ("numba", "cython")
    )
    assert np.array_equal(one, other)

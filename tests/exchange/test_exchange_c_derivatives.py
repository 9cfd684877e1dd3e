"""Exported C that has derivatives by the inputs: those of input_jacobian."""

import numpy as np
import pytest
from c_helpers import CC, FAST, STRICT, Library
from helpers import ACTIVATIONS, make_network

if CC is None:
    pytest.skip("needs a C compiler", allow_module_level=True)


def jacobians(library, name, X, n_outputs):
    """(h, J) of each row, from a scratch that holds NaN and is as large as the header says."""
    h = np.zeros((len(X), n_outputs), np.float32)
    J = np.zeros((len(X), n_outputs, X.shape[1]), np.float32)
    size = library.size(f"{name.upper()}_JACOBIAN_SCRATCH")
    for i, x in enumerate(np.ascontiguousarray(X, np.float32)):
        scratch = np.full(size + 2, np.nan, np.float32)
        scratch[[0, -1]] = 7
        library.call(f"{name}_jacobian", x, h[i], J[i], scratch[1:-1])
        assert (scratch[[0, -1]] == 7).all()
    return h, J


NETWORKS = {
    "softmax": dict(
        sizes=[3, *[9] * len(ACTIVATIONS), 5], loss="cross_entropy", activation=ACTIVATIONS
    ),
    "sigmoid": dict(sizes=[3, 6, 5, 1], loss="log_loss", activation="tanh"),
    "two_sigmoids": dict(sizes=[3, 2], loss="log_loss"),
    "exp": dict(sizes=[3, 8, 2], loss="poisson", activation="gelu"),
    "identity": dict(sizes=[7, 4, 1], loss="huber", activation="relu"),
    "silu": dict(sizes=[2, 4, 3], loss="squared_error", output_activation="silu"),
}


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_derivatives_are_those_of_input_jacobian(weights, rng, tmp_path):
    nets = {}
    for name, made in NETWORKS.items():
        net = make_network(backend="auto", **made)
        nets[name] = net.to_c(tmp_path, name, weights=weights, jacobian=True)
    library = Library(tmp_path, *STRICT, "-O1", "-march=native")
    for name, net in nets.items():
        sizes = net.layout.sizes
        X = rng.uniform(-2, 2, (20, sizes[0])).astype(np.float32)
        h, J = jacobians(library, name, X, sizes[-1])
        assert np.array_equal(h, net.predict(X))
        exact = net._converted("float64", "numpy").input_jacobian(X)
        size = np.abs(exact).max()
        assert size > 1e-3
        np.testing.assert_allclose(J, exact, rtol=0, atol=3e-6 * size)


def test_whole_numbers_are_exact(rng, tmp_path):
    """Networks of whole numbers, in which nothing is rounded: no tolerance."""
    nets = {}
    for name, activation in {"relus": "relu", "lines": "identity", "bounded": "hard_tanh"}.items():
        net = make_network([5, 6, 4, 3], "squared_error", "auto", activation=activation)
        for W, b in zip(net.weights, net.biases, strict=True):
            W[...], b[...] = rng.integers(-4, 5, W.shape), rng.integers(-4, 5, b.shape)
        nets[name] = net
        net.to_c(tmp_path, name, jacobian=True)
    library = Library(tmp_path, *FAST)
    X = rng.integers(-2, 3, (30, 5)) / 4
    for name, net in nets.items():
        h, J = jacobians(library, name, X, 3)
        assert np.array_equal(h, net.predict(X))
        assert np.array_equal(J, net.input_jacobian(X)) and np.abs(J).max() > 3


def test_refused(tmp_path):
    net = make_network([2, 1], "huber", "auto")
    with pytest.raises(TypeError, match="jacobian must be"):
        net.to_c(tmp_path, jacobian="yes")
    assert not list(tmp_path.iterdir())

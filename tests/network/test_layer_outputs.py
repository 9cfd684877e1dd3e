"""Reading the activations of all layers."""

import numpy as np
import pytest
from gradient_helpers import torch_activations
from helpers import ACTIVATIONS, error, make_data, make_network

import fastbp


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [[4, 6, 5, 3], [4, 18, 2], [4, 7, 1], [3, 2], [3, 1]])
def test_each_layer_is_a_network_of_its_own(backend, sizes, dtype):
    """h_i is the output of a network that ends with layer i, activated by NumPy."""
    X, _ = make_data("squared_error", 37, sizes[0], 1)
    net = make_network(sizes, "squared_error", backend, dtype)
    layers = net.layer_outputs(X)
    assert [h.shape for h in layers] == [(37, n) for n in sizes[1:]]
    assert {h.dtype for h in layers} == {np.dtype(dtype)}
    assert np.array_equal(layers[-1], net.predict(X))
    h = X.astype(dtype)
    for i, comp in enumerate(layers):
        s = h.astype(np.float64) @ net.weights[i] + net.biases[i]
        ref = np.tanh(s) if i < len(layers) - 1 else s
        assert error(comp, ref) < (1e-6 if dtype == "float32" else 1e-14)
        h = comp


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_as_pytorch(backend, activation):
    torch = pytest.importorskip("torch")
    functional = torch_activations(torch)
    X, _ = make_data("squared_error", 50, 3, 1)
    net = make_network([3, 8, 1], "huber", backend, activation=activation)
    s = torch.tensor(X @ net.weights[0] + net.biases[0])
    assert error(net.layer_outputs(X)[0], functional[activation](s).numpy()) < 1e-13


def test_in_blocks(backend):
    """More rows than a block has."""
    net = make_network([4, 300, 250, 1], "log_loss", backend)
    X, _ = make_data("squared_error", 3000, 4, 1)
    assert net.layout.block_rows(len(X)) < len(X)
    h = net.layer_outputs(X)
    for rows in (slice(0, 100), slice(-100, None)):
        for layer, part in zip(h, net.layer_outputs(X[rows]), strict=True):
            if backend == "numpy":  # its products depend on the number of rows
                assert error(layer[rows], part) < 1e-14
            else:
                assert np.array_equal(layer[rows], part)


def test_networks_that_users_want_activations_of(backend):
    """The last layer's activations, used as features."""
    net = fastbp.Network([4, 6, 3], loss="cross_entropy", seed=0, backend=backend)
    X, _ = make_data("cross_entropy", 20, 4, 3)
    hidden, output = net.layer_outputs(X)
    assert np.allclose(output.sum(axis=1), 1)
    assert (hidden >= 0).all()
    with pytest.raises(ValueError, match="4"):
        net.layer_outputs(X[:, :3])

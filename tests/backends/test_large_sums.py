"""Sums over very many rows: single precision alone would lose their last digits."""

import numpy as np
import pytest

import fastbp

ROWS = 1 << 21


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).standard_normal((ROWS, 1)).astype(np.float32)
    return x, np.float32(0.3) * x + 1


def test_gradients_and_losses(compiled, data):
    """The error is at most 1e-6 of the sum of the absolute terms."""
    x, y = data
    net = fastbp.Network([1, 1], loss="squared_error", backend=compiled)
    net.weights[0], net.biases[0] = [[0.1]], [0.0]
    loss, gradient = net.loss_and_gradient(x, y)
    d = np.float32(0.1) * x.astype(np.float64) - y
    for found, terms in (
        (loss, d * d / 2),
        (gradient.biases[0][0], d),
        (gradient.weights[0][0, 0], d * x),
    ):
        assert abs(found - terms.mean()) <= 1e-6 * np.abs(terms).mean()


def test_a_step(compiled, data):
    """The same for the gradient of a training, seen in the step that it makes."""
    x, y = data
    net = fastbp.Network([1, 1], loss="squared_error", backend=compiled)
    net.weights[0], net.biases[0] = [[0.1]], [0.0]
    net.fit(x, y, optimizer=fastbp.SGD(1.0), epochs=1, batch_size=None)
    d = np.float32(0.1) * x.astype(np.float64) - y
    assert abs(net.biases[0][0] + d.mean()) <= 1e-6 * np.abs(d).mean()

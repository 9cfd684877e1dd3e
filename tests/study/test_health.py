"""What a record of health says is so, and it warns of what it should and of nothing else."""

import warnings

import numpy as np
import pytest
from helpers import make_data, make_network

import fastbp


def train(net, X, y, health, epochs, rate=0.1):
    """Epochs of SGD with the recorder as a callback."""
    net.fit(X, y, optimizer=fastbp.SGD(rate), epochs=epochs, callbacks=[health])


def moons(n=200):
    """Two half circles."""
    rng = np.random.default_rng(0)
    angle, label = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    X = np.column_stack([np.cos(angle), np.sin(angle)]) * (1 - 2 * label)[:, None]
    X += label[:, None] * [1, 0.5] + 0.1 * rng.standard_normal((n, 2))
    return X, label


def test_numbers(backend):
    """Gradients, movement and slopes by hand."""
    net = make_network([3, 4, 1], "squared_error", backend, activation="relu")
    X, y = make_data("squared_error", 30, 3, 1)
    health = fastbp.Health(X, y)
    health.record(net)
    before = [W.copy() for W in net.weights]
    net.fit(X, y, optimizer=fastbp.SGD(0.05), epochs=2)
    health.record(net)
    loss, gradient = net.loss_and_gradient(X, y)
    assert health.loss[1] == loss and len(health.loss) == 2
    for i in range(2):
        rms = np.sqrt((gradient.weights[i] ** 2).mean())
        assert health.gradient[1][i] == pytest.approx(rms, rel=1e-12)
        moved = np.linalg.norm(net.weights[i] - before[i]) / np.linalg.norm(before[i])
        assert health.update[1][i] == pytest.approx(moved, rel=1e-12)
    assert np.isnan(health.update[0]).all()
    s = X @ net.weights[0] + net.biases[0]
    assert health.saturated[1][0] == pytest.approx((s <= 0).mean())
    assert health.dead[1][0] == pytest.approx((s <= 0).all(axis=0).mean())
    assert health.activations == ("relu",)


def test_a_healthy_training(backend):
    X, y = moons()
    net = fastbp.Network([2, 16, 16, 1], loss="log_loss", seed=0, backend=backend)
    health = fastbp.Health(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(net, X, y, health, 20)
    assert health.messages() == [] and "All is well" in repr(health)
    assert len(health.loss) == 21 and health.loss[-1] < health.loss[0]


def test_vanishing_gradients_and_their_cure(backend):
    X, y = moons()
    layers = [2, *[16] * 8, 1]
    deep = fastbp.Network(layers, activation="sigmoid", loss="log_loss", seed=0, backend=backend)
    health = fastbp.Health(X, y)
    with pytest.warns(fastbp.HealthWarning, match=r"vanishing.*layer 1.*Try activation='relu'"):
        train(deep, X, y, health, 3)
    assert health.gradient[-1][0] < 1e-4 * health.gradient[-1][-1]
    cured = fastbp.Network(layers, activation="relu", loss="log_loss", seed=0, backend=backend)
    train(cured, X, y, health, 3)
    assert not any("vanishing" in message for message in health.messages())


def test_exploding_gradients(backend):
    net = make_network([4, *[16] * 8, 1], "squared_error", backend, activation="identity")
    for W in net.weights[1:]:
        W *= 8
    X, y = make_data("squared_error", 30, 4, 1)
    health = fastbp.Health(X, y, warn=False)
    health.record(net)
    assert not any("exploding" in message for message in health.messages())
    for W in net.weights[:-1]:
        W *= 3
    health.record(net)
    (message,) = [m for m in health.messages() if "exploding" in m]
    assert "times since the start" in message and "clip_norm" in message


def test_gradients_that_grow_downwards(backend):
    net = make_network([4, 16, 16, 16, 1], "squared_error", backend, activation="tanh")
    for b in net.biases:
        b[...] = 0
    net.weights[0] = 1e-5 * net.weights[0]
    X, y = make_data("squared_error", 30, 4, 1)
    health = fastbp.Health(X, y)
    health.record(net)
    (message,) = health.messages()
    assert message.startswith("exploding gradients: they grow")
    assert "from the output layer to layer 1" in message


def test_dead_units(backend):
    net = make_network([3, 5, 1], "squared_error", backend, activation="relu")
    net.biases[0] = [-100, -100, -100, -100, 0]
    X, y = make_data("squared_error", 20, 3, 1)
    health = fastbp.Health(X, y)
    health.record(net)
    (message,) = health.messages()
    assert message.startswith("dead units: 80% of layer 1 (relu)") and "leaky_relu" in message


def test_saturated_units(backend):
    net = make_network([3, 5, 1], "squared_error", backend, activation="tanh")
    X, y = make_data("squared_error", 40, 3, 1)
    health = fastbp.Health(30 * X, y)
    health.record(net)
    assert any("saturated units: in layer 1" in message for message in health.messages())
    assert health.saturated[0][0] > 0.8


@pytest.mark.parametrize("change, what", [(3.0, "large steps"), (1e-9, "standstill")])
def test_steps(backend, change, what):
    net = make_network([3, 5, 1], "squared_error", backend)
    X, y = make_data("squared_error", 40, 3, 1)
    health = fastbp.Health(X, y)
    health.record(net)
    for W in net.weights:
        W *= 1 + change
    health.record(net)
    assert any(message.startswith(what) for message in health.messages())


def test_without_hidden_layers(backend):
    net = make_network([3, 1], "log_loss", backend)
    X, y = make_data("log_loss", 40, 3, 1)
    health = fastbp.Health(X, y)
    assert health.messages() == [] and "nothing recorded" in repr(health)
    health.record(net)
    assert health.messages() == [] and health.dead[0].size == 0


def test_begin_starts_anew():
    net = make_network([3, 4, 1], "log_loss", "numpy")
    X, y = make_data("log_loss", 40, 3, 1)
    health = fastbp.Health(X, y, warn=False)
    train(net, X, y, health, 2)
    train(net, X, y, health, 1)
    assert len(health.loss) == len(health.update) == 2


def test_bad_input_is_refused():
    with pytest.raises(TypeError, match="warn must be True or False"):
        fastbp.Health([[1.0]], [1.0], warn=1)
    with pytest.raises(ValueError, match="X has 1 features"):
        fastbp.Health([[1.0]], [1.0]).record(make_network([3, 1], "log_loss", "numpy"))

"""Far-out pre-activations: losses and gradients stay finite and right."""

import math

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES

import fastbp
from fastbp.basis import spec

pytestmark = pytest.mark.nojit

FAR = [-500.0, -50.0, 50.0, 500.0]
TOLERANCE = {"float32": 1e-6, "float64": 1e-14}


def output_at(s, loss, backend, dtype):
    """A network without hidden layers whose pre-activations for x = 1 are s."""
    net = fastbp.Network([1, len(s)], loss=loss, dtype=dtype, backend=backend)
    net.weights[0] = [s]
    return net


def check(net, y, loss, delta):
    """Loss and ∂e/∂s (as gradient of the bias) at x = 1."""
    dtype = net.layout.dtype.name
    found, gradient = net.loss_and_gradient([[1.0]], y)
    assert found == pytest.approx(loss, rel=TOLERANCE[dtype], abs=1e-20)
    for comp in (gradient.biases[0], gradient.weights[0][0]):
        assert comp == pytest.approx(np.array(delta), rel=TOLERANCE[dtype], abs=1e-20)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("s", FAR)
@pytest.mark.parametrize("y", [0.0, 0.5, 1.0])
def test_log_loss(backend, dtype, s, y):
    h = 1 / (1 + math.exp(-s)) if s > 0 else math.exp(s) / (1 + math.exp(s))
    tail = math.exp(-abs(s))
    net = output_at([s, s], "log_loss", backend, dtype)
    one = max(s, 0) - s * y + tail
    check(net, [[y, y]], 2 * one, [h - y] * 2 if y else [h] * 2)
    assert net.predict([[1.0]])[0] == pytest.approx([h, h], rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("s", FAR)
@pytest.mark.parametrize("label", [0, 1, 2])
def test_cross_entropy(backend, dtype, s, label):
    net = output_at([s, 0.0, 0.0], "cross_entropy", backend, dtype)
    low = math.exp(-abs(s))
    h = [1.0, low, low] if s > 0 else [low / 2, 0.5, 0.5]
    if s > 0:
        loss = 2 * low if label == 0 else s
    else:
        loss = math.log(2) - s if label == 0 else math.log(2)
    delta = [p - (j == label) for j, p in enumerate(h)]
    if label == 0 and s > 0:
        # 1 - h_0 = 2 exp(-s) is lost in 1; only that it is tiny can be asked for.
        found, gradient = net.loss_and_gradient([[1.0]], [label])
        assert 0 <= found <= 1e-6
        assert np.abs(gradient.biases[0]).max() <= 1e-6
    else:
        check(net, [label], loss, delta)
    p = net.predict([[1.0]])[0]
    assert p.sum() == pytest.approx(1, rel=1e-6)
    assert p == pytest.approx(h, rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("s", FAR)
@pytest.mark.parametrize(
    "loss, value, delta",
    [
        ("squared_error", lambda s: s * s / 2, lambda s: s),
        ("absolute_error", abs, np.sign),
        ("huber", lambda s: abs(s) - 0.5, np.sign),
    ],
)
def test_regression(backend, dtype, s, loss, value, delta):
    check(output_at([s], loss, backend, dtype), [0.0], value(s), [delta(s)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("s", [-500.0, -50.0, 50.0])
@pytest.mark.parametrize("y", [0.0, 3.0])
def test_poisson(backend, dtype, s, y):
    h = math.exp(s)
    y_log_y = y * math.log(y) if y else 0.0
    net = output_at([s], "poisson", backend, dtype)
    found, gradient = net.loss_and_gradient([[1.0]], [y])
    assert found == pytest.approx(h - y * s + y_log_y - y, rel=2e-5, abs=1e-20)
    assert gradient.biases[0][0] == pytest.approx(h - y, rel=2e-5, abs=1e-20)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("s", FAR)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_layer(backend, dtype, s, activation):
    """h and σ' take their limits: σ(s) -> s or a bound, σ' -> 1, the slope, or 0."""
    net = fastbp.Network(
        [1, 3, 1], activation=activation, loss="absolute_error", dtype=dtype, backend=backend
    )
    net.weights[0], net.weights[1] = [[s, s, s]], [[1.0], [2.0], [-1.0]]
    bounded = {"sigmoid": (0, 1), "tanh": (-1, 1), "hard_tanh": (-1, 1)}
    left = {"identity": s, "leaky_relu": 0.01 * s, "elu": -1, "selu": -spec.SELU_DEPTH}
    if activation == "sin":
        h, derivative = math.sin(s), math.cos(s)
    elif activation == "selu" and s > 0:
        h, derivative = spec.SELU_SCALE * s, spec.SELU_SCALE
    elif activation in bounded:
        h, derivative = bounded[activation][s > 0], 0
    elif s > 0:
        h, derivative = s, 1
    else:
        h, derivative = (
            left.get(activation, 0),
            {"identity": 1, "leaky_relu": 0.01}.get(activation, 0),
        )
    loss, gradient = net.loss_and_gradient([[1.0]], [5000.0])
    assert loss == pytest.approx(5000 - 2 * h, rel=1e-6)
    assert gradient.weights[1].ravel() == pytest.approx([-h] * 3, rel=1e-6, abs=1e-18)
    assert gradient.biases[0] == pytest.approx(
        -derivative * np.array([1.0, 2.0, -1.0]), rel=1e-5, abs=1e-18
    )

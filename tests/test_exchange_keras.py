"""Weights to and from Keras, whose own predictions are the same."""

import os

import numpy as np
import pytest
from helpers import error, make_network, parameters

import fastbp

# Keras converts its variables in a way that NumPy 2 calls old.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
HIDDEN = {
    **{name: name for name in ("sigmoid", "tanh", "relu", "elu", "softplus", "silu", "gelu")},
    "identity": "linear",
}
OUTPUTS = {
    "cross_entropy": "softmax",
    "log_loss": "sigmoid",
    "squared_error": "linear",
    "poisson": "exponential",
}


@pytest.fixture(scope="module")
def keras():
    os.environ.setdefault("KERAS_BACKEND", "torch")
    module = pytest.importorskip("keras")
    module.utils.set_random_seed(0)
    return module


def model_of(keras, hidden, output, bias=True):
    layers = [
        keras.layers.Dense(7, activation=hidden, use_bias=bias),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(5, activation=hidden),
        keras.layers.Dense(3, activation=output),
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.mark.parametrize("activation", HIDDEN)
def test_activations(activation, keras, rng):
    model = model_of(keras, HIDDEN[activation], "linear")
    X = rng.standard_normal((20, 4))
    net = make_network([4, 7, 5, 3], "squared_error", "auto", "float32", activation)
    model.set_weights(net.to_keras())
    assert error(model.predict(X, verbose=0), net.predict(X)) < 2e-6
    again = fastbp.Network.from_keras(
        model.get_weights(), activation=activation, loss="squared_error"
    )
    assert again.layout == net.layout
    assert np.array_equal(parameters(again), parameters(net))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("loss", OUTPUTS)
def test_output_activations(loss, bias, keras, rng):
    model = model_of(keras, "relu", OUTPUTS[loss], bias)
    X = rng.standard_normal((20, 4))
    net = fastbp.Network.from_keras(model.get_weights(), activation="relu", loss=loss)
    assert error(net.predict(X), model.predict(X, verbose=0)) < 2e-6
    assert not net.biases[0].any()  # as Keras starts, or there are none


def test_lists():
    """Without Keras: copies out, and arrays of any precision in."""
    net = make_network([2, 3, 1], "log_loss", "auto", activation="gelu")
    arrays = net.to_keras()
    assert [a.shape for a in arrays] == [(2, 3), (3,), (3, 1), (1,)]
    again = fastbp.Network.from_keras(tuple(arrays), activation=["gelu"], loss="log_loss")
    assert again.layout == net.layout
    assert np.array_equal(parameters(again), parameters(net))
    arrays[0][...] = 0
    assert net.weights[0].all()


W, B = np.ones((2, 3)), np.ones(3)


@pytest.mark.parametrize(
    "weights, message",
    [
        ([], "no weights"),
        ([B], r"entry 0, of shape \(3,\)"),
        ([W, B, B], r"entry 2, of shape \(3,\)"),
        ([W, np.ones(2)], r"entry 1, of shape \(2,\)"),
        ([W, np.ones((3, 3, 1))], r"entry 1, of shape \(3, 3, 1\)"),
        ([W, B, W], "do not follow on each other"),
        ([W.astype("f4"), B], "throughout"),
        ([W.astype(int), B.astype(int)], "must be float32 or float64"),
        ([W * np.nan, B], "NaN"),
        (["W"], r"entry 0, of shape \(\)"),
    ],
)
def test_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_keras(weights, activation="relu", loss="huber")


def test_a_model_is_no_list(keras):
    model = model_of(keras, "relu", "linear")
    with pytest.raises(TypeError, match=r"model.get_weights\(\) gives, got Sequential"):
        fastbp.Network.from_keras(model, activation="relu", loss="huber")

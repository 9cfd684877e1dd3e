"""Output activations that the loss does not imply, in other tools and back."""

import os
import shutil

import numpy as np
import pytest
from helpers import error, parameters
from output_helpers import SOME_PAIRS, pair_network

import fastbp
from fastbp.basis import spec
from fastbp.exchange.activations import EQUIVALENTS

OUTPUTS = [name for name in spec.NO_LOSS.outputs if name != "softmax"]
NO_LOSS = [*OUTPUTS, "softmax"]


def network(output, dtype="float32", loss=None):
    """A network that ends in an activation."""
    net = fastbp.Network(
        [3, 4, 2], activation="tanh", loss=loss, output_activation=output, dtype=dtype, seed=0
    )
    net.biases[-1][...] = [0.2, -0.4]
    return net


def same(net, again, output):
    """Whether a network came back, with the loss that an import chooses."""
    assert again.output_activation == output
    assert again.loss == spec.DEFAULT_LOSSES[output]
    assert np.array_equal(parameters(again), parameters(net))


@pytest.mark.parametrize("output", NO_LOSS)
def test_torch(output, rng):
    torch = pytest.importorskip("torch")
    net, X = network(output, "float64"), rng.standard_normal((20, 3))
    module = net.to_torch()
    assert error(module(torch.tensor(X)).detach().numpy(), net.predict(X)) < 1e-14
    same(net, fastbp.Network.from_torch(module), output)


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_a_loss_for_what_torch_ends_in(loss, output):
    pytest.importorskip("torch")
    net = pair_network([3, 4, 2], loss, output, None)
    again = fastbp.Network.from_torch(net.to_torch(), loss=loss)
    assert np.array_equal(parameters(again), parameters(net))
    assert again.loss == loss
    # A module that ends in a linear layer gets the canonical output activation of the loss.
    assert again.output_activation == ("exp" if output == "identity" else output)


def test_a_loss_that_cannot_have_it():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    words = "ends in tanh; losses with tanh: squared_error, absolute_error, huber, quantile"
    with pytest.raises(ValueError, match=words):
        fastbp.Network.from_torch(module, loss="log_loss")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", NO_LOSS)
def test_onnx(output, dtype, rng, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net, X = network(output, dtype), rng.standard_normal((20, 3)).astype(dtype)
    path = tmp_path / "net.onnx"
    net.to_onnx(path)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    near = 2e-6 if dtype == "float32" else 2e-14
    assert error(session.run(None, {"X": X})[0], net.predict(X)) < near
    same(net, fastbp.Network.from_onnx(path), output)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("output", [name for name in NO_LOSS if EQUIVALENTS[name].keras])
def test_keras(output, rng):
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    net, X = network(output), rng.standard_normal((20, 3))
    layers = keras.layers.Dense(4, "tanh"), keras.layers.Dense(2, EQUIVALENTS[output].keras)
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.set_weights(net.to_keras())
    assert error(model.predict(X, verbose=0), net.predict(X)) < 2e-6
    same(net, fastbp.Network.from_keras(model), output)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("output", NO_LOSS)
def test_c(output, rng, tmp_path):
    """The exported program compares the bits."""
    import subprocess

    network(output).to_c(tmp_path, "net", X=4 * rng.standard_normal((50, 3)))
    files = ["net.c", "net_test.c", "-o", "net_test"]
    command = ["cc", "-std=c99", "-Wall", "-Werror", "-O2", "-march=native", *files]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    subprocess.run(["./net_test"], cwd=tmp_path, check=True, timeout=300)


@pytest.mark.parametrize("output", NO_LOSS)
@pytest.mark.parametrize("loss", [None, "squared_error"])
def test_scikit_learn(loss, output, rng):
    """Without a loss, probabilities are a classifier's; with squared_error a regressor's."""
    if loss is not None and output not in spec.LOSSES[loss].outputs:
        pytest.skip("no such pair")
    net, X = network(output, "float64", loss), rng.standard_normal((20, 3))
    if EQUIVALENTS[output].sklearn is None:
        with pytest.raises(ValueError, match=f"perceptrons cannot end in {output}, only in identi"):
            net.to_sklearn()
        return
    estimator = net.to_sklearn()
    if loss is None and output in ("sigmoid", "softmax"):
        assert error(estimator.predict_proba(X), net.predict(X)) < 1e-14
        return
    assert error(estimator.predict(X), net.predict(X)) < 1e-14
    if output != "sigmoid":
        same(net, fastbp.Network.from_sklearn(estimator), output)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_estimator_that_was_told_another_output_activation(rng):
    """fastbp's regressor with another output activation, which can be set for predictions."""
    X = rng.standard_normal((20, 3))
    model = fastbp.MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    model.fit(X, X[:, 0])
    model.out_activation_ = "tanh"
    net = fastbp.Network.from_sklearn(model)
    assert net.output_activation == "tanh"
    assert error(net.predict(X).ravel(), model.predict(X)) < 1e-14

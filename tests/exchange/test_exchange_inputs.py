"""Categories and missing numbers: to ONNX and PyTorch."""

import numpy as np
import pytest
from helpers import DTYPES, error
from input_helpers import INPUTS, data_for, make_inputs, samples_for

import fastbp

ROUNDING = {"float32": 1e-5, "float64": 1e-12}


def make(which, dtype="float64"):
    return make_inputs(which, [6, 3], "cross_entropy", "auto", dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", INPUTS)
def test_torch(which, dtype):
    torch = pytest.importorskip("torch")
    net = make(which, dtype)
    X, y = data_for(net, 40)
    module, samples = net.to_torch(), torch.tensor(X.astype(dtype))
    with torch.no_grad():
        assert error(module(samples).numpy(), net.predict(X)) < ROUNDING[dtype]
    torch.nn.functional.cross_entropy(module[:-1](samples), torch.tensor(y)).backward()
    gradient = net.loss_and_gradient(X, y)[1]
    kinds = {"Vectors": iter(gradient.embeddings), "Filled": iter(gradient.missing)}
    for part in module[0].parts:
        for weight in part.parameters():
            found = next(kinds[type(part).__name__])
            assert error(found, weight.grad.numpy()) < ROUNDING[dtype]
    with pytest.raises(ValueError, match="Inputs"):
        fastbp.Network.from_torch(module, loss="cross_entropy")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", INPUTS)
def test_onnx(which, dtype, tmp_path):
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    net, path = make(which, dtype), tmp_path / "net.onnx"
    X = samples_for(net, 40).astype(dtype)
    for opset in (9, 17, 23):
        net.to_onnx(path, opset=opset)
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"X": X})
        assert error(found, net.predict(X)) < ROUNDING[dtype]
    with pytest.raises(ValueError, match="Gather"):
        fastbp.Network.from_onnx(path)


def test_inputs_without_hidden_layers(tmp_path):
    torch = pytest.importorskip("torch")
    net = make_inputs("all", [1], "squared_error", "auto")
    X = samples_for(net, 9)
    assert error(net.to_torch()(torch.tensor(X)).detach().numpy(), net.predict(X)) < 1e-12
    assert not np.isnan(net.predict(X)).any()

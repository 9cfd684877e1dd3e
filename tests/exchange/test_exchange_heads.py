"""Networks with several heads: to ONNX and PyTorch, and a head alone back from there."""

import numpy as np
import pytest
from head_helpers import alone, make_heads, parts_of, samples_of, together
from helpers import DTYPES, error

import fastbp

ROUNDING = {"float32": 1e-5, "float64": 1e-12}


def heads_of(net, outputs):
    """The columns of each head."""
    return [outputs[:, first:last] for first, last in parts_of(net)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["all", "one output"])
def test_torch(which, dtype):
    torch = pytest.importorskip("torch")
    net = make_heads(which, "auto", dtype)
    X, _ = samples_of(net, 6)
    with torch.no_grad():
        found = net.to_torch()(torch.from_numpy(X.astype(dtype)))
    assert isinstance(found, tuple)
    for comp, h in zip(found, heads_of(net, net.forward(X).output), strict=True):
        assert error(comp.numpy(), h) < ROUNDING[dtype]
    module = net.to_torch()
    with pytest.raises(
        ValueError, match=r"module\[3\] is Heads.* as in module\[:-1\], and pass the "
    ):
        fastbp.Network.from_torch(module, loss=net.loss)
    again = fastbp.Network.from_torch(module[:-1], loss=net.loss)
    assert again.loss == net.loss and np.array_equal(together(again), together(net))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["all", "one output"])
def test_onnx(which, dtype, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net, path = make_heads(which, "auto", dtype), tmp_path / "net.onnx"
    X, _ = samples_of(net, 6)
    net.to_onnx(path)
    session = onnxruntime.InferenceSession(path)
    assert [out.name for out in session.get_outputs()] == [f"h_{k}" for k in range(len(net.loss))]
    found = session.run(None, {"X": X.astype(dtype)})
    for comp, h in zip(found, heads_of(net, net.forward(X).output), strict=True):
        assert comp.dtype == dtype
        assert error(comp, h) < ROUNDING[dtype]


def test_a_head_of_an_onnx_file_is_read_alone(tmp_path):
    pytest.importorskip("onnx")
    net, path = make_heads("class and count"), tmp_path / "net.onnx"
    net.to_onnx(path)
    with pytest.raises(ValueError, match="pass output=, one of the graph's outputs"):
        fastbp.Network.from_onnx(path)
    for k, (loss, _) in enumerate(net.loss):
        found = fastbp.Network.from_onnx(path, output=f"h_{k}", loss=loss)
        assert np.array_equal(together(found), together(alone(net, k)))
        assert found.output_activation == ("softmax", "exp")[k]

"""Normalised layers, residual connections and prelu: to other tools and back, or refused."""

import numpy as np
import pytest
from helpers import DTYPES, error
from layer_helpers import LAYERS, arrays_of, make_layers

import fastbp

WIDTHS = [3, 8, 8, 5, 2]
ROUNDING = {"float32": 1e-5, "float64": 1e-12}  # attributes such as epsilon are float32


def assert_same(one, other):
    assert one.layout == other.layout
    for a, b in zip(arrays_of(one), arrays_of(other), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", LAYERS)
def test_torch(which, dtype, rng):
    torch = pytest.importorskip("torch")
    net = make_layers(which, WIDTHS, "cross_entropy", "auto", dtype)
    X = rng.standard_normal((20, 3))
    module = net.to_torch()
    with torch.no_grad():
        found = module(torch.from_numpy(X.astype(dtype))).numpy()
    assert error(found, net.predict(X)) < ROUNDING[dtype]
    assert_same(fastbp.Network.from_torch(module, loss="cross_entropy"), net)


def torch_modules(nn):
    """What a Network cannot contain -> why."""
    from fastbp.exchange.pytorch import Residual

    def layer(n_in, n, *more):
        return [nn.Linear(n_in, n), *more]

    norm = nn.LayerNorm(4)
    return {
        "eps=1e-05": [*layer(3, 4, nn.LayerNorm(4, eps=1e-3)), *layer(4, 2)],
        "with eps=1e-05": [*layer(3, 4, nn.RMSNorm(4)), *layer(4, 2)],
        "without a scale": [
            *layer(3, 4, nn.LayerNorm(4, elementwise_affine=False)),
            *layer(4, 2),
        ],
        "follows an activation": [*layer(3, 4, nn.Tanh(), norm), *layer(4, 2)],
        "comes before the first linear layer": [nn.LayerNorm(3), *layer(3, 4), *layer(4, 2)],
        "the last linear layer is followed by": [*layer(3, 4), norm],
        "normalises, once": [*layer(3, 4, norm, norm), *layer(4, 2)],
        "one for all of them": [*layer(3, 4, norm), *layer(4, 4, nn.Tanh()), *layer(4, 2)],
        "is around 2 linear layers": [
            *layer(3, 4, nn.Tanh()),
            Residual(nn.Sequential(*layer(4, 4, nn.Tanh()), *layer(4, 4, nn.Tanh()))),
            *layer(4, 2),
        ],
        r"around the linear layers \[1\]; a Network of the widths \[4, 4, 4, 2\] has them": [
            Residual(nn.Sequential(*layer(4, 4, nn.Tanh()))),
            *layer(4, 4, nn.Tanh()),
            *layer(4, 2),
        ],
        "follows a residual connection": [
            *layer(4, 4, nn.Tanh()),
            Residual(nn.Sequential(*layer(4, 4))),
            nn.Tanh(),
            *layer(4, 2),
        ],
        "has 2 slopes for 4 units": [*layer(3, 4, nn.PReLU(2)), *layer(4, 2)],
    }


def test_torch_modules_that_are_refused():
    nn = pytest.importorskip("torch").nn
    for message, layers in torch_modules(nn).items():
        with pytest.raises(ValueError, match=message):
            fastbp.Network.from_torch(nn.Sequential(*layers))


def test_one_slope_for_all_units_and_no_shift():
    torch = pytest.importorskip("torch")
    layers = [torch.nn.Linear(3, 4), torch.nn.LayerNorm(4, bias=False), torch.nn.PReLU()]
    net = fastbp.Network.from_torch(torch.nn.Sequential(*layers, torch.nn.Linear(4, 2)))
    assert net.slopes[0].tolist() == [0.25] * 4 and net.norm_biases[0].tolist() == [0] * 4


def run(path, X, dtype):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X.astype(dtype)})[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", LAYERS)
def test_onnx(which, dtype, rng, tmp_path):
    pytest.importorskip("onnx")
    net = make_layers(which, WIDTHS, "cross_entropy", "auto", dtype)
    X, path = rng.standard_normal((20, 3)), tmp_path / "net.onnx"
    for opset in (9, 16, 17, 23):
        net.to_onnx(path, opset=opset)
        assert error(run(path, X, dtype), net.predict(X)) < ROUNDING[dtype]
    assert_same(fastbp.Network.from_onnx(path, loss="cross_entropy"), net)


LINEAR = ("Gemm", ["x", "W"], ["s"])
LAST = ("Gemm", ["h", "W"], ["t"])
NORM = ("LayerNormalization", ["s", "one", "zero"], ["z"])
# Nodes -> why a Network cannot contain them.
GRAPHS = {
    "only the hidden layers of a Network have": [LINEAR, NORM],
    "has epsilon": [LINEAR, ("LayerNormalization", ["s", "one"], ["h"], {"epsilon": 1e-3}), LAST],
    "must normalise axis 1": [LINEAR, ("LayerNormalization", ["s", "one"], ["h"], {"axis": 0})],
    "must directly follow a linear layer or its normalisation": [
        LINEAR,
        ("Tanh", ["s"], ["a"]),
        ("LayerNormalization", ["a", "one"], ["h"]),
    ],
    "normalises a second time": [LINEAR, NORM, ("LayerNormalization", ["z", "one"], ["h"])],
    "must be its own": [LINEAR, NORM, ("Add", ["z", "one"], ["h"])],
    "after which only a layer may come": [
        *[LINEAR, ("Tanh", ["s"], ["h"]), LAST],
        *[("Tanh", ["t"], ["u"]), ("Add", ["u", "h"], ["v"]), ("Relu", ["v"], ["w"])],
    ],
    "is not a constant|not a constant": [LINEAR, ("LayerNormalization", ["s", "s"], ["h"])],
    "must directly follow a linear layer": [
        LINEAR,
        ("Tanh", ["s"], ["a"]),
        ("PRelu", ["a", "one"], ["h"]),
    ],
    "follows a prelu": [LINEAR, ("PRelu", ["s", "one"], ["a"]), ("Tanh", ["a"], ["h"])],
    r"around the linear layers \[1\]": [
        *[LINEAR, ("Tanh", ["s"], ["a"]), ("Add", ["a", "x"], ["h"]), LAST],
        *[("Tanh", ["t"], ["u"]), ("Gemm", ["u", "W"], ["v"])],
    ],
    "not a chain": [
        *[LINEAR, ("Tanh", ["s"], ["h"]), LAST],
        *[("Tanh", ["t"], ["u"]), ("Mul", ["u", "h"], ["v"])],
    ],
}


@pytest.mark.parametrize("message", GRAPHS)
def test_onnx_graphs_that_are_refused(message, tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, numbers = onnx.helper, {"W": np.eye(3), "one": np.ones(3), "zero": np.zeros(3)}
    nodes = [helper.make_node(*node[:3], **dict(*node[3:])) for node in GRAPHS[message]]
    x, h = (
        helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["n", 3])
        for name in ("x", nodes[-1].output[0])
    )
    constants = [onnx.numpy_helper.from_array(a, name) for name, a in numbers.items()]
    graph = helper.make_graph(nodes, "graph", [x], [h], constants)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset]), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_onnx(tmp_path / "net.onnx")


@pytest.mark.parametrize("which", ["layer", "residual", "prelu"])
def test_tools_that_lack_them(which, tmp_path):
    net = make_layers(which, WIDTHS, "squared_error", "auto")
    calls = [net.to_keras, net.to_sklearn, lambda: net.to_c(tmp_path / "c")]
    for call, tool in zip(calls, ("Keras", "scikit-learn", "C"), strict=True):
        with pytest.raises(ValueError, match=f"the export to {tool} does not support"):
            call()
    assert not (tmp_path / "c").exists()


def test_torch_function(rng):
    """Autograd through a network adds up all its gradients."""
    torch = pytest.importorskip("torch")
    net = make_layers("all", WIDTHS, "squared_error", "auto")
    X = rng.standard_normal((6, 3))
    p = net.forward(X)
    expected, errors = p.backward(p.output)
    f, x = fastbp.torch_function(net), torch.tensor(X, requires_grad=True)
    (f(x) ** 2).sum().div(2).backward()
    for a, b in zip(arrays_of(f.gradient), arrays_of(expected), strict=True):
        assert np.array_equal(a, b)
    assert np.array_equal(x.grad.numpy(), errors)
    before = [array.copy() for array in arrays_of(net)]
    f.step(optimizer=fastbp.SGD(0.1))
    for a, b, g in zip(arrays_of(net), before, arrays_of(expected), strict=True):
        assert np.allclose(a, b - 0.1 * g, rtol=1e-12)

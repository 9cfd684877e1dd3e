"""Networks to and from ONNX: onnxruntime and the exporters of others judge."""

import io

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    DTYPES,
    TARGETS,
    error,
    make_data,
    make_network,
    outputs_for,
    parameters,
)

import fastbp

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

# onnxruntime's own sigmoid and tanh in float32 are approximations.
ROUNDING = {"float32": 2e-6, "float64": 2e-14}


def run(path, X, dtype):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"X": X.astype(dtype)})
    return output


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_to_onnx_and_back(activation, dtype, rng, tmp_path):
    net = make_network([3, 8, 5, 2], "squared_error", "auto", dtype, activation)
    X = 5 * rng.standard_normal((50, 3))
    path = tmp_path / "net.onnx"
    net.to_onnx(path)
    onnx.checker.check_model(path, full_check=True)
    for rows in (X, X[:1]):  # the batch axis is free
        assert error(run(path, rows, dtype), net.predict(rows)) < ROUNDING[dtype]
    again = fastbp.Network.from_onnx(path)
    assert again.layout == net.layout
    assert np.array_equal(parameters(again), parameters(net))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("loss", TARGETS)
def test_output_activations(loss, n_outputs, dtype, rng, tmp_path):
    net = make_network([3, 8, outputs_for(loss, n_outputs)], loss, "auto", dtype)
    X = rng.standard_normal((50, 3))
    net.to_onnx(tmp_path / "net.onnx")
    assert error(run(tmp_path / "net.onnx", X, dtype), net.predict(X)) < ROUNDING[dtype]
    again = fastbp.Network.from_onnx(tmp_path / "net.onnx", loss=loss)
    assert again.loss == loss
    assert np.array_equal(again.predict(X), net.predict(X))
    assert (
        net._loss.output_activation
        == fastbp.Network.from_onnx(tmp_path / "net.onnx")._loss.output_activation
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_far_out(activation, tmp_path):
    """One unit, at values of s from -150 to 150."""
    net = fastbp.Network([1, 1, 1], activation=activation, loss="squared_error", dtype="float64")
    net.weights[0], net.weights[1] = [[1]], [[1]]
    X = np.linspace(-150, 150, 3001).reshape(-1, 1)
    net.to_onnx(tmp_path / "net.onnx")
    np.testing.assert_allclose(
        run(tmp_path / "net.onnx", X, "float64"), net.predict(X), rtol=1e-14, atol=5e-15
    )


def test_trained_goes_on_training(tmp_path):
    X, y = make_data("cross_entropy", 40, 3, 4)
    net = make_network([3, 8, 4], "cross_entropy", "auto")
    net.to_onnx(tmp_path / "net.onnx")
    again = fastbp.Network.from_onnx(tmp_path / "net.onnx")
    for one in (net, again):
        one.fit(X, y, epochs=2, shuffle=False)
    assert np.array_equal(parameters(net), parameters(again))


# Files that others write.


@pytest.mark.parametrize("opset", [13, 20])  # GELU in five operators, and in one
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_torch_exporter(opset, rng, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    layers = [nn.GELU(), nn.SiLU(), nn.ELU(), nn.Softplus(), nn.LeakyReLU(), nn.ReLU(), nn.Tanh()]
    hidden = [part for layer in layers for part in (nn.Linear(4, 4), layer, nn.Dropout(0.5))]
    module = nn.Sequential(*hidden, nn.Linear(4, 3), nn.Softmax(dim=-1)).eval()
    file = io.BytesIO()
    example = (torch.zeros(2, 4),)
    torch.onnx.export(module, example, file, dynamo=False, opset_version=opset)
    (tmp_path / "torch.onnx").write_bytes(file.getvalue())
    net = fastbp.Network.from_onnx(tmp_path / "torch.onnx")
    assert net.layout.activations == (
        *("gelu", "silu", "elu", "softplus", "leaky_relu", "relu", "tanh"),
    )
    X = rng.standard_normal((20, 4)).astype(np.float32)
    with torch.no_grad():
        assert error(net.predict(X), module(torch.from_numpy(X)).numpy()) < ROUNDING["float32"]


class Written:
    """A small graph put together by hand."""

    def __init__(self, nodes, rng, n_in=3, outputs=("h",), **constants):
        constants = {"W": (n_in, 4), "b": (4,), "V": (4, 2), "c": (2,), **constants}
        self.arrays = {
            name: rng.standard_normal(value) if isinstance(value, tuple) else np.array(value)
            for name, value in constants.items()
        }
        info = [helper.make_tensor_value_info(o, TensorProto.DOUBLE, None) for o in outputs]
        x = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, ["n", n_in])]
        self.tensors = [numpy_helper.from_array(a, name) for name, a in self.arrays.items()]
        nodes = [helper.make_node(node[0], *node[1:3], **dict(node[3:])) for node in nodes]
        graph = helper.make_graph(nodes, "g", x, info, self.tensors)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])

    def read(self, folder, **options):
        (folder / "model.onnx").write_bytes(self.model.SerializeToString())
        return fastbp.Network.from_onnx(folder / "model.onnx", **options)


def matmul(name, x, y):
    return ("MatMul", [x, name], [y])


def test_matmul_and_add_as_of_sklearn_writers(rng, tmp_path):
    """Weights times rows, then biases of shape (1, n) from either side."""
    nodes = [
        matmul("W", "x", "a"),
        ("Add", ["b", "a"], ["s"]),
        ("Relu", ["s"], ["r"]),
        matmul("V", "r", "t"),
        ("Add", ["t", "c"], ["u"]),
        ("Sigmoid", ["u"], ["h"]),
        ("ArgMax", ["h"], ["label"]),
    ]
    file = Written(nodes, rng, b=(1, 4), outputs=("label", "h"))
    with pytest.raises(ValueError, match=r"pass output=.*\['label', 'h'\]"):
        file.read(tmp_path)
    net = file.read(tmp_path, output="h")
    X = rng.standard_normal((20, 3))
    a = file.arrays
    s = np.maximum(X @ a["W"] + a["b"], 0) @ a["V"] + a["c"]
    assert error(net.predict(X), 1 / (1 + np.exp(-s))) < ROUNDING["float64"]
    with pytest.raises(ValueError, match=r"node 'label' \(ArgMax\).* is not part of"):
        file.read(tmp_path, output="label")


def test_gemm_with_factors(rng, tmp_path):
    nodes = [
        ("Gemm", ["x", "W", "b"], ["s"], ("alpha", 0.5), ("beta", 2.0), ("transB", 1)),
        ("Tanh", ["s"], ["r"]),
        ("Gemm", ["r", "V"], ["h"]),
    ]
    file = Written(nodes, rng, W=(4, 3))
    X, a = rng.standard_normal((20, 3)), file.arrays
    wanted = np.tanh(0.5 * X @ a["W"].T + 2 * a["b"]) @ a["V"]
    assert error(file.read(tmp_path).predict(X), wanted) < ROUNDING["float64"]


LINEAR = ("Gemm", ["x", "W", "b"], ["s"])
LAST = ("Gemm", ["r", "V", "c"], ["h"])
REFUSED = {
    "LayerNorm": ([LINEAR, ("LayerNormalization", ["s", "b"], ["h"])], "is not part of"),
    "attribute": ([LINEAR, ("Transpose", ["s"], ["h"], ("perm", [1, 0]))], r"\(Transpose\)"),
    "branch": (
        [LINEAR, ("Gemm", ["x", "W"], ["r"]), ("Mul", ["s", "r"], ["h"])],
        r"node 'r' \(Gemm\): not a chain",
    ),
    "skip": (
        [("Gemm", ["x", "S"], ["s"]), ("Add", ["s", "x"], ["h"])],
        r"node 'h' \(Add\): not a chain",
    ),
    # s sigmoid(s + 3) is not silu with another bias.
    "shifted": (
        [
            *(LINEAR, ("Add", ["s", "three"], ["t"]), ("Sigmoid", ["t"], ["p"])),
            *(("Mul", ["s", "p"], ["r"]), LAST),
        ],
        "not a chain",
    ),
    "function": ([LINEAR, ("Exp", ["s"], ["r"]), LAST], "unknown activation 'exp'"),
    "other slope": (
        [LINEAR, ("LeakyRelu", ["s"], ["r"], ("alpha", 0.2)), LAST],
        "behind linear layer 1 is none",
    ),
    "gelu by tanh": (
        [LINEAR, ("Gelu", ["s"], ["r"], ("approximate", "tanh")), LAST],
        "behind linear layer 1 is none",
    ),
    "end": ([LINEAR, ("Relu", ["s"], ["h"])], "ends in relu"),
    "softmax inside": ([LINEAR, ("Softmax", ["s"], ["r"]), LAST], "unknown activation 'softmax'"),
    "softmax axis": ([LINEAR, ("Softmax", ["s"], ["h"], ("axis", 0))], "along axis 1"),
    "after softmax": ([LINEAR, ("Softmax", ["s"], ["r"]), ("Neg", ["r"], ["h"])], "come last"),
    "before the first": ([("Tanh", ["x"], ["r"]), ("Gemm", ["r", "W"], ["h"])], "before the first"),
    "no layer": ([("Tanh", ["x"], ["h"])], "no linear layer"),
    "shapes": ([LINEAR, ("Gemm", ["s", "W"], ["h"])], "do not follow on each other"),
    "bias": ([("Gemm", ["x", "W", "c"], ["h"])], r"not a constant bias of shape \(4,\)"),
    "vector": ([LINEAR, ("Mul", ["s", "b"], ["h"])], r"constant of shape \(4,\) where one number"),
    "weights": ([LINEAR, ("Relu", ["s"], ["r"]), ("Gemm", ["W", "r"], ["h"])], "matrix of consta"),
    "integers": ([("Gemm", ["x", "whole"], ["h"])], "neither float32 nor float64"),
    "three axes": ([("MatMul", ["x", "cube"], ["h"])], "at most 2 axes"),
    "too many": ([LINEAR, ("Relu", ["s", "s"], ["h"])], r"\(Relu\): "),
    "ufunc": ([LINEAR, ("Add", ["s", "s", "s"], ["h"])], r"\(Add\): "),
    "ufunc attribute": ([LINEAR, ("Abs", ["s"], ["h"], ("where", 0))], r"\(Abs\): "),
    "nowhere": ([LINEAR, ("Mul", ["s", "q"], ["h"])], "'q' comes from nowhere"),
    "twice": ([LINEAR, ("Relu", ["s"], ["s"]), ("Relu", ["s"], ["h"])], "name of another one"),
    "not finite": ([("Gemm", ["x", "W", "b"], ["h"], ("alpha", 1e39))], "NaN or infinite"),
    "mixed": (
        [LINEAR, ("Relu", ["s"], ["r"]), ("Gemm", ["r", "single"], ["h"])],
        "throughout, got float32, float64",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_perceptron_is_named(name, rng, tmp_path):
    nodes, message = REFUSED[name]
    file = Written(
        nodes,
        rng,
        three=3.0,
        S=(3, 3),
        whole=np.ones((3, 4), np.int64),
        cube=(3, 4, 1),
        single=np.ones((4, 2), np.float32),
    )
    with pytest.raises(ValueError, match=message):
        file.read(tmp_path)


# Files that mean harm.


def test_external_data_is_not_read(rng, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(96))
    for location in (str(secret), "secret", "../secret"):
        file = Written([("Gemm", ["x", "W", "b"], ["h"])], rng)
        tensor = file.model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)
        with pytest.raises(ValueError, match="constant 'W' lies in another file"):
            file.read(tmp_path)


@pytest.mark.parametrize(
    "dims, message",
    [
        ([3, 5], r"of shape \(3, 5\) has 96 bytes"),
        ([2**40, 2**40], "has 96 bytes"),
        ([-3, -4], "none empty"),
        ([0, 4], "none empty"),
        ([2**62, 4], "has 96 bytes"),
    ],
)
def test_sizes_are_checked(dims, message, rng, tmp_path):
    file = Written([("Gemm", ["x", "W", "b"], ["h"])], rng)
    file.model.graph.initializer[0].dims[:] = dims
    with pytest.raises(ValueError, match=message):
        file.read(tmp_path)


def test_other_files(rng, tmp_path):
    path = tmp_path / "file"
    for content in (b"", b"text", bytes(1000), b"\x08\x08"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not an ONNX file"):
            fastbp.Network.from_onnx(path)
    with pytest.raises(FileNotFoundError):
        fastbp.Network.from_onnx(tmp_path / "nothing")
    file = Written([("Gemm", ["x", "W", "b"], ["h"])], rng)
    del file.model.graph.input[:]
    with pytest.raises(ValueError, match="one input, but the graph has 0"):
        file.read(tmp_path)


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    net = fastbp.Network([2, 1], loss="squared_error")
    net.weights[0][0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net.to_onnx(tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())

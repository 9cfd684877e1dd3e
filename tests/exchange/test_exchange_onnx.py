"""Networks to and from ONNX: onnxruntime and the exporters of others judge."""

import io
import os
import sys

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
from fastbp.exchange.activations import EQUIVALENTS

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

ROUNDS = int(os.environ.get("FASTBP_FUZZ", 400))
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
    allowed = ROUNDING[dtype] * (10 if activation == "sin" else 1)  # its weights are large
    for rows in (X, X[:1]):  # the batch axis is free
        assert error(run(path, rows, dtype), net.predict(rows)) < allowed
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
    plain = fastbp.Network.from_onnx(tmp_path / "net.onnx")
    assert plain.output_activation == net.output_activation


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


@pytest.mark.parametrize("opset", range(9, 29))
def test_every_opset(opset, rng, tmp_path):
    """The checker takes it, and onnxruntime computes the same with it."""
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip("the installed onnx does not know it")
    X = 5 * rng.standard_normal((20, 3))
    for dtype in DTYPES:
        # All activations, one behind the other: an error in one shows in the outputs.
        net = make_network(
            [3, *[4] * len(ACTIVATIONS), 2], "cross_entropy", "numpy", dtype, ACTIVATIONS
        )
        net.to_onnx(tmp_path / "net.onnx", opset=opset)
        model = onnx.load(tmp_path / "net.onnx")
        onnx.checker.check_model(model, full_check=True)
        assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", opset)]
        runtime = pytest.importorskip("onnxruntime")
        try:
            h = run(tmp_path / "net.onnx", X, dtype)
        except runtime.capi.onnxruntime_pybind11_state.Fail as reason:
            assert "official released onnx opset" in str(reason)  # an older onnxruntime
            pytest.skip(str(reason))
        assert error(h, net.predict(X)) < ROUNDING[dtype]
        again = fastbp.Network.from_onnx(tmp_path / "net.onnx")
        assert again.layout == net.layout
        assert np.array_equal(parameters(again), parameters(net))


def test_default_opset(tmp_path):
    fastbp.Network([2, 1], loss="squared_error").to_onnx(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    assert (model.opset_import[0].version, model.ir_version) == (17, 8)


@pytest.mark.parametrize("opset", [8, 0, -1, 29, 10**30])
def test_opsets_out_of_range(opset, tmp_path):
    with pytest.raises(ValueError, match=rf"opset must be from 9 to 2\d, got {opset}"):
        fastbp.Network([2, 1], loss="squared_error").to_onnx(tmp_path / "net.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("opset", [17.0, "17", None, True])
def test_opset_must_be_a_whole_number(opset, tmp_path):
    with pytest.raises(TypeError, match="opset must be a whole number, got"):
        fastbp.Network([2, 1], loss="squared_error").to_onnx(tmp_path / "net.onnx", opset=opset)


def test_trained_goes_on_training(tmp_path):
    X, y = make_data("cross_entropy", 40, 3, 4)
    net = make_network([3, 8, 4], "cross_entropy", "auto")
    net.to_onnx(tmp_path / "net.onnx")
    again = fastbp.Network.from_onnx(tmp_path / "net.onnx")
    for one in (net, again):
        one.fit(X, y, epochs=2, shuffle=False)
    assert np.array_equal(parameters(net), parameters(again))


def test_register_skl2onnx_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match="needs skl2onnx: pip install skl2onnx"):
        fastbp.exchange.register_skl2onnx()


# Files that others write.


@pytest.mark.parametrize("opset", [13, 20])  # GELU in five operators, and in one
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_from_torch_exporter(opset, rng, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    layers = [nn.GELU(), nn.SiLU(), nn.ELU(), nn.Softplus(), nn.LeakyReLU(), nn.ReLU(), nn.Tanh()]
    layers += [nn.Hardtanh(), nn.SELU(), nn.Mish()]
    hidden = [part for layer in layers for part in (nn.Linear(4, 4), layer, nn.Dropout(0.5))]
    module = nn.Sequential(*hidden, nn.Linear(4, 3), nn.Softmax(dim=-1)).eval()
    file = io.BytesIO()
    example = (torch.zeros(2, 4),)
    torch.onnx.export(module, example, file, dynamo=False, opset_version=opset)
    (tmp_path / "torch.onnx").write_bytes(file.getvalue())
    net = fastbp.Network.from_onnx(tmp_path / "torch.onnx")
    assert net.layout.activations == (
        *("gelu", "silu", "elu", "softplus", "leaky_relu", "relu", "tanh"),
        *("hard_tanh", "selu", "mish"),
    )
    X = rng.standard_normal((20, 4)).astype(np.float32)
    with torch.no_grad():
        assert error(net.predict(X), module(torch.from_numpy(X)).numpy()) < ROUNDING["float32"]


class Written:
    """A small graph put together by hand."""

    def __init__(self, nodes, rng, n_in=3, outputs=("h",), shape=("n", 3), opset=17, **constants):
        constants = {"W": (n_in, 4), "b": (4,), "V": (4, 2), "c": (2,), **constants}
        self.arrays = {
            name: rng.standard_normal(value) if isinstance(value, tuple) else np.array(value)
            for name, value in constants.items()
        }
        kinds = {"label": TensorProto.INT64}
        info = [
            helper.make_tensor_value_info(o, kinds.get(o, TensorProto.DOUBLE), None)
            for o in outputs
        ]
        x = [helper.make_tensor_value_info("x", TensorProto.DOUBLE, shape)]
        self.tensors = [numpy_helper.from_array(a, name) for name, a in self.arrays.items()]
        nodes = [helper.make_node(node[0], *node[1:3], **dict(node[3:])) for node in nodes]
        graph = helper.make_graph(nodes, "g", x, info, self.tensors)
        opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 1)]
        self.model = helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def read(self, folder, **options):
        (folder / "model.onnx").write_bytes(self.model.SerializeToString())
        return fastbp.Network.from_onnx(folder / "model.onnx", **options)


def matmul(name, x, y):
    return ("MatMul", [x, name], [y])


@pytest.mark.parametrize("activation", [a for a in ACTIVATIONS if EQUIVALENTS[a].onnx_operator])
def test_operators_of_activations(activation, rng, tmp_path):
    """Each is read as the function that onnx's own evaluator computes."""
    operator, _ = EQUIVALENTS[activation].onnx_operator
    if not onnx.defs.has(operator):
        pytest.skip(f"the installed onnx does not know {operator}")
    nodes = [matmul("W", "x", "s"), (operator, ["s"], ["r"]), matmul("V", "r", "h")]
    opset = max(17, onnx.defs.get_schema(operator).since_version)
    file = Written(nodes, rng, opset=opset)
    net = file.read(tmp_path)
    assert net.layout.activations == (activation,)
    X = rng.standard_normal((20, 3))
    (h,) = ReferenceEvaluator(file.model).run(None, {"x": X})
    assert error(net.predict(X), h) < 1e-6  # attributes are float32


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
    file = Written(nodes, rng, b=(1, 4), outputs=("label", "s", "h"))
    with pytest.raises(ValueError, match=r"pass output=.*\['label', 's', 'h'\]"):
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


def of_skl2onnx(hidden, end):
    """The nodes that skl2onnx writes for scikit-learn's perceptrons."""
    return [
        ("Cast", ["x"], ["cast"], ("to", TensorProto.DOUBLE)),
        matmul("W", "cast", "m1"),
        ("Add", ["m1", "b"], ["s1"]),
        (hidden, ["s1"], ["r"]),
        matmul("V", "r", "m2"),
        ("Identity", ["b"], ["b2"]),  # of equal arrays it keeps one
        ("Add", ["m2", "b2"], ["s2"]),
        *end,
    ]


LABELS = [
    ("ArgMax", ["h"], ["a"], ("axis", 1)),
    ("ArrayFeatureExtractor", ["classes", "a"], ["f"], ("domain", "ai.onnx.ml")),
    ("Cast", ["f"], ["label"], ("to", TensorProto.INT64)),
]
ENDS = {
    "regressor": [("Identity", ["s2"], ["p"]), ("Reshape", ["p", "column"], ["h"])],
    "multiclass": [("Softmax", ["s2"], ["h"]), *LABELS],
    "binary": [
        ("Sigmoid", ["s2"], ["p"]),
        ("Sub", ["one", "p"], ["q"]),
        ("Concat", ["q", "p"], ["h"], ("axis", 1)),
        *LABELS,
    ],
    "multilabel": [("Sigmoid", ["s2"], ["h"]), *LABELS],
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("kind", ENDS)
def test_perceptrons_of_scikit_learn_as_skl2onnx_writes_them(kind, zipped, rng, tmp_path):
    n = 1 if kind in ("regressor", "binary") else 3
    nodes = of_skl2onnx("Tanh", ENDS[kind])
    if zipped and kind != "regressor":
        labels = ("classlabels_strings", [f"class {i}" for i in range(max(n, 2))])
        nodes.append(("ZipMap", ["h"], ["map"], ("domain", "ai.onnx.ml"), labels))
    output = nodes[-1][2][0] if zipped else "h"
    arrays = {"W": (3, n), "b": (1, n), "V": (n, n), "one": 1.0, "column": np.array([-1, 1])}
    outputs = ("h",) if kind == "regressor" else ("label", output)
    file = Written(nodes, rng, outputs=outputs, classes=np.arange(3), **arrays)
    net = file.read(tmp_path)  # no need to say which output: the other one is a label
    X, a = rng.standard_normal((20, 3)), file.arrays
    s = np.tanh(X @ a["W"] + a["b"]) @ a["V"] + a["b"]
    h = {
        "regressor": s,
        "multiclass": np.exp(s) / np.exp(s).sum(axis=1, keepdims=True),
        "multilabel": 1 / (1 + np.exp(-s)),
        "binary": np.hstack([1 / (1 + np.exp(s)), 1 / (1 + np.exp(-s))]),
    }[kind]
    assert net.predict(X).shape == h.shape
    assert error(net.predict(X), h) < ROUNDING["float64"]
    wanted = {"regressor": "squared_error", "multilabel": "log_loss"}
    assert net.loss == wanted.get(kind, "cross_entropy")


@pytest.mark.parametrize("opset", [12, 17])
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_shared_biases_and_flatten_as_of_torch(free, opset, rng, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn
    module = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 4), nn.Flatten())
    with torch.no_grad():
        module[3].bias.copy_(module[1].bias)  # equal arrays are written once
    path = tmp_path / "torch.onnx"
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}} if free else {}
    example = (torch.zeros(2, 1, 2, 3),)
    torch.onnx.export(module, example, path, dynamo=False, opset_version=opset, **names)
    assert {"Identity", "Flatten"} <= {node.op_type for node in onnx.load(path).graph.node}
    net = fastbp.Network.from_onnx(path)
    assert net.layout.sizes == (6, 4, 4)
    X = rng.standard_normal((20, 1, 2, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(X)).numpy()
    assert error(net.predict(X.reshape(20, 6)), wanted) < ROUNDING["float32"]


@pytest.mark.parametrize("opset", [11, 17])  # axes as an attribute, and as an input
@pytest.mark.parametrize("axis", [1, -1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_squeezed_output_as_of_torch(axis, opset, rng, tmp_path):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))

        def forward(self, x):
            return torch.sigmoid(self.layers(x).squeeze(axis))

    module, path = Classifier(), tmp_path / "torch.onnx"
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}}
    example = (torch.zeros(2, 3),)
    torch.onnx.export(module, example, path, dynamo=False, opset_version=opset, **names)
    net = fastbp.Network.from_onnx(path)
    assert net.loss == "log_loss"
    X = rng.standard_normal((20, 3)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(X)).numpy()
    assert wanted.shape == (20,)
    assert error(net.predict(X)[:, 0], wanted) < ROUNDING["float32"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dropout_in_training_mode_is_refused(tmp_path):
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Dropout(), torch.nn.Linear(3, 1))
    mode = torch.onnx.TrainingMode.TRAINING
    path = tmp_path / "torch.onnx"
    torch.onnx.export(module, (torch.zeros(2, 2),), path, dynamo=False, training=mode)
    with pytest.raises(ValueError, match=r"\(Dropout\): is in training mode"):
        fastbp.Network.from_onnx(path)


# Nodes between the input and the layer "W" -> the shape of the input.
KEPT = {
    "reshape -1": ([("Reshape", ["x", "rows"], ["y"])], ["n", 3]),
    "reshape 0": ([("Reshape", ["x", "same"], ["y"])], ["n", 3]),
    "reshape image": ([("Reshape", ["x", "rows"], ["y"])], ["n", 1, 3]),
    "reshape fixed": ([("Reshape", ["x", "five"], ["y"])], [5, 3, 1]),
    "flatten image": ([("Flatten", ["x"], ["y"])], [None, 3, 1, 1]),
    "flatten unknown": ([("Flatten", ["x"], ["y"], ("axis", 1))], None),
    "flatten from behind": ([("Flatten", ["x"], ["y"], ("axis", -1))], ["n", 3]),
    "cast": ([("Cast", ["x"], ["y"], ("to", TensorProto.DOUBLE))], ["n", 3]),
    "dropout": ([("Dropout", ["x", "", "false"], ["y"])], ["n", 3]),
}
CHANGED = {
    "cast": ([("Cast", ["x"], ["y"], ("to", 1))], ["n", 3], "casts float64 to float32"),
    "reshape rows": ([("Reshape", ["x", "rows"], ["y"])], ["n", 6], "not certain to keep the rows"),
    "reshape unknown": ([("Reshape", ["x", "rows"], ["y"])], None, "of unknown, which is not"),
    "reshape any": ([("Reshape", ["x", "any"], ["y"])], ["n", 3], "not certain to keep the rows"),
    "reshape five": ([("Reshape", ["x", "five"], ["y"])], ["n", 3], "not certain to keep the rows"),
    "reshape cube": ([("Reshape", ["x", "cube"], ["y"])], ["n", 3], "not certain to keep the rows"),
    "reshape zero": (
        [("Reshape", ["x", "same"], ["y"], ("allowzero", 1))],
        ["n", 3],
        "not certain to keep the rows",
    ),
    "flatten all": ([("Flatten", ["x"], ["y"], ("axis", 0))], ["n", 3], "its axis is 0"),
    "flatten rows": ([("Flatten", ["x"], ["y"], ("axis", 2))], ["n", 1, 3], "its axis is 2"),
    "flatten last": ([("Flatten", ["x"], ["y"], ("axis", -1))], ["n", 1, 3], "its axis is -1"),
    "transpose": ([("Transpose", ["x"], ["y"])], ["n", 3], "else than a constant matrix"),
    "dropout": ([("Dropout", ["x", "", "true"], ["y"])], ["n", 3], "in training mode"),
    "dropout asked": ([("Dropout", ["x", "", "x"], ["y"])], ["n", 3], "in training mode"),
    "axes": ([("Identity", ["x"], ["y"])], ["n", 1, 3], r"shape \['n', 1, 3\] by a matrix of"),
    "width": ([("Identity", ["x"], ["y"])], ["n", 4], r"shape \['n', 4\] by a matrix of shape"),
    "concat": ([("Concat", ["x", "x"], ["y"], ("axis", 1))], ["n", 3], "only join the probab"),
}
SHAPES = {
    "rows": [-1, 3],
    "same": [0, 0],
    "five": [5, 3],
    "any": [-1, -1],
    "cube": [0, 1, 3],
    "false": False,
    "true": True,
}


def behind(nodes, shape, rng):
    last = [("MatMul", ["y", "W"], ["m"]), ("Add", ["m", "b"], ["h"])]
    return Written([*nodes, *last], rng, shape=shape, **{k: np.array(v) for k, v in SHAPES.items()})


@pytest.mark.parametrize("name", KEPT)
def test_what_changes_nothing_is_passed_over(name, rng, tmp_path):
    nodes, shape = KEPT[name]
    file = behind(nodes, shape, rng)
    X = rng.standard_normal((5, 3))
    wanted = X @ file.arrays["W"] + file.arrays["b"]
    assert error(file.read(tmp_path).predict(X), wanted) < ROUNDING["float64"]


@pytest.mark.parametrize("name", CHANGED)
def test_what_changes_rows_or_values_is_refused(name, rng, tmp_path):
    nodes, shape, message = CHANGED[name]
    with pytest.raises(ValueError, match=message):
        behind(nodes, shape, rng).read(tmp_path)


def test_constants_by_way_of_nodes(rng, tmp_path):
    """Transposed, shared and written as Constants of every form."""
    whole = helper.make_tensor("", TensorProto.INT64, [2], [-1, 4])
    nodes = [
        ("Transpose", ["U"], ["W"], ("perm", [1, 0])),
        ("Identity", ["b"], ["b2"]),
        ("Gemm", ["x", "W", "b2"], ["s"]),
        ("Constant", [], ["shape"], ("value_ints", [0, -1])),
        ("Reshape", ["s", "shape"], ["s2"]),
        ("Constant", [], ["shape2"], ("value", whole)),
        ("Identity", ["shape2"], ["shape3"]),
        ("Reshape", ["s2", "shape3"], ["s3"]),
        ("Constant", [], ["slope"], ("value_float", 0.01)),
        ("Mul", ["s3", "slope"], ["low"]),
        ("Max", ["s3", "low"], ["r"]),
        ("Gemm", ["r", "V", "c"], ["h"]),
    ]
    file = Written(nodes, rng, W=(1, 1), U=(4, 3))
    file.model.graph.initializer.remove(file.tensors[0])
    net = file.read(tmp_path)
    assert net.layout.activations == ("leaky_relu",)
    X, a = rng.standard_normal((5, 3)), file.arrays
    s = X @ a["U"].T + a["b"]
    assert error(net.predict(X), np.maximum(s, 0.01 * s) @ a["V"] + a["c"]) < ROUNDING["float64"]


def random_graph(rng):
    """A perceptron written in one of many ways, and among them some that make another function."""
    nodes, arrays = [], {}

    def constant(values):
        name = f"c{len(arrays)}"
        arrays[name] = np.array(values)
        return name

    def node(operator, *inputs, **attributes):
        output = f"t{len(nodes)}"
        nodes.append((operator, inputs, [output], *attributes.items()))
        return output

    def around(h, width):
        match rng.integers(20):
            case 0:
                return node("Cast", h, to=TensorProto.DOUBLE)
            case 1 | 2:
                rows, columns = rng.choice([-1, 0, 5, 1, width], 2)
                return node("Reshape", h, constant([rows, columns]))
            case 3 | 4:
                return node("Flatten", h, axis=int(rng.choice([0, 1, 1, -1, 2])))
            case 5:
                return node("Dropout", h, "", constant(bool(rng.integers(2))))
            case 6:
                return node("Min", h, constant(float(rng.choice([3.0, 1e3, 1e300]))))
            case 7:
                return node("Mul", h, constant(float(rng.choice([1.0, 2.0]))))
        return h

    shape = [["n", 5][rng.integers(2)], *rng.integers(1, 4, rng.integers(1, 3)).tolist()]
    h, width = "x", int(np.prod(shape[1:]))
    h = node("Flatten", h) if len(shape) > 2 else around(h, width)
    for _ in range(rng.integers(1, 4)):
        W, b = rng.standard_normal((width, rng.integers(1, 4))), rng.standard_normal(1)
        width = W.shape[1]
        bias = constant([b, np.tile(b, width), np.tile(b, (1, width)), b[0]][rng.integers(4)])
        if rng.integers(2):
            bias = node("Identity", bias)
        if rng.integers(2):
            turned = int(rng.integers(2))
            factors = dict(zip(("alpha", "beta"), rng.choice([1.0, 0.5, -2.0], 2), strict=True))
            h = node("Gemm", h, constant(W.T if turned else W), bias, transB=turned, **factors)
        else:
            matrix = constant(W) if rng.integers(2) else node("Transpose", constant(W.T))
            h = node("MatMul", h, matrix)
            h = node("Add", *((h, bias) if rng.integers(2) else (bias, h)))
        h = around(h, width)
        operator = str(rng.choice(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "Identity", "Softmax"]))
        h = around(node(operator, h), width)
    if width == 1 and rng.integers(2):
        h = node("Concat", node("Sub", constant(1.0), h), h, axis=1)
    return nodes, h, shape, arrays


def test_random_graphs_give_what_onnxruntime_gives(tmp_path):
    """What loads computes the same. What is refused may be a Network or not."""
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(4)
    loaded = 0
    for seed in range(ROUNDS):
        rng = np.random.default_rng(seed)
        nodes, output, shape, arrays = random_graph(rng)
        file = Written(nodes, rng, outputs=(output,), shape=shape, **arrays)
        try:
            net = file.read(tmp_path, backend="numpy")
        except ValueError:
            continue
        X = rng.standard_normal((5, *shape[1:]))
        session = runtime.InferenceSession(tmp_path / "model.onnx")
        (wanted,) = session.run(None, {"x": X})
        h = net.predict(X.reshape(5, -1))
        assert h.shape == wanted.shape, f"seed {seed}"
        np.testing.assert_allclose(h, wanted, rtol=1e-6, atol=1e-7, err_msg=f"seed {seed}")
        loaded += 1
    assert loaded > ROUNDS / 10


@pytest.mark.parametrize("bound", [100.0, 1e4, 1e38])
def test_a_bound_far_out_makes_another_function(bound, rng, tmp_path):
    nodes = [LINEAR, ("Relu", ["s"], ["t"]), ("Min", ["t", "bound"], ["r"]), LAST]
    with pytest.raises(ValueError, match="after linear layer 1 is not one"):
        Written(nodes, rng, bound=bound).read(tmp_path)


def test_functions_that_overflow_where_they_need_not(rng, tmp_path):
    nodes = [
        *(LINEAR, ("Exp", ["s"], ["e"]), ("Add", ["e", "one"], ["t"]), ("Log", ["t"], ["r"])),
        LAST,
    ]
    assert Written(nodes, rng, one=1.0).read(tmp_path).layout.activations == ("softplus",)


@pytest.mark.parametrize("opset", [6, 99])
def test_opsets_that_are_not_known(opset, rng, tmp_path):
    file = Written([("Gemm", ["x", "W", "b"], ["h"])], rng)
    file.model.opset_import[0].version = opset
    with pytest.raises(ValueError, match=rf"one opset from 7 to \d+ .* got \[{opset}\]"):
        file.read(tmp_path)
    del file.model.opset_import[:]
    with pytest.raises(ValueError, match=r"got \[\]"):
        file.read(tmp_path)


def test_types_and_names_of_the_graph(rng, tmp_path):
    nodes = [("Gemm", ["x", "W", "b"], ["h"])]
    for kind, name in [(TensorProto.INT64, "int64"), (TensorProto.FLOAT16, "float16")]:
        file = Written(nodes, rng)
        file.model.graph.input[0].type.tensor_type.elem_type = kind
        with pytest.raises(ValueError, match=f"the input 'x' holds {name}, but a Network takes"):
            file.read(tmp_path)
    file.model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    with pytest.raises(ValueError, match="holds float32, but the weights float64"):
        file.read(tmp_path)
    file = Written(nodes, rng)
    file.model.graph.initializer.append(file.tensors[0])
    with pytest.raises(ValueError, match="have the same name"):
        file.read(tmp_path)
    file = Written(nodes, rng)
    file.model.graph.node[0].domain = "com.microsoft"
    with pytest.raises(ValueError, match=r"\(Gemm\): Gemm of com.microsoft is not part of"):
        file.read(tmp_path)
    half = Written(nodes, rng, W=np.ones((3, 4), np.float16))
    with pytest.raises(ValueError, match="constant 'W' is neither float32 nor float64"):
        half.read(tmp_path)


LINEAR = ("Gemm", ["x", "W", "b"], ["s"])
LAST = ("Gemm", ["r", "V", "c"], ["h"])
NARROW = ("MatMul", ["x", "narrow"], ["s"])
REFUSED = {
    "InstanceNorm": (
        [LINEAR, ("InstanceNormalization", ["s", "b", "b"], ["h"])],
        "is not part of",
    ),
    "attribute": ([LINEAR, ("Transpose", ["s"], ["h"], ("perm", [1, 0]))], r"\(Transpose\)"),
    "branch": (
        [LINEAR, ("Gemm", ["x", "W"], ["r"]), ("Mul", ["s", "r"], ["h"])],
        r"node 'r' \(Gemm\): not a chain",
    ),
    "skip": (
        [("Gemm", ["x", "S"], ["s"]), ("Add", ["s", "x"], ["h"])],
        "the output layer has a normalisation, a PRelu or a residual connection",
    ),
    # s sigmoid(s + 3) is not silu with another bias.
    "shifted": (
        [
            *(LINEAR, ("Add", ["s", "three"], ["t"]), ("Sigmoid", ["t"], ["p"])),
            *(("Mul", ["s", "p"], ["r"]), LAST),
        ],
        "not a chain",
    ),
    "transA": ([("Gemm", ["x", "W", "b"], ["h"], ("transA", 1))], "columns of the rows"),
    "function": (
        [LINEAR, ("Exp", ["s"], ["r"]), LAST],
        "layer 1 before it has the activation exp, which",
    ),
    "other slope": (
        [LINEAR, ("LeakyRelu", ["s"], ["r"], ("alpha", 0.2)), LAST],
        "after linear layer 1 is not one",
    ),
    "gelu by tanh": (
        [LINEAR, ("Gelu", ["s"], ["r"], ("approximate", "tanh")), LAST],
        "after linear layer 1 is not one",
    ),
    "softmax inside": ([LINEAR, ("Softmax", ["s"], ["r"]), LAST], "the activation softmax, which"),
    "softmax axis": ([LINEAR, ("Softmax", ["s"], ["h"], ("axis", 0))], "along axis 1"),
    "after softmax": ([LINEAR, ("Softmax", ["s"], ["r"]), ("Neg", ["r"], ["h"])], "come last"),
    "before the first": ([("Tanh", ["x"], ["r"]), ("Gemm", ["r", "W"], ["h"])], "before the first"),
    "no layer": ([("Tanh", ["x"], ["h"])], "no linear layer"),
    "shapes": ([LINEAR, ("Gemm", ["s", "W"], ["h"])], "do not form a chain"),
    "bias": (
        [("Gemm", ["x", "W", "c"], ["h"])],
        r"something else than a constant bias of shape \(4,\)",
    ),
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
    "squeezed rows": ([NARROW, ("Squeeze", ["s", "zero"], ["h"])], "second axis of a single"),
    "squeezed all": ([NARROW, ("Squeeze", ["s"], ["h"])], "second axis of a single"),
    "squeezed outputs": ([LINEAR, ("Squeeze", ["s", "one"], ["h"])], "second axis of a single"),
    # Softmax over the rows.
    "squeezed, softmax": (
        [NARROW, ("Squeeze", ["s", "one"], ["t"]), ("Softmax", ["t"], ["h"], ("axis", -1))],
        "follows a Squeeze",
    ),
    # A matrix of all rows with all.
    "squeezed and not": (
        [NARROW, ("Squeeze", ["s", "one"], ["t"]), ("Mul", ["s", "t"], ["h"])],
        "follows a Squeeze",
    ),
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
        narrow=(3, 1),
        zero=np.array([0]),
        one=np.array([1]),
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
        with pytest.raises(ValueError, match="not an ONNX file"):
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

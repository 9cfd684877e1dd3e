"""skl2onnx writes fastbp's estimators, and fastbp reads what skl2onnx writes of scikit-learn's.

onnxruntime judges. `make test-ecosystem` runs these tests.
"""

import warnings

import numpy as np
import onnxruntime
import pytest
import skl2onnx
from skl2onnx.common.data_types import (
    BooleanTensorType,
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
)
from sklearn import neural_network
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import fastbp
from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
fastbp.exchange.register_skl2onnx()

RNG = np.random.default_rng(0)
X = RNG.standard_normal((80, 4))
SCORE = X @ [1.0, -2.0, 0.5, 0.0] + 0.3 * RNG.standard_normal(80)
CLASS = np.digitize(SCORE, [-1, 1])
_, LABELS = make_multilabel_classification(80, 4, n_classes=3, random_state=0)
TARGETS = {
    "binary": (CLASS > 0).astype(int),
    "multiclass": CLASS,
    "large and negative": np.array([-7, 2**40, 2**40 + 1])[CLASS],
    "unsigned": np.array([3, 200, 7], np.uint8)[CLASS],
    "text": np.array(["red", "green", "blüe"])[CLASS],
    "text of two": np.array(["no", "yes"], object)[(CLASS > 0).astype(int)],
    "bool": CLASS > 0,
    "floats": CLASS.astype(float),
    "multilabel": LABELS,
    "two labels": LABELS[:, :2],
}
TYPES = {"float32": FloatTensorType, "float64": DoubleTensorType}
ROUNDING = {"float32": 1e-5, "float64": 1e-12}


def converted(model, dtype="float32", **options):
    kind = TYPES[dtype]([None, 4])
    return skl2onnx.to_onnx(model, initial_types=[("X", kind)], **options)


def run(onx, rows):
    session = onnxruntime.InferenceSession(
        onx.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"X": rows})


def assert_same(model, onx, dtype="float32", rows=X):
    """Labels and probabilities (no ZipMap), or values."""
    rows = rows.astype(dtype)
    first, *rest = run(onx, rows)
    if rest:
        assert first.shape == model.predict(rows).shape
        assert np.array_equal(first, model.predict(rows))
        wanted, h = model.predict_proba(rows), rest[0]
    else:
        wanted, h = model.predict(rows).reshape(len(rows), -1), first
    assert h.dtype == dtype
    assert h.shape == wanted.shape
    assert np.abs(h - wanted).max() < ROUNDING[dtype]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("activation", ["relu", "logistic", "gelu", ["silu", "softplus"]])
@pytest.mark.parametrize("name", TARGETS)
def test_classifier(name, activation, dtype):
    y = TARGETS[name]
    model = MLPClassifier((6, 5), activation=activation, max_iter=15, random_state=0).fit(X, y)
    no_zipmap = {"options": {id(model): {"zipmap": False}}}
    assert_same(model, converted(model, dtype, **no_zipmap), dtype)
    assert_same(model, converted(model, dtype, **no_zipmap), dtype, X[:1])
    piped = make_pipeline(StandardScaler(), model).fit(X, y)
    assert_same(piped, converted(piped, dtype, **no_zipmap), dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_regressor(n_outputs, loss, dtype):
    y = np.abs(SCORE) if n_outputs == 1 else np.abs(np.column_stack([SCORE, X[:, 0], X[:, 1]]))
    model = MLPRegressor(loss, (6,), activation="tanh", max_iter=15, random_state=0).fit(X, y)
    assert_same(model, converted(model, dtype), dtype)
    piped = make_pipeline(MinMaxScaler(), model).fit(X, y)
    assert_same(piped, converted(piped, dtype), dtype)


@pytest.mark.parametrize("name", TARGETS)
def test_zipmap(name):
    y = TARGETS[name]
    model = MLPClassifier((6,), max_iter=15, random_state=0).fit(X, y)
    rows = X.astype("float32")
    wanted = model.predict_proba(rows)
    label, maps = run(converted(model), rows)  # skl2onnx's default
    assert np.array_equal(label, model.predict(rows))
    assert list(maps[0]) == model.classes_.tolist()
    assert np.abs(np.array([[m[k] for k in m] for m in maps]) - wanted).max() < 1e-5
    if y.dtype.kind == "f":
        return  # of floats skl2onnx itself makes no names of columns
    columns = {"options": {id(model): {"zipmap": "columns"}}}
    label, *parts = run(converted(model, **columns), rows)
    assert np.array_equal(label, model.predict(rows))
    assert np.abs(np.column_stack(parts) - wanted).max() < 1e-5


def test_other_options():
    y = TARGETS["text"]
    model = MLPClassifier((6,), max_iter=15, random_state=0).fit(X, y)
    rows = X.astype("float32")
    numbers = {"options": {id(model): {"zipmap": False, "nocl": True}}}
    label, h = run(converted(model, **numbers), rows)
    assert np.array_equal(model.classes_[label], model.predict(rows))
    names = {"options": {id(model): {"zipmap": False, "output_class_labels": True}}}
    label, h, classes = run(converted(model, **names), rows)
    assert np.array_equal(label, model.predict(rows))
    assert np.array_equal(classes, model.classes_)


@pytest.mark.parametrize("kind", [Int64TensorType, BooleanTensorType])
def test_inputs_of_whole_numbers(kind):
    rows = RNG.integers(0, 2, (80, 4))
    model = MLPClassifier((6,), max_iter=15, random_state=0).fit(rows, CLASS)
    options = {id(model): {"zipmap": False}}
    onx = skl2onnx.to_onnx(model, initial_types=[("X", kind([None, 4]))], options=options)
    label, h = run(onx, rows.astype(bool if kind is BooleanTensorType else np.int64))
    assert np.array_equal(label, model.predict(rows))
    assert np.abs(h - model.predict_proba(rows)).max() < 1e-5


@pytest.mark.parametrize("target_opset", [9, 12, 15, None])
def test_opsets(target_opset):
    for activation in ("gelu", "elu", "leaky_relu"):
        model = MLPClassifier((6,), activation=activation, max_iter=5).fit(X, CLASS)
        options = {id(model): {"zipmap": False}}
        onx = converted(model, target_opset=target_opset, options=options)
        assert_same(model, onx)
    with pytest.raises(ValueError, match="target_opset must be at least 9, got 8"):
        converted(model, target_opset=8)


def test_deep_in_a_pipeline():
    scaled = ColumnTransformer([("a", StandardScaler(), [0, 2]), ("b", MinMaxScaler(), [1, 3])])
    model = make_pipeline(scaled, MLPClassifier((6,), max_iter=15)).fit(X, TARGETS["text"])
    onx = converted(model, options={MLPClassifier: {"zipmap": False}})
    assert_same(model, onx)


def test_coefficients_set_by_hand():
    model = MLPRegressor(hidden_layer_sizes=(), max_iter=5).fit(X, SCORE)
    model.coefs_, model.intercepts_ = [np.arange(4.0).reshape(4, 1)], [np.array([0.5])]
    (h,) = run(converted(model, "float64"), X)
    assert np.abs(h[:, 0] - (X @ np.arange(4) + 0.5)).max() < 1e-12


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["binary", "text", "multilabel"])
def test_ensemble_of_classifiers(name, dtype):
    member = MLPClassifier((6,), max_iter=15)
    model = MLPEnsembleClassifier(member, 3, bootstrap=True, random_state=0).fit(X, TARGETS[name])
    assert_same(model, converted(model, dtype, options={id(model): {"zipmap": False}}), dtype)


def test_ensemble_whose_members_miss_classes():
    y = np.append(np.repeat(["a", "b", "c"], 26), ["d", "e"])
    model = MLPEnsembleClassifier(MLPClassifier((6,), max_iter=5), 4, max_samples=0.5)
    model.set_params(random_state=0).fit(X, y)
    assert min(len(member.classes_) for member in model.estimators_) < 5
    assert_same(model, converted(model, options={id(model): {"zipmap": False}}))


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_ensemble_of_regressors(n_outputs):
    y = SCORE if n_outputs == 1 else X[:, :2]
    member = MLPRegressor(hidden_layer_sizes=(6,), max_iter=15)
    model = MLPEnsembleRegressor(member, 3, random_state=0).fit(X, y)
    assert_same(model, converted(model, "float64"), "float64")


def test_what_cannot_be_converted_is_named():
    model = MLPEnsembleClassifier(make_pipeline(StandardScaler(), MLPClassifier(max_iter=3)), 2)
    with pytest.raises(ValueError, match="a member of this MLPEnsembleClassifier is a Pipeline"):
        converted(model.fit(X, CLASS))
    model = MLPClassifier((3,), max_iter=3).fit(X, CLASS)
    model.classes_ = model.classes_ + 0.5
    with pytest.raises(ValueError, match="labels in ONNX are whole numbers or text, got"):
        converted(model, options={id(model): {"zipmap": False}})
    model = MLPClassifier((3,), max_iter=3).fit(X, np.zeros(80))
    with pytest.raises(ValueError, match="has seen a single class"):
        converted(model)
    model = MLPRegressor(hidden_layer_sizes=(), max_iter=3).fit(X, SCORE)
    model.coefs_[0][0] = 1e300
    with pytest.raises(ValueError, match="W1 is not finite in float32; float64 needs Double"):
        converted(model)
    converted(model, "float64")

    class Changed(MLPRegressor):
        pass

    with pytest.raises(Exception, match="Changed"):
        converted(Changed(hidden_layer_sizes=(), max_iter=3).fit(X, SCORE))


def test_scikit_learns_own_are_still_converted_by_skl2onnx():
    """Whether or not fastbp's classes pass for subclasses of theirs."""
    fastbp.exchange.register_skl2onnx()  # again
    for kind in (neural_network.MLPClassifier, LogisticRegression):
        model = kind(max_iter=20).fit(X, CLASS)
        assert_same(model, converted(model, options={id(model): {"zipmap": False}}))


# Into a Network.


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("library", [neural_network, fastbp])
@pytest.mark.parametrize("name", ["binary", "multiclass", "text", "multilabel"])
def test_from_onnx_of_classifiers(name, library, dtype, tmp_path):
    for activation in ("identity", "logistic", "tanh", "relu"):
        model = library.MLPClassifier((6, 5), activation=activation, max_iter=15)
        model.fit(X, TARGETS[name])
        for zipmap in (True, False):
            onx = converted(model, dtype, options={id(model): {"zipmap": zipmap}})
            (tmp_path / "model.onnx").write_bytes(onx.SerializeToString())
            net = fastbp.Network.from_onnx(tmp_path / "model.onnx")
            wanted = model.predict_proba(X.astype(dtype))
            assert net.predict(X).shape == wanted.shape
            assert np.abs(net.predict(X) - wanted).max() < ROUNDING[dtype]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("library", [neural_network, fastbp])
def test_from_onnx_of_regressors(library, dtype, tmp_path):
    model = library.MLPRegressor(hidden_layer_sizes=(6,), max_iter=15).fit(X, SCORE)
    (tmp_path / "model.onnx").write_bytes(converted(model, dtype).SerializeToString())
    net = fastbp.Network.from_onnx(tmp_path / "model.onnx")
    assert np.abs(net.predict(X)[:, 0] - model.predict(X.astype(dtype))).max() < ROUNDING[dtype]


def test_equal_biases_are_shared(tmp_path):
    model = neural_network.MLPRegressor(hidden_layer_sizes=(4, 4), max_iter=2).fit(X, X)
    for b in model.intercepts_:
        b[:] = 0.5
    model.coefs_[2], model.intercepts_[2] = model.coefs_[2][:, :1], model.intercepts_[2][:1]
    onx = converted(model)
    (tmp_path / "model.onnx").write_bytes(onx.SerializeToString())
    net = fastbp.Network.from_onnx(tmp_path / "model.onnx")
    (h,) = run(onx, X.astype("float32"))
    assert np.abs(net.predict(X) - h).max() < 1e-5


def test_from_onnx_refuses_what_skl2onnx_gets_wrong(tmp_path):
    """Several values in one column; four columns for two labels."""
    several = neural_network.MLPRegressor(hidden_layer_sizes=(4,), max_iter=5)
    labels = neural_network.MLPClassifier((4,), max_iter=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        several.fit(X, X[:, :2])
        labels.fit(X, TARGETS["two labels"])
    for model, message in [(several, "keep the rows"), (labels, "probabilities of two classes")]:
        onx = skl2onnx.to_onnx(model, X[:1].astype("float32"))
        (tmp_path / "model.onnx").write_bytes(onx.SerializeToString())
        with pytest.raises(ValueError, match=message):
            fastbp.Network.from_onnx(tmp_path / "model.onnx")

"""Models in files: a loaded model equals the saved one, and a file is never half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from file_helpers import broken, rewrite
from helpers import DTYPES, SECONDS, TARGETS, make_data, make_network, outputs_for
from output_helpers import SOME_PAIRS
from safetensors import safe_open
from safetensors.numpy import save as save_tensors
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import fastbp
from fastbp.files import file

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("load", [fastbp.load, fastbp.Network.load])
def test_paths_that_are_numbers(load, path):
    """A number would be an open file's, which would be closed."""
    make_network([3, 2], "huber", None).save(path)
    with open(path, "rb") as opened:
        with pytest.raises(TypeError, match="path must be a path .* got int"):
            load(opened.fileno())
        assert opened.read(1)


# Networks.


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", TARGETS)
def test_network_predicts_and_goes_on_with_the_same_bits(backend, loss, dtype, path):
    sizes = [3, 5, 1, outputs_for(loss, 2)]
    net = make_network(sizes, loss, backend, dtype, activation=["gelu", "tanh"])
    X, y = make_data(loss, 20, 3, sizes[-1])
    net.fit(X, y, epochs=1, batch_size=7)
    net.save(path)
    loaded = fastbp.Network.load(path, backend=backend)
    assert loaded.predict(X).tobytes() == net.predict(X).tobytes()
    assert loaded.layout == net.layout
    assert (loaded.loss, loaded.loss_parameter) == (net.loss, net.loss_parameter)
    histories = [each.fit(X, y, epochs=2, batch_size=7) for each in (net, loaded)]
    assert histories[0] == histories[1]
    assert loaded._engine.parameters.tobytes() == net._engine.parameters.tobytes()


def test_anyone_can_read_the_weights(path):
    net = fastbp.Network([2, 3, 1], loss="huber", loss_parameter=0.5, backend="numpy", seed=0)
    fastbp.save(net, str(path))
    with safe_open(path, "numpy") as opened:
        document = json.loads(opened.metadata()["fastbp"])
        assert opened.keys() == ["biases.1", "biases.2", "weights.1", "weights.2"]
        np.testing.assert_array_equal(opened.get_tensor("weights.2"), net.weights[1])
    assert (document["schema"], document["library"]) == (1, fastbp.__version__)
    del document["model"]["random"]
    assert document["model"] == {
        "layer_sizes": [2, 3, 1],
        "activation": ["relu"],
        "loss": "huber",
        "loss_parameter": 0.5,
        "dtype": "float32",
    }


def test_the_same_network_gives_the_same_bytes(path, tmp_path):
    net = fastbp.Network([2, 3, 1], loss="huber", backend="numpy", seed=0)
    net.save(path)
    fastbp.load(path).save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(("loss", "output"), [*SOME_PAIRS, (None, "tanh"), (None, "softmax")])
def test_output_activations(loss, output, path):
    """Beside the loss, or without one; files of other networks stay as they were."""
    net = fastbp.Network(
        [3, 5, 2], activation="tanh", loss=loss, output_activation=output, backend="numpy", seed=0
    )
    net.save(path)
    loaded = fastbp.Network.load(path, backend="numpy")
    X = np.random.default_rng(0).standard_normal((9, 3))
    assert loaded.predict(X).tobytes() == net.predict(X).tobytes()
    assert (loaded.loss, loaded.output_activation) == (loss, output)
    assert repr(loaded) == repr(net)
    with safe_open(path, "numpy") as opened:
        document = json.loads(opened.metadata()["fastbp"])
    assert (document["schema"], document["model"]["output_activation"]) == (3, output)


BROKEN = {
    "illegal": ({"output_activation": "softmax"}, "output_activation of huber must be"),
    "unknown": ({"output_activation": "tangens"}, "output_activation must be one of"),
    "no name": ({"output_activation": 3}, "output_activation must be"),
    "none": ({"output_activation": None}, "output_activation must be"),
    "no loss": ({"loss": None}, "loss must be one of"),
    "parameter": ({"output_activation": "tanh", "loss": None}, "loss_parameter of None must be"),
}


@pytest.mark.parametrize("change", BROKEN)
def test_broken_output_activations(change, path):
    fastbp.Network([2, 1], loss="huber", backend="numpy").save(path)
    values, words = BROKEN[change]
    rewrite(path, lambda document, tensors: document["model"].update(values))
    with pytest.raises(ValueError, match=words):
        fastbp.load(path)


def test_a_function_as_loss_is_refused(path):
    def loss(h, y):
        return ((h - y) ** 2).sum(axis=1), 2 * (h - y)

    net = fastbp.Network([2, 1], loss=loss, backend="numpy")
    with pytest.raises(ValueError, match="is a function, which cannot be saved"):
        net.save(path)
    assert not path.exists()


def test_weights_that_are_not_finite_are_refused(path):
    net = fastbp.Network([2, 1], loss="huber", backend="numpy")
    net.weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        net.save(path)


# Estimators.

FIT = {
    "binary": (fastbp.MLPClassifier, {}, lambda X: X[:, 0] > 0),
    "strings": (fastbp.MLPClassifier, {"solver": "sgd"}, lambda X: np.array(list("abc"))[kind(X)]),
    "objects": (fastbp.MLPClassifier, {}, lambda X: np.array(["a", "bc", "d"], object)[kind(X)]),
    "uint8": (fastbp.MLPClassifier, {"solver": "lbfgs"}, lambda X: kind(X).astype(np.uint8)),
    "several labels": (fastbp.MLPClassifier, {"label_smoothing": 0.1}, lambda X: X > 0),
    "weights": (
        fastbp.MLPClassifier,
        {"class_weight": {0: 1.5, 1: 2.0, 2: 1}, "activation": ("logistic",), "dtype": "float32"},
        lambda X: kind(X),
    ),
    "held out": (
        fastbp.MLPRegressor,
        {"early_stopping": True, "n_iter_no_change": np.inf, "learning_rate_init": 0.01},
        lambda X: X[:, 0],
    ),
    "rules": (
        fastbp.MLPRegressor,
        {
            "schedule": fastbp.CosineDecay(warmup=0.1),
            "average": fastbp.EMA(0.5),
            "dropout": [0.1, 0.2],
            "frozen": [0],
            "loss": "quantile",
            "loss_parameter": 0.3,
            "hidden_layer_sizes": [4],
        },
        lambda X: X[:, :2],
    ),
    "poisson": (fastbp.MLPRegressor, {"loss": "poisson", "solver": "sgd"}, lambda X: X[:, 0] ** 2),
    "lists": (
        fastbp.MLPRegressor,
        {
            "solver": "sgd",
            "learning_rate": "invscaling",
            "momentum": 0,
            "callbacks": [],
            "hidden_layer_sizes": np.array([4]),
            "random_state": np.int64(2),
            "l1": np.array([0.1, 0.0]),
        },
        lambda X: X[:, 0],
    ),
}


def kind(X):
    return np.digitize(X[:, 0], [-0.4, 0.4])


def fitted(which, **more):
    cls, parameters, y = FIT[which]
    X = np.random.default_rng(0).normal(size=(60, 3))
    both = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, **parameters, **more}
    return cls(**both).fit(X, y(X)), X, y(X)


@pytest.mark.parametrize("which", FIT)
def test_estimator_comes_back_whole(which, path):
    estimator, X, y = fitted(which)
    fastbp.save(estimator, path)
    loaded = fastbp.load(path)
    names = ["predict"] + ["predict_proba"] * hasattr(estimator, "predict_proba")
    for name in names:
        ours, theirs = getattr(estimator, name)(X), getattr(loaded, name)(X)
        assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
    if which != "lists":  # arrays become lists
        assert repr(loaded) == repr(estimator)
        assert repr(clone(loaded)) == repr(clone(estimator))
    kept = vars(estimator).keys() - {"_random_state", "_held", "_optimizer", "_label_binarizer"}
    assert vars(loaded).keys() == vars(estimator).keys() - {"_random_state"}
    for name in kept:
        ours, theirs = (getattr(each, name) for each in (estimator, loaded))
        if isinstance(ours, np.ndarray) and name in estimator.get_params():
            ours = ours.tolist()
        assert str(theirs) == str(ours), name


@pytest.mark.parametrize("which", FIT)
def test_estimator_goes_on_with_the_same_bits(which, path):
    """By `partial_fit`, where the parameters let it, and by a warm start."""
    estimator, X, y = fitted(which)
    fastbp.save(estimator, path)
    both = estimator, fastbp.load(path)
    if estimator.solver != "lbfgs" and not (estimator.early_stopping or estimator.schedule):
        for each in both:
            each.partial_fit(X[:30], y[:30]).partial_fit(X[30:], y[30:])
        assert both[0].loss_curve_ == both[1].loss_curve_
        assert (both[0].t_, both[0].n_iter_) == (both[1].t_, both[1].n_iter_)
    for each in both:
        each.set_params(warm_start=True, random_state=1).fit(X, y)
    for ours, theirs in zip(both[0].coefs_, both[1].coefs_, strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert both[0].loss_ == both[1].loss_


def test_names_of_features(path):
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [0.0, 1.0], "b": [2.0, 1.0]})
    estimator = fastbp.MLPRegressor(max_iter=2).fit(X, [0, 1])
    fastbp.save(estimator, path)
    assert fastbp.load(path).feature_names_in_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        fastbp.load(path).predict(X[["b", "a"]])


def test_an_initialized_estimator(path):
    _, X, y = fitted("binary")
    estimator = fastbp.MLPClassifier().initialize(X, y)
    fastbp.save(estimator, path)
    loaded = fastbp.load(path)
    assert not hasattr(loaded, "loss_") and loaded.best_loss_ == np.inf
    assert loaded.predict_proba(X).tobytes() == estimator.predict_proba(X).tobytes()


def test_coefficients_set_by_hand(path):
    """Of another shape than the optimiser's state is for, which is not saved then."""
    estimator, X, _ = fitted("binary")
    estimator.coefs_ = [np.ones((3, 2)), np.ones((2, 1))]
    estimator.intercepts_ = [np.zeros(2), np.zeros(1)]
    fastbp.save(estimator, path)
    loaded = fastbp.load(path)
    assert loaded.predict_proba(X).tobytes() == estimator.predict_proba(X).tobytes()
    assert not hasattr(loaded, "_optimizer")


@pytest.mark.parametrize(
    "change, what",
    [
        ({"callbacks": [fastbp.Callback()]}, "callbacks of an estimator cannot be saved"),
        ({"random_state": np.random.RandomState(0)}, "random_state=.* cannot be saved"),
        ({"scoring": lambda *a: 0.0}, "scoring=.* cannot be saved"),
        ({"alpha": -1}, "'alpha' parameter"),
    ],
)
def test_parameters_that_cannot_be_saved(change, what, path):
    estimator, _, _ = fitted("binary")
    with pytest.raises(ValueError, match=what):
        fastbp.save(estimator.set_params(**change), path)
    assert not path.exists()


def test_other_models_are_refused(path):
    from sklearn.linear_model import LinearRegression

    with pytest.raises(TypeError, match="cannot save a LinearRegression, only a Network"):
        fastbp.save(LinearRegression(), path)
    with pytest.raises(NotFittedError):
        fastbp.save(fastbp.MLPRegressor(), path)
    fastbp.save(fitted("binary")[0], path)
    with pytest.raises(ValueError, match=r"model of kind estimator; use fastbp\.load"):
        fastbp.Network.load(path)
    for kind in ("ensemble", "tabular", "pipeline"):
        rewrite(path, lambda document, _, kind=kind: document.update(kind=kind))
        with pytest.raises(ValueError, match=rf"model of kind {kind}; use fastbp\.load"):
            fastbp.Network.load(path)


# Versions.

STORED = sorted((DATA / "saved").glob("*.safetensors"))


def test_a_newer_version_is_refused(path):
    fastbp.Network([2, 1], loss="huber", backend="numpy").save(path)

    def change(document, tensors):
        document.update(schema=file.SCHEMA + 1, library="9.1", something="new")

    rewrite(path, change)
    with pytest.raises(ValueError, match=r"fastbp '9\.1'.*install a newer fastbp"):
        fastbp.load(path)


@pytest.mark.parametrize("stored", STORED, ids=lambda path: path.stem)
def test_files_of_earlier_versions_load(stored):
    """Each was written by the version in its name, with what it predicted beside it."""
    expected = np.load(stored.with_suffix(".npz"))
    model = fastbp.load(stored)
    predicted = model.predict(expected["X"])
    if isinstance(predicted, tuple):  # of heads
        predicted = np.hstack(predicted)
    np.testing.assert_allclose(predicted, expected["predicted"], rtol=1e-5)
    if "interval" in expected:
        found = model.predict_interval(expected["X"], 0.8)
        np.testing.assert_allclose(found, expected["interval"], rtol=1e-5)


def test_there_are_files_of_every_version_and_kind():
    kinds = {
        1: ("network", "estimator", "ensemble", "pipeline", "checkpoint"),
        2: ("network", "checkpoint"),  # adds something to networks only, as does 3
        3: ("network", "checkpoint"),
        4: ("network", "estimator", "ensemble"),  # calibrated
        5: ("network", "estimator", "checkpoint"),
        6: ("network", "estimator", "checkpoint"),
        7: ("network", "checkpoint"),  # with inputs
        8: ("network", "checkpoint"),  # with heads
    }
    assert max(kinds) == file.SCHEMA
    assert {path.stem for path in STORED} == {f"v{n}-{kind}" for n in kinds for kind in kinds[n]}


@pytest.mark.parametrize("stored", sorted((DATA / "saved").glob("*-checkpoint.safetensors")))
def test_trainings_of_earlier_versions_go_on(stored):
    samples = np.load(stored.with_suffix(".npz"))
    X, Y = samples["X"], samples["Y"]
    network = fastbp.Network.load(stored, backend="numpy")
    if network.loss_weights:
        Y = tuple(Y.T)  # a column for each head
    history = network.fit(
        X,
        Y,
        epochs=5,
        batch_size=8,
        dropout=0.1,
        average=fastbp.EMA(0.9),
        patience=2,
        validation_data=(X, Y),
        resume_from=stored,
    )
    assert len(history.loss) == len(history.validation_loss) == 5
    for losses in history.head_losses.values():  # the stored ones, of three epochs, are older
        assert np.isnan(losses).tolist() == [True, True, True, False, False]


# The file itself.


def test_a_failed_write_leaves_the_old_file(path, monkeypatch):
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        fastbp.Network([2, 1], loss="huber", backend="numpy").save(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == [path.name]


def test_permissions_are_those_of_any_new_file(path):
    (path.parent / "other").write_bytes(b"")
    fastbp.Network([2, 1], loss="huber", backend="numpy").save(path)
    assert path.stat().st_mode == (path.parent / "other").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_refused_at_once(path):
    os.mkfifo(path)
    with pytest.raises(ValueError, match="not a regular file"):
        fastbp.load(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError):
        fastbp.load(path)


def test_files_from_elsewhere(path):
    for content in (b"", b"abc", b"\x02\0\0\0\0\0\0\0{}", save_tensors({"x": np.ones(3)})):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="not a"):
            fastbp.load(path)


def test_a_large_header_is_not_read(path):
    path.write_bytes((file.MAX_HEADER + 1).to_bytes(8, "little") + b" " * (file.MAX_HEADER + 1))
    with pytest.raises(ValueError, match="header takes 4194305 bytes"):
        fastbp.load(path)


def test_saving_and_loading_a_network_needs_no_scikit_learn(path):
    """Nor SciPy, so that a program which only predicts starts quickly."""
    code = (
        "import sys, fastbp; net = fastbp.Network([2, 1], loss='huber', backend='numpy');"
        f"net.save({str(path)!r}); fastbp.Network.load({str(path)!r}, backend='numpy');"
        "print(*{'sklearn', 'scipy', 'numba'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


# Values that a file must not have: the key is the place, the value is the wrong content.


@pytest.mark.parametrize(
    "where, value",
    [
        ("schema", True),
        ("schema", 0.5),
        ("schema", 0),
        ("library", 1),
        ("kind", "other"),
        ("more", 1),
        ("model", None),
        ("model/more", 1),
        ("model/layer_sizes", [2]),
        ("model/layer_sizes", [2, 3, 2]),
        ("model/layer_sizes", [2, -3, 1]),
        ("model/layer_sizes", [2, 3.0, 1]),
        ("model/layer_sizes", [2, 2**40, 1]),
        ("model/layer_sizes", "231"),
        ("model/activation", ["softmax"]),
        ("model/activation", ["relu", "relu"]),
        ("model/activation", [["relu"]]),
        ("model/loss", "other"),
        ("model/loss", "cross_entropy"),
        ("model/loss", "squared_error"),
        ("model/loss_parameter", None),
        ("model/loss_parameter", -1),
        ("model/loss_parameter", True),
        ("model/loss_parameter", 10**400),
        ("model/dtype", "float64"),
        ("model/dtype", "f4"),
        ("model/random", {}),
        ("model/random/state", -1),
        ("model/random/state", 2**128),
        ("model/random/uinteger", 2**32),
        ("model/random/has_uint32", 2),
    ],
)
def test_a_broken_document_of_a_network(where, value, path):
    fastbp.Network([2, 3, 1], loss="huber", backend="numpy", seed=0).save(path)
    broken(path, where, value)
    with pytest.raises(ValueError):
        fastbp.Network.load(path)


@pytest.mark.parametrize(
    "where, value",
    [
        ("class", "Network"),
        ("class", ["MLPClassifier"]),
        ("parameters/solver", "other"),
        ("parameters/alpha", None),
        ("parameters/alpha", {"number": "nan"}),
        ("parameters/callbacks", [1]),
        ("parameters/schedule", {"OneCycle": {"peak": 2.0, "initial": 0.1, "final": 0.1}}),
        ("parameters/schedule", {"OneCycle": {"peak": "a", "initial": 0.1, "final": 0.1}}),
        ("parameters/schedule", {"OneCycle": {}}),
        ("parameters/schedule", {"SGD": {"learning_rate": 1, "momentum": 0, "nesterov": False}}),
        ("parameters/schedule", {"__import__": {}}),
        ("parameters/scoring", "other"),
        ("parameters/activation", "other"),
        ("parameters/activation", ["relu", "relu"]),
        ("parameters/class_weight", {"dict": [[[1], 2]]}),
        ("parameters/class_weight", {"dict": [[1]]}),
        ("parameters/hidden_layer_sizes", [[[[[[[1]]]]]]]),
        ("parameters/more", 1),
        ("dtype", "float64"),
        ("layer_sizes", [3, 4, 2]),
        ("layer_sizes", 3),
        ("feature_names_in_", {"dtype": "object", "values": ["a"]}),
        ("feature_names_in_", {"dtype": "object", "values": ["a", "b", 1]}),
        ("classes", None),
        ("classes/classes_", {"dtype": "int64", "values": [0, 1]}),
        ("classes/classes_", {"dtype": "int8", "values": [0, 1, 1000]}),
        ("classes/classes_", {"dtype": "int64", "values": [0, 1, "a"]}),
        ("classes/classes_", {"dtype": "complex64", "values": [0, 1, 2]}),
        ("classes/classes_", {"dtype": "str", "values": ["a" * 10_000_000, "b", "c"]}),
        ("classes/y_type_", "continuous"),
        ("classes/y_type_", "binary"),
        ("classes/sparse_input_", 0),
        ("fitted/out_activation_", "exp"),
        ("fitted/t_", -1),
        ("fitted/loss_", "a"),
        ("fitted/loss_", None),
        ("fitted/more", 1),
        ("fitted", {}),
        ("curves/loss_curve_", False),
        ("curves/validation_scores_", True),
        ("optimizer", None),
        ("optimizer/optimizer", {"EMA": {"decay": 0.5}}),
        ("optimizer/schedule", "other"),
        ("optimizer/power_t", {"number": "inf"}),
    ],
)
def test_a_broken_document_of_an_estimator(where, value, path):
    estimator, _, _ = fitted("weights")
    fastbp.save(estimator, path)
    broken(path, f"model/{where}", value)
    with pytest.raises(ValueError):
        fastbp.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.pop("weights.2"),
        lambda t: t.update({"weights.3": t["weights.2"]}),
        lambda t: t.update({"weights.1": t["weights.1"].T.copy()}),
        lambda t: t.update({"weights.1": t["weights.1"].ravel()}),
        lambda t: t.update({"biases.1": t["biases.1"].astype(np.float64)}),
        lambda t: t.update({"biases.1": t["biases.1"].astype(np.float16)}),
        lambda t: t.update({"biases.1": t["biases.1"] + np.float32(np.inf)}),
        lambda t: t.update({"weights.1": t["weights.1"] * np.float32(np.nan)}),
    ],
)
def test_broken_tensors(change, path):
    fastbp.Network([2, 3, 1], loss="huber", backend="numpy", seed=0).save(path)
    rewrite(path, lambda document, tensors: change(tensors))
    with pytest.raises(ValueError, match="broken file"):
        fastbp.Network.load(path)


def test_documents_that_are_hard_to_read(path):
    for text in ("[" * 200_000, '{"a":' * 50_000, "1" * 5000, "{", "[]", "NaN", '{"schema": NaN}'):
        path.write_bytes(save_tensors({}, {file.KEY: text}))
        with pytest.raises(ValueError):
            fastbp.load(path)

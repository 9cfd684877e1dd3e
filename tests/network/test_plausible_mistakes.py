"""A plausible mistake is answered by a sentence about the argument, not from deep inside.

Each line: a call with something in the wrong place, the exception, a pattern of its message.
"""

import numpy as np
import pytest
import scipy.sparse
from helpers import make_data, make_network

import fastbp
from fastbp import plots

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")

X, y = make_data("log_loss", 12, 3, 1)
LABELS = y.ravel().astype(int)
SPARSE = scipy.sparse.csr_array(X)
HUGE = 10**30
W, B = np.ones((2, 3)), np.ones(3)


def network():
    return make_network([3, 4, 1], "log_loss", "numpy")


def classifier(**options):
    return fastbp.MLPClassifier((4,), max_iter=2, random_state=0, backend="numpy", **options)


def with_attribute(name, value):
    model = classifier().fit(X, LABELS)
    setattr(model, name, value)
    return model


NUMBERS_BY_LAYER = {
    f"{name}, {what}": (
        lambda name=name, value=value: network().fit(X, y, **{name: value}),
        TypeError,
        rf"{name} must be a number, got {kind}",
    )
    for name in ("l1", "l2", "dropout")
    for what, value, kind in (("sparse", SPARSE, "csr_array"), ("a class", list, "type"))
}
SPARSE_MATRICES = {
    "batches": (lambda: network().fit_batches(SPARSE), TypeError, r"iterable of \(X, y\), got"),
    "frozen, sparse": (lambda: network().fit(X, y, frozen=SPARSE), TypeError, "frozen"),
    "frozen, a class": (
        lambda: network().fit(X, y, frozen=list),
        TypeError,
        "frozen must be a lis",
    ),
    "frozen, a dict": (lambda: network().fit(X, y, frozen={0: 1}), TypeError, "frozen must be a l"),
    "a stream's X": (lambda: fastbp.ArrayStream(SPARSE, y), TypeError, r"X is a sparse matrix; pa"),
    "l2 of Levenberg": (
        lambda: fastbp.levenberg_marquardt(
            make_network([3, 1], "squared_error", "numpy"), X, y, l2=SPARSE
        ),
        TypeError,
        "l2 must be a number, got csr_array",
    ),
}
NUMBERS = {
    "units": (
        lambda: fastbp.Network([3, HUGE, 1], loss="huber"),
        ValueError,
        r"layer_sizes\[1\] must be at most 2147483647, got about 10\^30",
    ),
    "weights": (
        lambda: fastbp.Network([2**31 - 1] * 3, loss="huber"),
        ValueError,
        r"make 9.2e\+18 weights and biases, more than any memory holds",
    ),
    "hidden units": (
        lambda: fastbp.MLPClassifier((HUGE,)).fit(X, LABELS),
        ValueError,
        "hidden_layer_sizes must be at most 2147483647",
    ),
    "hidden layers": (
        lambda: fastbp.MLPClassifier((2**31 - 1,) * 2).fit(X, LABELS),
        ValueError,
        "more than any memory holds",
    ),
    "hidden layers, a class": (
        lambda: fastbp.MLPClassifier(np.ndarray).fit(X, LABELS),
        TypeError,
        "hidden_layer_sizes must be a whole number, got type",
    ),
    "epochs": (lambda: network().fit(X, y, epochs=HUGE), ValueError, "epochs must be at most 2"),
    "steps": (
        lambda: fastbp.find_learning_rate(network(), X, y, n_steps=HUGE),
        ValueError,
        "n_steps must be at most 2",
    ),
    "threads": (lambda: classifier(threads=True).fit(X, LABELS), TypeError, "threads must be a wh"),
}
PATHS = {
    "save": lambda path: network().save(path),
    "load": fastbp.load,
    "Network.load": fastbp.Network.load,
    "fastbp.save": lambda path: fastbp.save(network(), path),
    "from_onnx": fastbp.Network.from_onnx,
    "to_onnx": lambda path: network().to_onnx(path),
    "to_c": lambda path: network().to_c(path),
    "Checkpoint": fastbp.Checkpoint,
    "resume_from": lambda path: network().fit(X, y, resume_from=path),
    "resume_from of many": lambda path: fastbp.fit_many([network()], X, y, resume_from=path),
    "ParquetStream": lambda path: fastbp.ParquetStream(path, "y"),
}
ESTIMATORS = {
    f"{name}, {what}": (
        lambda name=name, value=value, call=call: call(with_attribute(name, value)),
        TypeError,
        f"{name} must be a list of arrays, one for each layer .* got {type(value).__name__}",
    )
    for name in ("coefs_", "intercepts_")
    for value in (None, 3)
    for what, call in (
        ("predict", lambda model: model.predict(X)),
        ("from_sklearn", fastbp.Network.from_sklearn),
        ("save", lambda model: fastbp.save(model, "never-written")),
        ("plot", plots.NetworkGraphDisplay.from_estimator),
        ("partial_fit", lambda model: model.partial_fit(X, LABELS)),
    )
} | {
    "no coefs_": (
        lambda: with_attribute("coefs_", []).predict(X),
        ValueError,
        "coefs_ is empty; it must have an array for each layer",
    ),
    "activation": (
        lambda: with_attribute("activation", None).predict(X),
        TypeError,
        "activation must be a name or one name per hidden layer, got None",
    ),
    "activation, a class": (
        lambda: classifier(activation=list).fit(X, LABELS),
        (TypeError, ValueError),
        "activation",
    ),
}
DISPLAYS = {
    "trace": (
        lambda: plots.NetworkGraphDisplay.from_trace(X),
        TypeError,
        "trace must be a Trace, which Network.trace returns, got ndarray",
    ),
    "history": (
        lambda: plots.LearningCurveDisplay.from_history(network()),
        TypeError,
        "history must be a History, which Network.fit returns, got Network",
    ),
    "health": (
        lambda: plots.HealthDisplay.from_health(network()),
        TypeError,
        "health must be a fastbp.Health .* callback, got Network",
    ),
    "comparison": (
        lambda: plots.BackendComparisonDisplay.from_comparison([]),
        TypeError,
        "comparison must be a Comparison, which compare_backends returns, got list",
    ),
}
OTHERS = {
    "only": (
        lambda: fastbp.check_gradients(network(), X, y, only=3),
        TypeError,
        "only must be a list of names of backends, got 3",
    ),
    "only of a comparison": (
        lambda: fastbp.compare_backends([3, 1], X, y, loss="log_loss", only=SPARSE),
        TypeError,
        "only must be a list of names of backends, got",
    ),
    "only, a name": (
        lambda: fastbp.compare_backends([3, 1], X, y, loss="log_loss", only="numpy"),
        TypeError,
        "only must be a list of names of backends, got 'numpy'",
    ),
    "ragged targets": (
        lambda: fastbp.compare_backends([3, 1], X, [[1], [2, 3]], loss="log_loss", only=["numpy"]),
        ValueError,
        "y cannot be read as an array",
    ),
    "notes": (
        lambda: fastbp.save(network(), "never-written", notes={"X": X}),
        TypeError,
        "notes must be representable in JSON: .*ndarray",
    ),
    "notes of NaN": (
        lambda: fastbp.save(network(), "never-written", notes={"score": np.nan}),
        ValueError,
        "notes must be representable in JSON",
    ),
    "a ragged list of weights": (
        lambda: fastbp.Network.from_keras([[[1, 2], [3]], B], loss="huber"),
        ValueError,
        "entry 0 cannot be read as an array",
    ),
    "sparse weights": (
        lambda: fastbp.Network.from_keras([scipy.sparse.csr_array(W), B], loss="huber"),
        TypeError,
        "entry 0 is a sparse matrix",
    ),
    "ragged classes": (
        lambda: network().to_sklearn([[1, 2], [3]]),
        ValueError,
        "classes must be 2 different labels",
    ),
    "weights of C": (lambda: network().to_c("never", weights=W), ValueError, '"float32" or "int8"'),
    "dtype": (lambda: fastbp.Network([3, 1], loss="huber", dtype=np), ValueError, "dtype must be"),
}
MISTAKES = {
    **NUMBERS_BY_LAYER,
    **SPARSE_MATRICES,
    **NUMBERS,
    **ESTIMATORS,
    **DISPLAYS,
    **OTHERS,
}


@pytest.mark.parametrize("call, exception, message", MISTAKES.values(), ids=MISTAKES)
def test_mistakes(call, exception, message):
    with pytest.raises(exception, match=message):
        call()


@pytest.mark.parametrize("given", [None, 3, X, ["a"]], ids=["None", "3", "X", "list"])
@pytest.mark.parametrize("call", PATHS)
def test_what_is_no_path(call, given):
    if call in ("from_onnx", "to_onnx"):
        pytest.importorskip("onnx")
    if call == "ParquetStream":
        pytest.importorskip("pyarrow")
    if call in ("ParquetStream", "resume_from of many") and isinstance(given, list):
        given = [3]  # a list of paths is right
    if call.startswith("resume_from") and given is None:
        given = 3
    with pytest.raises(TypeError, match=r"must be a path \(str or path-like\), got"):
        PATHS[call](given)


def test_an_error_in_a_loss_function_says_who_called_it():
    with pytest.raises(TypeError) as caught:
        fastbp.Network([3, 1], loss=len)
    assert "in the loss function <built-in function len>, called as" in caught.value.__notes__[0]


def test_only_may_be_any_iterable_of_names():
    net = make_network([3, 1], "log_loss", "numpy")
    for only in (["numpy"], {"numpy": "yes"}, (name for name in ["numpy"])):
        assert fastbp.check_gradients(net, X, y, only=only).passed

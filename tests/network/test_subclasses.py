"""Subclasses of Network and of the estimators, with an ``__init__`` of their own."""

import copy
import pickle

import numpy as np
import pytest
from helpers import make_data, parameters
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPRegressor

import fastbp

X, y = make_data("squared_error", 30, 3, 1)


class OneHidden(fastbp.Network):
    """A network of one hidden layer, by its width alone."""

    def __init__(self, width, /, notes):
        super().__init__(
            [3, width, 1], activation="tanh", loss="squared_error", dtype="float64", seed=0
        )
        self.notes = notes


@pytest.fixture
def net():
    return OneHidden(4, {"by": "me"})


def plain():
    return fastbp.Network(
        [3, 4, 1], activation="tanh", loss="squared_error", dtype="float64", seed=0
    )


@pytest.mark.parametrize(
    "copied",
    [
        copy.copy,
        copy.deepcopy,
        lambda net: pickle.loads(pickle.dumps(net)),
        lambda net: net.to_backend("numpy"),
    ],
    ids=["copy", "deepcopy", "pickle", "to_backend"],
)
def test_copies(net, copied):
    comp = copied(net)
    assert type(comp) is OneHidden
    assert comp.notes == {"by": "me"}
    assert parameters(comp).tobytes() == parameters(net).tobytes()


def test_what_makes_other_networks(net, tmp_path):
    ref = plain()
    assert fastbp.check_gradients(net, X[:5], y[:5]).passed
    found = fastbp.levenberg_marquardt(net, X, y, max_evaluations=5)
    assert found.loss == fastbp.levenberg_marquardt(ref, X, y, max_evaluations=5).loss
    assert parameters(net).tobytes() == parameters(ref).tobytes()
    rates = [fastbp.find_learning_rate(each, X, y, n_steps=5) for each in (net, ref)]
    assert np.array_equal(rates[0].losses, rates[1].losses)
    assert fastbp.fit_many([net, copy.copy(net)], X, y)[0] == ref.fit(X, y)
    exported = net.to_c(tmp_path, "net")
    assert type(exported) is OneHidden
    assert exported.notes == {"by": "me"}
    assert exported.predict(X).dtype == np.float32
    assert np.abs(exported.predict(X) - net.predict(X)).max() < 1e-5


def test_the_network_may_be_float32():
    net = fastbp.Network([3, 4, 1], activation="tanh", loss="squared_error", seed=0)
    before = parameters(net)
    assert fastbp.check_gradients(net, X[:5], y[:5]).passed
    assert parameters(net).tobytes() == before.tobytes()
    assert parameters(net).dtype == np.float32


def test_files(net, tmp_path):
    """A file has no code and names no class: `load` makes an instance of its own class."""
    net.fit(X, y, epochs=2, callbacks=[fastbp.Checkpoint(tmp_path / "training")])
    net.save(tmp_path / "a.safetensors")
    fastbp.save(net, tmp_path / "b.safetensors")
    newest = fastbp.Checkpoint(tmp_path / "training").newest()
    for path in (tmp_path / "a.safetensors", tmp_path / "b.safetensors", newest):
        assert type(fastbp.load(path)) is type(fastbp.Network.load(path)) is fastbp.Network
        loaded = OneHidden.load(path)
        assert type(loaded) is OneHidden
        assert not hasattr(loaded, "notes")  # which only its __init__ would have set
        assert loaded.predict(X).tobytes() == net.predict(X).tobytes()
        assert loaded.fit(X, y) == fastbp.load(path).fit(X, y)


def test_going_on_from_a_checkpoint(net, tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    net.fit(X, y, epochs=2, callbacks=[checkpoint])
    again = OneHidden(4, None)
    again.fit(X, y, epochs=4, resume_from=checkpoint.newest())
    ref = plain()
    ref.fit(X, y, epochs=4)
    assert parameters(again).tobytes() == parameters(ref).tobytes()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_from_other_tools(net, tmp_path):
    estimator = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", max_iter=2)
    estimator.fit(X, y.ravel())
    comp = OneHidden.from_sklearn(estimator)
    assert type(comp) is OneHidden
    assert comp.predict(X).ravel() == pytest.approx(estimator.predict(X), rel=1e-12)
    pytest.importorskip("onnx")
    net.to_onnx(tmp_path / "net.onnx")
    comp = OneHidden.from_onnx(tmp_path / "net.onnx")
    assert type(comp) is OneHidden
    assert parameters(comp).tobytes() == parameters(net).tobytes()


class Wide(fastbp.MLPRegressor):
    """An estimator with a parameter of its own, and no others."""

    def __init__(self, width=8):
        super().__init__(
            hidden_layer_sizes=(width,), solver="lbfgs", max_iter=500, tol=0.1, random_state=0
        )
        self.width = width


def test_estimators():
    ref = fastbp.MLPRegressor(
        hidden_layer_sizes=(4,), solver="lbfgs", max_iter=500, tol=0.1, random_state=0
    ).fit(X, y.ravel())
    estimator = Wide(4)
    assert estimator.get_params() == {"width": 4}
    for made in (estimator, clone(estimator), copy.deepcopy(estimator)):
        made.fit(X, y.ravel())
        assert type(made) is Wide
        assert made.predict(X).tobytes() == ref.predict(X).tobytes()
        fresh = pickle.loads(pickle.dumps(made))
        assert fresh.predict(X).tobytes() == ref.predict(X).tobytes()
    assert GridSearchCV(Wide(), {"width": [2, 3]}, cv=2).fit(X, y.ravel()).best_params_["width"]
    members = fastbp.MLPEnsembleRegressor(Wide(3), 2, n_jobs=1).fit(X, y.ravel()).estimators_
    assert [type(each) for each in members] == [Wide, Wide]
    with pytest.raises(TypeError, match="cannot save a Wide"):
        fastbp.save(estimator, "nowhere")

"""Estimators with a norm, residual layers and prelu."""

import copy
import pickle

import numpy as np
import pytest

import fastbp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 4))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int)
LAYERS = {"activation": "prelu", "norm": "layer", "residual": True}


def make(kind=fastbp.MLPClassifier, **how):
    how = {"solver": "lbfgs", "max_iter": 40, "random_state": 0, "backend": "numpy", **how}
    return kind(hidden_layer_sizes=(8, 8), **LAYERS, **how)


@pytest.fixture(scope="module")
def fitted():
    return make().fit(X, LABELS)


def test_it_learns_with_all_parameters(fitted):
    net = fitted._network()
    assert fitted.score(X, LABELS) > 0.9
    assert net.layout.residual_layers == [2]
    for arrays, start in ((net.norm_weights, 1), (net.norm_biases, 0), (net.slopes, 0.25)):
        assert all((array != start).all() for array in arrays)


def test_a_network_of_it_predicts_the_same(fitted):
    net = fastbp.Network.from_sklearn(fitted, backend="numpy")
    assert (net.norm, net.residual, net.layout.activations) == ("layer", True, ("prelu",) * 2)
    assert np.allclose(net.predict(X).ravel(), fitted.predict_proba(X)[:, 1], rtol=1e-12)
    rows = fitted.input_jacobian(X[:2])
    assert np.allclose(rows[:, 1], net.input_jacobian(X[:2])[:, 0], rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_copies_and_files_go_on_alike(solver, tmp_path):
    first = make(solver=solver, max_iter=2, batch_size=50).partial_fit(X, LABELS, classes=[0, 1])
    fastbp.save(first, tmp_path / "model")
    others = [pickle.loads(pickle.dumps(first)), copy.deepcopy(first)]
    others.append(fastbp.load(tmp_path / "model"))
    before = first.predict_proba(X)
    for other in others:
        other.backend = "numpy"
        assert np.array_equal(other.predict_proba(X), before)
    for each in (first, *others):
        each.random_state = np.random.RandomState(3)
        each.partial_fit(X, LABELS)
    for other in others:
        assert np.array_equal(other.predict_proba(X), first.predict_proba(X))
    assert not np.array_equal(first.predict_proba(X), before)


class Keep(fastbp.Callback):
    """Keeps all parameters after each epoch."""

    def begin(self, network, history):
        self.kept = []

    def epoch(self, network, history):
        self.kept.append([array.copy() for array in network._engine.arrays.all])


def test_early_stopping_restores_all_parameters():
    keep = Keep()
    model = make(
        fastbp.MLPRegressor,
        **dict(solver="sgd", learning_rate_init=0.05, early_stopping=True, max_iter=12, tol=0.0),
        callbacks=[keep],
    ).fit(X, X[:, 0])
    best = int(np.argmax(model.validation_scores_))
    assert best < len(keep.kept) - 1, "this test needs an earlier epoch to be the best"
    for array, expected in zip(model._network()._engine.arrays.all, keep.kept[best], strict=True):
        assert np.array_equal(array, expected)


def test_layers_that_have_changed_since_the_fit_are_refused(fitted):
    other = copy.deepcopy(fitted)
    for change in ({"norm": "rms"}, {"norm": None}, {"activation": "relu"}):
        with pytest.raises(ValueError, match="norm or activation have changed since the last fit"):
            other.set_params(**{**LAYERS, **change}).predict(X)
    assert np.array_equal(other.set_params(**LAYERS).predict(X), fitted.predict(X))
    other.set_params(norm="rms").fit(X, LABELS)
    assert [array.size for array in other._extras] == [8, 8, 8, 8]


@pytest.mark.parametrize("wrong", [{"norm": "batch"}, {"residual": "yes"}, {"residual": 2}])
def test_wrong_parameters(wrong):
    model = fastbp.MLPClassifier((8, 8), **wrong)
    with pytest.raises(ValueError, match=f"The '{next(iter(wrong))}' parameter"):
        model.fit(X, LABELS)


def test_ensembles(tmp_path):
    model = fastbp.MLPEnsembleClassifier(make(max_iter=5), n_estimators=2, random_state=0, n_jobs=1)
    model.fit(X, LABELS)
    fastbp.save(model, tmp_path / "model")
    loaded = fastbp.load(tmp_path / "model")
    assert np.allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=1e-12)
    assert all(member.norm == "layer" for member in loaded.estimators_)

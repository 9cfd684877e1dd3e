"""Ensembles in files: a loaded ensemble equals the saved one, and wrong files are refused."""

import json
import warnings

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors
from sklearn.base import clone
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor
from fastbp.files import file

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CLASSIFIER = MLPClassifier((3,), max_iter=4, backend="numpy")
REGRESSOR = MLPRegressor(hidden_layer_sizes=(3,), max_iter=4, backend="numpy")
X, NUMBERS = load_iris(return_X_y=True)
WORDS = np.array(["setosa", "versicolor", "virginica"])[NUMBERS]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture(scope="module")
def ensembles():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return made()


def made():
    bag = {"bootstrap": True, "oob_score": True, "random_state": 0}
    rare = np.repeat([0, 1], [148, 2])
    return {
        "classes": MLPEnsembleClassifier(CLASSIFIER, 20, **bag).fit(X, WORDS),
        "a class that some lack": MLPEnsembleClassifier(
            CLASSIFIER, 8, bootstrap=True, random_state=1
        ).fit(X, rare),
        "labels": MLPEnsembleClassifier(CLASSIFIER, 2).fit(*make_multilabel_classification(40)),
        "values": MLPEnsembleRegressor(REGRESSOR, 3, max_samples=0.7).fit(X, X[:, :2]),
        "pipelines": MLPEnsembleRegressor(make_pipeline(StandardScaler(), REGRESSOR), 2).fit(
            X, NUMBERS
        ),
        "default": MLPEnsembleRegressor(n_estimators=1).fit(X, NUMBERS),
    }


@pytest.mark.parametrize(
    "which",
    ["classes", "a class that some lack", "labels", "values", "pipelines", "default"],
)
def test_an_ensemble_comes_back(which, ensembles, path):
    ensemble = ensembles[which]
    samples = np.zeros((5, ensemble.n_features_in_)) + np.arange(5).reshape(-1, 1)
    fastbp.save(ensemble, path)
    loaded = fastbp.load(path)
    assert type(loaded) is type(ensemble)
    np.testing.assert_array_equal(loaded.predict(samples), ensemble.predict(samples))
    np.testing.assert_array_equal(loaded.predict_std(samples), ensemble.predict_std(samples))
    if hasattr(ensemble, "classes_"):
        np.testing.assert_array_equal(loaded.classes_, ensemble.classes_)
        assert loaded.classes_.dtype == ensemble.classes_.dtype
    assert getattr(loaded, "oob_score_", None) == getattr(ensemble, "oob_score_", None)
    assert repr(clone(loaded)) == repr(clone(ensemble))


def test_it_can_be_fitted_anew_and_keeps_names(path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0).fit(frame, WORDS)
    fastbp.save(ensemble, path)
    loaded = fastbp.load(path)
    assert loaded.feature_names_in_.tolist() == list("abcd")
    expected = ensemble.predict_proba(frame)
    np.testing.assert_array_equal(loaded.fit(frame, WORDS).predict_proba(frame), expected)


def test_what_cannot_be_saved(path):
    with pytest.raises(NotFittedError):
        fastbp.save(MLPEnsembleClassifier(), path)
    search = fastbp.MLPSearchCV(CLASSIFIER, {"alpha": [1.0, 2.0]}, cv=2).fit(X, WORDS)
    with pytest.raises(TypeError, match="for a search, save its best_estimator_"):
        fastbp.save(search, path)
    fastbp.save(search.best_estimator_, path)
    assert not list(path.parent.glob("*.tmp"))


def rewritten(path, change):
    """Let a function change the model's document and the tensors of a file."""
    document, tensors = file.read(path)
    change(document["model"], tensors._arrays)
    document = {"schema": file.SCHEMA, "library": "0.0", **document}
    path.write_bytes(save_tensors(tensors._arrays, {file.KEY: json.dumps(document)}))


def set_to(*place_and_value):
    *parts, last, value = place_and_value

    def change(document, tensors):
        for part in parts:
            document = document[part]
        document[last] = value

    return change


BROKEN = {
    "another class": set_to("class", "MLPEnsembleRegressor"),
    "an unknown class": set_to("class", "list"),
    "more": set_to("more", 1),
    "a parameter": set_to("parameters", "n_estimators", 0),
    "no members": set_to("members", []),
    "a member of nothing": set_to("members", 0, None),
    "a kind": set_to("members", 0, "pipeline", True),
    "features": set_to("n_features", 5),
    "no features": set_to("n_features", 0),
    "classes": set_to("classes", None),
    "fewer classes": lambda document, tensors: document["classes"]["classes_"]["values"].pop(),
    "classes out of order": lambda document, tensors: document["classes"]["classes_"][
        "values"
    ].reverse(),
    "labels": set_to("classes", "multilabel", True),
    "a score": set_to("oob_score_", "high"),
    "a tensor too many": lambda document, tensors: tensors.update({"7.more": np.zeros(1)}),
    "a tensor without a member": lambda document, tensors: tensors.update(more=np.zeros(1)),
    "a member's tensor too many": lambda document, tensors: tensors.update({"0.x": np.zeros(1)}),
    "a tensor too few": lambda document, tensors: tensors.pop(min(tensors)),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files(what, path):
    fastbp.save(MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0).fit(X, WORDS), path)
    rewritten(path, lambda document, tensors: None)
    fastbp.load(path)
    rewritten(path, BROKEN[what])
    with pytest.raises(ValueError):
        fastbp.load(path)


def test_members_that_do_not_go_together(path):
    """Of other outputs than the first one."""
    ensemble = MLPEnsembleRegressor(REGRESSOR, 2, random_state=0).fit(X, X[:, :2])
    ensemble.estimators_[1] = clone(REGRESSOR).fit(X, NUMBERS)
    fastbp.save(ensemble, path)
    with pytest.raises(ValueError, match="a member does not match its ensemble"):
        fastbp.load(path)

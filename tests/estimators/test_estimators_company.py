"""The estimators among the tools that people use them with."""

import copy
import pickle

import joblib
import numpy as np
import pandas
import polars
import pytest
from helpers import error
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, BaggingRegressor, StackingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp.basis import teams

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def iris():
    return load_iris(return_X_y=True)


def classifier(backend, **parameters):
    parameters = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, **parameters}
    return fastbp.MLPClassifier(backend=backend, **parameters)


def scikit_learns(**parameters):
    return MLPClassifier(
        **{"hidden_layer_sizes": 6, "max_iter": 8, "random_state": 0, **parameters}
    )


COPIES = {
    "pickle": lambda e, folder: pickle.loads(pickle.dumps(e)),
    "deepcopy": lambda e, folder: copy.deepcopy(e),
    "joblib": lambda e, folder: joblib.load(joblib.dump(e, folder / "e.joblib")[0]),
    "joblib, mapped": lambda e, folder: joblib.load(
        joblib.dump(e, folder / "e.joblib")[0], mmap_mode="r"
    ),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_copies_go_on_by_themselves(how, solver, backend, iris, tmp_path):
    """With the optimiser's state: the next epochs are those that the original would have run."""
    X, y = iris
    original = classifier(backend, solver=solver).fit(X, y).partial_fit(X, y)
    other = COPIES[how](original, tmp_path)
    before = original.predict_proba(X)
    assert np.array_equal(other.predict_proba(X), before)
    for _ in range(3):
        other.partial_fit(X, y)
    assert np.array_equal(original.predict_proba(X), before)
    for _ in range(3):
        original.partial_fit(X, y)
    assert np.array_equal(other.predict_proba(X), original.predict_proba(X))
    assert other.loss_curve_ == original.loss_curve_


def test_clone_and_parameters(backend, iris):
    fitted = classifier(backend, threads=2, dtype="float32").fit(*iris)
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    assert not hasattr(other, "coefs_")
    assert repr(other) == (
        f"MLPClassifier(backend={backend!r}, dtype='float32', hidden_layer_sizes=(6,),\n"
        "              max_iter=8, random_state=0, threads=2)"
    )


def test_grid_search_in_processes(backend, iris):
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__activation": ["tanh", "relu"]}

    def search(estimator, jobs):
        pipeline = make_pipeline(StandardScaler(), estimator)
        return GridSearchCV(pipeline, grid, cv=2, n_jobs=jobs).fit(*iris).cv_results_

    comp, ref = search(classifier(backend), 2), search(scikit_learns(), None)
    assert np.array_equal(comp["mean_test_score"], ref["mean_test_score"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda e: CalibratedClassifierCV(e, cv=2),
        lambda e: StackingClassifier([("mlp", e), ("linear", LogisticRegression())], cv=2),
    ],
    ids=["calibration", "stacking"],
)
def test_wrapped(wrap, backend, iris):
    X, y = iris
    comp = wrap(classifier(backend)).fit(X, y).predict_proba(X)
    assert error(comp, wrap(scikit_learns()).fit(X, y).predict_proba(X)) < 1e-6


def test_one_for_each_output(backend, iris):
    X, y = iris
    Y = np.column_stack([y, y > 0])
    comp = MultiOutputClassifier(classifier(backend)).fit(X, Y).predict(X)
    assert np.array_equal(comp, MultiOutputClassifier(scikit_learns()).fit(X, Y).predict(X))


def test_bagging_in_threads(backend, iris):
    """Several fits and predictions at a time."""
    X, y = iris
    regressor = fastbp.MLPRegressor(hidden_layer_sizes=5, max_iter=5, backend=backend)

    def bagged(jobs):
        with joblib.parallel_config("threading"):
            bag = BaggingRegressor(regressor, 4, n_jobs=jobs, random_state=0).fit(X, y)
            return bag.predict(X)

    assert error(bagged(2), bagged(1)) < 1e-12  # the mean is taken in another order


class Seen(fastbp.MLPClassifier):
    """Notes how many threads a fit may have, and whether its data are mapped from a file."""

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.seen_ = teams.available(), isinstance(X, np.memmap)
        return self


@pytest.mark.parametrize("kind, mapped", [("loky", True), ("threading", False)])
def test_bagging_neither_copies_the_data_nor_takes_more_cores(kind, mapped, rng):
    """joblib's workers read data of more than a megabyte from one file."""
    X, y = rng.normal(size=(3000, 60)), rng.integers(0, 3, 3000)
    member = Seen((4,), max_iter=2, backend="cython")
    with joblib.parallel_config(kind):
        bag = BaggingClassifier(member, 4, n_jobs=2, random_state=0).fit(X, y)
    share = max(1, joblib.cpu_count() // 2) if kind == "loky" else 1
    assert {member.seen_ for member in bag.estimators_} == {(share, mapped)}
    alone = BaggingClassifier(member, 4, random_state=0).fit(X, y)
    for a, b in zip(bag.estimators_, alone.estimators_, strict=True):
        assert np.array_equal(a.coefs_[0], b.coefs_[0])


def test_predictions_in_threads_after_unpickling(backend, iris):
    X, y = iris
    fitted = classifier(backend).fit(X, y)
    expected = fitted.predict_proba(X)
    fresh = pickle.loads(pickle.dumps(fitted))
    with joblib.parallel_config("threading"):
        results = joblib.Parallel(4)(joblib.delayed(fresh.predict_proba)(X) for _ in range(40))
    assert all(np.array_equal(result, expected) for result in results)


def test_permutation_importance(backend, iris):
    X, y = iris
    options = dict(n_repeats=2, random_state=0)
    comp = permutation_importance(classifier(backend).fit(X, y), X, y, **options)
    ref = permutation_importance(scikit_learns().fit(X, y), X, y, **options)
    assert np.array_equal(comp.importances, ref.importances)


def test_metadata_routing(backend, iris):
    """Sample weights reach fit through a pipeline and cross-validation, once they are asked for."""
    X, y = iris
    weight = np.where(y == 0, 0.01, 1.0)
    with config_context(enable_metadata_routing=True):
        results = []
        for estimator in (classifier(backend), scikit_learns()):
            estimator.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
            estimator.set_partial_fit_request(sample_weight=True)
            results.append(
                cross_validate(
                    make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator),
                    *(X, y),
                    params={"sample_weight": weight},
                    cv=3,
                    error_score="raise",
                )["test_score"]
            )
    assert error(*results) < 1e-12


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("frame", [pandas.DataFrame, polars.DataFrame])
def test_frames(frame, early_stopping, backend, iris):
    X, y = iris
    names = ["a", "b", "c", "d"]
    data = frame({name: X[:, i] for i, name in enumerate(names)})
    fitted = classifier(backend, early_stopping=early_stopping).fit(data, y)
    assert list(fitted.feature_names_in_) == names
    plain = classifier(backend, early_stopping=early_stopping).fit(X, y)
    assert np.array_equal(fitted.predict_proba(data), plain.predict_proba(X))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(data[names[::-1]])
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        fitted.predict(X)


def test_a_column_of_a_frame_as_target(backend, iris):
    X, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    for series in (pandas.Series(names), pandas.Series(names, dtype="category"), names.tolist()):
        fitted = classifier(backend).fit(X, series)
        assert fitted.predict(X[:1])[0] in names
        assert error(fitted.coefs_[0], classifier(backend).fit(X, y).coefs_[0]) == 0


def test_read_only_memory_maps(backend, iris, tmp_path):
    X, y = iris
    weight = np.linspace(0.5, 2, len(X))
    expected = classifier(backend).fit(X, y, weight).predict_proba(X)
    maps = []
    for i, array in enumerate((X, y, weight)):
        np.save(tmp_path / f"{i}.npy", array)
        maps.append(np.load(tmp_path / f"{i}.npy", mmap_mode="r"))
    fitted = classifier(backend).fit(*maps)
    assert np.array_equal(fitted.predict_proba(maps[0]), expected)

"""MLPSearchCV: scikit-learn's searches, candidate by candidate and fold by fold, in threads."""

import os
import signal
import threading

import joblib
import numpy as np
import pytest
from helpers import SECONDS, wait_until
from scipy.stats import loguniform
from sklearn.datasets import load_diabetes, load_iris
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    StratifiedKFold,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import Callback, MLPClassifier, MLPEnsembleClassifier, MLPRegressor, MLPSearchCV
from fastbp.basis import teams

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

GRID = {"alpha": [1e-4, 1e-2, 1.0], "learning_rate_init": [1e-3, 1e-2]}
DRAWN = {"alpha": loguniform(1e-5, 1e-1), "learning_rate_init": [1e-3, 1e-2]}
CLASSIFIER = MLPClassifier((6,), max_iter=20, random_state=0, backend="numpy")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), y


def assert_same_search(ours, theirs):
    """The same columns with the same numbers, times aside, and the same choice."""
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for name, column in theirs.cv_results_.items():
        if not name.endswith("_time"):
            np.testing.assert_array_equal(ours.cv_results_[name], column, name)
    assert (ours.best_params_, ours.best_score_) == (theirs.best_params_, theirs.best_score_)
    assert ours.best_index_ == theirs.best_index_


PAIRS = {
    "grid": (GridSearchCV(CLASSIFIER, GRID, cv=3), MLPSearchCV(CLASSIFIER, GRID, cv=3)),
    "list of grids": (
        GridSearchCV(CLASSIFIER, [GRID, {"activation": ["tanh"]}], cv=2),
        MLPSearchCV(CLASSIFIER, [GRID, {"activation": ["tanh"]}], cv=2),
    ),
    "drawn": (
        RandomizedSearchCV(CLASSIFIER, DRAWN, n_iter=5, cv=3, random_state=7),
        MLPSearchCV(CLASSIFIER, DRAWN, n_candidates=5, cv=3, random_state=7),
    ),
    "scores": (
        GridSearchCV(
            CLASSIFIER,
            GRID,
            cv=2,
            scoring=["accuracy", "neg_log_loss"],
            refit="neg_log_loss",
            return_train_score=True,
        ),
        MLPSearchCV(
            CLASSIFIER,
            GRID,
            cv=2,
            scoring=["accuracy", "neg_log_loss"],
            refit="neg_log_loss",
            return_train_score=True,
        ),
    ),
    "halving": (
        HalvingGridSearchCV(
            CLASSIFIER, GRID, cv=2, resource="max_iter", max_resources=20, factor=2
        ),
        MLPSearchCV(CLASSIFIER, GRID, cv=2, halving=2, return_train_score=True),
    ),
    "halving of drawn": (
        HalvingRandomSearchCV(
            CLASSIFIER,
            DRAWN,
            n_candidates=7,
            min_resources="exhaust",
            cv=2,
            resource="max_iter",
            max_resources=20,
            random_state=3,
        ),
        MLPSearchCV(
            CLASSIFIER,
            DRAWN,
            n_candidates=7,
            cv=2,
            halving=3,
            return_train_score=True,
            random_state=3,
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_results_of_scikit_learn(name, n_jobs, iris):
    theirs, ours = PAIRS[name]
    ours.set_params(n_jobs=n_jobs).fit(*iris)
    theirs.fit(*iris)
    assert_same_search(ours, theirs)
    X = iris[0]
    np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
    if "halving" in name:
        assert ours.n_resources_ == theirs.n_resources_
        assert ours.n_candidates_ == theirs.n_candidates_


def test_results_of_scikit_learn_on_each_backend(compiled, iris):
    classifier = MLPClassifier((6,), max_iter=20, random_state=0, backend=compiled)
    theirs = GridSearchCV(classifier, GRID, cv=3).fit(*iris)
    assert_same_search(MLPSearchCV(classifier, GRID, cv=3).fit(*iris), theirs)


def test_regression_with_groups_and_weights(rng):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:60], y[:60]
    how = {
        "estimator": MLPRegressor(
            hidden_layer_sizes=(2,), solver="lbfgs", random_state=0, backend="numpy"
        ),
        "cv": GroupKFold(3),
    }
    extra = {"groups": rng.integers(0, 9, len(y)), "sample_weight": rng.uniform(0.5, 2, len(y))}
    ours = MLPSearchCV(param_distributions={"alpha": [0.1, 10]}, **how).fit(X, y, **extra)
    theirs = GridSearchCV(param_grid={"alpha": [0.1, 10]}, **how).fit(X, y, **extra)
    assert_same_search(ours, theirs)


def test_of_a_pipeline(iris):
    pipeline = make_pipeline(StandardScaler(), CLASSIFIER)
    grid = {"mlpclassifier__alpha": [1e-3, 1.0]}
    theirs = GridSearchCV(pipeline, grid, cv=2).fit(*iris)
    assert_same_search(MLPSearchCV(pipeline, grid, cv=2).fit(*iris), theirs)
    search = MLPSearchCV(pipeline, grid, cv=2, halving=2, resource="mlpclassifier__max_iter")
    assert search.fit(*iris).n_resources_ == [10, 20]


def test_fits_are_in_threads_at_once(iris):
    """One more than can wait for each other: a barrier that only two threads can pass."""
    barrier, names = threading.Barrier(2, timeout=SECONDS), set()

    def score(estimator, X, y):
        names.add(threading.current_thread().name)
        barrier.wait()
        return estimator.score(X, y)

    MLPSearchCV(CLASSIFIER, {"alpha": [0.1, 1]}, cv=2, scoring=score, n_jobs=2).fit(*iris)
    assert len(names) == 2 and threading.main_thread().name not in names


def test_another_backend_of_joblib_goes_before(iris):
    places = []

    def score(estimator, X, y):
        places.append(threading.current_thread())
        return estimator.score(X, y)

    with joblib.parallel_config("sequential"):
        MLPSearchCV(CLASSIFIER, {"alpha": [0.1, 1]}, cv=2, scoring=score).fit(*iris)
    assert set(places) == {threading.main_thread()}


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_candidates_that_fail(iris):
    grid = {"alpha": [1e-3, -1.0]}
    with pytest.warns(Warning, match="2 fits failed out of a total of 4"):
        search = MLPSearchCV(CLASSIFIER, grid, cv=2).fit(*iris)
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True]
    with pytest.warns(Warning, match="fits failed"):  # those that fail are the first to go
        search = MLPSearchCV(CLASSIFIER, {"alpha": [-1.0, 1e-3, 1e-2]}, cv=2, halving=2)
        search.fit(*iris)
    assert search.n_candidates_ == [3, 2]
    assert search.best_params_["alpha"] > 0


def test_a_failure_that_is_raised(iris):
    """One fit at a time: others would go on, and give back their filters of warnings later."""
    search = MLPSearchCV(CLASSIFIER, {"alpha": [1e-3, -1.0]}, cv=2, error_score="raise", n_jobs=1)
    with pytest.raises(ValueError, match="'alpha' parameter of MLPClassifier"):
        search.fit(*iris)


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
def test_short_rounds_are_no_reason_to_warn(iris):
    MLPSearchCV(CLASSIFIER, GRID, cv=2, halving=3).fit(*iris)


@pytest.mark.parametrize(
    "parameters, text",
    [
        ({"halving": 1}, "'halving' parameter of MLPSearchCV"),
        ({"n_candidates": 0}, "'n_candidates' parameter of MLPSearchCV"),
        ({"param_distributions": {"alpha": 1.0}}, "not iterable|needs to be a list"),
        ({"param_distributions": {"alfa": [1.0]}}, "Invalid parameter 'alfa'"),
        ({"param_distributions": "alpha"}, "'param_distributions' parameter of MLPSearchCV"),
        (
            {"halving": 2, "resource": "epochs"},
            "resource must be the name of a parameter .* got 'epochs'",
        ),
        ({"halving": 2, "resource": "activation"}, "activation must be a whole number"),
        ({"halving": 2, "resource": "alpha"}, "halving sets alpha"),
        (
            {"halving": 2, "scoring": ["accuracy"]},
            r"scoring must be None or a single score, .*\['accuracy'\]",
        ),
    ],
)
def test_bad_parameters(parameters, text, iris):
    search = MLPSearchCV(CLASSIFIER, {"alpha": [1.0]}, cv=2, error_score="raise", n_jobs=1)
    with pytest.raises((TypeError, ValueError), match=text):
        search.set_params(**parameters).fit(*iris)


@pytest.mark.filterwarnings("error")
def test_callbacks_of_scikit_learn(iris):
    """Every task of a search is told, rounds of halving among them."""
    callback = pytest.importorskip("sklearn.callback")
    assert callback
    tasks = []

    class Notes:
        max_propagation_depth = 0

        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **data):
            pass

        def on_fit_task_end(self, estimator, context, **data):
            tasks.append(context.task_name)

    def told(search):
        tasks.clear()
        search.set_callbacks(Notes()).fit(*iris)
        return {name: tasks.count(name) for name in tasks}

    grid = told(MLPSearchCV(CLASSIFIER, GRID, cv=2))
    assert grid == told(GridSearchCV(CLASSIFIER, GRID, cv=2))
    halving = told(MLPSearchCV(CLASSIFIER, GRID, cv=2, halving=2))
    assert halving == {**grid, "round": 3, "candidate-split-evaluation": 2 * (6 + 3 + 2)}


@pytest.mark.serial
@pytest.mark.filterwarnings("ignore:Training interrupted by user")
@pytest.mark.skipif(os.name == "nt", reason="signals to oneself")
@pytest.mark.parametrize("kind", ["search", "ensemble"])
def test_ctrl_c(kind, iris):
    """Though a fit would take minutes, nothing goes on. It comes in the midst of the fits."""
    X, y = np.tile(iris[0], (40, 1)), np.tile(iris[1], 40)
    pressed = threading.Event()

    class Press(Callback):
        def epoch(self, network, history):
            if not pressed.is_set():
                pressed.set()
                os.kill(os.getpid(), signal.SIGINT)

    endless = {"max_iter": 10**5, "tol": 0, "n_iter_no_change": 10**5, "callbacks": [Press()]}
    slow = MLPClassifier((64,), random_state=0, **endless)
    model = MLPSearchCV(slow, GRID, cv=StratifiedKFold(2), n_jobs=2)
    if kind == "ensemble":
        model = MLPEnsembleClassifier(slow, 4, n_jobs=2)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    wait_until(lambda: not teams._busy)


# Of folds with a single class, and of NaN.
@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        MLPSearchCV(MLPClassifier(max_iter=60, random_state=0), {"alpha": [1e-4, 1e-2]}, cv=2),
        MLPSearchCV(
            MLPRegressor(max_iter=60, random_state=0), {"alpha": [1e-4, 1e-2]}, cv=2, halving=2
        ),
    ]
)
def test_checks_of_estimators(estimator, check):
    check(estimator)

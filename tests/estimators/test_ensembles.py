"""MLPEnsembleClassifier and MLPEnsembleRegressor: members as if fitted alone, and their means."""

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CLASSIFIER = MLPClassifier((6,), max_iter=15, backend="numpy")
REGRESSOR = MLPRegressor(hidden_layer_sizes=(6,), max_iter=15, backend="numpy")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(X), np.array(["setosa", "versicolor", "virginica"])[y]


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X * 20, (y - y.mean()) / y.std()


def of_members(ensemble, X, method):
    return np.stack([getattr(member, method)(X) for member in ensemble.estimators_])


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("drawing", [{}, {"bootstrap": True}, {"max_samples": 0.5}])
def test_members_are_as_fitted_alone(drawing, n_jobs, iris):
    X, y = iris
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 4, n_jobs=n_jobs, random_state=0, **drawing)
    ensemble.fit(X, y)
    seeds = {member.random_state for member in ensemble.estimators_}
    assert len(seeds) == 4
    pairs = zip(ensemble.estimators_, ensemble.estimators_samples_, strict=True)
    for member, rows in pairs:
        alone = clone(member).fit(X[rows], y[rows])
        np.testing.assert_array_equal(alone.predict_proba(X), member.predict_proba(X))
    probabilities = of_members(ensemble, X, "predict_proba")
    np.testing.assert_allclose(ensemble.predict_proba(X), probabilities.mean(axis=0), rtol=1e-14)
    expected = ensemble.classes_[probabilities.mean(axis=0).argmax(axis=1)]
    np.testing.assert_array_equal(ensemble.predict(X), expected)
    np.testing.assert_allclose(ensemble.predict_std(X), probabilities.std(axis=0), rtol=1e-12)
    quantiles = ensemble.predict_quantiles(X, [0, 0.5, 1])
    np.testing.assert_array_equal(quantiles[:, 0], probabilities.min(axis=0))
    np.testing.assert_allclose(quantiles[:, 1], np.median(probabilities, axis=0), rtol=1e-14)
    np.testing.assert_array_equal(quantiles[:, 2], probabilities.max(axis=0))


def test_rows_that_are_drawn(iris):
    X, y = iris
    whole = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=1).fit(X, y)
    for rows in whole.estimators_samples_:
        np.testing.assert_array_equal(rows, np.arange(150))
    half = MLPEnsembleClassifier(CLASSIFIER, 2, max_samples=0.5, random_state=1).fit(X, y)
    assert [len(set(rows)) for rows in half.estimators_samples_] == [75, 75]
    few = MLPEnsembleClassifier(CLASSIFIER, 2, max_samples=60, bootstrap=True, random_state=1)
    rows, others = few.fit(X, y).estimators_samples_
    assert len(rows) == len(others) == 60
    assert len(set(rows)) < 60 and list(rows) != list(others)


def test_the_same_from_one_random_state(compiled, iris):
    def predicted(seed, n_jobs):
        member = clone(CLASSIFIER).set_params(backend=compiled)
        ensemble = MLPEnsembleClassifier(
            member, 3, bootstrap=True, n_jobs=n_jobs, random_state=seed
        )
        return ensemble.fit(*iris).predict_proba(iris[0])

    np.testing.assert_array_equal(predicted(5, 1), predicted(5, 2))
    assert (predicted(5, 1) != predicted(6, 1)).any()


def test_weights_of_samples(iris):
    """Bootstraps draw by them; otherwise the members weigh."""
    X, y = iris
    weight = np.where(y == "setosa", 0.0, 1.0)
    bag = MLPEnsembleClassifier(CLASSIFIER, 3, bootstrap=True, random_state=0)
    bag.fit(X, y, sample_weight=weight)
    for rows in bag.estimators_samples_:
        assert "setosa" not in y[rows]
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0).fit(X, y, sample_weight=weight)
    for member in ensemble.estimators_:
        alone = clone(member).fit(X, y, sample_weight=weight)
        np.testing.assert_array_equal(alone.predict_proba(X), member.predict_proba(X))


def test_out_of_bag_classes(iris):
    X, y = iris
    ensemble = MLPEnsembleClassifier(
        CLASSIFIER, 25, bootstrap=True, oob_score=True, random_state=0
    ).fit(X, y)
    expected = np.zeros((150, 3))
    for i in range(150):
        pairs = zip(ensemble.estimators_, ensemble.estimators_samples_, strict=True)
        unseen = [member for member, rows in pairs if i not in rows]
        expected[i] = np.mean([m.predict_proba(X[i : i + 1])[0] for m in unseen], axis=0)
    np.testing.assert_allclose(ensemble.oob_decision_function_, expected, rtol=1e-9)
    right = ensemble.classes_[expected.argmax(axis=1)] == y
    assert ensemble.oob_score_ == pytest.approx(right.mean())


@pytest.mark.parametrize("n_outputs", [1, 2])
def test_out_of_bag_values(n_outputs, diabetes):
    X, y = diabetes
    y = y if n_outputs == 1 else np.column_stack([y, -y])
    ensemble = MLPEnsembleRegressor(REGRESSOR, 3, max_samples=0.6, oob_score=True, random_state=0)
    with pytest.warns(UserWarning, match=r"\d+ samples have been seen by all members"):
        ensemble.fit(X, y)
    missing = np.isnan(ensemble.oob_prediction_).reshape(len(y), -1).any(axis=1)
    for i in np.flatnonzero(~missing)[:20]:
        pairs = zip(ensemble.estimators_, ensemble.estimators_samples_, strict=True)
        unseen = [member.predict(X[i : i + 1])[0] for member, rows in pairs if i not in rows]
        np.testing.assert_allclose(ensemble.oob_prediction_[i], np.mean(unseen, axis=0))
    assert missing.any()
    seen = [set(rows) for rows in ensemble.estimators_samples_]
    assert set(np.flatnonzero(missing)) == seen[0] & seen[1] & seen[2]
    error = ((y - ensemble.oob_prediction_)[~missing] ** 2).sum(axis=0)
    spread = ((y[~missing] - y[~missing].mean(axis=0)) ** 2).sum(axis=0)
    assert ensemble.oob_score_ == pytest.approx(np.mean(1 - error / spread))


def test_values(diabetes):
    X, y = diabetes
    ensemble = MLPEnsembleRegressor(REGRESSOR, 5, random_state=0).fit(X, y)
    values = of_members(ensemble, X, "predict")
    np.testing.assert_allclose(ensemble.predict(X), values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(ensemble.predict_std(X), values.std(axis=0), rtol=1e-12)
    assert ensemble.predict_quantiles(X).shape == (len(X), 3)


def test_a_class_that_a_bootstrap_misses():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), np.repeat([0, 1, 2], [37, 2, 1])
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 20, bootstrap=True, random_state=0).fit(X, y)
    known = {tuple(member.classes_) for member in ensemble.estimators_}
    assert {(0,), (0, 1), (0, 1, 2)} <= known
    expected = np.zeros((40, 3))
    for member in ensemble.estimators_:
        own = member.predict_proba(X) if len(member.classes_) > 1 else np.ones((40, 1))
        expected[:, member.classes_] += own / 20
    np.testing.assert_allclose(ensemble.predict_proba(X), expected, rtol=1e-12)


def test_a_single_class():
    X = np.random.default_rng(0).normal(size=(20, 2))
    for seed in range(3):  # the members' own probabilities favour either of two columns
        ensemble = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=seed).fit(X, ["one"] * 20)
        assert ensemble.predict_proba(X).tolist() == [[1.0]] * 20
        assert set(ensemble.predict(X)) == {"one"}


def test_several_labels():
    X, y = make_multilabel_classification(80, random_state=0)
    ensemble = MLPEnsembleClassifier(
        CLASSIFIER, 25, bootstrap=True, oob_score=True, random_state=0
    ).fit(X, y)
    mean = of_members(ensemble, X, "predict_proba").mean(axis=0)
    np.testing.assert_array_equal(ensemble.predict(X), mean > 0.5)
    known = ~np.isnan(ensemble.oob_decision_function_).any(axis=1)
    right = ((ensemble.oob_decision_function_ > 0.5) == y).all(axis=1)
    assert ensemble.oob_score_ == pytest.approx(right[known].mean())


def test_members_may_be_pipelines(iris):
    network = MLPClassifier((6,), solver="lbfgs", max_iter=20, backend="numpy")
    pipeline = make_pipeline(StandardScaler(), network)
    ensemble = MLPEnsembleClassifier(pipeline, 2, random_state=0).fit(*iris)
    first, second = [member[-1].random_state for member in ensemble.estimators_]
    assert first != second
    assert ensemble.score(*iris) > 0.9


def test_in_a_search(iris):
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 2, random_state=0)
    search = GridSearchCV(ensemble, {"estimator__alpha": [1e-4, 1.0]}, cv=2).fit(*iris)
    assert search.best_estimator_.estimators_[0].alpha == search.best_params_["estimator__alpha"]


@pytest.mark.parametrize("kind", ["loky", "threading"])
def test_other_backends_of_joblib(kind, iris):
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 3, bootstrap=True, n_jobs=2, random_state=0)
    expected = ensemble.fit(*iris).predict_proba(iris[0])
    with joblib.parallel_config(kind):
        np.testing.assert_array_equal(ensemble.fit(*iris).predict_proba(iris[0]), expected)


def test_progress(iris, capsys):
    MLPEnsembleClassifier(CLASSIFIER, 3, progress=True).fit(*iris)
    assert "members: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    "parameters, text",
    [
        ({"n_estimators": 0}, "'n_estimators' parameter"),
        ({"max_samples": 0.0}, "'max_samples' parameter"),
        ({"max_samples": 151}, "max_samples=151 is more than the 150 samples"),
        ({"oob_score": True}, "oob_score=True requires samples that a member has not seen"),
        ({"estimator": 3}, "'estimator' parameter"),
        ({"estimator": MLPRegressor()}, "'estimator' .* implementing .*'predict_proba'"),
        ({"estimator": MLPClassifier(alpha=-1.0)}, "'alpha' parameter of MLPClassifier"),
    ],
)
def test_bad_parameters(parameters, text, iris):
    with pytest.raises(ValueError, match=text):
        MLPEnsembleClassifier(CLASSIFIER, 2).set_params(**parameters).fit(*iris)


def test_bad_quantiles(iris):
    ensemble = MLPEnsembleClassifier(CLASSIFIER, 2).fit(*iris)
    for quantiles in (0.5, [-0.1], [1.1], [np.nan]):
        with pytest.raises(ValueError, match=r"quantiles must be a list of numbers in \[0, 1\]"):
            ensemble.predict_quantiles(iris[0], quantiles)
    with pytest.raises(ValueError, match="must contain at least one non-zero"):
        ensemble.fit(*iris, sample_weight=np.zeros(len(iris[1])))


@parametrize_with_checks(
    [
        MLPEnsembleClassifier(MLPClassifier(max_iter=60), 2),
        MLPEnsembleRegressor(MLPRegressor(max_iter=100), 2),
    ]
)
def test_checks_of_estimators(estimator, check):
    check(estimator)


def test_a_refused_fit_leaves_the_ensemble_as_it_was():
    X = np.random.default_rng(0).normal(size=(20, 3))
    member = MLPRegressor(hidden_layer_sizes=(2,), max_iter=2, backend="numpy")
    ensemble = MLPEnsembleRegressor(member, 2, random_state=0).fit(X, X[:, 0])
    before = ensemble.predict(X)
    for samples, y in ((X[:, :2], ["x"] * 20), (X[:, :2], np.full(20, np.nan))):
        with pytest.raises(ValueError):
            ensemble.fit(samples, y)
        assert np.array_equal(ensemble.predict(X), before)

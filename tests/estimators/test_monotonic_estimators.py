"""`monotonic_cst` of the estimators, as HistGradientBoosting takes it."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone

import fastbp
from fastbp import MLPClassifier, MLPEnsembleClassifier, MLPEnsembleRegressor, MLPRegressor

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (120, 3))
# Against the constraints, so that training meets them.
Y = -X[:, 0] + X[:, 1] + np.sin(2 * X[:, 2]) + 0.1 * rng.standard_normal(120)
LABELS = np.where(Y > 0, "yes", "no")
CST = [1, -1, 0]
POINTS = rng.uniform(-4, 4, (500, 3))
OPTIONS = {"hidden_layer_sizes": (8, 8), "max_iter": 15, "random_state": 0, "tol": 0.0}


def slopes(model, output=-1):
    """The range of the derivatives by the rising feature, and by the falling one, with its sign."""
    J = fastbp.input_jacobian(model, POINTS)[:, output]
    return J[:, 0], -J[:, 1]


def is_monotonic(model):
    return all((of_feature >= 0).all() for of_feature in slopes(model))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("make", [MLPRegressor, MLPClassifier])
def test_every_solver(make, solver):
    y = LABELS if make is MLPClassifier else Y
    options = {**OPTIONS, "solver": solver, "learning_rate_init": 0.01}
    fitted = make(monotonic_cst=CST, **options).fit(X, y)
    assert is_monotonic(fitted)
    assert not is_monotonic(make(**options).fit(X, y))
    again = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(again.predict(X), fitted.predict(X))
    assert clone(fitted).monotonic_cst == CST
    if solver != "lbfgs":
        for _ in range(3):
            fitted.partial_fit(X, y)
        assert is_monotonic(fitted)


def test_a_dict_names_features():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    by_name = MLPRegressor(monotonic_cst={"b": -1, "a": 1}, **OPTIONS)
    by_place = MLPRegressor(monotonic_cst=CST, **OPTIONS)
    with pytest.warns(Warning):  # neither converges
        by_name.fit(table, Y)
        by_place.fit(X, Y)
    assert np.array_equal(by_name.predict(table), by_place.predict(X))
    with pytest.raises(ValueError, match="key 'd', but X has no such feature; its features are a"):
        MLPRegressor(monotonic_cst={"d": 1}).fit(table, Y)
    with pytest.raises(ValueError, match="X has no names"):
        MLPRegressor(monotonic_cst={"a": 1}).fit(X, Y)
    member = MLPRegressor(monotonic_cst={"a": 1, "b": -1}, **OPTIONS)
    with pytest.warns(Warning):
        ensemble = MLPEnsembleRegressor(member, 2, random_state=0, n_jobs=1).fit(table, Y)
    assert all(member.monotonic_cst == CST for member in ensemble.estimators_)
    assert member.monotonic_cst == {"a": 1, "b": -1}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ensembles_are_monotonic():
    regressor = MLPRegressor(monotonic_cst=CST, **OPTIONS)
    assert is_monotonic(MLPEnsembleRegressor(regressor, 3, random_state=0, n_jobs=1).fit(X, Y))
    classifier = MLPClassifier(monotonic_cst=CST, **OPTIONS)
    ensemble = MLPEnsembleClassifier(classifier, 3, random_state=0, n_jobs=1, bootstrap=True)
    assert is_monotonic(ensemble.fit(X, LABELS))


@pytest.mark.parametrize(
    ("model", "y", "said"),
    [
        (MLPClassifier(monotonic_cst=CST), np.arange(120) % 3, "single output.*this network has 3"),
        (MLPRegressor(monotonic_cst=CST), np.stack([Y, Y], axis=1), "single output"),
        (MLPRegressor("gaussian", monotonic_cst=CST), Y, "single output.*this network has 2"),
        (MLPRegressor(monotonic_cst=CST, activation="silu"), Y, "never fall, but 'silu'"),
        (MLPRegressor(monotonic_cst=[1, 0]), Y, r"shape \(3,\)"),
        (MLPRegressor(monotonic_cst=[1, 0, 3]), Y, "is 3 for feature 2"),
        (MLPRegressor(monotonic_cst="up"), Y, "monotonic_cst"),
    ],
)
def test_refusals(model, y, said):
    with pytest.raises((ValueError, TypeError), match=said):
        model.fit(X, y)
    assert not hasattr(model, "coefs_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_training_does_not_go_on_from_coefficients_against_the_constraint():
    free = MLPRegressor(warm_start=True, **OPTIONS).fit(X, Y)
    before = [coef.copy() for coef in free.coefs_]
    free.set_params(monotonic_cst=CST)
    with pytest.raises(ValueError, match="estimator's weights.*monotonic_cst"):
        free.fit(X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(free.coefs_, before, strict=True))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_files_and_networks_keep_the_constraint(tmp_path):
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    fitted = MLPClassifier(monotonic_cst={"a": 1, "b": -1}, **OPTIONS).fit(table, LABELS)
    fastbp.save(fitted, tmp_path / "model.safetensors")
    loaded = fastbp.load(tmp_path / "model.safetensors")
    assert loaded.monotonic_cst == {"a": 1, "b": -1}
    loaded.partial_fit(table, LABELS)
    network = fastbp.Network.from_sklearn(loaded)
    assert network.monotonic_cst == (1, -1, 0)
    assert is_monotonic(network)
    assert not hasattr(network.to_sklearn(), "monotonic_cst")

"""Uncertainty of MLPRegressor and MLPEnsembleRegressor, and how long calibrations count."""

import copy
import pickle

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import MLPEnsembleRegressor, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 2))
Y = X @ [1.0, 2.0] + RNG.normal(size=80)
SMALL = MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0, backend="numpy")
SCALED = make_pipeline(StandardScaler(), SMALL)
MODELS = {
    "regressor": SMALL,
    "ensemble": MLPEnsembleRegressor(SMALL, 2, n_jobs=1, random_state=0),
    "ensemble of pipelines": MLPEnsembleRegressor(SCALED, 2, n_jobs=1, random_state=0),
}


def calibrated(kind):
    return clone(MODELS[kind]).fit(X[:40], Y[:40]).calibrate(X[40:], Y[40:])


def interval(model):
    return model.predict_interval(X, 0.8)


@pytest.mark.parametrize("kind", MODELS)
def test_intervals_by_hand(kind):
    """The prediction ± the 33rd of 40 sorted residuals: ⌈41 · 0.8⌉ = 33."""
    model = calibrated(kind)
    reach = np.sort(np.abs(Y - model.predict(X))[40:])[32]
    low, high = interval(model).T
    np.testing.assert_allclose(low, model.predict(X) - reach, rtol=1e-12)
    np.testing.assert_allclose(high, model.predict(X) + reach, rtol=1e-12)


@pytest.mark.parametrize("kind", MODELS)
def test_fitting_again_ends_the_calibration(kind):
    model = calibrated(kind)
    with pytest.raises(ValueError):
        model.fit(X, Y[1:])
    expected = interval(model)  # nothing has changed yet
    for copied in (copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))):
        np.testing.assert_array_equal(interval(copied(model)), expected)
    with pytest.raises(ValueError, match="needs calibrate"):
        interval(clone(model).fit(X, Y))
    model.fit(X[40:], Y[40:])
    with pytest.raises(ValueError, match="calibrate"):
        interval(model)


def test_what_else_ends_a_calibration():
    model = calibrated("regressor")
    for change in (
        lambda: model.partial_fit(X, Y),
        lambda: model.coefs_.__setitem__(0, 2 * model.coefs_[0]),
        lambda: model.set_params(loss="huber"),
        lambda: setattr(model, "out_activation_", "tanh"),
    ):
        change()
        with pytest.raises(ValueError, match="trained or changed"):
            interval(model)
        model.calibrate(X, Y)
    ensemble = calibrated("ensemble")
    ensemble.estimators_[1].partial_fit(X, Y)
    with pytest.raises(ValueError, match="trained or changed"):
        interval(ensemble)


@pytest.mark.parametrize("kind", [*MODELS, "pipeline"])
def test_files(kind, tmp_path):
    path = tmp_path / "model"
    if kind == "pipeline":
        model = clone(SCALED).fit(X[:40], Y[:40])
        model[-1].calibrate(model[:-1].transform(X[40:]), Y[40:])
        fastbp.save(model, path)
        model, loaded = model[-1], fastbp.load(path)[-1]
    else:
        model = calibrated(kind)
        fastbp.save(model, path)
        loaded = fastbp.load(path)
    np.testing.assert_array_equal(interval(loaded), interval(model))
    model.calibrate(X, Y)
    assert (interval(loaded) != interval(model)).any()


def test_several_outputs_and_sparse_samples():
    y = np.stack([Y, -3 * Y], axis=1)
    for kind in ("regressor", "ensemble"):
        model = clone(MODELS[kind]).fit(X, y).calibrate(csr_array(X), y)
        assert model.predict_interval(csr_array(X)).shape == (80, 2, 2)
        with pytest.raises(ValueError, match="y has 1 outputs, but the model predicts 2"):
            model.calibrate(X, Y)


def test_members_disagree():
    """Members with a loss of single values; also those that are not fastbp's."""
    for member in (SMALL, LinearRegression()):
        model = MLPEnsembleRegressor(member, 4, bootstrap=True, n_jobs=1, random_state=0).fit(X, Y)
        values = np.stack([each.predict(X) for each in model.estimators_])
        np.testing.assert_allclose(model.predict_std(X), values.std(axis=0), rtol=1e-12)
        found = model.predict_quantiles(X, [0.0, 0.4])
        np.testing.assert_allclose(found.T, np.quantile(values, [0, 0.4], axis=0), rtol=1e-12)
        assert interval(model.calibrate(X, Y)).shape == (80, 2)


@pytest.mark.parametrize("kind", MODELS)
def test_refusals(kind):
    model = clone(MODELS[kind])
    calls = model.predict_std, model.predict_quantiles, model.predict_interval
    for call in (*calls, lambda X: model.calibrate(X, Y)):
        with pytest.raises(NotFittedError):
            call(X)
    model.fit(X, Y)
    for bad in (X[:, :1], X * np.nan):
        with pytest.raises(ValueError, match="features|NaN"):
            model.calibrate(bad, Y)
    for dates in (np.arange("2024-01-01", 80, dtype="M8[D]"), np.arange(80).astype("m8[D]")):
        for call in (model.fit, model.calibrate):
            with pytest.raises(TypeError, match=r"y must hold real numbers, got dtype .*64\[D\]"):
                call(X, dates)
    with pytest.raises(ValueError, match=r"quantiles must be a list of numbers in \[0, 1\]"):
        model.predict_quantiles(X, [0.1, 2.0])
    if kind == "regressor":
        with pytest.raises(ValueError, match="no standard deviation: use a loss"):
            model.predict_std(X)


# Distributions and lists of quantiles.


@pytest.mark.parametrize("pipeline", [False, True])
def test_an_ensemble_is_the_mixture_of_its_members(pipeline):
    member = clone(SMALL).set_params(loss="gaussian")
    if pipeline:
        member = make_pipeline(StandardScaler(), member)
    model = MLPEnsembleRegressor(member, 3, n_jobs=1, random_state=0).fit(X, Y)
    means = np.stack([each.predict(X) for each in model.estimators_])
    inputs = [each[:-1].transform(X) if pipeline else X for each in model.estimators_]
    lasts = [each[-1] if pipeline else each for each in model.estimators_]
    std = np.stack([each.predict_std(Z) for each, Z in zip(lasts, inputs, strict=True)])
    np.testing.assert_allclose(model.predict(X), means.mean(axis=0), rtol=1e-12)
    total = np.sqrt((std**2).mean(axis=0) + means.var(axis=0))
    np.testing.assert_allclose(model.predict_std(X), total, rtol=1e-12)
    for q, found in zip([0.05, 0.7], model.predict_quantiles(X, [0.05, 0.7]).T, strict=True):
        reached = stats.norm(means, std).cdf(found).mean(axis=0)
        np.testing.assert_allclose(reached, q, rtol=1e-10)
    model.calibrate(X, Y)
    score = np.sort(np.abs(Y - model.predict(X)) / total)[64]  # ⌈81 · 0.8⌉ = 65
    np.testing.assert_allclose(interval(model)[:, 1], model.predict(X) + score * total)


def test_quantiles_of_a_regressor_and_an_ensemble(tmp_path):
    member = clone(SMALL).set_params(loss="quantile", loss_parameter=[0.1, 0.5, 0.9])
    model = MLPEnsembleRegressor(member, 2, n_jobs=1, random_state=0).fit(X, Y).calibrate(X, Y)
    own = [each.predict_quantiles(X, [0.1, 0.3, 0.9]) for each in model.estimators_]
    np.testing.assert_allclose(model.predict_quantiles(X, [0.1, 0.3, 0.9]), np.mean(own, axis=0))
    fastbp.save(model, tmp_path / "model")
    np.testing.assert_array_equal(interval(fastbp.load(tmp_path / "model")), interval(model))
    low, high = model.estimators_[0].predict_quantiles(X, [0.1, 0.9]).T
    score = np.sort(np.maximum(low - Y, Y - high))[64]
    found = interval(model.estimators_[0].calibrate(X, Y))
    np.testing.assert_allclose(found.T, [low - score, high + score], rtol=1e-6)


def test_targets_that_are_transformed():
    """A transformed target's distribution is unknown; it must not count as a single value."""
    member = TransformedTargetRegressor(clone(SMALL).set_params(loss="gaussian"))
    model = MLPEnsembleRegressor(member, 2, n_jobs=1, random_state=0).fit(X, Y)
    with pytest.raises(TypeError, match="TransformedTargetRegressor .* scale y before"):
        model.predict_std(X)
    member = TransformedTargetRegressor(make_pipeline(StandardScaler(), clone(SMALL)))
    model = MLPEnsembleRegressor(member, 2, n_jobs=1, random_state=0).fit(X, Y).calibrate(X, Y)
    interval(model)
    model.estimators_[1].regressor_[-1].partial_fit(X, Y)
    with pytest.raises(ValueError, match="trained or changed"):
        interval(model)

"""MLPRegressor(normalize_y=True) trains on standardised targets, and all else is in units of y."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import mean_absolute_error
from sklearn.preprocessing import StandardScaler

import fastbp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RANDOM = np.random.default_rng(0)
X = RANDOM.standard_normal((120, 3))
ONE = 1e4 + 300 * np.sin(X[:, 0]) * X[:, 1]
TWO = np.column_stack([ONE, 0.01 * X[:, 2] - 5])
HOW = {
    "lbfgs": {"solver": "lbfgs", "max_iter": 15},
    "adam": {"max_iter": 5},
    "early stopping": {"max_iter": 8, "early_stopping": True, "batch_size": 20},
    "average": {"max_iter": 5, "solver": "sgd", "average": fastbp.EMA(0.9)},
}


def regressor(**options):
    usual = {"hidden_layer_sizes": (6,), "max_iter": 4, "random_state": 0, "normalize_y": True}
    return fastbp.MLPRegressor(**{**usual, **options})


def standardised(y):
    return (y - y.mean(axis=0)) / y.std(axis=0)


def close(actual, expected, scale=1.0):
    np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11 * scale)


@pytest.mark.parametrize("y", [ONE, TWO], ids=["one", "two"])
@pytest.mark.parametrize("how", HOW.values(), ids=HOW)
def test_is_the_fit_to_transformed_targets(how, y):
    """As scikit-learn's TransformedTargetRegressor with a StandardScaler has it."""
    made = regressor(**how).fit(X, y)
    inner = regressor(**how, normalize_y=False)
    other = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, y)
    close(made.predict(X), other.predict(X))
    assert made.loss_ == other.regressor_.loss_
    assert made.n_iter_ == other.regressor_.n_iter_
    close(made.coefs_[-1], other.regressor_.coefs_[-1] * y.std(axis=0))
    close(made.score(X, y), other.score(X, y))


@pytest.mark.parametrize(
    ("loss", "parameter"),
    [
        ("gaussian", None),
        ("student_t", 4.0),
        ("laplace", None),
        ("mixture_density", 3),
        ("quantile", 0.8),
        ("huber", 0.5),
    ],
)
def test_distributions_are_those_of_y(loss, parameter):
    how = {"loss": loss, "loss_parameter": parameter, "solver": "lbfgs", "max_iter": 8}
    made = regressor(**how).fit(X, ONE)
    other = regressor(**how, normalize_y=False).fit(X, standardised(ONE))
    mean, deviation = ONE.mean(), ONE.std()
    close(made.predict(X), mean + deviation * other.predict(X))
    if loss in ("quantile", "huber"):
        return
    close(made.predict_std(X), deviation * other.predict_std(X))
    levels = [0.1, 0.7]
    quantiles = other.predict_quantiles(X, levels)
    close(made.predict_quantiles(X, levels), mean + deviation * quantiles)


def test_partial_fit_keeps_the_scale_of_the_first_call():
    first, later = ONE[:60], 3 * ONE[60:] - 7
    made = regressor().partial_fit(X[:60], first).partial_fit(X[60:], later)
    other = regressor(normalize_y=False).partial_fit(X[:60], standardised(first))
    other.partial_fit(X[60:], (later - first.mean()) / first.std())
    close(made.predict(X), first.mean() + first.std() * other.predict(X))


def test_warm_starts_go_on_where_the_last_fit_ended():
    how = {"solver": "lbfgs", "max_iter": 4, "warm_start": True}
    made = regressor(**how).fit(X, ONE).fit(X, ONE)
    other = regressor(**how, normalize_y=False).fit(X, standardised(ONE)).fit(X, standardised(ONE))
    np.testing.assert_allclose(standardised_by(ONE, made.predict(X)), other.predict(X), atol=1e-7)
    made.set_params(warm_start=False).fit(X, 2 * ONE)  # a new scale
    close(made.predict(X), 2 * regressor(**how).fit(X, ONE).predict(X))


def standardised_by(y, values):
    return (values - y.mean()) / y.std()


def test_frozen_layers_and_refused_fits_keep_every_bit():
    made = regressor(frozen=[1]).fit(X, ONE)
    kept = copy.deepcopy(made.coefs_), copy.deepcopy(made.intercepts_)
    made.partial_fit(X, ONE)
    assert (made.coefs_[0] != kept[0][0]).any()
    np.testing.assert_array_equal(made.coefs_[1], kept[0][1])
    np.testing.assert_array_equal(made.intercepts_[1], kept[1][1])
    made.set_params(warm_start=True, learning_rate="constant", callbacks=[3])
    kept = copy.deepcopy(made.coefs_)
    with pytest.raises(TypeError, match="callback 3"):
        made.fit(X, ONE)
    for W, before in zip(made.coefs_, kept, strict=True):
        np.testing.assert_array_equal(W, before)


def test_samples_of_weight_0_do_not_count():
    weight = np.ones(len(X))
    weight[:40] = 0
    how = {"solver": "lbfgs", "max_iter": 5}
    made = regressor(**how).fit(X, np.where(weight, ONE, 1e9), sample_weight=weight)
    other = regressor(**how).fit(X[40:], ONE[40:])
    np.testing.assert_allclose(made.predict(X), other.predict(X), rtol=1e-9)


@pytest.mark.parametrize("scoring", ["neg_mean_absolute_error", "neg_mean_poisson_deviance"])
def test_scorers_get_y_and_predictions_in_its_units(scoring):
    how = {"max_iter": 3, "early_stopping": True, "scoring": scoring}
    y = np.abs(ONE - 1e4)
    y[::2] = 0  # the deviance refuses y below 0
    held_out = {"X_val": X[:50], "y_val": y[:50]}
    made = regressor(**how)
    if scoring == "neg_mean_poisson_deviance":
        held_out["y_val"] = y[:50] * 0
        made.initialize(X, y)
        made.set_params(warm_start=True, learning_rate_init=1e-9)
        made.coefs_[-1][:] = 0.0  # predictions above 0
        made.intercepts_[-1][:] = 5.0
        made.fit(X, y, **held_out)
        np.testing.assert_allclose(made.best_validation_score_, -10.0, rtol=1e-6)
        return
    made.fit(X, y, **held_out)
    error = mean_absolute_error(y[:50], made.predict(X[:50]))
    close(made.best_validation_score_, -error, y.std())


def test_other_forms_of_the_model_predict_y(tmp_path):
    made = regressor().fit(X, ONE)
    expected = made.predict(X)
    close(fastbp.Network.from_sklearn(made).predict(X)[:, 0], expected)
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made)):
        np.testing.assert_array_equal(again.predict(X), expected)
    fastbp.save(made, tmp_path / "model")
    loaded = fastbp.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), expected)
    made.partial_fit(X, 2 * ONE)
    np.testing.assert_array_equal(loaded.partial_fit(X, 2 * ONE).predict(X), made.predict(X))
    step = 1e-5
    slope = (made.predict(X + [step, 0, 0]) - made.predict(X - [step, 0, 0])) / (2 * step)
    inside = made.input_jacobian(X)[:, 0, 0]
    near = np.abs(slope - inside) < 1e-5 * np.abs(slope).max()
    assert near.mean() > 0.95  # not at the kinks of relu
    ensemble = fastbp.MLPEnsembleRegressor(regressor(max_iter=3), 2, n_jobs=1, random_state=0)
    ensemble.fit(X, ONE)
    close(ensemble.predict(X), np.mean([m.predict(X) for m in ensemble.estimators_], axis=0))
    assert abs(ensemble.predict(X).mean() - ONE.mean()) < ONE.std()


def test_initial_coefficients_are_for_y():
    made = regressor().initialize(X, ONE)
    inner = regressor(normalize_y=False).initialize(X, ONE)
    close(made.predict(X), ONE.mean() + ONE.std() * inner.predict(X))
    made.set_params(solver="lbfgs", max_iter=4, warm_start=True).fit(X, ONE)
    close(made.predict(X), regressor(solver="lbfgs", max_iter=4).fit(X, ONE).predict(X))


@pytest.mark.parametrize("constant", [1e5, -3e-7])
def test_constant_columns_are_only_shifted(constant):
    """Their deviation is 1, as StandardScaler has it; powers of two that y is divided by go."""
    y = np.column_stack([np.full(len(X), constant), X[:, 0]])
    made = regressor().fit(X, y)
    other = TransformedTargetRegressor(regressor(normalize_y=False), transformer=StandardScaler())
    close(made.predict(X), other.fit(X, y).predict(X))


def test_deviations_below_all_numbers():
    y = np.where(np.arange(len(X)), 1e-323, 5e-324)
    assert np.isfinite(regressor().fit(X, y).predict(X)).all()


@pytest.mark.parametrize("y", [np.full(30, 0.1), np.linspace(0, 1e300, 30)], ids=["same", "huge"])
def test_targets_without_spread_and_huge_ones(y):
    made = regressor(solver="lbfgs", max_iter=3).fit(X[:30], y)
    assert np.isfinite(made.predict(X)).all()
    assert np.abs(made.predict(X[:30]) - y).max() <= max(y.max(), 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "poisson"}, "loss='poisson', which is for counts"),
        ({"loss": "negative_binomial"}, "loss='negative_binomial', which is for counts"),
        ({"loss": "quantile", "loss_parameter": [0.1, 0.9]}, "and several quantiles"),
        ({"normalize_y": 2}, "'normalize_y' parameter"),
    ],
)
def test_what_cannot_be_standardised_is_refused(options, message):
    made = regressor(**options)
    with pytest.raises(ValueError, match=message):
        made.fit(X, np.arange(len(X)))
    assert not hasattr(made, "coefs_")


def test_weights_without_a_deviation_are_refused():
    weight = np.where(np.arange(len(X)) % 2, 1.0, -1.0)
    with pytest.raises(ValueError, match="weights of at least 0"):
        regressor().fit(X, ONE, sample_weight=weight)

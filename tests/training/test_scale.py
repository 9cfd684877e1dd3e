"""Data without scale: one clear warning at the end of a training that has learned little."""

import warnings

import numpy as np
import pytest

import fastbp

rng = np.random.default_rng(0)
X = rng.standard_normal((60, 3))
y = X.sum(axis=1) + 0.1 * rng.standard_normal(60)
PRICES = 2e5 + 1e5 * y
REGRESSIONS = {"squared_error": None, "absolute_error": None, "huber": 2.0, "quantile": 0.9}


def network(loss="squared_error", n_outputs=1, parameter=None):
    return fastbp.Network([3, 8, n_outputs], loss=loss, loss_parameter=parameter, seed=0)


@pytest.mark.parametrize("loss", REGRESSIONS)
def test_prices(loss):
    with pytest.warns(UserWarning) as caught:
        network(loss, parameter=REGRESSIONS[loss]).fit(X, PRICES)
    (warning,) = caught
    assert warning.filename == __file__
    text = str(warning.message)
    mean, deviation = f"{PRICES.mean():.3g}", f"{PRICES.std():.3g}"
    assert f"y has the mean {mean} and the standard deviation {deviation}; scale y" in text


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_regressor_can_scale_them_itself():
    regressor = fastbp.MLPRegressor(hidden_layer_sizes=(8,), max_iter=5, random_state=0)
    with pytest.warns(match="targets are not scaled.*; set normalize_y=True$"):
        regressor.fit(X, PRICES)
    with warnings.catch_warnings(record=True) as caught:
        regressor.set_params(normalize_y=True).fit(X, PRICES)
    assert not any("not scaled" in str(warning.message) for warning in caught)


def test_the_loss_of_the_issue():
    with pytest.warns(match="targets are not scaled"):
        history = network().fit(X, 1.5e6 * y)
    assert history.loss[-1] > 1e12


def test_once_in_a_loop():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            network().fit(X, PRICES, epochs=2)
    assert len(caught) == 1


def test_the_output_that_has_no_scale_is_named():
    targets = np.stack([y, 1e6 * y, y], axis=1)
    with pytest.warns(match="column 1 of y has the mean"):
        network(n_outputs=3).fit(X, targets)


@pytest.mark.parametrize("loss", REGRESSIONS)
def test_the_head_that_has_no_scale_is_named(loss):
    net = network([("gaussian", 2), ("squared_error", 2), (loss, 1, REGRESSIONS[loss])], 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(X, (y, np.stack([y, -y], axis=1), y))
    with pytest.warns(match=r"targets are not scaled.*: y\[2\] has the mean"):
        net.fit(X, (y, np.stack([y, -y], axis=1), PRICES))
    with pytest.warns(match=r"column 1 of y\[1\] has the mean"):
        net.fit(X, (y, np.stack([y, PRICES], axis=1), y))


def test_inputs():
    with pytest.warns(match="the inputs are not scaled.*X has values up to"):
        network().fit(1e7 * X, y, epochs=1)


def test_many_and_estimators():
    with pytest.warns(match="targets are not scaled"):
        fastbp.fit_many([network()], X, PRICES, rows=[np.arange(30)], epochs=2)
    regressor = fastbp.MLPRegressor(max_iter=3, random_state=0, n_iter_no_change=99)
    with pytest.warns(UserWarning) as caught:
        regressor.fit(X, PRICES)
    texts = [str(each.message) for each in caught]
    assert sum("targets are not scaled" in text for text in texts) == 1


def test_no_warning():
    """Of what is well scaled, of what was learned all the same, and of other losses."""
    network().fit(X, y)
    network().fit(X, 100 * y)
    linear = fastbp.Network([3, 1], loss="squared_error", seed=0)
    linear.fit(X, PRICES, optimizer=fastbp.SGD(0.1), epochs=50)  # error of noise only
    assert linear.score(X, PRICES) > 0.98
    network("poisson").fit(X, np.exp(y), epochs=1)
    network().fit(X, y, l2=1e9, epochs=1, optimizer=fastbp.SGD(1e-12))  # large by its penalty
    regressor = fastbp.MLPRegressor(solver="lbfgs", random_state=0, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=fastbp.estimators.rules.ConvergenceWarning)
        assert regressor.fit(X, PRICES).score(X, PRICES) > 0.9

"""Network.score: scikit-learn's scores, by scikit-learn's own functions."""

import numpy as np
import pytest
from helpers import make_data, make_network
from sklearn import metrics

import fastbp

N = 40


def case(loss, n_outputs, seed=0):
    X, y = make_data(loss, N, 3, n_outputs, seed=seed)
    return make_network([3, 4, n_outputs], loss, "numpy", seed=seed), X, y


def labels(n_classes):
    return np.random.default_rng(0).integers(0, n_classes, N)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "huber", "poisson", "quantile"]
)
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_r2_by_default(loss, n_outputs):
    net, X, y = case(loss, n_outputs)
    assert net.score(X, y) == pytest.approx(metrics.r2_score(y, net.predict(X)), rel=1e-6)
    weight = np.arange(N) % 3
    ref = metrics.r2_score(y, net.predict(X), sample_weight=weight)
    assert net.score(X, y, sample_weight=weight) == pytest.approx(ref, rel=1e-6)


def test_accuracy_by_default():
    net, X, _ = case("cross_entropy", 3)
    y = labels(3)
    ref = metrics.accuracy_score(y, net.predict(X).argmax(axis=1))
    assert net.score(X, y) == net.score(X, np.eye(3)[y]) == ref
    net, X, _ = case("log_loss", 1)
    y = labels(2)
    ref = metrics.accuracy_score(y, net.predict(X).ravel() > 0.5)
    assert net.score(X, y) == net.score(X, y[:, None]) == ref
    net, X, _ = case("log_loss", 2)
    y = np.random.default_rng(1).integers(0, 2, (N, 2))
    assert net.score(X, y) == metrics.accuracy_score(y, net.predict(X) > 0.5)


def test_scorers_by_name_and_callables():
    net, X, _ = case("log_loss", 1)
    y, h = labels(2), net.predict(X).ravel()
    assert net.score(X, y, scoring="roc_auc") == metrics.roc_auc_score(y, h)
    loss = metrics.log_loss(y, h.astype(float))
    assert net.score(X, y, scoring="neg_log_loss") == pytest.approx(-loss, rel=1e-5)
    assert net.score(X, y, scoring=lambda estimator, X, y: len(X)) == N
    net, X, y = case("squared_error", 1)
    error = -metrics.mean_absolute_error(y, net.predict(X))
    assert net.score(X, y, scoring="neg_mean_absolute_error") == pytest.approx(error, rel=1e-6)


def test_is_what_fit_records():
    net, X, y = case("squared_error", 2)
    history = net.fit(X, y, epochs=2, validation_data=(X, y), scoring="r2")
    assert history["r2"][-1] == net.score(X, y)


def test_own_losses():
    def loss(h, y):
        return ((h - y) ** 2).sum(axis=1), 2 * (h - y)

    X, y = make_data("squared_error", N, 3, 1)
    net = fastbp.Network([3, 1], loss=loss, seed=0, backend="numpy")
    assert net.score(X, y) == pytest.approx(metrics.r2_score(y, net.predict(X)), rel=1e-6)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"scoring": "acuracy"}, ValueError, "unknown score 'acuracy'.*did you mean 'accuracy'"),
        ({"scoring": "AUC"}, ValueError, "did you mean 'roc_auc'"),
        ({"scoring": "mse"}, ValueError, "did you mean 'neg_mean_squared_error'.*negative"),
        ({"scoring": "zzzzz"}, ValueError, r"get_scorer_names\(\) returns the known ones$"),
        ({"scoring": ["r2"]}, TypeError, "name of a scorer or a callable, got .'r2'."),
        ({"scoring": 3}, TypeError, "scoring must be"),
        ({"scoring": lambda estimator, X, y: "good"}, TypeError, "must be a number, got str"),
        ({"y": np.full(N, 0.5)}, ValueError, "accuracy needs classes 0 and 1"),
        ({"y": np.full(N, np.nan)}, ValueError, "y has NaN"),
        ({"X": np.zeros((N, 2))}, ValueError, "X has 2 features"),
        ({"sample_weight": np.zeros(N)}, ValueError, "zero for every sample"),
    ],
)
def test_bad_arguments(options, error, message):
    net, X, _ = case("log_loss", 1)
    with pytest.raises(error, match=message):
        net.score(**{"X": X, "y": labels(2), **options})


def test_weights_that_are_not_finite():
    net, X, y = case("squared_error", 1)
    net._engine.parameters[:] = np.nan
    with pytest.raises(ValueError, match="finite"):
        net.score(X, y)

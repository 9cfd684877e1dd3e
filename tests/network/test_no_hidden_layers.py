"""Without hidden layers: linear and logistic regression, with the closed or known solutions."""

import numpy as np
import pytest
from helpers import error, gradient_of
from sklearn.linear_model import LogisticRegression

import fastbp

N = 60


@pytest.fixture
def X(rng):
    return rng.standard_normal((N, 4))


def trained(backend, loss, X, y, n_outputs, **options):
    net = fastbp.Network(
        [X.shape[1], n_outputs], loss=loss, dtype="float64", backend=backend, seed=0
    )
    net.fit(X, y, optimizer=fastbp.SGD(0.3, momentum=0.8), batch_size=None, **options)
    return net


def test_linear_regression(backend, X, rng):
    y = X @ rng.standard_normal((4, 3)) + [1, -2, 3] + 0.1 * rng.standard_normal((N, 3))
    net = trained(backend, "squared_error", X, y, 3, epochs=600)
    ref, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(N)]), y)
    assert error(net.weights[0], ref[:4]) < 1e-10
    assert error(net.biases[0], ref[4]) < 1e-10
    assert np.abs(gradient_of(net, X, y)).max() < 1e-10


def test_ridge_regression(backend, X, rng):
    """l2 / 2 Σ W² beside ½ (h - y)², biases left out."""
    y = X @ rng.standard_normal((4, 1)) + 5 + 0.1 * rng.standard_normal((N, 1))
    l2 = 0.3
    net = trained(backend, "squared_error", X, y, 1, epochs=600, l2=l2)
    centred = X - X.mean(axis=0)
    ref = np.linalg.solve(centred.T @ centred / N + l2 * np.eye(4), centred.T @ y / N)
    assert error(net.weights[0], ref) < 1e-10
    assert error(net.biases[0], y.mean() - X.mean(axis=0) @ ref) < 1e-10


def test_weighted_regression(backend, X, rng):
    y = X @ rng.standard_normal((4, 1)) + rng.standard_normal((N, 1))
    w = rng.uniform(0.1, 2, N)
    net = trained(backend, "squared_error", X, y, 1, epochs=600, sample_weight=w)
    root = np.sqrt(w)[:, None]
    ref, *_ = np.linalg.lstsq(np.column_stack([X, np.ones(N)]) * root, y * root)
    assert error(np.vstack([net.weights[0], net.biases[0]]), ref) < 1e-10


def test_logistic_regression(backend, X, rng):
    y = (X[:, 0] + 1.5 * rng.standard_normal(N) > 0).astype(int)
    net = trained(backend, "log_loss", X, y, 1, epochs=4000)
    ref = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(X, y)
    assert np.abs(gradient_of(net, X, y)).max() < 1e-10
    assert error(net.weights[0].T, ref.coef_) < 1e-5
    assert error(net.biases[0], ref.intercept_) < 1e-4


def test_multinomial_regression(backend, X, rng):
    """Softmax weights are free up to a constant; the probabilities are not."""
    y = (X[:, :3] + 2 * rng.standard_normal((N, 3))).argmax(axis=1)
    net = trained(backend, "cross_entropy", X, y, 3, epochs=4000)
    ref = LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000).fit(X, y)
    assert np.abs(gradient_of(net, X, y)).max() < 1e-10
    assert error(net.predict(X), ref.predict_proba(X)) < 1e-5

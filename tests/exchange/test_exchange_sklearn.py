"""Networks from and to scikit-learn's perceptrons, whose own predictions are the same."""

import re

import numpy as np
import pytest
from helpers import TARGETS, copy_parameters, error, make_network, outputs_for
from sklearn import neural_network
from sklearn.linear_model import LinearRegression

import fastbp

ROUNDING = 1e-13
ACTIVATIONS = {"identity": "identity", "logistic": "sigmoid", "tanh": "tanh", "relu": "relu"}
KINDS = {
    "binary": lambda rng, X: np.array(["no", "yes"])[(X[:, 0] > 0).astype(int)],
    "multiclass": lambda rng, X: np.array([2, 3, 5])[rng.integers(0, 3, len(X))],
    "multilabel": lambda rng, X: rng.integers(0, 2, (len(X), 3)),
}


def fitted(module, kind, activation, X, rng):
    """A classifier with some training behind it."""
    classifier = module.MLPClassifier((7, 5), activation, random_state=0, solver="lbfgs")
    classifier.set_params(max_iter=15000, max_fun=20, alpha=1.0)
    return classifier.fit(X, KINDS[kind](rng, X))


@pytest.fixture
def X(rng):
    return rng.standard_normal((60, 4))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("module", [neural_network, fastbp], ids=["sklearn", "fastbp"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_classifiers(kind, activation, module, X, rng):
    estimator = fitted(module, kind, activation, X, rng)
    net = fastbp.Network.from_sklearn(estimator)
    assert net.loss == ("cross_entropy" if kind == "multiclass" else "log_loss")
    assert net.layout.activations == (ACTIVATIONS[activation],) * 2
    wanted = estimator.predict_proba(X)
    h = net.predict(X)
    assert error(h, wanted[:, 1:] if kind == "binary" else wanted) < ROUNDING
    # And out: scikit-learn's own class, with the same classes.
    back = net.to_sklearn(None if kind == "multilabel" else estimator.classes_)
    assert type(back) is neural_network.MLPClassifier
    assert error(back.predict_proba(X), wanted) < ROUNDING
    assert np.array_equal(back.predict(X), estimator.predict(X))
    assert np.array_equal(back.classes_, estimator.classes_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("hidden", [(), (6,)])
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_regressors(loss, hidden, X, rng):
    y = rng.poisson(2.0, (60, 2)).astype(float)
    estimator = neural_network.MLPRegressor(loss, hidden, random_state=0, max_iter=5).fit(X, y)
    net = fastbp.Network.from_sklearn(estimator)
    assert net.loss == loss
    assert error(net.predict(X), estimator.predict(X)) < ROUNDING
    back = net.to_sklearn()
    assert type(back) is neural_network.MLPRegressor
    assert error(back.predict(X), estimator.predict(X)) < ROUNDING
    # fastbp's estimator of the same coefficients is the same function.
    ours = fastbp.MLPRegressor(loss, hidden, random_state=0, max_iter=1).fit(X, y)
    copy_parameters(net, ours._network())
    assert error(fastbp.Network.from_sklearn(ours).predict(X), estimator.predict(X)) < ROUNDING


def sextic(h, y):
    return ((h - y) ** 6).sum(axis=1), 6 * (h - y) ** 5


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "loss, parameter",
    [("huber", 0.3), ("huber", None), ("quantile", 0.8), ("absolute_error", None), (sextic, None)],
)
def test_losses_of_our_regressor(loss, parameter, X, rng):
    y = rng.uniform(size=60)
    estimator = fastbp.MLPRegressor(
        loss, (6,), loss_parameter=parameter, random_state=0, max_iter=3
    ).fit(X, y)
    net = fastbp.Network.from_sklearn(estimator)
    assert net.loss == loss
    assert net.loss_parameter == (parameter or {"huber": 1.0}.get(loss))
    assert np.array_equal(net.predict(X).ravel(), estimator.predict(X))
    other = fastbp.Network.from_sklearn(estimator, loss="squared_error")
    assert (other.loss, other.loss_parameter) == ("squared_error", None)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("output", ["sin", "odd", None, 3, ["tanh"]])
@pytest.mark.parametrize("module", [neural_network, fastbp])
def test_odd_output_activations(module, output, X, rng):
    estimator = module.MLPRegressor(max_iter=1).fit(X, rng.standard_normal(60))
    estimator.out_activation_ = output
    message = re.escape(
        f"must be one of identity, logistic, softmax, exp, tanh, relu, got {output!r}"
    )
    with pytest.raises(ValueError, match=f"out_activation_ of a Network {message}"):
        fastbp.Network.from_sklearn(estimator)


@pytest.mark.parametrize("loss", TARGETS)
def test_networks_to_sklearn(loss, X):
    net = make_network([4, 6, 5, outputs_for(loss, 1)], loss, "auto")
    estimator = net.to_sklearn()
    h = net.predict(X)
    if loss == "cross_entropy":  # two classes have one output there
        assert error(estimator.predict_proba(X), h) < ROUNDING
        assert np.array_equal(estimator.predict(X), h.argmax(axis=1))
    elif loss == "log_loss":
        assert error(estimator.predict_proba(X)[:, 1:], h) < ROUNDING
    else:
        assert error(estimator.predict(X), h.ravel()) < ROUNDING
    estimator.coefs_[0][...] = 0  # its own copy
    assert np.array_equal(net.predict(X), h)


def test_single_precision_stays(X):
    net = make_network([4, 6, 3], "cross_entropy", "auto", "float32")
    estimator = net.to_sklearn()
    assert {a.dtype.name for a in estimator.coefs_} == {"float32"}
    again = fastbp.Network.from_sklearn(estimator)
    assert np.array_equal(again.predict(X), net.predict(X))


def test_refused(X):
    with pytest.raises(TypeError, match="got LinearRegression"):
        fastbp.Network.from_sklearn(LinearRegression())
    with pytest.raises(ValueError, match="not fitted"):
        fastbp.Network.from_sklearn(neural_network.MLPClassifier())
    with pytest.raises(ValueError, match="this network has gelu"):
        make_network([4, 6, 3], "log_loss", "auto", activation="gelu").to_sklearn()
    mixed = fastbp.Network([4, 6, 6, 3], activation=["relu", "tanh"], loss="log_loss")
    with pytest.raises(ValueError, match="one activation for all"):
        mixed.to_sklearn()
    with pytest.raises(ValueError, match="multi-label"):
        make_network([4, 6, 3], "log_loss", "auto").to_sklearn(classes=[1, 2, 3])
    for classes in ([1, 2], [3, 2, 1], [1, 1, 2]):
        with pytest.raises(ValueError, match="3 different labels in sorted order"):
            make_network([4, 6, 3], "cross_entropy", "auto").to_sklearn(classes=classes)
    with pytest.raises(ValueError, match="classes are for classification"):
        make_network([4, 3], "huber", "auto").to_sklearn(classes=[1, 2, 3])

"""When the estimators stop, how fast they learn, and what a further call goes on from.

Expected values are worked out by hand, or come from scikit-learn's estimators.
"""

import warnings

import numpy as np
import pandas
import pytest
import scipy.optimize
import sklearn.neural_network
from helpers import error
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor

import fastbp

LIBRARIES = [sklearn.neural_network, fastbp]
NAMES = ["MLPClassifier", "MLPRegressor"]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def pair(name, backend=None, **parameters):
    """scikit-learn's estimator and ours."""
    parameters = {"hidden_layer_sizes": (6,), "random_state": 0, **parameters}
    ref, comp = (getattr(library, name)(**parameters) for library in LIBRARIES)
    return ref, comp.set_params(backend=backend)


def coefficients(estimator):
    return np.concatenate([np.ravel(a) for a in [*estimator.coefs_, *estimator.intercepts_]])


def outcome(call):
    """The warnings that a call gives, and the error it raises."""
    failure = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except ValueError as raised:
            failure = str(raised)
    return [(w.category, str(w.message)) for w in caught], failure


# The gradient.


def test_step_from_attributes_set_before_any_fit(backend):
    """x = (1, 2), y = 1, W₁ = 0, W₂ = 4 and b₂ = -2 give h = 1/2, s = 0, p = 1/2, ∂L/∂s = -1/2."""
    how = dict(hidden_layer_sizes=1, activation="logistic", alpha=0.125, solver="sgd", momentum=0)
    for estimator in pair("MLPClassifier", backend, learning_rate_init=0.5, **how):
        estimator.coefs_ = [np.zeros((2, 1)), np.array([[4.0]])]
        estimator.intercepts_ = [np.zeros(1), np.array([-2.0])]
        estimator.n_features_in_, estimator.n_layers_, estimator.n_outputs_ = 2, 3, 1
        estimator.out_activation_ = "logistic"
        estimator.n_iter_ = estimator.t_ = estimator._no_improvement_count = 0
        estimator.loss_curve_, estimator.best_loss_ = [], np.inf
        estimator.partial_fit([[1.0, 2.0]], [1], classes=[0, 1])
        # ∂L/∂W₂ = -1/2 · 1/2 + α · 4, and ∂L/∂b₁ = -1/2 · 4 · h (1 - h).
        assert estimator.coefs_[1] == pytest.approx(4 - 0.5 * (-0.25 + 0.5))
        assert estimator.intercepts_[1] == pytest.approx(-2 + 0.5 * 0.5)
        assert estimator.coefs_[0][:, 0] == pytest.approx(np.array([0.25, 0.5]))
        assert estimator.intercepts_[0] == pytest.approx(0.25)
        assert estimator.loss_curve_ == [pytest.approx(np.log(2) + 0.125 / 2 * 16)]
        s = 3.875 / (1 + np.exp(-(0.25 + 1 + 0.25))) - 1.75
        assert estimator.predict_proba([[1.0, 2.0]])[0, 1] == pytest.approx(1 / (1 + np.exp(-s)))


@pytest.mark.parametrize(
    "activation, n_classes", [("identity", 2), ("logistic", 3), ("tanh", 2), ("relu", 3)]
)
def test_private_gradient_is_the_slope_of_the_loss(activation, n_classes, iris, backend):
    X, y = iris[0][::10], iris[1][::10] % n_classes
    targets = np.eye(3)[y] if n_classes == 3 else y.reshape(-1, 1)
    how = dict(activation=activation, hidden_layer_sizes=3, solver="lbfgs", max_iter=2, alpha=0.1)
    classifier = pair("MLPClassifier", backend, **how)[1].fit(X, y)

    def loss_and_gradient(theta):
        room = [[None, None] for _ in range(3)]
        return classifier._loss_grad_lbfgs(theta, X, targets, None, [X, None, None], *room)

    theta = coefficients(classifier)
    slope = scipy.optimize.approx_fprime(theta, lambda theta: loss_and_gradient(theta)[0])
    assert error(loss_and_gradient(theta)[1], slope) < 1e-6


# The end of training.


@pytest.mark.parametrize(
    "kind, activation",
    [
        ("binary", "relu"),
        ("multiclass", "logistic"),
        ("multilabel", "tanh"),
        ("regression", "identity"),
    ],
)
def test_lbfgs_comes_to_the_same_minimum(kind, activation, iris, backend):
    X, y = iris[0][::2], iris[1][::2]
    name = "MLPRegressor" if kind == "regression" else "MLPClassifier"
    targets = {
        "binary": np.array(["no", "yes"])[(y == 1).astype(int)],
        "multiclass": y,
        "multilabel": np.column_stack([y > 0, y > 1, X[:, 0] > 0]).astype(int),
        "regression": np.sin(X[:, :2]),
    }[kind]
    how = dict(solver="lbfgs", hidden_layer_sizes=4, activation=activation, alpha=5)
    ref, comp = (estimator.fit(X, targets) for estimator in pair(name, backend, **how))
    assert max(ref.n_iter_, comp.n_iter_) < comp.max_iter
    assert comp.loss_ == pytest.approx(ref.loss_, rel=1e-6)
    assert comp.predict(X).dtype == ref.predict(X).dtype
    method = "predict" if kind == "regression" else "predict_proba"
    assert error(getattr(comp, method)(X), getattr(ref, method)(X)) < 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_max_fun_ends_lbfgs(name, iris, backend):
    ref, comp = pair(name, backend, solver="lbfgs", max_fun=10, tol=0)
    said = [outcome(lambda e=estimator: e.fit(*iris)) for estimator in (ref, comp)]
    assert said[0] == said[1]
    assert [category for category, _ in said[1][0]] == [ConvergenceWarning]
    assert comp.n_iter_ == ref.n_iter_ <= 10
    assert error(coefficients(comp), coefficients(ref)) < 1e-8


@pytest.mark.parametrize("name, early_stopping", [("MLPClassifier", False), ("MLPRegressor", True)])
@pytest.mark.parametrize("patience, epochs", [(1, 3), (5, 7), (np.inf, 20)])
def test_patience(name, early_stopping, patience, epochs, iris, backend):
    """No epoch but the first improves on the best one by such a tolerance."""
    how = dict(solver="sgd", tol=1e9, max_iter=20, early_stopping=early_stopping)
    _, comp = pair(name, backend, n_iter_no_change=patience, **how)
    comp.fit(*iris)
    assert comp.n_iter_ == len(comp.loss_curve_) == epochs
    assert comp._no_improvement_count == epochs - 1


def test_that_epochs_were_too_few_is_said_before_callbacks_end(iris, backend):
    class Fails(fastbp.Callback):
        def end(self, network, history):
            raise ValueError("at the end")

    comp = fastbp.MLPClassifier((6,), max_iter=2, callbacks=[Fails()], backend=backend)
    said, failure = outcome(lambda: comp.fit(*iris))
    assert failure == "at the end"
    assert [category for category, _ in said] == [ConvergenceWarning]


# Rates.


@pytest.mark.parametrize("schedule", ["constant", "invscaling"])
def test_rate_goes_on_in_a_warm_start(schedule, iris, backend):
    how = dict(solver="sgd", learning_rate=schedule, learning_rate_init=0.1, power_t=0.25)
    both = pair("MLPClassifier", backend, max_iter=2, warm_start=True, **how)
    for samples in (300, 600, 900):
        rate = 0.1 / (samples + 1) ** 0.25 if schedule == "invscaling" else 0.1
        for estimator in both:
            estimator.fit(*iris)
            assert estimator.t_ == samples
            assert estimator._optimizer.learning_rate == pytest.approx(rate, rel=1e-14)
    assert error(coefficients(both[1]), coefficients(both[0])) < 1e-10


# Further calls.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("how", [{"momentum": 0}, {"momentum": 0.9}, {"solver": "adam"}])
def test_partial_fit_is_an_epoch(name, how, iris, backend):
    how = {"solver": "sgd", "shuffle": False, "batch_size": 40, **how}
    whole = pair(name, backend, max_iter=6, n_iter_no_change=np.inf, **how)[1].fit(*iris)
    by_epochs = pair(name, backend, **how)[1]
    for _ in range(6):
        by_epochs.partial_fit(*iris, *[None, [0, 1, 2]][: 2 * (name == "MLPClassifier")])
    assert np.array_equal(coefficients(by_epochs), coefficients(whole))
    assert by_epochs.loss_curve_ == whole.loss_curve_


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_max_iter_is_raised_for_a_warm_start(name, solver, iris, backend):
    """Each fit counts its own epochs, and warns at its own limit."""
    both = pair(name, backend, solver=solver, warm_start=True, n_iter_no_change=np.inf, tol=0)
    for max_iter in (4, 9):
        for estimator in both:
            estimator.set_params(max_iter=max_iter)
        said = [outcome(lambda e=e: e.fit(*iris)) for e in both]
        assert said[0] == said[1]
        assert said[1][0][0][0] is ConvergenceWarning
        assert both[0].n_iter_ == both[1].n_iter_ == max_iter
    assert error(coefficients(both[1]), coefficients(both[0])) < 1e-8


@pytest.mark.parametrize(
    "classes, same",
    [([2, 1, 0], True), ([0, 1], False), ([0, 1, 3], False), ([0, 1, 2, 3], False)],
    ids=["in another order", "fewer", "another one", "more"],
)
def test_warm_start_takes_the_classes_of_before(classes, same, iris):
    """In other proportions if need be."""
    X, y = iris
    others = np.array(classes)[np.arange(len(y)) ** 2 % len(classes)]
    others[: len(classes)] = classes
    ref, comp = (
        outcome(lambda e=e: e.fit(X, y).fit(X, others))
        for e in pair("MLPClassifier", solver="lbfgs", max_iter=2, warm_start=True)
    )
    assert comp == ref
    assert (ref[1] is None) == same


@pytest.mark.parametrize("name", NAMES)
def test_partial_fit_prints_as_scikit_learn(name, iris, capsys):
    printed = []
    for estimator in pair(name, verbose=True, max_iter=2, solver="sgd"):
        estimator.fit(*iris).partial_fit(*iris).partial_fit(*iris)
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert printed[1].count("Iteration") == 4


# Data.


@pytest.mark.parametrize("name", NAMES)
def test_float32_gives_nearly_the_same(name, iris, backend):
    X, y = iris[0].astype("float32"), iris[1]
    ref, comp = (
        pair(name, backend, max_iter=20)[1].fit(X.astype(dtype), y) for dtype in (float, "float32")
    )
    method = "predict" if name == "MLPRegressor" else "predict_proba"
    assert 0 < error(getattr(comp, method)(X), getattr(ref, method)(X)) < 1e-5


@pytest.mark.parametrize("scoring", [None, "neg_mean_squared_error"])
@pytest.mark.parametrize("name", NAMES)
def test_early_stopping_scores_named_columns_without_a_warning(name, scoring, iris):
    frame = pandas.DataFrame(iris[0], columns=list("abcd"))
    comp = pair(name, early_stopping=True, max_iter=2)[1].set_params(scoring=scoring)
    said, failure = outcome(lambda: comp.fit(frame, iris[1]))
    assert ({category for category, _ in said}, failure) == ({ConvergenceWarning}, None)
    assert list(comp.feature_names_in_) == list("abcd")


@pytest.mark.parametrize("alpha", [0, 5])
def test_poisson_without_hidden_layers_is_a_generalized_linear_model(alpha, iris, backend):
    X, y = iris
    counts = np.random.default_rng(0).poisson(np.exp(1 + X[:, 0] / 2))
    ref = PoissonRegressor(alpha=alpha / len(X), solver="newton-cholesky").fit(X, counts)
    how = dict(loss="poisson", hidden_layer_sizes=(), alpha=alpha, solver="lbfgs", tol=1e-10)
    comp = pair("MLPRegressor", backend, **how)[1].fit(X, counts)
    assert error(comp.predict(X), ref.predict(X)) < 1e-4
    assert error(comp.coefs_[0][:, 0], ref.coef_) < 1e-3

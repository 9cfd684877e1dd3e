"""What the estimators do beside the numbers: attributes, warnings, errors, kinds of input."""

import contextlib
import inspect
import io
import pickle
import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from helpers import SECONDS, error
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fastbp
from fastbp.estimators import samples as samples_

ESTIMATORS = ["MLPClassifier", "MLPRegressor"]
unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
pytestmark = unconverged


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def pair(name, **parameters):
    """scikit-learn's estimator and ours."""
    ours = {key: parameters.pop(key) for key in ("backend", "threads") if key in parameters}
    parameters = {"hidden_layer_sizes": (7, 5), "max_iter": 5, "random_state": 0, **parameters}
    return (
        getattr(sklearn.neural_network, name)(**parameters),
        getattr(fastbp, name)(**parameters, **ours),
    )


def coefficients(estimator):
    return np.concatenate([np.ravel(a) for a in [*estimator.coefs_, *estimator.intercepts_]])


def heard(call):
    """What a call prints, the warnings it gives, and the error it raises."""
    printed, failure = io.StringIO(), None
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(printed):
        warnings.simplefilter("always")
        try:
            call()
        except Exception as raised:
            failure = (type(raised), str(raised))
    return printed.getvalue(), [(w.category, str(w.message)) for w in caught], failure


# The interface.


@pytest.mark.parametrize("name", ESTIMATORS)
def test_signature_begins_as_that_of_scikit_learn(name):
    ref = inspect.signature(getattr(sklearn.neural_network, name)).parameters
    comp = inspect.signature(getattr(fastbp, name)).parameters
    assert list(comp)[: len(ref)] == list(ref)
    for key, parameter in ref.items():
        assert comp[key].default == parameter.default
        assert comp[key].kind == parameter.kind
    for key in list(comp)[len(ref) :]:
        assert comp[key].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("options", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_attributes_are_those_of_scikit_learn(name, options, iris):
    ref, comp = (estimator.fit(*iris) for estimator in pair(name, **options))

    def public(estimator):
        return {key for key in vars(estimator) if key.endswith("_") and key[0] != "_"}

    assert public(comp) == public(ref)
    for key in public(ref):
        assert isinstance(getattr(ref, key), type(getattr(comp, key))), key


@pytest.mark.parametrize("name", ESTIMATORS)
def test_constraints_are_those_of_scikit_learn(name):
    ref = getattr(sklearn.neural_network, name)._parameter_constraints
    comp = getattr(fastbp, name)._parameter_constraints
    assert set(comp) == set(inspect.signature(getattr(fastbp, name)).parameters)
    for key, allowed in ref.items():
        wider = key in ("activation", "loss")
        for one, other in zip(comp[key], allowed, strict=not wider):
            if wider:
                assert one.options > other.options, key
            else:
                found = getattr(one, "options", str(one))
                assert found == getattr(other, "options", str(other)), key


@pytest.mark.parametrize(
    "bad", [{"backend": "cuda"}, {"threads": 0}, {"dtype": "float16"}, {"alpha": -1}]
)
def test_bad_parameters(bad, iris):
    (key,) = bad
    with pytest.raises(ValueError, match=f"The '{key}' parameter of MLPClassifier must be"):
        fastbp.MLPClassifier(**bad).fit(*iris)


def test_import_is_lazy():
    code = (
        "import sys, fastbp\n"
        "assert 'MLPClassifier' in dir(fastbp) and 'sklearn' not in sys.modules\n"
        "fastbp.MLPClassifier\n"
        "assert 'sklearn' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=SECONDS)
    with pytest.raises(AttributeError, match="has no attribute 'MLPClassifer'"):
        fastbp.MLPClassifer  # noqa: B018


# What is said.

LOUD = [
    {"solver": "adam"},
    {"solver": "sgd", "early_stopping": True, "tol": 0.5, "max_iter": 40},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "max_iter": 100},
    {"solver": "adam", "tol": 10.0, "max_iter": 40, "n_iter_no_change": 2},
    {"solver": "adam", "batch_size": 1000},
    {"solver": "lbfgs", "max_iter": 3},
]


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("options", LOUD)
def test_prints_and_warns_as_scikit_learn(name, options, iris):
    ref, comp = (heard(lambda e=e: e.fit(*iris)) for e in pair(name, verbose=True, **options))
    assert comp == ref
    assert ref[0] or ref[1]


BAD_CALLS = {
    "not fitted": lambda e, X, y: e.predict(X),
    "features": lambda e, X, y: e.fit(X, y).predict(X[:, :2]),
    "NaN": lambda e, X, y: e.fit(X, y).predict(X * np.nan),
    "1-D": lambda e, X, y: e.fit(X[0], y),
    "lengths": lambda e, X, y: e.fit(X, y[:-1]),
    "weights' length": lambda e, X, y: e.fit(X, y, sample_weight=np.ones(3)),
    "weights of zero": lambda e, X, y: e.fit(X, y, sample_weight=np.zeros(len(X))),
    "hidden layer of none": lambda e, X, y: e.set_params(hidden_layer_sizes=(3, 0)).fit(X, y),
    "validation": lambda e, X, y: e.set_params(early_stopping=True).fit(X[:3], y[:3]),
    "early partial_fit": lambda e, X, y: e.set_params(early_stopping=True).partial_fit(X, y),
    "partial_fit after early stopping": lambda e, X, y: (
        e.set_params(early_stopping=True).fit(X, y).partial_fit(X, y)
    ),
    "features of partial_fit": lambda e, X, y: e.fit(X, y).partial_fit(X[:, :2], y),
    "parameter": lambda e, X, y: e.set_params(momentum=2).fit(X, y),
}
BAD_CALLS_OF_CLASSIFIERS = {
    "no classes": lambda e, X, y: e.partial_fit(X, y),
    "unseen class": lambda e, X, y: e.partial_fit(X, y, classes=[0, 1]),
    "other classes": lambda e, X, y: e.fit(X, y).partial_fit(X, y, classes=[0, 1]),
    "warm start": lambda e, X, y: e.set_params(warm_start=True).fit(X, y).fit(X[:99], y[:99]),
    "solver": lambda e, X, y: e.set_params(solver="lbfgs").partial_fit(X, y, classes=[0, 1, 2]),
    "real numbers": lambda e, X, y: e.fit(X, y + 0.5),
    "rare class": lambda e, X, y: e.set_params(early_stopping=True).fit(X, np.arange(len(X)) == 0),
}


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS)
def test_errors_are_those_of_scikit_learn(name, call, iris):
    ref, comp = (heard(lambda e=e: call(e, *iris)) for e in pair(name))
    assert comp == ref
    assert ref[2] is not None


@pytest.mark.parametrize("call", BAD_CALLS_OF_CLASSIFIERS.values(), ids=BAD_CALLS_OF_CLASSIFIERS)
def test_errors_of_classifiers_are_those_of_scikit_learn(call, iris):
    ref, comp = (heard(lambda e=e: call(e, *iris)) for e in pair("MLPClassifier"))
    assert comp == ref
    assert ref[2] is not None


def test_interrupted(iris, backend, monkeypatch):
    """Ctrl-C ends the training with a warning, and leaves a network to use."""
    run, epochs = samples_.EstimatorRows.run, []

    def interrupted(self, training, n_epochs, history, rates):
        if len(epochs) == 3:
            raise KeyboardInterrupt
        run(self, training, n_epochs, history, rates)
        epochs.append(history.loss[-1])

    monkeypatch.setattr(samples_.EstimatorRows, "run", interrupted)
    classifier = fastbp.MLPClassifier(random_state=0, backend=backend)
    with pytest.warns(UserWarning, match="^Training interrupted by user.$"):
        classifier.fit(*iris)
    assert classifier.n_iter_ == 3
    assert classifier.loss_curve_ == epochs
    assert classifier.predict(iris[0]).shape == iris[1].shape


# Training that diverges.

NOT_FINITE = "Solver produced non-finite parameter weights"


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_diverging(backend, solver):
    X = np.finfo(float).max * np.random.default_rng(0).uniform(size=(10, 2))
    regressor = fastbp.MLPRegressor(solver=solver, backend=backend)
    with warnings.catch_warnings(), pytest.raises(ValueError, match=NOT_FINITE):
        warnings.simplefilter("ignore", RuntimeWarning)
        regressor.fit(X, X[:, 0] / 1e300)


def test_diverging_with_early_stopping(iris, backend):
    """The best coefficients are kept, and the warning says when it happened."""
    options = dict(activation="identity", solver="sgd", learning_rate_init=1, early_stopping=True)
    regressor = fastbp.MLPRegressor(random_state=0, max_iter=50, backend=backend, **options)
    with pytest.warns(ConvergenceWarning, match=r"diverged in iteration (\d+); the coef") as record:
        regressor.fit(*iris)
    assert f"iteration {regressor.n_iter_};" in str(record[0].message)
    assert isinstance(regressor.validation_scores_[-1], float)
    assert np.isnan(regressor.validation_scores_[-1])
    assert np.isfinite(coefficients(regressor)).all()
    assert len(regressor.loss_curve_) == regressor.n_iter_ < 50


# The coefficients.


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("how", ["assigned", "one assigned", "in place", "swapped"])
@pytest.mark.parametrize("then", ["predict", "partial_fit", "warm start"])
def test_coefficients_set_by_hand(name, how, then, iris, backend):
    X, y = iris
    both = pair(name, solver="sgd", hidden_layer_sizes=(5, 5, 5), backend=backend)
    for estimator in both:
        estimator.fit(X, y)
        rng = np.random.default_rng(1)
        if how == "assigned":
            estimator.coefs_ = [rng.standard_normal(W.shape) for W in estimator.coefs_]
            estimator.intercepts_ = [rng.standard_normal(b.shape) for b in estimator.intercepts_]
        elif how == "one assigned":
            estimator.coefs_[1] = rng.standard_normal((5, 5))
        elif how == "in place":
            estimator.coefs_[1][2] *= -3
            estimator.intercepts_[0][...] += 1
        else:
            estimator.coefs_[1], estimator.coefs_[2] = estimator.coefs_[2], estimator.coefs_[1]
        if then == "partial_fit":
            estimator.partial_fit(X, y)
        elif then == "warm start":
            estimator.set_params(warm_start=True).fit(X, y)
    ref, comp = both
    assert error(coefficients(comp), coefficients(ref)) < 1e-12
    assert error(comp.predict(X), ref.predict(X)) < 1e-12
    assert np.isclose(comp.score(X, y), ref.score(X, y))


def test_array_that_was_assigned_may_change_later(iris, backend):
    X, y = iris
    regressor = fastbp.MLPRegressor(hidden_layer_sizes=4, max_iter=2, backend=backend).fit(X, y)
    mine = np.array(regressor.coefs_[1])
    regressor.coefs_[1] = mine
    regressor.predict(X)
    mine[...] = 0
    assert np.array_equal(regressor.predict(X), np.repeat(regressor.intercepts_[1], len(X)))


def test_coefficients_of_an_earlier_fit_stay(iris):
    X, y = iris
    for options in ({}, {"solver": "lbfgs", "warm_start": True}):
        classifier = fastbp.MLPClassifier(max_iter=2, **options).fit(X, y)
        before, copies = list(classifier.coefs_), [W.copy() for W in classifier.coefs_]
        classifier.fit(X, y)
        assert all(map(np.array_equal, before, copies))
        assert not np.array_equal(classifier.coefs_[0], before[0])


@pytest.mark.parametrize(
    "index, shape, message",
    [
        (0, (3, 7), "X has 4 features, but coefs_ are for 3"),
        (1, (6, 5), "do not follow on each other"),
        (0, (4,), "must be matrices"),
    ],
)
def test_coefficients_that_do_not_fit(index, shape, message, iris):
    classifier = pair("MLPClassifier")[1].fit(*iris)
    classifier.coefs_[index] = np.zeros(shape)
    with pytest.raises(ValueError, match=message):
        classifier.predict(iris[0])


@pytest.mark.parametrize("change", [lambda W: W.astype(np.float32), lambda W: W[:2, :2]])
def test_coefficients_that_the_optimizer_does_not_fit(change, iris):
    X, y = iris
    regressor = fastbp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=2).fit(X[:, :2], y)
    regressor.partial_fit(X[:, :2], y)
    regressor.coefs_ = [change(np.tile(W, (1, 3 - W.shape[1]))) for W in regressor.coefs_]
    regressor.intercepts_ = [change(np.zeros((1, 2)))[0] for _ in regressor.coefs_]
    with pytest.raises(ValueError, match="coefs_ have changed in shape or dtype"):
        regressor.partial_fit(X[:, :2], X[:, :2])


def test_outputs_of_warm_starts_must_stay(iris):
    X, _ = iris
    regressor = fastbp.MLPRegressor(max_iter=2, warm_start=True).fit(X, X[:, :2])
    with pytest.raises(ValueError, match="y has 3 outputs, but the existing coefficients have 2"):
        regressor.fit(X, X[:, :3])


def test_parameters_changed_after_fit_count(iris, backend):
    X, y = iris
    both = pair("MLPClassifier", backend=backend)
    for estimator in both:
        estimator.fit(X, y).set_params(activation="tanh")
    ref, comp = (estimator.predict_proba(X) for estimator in both)
    assert error(comp, ref) < 1e-12
    other = both[1].set_params(backend="numpy").predict_proba(X)
    assert error(other, ref) < 1e-12


def test_warm_start_with_another_solver(iris):
    """Which leaves scikit-learn without a loss curve to add to."""
    X, y = iris
    classifier = fastbp.MLPClassifier(solver="lbfgs", max_iter=3, warm_start=True).fit(X, y)
    classifier.set_params(solver="adam").fit(X, y)
    assert len(classifier.loss_curve_) == 3
    classifier.set_params(early_stopping=True).fit(X, y)
    assert len(classifier.validation_scores_) == 3


# Kinds of input.


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("given", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["auto", "float32", "float64"])
def test_dtype(name, given, dtype, iris, backend):
    X, y = iris[0].astype(given), iris[1]
    estimator = getattr(fastbp, name)(max_iter=2, dtype=dtype, backend=backend).fit(X, y)
    expected = given if dtype == "auto" else dtype
    assert all(a.dtype == expected for a in [*estimator.coefs_, *estimator.intercepts_])
    output = estimator.predict(X) if name == "MLPRegressor" else estimator.predict_proba(X)
    assert output.dtype == expected


def test_float32_learns_as_well(backend):
    X, y = load_digits(return_X_y=True)
    X = X / 16
    for dtype in ("float32", "float64"):
        classifier = fastbp.MLPClassifier((32,), max_iter=12, dtype=dtype, backend=backend)
        classifier.set_params(random_state=0, learning_rate_init=0.005)
        assert classifier.fit(X[:1200], y[:1200]).score(X, y) > 0.92


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_sparse_samples(solver, early_stopping, backend, rng, monkeypatch):
    """As dense ones, which they are never made."""
    if solver == "lbfgs" and early_stopping:
        pytest.skip("early stopping is for epochs")
    X = rng.standard_normal((157, 30)) * (rng.random((157, 30)) < 0.3)
    y = rng.integers(0, 3, 157)
    weight = rng.uniform(0.5, 2, len(X))
    options = dict(solver=solver, max_iter=6, batch_size=8, random_state=0, backend=backend)
    options |= {"early_stopping": early_stopping, "class_weight": "balanced"}
    dense = fastbp.MLPClassifier((6,), **options).fit(X, y, weight)
    given, more = scipy.sparse.csr_array(X), scipy.sparse.csc_array(X)
    sparse = fastbp.MLPClassifier((6,), **options)
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_array):
        monkeypatch.setattr(kind, "toarray", None)
    sparse.fit(given, y, weight)
    assert error(coefficients(sparse), coefficients(dense)) < 1e-11
    assert error(sparse.predict_proba(more), dense.predict_proba(X)) < 1e-11
    assert sparse.score(more, y) == dense.score(X, y)
    if solver != "lbfgs":
        assert error(sparse.loss_curve_, dense.loss_curve_) < 1e-12
        exact = np.array_equal if backend != "numpy" else lambda a, b: error(a, b) < 1e-11
        assert exact(coefficients(sparse), coefficients(dense))
        for estimator, samples in ((sparse, more), (dense, X)):
            estimator.set_params(class_weight=None, early_stopping=False).partial_fit(samples, y)
        assert exact(coefficients(sparse), coefficients(dense))


def test_sparse_samples_of_ensembles(rng, monkeypatch):
    X = rng.standard_normal((80, 30)) * (rng.random((80, 30)) < 0.3)
    y = X @ rng.standard_normal(30)
    member = fastbp.MLPRegressor(hidden_layer_sizes=(5,), max_iter=4)
    ensembles = [fastbp.MLPEnsembleRegressor(member, 2, random_state=0) for _ in range(2)]
    dense = ensembles[0].fit(X, y).predict(X)
    given = scipy.sparse.csr_array(X)
    monkeypatch.setattr(scipy.sparse.csr_array, "toarray", None)
    assert np.array_equal(ensembles[1].fit(given, y).predict(given), dense)


def test_damaged_sparse_samples():
    X = scipy.sparse.csr_array(np.eye(4))
    X.indices[2] = 9
    with pytest.raises(ValueError, match="X is a damaged sparse matrix: indices must be < 4"):
        fastbp.MLPRegressor().fit(X, np.ones(4))


def test_sparse_labels(rng):
    X = rng.standard_normal((40, 3))
    Y = (rng.random((40, 4)) < 0.5).astype(int)
    ref, comp = pair("MLPClassifier")
    for estimator in (ref, comp):
        estimator.fit(X, scipy.sparse.csr_array(Y))
    assert error(coefficients(comp), coefficients(ref)) < 1e-12
    assert (comp.predict(X) != ref.predict(X)).nnz == 0


@pytest.mark.parametrize(
    "y",
    [
        np.full(30, "only"),
        np.arange(30) % 2 == 0,
        np.array(["b", "a", "c"], dtype=object)[np.arange(30) % 3],
        (np.arange(30) % 4).astype(float) - 2,
        (np.arange(30) % 3).reshape(-1, 1),
    ],
    ids=["one class", "bool", "objects", "floats", "column"],
)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_kinds_of_labels(y, backend, rng):
    X = rng.standard_normal((30, 3))
    ref, comp = pair("MLPClassifier", early_stopping=True, validation_fraction=0.3, backend=backend)
    for estimator in (ref, comp):
        estimator.fit(X, y)
    assert comp.validation_scores_ == ref.validation_scores_
    predicted, expected = comp.predict(X), ref.predict(X)
    assert predicted.dtype == expected.dtype
    assert np.array_equal(predicted, expected)
    assert error(comp.predict_proba(X), ref.predict_proba(X)) < 1e-12


def test_partial_fit_of_some_classes(iris, backend):
    X, y = iris
    ref, comp = pair("MLPClassifier", backend=backend)
    for estimator in (ref, comp):
        for rows in (slice(0, 40), slice(60, 90), slice(100, 150)):
            estimator.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
    assert error(coefficients(comp), coefficients(ref)) < 1e-12


def test_poisson_takes_no_negative_targets(iris):
    X, _ = iris
    with pytest.raises(ValueError, match="y must be at least 0 for loss='poisson'"):
        fastbp.MLPRegressor("poisson").fit(X, X[:, 0])


def test_partial_fit_of_a_regressor_is_stochastic():
    assert not hasattr(fastbp.MLPRegressor(solver="lbfgs"), "partial_fit")
    message = "partial_fit is only available for stochastic optimizers. lbfgs is not stochastic."
    with pytest.raises(AttributeError) as caught:
        fastbp.MLPRegressor(solver="lbfgs").partial_fit  # noqa: B018
    assert message in (str(caught.value), str(caught.value.__cause__))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_make_no_difference(threads, compiled):
    X, y = load_digits(return_X_y=True)
    options = dict(hidden_layer_sizes=(200,), max_iter=2, random_state=0, backend=compiled)
    ref = fastbp.MLPClassifier(threads=1, **options).fit(X, y)
    comp = fastbp.MLPClassifier(threads=threads, **options).fit(X, y)
    assert np.array_equal(coefficients(comp), coefficients(ref))


def test_twins_report_the_same_losses(twins, iris):
    """To the last bit, saturated or not, of one output and of several."""
    X, y = iris
    for scale in (1, 300):
        for targets, name in ((y, "MLPClassifier"), (y > 0, "MLPClassifier"), (X, "MLPRegressor")):
            curves = [
                getattr(fastbp, name)(random_state=0, max_iter=9, backend=backend)
                .fit(X * scale, targets)
                .loss_curve_
                for backend in twins
            ]
            assert curves[0] == curves[1]


def test_adam_of_a_worked_example(backend):
    """One step from w = 0, b = 0 on x = 2, y = 3: g = -6 and -3, so a step of η each."""
    regressor = fastbp.MLPRegressor(hidden_layer_sizes=(), alpha=0, backend=backend)
    regressor.set_params(learning_rate_init=0.1, max_iter=1, warm_start=True).fit([[2.0]], [3.0])
    regressor.coefs_[0][...] = regressor.intercepts_[0][...] = 0
    regressor.fit([[2.0]], [3.0])
    assert regressor.loss_ == pytest.approx(4.5)
    assert regressor.coefs_[0] == pytest.approx(0.1, rel=1e-6)
    assert regressor.intercepts_[0] == pytest.approx(0.1, rel=1e-6)


def test_a_pickle_does_without_the_backend(iris, monkeypatch):
    """It is loaded where the backend is missing, and says so once something is to be computed."""
    saved = pickle.dumps(fastbp.MLPClassifier(max_iter=2, backend="numba").fit(*iris))

    def missing(name):
        raise fastbp.BackendUnavailable(f"{name} is not here")

    monkeypatch.setattr("fastbp.backends.get", missing)
    classifier = pickle.loads(saved)
    assert classifier.coefs_[0].shape == (4, 100)
    with pytest.raises(fastbp.BackendUnavailable, match="numba is not here"):
        classifier.predict(iris[0])
    monkeypatch.undo()
    expected = pickle.loads(saved).predict(iris[0])
    assert np.array_equal(classifier.set_params(backend="numpy").predict(iris[0]), expected)


def test_not_fitted():
    with pytest.raises(NotFittedError, match=re.escape("This MLPClassifier instance is not fit")):
        fastbp.MLPClassifier().predict_proba([[1.0]])


def test_batch_of_zero_weights(iris, backend):
    """Where scikit-learn divides by zero."""
    X, y = iris
    weight = np.r_[np.zeros(50), np.ones(100)]
    options = dict(max_iter=1, solver="sgd", momentum=0, shuffle=False, random_state=0, alpha=0)
    comp = fastbp.MLPRegressor(batch_size=50, backend=backend, **options).fit(X, y, weight)
    ref = fastbp.MLPRegressor(batch_size=50, backend=backend, **options).fit(X[50:], y[50:])
    assert error(coefficients(comp), coefficients(ref)) < 1e-14
    assert comp.loss_ == pytest.approx(ref.loss_ * 100 / 150)


@pytest.mark.parametrize("form", ["coo", "csr", "csc", "bsr"])
def test_damaged_sparse_samples_are_refused(form):
    """Their conversion would write outside of arrays."""
    X = scipy.sparse.random(20, 6, 0.5, random_state=0, format=form)
    y = np.arange(20) % 2
    estimator = fastbp.MLPClassifier((3,), max_iter=2).fit(X, y)
    ensemble = fastbp.MLPEnsembleClassifier(estimator, 2).fit(X, y)
    if form == "coo":
        X.row[0] = 10**6
    else:
        X.indices[0] = 10**6
    for call in (estimator.predict, ensemble.predict):
        with pytest.raises(ValueError, match="X is a damaged sparse matrix"):
            call(X)
    for model in (estimator, ensemble):
        with pytest.raises(ValueError, match="X is a damaged sparse matrix"):
            model.fit(X, y)

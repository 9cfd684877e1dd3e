"""The estimators' parameters beyond scikit-learn's, against Network.fit and scikit-learn."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp import MLPClassifier, MLPRegressor
from fastbp.basis import initial

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N, BATCH, EPOCHS, RATE = 120, 20, 4, 0.02
HOW = {
    "hidden_layer_sizes": (7, 5),
    "batch_size": BATCH,
    "max_iter": EPOCHS,
    "learning_rate_init": RATE,
    "alpha": 0.0,
    "shuffle": False,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X[:N, :20] / 16, np.minimum(y[:N], 4)


@pytest.fixture(scope="module")
def values(digits):
    X, y = digits
    return X, np.sin(3 * X[:, 3]) + y - 2.0


class Seeded:
    """Stands for a network's generator: gives the estimator's seed of dropout."""

    def integers(self, limit):
        return np.random.RandomState(0).randint(limit, dtype=np.int64)


def twins(estimator, X, y, **options):
    """Fit the estimator, and a Network from the same start; returns the Network."""
    start = clone(estimator).initialize(X, y)
    activation = estimator.activation
    network = fastbp.Network(
        [X.shape[1], 7, 5, start.n_outputs_],
        activation=activation if isinstance(activation, str) else list(activation),
        loss=options.pop("loss", "cross_entropy"),
        loss_parameter=options.pop("loss_parameter", None),
        dtype="float64",
        backend=estimator.backend,
    )
    for i in range(3):
        network.weights[i], network.biases[i] = start.coefs_[i], start.intercepts_[i]
    network._engine.random = Seeded()
    adam = fastbp.Adam(RATE, epsilon_hat=True)
    history = network.fit(
        X, y, optimizer=adam, epochs=EPOCHS, batch_size=BATCH, shuffle=False, **options
    )
    estimator.set_params(warm_start=True).initialize(X, y).fit(X, y)
    return network, history


def assert_same(estimator, network):
    pairs = zip(
        [*estimator.coefs_, *estimator.intercepts_],
        [*network.weights, *network.biases],
        strict=True,
    )
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-11)


# What the estimator takes -> what Network.fit takes; penalties are divided by the batch.
OPTIONS = {
    "plain": ({}, {}),
    "l1": ({"l1": 0.4}, {"l1": 0.4 / BATCH}),
    "l1 by layer": ({"l1": [0, 0.4, 0.1]}, {"l1": [0, 0.4 / BATCH, 0.1 / BATCH]}),
    "dropout": ({"dropout": 0.3}, {"dropout": 0.3}),
    "dropout by layer": ({"dropout": [0.1, 0.0, 0.4]}, {"dropout": [0.1, 0.0, 0.4]}),
    "clipping": ({"clip_norm": 0.1}, {"clip_norm": 0.1}),
    "EMA": ({"average": fastbp.EMA(0.9)}, {"average": fastbp.EMA(0.9)}),
    "SWA": ({"average": fastbp.SWA(2)}, {"average": fastbp.SWA(2)}),
    "frozen": ({"frozen": [0, -1]}, {"frozen": [0, -1]}),
    "smoothing": ({"label_smoothing": 0.2}, {"label_smoothing": 0.2}),
    "steps": ({"schedule": fastbp.StepDecay(2)}, {"schedule": fastbp.StepDecay(2)}),
    "cosine": (
        {"schedule": fastbp.CosineDecay(warmup=0.2)},
        {"schedule": fastbp.CosineDecay(warmup=0.2)},
    ),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_as_network_fit(backend, digits, case):
    of_estimator, of_fit = OPTIONS[case]
    estimator = MLPClassifier(**HOW, **of_estimator, backend=backend)
    network, history = twins(estimator, *digits, **of_fit)
    assert_same(estimator, network)
    np.testing.assert_allclose(estimator.loss_curve_, history.loss, rtol=1e-9)
    if case != "plain":  # the option did something
        plain = MLPClassifier(**HOW, backend=backend).fit(*digits)
        assert not np.allclose(plain.coefs_[1], estimator.coefs_[1], rtol=1e-4)


def cubic(h, y):
    d = h - y
    return (np.abs(d) ** 3).sum(axis=1), 3 * d * np.abs(d)


LOSSES = {
    "absolute_error": {},
    "huber": {"loss_parameter": 0.3},
    "quantile": {"loss_parameter": 0.9},
    cubic: {},
}


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: getattr(loss, "__name__", loss))
def test_losses_are_those_of_network(backend, values, loss):
    estimator = MLPRegressor(loss=loss, **LOSSES[loss], **HOW, backend=backend)
    network, history = twins(estimator, *values, loss=loss, **LOSSES[loss])
    assert_same(estimator, network)
    np.testing.assert_allclose(estimator.loss_curve_, history.loss, rtol=1e-9)
    np.testing.assert_allclose(estimator.predict(values[0]), network.predict(values[0]).ravel())


def test_median_has_as_many_above_as_below(values):
    X, y = values
    estimator = MLPRegressor("quantile", (20,), loss_parameter=0.8, max_iter=300, random_state=0)
    below = np.mean(y < estimator.fit(X, y).predict(X))
    assert 0.7 < below < 0.9


@pytest.mark.parametrize("activation", ["gelu", ["silu", "logistic"], ("elu", "leaky_relu")])
def test_activations(backend, digits, activation):
    estimator = MLPClassifier(activation=activation, **HOW, backend=backend).fit(*digits)
    names = [activation] * 2 if isinstance(activation, str) else activation
    names = ["sigmoid" if name == "logistic" else name for name in names]
    network = fastbp.Network(
        [20, 7, 5, 5], activation=names, loss="cross_entropy", dtype="float64", backend=backend
    )
    for i in range(3):
        network.weights[i], network.biases[i] = estimator.coefs_[i], estimator.intercepts_[i]
    np.testing.assert_array_equal(estimator.predict_proba(digits[0]), network.predict(digits[0]))
    outputs = estimator.layer_outputs(digits[0])
    for ours, theirs in zip(outputs, network.layer_outputs(digits[0]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("activation", ["sin", "selu", ["selu", "sin"], ["sin", "relu"]])
def test_initial_weights_that_scikit_learn_has_no_rule_for(digits, activation):
    """Those of Network, and else scikit-learn's."""
    classifier = MLPClassifier((400, 300), activation, random_state=0).initialize(*digits)
    names = [activation] * 2 if isinstance(activation, str) else activation
    bounds = fastbp.Network([20, 400, 300, 5], activation=names, loss="cross_entropy")
    bounds = initial.bounds(bounds.layout)
    if names[1] == "relu":
        bounds[1] = (6 / 700) ** 0.5
    largest = [np.abs(coef).max() for coef in classifier.coefs_]
    np.testing.assert_allclose(largest, bounds, rtol=0.01)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 3, 2: 0.5, 3: 1, 4: 2}])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_class_weights_are_sample_weights(digits, class_weight, solver, rng):
    how = {**HOW, "solver": solver}
    weight = rng.random(N)
    estimator = MLPClassifier(**how, class_weight=class_weight).fit(*digits, weight)
    by_hand = weight * compute_sample_weight(class_weight, digits[1])
    expected = MLPClassifier(**how).fit(*digits, by_hand)
    np.testing.assert_array_equal(estimator.coefs_[0], expected.coefs_[0])


def test_users_own_validation_set(digits):
    X, y = digits
    how = {**HOW, "max_iter": 30, "n_iter_no_change": 5, "early_stopping": True}
    stopping = MLPClassifier(**how).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    scores = stopping.validation_scores_
    best = int(np.argmax(scores))
    plain = MLPClassifier(**{**HOW, "max_iter": best + 1}).fit(X[:80], y[:80])
    np.testing.assert_array_equal(stopping.coefs_[0], plain.coefs_[0])  # the best are restored
    assert plain.score(X[80:], y[80:]) == scores[best] == stopping.best_validation_score_


@pytest.mark.parametrize("scoring", ["neg_log_loss", get_scorer("f1_macro")])
def test_scorers(digits, scoring):
    X, y = digits
    how = {**HOW, "early_stopping": True, "scoring": scoring, "max_iter": 10}
    estimator = MLPClassifier(**how).fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    assert estimator.best_validation_score_ == pytest.approx(scorer(estimator, X[80:], y[80:]))


def test_scorers_of_another_kind_are_refused_before_the_training(capsys):
    X = np.random.default_rng(0).standard_normal((40, 2))
    regressor = fastbp.MLPRegressor(early_stopping=True, scoring="accuracy", verbose=True)
    with pytest.raises(ValueError, match="continuous") as caught:
        regressor.fit(X, X[:, 0])
    assert caught.value.__notes__ == ["scoring='accuracy' cannot score an MLPRegressor"]
    assert not hasattr(regressor, "coefs_") and capsys.readouterr().out == ""


class Notes(fastbp.Callback):
    def __init__(self, until):
        self.until, self.seen = until, []

    def begin(self, network, history):
        self.seen.append("begin")

    def epoch(self, network, history):
        self.seen.append(history.loss[-1])
        return len(history.loss) == self.until

    def end(self, network, history):
        self.seen.append("end")


def test_callbacks(digits):
    notes = Notes(3)
    estimator = MLPClassifier(**HOW, callbacks=[notes]).fit(*digits)
    assert notes.seen == ["begin", *estimator.loss_curve_, "end"]
    assert estimator.n_iter_ == 3


def test_early_stopping_callback_on_validation_score(digits):
    stop = fastbp.EarlyStopping(2, monitor="validation_score")
    how = {**HOW, "max_iter": 50, "early_stopping": True, "callbacks": [stop]}
    estimator = MLPClassifier(**how).fit(*digits)
    assert estimator.n_iter_ == int(np.argmax(estimator.validation_scores_)) + 3


class Hears:
    """A callback as scikit-learn 1.9 has them."""

    def __init__(self, until=None):
        self.until, self.heard, self.predictions = until, [], []

    def setup(self, estimator, context):
        self.heard.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.heard.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.heard.append(("end", context.task_name))
        self.predictions.append(fitted_estimator.predict_proba(X))
        return len(self.predictions) == self.until

    def teardown(self, estimator, context):
        self.heard.append("teardown")


def test_callbacks_of_scikit_learn(digits):
    pytest.importorskip("sklearn.callback")
    X, y = digits
    callback = Hears()
    MLPClassifier(**HOW).set_callbacks(callback).fit(X, y)
    epochs = [("begin", "epoch"), ("end", "epoch")] * EPOCHS
    assert callback.heard == ["setup", ("begin", "fit"), *epochs, ("end", "fit"), "teardown"]
    for i in range(EPOCHS):
        fitted = MLPClassifier(**{**HOW, "max_iter": i + 1}).fit(X, y)
        np.testing.assert_array_equal(callback.predictions[i], fitted.predict_proba(X))
    stopping = MLPClassifier(**HOW).set_callbacks(Hears(until=2)).fit(X, y)
    assert stopping.n_iter_ == 2
    whole = Hears()
    MLPClassifier(**{**HOW, "solver": "lbfgs"}).set_callbacks(whole).fit(X, y)
    assert whole.heard == ["setup", ("begin", "fit"), ("end", "fit"), "teardown"]


def test_callbacks_of_scikit_learn_in_a_search(digits):
    pytest.importorskip("sklearn.callback")
    callback = Hears()
    estimator = MLPClassifier(**HOW).set_callbacks(callback)
    GridSearchCV(estimator, {"alpha": [0.0, 1.0]}, cv=2, refit=False).fit(*digits)
    assert callback.heard.count(("end", "epoch")) == 4 * EPOCHS


def test_reduce_on_plateau(digits):
    """A plateau from the beginning on: the rate falls, and less is learnt."""
    schedule = fastbp.ReduceOnPlateau(0.1, patience=1, min_delta=1e3)
    slow = MLPClassifier(**HOW, schedule=schedule).fit(*digits)
    assert slow.loss_ > MLPClassifier(**HOW).fit(*digits).loss_


def test_a_planned_end_is_no_failure_to_converge(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(**HOW, schedule=fastbp.OneCycle()).fit(*digits)
    with pytest.warns(ConvergenceWarning):
        MLPClassifier(**HOW, schedule=fastbp.StepDecay(2)).fit(*digits)


def test_progress(digits, capfd):
    MLPClassifier(**HOW, progress=True).fit(*digits)
    assert f"{EPOCHS}/{EPOCHS}" in capfd.readouterr().err


def test_initialize_and_go_on(digits):
    X, y = digits
    how = {**HOW, "max_iter": 1}
    estimator = MLPClassifier(**how).initialize(X, y)
    assert estimator.predict_proba(X).shape == (N, 5)
    start = [coef.copy() for coef in estimator.coefs_]
    estimator.partial_fit(X, y)
    fitted = MLPClassifier(**how).fit(X, y)
    np.testing.assert_array_equal(estimator.coefs_[0], fitted.coefs_[0])
    assert not np.array_equal(start[0], fitted.coefs_[0])


def test_streams(digits):
    """partial_fit over blocks, as on blocks cut by hand."""
    X, y = digits
    one, other = MLPClassifier(**HOW), MLPClassifier(**HOW)
    for _ in range(2):
        for block in fastbp.ArrayStream(X, y, rows=50, shuffle=False):
            one.partial_fit(*block, classes=range(5))
        for start in range(0, N, 50):
            rows = slice(start, start + 50)
            other.partial_fit(X[rows], y[rows], classes=range(5))
    np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])


EXTRAS = {
    "l1": 0.1,
    "dropout": 0.1,
    "clip_norm": 1.0,
    "average": fastbp.EMA(),
    "schedule": fastbp.StepDecay(2),
    "callbacks": [fastbp.Callback()],
    "progress": True,
}


@pytest.mark.parametrize("name", EXTRAS)
def test_not_for_lbfgs(values, name):
    with pytest.raises(ValueError, match=f"{name} is for the solvers 'sgd' and 'adam'"):
        MLPRegressor(solver="lbfgs", **{name: EXTRAS[name]}).fit(*values)


@pytest.mark.parametrize("name", ["average", "schedule", "callbacks", "progress"])
def test_not_for_partial_fit(values, name):
    with pytest.raises(ValueError, match=f"partial_fit does not support {name}="):
        MLPRegressor(**{name: EXTRAS[name]}).partial_fit(*values)


def test_a_schedule_needs_a_constant_rate(values):
    how = {"solver": "sgd", "learning_rate": "adaptive", "schedule": fastbp.StepDecay(2)}
    with pytest.raises(ValueError, match="learning_rate must be 'constant', but is 'adaptive'"):
        MLPRegressor(**how).fit(*values)


def test_an_average_that_would_never_begin_is_refused(values):
    regressor = MLPRegressor(average=fastbp.SWA(3), max_iter=2)
    with pytest.raises(ValueError, match=r"averages from epoch 3 on, but max_iter is 2"):
        regressor.fit(*values)
    regressor.set_params(max_iter=3).fit(*values)


BAD = {
    "l1": -1,
    "dropout": 1.0,
    "clip_norm": 0,
    "average": 0.9,
    "frozen": 1,
    "schedule": 0.9,
    "scoring": "best",
    "callbacks": 3,
    "progress": "yes",
    "activation": "softmax",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_bad_values_are_refused_as_scikit_learn_does(kind, digits, name):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {kind.__name__}"):
        kind(**{name: BAD[name]}).fit(*digits)


def test_frozen_with_lbfgs(values):
    estimator = MLPRegressor(**{**HOW, "solver": "lbfgs", "warm_start": True}, frozen=[0])
    estimator.initialize(*values)
    first, second = (coef.copy() for coef in estimator.coefs_[:2])
    estimator.fit(*values)
    np.testing.assert_array_equal(estimator.coefs_[0], first)
    assert not np.array_equal(estimator.coefs_[1], second)


def test_clone_pickle_and_search(digits):
    estimator = MLPClassifier(**HOW, dropout=[0.1, 0.2], frozen=[0], average=fastbp.EMA(0.9))
    copied = clone(estimator)
    assert copied.get_params()["dropout"] == [0.1, 0.2]
    fitted = pickle.loads(pickle.dumps(copied.fit(*digits)))
    np.testing.assert_array_equal(fitted.coefs_[0], estimator.fit(*digits).coefs_[0])
    search = GridSearchCV(estimator, {"dropout": [0.0, 0.5], "frozen": [(), (1,)]}, cv=2)
    assert len(search.fit(*digits).cv_results_["mean_test_score"]) == 4


# Dropout is left out: of samples that come twice it would draw twice, unlike of weights of 2. So
# are averages: with them there is no partial_fit.
@parametrize_with_checks(
    [
        MLPClassifier((20,), "gelu", clip_norm=50.0, l1=1e-4, label_smoothing=1e-3),
        MLPRegressor("huber", (20, 20), ["tanh", "relu"], loss_parameter=2.0, l1=[0, 1e-4, 0]),
    ]
)
def test_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        check(estimator)


def test_ctrl_c_before_the_end_of_the_first_epoch():
    """There is no loss yet, but a network to predict with."""

    class Impatient(fastbp.Callback):
        def begin(self, network, history):
            raise KeyboardInterrupt

    X = np.random.default_rng(0).normal(size=(20, 2))
    classifier = MLPClassifier((3,), callbacks=[Impatient()], backend="numpy")
    with pytest.warns(UserWarning, match="interrupted by user"):
        classifier.fit(X, X[:, 0] > 0)
    assert classifier.loss_curve_ == []
    assert classifier.predict(X).shape == (20,)


@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        ({"dropout": [0.1] * 5}, {}),
        ({"l1": [0.1] * 5}, {}),
        ({"frozen": [7]}, {}),
        ({"schedule": "cosin"}, {}),
        ({"callbacks": [3]}, {}),
        ({"solver": "lbfgs", "frozen": [0, 1, 2]}, {}),
        ({"early_stopping": True, "validation_fraction": 1e-3}, {}),
        ({"early_stopping": True}, {"X_val": np.zeros((5, 2)), "y_val": np.zeros(5)}),
        ({}, {"sample_weight": [1.0]}),
        ({}, {"sample_weight": [1e-309] * N}),
        ({}, {"y": ["text"] * N}),
    ],
)
def test_a_refused_fit_changes_nothing(digits, options, arguments, warm_start):
    X, y = digits
    net = MLPRegressor(**HOW).fit(X, y)
    before = dict(vars(net))
    coefs, predictions = [W.copy() for W in net.coefs_], net.predict(X)
    net.set_params(warm_start=warm_start, **options)
    with pytest.raises((ValueError, TypeError)):
        net.fit(**{"X": X, "y": y, **arguments})
    assert all(np.array_equal(a, b) for a, b in zip(net.coefs_, coefs, strict=True))
    net.set_params(**{name: before.get(name) for name in ["warm_start", *options]})
    assert vars(net).keys() == before.keys()
    assert all(vars(net)[name] is before[name] for name in before if name.endswith("_"))
    assert np.array_equal(net.predict(X), predictions)
    unfitted = MLPRegressor(**{**HOW, **options})
    with pytest.raises((ValueError, TypeError)):
        unfitted.fit(**{"X": X, "y": y, **arguments})
    assert not hasattr(unfitted, "coefs_")

"""Numbers of every kind are taken for what they are, or refused with a clear answer."""

import dataclasses
from collections import namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from helpers import make_data, make_network, parameters

import fastbp

X, y = make_data("log_loss", 20, 3, 1)

# Ways to write 0.125, exactly.
EIGHTHS = {
    "0-d array": np.array(0.125),
    "float16": np.float16(0.125),
    "float32": np.float32(0.125),
    "longdouble": np.longdouble(0.125),
    "Fraction": Fraction(1, 8),
    "Decimal": Decimal("0.125"),
}
# What is no real number; then the pattern of the message.
NO_NUMBERS = {
    "bool": (True, "must be a number, got bool: True"),
    "NumPy's bool": (np.True_, "must be a number, got bool: True"),
    "0-d bool": (np.array(False), "must be a number, got bool: False"),
    "str": ("0.125", "must be a number, got str: '0.125'"),
    "0-d str": (np.array("a"), "must be a number, got str: 'a'"),
    "complex": (0.125j, "must be a number, got complex"),
    "masked": (np.ma.masked, "must be a number, got MaskedConstant"),
    "set": ({0.125}, "must be a number, got set"),
    "dict": ({0: 0.125, 1: 0.25}, "must be a number, got dict"),
}
OF_FIT = ["l1", "l2", "dropout", "clip_norm", "label_smoothing", "min_delta"]
# Classes of settings, with the arguments that are numbers.
SETTINGS = {
    fastbp.SGD: ["learning_rate", "momentum"],
    fastbp.RMSprop: ["learning_rate", "decay", "epsilon"],
    fastbp.Adagrad: ["learning_rate", "epsilon"],
    fastbp.Adam: ["learning_rate", "beta_1", "beta_2", "epsilon"],
    fastbp.AdamW: ["learning_rate", "weight_decay"],
    fastbp.Rprop: ["learning_rate", "eta_minus", "smallest_step", "largest_step"],
    fastbp.EMA: ["decay"],
    fastbp.StepDecay: ["factor"],
    fastbp.ExponentialDecay: ["factor"],
    fastbp.CosineDecay: ["warmup", "final"],
    fastbp.OneCycle: ["peak", "initial", "final"],
    fastbp.ReduceOnPlateau: ["factor", "min_delta", "lowest"],
    fastbp.EarlyStopping: ["min_delta"],
}
FIELDS = [(kind, name) for kind, names in SETTINGS.items() for name in names]


def network(**options):
    return make_network([3, 4, 1], "log_loss", None, **options)


def fitted(net, **options):
    """Loss and weights after some epochs."""
    if "min_delta" in options:
        options |= {"patience": 1, "monitor": "loss"}
    history = net.fit(X, y, epochs=3, **options)
    return [*history.loss, *parameters(net)]


@pytest.mark.parametrize("kind", EIGHTHS)
@pytest.mark.parametrize("name", OF_FIT)
def test_numbers_of_fit(name, kind):
    assert fitted(network(), **{name: EIGHTHS[kind]}) == fitted(network(), **{name: 0.125})


@pytest.mark.parametrize("kind", NO_NUMBERS)
@pytest.mark.parametrize("name", OF_FIT)
def test_what_fit_takes_for_no_number(name, kind):
    value, message = NO_NUMBERS[kind]
    net = network()
    before = parameters(net)
    with pytest.raises(TypeError, match=f"{name} {message}"):
        fitted(net, **{name: value})
    assert np.array_equal(parameters(net), before)


def made(kind, name, value):
    return kind(**{"every": 2} if kind is fastbp.StepDecay else {}, **{name: value})


@pytest.mark.parametrize("kind, name", FIELDS)
def test_numbers_of_settings(kind, name):
    """They are kept as floats, with which all arithmetic is that of the kernels."""
    for value in EIGHTHS.values():
        kept = getattr(made(kind, name, value), name)
        assert type(kept) is float and kept == 0.125
    for value, message in NO_NUMBERS.values():
        with pytest.raises(TypeError, match=message):
            made(kind, name, value)
    with pytest.raises(ValueError, match=f"{name} must be in .*, got inf"):
        made(kind, name, 10**400)


def test_every_number_of_a_setting_is_tested():
    """A field whose default is a float is in the table; eta_plus is above 1."""
    for kind, names in SETTINGS.items():
        if dataclasses.is_dataclass(kind):
            floats = {f.name for f in dataclasses.fields(kind) if type(f.default) is float}
            inherited = {"beta_1", "beta_2", "epsilon"} if kind is fastbp.AdamW else set()
            assert floats - inherited - {"eta_plus"} <= {*names}


def test_a_scheduled_rate_in_extended_precision():
    """The kernels once read its 16 bytes as two numbers."""
    options = {"schedule": fastbp.ExponentialDecay(0.5)}
    comp = fitted(network(), optimizer=fastbp.SGD(np.longdouble(0.125)), **options)
    assert comp == fitted(network(), optimizer=fastbp.SGD(0.125), **options)


@pytest.mark.parametrize("value", [np.array(2), np.int8(2), np.uint64(2)])
def test_whole_numbers(value):
    ref, comp = network(), network()
    options = {name: 2 for name in ("epochs", "batch_size", "patience", "threads")}
    expected = ref.fit(X, y, monitor="loss", **options)
    assert comp.fit(X, y, monitor="loss", **dict.fromkeys(options, value)) == expected
    assert np.array_equal(parameters(comp), parameters(ref))
    assert made_with(value) == made_with(2)


def made_with(number):
    net = fastbp.Network([3, number, 1], loss="huber", seed=number)
    return parameters(net).tolist()


@pytest.mark.parametrize("value", [2.0, np.array(2.0), Fraction(2), np.array([2]), "2", True])
@pytest.mark.parametrize("name", ["epochs", "batch_size", "patience", "threads"])
def test_no_whole_numbers(name, value):
    options = {"monitor": "loss"} if name == "patience" else {}
    with pytest.raises(TypeError, match=f"{name} must be a whole number"):
        network().fit(X, y, **{name: value}, **options)


def test_scalars_of_other_libraries():
    """Anything of shape () that has `item`, as tensors do."""
    tensor = namedtuple("tensor", "shape item")((), lambda: 0.125)
    assert fastbp.SGD(tensor).learning_rate == 0.125
    assert fitted(network(), l2=tensor) == fitted(network(), l2=0.125)


CALLS = {
    "fit": lambda: network().fit(X, y, threads=5000),
    "fit_batches": lambda: network().fit_batches([(X, y)], threads=5000),
    "fit_many": lambda: fastbp.fit_many([network()], X, y, threads=5000),
    "estimators": lambda: fastbp.MLPClassifier(threads=5000).fit(X, y.ravel()),
    "ensembles": lambda: fastbp.MLPEnsembleClassifier(
        fastbp.MLPClassifier(threads=5000), n_estimators=2
    ).fit(X, y.ravel()),
}


@pytest.mark.parametrize("call", CALLS)
def test_more_threads_than_any_machine_has(call):
    with pytest.raises(ValueError, match=r"threads.*(at most|in the range \[1,) 1024"):
        CALLS[call]()


class Says(fastbp.Callback):
    def __init__(self, answer):
        self.answer = answer

    def epoch(self, network, history):
        return self.answer


def callback_calls(answer):
    """How many epochs there are with a callback that says this."""
    model = fastbp.MLPClassifier((3,), max_iter=3, callbacks=[Says(answer)])
    yield lambda: len(network().fit(X, y, epochs=3, callbacks=[Says(answer)]).loss)
    yield lambda: len(network().fit_batches([(X, y)], epochs=3, callbacks=[Says(answer)]).loss)
    yield lambda: model.fit(X, y.ravel()).n_iter_


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize(
    "answer, epochs",
    [(None, 3), (False, 3), (np.False_, 3), (True, 1), (np.True_, 1), (np.array(True), 1)],
)
def test_answers_of_callbacks(answer, epochs):
    for call in callback_calls(answer):
        assert call() == epochs


@pytest.mark.parametrize("answer", ["no", "", float("nan"), 0, 1, [], np.array([True, False])])
def test_what_is_no_answer_of_a_callback(answer):
    for call in callback_calls(answer):
        with pytest.raises(
            TypeError, match=r"Says.epoch must return True .* False or None .*, got"
        ):
            call()


@pytest.mark.parametrize("score", ["0.5", None, True, np.array([0.5]), np.ones(2), 0.5j])
def test_what_is_no_score(score):
    def scorer(estimator, X, y):
        return score

    with pytest.raises(TypeError, match="the score 'scorer' must be a number, got"):
        network().fit(X, y, epochs=2, validation_data=(X, y), scoring=scorer)
    model = fastbp.MLPClassifier((3,), early_stopping=True, scoring=scorer)
    with pytest.raises(TypeError, match="must be a number, got"):
        model.fit(X, y.ravel())


def test_a_score_that_is_undefined():
    """NaN is noted and is no improvement."""
    scores = iter([0.5, float("nan"), float("nan"), float("nan")])

    def scorer(estimator, X, y):
        return next(scores)

    history = network().fit(
        X, y, validation_data=(X, y), scoring=scorer, patience=2, monitor="scorer"
    )
    assert history.best_epoch == 1
    assert np.isnan(history.scores["scorer"]).tolist() == [False, True, True]


class Factors(fastbp.Schedule):
    """A schedule that returns what it is told."""

    def __init__(self, make):
        object.__setattr__(self, "make", make)

    def factors(self, epochs, steps, total):
        return self.make(len(steps))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda n: np.full(n, np.nan), "finite numbers of at least 0, got nan for step 0"),
        (lambda n: np.full(n, np.inf), "finite numbers of at least 0, got inf"),
        (lambda n: 0.5 - np.arange(n), "got -0.5 for step 1"),
        (lambda n: np.ones(n + 1), "one number for each of the 3 steps, got shape"),
        (lambda n: np.ones((n, 1)), "one number for each of the 3 steps, got shape"),
        (lambda n: 1.0, "one number for each of the 3 steps, got shape"),
        (lambda n: ["a"] * n, "and dtype <U1"),
        (lambda n: np.ones(n, complex), "and dtype complex128"),
    ],
)
def test_bad_factors_of_schedules(make, message):
    net = network()
    before = parameters(net)
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, epochs=3, schedule=Factors(make))
    assert np.array_equal(parameters(net), before)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.longdouble, np.int8])
def test_factors_of_schedules_of_any_type(kind):
    comp = fitted(network(), schedule=Factors(lambda n: np.ones(n, kind)))
    assert comp == fitted(network())


@pytest.mark.parametrize("loss", ["squared_error", "log_loss", "poisson", "huber"])
def test_weights_that_overflow(backend, loss):
    """Said by fit; predict gives what there is."""
    net = make_network([3, 4, 4, 1], loss, backend, "float32", "relu")
    for W in net.weights:
        W[...] = np.copysign(1e37, W)
    assert not np.isfinite(net.predict(X)).all() or loss == "log_loss"
    with pytest.raises(fastbp.TrainingDiverged, match="epoch 1"):
        net.fit(X, y, epochs=2)


@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_targets_that_overflow(backend, loss):
    net = make_network([3, 4, 1], loss, backend, "float32")
    with pytest.raises(fastbp.TrainingDiverged, match="epoch 1: the loss of a batch is inf"):
        net.fit(X, np.full(20, 1e38))


OTHER_SAMPLES = {
    "structured": (np.zeros(20, [("a", float), ("b", float)]), TypeError, "X must hold real"),
    "huge objects": (np.full((20, 3), 10**400, object), ValueError, "X has whole numbers too"),
    "beyond float64": (np.full((20, 3), np.longdouble("1e300") ** 2), ValueError, "too large|NaN"),
}


@pytest.mark.parametrize("what", OTHER_SAMPLES)
def test_other_samples(what):
    given, exception, message = OTHER_SAMPLES[what]
    with np.errstate(over="ignore"), pytest.raises(exception, match=message):
        network().fit(given, y)


SAME_SAMPLES = {
    "lists": X.tolist(),
    "big-endian": X.astype(">f8"),
    "objects": X.astype(object),
    "extended": X.astype(np.longdouble),
    "by columns": np.asfortranarray(X),
    "backwards": X[::-1].copy()[::-1],
}


@pytest.mark.parametrize("what", SAME_SAMPLES)
def test_same_samples(what):
    assert np.array_equal(network().predict(SAME_SAMPLES[what]), network().predict(X))


NETWORKS = {
    "check_gradients": lambda net: fastbp.check_gradients(net, X, y),
    "find_learning_rate": lambda net: fastbp.find_learning_rate(net, X, y),
    "levenberg_marquardt": lambda net: fastbp.levenberg_marquardt(net, X, y),
    "fit_many": lambda net: fastbp.fit_many([net], X, y),
}


@pytest.mark.parametrize("call", NETWORKS)
def test_what_is_no_network(call):
    for net in (None, fastbp.MLPClassifier(), fastbp.Network):
        name = type(net).__name__
        with pytest.raises(TypeError, match=rf"net.* must be a fastbp.Network, got {name} \("):
            NETWORKS[call](net)


def test_a_network_that_is_not_in_a_list():
    with pytest.raises(TypeError, match=r"networks must be a list of networks, got Network\("):
        fastbp.fit_many(network(), X, y)


ARRAYS = [np.arange(3), np.zeros((0, 3)), np.zeros(2, [("a", int)])]


@pytest.mark.parametrize("value", ARRAYS)
def test_arrays_in_the_place_of_words_and_numbers(value):
    for name in ("monitor", "min_delta"):
        for patience in ({}, {"patience": 2}):
            with pytest.raises(TypeError, match=f"EarlyStopping: {name} must be a"):
                network().fit(X, y, validation_data=(X, y), **{name: value}, **patience)
    with pytest.raises(TypeError, match='class_weight must be "balanced" or a dict, got'):
        network().fit(X, y, class_weight=value)


def test_losses_are_numbers_of_python(backend):
    """Not NumPy's, which print differently."""
    net = fastbp.Network([2, 1], loss="squared_error", backend=backend)
    for weights in (None, [1.0, 2.0]):
        assert type(net.loss_and_gradient(np.eye(2), [0.0, 1.0], weights)[0]) is float
        assert type(net.fit_step(np.eye(2), [0.0, 1.0], sample_weight=weights)) is float

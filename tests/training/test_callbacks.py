"""What happens between epochs: callbacks, early stopping, scores, the progress bar."""

import numpy as np
import pytest
from helpers import make_data, make_network, parameters, watch_runs

import fastbp
from fastbp.training import control

SIZES = [4, 6, 3]
N = 30


@pytest.fixture
def data():
    return make_data("cross_entropy", N, SIZES[0], SIZES[-1])


@pytest.fixture
def validation():
    return make_data("cross_entropy", 12, SIZES[0], SIZES[-1], seed=5)


def network(backend):
    return make_network(SIZES, "cross_entropy", backend)


class Diary(fastbp.Callback):
    """Notes each call, and stops or fails when told to."""

    def __init__(self, name="", notes=None, stop=None, error=None, when="epoch"):
        self.name, self.notes = name, [] if notes is None else notes
        self.stop, self.error, self.when = stop, error, when

    def _note(self, method, history):
        self.notes.append((self.name, method, len(history.loss)))
        if self.error is not None and method == self.when:
            raise self.error

    def begin(self, network, history):
        self._note("begin", history)

    def epoch(self, network, history):
        self._note("epoch", history)
        return len(history.loss) == self.stop

    def end(self, network, history):
        self._note("end", history)


# The protocol.


def test_order_of_calls(backend, data):
    notes = []
    history = network(backend).fit(*data, epochs=2, callbacks=[Diary(c, notes) for c in "ab"])
    assert notes == [
        *(("a", "begin", 0), ("b", "begin", 0)),
        *(("a", "epoch", 1), ("b", "epoch", 1), ("a", "epoch", 2), ("b", "epoch", 2)),
        *(("b", "end", 2), ("a", "end", 2)),
    ]
    assert len(history.loss) == 2


def test_callbacks_change_nothing(backend, data):
    net, ref = network(backend), network(backend)
    history = net.fit(*data, epochs=4, callbacks=[Diary()])
    assert history.loss == ref.fit(*data, epochs=4).loss
    assert np.array_equal(parameters(net), parameters(ref))


def test_without_callbacks_one_call(compiled, data, monkeypatch):
    net = network(compiled)
    calls = []

    def counting(run, *args):
        calls.append(1)
        return run(*args)

    watch_runs(monkeypatch, net._engine.backend, counting)
    net.fit(*data, epochs=50)
    assert len(calls) == 1


def test_true_stops_after_all_callbacks_saw_the_epoch(backend, data):
    notes = []
    callbacks = [Diary("a", notes, stop=3), Diary("b", notes)]
    net, ref = network(backend), network(backend)
    history = net.fit(*data, epochs=10, callbacks=callbacks)
    assert len(history.loss) == 3
    assert not history.interrupted
    assert notes[-3:] == [("b", "epoch", 3), ("b", "end", 3), ("a", "end", 3)]
    ref.fit(*data, epochs=3)
    assert np.array_equal(parameters(net), parameters(ref))


@pytest.mark.parametrize("when", ["begin", "epoch", "end"])
def test_errors_are_passed_on_and_all_ends_are_called(backend, data, when):
    notes, net = [], network(backend)
    failing = Diary("b", notes, error=ZeroDivisionError("mine"), when=when)
    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(*data, epochs=2, callbacks=[Diary("a", notes), failing])
    assert ("a", "end", {"begin": 0, "epoch": 1, "end": 2}[when]) in notes
    assert (("b", "end") in [note[:2] for note in notes]) == (when != "begin")
    assert len(net.fit(*data, epochs=2).loss) == 2


def test_ctrl_c_in_a_callback(backend, data):
    notes, net, ref = [], network(backend), network(backend)
    failing = Diary("a", notes, error=KeyboardInterrupt())
    with pytest.warns(RuntimeWarning, match="interrupted after 1 of 5 epochs"):
        history = net.fit(*data, epochs=5, callbacks=[failing])
    assert history.interrupted
    assert notes[-1] == ("a", "end", 1)
    ref.fit(*data, epochs=1)
    assert np.array_equal(parameters(net), parameters(ref))


def test_callbacks_see_averaged_weights(backend, data):
    """The weights that the network would have if training ended now."""
    seen = []

    class Look(fastbp.Callback):
        def epoch(self, network, history):
            seen.append(parameters(network))

    options = {"average": fastbp.EMA(0.5), "epochs": 3}
    net = network(backend)
    net.fit(*data, callbacks=[Look()], **options)
    assert np.array_equal(seen[-1], parameters(net))
    plain = network(backend)
    plain.fit(*data, epochs=3)
    assert not np.array_equal(seen[-1], parameters(plain))


def test_divergence_is_seen_before_the_callbacks(backend):
    """Scorers could not do with outputs that are NaN."""
    X, y = make_data("squared_error", N, 4, 3)
    X = X * 1e10  # so that the first step ends at infinite weights
    net = make_network([4, 3], "squared_error", backend, "float32")
    diary = Diary()
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit(
            *(X, y),
            optimizer=fastbp.SGD(1e30),
            epochs=3,
            batch_size=None,
            callbacks=[diary],
            validation_data=(X, y),
            scoring="r2",
        )
    assert [note[1] for note in diary.notes] == ["begin", "end"]


# Early stopping.


def figures(backend, data, validation, epochs):
    """Validation loss and weights after each number of epochs, each by a fit of its own."""
    losses, weights = [], []
    for n in range(1, epochs + 1):
        net = network(backend)
        net.fit(*data, optimizer=fastbp.SGD(1.0), epochs=n)
        losses.append(net.loss_and_gradient(*validation)[0])
        weights.append(parameters(net))
    return losses, weights


def expected_end(losses, patience, min_delta):
    """By hand: (epochs trained, the best one)."""
    best, best_epoch = np.inf, 0
    for epoch, loss in enumerate(losses, start=1):
        if loss < best - min_delta:
            best, best_epoch = loss, epoch
        if epoch - best_epoch == patience:
            return epoch, best_epoch
    return len(losses), best_epoch


@pytest.mark.parametrize("patience, min_delta", [(1, 0.0), (3, 0.0), (3, 0.01), (30, 0.0)])
def test_early_stopping(backend, data, validation, patience, min_delta):
    losses, weights = figures(backend, data, validation, 20)
    last, best = expected_end(losses, patience, min_delta)
    assert patience == 30 or last < 20
    net = network(backend)
    history = net.fit(
        *data,
        optimizer=fastbp.SGD(1.0),
        epochs=20,
        validation_data=validation,
        patience=patience,
        min_delta=min_delta,
    )
    assert history.validation_loss == pytest.approx(losses[:last], rel=1e-12)
    assert history.best_epoch == best
    assert np.array_equal(parameters(net), weights[best - 1])


def test_early_stopping_without_restoring(backend, data, validation):
    losses, weights = figures(backend, data, validation, 20)
    last, best = expected_end(losses, 3, 0.0)
    assert best < last
    net = network(backend)
    stopping = fastbp.EarlyStopping(3, restore_best=False)
    history = net.fit(
        *data,
        optimizer=fastbp.SGD(1.0),
        epochs=20,
        validation_data=validation,
        callbacks=[stopping],
    )
    assert (len(history.loss), history.best_epoch) == (last, best)
    assert np.array_equal(parameters(net), weights[last - 1])


def test_early_stopping_on_a_score(backend, data, validation):
    """Of a score more is better."""
    values = iter([0.1, 0.5, 0.3, 0.4, 0.9, 0.8, 0.8])
    net, ref = network(backend), network(backend)
    history = net.fit(
        *data,
        epochs=7,
        validation_data=validation,
        scoring={"mine": lambda estimator, X, y: next(values)},
        patience=3,
        monitor="mine",
    )
    assert history.best_epoch == 5
    ref.fit(*data, epochs=5)
    assert np.array_equal(parameters(net), parameters(ref))


def test_early_stopping_keeps_the_best_when_interrupted(backend, data, validation):
    class Interrupt(fastbp.Callback):
        def epoch(self, network, history):
            if len(history.loss) == 3:
                raise KeyboardInterrupt

    net, ref = network(backend), network(backend)
    values = iter([0.9, 0.1, 0.1])
    with pytest.warns(RuntimeWarning, match="interrupted after 3"):
        net.fit(
            *data,
            epochs=9,
            validation_data=validation,
            scoring={"mine": lambda estimator, X, y: next(values)},
            callbacks=[fastbp.EarlyStopping(monitor="mine"), Interrupt()],
        )
    ref.fit(*data, epochs=1)
    assert np.array_equal(parameters(net), parameters(ref))


def test_early_stopping_keeps_the_best_when_training_diverges(backend):
    """The weights of the first epoch, the best one, are restored."""

    class Enlarge(fastbp.Callback):
        def epoch(self, network, history):
            network.weights[0][...] *= 1e30

    X, y = make_data("squared_error", N, 4, 3)
    net, ref = (make_network([4, 3], "squared_error", backend, "float32") for _ in range(2))
    options = {"optimizer": fastbp.SGD(0.01), "batch_size": None}
    stopping = fastbp.EarlyStopping(monitor="loss")
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit(X, y, epochs=9, callbacks=[stopping, Enlarge()], **options)
    ref.fit(X, y, epochs=1, **options)
    assert np.array_equal(parameters(net), parameters(ref))


# Scores.


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "loss, outputs, kind, scoring",
    [
        ("cross_entropy", 3, "labels", ["accuracy", "neg_log_loss", "f1_macro"]),
        ("cross_entropy", 3, "one_hot", ["balanced_accuracy"]),
        ("cross_entropy", 2, "labels", ["roc_auc", "f1"]),
        ("log_loss", 1, "hard", ["accuracy", "roc_auc", "neg_brier_score"]),
        ("squared_error", 1, "real", ["r2", "neg_mean_squared_error"]),
        ("squared_error", 3, "real", ["neg_mean_absolute_error"]),
        ("poisson", 1, "counts", ["neg_mean_poisson_deviance"]),
    ],
)
def test_scores_are_those_of_scikit_learn(backend, loss, outputs, kind, scoring, weighted):
    from sklearn import metrics

    X, y = make_data(loss, 40, 4, outputs, kind=kind)
    w = np.linspace(0.1, 2, 40) if weighted else None
    net = make_network([4, 5, outputs], loss, backend)
    held_out = (X, y, w) if weighted else (X, y)
    history = net.fit(X, y, epochs=2, validation_data=held_out, scoring=scoring)
    h = net.predict(X)
    if loss == "cross_entropy":
        y = y.argmax(axis=1) if y.ndim == 2 else y
        predicted, probability = h.argmax(axis=1), h[:, 1] if outputs == 2 else h
    else:
        y = y[:, 0] if outputs == 1 else y
        predicted = probability = h[:, 0] if outputs == 1 else h
        if loss == "log_loss":
            predicted = (probability > 0.5).astype(int)
    expected = {
        "accuracy": lambda: metrics.accuracy_score(y, predicted, sample_weight=w),
        "balanced_accuracy": lambda: metrics.balanced_accuracy_score(y, predicted, sample_weight=w),
        "neg_log_loss": lambda: -metrics.log_loss(y, probability, sample_weight=w),
        "f1": lambda: metrics.f1_score(y, predicted, sample_weight=w),
        "f1_macro": lambda: metrics.f1_score(y, predicted, average="macro", sample_weight=w),
        "roc_auc": lambda: metrics.roc_auc_score(y, probability, sample_weight=w),
        "neg_brier_score": lambda: -metrics.brier_score_loss(y, probability, sample_weight=w),
        "r2": lambda: metrics.r2_score(y, predicted, sample_weight=w),
        "neg_mean_squared_error": lambda: (
            -metrics.mean_squared_error(y, predicted, sample_weight=w)
        ),
        "neg_mean_absolute_error": lambda: (
            -metrics.mean_absolute_error(y, predicted, sample_weight=w)
        ),
        "neg_mean_poisson_deviance": lambda: (
            -metrics.mean_poisson_deviance(y, predicted, sample_weight=w)
        ),
    }
    assert list(history.scores) == scoring
    for name in scoring:
        assert len(history.scores[name]) == 2
        assert history.scores[name][-1] == pytest.approx(expected[name](), rel=1e-12), name


def test_scores_of_several_labels(backend):
    from sklearn import metrics

    X, y = make_data("log_loss", 40, 4, 3)
    net = make_network([4, 5, 3], "log_loss", backend)
    scoring = ["accuracy", "f1_micro", "roc_auc"]
    history = net.fit(X, y, epochs=1, validation_data=(X, y), scoring=scoring)
    h = net.predict(X)
    assert history.scores == {
        "accuracy": [pytest.approx(metrics.accuracy_score(y, h > 0.5))],
        "f1_micro": [pytest.approx(metrics.f1_score(y, h > 0.5, average="micro"))],
        "roc_auc": [pytest.approx(metrics.roc_auc_score(y, h))],
    }


def test_own_scorers_have_their_names(backend, data, validation):
    def half(estimator, X, y):
        assert len(estimator.predict(X)) == len(y) == 12
        return 0.5

    for scoring, names in ((half, ["half"]), ([half, "accuracy"], ["half", "accuracy"])):
        history = network(backend).fit(*data, epochs=1, validation_data=validation, scoring=scoring)
        assert list(history.scores) == names
        assert history.scores["half"] == [0.5]


def test_progress_bar(backend, data, validation, capsys):
    history = network(backend).fit(
        *data, epochs=3, validation_data=validation, scoring="accuracy", progress=True
    )
    shown = capsys.readouterr().err.split("\r")[-1]
    assert "3/3" in shown
    assert f"loss={history.loss[-1]:.4g}" in shown.replace("validation_loss", "")
    assert f"validation_loss={history.validation_loss[-1]:.4g}" in shown
    assert f"accuracy={history.scores['accuracy'][-1]:.4g}" in shown


# Bad input.

BAD = {
    "not a list": ({"callbacks": 3}, TypeError, "callbacks must be a list of callbacks, got 3"),
    "a single one": ({"callbacks": fastbp.Callback()}, TypeError, "must be a list"),
    "a class": ({"callbacks": [fastbp.Callback]}, TypeError, "is a class, not an instance"),
    "a function": ({"callbacks": [print]}, TypeError, "has no method begin"),
    "no validation": ({"patience": 3}, ValueError, "pass validation_data"),
    "no patience": ({"min_delta": 0.1}, ValueError, "pass patience, too"),
    "patience": ({"patience": 0}, ValueError, "patience must be at least 1, got 0"),
    "min_delta": ({"patience": 3, "min_delta": -1}, ValueError, "min_delta must be in"),
    "unknown figure": (
        {"callbacks": [fastbp.EarlyStopping(monitor="accuracy")]},
        ValueError,
        "monitor must be one of loss",
    ),
    "nothing to score on": ({"scoring": "accuracy"}, ValueError, "scoring needs validation_data"),
    "unknown scorer": ({"scoring": "accurracy"}, ValueError, "accurracy"),
    "not a scorer": ({"scoring": [3]}, TypeError, r"scorer\(estimator, X, y\), got 3"),
    "no scorer": ({"scoring": []}, ValueError, "scoring is empty"),
    "twice": ({"scoring": ["r2", "r2"]}, ValueError, "several scorers with the same name"),
    "taken name": ({"scoring": {"loss": "r2"}}, ValueError, "'loss' cannot be the name"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input(backend, data, what):
    options, exception, message = BAD[what]
    net = network(backend)
    before, random = parameters(net), net._engine.random.bit_generator.state
    with pytest.raises(exception, match=message):
        net.fit(*data, **options)
    assert np.array_equal(parameters(net), before)
    assert net._engine.random.bit_generator.state == random


def test_reprs(data, tmp_path):
    """Errors about callbacks show them; so do debuggers."""
    stopping = fastbp.EarlyStopping(3, min_delta=0.01, monitor="r2", restore_best=False)
    assert repr(stopping) == ("EarlyStopping(3, min_delta=0.01, monitor='r2', restore_best=False)")
    assert repr(fastbp.Checkpoint("folder", keep=2)) == (
        "Checkpoint('folder', every_epochs=1, every_minutes=None, keep=2)"
    )
    net = network("numpy")
    own = control.control(
        net,
        epochs=7,
        schedule="plateau",
        validation=net._engine.data(*data),
        scoring=["accuracy", "roc_auc_ovr"],
        progress=True,
    ).callbacks
    assert [repr(each) for each in own] == [
        f"<validation loss and accuracy, roc_auc_ovr on {len(data[0])} samples>",
        f"<{fastbp.ReduceOnPlateau()!r} at the factor 1>",
        "<progress bar of 7 epochs>",
    ]
    health = fastbp.Health(*data)
    for each in [stopping, *own, health]:
        assert " object at 0x" not in repr(each)

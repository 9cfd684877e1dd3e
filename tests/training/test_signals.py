"""Signals and other exceptions in the middle of a training leave the network between two steps."""

import ctypes
import os
import signal
import threading

import numpy as np
import pytest
from helpers import make_data, make_network, parameters, wait_until, watch_runs

import fastbp
from fastbp.basis import interrupts
from fastbp.estimators.mlp import MLPClassifier

pytestmark = [
    pytest.mark.serial,
    pytest.mark.skipif(os.name == "nt", reason="no signals on Windows"),
]

OPTIONS = {"optimizer": fastbp.SGD(0.01), "batch_size": 50, "shuffle": False}


class Alarmed(Exception):
    pass


def raising(error):
    def handler(signum, frame):
        raise error

    return handler


@pytest.fixture(params=["SIGINT", "SIGALRM", "SIGTERM"])
def sent(request):
    """A signal's number, and what its handler raises."""
    number = getattr(signal, request.param)
    errors = {"SIGINT": KeyboardInterrupt, "SIGALRM": Alarmed, "SIGTERM": SystemExit}
    error = errors[request.param]
    before = signal.getsignal(number)
    if error is not KeyboardInterrupt:
        signal.signal(number, raising(error))
    yield number, error
    signal.signal(number, before)


class Loss:
    """Half the squared error; sends a signal in its nth call, and then waits for it to be heard."""

    def __init__(self, number=None, at=0):
        self.number, self.at, self.calls = number, at, 0

    def __call__(self, h, y):
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), self.number)
            wait_until(lambda: interrupts._waiting is not None)
        d = h - y
        return (d * d).sum(axis=1) / 2, d


def data(n=500):
    return make_data("squared_error", n, 5, 1)


def network(backend, loss):
    return fastbp.Network([5, 16, 1], loss=loss, seed=0, backend=backend)


# Losses written in Python.


def test_a_signal_within_a_loss(backend, sent):
    """The step that is being taken is finished, and no other one begun."""
    number, error = sent
    handler = signal.getsignal(number)
    X, y = data(50)
    loss = Loss(number, at=1 + 7)  # the first call is a trial
    net, ref = network(backend, loss), network(backend, Loss())
    options = {**OPTIONS, "epochs": 100}
    if error is KeyboardInterrupt:
        with pytest.warns(RuntimeWarning, match="interrupted after 7 of 100"):
            history = net.fit(X, y, **options)
        assert history.interrupted
        assert len(history.loss) == 7
    else:
        with pytest.raises(error):
            net.fit(X, y, **options)
    ref.fit(X, y, **{**options, "epochs": 7})
    assert np.array_equal(parameters(net), parameters(ref))
    assert signal.getsignal(number) is handler
    net.fit(X, y, **{**options, "epochs": 1})  # nothing is left behind


@pytest.mark.parametrize("call", ["loss_and_gradient", "per_sample_gradients", "fit_step"])
def test_a_signal_within_other_calls(backend, sent, call):
    number, error = sent
    X, y = data(50)
    net = network(backend, Loss(number, at=2))
    with pytest.raises(error):
        getattr(net, call)(X, y)
    ref = network(backend, Loss())
    if call == "fit_step":
        ref.fit_step(X, y)
    assert np.array_equal(parameters(net), parameters(ref))


def test_a_signal_while_checking_gradients(backend, sent):
    number, error = sent
    with pytest.raises(error):
        fastbp.check_gradients(network(backend, Loss(number, at=4)), *data(10))


def test_a_signal_while_looking_for_a_rate(backend, sent):
    number, error = sent
    net = network(backend, Loss())
    before = parameters(net).copy()
    net.loss.number, net.loss.at = number, net.loss.calls + 5
    with pytest.raises(error):
        fastbp.find_learning_rate(net, *data(100), n_steps=20)
    assert np.array_equal(parameters(net), before)


def test_nothing_is_learned_from_what_a_loss_has_not_written(backend):
    """As if an exception had come in the glue between C and Python, where it is lost."""
    X, y = data(50)
    net = network(backend, Loss())
    before = parameters(net).copy()
    kind = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3, *[ctypes.c_void_p] * 3)
    silent = kind(lambda *_: None)
    net._engine.function = ctypes.cast(silent, ctypes.c_void_p).value
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit(X, y, epochs=1)
    assert np.array_equal(parameters(net), before)
    assert np.isnan(net.loss_and_gradient(X, y)[0])


# What is written down.


class Press(fastbp.Callback):
    """Presses Ctrl-C in an epoch."""

    def __init__(self, epoch, method="epoch"):
        self.at, self.method = epoch, method

    def epoch(self, network, history):
        if self.method == "epoch" and len(history.loss) == self.at:
            signal.raise_signal(signal.SIGINT)


def test_an_epoch_whose_validation_is_broken_off(backend):
    X, y = data(50)

    def press(model, X, y):
        press.calls += 1
        if press.calls == 3:
            signal.raise_signal(signal.SIGINT)
        return 0.0

    press.calls = 0
    net = network(backend, "squared_error")
    with pytest.warns(RuntimeWarning, match="interrupted after 2 of 9"):
        history = net.fit(
            X, y, epochs=9, validation_data=(X, y), scoring=press, schedule=fastbp.StepDecay(2)
        )
    figures = history.loss, history.validation_loss, history.scores["press"], history.learning_rate
    assert [len(figure) for figure in figures] == [2, 2, 2, 2]


@pytest.mark.parametrize("epoch", [1, 4])
def test_ctrl_c_in_a_callback(backend, epoch):
    X, y = data(50)
    net, ref = (network(backend, "squared_error") for _ in range(2))
    with pytest.warns(RuntimeWarning, match=f"interrupted after {epoch} of 9"):
        history = net.fit(X, y, epochs=9, validation_data=(X, y), callbacks=[Press(epoch)])
    expected = ref.fit(X, y, epochs=epoch, validation_data=(X, y))
    assert history.loss == expected.loss
    assert history.validation_loss == expected.validation_loss
    assert np.array_equal(parameters(net), parameters(ref))


class Pressing(fastbp.EarlyStopping):
    """Ctrl-C comes while the best weights are copied."""

    def epoch(self, network, history):
        watch = self._watch
        usual = watch.improved

        def improved(history):
            if len(history.loss) == 3:
                signal.raise_signal(signal.SIGINT)
            return usual(history)

        watch.improved = improved
        try:
            return super().epoch(network, history)
        finally:
            watch.improved = usual


def test_best_epoch_and_best_weights_change_together(backend):
    X, y = data(50)
    net, ref = (network(backend, "squared_error") for _ in range(2))
    with pytest.warns(RuntimeWarning, match="interrupted after 3"):
        history = net.fit(X, y, epochs=9, callbacks=[Pressing(5, monitor="loss")])
    assert history.best_epoch == 3
    ref.fit(X, y, epochs=3)
    assert np.array_equal(parameters(net), parameters(ref))


def test_records_of_an_estimator(backend):
    """The epoch whose score was broken off is in none of them."""
    X, y = make_data("cross_entropy", 60, 5, 3)

    def press(estimator, X, y):
        press.calls += 1
        if press.calls == 4:
            signal.raise_signal(signal.SIGINT)
        return float(press.calls)

    press.calls = 0
    net = MLPClassifier(
        (4,), early_stopping=True, scoring=press, random_state=0, backend=backend, max_iter=9
    )
    with pytest.warns(UserWarning, match="interrupted by user"):
        net.fit(X, y)
    assert (len(net.loss_curve_), len(net.validation_scores_), net.n_iter_) == (3, 3, 3)
    assert net.t_ == 3 * 54
    assert net.loss_ == net.loss_curve_[-1]


# Many networks.


def many(n=8):
    return [make_network([5, 4, 1], "squared_error", "numpy", seed=i) for i in range(n)]


def test_one_callback_for_several_networks_is_refused():
    nets = many()
    before = [parameters(net).copy() for net in nets]
    with pytest.raises(
        ValueError, match=r"callbacks\[0\]\[0\] and callbacks\[1\]\[0\] are the same"
    ):
        fastbp.fit_many(nets, *data(50), callbacks=[[fastbp.EarlyStopping(3, monitor="loss")]] * 8)
    assert all(map(np.array_equal, map(parameters, nets), before))


def test_one_callback_for_two_trainings_at_once_is_refused():
    stopping = fastbp.EarlyStopping(3, monitor="loss")
    errors = []

    class Another(fastbp.Callback):
        def epoch(self, network, history):
            try:
                many(1)[0].fit(*data(50), callbacks=[stopping])
            except ValueError as error:
                errors.append(str(error))
            return True

    many(1)[0].fit(*data(50), callbacks=[stopping, Another()])
    assert len(errors) == 1
    assert "in use by another training" in errors[0]
    many(1)[0].fit(*data(50), epochs=1, callbacks=[stopping])  # free again


def test_a_schedule_may_serve_several_networks():
    schedule = fastbp.ReduceOnPlateau(patience=1, monitor="loss")
    nets, refs = many(3), many(3)
    fastbp.fit_many(nets, *data(50), epochs=12, schedule=schedule, threads=2)
    for net, ref in zip(nets, refs, strict=True):
        ref.fit(*data(50), epochs=12, schedule=schedule)
        assert np.array_equal(parameters(net), parameters(ref))


@pytest.mark.parametrize("threads", [1, 3])
def test_what_ends_a_program_leaves_fit_many(threads):
    class Quit(fastbp.Callback):
        def epoch(self, network, history):
            raise SystemExit(3)

    nets = many()
    callbacks = [[Quit()] if i == 5 else [] for i in range(8)]
    with pytest.raises(SystemExit) as caught:
        fastbp.fit_many(nets, *data(50), epochs=2, callbacks=callbacks, threads=threads)
    assert caught.value.code == 3
    (note,) = caught.value.__notes__
    assert "raised in: networks 5" in note
    assert "not trained to the end" in note
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fastbp")]


# Predicting.


@pytest.mark.parametrize("call", ["predict", "per_sample_gradients", "input_gradient"])
def test_slices_give_the_same_bits(compiled, call, monkeypatch):
    X, y = data(1000)
    net = network(compiled, "squared_error")
    arguments = (X,) if call == "predict" else (X, y)
    whole = getattr(net, call)(*arguments)
    monkeypatch.setattr("fastbp.engine.engine.SLICE_FLOPS", 0)
    assert len(net._engine.slices(1000)) == 16
    sliced = getattr(net, call)(*arguments)
    if call == "per_sample_gradients":
        whole, sliced = whole.weights[0], sliced.weights[0]
    assert np.array_equal(whole, sliced)


def test_ctrl_c_comes_between_slices(backend, monkeypatch):
    net = network(backend, "squared_error")
    usual, rows = net._engine.backend.predict, []

    def predict(model, X, *rest):
        usual(model, X, *rest)
        rows.append(len(X))
        if len(rows) == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(net._engine.backend, "predict", predict)
    monkeypatch.setattr("fastbp.engine.engine.SLICE_FLOPS", 0)
    with pytest.raises(KeyboardInterrupt):
        net.predict(data(1000)[0])
    assert len(rows) == 3
    assert sum(rows) < 1000


@pytest.mark.parametrize("rows", [50, 5000], ids=["one block", "groups of blocks"])
def test_a_long_gradient_is_broken_off(compiled, rows, monkeypatch):
    """It runs in a thread, and the kernel looks at `stop`."""
    monkeypatch.setattr("fastbp.engine.engine.INLINE_SECONDS", 0.0)
    net = network(compiled, "squared_error")
    usual, losses = net._engine.backend.loss_and_gradient, []

    def loss_and_gradient(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        *_, stop, _, _, _ = arguments
        wait_until(lambda: stop[0])
        losses.append(usual(*arguments))
        return losses[0]

    monkeypatch.setattr(net._engine.backend, "loss_and_gradient", loss_and_gradient)
    with pytest.raises(KeyboardInterrupt):
        net.loss_and_gradient(*data(rows))
    assert (net.layout.partition(rows)[1] > 1) == (rows > 50)
    assert len(losses) == 1 and np.isnan(losses).all()


# Handlers that come and go, and forks.


def raised_within(call):
    """Call it, with a SIGALRM whose handler raises and has been set just before."""
    before = signal.signal(signal.SIGALRM, raising(Alarmed))
    try:
        call()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_callback_that_catches_what_came_to_it(backend):
    """The training that the callback belongs to goes on."""
    X, y = data(50)
    caught = []

    class Inner(fastbp.Callback):
        def epoch(self, network, history):
            inner = make_inner()
            try:
                raised_within(lambda: inner.fit(X, y, **OPTIONS))
            except Alarmed as error:
                caught.append(error)

    def make_inner():
        return network(backend, Loss(signal.SIGALRM, at=3))

    net, ref = (network(backend, "squared_error") for _ in range(2))
    handler = signal.getsignal(signal.SIGALRM)
    history = net.fit(X, y, **OPTIONS, epochs=4, callbacks=[Inner()])
    ref.fit(X, y, **OPTIONS, epochs=4)
    assert len(caught) == len(history.loss) == 4
    assert not history.interrupted
    assert np.array_equal(parameters(net), parameters(ref))
    assert signal.getsignal(signal.SIGALRM) is handler


class Setting(fastbp.Callback):
    """Sets a handler, and puts the one back that was there."""

    def begin(self, network, history):
        self.before = signal.signal(signal.SIGALRM, raising(Alarmed))

    def end(self, network, history):
        signal.signal(signal.SIGALRM, self.before)
        self.history = history


@pytest.mark.parametrize("before", [signal.SIG_DFL, raising(SystemExit)])
def test_a_handler_that_a_callback_has_set(backend, before, monkeypatch):
    """It is guarded like handlers set before, and the earlier one comes back."""
    X, y = data(50)
    net, ref = (network(backend, "squared_error") for _ in range(2))
    setting, calls = Setting(), []

    def watch(run, *arguments):
        calls.append(run(*arguments))
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGALRM)
        return calls[-1]

    options = {**OPTIONS, "schedule": fastbp.StepDecay(2)}
    ref.fit(X, y, **options, epochs=3)
    own = signal.signal(signal.SIGALRM, before)
    try:
        watch_runs(monkeypatch, net._engine.backend, watch)
        with pytest.raises(Alarmed):
            net.fit(X, y, **options, epochs=9, callbacks=[setting])
        assert signal.getsignal(signal.SIGALRM) is before
    finally:
        signal.signal(signal.SIGALRM, own)
    assert (len(setting.history.loss), len(setting.history.learning_rate)) == (3, 3)
    assert np.array_equal(parameters(net), parameters(ref))


def test_a_handler_that_sets_another_one():
    """As programs do whose second Ctrl-C means more than the first."""
    second = raising(Alarmed)
    before = signal.signal(signal.SIGALRM, lambda *_: signal.signal(signal.SIGALRM, second))
    steps = []
    try:
        with pytest.raises(Alarmed), interrupts.held():
            signal.raise_signal(signal.SIGALRM)
            signal.raise_signal(signal.SIGALRM)
            steps.append("whole")
        assert signal.getsignal(signal.SIGALRM) is second
    finally:
        signal.signal(signal.SIGALRM, before)
    assert steps == ["whole"]


@pytest.mark.filterwarnings("ignore:.*fork")
def test_signals_in_a_process_that_a_loss_has_forked(backend):
    """The training is that of the parent; the child has its handlers back."""
    answers = []

    class Forking(Loss):
        def __call__(self, h, y):
            if self.calls == 2 and not answers:
                answers.append(self.forked())
            return super().__call__(h, y)

        def forked(self):
            receiver, sender = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    signal.raise_signal(signal.SIGINT)
                    os.write(sender, b"lost")
                except KeyboardInterrupt:
                    os.write(sender, b"heard")
                finally:
                    os._exit(0)
            os.close(sender)
            os.waitpid(child, 0)
            with os.fdopen(receiver, "rb") as file:
                return file.read()

    history = network(backend, Forking()).fit(*data(50), **OPTIONS, epochs=4)
    assert answers == [b"heard"]
    assert len(history.loss) == 4


def test_rates_of_a_training_that_diverged(backend):
    """One for each finished epoch."""
    X, y = data(50)
    with pytest.raises(fastbp.TrainingDiverged) as caught:
        network(backend, "squared_error").fit(
            X, y, epochs=500, optimizer=fastbp.SGD(3.0), schedule=fastbp.StepDecay(500)
        )
    history = caught.value.history
    assert len(history.learning_rate) == len(history.loss) > 0

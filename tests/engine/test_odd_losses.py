"""Losses that compare and hash as they like, or not at all."""

import copy
import functools
import pickle
from dataclasses import dataclass, field

import numpy as np
import pytest
from helpers import make_data, parameters
from sklearn.base import clone

import fastbp

SIZES = [4, 5, 1]
X, y = make_data("squared_error", 30, 4, 1)


def scaled(h, y, by):
    d = h - y
    return 0.5 * by * (d * d).sum(axis=1), by * d


@dataclass
class Unhashable:
    by: float = 0.5

    def __call__(self, h, y):
        return scaled(h, y, self.by)


@dataclass
class WithArray(Unhashable):
    """Whose ``==`` raises, as arrays are neither true nor false."""

    table: np.ndarray = field(default_factory=lambda: np.arange(3.0))


class ComparesByElements(Unhashable):
    """As an array does: ``loss == "log_loss"`` is an array."""

    __hash__ = None

    def __eq__(self, other):
        return np.array([True, True])


class NeverCompared(Unhashable):
    def __eq__(self, other):
        raise AssertionError("compared")

    def __hash__(self):
        raise AssertionError("hashed")


class EqualsAll(Unhashable):
    """Also the names of losses, whose functions it must not be taken for."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash("cross_entropy")


class Bound:
    __hash__ = None

    def loss(self, h, y):
        return scaled(h, y, 0.5)


def cross_entropy(h, y):
    """Whose name is that of another loss."""
    return scaled(h, y, 0.5)


LOSSES = {
    "dataclass": Unhashable(),
    "with an array": WithArray(),
    "compares by elements": ComparesByElements(),
    "never compared": NeverCompared(),
    "equals all": EqualsAll(),
    "bound": Bound().loss,
    "partial": functools.partial(scaled, by=0.5),
    "named": cross_entropy,
}


@pytest.fixture(params=LOSSES)
def loss(request):
    return LOSSES[request.param]


def net_of(loss, backend="numpy"):
    return fastbp.Network(SIZES, loss=loss, dtype="float64", backend=backend, seed=0)


def plain(h, y):
    return scaled(h, y, 0.5)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "to_backend": lambda net: net.to_backend(net.backend),
}


def trained(net):
    options = {"epochs": 2, "validation_data": (X, y), "scoring": "r2", "callbacks": []}
    return net.fit(X, y, **options), parameters(net).tobytes()


@pytest.mark.parametrize("copied", COPIES)
def test_copies(backend, loss, copied):
    net = net_of(loss, backend)
    assert trained(COPIES[copied](net)) == trained(net) == trained(net_of(plain, backend))


def test_whatever_takes_a_network(loss, tmp_path):
    net, ref = net_of(loss), net_of(plain)
    nets = [copy.copy(net) for _ in range(3)]
    assert fastbp.fit_many(nets, X, y) == [ref.fit(X, y)] * 3
    assert [parameters(each).tobytes() for each in nets] == [parameters(ref).tobytes()] * 3
    found = [fastbp.find_learning_rate(net_of(each), X, y, n_steps=5) for each in (loss, plain)]
    assert np.array_equal(found[0].losses, found[1].losses)
    assert fastbp.check_gradients(net, X[:5], y[:5], only=["numpy"]).passed
    assert np.array_equal(net.trace(X, y).dh[-1], net_of(plain).trace(X, y).dh[-1])
    steps = [each.fit_step(X, y) for each in (net, net_of(plain))]
    assert steps[0] == steps[1]
    repr(net)
    for refused in (
        lambda: net.save(tmp_path / "net.safetensors"),
        lambda: fastbp.save(net, tmp_path / "net.safetensors"),
        lambda: net.fit(X, y, callbacks=[fastbp.Checkpoint(tmp_path)]),
    ):
        with pytest.raises(ValueError, match="cannot be saved"):
            refused()
    with pytest.raises(
        ValueError, match="class_weight requires the loss cross_entropy or log_loss"
    ):
        net.fit(X, y, class_weight="balanced")
    with pytest.raises(ValueError, match="label_smoothing"):
        net.fit(X, y, label_smoothing=0.1)
    with pytest.raises(ValueError, match="requires the loss 'squared_error'"):
        fastbp.levenberg_marquardt(net, X, y)
    with pytest.raises(ValueError, match="has no parameter"):
        fastbp.Network(SIZES, loss=loss, loss_parameter=1.0)


def regressor(loss):
    return fastbp.MLPRegressor(loss, (5,), max_iter=3, random_state=0, alpha=0)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str)
def test_estimators(loss, parameters):
    estimators = [regressor(each).set_params(**parameters) for each in (loss, plain)]
    results = []
    for estimator in estimators:
        copies = [clone(estimator), copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))]
        for each in copies:
            each.fit(X, y.ravel())
            each.set_params(warm_start=True).fit(X, y.ravel())
            fresh = pickle.loads(pickle.dumps(each))
            assert np.array_equal(fresh.predict(X), each.predict(X))
            repr(each)
            results.append(each.predict(X).tobytes())
    assert len(set(results)) == 1
    net = fastbp.Network.from_sklearn(copies[0], loss=loss)
    assert net.predict(X).ravel().tobytes() == results[0]


def test_another_loss_that_is_equal():
    """An estimator goes on with the loss it has now, not with one that compares equal."""
    first, second = EqualsAll(0.5), EqualsAll(4.0)
    estimators = [regressor(Unhashable(0.5)), regressor(first)]
    for estimator, then in zip(estimators, (Unhashable(4.0), second), strict=True):
        estimator.partial_fit(X, y.ravel())
        estimator.set_params(loss=then).partial_fit(X, y.ravel())
    assert estimators[0].loss_ == estimators[1].loss_
    assert estimators[0].predict(X).tobytes() == estimators[1].predict(X).tobytes()


def test_a_loss_with_a_state_that_changes():
    """It counts as it is when it is called; a deep copy has a state of its own."""
    loss = Unhashable(1.0)
    net = net_of(loss)
    other = net.to_backend("numpy")
    before = net.loss_and_gradient(X, y)[0]
    loss.by = 3.0
    assert net.loss_and_gradient(X, y)[0] == pytest.approx(3 * before, rel=1e-14)
    assert other.loss_and_gradient(X, y)[0] == before


def test_local_losses_cannot_be_pickled():
    for loss in (lambda h, y: scaled(h, y, 1.0), functools.partial(lambda h, y: scaled(h, y, 1))):
        net = net_of(loss)
        assert trained(copy.deepcopy(net)) == trained(net)
        with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
            pickle.dumps(net)


class Scorer:
    """Of scikit-learn's convention, and not to be hashed or compared."""

    __hash__ = None

    def __eq__(self, other):
        raise AssertionError("compared")

    def __call__(self, estimator, X, y):
        return 2.0


class Watching(Scorer, fastbp.Callback):
    seen = 0

    def epoch(self, network, history):
        self.seen += 1


def test_scorers_and_callbacks():
    net, watching = net_of("squared_error"), Watching()
    history = net.fit(
        X, y, epochs=2, validation_data=(X, y), scoring=[Scorer(), "r2"], callbacks=[watching]
    )
    assert history.scores["score"] == [2.0, 2.0]
    assert watching.seen == 2
    fastbp.fit_many([net], X, y, callbacks=[[watching]], epochs=2)
    assert watching.seen == 4
    estimator = fastbp.MLPRegressor(
        hidden_layer_sizes=(5,),
        max_iter=50,
        early_stopping=True,
        n_iter_no_change=2,
        scoring=Scorer(),
        callbacks=[watching],
        random_state=0,
    ).fit(X, y.ravel())
    assert set(estimator.validation_scores_) == {2.0}
    assert watching.seen == 4 + estimator.n_iter_

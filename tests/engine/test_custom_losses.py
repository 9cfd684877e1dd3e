"""Losses of the user's own: Python functions, and functions compiled by Numba."""

import copy
import pickle

import numba
import numpy as np
import pytest
from gradient_helpers import DIFFERENCES, finite_differences
from helpers import DTYPES, error, gradient_of, make_data, make_network, parameters

import fastbp
from fastbp.basis.layout import Layout

N, SIZES = 50, [4, 9, 3]


def squared_error(h, y):
    d = h - y
    return 0.5 * (d * d).sum(axis=1), d


def log_cosh(h, y):
    d = h - y
    return np.log(np.cosh(d)).sum(axis=1), np.tanh(d)


@numba.njit
def compiled_log_cosh(h, y):
    d = h - y
    return np.log(np.cosh(d)).sum(axis=1), np.tanh(d)


@numba.njit
def compiled_rows(h, y):
    """The squared error, in loops."""
    e, slope = np.zeros(h.shape[0], h.dtype), np.empty_like(h)
    for i in range(h.shape[0]):
        for j in range(h.shape[1]):
            slope[i, j] = h[i, j] - y[i, j]
            e[i] += slope[i, j] ** 2 / 2
    return e, slope


def network_of(loss, backend, dtype="float64", sizes=SIZES):
    start = make_network(sizes, "squared_error", backend, dtype)
    net = fastbp.Network(sizes, activation="tanh", loss=loss, dtype=dtype, backend=backend, seed=0)
    for i in range(len(net.weights)):
        net.weights[i], net.biases[i] = start.weights[i], start.biases[i]
    return net


def test_products_with_hessians_are_refused():
    net = fastbp.Network(SIZES, loss=log_cosh)
    message = "loss is the function 'log_cosh', which gives no second derivative.*: log_loss, cross"
    with pytest.raises(ValueError, match=message):
        net._engine.check_second_derivative()
    fastbp.Network(SIZES, loss="huber")._engine.check_second_derivative()


def data_of(sizes=SIZES, n=N):
    return make_data("squared_error", n, sizes[0], sizes[-1])


@pytest.mark.nojit
@pytest.mark.parametrize("sizes", [SIZES, [4, 1], [4, 9, 1], [4, 5, 20]], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", [squared_error, compiled_rows], ids=["python", "njit"])
def test_squared_error_again(backend, loss, dtype, sizes):
    """Which is known: loss, gradient, predictions and a training with weights of samples."""
    X, y = data_of(sizes)
    w = np.random.default_rng(0).uniform(0, 2, N)
    comp, ref = (
        network_of(loss, backend, dtype, sizes),
        network_of("squared_error", backend, dtype, sizes),
    )
    same = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert error(gradient_of(comp, X, y, w), gradient_of(ref, X, y, w)) < same
    assert comp.loss_and_gradient(X, y, w)[0] == pytest.approx(
        ref.loss_and_gradient(X, y, w)[0], rel=same
    )
    assert np.array_equal(comp.predict(X), ref.predict(X))
    options = {"epochs": 2, "batch_size": 8, "sample_weight": w, "validation_data": (X, y)}
    one, other = (net.fit(X, y, **options) for net in (comp, ref))
    assert error(parameters(comp), parameters(ref)) < 10 * same
    assert one.loss == pytest.approx(other.loss, rel=10 * same)
    assert one.validation_loss == pytest.approx(other.validation_loss, rel=10 * same)
    X, y = X[:1], y[:1]
    assert comp.fit_step(X, y) == pytest.approx(ref.fit_step(X, y), rel=10 * same)


@pytest.mark.parametrize("loss", [log_cosh, compiled_log_cosh], ids=["python", "njit"])
def test_finite_differences(backend, loss):
    net = network_of(loss, backend)
    X, y = data_of(n=6)
    assert error(gradient_of(net, X, y), finite_differences(net, X, y)) < DIFFERENCES


def test_derivatives_of_each_sample(backend):
    X, y = data_of()
    comp, ref = network_of(squared_error, backend), network_of("squared_error", backend)
    assert error(comp.input_gradient(X, y), ref.input_gradient(X, y)) < 1e-12
    for one, other in zip(comp.jacobian(X).weights, ref.jacobian(X).weights, strict=True):
        assert error(one, other) < 1e-12


@pytest.mark.parametrize("loss", [log_cosh, compiled_log_cosh], ids=["python", "njit"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_same_bits(twins, loss, dtype, monkeypatch):
    """On both compiled backends, for any number of threads and any block."""
    X, y = data_of(n=200)

    def trained(backend, threads):
        net = network_of(loss, backend, dtype)
        losses = net.fit(X, y, epochs=2, batch_size=90, threads=threads).loss
        return parameters(net).tobytes(), losses

    ref = trained(twins[0], 1)
    for backend in twins:
        assert trained(backend, 1) == trained(backend, 3) == ref
    monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, 16))
    ref = trained(twins[0], 1)
    for backend in twins:
        assert trained(backend, 2) == ref


def failing(h, y):
    if np.abs(h).max() > 0:
        raise ZeroDivisionError("of the user's own")
    return squared_error(h, y)


@numba.njit
def compiled_failing(h, y):
    d = h - y
    if np.abs(h).max() > 0:
        raise ZeroDivisionError("of the user's own")
    return (d * d).sum(axis=1), d


@pytest.mark.nojit
@pytest.mark.parametrize("loss", [failing, compiled_failing], ids=["python", "njit"])
@pytest.mark.parametrize("threads", [1, 2])
def test_errors_reach_the_user(backend, loss, threads):
    """And the weights are those before the batch."""
    X, y = data_of()
    net = network_of(loss, backend)
    before = parameters(net)
    calls = [
        lambda: net.fit(X, y, epochs=3, batch_size=None, threads=threads),
        lambda: net.loss_and_gradient(X, y),
        lambda: net.fit_step(X, y),
        lambda: net.per_sample_gradients(X, y),
        lambda: net.input_gradient(X, y),
    ]
    for call in calls:
        with pytest.raises(ZeroDivisionError, match="of the user's own"):
            call()
        assert np.array_equal(parameters(net), before)


def test_interruption(backend):
    """Ctrl-C that comes while the function runs ends the training as elsewhere."""
    calls = []

    def interrupted(h, y):
        calls.append(len(h))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return squared_error(h, y)

    net = network_of(interrupted, backend)
    X, y = data_of(n=10)
    with pytest.warns(RuntimeWarning, match="interrupted after 2 of 100 epochs"):
        history = net.fit(X, y, epochs=100, batch_size=4, threads=1)
    assert len(history.loss) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_losses_that_are_not_finite(backend, bad):
    def loss(h, y):
        e, d = squared_error(h, y)
        return e + (bad if h.any() else 0), d

    with pytest.raises(fastbp.TrainingDiverged):
        network_of(loss, backend).fit(*data_of())


RESULTS = {
    "nothing": (lambda h, y: None, TypeError, r"must return \(losses, derivatives\)"),
    "complex": (
        lambda h, y: ((h * 1j).sum(axis=1), h),
        TypeError,
        "of real numbers, got complex64 and float32",
    ),
    "losses only": (lambda h, y: h.sum(axis=1), TypeError, "got ndarray"),
    "a sum": (lambda h, y: (h.sum(), h), ValueError, r"got \(\) and \(3, 3\)"),
    "transposed": (lambda h, y: (h.sum(axis=1), h[:, :2]), ValueError, r"\(3, 2\)"),
    "text": (lambda h, y: ("a", h), TypeError, "of real numbers, got <U1 and float32"),
    "one argument": (lambda h: h, TypeError, "argument"),
}


@pytest.mark.parametrize("loss, kind, message", RESULTS.values(), ids=RESULTS)
def test_wrong_results_are_refused_at_once(loss, kind, message):
    with pytest.raises(kind, match=message):
        fastbp.Network(SIZES, loss=loss, backend="numpy")


def test_wrong_results_later_on(backend):
    def loss(h, y):
        e, d = squared_error(h, y)
        return (e, d) if not h.any() else (e[1:], d)

    with pytest.raises(ValueError, match="must return"):
        network_of(loss, backend).fit(*data_of())


def test_arguments_are_copies(backend):
    """What the function does to them, or keeps, has no consequences."""
    kept = []

    def loss(h, y):
        result = squared_error(h, y)
        kept.append(h)
        h[...] = y[...] = 7
        return result

    X, y = data_of()
    comp, ref = network_of(loss, backend), network_of(squared_error, backend)
    for net in (comp, ref):
        net.fit(X, y, epochs=2)
    assert np.array_equal(parameters(comp), parameters(ref))
    assert all((h == 7).all() for h in kept)


@pytest.mark.parametrize("loss", [squared_error, compiled_rows], ids=["python", "njit"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies(backend, loss, copied):
    net, X, y = network_of(loss, backend), *data_of()
    other = copied(net)
    before = parameters(net)
    del net
    other.fit(X, y, epochs=1)
    ref = network_of("squared_error", backend)
    ref.fit(X, y, epochs=1)
    assert not np.array_equal(parameters(other), before)
    assert error(parameters(other), parameters(ref)) < 1e-12


def test_functions_without_a_name_cannot_be_pickled():
    net = network_of(lambda h, y: squared_error(h, y), "numpy")
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(net)


def test_no_parameter_and_no_smoothing():
    with pytest.raises(ValueError, match="has no parameter"):
        fastbp.Network(SIZES, loss=squared_error, loss_parameter=1.0, backend="numpy")
    with pytest.raises(ValueError, match="label_smoothing requires the loss"):
        network_of(squared_error, "numpy").fit(*data_of(), label_smoothing=0.1)

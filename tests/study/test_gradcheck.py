"""check_gradients passes what is right, and says what is wrong and where."""

import pickle

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    LOSSES_AND_TARGETS,
    make_data,
    make_network,
    outputs_for,
    parameters,
)

import fastbp
from fastbp.backends import numpy_
from fastbp.backends.numpy_ import losses
from fastbp.basis import spec


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_all_is_right(backend, activation, loss, kind):
    n_outputs = outputs_for(loss, 2)
    net = make_network([3, 4, 5, n_outputs], loss, backend, "float32", activation)
    X, y = make_data(loss, 6, 3, n_outputs, kind=kind)
    before = parameters(net)
    check = fastbp.check_gradients(net, X, y, only=[backend])
    assert check.passed and check.suspect == "" and not check.missing
    assert [(r.layer, r.name) for r in check.results] == [(i, n) for i in (1, 2, 3) for n in "Wb"]
    assert max(r.error for r in check.results) < 1e-6
    assert "All right" in str(check)
    assert np.array_equal(parameters(net), before)


def test_every_available_backend_is_checked():
    net = make_network([3, 4, 1], "log_loss", "numpy")
    X, y = make_data("log_loss", 6, 3, 1)
    check = fastbp.check_gradients(net, X, y, sample_weight=np.arange(6))
    names = {r.backend for r in check.results} | set(check.missing)
    assert names == set(fastbp.available_backends())
    assert "numpy" in {r.backend for r in check.results}


def spoil(monkeypatch, code, loss_and_delta):
    """Let NumPy's backend compute a loss in another way."""
    row = losses.LOSSES[code]._replace(loss_and_delta=loss_and_delta)
    monkeypatch.setitem(losses.LOSSES, code, row)


def wrong_huber(s, y, delta):
    e, ds = losses.huber(s, y, delta)
    return e, 0.99 * ds


def wrong_log_loss(s, y, most):
    """With the sign of the course's equation (6): right where y = 1."""
    h = losses.sigmoid(s)
    return losses.log_loss(s, y, most)[0], (-y / h - (1 - y) / (1 - h)) * h * (1 - h)


@pytest.mark.parametrize("loss, wrong", [("huber", wrong_huber), ("log_loss", wrong_log_loss)])
def test_a_wrong_loss_is_found(monkeypatch, loss, wrong):
    spoil(monkeypatch, spec.LOSSES[loss].code, wrong)
    net = make_network([3, 4, 2], loss, "numpy")
    X, y = make_data(loss, 6, 3, 2)
    with pytest.raises(fastbp.WrongGradient, match="Suspect") as caught:
        fastbp.check_gradients(net, X, y, only=["numpy"])
    check = caught.value.check
    assert check.suspect == f"the derivative ∂e/∂s of the loss {loss!r} on numpy"
    assert {r.passed for r in check.results} == {False}
    assert "WRONG" in str(caught.value) and "layer" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert not fastbp.check_gradients(net, X, y, only=["numpy"], raises=False).passed


def fourth_power(h, y):
    d = h - y
    return (d**4).sum(axis=1), 4 * d**3


def wrong_fourth_power(h, y):
    d = h - y
    return (d**4).sum(axis=1), 3 * d**3


def test_losses_of_the_users_own(backend):
    X, y = make_data("squared_error", 6, 3, 2)
    right, wrong = (
        fastbp.Network([3, 4, 2], activation="tanh", loss=loss, backend=backend, seed=0)
        for loss in (fourth_power, wrong_fourth_power)
    )
    assert fastbp.check_gradients(right, X, y, only=[backend]).passed
    with pytest.raises(fastbp.WrongGradient, match="of the loss 'wrong_fourth_power' on"):
        fastbp.check_gradients(wrong, X, y, only=[backend])


def test_a_wrong_activation_is_found(monkeypatch):
    """All layers below are wrong, too; the highest one tells."""
    code = spec.ACTIVATIONS["softplus"].code
    wrong = numpy_.ACTIVATIONS[code]._replace(derivative=lambda s, h: 1.001 * (1 - np.exp(-h)))
    monkeypatch.setitem(numpy_.ACTIVATIONS, code, wrong)
    names = ["tanh", "softplus", "sigmoid"]
    net = make_network([3, 4, 5, 4, 2], "squared_error", "numpy", activation=names)
    X, y = make_data("squared_error", 6, 3, 2)
    check = fastbp.check_gradients(net, X, y, only=["numpy"], raises=False)
    assert [r.passed for r in check.results if r.name == "W"] == [False, False, True, True]
    assert check.suspect.startswith("the derivative of the activation 'softplus' of layer 2")


def test_one_wrong_entry_is_located(monkeypatch):
    """The report says where the largest error is."""
    usual = numpy_.loss_and_gradient

    def spoil(model, *rest):
        loss = usual(model, *rest)
        _, _, _, _, gradient, *_ = rest
        if gradient.size:
            numpy_.views(model.plan, gradient)[0][1][2, 1] += 1e-3
        return loss

    monkeypatch.setattr(numpy_, "loss_and_gradient", spoil)
    net = make_network([3, 4, 2], "squared_error", "numpy")
    X, y = make_data("squared_error", 6, 3, 2)
    check = fastbp.check_gradients(net, X, y, only=["numpy"], raises=False)
    (wrong,) = [r for r in check.results if not r.passed]
    assert (wrong.layer, wrong.name, wrong.where) == (2, "W", (2, 1))
    assert wrong.gradient - wrong.difference == pytest.approx(1e-3, rel=1e-4)


def test_a_gradient_of_nan_is_wrong(monkeypatch):
    spoil(monkeypatch, spec.HUBER, lambda s, y, d: (losses.huber(s, y, d)[0], s * np.nan))
    net = make_network([3, 4, 2], "huber", "numpy")
    X, y = make_data("huber", 6, 3, 2)
    assert not fastbp.check_gradients(net, X, y, only=["numpy"], raises=False).passed


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_kinks_are_not_errors(backend, activation):
    """Units with s = 0 for a sample, and outputs that hit their targets."""
    net = make_network([2, 3, 1], "absolute_error", backend, activation=activation)
    for b in net.biases:
        b[...] = 0
    net.weights[1] = np.abs(net.weights[1])
    net.weights[0] = np.abs(net.weights[0])
    X = np.array([[0.0, 0.0], [1.0, 2.0], [0.5, -0.5]])
    y = net.predict(X)
    y[1] += 1
    check = fastbp.check_gradients(net, X, y, only=[backend])
    assert check.passed and sum(r.kinks for r in check.results) > 0
    assert "on kinks" in str(check)


def test_kinks_nearby_are_stepped_around(backend):
    """A relu unit whose kink is within the first step."""
    net = make_network([1, 1, 1], "squared_error", backend, activation="relu")
    net.weights[0], net.biases[0] = [[1.0]], [3e-6]
    check = fastbp.check_gradients(net, [[0.0], [1.0]], [1.0, -1.0], only=[backend])
    assert check.passed and sum(r.kinks for r in check.results) == 0


def test_vanishing_gradients_are_not_errors(backend):
    """Gradients below what differences can resolve."""
    net = make_network([3, *[4] * 12, 1], "squared_error", backend, activation="sigmoid")
    X, y = make_data("squared_error", 6, 3, 1)
    assert fastbp.check_gradients(net, X, y, only=[backend]).passed


def test_entries_are_drawn(backend):
    net = make_network([20, 30, 2], "squared_error", backend)
    X, y = make_data("squared_error", 4, 20, 2)
    check = fastbp.check_gradients(net, X, y, only=[backend], entries=25)
    assert [r.checked for r in check.results] == [25, 25, 25, 2]


def test_bad_input_is_refused():
    net = make_network([3, 4, 2], "squared_error", "numpy")
    X, y = make_data("squared_error", 4, 3, 2)
    for arguments, message in [
        (dict(tolerance=0), "tolerance must be in"),
        (dict(entries=0), "entries must be at least 1"),
        (dict(only=["fortran"]), "unknown backend"),
        (dict(sample_weight=[1]), r"sample_weight must have shape \(4,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            fastbp.check_gradients(net, X, y, **arguments)
    with pytest.raises(TypeError, match="only must be a list"):
        fastbp.check_gradients(net, X, y, only="numpy")

"""Gradients of every backend against finite differences, and against PyTorch's autograd."""

import numpy as np
import pytest
from gradient_helpers import (
    DIFFERENCES,
    SAME,
    finite_differences,
    problem,
    torch_loss,
    torch_network,
)
from helpers import ACTIVATIONS, LOSSES_AND_TARGETS, error, gradient_of, make_data, make_network

import fastbp


@pytest.mark.nojit
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_finite_differences_of_losses(backend, loss, kind):
    net, X, y = problem(loss, kind, "tanh", backend)
    assert error(gradient_of(net, X, y), finite_differences(net, X, y)) < DIFFERENCES


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_finite_differences(backend, activation, loss, kind, rng):
    """All pairs, with sample weights; one weight is zero."""
    net, X, y = problem(loss, kind, activation, backend)
    w = rng.uniform(0.2, 3, len(X))
    w[1] = 0
    assert error(gradient_of(net, X, y, w), finite_differences(net, X, y, w)) < DIFFERENCES


@pytest.mark.parametrize(
    "loss, kind", [pair for pair in LOSSES_AND_TARGETS if "cross" not in pair[0]]
)
def test_finite_differences_of_one_output(backend, loss, kind):
    net, X, y = problem(loss, kind, "silu", backend, n_outputs=1)
    assert error(gradient_of(net, X, y), finite_differences(net, X, y)) < DIFFERENCES


def test_different_activations_by_layer(backend):
    net = make_network([3, 4, 3, 5, 2], "log_loss", backend, activation=["gelu", "sigmoid", "elu"])
    X, y = make_data("log_loss", 6, 3, 2)
    assert error(gradient_of(net, X, y), finite_differences(net, X, y)) < DIFFERENCES


@pytest.mark.nojit
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autograd(backend, activation, loss, kind, rng):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y = problem(loss, kind, activation, backend, n=9)
    w = rng.uniform(0.2, 3, len(X))
    output, leaves = torch_network(torch, net)
    e, h = torch_loss(torch, loss, output(X), y)
    weights = torch.tensor(w)
    mean = (weights * e).sum() / weights.sum()
    mean.backward()
    assert error(net.predict(X), h.detach().numpy()) < SAME
    assert net.loss_and_gradient(X, y, w)[0] == pytest.approx(mean.item(), rel=SAME)
    ref = np.concatenate([leaf.grad.numpy().ravel() for leaf in leaves])
    assert error(gradient_of(net, X, y, w), ref) < SAME


@pytest.mark.nojit
@pytest.mark.parametrize("delta", [0.2, 1.5])
def test_huber_of_pytorch(backend, delta):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net = fastbp.Network(
        [3, 2], loss="huber", loss_parameter=delta, dtype="float64", backend=backend, seed=0
    )
    X, y = make_data("huber", 30, 3, 2)
    s = torch.tensor(net.predict(X), requires_grad=True)
    e = torch.nn.functional.huber_loss(s, torch.tensor(y), reduction="sum", delta=delta) / len(X)
    e.backward()
    loss, gradient = net.loss_and_gradient(X, y)
    assert loss == pytest.approx(e.item(), rel=SAME)
    assert error(gradient.weights[0], X.T @ s.grad.numpy()) < SAME


def test_quantiles_of_numpy(backend):
    """The bias that minimises the loss is the quantile of the targets."""
    y = np.random.default_rng(0).standard_normal((2001, 1))
    for q in (0.1, 0.5, 0.95):
        net = fastbp.Network(
            [1, 1], loss="quantile", loss_parameter=q, dtype="float64", backend=backend
        )
        rates = np.geomspace(1, 1e-4, 400)
        for rate in rates:
            net.fit_step(np.zeros((len(y), 1)), y, optimizer=fastbp.SGD(rate))
        assert net.biases[0][0] == pytest.approx(np.quantile(y, q), abs=5e-3)

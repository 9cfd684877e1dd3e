"""Gradients of every backend against finite differences, and against PyTorch's autograd."""

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    LOSSES_AND_TARGETS,
    PARAMETERS,
    error,
    gradient_of,
    make_data,
    make_network,
    outputs_for,
)

import fastbp

# Every entry of the gradient, relative to the largest one. Central differences with this step
# have truncation and rounding errors of about 1e-10.
STEP = 1e-5
DIFFERENCES = 1e-8
# Two computations of the same thing in float64.
SAME = 1e-12

# Functions with kinks at zero, which a finite difference must not straddle.
KINKED = {"relu", "leaky_relu"}


def away_from_kinks(net, X):
    """Whether every hidden pre-activation is far from zero, compared with STEP."""
    h = X
    for i, name in enumerate(net.layout.activations):
        s = h @ net.weights[i] + net.biases[i]
        if np.abs(s).min() < 100 * STEP:
            return False
        h = np.where(s > 0, s, 0.01 * s if name == "leaky_relu" else 0)
    return True


def problem(loss, kind, activation, backend, n_outputs=3, n=5):
    """A float64 network with two hidden layers, and data on which the loss is smooth."""
    for seed in range(100):
        net = make_network(
            [3, 5, 4, outputs_for(loss, n_outputs)], loss, backend, "float64", activation, seed
        )
        X, y = make_data(loss, n, 3, outputs_for(loss, n_outputs), seed, kind)
        smooth = activation not in KINKED or away_from_kinks(net, X)
        if loss in ("absolute_error", "huber", "quantile"):
            d = np.abs(net.predict(X) - y)
            kink = 1 if loss == "huber" else 0
            smooth = smooth and np.abs(d - kink).min() > 100 * STEP
        if smooth:
            return net, X, y
    raise AssertionError("no data without kinks")


def finite_differences(net, *data):
    """The gradient by central differences, in the order of `helpers.parameters`."""
    slopes = []
    for array in [*net.weights, *net.biases]:
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + STEP
            above = net.loss_and_gradient(*data)[0]
            array[index] = value - STEP
            below = net.loss_and_gradient(*data)[0]
            array[index] = value
            slopes.append((above - below) / (2 * STEP))
    return np.array(slopes)


@pytest.mark.nojit
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_finite_differences_of_losses(backend, loss, kind):
    net, X, y = problem(loss, kind, "tanh", backend)
    assert error(gradient_of(net, X, y), finite_differences(net, X, y)) < DIFFERENCES


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_finite_differences(backend, activation, loss, kind, rng):
    """All pairs, with sample weights of which one is zero."""
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


def torch_network(torch, net):
    """The output pre-activation as a function of X and factors of dropout, and its parameters."""
    functional = torch.nn.functional
    functions = {
        "identity": lambda s: s,
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": functional.relu,
        "leaky_relu": lambda s: functional.leaky_relu(s, 0.01),
        "elu": lambda s: functional.elu(s, 1.0),
        "softplus": functional.softplus,
        "silu": functional.silu,
        "gelu": lambda s: functional.gelu(s, approximate="none"),
    }
    W = [torch.tensor(w, requires_grad=True) for w in net.weights]
    b = [torch.tensor(v, requires_grad=True) for v in net.biases]

    def output(X, factors=None):
        h = torch.as_tensor(X)
        for i in range(len(W) - 1):
            h = h if factors is None else h * factors[i]
            h = functions[net.layout.activations[i]](h @ W[i] + b[i])
        return (h if factors is None else h * factors[-1]) @ W[-1] + b[-1]

    return output, [*W, *b]


def torch_loss(torch, loss, s, y):
    """Losses of the samples, and the output, from the output's pre-activation."""
    functional = torch.nn.functional
    y = torch.tensor(y)
    if loss == "log_loss":
        e = functional.binary_cross_entropy_with_logits(s, y, reduction="none")
        return e.sum(1), torch.sigmoid(s)
    if loss == "cross_entropy":
        return functional.cross_entropy(s, y, reduction="none"), torch.softmax(s, 1)
    if loss == "squared_error":
        return functional.mse_loss(s, y, reduction="none").sum(1) / 2, s
    if loss == "absolute_error":
        return functional.l1_loss(s, y, reduction="none").sum(1), s
    if loss == "huber":
        return functional.huber_loss(s, y, reduction="none", delta=1.0).sum(1), s
    if loss == "quantile":
        q = PARAMETERS[loss]
        return torch.maximum(q * (y - s), (q - 1) * (y - s)).sum(1), s
    assert loss == "poisson"
    # poisson_nll_loss lacks the terms without h, which make the deviance zero at h = y.
    e = functional.poisson_nll_loss(s, y, log_input=True, reduction="none")
    return (e - y + torch.xlogy(y, y)).sum(1), torch.exp(s)


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

"""Derivatives of each sample's own loss, and Jacobians of the outputs."""

import numpy as np
import pytest
from gradient_helpers import DIFFERENCES, SAME, STEP, problem, torch_loss, torch_network
from helpers import (
    ACTIVATIONS,
    DTYPES,
    LOSSES_AND_TARGETS,
    error,
    flat,
    gradient_of,
    make_data,
    make_network,
    outputs_for,
)

from fastbp.basis.layout import Layout

# Hidden layers and outputs of any width, one output, and no hidden layer.
SHAPES = [[5, 7, 3], [1, 1, 1], [16, 33, 16, 17], [4, 6, 1], [9, 1], [9, 4], [3, 5, 6, 5, 2]]


def derivatives(net, X, y):
    """Name -> everything that the backend writes for each sample."""
    found = net._engine.per_sample(
        net._engine.data(X, y, None), losses=True, gradients=True, errors=True, units=True
    )._asdict()
    of_outputs = net.layout.sizes[-1]
    first = found["units"].shape[1] - 2 * of_outputs
    found["units"][:, first : first + of_outputs] = 0  # ∂e/∂h_m, which backends leave alone
    return found


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_mean_is_the_gradient(backend, sizes, dtype):
    loss = "log_loss" if sizes[-1] == 1 else "cross_entropy"
    net = make_network(sizes, loss, backend, dtype)
    X, y = make_data(loss, 23, sizes[0], sizes[-1])
    gradient = net.per_sample_gradients(X, y)
    means = [array.mean(axis=0) for array in [*gradient.weights, *gradient.biases]]
    assert [a.shape for a in means] == [a.shape for a in [*net.weights, *net.biases]]
    assert error(flat(means), gradient_of(net, X, y)) < {"float32": 1e-6, "float64": 1e-14}[dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_cython_and_numba_give_the_same_bits(twins, sizes, loss, kind, dtype):
    n_outputs = outputs_for(loss, sizes[-1])
    activation = ACTIVATIONS[(len(loss) + sizes[0]) % len(ACTIVATIONS)]
    X, y = make_data(loss, 19, sizes[0], n_outputs, kind=kind)
    one, other = (
        derivatives(make_network([*sizes[:-1], n_outputs], loss, name, dtype, activation), X, y)
        for name in twins
    )
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_reference(compiled, loss, kind, dtype):
    tolerance = {"float32": 3e-6, "float64": 1e-14}[dtype]
    for i, sizes in enumerate(SHAPES):
        sizes = [*sizes[:-1], outputs_for(loss, sizes[-1])]
        X, y = make_data(loss, 13, sizes[0], sizes[-1], kind=kind)
        comp, ref = (
            derivatives(make_network(sizes, loss, name, dtype, ACTIVATIONS[i]), X, y)
            for name in (compiled, "numpy")
        )
        for name in ref:
            assert error(comp[name], ref[name]) < tolerance, (sizes, name)


@pytest.mark.parametrize("rows", [1, 16])
def test_block_size_does_not_matter(compiled, rows, monkeypatch):
    net = make_network([5, 7, 3], "cross_entropy", compiled, activation="gelu")
    X, y = make_data("cross_entropy", 40, 5, 3)
    if rows == 1:
        X, y = X[:1], y[:1]
    ref = derivatives(net, X, y)
    monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, rows))
    comp = derivatives(net, X, y)
    assert [name for name in ref if not np.array_equal(comp[name], ref[name])] == []


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_of_samples_alone(backend, activation, loss, kind):
    """A sample's gradient is that of a batch which holds nothing else."""
    net, X, y = problem(loss, kind, activation, backend)
    gradient = net.per_sample_gradients(X, y)
    for r in range(len(X)):
        comp = flat([a[r] for a in [*gradient.weights, *gradient.biases]])
        assert error(comp, gradient_of(net, X[r : r + 1], y[r : r + 1])) < SAME


@pytest.mark.nojit
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_input_gradient_by_finite_differences(backend, loss, kind):
    net, X, y = problem(loss, kind, "softplus", backend)
    ref = np.empty_like(X)
    for r, k in np.ndindex(X.shape):
        sides = []
        for step in (STEP, -STEP):
            moved = X[r : r + 1].copy()
            moved[0, k] += step
            sides.append(net.loss_and_gradient(moved, y[r : r + 1])[0])
        ref[r, k] = (sides[0] - sides[1]) / (2 * STEP)
    assert error(net.input_gradient(X, y), ref) < DIFFERENCES


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autograd(backend, activation, loss, kind):
    """Gradients with respect to parameters and input, from PyTorch."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y = problem(loss, kind, activation, backend)
    gradient = net.per_sample_gradients(X, y)
    output, leaves = torch_network(torch, net)
    features = torch.tensor(X, requires_grad=True)
    e, _ = torch_loss(torch, loss, output(features), y)
    for r in range(len(X)):
        ref = torch.autograd.grad(e[r], leaves, retain_graph=True)
        comp = [a[r] for a in [*gradient.weights, *gradient.biases]]
        assert error(flat(comp), flat([a.numpy() for a in ref])) < SAME
    e.sum().backward()
    assert error(net.input_gradient(X, y), features.grad.numpy()) < SAME


@pytest.mark.parametrize("loss", ["log_loss", "cross_entropy", "squared_error", "poisson"])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_jacobian_by_autograd(backend, loss, n_outputs):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    n_outputs = outputs_for(loss, n_outputs)
    net = make_network([3, 5, n_outputs], loss, backend, activation="silu")
    X, y = make_data(loss, 4, 3, n_outputs)
    output, leaves = torch_network(torch, net)
    _, h = torch_loss(torch, loss, output(X), y)
    jacobian = net.jacobian(X)
    for r, k in np.ndindex(h.shape):
        ref = torch.autograd.grad(h[r, k], leaves, retain_graph=True)
        comp = [a[r, k] for a in [*jacobian.weights, *jacobian.biases]]
        assert error(flat(comp), flat([a.numpy() for a in ref])) < SAME


def test_losses_are_those_of_the_samples(backend):
    net = make_network([3, 4, 2], "poisson", backend)
    X, y = make_data("poisson", 6, 3, 2)
    losses = derivatives(net, X, y)["losses"]
    ref = [net.loss_and_gradient(X[r : r + 1], y[r : r + 1])[0] for r in range(6)]
    assert error(losses, ref) < 1e-14


def test_nothing_of_the_caller_is_changed(backend):
    net = make_network([3, 4, 2], "squared_error", backend)
    X, y = make_data("squared_error", 6, 3, 2)
    X.flags.writeable = y.flags.writeable = False
    before = flat([*net.weights, *net.biases])
    derivatives(net, X, y)
    net.jacobian(X)
    assert np.array_equal(flat([*net.weights, *net.biases]), before)


def test_bad_input_is_refused(backend):
    net = make_network([3, 4, 2], "squared_error", backend)
    for call in (net.per_sample_gradients, net.input_gradient):
        with pytest.raises(ValueError, match="X has 2 features"):
            call(np.ones((4, 2)), np.ones((4, 2)))
        with pytest.raises(ValueError, match=r"y must have shape \(4, 2\)"):
            call(np.ones((4, 3)), np.ones((4, 1)))
    with pytest.raises(ValueError, match="X has 2 features"):
        net.jacobian(np.ones((4, 2)))
    net.weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite"):
        net.input_gradient(np.ones((4, 3)), np.ones((4, 2)))

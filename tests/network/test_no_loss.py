"""Networks without a loss: what works with them, and what says that it needs one."""

import copy
import pickle

import numpy as np
import pytest
from gradient_helpers import torch_activations, torch_network
from helpers import error, flat, parameters

import fastbp
from fastbp.basis import spec
from fastbp.study.compare import compare_backends

OUTPUTS = spec.NO_LOSS.outputs
X = np.random.default_rng(0).standard_normal((8, 3))
Y = np.full((8, 2), 0.5)


def network(output="tanh", backend=None, dtype="float64", sizes=(3, 5, 2)):
    net = fastbp.Network(
        sizes,
        activation="tanh",
        loss=None,
        output_activation=output,
        dtype=dtype,
        seed=0,
        backend=backend,
    )
    net.biases[-1][...] = np.linspace(-0.5, 0.5, sizes[-1])
    return net


@pytest.mark.parametrize("output", OUTPUTS)
def test_autograd(backend, output):
    """L = Σ c ∘ sin h."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net = network(output, backend)
    s_of, leaves = torch_network(torch, net)
    features = torch.tensor(X, requires_grad=True)
    h = torch_activations(torch)[output](s_of(features))
    c = np.random.default_rng(5).standard_normal(h.shape)
    (torch.tensor(c) * torch.sin(h)).sum().backward()
    p = net.forward(X)
    assert error(p.output, h.detach()) < 1e-13
    assert p.output.tobytes() == net.predict(X).tobytes()
    gradient, by_inputs = p.backward(c * np.cos(p.output))
    expected = flat([leaf.grad.numpy() for leaf in leaves])
    assert error(flat([*gradient.weights, *gradient.biases]), expected) < 1e-12
    assert error(by_inputs, features.grad.numpy()) < 1e-12


def test_a_training_from_outside(backend):
    """Squared errors computed here: the steps are those of a network with that loss."""
    net = network("tanh", backend)
    twin = fastbp.Network(
        [3, 5, 2],
        activation="tanh",
        loss="squared_error",
        output_activation="tanh",
        dtype="float64",
        backend=backend,
    )
    twin.blend(net, 1.0)
    for _ in range(5):
        p = net.forward(X)
        net.apply_gradient(p.backward((p.output - Y) / len(X))[0], optimizer=fastbp.SGD(0.1))
        twin.fit_step(X, Y, optimizer=fastbp.SGD(0.1))
    assert error(parameters(net), parameters(twin)) < 1e-13


@pytest.mark.parametrize("output", OUTPUTS)
def test_copies(output):
    net = network(output, "numpy")
    assert f"loss=None, output_activation='{output}', dtype" in repr(net)
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert (other.loss, other.loss_parameter, other.output_activation) == (None, None, output)
        assert other.predict(X).tobytes() == net.predict(X).tobytes()
    target = network(output, "numpy")
    target.weights[0] = np.zeros((3, 5))
    target.blend(net, 1.0)
    assert parameters(target).tobytes() == parameters(net).tobytes()


def test_derivatives_of_the_outputs(backend):
    """By weights and by inputs; none of them needs a loss."""
    net = network("sigmoid", backend)
    h = net.predict(X)
    assert error(net.jacobian(X).biases[-1][:, 0, 0], h[:, 0] * (1 - h[:, 0])) < 1e-13
    by_inputs = net.forward(X).backward(np.eye(2)[np.zeros(8, int)])[1]
    assert error(net.input_jacobian(X)[:, 0], by_inputs) < 1e-13
    assert len(net.layer_outputs(X)) == 2


NEEDS_A_LOSS = {
    "fit": lambda net: net.fit(X, Y),
    "fit_step": lambda net: net.fit_step(X, Y),
    "fit_batches": lambda net: net.fit_batches([(X, Y)]),
    "fit with dy": lambda net: net.fit(X, Y, dy=np.zeros((8, 2, 3))),
    "fit_many": lambda net: fastbp.fit_many([net], X, Y),
    "fit_residual": lambda net: fastbp.fit_residual(
        net,
        X,
        lambda x, h, dh, d2h: (h, np.eye(2)[None].repeat(len(h), 0), None, None),
        boundary=(X, Y),
    ),
    "loss_and_gradient": lambda net: net.loss_and_gradient(X, Y),
    "per_sample_gradients": lambda net: net.per_sample_gradients(X, Y),
    "input_gradient": lambda net: net.input_gradient(X, Y),
    "hessian_vector_product": lambda net: net.hessian_vector_product(
        X, Y, fastbp.Gradient([np.ones_like(W) for W in net.weights], [*net.biases])
    ),
    "trace": lambda net: net.trace(X, Y),
    "check_gradients": lambda net: fastbp.check_gradients(net, X, Y),
    "find_learning_rate": lambda net: fastbp.find_learning_rate(net, X, Y),
    "compare_backends": lambda net: compare_backends(
        [3, 2], X, Y, loss=None, output_activation="tanh", only=["numpy"]
    ),
}


@pytest.mark.parametrize("call", NEEDS_A_LOSS)
def test_what_needs_a_loss_says_so(call):
    net = network()
    before = parameters(net)
    with pytest.raises(ValueError, match=r"this network has no loss \(loss=None\).*make it with a"):
        NEEDS_A_LOSS[call](net)
    assert parameters(net).tobytes() == before.tobytes()


def test_levenberg_marquardt():
    with pytest.raises(ValueError, match="requires the loss 'squared_error', got None"):
        fastbp.levenberg_marquardt(network(), X, Y)


def test_without_both():
    words = "a network needs a loss=, such as 'squared_error', or, to go without one, an output_"
    with pytest.raises(TypeError, match=words):
        fastbp.Network([2, 1], loss=None)
    with pytest.raises(ValueError, match="loss_parameter must be None"):
        fastbp.Network([2, 1], loss=None, output_activation="tanh", loss_parameter=0.5)
    with pytest.raises(ValueError, match="softmax needs at least 2 outputs"):
        fastbp.Network([2, 1], loss=None, output_activation="softmax")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", OUTPUTS)
def test_twins_give_the_same_bits(twins, output, dtype):
    results = []
    for name in twins:
        p = network(output, name, dtype).forward(X)
        gradient, by_inputs = p.backward(np.cos(p.output))
        arrays = [p.output, *gradient.weights, *gradient.biases, by_inputs]
        results.append(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays))
    assert results[0] == results[1]

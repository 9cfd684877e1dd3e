"""`Network.apply_gradient`: a step with a gradient from outside."""

import copy
import pickle

import numpy as np
import pytest
from gradient_helpers import torch_network
from helpers import DTYPES, OPTIMIZERS, error, flat, make_data, make_network, parameters

import fastbp

RULES = [
    {"clip_norm": 0.05},
    {"l1": 0.01, "l2": [0.0, 0.1]},
    {"frozen": [0]},
    {"clip_norm": 0.1, "l1": 0.01, "l2": 0.3, "frozen": [1]},
]


def start(backend, dtype="float64", n=7):
    net = make_network([6, 12, 3], "squared_error", backend, dtype)
    return net, *make_data("squared_error", n, 6, 3)


def step(net, X, y, **how):
    net.apply_gradient(net.loss_and_gradient(X, y)[1], **how)


def bits(net):
    """The weights, and the optimiser's state."""
    online = net._online
    return net._engine.parameters.tobytes(), online.state.tobytes(), online.counters.tobytes()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_steps_are_those_of_fit_step(backend, optimizer, dtype):
    net, X, y = start(backend, dtype)
    ref, _, _ = start(backend, dtype)
    for n in (7, 1, 5):
        step(net, X[:n], y[:n], optimizer=OPTIMIZERS[optimizer])
        ref.fit_step(X[:n], y[:n], optimizer=OPTIMIZERS[optimizer])
    assert bits(net) == bits(ref)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("sizes", "n"), [([6, 12, 3], 5000), ([40, 300, 11], 900), ([9, 1], 7), ([5, 1, 1], 40)]
)
@pytest.mark.parametrize("loss", ["log_loss", "cross_entropy"])
def test_batches_of_all_sizes(backend, sizes, n, loss, dtype):
    sizes = [*sizes[:-1], 2] if loss == "cross_entropy" else sizes
    net, ref = (make_network(sizes, loss, backend, dtype) for _ in range(2))
    X, y = make_data(loss, n, sizes[0], sizes[-1])
    for _ in range(2):
        step(net, X, y)
        ref.fit_step(X, y)
    assert bits(net) == bits(ref)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_rules_are_those_of_fit_step(backend, dtype, rules):
    """For one step; the state stays, also when they change."""
    net, X, y = start(backend, dtype)
    ref, _, _ = start(backend, dtype)
    for now in ({}, rules, rules, {}):
        step(net, X, y, **now)
        ref.fit_step(X, y, **now)
    assert bits(net) == bits(ref)


@pytest.mark.parametrize("order", ["afaff", "faafa"])
def test_fit_step_shares_the_state(backend, order):
    net, X, y = start(backend)
    ref, _, _ = start(backend)
    for kind in order:
        step(net, X, y, l2=0.1) if kind == "a" else net.fit_step(X, y, l2=0.1)
        ref.fit_step(X, y, l2=0.1)
    assert bits(net) == bits(ref)


def test_another_optimizer_begins_anew(backend):
    net, X, y = start(backend)
    ref, _, _ = start(backend)
    for optimizer in (fastbp.SGD(0.1, momentum=0.9), None, fastbp.SGD(0.1), fastbp.SGD(0.1)):
        step(net, X, y, optimizer=optimizer)
        ref.fit_step(X, y, optimizer=optimizer)
    assert bits(net) == bits(ref)


def test_a_gradient_of_ones(backend):
    """By hand. It is not divided by anything, and it is not changed."""
    net, _, _ = start(backend)
    before = parameters(net)
    ones = fastbp.Gradient(
        *([np.ones(a.shape) for a in each] for each in (net.weights, net.biases))
    )
    net.apply_gradient(ones, optimizer=fastbp.SGD(0.5))
    assert np.array_equal(parameters(net), before - 0.5)
    assert all((a == 1).all() for each in ones for a in each)


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_other_kinds(backend, dtype):
    """Lists, whole numbers, another dtype, another order; NumPy's and read-only ones."""
    net, ref = (start(backend, dtype)[0] for _ in range(2))
    W = [np.arange(72).reshape(6, 12), np.ones((12, 3))]
    b = [np.arange(12), np.zeros(3)]
    W[1].flags.writeable = False
    ref.apply_gradient(fastbp.Gradient([w.astype(dtype) for w in W], [v.astype(dtype) for v in b]))
    others = [W[0].tolist(), np.asfortranarray(W[1])], [b[0].astype(np.int8), b[1].tolist()]
    net.apply_gradient(fastbp.Gradient(*others))
    assert bits(net) == bits(ref)


def test_the_networks_own_weights(backend):
    """L = ½ |θ|²."""
    net, _, _ = start(backend)
    before = parameters(net)
    net.apply_gradient(fastbp.Gradient(net.weights, net.biases), optimizer=fastbp.SGD(0.5))
    assert np.array_equal(parameters(net), 0.5 * before)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_step_on_their_own(backend, copied):
    net, X, y = start(backend)
    step(net, X, y)
    other, before = copied(net), bits(net)
    step(other, X, y)
    assert bits(net) == before
    assert not np.array_equal(parameters(other), parameters(net))


def replaced(gradient, i, array):
    weights = list(gradient.weights)
    weights[i] = array
    return fastbp.Gradient(weights, gradient.biases)


BAD = {
    "a pair": (lambda g: (0.5, g), TypeError, "must be a fastbp.Gradient, got tuple"),
    "None": (lambda g: None, TypeError, "must be a fastbp.Gradient, got NoneType"),
    "too few": (
        lambda g: fastbp.Gradient(g.weights[:1], g.biases),
        *(ValueError, r"gradient.weights must be a list of 2 arrays, .* got 1 entries"),
    ),
    "no list": (
        lambda g: fastbp.Gradient(g.weights, 3),
        *(ValueError, r"gradient.biases must be a list of 2 arrays, .* got 3"),
    ),
    "shape": (
        lambda g: replaced(g, 1, g.weights[1].T),
        *(ValueError, r"gradient.weights\[1\] must have shape \(12, 3\), got \(3, 12\)"),
    ),
    "broadcast": (lambda g: replaced(g, 0, 1.0), ValueError, r"weights\[0\] must have shape"),
    "NaN": (
        lambda g: replaced(g, 1, np.full((12, 3), np.nan)),
        *(ValueError, r"gradient.weights\[1\] has NaN or infinite values"),
    ),
    "too large": (
        lambda g: replaced(g, 1, np.full((12, 3), 1e300)),
        *(ValueError, r"gradient.weights\[1\] has values too large for float32"),
    ),
    "text": (
        lambda g: replaced(g, 1, np.full((12, 3), "1")),
        *(TypeError, r"gradient.weights\[1\] must hold real numbers"),
    ),
    "complex": (
        lambda g: replaced(g, 1, np.full((12, 3), 1j)),
        *(TypeError, r"gradient.weights\[1\] must hold real numbers"),
    ),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_gradients_change_nothing(backend, bad):
    """Neither the weights nor the state, also if another optimiser comes with them."""
    make, problem, words = BAD[bad]
    net, X, y = start(backend, "float32")
    ref, _, _ = start(backend, "float32")
    for _ in range(2):
        ref.fit_step(X, y)
    net.fit_step(X, y)
    for how in ({}, {"optimizer": fastbp.SGD(), "l2": 0.1}):
        gradient = net.loss_and_gradient(X, y)[1]
        before = bits(net)
        with pytest.raises(problem, match=words):
            net.apply_gradient(make(gradient), **how)
        assert bits(net) == before
    net.fit_step(X, y)
    assert bits(net) == bits(ref)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"optimizer": "adm"}, ValueError),
        ({"optimizer": 3}, TypeError),
        ({"clip_norm": 0}, ValueError),
        ({"l1": -1.0}, ValueError),
        ({"frozen": [0, 1]}, ValueError),
        ({"schedule": fastbp.CosineDecay()}, TypeError),
    ],
)
def test_bad_options_change_nothing(backend, bad, problem):
    net, X, y = start(backend)
    step(net, X, y)
    before = bits(net)
    with pytest.raises(problem):
        step(net, X, y, **bad)
    assert bits(net) == before


def test_weights_that_are_not_finite(backend):
    net, X, y = start(backend)
    gradient = net.loss_and_gradient(X, y)[1]
    net.biases[0][0] = np.nan
    with pytest.raises(ValueError, match=r"the network's biases\[0\]"):
        net.apply_gradient(gradient)


def test_divergence_is_an_error(backend):
    net, _, _ = start(backend, "float32")
    large = fastbp.Gradient(
        *([np.full(a.shape, 1e30) for a in each] for each in (net.weights, net.biases))
    )
    with pytest.raises(fastbp.TrainingDiverged, match="the weights are not finite"):
        net.apply_gradient(large, optimizer=fastbp.SGD(1e20))


def test_a_loss_in_python_is_not_called(backend):
    def loss(h, y):
        assert not h.any()  # only the trial with zeros
        return h.sum(axis=1), np.ones_like(h)

    net = fastbp.Network([3, 2], loss=loss, dtype="float64", backend=backend, seed=0)
    before = parameters(net)
    gradient, _ = net.forward(np.eye(3)).backward(np.ones((3, 2)))
    net.apply_gradient(gradient, optimizer=fastbp.SGD(0.1))
    assert np.array_equal(
        parameters(net), before - 0.1 * flat([*gradient.weights, *gradient.biases])
    )


def test_actor_through_critic(backend):
    """Adam in PyTorch, on both networks by turns, for some steps."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    actor = make_network([4, 9, 2], "log_loss", backend, activation="silu")
    critic = make_network([6, 8, 1], "squared_error", backend, seed=4)
    X, y = make_data("squared_error", 16, 4, 1)
    (pi, of_pi), (Q, of_Q) = (torch_network(torch, net) for net in (actor, critic))
    adams = [torch.optim.Adam(leaves, lr=0.01) for leaves in (of_pi, of_Q)]
    for _ in range(5):
        action = actor.forward(X)
        inputs = np.hstack([X, action.output])
        value = critic.forward(inputs)
        of_inputs = value.backward(np.full(16, -1 / 16))[1]
        critic.apply_gradient(
            value.backward((value.output - y) / 16)[0], optimizer=fastbp.Adam(0.01)
        )
        actor.apply_gradient(action.backward(of_inputs[:, 4:])[0], optimizer=fastbp.Adam(0.01))

        state = torch.tensor(X)
        q = Q(torch.cat([state, torch.sigmoid(pi(state))], 1))
        own = torch.autograd.grad(-q.mean(), of_pi, retain_graph=True)
        fixed = torch.cat([state, torch.sigmoid(pi(state)).detach()], 1)
        others = torch.autograd.grad(((Q(fixed) - torch.tensor(y)) ** 2).mean() / 2, of_Q)
        for leaves, slopes, adam in ((of_pi, own, adams[0]), (of_Q, others, adams[1])):
            for leaf, slope in zip(leaves, slopes, strict=True):
                leaf.grad = slope
            adam.step()
    for net, leaves in ((actor, of_pi), (critic, of_Q)):
        assert error(parameters(net), flat([leaf.detach().numpy() for leaf in leaves])) < 1e-10


def test_gradients_are_equal_if_their_arrays_are():
    """Of a tuple of lists of arrays, Python would ask whether an array is true."""
    net = fastbp.Network([2, 3, 1], loss="squared_error", norm="layer", seed=0, backend="numpy")
    X, y = [[1.0, 2.0], [0.0, 3.0]], [0.0, 1.0]
    (_, one), (_, other) = (net.loss_and_gradient(X, y) for _ in range(2))
    assert (one == other) is True and (one != other) is False and one is not other
    other.norm_biases[0][1] += 1
    assert (one == other) is False and (one != other) is True
    assert one != fastbp.Gradient(one.weights, one.biases)
    assert one != tuple(one) and one != one._replace(biases=[]) and one != 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)
    assert fastbp.Gradient._make(tuple(one)) == fastbp.Gradient(one.weights, one.biases)

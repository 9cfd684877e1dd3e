"""`Network.forward` and `ForwardPass.backward`: gradients of functions outside the network."""

import copy
import pickle

import numpy as np
import pytest
from gradient_helpers import DIFFERENCES, STEP, problem, torch_activations, torch_network
from helpers import ACTIVATIONS, DTYPES, error, flat, make_data, make_network, parameters

import fastbp

# One loss for each output activation.
LOSSES = {
    "squared_error": "identity",
    "log_loss": "sigmoid",
    "poisson": "exp",
    "cross_entropy": "softmax",
}
WRT = ["output", "preactivation"]
SHAPES = [[5, 7, 3], [1, 1, 1], [16, 33, 16, 17], [9, 1], [9, 4]]


def start(backend, loss="log_loss", dtype="float64"):
    net = make_network([6, 12, 3], loss, backend, dtype)
    X = make_data(loss, 8, 6, 3)[0]
    return net, X, np.random.default_rng(3).standard_normal((8, 3))


def together(gradient):
    return flat([*gradient.weights, *gradient.biases])


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_output_is_that_of_predict(backend, sizes, loss, dtype):
    sizes = [*sizes[:-1], max(sizes[-1], 2)] if loss == "cross_entropy" else sizes
    net = make_network(sizes, loss, backend, dtype)
    for n in (1, 7, 300):
        X, _ = make_data(loss, n, sizes[0], sizes[-1])
        assert net.forward(X).output.tobytes() == net.predict(X).tobytes()


@pytest.mark.parametrize("wrt", WRT)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autograd(backend, activation, loss, wrt):
    """L = Σ c ∘ sin of the output, or of its pre-activation."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, _ = problem(loss, None, activation, backend)
    s_of, leaves = torch_network(torch, net)
    features = torch.tensor(X, requires_grad=True)
    s = s_of(features)
    f = torch_activations(torch)[LOSSES[loss]](s) if wrt == "output" else s
    c = np.random.default_rng(5).standard_normal(f.shape)
    (torch.tensor(c) * torch.sin(f)).sum().backward()
    p = net.forward(X)
    gradient, by_inputs = p.backward(c * np.cos(f.detach().numpy()), wrt=wrt)
    assert error(together(gradient), flat([leaf.grad.numpy() for leaf in leaves])) < 1e-12
    assert error(by_inputs, features.grad.numpy()) < 1e-12


@pytest.mark.nojit
@pytest.mark.parametrize("loss", LOSSES)
def test_finite_differences(backend, loss):
    """L = ½ Σ c h², with every output by itself."""
    net, X, _ = problem(loss, None, "softplus", backend)
    c = np.random.default_rng(5).standard_normal(net.predict(X).shape)

    def L():
        return (c * net.predict(X) ** 2).sum() / 2

    p = net.forward(X)
    gradient, by_inputs = p.backward(c * p.output)
    for arrays, comp in (
        ([*net.weights, *net.biases], together(gradient)),
        ([X], by_inputs.ravel()),
    ):
        ref = []
        for array in arrays:
            for index in np.ndindex(array.shape):
                value, sides = array[index], []
                for step in (STEP, -STEP):
                    array[index] = value + step
                    sides.append(L())
                array[index] = value
                ref.append((sides[0] - sides[1]) / (2 * STEP))
        assert error(comp, ref) < DIFFERENCES


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_the_networks_own_loss(backend, sizes, dtype):
    """Deltas h - y of the total: n times the gradient of the mean, the same bits for n = 2^k."""
    net = make_network(sizes, "log_loss", backend, dtype)
    X, y = make_data("log_loss", 8, sizes[0], sizes[-1])
    X, y = X.astype(dtype), y.astype(dtype)
    p = net.forward(X)
    gradient, by_inputs = p.backward(p.output - y, wrt="preactivation")
    same = {"float32": 1e-6, "float64": 1e-14}[dtype]
    assert error(together(gradient), 8 * together(net.loss_and_gradient(X, y)[1])) < same
    assert error(by_inputs, net.input_gradient(X, y)) < same
    for found, own in zip(
        [*gradient.weights, *gradient.biases], [*net.weights, *net.biases], strict=True
    ):
        assert found.shape == own.shape and found.dtype == own.dtype == dtype


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_cython_and_numba_give_the_same_bits(twins, loss, dtype):
    results = []
    for name in twins:
        net, X, c = start(name, loss, dtype)
        p = net.forward(X)
        gradient, by_inputs = p.backward(c)
        results.append([p.output, together(gradient), by_inputs])
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.nojit
@pytest.mark.parametrize("wrt", WRT)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_only_what_is_wanted(backend, sizes, wrt):
    """The same bits, and None for the rest; in any order of calls."""
    net = make_network(sizes, "log_loss", backend)
    X, _ = make_data("log_loss", 8, sizes[0], sizes[-1])
    c = np.random.default_rng(3).standard_normal((8, sizes[-1]))
    p = net.forward(X)
    for _ in range(2):
        nothing, by_inputs = p.backward(c, wrt=wrt, parameters=False)
        gradient, nothing_else = p.backward(c, wrt=wrt, inputs=False)
        assert nothing is nothing_else is None
        expected = p.backward(c, wrt=wrt)
        assert together(gradient).tobytes() == together(expected[0]).tobytes()
        assert by_inputs.tobytes() == expected[1].tobytes()
    with pytest.raises(ValueError, match="parameters and inputs are both False; nothing would"):
        p.backward(c, parameters=False, inputs=False)
    for name in ("parameters", "inputs"):
        with pytest.raises(TypeError, match=f"{name} must be True or False, got 1"):
            p.backward(c, **{name: 1})


def test_compute_dtype(backend):
    net = fastbp.Network(
        [6, 12, 1], loss="squared_error", compute_dtype="bfloat16", backend=backend
    )
    X, y = (a.astype(np.float32) for a in make_data("squared_error", 8, 6, 1))
    p = net.forward(X)
    assert np.array_equal(p.output, net.predict(X))
    gradient, _ = p.backward((p.output - y) / 8)
    assert error(together(gradient), together(net.loss_and_gradient(X, y)[1])) < 1e-6


def test_a_loss_that_is_a_function(backend):
    """Its network has the identity at the output; the function is not called."""

    def loss(h, y):
        assert not h.any()  # only the trial with zeros
        return h.sum(axis=1), np.ones_like(h)

    net = fastbp.Network([3, 2], loss=loss, dtype="float64", backend=backend, seed=0)
    p = net.forward(np.eye(3))
    assert np.array_equal(p.backward(np.ones((3, 2)))[0].weights[0], np.ones((3, 2)))


@pytest.mark.parametrize("wrt", WRT)
def test_one_output_may_be_a_vector(backend, wrt):
    net = make_network([4, 5, 1], "log_loss", backend)
    X, _ = make_data("log_loss", 6, 4, 1)
    p, c = net.forward(X), np.arange(6.0)
    comp, ref = (p.backward(dL, wrt=wrt) for dL in (c.tolist(), c[:, None]))
    assert together(comp[0]).tobytes() == together(ref[0]).tobytes()
    assert comp[1].tobytes() == ref[1].tobytes()


def test_buffers_are_the_passes_own(backend):
    """Nothing that comes after it changes a pass, nor what it has returned."""
    net, X, c = start(backend)
    first, own = net.forward(X), X.copy()
    expected = together(net.forward(own).backward(c)[0])
    X[...], first.output[...] = 7, 9
    later = [net.forward(own + i) for i in range(3)]
    found, by_inputs = first.backward(c)
    kept = together(found), by_inputs.copy()
    for p in later:
        p.backward(2 * c)
    first.backward(3 * c)
    net.predict(own), net.fit_step(own, np.ones((8, 3)))
    assert kept[0].tobytes() == together(found).tobytes() == expected.tobytes()
    assert kept[1].tobytes() == by_inputs.tobytes()


def test_nothing_of_the_caller_is_changed(backend):
    net, X, c = start(backend)
    X.flags.writeable = c.flags.writeable = False
    before = net._engine.parameters.tobytes()
    net.forward(X).backward(c)
    assert net._engine.parameters.tobytes() == before


CHANGES = {
    "fit_step": lambda net: net.fit_step(np.ones((1, 6)), np.ones((1, 3))),
    "assignment": lambda net: net.biases.__setitem__(0, np.ones(12)),
    "blend": lambda net: net.blend(make_network([6, 12, 3], "log_loss", "numpy", seed=5), 0.5),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_weights_are_noticed(backend, change):
    net, X, c = start(backend)
    p = net.forward(X)
    CHANGES[change](net)
    with pytest.raises(RuntimeError, match="have changed since the forward pass"):
        p.backward(c)


@pytest.mark.parametrize("dtype", DTYPES)
def test_writing_through_an_old_view_is_noticed(backend, dtype):
    """Each single number of all weights and biases; also a view from before the pass."""
    net, X, c = start(backend, dtype=dtype)
    views = [*net.weights, *net.biases]
    p = net.forward(X)
    for view in views:
        for index in np.ndindex(view.shape):
            value = view[index]
            view[index] = np.nextafter(value, view.dtype.type(9))
            with pytest.raises(RuntimeError, match="changed"):
                p.backward(c)
            view[index] = value
    p.backward(c)  # they are what they were


@pytest.mark.parametrize(
    ("dL_dh", "how", "problem", "words"),
    [
        (np.ones((8, 2)), {}, ValueError, r"dL_dh must have shape \(8, 3\), got \(8, 2\)"),
        (np.ones(8), {}, ValueError, r"dL_dh must have shape \(8, 3\), got \(8,\)"),
        (np.ones((7, 3)), {}, ValueError, "dL_dh must have shape"),
        (np.full((8, 3), np.nan), {}, ValueError, "dL_dh has NaN or infinite values"),
        (np.full((8, 3), np.inf), {}, ValueError, "dL_dh has NaN or infinite values"),
        (np.full((8, 3), "1"), {}, TypeError, "dL_dh must hold"),
        (np.full((8, 3), 1j), {}, TypeError, "dL_dh must hold real numbers"),
        (None, {}, (TypeError, ValueError), "dL_dh must"),
        (np.ones((8, 3)), {"wrt": "logits"}, ValueError, 'wrt must be "output" or'),
        (np.ones((8, 3)), {"wrt": np.ones(2)}, ValueError, "wrt must be"),
    ],
)
def test_bad_derivatives(backend, dL_dh, how, problem, words):
    net, X, c = start(backend)
    p = net.forward(X)
    expected = together(p.backward(c)[0])
    with pytest.raises(problem, match=words):
        p.backward(dL_dh, **how)
    assert together(p.backward(c)[0]).tobytes() == expected.tobytes()


def test_derivatives_too_large_for_the_dtype(backend):
    net, X, _ = start(backend, dtype="float32")
    with pytest.raises(ValueError, match="dL_dh has values too large for float32"):
        net.forward(X).backward(np.full((8, 3), 1e300))


def test_bad_samples(backend):
    net, X, _ = start(backend)
    for bad in (X[:, :5], X[0], X * np.nan, X[:0]):
        with pytest.raises(ValueError, match="X"):
            net.forward(bad)
    net.weights[0][0, 0] = np.nan
    with pytest.raises(ValueError, match=r"the network's weights\[0\] has NaN"):
        net.forward(X)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_passes_cannot_be_copied(copied):
    """A copy would give its buffers away while the other one uses them."""
    net, X, _ = start("numpy")
    with pytest.raises(TypeError, match="cannot be copied or pickled"):
        copied(net.forward(X))


def test_a_pass_outlives_its_network(backend):
    net, X, c = start(backend)
    p, expected = net.forward(X), together(net.forward(X).backward(c)[0])
    del net
    assert together(p.backward(c)[0]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("loss", ["log_loss", "cross_entropy"])
def test_two_networks_in_a_chain(backend, loss):
    """An actor through a critic, against PyTorch; the actor's output is one of all kinds."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    actor = make_network([4, 9, 2], loss, backend, activation="silu")
    critic = make_network([6, 8, 1], "squared_error", backend, seed=4)
    X = np.random.default_rng(8).standard_normal((16, 4))
    action = actor.forward(X)
    value = critic.forward(np.hstack([X, action.output]))
    of_critic, by_inputs = value.backward(np.full(16, -1 / 16))
    of_actor, by_state = action.backward(by_inputs[:, 4:])
    before = parameters(actor)

    pi, of_pi = torch_network(torch, actor)
    Q, of_Q = torch_network(torch, critic)
    state = torch.tensor(X, requires_grad=True)
    act = torch_activations(torch)[LOSSES[loss]](pi(state))
    (-Q(torch.cat([state, act], 1)).mean()).backward()
    assert error(together(of_actor), flat([leaf.grad.numpy() for leaf in of_pi])) < 1e-12
    assert error(together(of_critic), flat([leaf.grad.numpy() for leaf in of_Q])) < 1e-12
    assert error(by_state + by_inputs[:, :4], state.grad.numpy()) < 1e-12
    assert np.array_equal(parameters(actor), before)

"""Derivatives of what a network predicts by its inputs, and products with the loss's Hessian."""

import numpy as np
import pytest
from gradient_helpers import SAME, problem, torch_activations, torch_network
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
    parameters,
)

import fastbp

# One loss for each output activation.
LOSSES = {
    "squared_error": "identity",
    "log_loss": "sigmoid",
    "poisson": "exp",
    "cross_entropy": "softmax",
}
SHAPES = [[3, 7, 5, 4], [1, 6, 1], [5, 9, 1], [2, 3], [17, 4, 2], [1, 1]]
# Both precisions, each relative to the largest entry.
PRECISE = {"float32": 1e-4, "float64": SAME}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the independent source here")


def expected(torch, net, X):
    """The derivatives of the outputs by the inputs and their second ones, by autograd."""
    s_of, _ = torch_network(torch, net)
    x = torch.tensor(X, requires_grad=True)
    h = torch_activations(torch)[net.output_activation](s_of(x))
    first, second = (np.zeros((len(X), h.shape[1], X.shape[1])) for _ in range(2))
    for k in range(h.shape[1]):
        (slope,) = torch.autograd.grad(h[:, k].sum(), x, create_graph=True)
        first[:, k] = slope.detach().numpy()
        for j in range(X.shape[1]) if slope.requires_grad else ():
            (of_slope,) = torch.autograd.grad(
                slope[:, j].sum(), x, retain_graph=True, materialize_grads=True
            )
            second[:, k, j] = of_slope[:, j].numpy()
    return first, second


def start(sizes, loss, backend, dtype="float64", activation="tanh", n=9):
    sizes = [*sizes[:-1], outputs_for(loss, sizes[-1])]
    net = make_network(sizes, loss, backend, dtype, activation)
    X, _ = make_data(loss, n, sizes[0], sizes[-1])
    return net, X


def check_all(net, X, first, second, precise):
    rng = np.random.default_rng(4)
    v = rng.standard_normal(first.shape[:2])
    t = rng.standard_normal(X.shape)
    found = {
        "jacobian": (net.input_jacobian(X), first),
        "vjp": (net.input_vjp(X, v), (v[:, :, None] * first).sum(axis=1)),
        "jvp": (net.input_jvp(X, t), (first * t[:, None]).sum(axis=2)),
        "diagonal": (net.input_hessian_diagonal(X), second),
        "laplacian": (net.input_laplacian(X), second.sum(axis=2)),
    }
    for name, (comp, ref) in found.items():
        assert comp.dtype == net.layout.dtype and comp.flags.c_contiguous, name
        assert error(comp, ref) < precise, name


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_autograd(torch, backend, sizes, loss):
    net, X = start(sizes, loss, backend)
    check_all(net, X, *expected(torch, net, X), PRECISE["float64"])


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(torch, backend, activation):
    net, X, _ = problem("log_loss", None, activation, backend)
    check_all(net, X, *expected(torch, net, X), 1e-11)


@pytest.mark.parametrize("loss", LOSSES)
def test_float32(torch, backend, loss):
    single, X = start([3, 7, 5, 4], loss, backend, "float32")
    double, _ = start([3, 7, 5, 4], loss, "numpy")
    for i in range(3):
        double.weights[i], double.biases[i] = single.weights[i], single.biases[i]
    X = X.astype(np.float32)
    check_all(single, X, *expected(torch, double, X.astype(float)), PRECISE["float32"])


@pytest.mark.parametrize("loss", LOSSES)
def test_central_differences(backend, loss):
    net, X = start([3, 7, 5, 2], loss, backend)
    step = 1e-4
    first, second = net.input_jacobian(X), net.input_hessian_diagonal(X)
    for j in range(3):
        right, left = X.copy(), X.copy()
        right[:, j] += step
        left[:, j] -= step
        above, below, here = (net.predict(x) for x in (right, left, X))
        assert error(first[:, :, j], (above - below) / (2 * step)) < 1e-7
        assert error(second[:, :, j], (above - 2 * here + below) / step**2) < 1e-5


@pytest.mark.parametrize("output", ["tanh", "softplus", "sigmoid"])
def test_output_activations_that_the_loss_does_not_imply(torch, backend, output):
    how = dict(output_activation=output, dtype="float64", backend=backend, seed=0)
    net = fastbp.Network([3, 7, 2], activation="tanh", loss="squared_error", **how)
    X, y = make_data("squared_error", 9, 3, 2)
    check_all(net, X, *expected(torch, net, X), PRECISE["float64"])
    y = np.abs(y)
    g, step = vector(net), 1e-5
    sides = []
    for sign in (1, -1, 0):
        for array, direction in zip(parameters_of(net), [*g.weights, *g.biases], strict=True):
            array += (sign or 1) * step * direction * (2 if sign < 0 else 1)
        sides.append(gradient_of(net, X, y))
    comp = together(net.hessian_vector_product(X, y, g))
    assert error(comp, (sides[0] - sides[1]) / (2 * step)) < 1e-7


def test_relu_has_no_second_derivative(backend):
    for activation in ("relu", "leaky_relu"):
        net, X = start([3, 7, 2], "squared_error", backend, activation=activation)
        assert net.input_jacobian(X).any()
        assert not net.input_hessian_diagonal(X).any()
        assert not net.input_laplacian(X).any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_derivatives_by_the_parameters_come_with_those_by_the_inputs(backend, loss, dtype):
    """As going back through a kept pass."""
    net, X = start([3, 7, 2], loss, backend, dtype)
    v = np.random.default_rng(0).standard_normal((len(X), net.layout.sizes[-1]))
    by_inputs, gradient = net.input_vjp(X, v, parameters=True)
    reference, of_inputs = net.forward(X).backward(v)
    assert isinstance(gradient, fastbp.Gradient)
    assert error(by_inputs, of_inputs) < PRECISE[dtype]
    assert np.array_equal(by_inputs, net.input_vjp(X, v, parameters=False))
    for one, other in zip([*gradient.weights, *gradient.biases], parameters_of(net), strict=True):
        assert one.shape == other.shape and one.dtype == dtype
    comp, ref = (flat([*g.weights, *g.biases]) for g in (gradient, reference))
    assert error(comp, ref) < PRECISE[dtype]


def parameters_of(net):
    return [*net.weights, *net.biases]


def test_relations_to_the_other_derivatives(backend):
    """∂e/∂x = (h - y) ∂h/∂x for the squared error; v moves outputs as t moves inputs."""
    net, X = start([4, 6, 3], "squared_error", backend)
    y = np.random.default_rng(1).standard_normal((len(X), 3))
    d = net.predict(X) - y
    assert error(net.input_gradient(X, y), net.input_vjp(X, d)) < SAME
    t = np.random.default_rng(2).standard_normal(X.shape)
    left = (d * net.input_jvp(X, t)).sum(axis=1)
    assert error(left, (net.input_vjp(X, d) * t).sum(axis=1)) < SAME


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_cython_and_numba_give_the_same_bits(twins, loss, dtype):
    results = []
    for name in twins:
        net, X = start([3, 7, 5, 4], loss, name, dtype, n=70)
        v, t = np.cos(net.predict(X[:1]).size + X @ np.ones((3, 4))), np.sin(X)
        if loss == "cross_entropy":
            assert net.layout.sizes[-1] == 4
        by_inputs, gradient = net.input_vjp(X, v, parameters=True)
        y = np.abs(v) / np.abs(v).sum(axis=1, keepdims=True)
        product = net.hessian_vector_product(X, y, gradient)
        results.append(
            [
                *(net.input_jacobian(X), net.input_jvp(X, t), net.input_hessian_diagonal(X)),
                *(net.input_laplacian(X), by_inputs, flat([*gradient.weights, *gradient.biases])),
                flat([*product.weights, *product.biases]),
            ]
        )
    for one, other in zip(*results, strict=True):
        assert one.tobytes() == other.tobytes()


def test_rows_of_many_blocks(backend):
    """Rows do not depend on each other, however they are divided."""
    net, X = start([3, 40, 30, 2], "log_loss", backend, n=3000)
    for call in (
        *(net.input_jacobian, net.input_hessian_diagonal, net.input_laplacian),
        lambda x: net.input_jvp(x, np.sin(x)),
        lambda x: net.input_vjp(x, np.cos(x[:, :2])),
    ):
        whole = call(X)
        for rows in (slice(0, 1), slice(1500, 1530), slice(2990, None)):
            assert error(call(X[rows]), whole[rows]) < 1e-13


# The parameters' Hessian.


def vector(net, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [[a.shape for a in arrays] for arrays in (net.weights, net.biases)]
    return fastbp.Gradient(*([rng.standard_normal(shape) for shape in part] for part in shapes))


def together(gradient):
    return flat([*gradient.weights, *gradient.biases])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_hessian_vector_product_by_differences_of_gradients(backend, loss, kind, weighted):
    net, X, y = problem(loss, kind, "tanh", backend)
    weight = np.random.default_rng(3).uniform(0.5, 2, len(X)) if weighted else None
    g, step = vector(net), 1e-5
    comp = together(net.hessian_vector_product(X, y, g, weight))
    sides = []
    for sign in (1, -1):
        for array, direction in zip(parameters_of(net), [*g.weights, *g.biases], strict=True):
            array += sign * step * direction
        sides.append(gradient_of(net, X, y, weight))
        for array, direction in zip(parameters_of(net), [*g.weights, *g.biases], strict=True):
            array -= sign * step * direction
    ref = (sides[0] - sides[1]) / (2 * step)
    assert error(comp, ref) < 1e-7 if ref.any() else not comp.any()


def test_without_a_loss(backend):
    """Derivatives of the outputs need none; those of the loss refuse."""
    net = fastbp.Network([3, 4, 2], loss=None, output_activation="tanh", backend=backend, seed=0)
    X = np.eye(3)
    assert net.input_jacobian(X).shape == (3, 2, 3)
    with pytest.raises((TypeError, ValueError), match="loss"):
        net.hessian_vector_product(X, X[:, :2], vector(net))


def test_hessian_vector_product_by_autograd(torch, backend):
    net, X, y = problem("log_loss", None, "silu", backend)
    g = vector(net)
    s_of, leaves = torch_network(torch, net)
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    mean = loss(s_of(X), torch.tensor(y), reduction="none").sum(1).mean()
    slopes = torch.autograd.grad(mean, leaves, create_graph=True)
    along = sum(
        (slope * torch.tensor(part)).sum()
        for slope, part in zip(slopes, [*g.weights, *g.biases], strict=True)
    )
    ref = flat([part.numpy() for part in torch.autograd.grad(along, leaves)])
    assert error(together(net.hessian_vector_product(X, y, g)), ref) < SAME


def test_rows_of_weight_zero_add_exactly_nothing(backend):
    net, X, y = problem("squared_error", None, "tanh", backend)
    g, weight = vector(net), np.array([1.0, 0, 2, 0, 1])
    far = np.where(weight[:, None] > 0, y, 1e300)
    with_them = together(net.hessian_vector_product(X, far, g, weight))
    kept = weight > 0
    without = together(net.hessian_vector_product(X[kept], y[kept], g, weight[kept]))
    assert error(with_them, without) < 1e-14


def test_a_loss_without_second_derivative_is_refused(backend):
    def loss(h, y):
        return ((h - y) ** 4).sum(axis=1), 4 * (h - y) ** 3

    net = fastbp.Network([2, 1], loss=loss, backend=backend)
    with pytest.raises(ValueError, match="gives no second derivative"):
        net.hessian_vector_product(np.ones((2, 2)), [1.0, 2.0], vector(net))


# Arguments.


def test_one_output_or_input_may_be_a_vector(backend):
    net, X = start([1, 4, 1], "squared_error", backend)
    v = np.arange(len(X), dtype=float)
    for call in (net.input_vjp, net.input_jvp):
        assert np.array_equal(call(X, v.tolist()), call(X, v[:, None]))


def test_arguments_of_every_kind(backend):
    pandas = pytest.importorskip("pandas")
    net, X = start([3, 4, 2], "squared_error", backend)
    ref, t = net.input_jacobian(X), np.sin(X)
    of_t = net.input_jvp(X, t)
    locked = X.copy()
    locked.flags.writeable = False
    wide = np.repeat(X, 2, axis=1)[:, ::2]
    for same in (X.tolist(), pandas.DataFrame(X), locked, wide, np.asfortranarray(X)):
        assert np.array_equal(net.input_jacobian(same), ref)
    for same in (t.tolist(), pandas.DataFrame(t), np.repeat(t, 2, axis=1)[:, ::2]):
        assert np.array_equal(net.input_jvp(locked, same), of_t)


CALLS = {
    "vjp": lambda net, X: net.input_vjp(X, np.ones((4, 2))),
    "jvp": lambda net, X: net.input_jvp(X, np.ones((4, 3))),
    "jacobian": lambda net, X: net.input_jacobian(X),
    "diagonal": lambda net, X: net.input_hessian_diagonal(X),
    "laplacian": lambda net, X: net.input_laplacian(X),
    "hessian": lambda net, X: net.hessian_vector_product(X, np.ones((4, 2)), vector(net)),
}
BAD = {
    "shape": (np.ones((4, 2)), ValueError, "X has 2 features"),
    "one row": (np.ones(3), ValueError, "must be 2-D"),
    "empty": (np.ones((0, 3)), ValueError, "X has no rows"),
    "NaN": (np.full((4, 3), np.nan), ValueError, "X has NaN or infinite values"),
    "text": ([["a", "b", "c"]] * 4, TypeError, "X must hold"),
    "complex": (np.ones((4, 3), complex), TypeError, "X must hold real numbers"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("call", CALLS)
def test_bad_samples(call, bad):
    X, kind, message = BAD[bad]
    net, _ = start([3, 4, 2], "squared_error", "numpy")
    with pytest.raises(kind, match=message):
        CALLS[call](net, X)


@pytest.mark.parametrize("call", CALLS)
def test_weights_that_are_not_finite(backend, call):
    net, X = start([3, 4, 2], "squared_error", backend, n=4)
    net.weights[1][2, 1] = np.nan
    with pytest.raises(ValueError, match=r"the network's weights\[1\] has NaN or infinite"):
        CALLS[call](net, X)


def test_bad_vectors():
    net, X = start([3, 4, 2], "squared_error", "numpy", n=4)
    for call, name, width in ((net.input_vjp, "v", 2), (net.input_jvp, "t", 3)):
        with pytest.raises(ValueError, match=rf"{name} must have shape \(4, {width}\), got \(4,\)"):
            call(X, np.ones(4))
        with pytest.raises(ValueError, match=f"{name} has NaN or infinite values"):
            call(X, np.full((4, width), np.inf))
        with pytest.raises(TypeError, match=f"{name} must hold"):
            call(X, [["a"] * width] * 4)
    with pytest.raises(TypeError, match="parameters must be True or False, got 'yes'"):
        net.input_vjp(X, np.ones((4, 2)), parameters="yes")
    with pytest.raises(ValueError, match="too large for float32"):
        make_network([3, 4, 2], "huber", "numpy", "float32").input_vjp(X, np.full((4, 2), 1e300))


def test_bad_directions_of_the_hessian():
    net, X = start([3, 4, 2], "squared_error", "numpy", n=4)
    y, g = np.ones((4, 2)), vector(net)
    before = parameters(net)
    for wrong, kind, message in (
        (g.weights, TypeError, "g must be a fastbp.Gradient, got list"),
        (fastbp.Gradient(g.weights[:1], g.biases), ValueError, "g.weights must be a list of 2"),
        (fastbp.Gradient(g.weights[::-1], g.biases), ValueError, r"g.weights\[0\] must have"),
        (
            fastbp.Gradient(g.weights, [g.biases[0], g.biases[1] * np.nan]),
            ValueError,
            r"g.biases\[1\] has NaN",
        ),
    ):
        with pytest.raises(kind, match=message):
            net.hessian_vector_product(X, y, wrong)
    with pytest.raises(ValueError, match="sample_weight must have shape"):
        net.hessian_vector_product(X, y, g, [1.0])
    assert np.array_equal(parameters(net), before)

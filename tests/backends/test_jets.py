"""Jets, the way back from them, and products with the Hessian, on every backend."""

import itertools

import numpy as np
import pytest
from gradient_helpers import (
    SAME,
    input_derivatives,
    problem,
    raw_jets,
    torch_activations,
    torch_loss,
    torch_network,
)
from helpers import (
    ACTIVATIONS,
    DTYPES,
    LOSSES_AND_TARGETS,
    error,
    flat,
    make_data,
    make_network,
    outputs_for,
)

import fastbp
from fastbp.basis import spec
from fastbp.engine import jets

# Hidden layers and outputs of any width, one output, and no hidden layer.
SHAPES = [[3, 7, 5], [4, 1], [5, 3], [3, 17, 1], [6, 33, 16, 17], [2, 5, 6, 4, 1]]
# The distance of compiled backends from the reference, relative to the largest entry.
NEAR = {"float32": 2e-5, "float64": 1e-13}
STEP = 1e-5
DIFFERENCES = 1e-7  # of directional derivatives by central differences, relative


def lines(engine, X, K, seconds, rng):
    """The jets of s_m along K random directions, or along the unit vectors if K is None."""
    t = rng.standard_normal((K or 0, *X.shape)).astype(X.dtype)
    return raw_jets(engine, X, t, seconds)


def random_vector(engine, rng):
    """Random numbers in the parameters' layout, zero in the padding."""
    vector = engine.layout.zeros(engine.layout.n_parameters)
    for part in engine.layout.views(vector):
        for array in part:
            array[...] = rng.standard_normal(array.shape)
    return vector


def derivatives(net, X, y):
    """Name -> all that the backend's functions write."""
    engine, rng, n_in = net._engine, np.random.default_rng(5), X.shape[1]
    X, dtype = X.astype(net.layout.dtype), net.layout.dtype
    found = {}
    for K in (None, 1, 2, 5):
        for seconds in {0, 1, K or n_in}:
            found[f"{K} lines, {seconds}"] = lines(engine, X, K, seconds, rng)
    s = lines(engine, X, 1, 0, rng)[0].copy()
    t = rng.standard_normal(X.shape).astype(dtype)
    found |= input_derivatives(engine, X, rng.standard_normal(s.shape).astype(dtype), t)
    for seconds in {0, 1, n_in}:
        p = jets.JetPass(engine, X, seconds)
        by_h = rng.standard_normal(p.h.shape).astype(dtype)
        found[f"back, {seconds}"] = p.backward(by_h[0], by_h)
    w = rng.uniform(0.5, 2, len(X))
    w[1:2] = 0
    found["hessian"] = jets.hessian_product(
        engine, engine.data(X, y, w), random_vector(engine, rng)
    )
    found["losses"], found["deltas"] = jets.loss_deltas(engine, engine.data(X, y), s)
    return found


def case(sizes, loss, kind, i, n=7):
    """The sizes that suit a loss, an activation, and data."""
    sizes = [*sizes[:-1], outputs_for(loss, sizes[-1])]
    activation = ACTIVATIONS[(i + len(loss) + sizes[0]) % len(ACTIVATIONS)]
    return sizes, activation, make_data(loss, n, sizes[0], sizes[-1], kind=kind)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 7, 40])
def test_cython_and_numba_give_the_same_bits(twins, n, dtype):
    for i, (loss, kind) in enumerate(LOSSES_AND_TARGETS):
        for sizes in SHAPES:
            sizes, activation, (X, y) = case(sizes, loss, kind, i, n)
            one, other = (
                derivatives(make_network(sizes, loss, name, dtype, activation), X, y)
                for name in twins
            )
            assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_cython_and_numba_give_the_same_bits_with(twins, activation):
    for dtype in DTYPES:
        X, y = make_data("squared_error", 19, 3, 2)
        one, other = (
            derivatives(make_network([3, 18, 5, 2], "squared_error", name, dtype, activation), X, y)
            for name in twins
        )
        assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []


# Losses of distributions have a fixed number of outputs. 7 and 18 are no whole vectors.
DISTRIBUTIONS = {"gaussian": 2, "student_t": 2, "laplace": 2, "negative_binomial": 2}
WIDTHS = [1, 7, 18]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", spec.LOSSES)
def test_losses_with_all_their_output_activations(twins, loss, dtype):
    """The same bits, and nearly the numbers of the reference."""
    mixture, rng = loss == "mixture_density", np.random.default_rng(0)
    widths = [DISTRIBUTIONS[loss]] if loss in DISTRIBUTIONS else [9] if mixture else WIDTHS
    how = dict(loss=loss, loss_parameter=3 if mixture else None, dtype=dtype, seed=0)
    for output, width in itertools.product(spec.LOSSES[loss].outputs, widths):
        n_outputs = outputs_for(loss, width)
        X, t = rng.standard_normal((2, 45, 5)).astype(dtype)
        v, found = rng.standard_normal((len(X), n_outputs)).astype(dtype), []
        for name in (*twins, "numpy"):
            net = fastbp.Network([5, 6, n_outputs], output_activation=output, backend=name, **how)
            found.append(input_derivatives(net._engine, X, v, t))
        one, other, ref = found
        assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []
        for name in ref:
            assert error(one[name], ref[name]) < NEAR[dtype], (output, width, name)


@pytest.mark.nojit
@pytest.mark.parametrize("sizes", [[3, 4, 3, 2], [2, 3, 1], [2, 1], [3, 2]], ids=str)
def test_reference_of_small_networks(compiled, sizes):
    X, y = make_data("poisson", 3, sizes[0], sizes[-1])
    comp, ref = (
        derivatives(make_network(sizes, "poisson", name, activation="silu"), X, y)
        for name in (compiled, "numpy")
    )
    assert max(error(comp[name], ref[name]) for name in ref) < 1e-13


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_reference(compiled, loss, kind, dtype):
    for i, sizes in enumerate(SHAPES):
        sizes, activation, (X, y) = case(sizes, loss, kind, i)
        comp, ref = (
            derivatives(make_network(sizes, loss, name, dtype, activation), X, y)
            for name in (compiled, "numpy")
        )
        for name in ref:
            assert error(comp[name], ref[name]) < NEAR[dtype], (sizes, activation, name)


def by_autograd(torch, net, X):
    """∂h/∂x and the diagonals of ∂²h/∂x∂x of each row, of shape (n, n_m, n_0), from PyTorch."""
    output, _ = torch_network(torch, net)
    X = torch.tensor(X, requires_grad=True)
    h = torch_activations(torch)[net.output_activation](output(X))
    jacobian, diagonal = (np.zeros((*h.shape, X.shape[1])) for _ in range(2))
    for j in range(h.shape[1]):
        (slopes,) = torch.autograd.grad(h[:, j].sum(), X, create_graph=True)
        jacobian[:, j] = slopes.detach().numpy()
        for k in range(X.shape[1] if slopes.requires_grad else 0):
            (curves,) = torch.autograd.grad(
                slopes[:, k].sum(), X, retain_graph=True, materialize_grads=True
            )
            diagonal[:, j, k] = curves[:, k].numpy()
    return jacobian, diagonal


# Each output activation with each hidden one, and with each loss.
OUTPUTS = ["squared_error", "log_loss", "cross_entropy", "poisson"]


@pytest.mark.parametrize("loss", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autograd(backend, activation, loss):
    """Derivatives by the input, forward and backward, of what `predict` returns."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, _ = problem(loss, "soft" if loss != "squared_error" else "real", activation, backend)
    engine, rng = net._engine, np.random.default_rng(2)
    jacobian, diagonal = by_autograd(torch, net, X)
    t, v = rng.standard_normal(X.shape), rng.standard_normal(jacobian.shape[:2])
    for comp, ref in (
        (jets.input_jacobian(engine, X), jacobian),
        (jets.input_jvp(engine, X, t), np.einsum("rjk,rk->rj", jacobian, t)),
        (jets.input_vjp(engine, X, v), np.einsum("rjk,rj->rk", jacobian, v)),
        (jets.input_hessian_diagonal(engine, X), diagonal),
        (jets.input_laplacian(engine, X), diagonal.sum(axis=2)),
    ):
        assert error(comp, ref) < SAME


@pytest.mark.parametrize("sizes", [[16, 17, 16, 5], *SHAPES], ids=str)
def test_autograd_of_shapes(compiled, sizes):
    loss = "cross_entropy" if sizes[-1] > 1 else "poisson"
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net = make_network(sizes, loss, compiled, activation="tanh")
    X, _ = make_data(loss, 5, sizes[0], sizes[-1])
    jacobian, diagonal = by_autograd(torch, net, X)
    assert error(jets.input_jacobian(net._engine, X), jacobian) < SAME
    assert error(jets.input_hessian_diagonal(net._engine, X), diagonal) < SAME
    assert error(jets.input_laplacian(net._engine, X), diagonal.sum(axis=2)) < SAME


@pytest.mark.parametrize("loss", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_way_back_by_differences(backend, activation, loss):
    """The gradient of a function of outputs, their derivatives and their second derivatives."""
    net, X, _ = problem(loss, "soft" if loss != "squared_error" else "real", activation, backend)
    engine, rng = net._engine, np.random.default_rng(1)
    vector = random_vector(engine, rng)
    before = engine.parameters.copy()
    for seconds in (0, 1, X.shape[1]):
        p = jets.JetPass(engine, X, seconds)
        by_h, by_s = rng.standard_normal(p.h.shape), rng.standard_normal(p.s[0].shape)
        sides = []
        for step in (STEP, -STEP):
            engine.parameters[...] = before + step * vector
            moved = jets.JetPass(engine, X, seconds)
            sides.append((moved.h * by_h).sum() + (moved.s[0] * by_s).sum())
        engine.parameters[...] = before
        ref = (sides[0] - sides[1]) / (2 * STEP)
        gradient = p.backward(by_s, by_h)
        assert gradient @ vector == pytest.approx(ref, rel=DIFFERENCES, abs=DIFFERENCES)


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_hessian_by_autograd(backend, loss, kind):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    for i, n_outputs in enumerate((3, 1)):
        activation = ACTIVATIONS[(i + len(loss) + len(kind)) % len(ACTIVATIONS)]
        net, X, y = problem(loss, kind, activation, backend, n_outputs)
        engine, w = net._engine, np.random.default_rng(4).uniform(0.5, 2, len(X))
        vector = random_vector(engine, np.random.default_rng(3))
        output, leaves = torch_network(torch, net)
        e, _ = torch_loss(torch, loss, output(X), y)
        mean = (torch.tensor(w) * e).sum() / w.sum()
        slopes = torch.autograd.grad(mean, leaves, create_graph=True)
        parts = engine.layout.views(vector)
        along = sum(
            (g * torch.tensor(v)).sum() for g, v in zip(slopes, flat_list(parts), strict=True)
        )
        ref = torch.autograd.grad(along, leaves, allow_unused=True, materialize_grads=True)
        comp = jets.hessian_product(engine, engine.data(X, y, w), vector)
        comp = flat(flat_list(engine.layout.views(comp)))
        assert error(comp, flat([a.numpy() for a in ref])) < SAME


def flat_list(parts):
    """Weights and biases in one list."""
    return [array for part in parts for array in part]


def test_rows_of_weight_0_do_not_count(backend):
    """Even if their numbers overflow."""
    for sizes in ([3, 5, 4, 2], [3, 5, 1]):
        net = make_network(sizes, "poisson", backend, activation="softplus")
        X, y = make_data("poisson", 6, 3, sizes[-1])
        engine = net._engine
        vector = random_vector(engine, np.random.default_rng(3))
        ref = jets.hessian_product(engine, engine.data(X[:5], y[:5]), vector)
        X[5] = 1e200
        comp = jets.hessian_product(engine, engine.data(X, y, [1, 1, 1, 1, 1, 0]), vector)
        assert error(comp, ref) < 1e-14


def test_deltas_are_those_of_the_samples(backend):
    for loss, kind in LOSSES_AND_TARGETS:
        net, X, y = problem(loss, kind, "tanh", backend)
        engine = net._engine
        data = engine.data(X, y)
        found = engine.per_sample(data, losses=True, units=True)
        n_out, units = net.layout.sizes[-1], found.units
        s = np.ascontiguousarray(units[:, -4 * n_out : -3 * n_out])
        losses, deltas = jets.loss_deltas(engine, data, s)
        assert losses.tobytes() == found.losses.tobytes()
        assert error(deltas, units[:, -n_out:]) < 1e-15


def test_blocks_change_no_bit(compiled, monkeypatch):
    """Sums of blocks are in another order, so the gradients of several agree to rounding."""
    for sizes in ([3, 18, 5, 2], [3, 6, 1], [4, 1]):
        net = make_network(sizes, "squared_error", compiled, activation="gelu")
        X, y = make_data("squared_error", 53, sizes[0], sizes[-1])
        ref = derivatives(net, X, y)
        for rows in (1, 5, 16):
            with monkeypatch.context() as patch:
                patch.setattr(jets, "block_rows", lambda *_, rows=rows: rows)
                comp = derivatives(net, X, y)
            for name in ref:
                if name.startswith(("back", "hessian")):
                    assert error(comp[name], ref[name]) < 1e-13
                else:
                    assert comp[name].tobytes() == ref[name].tobytes(), (rows, name)


def test_nothing_of_the_caller_is_changed(backend):
    net = make_network([3, 4, 2], "cross_entropy", backend)
    X, y = make_data("cross_entropy", 6, 3, 2)
    X.flags.writeable = y.flags.writeable = False
    before = flat([*net.weights, *net.biases])
    derivatives(net, X, y)
    assert np.array_equal(flat([*net.weights, *net.biases]), before)


def test_products_are_not_rounded(backend):
    """Of a network that computes in bfloat16, these are the derivatives of one that does not."""
    nets = [make_network([3, 8, 2], "squared_error", backend, "float32") for _ in range(2)]
    rounding = fastbp.Network(
        [3, 8, 2],
        activation="tanh",
        loss="squared_error",
        dtype="float32",
        compute_dtype="bfloat16",
        backend=backend,
    )
    for i in range(2):
        rounding.weights[i], rounding.biases[i] = nets[0].weights[i], nets[0].biases[i]
    X, y = make_data("squared_error", 6, 3, 2)
    comp, ref = derivatives(rounding, X, y), derivatives(nets[0], X, y)
    assert [name for name in ref if comp[name].tobytes() != ref[name].tobytes()] == []


def test_relu_has_no_second_derivative(backend):
    net, X, _ = problem("squared_error", "real", "relu", backend)
    assert not jets.input_hessian_diagonal(net._engine, X).any()

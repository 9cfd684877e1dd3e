"""Derivatives through LayerNorm, RMSNorm, residual connections and PReLU, on every backend.

By the inputs, the way back from those, and products with the Hessian.
"""

import functools

import numpy as np
import pytest
from gradient_helpers import input_derivatives, raw_jets, torch_loss
from helpers import DTYPES, error, flat, make_data
from layer_helpers import LAYERS, LISTS, arrays_of, make_layers, together, torch_layers

import fastbp
from fastbp.basis import teams
from fastbp.engine import jets

# Independent computations of the same in float64, and the twins' distance from the reference.
SAME = 1e-10
NEAR = {"float32": 1e-4, "float64": 1e-12}
# Widths that are whole vectors and others, of a single unit, of a single output.
WIDTHS = {
    "ragged": [5, 9, 9, 9, 3],
    "one output": [3, 17, 17, 4, 1],
    "vectors": [16, 32, 32, 32, 2],
    "one unit": [4, 1, 1, 6, 2],
}


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the independent source here")


def random_vector(engine, seed=3):
    """A vector in the parameters' space, zero in the padding, and the same as a Gradient."""
    vector, rng = engine.layout.zeros(engine.layout.n_parameters), np.random.default_rng(seed)
    parts = fastbp.Gradient(*engine.layout.views(vector))
    for array in arrays_of(parts):
        array[...] = rng.standard_normal(array.shape)
    return vector, parts


def weights_for(X):
    """Random weights, of which one is 0."""
    w = np.random.default_rng(4).uniform(0.5, 2, len(X))
    w[1:2] = 0
    return w


def derivatives(net, X, y):
    """Name -> all that the backend's functions write."""
    engine, rng, n_in = net._engine, np.random.default_rng(5), X.shape[1]
    X, dtype = X.astype(net.layout.dtype), net.layout.dtype
    found = {}
    for K in (None, 1, 3):
        t = rng.standard_normal((K or 0, *X.shape)).astype(dtype)
        for seconds in {0, 1, K or n_in}:
            found[f"{K} lines, {seconds}"] = raw_jets(engine, X, t, seconds)
    for seconds in {0, 1, n_in}:
        p = jets.JetPass(engine, X, seconds)
        by_h = rng.standard_normal(p.h.shape).astype(dtype)
        found[f"back, {seconds}"] = p.backward(by_h[0], by_h)
    v, t = rng.standard_normal((len(X), net.layout.sizes[-1])), rng.standard_normal(X.shape)
    found |= input_derivatives(engine, X, v.astype(dtype), t.astype(dtype))
    vector, _ = random_vector(engine)
    found["hessian"] = jets.hessian_product(engine, engine.data(X, y, weights_for(X)), vector)
    return found


def torch_derivatives(torch, output, X):
    """h, ∂h/∂x and the diagonals of ∂²h/∂x∂x, of shapes (n, n_m) and (n, n_m, n_0)."""
    x = torch.tensor(X, requires_grad=True)
    h, first, second = output(x), [], []
    how = {"create_graph": True, "materialize_grads": True}
    for k in range(h.shape[1]):
        (slopes,) = torch.autograd.grad(h[:, k].sum(), x, **how)
        curves = [torch.zeros(len(X))] * X.shape[1]
        if slopes.requires_grad:
            curves = [
                torch.autograd.grad(slopes[:, j].sum(), x, **how)[0][:, j]
                for j in range(X.shape[1])
            ]
        first.append(slopes)
        second.append(torch.stack(curves, dim=1))
    return h, torch.stack(first, dim=1), torch.stack(second, dim=1)


def problem(which, widths, loss, backend, dtype="float64", n=6):
    net = make_layers(which, WIDTHS[widths], loss, backend, dtype)
    X, y = make_data(loss, n, net.layout.sizes[0], net.layout.sizes[-1])
    return net, X, y


@functools.cache
def by_autograd(which, widths):
    """∂h/∂x, ∂²h/∂x², and for each number of second derivatives ∂f/∂h and ∂f/∂parameters."""
    import torch

    net, X, _ = problem(which, widths, "poisson", "numpy")
    s_of, leaves = torch_layers(torch, net, by_formula=True)
    h, first, second = torch_derivatives(torch, lambda x: s_of(x).exp(), X)
    n_in, of_f = X.shape[1], {}
    for seconds in (0, 1, n_in):
        sets = [h[None], first.permute(2, 0, 1), second.permute(2, 0, 1)][: 2 + (seconds > 0)]
        if seconds == 1:
            sets[2] = sets[2].sum(dim=0, keepdim=True)
        jets_of_h = torch.cat(sets)
        by_h = np.random.default_rng(1).standard_normal(jets_of_h.shape)
        how = {"allow_unused": True, "materialize_grads": True, "retain_graph": True}
        found = torch.autograd.grad((jets_of_h * torch.tensor(by_h)).sum(), leaves, **how)
        of_f[seconds] = by_h, flat(found)
    return first.detach().numpy(), second.detach().numpy(), of_f


@pytest.mark.parametrize("widths", ["ragged", "one output"])
@pytest.mark.parametrize("which", [*LAYERS, "smooth rms"])
def test_derivatives_by_autograd(torch, backend, which, widths):
    """Of what `predict` returns, by the input; and the way back from functions f of all of them."""
    net, X, _ = problem(which, widths, "poisson", backend)
    first, second, of_f = by_autograd(which, widths)
    t = np.random.default_rng(2).standard_normal(X.shape)
    assert error(net.input_jacobian(X), first) < SAME
    assert error(net.input_jvp(X, t), np.einsum("rkj,rj->rk", first, t)) < SAME
    assert error(net.input_hessian_diagonal(X), second) < SAME
    assert error(net.input_laplacian(X), second.sum(axis=2)) < SAME
    for seconds, (by_h, ref) in of_f.items():
        p = jets.JetPass(net._engine, X, seconds)
        gradient = fastbp.Gradient(*net.layout.views(p.backward(by_h=by_h)))
        assert error(together(gradient), ref) < SAME


@pytest.mark.nojit
@pytest.mark.parametrize("which", ["smooth layer", "smooth rms", "prelu"])
def test_way_back_by_differences(backend, which):
    """Directional derivatives by central differences."""
    net = make_layers(which, [2, 4, 4, 3, 2], "squared_error", backend)
    X, _ = make_data("squared_error", 3, 2, 2)
    engine, rng, step = net._engine, np.random.default_rng(1), 2e-6
    (vector, _), before = random_vector(engine), engine.parameters.copy()
    for seconds in (0, 1, 2):
        p = jets.JetPass(engine, X, seconds)
        by_h, sides = rng.standard_normal(p.h.shape), []
        for move in (step, -step):
            engine.parameters[...] = before + move * vector
            sides.append((jets.JetPass(engine, X, seconds).h * by_h).sum())
        engine.parameters[...] = before
        ref = (sides[0] - sides[1]) / (2 * step)
        assert p.backward(by_h=by_h) @ vector == pytest.approx(ref, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("widths, loss", [("ragged", "cross_entropy"), ("one output", "poisson")])
@pytest.mark.parametrize("which", [*LAYERS, "smooth rms"])
def test_hessian_by_autograd(torch, backend, which, widths, loss):
    net, X, y = problem(which, widths, loss, backend)
    vector, parts = random_vector(net._engine)
    output, leaves = torch_layers(torch, net)
    e, _ = torch_loss(torch, loss, output(X), y)
    w = torch.tensor(weights_for(X))
    how = {"allow_unused": True, "materialize_grads": True}
    slopes = torch.autograd.grad((w * e).sum() / w.sum(), leaves, create_graph=True, **how)
    lists = [array for name in LISTS for array in getattr(parts, name)]
    along = sum((g * torch.tensor(v)).sum() for g, v in zip(slopes, lists, strict=True))
    ref = torch.autograd.grad(along, leaves, **how)
    product = net.hessian_vector_product(X, y, parts, weights_for(X))
    assert error(together(product), flat(ref)) < SAME


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", LAYERS)
def test_twins_and_reference(twins, which, dtype):
    """The compiled backends give the same bits, and nearly those of the reference."""
    for widths in WIDTHS:
        for n in (1, 21):
            results = []
            for name in (*twins, "numpy"):
                net, X, y = problem(which, widths, "log_loss", name, dtype, n)
                results.append(derivatives(net, X, y))
            one, other, ref = results
            assert [name for name in one if one[name].tobytes() != other[name].tobytes()] == []
            for name in ref:
                # A normalised layer of one unit lets nothing pass but rounding errors.
                scale = max(np.abs(ref[name]).max(), 1e-3)
                assert np.abs(one[name] - ref[name]).max() < NEAR[dtype] * scale, (widths, name)


@pytest.mark.nojit
@pytest.mark.parametrize("which", ["all", "mixed"])
def test_reference_of_small_networks(compiled, which):
    nets = [make_layers(which, [2, 3, 3, 3, 2], "poisson", name) for name in (compiled, "numpy")]
    X, y = make_data("poisson", 3, 2, 2)
    comp, ref = (derivatives(net, X, y) for net in nets)
    assert max(error(comp[name], ref[name]) for name in ref) < 1e-12


def test_threads_and_blocks_change_no_bit(twins, monkeypatch):
    """But for the order in which gradients of blocks are added."""
    found = set()
    for backend in twins:
        net, X, y = problem("all", "ragged", "squared_error", backend, "float32", 400)
        whole = derivatives(net, X, y)
        with monkeypatch.context() as patch:
            patch.setattr(jets, "block_rows", lambda *_: 37)
            for threads in (1, 3):
                patch.setattr(teams, "automatic", lambda *_, threads=threads: threads)
                parts = derivatives(net, X, y)
                found.add(b"".join(array.tobytes() for array in parts.values()))
                for name in whole:
                    if name.startswith(("back", "hessian")):
                        assert error(parts[name], whole[name]) < NEAR["float32"]
                    else:
                        assert parts[name].tobytes() == whole[name].tobytes(), name
    assert len(found) == 1


@pytest.mark.parametrize("which", ["all", "mixed"])
def test_rows_of_weight_0_do_not_count(backend, which):
    """Even if their numbers overflow."""
    net, X, y = problem(which, "ragged", "squared_error", backend)
    _, parts = random_vector(net._engine)
    ref = net.hessian_vector_product(X[:5], y[:5], parts)
    X[5] = 1e305
    comp = net.hessian_vector_product(X, y, parts, [1, 1, 1, 1, 1, 0])
    assert error(together(comp), together(ref)) < 1e-13


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_second_derivatives_by_hand(backend, norm):
    """Two units with s = (x, c): with LayerNorm x̂ = ±u / √(u² + ε) where u = (x - c) / 2."""
    how = dict(norm=norm, loss="squared_error", dtype="float64", backend=backend)
    net = fastbp.Network([1, 2, 1], activation="identity", **how)
    net.weights[0], net.biases[0] = [[1.0, 0.0]], [0.0, 0.5]
    net.weights[1] = [[1.0], [0.0]]
    x, eps = 1.25, 1e-5
    if norm == "layer":
        u = (x - 0.5) / 2
        first, second = eps / (u * u + eps) ** 1.5 / 2, -3 * u * eps / (u * u + eps) ** 2.5 / 4
    else:  # x / √(x²/2 + k), k = 0.5²/2 + ε
        k = 0.125 + eps
        first, second = k / (x * x / 2 + k) ** 1.5, -1.5 * k * x / (x * x / 2 + k) ** 2.5
    assert net.input_jacobian([[x]]).item() == pytest.approx(first, rel=1e-10)
    assert net.input_hessian_diagonal([[x]]).item() == pytest.approx(second, rel=1e-10)


def test_prelu_alone_has_no_second_derivative(backend):
    net, X, _ = problem("prelu", "ragged", "squared_error", backend)
    assert not net.input_hessian_diagonal(X).any()
    assert net.input_jacobian(X).any()

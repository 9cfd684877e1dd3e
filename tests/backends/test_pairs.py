"""Hessians of losses behind an output activation of their own: e''(h) σ'² v + e'(h) σ'' v."""

import numpy as np
import pytest
from helpers import DTYPES, make_targets
from output_helpers import PAIRS, SOME_PAIRS, pair_network, torch_pair

import fastbp
from fastbp.basis import checks
from fastbp.basis.data import Data
from fastbp.basis.layout import PAIRED, STRIDE, H, S

STEP = 1e-5


def products(net, s, y, v, junk=0.0):
    """The products of each row's Hessian and a vector."""
    (n, k), layout, model = s.shape, net.layout, net._engine.model
    rows = -(-n // 16) * 16
    arrays = np.full((4, rows, model.plan[-1, STRIDE]), junk, layout.dtype)
    for array, values in zip(arrays, (s, y, v), strict=False):
        array[:n, :k] = values
    arrays[3] = np.nan
    net._engine.backend.loss_hessian_product(model, *arrays)
    return arrays[3, :n, :k]


def problem(loss, output, backend, k, dtype="float64"):
    """A network, pre-activations, targets and vectors, away from kinks."""
    net = pair_network([1, k], loss, output, backend, dtype)
    rng = np.random.default_rng(k)
    s, v = 2 * rng.standard_normal((20, k)), rng.standard_normal((20, k))
    if output == "identity":
        s = 0.2 + np.abs(s)
    y = make_targets("soft" if loss == "poisson" else "real", 20, k, rng)
    return net, s, y, v


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_products_are_those_of_autograd(loss, output, k):
    """PyTorch differentiates its own pair twice; kinks are left out."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, s, y, v = problem(loss, output, "numpy", k)

    def total(s):
        return torch_pair(torch, loss, output, s, y)[0].sum()

    vhp = torch.autograd.functional.vhp
    expected = vhp(total, torch.tensor(s), torch.tensor(v))[1].numpy(force=True)
    assert np.abs(products(net, s, y, v) - expected).max() <= 1e-13 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 5, 37])
@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_compiled_ones_equal_the_reference(compiled, loss, output, k, dtype):
    net, s, y, v = problem(loss, output, compiled, k, dtype)
    s, y, v = (array.astype(dtype).astype(float) for array in (s, y, v))
    expected = products(pair_network([1, k], loss, output, "numpy"), s, y, v)
    found = products(net, s, y, v)
    size = np.abs(expected).max()
    assert np.abs(found - expected).max() <= 64 * np.finfo(dtype).eps * max(size, 1)
    assert found.tobytes() == products(net, s, y, v, junk=3.0).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 5, 37])
@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_twins_give_the_same_bits(twins, loss, output, k, dtype):
    found = [
        products(net, s, y, v).tobytes()
        for net, s, y, v in (problem(loss, output, name, k, dtype) for name in twins)
    ]
    assert found[0] == found[1]


def test_of_a_function_they_are_unknown(backend):
    def loss(h, y):
        return (h - y).sum(axis=1), np.ones_like(h)

    net = fastbp.Network([1, 2], loss=loss, output_activation="tanh", backend=backend)
    ones = np.ones((3, 2))
    assert np.isnan(products(net, ones, ones, ones)).all()


@pytest.mark.parametrize("k", [1, 3])
def test_the_plan(k):
    """The output's pre-activation stays beside what the loss overwrites."""
    plan = pair_network([2, k], "huber", "tanh", "numpy").layout.plan
    plain = fastbp.Network([2, k], loss="huber", dtype="float64").layout.plan
    assert plan[-1, S] > plan[-1, H] and plain[-1, S] == plain[-1, H]
    assert plan[-1, PAIRED] != 0 and not plain[:, PAIRED].any() and not plan[:-1, PAIRED].any()
    assert (plan[:, :5] == plain[:, :5]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_out(backend, dtype):
    """Saturated outputs: finite losses and deltas, and 0 where the slope is 0."""
    s = np.array([[-1e4], [-100.0], [-20.0], [20.0], [100.0], [1e4]], dtype)
    for output in ("sigmoid", "tanh", "softplus"):
        net = fastbp.Network(
            [1, 1], loss="squared_error", output_activation=output, dtype=dtype, backend=backend
        )
        net.weights[0], net.biases[0] = [[1.0]], [0.0]
        data = Data(s, checks.NO_LABELS, np.full_like(s, 0.25), np.empty(0, dtype))
        found = net._engine.per_sample(data, losses=True, errors=True)
        assert np.isfinite(found.losses).all() and np.isfinite(found.errors).all()
        at_ends = found.errors[[0, -1], 0]
        expected = [0, 1e4 - 0.25] if output == "softplus" else [0, 0]
        assert at_ends == pytest.approx(expected, rel=1e-6)

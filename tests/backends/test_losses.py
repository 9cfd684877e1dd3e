"""Products of a loss's Hessian and a vector, on every backend."""

import numpy as np
import pytest
from gradient_helpers import torch_loss
from helpers import (
    DTYPES,
    LOSSES_AND_TARGETS,
    PARAMETERS,
    TARGETS,
    make_network,
    make_targets,
    outputs_for,
)

import fastbp
from fastbp import backends
from fastbp.basis import checks, spec
from fastbp.basis.data import Data
from fastbp.basis.layout import STRIDE

STEP = 1e-5
N = 48
# One output, a few, a whole vector, and so many that rows of float64 get a stride of their own.
OUTPUTS = [1, 2, 5, 16, 37, 512]
KINKS = {"absolute_error": 0, "quantile": 0, "huber": 1}


def products(backend, loss, s, y, v, dtype="float64", junk=0.0, **parameter):
    """The products for rows s, and the padding of the result, up to whole vectors.

    The targets may be labels.
    """
    n, k = s.shape
    parameter.setdefault("loss_parameter", PARAMETERS.get(loss))
    net = fastbp.Network([1, k], loss=loss, dtype=dtype, backend=backend, **parameter)
    layout, model = net.layout, net._engine.model
    rows = -(-n // 16) * 16
    arrays = np.full((4, rows, model.plan[-1, STRIDE]), junk, dtype)
    for array, values in zip(arrays, (s, np.eye(k)[y] if y.ndim == 1 else y, v), strict=False):
        array[:n, :k] = values
    arrays[3] = np.nan
    backends.get(backend).loss_hessian_product(model, *arrays)
    return arrays[3, :n, :k], arrays[3, :n, k : layout.padded(k) if k > 1 else k]


def deltas(backend, loss, s, y):
    """∂e/∂s in float64, from a network whose pre-activations are its inputs."""
    k = s.shape[1]
    net = make_network([k, k], loss, backend)
    net.weights[0], net.biases[0] = np.eye(k), np.zeros(k)
    data = Data(s, checks.NO_LABELS, np.eye(k)[y] if y.ndim == 1 else y, np.empty(0))
    return net._engine.per_sample(data, errors=True).errors


def problem(loss, kind, k, n=N, scale=3.0):
    """Pre-activations, targets and vectors, away from kinks."""
    rng = np.random.default_rng(k)
    y = make_targets(kind, n, k, rng)
    s, v = scale * rng.standard_normal((n, k)), rng.standard_normal((n, k))
    if loss in KINKS:
        d = s - y
        s[np.abs(np.abs(d) - KINKS[loss]) < 1e-3] += 0.01
    return s, y, v


@pytest.mark.nojit
@pytest.mark.parametrize("k", [1, 5, 37])
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_products_are_slopes_of_deltas(backend, loss, kind, k):
    """By central differences along v."""
    s, y, v = problem(loss, kind, outputs_for(loss, k))
    found, _ = products(backend, loss, s, y, v)
    above, below = (deltas(backend, loss, s + shift * v, y) for shift in (STEP, -STEP))
    scale = np.abs(found).max(axis=1, keepdims=True)
    assert (np.abs(found - (above - below) / (2 * STEP)) <= 1e-8 * np.maximum(scale, 1)).all()


@pytest.mark.parametrize("k", [1, 5])
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_products_are_those_of_autograd(backend, loss, kind, k):
    """PyTorch differentiates its own loss twice. Rows do not mix, so one call takes them all."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    s, y, v = problem(loss, kind, outputs_for(loss, k))

    def total(s):
        return torch_loss(torch, loss, s, y)[0].sum()

    vhp = torch.autograd.functional.vhp
    expected = vhp(total, torch.tensor(s), torch.tensor(v))[1].numpy(force=True)
    found, _ = products(backend, loss, s, y, v)
    assert np.abs(found - expected).max() <= 1e-14 * max(1, np.abs(expected).max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", OUTPUTS)
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_compiled_ones_equal_the_reference(compiled, loss, kind, k, dtype):
    problem_ = problem(loss, kind, outputs_for(loss, k))
    s, y, v = (a if a.dtype == int else a.astype(dtype).astype(float) for a in problem_)
    expected, _ = products("numpy", loss, s, y, v)
    found, padding = products(compiled, loss, s, y, v, dtype)
    # exp(s) has the rounding error of s, which is up to 12 here.
    size = np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(found - expected) <= 12 * np.finfo(dtype).eps * np.maximum(size, 1)).all()
    assert (padding == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", OUTPUTS)
@pytest.mark.parametrize("loss", TARGETS)
def test_twins_give_the_same_bits(twins, loss, k, dtype):
    s, y, v = problem(loss, TARGETS[loss][0], outputs_for(loss, k), scale=20.0)
    cython, numba = (products(backend, loss, s, y, v, dtype)[0] for backend in twins)
    assert cython.tobytes() == numba.tobytes()


@pytest.mark.parametrize("k", [2, 5, 16])
@pytest.mark.parametrize("loss", TARGETS)
def test_padding_is_ignored(backend, loss, k):
    s, y, v = problem(loss, TARGETS[loss][0], k)
    expected, _ = products(backend, loss, s, y, v)
    found, _ = products(backend, loss, s, y, v, junk=50.0)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_products_by_hand(backend, dtype):
    """Softmax of (0, 0, ln 2) is (1/4, 1/4, 1/2), and its mean of v = (1, 2, 4) is 11/4."""
    s, v = np.array([[0, 0, np.log(2)]]), np.array([[1.0, 2.0, 4.0]])
    found, _ = products(backend, "cross_entropy", s, np.array([1]), v, dtype)
    near = float(4 * np.finfo(dtype).eps)
    assert found == pytest.approx(np.array([[-7 / 16, -3 / 16, 5 / 8]]), rel=near)
    found, _ = products(backend, "cross_entropy", s, np.array([1]), np.ones_like(v), dtype)
    assert found == pytest.approx(np.zeros((1, 3)), abs=near)
    one = np.array([[0.0]])
    assert products(backend, "log_loss", one, one, one + 8, dtype)[0] == 2
    assert products(backend, "poisson", one, one, one + 8, dtype)[0] == 8
    assert products(backend, "squared_error", one + 3, one, one + 8, dtype)[0] == 8


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_kinks(backend, dtype):
    """huber's bounds belong to the parabola between them; other kinks have no curvature."""
    d = np.array([[-2.5, -2.0, -0.5, 0.0, -0.0, 0.5, 2.0, 2.5]]).T
    zeros, v = np.zeros_like(d), np.full_like(d, 3)
    found, _ = products(backend, "huber", d, zeros, v, dtype, loss_parameter=2.0)
    assert found.ravel().tolist() == [0, 3, 3, 3, 3, 3, 3, 0]
    for loss in ("absolute_error", "quantile"):
        assert not products(backend, loss, d, zeros, v, dtype)[0].any()


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_far_out(backend, dtype):
    """The logistic function's slope at ±s is exp(-|s|), also where h rounds to 1."""
    s = np.array([[-500.0, -80.0, -30.0, 30.0, 80.0, 500.0]]).T
    one = np.ones_like(s)
    tail = np.exp(-np.abs(s).astype(dtype))
    found, _ = products(backend, "log_loss", s, one, one, dtype)
    assert found == pytest.approx(tail, rel=1e-5, abs=1e-36)
    found, _ = products(backend, "cross_entropy", s.T, np.array([0]), one.T, dtype)
    assert found == pytest.approx(np.zeros_like(s.T), abs=1e-30)


@pytest.mark.nojit
def test_what_changes_only_the_report_does_not_count(backend):
    """squared_error with a factor, log_loss and cross_entropy with a bound."""
    s, v = np.full((1, 2), 9.0), np.full((1, 2), 5.0)
    for loss, y in [("squared_error", s), ("log_loss", s * 0), ("cross_entropy", np.array([1]))]:
        expected, _ = products(backend, loss, s, y, v)
        net = fastbp.Network([1, 2], loss=loss, backend=backend)
        net._engine.reporting = 0.125
        arrays = np.zeros((4, 16, net.layout.plan[-1, STRIDE]), net.layout.dtype)
        arrays[0, :1, :2], arrays[2, :1, :2] = s, v
        backends.get(backend).loss_hessian_product(net._engine.model, *arrays)
        assert arrays[3, :1, :2].astype(float) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_of_a_custom_loss_they_are_unknown(backend, dtype):
    def loss(h, y):
        return (h - y).sum(axis=1), np.ones_like(h)

    for k in (1, 3):
        ones = np.ones((2, k))
        assert np.isnan(products(backend, loss, ones, ones, ones, dtype)[0]).all()


def test_tables_have_all_losses():
    numba_losses = pytest.importorskip("fastbp.backends.numba_.losses")
    others = {spec.CUSTOM, spec.POISSON_RATE, spec.QUANTILES}
    assert {*numba_losses.LOSSES} == {row.code for row in spec.LOSSES.values()} | others


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [2, 3, 7, 8, 9, 10, 15, 16, 17, 33])
def test_softmax_of_a_row_is_the_same_in_any_company(compiled, k, dtype):
    """To the bit, though rows that fill vectors are computed together, and others one by one."""
    rng = np.random.default_rng(k)
    X = (10 * rng.standard_normal((45, k))).astype(dtype)
    X[3], X[4], X[5, 0], X[6, 1], X[7] = 0, -0.0, np.inf, -np.inf, np.finfo(dtype).max
    X[8], X[9, ::2], X[10] = -np.inf, X[9].max(), rng.integers(-1, 2, k)
    net = make_network([k, k], "cross_entropy", compiled, dtype)
    net.weights[0], net.biases[0] = np.eye(k), np.zeros(k)
    together, model = np.zeros_like(X), net._engine.model
    one_by_one = np.zeros_like(X)
    for out, rows in ((together, len(X)), (one_by_one, 1)):
        workspace = net.layout.zeros(net.layout.workspace_size(rows))
        backends.get(compiled).predict(model, X, rows, workspace, out)
    finite = np.isfinite(X).all(axis=1)
    assert together[finite].tobytes() == one_by_one[finite].tobytes()
    assert (np.isnan(together) == np.isnan(one_by_one)).all()
    assert np.isfinite(together[finite]).all()
    assert together[finite].sum(axis=1) == pytest.approx(1, rel=1e-6)

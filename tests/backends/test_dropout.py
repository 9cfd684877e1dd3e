"""Dropout: the random numbers, and training with them against PyTorch."""

import numpy as np
import pytest
from gradient_helpers import torch_network
from helpers import ACTIVATIONS, error, make_data, make_network, parameters
from scipy import stats

import fastbp
from fastbp.backends.numpy_ import dropout_factors
from fastbp.basis.data import Data
from fastbp.basis.layout import DROPOUT, OUTPUT, H, Layout
from fastbp.rules.regularizers import regularizers_of
from fastbp.training.history import History
from fastbp.training.run import NATURAL_ORDER, Training

SEED = 2**62 + 12345
SIZES, N, BATCH = [5, 18, 7, 2], 20, 8


def training_of(net, X, y, rates, optimizer, seed=SEED):
    regularizers = regularizers_of(len(net.weights), dropout=rates)
    data = Data(X, np.empty(0, np.int64), y, np.empty(0, X.dtype))
    return Training(net._engine, data, optimizer, min(BATCH, len(X)), regularizers, 1, seed=seed)


def wide_plan(rate, n=64):
    return Layout((n, n, 1), ("relu",), np.dtype(np.float64), (rate, rate)).plan


def test_rates():
    """As many units are left out as the rate says, in each layer, row, step and seed."""
    for rate in (0.05, 0.3, 0.5, 0.9):
        plan = wide_plan(rate)
        dropped = np.array(
            [
                dropout_factors(plan, seed, step, 100, np.float64)
                for seed in (0, 1, 2**63 - 1)
                for step in range(10)
            ]
        )
        assert set(np.unique(dropped)) == {0.0, 1 / (1 - plan[0, DROPOUT] / 2**32)}
        dropped = dropped == 0
        count = dropped.sum()
        assert stats.binomtest(int(count), dropped.size, rate).pvalue > 1e-4
        for axis in range(4):  # sums over the others are binomial
            k = np.moveaxis(dropped, axis, 0).reshape(dropped.shape[axis], -1)
            z = (k.sum(1) - k.shape[1] * rate) / np.sqrt(k.shape[1] * rate * (1 - rate))
            assert np.abs(z).max() < 5


def test_independence():
    """Masks of neighbouring steps, seeds, layers, rows and units do not agree more than chance."""
    plan = wide_plan(0.5)
    masks = np.array(
        [
            [np.array(dropout_factors(plan, seed, step, 64, np.float64)) > 0 for step in range(8)]
            for seed in (7, 8, 7 + 2**32)
        ]
    )
    signs = 2.0 * masks - 1
    for axis in range(signs.ndim):
        a = np.moveaxis(signs, axis, 0)
        products = (a[1:] * a[:-1]).ravel()
        assert abs(products.sum()) / np.sqrt(products.size) < 4


def test_the_layout_has_room_only_where_units_are_dropped():
    plan = Layout((3, 4, 5, 2), ("tanh", "silu"), np.dtype(np.float32), (0.0, 0.0, 0.25)).plan
    assert plan[:, DROPOUT].tolist() == [0, 0, 2**30, 0]
    assert (plan[[0, 1, 3], OUTPUT] == plan[[0, 1, 3], H]).all()
    assert plan[2, OUTPUT] != plan[2, H]


@pytest.mark.parametrize(
    "rates",
    [
        *(0.5, [0.25, 0.0], [0.25, 0.5, 0.0]),
        pytest.param([0.125, 0.0, 0.5], marks=pytest.mark.nojit),
    ],
    ids=str,
)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_training_of_pytorch(backend, activation, rates):
    """The same masks in PyTorch give the same weights, so all derivatives are right."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net = make_network(SIZES, "squared_error", backend, activation=activation)
    X, y = make_data("squared_error", N, SIZES[0], SIZES[-1])
    output, leaves = torch_network(torch, net)
    training = training_of(net, X, y, rates, fastbp.SGD(0.05, momentum=0.9))
    optimizer = torch.optim.SGD(leaves, 0.05, momentum=0.9)
    losses = []
    for step, first in enumerate([*range(0, N, BATCH)] * 2):
        rows = slice(first, min(first + BATCH, N))
        factors = dropout_factors(
            training._layout.plan, SEED, step, rows.stop - rows.start, np.float64
        )
        optimizer.zero_grad()
        s = output(X[rows], [torch.tensor(f) for f in factors])
        loss = ((s - torch.tensor(y[rows])) ** 2).sum() / 2 / len(s)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    history = History()
    training.run(NATURAL_ORDER, 2, history, training.hyper[:1])
    ref = np.concatenate([p.detach().numpy().ravel() for p in leaves])
    assert error(parameters(net), ref) < 1e-11
    sizes = [8, 8, 4]
    expected = [np.dot(losses[:3], sizes) / N, np.dot(losses[3:], sizes) / N]
    assert history.loss == pytest.approx(expected, rel=1e-11)


@pytest.mark.nojit
def test_one_output(backend):
    """Which is laid out lying down: against the reference, the input dropped as well."""
    results = []
    for name in ("numpy", backend):
        net = make_network([5, 18, 1], "log_loss", name, activation="sigmoid")
        X, y = make_data("log_loss", N, 5, 1)
        training = training_of(net, X, y, [0.2, 0.4], fastbp.Adam(0.05))
        training.run(NATURAL_ORDER, 3, History(), training.hyper[:1])
        results.append(parameters(net))
    assert error(results[1], results[0]) < 1e-12


def test_training_only(backend):
    """Predictions, gradients and validation losses are those of the whole network."""
    net = make_network(SIZES, "squared_error", backend)
    X, y = make_data("squared_error", N, SIZES[0], SIZES[-1])
    history = net.fit(X, y, dropout=0.5, epochs=3, validation_data=(X, y))
    ref = make_network(SIZES, "squared_error", "numpy")
    for i in range(3):
        ref.weights[i], ref.biases[i] = net.weights[i], net.biases[i]
    assert error(net.predict(X), ref.predict(X)) < 1e-13
    assert history.validation_loss[-1] == net.loss_and_gradient(X, y)[0]


def test_seeds(backend):
    """The network's seed and earlier draws decide; without dropout nothing is drawn."""
    X, y = make_data("squared_error", N, SIZES[0], SIZES[-1])

    def trained(seed, **options):
        net = fastbp.Network(SIZES, loss="squared_error", seed=seed, backend=backend)
        start = make_network(SIZES, "squared_error", backend)
        for i in range(3):
            net.weights[i], net.biases[i] = start.weights[i], start.biases[i]
        net.fit(X, y, epochs=2, batch_size=None, **options)
        return net, parameters(net)

    net, first = trained(1, dropout=0.5)
    assert np.array_equal(trained(1, dropout=0.5)[1], first)
    assert not np.array_equal(trained(2, dropout=0.5)[1], first)
    assert np.array_equal(trained(1, dropout=0.0)[1], trained(2)[1])
    assert net._engine.random.integers(100) != trained(1)[0]._engine.random.integers(100)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_builds_give_the_same_bits(twins, dtype, monkeypatch):
    """Numba, and Cython for each processor."""
    import importlib

    from fastbp import backends
    from fastbp.backends import _cpu

    def trained(backend):
        net = make_network([7, 33, 20, 3], "squared_error", backend, dtype, ["silu", "sigmoid"])
        X, y = make_data("squared_error", 90, 7, 3)
        history = net.fit(X, y, dropout=[0.1, 0.3, 0.6], epochs=3, clip_norm=0.5)
        return parameters(net).tobytes(), history.loss

    cython, numba = twins
    ref = trained(numba)
    ending = {"float32": "f4", "float64": "f8"}[dtype]
    for build in _cpu.supported():
        module = importlib.import_module(f"fastbp.backends._kernels_{build}_{ending}")
        if module.HAS_FMA:
            monkeypatch.setitem(backends.get(cython).KERNELS, np.dtype(dtype), module)
            assert trained(cython) == ref, build

"""The gradient of a training on known derivatives: twins, the reference, blocks and threads."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES, error, make_data, make_network

import fastbp
from fastbp.basis import teams
from fastbp.engine import sobolev

# More inputs than outputs go back from the outputs, fewer forward. No hidden layer, either.
SHAPES = [[5, 9, 7, 1], [4, 17, 3], [6, 2], [3, 1], [2, 6, 5, 3], [1, 5, 1], [2, 4]]
DIFFERENCES = 1e-7  # of directional derivatives by central differences, relative


def problem(net, n, seed=0):
    """Samples with weights, and derivatives of which some are unknown."""
    engine, rng = net._engine, np.random.default_rng(seed)
    n_in, n_out = engine.layout.sizes[0], engine.layout.sizes[-1]
    data = engine.data(*make_data("squared_error", n, n_in, n_out), rng.uniform(0.5, 2, n))
    dy = rng.standard_normal((n, n_out, n_in)).astype(engine.layout.dtype)
    dy[rng.uniform(size=dy.shape) < 0.3] = np.nan
    return engine, data, dy


def found(net, n, order=sobolev.ALL_IN_ORDER):
    """The mean and its gradient."""
    engine, data, dy = problem(net, n)
    gradient = engine.layout.zeros(engine.layout.n_parameters)
    total = data.sample_weight[order].sum() if order.size else data.sample_weight.sum()
    stop = np.zeros(1, np.int64)
    mean = sobolev.Sobolev(engine, data, dy, 0.7, n)(order, float(total), gradient, stop)
    return mean, gradient


def networks(names, sizes, loss="squared_error", dtype="float64", activation="tanh"):
    return [make_network(sizes, loss, name, dtype, activation) for name in names]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 21])
def test_cython_and_numba_give_the_same_bits(twins, n, dtype):
    order = np.arange(n)[::-1].copy()
    for sizes in SHAPES:
        for loss in ("squared_error", "huber"):
            for rows in (order, sobolev.ALL_IN_ORDER):
                nets = networks(twins, sizes, loss, dtype)
                one, other = (found(net, n, rows) for net in nets)
                assert one[0] == other[0] and one[1].tobytes() == other[1].tobytes(), sizes


@pytest.mark.nojit
@pytest.mark.parametrize("sizes", SHAPES, ids=str)
def test_reference(compiled, sizes):
    for activation in ("tanh", "gelu", "identity"):
        nets = networks([compiled, "numpy"], sizes, activation=activation)
        comp, ref = (found(net, 5, np.array([3, 1, 4])) for net in nets)
        assert abs(comp[0] - ref[0]) < 1e-13 * ref[0]
        assert error(comp[1], ref[1]) < 1e-13


@pytest.mark.parametrize("how", [{"norm": "layer", "residual": True}, {"norm": "rms"}], ids=str)
def test_layers_with_more(compiled, how):
    """They go forward, also with more inputs than outputs."""
    nets = [
        fastbp.Network(
            [4, 6, 6, 6, 1],
            activation=["tanh", "prelu", "silu"],
            loss="squared_error",
            dtype="float64",
            backend=name,
            seed=0,
            **how,
        )
        for name in (compiled, "numpy")
    ]
    comp, ref = (found(net, 9) for net in nets)
    assert abs(comp[0] - ref[0]) < 1e-13 * ref[0]
    assert error(comp[1], ref[1]) < 1e-12


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_by_differences(backend, activation):
    net = make_network([4, 6, 5, 2], "squared_error", backend, activation=activation)
    engine, gradient = net._engine, found(net, 6)[1]
    vector = engine.layout.zeros(gradient.size)
    for arrays in engine.layout.views(vector):
        for array in arrays:
            array[...] = np.random.default_rng(1).standard_normal(array.shape)
    at, sides = engine.parameters.copy(), []
    for step in (1e-5, -1e-5):
        engine.parameters[...] = at + step * vector
        sides.append(found(net, 6)[0])
    difference = (sides[0] - sides[1]) / 2e-5
    assert abs(gradient @ vector - difference) < DIFFERENCES * (1 + abs(difference))


@pytest.mark.parametrize("sizes", [[5, 9, 7, 2], [2, 6, 3]], ids=str)
def test_blocks_and_threads(backend, sizes, monkeypatch):
    """The sum over blocks is that over parts; threads change no bit."""
    net = make_network(sizes, "squared_error", backend, "float64")
    whole, gradient = found(net, 300)
    monkeypatch.setattr(sobolev, "PASS_BYTES", 1 << 14)
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(teams, "automatic", lambda *_, threads=threads: threads)
        results.append(found(net, 300))
        assert abs(results[-1][0] - whole) < 1e-13 * whole
        assert error(results[-1][1], gradient) < 1e-13
    assert len({(mean, found.tobytes()) for mean, found in results}) == 1


def test_stop_ends_a_long_call(compiled, monkeypatch):
    monkeypatch.setattr(sobolev, "PASS_BYTES", 1 << 12)
    engine, data, dy = problem(make_network([3, 8, 1], "squared_error", compiled), 300)
    gradient, stop = engine.layout.zeros(engine.layout.n_parameters), np.ones(1, np.int64)
    step = sobolev.Sobolev(engine, data, dy, 1.0, 300)
    assert np.isnan(step(sobolev.ALL_IN_ORDER, 300.0, gradient, stop))

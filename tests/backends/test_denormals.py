"""Denormal numbers: a training takes them for zeros, in both compiled backends; the rest is exact.

That keeps steps fast on processors that compute slowly with denormal numbers.
"""

import itertools

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    DTYPES,
    LOSSES_AND_TARGETS,
    OPTIMIZERS,
    flat,
    make_data,
    make_network,
    outputs_for,
    parameters,
)

import fastbp

SIZES = [7, 19, 5, 3]
ROWS = 21


@pytest.fixture(autouse=True)
def on_a_known_processor():
    from fastbp.backends.numba_ import denormals

    if denormals.FLUSH == 0:
        pytest.skip("a processor whose control register is unknown, or plain Python")


def denormal(array):
    """Which numbers are."""
    return (array != 0) & (np.abs(array) < np.finfo(array.dtype).tiny)


def mixed(rng, shape, dtype):
    """Numbers of all magnitudes from the smallest one up to 1; some are denormal."""
    info = np.finfo(dtype)
    lowest = np.log10(float(info.smallest_subnormal))
    numbers = 10 ** rng.uniform(lowest, 0, shape) * rng.choice([-1, 1], shape)
    return numbers.astype(dtype)


def problem(backend, loss, kind, activation, dtype):
    """A network and samples full of small numbers; most products of two underflow."""
    sizes = [*SIZES[:-1], outputs_for(loss, SIZES[-1])]
    net = make_network(sizes, loss, backend, dtype, activation)
    rng = np.random.default_rng(17)
    for i, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        net.weights[i], net.biases[i] = mixed(rng, w.shape, dtype), mixed(rng, b.shape, dtype)
    X, y = make_data(loss, ROWS, sizes[0], sizes[-1], kind=kind)
    if kind == "real":
        y = mixed(rng, y.shape, dtype)
    return net, mixed(rng, X.shape, dtype), y


GRID = [
    (*case, optimizer)
    for case, optimizer in zip(
        itertools.product(LOSSES_AND_TARGETS, ACTIVATIONS, DTYPES),
        itertools.cycle(OPTIMIZERS),
        strict=False,
    )
]


@pytest.mark.parametrize(("of_loss", "activation", "dtype", "optimizer"), GRID)
def test_twins_flush_the_same_numbers(twins, of_loss, activation, dtype, optimizer):
    results = []
    for backend in twins:
        net, X, y = problem(backend, *of_loss, activation, dtype)
        assert denormal(parameters(net)).any()
        found = [net.predict(X).tobytes()]
        how = {"optimizer": OPTIMIZERS[optimizer], "batch_size": None, "l2": 0.01}
        history = net.fit(X, y, epochs=3, **how)
        assert not denormal(parameters(net)).any()
        loss, gradient = net.loss_and_gradient(X, y)
        gradient = flat([*gradient.weights, *gradient.biases])
        assert not denormal(gradient).any()
        found += [history.loss, loss, gradient.tobytes(), parameters(net).tobytes()]
        results.append(found)
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_thread_flushes(compiled, dtype):
    results = []
    for threads in (1, 3):
        net, X, y = problem(compiled, "squared_error", "real", "tanh", dtype)
        X, y = np.tile(X, (4, 1)), np.tile(y, (4, 1))
        net.fit(X, y, epochs=3, batch_size=len(X), threads=threads)
        assert not denormal(parameters(net)).any()
        results.append(parameters(net).tobytes())
    assert results[0] == results[1]


def single_weight(compiled, dtype):
    """A network whose only weight is denormal, and the number."""
    net = fastbp.Network([1, 1], loss="squared_error", dtype=dtype, backend=compiled)
    w = np.finfo(dtype).tiny / dtype(5)
    net.weights[0], net.biases[0] = np.full((1, 1), w), np.zeros(1)
    return net, w


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_and_derivatives_of_samples_are_exact(compiled, dtype):
    net, w = single_weight(compiled, dtype)
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    for _ in range(2):
        assert net.predict(one)[0, 0] == w > 0
        assert net.per_sample_gradients(one, zero).weights[0].item() == w
        assert net.input_gradient(one * 2, one)[0, 0] == -w
        make_network([3, 2], "huber", compiled, dtype).fit(np.ones((4, 3)), np.ones((4, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_and_gradients_of_a_training_are_not(compiled, dtype):
    net, w = single_weight(compiled, dtype)
    one, zero = np.ones((1, 1)), np.zeros((1, 1))
    loss, gradient = net.loss_and_gradient(one, zero)
    assert loss == gradient.weights[0].item() == gradient.biases[0].item() == 0
    assert net.fit(one, zero, optimizer=fastbp.SGD(0.5), epochs=1).loss == [0.0]
    assert net.weights[0].item() == 0


@pytest.mark.parametrize("inlining", [False, True])
def test_arithmetic_stays_within_the_mode(inlining):
    """LLVM takes both products for the same one if it inlines them, so what flushes is apart."""
    numba = pytest.importorskip("numba")
    from fastbp.backends.numba_ import _jit, denormals

    make = _jit.inlined if inlining else _jit.inner

    @make
    def multiply(a, b, products, place):
        if not inlining:
            denormals.apart()
        products[place] = a * b

    @numba.njit
    def both(a, b, products):
        multiply(a, b, products, 0)
        before = denormals.flush()
        multiply(a, b, products, 1)
        denormals.set_control(before)

    products = np.ones(2)
    both(1e-200, 1e-120, products)
    assert (products == [1e-320, 0.0]).all() != inlining

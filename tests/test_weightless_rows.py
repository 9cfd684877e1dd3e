"""A row of weight 0 counts for nothing, whatever is in it, and keeps its place in its batch."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES, TARGETS, error, make_data, make_network, parameters

import fastbp

N, SIZES = 21, [4, 9, 6]
# Rows of weight 0: alone in a vector of rows, side by side, at the end, and a whole batch of 5.
WEIGHTLESS = [2, 5, 6, 7, 8, 9, N - 1]
OPTIONS = {"epochs": 3, "batch_size": 5, "optimizer": fastbp.Adam(0.01)}


def data(loss, dtype, outputs, overflowing):
    """Samples with weights; rows of weight 0 are small numbers or as large as they can be."""
    X, y = make_data(loss, N, SIZES[0], outputs)
    w = np.random.default_rng(1).uniform(0.5, 2, N)
    w[WEIGHTLESS] = 0
    if overflowing:
        X[WEIGHTLESS] = 0.99 * np.finfo(dtype).max * np.sign(X[WEIGHTLESS])
        if loss in ("squared_error", "absolute_error", "huber", "quantile", "poisson"):
            y[WEIGHTLESS] = 0.99 * np.finfo(dtype).max
    return X, y, w


def network(loss, backend, dtype, activation="relu", outputs=3):
    outputs = 2 if loss == "cross_entropy" and outputs == 1 else outputs
    return make_network([*SIZES, outputs], loss, backend, dtype, activation)


def bits(net, history):
    return [*parameters(net), *history.loss, *history.validation_loss]


def both(loss, dtype, outputs, train):
    """What `train` returns for data with harmless and with overflowing rows of weight 0."""
    return [train(*data(loss, dtype, outputs, overflowing)) for overflowing in (False, True)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("loss", TARGETS)
def test_of_each_loss(backend, loss, outputs, dtype):
    """The same bits as with a harmless row in its place, and the numbers of the other rows."""
    outputs = network(loss, backend, dtype, outputs=outputs).layout.sizes[-1]

    def train(X, y, w):
        net = network(loss, backend, dtype, outputs=outputs)
        value, gradient = net.loss_and_gradient(X, y, w)
        rest = w > 0
        expected, of_rest = net.loss_and_gradient(X[rest], y[rest], w[rest])
        assert value == pytest.approx(expected, rel=1e-5)
        for comp, ref in zip(gradient.weights, of_rest.weights, strict=True):
            assert error(comp, ref) < 1e-5
        history = net.fit(X, y, sample_weight=w, validation_data=(X, y, w), **OPTIONS)
        return [value, *bits(net, history)]

    harmless, overflowing = both(loss, dtype, outputs, train)
    assert np.isfinite(overflowing).all()
    assert overflowing == harmless


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_of_each_activation(backend, activation):
    def train(X, y, w):
        net = network("squared_error", backend, "float32", activation)
        return bits(net, net.fit(X, y, sample_weight=w, **OPTIONS))

    harmless, overflowing = both("squared_error", "float32", 3, train)
    assert overflowing == harmless


HOW = {
    "in their order": {"shuffle": False},
    "all at once": {"batch_size": None},
    "one by one": {"batch_size": 1},
    "dropout": {"dropout": (0.4, 0.5, 0.5)},
    "clipping": {"clip_norm": 0.1, "l1": 0.01, "l2": 0.01},
    "momentum": {"optimizer": fastbp.SGD(0.01, momentum=0.9)},
    "average": {"average": fastbp.EMA(0.9)},
    "frozen": {"frozen": [0]},
}


@pytest.mark.parametrize("how", HOW)
def test_of_each_way_to_train(backend, how):
    def train(X, y, w):
        net = network("huber", backend, "float32")
        return bits(net, net.fit(X, y, sample_weight=w, **{**OPTIONS, **HOW[how]}))

    harmless, overflowing = both("huber", "float32", 3, train)
    assert overflowing == harmless


def test_of_blocks_and_threads(compiled):
    """More rows than are taken through the network at a time, shared among threads."""
    n = 3000
    X, y = make_data("squared_error", n, 40, 20)
    w = (np.arange(n) % 7 > 0).astype(float)
    results = []
    for overflowing in (False, True):
        if overflowing:
            X[w == 0] = 1e38
        for threads in (1, 3):
            net = make_network([40, 50, 20], "squared_error", compiled, "float32", "relu")
            assert net.layout.block_rows(n) < n
            history = net.fit(
                X, y, sample_weight=w, epochs=2, batch_size=None, threads=threads, dropout=0.1
            )
            results.append(bits(net, history))
    assert np.isfinite(results[0]).all()
    assert all(result == results[0] for result in results)


def test_of_a_loss_of_the_users(backend):
    def cube(output, y):
        d = output - y
        return (np.abs(d) ** 3).sum(axis=1) / 3, d * np.abs(d)

    def train(X, y, w):
        net = fastbp.Network([*SIZES, 3], loss=cube, dtype="float32", backend=backend, seed=0)
        return bits(net, net.fit(X, y, sample_weight=w, **OPTIONS))

    with np.errstate(all="ignore"):
        harmless, overflowing = both("squared_error", "float32", 3, train)
    assert overflowing == harmless


def test_a_batch_without_weight(backend):
    """A step without data: the penalty's alone, which with SGD makes of each W (1 - η l2) W."""
    rate, l2 = 0.1, 0.5
    net, ref = (make_network([2, 3, 1], "squared_error", backend) for _ in range(2))
    options = {"epochs": 1, "batch_size": 1, "shuffle": False, "optimizer": fastbp.SGD(rate)}
    first, second = [[1.0, 2.0]], [[3.0, 4.0]]
    history = net.fit(first + second, [1.0, 2.0], sample_weight=[1, 0], l2=l2, **options)
    alone = ref.fit(first, [1.0], l2=l2, **options)
    penalty = l2 / 2 * sum((W**2).sum() for W in ref.weights)
    penalty_before = (
        alone.loss[0]
        - make_network([2, 3, 1], "squared_error", backend).loss_and_gradient(first, [1.0])[0]
    )
    assert history.loss[0] == pytest.approx(alone.loss[0] + (penalty - penalty_before) / 2)
    for i in range(2):
        assert error(net.weights[i], (1 - rate * l2) * ref.weights[i]) < 1e-14
        assert np.array_equal(net.biases[i], ref.biases[i])

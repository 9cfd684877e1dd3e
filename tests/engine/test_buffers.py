"""Scratch memory that is kept between calls: what it holds does not matter, and it stays small."""

import copy
import threading

import numpy as np
import pytest
from helpers import make_data, make_network

import fastbp
from fastbp.engine import buffers

LAYOUTS = {
    "single output": ([3, 5, 1], "log_loss"),
    "softmax": ([3, 17, 6, 4], "cross_entropy"),
    "no hidden layer": ([5, 2], "squared_error"),
    "no hidden layer, single output": ([5, 1], "squared_error"),
    "wide": ([20, 130, 3], "huber"),
}


def results(net, X, y, row):
    loss, gradient = net.loss_and_gradient(X, y)
    found = [net.predict(X), net.predict(row), net.input_gradient(X, y), *net.layer_outputs(X)]
    found += [*gradient.weights, *gradient.biases, np.array(loss)]
    found += net.per_sample_gradients(X, y).weights
    p = net.forward(X)
    for _ in range(2):
        gradient, by_inputs = p.backward(np.sin(p.output))
        found += [p.output, by_inputs, *gradient.weights, *gradient.biases]
    return [array.tobytes() for array in found] + [fitted(net, X, y, share) for share in (0, 0.3)]


def fitted(net, X, y, dropout):
    """All parameters of a copy after a fit, padding included, as bytes."""
    net = copy.copy(net)
    net.fit(X, y, epochs=2, batch_size=16, dropout=[dropout] * len(net.weights), clip_norm=0.1)
    return net._engine.parameters.tobytes()


@pytest.fixture(autouse=True)
def none_kept():
    buffers._free.clear()


def kept():
    return [buffer for free in list(buffers._free.values()) for buffer in free]


@pytest.mark.parametrize("poison", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize("sizes, loss", LAYOUTS.values(), ids=LAYOUTS)
def test_old_contents_do_not_matter(sizes, loss, poison, backend):
    net = make_network(sizes, loss, backend)
    X, y = make_data(loss, 37, sizes[0], sizes[-1])
    expected = results(net, X, y, X[:1])
    assert kept()
    for buffer in kept():
        buffer[...] = poison
    assert results(net, X, y, X[:1]) == expected


def test_networks_share_buffers(backend):
    X, y = make_data("log_loss", 37, 3, 1)
    make_network([3, 5, 1], "log_loss", backend).loss_and_gradient(X, y)
    first = list(map(id, kept()))
    make_network([3, 5, 1], "log_loss", backend).loss_and_gradient(X, y)
    assert list(map(id, kept())) == first


def test_precisions_share_none(backend):
    X, y = make_data("log_loss", 37, 3, 1)
    for dtype in ("float32", "float64"):
        net = make_network([3, 5, 1], "log_loss", backend, dtype)
        assert net.loss_and_gradient(X, y)[1].weights[0].dtype == dtype
    assert {buffer.dtype.name for buffer in kept()} == {"float32", "float64"}


def test_what_is_kept_is_bounded():
    for n in range(20, 120):
        net = make_network([3, 5, 1], "log_loss", "numpy")
        X, y = make_data("log_loss", n, 3, 1)
        net.loss_and_gradient(X, y)
        net.fit(X, y, epochs=1, batch_size=None)
    make_network([3000, 1], "log_loss", "numpy").predict(np.zeros((500, 3000)))
    assert len(buffers._free) <= buffers.MOST_SIZES
    assert max(buffer.nbytes for buffer in kept()) <= buffers.MOST_BYTES
    like = make_network([3, 5, 1], "log_loss", "numpy").layout
    buffers.give(*[like.zeros(77) for _ in range(100)])
    assert len(buffers._free[77, like.dtype.itemsize]) == buffers.MOST_ALIKE


class Broken(fastbp.Callback):
    def epoch(self, network, history):
        assert not kept()
        raise RuntimeError


def test_a_fit_gives_its_buffers_back_once_it_has_ended_well(backend):
    net = make_network([3, 5, 1], "log_loss", backend)
    X, y = make_data("log_loss", 37, 3, 1)
    with pytest.raises(RuntimeError):
        net.fit(X, y, callbacks=[Broken()])
    assert not kept()
    net.fit(X, y)
    assert len(kept()) == 4
    first = sorted(buffer.ctypes.data for buffer in kept())
    net.fit(X, y)
    assert sorted(buffer.ctypes.data for buffer in kept()) == first


@pytest.mark.serial
def test_threads_share_no_buffer(compiled):
    net = make_network([3, 64, 4], "cross_entropy", compiled)
    X, _ = make_data("cross_entropy", 40, 3, 4)
    parts = [X[i : i + 10] for i in range(0, 40, 10)]
    expected = [net.predict(part).tobytes() for part in parts]
    wrong = []

    def predict(i):
        for _ in range(300):
            if net.predict(parts[i]).tobytes() != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=predict, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_pass_gives_its_buffers_back_in_the_end(backend):
    net = make_network([3, 5, 1], "log_loss", backend)
    X, y = make_data("log_loss", 37, 3, 1)
    p = net.forward(X)
    assert kept() == []
    p.backward(y)
    assert len(kept()) == 1  # the transposed weights
    del p
    assert len(kept()) == 3


def test_buffers_of_a_call_that_was_broken_off_are_not_given_back(backend, monkeypatch):
    """The call may still be writing to them."""
    net = make_network([3, 5, 1], "log_loss", backend)
    X, y = make_data("log_loss", 37, 3, 1)
    p = net.forward(X)

    def broken_off(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(net._engine, "run", broken_off)
    with pytest.raises(KeyboardInterrupt):
        p.backward(y)
    with pytest.raises(KeyboardInterrupt):
        net.forward(X)
    del p
    assert kept() == []

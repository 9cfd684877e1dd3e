"""Scratch memory that is kept between calls: what it holds does not matter, and it stays small."""

import copy
import pickle
import threading

import numpy as np
import pytest
from helpers import make_data, make_network

from fastbp.engine import buffers

LAYOUTS = {
    "single output": ([3, 5, 1], "log_loss"),
    "softmax": ([3, 17, 6, 4], "cross_entropy"),
    "no hidden layer": ([5, 2], "squared_error"),
    "wide": ([20, 130, 3], "huber"),
}


def results(net, X, y, row):
    loss, gradient = net.loss_and_gradient(X, y)
    found = [net.predict(X), net.predict(row), net.input_gradient(X, y), *net.layer_outputs(X)]
    found += [*gradient.weights, *gradient.biases, np.array(loss)]
    found += net.per_sample_gradients(X, y).weights
    return [array.tobytes() for array in found]


@pytest.mark.parametrize("poison", [np.nan, np.inf, -1e30])
@pytest.mark.parametrize("sizes, loss", LAYOUTS.values(), ids=LAYOUTS)
def test_old_contents_do_not_matter(sizes, loss, poison, backend):
    net = make_network(sizes, loss, backend)
    X, y = make_data(loss, 37, sizes[0], sizes[-1])
    expected = results(net, X, y, X[:1])
    lent = [buffer for free in net._engine.buffers._free.values() for buffer in free]
    assert lent
    for buffer in lent:
        buffer[...] = poison
    assert results(net, X, y, X[:1]) == expected


def test_calls_reuse_buffers(backend):
    net = make_network([3, 5, 1], "log_loss", backend)
    X, y = make_data("log_loss", 37, 3, 1)
    net.loss_and_gradient(X, y)
    first = {size: [id(b) for b in free] for size, free in net._engine.buffers._free.items()}
    net.loss_and_gradient(X, y)
    again = {size: [id(b) for b in free] for size, free in net._engine.buffers._free.items()}
    assert first == again


def test_what_is_kept_is_bounded():
    net = make_network([3, 5, 1], "log_loss", "numpy")
    for n in range(20, 120):
        net.loss_and_gradient(*make_data("log_loss", n, 3, 1))
    kept = net._engine.buffers._free
    assert len(kept) <= buffers.MOST_SIZES
    assert all(b.nbytes <= buffers.MOST_BYTES for free in kept.values() for b in free)


def test_copies_have_buffers_of_their_own():
    net = make_network([3, 5, 1], "log_loss", "numpy")
    net.predict(np.zeros((2, 3)))
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert not other._engine.buffers._free


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

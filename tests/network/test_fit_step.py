"""Online training: `Network.fit_step`."""

import copy
import pickle

import numpy as np
import pytest
from helpers import make_data, make_network, parameters

import fastbp

SIZES, LOSS = [6, 12, 3], "cross_entropy"


def start(backend, dtype="float32"):
    return make_network(SIZES, LOSS, backend, dtype, seed=0), *make_data(LOSS, 40, 6, 3)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_fit(backend, dtype, rows):
    """State is kept from call to call, also where the size of the batch changes."""
    net, X, y = start(backend, dtype)
    losses = []
    for first in range(0, len(X), rows):
        batch = slice(first, first + rows)
        losses.append(net.fit_step(X[batch], y[batch]) * len(X[batch]))
    ref, X, y = start(backend, dtype)
    history = ref.fit(X, y, batch_size=rows, epochs=1, shuffle=False)
    assert np.array_equal(parameters(net), parameters(ref))
    assert sum(losses) / len(X) == pytest.approx(history.loss[0], rel=1e-6)


def test_another_optimizer_begins_anew(backend):
    net, X, y = start(backend)
    ref, X, y = start(backend)
    net.fit_step(X, y, optimizer=fastbp.SGD(0.1, momentum=0.9))
    net.fit_step(X, y)  # goes on with it
    net.fit_step(X, y, optimizer=fastbp.SGD(0.1))
    ref.fit(X, y, optimizer=fastbp.SGD(0.1, momentum=0.9), epochs=2, batch_size=None)
    ref.fit(X, y, optimizer=fastbp.SGD(0.1), epochs=1, batch_size=None)
    assert np.array_equal(parameters(net), parameters(ref))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_step_on_their_own(backend, copied):
    net, X, y = start(backend)
    net.fit_step(X, y)
    other, before = copied(net), parameters(net).copy()
    other.fit_step(X, y)
    assert np.array_equal(parameters(net), before)
    assert not np.array_equal(parameters(other), before)


def test_weighted(backend):
    net, X, y = start(backend)
    ref, X, y = start(backend)
    w = np.linspace(0, 1, len(X))
    net.fit_step(X, y, sample_weight=w)
    ref.fit(X, y, sample_weight=w, batch_size=None, epochs=1)
    assert np.array_equal(parameters(net), parameters(ref))


def test_divergence_is_an_error(backend):
    net = make_network(SIZES, "squared_error", backend, "float32")
    X, y = make_data("squared_error", 40, 6, 3)
    with pytest.raises(fastbp.TrainingDiverged):
        for _ in range(5):
            net.fit_step(X, y, optimizer=fastbp.SGD(1e20))


def test_bad_input_changes_nothing(backend):
    net, X, y = start(backend)
    before = parameters(net).copy()
    for bad in (dict(X=X[0], y=y[:1]), dict(X=X * np.nan, y=y), dict(X=X, y=y + 9)):
        with pytest.raises(ValueError):
            net.fit_step(**bad)
    with pytest.raises(TypeError):
        net.fit_step(X, y, optimizer="adam")
    assert np.array_equal(parameters(net), before)

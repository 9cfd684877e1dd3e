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


RULES = [
    {"clip_norm": 0.05},
    {"l1": 0.01, "l2": [0.0, 0.1]},
    {"frozen": np.array([0])},
    {"clip_norm": 0.1, "l1": (0.01, 0.02), "l2": 0.3, "frozen": range(1, 2)},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rules", RULES)
def test_rules_are_those_of_fit(backend, dtype, rules):
    """The loss with its penalties, too."""
    net, X, y = start(backend, dtype)
    ref, X, y = start(backend, dtype)
    found = [net.fit_step(X, y, **rules) for _ in range(3)]
    history = ref.fit(X, y, batch_size=None, epochs=3, shuffle=False, **rules)
    assert np.array_equal(parameters(net), parameters(ref))
    assert found == history.loss


def steps(net, X, y, rules_of_steps):
    for rules in rules_of_steps:
        net.fit_step(X, y, optimizer=fastbp.SGD(0.1, momentum=0.9), **rules)


def test_rules_change_and_the_state_stays(backend):
    """Against the equations of momentum, in NumPy."""
    net, X, y = start(backend, "float64")
    rules_of_steps = [{}, {"l2": 0.5}, {"clip_norm": 0.01}, {}, {"frozen": [1]}, {"frozen": [0]}]
    ref, velocity = copy.deepcopy(net), [0.0] * 4
    for rules in rules_of_steps:
        gradient = ref.loss_and_gradient(X, y)[1]
        slopes = [g.copy() for g in (*gradient.weights, *gradient.biases)]
        for i in range(2):
            slopes[i] += rules.get("l2", 0) * ref.weights[i]
        norm = np.sqrt(sum((g**2).sum() for g in slopes))
        factor = min(1, rules.get("clip_norm", np.inf) / (norm + 1e-6))
        for i, array in enumerate((*ref.weights, *ref.biases)):
            if i % 2 not in rules.get("frozen", []):
                velocity[i] = 0.9 * velocity[i] + factor * slopes[i]
                array -= 0.1 * velocity[i]
    steps(net, X, y, rules_of_steps)
    assert np.abs(parameters(net) - parameters(ref)).max() < 1e-14


def test_a_list_that_was_changed_counts_anew(backend):
    net, X, y = start(backend)
    frozen = [0]
    net.fit_step(X, y, frozen=frozen)
    first, second = (w.copy() for w in net.weights)
    frozen[0] = 1
    net.fit_step(X, y, frozen=frozen)
    assert np.array_equal(net.weights[1], second)
    assert not np.array_equal(net.weights[0], first)


@pytest.mark.parametrize(
    ("bad", "problem", "words"),
    [
        ({"clip_norm": 0}, ValueError, "clip_norm must be above 0"),
        ({"clip_norm": np.nan}, ValueError, "clip_norm must be in"),
        ({"l1": -1.0}, ValueError, "l1 must be in"),
        ({"l2": [0.1]}, ValueError, "one number for each of the 2 layers"),
        ({"l2": "0.1"}, TypeError, "l2 must be a number"),
        ({"frozen": [0, 1]}, ValueError, "frozen names all 2 layers"),
        ({"frozen": [2]}, ValueError, "frozen has the index 2"),
        ({"frozen": 0}, TypeError, "frozen must be a list"),
        ({"schedule": fastbp.CosineDecay()}, TypeError, "schedule"),
    ],
)
def test_bad_rules_change_nothing(backend, bad, problem, words):
    """Neither the weights, nor the rules and the state of the next steps."""
    net, X, y = start(backend)
    ref, X, y = start(backend)
    good = {"clip_norm": 0.05, "l2": 0.1}
    steps(net, X, y, [good])
    before = parameters(net)
    with pytest.raises(problem, match=words):
        net.fit_step(X, y, optimizer=fastbp.Adam(), **bad)
    assert np.array_equal(parameters(net), before)
    steps(net, X, y, [good, {}])
    steps(ref, X, y, [good, good, {}])
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
    with pytest.raises(ValueError):
        net.fit_step(X, y, optimizer="adm")
    assert np.array_equal(parameters(net), before)

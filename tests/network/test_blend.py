"""`Network.blend`: the weights go a part of the way to another network's."""

import copy

import numpy as np
import pytest
from helpers import DTYPES, make_data, make_network, parameters

import fastbp

SIZES = [5, 7, 3]


def pair(backend, dtype="float64", sizes=SIZES):
    return [make_network(sizes, "squared_error", backend, dtype, seed=seed) for seed in (0, 9)]


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tau", [0.0, 0.005, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("sizes", [SIZES, [4, 1]])
def test_the_equation(backend, dtype, tau, sizes):
    net, other = pair(backend, dtype, sizes)
    own, others = parameters(net), parameters(other)
    net.blend(other, tau)
    expected = (1 - tau) * own.astype(float) + tau * others.astype(float)
    eps = np.finfo(dtype).eps
    assert np.abs(parameters(net) - expected).max() <= 2 * eps * np.abs(expected).max()
    assert np.array_equal(parameters(other), others)
    if tau in (0, 1):
        assert np.array_equal(parameters(net), (own, others)[int(tau)])


@pytest.mark.parametrize("tau", [0.1, 0.7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_weights_stay(backend, dtype, tau):
    """The same network, and a copy."""
    net, _ = pair(backend, dtype)
    before = net._engine.parameters.tobytes()
    for other in (net, copy.deepcopy(net)):
        net.blend(other, tau)
        assert net._engine.parameters.tobytes() == before


def test_steps_go_on_with_their_state(backend):
    net, other = pair(backend)
    ref, _ = pair(backend)
    X, y = make_data("squared_error", 8, 5, 3)
    for each in (net, ref):
        each.fit_step(X, y)
    net.blend(other, 0.0)
    for each in (net, ref):
        each.fit_step(X, y)
    assert np.array_equal(parameters(net), parameters(ref))


def test_networks_on_two_backends(compiled):
    net, _ = pair(compiled)
    ref, other = pair("numpy")
    for each in (net, ref):
        each.blend(other, 0.3)
    assert np.array_equal(parameters(net), parameters(ref))


def not_finite(net):
    net._engine.parameters[0] = np.nan
    return net


@pytest.mark.parametrize(
    ("other", "tau", "problem", "words"),
    [
        (lambda net: net.weights, 0.5, TypeError, "other must be a fastbp.Network, got Parameters"),
        (lambda net: net, 1.5, ValueError, r"tau must be in \[0, 1\], got 1.5"),
        (lambda net: net, -0.1, ValueError, r"tau must be in \[0, 1\]"),
        (lambda net: net, np.nan, ValueError, r"tau must be in \[0, 1\], got nan"),
        (lambda net: net, "0.5", TypeError, "tau must be a number"),
        (lambda net: net, True, TypeError, "tau must be a number"),
        (
            lambda net: fastbp.Network([5, 8, 3], loss="squared_error", dtype="float64"),
            *(0.5, ValueError, r"same layer sizes, .* has \(5, 7, 3\) .* \(5, 8, 3\)"),
        ),
        (
            lambda net: fastbp.Network(SIZES, loss="squared_error", dtype="float32"),
            *(0.5, ValueError, "same dtype, .* has float64 .* float32"),
        ),
        (not_finite, 0.5, ValueError, r"the other network's weights\[0\] has NaN"),
    ],
)
def test_errors_change_nothing(backend, other, tau, problem, words):
    net, another = pair(backend)
    before = parameters(net)
    with pytest.raises(problem, match=words):
        net.blend(other(another), tau)
    assert np.array_equal(parameters(net), before)


def test_own_weights_that_are_not_finite(backend):
    net, other = pair(backend)
    net.biases[1][0] = np.inf
    with pytest.raises(ValueError, match=r"the network's biases\[1\]"):
        net.blend(other, 1.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_differences_that_overflow(backend, dtype):
    net, other = pair(backend, dtype)
    large = 0.9 * np.finfo(dtype).max
    net.weights[0][0, 0], other.weights[0][0, 0] = large, -large
    before = parameters(net)
    with pytest.raises(ValueError, match=f"too large for {dtype}; nothing was changed"):
        net.blend(other, 0.25)
    assert np.array_equal(parameters(net), before)

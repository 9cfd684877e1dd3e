"""`integrated_gradients`: contributions of the inputs that add up to the outputs' difference."""

import warnings

import numpy as np
import pytest
from gradient_helpers import torch_activations, torch_network
from helpers import ACTIVATIONS, error, make_network

import fastbp
from fastbp.engine import attributions, jets

rng = np.random.default_rng(0)
X = 2 * rng.standard_normal((9, 5))
BASE = rng.standard_normal(5)
EACH = rng.standard_normal((9, 5))


def rise(net, baseline):
    """The difference of the outputs, in float64."""
    engine = net._engine.converted("float64", "numpy")
    return engine.outputs(X) - engine.outputs(np.zeros_like(X) + baseline)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_contributions_add_up(activation, loss):
    net = make_network((5, 12, 9, 3), loss, "auto", "float32", activation)
    for baseline in (None, BASE, EACH):
        found = net.integrated_gradients(X, baseline)
        assert found.shape == (9, 3, 5)
        assert found.dtype == np.float64
        expected = rise(net, 0 if baseline is None else baseline)
        assert np.abs(found.sum(axis=2) - expected).max() < 1e-9


@pytest.mark.parametrize("activation", ["relu", "tanh", "hard_tanh", "elu"])
def test_every_backend(backend, activation):
    net = make_network((5, 8, 6, 2), "log_loss", backend, activation=activation)
    reference = net.to_backend("numpy").integrated_gradients(X, BASE)
    assert error(net.integrated_gradients(X, BASE), reference) < 1e-10
    for k in range(2):
        of_one = net.integrated_gradients(X, BASE, output=k)
        assert of_one.shape == (9, 5)
        assert error(of_one, reference[:, k]) < 1e-10


@pytest.mark.parametrize("activation", ["relu", "tanh", "selu", "gelu"])
def test_against_autograd_in_many_steps(activation):
    """The formula of captum with method="riemann_middle", in steps that are small beside ours."""
    torch = pytest.importorskip("torch")
    net = make_network((5, 12, 9, 2), "squared_error", "auto", activation=activation)
    if activation not in torch_activations(torch):
        pytest.skip("PyTorch lacks it")
    s_of, _ = torch_network(torch, net)
    steps = 2000
    found = net.integrated_gradients(X[:2], BASE)
    for r in range(2):
        alpha = (np.arange(steps)[:, None] + 0.5) / steps
        x = torch.tensor(BASE + alpha * (X[r] - BASE), requires_grad=True)
        for k in range(2):
            (slopes,) = torch.autograd.grad(s_of(x)[:, k].sum(), x)
            expected = slopes.numpy().mean(axis=0) * (X[r] - BASE)
            tolerance = 5e-3 if activation in ("relu", "selu") else 1e-5  # jumps in 1/steps
            assert np.abs(found[r, k] - expected).max() < tolerance


def test_linear_networks_are_exact(backend):
    net = make_network((5, 2), "squared_error", backend)
    expected = (X - BASE)[:, None, :] * net.weights[0].T
    assert error(net.integrated_gradients(X, BASE), expected) < 1e-14


def test_one_relu_by_hand():
    """h = relu(3 x_1 - x_2 - 1) from (0, 0) to (1, 1): it rises from α = 1/2 on, by 3 - 1 in 1."""
    net = fastbp.Network([2, 1, 1], loss="squared_error", dtype="float64", seed=0)
    net.weights[0], net.biases[0], net.weights[1] = [[3.0], [-1.0]], [-1.0], [[1.0]]
    found = net.integrated_gradients([[1.0, 1.0]], output=0)
    assert np.abs(found - [[1.5, -0.5]]).max() < 1e-12


def test_a_saturated_sigmoid_by_hand():
    """∫ σ' of a line is the difference of σ, however sharp the step: w_j Δ_j / Σ w Δ of it."""
    net = fastbp.Network([2, 1], loss="log_loss", dtype="float64", seed=0)
    net.weights[0], net.biases[0] = [[3000.0], [1000.0]], [-1234.5]
    found = net.integrated_gradients([[1.0, 1.0]], output=0)
    assert np.abs(found - [[0.75, 0.25]]).max() < 1e-12


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softplus", "elu"])
def test_steps_that_cancel_are_not_missed(activation):
    """f(x_1) - f(x_2) of two units that step at once: the sum says nothing about the parts."""
    net = fastbp.Network(
        [2, 2, 1], activation=activation, loss="squared_error", dtype="float64", seed=0
    )
    net.weights[0], net.biases[0] = [[1e6, 0], [0, 1e6]], [-3.7e5, -3.7e5]
    net.weights[1] = [[1.0], [-1.0]]
    (value, base), _ = net.layer_outputs([[1.0, 1.0], [0.0, 0.0]])[0].T
    found = net.integrated_gradients([[1.0, 1.0]], output=0)
    assert error(found, [[value - base, base - value]]) < 1e-9


def test_many_kinks():
    net = make_network((5, 60, 60, 60, 1), "squared_error", "auto", activation="relu")
    found = net.integrated_gradients(20 * X, -20 * X)
    assert np.abs(found.sum(axis=2) - (net.predict(20 * X) - net.predict(-20 * X))).max() < 1e-9


def test_rows_do_not_depend_on_each_other(monkeypatch):
    net = make_network((5, 8, 6, 2), "cross_entropy", "auto", activation="elu")
    whole = net.integrated_gradients(X, EACH)
    monkeypatch.setattr(attributions, "MOST_NUMBERS", 1)  # a row at a time, a panel at a time
    assert np.array_equal(net.integrated_gradients(X, EACH), whole)


def test_no_difference_is_no_contribution():
    net = make_network((5, 8, 1), "squared_error", "auto", activation="relu")
    assert not net.integrated_gradients(X, X).any()
    same = X.copy()
    same[:, 2] = BASE[2]
    assert not net.integrated_gradients(same, BASE)[:, 0, 2].any()


def test_rounding_to_bfloat16_is_left_out():
    net = fastbp.Network([5, 8, 2], loss="squared_error", compute_dtype="bfloat16", seed=0)
    found = net.integrated_gradients(X, BASE)
    assert np.abs(found.sum(axis=2) - rise(net, BASE)).max() < 1e-9


def test_contributions_that_do_not_add_up_are_told():
    net = make_network((5, 8, 1), "squared_error", "numpy", activation="tanh")
    true = jets.input_jacobian

    def too_small(engine, samples):
        return 0.5 * true(engine, samples)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jets, "input_jacobian", too_small)
        patch.setattr(attributions, "MOST_PANELS", 20)
        with pytest.warns(RuntimeWarning, match="of 9 of 9 rows do not add up.*largest error is"):
            net.integrated_gradients(X, BASE)


def test_unknown_kinks_are_found_by_halving():

    def value(s):
        return np.where(s > 0.3, 3 * s - 0.6, s)

    def derivative(s):
        return np.where(s > 0.3, 3.0, 1.0)

    own = fastbp.Activation(value, derivative)
    net = make_network((5, 4, 1), "squared_error", "numpy", activation=own)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = net.integrated_gradients(X, BASE)
    assert np.abs(found.sum(axis=2) - rise(net, BASE)).max() < 1e-6


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((X[:, :4],), {}, "X"),
        ((X, BASE[:4]), {}, r"baseline must have shape \(5,\) or \(9, 5\), got \(4,\)"),
        ((X, 0.0), {}, r"baseline must have shape \(5,\) or \(9, 5\), got \(\)"),
        ((X, EACH[:4]), {}, r"baseline must have shape \(5,\) or \(9, 5\), got \(4, 5\)"),
        ((X, np.full(5, np.nan)), {}, "baseline"),
        ((X, "mean"), {}, "baseline"),
        ((X,), {"output": 2}, "output must be at most 1"),
        ((X,), {"output": -1}, "output must be at least 0"),
        ((X,), {"output": 0.0}, "output must be a whole number"),
    ],
)
def test_refusals(arguments, options, said):
    net = make_network((5, 4, 2), "squared_error", "numpy")
    with pytest.raises((ValueError, TypeError), match=said):
        net.integrated_gradients(*arguments, **options)

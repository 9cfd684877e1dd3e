"""Levenberg-Marquardt against certified results, SciPy's finite differences, and conditions."""

import numpy as np
import pytest
import scipy.optimize
from helpers import error, flat, gradient_of, make_data, make_network, parameters
from nist import REGRESSIONS

import fastbp
from fastbp.engine import output


@pytest.mark.nojit
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("name", REGRESSIONS)
def test_certified_regressions(backend, name, start):
    """Of NIST's eleven certified digits, parameters have seven and residuals nine."""
    problem = REGRESSIONS[name]
    net = problem.network(problem.starts[start], backend)
    frozen = [0, 1] if problem.activation == "elu" else [1]
    found = fastbp.levenberg_marquardt(
        net, problem.X, problem.y, frozen_biases=frozen, tolerance=1e-14
    )
    assert found.converged
    W_1, b_1, W_2 = problem.network_of(problem.certified)
    assert net.weights[0][0, 0] == pytest.approx(W_1, rel=1e-7)
    assert net.weights[1][0, 0] == pytest.approx(W_2, rel=1e-7)
    assert net.biases[0][0] == pytest.approx(b_1, rel=1e-7, abs=0)
    assert net.biases[1][0] == 0
    assert 2 * len(problem.y) * found.loss[-1] == pytest.approx(problem.residual_squares, rel=1e-9)
    errors = np.abs(problem.network_of(problem.errors))
    comp = [found.standard_errors.weights[0], found.standard_errors.biases[0]]
    comp = flat([*comp, found.standard_errors.weights[1]])
    assert np.allclose(comp, errors, rtol=1e-6, atol=0)


def test_finite_differences_lead_to_the_same_minimum(backend):
    """SciPy's own Jacobian, on NumPy's forward pass."""
    rng = np.random.default_rng(2)
    X = np.linspace(-1, 1, 30)[:, None]
    y = np.column_stack([np.tanh(2 * X[:, 0]), np.tanh(1 - 3 * X[:, 0])])
    y += 0.01 * rng.standard_normal(y.shape)
    w = rng.uniform(0.5, 2, 30)
    net = make_network([1, 2, 2], "squared_error", backend)
    shapes = [a.shape for a in [*net.weights, *net.biases]]

    def residuals(x):
        parts = np.split(x, np.cumsum([np.prod(s) for s in shapes])[:-1])
        W_1, W_2, b_1, b_2 = (p.reshape(s) for p, s in zip(parts, shapes, strict=True))
        h = np.tanh(X @ W_1 + b_1) @ W_2 + b_2
        return (np.sqrt(w / w.sum())[:, None] * (h - y)).ravel()

    options = dict(method="lm", x_scale=1.0, ftol=1e-13, xtol=1e-13, gtol=1e-13)
    ref = scipy.optimize.least_squares(residuals, parameters(net), **options)
    found = fastbp.levenberg_marquardt(net, X, y, sample_weight=w, tolerance=1e-13)
    assert found.loss[-1] == pytest.approx(ref.cost, rel=1e-9)
    assert error(parameters(net), ref.x) < 1e-4
    assert found.loss[-1] == pytest.approx(net.loss_and_gradient(X, y, w)[0], rel=1e-12)
    assert np.abs(gradient_of(net, X, y, w)).max() < 1e-9


def test_losses_go_down(backend):
    net = make_network([2, 5, 1], "squared_error", backend)
    X, _ = make_data("squared_error", 60, 2, 1)
    found = fastbp.levenberg_marquardt(net, X, np.sin(X.sum(axis=1)) + X[:, 0] ** 2)
    assert len(found.loss) > 5 and (np.diff(found.loss) <= 1e-12).all()
    assert found.loss[-1] < 1e-2 * found.loss[0]
    assert found.evaluations >= len(found.loss) - 1


def test_penalty(backend):
    """At the minimum the loss's gradient is minus the penalty's; biases have none."""
    net = make_network([3, 4, 1], "squared_error", backend)
    X, y = make_data("squared_error", 40, 3, 1)
    l2 = [0.02, 0.1]
    found = fastbp.levenberg_marquardt(net, X, y, l2=l2, tolerance=1e-15)
    loss, gradient = net.loss_and_gradient(X, y)
    penalty = sum(a / 2 * (W**2).sum() for a, W in zip(l2, net.weights, strict=True))
    assert found.loss[-1] == pytest.approx(loss + penalty, rel=1e-12)
    for a, W, dW, db in zip(l2, net.weights, gradient.weights, gradient.biases, strict=True):
        assert np.abs(dW + a * W).max() < 1e-6
        assert np.abs(db).max() < 1e-6


def test_what_is_frozen_stays(backend):
    net = make_network([2, 3, 3, 1], "squared_error", backend)
    X, y = make_data("squared_error", 40, 2, 1)
    before = [a.copy() for a in [*net.weights, *net.biases]]
    found = fastbp.levenberg_marquardt(net, X, y, frozen=[1], frozen_biases=[-1])
    after = [*net.weights, *net.biases]
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert same == [False, True, False, False, True, True]
    assert (found.standard_errors.weights[1] == 0).all()
    assert (found.standard_errors.weights[0] > 0).all()


def test_fewer_residuals_than_parameters(backend):
    net = make_network([2, 8, 1], "squared_error", backend)
    X, y = make_data("squared_error", 7, 2, 1)
    found = fastbp.levenberg_marquardt(net, X, y)
    assert found.loss[-1] < 1e-6
    assert np.isnan(found.standard_errors.weights[0]).all()


def test_single_precision_networks_are_fitted_in_double(backend):
    problem = REGRESSIONS["Rat42"]
    wide = problem.network(problem.starts[1], backend)
    net = fastbp.Network(
        [1, 1, 1], activation="sigmoid", loss="squared_error", dtype="float32", backend=backend
    )
    for i in range(2):
        net.weights[i], net.biases[i] = wide.weights[i], wide.biases[i]
    found = fastbp.levenberg_marquardt(net, problem.X, problem.y, frozen_biases=[1])
    assert 18 * found.loss[-1] == pytest.approx(problem.residual_squares, rel=1e-6)
    assert net.weights[1].dtype == np.float32
    assert net.weights[1][0, 0] == pytest.approx(problem.certified[0], rel=1e-6)


def test_evaluations_can_run_out(backend):
    problem = REGRESSIONS["BoxBOD"]
    net = problem.network(problem.starts[0], backend)
    found = fastbp.levenberg_marquardt(
        net, problem.X, problem.y, frozen_biases=[0, 1], max_evaluations=3
    )
    assert not found.converged and found.evaluations <= 4
    assert "evaluations" in found.message


def test_interrupt_keeps_the_last_step(backend, monkeypatch):
    net = make_network([2, 5, 1], "squared_error", backend)
    X, y = make_data("squared_error", 60, 2, 1)
    usual, calls = output.jacobian_by_parameters, []

    def stop_at_the_third(engine, X):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return usual(engine, X)

    monkeypatch.setattr(output, "jacobian_by_parameters", stop_at_the_third)
    with pytest.warns(RuntimeWarning, match="interrupted after 3 steps"):
        found = fastbp.levenberg_marquardt(net, X, y)
    assert found.interrupted and not found.converged
    assert net.loss_and_gradient(X, y)[0] == pytest.approx(found.loss[-1], rel=1e-12)


def test_bad_input_is_refused(backend):
    net = make_network([2, 3, 1], "squared_error", backend)
    X, y = make_data("squared_error", 20, 2, 1)
    before = parameters(net)
    fit = fastbp.levenberg_marquardt
    with pytest.raises(ValueError, match="requires the loss 'squared_error', got 'huber'"):
        fit(make_network([2, 3, 1], "huber", backend), X, y)
    with pytest.raises(TypeError, match="net must be a fastbp.Network"):
        fit("net", X, y)
    with pytest.raises(ValueError, match="X has 1 features"):
        fit(net, X[:, :1], y)
    with pytest.raises(ValueError, match="tolerance must be in"):
        fit(net, X, y, tolerance=0)
    with pytest.raises(ValueError, match="frozen_biases has the index 2"):
        fit(net, X, y, frozen_biases=[2])
    with pytest.raises(ValueError, match="frozen names all 2 layers"):
        fit(net, X, y, frozen=[0, 1])
    with pytest.raises(ValueError, match="max_evaluations must be at least 1"):
        fit(net, X, y, max_evaluations=0)
    assert np.array_equal(parameters(net), before)

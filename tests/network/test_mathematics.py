"""The derivation, equation by equation, in plain loops over single units.

Numbers in brackets are those of the course assignment that the project started from, see
docs/mathematics.md. Two of its formulas are wrong as printed; the tests show that the
corrected ones hold and that the printed ones do not.
"""

import math

import numpy as np
import pytest
from helpers import error, make_data, make_network

import fastbp

pytestmark = pytest.mark.nojit

SIZES = (3, 4, 3, 2)
N = 5


def sigma(s):
    return 1 / (1 + math.exp(-s))


def log_loss(h, y):
    """e = -y ln h - (1 - y) ln(1 - h), summed over the outputs."""
    return sum(-t * math.log(p) - (1 - t) * math.log(1 - p) for p, t in zip(h, y, strict=True))


def forward_from(layer, h, W, b):
    """Activations of the layers above `layer`, whose activations are h: {i: [h_i1, ...]}."""
    found = {layer: list(h)}
    for i in range(layer + 1, len(W) + 1):
        below = found[i - 1]
        found[i] = []
        for k in range(len(b[i - 1])):
            s = b[i - 1][k]
            for j in range(len(below)):
                s += below[j] * W[i - 1][j][k]
            found[i].append(sigma(s))
    return found


def slope(f, x, step=1e-6):
    """Central finite difference."""
    return (f(x + step) - f(x - step)) / (2 * step)


def moved(values, j, x):
    return [*values[:j], x, *values[j + 1 :]]


@pytest.fixture
def problem():
    """Weights, biases, samples and targets (both labels occur in each output)."""
    net = make_network(SIZES, "log_loss", "numpy", activation="sigmoid")
    X, y = make_data("log_loss", N, SIZES[0], SIZES[-1], seed=4)
    assert set(y[:, 0]) == set(y[:, 1]) == {0, 1}
    return [w.tolist() for w in net.weights], [b.tolist() for b in net.biases], X, y


def errors_of_units(h, W, y, output=lambda h, y: -y / h + (1 - y) / (1 - h), factor=True):
    """∂e/∂h_{i,j} of all units, from the output layer down: (6), then (1) with (2)."""
    m = len(W)
    dh = {m: [output(p, t) for p, t in zip(h[m], y, strict=True)]}
    for i in range(m - 1, 0, -1):
        dh[i] = []
        for j in range(len(h[i])):
            total = 0.0
            for k in range(len(h[i + 1])):
                derivative = h[i + 1][k] * (1 - h[i + 1][k])
                total += W[i][j][k] * derivative * (dh[i + 1][k] if factor else 1)
            dh[i].append(total)
    return dh


def gradients(h, dh, m):
    """∇_{w_{i,j}} e = ∂e/∂h_{i,j} σ'(s_{i,j}) h_{i-1}: (3) to (5); a bias's h_{i-1} is 1."""
    dW, db = [], []
    for i in range(1, m + 1):
        ds = [dh[i][j] * h[i][j] * (1 - h[i][j]) for j in range(len(h[i]))]
        dW.append([[ds[j] * h[i - 1][k] for j in range(len(ds))] for k in range(len(h[i - 1]))])
        db.append(ds)
    return dW, db


def mean_gradient(W, b, X, y, **formulas):
    """Over the samples, by the formulas above."""
    total_W = [np.zeros_like(w) for w in W]
    total_b = [np.zeros_like(v) for v in b]
    for x, t in zip(X.tolist(), y.tolist(), strict=True):
        h = forward_from(0, x, W, b)
        dW, db = gradients(h, errors_of_units(h, W, t, **formulas), len(W))
        for i in range(len(W)):
            total_W[i] += np.array(dW[i]) / len(X)
            total_b[i] += np.array(db[i]) / len(X)
    return total_W, total_b


def test_1_and_2_error_of_a_hidden_unit(problem):
    """The unnumbered version before (1) forgets ∂e/∂h_{i+1,k}; with it, the error is right."""
    W, b, X, y = problem
    h = forward_from(0, X[0].tolist(), W, b)
    right = errors_of_units(h, W, y[0])
    printed = errors_of_units(h, W, y[0], factor=False)
    for i in (1, 2):
        for j in range(SIZES[i]):

            def e(x, i=i, j=j):
                return log_loss(forward_from(i, moved(h[i], j, x), W, b)[len(W)], y[0])

            ref = slope(e, h[i][j])
            assert right[i][j] == pytest.approx(ref, rel=1e-6)
            assert printed[i][j] != pytest.approx(ref, rel=1e-2)


@pytest.mark.parametrize("s", [-3.0, -0.2, 0.0, 1.5])
def test_2_derivative_of_the_sigmoid(s):
    assert sigma(s) * (1 - sigma(s)) == pytest.approx(slope(sigma, s), rel=1e-8)


@pytest.mark.parametrize("i, k, j", [(1, 0, 3), (1, 2, 1), (2, 3, 0), (3, 1, 1)])
def test_3_to_5_gradient_of_a_weight(problem, i, k, j):
    W, b, X, y = problem
    x = X[1].tolist()
    h = forward_from(0, x, W, b)
    dW, db = gradients(h, errors_of_units(h, W, y[1]), len(W))

    def e(w):
        changed = [[row.copy() for row in w_i] for w_i in W]
        changed[i - 1][k][j] = w
        return log_loss(forward_from(0, x, changed, b)[len(W)], y[1])

    def e_of_bias(w):
        changed = [b_i.copy() for b_i in b]
        changed[i - 1][j] = w
        return log_loss(forward_from(0, x, W, changed)[len(W)], y[1])

    assert dW[i - 1][k][j] == pytest.approx(slope(e, W[i - 1][k][j]), rel=1e-6)
    assert db[i - 1][j] == pytest.approx(slope(e_of_bias, b[i - 1][j]), rel=1e-6)


@pytest.mark.parametrize(
    "y, h, right, printed",
    [(0, 0.2, 1.25, -1.25), (1, 0.2, -5.0, -5.0), (0, 0.9, 10.0, -10.0)],
)
def test_6_error_of_an_output(y, h, right, printed):
    """∂e/∂h = -y/h + (1-y)/(1-h); printed with a minus, which y = 1 alone does not show."""
    ref = slope(lambda h: log_loss([h], [y]), h)
    assert ref == pytest.approx(right, rel=1e-7)
    assert -y / h + (1 - y) / (1 - h) == pytest.approx(right)
    assert -y / h - (1 - y) / (1 - h) == pytest.approx(printed)


@pytest.mark.parametrize("y", [0, 1])
@pytest.mark.parametrize("s", [-2.0, 0.3, 4.0])
def test_composed_delta(backend, s, y):
    """(6) times σ' is h - y, which is the gradient of a bias of the output."""
    h = sigma(s)
    composed = (-y / h + (1 - y) / (1 - h)) * h * (1 - h)
    assert composed == pytest.approx(h - y, rel=1e-12)
    net = fastbp.Network([1, 1], loss="log_loss", dtype="float64", backend=backend)
    net.biases[0] = [s]
    _, gradient = net.loss_and_gradient([[0.0]], [y])
    assert gradient.biases[0][0] == pytest.approx(h - y, rel=1e-12)


def test_backends_compute_the_derivation(backend, problem):
    W, b, X, y = problem
    net = make_network(SIZES, "log_loss", backend, activation="sigmoid")
    loss, gradient = net.loss_and_gradient(X, y)
    outputs = [forward_from(0, x, W, b)[len(W)] for x in X.tolist()]
    assert error(net.predict(X), outputs) < 1e-14
    assert loss == pytest.approx(np.mean([log_loss(h, t) for h, t in zip(outputs, y, strict=True)]))
    dW, db = mean_gradient(W, b, X, y)
    for comp, ref in zip([*gradient.weights, *gradient.biases], [*dW, *db], strict=True):
        assert error(comp, ref) < 1e-13


def test_backends_do_not_compute_what_is_printed(backend, problem):
    W, b, X, y = problem
    net = make_network(SIZES, "log_loss", backend, activation="sigmoid")
    _, gradient = net.loss_and_gradient(X, y)
    wrong_sign, _ = mean_gradient(W, b, X, y, output=lambda h, y: -y / h - (1 - y) / (1 - h))
    no_factor, _ = mean_gradient(W, b, X, y, factor=False)
    for i in range(len(W)):
        assert error(gradient.weights[i], wrong_sign[i]) > 0.1
    for i in range(len(W) - 1):  # the output layer has no layer above
        assert error(gradient.weights[i], no_factor[i]) > 0.1
    # With y = 1 everywhere the wrong sign of (6) does not show.
    ones = np.ones_like(y)
    _, gradient = net.loss_and_gradient(X, ones)
    dW, _ = mean_gradient(W, b, X, ones, output=lambda h, y: -y / h - (1 - y) / (1 - h))
    assert error(gradient.weights[0], dW[0]) < 1e-13

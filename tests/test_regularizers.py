"""Penalties, frozen layers and learning rates against PyTorch and scikit-learn."""

import warnings

import numpy as np
import pytest
from helpers import error, make_data, make_network, parameters
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import fastbp
from fastbp import regularizers
from fastbp.training import NATURAL_ORDER, Data, History, Training

# float64 over a few steps, relative to the largest weight.
SAME = 1e-11
N, SIZES = 20, [4, 6, 5, 2]


def problem(backend):
    net = make_network(SIZES, "squared_error", backend)
    return net, *make_data("squared_error", N, SIZES[0], SIZES[-1])


class Torch:
    """The same network in PyTorch, with penalties as part of the loss."""

    def __init__(self, net):
        self.torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
        self.W = [self.torch.tensor(w, requires_grad=True) for w in net.weights]
        self.b = [self.torch.tensor(v, requires_grad=True) for v in net.biases]

    @property
    def leaves(self):
        return [*self.W, *self.b]

    def loss(self, X, y, l1, l2):
        h = self.torch.tensor(X)
        for W, b in zip(self.W[:-1], self.b[:-1], strict=True):
            h = self.torch.tanh(h @ W + b)
        s = h @ self.W[-1] + self.b[-1]
        e = ((s - self.torch.tensor(y)) ** 2).sum() / 2 / len(X)
        for W, of_1, of_2 in zip(self.W, l1, l2, strict=True):
            e = e + of_1 * W.abs().sum() + of_2 / 2 * (W**2).sum()
        return e

    def parameters(self):
        return np.concatenate([p.detach().numpy().ravel() for p in self.leaves])


@pytest.mark.nojit
@pytest.mark.parametrize("frozen", [[], [0], [1], [2], [0, 1], [0, -1]], ids=str)
@pytest.mark.parametrize(
    "l1, l2", [(0.02, 0.0), (0.01, 0.03), ([0.01, 0.0, 0.02], [0.0, 0.03, 0.01])], ids=str
)
def test_penalties_and_frozen_layers_of_pytorch(backend, l1, l2, frozen):
    net, X, y = problem(backend)
    start = net.to_backend(backend)
    net.weights[1][2, 3] = start.weights[1][2, 3] = 0.0  # where |w| has a kink
    twin = Torch(net)
    for i in frozen:
        twin.W[i].requires_grad_(False)
        twin.b[i].requires_grad_(False)
    optimizer = twin.torch.optim.SGD([p for p in twin.leaves if p.requires_grad], 0.05)
    losses = []
    for first in [*range(0, N, 8)] * 2:
        rows = slice(first, first + 8)
        optimizer.zero_grad()
        loss = twin.loss(X[rows], y[rows], np.broadcast_to(l1, 3), np.broadcast_to(l2, 3))
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    options = {"epochs": 2, "batch_size": 8, "shuffle": False}
    history = net.fit(X, y, optimizer=fastbp.SGD(0.05), l1=l1, l2=l2, frozen=frozen, **options)
    assert error(parameters(net), twin.parameters()) < SAME
    sizes = [8, 8, 4]
    expected = [np.dot(losses[:3], sizes) / N, np.dot(losses[3:], sizes) / N]
    assert history.loss == pytest.approx(expected, rel=1e-11)
    for i in frozen:
        assert np.array_equal(net.weights[i], start.weights[i])
        assert np.array_equal(net.biases[i], start.biases[i])


def test_an_equal_penalty_by_layer_is_the_same(backend):
    results = []
    for l1, l2 in [(0.01, 0.02), ([0.01] * 3, np.full(3, 0.02))]:
        net, X, y = problem(backend)
        losses = net.fit(X, y, l1=l1, l2=l2, epochs=3, batch_size=7).loss
        results.append((parameters(net).tobytes(), losses))
    assert results[0] == results[1]


@pytest.mark.nojit
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_conventions_of_sklearn(backend, solver):
    """Penalties divided by the batch's weight, ε̂, and losses by rows, over uneven batches."""
    X, y = make_data("squared_error", 29, 4, 1)
    w = np.random.default_rng(0).uniform(0.2, 2, len(X))
    model = MLPRegressor(
        hidden_layer_sizes=(7,),
        activation="tanh",
        solver=solver,
        learning_rate_init=0.02,
        alpha=0.4,
        batch_size=8,
        epsilon=1e-3,
        random_state=0,
        max_iter=1,
        warm_start=True,
        shuffle=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y.ravel(), w)  # makes weights, which are the start of both
        net = make_network([4, 7, 1], "squared_error", backend)
        for i in range(2):
            net.weights[i], net.biases[i] = model.coefs_[i], model.intercepts_[i]
        model.set_params(max_iter=3, n_iter_no_change=10**6, tol=0.0)
        model.fit(X, y.ravel(), w)
    optimizer = fastbp.SGD(0.02, momentum=0.9, nesterov=True)
    if solver == "adam":
        optimizer = fastbp.Adam(0.02, epsilon=1e-3, epsilon_hat=True)
    rules = regularizers.checked(2, l2=0.4, divided=True)
    history = History()
    training = Training(net, Data(X, np.empty(0, np.int64), y, w), optimizer, 8, rules, 1)
    training.run(NATURAL_ORDER, 3, history)
    ref = np.concatenate([a.ravel() for a in [*model.coefs_, *model.intercepts_]])
    assert error(parameters(net), ref) < SAME
    assert history.loss == pytest.approx(model.loss_curve_[-3:], rel=1e-11)


@pytest.mark.nojit
@pytest.mark.parametrize(
    "optimizer", [fastbp.SGD(9.0), fastbp.Adam(9.0), fastbp.AdamW(9.0)], ids=lambda o: o.code
)
def test_a_learning_rate_for_each_step(backend, optimizer):
    """As if each step were a training with its rate; the optimiser's own does not count."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y = problem(backend)
    twin = Torch(net)
    rates = np.array([0.1, 0.01, 0.03, 0.0, 0.02, 0.005])
    kinds = {
        "SGD": lambda: torch.optim.SGD(twin.leaves, 1.0),
        "Adam": lambda: torch.optim.Adam(twin.leaves, 1.0),
        "AdamW": lambda: torch.optim.AdamW(
            [{"params": twin.W}, {"params": twin.b, "weight_decay": 0.0}], 1.0
        ),
    }
    stepper = kinds[type(optimizer).__name__]()
    for i, rate in enumerate(rates):
        rows = slice(i % 3 * 8, i % 3 * 8 + 8)
        for group in stepper.param_groups:
            group["lr"] = rate
        stepper.zero_grad()
        twin.loss(X[rows], y[rows], [0.0] * 3, [0.0] * 3).backward()
        stepper.step()
    data = Data(X, np.empty(0, np.int64), y, np.empty(0))
    training = Training(net, data, optimizer, 8, regularizers.checked(3), 1)
    training.run(NATURAL_ORDER, 2, History(), rates)
    assert error(parameters(net), twin.parameters()) < SAME


@pytest.mark.nojit
def test_epsilon_hat(backend):
    """One step worked out by hand: m = 0.1 g, v = 0.001 g², so w -= η √0.001 / 0.1 m / (√v + ε)."""
    net = fastbp.Network([1, 1], loss="squared_error", dtype="float64", backend=backend)
    net.weights[0], net.biases[0] = [[0.0]], [0.0]
    net.fit([[1.0]], [3.0], optimizer=fastbp.Adam(0.5, epsilon=0.1, epsilon_hat=True), epochs=1)
    g = -3.0
    step = 0.5 * np.sqrt(0.001) / 0.1 * (0.1 * g) / (np.sqrt(0.001) * abs(g) + 0.1)
    assert net.weights[0][0, 0] == pytest.approx(-step, rel=1e-12)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_bit(compiled, threads):
    results = []
    for count in (1, threads):
        net = make_network([17, 70, 33, 3], "squared_error", compiled, "float32")
        X, y = make_data("squared_error", 300, 17, 3)
        options = {"l1": [1e-3, 0.0, 1e-2], "l2": 1e-3, "frozen": [1]}
        losses = net.fit(X, y, batch_size=130, epochs=2, threads=count, **options).loss
        results.append((parameters(net).tobytes(), losses))
    assert results[0] == results[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cython_and_numba_give_the_same_bits(twins, dtype):
    results = []
    for backend in twins:
        net = make_network([17, 30, 33, 3], "squared_error", backend, dtype)
        X, y = make_data("squared_error", 100, 17, 3)
        optimizer = fastbp.Adam(0.01, epsilon_hat=True)
        options = {"l1": [1e-3, 0.0, 1e-2], "l2": 1e-3, "frozen": [1]}
        losses = net.fit(X, y, optimizer=optimizer, batch_size=30, epochs=3, **options).loss
        results.append((parameters(net).tobytes(), losses))
    assert results[0] == results[1]


BAD = {
    "l1 of -1": ({"l1": -1}, ValueError, "l1 must be in"),
    "l2 of NaN": ({"l2": [0, 0, float("nan")]}, ValueError, r"l2\[2\] must be in"),
    "l2 a name": ({"l2": "0.1"}, TypeError, "l2 must be a number"),
    "two l1 for three layers": ({"l1": [0, 0]}, ValueError, "one number for each of the 3 layers"),
    "frozen a number": ({"frozen": 1}, TypeError, "frozen must be a list of indices"),
    "frozen out of range": ({"frozen": [3]}, ValueError, r"3 layers of weights: 0\.\.2"),
    "frozen below range": ({"frozen": [-4]}, ValueError, "at least -3"),
    "frozen a fraction": ({"frozen": [0.5]}, TypeError, "whole number"),
    "all frozen": ({"frozen": range(3)}, ValueError, "at least one must be left"),
}


@pytest.mark.parametrize("options, kind, message", BAD.values(), ids=BAD)
def test_bad_values(options, kind, message):
    net, X, y = problem("numpy")
    before = parameters(net)
    with pytest.raises(kind, match=message):
        net.fit(X, y, **options)
    assert np.array_equal(parameters(net), before)


@pytest.mark.parametrize(
    "loss, value, kind, message",
    [
        ("huber", 0.0, ValueError, r"huber must be in \(0, 1e\+15\)"),
        ("huber", float("nan"), ValueError, "loss_parameter"),
        ("quantile", 1.0, ValueError, r"quantile must be in \(0, 1\)"),
        ("quantile", "0.5", TypeError, "loss_parameter must be a number"),
        ("poisson", 1.0, ValueError, "poisson has no parameter"),
    ],
)
def test_bad_loss_parameters(loss, value, kind, message):
    with pytest.raises(kind, match=message):
        fastbp.Network([2, 1], loss=loss, loss_parameter=value, backend="numpy")

"""Penalties, frozen layers, clipping, averages, smoothed labels and rates of learning.

The independent sources are PyTorch and scikit-learn; dropout has a file of its own.
"""

import warnings

import numpy as np
import pytest
from helpers import error, make_data, make_network, parameters
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

import fastbp
from fastbp.basis.data import Data
from fastbp.basis.layout import Layout
from fastbp.rules.regularizers import regularizers_of
from fastbp.training.history import History
from fastbp.training.run import NATURAL_ORDER, Training

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
    regularizers = regularizers_of(2, l2=0.4, sklearn_penalties=True)
    history = History()
    training = Training(
        net._engine, Data(X, np.empty(0, np.int64), y, w), optimizer, 8, regularizers, 1
    )
    training.run(NATURAL_ORDER, 3, history, training.hyper[:1])
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
    training = Training(net._engine, data, optimizer, 8, regularizers_of(3), 1)
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


def torch_steps(twin, optimizer, X, y, epochs, penalties, after_step=lambda: None):
    """Steps on batches of 8 in natural order; `after_step` comes between gradient and step."""
    for first in [*range(0, N, 8)] * epochs:
        rows = slice(first, first + 8)
        optimizer.zero_grad()
        twin.loss(X[rows], y[rows], *penalties).backward()
        yield
        optimizer.step()
        after_step()


IN_ORDER = {"batch_size": 8, "shuffle": False}


@pytest.mark.nojit
@pytest.mark.parametrize("frozen", [[], [0], [2]], ids=str)
@pytest.mark.parametrize("norm", [0.05, 2.7, 100.0])
def test_clipping_of_pytorch(backend, norm, frozen):
    """By the norm over all layers that learn, the penalties' share included."""
    net, X, y = problem(backend)
    twin = Torch(net)
    for i in frozen:
        twin.W[i].requires_grad_(False)
        twin.b[i].requires_grad_(False)
    leaves = [p for p in twin.leaves if p.requires_grad]
    optimizer = twin.torch.optim.SGD(leaves, 0.1, momentum=0.9)
    norms = []
    for _ in torch_steps(twin, optimizer, X, y, 2, ([0.02] * 3, [0.0, 0.1, 0.03])):
        norms.append(twin.torch.nn.utils.clip_grad_norm_(leaves, norm).item())
    assert (min(norms) < norm < max(norms)) == (norm == 2.7)
    net.fit(
        X, y, optimizer=fastbp.SGD(0.1, momentum=0.9), epochs=2, l1=0.02, l2=[0.0, 0.1, 0.03],
        clip_norm=norm, frozen=frozen, **IN_ORDER,
    )  # fmt: skip
    assert error(parameters(net), twin.parameters()) < SAME


@pytest.mark.nojit
@pytest.mark.parametrize("average", [fastbp.EMA(0.7), fastbp.SWA(1), fastbp.SWA(3)], ids=str)
def test_averages_of_pytorch(backend, average):
    """The network ends with the average; the average does not act on the training."""
    net, X, y = problem(backend)
    twin = Torch(net)
    swa_utils = pytest.importorskip("torch.optim.swa_utils")
    model = twin.torch.nn.ParameterList([twin.torch.nn.Parameter(p) for p in twin.leaves])
    twin.W, twin.b = list(model)[:3], list(model)[3:]
    ema = isinstance(average, fastbp.EMA)
    options = {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.7)} if ema else {}
    averaged = swa_utils.AveragedModel(model, **options)
    steps = []

    def after_step():
        steps.append(1)
        ends = len(steps) % 3 == 0
        if ema or (ends and len(steps) // 3 >= average.start):
            averaged.update_parameters(model)

    optimizer = twin.torch.optim.Adam(model.parameters(), 0.02)
    for _ in torch_steps(twin, optimizer, X, y, 5, ([0.0] * 3, [0.0] * 3), after_step):
        pass
    history = net.fit(
        X, y, optimizer=fastbp.Adam(0.02), epochs=5, average=average, validation_data=(X, y),
        **IN_ORDER,
    )  # fmt: skip
    ref = np.concatenate([p.detach().numpy().ravel() for p in averaged.module])
    assert error(parameters(net), ref) < SAME
    assert history.validation_loss[-1] == net.loss_and_gradient(X, y)[0]
    plain, _, _ = problem(backend)
    unaveraged = plain.fit(X, y, optimizer=fastbp.Adam(0.02), epochs=5, **IN_ORDER)
    assert history.loss == unaveraged.loss


@pytest.mark.parametrize("average", [fastbp.EMA(0.9), fastbp.SWA(2)], ids=str)
def test_frozen_layers_and_averages(backend, average):
    """The average of what does not change is that, to the bit; no epochs to average are refused."""
    net, X, y = problem(backend)
    before = net.weights[1].copy()
    net.fit(X, y, epochs=4, average=average, frozen=[1])
    assert np.array_equal(net.weights[1], before)
    with pytest.raises(ValueError, match="from epoch 2 on, but there are 1"):
        net.fit(X, y, epochs=1, average=fastbp.SWA(2))


@pytest.mark.parametrize("kind", ["labels", "one_hot", "binary"])
def test_label_smoothing_of_pytorch(backend, kind):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    loss = "log_loss" if kind == "binary" else "cross_entropy"
    net = make_network([4, 3], loss, backend)
    X, y = make_data(loss, 20, 4, 3, kind={"binary": "hard"}.get(kind, kind))
    given = y.copy()
    W = torch.tensor(net.weights[0], requires_grad=True)
    b = torch.tensor(net.biases[0], requires_grad=True)
    s = torch.tensor(X) @ W + b
    functional = torch.nn.functional
    if kind == "binary":
        # The smoothing of Müller, Kornblith and Hinton (NeurIPS 2019) for two classes.
        smoothed = torch.tensor(0.8 * y + 0.2 * 0.5)
        e = functional.binary_cross_entropy_with_logits(s, smoothed, reduction="sum") / 20
    else:
        e = functional.cross_entropy(s, torch.tensor(y), label_smoothing=0.2)
    e.backward()
    history = net.fit(
        X, y, optimizer=fastbp.SGD(1.0), epochs=1, batch_size=None, label_smoothing=0.2
    )
    assert history.loss[0] == pytest.approx(e.item(), rel=1e-12)
    ref = np.concatenate([(p - p.grad).detach().numpy().ravel() for p in (W, b)])
    assert error(parameters(net), ref) < 1e-13
    assert np.array_equal(y, given)


# Sizes, samples, batch size: rows that do not divide evenly, and a single output.
SHAPES = [([17, 70, 33, 3], 300, 130), ([30, 65, 1], 100, 32), ([50, 1], 60, 17)]
EVERYTHING = {"l1": 1e-3, "l2": 1e-2, "clip_norm": 0.3, "average": fastbp.EMA(0.8)}
OPTIONS = {
    "penalties": {"l1": 1e-3, "l2": 1e-3},
    "clipping": {"clip_norm": 0.3},
    "EMA": {"average": fastbp.EMA(0.8)},
    "SWA": {"average": fastbp.SWA(2)},
    "everything": EVERYTHING,
}


def trained(backend, shape, dtype, options, threads=None):
    sizes, n, batch_size = shape
    net = make_network(sizes, "squared_error", backend, dtype)
    X, y = make_data("squared_error", n, sizes[0], sizes[-1])
    if len(sizes) > 2:
        options = {"dropout": 0.3, **options} if options is EVERYTHING else options
        options = {**options, "frozen": [1]}
    optimizer = fastbp.Adam(0.01, epsilon_hat=True)
    losses = net.fit(
        X, y, optimizer=optimizer, batch_size=batch_size, epochs=3, threads=threads, **options
    ).loss
    return parameters(net), losses


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_threads_change_no_bit(compiled, shape, options, monkeypatch):
    """Nor with several blocks a batch, where only the rounding is another."""
    whole, _ = trained(compiled, shape, "float32", options, 1)
    for rows in (None, 16, 48):
        if rows:
            monkeypatch.setattr(Layout, "block_rows", lambda self, n, rows=rows: min(n, rows))
        weights, losses = trained(compiled, shape, "float32", options, 1)
        assert error(weights, whole) < 1e-4
        for threads in (2, 5):
            comp, comp_losses = trained(compiled, shape, "float32", options, threads)
            assert np.array_equal(comp, weights)
            assert comp_losses == losses


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_cython_and_numba_give_the_same_bits(twins, dtype, shape, options):
    (one, losses), (other, other_losses) = (trained(b, shape, dtype, options) for b in twins)
    assert np.array_equal(one, other)
    assert losses == other_losses


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [([17, 20, 9, 3], 50, 23), *SHAPES[1:]], ids=str)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_reference(compiled, dtype, shape, options):
    (ref, _), (comp, _) = (trained(b, shape, dtype, options) for b in ("numpy", compiled))
    assert error(comp, ref) < {"float32": 2e-4, "float64": 1e-12}[dtype]


BAD = {
    "l1 of -1": ({"l1": -1}, ValueError, "l1 must be in"),
    "l2 of NaN": ({"l2": [0, 0, float("nan")]}, ValueError, r"l2\[2\] must be in"),
    "l2 a name": ({"l2": "0.1"}, TypeError, "l2 must be a number"),
    "two l1 for three layers": ({"l1": [0, 0]}, ValueError, "one number for each of the 3 layers"),
    "frozen a number": ({"frozen": 1}, TypeError, "frozen must be a list of indices"),
    "frozen out of range": ({"frozen": [3]}, ValueError, r"3 layers of weights: 0\.\.2"),
    "frozen below range": ({"frozen": [-4]}, ValueError, "at least -3"),
    "frozen a fraction": ({"frozen": [0.5]}, TypeError, "whole number"),
    "dropout of 1": ({"dropout": 1}, ValueError, r"dropout must be in \[0, 1\)"),
    "dropout below 0": (
        {"dropout": [0.1, -0.1]},
        ValueError,
        r"dropout\[1\] must be in \[0, 1\), got -0.1",
    ),
    "smoothing below 0": (
        {"label_smoothing": -0.1},
        ValueError,
        r"label_smoothing must be in \[0, 1\), got -0.1",
    ),
    "dropout for four": ({"dropout": [0.1] * 4}, ValueError, r"each hidden layer \(here 2\)"),
    "dropout a name": ({"dropout": "0.1"}, TypeError, "dropout must be a number"),
    "clip_norm of 0": ({"clip_norm": 0.0}, ValueError, "clip_norm must be above 0"),
    "clip_norm of NaN": ({"clip_norm": float("nan")}, ValueError, "clip_norm must be in"),
    "average a number": ({"average": 0.9}, TypeError, "average must be fastbp.EMA"),
    "smoothing": ({"label_smoothing": 0.1}, ValueError, "requires the loss .* got squared_error"),
    "smoothing a name": ({"label_smoothing": "a"}, TypeError, "must be a number"),
    "all frozen": ({"frozen": range(3)}, ValueError, "at least one layer must not be frozen"),
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


@pytest.mark.parametrize(
    "make, kind, message",
    [
        (lambda: fastbp.EMA(1.0), ValueError, r"decay must be in \(0, 1\)"),
        (lambda: fastbp.EMA("a"), TypeError, "decay must be a number"),
        (lambda: fastbp.SWA(0), ValueError, "start must be at least 1"),
        (lambda: fastbp.SWA(1.5), TypeError, "start must be a whole number"),
    ],
)
def test_bad_averages(make, kind, message):
    with pytest.raises(kind, match=message):
        make()


def test_label_smoothing_of_1():
    net = make_network([4, 3], "cross_entropy", "numpy")
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\)"):
        net.fit(*make_data("cross_entropy", 20, 4, 3), label_smoothing=1)


def test_dropout_without_hidden_layers():
    net = make_network([4, 3], "cross_entropy", "numpy")
    data = make_data("cross_entropy", 20, 4, 3)
    with pytest.raises(ValueError, match="no hidden layer"):
        net.fit(*data, dropout=0.5)
    net.fit(*data, dropout=[0.5])

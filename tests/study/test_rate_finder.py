"""The learning-rate range test."""

import copy
import pickle

import numpy as np
import pytest
from helpers import error, make_data, make_network, parameters

import fastbp
from fastbp.study import rate_finder

SIZES, N, BATCH = [5, 7, 2], 40, 8


@pytest.fixture
def data():
    return make_data("squared_error", N, SIZES[0], SIZES[-1])


def test_losses_are_pytorchs(backend, data):
    torch = pytest.importorskip("torch")
    net = make_network(SIZES, "squared_error", backend)
    found = fastbp.find_learning_rate(
        net, *data, optimizer=fastbp.SGD(), batch_size=BATCH, lowest=1e-4, highest=3, n_steps=60
    )
    X, y = (torch.tensor(array) for array in data)
    layers = [torch.nn.Linear(a, b).double() for a, b in zip(SIZES, SIZES[1:], strict=False)]
    with torch.no_grad():
        for layer, W, b in zip(layers, net.weights, net.biases, strict=True):
            layer.weight.copy_(torch.tensor(W.T.copy()))
            layer.bias.copy_(torch.tensor(b.copy()))
    model = torch.nn.Sequential(layers[0], torch.nn.Tanh(), layers[1])
    optimizer = torch.optim.SGD(model.parameters())
    random = copy.deepcopy(net._engine.random)
    rates, losses = np.geomspace(1e-4, 3, 60)[: len(found.rates)], []
    rows = np.concatenate([random.permutation(N) for _ in range(60)]).reshape(-1, BATCH)
    for rate, batch in zip(rates, rows, strict=False):
        optimizer.param_groups[0]["lr"] = rate
        loss = 0.5 * (model(X[batch]) - y[batch]).square().sum(axis=1).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found.rates == pytest.approx(rates, rel=1e-14)
    assert error(found.losses, losses) < 1e-10
    smooth = [
        np.average(losses[: i + 1], weights=0.9 ** np.arange(i, -1, -1.0))
        for i in range(len(losses))
    ]
    assert found.smoothed == pytest.approx(smooth, rel=1e-12)


def test_the_network_stays_as_it_is(backend, data):
    net = make_network(SIZES, "squared_error", backend)
    before = pickle.dumps(net)
    first = fastbp.find_learning_rate(net, *data)
    assert pickle.dumps(net) == before
    assert np.array_equal(first.losses, fastbp.find_learning_rate(net, *data).losses)


def test_ends_when_the_loss_explodes(backend, data):
    net = make_network(SIZES, "squared_error", backend)
    found = fastbp.find_learning_rate(net, *data, optimizer=fastbp.SGD(), highest=1e4)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) < 200
    assert np.isfinite(found.smoothed).all()
    assert found.smoothed[-1] > 4 * found.smoothed.min() or found.rates[-1] > 1
    assert found.suggestion < found.rates[-1] / 3


def test_the_suggestion_trains(backend):
    """Much better than a tenth of it, in as many steps, and without diverging."""
    X, _ = make_data("squared_error", 200, SIZES[0], SIZES[-1])
    y = np.sin(X[:, :2]) + X[:, 2:4]
    net = make_network(SIZES, "squared_error", backend)
    rate = fastbp.find_learning_rate(net, X, y, optimizer=fastbp.SGD()).suggestion
    losses = []
    for factor in (0.1, 1):
        trained = copy.deepcopy(net)
        history = trained.fit(X, y, optimizer=fastbp.SGD(factor * rate), epochs=10)
        losses.append(history.loss[-1])
    assert losses[1] < 0.7 * losses[0]


def test_steepest_by_hand():
    """Two steps a decade: over two steps the losses fall by 2, 4, 5, 3 and -2."""
    rates = np.geomspace(0.1, 100, 7)
    smoothed = [9.0, 9.0, 7.0, 5.0, 2.0, 2.0, 4.0]
    assert rate_finder._steepest(rates, smoothed) == pytest.approx(10**0.5)
    assert rate_finder._steepest(rates, list(range(7))) is None
    assert rate_finder._steepest(rates[:2], [2.0, 1.0]) is None


def test_repr_is_short():
    search = fastbp.RateSearch(np.array([1e-6, 1e-3]), np.ones(2), np.ones(2), None)
    assert repr(search) == "RateSearch(suggestion=none, 2 rates from 1e-06 to 0.001)"


def test_plot(data):
    pytest.importorskip("matplotlib").use("agg")
    from matplotlib import pyplot

    found = fastbp.find_learning_rate(make_network(SIZES, "squared_error", "numpy"), *data)
    axes = found.plot()
    assert axes.get_xscale() == "log"
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert np.array_equal(lines["smoothed"], found.smoothed)
    assert np.array_equal(lines["loss of each batch"], found.losses)
    assert found.plot(axes) is axes
    pyplot.close("all")


@pytest.mark.parametrize(
    "options, exception, message",
    [
        ({"lowest": 1, "highest": 0.1}, ValueError, "lowest must be below highest"),
        ({"lowest": 0}, ValueError, "lowest must be in"),
        ({"n_steps": 2}, ValueError, "n_steps must be at least 3"),
        ({"smoothing": 1.0}, ValueError, r"smoothing must be in \[0, 1\)"),
        ({"optimizer": fastbp.Rprop()}, ValueError, "Rprop adapts .* no learning rate to find"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    ],
)
def test_bad_input(data, options, exception, message):
    net = make_network(SIZES, "squared_error", "numpy")
    before = parameters(net)
    with pytest.raises(exception, match=message):
        fastbp.find_learning_rate(net, *data, **options)
    assert np.array_equal(parameters(net), before)

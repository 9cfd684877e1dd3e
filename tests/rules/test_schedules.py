"""Learning-rate schedules: the rates are PyTorch's, and the steps are taken with them."""

import numpy as np
import pytest
from helpers import error, make_data, make_network, parameters, watch_runs

import fastbp
from fastbp.training import sources

SIZES = [4, 5, 2]
N, BATCH, EPOCHS = 23, 5, 6
STEPS = 5  # in an epoch
RATE = 0.08


def _warm_up(lr, optimizer, total):
    w = int(0.2 * total)
    first = lr.LinearLR(optimizer, start_factor=1 / (w + 1), total_iters=w)
    then = lr.CosineAnnealingLR(optimizer, total - w, eta_min=0.1 * RATE)
    return lr.SequentialLR(optimizer, [first, then], [w])


# Name -> (ours, how to make PyTorch's, whether that steps with the optimiser or by epoch).
SCHEDULES = {
    "step": (fastbp.StepDecay(2, 0.5), lambda lr, o, total: lr.StepLR(o, 2, 0.5), False),
    "exponential": (
        fastbp.ExponentialDecay(0.7),
        lambda lr, o, total: lr.ExponentialLR(o, 0.7),
        False,
    ),
    "cosine": (fastbp.CosineDecay(), lambda lr, o, total: lr.CosineAnnealingLR(o, total), True),
    "warm-up": (fastbp.CosineDecay(warmup=0.2, final=0.1), _warm_up, True),
    "one cycle": (
        fastbp.OneCycle(),
        lambda lr, o, total: lr.OneCycleLR(o, RATE, total, cycle_momentum=False),
        True,
    ),
    "early peak": (
        fastbp.OneCycle(peak=0.2, initial=0.2, final=0.01),
        lambda lr, o, total: lr.OneCycleLR(
            o, RATE, total, pct_start=0.2, div_factor=5, final_div_factor=20, cycle_momentum=False
        ),
        True,
    ),
}


@pytest.fixture
def data():
    return make_data("squared_error", N, SIZES[0], SIZES[-1])


def torch_rates(name):
    """PyTorch's rate of each step."""
    torch = pytest.importorskip("torch")
    _, make, by_step = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = make(torch.optim.lr_scheduler, optimizer, EPOCHS * STEPS)
    rates = []
    for step in range(EPOCHS * STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if by_step or (step + 1) % STEPS == 0:
            scheduler.step()
    return np.array(rates)


def stepped(backend, data, rates, batch=BATCH):
    """The network after steps with these rates, one fit each, of plain SGD."""
    net = make_network(SIZES, "squared_error", backend)
    X, y = data
    starts = list(range(0, len(X), batch)) * EPOCHS
    for start, rate in zip(starts, rates, strict=True):
        rows = slice(start, start + batch)
        net.fit(X[rows], y[rows], optimizer=fastbp.SGD(rate), epochs=1, batch_size=None)
    return parameters(net)


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")  # of SequentialLR
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_pytorch(backend, data, name, together):
    """Epochs together in one call of the backend, and one by one."""
    rates = torch_rates(name)
    net = make_network(SIZES, "squared_error", backend)
    history = net.fit(
        *data,
        optimizer=fastbp.SGD(RATE),
        schedule=SCHEDULES[name][0],
        epochs=EPOCHS,
        batch_size=BATCH,
        shuffle=False,
        callbacks=[] if together else [fastbp.Callback()],
    )
    assert history.learning_rate == pytest.approx(rates[STEPS - 1 :: STEPS], rel=1e-12)
    assert error(parameters(net), stepped(backend, data, rates)) < 1e-13


def test_schedule_of_one_call(compiled, data, monkeypatch):
    """All epochs are one call of the backend, or as few as the room for rates allows."""
    net = make_network(SIZES, "squared_error", compiled)
    sizes = []

    def counting(run, order, epochs, rates, *args):
        sizes.append(rates.size)
        return run(order, epochs, rates, *args)

    watch_runs(monkeypatch, net._engine.backend, counting)
    options = {"schedule": fastbp.OneCycle(), "epochs": EPOCHS, "batch_size": BATCH}
    net.fit(*data, **options)
    assert len(sizes) == 1
    monkeypatch.setattr(sources, "ORDERED_ROWS", 3 * STEPS)
    net.fit(*data, shuffle=False, **options)
    assert len(sizes) == 3


def test_reduce_on_plateau_as_pytorch(backend, data):
    """The same losses give the same rates."""
    torch = pytest.importorskip("torch")
    schedule = fastbp.ReduceOnPlateau(0.4, patience=2, min_delta=0.03, cooldown=2, lowest=0.01)
    net = make_network(SIZES, "squared_error", backend)
    history = net.fit(
        *data, optimizer=fastbp.SGD(0.9), schedule=schedule, epochs=40, batch_size=None
    )
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        *(optimizer,),
        factor=0.4,
        patience=1,
        threshold=0.03,
        threshold_mode="abs",
        cooldown=2,
        min_lr=0.009,
    )
    rates = []
    for loss in history.loss:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
    assert history.learning_rate == pytest.approx(rates, rel=1e-12)
    assert len(set(rates)) > 3
    assert error(parameters(net), _with_rates(backend, data, rates)) < 1e-12


def _with_rates(backend, data, rates):
    net = make_network(SIZES, "squared_error", backend)
    for rate in rates:
        net.fit(*data, optimizer=fastbp.SGD(rate), epochs=1, batch_size=None)
    return parameters(net)


def test_plateau_of_a_score(backend):
    """A score has to grow: a constant one is a plateau."""
    X, y = make_data("squared_error", N, SIZES[0], SIZES[-1])
    net = make_network(SIZES, "squared_error", backend)
    history = net.fit(
        *(X, y),
        optimizer=fastbp.SGD(1e-3),
        schedule=fastbp.ReduceOnPlateau(0.5, patience=2, monitor="constant"),
        validation_data=(X, y),
        scoring={"constant": lambda estimator, X, y: 1.0},
        epochs=6,
    )
    assert history.learning_rate == [1e-3] * 3 + [5e-4] * 2 + [2.5e-4]


def test_adam_takes_the_rates(backend, data):
    """Its moments are kept from rate to rate."""
    net, ref = (make_network(SIZES, "squared_error", backend) for _ in range(2))
    options = {"epochs": 4, "batch_size": None}
    net.fit(*data, optimizer=fastbp.Adam(0.01), schedule=fastbp.ExponentialDecay(1.0), **options)
    ref.fit(*data, optimizer=fastbp.Adam(0.01), **options)
    assert np.array_equal(parameters(net), parameters(ref))


@pytest.mark.parametrize(
    "make, exception, message",
    [
        (lambda: fastbp.StepDecay(0), ValueError, "StepDecay: every must be at least 1"),
        (lambda: fastbp.StepDecay(2, 0), ValueError, r"StepDecay: factor must be in \(0, 1\]"),
        (lambda: fastbp.ExponentialDecay(1.5), ValueError, r"factor must be in \(0, 1\]"),
        (lambda: fastbp.ExponentialDecay("1"), TypeError, "factor must be a number"),
        (lambda: fastbp.CosineDecay(warmup=1), ValueError, r"warmup must be in \[0, 1\)"),
        (lambda: fastbp.CosineDecay(final=2), ValueError, r"final must be in \[0, 1\]"),
        (lambda: fastbp.OneCycle(peak=0), ValueError, r"peak must be in \(0, 1\)"),
        (lambda: fastbp.OneCycle(initial=0), ValueError, r"initial must be in \(0, 1\]"),
        (lambda: fastbp.ReduceOnPlateau(1), ValueError, r"factor must be in \(0, 1\)"),
        (lambda: fastbp.ReduceOnPlateau(patience=0), ValueError, "patience must be at least 1"),
        (lambda: fastbp.ReduceOnPlateau(monitor=3), TypeError, "monitor must be a name"),
    ],
)
def test_bad_schedules(make, exception, message):
    with pytest.raises(exception, match=message):
        make()


@pytest.mark.parametrize(
    "options, exception, message",
    [
        ({"schedule": 0.9}, TypeError, r"such as fastbp.OneCycle\(\), or the name of one, got 0.9"),
        ({"schedule": "cosin"}, ValueError, "did you mean 'cosine'"),
        ({"schedule": fastbp.OneCycle}, TypeError, "must be one of fastbp's"),
        (
            {"schedule": fastbp.ReduceOnPlateau(monitor="validation_loss")},
            ValueError,
            "monitors the validation loss; pass validation_data",
        ),
        (
            {"schedule": fastbp.OneCycle(), "optimizer": fastbp.Rprop(), "batch_size": None},
            ValueError,
            "Rprop has no learning rate to schedule",
        ),
    ],
)
def test_bad_schedules_of_fit(backend, data, options, exception, message):
    net = make_network(SIZES, "squared_error", backend)
    before = parameters(net)
    with pytest.raises(exception, match=message):
        net.fit(*data, **options)
    assert np.array_equal(parameters(net), before)

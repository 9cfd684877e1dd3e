"""`fit_residual`: training on differential equations."""

import re
import signal

import numpy as np
import pytest
from gradient_helpers import torch_network
from helpers import DTYPES, OPTIMIZERS, error, make_network, parameters

import fastbp

N = 12


def residual(x, h, dh, d2h):
    """Two equations in two unknown functions of two variables; all the partials are at work."""
    r = np.stack(
        [
            h[:, 0] * dh[:, 1, 0] - x[:, 1] * d2h[:, 0, 1],
            d2h[:, 1, 0] + d2h[:, 1, 1] + h[:, 1] ** 2 - dh[:, 0, 0],
        ],
        axis=1,
    )
    by_h = np.zeros((len(x), 2, 2))
    by_dh, by_d2h = np.zeros((2, len(x), 2, 2, 2))
    by_h[:, 0, 0], by_h[:, 1, 1] = dh[:, 1, 0], 2 * h[:, 1]
    by_dh[:, 0, 1, 0], by_dh[:, 1, 0, 0] = h[:, 0], -1
    by_d2h[:, 0, 0, 1], by_d2h[:, 1, 1] = -x[:, 1], 1
    return r, by_h, by_dh, by_d2h


def torch_objective(torch, net, X, boundary, boundary_weight):
    """The objective with that residual, and its gradient in the order of `parameters`."""
    s_of, leaves = torch_network(torch, net)
    x = torch.tensor(X, requires_grad=True)
    h = s_of(x)
    dh, d2h = [], []
    for k in range(2):
        (slope,) = torch.autograd.grad(h[:, k].sum(), x, create_graph=True)
        dh.append(slope)
        parts = [
            torch.autograd.grad(slope[:, j].sum(), x, create_graph=True)[0][:, j] for j in range(2)
        ]
        d2h.append(torch.stack(parts, dim=1))
    r = torch.stack(
        [
            h[:, 0] * dh[1][:, 0] - x[:, 1] * d2h[0][:, 1],
            d2h[1][:, 0] + d2h[1][:, 1] + h[:, 1] ** 2 - dh[0][:, 0],
        ],
        dim=1,
    )
    objective = (r**2).sum() / (2 * len(X))
    if boundary is not None:
        d = s_of(torch.tensor(boundary[0])) - torch.tensor(boundary[1])
        objective = objective + boundary_weight * (d**2).sum() / (2 * len(boundary[0]))
    slopes = torch.autograd.grad(objective, leaves)
    return objective.item(), np.concatenate([slope.numpy().ravel() for slope in slopes])


def start(backend, dtype="float64", activation="tanh", sizes=(2, 7, 5, 2)):
    net = make_network(list(sizes), "squared_error", backend, dtype, activation)
    return net, np.random.default_rng(5).uniform(-1, 1, (N, sizes[0]))


BOUNDARY = np.eye(2), np.ones((2, 2))


@pytest.mark.parametrize("boundary", [None, BOUNDARY], ids=["alone", "with a boundary"])
@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "softplus", "silu", "gelu"])
def test_a_step_by_autograd(backend, activation, boundary):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X = start(backend, activation=activation)
    before = parameters(net)
    objective, gradient = torch_objective(torch, net, X, boundary, 3.0)
    history = fastbp.fit_residual(
        *(net, X, residual),
        boundary=boundary,
        boundary_weight=3.0 if boundary else 1.0,
        optimizer=fastbp.SGD(0.125),
        epochs=1,
    )
    assert abs(history.loss[0] - objective) < 1e-12 * objective
    assert error(before - parameters(net), 0.125 * gradient) < 1e-11


@pytest.mark.parametrize("dtype", DTYPES)
def test_cython_and_numba_give_the_same_bits(twins, dtype):
    results = []
    for name in twins:
        net, X = start(name, dtype)
        history = fastbp.fit_residual(net, X, residual, boundary=BOUNDARY, epochs=3, batch_size=5)
        results.append((parameters(net).tobytes(), history.loss))
    assert results[0] == results[1]


def line(x, h, dh, d2h):
    """h' = 1."""
    return dh[:, 0] - 1, None, np.ones((1, 1, 1, 1)), None


@pytest.mark.parametrize("optimizer", [fastbp.Adam(0.03), "lbfgs"], ids=str)
def test_an_equation_of_first_order(backend, optimizer):
    net, X = start(backend, sizes=(1, 6, 1))
    fastbp.fit_residual(net, X, line, boundary=([[0.0]], [2.0]), optimizer=optimizer, epochs=400)
    assert np.abs(net.predict(X) - X - 2).max() < 0.02
    assert np.abs(net.input_jacobian(X) - 1).max() < 0.1


def test_lbfgs_goes_to_the_minimum(backend):
    """h'' = -h with h(0) = 0 and h(1) = sin 1."""

    def oscillator(x, h, dh, d2h):
        one = np.ones((1, 1, 1, 1))
        return d2h[:, :, 0] + h, one[0], None, one

    net, X = start(backend, sizes=(1, 8, 1))
    ends = np.array([[0.0], [1.0]])
    history = fastbp.fit_residual(
        *(net, (X + 1) / 2, oscillator),
        boundary=(ends, np.sin(ends)),
        boundary_weight=10.0,
        optimizer="lbfgs",
        epochs=150,
    )
    fine = np.linspace(0, 1, 50).reshape(-1, 1)
    assert np.abs(net.predict(fine) - np.sin(fine)).max() < 1e-3
    assert len(history.loss) > 10 and (np.diff(history.loss) <= 0).all()
    assert not history.interrupted


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_reduce_the_objective(optimizer):
    net, X = start("numpy")
    history = fastbp.fit_residual(
        net, X, residual, optimizer=OPTIMIZERS[optimizer], epochs=20, boundary=BOUNDARY
    )
    assert len(history.loss) == 20 and history.loss[-1] < history.loss[0]


def test_penalties_and_frozen_layers(backend):
    for optimizer in (fastbp.SGD(0.01), "lbfgs"):
        net, X = start(backend)
        kept, others = net.weights[0].copy(), parameters(net)
        plain = fastbp.fit_residual(start(backend)[0], X, residual, optimizer=optimizer, epochs=3)
        history = fastbp.fit_residual(
            net, X, residual, optimizer=optimizer, epochs=3, l2=0.1, frozen=[0]
        )
        penalty = 0.05 * sum((W**2).sum() for W in start(backend)[0].weights)
        if optimizer == "lbfgs":  # constant for frozen layers, so it is left out
            penalty -= 0.05 * (kept**2).sum()
        assert abs(history.loss[0] - plain.loss[0] - penalty) < 1e-12 * history.loss[0]
        assert {type(loss) for loss in history.loss} == {float}
        assert np.array_equal(net.weights[0], kept)
        assert not np.array_equal(parameters(net), others)


@pytest.mark.parametrize("optimizer", [fastbp.Adam(0.03), "lbfgs"], ids=str)
def test_a_network_without_a_loss(backend, optimizer):
    """It needs none without a boundary. h' = 1 - h², whose solutions are shifted tanh."""

    def equation(x, h, dh, d2h):
        return dh[:, :, 0] + h**2 - 1, 2 * h[:, None], np.ones((1, 1, 1, 1)), None

    how = dict(output_activation="tanh", dtype="float64", backend=backend, seed=0)
    net = fastbp.Network([1, 4, 1], activation="tanh", loss=None, **how)
    X = start(backend, sizes=(1, 4, 1))[1]
    history = fastbp.fit_residual(net, X, equation, optimizer=optimizer, epochs=60)
    assert history.loss[-1] < history.loss[0] / 2
    with pytest.raises((TypeError, ValueError), match="loss"):
        fastbp.fit_residual(net, X, equation, boundary=([[0.0]], [0.0]))


def test_batches_go_through_all_points(backend):
    seen = []

    def watched(x, h, dh, d2h):
        seen.append(x.copy())
        return residual(x, h, dh, d2h)

    net, X = start(backend)
    fastbp.fit_residual(net, X, watched, batch_size=5, epochs=2, check=False)
    batches = seen[-6:]
    assert [len(x) for x in batches] == [5, 5, 2] * 2
    for epoch in (batches[:3], batches[3:]):
        x = np.concatenate(epoch)
        assert np.array_equal(x[np.lexsort(x.T)], X[np.lexsort(X.T)])
        assert not np.array_equal(x, X)


def test_options_of_steps(backend):
    class Count(fastbp.Callback):
        calls = 0

        def epoch(self, network, history):
            self.calls += 1
            return len(history.loss) == 4

    net, X = start(backend)
    count = Count()
    history = fastbp.fit_residual(
        *(net, X, residual),
        schedule=fastbp.ExponentialDecay(0.5),
        clip_norm=0.1,
        average=fastbp.EMA(0.5),
        l1=0.001,
        callbacks=[count],
        shuffle=False,
        epochs=10,
    )
    assert count.calls == len(history.loss) == len(history.learning_rate) == 4
    assert history.learning_rate[3] == history.learning_rate[0] / 8


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_function_compiled_by_numba(backend, dtype):
    numba = pytest.importorskip("numba")

    @numba.njit
    def compiled(x, h, dh, d2h):
        r = dh[:, :, 0] + h
        one = np.ones((1, 1, 1), x.dtype)
        return r, one, one.reshape(1, 1, 1, 1), None

    results = []
    for function in (compiled, compiled.py_func):
        net, X = start(backend, dtype, sizes=(1, 5, 1))
        fastbp.fit_residual(net, X, function, epochs=3)
        results.append(parameters(net).tobytes())
    assert results[0] == results[1]


def test_a_residual_may_write_to_its_arguments_and_return_the_same_arrays(backend):
    def in_place(x, h, dh, d2h):
        found = residual(x, h, dh, d2h)
        for array in (x, h, dh, d2h):
            array[...] = np.nan
        kept = buffers.setdefault(len(x), found)
        for own, array in zip(kept, found, strict=True):
            own[...] = array
        return kept

    buffers = {}
    found = []
    for function in (residual, in_place):
        net, X = start(backend)
        history = fastbp.fit_residual(net, X, function, epochs=3, batch_size=8)
        found.append((history.loss, parameters(net).tobytes()))
    assert found[0] == found[1]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float16])
def test_residuals_of_other_dtypes(dtype):
    """The residual is 0 or 1; differences of bool are none, and those of uint8 wrap around."""

    def signs(x, h, dh, d2h):
        return (h > 0).astype(dtype), None, None, None

    net, X = start("numpy")
    ref = np.mean(np.sum(net.predict(X) > 0, axis=1)) / 2
    history = fastbp.fit_residual(net, X, signs, epochs=1)
    assert history.loss == [pytest.approx(ref, rel=1e-12)]
    assert ref > 0


def broken(place):
    def function(x, h, dh, d2h):
        found = list(residual(x, h, dh, d2h))
        found[place] = found[place] * 1.01
        return tuple(found)

    return function


@pytest.mark.parametrize("place, name", [(1, "h"), (2, "dh"), (3, "d2h")])
def test_wrong_partial_derivatives_are_found(backend, place, name):
    net, X = start(backend)
    before = parameters(net)
    with pytest.raises(ValueError, match=rf"residual returns a wrong derivative by {name}: at"):
        fastbp.fit_residual(net, X, broken(place), epochs=1)
    assert np.array_equal(parameters(net), before)
    fastbp.fit_residual(net, X, broken(place), epochs=1, check=False)
    assert not np.array_equal(parameters(net), before)


def test_partial_derivatives_that_are_left_out_are_found():
    def forgotten(x, h, dh, d2h):
        r, by_h, _, by_d2h = residual(x, h, dh, d2h)
        return r, by_h, None, by_d2h

    net, X = start("numpy")
    with pytest.raises(ValueError, match=r"wrong derivative by dh: at points\[0\], the entry \[r,"):
        fastbp.fit_residual(net, X, forgotten)


def test_rows_that_depend_on_each_other_are_found():
    def mean(x, h, dh, d2h):
        return h - h.mean(), np.ones((1, 1, 1)), None, None

    net, X = start("numpy", sizes=(1, 5, 1))
    with pytest.raises(ValueError, match="wrong derivative by h"):
        fastbp.fit_residual(net, X, mean)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "prelu"])
def test_networks_without_second_derivatives(activation):
    net, X = start("numpy", activation=activation)
    with pytest.raises(ValueError, match="the second derivatives of this network are 0"):
        fastbp.fit_residual(net, X, residual)
    net, X = start("numpy", activation=activation, sizes=(1, 5, 1))
    fastbp.fit_residual(net, X, line, epochs=1)


def returning(change):
    def function(x, h, dh, d2h):
        return change(*residual(x, h, dh, d2h))

    return function


BAD_RESIDUALS = {
    "r alone": (lambda r, *_: r, TypeError, "residual must return (r, its derivatives by h"),
    "three": (lambda r, a, b, c: (r, a, b), TypeError, "each an array or None, got 3 values"),
    "vector": (lambda r, *d: (r[:, 0], *d), ValueError, "r of shape (8, k), got (8,)"),
    "rows": (lambda r, *d: (r[:3], *d), ValueError, "r of shape (8, k), got (3, 2)"),
    "none": (lambda r, *d: (None, *d), ValueError, "r of shape (8, k), got ()"),
    "h": (lambda r, a, *d: (r, a[..., None], *d), ValueError, "by h of shape (8, 2, 2), where"),
    "dh": (lambda r, a, b, c: (r, a, b[:, :, :1, 0], c), ValueError, "by dh of shape (8, 2, 2, 2)"),
    "d2h": (lambda r, a, b, c: (r, a, b, c[:5]), ValueError, "where an axis may have length 1"),
    "NaN": (lambda r, *d: (r * np.nan, *d), ValueError, "the residual has NaN or infinite values"),
    "NaN of h": (
        lambda r, a, b, c: (r, a * np.nan, b, c),
        ValueError,
        "the derivative of r by h has NaN or infinite values",
    ),
    "text": (lambda r, a, b, c: (r, "a", b, c), TypeError, "the derivative of r by h must hold"),
}


@pytest.mark.parametrize("optimizer", ["adam", "LBFGS"])
@pytest.mark.parametrize("bad", BAD_RESIDUALS)
def test_bad_residuals(bad, optimizer):
    change, kind, message = BAD_RESIDUALS[bad]
    net, X = start("numpy")
    before = parameters(net)
    with pytest.raises(kind, match=re.escape(message)):
        fastbp.fit_residual(net, X, returning(change), optimizer=optimizer)
    with pytest.raises(kind, match=re.escape(message)):
        fastbp.fit_residual(net, X, returning(change), optimizer=optimizer, check=False)
    assert np.array_equal(parameters(net), before)


BAD = {
    "net": ({"net": 3}, TypeError, "net must be a fastbp.Network"),
    "residual": ({"residual": "r"}, TypeError, "residual must be a function, got 'r'"),
    "points": ({"points": np.ones((3, 4))}, ValueError, "points has 4 features"),
    "no points": ({"points": np.ones((0, 2))}, ValueError, "points has no rows"),
    "NaN": ({"points": np.full((3, 2), np.nan)}, ValueError, "points has NaN"),
    "boundary": ({"boundary": 3}, TypeError, r"boundary must be \(X, y\) or"),
    "boundary X": ({"boundary": (np.ones((2, 3)), np.ones((2, 2)))}, ValueError, "boundary X has"),
    "boundary y": ({"boundary": (np.ones((2, 2)), np.ones(3))}, ValueError, "boundary y must"),
    "no boundary": ({"boundary_weight": 2.0}, ValueError, "pass boundary, too"),
    "weight": ({"boundary_weight": -1}, ValueError, r"boundary_weight must be in \[0"),
    "optimizer": ({"optimizer": "bfgs"}, ValueError, "unknown optimizer 'bfgs'"),
    "epochs": ({"epochs": 0}, ValueError, "epochs must be at least 1"),
    "check": ({"check": "no"}, TypeError, "check must be True or False"),
    "progress": ({"progress": 1, "optimizer": "lbfgs"}, TypeError, "progress must be True or Fal"),
    "batch_size": ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
    "checkpoint": ({"callbacks": [fastbp.Checkpoint("x")]}, ValueError, "fit_residual cannot res"),
    "frozen": ({"frozen": [0, 1, 2]}, ValueError, "frozen names all 3 layers"),
    "full batch": ({"optimizer": fastbp.Rprop(), "batch_size": 3}, ValueError, "full batch only"),
    **{
        f"lbfgs and {name}": ({"optimizer": "lbfgs", name: value}, ValueError, f"takes no {name}")
        for name, value in {
            "schedule": fastbp.CosineDecay(),
            "batch_size": 4,
            "l1": (0, 0.1, 0),
            "clip_norm": 1.0,
            "average": fastbp.EMA(),
            "callbacks": [fastbp.Callback()],
        }.items()
    },
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_arguments(bad):
    options, kind, message = BAD[bad]
    net, X = start("numpy")
    before = parameters(net)
    given = {"net": net, "points": X, "residual": residual, **options}
    with pytest.raises(kind, match=message):
        fastbp.fit_residual(**given)
    assert np.array_equal(parameters(net), before)


@pytest.mark.parametrize("optimizer", [fastbp.SGD(1e-3), "lbfgs"], ids=str)
def test_ctrl_c_leaves_the_weights_of_the_last_step(backend, optimizer):
    """Pressed in the residual, of the second step at least."""
    calls = []

    def pressed(x, h, dh, d2h):
        calls.append(len(x))
        if calls.count(N) == 5:
            signal.raise_signal(signal.SIGINT)
        return residual(x, h, dh, d2h)

    net, X = start(backend)
    with pytest.warns(RuntimeWarning, match=r"training interrupted after \d of 1000"):
        history = fastbp.fit_residual(
            net, X, pressed, optimizer=optimizer, epochs=1000, check=False
        )
    assert history.interrupted
    done = len(history.loss) - (optimizer == "lbfgs")
    assert 0 < done < 5
    other, _ = start(backend)
    fastbp.fit_residual(other, X, residual, optimizer=optimizer, epochs=done, check=False)
    assert parameters(net).tobytes() == parameters(other).tobytes()


@pytest.mark.parametrize("optimizer", [fastbp.SGD(1e-3), "lbfgs"], ids=str)
def test_errors_of_the_residual_are_raised(backend, optimizer):
    calls = []

    def failing(x, h, dh, d2h):
        calls.append(len(x))
        if calls.count(N) == 4:
            raise ZeroDivisionError("mine")
        return residual(x, h, dh, d2h)

    net, X = start(backend)
    with pytest.raises(ZeroDivisionError, match="mine"):
        fastbp.fit_residual(net, X, failing, optimizer=optimizer)
    assert np.isfinite(parameters(net)).all()


def test_divergence(backend):
    net, X = start(backend)
    with pytest.raises(fastbp.TrainingDiverged):
        fastbp.fit_residual(net, X, residual, optimizer=fastbp.SGD(1e30), epochs=20)


def test_progress(capsys):
    for optimizer in (None, "lbfgs"):
        net, X = start("numpy")
        fastbp.fit_residual(net, X, residual, optimizer=optimizer, epochs=3, progress=True)
        assert "3/3" in capsys.readouterr().err

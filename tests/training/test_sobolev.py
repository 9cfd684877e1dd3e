"""``fit(dy=)``: training on known derivatives of the targets by the inputs."""

import re
import signal

import numpy as np
import pytest
from gradient_helpers import torch_activations, torch_loss, torch_network
from helpers import (
    DTYPES,
    OPTIMIZERS,
    TARGETS,
    error,
    make_data,
    make_network,
    outputs_for,
    parameters,
)

import fastbp

N, INPUTS, OUTPUTS = 24, 3, 2


def start(
    backend,
    loss="squared_error",
    dtype="float64",
    n_outputs=OUTPUTS,
    activation="tanh",
    n_inputs=INPUTS,
):
    """A network, samples, and derivatives of which some are unknown."""
    n_outputs = outputs_for(loss, n_outputs)
    net = make_network([n_inputs, 7, 5, n_outputs], loss, backend, dtype, activation)
    X, y = make_data(loss, N, n_inputs, n_outputs)
    rng = np.random.default_rng(2)
    dy = rng.standard_normal((N, n_outputs, n_inputs))
    dy[rng.uniform(size=dy.shape) < 0.3] = np.nan
    return net, X, y, dy


def torch_steps(torch, net, X, y, dy, weight, derivative_weight, rate, batches):
    """Parameters after steps of gradient descent by autograd, and the losses before them."""
    s_of, leaves = torch_network(torch, net)
    activate = torch_activations(torch)[net.output_activation]
    losses = []
    for rows in batches:
        x = torch.tensor(X[rows], requires_grad=True)
        h, w = activate(s_of(x)), torch.tensor(weight[rows])
        if net.loss == "squared_error":
            e = ((h - torch.tensor(y[rows])) ** 2).sum(1) / 2
        else:
            e, _ = torch_loss(torch, net.loss, s_of(x), y[rows])
        for k in range(h.shape[1]):
            (slope,) = torch.autograd.grad(h[:, k].sum(), x, create_graph=True)
            known = torch.tensor(dy[rows][:, k])
            d = torch.where(torch.isnan(known), 0.0, slope - torch.nan_to_num(known))
            e = e + derivative_weight / 2 * (d**2).sum(1)
        mean = (w * e).sum() / w.sum()
        losses.append((mean.item(), w.sum().item()))
        with torch.no_grad():
            for leaf, slope in zip(leaves, torch.autograd.grad(mean, leaves), strict=True):
                leaf -= rate * slope
    return np.concatenate([leaf.detach().numpy().ravel() for leaf in leaves]), losses


@pytest.mark.parametrize("n_inputs", [3, 9])
@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("loss", TARGETS)
def test_steps_by_autograd(backend, loss, activation, n_inputs):
    """With few inputs derivatives go forward; with many, back and then forward."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y, dy = start(backend, loss, activation=activation, n_inputs=n_inputs)
    weight = np.random.default_rng(3).uniform(0, 2, N)
    batches = [slice(0, 10), slice(10, 20), slice(20, 24)] * 2
    rate = 1e-4 if loss == "poisson" else 0.02  # its derivatives grow with exp
    ref, losses = torch_steps(torch, net, X, y, dy, weight, 0.7, rate, batches)
    how = dict(dy=dy, derivative_weight=0.7, sample_weight=weight, shuffle=False, batch_size=10)
    history = net.fit(X, y, optimizer=fastbp.SGD(rate), epochs=2, **how)
    assert error(parameters(net), ref) < 1e-11
    for epoch, found in enumerate(history.loss):
        part = np.array(losses[3 * epoch : 3 * epoch + 3])
        assert abs(found - np.average(part[:, 0], weights=part[:, 1])) < 1e-12 * found


@pytest.mark.parametrize("n_inputs", [3, 9])
@pytest.mark.parametrize("output", ["tanh", "sigmoid", "softplus"])
def test_output_activations_that_the_loss_does_not_imply(backend, output, n_inputs):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    _, X, y, dy = start(backend, n_inputs=n_inputs)
    net = fastbp.Network(
        [n_inputs, 7, OUTPUTS],
        activation="tanh",
        loss="squared_error",
        output_activation=output,
        dtype="float64",
        backend=backend,
        seed=0,
    )
    ref, _ = torch_steps(torch, net, X, y, dy, np.ones(N), 0.7, 0.1, [slice(None)] * 3)
    how = dict(optimizer=fastbp.SGD(0.1), epochs=3, batch_size=None)
    net.fit(X, y, dy=dy, derivative_weight=0.7, **how)
    assert error(parameters(net), ref) < 1e-12


def test_a_network_without_a_loss_is_refused():
    net = fastbp.Network([INPUTS, 4, OUTPUTS], loss=None, output_activation="tanh", seed=0)
    _, X, y, dy = start("numpy")
    with pytest.raises((TypeError, ValueError), match="loss"):
        net.fit(X, y, dy=dy)


@pytest.mark.parametrize("n_inputs", [3, 9])
@pytest.mark.parametrize("dtype", DTYPES)
def test_cython_and_numba_give_the_same_bits(twins, dtype, n_inputs):
    results = []
    for name in twins:
        net, X, y, dy = start(name, "log_loss", dtype, n_inputs=n_inputs)
        history = net.fit(X, y, dy=dy, epochs=3, batch_size=10)
        results.append((parameters(net).tobytes(), history.loss))
    assert results[0] == results[1]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_do_not_change_the_result(compiled, threads):
    net, X, y, dy = start(compiled)
    other = start(compiled)[0]
    net.fit(X, y, dy=dy, epochs=2, threads=threads)
    other.fit(X, y, dy=dy, epochs=2)
    assert parameters(net).tobytes() == parameters(other).tobytes()


CASES = {
    **{
        name: {"optimizer": optimizer, "batch_size": None} for name, optimizer in OPTIMIZERS.items()
    },
    "schedule": {"schedule": fastbp.CosineDecay(warmup=0.2)},
    "plateau": {"schedule": fastbp.ReduceOnPlateau(0.5, patience=1, min_delta=10.0)},
    "rules": {"l1": 0.01, "l2": [0.1, 0.0, 0.2], "clip_norm": 0.1, "frozen": [0]},
    "ema": {"average": fastbp.EMA(0.9)},
    "swa": {"average": fastbp.SWA(2)},
    "in order": {"shuffle": False},
    "weights": {"sample_weight": np.linspace(0, 2, N)},
    "a batch without weight": {
        "sample_weight": np.repeat([0.0, 1.0], [8, N - 8]),
        "shuffle": False,
        "l2": 0.1,
    },
    "validation": {
        "validation_data": make_data("squared_error", 10, INPUTS, OUTPUTS, seed=9),
        "scoring": "r2",
        "patience": 2,
    },
}


@pytest.mark.parametrize("case", CASES)
def test_options_are_those_of_fit(backend, case):
    """With a weight of 0 for the derivatives, training is what it is without them."""
    net, X, y, dy = start(backend)
    other = start(backend)[0]
    how = {"batch_size": 8, "epochs": 4, **CASES[case]}
    comp = net.fit(X, y, dy=dy, derivative_weight=0, **how)
    ref = other.fit(X, y, **how)
    assert error(parameters(net), parameters(other)) < 1e-11
    assert error(comp.loss, ref.loss) < 1e-12
    assert comp.learning_rate == ref.learning_rate
    assert comp.best_epoch == ref.best_epoch
    if ref.validation_loss:
        assert error(comp.validation_loss, ref.validation_loss) < 1e-12
        assert error(comp.scores["r2"], ref.scores["r2"]) < 1e-12


def test_options_of_classes(backend):
    net, X, y, dy = start(backend, "cross_entropy")
    other = start(backend, "cross_entropy")[0]
    how = dict(class_weight="balanced", label_smoothing=0.1, epochs=3, batch_size=8)
    net.fit(X, y, dy=dy, derivative_weight=0.0, **how)
    other.fit(X, y, **how)
    assert error(parameters(net), parameters(other)) < 1e-12


def test_slopes_shape_the_curve_between_the_samples(backend):
    """x³ at three points: its values there are those of x."""
    X = np.array([[-1.0], [0.0], [1.0]])
    net = make_network([1, 12, 1], "squared_error", backend)
    plain = make_network([1, 12, 1], "squared_error", backend)
    how = dict(epochs=600, optimizer=fastbp.Adam(0.02), batch_size=None)
    net.fit(X, X**3, dy=3 * X**2, **how)
    plain.fit(X, X**3, **how)
    fine = np.linspace(-1, 1, 50).reshape(-1, 1)
    far, near = (np.abs(each.predict(fine) - fine**3).max() for each in (plain, net))
    assert near < 0.1 < 0.2 < far


def test_shape_for_one_output(backend):
    net, X, y, dy = start(backend, n_outputs=1)
    results = []
    for form in (dy, dy[:, 0], dy[:, 0].tolist()):
        net = start(backend, n_outputs=1)[0]
        net.fit(X, y, dy=form, epochs=2)
        results.append(parameters(net).tobytes())
    assert results[0] == results[1] == results[2]


def test_arrays_stay_as_they_are(backend):
    pandas = pytest.importorskip("pandas")
    net, X, y, dy = start(backend, n_outputs=1)
    dy = dy[:, 0]
    for array in (X, y, dy):
        array.flags.writeable = False
    net.fit(X, y, dy=dy, epochs=2)
    other = start(backend, n_outputs=1)[0]
    other.fit(X, y, dy=pandas.DataFrame(dy), epochs=2)
    assert parameters(net).tobytes() == parameters(other).tobytes()


@pytest.mark.parametrize("case", ["adam", "rules", "ema", "swa", "schedule"])
def test_resuming(backend, case, tmp_path):
    how = {"batch_size": 8, **CASES[case]}

    class Stop(fastbp.Callback):
        def epoch(self, network, history):
            return len(history.loss) == 2

    net, X, y, dy = start(backend)
    whole = net.fit(X, y, dy=dy, derivative_weight=0.5, epochs=4, **how)
    checkpoint = fastbp.Checkpoint(tmp_path)
    other = start(backend)[0]
    callbacks = [checkpoint, Stop()]
    other.fit(X, y, dy=dy, derivative_weight=0.5, epochs=4, callbacks=callbacks, **how)
    for changed, what in (
        ({"dy": dy, "derivative_weight": 0.6}, "derivative_weight"),
        ({"dy": 2 * dy, "derivative_weight": 0.5}, "data"),
        ({}, "data"),
    ):
        with pytest.raises(ValueError, match=f"differs in {what}"):
            fresh = start(backend)[0]
            fresh.fit(X, y, epochs=4, resume_from=checkpoint.newest(), **changed, **how)
    resumed = start(backend)[0]
    history = resumed.fit(
        *(X, y),
        dy=dy,
        derivative_weight=0.5,
        epochs=4,
        callbacks=[checkpoint],
        resume_from=checkpoint.newest(),
        **how,
    )
    assert parameters(resumed).tobytes() == parameters(net).tobytes()
    assert history.loss == whole.loss


def test_fit_many_gives_the_bits_of_fit(backend):
    nets, alone = ([start(backend, dtype="float32")[0] for _ in range(3)] for _ in range(2))
    _, X, y, dy = start(backend)
    rows = [None, np.arange(0, N, 2), np.full(N, True)]
    weights = [0.0, 0.5, 2.0]
    w = np.random.default_rng(1).uniform(0.5, 2, N)
    w[1::2] *= 1000  # the other rows must not matter
    histories = fastbp.fit_many(
        *(nets, X, y),
        rows=rows,
        dy=dy,
        derivative_weight=weights,
        sample_weight=w,
        epochs=3,
        batch_size=8,
    )
    for net, own, rows_, weight, history in zip(nets, alone, rows, weights, histories, strict=True):
        rows_ = slice(None) if rows_ is None else rows_
        found = own.fit(
            *(X[rows_], y[rows_]),
            dy=dy[rows_],
            derivative_weight=weight,
            sample_weight=w[rows_],
            epochs=3,
            batch_size=8,
        )
        assert parameters(net).tobytes() == parameters(own).tobytes()
        assert history.loss == found.loss


def test_ctrl_c_ends_the_training_between_two_steps(backend):
    class Press(fastbp.Callback):
        def epoch(self, network, history):
            if len(history.loss) == 2:
                signal.raise_signal(signal.SIGINT)

    net, X, y, dy = start(backend)
    with pytest.warns(RuntimeWarning, match="interrupted after 2 of 1000 epochs"):
        history = net.fit(X, y, dy=dy, epochs=1000, callbacks=[Press()])
    assert history.interrupted and len(history.loss) == 2
    other = start(backend)[0]
    other.fit(X, y, dy=dy, epochs=2)
    assert parameters(net).tobytes() == parameters(other).tobytes()


def test_ctrl_c_in_a_loss_function():
    """It comes in the middle of an epoch; the weights are those of the last step."""
    calls = []

    def loss(h, y):
        calls.append(len(h))
        if len(calls) == 6:  # one call at first, to find errors
            signal.raise_signal(signal.SIGINT)
        return ((h - y) ** 2).sum(axis=1) / 2, h - y

    _, X, y, dy = start("numpy")
    net = fastbp.Network(
        [INPUTS, 7, OUTPUTS], activation="tanh", loss=loss, backend="numpy", seed=0
    )
    with pytest.warns(RuntimeWarning, match="interrupted after 1 of 10 epochs"):
        history = net.fit(X, y, dy=dy, epochs=10, batch_size=8)
    assert history.interrupted and len(history.loss) == 1
    assert np.isfinite(parameters(net)).all()


def test_errors_of_a_loss_function_are_raised():
    def loss(h, y):
        if h.any():
            raise ZeroDivisionError("mine")
        return h.sum(axis=1), h

    _, X, y, dy = start("numpy")
    net = fastbp.Network([INPUTS, 7, OUTPUTS], loss=loss, backend="numpy", seed=0)
    with pytest.raises(ZeroDivisionError, match="mine"):
        net.fit(X, y, dy=dy)


def test_divergence(backend):
    net, X, y, dy = start(backend)
    with pytest.raises(fastbp.TrainingDiverged, match="training diverged in epoch") as caught:
        net.fit(X, y, dy=dy, optimizer=fastbp.SGD(1e25), epochs=50, batch_size=8)
    assert len(caught.value.history.loss) < 50


BAD = {
    "shape": (lambda dy: dy[:, :, :2], ValueError, r"dy must have shape \(24, 2, 3\), the deriv"),
    "order": (lambda dy: dy.transpose(0, 2, 1), ValueError, "got (24, 3, 2)"),
    "matrix": (lambda dy: dy[:, 0], ValueError, "got (24, 3)"),
    "rows": (lambda dy: dy[:5], ValueError, "got (5, 2, 3)"),
    "unknown": (lambda dy: dy * np.nan, ValueError, "all of dy is NaN"),
    "infinite": (lambda dy: np.where(np.isnan(dy), np.inf, dy), ValueError, "dy has infinite"),
    "text": (lambda dy: np.full(dy.shape, "a"), TypeError, "dy must hold real numbers"),
    "complex": (lambda dy: dy + 1j, TypeError, "dy must hold real numbers"),
    "empty": (lambda dy: [], ValueError, "got (0,)"),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_derivatives(bad):
    change, kind, message = BAD[bad]
    net, X, y, dy = start("numpy")
    before = parameters(net)
    with pytest.raises(kind, match=message if "\\" in message else re.escape(message)):
        net.fit(X, y, dy=change(dy))
    assert np.array_equal(parameters(net), before)


def test_too_large_for_the_dtype():
    net, X, y, dy = start("numpy", dtype="float32")
    dy[3, 1, 2] = 1e300
    with pytest.raises(ValueError, match=r"too large for float32 \(1 in all; the first, 1e\+300"):
        net.fit(X, y, dy=dy)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"derivative_weight": -1.0}, "derivative_weight must be in"),
        ({"derivative_weight": np.nan}, "derivative_weight must be in"),
        ({"dropout": 0.1}, "dropout cannot be combined with training on derivatives"),
        ({"dropout": [0.1, 0.1, 0.1]}, "dropout cannot be combined"),
        ({"dy": None, "derivative_weight": 0.5}, "pass dy, too"),
    ],
)
def test_bad_options(options, message):
    net, X, y, dy = start("numpy")
    before, state = parameters(net), net._engine.random.bit_generator.state
    with pytest.raises(ValueError, match=message):
        net.fit(X, y, **{"dy": dy, **options})
    assert np.array_equal(parameters(net), before)
    assert net._engine.random.bit_generator.state == state


def test_an_activation_without_second_derivative_is_refused():
    own = fastbp.Activation(np.tanh, lambda s: 1 - np.tanh(s) ** 2, name="mine")
    net = fastbp.Network([INPUTS, 4, OUTPUTS], activation=own, loss="squared_error", seed=0)
    state = net._engine.random.bit_generator.state
    _, X, y, dy = start("numpy")
    with pytest.raises(ValueError, match="'mine' has no second_derivative, which trainings on"):
        net.fit(X, y, dy=dy)
    assert net._engine.random.bit_generator.state == state


def test_fit_batches_refuses_derivatives():
    net, X, y, dy = start("numpy")
    with pytest.raises(TypeError, match="dy"):
        net.fit_batches([(X, y)], dy=dy)


def test_bfloat16(backend):
    """Its derivatives, and the values of these steps, are of the network that does not round."""
    results = []
    for rounding in ("bfloat16", None):
        net = fastbp.Network(
            [3, 8, 1], loss="squared_error", compute_dtype=rounding, backend=backend, seed=0
        )
        _, X, y, dy = start("numpy", n_outputs=1)
        net.fit(X, y, dy=dy, epochs=3)
        results.append(parameters(net).tobytes())
    assert results[0] == results[1]


def test_weights_whose_sum_is_too_large_for_float32(backend):
    """Only their ratios count, in training on derivatives and in products with the Hessian."""
    X, dy = np.eye(40, 3), np.ones((40, 2, 3))
    found = []
    for weight in (1.0, 1e37):
        net = fastbp.Network([3, 2], loss="squared_error", seed=0, backend=backend)
        w = np.full(40, weight)
        g = net.loss_and_gradient(X, np.ones((40, 2)))[1]
        product = net.hessian_vector_product(X, np.ones((40, 2)), g, w).weights[0]
        how = dict(dy=dy, sample_weight=w, optimizer=fastbp.SGD(0.1), epochs=1, batch_size=None)
        history = net.fit(X, np.ones((40, 2)), **how)
        found.append(np.concatenate([history.loss, product.ravel(), net.weights[0].ravel()]))
    assert np.allclose(*found, rtol=1e-5) and found[0].all()

"""Networks with several heads: arguments, targets, predictions, training, derivatives, refusals."""

import copy
import pickle
import re

import numpy as np
import pytest
from gradient_helpers import STEP, torch_network
from head_helpers import HEADS, LEVELS, make_heads, parts_of, samples_of, targets_of, together
from helpers import error

import fastbp

TWO = [("cross_entropy", 3), ("poisson", 1)]


def two(backend="numpy", **options):
    return fastbp.Network([5, 6, 4], loss=TWO, seed=0, backend=backend, **options)


def data(n=12):
    return samples_of(two(), n)


# Arguments.


def test_what_was_passed_is_found_again():
    net = fastbp.Network([2, 6], loss=[["huber", 2, 1.5], ("quantile", 3, LEVELS), ("log_loss", 1)])
    assert net.loss == (("huber", 2, 1.5), ("quantile", 3, LEVELS), ("log_loss", 1))
    assert net.loss_weights == (1.0, 1.0, 1.0)
    assert net.output_activation == "heads" and net.loss_parameter is None
    assert "loss_weights" not in repr(net)
    weighted = two(loss_weights=[1, 0.5])
    assert weighted.loss_weights == (1.0, 0.5)
    assert "loss_weights=[1.0, 0.5]" in repr(weighted)
    assert "cross_entropy + 0.5 poisson" in repr(weighted.summary())
    assert fastbp.Network([2, 1], loss="huber").loss_weights is None


def test_defaults_of_parameters_are_those_of_the_losses():
    net = fastbp.Network([2, 18], loss=[("huber", 1), ("student_t", 2), ("mixture_density", 15)])
    assert net.loss == (("huber", 1, 1.0), ("student_t", 2, 5.0), ("mixture_density", 15, 5))


@pytest.mark.parametrize(
    ("options", "error_type", "message"),
    [
        ({"loss": []}, ValueError, "loss is an empty list"),
        ({"loss": ["squared_error"]}, TypeError, r"loss[0] must be (name, n_outputs)"),
        ({"loss": ("squared_error", 4)}, TypeError, r"loss[0] must be (name, n_outputs)"),
        ({"loss": [("squared_error",)]}, TypeError, r"loss[0] must be"),
        ({"loss": [("squared_error", 4, None, 1)]}, TypeError, r"loss[0] must be"),
        ({"loss": [("square_error", 4)]}, ValueError, "did you mean 'squared_error'"),
        ({"loss": [(len, 4)]}, TypeError, "is the function"),
        (
            {"loss": [("squared_error", 2), ("poisson", 1)]},
            ValueError,
            "2, 1, sum to 3, but the last of layer_sizes is 4",
        ),
        ({"loss": [("squared_error", 4.0)]}, TypeError, "number of outputs of loss[0]"),
        ({"loss": [("squared_error", 0), ("poisson", 4)]}, ValueError, "of outputs of loss[0]"),
        ({"loss": [("squared_error", True), ("poisson", 3)]}, TypeError, "of outputs of loss[0]"),
        ({"loss": [("cross_entropy", 1), ("poisson", 3)]}, ValueError, "at least 2 outputs"),
        ({"loss": [("gaussian", 4)]}, ValueError, "gaussian needs 2 outputs"),
        ({"loss": [("quantile", 4, LEVELS)]}, ValueError, "needs 3 outputs"),
        ({"loss": [("mixture_density", 4, 1)]}, ValueError, "needs 3 outputs"),
        ({"loss": [("huber", 4, -1)]}, ValueError, "must be in (0"),
        ({"loss": [("squared_error", 4, 1)]}, ValueError, "has no parameter"),
        ({"loss_parameter": 1.0}, ValueError, "loss_parameter"),
        ({"loss_weights": [1.0]}, ValueError, "one number for each head, 2 in all"),
        ({"loss_weights": [1, 2, 3]}, ValueError, "one number for each head, 2 in all"),
        ({"loss_weights": 2.0}, ValueError, "one number for each head, 2 in all"),
        ({"loss_weights": {1, 2}}, ValueError, "one number for each head, 2 in all"),
        ({"loss_weights": [1, 0]}, ValueError, "above 0"),
        ({"loss_weights": [1, -1]}, ValueError, "loss_weights[1]"),
        ({"loss_weights": [np.nan, 1]}, ValueError, "loss_weights[0]"),
        ({"loss_weights": ["1", 1]}, TypeError, "loss_weights[0]"),
        ({"loss": "squared_error", "loss_weights": [1.0]}, ValueError, "has a single one"),
        ({"loss": None, "output_activation": "tanh", "loss_weights": [1]}, ValueError, "a single"),
        ({"output_activation": "tanh"}, ValueError, "output_activation must be None"),
        ({"monotonic_cst": [1, 0, 0, 0, 0]}, ValueError, "monotonic_cst is for"),
    ],
)
def test_bad_arguments_are_refused(options, error_type, message):
    given = {"loss": TWO} | options
    with pytest.raises(error_type, match=re.escape(message)):
        fastbp.Network([5, 4], **given)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_weight_that_overflows_is_refused(dtype):
    with pytest.raises(ValueError, match="loss_weights"):
        two(loss_weights=[1.0, 1e39 if dtype == "float32" else 1e309], dtype=dtype)


# Targets.


@pytest.mark.parametrize(
    ("y", "error_type", "message"),
    [
        (np.zeros((12, 4)), TypeError, "y must be a tuple with one entry for each head"),
        ([0] * 12, ValueError, "y must have one entry for each head"),
        ((np.zeros(12, int),), ValueError, "y must have one entry for each head"),
        (np.zeros((12, 2)), TypeError, "got ndarray; pass (y[:, 0], y[:, 1])"),
        (np.zeros((12, 4)), TypeError, "got ndarray; pass (y[:, 0:3], y[:, 3])"),
        ({"class": [0] * 12, "count": [1] * 12}, TypeError, "y must be a tuple"),
        (([0] * 12, [1] * 11), ValueError, "y[1] must have one entry per sample"),
        (([0] * 12, [-1] * 12), ValueError, "but y[1] ranges from -1"),
        (([3] * 12, [1] * 12), ValueError, "y[0]"),
        (([0.5] * 12, [1] * 12), ValueError, "y[0]"),
        (([0] * 12, [np.nan] * 12), ValueError, "y[1]"),
        (([0] * 12, [[1, 1]] * 12), ValueError, "y[1] must have shape (12,) or (12, 1)"),
        (([["a"]] * 12, [1] * 12), (TypeError, ValueError), "y[0]"),
        ((None, [1] * 12), (TypeError, ValueError), "y[0]"),
    ],
)
def test_bad_targets_are_refused(y, error_type, message):
    """Before anything has changed."""
    net = two()
    X, _ = data()
    before = together(net)
    for call in (net.fit, net.fit_step, net.loss_and_gradient, net.input_gradient):
        with pytest.raises(error_type, match=re.escape(message)):
            call(X, y)
    assert np.array_equal(together(net), before)


def test_targets_take_the_forms_of_single_networks():
    net = two()
    X, (classes, counts) = data()
    expected = net.loss_and_gradient(X, (classes, counts))[0]
    pandas = pytest.importorskip("pandas")
    for y in (
        [classes, counts],
        (classes.tolist(), counts[:, None].astype(np.float32)),
        (np.eye(3)[classes], counts.tolist()),
        (pandas.Series(classes), pandas.DataFrame({"n": counts})),
    ):
        assert net.loss_and_gradient(X, y)[0] == expected


def test_targets_are_not_kept(backend):
    """A caller may change y after a call that still goes on, as a callback does."""
    net = two(backend)
    X, y = data()
    once = copy.deepcopy(net)
    once.fit(X, targets_of(net, 12), epochs=3, batch_size=4)

    class Spoil(fastbp.Callback):
        def epoch(self, network, history):
            y[0][:], y[1][:] = 0, 0

    net.fit(X, y, epochs=3, batch_size=4, callbacks=[Spoil()])
    assert np.array_equal(together(net), together(once))


# Predictions.


def test_predictions_are_those_of_each_loss(backend):
    net = make_heads("all", backend, "float32")
    X, _ = samples_of(net, 7)
    h = net.forward(X).output
    found = net.predict(X)
    assert isinstance(found, tuple) and len(found) == len(net.loss)
    for (name, width, *parameter), (first, last), part in zip(
        net.loss, parts_of(net), found, strict=True
    ):
        of_head = h[:, first:last]
        assert part.dtype == np.float32 and part.flags.c_contiguous and part.flags.writeable
        if name in ("gaussian", "student_t", "laplace"):
            of_head = of_head[:, :1]
        elif name == "negative_binomial":
            of_head = np.exp(of_head[:, :1])
        elif name == "mixture_density":
            shares = np.exp(of_head[:, :2]) / np.exp(of_head[:, :2]).sum(axis=1, keepdims=True)
            of_head = (shares * of_head[:, 2:4]).sum(axis=1, keepdims=True)
        elif parameter == [LEVELS]:  # the median
            of_head = of_head[:, :1] + np.log1p(np.exp(of_head[:, 1:2]))
        assert error(part, of_head) < 1e-6, (name, width)
    assert [h.shape for h in net.layer_outputs(X)] == [(7, 9), (7, 29)]


# Training.


def test_training_learns_all_heads(backend):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (300, 2)).astype(np.float32)
    classes, rates = (X[:, 0] > 0).astype(int), np.exp(1 + X[:, 1])
    y = classes, rng.poisson(rates)
    net = fastbp.Network(
        *([2, 16, 3],), loss=[("cross_entropy", 2), ("poisson", 1)], seed=0, backend=backend
    )
    history = net.fit(X, y, epochs=60, batch_size=30, optimizer=fastbp.Adam(0.01))
    shares, counts = net.predict(X)
    assert history.loss[-1] < history.loss[0] / 2
    assert (shares.argmax(axis=1) == classes).mean() > 0.95
    assert np.abs(counts.ravel() / rates - 1).mean() < 0.15


def test_validation_and_early_stopping(backend):
    net = two(backend)
    X, y = data(30)
    X_v, y_v = samples_of(net, 9, seed=7)
    history = net.fit(X, y, epochs=4, validation_data=(X_v, y_v))
    expected = net.loss_and_gradient(X_v, y_v)[0]
    assert history.validation_loss[-1] == pytest.approx(expected, rel=1e-6)
    how = {"epochs": 50, "callbacks": [fastbp.EarlyStopping(patience=1)]}
    history = net.fit(X, y, optimizer=fastbp.SGD(5.0), validation_data=(X_v, y_v), **how)
    assert len(history.loss) < 50


def test_steps_and_batches_are_those_of_fit(backend):
    X, y = data(12)
    whole, steps, streamed, outside, read = (two(backend) for _ in range(5))
    whole.fit(X, y, epochs=1, batch_size=4, shuffle=False, optimizer="adam")
    batches = [(X[i : i + 4], tuple(target[i : i + 4] for target in y)) for i in (0, 4, 8)]
    for batch in batches:
        steps.fit_step(*batch, optimizer="adam")
        outside.apply_gradient(outside.loss_and_gradient(*batch)[1], optimizer="adam")
    none = X[:0], tuple(target[:0] for target in y)  # is skipped
    streamed.fit_batches([batches[0], none, *batches[1:]], epochs=1, optimizer="adam")
    stream = fastbp.ArrayStream(X, y, rows=8, shuffle=False)
    read.fit_batches(stream, batch_size=4, optimizer="adam")
    for net in (steps, streamed, outside, read):
        assert error(together(net), together(whole)) < 1e-6
    assert np.array_equal(together(steps), together(whole))


def test_fit_many(backend):
    X, y = data(20)
    alone = [two(backend, dtype="float64") for _ in range(2)]
    nets = [copy.deepcopy(net) for net in alone]
    for net in alone:
        net.fit(X, y, epochs=2)
    histories = fastbp.fit_many(nets, X, y, epochs=2)
    assert len(histories) == 2
    for net, other in zip(nets, alone, strict=True):
        assert np.array_equal(together(net), together(other))


def test_fit_many_prepares_targets_for_other_heads_anew():
    """As many outputs and targets do not mean that the heads are the same."""
    X, y = data(20)
    other = fastbp.Network([5, 6, 4], loss=[("log_loss", 3), ("poisson", 1)])
    with pytest.raises(ValueError, match=re.escape("network 1: y[0] must have shape (20, 3)")):
        fastbp.fit_many([two(), other], X, y, epochs=1)


def test_gradients_are_checked(backend):
    net = make_heads("class and count", backend, hidden=(3,))
    assert fastbp.check_gradients(net, *samples_of(net, 3), only=[backend], entries=10).passed


def test_copies(backend):
    net = make_heads("all", backend)
    X, y = samples_of(net, 8)
    for other in (copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net))):
        assert (other.loss, other.loss_weights) == (net.loss, net.loss_weights)
        assert other.loss_and_gradient(X, y)[0] == net.loss_and_gradient(X, y)[0]
        before = together(net)
        other.fit(X, y, epochs=1)
        assert np.array_equal(together(net), before)
    moved = net.to_backend("numpy")
    assert moved.loss_and_gradient(X, y)[0] == pytest.approx(net.loss_and_gradient(X, y)[0])


# Derivatives.


def test_derivatives_of_outputs_are_slopes(backend):
    net = make_heads("all", backend, hidden=(4,))
    X, _ = samples_of(net, 3)
    n, n_in, n_out = 3, 5, net.layout.sizes[-1]

    def outputs(X):
        return net.forward(X).output

    slopes = np.empty((n, n_out, n_in))
    for j, step in enumerate(STEP * np.eye(n_in)):
        slopes[:, :, j] = (outputs(X + step) - outputs(X - step)) / (2 * STEP)
    rng = np.random.default_rng(0)
    t, v = rng.standard_normal((n, n_in)), rng.standard_normal((n, n_out))
    assert error(net.input_jacobian(X), slopes) < 1e-8
    assert error(net.input_jvp(X, t), np.einsum("nkj,nj->nk", slopes, t)) < 1e-8
    assert error(net.input_vjp(X, v), np.einsum("nkj,nk->nj", slopes, v)) < 1e-8
    shares = net.integrated_gradients(X)
    assert error(shares.sum(axis=2), outputs(X) - outputs(0 * X)) < 1e-8
    assert np.allclose(net.integrated_gradients(X, output=20), shares[:, 20])
    jacobian = net.jacobian(X).biases[-1]
    bias, of_biases = net.biases[-1].copy(), np.empty((n, n_out, n_out))
    for j, step in enumerate(STEP * np.eye(n_out)):
        net.biases[-1] = bias + step
        above = outputs(X)
        net.biases[-1] = bias - step
        of_biases[:, :, j] = (above - outputs(X)) / (2 * STEP)
    assert error(jacobian, of_biases) < 1e-8


def test_a_function_of_pytorch(backend):
    torch = pytest.importorskip("torch")
    net = make_heads("class and count", backend)
    X, _ = samples_of(net, 6)
    x = torch.tensor(X, requires_grad=True)
    f = fastbp.torch_function(net)
    (f(x) ** 2).sum().backward()
    output, leaves = torch_network(torch, net)
    z = torch.tensor(X, requires_grad=True)
    s = output(z)
    h = torch.cat([torch.softmax(s[:, :3], 1), torch.exp(s[:, 3:])], 1)
    (h**2).sum().backward()
    assert error(x.grad.numpy(), z.grad.numpy()) < 1e-12
    assert error(f.gradient.weights[0], leaves[0].grad.numpy()) < 1e-12


def test_ways_back_take_a_tuple(backend):
    net = make_heads("class and count", backend)
    X, _ = samples_of(net, 6)
    v = np.random.default_rng(1).standard_normal((6, 4))
    parts = v[:, :3], v[:, 3]
    assert np.array_equal(net.input_vjp(X, parts), net.input_vjp(X, v))
    p = net.forward(X)
    for one, other in zip(p.backward(parts), p.backward(v), strict=True):
        one, other = (x if isinstance(x, np.ndarray) else together(x) for x in (one, other))
        assert np.array_equal(one, other)
    for wrong, message in (
        (parts[:1], r" is a tuple of 1 entries, .* for each head \(cross_entropy, poisson\)"),
        ((v[:, :2], v[:, 3:]), r"\[0\] must have shape \(6, 3\), got \(6, 2\)"),
    ):
        with pytest.raises(ValueError, match="^v" + message):
            net.input_vjp(X, wrong)
        with pytest.raises(ValueError, match="^dL_dh" + message):
            p.backward(wrong)


# Refusals.

X, Y = data()
REFUSED = {
    "score": lambda net: net.score(X, Y),
    "scoring": lambda net: net.fit(X, Y, scoring="r2", validation_data=(X, Y)),
    "trace": lambda net: net.trace(X, Y),
    "class_weight": lambda net: net.fit(X, Y, class_weight="balanced"),
    "label_smoothing": lambda net: net.fit(X, Y, label_smoothing=0.1),
    "dy": lambda net: net.fit(X, Y, dy=np.zeros((12, 4, 5))),
    "laplacian": lambda net: net.input_laplacian(X),
    "hessian diagonal": lambda net: net.input_hessian_diagonal(X),
    "std": lambda net: net.predict_std(X),
    "quantiles": lambda net: net.predict_quantiles(X),
    "calibrate": lambda net: net.calibrate(X, Y),
    "interval": lambda net: net.predict_interval(X),
    "keras": lambda net: net.to_keras(),
    "c": lambda net: net.to_c("nowhere"),
    "scikit-learn": lambda net: net.to_sklearn(),
    "Levenberg-Marquardt": lambda net: fastbp.levenberg_marquardt(net, X, Y),
    "residual": lambda net: fastbp.fit_residual(net, X, lambda *_: None),
    "backends": lambda net: fastbp.compare_backends([5, 4], X, Y, loss=TWO),
    "health": lambda net: fastbp.Health(X, Y).record(net),
}


@pytest.mark.parametrize("call", REFUSED.values(), ids=REFUSED)
def test_what_heads_cannot_do_is_refused(call):
    net = two()
    before = together(net)
    with pytest.raises(ValueError, match="has heads.*; ."):  # and says what to do
        call(net)
    assert np.array_equal(together(net), before)


def test_estimators_take_a_single_loss():
    for model in (fastbp.MLPRegressor(loss=TWO), fastbp.MLPRegressor(loss=tuple(TWO))):
        with pytest.raises(ValueError, match=r"takes a single loss.*Network"):
            model.fit(X, Y[1])


@pytest.mark.parametrize("which", HEADS)
def test_plots_need_a_single_loss(which):
    pytest.importorskip("matplotlib")
    net = make_heads(which)
    for display in (fastbp.ReliabilityDisplay, fastbp.IntervalDisplay):
        with pytest.raises(ValueError, match="single loss"):
            display.from_estimator(net, X, Y[0])

"""Update rules against PyTorch, scikit-learn and numbers worked out by hand."""

import warnings

import numpy as np
import pytest
from helpers import (
    OPTIMIZERS,
    copy_parameters,
    error,
    make_data,
    make_network,
    parameters,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import fastbp

pytestmark = pytest.mark.nojit

STEPS = 6
# float64 over STEPS steps, relative to the largest weight.
SAME = 1e-11


def torch_optimizers(torch, weights, biases):
    """The twins of helpers.OPTIMIZERS; AdamW does not decay the biases."""
    both = [*weights, *biases]
    optim = torch.optim
    groups = [{"params": weights}, {"params": biases, "weight_decay": 0.0}]
    o = OPTIMIZERS
    return {
        "sgd": lambda: optim.SGD(both, o["sgd"].learning_rate),
        "momentum": lambda: optim.SGD(both, o["momentum"].learning_rate, momentum=0.8),
        "nesterov": lambda: optim.SGD(
            both, o["nesterov"].learning_rate, momentum=0.7, nesterov=True
        ),
        "rmsprop": lambda: optim.RMSprop(both, o["rmsprop"].learning_rate, alpha=0.8, eps=1e-3),
        "adagrad": lambda: optim.Adagrad(both, o["adagrad"].learning_rate, eps=1e-3),
        "adam": lambda: optim.Adam(both, o["adam"].learning_rate, betas=(0.8, 0.95), eps=1e-3),
        "adamw": lambda: optim.AdamW(
            groups, o["adamw"].learning_rate, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.3
        ),
        "rprop": lambda: optim.Rprop(
            both, o["rprop"].learning_rate, etas=(0.4, 1.3), step_sizes=(0.01, 0.1)
        ),
    }


@pytest.mark.parametrize("l2", [0.0, 0.05])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_trajectory_of_pytorch(backend, name, l2):
    """The weights after every one of STEPS full-batch steps."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    X, y = make_data("squared_error", 20, 4, 2)
    net = make_network([4, 6, 2], "squared_error", backend)
    W = [torch.tensor(w, requires_grad=True) for w in net.weights]
    b = [torch.tensor(v, requires_grad=True) for v in net.biases]
    optimizer = torch_optimizers(torch, W, b)[name]()
    start = make_network([4, 6, 2], "squared_error", backend)
    for step in range(1, STEPS + 1):
        optimizer.zero_grad()
        s = torch.tanh(torch.tensor(X) @ W[0] + b[0]) @ W[1] + b[1]
        loss = ((s - torch.tensor(y)) ** 2).sum() / 2 / len(X)
        loss = loss + l2 / 2 * sum((w**2).sum() for w in W)
        loss.backward()
        optimizer.step()
        copy_parameters(start, net)
        history = net.fit(X, y, optimizer=OPTIMIZERS[name], epochs=step, batch_size=None, l2=l2)
        ref = np.concatenate([p.detach().numpy().ravel() for p in [*W, *b]])
        assert error(parameters(net), ref) < SAME, f"step {step}"
        assert history.loss[-1] == pytest.approx(loss.item(), rel=1e-11)


def sklearn_trajectory(model, X, y, net, epochs, **fit):
    """Train a scikit-learn model and a network from the same weights; their parameters after."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.set_params(max_iter=1, warm_start=True, shuffle=False)
        model.fit(X, y)  # makes weights, which are the start of both
        for i in range(len(net.weights)):
            net.weights[i], net.biases[i] = model.coefs_[i], model.intercepts_[i]
        model.set_params(max_iter=epochs, n_iter_no_change=10**6, tol=0.0)
        model.fit(X, y)
    net.fit(X, y, epochs=epochs, batch_size=model.batch_size, shuffle=False, **fit)
    ref = np.concatenate([a.ravel() for a in [*model.coefs_, *model.intercepts_]])
    return parameters(net), ref


@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.9, False), (0.8, True)])
@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_sgd_of_sklearn(backend, momentum, nesterov, alpha):
    """Mini-batches of the same size throughout, so that l2 = alpha / batch_size is one number."""
    X, y = make_data("squared_error", 30, 4, 2)
    model = MLPRegressor(
        hidden_layer_sizes=(7,),
        activation="tanh",
        solver="sgd",
        learning_rate_init=0.02,
        momentum=momentum,
        nesterovs_momentum=nesterov,
        alpha=alpha,
        batch_size=10,
        random_state=0,
    )
    net = make_network([4, 7, 2], "squared_error", backend)
    optimizer = fastbp.SGD(0.02, momentum=momentum, nesterov=nesterov)
    comp, ref = sklearn_trajectory(model, X, y, net, 5, optimizer=optimizer, l2=alpha / 10)
    assert error(comp, ref) < SAME


@pytest.mark.parametrize("loss, n_classes", [("log_loss", 2), ("cross_entropy", 3)])
def test_sgd_classifier_of_sklearn(backend, loss, n_classes):
    X, y = make_data("cross_entropy", 30, 4, n_classes)
    model = MLPClassifier(
        (7, 5), activation="relu", solver="sgd", alpha=0.0, batch_size=8, random_state=0
    )
    sizes = [4, 7, 5, 1 if loss == "log_loss" else n_classes]
    net = make_network(sizes, loss, backend, activation="relu")
    optimizer = fastbp.SGD(0.001, momentum=0.9, nesterov=True)
    comp, ref = sklearn_trajectory(model, X, y, net, 5, optimizer=optimizer)
    assert error(comp, ref) < SAME


@pytest.mark.parametrize("epsilon, epochs, tolerance", [(1e-15, 5, 1e-10), (1e-8, 300, 1e-6)])
def test_adam_of_sklearn(backend, epsilon, epochs, tolerance):
    """The same but for where epsilon is added (see Adam's docstring), hence the tolerances."""
    X, y = make_data("squared_error", 20, 3, 1)
    model = MLPRegressor(
        hidden_layer_sizes=(6,),
        activation="tanh",
        alpha=0.0,
        batch_size=20,
        epsilon=epsilon,
        random_state=0,
    )
    net = make_network([3, 6, 1], "squared_error", backend)
    comp, ref = sklearn_trajectory(
        model, X, y.ravel(), net, epochs, optimizer=fastbp.Adam(0.001, epsilon=epsilon)
    )
    assert error(comp, ref) < tolerance


# One weight w = 1 and a bias b = 0; x = 1 and y = -1 in squared_error give the gradient
# g = w + b + 1 for both of them. They move alike, so that b = w - 1 and g = 2 w.
HAND = [
    (fastbp.SGD(0.1), [0.8, 0.64]),  # g = 2, then 1.6
    (fastbp.SGD(0.1, momentum=0.5), [0.8, 0.54]),  # v = -0.2, then -0.1 - 0.16
    # v = -0.2, w = 1 - 0.1 - 0.2; g = 1.4, v = -0.1 - 0.14, w = 0.7 - 0.12 - 0.14
    (fastbp.SGD(0.1, momentum=0.5, nesterov=True), [0.7, 0.44]),
    (fastbp.Adam(0.1, epsilon=1e-30), [0.9]),  # m̂ / √v̂ = 1
    (fastbp.AdamW(0.1, epsilon=1e-30, weight_decay=0.5), [0.85]),  # 0.95 - 0.1
    (fastbp.RMSprop(0.1, decay=0.75, epsilon=1e-30), [0.8]),  # √v = 2 / 2
    (fastbp.Adagrad(0.1, epsilon=2.0), [0.95]),  # 0.1 · 2 / (2 + 2)
    (fastbp.Rprop(0.1, eta_plus=1.5), [0.9, 0.75]),  # same sign: 0.1, then 0.15
    (fastbp.Rprop(1.5, eta_minus=0.5), [-0.5, -0.5, 0.25]),  # g: 2, -1: no step, then back 0.75
]


@pytest.mark.parametrize("optimizer, expected", HAND, ids=lambda value: str(value)[:40])
def test_worked_by_hand(backend, optimizer, expected):
    for steps, w in enumerate(expected, 1):
        net = fastbp.Network([1, 1], loss="squared_error", dtype="float64", backend=backend)
        net.weights[0] = [[1.0]]
        net.fit([[1.0]], [-1.0], optimizer=optimizer, epochs=steps)
        assert net.weights[0][0, 0] == pytest.approx(w, rel=1e-12), f"step {steps}"


def test_state_starts_anew_with_each_fit(backend):
    """Two fits of one epoch are not one fit of two: momentum is not carried over."""
    X, y = make_data("squared_error", 8, 3, 1)
    options = {"optimizer": OPTIMIZERS["momentum"], "batch_size": None}
    twice, once = (make_network([3, 4, 1], "squared_error", backend) for _ in range(2))
    for _ in range(2):
        twice.fit(X, y, epochs=1, **options)
    once.fit(X, y, epochs=2, **options)
    assert error(parameters(twice), parameters(once)) > 1e-4


def test_adamw_spares_the_biases(backend):
    """Without a gradient, weights shrink by 1 - η λ a step and biases stay."""
    net = make_network([3, 4, 2], "squared_error", backend)
    ref = make_network([3, 4, 2], "squared_error", backend)
    X = make_data("squared_error", 6, 3, 2)[0]
    net.weights[1] = np.zeros((4, 2))
    y = np.tile(net.biases[1], (6, 1))
    net.fit(X, y, optimizer=fastbp.AdamW(0.1, weight_decay=0.5), epochs=2, batch_size=None)
    assert error(net.weights[0], ref.weights[0] * 0.95**2) < 1e-14
    for comp, b in zip(net.biases, ref.biases, strict=True):
        assert np.array_equal(comp, b)


def test_l2_spares_the_biases(backend):
    net = make_network([3, 4, 2], "squared_error", backend)
    ref = make_network([3, 4, 2], "squared_error", backend)
    X = make_data("squared_error", 6, 3, 2)[0]
    net.weights[1] = np.zeros((4, 2))
    y = np.tile(net.biases[1], (6, 1))
    history = net.fit(X, y, optimizer=fastbp.SGD(0.1), epochs=2, batch_size=3, l2=0.5)
    assert error(net.weights[0], ref.weights[0] * 0.95**4) < 1e-14
    for comp, b in zip(net.biases, ref.biases, strict=True):
        assert np.array_equal(comp, b)
    squares = (ref.weights[0] ** 2).sum() * (1 + 0.95**2) / 2
    assert history.loss[0] == pytest.approx(0.5 / 2 * squares, rel=1e-12)


TYPE, VALUE = "must be a number", r"must be in [\[(]"
HYPER_PARAMETERS = [
    (fastbp.SGD, {"learning_rate": 0}, ValueError, VALUE),
    (fastbp.SGD, {"learning_rate": -0.1}, ValueError, VALUE),
    (fastbp.SGD, {"learning_rate": float("nan")}, ValueError, VALUE),
    (fastbp.SGD, {"learning_rate": float("inf")}, ValueError, VALUE),
    (fastbp.SGD, {"learning_rate": 1e31}, ValueError, VALUE),
    (fastbp.SGD, {"learning_rate": "0.1"}, TypeError, TYPE),
    (fastbp.SGD, {"learning_rate": None}, TypeError, TYPE),
    (fastbp.SGD, {"learning_rate": True}, TypeError, TYPE),
    (fastbp.SGD, {"learning_rate": np.bool_(True)}, TypeError, TYPE),
    (fastbp.SGD, {"learning_rate": [0.1]}, TypeError, TYPE),
    (fastbp.SGD, {"learning_rate": 1j}, TypeError, TYPE),
    (fastbp.SGD, {"momentum": 1.0}, ValueError, VALUE),
    (fastbp.SGD, {"momentum": -0.1}, ValueError, VALUE),
    (fastbp.SGD, {"momentum": "most"}, TypeError, TYPE),
    (fastbp.SGD, {"nesterov": True}, ValueError, "needs momentum > 0"),
    (fastbp.SGD, {"nesterov": 1, "momentum": 0.5}, TypeError, "must be True or False"),
    (fastbp.RMSprop, {"learning_rate": 0}, ValueError, VALUE),
    (fastbp.RMSprop, {"decay": 1}, ValueError, VALUE),
    (fastbp.RMSprop, {"epsilon": 0}, ValueError, VALUE),
    (fastbp.RMSprop, {"epsilon": 1e-40}, ValueError, VALUE),
    (fastbp.Adagrad, {"learning_rate": -1}, ValueError, VALUE),
    (fastbp.Adagrad, {"epsilon": -1e-8}, ValueError, VALUE),
    (fastbp.Adam, {"learning_rate": float("-inf")}, ValueError, VALUE),
    (fastbp.Adam, {"beta_1": 1.0}, ValueError, VALUE),
    (fastbp.Adam, {"beta_2": 1.1}, ValueError, VALUE),
    (fastbp.Adam, {"beta_2": float("nan")}, ValueError, VALUE),
    (fastbp.Adam, {"beta_1": (0.9, 0.99)}, TypeError, TYPE),
    (fastbp.Adam, {"epsilon": 0.0}, ValueError, VALUE),
    (fastbp.AdamW, {"weight_decay": -0.1}, ValueError, VALUE),
    (fastbp.AdamW, {"weight_decay": float("inf")}, ValueError, VALUE),
    (fastbp.AdamW, {"beta_1": -0.1}, ValueError, VALUE),
    (fastbp.Rprop, {"learning_rate": 0}, ValueError, VALUE),
    (fastbp.Rprop, {"eta_minus": 1.0}, ValueError, VALUE),
    (fastbp.Rprop, {"eta_minus": 0.0}, ValueError, VALUE),
    (fastbp.Rprop, {"eta_plus": 1.0}, ValueError, VALUE),
    (fastbp.Rprop, {"smallest_step": 0.0}, ValueError, VALUE),
    (fastbp.Rprop, {"smallest_step": 1.0, "largest_step": 0.5}, ValueError, "is above"),
]


@pytest.mark.parametrize("optimizer, given, exception, message", HYPER_PARAMETERS)
def test_absurd_hyper_parameters(optimizer, given, exception, message):
    with pytest.raises(exception, match=message) as caught:
        optimizer(**given)
    assert optimizer.__name__ in str(caught.value)
    assert any(name in str(caught.value) for name in given)


def test_hyper_parameters_may_be_of_any_number_type(backend):
    """NumPy scalars and integers, as grids of parameters have them."""
    X, y = make_data("squared_error", 8, 3, 1)
    ref, comp = (make_network([3, 4, 1], "squared_error", backend) for _ in range(2))
    ref.fit(X, y, optimizer=fastbp.SGD(1.0, momentum=0.5), epochs=1, l2=1.0)
    optimizer = fastbp.SGD(np.int64(1), momentum=np.float32(0.5))
    comp.fit(X, y, optimizer=optimizer, epochs=np.int32(1), l2=np.float32(1))
    assert np.array_equal(parameters(comp), parameters(ref))


def test_optimizers_are_values():
    """Equal if their numbers are, and not to be changed."""
    assert fastbp.Adam(0.1) == fastbp.Adam(0.1) != fastbp.Adam(0.2)
    with pytest.raises(AttributeError):
        fastbp.Adam().learning_rate = 1


@pytest.mark.parametrize("optimizer", [fastbp.Adam(0.01), fastbp.RMSprop(0.01)])
@pytest.mark.parametrize("size", [1e-26, 1e-20, 1e-17, 1e-12])
def test_weights_that_a_penalty_made_vanish(optimizer, size, twins):
    """Of an input that is always 0: what remains of them is too little to be squared in float32."""
    X, y = make_data("squared_error", 16, 3, 1)
    X[:, 0] = 0
    left = []
    for backend in (*twins, "numpy"):
        net = make_network([3, 2, 1], "squared_error", backend, "float32")
        net.weights[0][0] = [size, -size]
        net.fit(X, y, optimizer=optimizer, epochs=5, batch_size=None, l2=0.5)
        left.append(net.weights[0][0].copy())
    np.testing.assert_array_equal(left[0], left[1])
    np.testing.assert_allclose(left[0], left[2], rtol=1e-4)
    assert left[0][0] == -left[0][1] != 0


@pytest.mark.parametrize(
    "optimizer", [fastbp.Adam(), fastbp.AdamW(), fastbp.RMSprop(), fastbp.Adagrad()]
)
@pytest.mark.parametrize("dtype, large", [("float32", 1e25), ("float64", 1e200)])
def test_a_squared_gradient_that_overflows_makes_no_step(backend, dtype, large, optimizer):
    """An average of infinity divides the step to 0, as in NumPy's and scikit-learn's formulas."""
    net = fastbp.Network(
        [1, 1], loss="huber", loss_parameter=1e10, dtype=dtype, seed=0, backend=backend
    )
    before = net.weights[0][0, 0]
    net.fit_step([[large / 1e10]], [[0.0]], optimizer=optimizer)
    expected = before
    if isinstance(optimizer, fastbp.AdamW):
        expected -= optimizer.learning_rate * optimizer.weight_decay * before
    np.testing.assert_allclose(net.weights[0][0, 0], expected, rtol=1e-6)

"""`monotonic_cst`: the output rises or falls with a feature for every weight training can reach."""

import copy
import pickle

import numpy as np
import pytest
from helpers import OPTIMIZERS, error, flat, parameters

import fastbp
from fastbp.backends.numpy_.elementwise import ACTIVATIONS
from fastbp.basis import monotonic, spec

CST = [1, -1, 0]
rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (60, 3))
# Against the constraints everywhere, so that training meets them.
AGAINST = -2 * X[:, 0] + X[:, 1] + np.sin(2 * X[:, 2])


def make(sizes=(3, 6, 5, 1), cst=CST, **options):
    options = {"activation": "tanh", "loss": "squared_error", "dtype": "float64", **options}
    return fastbp.Network(sizes, monotonic_cst=cst, seed=1, **options)


def jacobian_bounds(net):
    """Bounds of ∂s_m/∂x over all x: interval products of the weights with slopes in [0, largest].

    They hold for every x, whatever the pre-activations are.
    """
    low = high = np.ones(1)
    for i in range(len(net.weights) - 1, -1, -1):
        W = net.weights[i].astype(np.float64)
        ends = np.stack([low * W, high * W])
        low, high = ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)
        if i > 0:
            largest = spec.activation_of(net.layout.activations[i - 1]).largest_slope
            low, high = np.minimum(low, 0) * largest, np.maximum(high, 0) * largest
    return low, high


def is_monotonic(net, cst=CST):
    low, high = jacobian_bounds(net)
    cst = np.array(cst)
    return bool((low[cst == 1] >= 0).all() and (high[cst == -1] <= 0).all())


def ascend(net, **options):
    """A few epochs towards targets that are against the constraints."""
    options = {"epochs": 8, "batch_size": 16, "optimizer": fastbp.Adam(0.05), **options}
    return net.fit(X, AGAINST, **options)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_leaves_the_constraints(backend, optimizer):
    batch_size = None if optimizer == "rprop" else 16
    net = make(backend=backend)
    assert is_monotonic(net)
    before = net.weights[0][2].copy()
    ascend(net, optimizer=OPTIMIZERS[optimizer], batch_size=batch_size)
    assert is_monotonic(net)
    assert (net.weights[0][:2] == 0).any()  # the constraints were at work
    assert (net.weights[0][2] != before).all()
    free = make(cst=None, backend=backend)
    ascend(free, optimizer=OPTIMIZERS[optimizer], batch_size=batch_size)
    assert not is_monotonic(free)


def test_compiled_backends_give_the_same_bits_and_numpy_the_same_numbers(twins):
    found = []
    for backend, threads in ((twins[0], 1), (twins[0], 3), (twins[1], 2)):
        net = make(backend=backend, sizes=(3, 37, 20, 1))
        ascend(net, threads=threads, average=fastbp.EMA(0.9), clip_norm=1.0, l1=1e-3)
        found.append(parameters(net))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    reference = make(backend="numpy", sizes=(3, 37, 20, 1))
    ascend(reference, average=fastbp.EMA(0.9), clip_norm=1.0, l1=1e-3)
    assert error(found[0], parameters(reference)) < 1e-9
    assert is_monotonic(reference)


def test_a_step_by_hand(backend):
    net = fastbp.Network(
        [2, 1], loss="squared_error", dtype="float64", monotonic_cst=[1, -1], backend=backend
    )
    net.weights[0] = [[0.25], [-1.0]]
    net.fit_step([[1.0, 1.0]], [-1.75], optimizer=fastbp.SGD(0.5))  # h - y = 1
    assert net.weights[0].ravel().tolist() == [0.0, -1.5]  # 0.25 - 0.5 would be negative
    assert net.biases[0].tolist() == [-0.5]


def test_every_way_of_training_keeps_them(backend):
    def by_gradient(net):
        for _ in range(5):
            _, gradient = net.loss_and_gradient(X, AGAINST)
            net.apply_gradient(gradient, optimizer=fastbp.SGD(0.3))

    def by_steps(net):
        for _ in range(5):
            net.fit_step(X, AGAINST, optimizer=fastbp.SGD(0.3), frozen=[1])

    dy = np.array([-2.0, 1.0, np.nan]) * np.ones((60, 3))
    ways = {
        "gradient": by_gradient,
        "step": by_steps,
        "batches": lambda net: net.fit_batches([(X, AGAINST)] * 5, optimizer=fastbp.Adam(0.05)),
        "swa": lambda net: ascend(net, average=fastbp.SWA(start=2)),
        "early stopping": lambda net: ascend(net, validation_data=(X, AGAINST), patience=2),
        "derivatives": lambda net: ascend(net, dy=dy),
        "many": lambda net: fastbp.fit_many([net], X, AGAINST, epochs=5, threads=1),
        "levenberg": lambda net: fastbp.levenberg_marquardt(net, X, AGAINST, max_evaluations=8),
    }
    for name, train in ways.items():
        net = make(backend=backend)
        start = parameters(net)
        train(net)
        assert is_monotonic(net), name
        assert not np.array_equal(parameters(net), start), name


def test_lbfgs_of_residuals_keeps_them():
    def residual(x, h, dh, d2h):  # dh/dx_0 = -1, against the constraint
        return dh[:, 0, :1] + 1, None, np.array([1.0, 0, 0]).reshape(1, 1, 1, 3), None

    net = make()
    fastbp.fit_residual(net, X, residual, optimizer="lbfgs", epochs=20)
    assert is_monotonic(net)
    slopes = net.input_jacobian(X)[:, 0, 0]
    assert slopes.min() >= 0
    assert slopes.max() < 1e-3  # the flattest that is allowed


def test_least_squares_ends_at_the_bounded_minimum():
    scipy = pytest.importorskip("scipy.optimize")
    net = fastbp.Network([3, 1], loss="squared_error", dtype="float64", monotonic_cst=CST, seed=0)
    fastbp.levenberg_marquardt(net, X, AGAINST)
    A = np.hstack([X, np.ones((60, 1))])
    bounds = ([0, -np.inf, -np.inf, -np.inf], [np.inf, 0, np.inf, np.inf])
    expected = scipy.lsq_linear(A, AGAINST, bounds, tol=1e-14).x
    assert error(parameters(net), expected) < 1e-5


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_shapes_that_are_neither_convex_nor_concave(activation):
    x = np.random.default_rng(0).uniform(-2, 2, (81, 1))
    y = np.tanh(4 * (x - 1)) + np.tanh(4 * (x + 1))  # two stairs
    net = fastbp.Network(
        [1, 32, 32, 1], activation=activation, loss="squared_error", monotonic_cst=[1], seed=0
    )
    net.fit(x, y, epochs=400, batch_size=27, optimizer=fastbp.Adam(0.01), schedule="cosine")
    assert np.abs(net.predict(x) - y).max() < 0.2  # of 4
    assert (np.diff(net.predict(np.linspace(-3, 3, 2000).reshape(-1, 1)), axis=0) >= -1e-6).all()


def test_free_features_may_have_any_shape():
    x = np.linspace(-2, 2, 81).reshape(-1, 1)
    inputs = np.hstack([x, np.zeros_like(x)])
    net = fastbp.Network(
        [2, 32, 32, 1], activation="relu", loss="squared_error", monotonic_cst=[0, 1], seed=0
    )
    net.fit(
        inputs,
        np.cos(3 * x),
        epochs=400,
        batch_size=27,
        optimizer=fastbp.Adam(0.01),
        schedule="cosine",
    )
    assert np.abs(net.predict(inputs) - np.cos(3 * x)).max() < 0.1


def test_initial_outputs_do_not_grow_with_the_width():
    spread = [
        fastbp.Network([3, n, n, n, 1], loss="squared_error", monotonic_cst=[1, 1, 1], seed=0)
        .predict(X)
        .std()
        for n in (16, 256)
    ]
    assert 0.3 < spread[1] / spread[0] < 3


def test_the_table_of_rising_activations():
    s = np.linspace(-30, 30, 20001)
    for name, activation in spec.ACTIVATIONS.items():
        functions = ACTIVATIONS[activation.code]
        slopes = functions.derivative(s, functions.value(s)) * np.ones_like(s)
        assert (slopes >= 0).all() == (name in monotonic.RISING), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cst": [1, 0]}, r"monotonic_cst must have shape \(3,\), got \(2,\)"),
        ({"cst": [1, 0, 2]}, r"-1 \(falling\) or 0 \(free\).*is 2 for feature 2"),
        ({"cst": [1, 0, 0.5]}, "is 0.5 for feature 2"),
        ({"cst": [1, 0, np.nan]}, "nan"),
        ({"cst": {"a": 1}}, "features have no names"),
        ({"cst": "101"}, "monotonic_cst"),
        ({"sizes": (3, 4, 2)}, "single output.*this network has 2"),
        ({"activation": "gelu"}, "never fall, but 'gelu'"),
        ({"activation": ["tanh", "sin"]}, "never fall, but 'sin'"),
        ({"output_activation": "silu"}, "never fall, but 'silu'"),
        ({"activation": fastbp.Activation(np.sin, np.cos)}, "never fall"),
    ],
)
def test_refusals(options, said):
    with pytest.raises((ValueError, TypeError), match=said):
        make(**options)


def test_all_features_free_is_no_constraint():
    net = make(cst=[0, 0, 0], sizes=(3, 4, 2), activation="gelu")
    assert net.monotonic_cst is None
    assert "monotonic" not in repr(net) + str(net.summary())


def test_weights_of_a_wrong_sign_are_refused():
    net = make()
    before = parameters(net)
    wrong = -net.weights[1]
    with pytest.raises(ValueError, match=r"weights\[1\]\[0, 0\] is .* needs it to be at least 0"):
        net.weights[1] = wrong
    with pytest.raises(ValueError, match="monotonic_cst"):
        net.blend(make(cst=None), 1.0)
    with pytest.raises(ValueError, match="monotonic_cst"):
        net.blend(make(cst=[-1, 1, 0]), 0.75)
    assert np.array_equal(parameters(net), before)
    net.weights[0][2] *= -1  # free
    net.predict(X)
    net.weights[0][1, 0] = 1.0
    for call in (lambda: net.predict(X), lambda: ascend(net), lambda: net.save("nowhere")):
        with pytest.raises(ValueError, match=r"weights\[0\]\[1, 0\] is 1, but monotonic_cst"):
            call()


def test_blends_of_constrained_networks():
    net, other = make(), make()
    ascend(other)
    net.blend(other, 0.3)
    assert is_monotonic(net)


def test_copies_and_files_keep_the_constraint(tmp_path):
    net = make(dtype="float32", activation="relu")
    ascend(net)
    net.save(tmp_path / "net.safetensors")
    copies = {
        "file": fastbp.Network.load(tmp_path / "net.safetensors"),
        "pickle": pickle.loads(pickle.dumps(net)),
        "copy": copy.copy(net),
        "deepcopy": copy.deepcopy(net),
        "backend": net.to_backend("numpy"),
    }
    for name, other in copies.items():
        assert other.monotonic_cst == (1, -1, 0), name
        assert np.array_equal(other.predict(X), net.predict(X)) or name == "backend"
        ascend(other)
        assert is_monotonic(other), name
    assert "monotonic_cst=[1, -1, 0]" in repr(net)
    assert "monotonic in 2 of 3 features" in str(net.summary())


def test_a_checkpoint_keeps_the_constraint(tmp_path):
    whole = make()
    ascend(whole, epochs=4)
    checkpoint = fastbp.Checkpoint(tmp_path)
    ascend(make(), epochs=2, callbacks=[checkpoint])
    resumed = make()
    ascend(resumed, epochs=4, resume_from=checkpoint.newest())
    assert np.array_equal(parameters(resumed), parameters(whole))
    with pytest.raises(ValueError, match="differs in monotonic_cst"):
        ascend(make(cst=None), epochs=4, resume_from=checkpoint.newest())


def test_a_file_against_its_constraint_is_refused(tmp_path):
    net = make()
    net._engine.weights[0][0, 0] *= -1
    net._engine.check_signs = lambda whose: None
    net.save(tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match=r"weights\[0\]\[0, 0\].*monotonic_cst"):
        fastbp.Network.load(tmp_path / "net.safetensors")


def test_exported_networks_predict_the_same(tmp_path):
    torch = pytest.importorskip("torch")
    net = make(dtype="float32")
    ascend(net)
    module = net.to_torch()
    inputs = torch.tensor(X, dtype=torch.float32)
    assert error(module(inputs).detach().numpy(), net.predict(X)) < 1e-5
    back = fastbp.Network.from_torch(module)
    assert back.monotonic_cst is None
    assert np.array_equal(flat(back.weights), flat(net.weights))
    written = net.to_c(tmp_path, "net", weights="int8")
    assert is_monotonic(written)

"""`Network` with a norm, residual layers and prelu: arguments, attributes, copies, refusals."""

import copy
import pickle

import numpy as np
import pytest
from layer_helpers import LAYERS, LISTS, arrays_of, make_layers, together

import fastbp
from fastbp.basis import spec

WIDTHS = [3, 6, 6, 5, 2]


def make(which="all", backend="numpy", widths=WIDTHS, **how):
    return make_layers(which, widths, "squared_error", backend, **how)


def data(n=9):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 3)), rng.standard_normal((n, 2))


@pytest.mark.parametrize("norm", ["layer", "rms"])
def test_the_equations(backend, norm):
    """Worked by hand for one row: s = (1, 5), mean 3, deviation 2, root of the mean square √13."""
    how = dict(norm=norm, loss="squared_error", dtype="float64", backend=backend)
    net = fastbp.Network([1, 2, 1], activation="identity", **how)
    net.weights[0], net.biases[0] = [[1.0, 3.0]], [0.0, 2.0]
    net.norm_weights[0], net.weights[1] = [10.0, 100.0], [[1.0], [1.0]]
    x, eps = np.array([1.0, 5.0]), spec.NORM_EPSILON
    if norm == "layer":
        net.norm_biases[0] = [0.5, 0.25]
        expected = 0.75 + (10 * -2 + 100 * 2) / np.sqrt(4 + eps)
    else:
        expected = (10 * 1 + 100 * 5) / np.sqrt((x @ x) / 2 + eps)
    assert net.predict([[1.0]]).item() == pytest.approx(expected, rel=1e-14)


@pytest.mark.nojit
def test_residual_layers_by_hand(backend):
    """Only the second hidden layer is as wide as the one before; the input does not count."""
    sizes = [2, 2, 2, 3, 1]
    how = dict(loss="squared_error", dtype="float64", backend=backend, residual=True)
    net = fastbp.Network(sizes, activation="identity", seed=0, **how)
    X = np.array([[1.0, -2.0], [0.5, 3.0]])
    first = X @ net.weights[0]
    second = first @ net.weights[1] + first
    third = second @ net.weights[2]
    outputs = net.layer_outputs(X)
    for found, expected in zip(
        outputs, [first, second, third, third @ net.weights[3]], strict=True
    ):
        assert np.allclose(found, expected, rtol=1e-14, atol=0)
    assert net.layout.residual_layers == [2]


def test_prelu_keeps_what_is_positive(backend):
    how = dict(activation="prelu", loss="squared_error", dtype="float64", backend=backend)
    net = fastbp.Network([1, 2, 1], **how)
    net.weights[0], net.weights[1] = [[1.0, -1.0]], [[1.0], [10.0]]
    assert net.predict([[4.0]]).item() == 4 - 10 * 0.25 * 4
    net.slopes[0] = [0.0, -2.0]
    assert net.predict([[4.0], [-1.0]]).ravel().tolist() == [4 + 80, 10]


def test_initial_values():
    how = dict(loss="squared_error", seed=0, backend="numpy")
    net = fastbp.Network(WIDTHS, norm="layer", activation=["prelu", "relu", "prelu"], **how)
    assert [a.shape for a in net.norm_weights] == [a.shape for a in net.norm_biases]
    assert [a.shape for a in net.slopes] == [(6,), (0,), (5,)]
    for arrays, value in ((net.norm_weights, 1), (net.norm_biases, 0), (net.slopes, 0.25)):
        assert all((array == value).all() for array in arrays)
    plain = fastbp.Network(WIDTHS, **how)
    assert all(np.array_equal(*pair) for pair in zip(net.weights, plain.weights, strict=True))
    assert [len(getattr(plain, name)) for name in LISTS] == [4, 4, 0, 0, 0]
    assert len(fastbp.Network(WIDTHS, norm="rms", **how).norm_biases) == 0


@pytest.mark.parametrize("which", LAYERS)
def test_counts_cover_all_arrays(which):
    net = make(which)
    assert net.layout.n_numbers == sum(array.size for array in arrays_of(net))
    X, y = data()
    flat = net._engine.per_sample(net._engine.data(X, y), gradients=True).gradients
    assert flat.shape == (9, net.layout.n_numbers)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": "batch"}, 'norm must be None, "layer" or "rms", got \'batch\''),
        ({"norm": 1}, "norm must be None"),
        ({"norm": ["layer"]}, "norm must be None"),
        ({"norm": "layer", "layer_sizes": [3, 2]}, "layer_sizes has none"),
        ({"residual": True, "layer_sizes": [3, 4, 5, 2]}, "has no such layer"),
        ({"residual": True, "layer_sizes": [4, 4, 4]}, "has no such layer"),
        ({"residual": True, "layer_sizes": [4, 4]}, "has no such layer"),
        ({"output_activation": "prelu"}, "unknown output_activation 'prelu'"),
    ],
)
def test_wrong_arguments(wrong, message):
    given = {"layer_sizes": WIDTHS, "loss": "squared_error", **wrong}
    with pytest.raises(ValueError, match=message):
        fastbp.Network(given.pop("layer_sizes"), **given)


def test_residual_is_a_flag():
    with pytest.raises(TypeError, match="residual must be True or False, got 'yes'"):
        fastbp.Network(WIDTHS, loss="squared_error", residual="yes")


def test_assigned_arrays_are_checked():
    net = make()
    with pytest.raises(ValueError, match=r"norm_weights\[1\]"):
        net.norm_weights[1] = np.ones(5)
    with pytest.raises(ValueError, match=r"slopes\[0\]"):
        net.slopes[0] = [np.nan] * 6
    net.norm_biases[2][0] = np.inf
    with pytest.raises(ValueError, match=r"norm_biases\[2\]"):
        net.predict(np.zeros((1, 3)))


def test_the_names_are_shown():
    net = make()
    assert "norm='layer', residual=True" in repr(net)
    assert (net.norm, net.residual) == ("layer", True)
    assert "norm" not in repr(make({"activation": "tanh"}))


@pytest.mark.parametrize("which", ["all", "mixed"])
def test_copies_own_their_parameters(which):
    net = make(which)
    before, X = together(net), data()[0]
    for other in (copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert np.array_equal(together(other), before)
        assert np.array_equal(other.predict(X), net.predict(X))
        for array in arrays_of(other):
            array[...] += 1
        assert np.array_equal(together(net), before)


def test_conversion_to_other_backends_and_dtypes(compiled):
    net, X = make("mixed"), data()[0]
    assert np.allclose(net.to_backend(compiled).predict(X), net.predict(X), rtol=1e-13, atol=1e-14)
    single = net._converted("float32", "numpy")
    assert single.layout.dtype == np.float32
    assert np.allclose(together(single), together(net), rtol=1e-6)
    assert np.allclose(single.predict(X), net.predict(X), rtol=1e-3, atol=1e-4)


# Gradients.


def test_a_gradient_unpacks_into_two():
    net = make()
    X, y = data()
    _, gradient = net.loss_and_gradient(X, y)
    dW, db = gradient
    assert dW is gradient.weights and db is gradient.biases and len(gradient) == 2
    for one, array in zip(arrays_of(gradient), arrays_of(net), strict=True):
        assert one.shape == array.shape
    again = pickle.loads(pickle.dumps(gradient))
    assert np.array_equal(together(again), together(gradient))
    assert "norm_weights=" in repr(gradient)
    plain = fastbp.Gradient([[[1.0]]], [[0.0]])
    assert repr(plain) == "Gradient(weights=[[[1.0]]], biases=[[0.0]])"
    assert (plain.norm_weights, plain.norm_biases, plain.slopes) == ([], [], [])


def test_steps_from_outside_are_those_of_fit_step(backend):
    net, other = make("all", backend), make("all", backend)
    X, y = data()
    for _ in range(3):
        net.fit_step(X, y, optimizer="adam", clip_norm=0.1)
        other.apply_gradient(other.loss_and_gradient(X, y)[1], optimizer="adam", clip_norm=0.1)
    assert np.array_equal(together(net), together(other))
    assert not np.array_equal(together(net), together(make("all", backend)))


def test_gradients_of_other_networks_are_refused():
    net = make()
    _, gradient = net.loss_and_gradient(*data())
    before = together(net)
    pair = fastbp.Gradient(*gradient)
    with pytest.raises(ValueError, match=r"norm_weights must be a list of 3 .* each hidden layer"):
        net.apply_gradient(pair)
    bad = fastbp.Gradient(*gradient, gradient.norm_weights, gradient.norm_biases, [np.ones(2)] * 3)
    with pytest.raises(ValueError, match=r"slopes\[0\]"):
        net.apply_gradient(bad)
    plain = make({"activation": "tanh"})
    with pytest.raises(ValueError, match="norm_weights must be a list of 0"):
        plain.apply_gradient(gradient)
    assert np.array_equal(together(net), before)


# What blends, and what is not computed.


def test_blend():
    net, other = make(), make(seed=5)
    expected = (together(net) + 3 * together(other)) / 4
    net.blend(other, 0.75)
    assert np.allclose(together(net), expected, rtol=1e-14)
    for which in ("rms", "prelu", {"norm": "layer"}):
        with pytest.raises(ValueError, match="same norm and layers with prelu"):
            net.blend(make(which), 0.5)


def residual(x, h, dh, d2h):
    """h_1 + 0.3 ∂²h_1/∂x_1² - ∂h_0/∂x_2 = 0."""
    n = len(x)
    by_h, by_dh, by_d2h = np.zeros((n, 1, 2)), *np.zeros((2, n, 1, 2, 3))
    by_h[:, 0, 1], by_dh[:, 0, 0, 2], by_d2h[:, 0, 1, 1] = 1, -1, 0.3
    return (h[:, 1] + 0.3 * d2h[:, 1, 1] - dh[:, 0, 2])[:, None], by_h, by_dh, by_d2h


def steps(backend, which, dtype="float64"):
    """All parameters after trainings on derivatives, and the losses."""
    net, (X, y) = make(which, backend, dtype=dtype), data()
    dy = np.random.default_rng(3).standard_normal((9, 2, 3))
    dy[2:4, 1] = np.nan
    how = dict(optimizer=fastbp.SGD(0.05, momentum=0.5), batch_size=4, epochs=8)
    one = net.fit(X, y, dy=dy, derivative_weight=0.2, **how)
    other = fastbp.fit_residual(net, X, residual, boundary=(X, y), **how)
    return together(net), [one.loss, other.loss]


@pytest.mark.parametrize("which", ["layer", "smooth rms", "mixed"])
def test_trainings_on_derivatives(compiled, which):
    ref, losses = steps("numpy", which)
    comp, same = steps(compiled, which)
    assert np.allclose(comp, ref, rtol=1e-9, atol=1e-11) and np.allclose(same, losses, rtol=1e-10)
    assert all(loss[-1] < loss[0] for loss in losses)


def test_trainings_on_derivatives_have_the_same_bits(twins):
    found = [steps(backend, "all", "float32") for backend in twins]
    assert np.array_equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]


def test_a_normalised_network_solves_an_equation(backend):
    """h' = h with h(0) = 1, whose solution is exp(x)."""
    how = dict(norm="layer", residual=True, activation="tanh", dtype="float64", seed=0)
    net = fastbp.Network([1, 6, 6, 1], loss="squared_error", backend=backend, **how)
    x = np.linspace(0, 1, 20).reshape(-1, 1)
    one = np.ones((1, 1, 1, 1))
    how = dict(boundary=([[0.0]], [1.0]), optimizer="lbfgs", epochs=150)
    fastbp.fit_residual(net, x, lambda x, h, dh, d2h: (dh[:, :, 0] - h, -one[0], one, None), **how)
    assert np.abs(net.predict(x) - np.exp(x)).max() < 1e-2


@pytest.mark.parametrize("which", ["layer", "mixed"])
def test_first_derivatives_by_the_input(backend, which):
    net, X = make(which, backend), data()[0]
    J = net.input_jacobian(X)
    step = 1e-6
    for j in range(3):
        moved = X.copy(), X.copy()
        moved[0][:, j] += step
        moved[1][:, j] -= step
        slopes = (net.predict(moved[0]) - net.predict(moved[1])) / (2 * step)
        assert np.allclose(J[:, :, j], slopes, rtol=1e-6, atol=1e-8)
    t = np.random.default_rng(1).standard_normal(X.shape)
    assert np.allclose(net.input_jvp(X, t), np.einsum("rkj,rj->rk", J, t), rtol=1e-13)


def test_rounded_products(compiled):
    """Only products with weights are rounded, in all backends alike."""
    found = []
    for backend in (compiled, "numpy"):
        how = dict(loss="squared_error", compute_dtype="bfloat16", seed=0, backend=backend)
        net = fastbp.Network([3, 6, 6, 2], norm="layer", residual=True, activation="prelu", **how)
        X, y = data()
        found.append([net.predict(X), together(net.loss_and_gradient(X, y)[1])])
    for one, other in zip(*found, strict=True):
        assert np.allclose(one, other, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("which", ["layer", "prelu", "all"])
def test_integrated_gradients_add_up(which):
    net, X = make(which), data(3)[0]
    baseline = np.array([0.3, -0.2, 0.1])
    found = net.integrated_gradients(X, baseline=baseline)
    expected = net.predict(X) - net.predict(baseline[None])
    assert np.allclose(found.sum(axis=2), expected, rtol=1e-6, atol=1e-9)


def test_residual_layers_behind_sparse_samples(backend):
    from scipy.sparse import csr_matrix

    X, y = data()
    found = []
    for samples in (X, csr_matrix(X)):
        net = make("residual", backend)
        net.fit(samples, y, epochs=2, shuffle=False)
        found.append(together(net))
    assert np.allclose(*found, rtol=1e-12, atol=1e-14)

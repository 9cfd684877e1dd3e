"""Output activations that the loss does not imply: the chain rule ∂e/∂s = ∂e/∂h σ'(s)."""

import copy
import pickle

import numpy as np
import pytest
from gradient_helpers import DIFFERENCES, finite_differences, torch_network
from helpers import DTYPES, error, flat, gradient_of, make_data, make_network, parameters
from output_helpers import PAIRS, SOME_PAIRS, pair_network, pair_problem, torch_pair

import fastbp
from fastbp.basis import spec
from fastbp.study.gradcheck import check_gradients

SIZES = [(3, 5, 2), (4, 1), (3, 4, 1), (2, 6, 17)]


def squared(h, y):
    return ((h - y) ** 2).sum(axis=1) / 2, h - y


@pytest.mark.parametrize(("loss", "output"), PAIRS)
def test_autograd(backend, loss, output):
    """Output, loss, and derivatives by weights and inputs are PyTorch's."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y = pair_problem(loss, output, backend)
    s_of, leaves = torch_network(torch, net)
    features = torch.tensor(X, requires_grad=True)
    e, h = torch_pair(torch, loss, output, s_of(features), y)
    e.mean().backward()
    assert error(net.predict(X), h.detach()) < 1e-13
    assert net.loss_and_gradient(X, y)[0] == pytest.approx(e.mean().item(), rel=1e-13)
    assert error(gradient_of(net, X, y), flat([leaf.grad.numpy() for leaf in leaves])) < 1e-12
    assert error(net.input_gradient(X, y), len(X) * features.grad.numpy()) < 1e-12


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_finite_differences(backend, loss, output):
    net, X, y = pair_problem(loss, output, backend)
    w = np.linspace(0, 2, len(X))
    assert error(gradient_of(net, X, y, w), finite_differences(net, X, y, w)) < DIFFERENCES
    own = net.per_sample_gradients(X, y)
    mean = flat([a.mean(axis=0) for a in [*own.weights, *own.biases]])
    assert error(mean, gradient_of(net, X, y)) < 1e-13


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_compiled_ones_equal_the_reference(compiled, loss, output, sizes, dtype):
    X, y = make_data(loss, 40, sizes[0], sizes[-1])
    ref, comp = (pair_network([*sizes], loss, output, name, dtype) for name in ("numpy", compiled))
    near = 1e-5 if dtype == "float32" else 1e-13
    assert error(comp.predict(X), ref.predict(X)) < near
    assert error(gradient_of(comp, X, y), gradient_of(ref, X, y)) < near
    assert error(comp.input_gradient(X, y), ref.input_gradient(X, y)) < near
    for net in (ref, comp):
        net.fit(X, y, epochs=3, batch_size=16, optimizer=fastbp.SGD(0.01))
    assert error(parameters(comp), parameters(ref)) < 10 * near


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "output"), [*SOME_PAIRS, ("squared_error", "gelu")])
def test_twins_give_the_same_bits(twins, loss, output, dtype):
    """For any number of threads, and in blocks of rows."""
    for sizes, n, batch in [((5, 9, 3), 50, 16), ((3, 8, 1), 3000, 3000)]:
        X, y = make_data(loss, n, sizes[0], sizes[-1])
        w, results = np.arange(n) % 4, []
        for name in twins:
            for threads in (1, 2):
                net = pair_network([*sizes], loss, output, name, dtype)
                p = net.forward(X)
                found = [
                    p.output,
                    net.predict(X),
                    net.input_gradient(X, y),
                    p.backward(p.output)[1],
                ]
                options = dict(batch_size=batch, optimizer=fastbp.SGD(0.01), sample_weight=w)
                net.fit(X, y, epochs=2, threads=threads, **options)
                results.append(b"".join(a.tobytes() for a in [*found, parameters(net)]))
        assert len(set(results)) == 1


@pytest.mark.parametrize("output", ["sigmoid", "tanh", "softplus", "silu"])
def test_a_function_as_loss(backend, output):
    """Of the output, whatever activation it has."""
    own, named = (
        make_network([3, 5, 2], loss, backend, output_activation=output)
        for loss in (squared, "squared_error")
    )
    X, y = make_data("squared_error", 8, 3, 2)
    for net in (own, named):
        net.fit(X, y, epochs=2, batch_size=4)
    assert error(parameters(own), parameters(named)) < 1e-13
    assert error(own.predict(X), named.predict(X)) < 1e-13


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        ("log_loss", "sigmoid"),
        ("cross_entropy", "softmax"),
        ("squared_error", "identity"),
        ("poisson", "exp"),
    ],
)
def test_to_name_the_canonical_one_changes_nothing(backend, loss, output):
    plain, named = (
        make_network([3, 5, 2], loss, backend, output_activation=given) for given in (None, output)
    )
    X, y = make_data(loss, 8, 3, 2)
    assert plain.layout == named.layout and repr(plain) == repr(named)
    assert plain.output_activation == named.output_activation == output
    for net in (plain, named):
        net.fit(X, y, epochs=2)
    assert parameters(plain).tobytes() == parameters(named).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 3])
def test_poisson_of_rates_that_are_not_positive(backend, k, dtype):
    """The loss is NaN, never a finite number; weights stay as they were before that step."""
    net = fastbp.Network(
        [1, k], loss="poisson", output_activation="identity", dtype=dtype, backend=backend
    )
    net.weights[0], net.biases[0] = np.ones((1, k)), np.zeros(k)
    for X, y, expected in [
        ([[1.0]], 1.0, 0.0),
        ([[2.0]], 1.0, k * (1 - np.log(2))),
        ([[0.0]], 0.0, 0.0),
        ([[3.0]], 0.0, 3.0 * k),
        ([[0.0]], 1.0, np.inf),
        ([[-1.0]], 1.0, np.nan),
        ([[-1.0]], 0.0, np.nan),
    ]:
        targets = np.full((1, k), y)
        loss, _ = net.loss_and_gradient(X, targets)
        assert loss == pytest.approx(expected, rel=1e-6, abs=1e-7, nan_ok=True)
        if X == [[-1.0]]:
            assert np.isnan(net.input_gradient(X, targets)).all()
    before = net._engine.parameters.copy()
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit([[1.0], [-1.0]], np.ones((2, k)), batch_size=2, epochs=3)
    assert net._engine.parameters.tobytes() == before.tobytes()
    # A row without weight does not count, whatever its rate is.
    assert net.loss_and_gradient([[1.0], [-1.0]], np.ones((2, k)), [1, 0])[0] == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_it_learns(backend, threads):
    """Targets in (-1, 1) by a tanh, and counts by softplus."""
    X = np.linspace(-1, 1, 64)[:, None]
    net = fastbp.Network(
        [1, 8, 1],
        activation="tanh",
        loss="squared_error",
        output_activation="tanh",
        seed=0,
        backend=backend,
    )
    net.fit(X, np.tanh(3 * X), epochs=200, optimizer=fastbp.Adam(0.03), threads=threads)
    assert np.abs(net.predict(X) - np.tanh(3 * X)).max() < 0.1
    assert np.abs(net.predict(100 * X)).max() <= 1


@pytest.mark.parametrize(
    ("loss", "output", "words"),
    [
        (
            "log_loss",
            "tanh",
            "the loss log_loss cannot have the output activation tanh, only sigmoid; "
            "losses with tanh: squared_error, absolute_error, huber, quantile$",
        ),
        ("cross_entropy", "sigmoid", "only softmax; losses with sigmoid: log_loss, squared_error"),
        ("squared_error", "softmax", "only identity, .*; losses with softmax: cross_entropy$"),
        ("squared_error", "exp", "losses with exp: poisson$"),
        ("poisson", "tanh", "only exp, identity, softplus; losses with tanh: squared_error"),
        ("poisson", "relu", "only exp, identity, softplus"),
        (squared, "softmax", "the loss a function cannot have the output activation softmax"),
        ("squared_error", "tangens", "unknown output_activation 'tangens'; known: elu, exp, gelu"),
        (None, "tangens", "unknown output_activation 'tangens'"),
    ],
)
def test_illegal_pairs(loss, output, words):
    with pytest.raises(ValueError, match=words):
        fastbp.Network([2, 2], loss=loss, output_activation=output)


@pytest.mark.parametrize("output", [3, b"tanh", ["tanh"], np.tanh, True, 1.5])
@pytest.mark.parametrize("loss", ["squared_error", None])
def test_output_activations_that_are_no_names(loss, output):
    with pytest.raises(TypeError, match=r"output_activation must be a name \(str\)"):
        fastbp.Network([2, 2], loss=loss, output_activation=output)


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_copies_and_repr(loss, output):
    net = pair_network([3, 4, 2], loss, output, "numpy")
    X, y = make_data(loss, 5, 3, 2)
    assert f"loss='{loss}', output_activation='{output}', dtype" in repr(net)
    others = [copy.copy(net), copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
    for other in [*others, net.to_backend("numpy")]:
        assert other.output_activation == net.output_activation == output
        assert repr(other) == repr(net)
        assert other.predict(X).tobytes() == net.predict(X).tobytes()
        assert other.loss_and_gradient(X, y)[0] == net.loss_and_gradient(X, y)[0]


def test_it_cannot_be_set():
    net = fastbp.Network([2, 1], loss="huber", output_activation="tanh")
    with pytest.raises(AttributeError):
        net.output_activation = "sigmoid"


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_trace_and_equations(backend, loss, output):
    """Equation (6) from the loss, then (2) through the output activation."""
    net, X, y = pair_problem(loss, output, backend)
    trace = net.trace(X, y)
    assert trace.activations[-1] == output
    assert error(trace.h[-1], net.predict(X)) < 1e-13
    assert error(trace.dh[-1] * trace.slope(2), trace.ds[-1]) < 1e-13
    h = trace.h[-1]
    if loss == "squared_error":
        assert error(trace.dh[-1], h - y) < 1e-13
    if loss == "poisson":
        assert error(trace.dh[-1], 1 - y / h) < 1e-13
    terms = trace.node(1, 0).backward
    assert sum(term.value for term in terms) == pytest.approx(trace.dh[1][0, 0], rel=1e-12)
    shown = trace.equations(2, 1)
    formula = spec.LOSSES[loss].gradient[0]
    assert f"(6)     ∂e/∂h_2,1 = {formula}, y = " in shown.text
    assert f"(2)     σ'(s_2,1) = {spec.ACTIVATIONS[output].formulas[1]}\n" in shown.text
    assert "∂e/∂s_2,1 = ∂e/∂h_2,1 σ'(s_2,1)\n" in shown.text
    assert r"\frac{\partial e}{\partial s_{2,1}} &= " in shown.latex


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_jacobian(backend, loss, output):
    """By finite differences of the output."""
    net, X, _ = pair_problem(loss, output, backend)
    J = net.jacobian(X)
    b = net.biases[-1]
    for k in range(2):
        value = b[k]
        b[k] = value + 1e-6
        above = net.predict(X)
        b[k] = value - 1e-6
        slope = (above - net.predict(X)) / 2e-6
        b[k] = value
        assert error(J.biases[-1][:, :, k], slope) < 1e-8


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_forward_and_backward(backend, loss, output):
    """The network's own loss, from outside."""
    net, X, y = pair_problem(loss, output, backend)
    p, trace = net.forward(X), net.trace(X, y)
    assert p.output.tobytes() == net.predict(X).tobytes()
    for dL, wrt in [(trace.dh[-1], "output"), (trace.ds[-1], "preactivation")]:
        gradient, by_inputs = p.backward(dL / len(X), wrt=wrt)
        assert error(flat([*gradient.weights, *gradient.biases]), gradient_of(net, X, y)) < 1e-12
        assert error(len(X) * by_inputs, net.input_gradient(X, y)) < 1e-12


def test_what_works_with_any_network(backend):
    """gradcheck, fit_many, the range test, Levenberg-Marquardt, class of the layers' outputs."""
    net, X, y = pair_problem("squared_error", "tanh", backend)
    assert check_gradients(net, X, y).passed
    twin = copy.deepcopy(net)
    fastbp.fit_many([net], X, y, epochs=2, batch_size=4, optimizer=fastbp.SGD(0.01))
    assert np.isfinite(parameters(net)).all() and net.output_activation == "tanh"
    fastbp.find_learning_rate(twin, X, y, batch_size=4)
    assert np.abs(net.layer_outputs(X)[-1]).max() < 1
    z = np.tanh(X @ np.array([[0.3], [-0.5], [0.1]]) + 0.2)
    single = pair_network([3, 1], "squared_error", "tanh", backend)
    found = fastbp.levenberg_marquardt(single, X, z)
    assert found.loss[-1] < 1e-20
    assert single.weights[0].ravel() == pytest.approx([0.3, -0.5, 0.1])


@pytest.mark.parametrize(("loss", "output"), SOME_PAIRS)
def test_products_with_the_hessian(backend, loss, output):
    """The slope of the gradient along a vector, by central differences."""
    net, X, y = pair_problem(loss, output, backend)
    rng, w, step = np.random.default_rng(1), np.arange(len(X)) % 3, 1e-5
    arrays = [*net.weights, *net.biases]
    vector = [rng.standard_normal(a.shape) for a in arrays]
    found = net.hessian_vector_product(X, y, fastbp.Gradient(vector[:2], vector[2:]), w)
    sides = []
    for sign in (1, -1):
        for array, v in zip(arrays, vector, strict=True):
            array += sign * step * v
        sides.append(gradient_of(net, X, y, w))
        for array, v in zip(arrays, vector, strict=True):
            array -= sign * step * v
    ref = (sides[0] - sides[1]) / (2 * step)
    assert error(flat([*found.weights, *found.biases]), ref) < 1e-7


@pytest.mark.parametrize("output", ["tanh", "softplus", "silu"])
def test_derivatives_by_the_inputs(backend, output):
    """First and second ones, by central differences of the outputs and of their Jacobian."""
    net, X, _ = pair_problem("squared_error", output, backend)
    J, second, step = net.input_jacobian(X), net.input_hessian_diagonal(X), 1e-5
    for k in range(3):
        up, down = X.copy(), X.copy()
        up[:, k] += step
        down[:, k] -= step
        slope = (net.predict(up) - net.predict(down)) / (2 * step)
        assert error(J[:, :, k], slope) < 1e-8
        slope = (net.input_jacobian(up) - net.input_jacobian(down))[:, :, k] / (2 * step)
        assert error(second[:, :, k], slope) < 1e-7


def test_training_on_derivatives(backend):
    """A tanh output learns a function from few values and its slopes."""
    X = np.linspace(-1, 1, 9)[:, None]
    y, dy = np.tanh(2 * X), 2 - 2 * np.tanh(2 * X) ** 2
    net = fastbp.Network(
        [1, 6, 1],
        activation="tanh",
        loss="squared_error",
        output_activation="tanh",
        dtype="float64",
        seed=0,
        backend=backend,
    )
    net.fit(X, y, dy=dy, epochs=400, batch_size=None, optimizer=fastbp.Adam(0.03))
    assert np.abs(net.predict(X) - y).max() < 0.05
    assert np.abs(net.input_jacobian(X)[:, :, 0] - dy).max() < 0.2

"""Inputs of categories and of numbers with gaps: what X may hold, and what is refused."""

import copy
import pickle
import re

import numpy as np
import pytest
from helpers import error
from input_helpers import data_for, make_inputs, samples_for
from layer_helpers import together
from scipy.sparse import csr_array

import fastbp
from fastbp import Categorical, Numeric


def small(dtype="float64", **how):
    inputs = [Numeric(1), Categorical(3, 2), Numeric(1, missing=True)]
    return fastbp.Network([inputs, 4, 1], loss="squared_error", dtype=dtype, seed=0, **how)


def test_the_shapes_and_the_initial_numbers():
    net = fastbp.Network(
        [[Categorical(5000, 25), Numeric(2), Categorical(7), Numeric(3, missing=True)], 1],
        loss="squared_error",
        seed=0,
    )
    assert net.layout.sizes == (25 + 2 + 4 + 3, 1) and net.layout.n_features == 1 + 2 + 1 + 3
    assert [table.shape for table in net.embeddings] == [(5001, 25), (8, 4)]
    assert [numbers.shape for numbers in net.missing] == [(3,)]
    squares = (net.embeddings[0][:-1] ** 2).sum(axis=1)
    assert squares.mean() == pytest.approx(0.01, rel=0.02)
    assert not net.embeddings[0][-1].any() and not net.missing[0].any()
    assert Categorical(6).dimension == 3 and Categorical(1000).dimension == 50
    gradient = net.loss_and_gradient(samples_for(net, 9), np.zeros(9))[1]
    assert [table.shape for table in gradient.embeddings] == [(5001, 25), (8, 4)]
    n_numbers = sum(array.size for array in net._engine.arrays.all)
    assert net.layout.n_numbers == n_numbers
    summary = net.summary()
    assert summary.inputs == net.layout.inputs and summary.layer_parameters == (35,)
    lines = [line.split("  ") for line in str(summary).splitlines()]
    assert [[cell.strip() for cell in line if cell] for line in lines[2:5:2]] == [
        ["Categorical(5000, 25)", "25", "5001 x 25", "125,025"],
        ["Categorical(7, 4)", "4", "8 x 4", "32"],
    ]
    assert lines[-1][0].startswith(f"{n_numbers:,} parameters")


def test_plain_numbers_are_a_plain_network():
    """A list of numbers without gaps changes nothing."""
    inputs = fastbp.Network([[Numeric(2), Numeric(1)], 4, 1], loss="squared_error", seed=0)
    plain = fastbp.Network([3, 4, 1], loss="squared_error", seed=0)
    assert inputs.layout == plain.layout and inputs.embeddings[:] == inputs.missing[:] == []
    X = np.ones((2, 3))
    assert np.array_equal(inputs.predict(X), plain.predict(X))


def test_what_enters_the_first_layer(backend):
    net = small(backend=backend)
    net.missing[0] = [5.0]
    E = net.embeddings[0]
    E[-1] = [7.0, 8.0]
    X = np.array([[0.5, 0, 2.0], [1.5, 2, np.nan], [2.5, -1, 3.0], [3.5, np.nan, 4.0]])
    h = np.array([[0.5, *E[0], 2], [1.5, *E[2], 5], [2.5, 7, 8, 3], [3.5, 7, 8, 4]])
    s = h @ net.weights[0] + net.biases[0]
    assert error(net.layer_outputs(X)[0], np.maximum(s, 0)) < 1e-14
    assert net.predict(X).shape == (4, 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("code", [3, -2, 7.5, 0.5, -0.5, 1e30, np.inf, -np.inf])
def test_what_is_no_code_is_refused(backend, code, dtype):
    net = small(dtype, backend=backend)
    before = net._engine.parameters.copy()
    X = np.zeros((5, 3))
    X[3, 1] = code
    where = re.escape(f"X has {code:g} in row 3, column 1, counted from 0")
    for call in (
        lambda: net.predict(X),
        lambda: net.loss_and_gradient(X, np.zeros(5)),
        lambda: net.fit(X, np.zeros(5)),
        lambda: net.fit_step(X, np.zeros(5)),
        lambda: net.forward(X),
    ):
        with pytest.raises(ValueError, match=where + ".*codes 0 to 2 of Categorical"):
            call()
    assert np.array_equal(net._engine.parameters, before)


@pytest.mark.parametrize("code, dtype", [(2.9999999999, "float64"), (0.9999999, "float32")])
def test_messages_show_what_tells_a_number_from_a_code(code, dtype):
    with pytest.raises(ValueError, match=f"X has {code} in row 0"):
        small(dtype).predict([[0, code, 0]])


def test_tables_of_pandas():
    """pandas.NA is NaN; messages name columns, and say how text becomes codes."""
    pandas = pytest.importorskip("pandas", reason="the tables are those of pandas")
    net = small("float64")
    net.missing[0] = [5.0]
    net.embeddings[0][-1] = [7.0, 8.0]
    columns = {"size": [1.0, 2.0], "city": [2, None], "age": [None, 3]}
    X = pandas.DataFrame(columns).astype({"city": "Int64", "age": "Float64"})
    assert np.array_equal(net.predict(X), net.predict([[1, 2, np.nan], [2, -1, 3]]))
    with pytest.raises(ValueError, match=r"3 in row 1, column 1 \('city'\)"):
        net.predict(X.fillna(3))
    with pytest.raises(ValueError, match=r"nan in row 0, column 0 \('size'\)"):
        net.predict(X.assign(size=pandas.array([None, 1], "Int64")))
    with pytest.raises(TypeError, match=r"'Rome' in row 0, column 1.*pandas.Categorical"):
        net.predict(X.assign(city=["Rome", "Oslo"]))


def test_where_nan_and_infinity_are_refused():
    net, X = small(), np.zeros((2, 3))
    for column, value in ((0, np.nan), (0, np.inf), (2, np.inf)):
        X[1, column] = value
        with pytest.raises(ValueError, match=f"in row 1, column {column}"):
            net.predict(X)
        X[1, column] = 0
    for shape in ((2, 2), (2, 4), (3,)):
        with pytest.raises(ValueError, match="3"):
            net.predict(np.zeros(shape))
    with pytest.raises(TypeError, match="sparse"):
        net.fit(csr_array(X), np.zeros(2))


@pytest.mark.parametrize(
    "inputs, kind, message",
    [
        ([], ValueError, "empty list"),
        ([3], TypeError, r"layer_sizes\[0\]\[0\] must be a fastbp.Numeric"),
        ([Categorical], TypeError, r"layer_sizes\[0\]\[0\] must be"),
        (Categorical(3), TypeError, r"write \[Categorical\(3, 2\)\]$"),
        ([Categorical(2**24)], ValueError, "float32 cannot tell apart"),
        ([Categorical(2**30, 2**30)], ValueError, "more than"),
    ],
    ids=str,
)
def test_odd_lists_of_inputs(inputs, kind, message):
    with pytest.raises(kind, match=message):
        fastbp.Network([inputs, 1], loss="squared_error")


def test_inputs_without_brackets_of_their_own():
    with pytest.raises(TypeError, match=r"write \[Numeric\(3\), Categorical\(4, 2\)\]$"):
        fastbp.Network([Numeric(3), Categorical(4), 8, 1], loss="squared_error")


@pytest.mark.parametrize("what", [Categorical, Numeric])
def test_odd_numbers_of_inputs(what):
    for n in (0, -1, 2.5, True, "3", None, np.nan):
        with pytest.raises((TypeError, ValueError), match=what.__name__):
            what(n)
    with pytest.raises((TypeError, ValueError), match="dimension"):
        Categorical(3, 0)
    with pytest.raises(TypeError, match="missing"):
        Numeric(3, missing=1)
    assert eval(repr(what(3)), {what.__name__: what}) == what(3) and hash(what(3)) == hash(what(3))


def test_assignment_is_checked():
    net = small()
    net.embeddings[0] = np.ones((4, 2))
    assert net.embeddings[0].sum() == 8
    for wrong in (np.ones((3, 2)), np.full((4, 2), np.nan)):
        with pytest.raises(ValueError, match=r"embeddings\[0\]"):
            net.embeddings[0] = wrong
    with pytest.raises(ValueError, match=r"missing\[0\]"):
        net.missing[0] = [np.inf]
    gradient = net.loss_and_gradient(samples_for(net, 5), np.zeros(5))[1]
    assert gradient._replace(biases=[]).embeddings is gradient.embeddings
    gradient.embeddings.pop()
    with pytest.raises(ValueError, match="one for each Categorical"):
        net.apply_gradient(gradient)


def test_training_goes_on_in_all_ways(compiled):
    """Calls that train agree with `fit`, bit by bit."""
    X, y = data_for(make_inputs("all", [6, 2], "squared_error", compiled), 40)
    how = {"optimizer": "adam", "epochs": 1}
    weights = []
    for train in (
        lambda net: net.fit(X, y, batch_size=20, shuffle=False, **how),
        lambda net: net.fit_batches([(X[:20], y[:20]), (X[20:], y[20:])], **how),
        lambda net: [net.fit_step(X[a : a + 20], y[a : a + 20], optimizer="adam") for a in (0, 20)],
        lambda net: fastbp.fit_many([net], X, y, batch_size=20, shuffle=False, **how),
    ):
        net = make_inputs("all", [6, 2], "squared_error", compiled)
        train(net)
        weights.append(together(net))
    assert all(np.array_equal(weights[0], other) for other in weights[1:])
    assert net.score(X, y) == pytest.approx(net.score(X.copy(), y))


def test_networks_that_share_samples(compiled):
    """fit_many checks X for each kind of inputs, though it has as many columns for all."""
    nets = [
        fastbp.Network([inputs, 1], loss="squared_error", seed=0, backend=compiled)
        for inputs in ([Categorical(3, 2), Numeric(1)], [Categorical(2, 2), Numeric(1)])
    ]
    X = np.array([[2.0, 0.5], [1.0, 0.5]])
    with pytest.raises(ValueError, match=r"codes 0 to 1 of Categorical\(2, 2\)"):
        fastbp.fit_many(nets, X, [0.0, 1.0], epochs=1)


def test_copies():
    net = make_inputs("all", [6, 2], "squared_error", None)
    X, y = data_for(net, 20)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), net.to_backend("numpy")):
        assert error(other.predict(X), net.predict(X)) < 1e-14
        other.fit(X, y, epochs=1)
        assert not np.array_equal(together(other), together(net))
    other = make_inputs("all", [6, 2], "squared_error", None, seed=3)
    half = (together(other) + together(net)) / 2
    net.blend(other, 0.5)
    assert error(together(net), half) < 1e-14
    with pytest.raises(ValueError, match="same inputs"):
        wide = fastbp.Network([[Numeric(22, missing=True)], 6, 2], loss="squared_error")
        net.blend(wide, 0.5)


def test_torch_function():
    torch = pytest.importorskip("torch", reason="the function is one of PyTorch's")
    net = make_inputs("all", [6, 2], "squared_error", None)
    X, y = data_for(net, 20)
    f = fastbp.torch_function(net)
    ((f(torch.tensor(X)) - torch.tensor(y)) ** 2).sum(1).div(2).mean().backward()
    assert error(together(f.gradient), together(net.loss_and_gradient(X, y)[1])) < 1e-13


def test_large_codes_are_no_reason_for_advice(recwarn):
    """The codes of a category are not numbers that should be scaled."""
    net = fastbp.Network([[Categorical(2000, 1)], 1], loss="squared_error", seed=0)
    X = np.array([[1999.0], [0.0], [3.0]])
    net.fit(X, [1e4, -1e4, 0.0], epochs=1)
    assert not any("inputs are not scaled" in str(w.message) for w in recwarn)


def test_trace(backend):
    """h_0 has the vectors; the gradients are those of the network."""
    net = make_inputs("all", [6, 2], "squared_error", backend)
    X, y = data_for(net, 5)
    trace = net.trace(X, y)
    assert trace.h[0].shape == (5, net.layout.sizes[0])
    assert error(trace.s[1], trace.h[0] @ net.weights[0] + net.biases[0]) < 1e-13
    assert error(trace.h[-1], net.predict(X)) < 1e-13
    assert error(trace.dW[1], trace.h[0].T @ trace.ds[1] / 5) < 1e-13
    assert error(together(trace.gradient), together(net.loss_and_gradient(X, y)[1])) == 0
    terms = trace.node(1, 2, sample=3).forward
    assert sum(term.value for term in terms) == pytest.approx(trace.s[1][3, 2])
    health = fastbp.Health(X, y, warn=False)
    net.fit(X, y, epochs=2, callbacks=[health])
    assert len(health.loss) == 3


REFUSED = {
    "per_sample_gradients": lambda net, X, y: net.per_sample_gradients(X, y),
    "input_gradient": lambda net, X, y: net.input_gradient(X, y),
    "jacobian": lambda net, X, y: net.jacobian(X),
    "input_jacobian": lambda net, X, y: net.input_jacobian(X),
    "input_vjp": lambda net, X, y: net.input_vjp(X, y),
    "input_jvp": lambda net, X, y: net.input_jvp(X, np.zeros_like(X)),
    "input_hessian_diagonal": lambda net, X, y: net.input_hessian_diagonal(X),
    "input_laplacian": lambda net, X, y: net.input_laplacian(X),
    "integrated_gradients": lambda net, X, y: net.integrated_gradients(X),
    "hessian": lambda net, X, y: net.hessian_vector_product(X, y, net.loss_and_gradient(X, y)[1]),
    "dy": lambda net, X, y: net.fit(X, y, dy=np.zeros((len(X), 2, X.shape[1]))),
    "backward": lambda net, X, y: net.forward(X).backward(y),
    "residual": lambda net, X, y: fastbp.fit_residual(net, X, lambda x, h, dh, d2h: None),
    "levenberg_marquardt": lambda net, X, y: fastbp.levenberg_marquardt(net, X, y),
    "compare_backends": lambda net, X, y: fastbp.compare_backends(
        [[Categorical(3)], 2], X, y, loss="squared_error"
    ),
    "to_keras": lambda net, X, y: net.to_keras(),
    "to_c": lambda net, X, y: net.to_c("no folder"),
    "to_sklearn": lambda net, X, y: net.to_sklearn(),
    "monotonic_cst": lambda net, X, y: fastbp.Network(
        [[Categorical(3)], 1], loss="squared_error", monotonic_cst=[1]
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what):
    net = make_inputs("all", [6, 2], "squared_error", None)
    X, y = data_for(net, 5)
    before = together(net)
    with pytest.raises(ValueError, match="with fastbp.Categorical among their inputs"):
        REFUSED[what](net, X, y)
    assert np.array_equal(together(net), before)

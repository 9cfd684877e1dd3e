"""The trace against PyTorch's autograd, and the sums of each unit against their values."""

import html.parser
import math

import numpy as np
import pytest
from gradient_helpers import SAME, problem, torch_activations, torch_loss
from helpers import (
    ACTIVATIONS,
    DTYPES,
    LOSSES_AND_TARGETS,
    error,
    make_data,
    make_network,
    outputs_for,
)

import fastbp

LISTS = ["s", "h", "dh", "ds", "dW", "db"]


def loss_from_output(torch, loss, h, y):
    """e of each sample as a function of the output, from which (6) follows."""
    if loss == "log_loss":
        return -(torch.xlogy(y, h) + torch.xlogy(1 - y, 1 - h)).sum(1)
    if loss == "cross_entropy":
        return -torch.xlogy(y, h).sum(1)
    if loss == "poisson":
        return (h - y - torch.xlogy(y, h / torch.where(y > 0, y, 1))).sum(1)
    return torch_loss(torch, loss, h, y.numpy())[0]


def hooked(torch, net, X, y):
    """Name -> list by layer, from hooks on every intermediate result."""
    functions = torch_activations(torch)
    activations = [*net.layout.activations, net.output_activation]
    found = {name: [None] * (len(activations) + 1) for name in LISTS}
    h = torch.tensor(X)
    found["h"][0] = h
    W = [torch.tensor(w, requires_grad=True) for w in net.weights]
    b = [torch.tensor(v, requires_grad=True) for v in net.biases]

    def note(name, i):
        def hook(gradient):
            found[name][i] = gradient

        return hook

    for i, name in enumerate(activations, start=1):
        s = h @ W[i - 1] + b[i - 1]
        s.register_hook(note("ds", i))
        h = functions[name](s)
        h.register_hook(note("dh", i))
        found["s"][i], found["h"][i] = s, h
    y = torch.tensor(np.eye(h.shape[1])[y] if y.ndim == 1 else y)
    e = loss_from_output(torch, net.loss, h, y)
    e.sum().backward()
    found["dW"] = [None, *(w.grad / len(X) for w in W)]
    found["db"] = [None, *(v.grad / len(X) for v in b)]
    return found, e


@pytest.mark.nojit
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_autograd(backend, activation, loss, kind):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y = problem(loss, kind, activation, backend)
    trace = net.trace(X, y)
    ref, e = hooked(torch, net, X, y)
    for name in LISTS:
        of_layers = getattr(trace, name)
        assert len(of_layers) == 4
        assert (of_layers[0] is None) == (name != "h")
        for i in range(name != "h", 4):
            assert error(of_layers[i], ref[name][i].detach().numpy()) < SAME, (name, i)
    assert error(trace.e, e.detach().numpy()) < SAME
    assert trace.loss == pytest.approx(e.mean().item(), rel=SAME)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
def test_gradients_are_those_of_loss_and_gradient(backend, loss, kind, dtype):
    for n_outputs in (1, 3):
        n_outputs = outputs_for(loss, n_outputs)
        net = make_network([4, 17, n_outputs], loss, backend, dtype, "silu")
        X, y = make_data(loss, 21, 4, n_outputs, kind=kind)
        trace = net.trace(X, y)
        loss_value, gradient = net.loss_and_gradient(X, y)
        assert trace.loss == loss_value
        for i in (1, 2):
            assert np.array_equal(trace.dW[i], gradient.weights[i - 1])
            assert np.array_equal(trace.db[i], gradient.biases[i - 1])
            # The trace's own numbers make the same.
            by_hand = trace.h[i - 1].T @ trace.ds[i] / len(X)
            assert error(trace.dW[i], by_hand) < {"float32": 2e-6, "float64": 1e-14}[dtype]
        assert np.array_equal(trace.h[0], X.astype(dtype))
        assert error(trace.h[-1], net.predict(X)) == 0
        assert trace.e.mean() == pytest.approx(loss_value, rel=1e-5)


def test_the_trace_is_a_copy(backend):
    net = make_network([3, 4, 2], "log_loss", backend)
    X, y = make_data("log_loss", 5, 3, 2)
    trace = net.trace(X, y)
    before = trace.W[1].copy(), trace.h[0].copy()
    net.weights[0][...] = 0
    X[...] = 0
    assert np.array_equal(trace.W[1], before[0]) and np.array_equal(trace.h[0], before[1])


@pytest.mark.parametrize("loss, kind", LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_sums_of_a_unit(backend, activation, loss, kind):
    """The terms of (1)-(6) add up to the values, and are the products of their factors."""
    net, X, y = problem(loss, kind, activation, backend)
    trace = net.trace(X, y)
    _, gradient = net.loss_and_gradient(X[2:3], y[2:3])
    for i in (1, 2, 3):
        for j in range(net.layout.sizes[i]):
            node = trace.node(i, j, sample=2)
            assert sum(t.value for t in node.forward) == pytest.approx(node.s, rel=1e-12)
            for terms in (node.forward, node.backward, node.gradient):
                for term in terms:
                    assert math.prod(term.factors) == pytest.approx(term.value, rel=1e-9, abs=1e-15)
            if i < 3:
                total = sum(t.value for t in node.backward)
                assert total == pytest.approx(node.dh, rel=1e-11, abs=1e-15)
                assert len(node.backward) == net.layout.sizes[i + 1]
            else:
                assert node.backward == []
            if node.activation != "softmax":
                assert node.dh * node.slope == pytest.approx(node.ds, rel=1e-11, abs=1e-15)
            comp = [term.value for term in node.gradient]
            ref = [*gradient.weights[i - 1][:, j], gradient.biases[i - 1][j]]
            assert np.allclose(comp, ref, rtol=1e-11, atol=1e-15)


def test_loss_of_the_users_own(backend):
    def fourth_power(h, y):
        d = h - y
        return (d**4).sum(axis=1), 4 * d**3

    net = fastbp.Network(
        [3, 4, 2], activation="tanh", loss=fourth_power, dtype="float64", backend=backend, seed=0
    )
    X, y = make_data("squared_error", 5, 3, 2)
    trace = net.trace(X, y)
    d = trace.h[2] - y
    assert error(trace.dh[2], 4 * d**3) < SAME and error(trace.ds[2], 4 * d**3) < SAME
    assert error(trace.e, (d**4).sum(axis=1)) < SAME
    assert trace.loss_name == "fourth_power" and "fourth_power" in repr(trace)
    assert "from the loss" in str(trace.equations(2, 0))


def by_hand():
    """One unit of one sample: s = 2, h = 0.5 s', numbers that can be checked by eye."""
    net = fastbp.Network(
        [2, 1, 1], activation="sigmoid", loss="log_loss", dtype="float64", backend="numpy"
    )
    net.weights[0] = [[2.0], [-1.0]]
    net.biases[0] = [0.5]
    net.weights[1] = [[-4.0]]
    net.biases[1] = [2.0]
    return net.trace([[0.25, 1.0]], [0])


def test_equations_as_text():
    """s = 0.5 - 1 + 0.5 = 0, h = ½, then s = -2 + 2 = 0, h = ½, and (6) gives 2 for y = 0."""
    trace = by_hand()
    assert str(trace.equations(1, 0)).splitlines() == [
        "Unit 0 of layer 1 (sigmoid), sample 0",
        "        s_1,0 = Σ_k h_0,k w¹_k,0 + b_1,0",
        "            = 0.25 · 2 + 1 · (-1) + 0.5",
        "            = 0",
        "        h_1,0 = σ(s) = 1 / (1 + exp(-s))",
        "            = 0.5",
        "(1)     ∂e/∂h_1,0 = Σ_k w²_0,k σ'(s_2,k) ∂e/∂h_2,k",
        "            = -4 · 0.25 · 2",
        "            = -2",
        "(2)     σ'(s_1,0) = h (1 - h)",
        "            = 0.25",
        "        ∂e/∂s_1,0 = ∂e/∂h_1,0 σ'(s_1,0)",
        "            = -2 · 0.25",
        "            = -0.5",
        "(3)-(5) ∂e/∂w¹_0,0 = ∂e/∂s_1,0 h_0,0",
        "            = -0.5 · 0.25",
        "            = -0.125",
        "        ∂e/∂w¹_1,0 = ∂e/∂s_1,0 h_0,1",
        "            = -0.5 · 1",
        "            = -0.5",
        "        ∂e/∂b_1,0 = ∂e/∂s_1,0",
        "            = -0.5",
    ]
    of_output = str(trace.equations(2, 0))
    assert "(6)     ∂e/∂h_2,0 = -y/h + (1 - y)/(1 - h), y = 0\n            = 2\n" in of_output
    assert "∂e/∂s_2,0 = h - y\n            = 0.5\n" in of_output


def test_equations_as_latex():
    latex = by_hand().equations(1, 0).latex
    assert latex.startswith("\\begin{aligned}\n") and latex.endswith("\n\\end{aligned}")
    assert r"s_{1,0} &= \sum_k h_{0,k} w^{1}_{k,0} + b_{1,0}" in latex
    assert r"&= 0.25 \cdot 2 + 1 \cdot (-1) + 0.5" in latex
    assert latex.count("{") == latex.count("}")
    assert by_hand().equations(1, 0)._repr_latex_() == f"$${latex}$$"


@pytest.mark.parametrize(
    "loss, kind, activation",
    [(*pair, "tanh") for pair in LOSSES_AND_TARGETS]
    + [("log_loss", "hard", activation) for activation in ACTIVATIONS if activation != "tanh"],
)
def test_latex_can_be_typeset(loss, kind, activation):
    """Each line of every formula, by matplotlib's TeX parser."""
    mathtext = pytest.importorskip("matplotlib.mathtext", reason="needs matplotlib")
    parser = mathtext.MathTextParser("path")
    net, X, y = problem(loss, kind, activation, "numpy")
    trace = net.trace(1e-7 * X, y)
    for i in (1, 3):
        latex = trace.equations(i, 0).latex
        body = latex.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
        for line in body.split(" \\\\\n"):
            line = line.replace("\\text{", "\\mathrm{").replace("&", "")
            parser.parse(f"${line}$")


def test_long_sums_are_shortened():
    net = make_network([30, 20, 2], "squared_error", "numpy")
    X, y = make_data("squared_error", 2, 30, 2)
    text = str(net.trace(X, y).equations(1, 0))
    assert " + ... " in text and len(text.splitlines()) < 40
    assert len(net.trace(X, y).node(1, 0).forward) == 31


def test_saturated_outputs_have_an_infinite_error():
    """(6) is infinite where h is rounded to a wrong 0 or 1, while ∂e/∂s is finite."""
    net = fastbp.Network([1, 1, 1], loss="log_loss", activation="identity", backend="numpy")
    net.weights[0], net.weights[1] = [[1.0]], [[1.0]]
    trace = net.trace([[200.0], [200.0]], [0, 1])
    assert trace.dh[2].ravel().tolist() == [np.inf, -1]
    assert trace.ds[2].ravel().tolist() == [1, 0]
    node = trace.node(1, 0)
    assert node.dh == 1 and node.backward[0].value == 1
    assert r"\infty" in trace.equations(2, 0).latex


class Tags(html.parser.HTMLParser):
    """Collects the cells, and sees that every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.cells = [], []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def test_notebook_and_terminal(backend):
    net = make_network([3, 4, 2], "cross_entropy", backend)
    X, y = make_data("cross_entropy", 5, 3, 2)
    trace = net.trace(X, y)
    text = repr(trace)
    assert text.startswith(f"Trace of 5 samples, cross_entropy {trace.loss:.6g}")
    assert len(text.splitlines()) == 5 and "tanh" in text and "softmax" in text
    for item in (trace, trace.node(1, 3), trace.node(2, 1)):
        tags = Tags()
        tags.feed(item._repr_html_())
        assert tags.open == []
    assert f"{trace.node(2, 1).s:.6g}" in tags.cells
    assert f"∂e/∂h_1,3 = {trace.node(1, 3).dh:.6g}" in repr(trace.node(1, 3))


def test_bad_places_are_refused():
    trace = by_hand()
    for arguments, message in [
        ((0, 0), "the layer i must be at least 1, got 0"),
        ((3, 0), r"the layer i must be in 1..2, got 3"),
        ((1, 1), r"layer 1 has the units 0..0, got 1"),
        ((1, -1), "the unit j must be at least 0"),
        ((1, 0, 1), r"the trace has the samples 0..0, got 1"),
    ]:
        for call in (trace.node, trace.equations):
            with pytest.raises(ValueError, match=message):
                call(*arguments)
    with pytest.raises(TypeError, match="the unit j must be a whole number"):
        trace.node(1, 0.5)
    for i in (0, 3, -1):
        with pytest.raises(ValueError, match=f"the layer i must be .*, got {i}"):
            trace.slope(i)


def test_bad_input_is_refused(backend):
    net = make_network([3, 4, 2], "squared_error", backend)
    with pytest.raises(ValueError, match="X has 2 features"):
        net.trace(np.ones((4, 2)), np.ones((4, 2)))

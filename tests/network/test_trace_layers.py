"""The trace of normalised layers, residual connections and prelu."""

import math

import numpy as np
import pytest
from gradient_helpers import torch_activations
from helpers import error, make_data
from layer_helpers import EPSILON, LAYERS, make_layers

SAME = 1e-10


def start(which, backend):
    net = make_layers(which, [3, 5, 5, 4, 2], "squared_error", backend)
    X, y = make_data("squared_error", 4, 3, 2)
    return net, X, y


@pytest.mark.parametrize("which", LAYERS)
def test_quantities_by_autograd(backend, which):
    """s, z, h and their errors in each layer."""
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    net, X, y = start(which, backend)
    trace, functional = net.trace(X, y), torch.nn.functional
    W, b, gammas, betas, slopes = (
        [torch.tensor(array) for array in arrays]
        for arrays in (net.weights, net.biases, net.norm_weights, net.norm_biases, net.slopes)
    )
    h, found = torch.tensor(X, requires_grad=True), []
    for i, name in enumerate([*net.layout.activations, "identity"]):
        s = h @ W[i] + b[i]
        z, n, hidden = s.clone(), s.shape[1], i < len(W) - 1
        if hidden and net.layout.norm == "layer":
            z = functional.layer_norm(s, (n,), gammas[i], betas[i], EPSILON)
        elif hidden and net.layout.norm == "rms":
            z = functional.rms_norm(s, (n,), gammas[i], EPSILON)
        of_z = (
            functional.prelu(z, slopes[i]) if name == "prelu" else torch_activations(torch)[name](z)
        )
        h = of_z + h if i + 1 in net.layout.residual_layers else of_z.clone()
        found.append((s, z, h))
        for tensor in (s, z, h):
            tensor.retain_grad()
    ((h - torch.tensor(y)) ** 2).sum().div(2).backward()
    for i, (s, z, h) in enumerate(found, start=1):
        assert error(trace.s[i], s.detach()) < SAME
        assert error(trace.z[i], z.detach()) < SAME
        assert error(trace.h[i], h.detach()) < SAME
        assert error(trace.dh[i], h.grad) < SAME
        assert error(trace.ds[i], s.grad) < SAME
        for j in range(h.shape[1]):
            unit = trace.node(i, j, 1).normalized
            if unit is not None:
                assert unit.z == pytest.approx(z[1, j].item(), rel=SAME)
                assert unit.dz == pytest.approx(z.grad[1, j].item(), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("which", LAYERS)
def test_units_add_up(which):
    """Each number of a unit follows from the others, as its equations say."""
    net, X, y = start(which, "auto")
    trace = net.trace(X, y)
    own = net.loss_and_gradient(X[1:2], y[1:2])[1]
    for i in (1, 2, 3):
        for j in range(net.layout.sizes[i]):
            node = trace.node(i, j, 1)
            assert sum(t.value for t in node.forward) == pytest.approx(node.s, rel=1e-11)
            assert sum(t.value for t in node.backward) == pytest.approx(node.dh, rel=1e-10)
            for term in (*node.backward, *node.own):
                assert math.prod(term.factors) == pytest.approx(term.value, rel=1e-9)
            unit, dz = node.normalized, node.dh * node.slope
            if unit is None:
                assert dz == pytest.approx(node.ds, rel=1e-10)
            else:
                assert unit.x == pytest.approx((node.s - (unit.mean or 0)) / unit.deviation)
                assert unit.gamma * unit.x + unit.beta == pytest.approx(unit.z, rel=1e-9)
                rest = unit.gamma * unit.dz - (unit.mean_error or 0) - unit.x * unit.mean_product
                assert rest / unit.deviation == pytest.approx(node.ds, rel=1e-7, abs=1e-12)
            lists = (own.norm_weights, own.norm_biases, own.slopes)
            ref = [arrays[i - 1][j] for arrays in lists if len(arrays) and arrays[i - 1].size]
            assert np.allclose([t.value for t in node.own], ref, rtol=1e-9, atol=1e-14)
            below = trace.h[i - 1][1, j] if i in net.layout.residual_layers else None
            assert node.added == below


def test_equations_by_hand():
    """Two units with s = 1 and 3: μ = 2, d = 1 (but for ε), x̂ = -1 and 1."""
    net = make_layers(
        {"norm": "layer", "activation": "prelu"}, [1, 2, 2, 2, 1], "squared_error", "numpy"
    )
    net.weights[0], net.biases[0] = [[1, 3]], [0, 0]
    net.norm_weights[0], net.norm_biases[0], net.slopes[0] = [2, 2], [0.5, 0.5], [0.25, 0.25]
    text = str(net.trace([[1.0]], [0.0]).equations(1, 0))
    assert text.splitlines()[1:16] == [
        "        s_1,0 = Σ_k h_0,k w¹_k,0 + b_1,0",
        "            = 1 · 1 + 0",
        "            = 1",
        "        μ_1 = mean(s_1)",
        "            = 2",
        "        d_1 = √(mean((s_1 - μ_1)²) + 1e-5)",
        "            = 1",
        "        x̂_1,0 = (s_1,0 - μ_1) / d_1",
        "            = -1",
        "        z_1,0 = γ_1,0 x̂_1,0 + β_1,0",
        "            = 2 · (-1) + 0.5",
        "            = -1.5",
        "        h_1,0 = σ(z) = z if z > 0, else a z, a = 0.25",
        "            = -0.375",
        "(1)     ∂e/∂h_1,0 = Σ_k w²_0,k ∂e/∂s_2,k",
    ]
    assert "(2)     σ'(z_1,0) = 1 if z > 0, else a\n            = 0.25\n" in text


@pytest.mark.parametrize("which", LAYERS)
def test_latex_can_be_typeset(which):
    mathtext = pytest.importorskip("matplotlib.mathtext", reason="needs matplotlib")
    parser = mathtext.MathTextParser("path")
    net, X, y = start(which, "numpy")
    trace = net.trace(X, y)
    for i in (1, 2, 3):
        latex = trace.equations(i, 0).latex
        body = latex.removeprefix("\\begin{aligned}\n").removesuffix("\n\\end{aligned}")
        for line in body.split(" \\\\\n"):
            line = line.replace("\\text{", "\\mathrm{").replace("&", "")
            parser.parse(f"${line}$")
        assert latex.count("{") == latex.count("}")


@pytest.mark.parametrize("which", LAYERS)
def test_terminal_notebook_and_summary(which):
    net, X, y = start(which, "auto")
    trace, summary = net.trace(X, y), net.summary()
    assert len(repr(trace).splitlines()) == 7
    norm = net.layout.norm is not None
    assert ("z_2,1 = " in repr(trace.node(2, 1))) == norm and "<table>" in trace._repr_html_()
    assert (f"{net.layout.norm} norm, " in repr(summary)) == norm
    assert (" + input" in repr(summary)) == net.layout.residual
    assert sum(summary.layer_parameters) == summary.n_parameters == net.layout.n_numbers

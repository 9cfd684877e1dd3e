"""Embeddings and learned numbers for missing ones: gradients, steps, bits and threads."""

import numpy as np
import pytest
from gradient_helpers import torch_loss
from helpers import DTYPES, OPTIMIZERS, error, flat
from input_helpers import INPUTS, data_for, make_inputs, one_hot, torch_inputs
from layer_helpers import arrays_of, results_of_threads, together

import fastbp
from fastbp.basis.layout import Layout

# Independent computations of the same in float64, and the twins' distance from the reference.
SAME = 1e-10
NEAR = {"float32": 2e-5, "float64": 1e-13}
# Hidden layers and outputs, each with a loss; without hidden layers, too.
WIDTHS = {"ragged": [9, 4, 3], "linear": [2], "one output": [17, 1], "one unit": [1]}
LOSSES = ["cross_entropy", "squared_error", "log_loss", "log_loss"]
CASES = list(zip(WIDTHS, LOSSES, strict=True))


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the independent source here")


@pytest.mark.parametrize("widths, loss", CASES)
@pytest.mark.parametrize("which", INPUTS)
def test_autograd(torch, backend, which, widths, loss):
    """Outputs, losses and all gradients are those of PyTorch's embeddings."""
    net = make_inputs(which, WIDTHS[widths], loss, backend)
    X, y = data_for(net, 23)
    output, leaves = torch_inputs(torch, net)
    e, h = torch_loss(torch, loss, output(X), y)
    e.mean().backward()
    found, gradient = net.loss_and_gradient(X, y)
    assert error(net.predict(X), h.detach().numpy()) < SAME
    assert found == pytest.approx(e.mean().item(), rel=SAME)
    for comp, leaf in zip(arrays_of(gradient), leaves, strict=True):
        assert error(comp, leaf.grad) < SAME
    if loss == "squared_error":
        p = net.forward(X)
        from_outside, _ = p.backward((p.output - y) / len(X), inputs=False)
        assert error(together(from_outside), together(gradient)) < SAME


@pytest.mark.nojit
@pytest.mark.parametrize("which", INPUTS)
def test_finite_differences(backend, which):
    net = make_inputs(which, [5, 2], "squared_error", backend)
    X, y = data_for(net, 9)
    check = fastbp.check_gradients(net, X, y, only=[backend], entries=30)
    names = [result.name for result in check.results if result.layer == 1]
    tables = ["E"] * len(net.embeddings) + ["m"] * len(net.missing)
    assert check.passed and names == ["W", "b", *tables]


@pytest.mark.parametrize("widths", [[6, 3], [2], [1]], ids=str)
def test_the_same_as_a_dense_layer_on_one_hot_codes(backend, widths):
    """Its weights are V = E W, so ∂e/∂E = ∂e/∂V Wᵀ and ∂e/∂W = Eᵀ ∂e/∂V."""
    net = make_inputs("categories", widths, "squared_error", backend)
    X, y = data_for(net, 40)
    codes, dense = one_hot(net, X)
    assert error(net.predict(X), dense.predict(codes)) < SAME
    loss, gradient = net.loss_and_gradient(X, y)
    same, by_dense = dense.loss_and_gradient(codes, y)
    assert loss == pytest.approx(same, rel=SAME)
    row = place = 0
    for k, table in enumerate(net.embeddings):
        rows = slice(row, row + len(table))
        places = slice(place, place + table.shape[1])
        by_rows, W = by_dense.weights[0][rows], net.weights[0][places]
        assert error(gradient.embeddings[k], by_rows @ W.T) < SAME
        assert error(gradient.weights[0][places], table.T @ by_rows) < SAME
        row, place = rows.stop, places.stop


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_steps_are_those_of_pytorch(torch, backend, optimizer):
    """All rows of a table take a step, also of those that the batch has not chosen."""
    net = make_inputs("all", [9, 3], "cross_entropy", backend)
    X, y = data_for(net, 24)
    output, leaves = torch_inputs(torch, net)
    o = OPTIMIZERS[optimizer]
    how = torch.optim.SGD(leaves, o.learning_rate)
    if optimizer == "adam":
        betas = o.beta_1, o.beta_2
        how = torch.optim.Adam(leaves, o.learning_rate, betas=betas, eps=o.epsilon)
    for _ in range(3):
        for rows in (slice(0, 10), slice(10, 20), slice(20, 24)):
            how.zero_grad()
            torch_loss(torch, net.loss, output(X[rows]), y[rows])[0].mean().backward()
            torch.nn.utils.clip_grad_norm_(leaves, 0.3)
            how.step()
    net.fit(X, y, optimizer=o, epochs=3, batch_size=10, shuffle=False, clip_norm=0.3)
    assert error(together(net), flat([leaf.detach() for leaf in leaves])) < SAME


def everything(net, X, y):
    """Name -> numbers of passes and steps."""
    w = np.random.default_rng(5).uniform(0.1, 2, len(X))
    w[len(X) // 2] = 0
    loss, gradient = net.loss_and_gradient(X, y, w)
    found = {"prediction": net.predict(X), "loss": loss, "gradient": together(gradient)}
    p = net.forward(X)
    found["from outside"] = together(p.backward(p.output, inputs=False)[0])
    history = net.fit(
        *(X, y),
        **{"optimizer": OPTIMIZERS["adamw"], "epochs": 2, "batch_size": 7, "sample_weight": w},
        **{"dropout": [0.3] * len(net.weights), "clip_norm": 0.5, "average": fastbp.EMA(0.7)},
        **{"l2": 0.01, "l1": 0.001},
    )
    net.apply_gradient(gradient, optimizer="adam")
    found["losses"], found["weights"] = np.array(history.loss), together(net)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("which", INPUTS)
def test_twins_and_the_reference(twins, which, widths, dtype):
    """The same bits of the twins, and nearly those of the reference."""
    results = []
    for backend in (*twins, "numpy"):
        net = make_inputs(which, WIDTHS[widths], "squared_error", backend, dtype)
        results.append(everything(net, *data_for(net, 23)))
    one, other, reference = results
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []
    for name, ref in reference.items():
        assert error(one[name], ref) < NEAR[dtype], name


@pytest.mark.nojit
def test_the_reference_on_a_selection(compiled):
    results = []
    for backend in (compiled, "numpy"):
        net = make_inputs("all", [9, 4, 3], "cross_entropy", backend)
        results.append(everything(net, *data_for(net, 17)))
    for name, ref in results[1].items():
        assert error(results[0][name], ref) < NEAR["float64"], name


# Hidden layers and outputs, samples and batch size: groups of blocks, several blocks, columns that
# threads divide, and a batch that they do not divide.
SHAPES = {
    "groups": ([32, 4], 9000, 9000),
    "several blocks": ([300, 300, 11], 1500, 1500),
    "columns": ([300, 3], 37, 16),
    "ragged": ([70, 1], 500, 130),
}


@pytest.mark.serial
@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_threads_changes_no_bit(twins, shape, monkeypatch):
    widths, n, batch_size = SHAPES[shape]
    how = {"dropout": 0.2, "clip_norm": 0.1} if shape in ("columns", "groups") else {}
    found = set()
    for backend in twins:

        def make(backend=backend):
            return make_inputs("all", widths, "squared_error", backend, "float32")

        found |= results_of_threads(make, data_for, n, batch_size, how, monkeypatch)
    assert len(found) == 1


@pytest.mark.parametrize("rows", [16, 48])
def test_blocks(twins, rows, monkeypatch):
    """Batches of several blocks: the twins agree, and only the order of sums changes."""
    whole = []
    for blocks in (False, True):
        if blocks:
            monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, rows))
        for backend in twins:
            net = make_inputs("all", [9, 3], "squared_error", backend)
            X, y = data_for(net, 130)
            loss, gradient = net.loss_and_gradient(X, y)
            net.fit(X, y, epochs=1, batch_size=100)
            whole.append(np.concatenate([[loss], together(gradient), together(net)]))
    assert np.array_equal(whole[0], whole[1]) and np.array_equal(whole[2], whole[3])
    assert error(whole[2], whole[0]) < 1e-13


def test_rows_of_weight_zero_add_nothing(backend):
    """Even if their numbers overflow."""
    net = make_inputs("all", [9, 3], "squared_error", backend)
    X, y = data_for(net, 9)
    w = np.ones(9)
    w[4] = 0
    loss, gradient = net.loss_and_gradient(X, y, w)
    X[4, 0] = 1e308
    again, same = net.loss_and_gradient(X, y, w)
    assert loss == again and np.array_equal(together(gradient), together(same))


def test_penalties_and_frozen_layers(backend):
    """Tables have neither penalties nor weight decay, and are frozen with the first layer."""
    net = make_inputs("all", [9, 3], "squared_error", backend)
    X, y = data_for(net)
    before = [array.copy() for array in [*net.embeddings, *net.missing]]
    still = fastbp.Gradient(
        *([np.zeros_like(array) for array in getattr(net, name)] for name in ("weights", "biases")),
        embeddings=[np.zeros_like(array) for array in net.embeddings],
        missing=[np.zeros_like(array) for array in net.missing],
    )
    net.apply_gradient(still, optimizer=fastbp.AdamW(0.1, weight_decay=0.5), l1=0.1, l2=0.1)
    net.fit(X, y, frozen=[0], epochs=2)
    after = [*net.embeddings, *net.missing]
    assert all(map(np.array_equal, after, before))
    net.fit(X, y, frozen=[1], epochs=1)
    assert not any(map(np.array_equal, after, before))

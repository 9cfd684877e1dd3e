"""LayerNorm, RMSNorm, residual connections and PReLU: gradients, bits and threads."""

import numpy as np
import pytest
from gradient_helpers import DIFFERENCES, STEP, torch_activations, torch_loss
from helpers import DTYPES, OPTIMIZERS, error, flat, make_data
from layer_helpers import (
    LAYERS,
    LISTS,
    SMOOTH,
    arrays_of,
    make_layers,
    results_of_threads,
    together,
    torch_layers,
)
from scipy.sparse import csr_array

import fastbp
from fastbp.basis.layout import Layout

# Independent computations of the same in float64, and the twins' distance from the reference.
SAME = 1e-10
NEAR = {"float32": 2e-5, "float64": 1e-13}
# Widths that are whole vectors and others, of a single unit, of a single output.
WIDTHS = {
    "ragged": [5, 9, 9, 9, 3],
    "one output": [3, 17, 17, 4, 1],
    "vectors": [16, 32, 32, 32, 2],
    "one unit": [4, 1, 1, 6, 2],
}

LOSSES = ["cross_entropy", "squared_error", "poisson", "log_loss"]


def data_for(net, n=11, seed=0):
    return make_data(net.loss, n, net.layout.sizes[0], net.layout.sizes[-1], seed)


def distance(comp, ref):
    """As `error`, where a normalised layer of one unit lets nothing pass but rounding errors."""
    return np.abs(comp - ref).max() / max(np.abs(ref).max(), 1e-3)


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the independent source here")


@pytest.mark.parametrize("widths, loss", list(zip(WIDTHS, LOSSES, strict=True)))
@pytest.mark.parametrize("which", LAYERS)
def test_autograd(torch, backend, which, widths, loss):
    """Outputs, losses and all gradients, that of the input among them."""
    net = make_layers(which, WIDTHS[widths], loss, backend)
    X, y = data_for(net)
    output, leaves = torch_layers(torch, net)
    x = torch.tensor(X, requires_grad=True)
    s = output(x)
    targets = np.eye(s.shape[1])[y] if y.ndim == 1 else y
    e, h = torch_loss(torch, loss, s, targets)
    e.mean().backward()
    found, gradient = net.loss_and_gradient(X, y)
    assert error(net.predict(X), h.detach().numpy()) < SAME
    assert found == pytest.approx(e.mean().item(), rel=SAME)
    for comp, leaf in zip(arrays_of(gradient), leaves, strict=True):
        assert comp.shape == leaf.shape
    assert error(together(gradient), flat([leaf.grad for leaf in leaves if leaf.numel()])) < SAME
    assert distance(net.input_gradient(X, y), x.grad.numpy() * len(X)) < SAME


@pytest.mark.nojit
@pytest.mark.parametrize("which", SMOOTH)
def test_finite_differences(backend, which):
    net = make_layers(which, [3, 5, 5, 4, 2], "squared_error", backend)
    X, y = data_for(net, 5)
    step, slopes = STEP / 4, []  # the deviation of few units curves a lot
    for array in arrays_of(net):
        for index in np.ndindex(array.shape):
            value, sides = array[index], []
            for moved in (value + step, value - step):
                array[index] = moved
                sides.append(net.loss_and_gradient(X, y)[0])
            array[index] = value
            slopes.append((sides[0] - sides[1]) / (2 * step))
    assert error(together(net.loss_and_gradient(X, y)[1]), slopes) < DIFFERENCES


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("which", ["layer", "all", "mixed"])
def test_steps_are_those_of_pytorch(torch, backend, which, optimizer):
    net = make_layers(which, WIDTHS["ragged"], "squared_error", backend)
    X, y = data_for(net, 24)
    output, leaves = torch_layers(torch, net)
    o = OPTIMIZERS[optimizer]
    how = torch.optim.SGD(leaves, o.learning_rate)
    if optimizer == "adam":
        betas = o.beta_1, o.beta_2
        how = torch.optim.Adam(leaves, o.learning_rate, betas=betas, eps=o.epsilon)
    for _ in range(3):
        for rows in (slice(0, 10), slice(10, 20), slice(20, 24)):
            how.zero_grad()
            torch_loss(torch, net.loss, output(X[rows]), y[rows])[0].mean().backward()
            how.step()
    net.fit(X, y, optimizer=o, epochs=3, batch_size=10, shuffle=False)
    assert error(together(net), flat([leaf.detach() for leaf in leaves])) < SAME


def everything(net, X, y, w=None):
    """Name -> numbers of passes, steps, and derivatives of samples and inputs."""
    loss, gradient = net.loss_and_gradient(X, y, w)
    found = {"prediction": net.predict(X), "loss": loss, "gradient": together(gradient)}
    p = net.forward(X)
    gradient, errors = p.backward(p.output)
    found["from outside"], found["errors"] = together(gradient), errors
    found["again"] = together(p.backward(p.output)[0])
    samples = net.per_sample_gradients(X, y)
    found["samples"] = together(samples)
    history = net.fit(
        *(X, y),
        **{"optimizer": OPTIMIZERS["adamw"], "epochs": 2, "batch_size": 7, "sample_weight": w},
        **{"dropout": 0.3, "clip_norm": 0.5, "average": fastbp.EMA(0.7), "l2": 0.01, "l1": 0.001},
    )
    found["losses"], found["weights"] = np.array(history.loss), together(net)
    return found


def weights_of(n):
    w = np.random.default_rng(5).uniform(0.1, 2, n)
    w[n // 2] = 0
    return w


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("widths", WIDTHS.values(), ids=WIDTHS)
@pytest.mark.parametrize("which", LAYERS)
def test_twins_and_the_reference(twins, which, widths, dtype):
    """The same bits of the twins, and nearly those of the reference."""
    loss = "log_loss" if widths[-1] == 1 else "cross_entropy"
    results = []
    for backend in (*twins, "numpy"):
        net = make_layers(which, widths, loss, backend, dtype)
        X, y = data_for(net, 23)
        results.append(everything(net, X, y, weights_of(23)))
    one, other, reference = results
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []
    assert np.array_equal(one["from outside"], one["again"])
    for name, ref in reference.items():
        assert distance(one[name], ref) < NEAR[dtype], name


@pytest.mark.nojit
@pytest.mark.parametrize("which", ["all", "mixed"])
def test_the_reference_on_a_selection(compiled, which):
    results = []
    for backend in (compiled, "numpy"):
        net = make_layers(which, WIDTHS["ragged"], "cross_entropy", backend)
        X, y = data_for(net, 17)
        results.append(everything(net, X, y, weights_of(17)))
    for name, ref in results[1].items():
        assert error(results[0][name], ref) < NEAR["float64"], name


@pytest.mark.parametrize("rows", [16, 48])
@pytest.mark.parametrize("which", ["all", "mixed"])
def test_blocks(twins, which, rows, monkeypatch):
    """Batches of several blocks: the twins agree, and only the order of sums changes."""
    whole = []
    for blocks in (False, True):
        if blocks:
            monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, rows))
        for backend in twins:
            net = make_layers(which, WIDTHS["ragged"], "squared_error", backend)
            X, y = data_for(net, 130)
            loss, gradient = net.loss_and_gradient(X, y)
            net.fit(X, y, epochs=1, batch_size=100)
            whole.append(np.concatenate([[loss], together(gradient), together(net)]))
    assert np.array_equal(whole[0], whole[1]) and np.array_equal(whole[2], whole[3])
    assert error(whole[2], whole[0]) < 1e-13


# Sizes, samples and batch size: groups of blocks, several blocks, columns that threads divide.
SHAPES = {
    "groups": ([4, 32, 32, 16, 4], 9000, 9000),
    "several blocks": ([40, 300, 300, 250, 11], 1500, 1500),
    "columns": ([20, 300, 300, 150, 3], 37, 16),
    "ragged": ([17, 70, 70, 33, 1], 500, 130),
}


@pytest.mark.serial
@pytest.mark.parametrize("shape", SHAPES)
def test_the_number_of_threads_changes_no_bit(twins, shape, monkeypatch):
    sizes, n, batch_size = SHAPES[shape]
    how = {"dropout": 0.2, "clip_norm": 0.1} if shape == "columns" else {}
    found = set()
    for backend in twins:

        def make(backend=backend):
            return make_layers("all", sizes, "squared_error", backend, "float32")

        found |= results_of_threads(make, data_for, n, batch_size, how, monkeypatch)
    assert len(found) == 1


@pytest.mark.parametrize("which", ["all", "mixed"])
def test_gradients_of_samples(backend, which):
    """A sample's gradient is that of a batch which holds nothing else."""
    net = make_layers(which, WIDTHS["ragged"], "cross_entropy", backend)
    X, y = data_for(net, 6)
    gradient = net.per_sample_gradients(X, y)
    for r in range(len(X)):
        alone = together(net.loss_and_gradient(X[r : r + 1], y[r : r + 1])[1])
        comp = np.concatenate([array[r].ravel() for array in arrays_of(gradient)])
        assert error(comp, alone) < 1e-13


@pytest.mark.parametrize("which", ["all", "mixed"])
def test_rows_of_weight_zero_add_nothing(backend, which):
    """Even if their numbers overflow."""
    net = make_layers(which, WIDTHS["ragged"], "squared_error", backend)
    X, y = data_for(net, 9)
    w = np.ones(9)
    w[4] = 0
    loss, gradient = net.loss_and_gradient(X, y, w)
    X[4] = 1e308
    again, same = net.loss_and_gradient(X, y, w)
    assert loss == again and np.array_equal(together(gradient), together(same))


def test_penalties_and_frozen_layers(backend):
    """Penalties and weight decay are for weights only; frozen layers keep all that they have."""
    net = make_layers("all", WIDTHS["ragged"], "squared_error", backend)
    X, y = data_for(net)
    before = {name: [a.copy() for a in getattr(net, name)] for name in LISTS}
    w = np.full(len(X), 1.0)
    still = fastbp.Gradient(*([np.zeros_like(a) for a in arrays] for arrays in before.values()))
    net.apply_gradient(still, optimizer=fastbp.AdamW(0.1, weight_decay=0.5))
    for name in LISTS:
        for array, old in zip(getattr(net, name), before[name], strict=True):
            assert np.array_equal(array, old) == (name != "weights")
    kept = {name: getattr(net, name)[1].copy() for name in LISTS}
    net.fit(X, y, sample_weight=w, frozen=[1], epochs=2, l1=0.1, l2=0.1)
    for name in LISTS:
        assert np.array_equal(getattr(net, name)[1], kept[name])
        assert not np.array_equal(getattr(net, name)[0], before[name][0])


@pytest.mark.parametrize("which", SMOOTH)
def test_input_derivatives_by_autograd(torch, backend, which):
    net = make_layers(which, [3, 7, 7, 5, 2], "squared_error", backend)
    X, _ = data_for(net, 6)
    output, leaves = torch_layers(torch, net)
    functions = torch_activations(torch)
    x = torch.tensor(X, requires_grad=True)
    h = functions[net.output_activation](output(x))
    first = np.zeros((6, 2, 3))
    for k in range(2):
        (slope,) = torch.autograd.grad(h[:, k].sum(), x, retain_graph=True)
        first[:, k] = slope.numpy()
    rng = np.random.default_rng(4)
    v, t = rng.standard_normal((6, 2)), rng.standard_normal((6, 3))
    assert error(net.input_jacobian(X), first) < SAME
    assert error(net.input_vjp(X, v), (v[:, :, None] * first).sum(axis=1)) < SAME
    assert error(net.input_jvp(X, t), (first * t[:, None]).sum(axis=2)) < SAME


@pytest.mark.serial
@pytest.mark.parametrize("n_in", [14, 16, 40])  # threads' shares begin among the extra rows, or not
def test_sparse_samples_give_the_bits_of_dense_ones(twins, n_in):
    found = set()
    for backend in twins:
        for threads in (1, 2, 3):
            for sparse in (True, False):
                net = make_layers("all", [n_in, 9, 9, 5, 2], "squared_error", backend, "float32")
                X, y = data_for(net, 70)
                X[np.abs(X) < 1] = 0
                samples = csr_array(X) if sparse else X
                how = {"epochs": 2, "batch_size": 33, "threads": threads, "clip_norm": 0.5}
                net.fit(samples, y, **how)
                found.add((together(net).tobytes(), net.predict(samples).tobytes()))
    assert len(found) == 1

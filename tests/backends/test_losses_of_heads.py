"""Several heads: losses and gradients against single networks and PyTorch; bits and threads."""

import numpy as np
import pytest
from gradient_helpers import DIFFERENCES, finite_differences, torch_loss, torch_network
from head_helpers import HEADS, alone, make_heads, parts_of, samples_of, together
from helpers import DTYPES, OPTIMIZERS, error, flat, use_threads
from scipy.sparse import csr_array

import fastbp
from fastbp.basis.layout import Layout

SAME = 1e-12
NEAR = {"float32": 1e-5, "float64": 1e-12}  # of the reference
# Losses of which PyTorch has a function in `torch_loss`, which knows no parameters.
OF_TORCH = {
    "log_loss": 2,
    "squared_error": 2,
    "cross_entropy": 3,
    "poisson": 1,
    "absolute_error": 1,
    "huber": 3,
}


def weights_of(n):
    """Weights of samples, one of them 0."""
    w = np.random.default_rng(5).uniform(0.1, 2, n)
    w[n // 2] = 0
    return w


def of_torch(torch, heads, weights, s, y):
    """The losses of the samples, Σ_k w_k e_k, and the outputs of each head."""
    total, outputs, at = 0.0, [], 0
    for (name, width), weight, target in zip(heads, weights, y, strict=True):
        target = np.eye(width)[target] if name == "cross_entropy" else target
        e, h = torch_loss(torch, name, s[:, at : at + width], np.reshape(target, (len(s), width)))
        total, at = total + weight * e, at + width
        outputs.append(h)
    return total, outputs


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_losses_gradients_and_steps_are_those_of_pytorch(backend, optimizer):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    heads, weights = list(OF_TORCH.items()), [0.7, 1.3, 2.0, 0.5, 0.1, 3.0]
    net = fastbp.Network(
        *([5, 8, 7, 12],),
        **{"activation": ["tanh", "silu"], "loss": heads, "loss_weights": weights, "seed": 3},
        **{"dtype": "float64", "backend": backend},
    )
    X, y = samples_of(net, 24)
    y = [
        target.astype(float) if name != "cross_entropy" else target
        for (name, _), target in zip(heads, y, strict=True)
    ]
    output, leaves = torch_network(torch, net)
    x = torch.tensor(X, requires_grad=True)
    e, outputs = of_torch(torch, heads, weights, output(x), y)
    e.mean().backward()
    loss, gradient = net.loss_and_gradient(X, y)
    assert loss == pytest.approx(e.mean().item(), rel=SAME)
    assert error(together(gradient), flat([leaf.grad for leaf in leaves])) < SAME
    assert error(net.input_gradient(X, y), x.grad.numpy() * len(X)) < SAME
    for comp, h in zip(net.predict(X), outputs, strict=True):
        assert error(comp, h.detach().numpy()) < SAME

    o = OPTIMIZERS[optimizer]
    how = torch.optim.SGD(leaves, o.learning_rate)
    if optimizer == "adam":
        betas = o.beta_1, o.beta_2
        how = torch.optim.Adam(leaves, o.learning_rate, betas=betas, eps=o.epsilon)
    for _ in range(2):
        for rows in (slice(0, 10), slice(10, 20), slice(20, 24)):
            how.zero_grad()
            part = [target[rows] for target in y]
            of_torch(torch, heads, weights, output(X[rows]), part)[0].mean().backward()
            how.step()
    net.fit(X, y, optimizer=o, epochs=2, batch_size=10, shuffle=False)
    assert error(together(net), flat([leaf.detach() for leaf in leaves])) < 1e-10


@pytest.mark.nojit
@pytest.mark.parametrize("which", ["class and count", "all"])
def test_gradients_are_slopes(backend, which):
    net = make_heads(which, backend, hidden=(4,))
    X, y = samples_of(net, 5)
    data = X, y, weights_of(5)
    gradient = together(net.loss_and_gradient(*data)[1])
    assert error(gradient, finite_differences(net, *data)) < DIFFERENCES


@pytest.mark.parametrize("which", HEADS)
def test_a_head_is_the_network_that_has_it_alone(backend, which):
    """Outputs, the weighted sum of the losses, and the sums of the gradients."""
    net = make_heads(which, backend)
    X, y = samples_of(net, 29)
    w = weights_of(29)
    total, expected = 0.0, [np.zeros_like(a) for a in (*net.weights, *net.biases)]
    predictions = net.predict(X)
    for k, (first, last) in enumerate(parts_of(net)):
        one = alone(net, k)
        loss, gradient = one.loss_and_gradient(X, y[k], w)
        weight = net.loss_weights[k]
        total += weight * loss
        arrays = [*gradient.weights, *gradient.biases]
        for array, into in zip(arrays, expected, strict=True):
            own = into[..., first:last] if into.shape != array.shape else into
            own += weight * array
        assert error(predictions[k], one.predict(X)) < SAME
    loss, gradient = net.loss_and_gradient(X, y, w)
    assert loss == pytest.approx(total, rel=SAME)
    assert error(together(gradient), flat(expected)) < SAME


@pytest.mark.parametrize("which", HEADS)
def test_hessian_products_are_those_of_single_losses(backend, which):
    """Of weights below the heads, weighted sums; outputs of different heads never meet."""
    net = make_heads(which, backend)
    X, y = samples_of(net, 29)
    w, rng = weights_of(29), np.random.default_rng(4)
    g = fastbp.Gradient(
        *([rng.standard_normal(a.shape) for a in kind] for kind in (net.weights, net.biases))
    )
    expected = [np.zeros_like(a) for a in (*net.weights, *net.biases)]
    for k, (first, last) in enumerate(parts_of(net)):
        own = fastbp.Gradient(*([*kind[:-1], kind[-1][..., first:last]] for kind in g))
        product = alone(net, k).hessian_vector_product(X, y[k], own, w)
        for array, into in zip([*product.weights, *product.biases], expected, strict=True):
            part = into[..., first:last] if into.shape != array.shape else into
            part += net.loss_weights[k] * array
    assert error(together(net.hessian_vector_product(X, y, g, w)), flat(expected)) < SAME


@pytest.mark.nojit
def test_hessian_products_are_those_of_pytorch(backend):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    heads, weights = list(OF_TORCH.items()), [0.7, 1.3, 2.0, 0.5, 0.1, 3.0]
    how = {"loss": heads, "loss_weights": weights, "seed": 3, "dtype": "float64"}
    net = fastbp.Network([5, 8, 12], activation="tanh", backend=backend, **how)
    X, y = samples_of(net, 24)
    y = [
        part if name == "cross_entropy" else 1.0 * part
        for name, part in zip(OF_TORCH, y, strict=True)
    ]
    output, leaves = torch_network(torch, net)
    mean = of_torch(torch, heads, weights, output(X), y)[0].mean()
    slopes = torch.autograd.grad(mean, leaves, create_graph=True)
    rng = np.random.default_rng(4)
    vector = [rng.standard_normal(leaf.shape) for leaf in leaves]
    parts = zip(slopes, vector, strict=True)
    along = sum((slope * torch.tensor(part)).sum() for slope, part in parts)
    ref = flat([part.numpy() for part in torch.autograd.grad(along, leaves)])
    g = fastbp.Gradient(vector[:2], vector[2:])
    assert error(together(net.hessian_vector_product(X, y, g)), ref) < 1e-10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["all", "one output"])
def test_hessian_products_have_the_same_bits(twins, which, dtype):
    found = []
    for name in twins:
        net = make_heads(which, name, dtype)
        data = samples_of(net, 29)
        g = net.loss_and_gradient(*data)[1]
        found.append(together(net.hessian_vector_product(*data, g, weights_of(29))))
    assert np.array_equal(*found)


@pytest.mark.nojit
def test_hessian_products_are_differences_of_gradients(backend):
    net, step, sides = make_heads("class and count", backend, hidden=(4,)), 1e-5, []
    X, y = samples_of(net, 5)
    g = net.loss_and_gradient(X, y)[1]
    product = together(net.hessian_vector_product(X, y, g))
    arrays = list(zip([*net.weights, *net.biases], [*g.weights, *g.biases], strict=True))
    for move in (step, -2 * step):
        for array, part in arrays:
            array += move * part
        sides.append(together(net.loss_and_gradient(X, y)[1]))
    assert error(product, (sides[0] - sides[1]) / (2 * step)) < 1e-7


@pytest.mark.parametrize("head", HEADS["all"][0], ids=lambda head: f"{head[0]} {head[1]}")
def test_one_head_has_the_bits_of_a_single_loss(compiled, head):
    name, width, *parameter = head
    how = {"activation": "tanh", "seed": 1, "backend": compiled}
    parameter = parameter[0] if parameter else None
    single = fastbp.Network([5, 9, width], loss=name, loss_parameter=parameter, **how)
    net = fastbp.Network([5, 9, width], loss=[head], **how)
    assert np.array_equal(together(net), together(single))
    X, y = samples_of(net, 40)
    for w in (None, weights_of(40)):
        one, other = net.loss_and_gradient(X, y, w), single.loss_and_gradient(X, *y, w)
        assert one[0] == other[0]
        assert np.array_equal(together(one[1]), together(other[1]))
        given = {"epochs": 2, "batch_size": 17, "sample_weight": w}
        assert net.fit(X, y, **given).loss == single.fit(X, *y, **given).loss
        assert np.array_equal(together(net), together(single))
        assert np.array_equal(net.predict(X)[0], single.predict(X))


def test_two_heads_of_squared_error_are_one(backend):
    """A loss is the sum over its outputs, so heads with weights 1 add up to the same."""
    heads, how = [("squared_error", 2), ("squared_error", 1)], {"seed": 0, "backend": backend}
    net = fastbp.Network([5, 6, 3], loss=heads, dtype="float64", **how)
    single = fastbp.Network([5, 6, 3], loss="squared_error", dtype="float64", **how)
    X, y = samples_of(net, 12)
    loss, gradient = net.loss_and_gradient(X, y)
    expected, of_single = single.loss_and_gradient(X, np.hstack(y))
    assert loss == pytest.approx(expected, rel=1e-14)
    assert error(together(gradient), together(of_single)) < 1e-14


def test_labels_have_the_bits_of_rows_that_mark_the_class(backend):
    net = make_heads("class and count", backend, "float32")
    X, (labels, counts) = samples_of(net, 20)
    one = net.loss_and_gradient(X, (labels, counts))
    other = net.loss_and_gradient(X, (np.eye(3)[labels], counts[:, None]))
    assert one[0] == other[0] and np.array_equal(together(one[1]), together(other[1]))


def everything(net, n):
    """Name -> numbers of passes, steps, and derivatives of samples."""
    X, y = samples_of(net, n)
    w = weights_of(n)
    loss, gradient = net.loss_and_gradient(X, y, w)
    p = net.forward(X)
    found = {"prediction": np.hstack(net.predict(X)), "loss": loss, "gradient": together(gradient)}
    found["outputs"], found["a row"] = p.output, np.hstack(net.predict(X[:1]))
    found["from outside"] = together(p.backward(p.output)[0])
    samples = net.per_sample_gradients(X, y)
    found["samples"] = together(samples)
    history = net.fit(
        *(X, y),
        **{"optimizer": OPTIMIZERS["adamw"], "epochs": 2, "batch_size": 7, "sample_weight": w},
        **{"dropout": 0.3, "clip_norm": 0.5, "average": fastbp.EMA(0.7), "l2": 0.01},
    )
    found["losses"], found["weights"] = np.array(history.loss), together(net)
    return found


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", HEADS)
def test_twins_and_the_reference(twins, which, dtype):
    """The same bits of the twins, and nearly those of the reference."""
    one, other, reference = (
        everything(make_heads(which, backend, dtype), 23) for backend in (*twins, "numpy")
    )
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []
    for name, ref in reference.items():
        assert error(one[name], ref) < NEAR[dtype], name


@pytest.mark.nojit
def test_the_reference_on_a_selection(compiled):
    one, reference = (everything(make_heads("all", name), 9) for name in (compiled, "numpy"))
    for name, ref in reference.items():
        assert error(one[name], ref) < NEAR["float64"], name


def test_products_in_bfloat16(twins):
    found = [
        everything(make_heads("all", name, "float32", compute_dtype="bfloat16"), 23)
        for name in twins
    ]
    assert [name for name in found[0] if not np.array_equal(found[0][name], found[1][name])] == []


@pytest.mark.parametrize("which", ["all", "one output"])
def test_blocks(twins, which, monkeypatch):
    """Batches of several blocks: the twins agree, and only the order of sums changes."""
    whole = []
    for blocks in (False, True):
        if blocks:
            monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, 16))
        for backend in twins:
            net = make_heads(which, backend)
            X, y = samples_of(net, 70)
            loss, gradient = net.loss_and_gradient(X, y)
            net.fit(X, y, epochs=1, batch_size=50)
            whole.append(np.concatenate([[loss], together(gradient), together(net)]))
    assert np.array_equal(whole[0], whole[1]) and np.array_equal(whole[2], whole[3])
    assert error(whole[2], whole[0]) < 1e-12


@pytest.mark.serial
@pytest.mark.parametrize(
    ("which", "hidden", "n", "batch_size"),
    [("all", (16,), 9000, 9000), ("wide", (200,), 100, 40), ("one output", (40,), 500, 130)],
    ids=["groups", "wide", "one output"],
)
def test_the_number_of_threads_changes_no_bit(twins, which, hidden, n, batch_size, monkeypatch):
    found = set()
    for backend in twins:
        for threads in (1, 2, 3):
            net = make_heads(which, backend, "float32", hidden)
            X, y = samples_of(net, n)
            with monkeypatch.context() as patch:
                use_threads(patch, threads)
                loss, gradient = net.loss_and_gradient(X, y)
                h = np.hstack(net.predict(X))
            net.fit(X, y, epochs=1, batch_size=batch_size, threads=threads)
            found.add((loss, together(gradient).tobytes(), h.tobytes(), together(net).tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("which", HEADS)
def test_rows_of_weight_zero_add_nothing(backend, which):
    """Even if their numbers overflow."""
    net = make_heads(which, backend)
    X, y = samples_of(net, 9)
    w = np.ones(9)
    w[4] = 0
    loss, gradient = net.loss_and_gradient(X, y, w)
    X[4] = 1e308
    again, same = net.loss_and_gradient(X, y, w)
    assert np.isfinite(loss)
    assert loss == again and np.array_equal(together(gradient), together(same))


def test_gradients_of_samples(backend):
    """A sample's gradient is that of a batch which holds nothing else."""
    net = make_heads("all", backend)
    X, y = samples_of(net, 5)
    samples = net.per_sample_gradients(X, y)
    for r in range(len(X)):
        part = [target[r : r + 1] for target in y]
        expected = together(net.loss_and_gradient(X[r : r + 1], part)[1])
        comp = flat([array[r] for array in (*samples.weights, *samples.biases)])
        assert error(comp, expected) < SAME


def test_sparse_samples_give_the_bits_of_dense_ones(twins):
    found = set()
    for backend in twins:
        for sparse in (True, False):
            net = make_heads("class and count", backend, "float32")
            X, y = samples_of(net, 70)
            X[np.abs(X) < 1] = 0
            samples = csr_array(X) if sparse else X
            net.fit(samples, y, epochs=2, batch_size=33)
            found.add((together(net).tobytes(), np.hstack(net.predict(samples)).tobytes()))
    assert len(found) == 1

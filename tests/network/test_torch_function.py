"""`fastbp.torch_function`: networks in PyTorch's autograd graph, beside modules of `to_torch`."""

import copy
import pickle
import sys

import numpy as np
import pytest
from helpers import DTYPES, error, flat, make_network, parameters

import fastbp

torch = pytest.importorskip("torch", reason="it is about PyTorch")

LOSSES = ["squared_error", "log_loss", "poisson", "cross_entropy"]


def start(backend, loss="squared_error", dtype="float64", sizes=(4, 9, 3)):
    net = make_network([*sizes], loss, backend, dtype)
    X = np.random.default_rng(3).standard_normal((8, sizes[0])).astype(dtype)
    return net, torch.from_numpy(X)


def together(gradient):
    return flat([*gradient.weights, *gradient.biases])


def of_module(module):
    """The gradients of a module of `to_torch`, in the order of `together`."""
    layers = [layer for layer in module if isinstance(layer, torch.nn.Linear)]
    arrays = [layer.weight.grad.numpy().T for layer in layers]
    return flat([*arrays, *(layer.bias.grad.numpy() for layer in layers)])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients(backend, loss, dtype):
    """Between layers of torch's, twice in one graph; L is no loss of the network's."""
    net, data = start(backend, loss, dtype)
    f, module = fastbp.torch_function(net), net.to_torch()
    mixing = torch.linspace(-1, 1, 12, dtype=data.dtype).reshape(3, 4)
    results = []
    for function in (f, module):
        X = data.clone().requires_grad_()
        h = function(X)
        L = torch.sin(h).sum() + (function(torch.tanh(h @ mixing)) ** 2).mean()
        L.backward()
        results.append((h.detach().numpy(), X.grad.numpy()))
    same = {"float32": 1e-5, "float64": 1e-12}[dtype]
    for comp, ref in zip(*results, strict=True):
        assert comp.dtype == dtype and error(comp, ref) < same
    assert error(together(f.gradient), of_module(module)) < same


def test_passes_add_up_until_a_step(backend):
    net, X = start(backend)
    f, module = fastbp.torch_function(net), net.to_torch()
    assert f.gradient is None
    for function in (f, module):
        function(X[:3]).sum().backward()
        L = (function(X) ** 2).sum()
        L.backward(retain_graph=True)
        L.backward()
    assert error(together(f.gradient), of_module(module)) < 1e-12
    ref = copy.deepcopy(net)
    ref.apply_gradient(f.gradient, optimizer=fastbp.SGD(0.1), clip_norm=0.5, l2=0.1, frozen=[1])
    f.step(optimizer=fastbp.SGD(0.1), clip_norm=0.5, l2=0.1, frozen=[1])
    assert parameters(net).tobytes() == parameters(ref).tobytes()
    assert f.gradient is None
    f(X).sum().backward()
    f.zero_grad()
    assert f.gradient is None


def test_training_with_a_module_of_torch(backend):
    """Ten steps of both, beside torch's optimiser for everything."""
    net, X = start(backend)
    y = torch.cos(X[:, :3])
    layers = [torch.nn.Linear(4, 4, dtype=torch.float64) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    f, module = fastbp.torch_function(net), net.to_torch()
    ours = torch.optim.Adam(layers[0].parameters(), 0.01)
    theirs = torch.optim.Adam([*layers[1].parameters(), *module.parameters()], 0.01)
    for _ in range(10):
        ours.zero_grad(), theirs.zero_grad()
        ((f(layers[0](X)) - y) ** 2).mean().backward()
        ((module(layers[1](X)) - y) ** 2).mean().backward()
        ours.step(), theirs.step(), f.step(optimizer=fastbp.Adam(0.01))
    assert error(f(layers[0](X)).detach().numpy(), module(layers[1](X)).detach().numpy()) < 1e-10


def test_constant_parameters(backend):
    """A critic, through which an actor is trained; only the input's gradient is wanted."""
    net, data = start(backend)
    f, module = fastbp.torch_function(net, parameters=False), net.to_torch()
    X, own = (data.clone().requires_grad_() for _ in range(2))
    (f(X) ** 2).sum().backward()
    (module(own) ** 2).sum().backward()
    assert error(X.grad.numpy(), own.grad.numpy()) < 1e-12
    assert f.gradient is None
    assert not f(data).requires_grad
    with pytest.raises(RuntimeError, match="no gradient .* parameters=False"):
        f.step()


def test_autograd_grad_leaves_the_gradient_alone(backend):
    """As torch does: only what was asked for."""
    net, X = start(backend)
    f = fastbp.torch_function(net)
    X.requires_grad_()
    (found,) = torch.autograd.grad(f(X).sum(), X)
    assert f.gradient is None and X.grad is None
    gradient, expected = net.forward(X.detach().numpy()).backward(np.ones((8, 3)))
    assert found.numpy().tobytes() == expected.tobytes()
    f(X.detach()).sum().backward()
    assert together(f.gradient).tobytes() == together(gradient).tobytes()


def test_without_recording(backend):
    net, X = start(backend)
    f = fastbp.torch_function(net)
    X.requires_grad_()
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            h = f(X)
        assert not h.requires_grad
        assert np.array_equal(h.numpy(), net.predict(X.detach().numpy()))
    assert f(X).requires_grad and f(X.detach()).requires_grad


def penalty(f, X):
    (by_X,) = torch.autograd.grad(f(X).sum(), X, create_graph=True)
    (by_X**2).sum().backward()


def penalty_in_a_sum(f, X):
    h = f(X)
    (by_X,) = torch.autograd.grad(h.sum(), X, create_graph=True)
    (h.sum() + (by_X**2).sum()).backward()


def hessian(f, X):
    torch.autograd.functional.hessian(lambda X: (f(X) ** 2).sum(), X)


def hessian_by_what_follows(f, X):
    """∂²L/∂X∂w, where L is linear in w."""
    w = torch.ones(3, dtype=X.dtype, requires_grad=True)
    (by_X,) = torch.autograd.grad((f(X) * w).sum(), X, create_graph=True)
    torch.autograd.grad(by_X.sum(), w)


def hessian_by_weights(f, X):
    (f(X) ** 2).sum().backward(create_graph=True, inputs=f._leaves)
    torch.autograd.grad(f._leaves[0].grad.sum(), X)


@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")
@pytest.mark.parametrize(
    "use", [penalty, penalty_in_a_sum, hessian, hessian_by_what_follows, hessian_by_weights]
)
def test_no_second_derivatives(backend, use):
    """Above all, they are not silently zero."""
    net, X = start(backend)
    with pytest.raises(RuntimeError, match=r"no second derivatives.*Network\.to_torch"):
        use(fastbp.torch_function(net), X.requires_grad_())


def test_a_graph_of_first_derivatives_may_be_made(backend):
    net, X = start(backend)
    f = fastbp.torch_function(net)
    X.requires_grad_()
    (found,) = torch.autograd.grad(f(X).sum(), X, create_graph=True)
    (expected,) = torch.autograd.grad(f(X).sum(), X)
    assert torch.equal(found.detach(), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # in torch's own forward mode
@pytest.mark.parametrize("transform", ["vmap", "grad", "jvp", "forward_ad"])
@pytest.mark.parametrize("constant", [False, True])
def test_other_transforms_are_refused(transform, constant):
    net, X = start("numpy")
    f = fastbp.torch_function(net, parameters=not constant)
    with pytest.raises((RuntimeError, NotImplementedError), match="setup_context|jvp"):
        match transform:
            case "vmap":
                torch.func.vmap(f)(X[None])
            case "grad":
                torch.func.grad(lambda X: f(X).sum())(X)
            case "jvp":
                torch.func.jvp(f, (X,), (X,))
            case "forward_ad":
                with torch.autograd.forward_ad.dual_level(), torch.no_grad():
                    f(torch.autograd.forward_ad.make_dual(X, X))


def test_changed_weights_are_noticed(backend):
    net, X = start(backend)
    L = fastbp.torch_function(net)(X).sum()
    net.biases[0][0] += 1
    with pytest.raises(RuntimeError, match="have changed since the forward pass"):
        L.backward()


def test_nothing_of_the_caller_is_changed_nor_kept(backend):
    net, X = start(backend)
    f = fastbp.torch_function(net)
    h = f(X)
    before, values = X.clone(), h.detach().clone()
    X.mul_(7)  # the pass has a copy
    h.sum().backward()
    assert torch.equal(X, before * 7)
    ref, _ = net.forward(before.numpy()).backward(np.ones((8, 3)))
    assert together(f.gradient).tobytes() == together(ref).tobytes()
    with torch.no_grad():
        f(before).zero_()
    assert torch.equal(f(before).detach(), values)


@pytest.mark.parametrize("dtype", DTYPES)
def test_tensors_of_all_layouts(backend, dtype):
    """Transposed, expanded, with steps, and conjugate or negative views."""
    net, X = start(backend, dtype=dtype)
    f, expected = fastbp.torch_function(net), net.predict(X.numpy())
    kinds = {
        "transposed": X.T.contiguous().T,
        "steps": X.repeat_interleave(2, dim=1)[:, ::2],
        "negative": torch.complex(torch.zeros_like(X), -X).conj().imag,
    }
    assert kinds["negative"].is_neg()
    for name, tensor in kinds.items():
        assert np.array_equal(f(tensor).detach().numpy(), expected), name
    one = X[:1].expand(8, 4).requires_grad_()
    f(one).backward(torch.ones((), dtype=X.dtype).expand(8, 3))
    ref, _ = net.forward(one.detach().numpy()).backward(np.ones((8, 3)))
    assert error(together(f.gradient), together(ref)) < 1e-6


@pytest.mark.parametrize(
    ("X", "problem", "words"),
    [
        (np.ones((2, 4)), TypeError, "X must be a torch.Tensor, got ndarray"),
        ([[1.0] * 4], TypeError, "X must be a torch.Tensor, got list"),
        (torch.ones(2, 4), TypeError, r"torch.float32, but .* torch.float64; pass X.to\("),
        (torch.ones(2, 4, dtype=torch.int64), TypeError, "X is torch.int64"),
        (torch.ones(2, 4, dtype=torch.bfloat16), TypeError, "X is torch.bfloat16"),
        (torch.ones(2, 4, dtype=torch.complex128), TypeError, "X is torch.complex128"),
        (torch.ones(2, 4, dtype=torch.float64, device="meta"), ValueError, "on meta.*X.cpu"),
        (torch.ones(2, 4, dtype=torch.float64).to_sparse(), ValueError, "sparse .*to_dense"),
        (torch.ones(2, 3, dtype=torch.float64), ValueError, "X has 3 features, but"),
        (torch.ones(4, dtype=torch.float64), ValueError, "X must be 2-D"),
        (torch.ones(2, 2, 4, dtype=torch.float64), ValueError, "X must be 2-D"),
        (torch.ones(0, 4, dtype=torch.float64), ValueError, "X has no rows"),
        (torch.full((2, 4), torch.nan, dtype=torch.float64), ValueError, "X has NaN or infinite"),
    ],
)
def test_bad_tensors(X, problem, words):
    net, _ = start("numpy")
    f = fastbp.torch_function(net)
    for context in (torch.enable_grad, torch.no_grad):
        with context(), pytest.raises(problem, match=words):
            f(X)
    assert f.gradient is None


def test_bad_derivatives_and_steps(backend):
    net, X = start(backend)
    f = fastbp.torch_function(net)
    before = parameters(net).tobytes()
    with pytest.raises(ValueError, match="dL_dh has NaN or infinite"):
        (f(X).sum() * torch.nan).backward()
    assert f.gradient is None
    with pytest.raises(RuntimeError, match=r"no gradient to step with; call backward\(\)"):
        f.step()
    f(X).sum().backward()
    kept = together(f.gradient).tobytes()
    with pytest.raises(ValueError, match="clip_norm"):
        f.step(clip_norm=-1.0)
    assert together(f.gradient).tobytes() == kept
    assert parameters(net).tobytes() == before


@pytest.mark.parametrize("bad", [None, "net", torch.nn.Linear(2, 2)])
def test_what_is_no_network(bad):
    with pytest.raises(TypeError, match="network must be a fastbp.Network"):
        fastbp.torch_function(bad)


def test_bad_option():
    net, _ = start("numpy")
    with pytest.raises(TypeError, match="parameters must be True or False, got 1"):
        fastbp.torch_function(net, parameters=1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))])
def test_copies_have_their_own_network(copied):
    net, X = start("numpy")
    f = fastbp.torch_function(net)
    f(X).sum().backward()
    other = copied(f)
    assert other.gradient is None
    other(X).sum().backward()
    before = parameters(net)
    other.step(optimizer=fastbp.SGD(0.1))
    assert np.array_equal(parameters(net), before)
    assert not np.array_equal(parameters(other.network), before)


def test_without_torch(monkeypatch):
    net, _ = start("numpy")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "fastbp.exchange.autograd", raising=False)
    with pytest.raises(ImportError, match="torch_function needs torch: pip install torch"):
        fastbp.torch_function(net)


def test_repr():
    net = fastbp.Network([2, 1], loss="huber", backend="numpy")
    assert repr(fastbp.torch_function(net)) == f"torch_function({net!r})"
    constant = fastbp.torch_function(net, parameters=False)
    assert repr(constant) == f"torch_function({net!r}, parameters=False)"

"""Networks to PyTorch and back: PyTorch's own predictions are the same."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES, TARGETS, error, make_network, outputs_for, parameters

import fastbp

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

ROUNDING = {"float32": 2e-6, "float64": 1e-14}


def predictions(module, X, dtype):
    with torch.no_grad():
        return module(torch.from_numpy(X.astype(dtype))).numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_to_torch_and_back(activation, dtype, rng):
    net = make_network([3, 8, 5, 2], "squared_error", "auto", dtype, activation)
    X = 5 * rng.standard_normal((50, 3))
    module = net.to_torch()
    allowed = ROUNDING[dtype] * (10 if activation == "sin" else 1)  # its weights are large
    assert error(predictions(module, X, dtype), net.predict(X)) < allowed
    again = fastbp.Network.from_torch(module)
    assert again.layout == net.layout
    assert np.array_equal(parameters(again), parameters(net))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", TARGETS)
def test_output_activations(loss, dtype, rng):
    net = make_network([3, 8, outputs_for(loss, 3)], loss, "auto", dtype)
    X = rng.standard_normal((50, 3))
    module = net.to_torch()
    assert error(predictions(module, X, dtype), net.predict(X)) < ROUNDING[dtype]
    again = fastbp.Network.from_torch(module, loss=loss)
    assert np.array_equal(again.predict(X), net.predict(X))
    # What PyTorch calls logits: the same module without its end.
    if net.output_activation != "identity":
        of_logits = fastbp.Network.from_torch(module[:-1], loss=loss)
        assert np.array_equal(of_logits.predict(X), net.predict(X))


def test_default_losses():
    for end, loss in [
        ([], "squared_error"),
        ([nn.Sigmoid()], "log_loss"),
        ([nn.Softmax(dim=-1)], "cross_entropy"),
    ]:
        net = fastbp.Network.from_torch(nn.Sequential(nn.Linear(3, 2), *end))
        assert net.loss == loss


def test_state_dict(rng):
    module = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))
    X = rng.standard_normal((20, 3))
    net = fastbp.Network.from_torch(module.state_dict(), activation="silu", loss="squared_error")
    assert error(net.predict(X), predictions(module, X, "float32")) < ROUNDING["float32"]
    other = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))
    other.load_state_dict(net.to_torch().state_dict())
    assert np.array_equal(predictions(other, X, "float32"), predictions(net.to_torch(), X, "f4"))


def test_nested_with_dropout(rng):
    inner = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5))
    ends = nn.Identity(), nn.Flatten()
    module = nn.Sequential(*ends, inner, nn.Linear(4, 4), nn.Linear(4, 1), *ends).eval()
    net = fastbp.Network.from_torch(module)
    assert net.layout.activations == ("relu", "identity")
    X = rng.standard_normal((20, 3))
    assert error(net.predict(X), predictions(module, X, "float32")) < ROUNDING["float32"]


@pytest.mark.parametrize(
    "layers, message",
    [
        (
            [nn.Linear(2, 3), nn.LeakyReLU(0.2), nn.Linear(3, 1)],
            r"module\[1\].*negative_slope=0.01",
        ),
        ([nn.Linear(2, 3), nn.ELU(0.5), nn.Linear(3, 1)], "alpha=1 only"),
        ([nn.Linear(2, 3), nn.GELU("tanh"), nn.Linear(3, 1)], "approximate='none' only"),
        ([nn.Linear(2, 3), nn.Softplus(2), nn.Linear(3, 1)], "beta=1 only"),
        ([nn.Linear(2, 3), nn.CELU(), nn.Linear(3, 1)], r"module\[1\] is CELU"),
        ([nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)], "BatchNorm1d"),
        ([nn.Linear(2, 3), nn.Softmax(dim=0)], "dim=1 only"),
        (
            [nn.Linear(2, 3), nn.Softmax(dim=1), nn.Linear(3, 1)],
            r"module\[1\].* at its output only",
        ),
        ([nn.ReLU(), nn.Linear(2, 3)], "before the first linear layer"),
        ([nn.Linear(2, 3), nn.ReLU(), nn.Tanh(), nn.Linear(3, 1)], "follows an activation"),
        ([nn.Linear(2, 3), nn.Linear(2, 3)], "do not form a chain"),
        ([nn.Linear(2, 3).half()], "float32 or float64"),
        ([nn.Linear(2, 3, device="meta")], "device meta"),
        ([nn.LazyLinear(3)], "LazyLinear"),
        ([nn.Linear(2, 3), nn.Linear(3, 1).double()], "throughout"),
        ([], "no linear layer"),
        ([nn.Linear(2, 3), nn.Softplus(threshold=3), nn.Linear(3, 1)], "threshold=20 only"),
        ([nn.Linear(2, 3), nn.Softplus(threshold=1000), nn.Linear(3, 1)], "threshold=20 only"),
        ([nn.Flatten(0), nn.Linear(2, 3)], "start_dim=1 only"),
        ([nn.DataParallel(nn.Linear(2, 3))], r"pass its \.module"),
        ([torch.compile(nn.Linear(2, 3), backend="eager")], r"pass its \._orig_mod"),
        ([nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))], "remove_parametrizations"),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning"
)  # of LazyLinear and weight_norm
def test_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_torch(nn.Sequential(*layers))


def test_modules_used_twice(rng):
    act, dense = nn.ReLU(), nn.Linear(4, 4)
    block = nn.Sequential(dense, act)
    module = nn.Sequential(nn.Linear(3, 4), act, dense, act, block, block, nn.Linear(4, 1))
    net = fastbp.Network.from_torch(module)
    assert net.layout.activations == ("relu",) * 4
    X = rng.standard_normal((20, 3))
    assert error(net.predict(X), predictions(module, X, "float32")) < ROUNDING["float32"]


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class Shifted(nn.Sequential):
    def forward(self, x):
        return 1 + super().forward(x)


def layers_of_three():
    return [nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)]


def hooked(module, place):
    module.get_submodule(place).register_forward_hook(lambda module, inputs, output: 2 * output)
    return module


def prehooked(module, place):
    module.get_submodule(place).register_forward_pre_hook(lambda module, inputs: (inputs[0] + 1,))
    return module


def pruned(module):
    prune.l1_unstructured(module[0], "weight", 3)
    module[0].weight_orig.data.mul_(2)  # as an optimiser does; weight follows when it is run
    return module


def normed(module, norm):
    norm(module[0])
    return module


def with_forward(module, name):
    setattr(module[1], name, lambda x: 0 * x)
    return module


class Users(nn.Module):
    """Like most modules: layers are made in __init__ and used in forward."""

    def __init__(self, layers):
        super().__init__()
        self.fc1, self.fc2 = layers[0], layers[2]

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


def containing_itself(module):
    return module.append(module)


def with_narrow_bias(module):
    module[0].bias = nn.Parameter(torch.ones(1))
    return module


class Wrapped(torch.Tensor):
    """Stands for tensors that are more than their numbers: quantised, distributed, lazy."""


def with_wrapped_weight(module):
    module[0].weight = nn.Parameter(module[0].weight.detach().as_subclass(Wrapped))
    return module


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda module: hooked(module, ""), "module has forward hooks"),
        (lambda module: hooked(module, "1"), r"module\[1\] has forward hooks"),
        (lambda module: prehooked(module, ""), "module has forward hooks"),
        (lambda module: prehooked(module, "0"), r"module\[0\] has forward hooks"),
        (lambda module: normed(module, nn.utils.weight_norm), r"module\[0\] has forward hooks"),
        (lambda module: normed(module, nn.utils.spectral_norm), r"module\[0\] has forward hooks"),
        (pruned, r"module\[0\] has forward hooks.*prune.remove"),
        (lambda module: with_forward(module, "forward"), r"module\[1\] has its own forward"),
        (lambda module: with_forward(module, "_call_impl"), r"module\[1\] has its own _call_impl"),
        (lambda module: Shifted(*module), "Shifted, a subclass of Sequential"),
        (lambda module: nn.Sequential(Doubled(3, 4), *module[1:]), "Doubled, a subclass of Linear"),
        (torch.jit.script, "RecursiveScriptModule"),
        (torch.fx.symbolic_trace, "module is Sequential, of torch.fx"),
        (nn.ModuleList, "ModuleList"),
        (Users, r"Users, a class whose forward may .* state_dict\(\) and activation="),
        (lambda module: module.append(nn.LogSoftmax(1)), r'module\[:-1\], and pass loss="cross_en'),
        (containing_itself, "contains itself"),
        (with_narrow_bias, r"shapes \(3, 4\) and \(1,\)"),
        (with_wrapped_weight, r"module\[0\].weight is a Wrapped"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_not_certainly_the_same(change, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_torch(change(nn.Sequential(*layers_of_three())))


@pytest.mark.serial
def test_classes_that_compute_something_else(monkeypatch):
    """What cannot be seen in a module shows when it is run."""
    module = nn.Sequential(*layers_of_three())
    hook = nn.modules.module.register_module_forward_hook(lambda module, inputs, output: -output)
    try:
        with pytest.raises(ValueError, match="register_module_forward_hook"):
            fastbp.Network.from_torch(module)
    finally:
        hook.remove()
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: x @ self.weight.T)
    with pytest.raises(ValueError, match="outputs for random rows are not those of a Network"):
        fastbp.Network.from_torch(module)
    monkeypatch.setattr(nn.Sequential, "forward", lambda self, x: self[0](x))
    with pytest.raises(ValueError, match=r"their shape is \(32, 4\), not \(32, 2\)"):
        fastbp.Network.from_torch(module)
    monkeypatch.undo()
    fastbp.Network.from_torch(module)


@pytest.mark.serial  # the generator is everybody's
def test_module_stays_as_it_is(rng):
    module = nn.Sequential(*layers_of_three(), nn.Dropout(0.5)).train()
    module[0].weight.requires_grad_(False)
    module[2].weight.grad = grad = torch.ones(2, 4)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.get_rng_state()
    fastbp.Network.from_torch(module)
    assert all(layer.training for layer in module.modules())
    assert not module[0].weight.requires_grad and module[2].weight.requires_grad
    assert module[2].weight.grad is grad and module[0].weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert all(tensor.device.type == "cpu" for tensor in module.state_dict().values())


def test_pruned_for_good_and_other_harmless_things(rng):
    module = nn.Sequential(*layers_of_three())
    prune.remove(pruned(module)[0], "weight")
    module[0].register_full_backward_hook(lambda *_: None)
    module[2].weight.data = module[2].weight.data.T.contiguous().T  # other strides
    module.compile(backend="eager")  # the same function; it is not compiled here
    with torch.autocast("cpu", torch.bfloat16):
        net = fastbp.Network.from_torch(module)
    assert (net.weights[0] == 0).sum() == 3
    X = rng.standard_normal((20, 3))
    again = nn.Sequential(*layers_of_three())
    again.load_state_dict(module.state_dict())
    assert error(net.predict(X), predictions(again, X, "float32")) < ROUNDING["float32"]


CHOICES = [
    *(nn.Identity, nn.Sigmoid, nn.Tanh, nn.ReLU, nn.SiLU, nn.GELU, nn.ELU, nn.Dropout, nn.Flatten),
    *(lambda: nn.LeakyReLU(0.01), nn.Softplus, lambda: nn.ReLU(inplace=True)),
    *(nn.LeakyReLU, lambda: nn.LeakyReLU(0.3), lambda: nn.GELU("tanh"), lambda: nn.ELU(0.5)),
    *(lambda: nn.Softplus(threshold=2), lambda: nn.Softplus(3), nn.ReLU6, nn.SELU, nn.Mish),
    *(lambda: nn.Softmax(0), lambda: nn.Softmax(1), lambda: nn.Threshold(0.1, 0), nn.Softsign),
    *(lambda: nn.BatchNorm1d(3), lambda: nn.LayerNorm(3), lambda: nn.LogSoftmax(1)),
]


def test_random_chains():
    """The same predictions, or a refusal; and enough of both."""
    taken = 0
    for n in range(300):
        rng = np.random.default_rng(n)
        torch.manual_seed(n)
        dtype = ["float32", "float64"][n % 2]
        layers = []
        for _ in range(rng.integers(1, 4)):
            layers.append(nn.Linear(3, 3))
            last = CHOICES[rng.integers(len(CHOICES) if rng.random() < 0.2 else 12)]()
            layers += [last] if rng.random() < 0.8 else [layers[rng.integers(len(layers))]]
        module = nn.Sequential(*layers, nn.Linear(3, 2)).to(getattr(torch, dtype))
        if rng.random() < 0.1:
            hooked(module, str(rng.integers(len(module))))
        try:
            net = fastbp.Network.from_torch(module, backend="numpy")
        except ValueError as refusal:
            assert str(refusal)
            continue
        taken += 1
        X = 3 * rng.standard_normal((20, 3))
        expected = predictions(module.eval(), X, dtype)
        assert error(net.predict(X), expected) < {"float32": 1e-5, "float64": 1e-10}[dtype], n
    assert 50 < taken < 250


def state_of(sizes_of):
    """A state_dict of layers {name: (n_in, n_out)}, in that order."""
    return {
        f"{name}.{key}".lstrip("."): value
        for name, sizes in sizes_of.items()
        for key, value in nn.Linear(*sizes).state_dict().items()
    }


@pytest.mark.parametrize(
    "sizes_of, order",
    [
        (dict.fromkeys(["0", "10", "2"], (4, 4)), "0 2 10"),
        (dict.fromkeys(["net.3", "net.20", "net.1"], (4, 4)), "net.1 net.3 net.20"),
        (dict.fromkeys(["module.fc10", "module.fc9"], (4, 4)), "module.fc9 module.fc10"),
        (dict.fromkeys(["b.1.x", "b.0.x"], (4, 4)), "b.0.x b.1.x"),
        ({"out": (8, 1), "hidden": (4, 8)}, "hidden out"),
        ({"out": (8, 1), "fc2": (8, 8), "fc3": (8, 8), "fc1": (4, 8)}, "fc1 fc2 fc3 out"),
        ({"": (3, 2)}, ""),
    ],
)
def test_order_of_a_state_dict(sizes_of, order):
    state = state_of(sizes_of)
    net = fastbp.Network.from_torch(state, activation="relu", loss="squared_error")
    for name, W in zip(order.split(" "), net.weights, strict=True):
        assert np.array_equal(W, state[f"{name}.weight".lstrip(".")].T)


ODD = {
    "0.weight": torch.ones(3, 2),
    "0.bias": torch.ones(3),
    "2.weight": torch.ones(1, 3),
    "2.bias": torch.ones(1),
}


@pytest.mark.parametrize("activation", [None, (), "relu"])
def test_a_state_dict_without_hidden_layers_has_no_activations(rng, activation):
    module = nn.Sequential(nn.Linear(3, 2))
    net = fastbp.Network.from_torch(module.state_dict(), activation=activation, loss="huber")
    assert net.layout.sizes == (3, 2) and net.layout.activations == ()
    X = rng.standard_normal((5, 3)).astype(np.float32)
    assert error(net.predict(X), module(torch.from_numpy(X)).detach().numpy()) < 1e-6


@pytest.mark.parametrize(
    "state, message",
    [
        (
            state_of({"out": (4, 4), "hidden": (4, 4)}),
            "order of the state_dict's layers is ambiguous",
        ),
        (
            state_of({"encoder.0": (4, 2), "encoder.2": (2, 3), "decoder.0": (3, 4)}),
            "ambiguous, 'encoder.0', 'encoder.2', 'decoder.0' and 'decoder.0', 'encoder.0', 'enc",
        ),
        (state_of({"0": (4, 3), "2": (2, 4)}), "do not form a chain"),
        (state_of({"a": (4, 3), "b": (2, 5)}), "do not form a chain in any order"),
        (state_of({"fc1": (4, 4), "fc01": (4, 4)}), "'fc1' and 'fc01' have the same number"),
        (state_of({chr(97 + i): (4, 4) for i in range(26)}), "are too different"),
        (ODD | {"1.running_mean": torch.ones(3)}, "'1.running_mean' of shape"),
        (ODD | {"1.weight": torch.ones(1)}, "'1.weight' of shape"),
        (ODD | {"0.weight_orig": torch.ones(3, 2)}, "'0.weight_orig' of shape"),
        (ODD | {"embedding.weight": torch.ones(2, 2)}, r"'embedding' has weight \(2, 2\)"),
        (ODD | {"0.bias": torch.ones(2)}, r"'0' has weight \(3, 2\), bias \(2,\)"),
        (ODD | {"3.bias": torch.ones(3)}, r"'3' has bias \(3,\)"),
        (nn.RNN(2, 3).state_dict(), "'weight_ih_l0'"),
    ],
)
def test_refused_state_dicts(state, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_torch(state, activation="relu", loss="squared_error")


def test_refused_arguments():
    module = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))
    with pytest.raises(ValueError, match="ends in softmax; losses with softmax: cross_entropy"):
        fastbp.Network.from_torch(module, loss="log_loss")
    with pytest.raises(ValueError, match="unknown loss 'hinge'"):
        fastbp.Network.from_torch(module, loss="hinge")
    with pytest.raises(ValueError, match="activation is only for a state_dict"):
        fastbp.Network.from_torch(module, activation="relu")
    deep = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with pytest.raises(ValueError, match="activations of its hidden layers: pass activation="):
        fastbp.Network.from_torch(deep.state_dict())
    with pytest.raises(ValueError, match="no weights"):
        fastbp.Network.from_torch({}, activation="relu")
    norm = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="'1.weight' of shape"):
        fastbp.Network.from_torch(norm.state_dict(), activation="relu")
    with pytest.raises(TypeError, match="'model' is a dict itself; if that is the state_dict"):
        fastbp.Network.from_torch({"model": norm.state_dict()}, activation="relu")
    with pytest.raises(TypeError, match="must be a tensor, got int"):
        fastbp.Network.from_torch({"0.weight": 1}, activation="relu")
    with pytest.raises(TypeError, match="must be strings, got 0"):
        fastbp.Network.from_torch({0: torch.eye(2)}, activation="relu")
    sparse = {"0.weight": torch.eye(2).to_sparse()}
    with pytest.raises(ValueError, match=r"0.weight is sparse .*; pass its to_dense\(\)"):
        fastbp.Network.from_torch(sparse, activation="relu")
    net = fastbp.Network([2, 1], loss="squared_error")
    net.weights[0][0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net.to_torch()

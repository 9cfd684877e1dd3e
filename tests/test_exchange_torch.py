"""Networks to PyTorch and back: PyTorch's own predictions are the same."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES, TARGETS, error, make_network, outputs_for, parameters

import fastbp

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

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
    assert error(predictions(module, X, dtype), net.predict(X)) < ROUNDING[dtype]
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
    if net._loss.output_activation != "identity":
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
    module = nn.Sequential(nn.Linear(3, 4, bias=False), nn.SiLU(), nn.Linear(4, 2))
    X = rng.standard_normal((20, 3))
    net = fastbp.Network.from_torch(module.state_dict(), activation="silu", loss="squared_error")
    assert error(net.predict(X), predictions(module, X, "float32")) < ROUNDING["float32"]
    assert not net.biases[0].any()
    other = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.Linear(4, 2))
    other.load_state_dict(net.to_torch().state_dict())
    assert np.array_equal(predictions(other, X, "float32"), predictions(net.to_torch(), X, "f4"))


def test_nested_with_dropout(rng):
    inner = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.ReLU(), nn.Dropout(0.5))
    module = nn.Sequential(inner, nn.Linear(4, 4), nn.Linear(4, 1)).eval()
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
        ([nn.Linear(2, 3), nn.Mish(), nn.Linear(3, 1)], r"module\[1\] is Mish"),
        ([nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)], "BatchNorm1d"),
        ([nn.Linear(2, 3), nn.Softmax(dim=0)], "dim=1 only"),
        ([nn.Linear(2, 3), nn.Softmax(dim=1), nn.Linear(3, 1)], "unknown activation 'softmax'"),
        ([nn.Linear(2, 3), nn.ReLU()], "ends in relu"),
        ([nn.ReLU(), nn.Linear(2, 3)], "before the first nn.Linear"),
        ([nn.Linear(2, 3), nn.ReLU(), nn.Tanh(), nn.Linear(3, 1)], "follows on an activation"),
        ([nn.Linear(2, 3), nn.Linear(2, 3)], "do not follow on each other"),
        ([nn.Linear(2, 3).half()], "float32 or float64"),
        ([nn.Linear(2, 3, device="meta")], "device meta"),
        ([nn.LazyLinear(3)], "LazyLinear"),
        ([nn.Linear(2, 3), nn.Linear(3, 1).double()], "throughout"),
        ([], "no nn.Linear"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # of LazyLinear
def test_refused(layers, message):
    with pytest.raises(ValueError, match=message):
        fastbp.Network.from_torch(nn.Sequential(*layers))


def test_refused_arguments():
    module = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))
    with pytest.raises(ValueError, match="ends in softmax; losses for that: cross_entropy"):
        fastbp.Network.from_torch(module, loss="log_loss")
    with pytest.raises(ValueError, match="unknown loss 'hinge'"):
        fastbp.Network.from_torch(module, loss="hinge")
    with pytest.raises(ValueError, match="activation is for a state_dict"):
        fastbp.Network.from_torch(module, activation="relu")
    with pytest.raises(ValueError, match='pass activation="relu"'):
        fastbp.Network.from_torch(module.state_dict())
    with pytest.raises(ValueError, match="no weights"):
        fastbp.Network.from_torch({}, activation="relu")
    norm = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(ValueError, match="'1.weight' of shape"):
        fastbp.Network.from_torch(norm.state_dict(), activation="relu")
    with pytest.raises(TypeError, match="must be a tensor, got int"):
        fastbp.Network.from_torch({"0.weight": 1}, activation="relu")
    sparse = {"0.weight": torch.eye(2).to_sparse()}
    with pytest.raises(ValueError, match=r"0.weight is sparse .*; pass its to_dense\(\)"):
        fastbp.Network.from_torch(sparse, activation="relu")
    net = fastbp.Network([2, 1], loss="squared_error")
    net.weights[0][0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        net.to_torch()

"""Networks to and from torch.nn.Sequential. Imported only where PyTorch is asked for."""

from collections.abc import Callable, Mapping

import numpy as np

try:
    import torch
    from torch import nn
except ImportError as error:
    raise ImportError("exchange with PyTorch needs torch: pip install torch") from error

from .chain import Chain, network_of


class Exp(nn.Module):
    """The output activation of the loss "poisson", for which torch.nn has no module."""

    def forward(self, s):
        return torch.exp(s)


# torch's Softplus is the identity above its threshold, 20 by default, where float64 still sees the
# difference.
HIDDEN: dict[str, Callable] = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.01),
    "elu": nn.ELU,
    "softplus": lambda: nn.Softplus(threshold=40),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
OUTPUT: dict[str, Callable | None] = {
    "identity": None,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(dim=1),
    "exp": Exp,
}
# Class -> name, and the arguments for which the class is that activation.
KNOWN: dict[type, tuple[str, dict]] = {
    nn.Identity: ("identity", {}),
    nn.Sigmoid: ("sigmoid", {}),
    nn.Tanh: ("tanh", {}),
    nn.ReLU: ("relu", {}),
    nn.LeakyReLU: ("leaky_relu", {"negative_slope": [0.01]}),
    nn.ELU: ("elu", {"alpha": [1]}),
    nn.Softplus: ("softplus", {"beta": [1]}),
    nn.SiLU: ("silu", {}),
    nn.GELU: ("gelu", {"approximate": ["none"]}),
    nn.Softmax: ("softmax", {"dim": [1, -1]}),
    Exp: ("exp", {}),
}
# In a network's predictions, layers that only training knows are the identity.
LEFT_OUT = (nn.Dropout, nn.AlphaDropout)


def to_torch(net, output):
    """See Network.to_torch."""
    layers: list[nn.Module] = []
    for W, b, name in zip(net.weights, net.biases, [*net.layout.activations, None], strict=True):
        n_in, n_out = W.shape
        linear = nn.Linear(n_in, n_out, dtype=getattr(torch, W.dtype.name))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(W.T.copy()))
            linear.bias.copy_(torch.from_numpy(b.copy()))
        activation = OUTPUT[output] if name is None else HIDDEN[name]
        layers += [linear, activation()] if activation else [linear]
    return nn.Sequential(*layers)


def from_torch(cls, module, activation, loss, backend):
    """See Network.from_torch."""
    if isinstance(module, Mapping):
        if activation is None:
            raise ValueError('a state_dict does not tell the activations: pass activation="relu"')
        return network_of(cls, _of_state(module, activation), loss, backend)
    if activation is not None:
        raise ValueError("activation is for a state_dict; a module brings its own")
    return network_of(cls, _of_layers(list(_layers(module, "module"))), loss, backend)


def _layers(module, place):
    """(name, layer) of all layers in a module of Sequentials, dropout left out."""
    if type(module) is nn.Sequential:
        for name, child in module.named_children():
            yield from _layers(child, f"{place}[{name}]")
    elif type(module) not in LEFT_OUT:
        yield place, module


def _of_layers(layers):
    weights: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    names: list[str | None] = []  # behind each nn.Linear
    for place, layer in layers:
        if type(layer) is nn.Linear:
            W = _array(layer.weight, f"{place}.weight").T
            weights.append(W)
            biases.append(
                np.zeros(W.shape[1], W.dtype)
                if layer.bias is None
                else _array(layer.bias, f"{place}.bias")
            )
            names.append(None)
            continue
        name = _name(place, layer)
        if not weights:
            raise ValueError(f"{place} ({layer}) comes before the first nn.Linear")
        if names[-1] not in (None, "identity"):
            raise ValueError(f"{place} ({layer}) follows on an activation, not on an nn.Linear")
        names[-1] = name
    if not weights:
        raise ValueError("the module has no nn.Linear")
    *hidden, output = [name or "identity" for name in names]
    if output not in OUTPUT:
        raise ValueError(
            f"the module ends in {output}, but a Network's output is one of {', '.join(OUTPUT)}"
        )
    return Chain(weights, biases, hidden, output)


def _name(place, layer):
    """Network's name of an activation."""
    if type(layer) not in KNOWN:
        known = ", ".join(f"nn.{kind.__name__}" for kind in KNOWN if kind is not Exp)
        raise ValueError(
            f"{place} is {type(layer).__name__}, which a Network does not have; it takes an "
            f"nn.Sequential of nn.Linear, nn.Dropout, {known}"
        )
    name, wanted = KNOWN[type(layer)]
    for argument, values in wanted.items():
        if getattr(layer, argument) not in values:
            raise ValueError(
                f"{place} is {layer}; a Network's {name} has {argument}={values[0]!r} only"
            )
    return name


def _of_state(state, activation):
    """The chain of a state_dict, whose last layer gives the output as it is."""
    weights, biases = [], []
    for key, value in state.items():
        array = _array(value, key)
        if key.endswith("weight") and array.ndim == 2:
            weights.append(array.T)
            biases.append(np.zeros(len(array), array.dtype))
        elif key.endswith("bias") and weights and array.shape == biases[-1].shape:
            biases[-1] = array
        else:
            raise ValueError(
                f"the state_dict's {key!r} of shape {array.shape} is neither the weight of an "
                "nn.Linear nor the bias of the one before it"
            )
    if not weights:
        raise ValueError("the state_dict has no weights")
    one = isinstance(activation, str)
    return Chain(
        weights, biases, [activation] * (len(weights) - 1) if one else activation, "identity"
    )


def _array(tensor, name):
    if isinstance(tensor, np.ndarray):
        return tensor
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in (torch.float32, torch.float64) or tensor.is_meta:
        what = "without values (on the device meta)" if tensor.is_meta else str(tensor.dtype)
        raise ValueError(f"{name} is {what}; it must be float32 or float64: try module.float()")
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} is sparse ({tensor.layout}); pass its to_dense()")
    return tensor.detach().cpu().numpy()

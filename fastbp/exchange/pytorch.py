"""Converts networks to and from torch.nn.Sequential; imported only when PyTorch is needed."""

import copy
import functools
import math
import re
from collections.abc import Mapping

import numpy as np

try:
    import torch
    import torch.nn.utils.parametrize
    from torch import nn
    from torch.nn.modules import module as everywhere
except ImportError as error:
    raise ImportError("exchange with PyTorch needs torch: pip install torch") from error

from ..basis import spec
from ..basis.inputs import Categorical
from .activations import EQUIVALENTS, names_of
from .chain import (
    BEGIN_RESIDUAL,
    END_RESIDUAL,
    ROWS,
    Linear,
    Norm,
    Slopes,
    chain_of,
    check_outputs,
    hidden_activations,
    in_float64,
    network_of,
)


class Exp(nn.Module):
    """The output activation of the loss "poisson", for which torch.nn has no module."""

    def forward(self, s):
        return torch.exp(s)


class Sin(nn.Module):
    """The activation "sin", for which torch.nn has no module."""

    def forward(self, s):
        return torch.sin(s)


class Residual(nn.Module):
    """A layer whose input is added to its output.

    Parameters
    ----------
    layer : nn.Module
        Its output has the shape of its input.
    """

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, h):
        return self.layer(h) + h


class Vectors(nn.Embedding):
    """Vectors of categories, from codes of shape (n, 1); those below 0, or NaN, are unknown.

    The last row of ``weight`` is the vector of unknown categories.
    """

    def forward(self, codes):
        codes = codes[:, 0]
        return super().forward(torch.where(codes > -1, codes, self.num_embeddings - 1).long())


class Filled(nn.Module):
    """Numbers of shape (n, width), with learned ones, ``weight``, in place of NaN."""

    def __init__(self, width, dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, dtype=dtype))

    def forward(self, X):
        return torch.where(X.isnan(), self.weight, X)


class Inputs(nn.Module):
    """What makes the input of the first linear layer of the columns of X.

    Parameters
    ----------
    parts : list of nn.Module
        They take columns of X, in this order, and their outputs are joined.
    widths : list of int
        The number of columns of each part.
    """

    def __init__(self, parts, widths):
        super().__init__()
        self.parts, self.widths = nn.ModuleList(parts), widths

    def forward(self, X):
        columns = X.split(self.widths, 1)
        return torch.cat([part(x) for part, x in zip(self.parts, columns, strict=True)], 1)


class Heads(nn.Module):
    """The output activations of a network with several heads; returns a tuple.

    Parameters
    ----------
    widths : sequence of int
        The number of outputs of each head.
    activations : sequence of nn.Module
        Their activations.
    """

    def __init__(self, widths, activations):
        super().__init__()
        self.widths = list(widths)
        self.activations = nn.ModuleList(activations)

    def forward(self, s):
        parts = torch.split(s, self.widths, dim=1)
        return tuple(f(part) for f, part in zip(self.activations, parts, strict=True))


OWN = {"exp": Exp, "sin": Sin}
# The class of each activation.
CLASSES: dict[str, type] = {
    name: OWN.get(name) or getattr(nn, row.torch.name) for name, row in EQUIVALENTS.items()
}
# Class -> activation, and the attributes with which the class computes it. Modules that act only
# in training, or do not change rows, are the identity.
KNOWN: dict[type, tuple[str, Mapping]] = {
    nn.Dropout: ("identity", {}),
    nn.AlphaDropout: ("identity", {}),
    nn.Flatten: ("identity", {"start_dim": [1], "end_dim": [-1]}),
    **{CLASSES[name]: (name, row.torch.accepted) for name, row in EQUIVALENTS.items()},
}
NORMS = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
# Modules with parameters, or with a module inside.
STRUCTURE = (nn.Sequential, nn.Linear, nn.LayerNorm, nn.RMSNorm, Residual)
NUMBER = re.compile("[0-9]+")


def to_torch(net, output):
    """See Network.to_torch."""
    layers: list[nn.Module] = [_inputs(net)] if net.layout.inputs else []
    of_heads = [
        (head.n_outputs, _activation(net, -1, head.row.output_activation))
        for head in net._engine.heads
    ]
    if of_heads:
        output = "identity"
    names = names_of(net, output, "torch.nn")
    for i, (W, b, name) in enumerate(zip(net.weights, net.biases, names, strict=True)):
        n_in, n_out = W.shape
        layer = [nn.Linear(n_in, n_out, dtype=getattr(torch, W.dtype.name))]
        _copy(layer[0], weight=W.T, bias=b)
        if net.layout.norm is not None and i < len(names) - 1:
            layer.append(_norm(net, i, n_out))
        layer.append(_activation(net, i, name))
        layers += (
            [Residual(nn.Sequential(*layer))] if i + 1 in net.layout.residual_layers else layer
        )
    if output == "identity":
        layers.pop()
    if of_heads:
        layers.append(Heads(*zip(*of_heads, strict=True)))
    return nn.Sequential(*layers)


def _inputs(net):
    """Return the module of a network's inputs."""
    dtype = getattr(torch, net.layout.dtype.name)
    tables, missing = iter(net.embeddings), iter(net.missing)
    parts: list[nn.Module] = []
    for item in net.layout.inputs:
        if isinstance(item, Categorical):
            parts.append(Vectors(item._rows, item._width, dtype=dtype))
            _copy(parts[-1], weight=next(tables))
        elif item.missing:
            parts.append(Filled(item.n_columns, dtype))
            _copy(parts[-1], weight=next(missing))
        else:
            parts.append(nn.Identity())
    return Inputs(parts, [item._columns for item in net.layout.inputs])


def _copy(module, **arrays):
    """Write arrays to a module's parameters of those names."""
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(module, name).copy_(torch.from_numpy(array.copy()))


def _norm(net, i, n):
    """Return the module of the normalisation of hidden layer i, counted from 0."""
    how = {"eps": spec.NORM_EPSILON, "dtype": getattr(torch, net.layout.dtype.name)}
    module = NORMS[net.layout.norm](n, **how)
    shift = {"bias": net.norm_biases[i]} if net.layout.norm == "layer" else {}
    _copy(module, weight=net.norm_weights[i], **shift)
    return module


def _activation(net, i, name):
    """Return the module of layer i's activation."""
    if name != "prelu":
        return CLASSES[name](**EQUIVALENTS[name].torch.arguments)
    a = net.slopes[i]
    module = nn.PReLU(len(a), dtype=getattr(torch, a.dtype.name))
    _copy(module, weight=a)
    return module


def from_torch(cls, module, activation, loss, backend):
    """See Network.from_torch."""
    if isinstance(module, Mapping):
        return network_of(cls, chain_of_state(module, activation), loss, backend)
    if activation is not None:
        raise ValueError(
            "activation is only for a state_dict, since a module has its own activations; leave "
            "it out"
        )
    if everywhere._global_forward_hooks or everywhere._global_forward_pre_hooks:
        raise ValueError(
            "forward hooks for all modules are registered (register_module_forward_hook), and they "
            "may change what the module computes; remove them"
        )
    chain = chain_of(_layers(module, "module", ()))
    net = network_of(cls, chain, loss, backend)
    exact = network_of(cls, in_float64(chain), None, "numpy")
    X = np.random.default_rng(0).standard_normal((ROWS, len(chain.weights[0])))
    why = "something else changes them, or rounding does"
    check_outputs(_outputs(module, X), exact.predict(X), 1e-6, why)
    return net


def _layers(module, place, outer):
    """Yield (place, layer) for all layers in nested Sequentials, in the order of computation."""
    _check_plain(module, place)
    if type(module) is nn.Sequential:
        if module in outer:
            raise ValueError(f"{place} is a module that contains itself")
        # named_children() would leave out a module that occurs a second time.
        for name, child in module._modules.items():
            yield from _layers(child, f"{place}[{name}]", (*outer, module))
    elif type(module) is nn.Linear:
        b = module.bias
        yield (
            place,
            Linear(
                _array(module.weight, f"{place}.weight").T,
                None if b is None else _array(b, f"{place}.bias"),
            ),
        )
    elif type(module) is Residual:
        yield place, BEGIN_RESIDUAL
        yield from _layers(module.layer, f"{place}.layer", (*outer, module))
        yield place, END_RESIDUAL
    elif type(module) in NORMS.values():
        yield f"{place} ({module})", _norm_of(place, module)
    elif type(module) is nn.PReLU:
        yield f"{place} ({module})", Slopes(_array(module.weight, f"{place}.weight"))
    else:
        yield f"{place} ({module})", _name(place, module)


def _norm_of(place, module):
    """Return the Norm of a module."""
    (kind,) = (name for name, class_ in NORMS.items() if class_ is type(module))
    if module.eps != spec.NORM_EPSILON or len(module.normalized_shape) != 1:
        raise ValueError(
            f"{place} is {module}; a Network takes it with eps={spec.NORM_EPSILON}, and for one "
            "axis, only"
        )
    arrays = {
        name: None if parameter is None else _array(parameter, f"{place}.{name}")
        for name in ("weight", "bias")
        for parameter in [getattr(module, name, None)]
    }
    if arrays["weight"] is None:
        raise ValueError(f"{place} is {module} without a scale; a Network takes it with one only")
    return Norm(kind, arrays["weight"], arrays["bias"])


def _check_plain(module, place):
    """Raise ValueError if a module may compute something else than its class does."""
    if type(module) not in (*STRUCTURE, *KNOWN):
        kinds = [*STRUCTURE[2:-1], *(kind for kind in KNOWN if kind not in OWN.values())]
        known = ", ".join(f"nn.{kind.__name__}" for kind in kinds)
        raise ValueError(
            f"{place} is {type(module).__name__}, {_why_not(module)}; a Network takes an "
            f"nn.Sequential of nn.Linear, {known}"
        )
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(
            f"{place} has forward hooks, which may change what it computes; remove them (of pruned "
            "weights with torch.nn.utils.prune.remove; of weight_norm and spectral_norm with "
            "torch.nn.utils.remove_weight_norm and remove_spectral_norm)"
        )
    # module.compile() does not change the function.
    own = vars(module).keys() & set(dir(type(module))) - {"_compiled_call_impl"}
    if own:
        raise ValueError(
            f"{place} has its own {', '.join(sorted(own))} instead of that of "
            f"{type(module).__name__}, so it is not known what it computes"
        )


def _name(place, layer):
    """Return Network's name of an activation."""
    name, wanted = KNOWN[type(layer)]
    for argument, values in wanted.items():
        if getattr(layer, argument) not in values:
            raise ValueError(
                f"{place} is {layer}; a Network takes it with {argument}={values[0]!r} only"
            )
    return name


def _why_not(layer):
    """Return a text on why Network cannot use a layer of this type, and what to do."""
    for name in ("module", "_orig_mod"):  # of DataParallel and of torch.compile
        if isinstance(getattr(layer, name, None), nn.Module):
            return f"which wraps another module: pass its .{name}"
    if nn.utils.parametrize.is_parametrized(layer):
        return "parametrized: call torch.nn.utils.parametrize.remove_parametrizations for it first"
    if isinstance(layer, Heads):
        return (
            "the outputs of several heads: leave it out, as in module[:-1], and pass the list of "
            'heads as the loss, such as loss=[("cross_entropy", 3), ("poisson", 1)]'
        )
    for kind in (*STRUCTURE, *KNOWN):
        if isinstance(layer, kind):
            return f"a subclass of {kind.__name__} that may compute something else"
    if isinstance(layer, nn.LogSoftmax):
        return (
            "which gives logarithms of probabilities: leave it out, as in module[:-1], and pass "
            'loss="cross_entropy" for a Network that gives the probabilities'
        )
    if not type(layer).__module__.startswith("torch."):
        return (
            "a class whose forward may compute anything: make an nn.Sequential of its layers, or, "
            'if they are a plain chain, pass its state_dict() and activation="relu" or what it has'
        )
    return f"of {type(layer).__module__}, which a Network does not have"


def _outputs(module, X):
    """Return the module's own predictions for X, computed by a copy in float64."""
    try:
        copied = copy.deepcopy(module).cpu().double().eval()
        with torch.no_grad():
            return copied(torch.from_numpy(X)).numpy()
    except Exception as error:
        raise ValueError(
            "the module cannot be compared with its Network: a copy of it does not run on rows of "
            f"shape {X.shape} ({type(error).__name__}: {error})"
        ) from error


def chain_of_state(state, activation):
    """Return the chain of a state_dict, with a linear output."""
    layers = _in_order(_linear_layers(state))
    chain = chain_of(layers)
    hidden = hidden_activations("state_dict", activation, len(layers) - 1)
    return chain._replace(activations=hidden)


def _linear_layers(state):
    """Return a dict of name to Linear for the entries of a state_dict."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for key, value in state.items():
        if not isinstance(key, str):
            raise TypeError(f"keys of a state_dict must be strings, got {key!r}")
        name, _, kind = key.rpartition(".")
        array = _array(value, key)
        if (kind, array.ndim) not in (("weight", 2), ("bias", 1)):
            raise ValueError(
                f"the state_dict's {key!r} of shape {array.shape} is neither the weight nor the "
                "bias of an nn.Linear; pass the module itself"
            )
        found.setdefault(name, {})[kind] = array
    if not found:
        raise ValueError("the state_dict has no weights")
    for name, arrays in found.items():
        if len(arrays) < 2 or arrays["bias"].shape != arrays["weight"].shape[:1]:
            shapes = ", ".join(f"{kind} {array.shape}" for kind, array in arrays.items())
            raise ValueError(
                f"the state_dict's {name!r} has {shapes}; each layer must have a weight and a "
                "bias, since without a bias it could be an embedding: pass the module itself, or "
                "add zeros as the bias"
            )
    return {name: Linear(arrays["weight"].T, arrays["bias"]) for name, arrays in found.items()}


def _in_order(layers):
    """Return a list of (place, Linear) in the order of computation.

    The dict may have been sorted ('0', '10', '2'), so its order does not count. Names that differ
    only in numbers are ordered by these. If names differ in more, the widths must allow only one
    order.
    """
    groups: dict[tuple, dict[tuple, str]] = {}
    for name in layers:
        group = groups.setdefault(tuple(NUMBER.split(name)), {})
        numbers = tuple(map(int, NUMBER.findall(name)))
        if numbers in group:
            raise ValueError(f"{group[numbers]!r} and {name!r} have the same number")
        group[numbers] = name
    queues = [[name for _, name in sorted(group.items())] for group in groups.values()]
    orders = _orders(layers, queues) if len(queues) > 1 else queues
    if len(orders) > 1:
        first, second = (", ".join(map(repr, order)) for order in orders)
        raise ValueError(
            f"the order of the state_dict's layers is ambiguous, {first} and {second} are "
            "possible: pass the module itself, or number the layers: '0.weight', '0.bias', "
            "'1.weight'"
        )
    if not orders:
        shapes = {name: layer.W.T.shape for name, layer in layers.items()}
        raise ValueError(f"weights of shapes {shapes} do not form a chain in any order")
    return [(f"the state_dict's {name!r}", layers[name]) for name in orders[0]]


def _orders(layers, queues):
    """Return at most two ways to merge queues of names so that the widths of the layers fit."""
    if math.prod(len(queue) + 1 for queue in queues) > 10_000:
        raise ValueError(
            f"the names of {len(layers)} layers are too different to find their order: pass the "
            "module itself, or number the layers: '0.weight', '0.bias', '1.weight'"
        )
    full = tuple(map(len, queues))

    @functools.cache
    def merged(taken, width):
        if taken == full:
            return [()]
        found = []
        for i, queue in enumerate(queues):
            if taken[i] < len(queue):
                name = queue[taken[i]]
                n_in, n_out = layers[name].W.shape
                if width in (None, n_in):
                    later = merged((*taken[:i], taken[i] + 1, *taken[i + 1 :]), n_out)
                    found += [(name, *order) for order in later]
        return found[:2]

    return merged((0,) * len(queues), None)


def _array(tensor, name):
    if isinstance(tensor, np.ndarray):
        return tensor
    if isinstance(tensor, Mapping):
        raise TypeError(f"{name!r} is a dict itself; if that is the state_dict, pass it alone")
    if not isinstance(tensor, torch.Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in (torch.float32, torch.float64) or tensor.is_meta:
        what = "without values (on the device meta)" if tensor.is_meta else str(tensor.dtype)
        raise ValueError(f"{name} is {what}; it must be float32 or float64: try module.float()")
    if tensor.layout != torch.strided:
        raise ValueError(f"{name} is sparse ({tensor.layout}); pass its to_dense()")
    if type(tensor) not in (torch.Tensor, nn.Parameter):  # quantised, distributed, lazy, ...
        raise ValueError(f"{name} is a {type(tensor).__name__}, not a plain tensor of numbers")
    return tensor.numpy(force=True)

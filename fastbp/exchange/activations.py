"""The activations in other tools: a table of their classes, functions and operators."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..backends.numpy_ import elementwise
from ..basis import inputs, spec


class Layer(NamedTuple):
    """A class of another tool, which computes an activation if its attributes have some values."""

    name: str
    accepted: Mapping[str, Sequence] = {}  # attribute -> these values; messages name the first
    arguments: Mapping[str, Any] = {}  # to create a layer


@dataclass(frozen=True, kw_only=True)
class Equivalents:
    """An activation in other tools; None where a tool does not have it.

    Attributes
    ----------
    torch : Layer
        In torch.nn.
    keras : str or None
        Function in keras.activations.
    keras_layer : Layer or None
        In keras.layers.
    write_onnx : callable
        ``write_onnx(graph, s)`` adds nodes to an `onnx_export.Graph` and returns the output's name;
        prelu's takes the name of its slopes besides.
        It uses operators that onnxruntime supports for both precisions: for float64 it lacks Elu,
        Softplus and Erf, and attributes such as LeakyRelu's slope are always float32.
    onnx_operator : tuple or None
        ONNX's operator, and its function with attributes as keyword arguments. (The function is
        not a ufunc, since a ufunc gives further arguments another meaning.)
    c : str or None
        Function of one number in arithmetic.c; the identity needs none. Some names differ from
        ours: two are used by the C library, and "net_leaky_relu" could be relu of a network
        "net_leaky" or leaky_relu of a network "net".
    sklearn : str or None
        Name in scikit-learn's perceptrons.
    """

    torch: Layer
    keras: str | None = None
    keras_layer: Layer | None = None
    write_onnx: Callable
    onnx_operator: tuple[str, Callable] | None = None
    c: str | None = None
    sklearn: str | None = None


def names_of(net, output, tool):
    """The activations of all layers; a ValueError if `tool` has none like them."""
    for own in net.layout.own_activations:
        raise ValueError(
            f"the activation {own.name!r} is a function of your own, which {tool} does not have"
        )
    return [*net.layout.activations, output]


def check_plain(net, tool):
    """Refuse what `tool` cannot be given: learned inputs, heads, or special layers."""
    inputs.refuse(net.layout, f"the export to {tool}")
    if net._engine.heads:
        raise ValueError(
            f"this network has heads, which the export to {tool} does not support; "
            "Network.to_onnx and Network.to_torch do"
        )
    if net.layout.special:
        raise ValueError(
            f"this network has {' and '.join(net.layout.special)}, which the export to {tool} does "
            "not support; Network.to_onnx and Network.to_torch do"
        )


def of_operator(operator, **attributes):
    return lambda graph, s: graph.add(operator, s, **attributes)


def write_elu(graph, s):
    if graph.dtype == np.float32:
        return graph.add("Elu", s)
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", s, 0.0)), 1.0)
    return graph.add("Add", graph.add("Relu", s), below)


def write_softplus(graph, s):
    if graph.dtype == np.float32:
        return graph.add("Softplus", s)
    e = graph.add("Exp", graph.add("Neg", graph.add("Abs", s)))
    return graph.add("Add", graph.add("Relu", s), graph.add("Log", graph.add("Add", e, 1.0)))


def write_silu(graph, s):
    if graph.dtype == np.float64:
        # Many versions of onnxruntime fuse s Sigmoid(s) to an operator that they lack for float64.
        return graph.add("Div", s, graph.add("Add", graph.add("Exp", graph.add("Neg", s)), 1.0))
    return graph.add("Mul", s, graph.add("Sigmoid", s))


def write_gelu(graph, s):
    """s Φ(s) = s (1 + erf(s / √2)) / 2."""
    if graph.dtype == np.float64:
        return relu_less_tail(graph, s)
    erf = graph.add("Erf", graph.add("Mul", s, 0.5**0.5))
    return graph.add("Mul", graph.add("Mul", s, 0.5), graph.add("Add", erf, 1.0))


def relu_less_tail(graph, s):
    """s Φ(s) = max(s, 0) - a Φ(-a) for a = |s|, without Erf.

    Φ(-a) = exp(-a² / 2) t P(w) with t = 1 / (a + 5/2) and w = 1 - 5 t, where P is smooth up to
    infinity (Shepherd and Laframboise, Math. Comp. 36, 1981, p. 249).
    """
    a = graph.add("Abs", s)
    t = graph.add("Div", 1.0, graph.add("Add", a, 2.5))
    w = graph.add("Sub", 1.0, graph.add("Mul", t, 5.0))
    p, *rest = [float(c) for c in tail_polynomial()]
    for c in rest:
        p = graph.add("Add", graph.add("Mul", p, w), c)
    e = graph.add("Exp", graph.add("Mul", graph.add("Mul", a, a), -0.5))
    tail = graph.add("Mul", graph.add("Mul", a, t), graph.add("Mul", e, p))
    return graph.add("Sub", graph.add("Relu", s), tail)


def tail_polynomial(degree=24):
    """Return P's coefficients, highest power first, from a Chebyshev interpolation."""
    from scipy.special import erfcx

    def P(w):
        t = (1 - w) / 5
        a = 1 / t - 2.5
        return erfcx(a / np.sqrt(2)) / (2 * t)

    fit = np.polynomial.Chebyshev.interpolate(P, degree)  # at points inside (-1, 1)
    return fit.convert(kind=np.polynomial.Polynomial).coef[::-1]


def write_selu(graph, s):
    if graph.dtype == np.float32:
        return graph.add("Selu", s)
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", s, 0.0)), 1.0)
    above = graph.add("Mul", graph.add("Relu", s), spec.SELU_SCALE)
    return graph.add("Add", above, graph.add("Mul", below, spec.SELU_DEPTH))


def write_mish(graph, s):
    """s v (v + 2) / (v (v + 2) + 2) with v = exp(s); from s = 20 on, this is s."""
    v = graph.add("Exp", graph.add("Min", s, 20.0))
    above = graph.add("Mul", v, graph.add("Add", v, 2.0))
    return graph.add("Mul", s, graph.add("Div", above, graph.add("Add", above, 2.0)))


def write_prelu(graph, s, slopes):
    if graph.dtype == np.float32:
        return graph.add("PRelu", s, slopes)
    return graph.add(
        "Add", graph.add("Relu", s), graph.add("Mul", graph.add("Min", s, 0.0), slopes)
    )


def selu_operator(s, alpha=1.6732631921768188, gamma=1.0507010221481323):
    return gamma * np.where(s < 0, alpha * np.expm1(s), s)


def gelu_operator(s, approximate=b"none"):
    # Network has only the exact form; NaN matches no activation.
    return elementwise.gelu(s) if approximate == b"none" else np.full_like(s, np.nan)


# Of hidden layers and of outputs.
EQUIVALENTS = {
    "identity": Equivalents(
        torch=Layer("Identity"),
        keras="linear",
        keras_layer=Layer("Identity"),
        write_onnx=lambda graph, s: s,
        sklearn="identity",
    ),
    "sigmoid": Equivalents(
        torch=Layer("Sigmoid"),
        keras="sigmoid",
        write_onnx=of_operator("Sigmoid"),
        onnx_operator=("Sigmoid", elementwise.sigmoid),
        c="sigmoid",
        sklearn="logistic",
    ),
    "tanh": Equivalents(
        torch=Layer("Tanh"),
        keras="tanh",
        write_onnx=of_operator("Tanh"),
        onnx_operator=("Tanh", elementwise.tanh),
        c="hyperbolic",
        sklearn="tanh",
    ),
    "relu": Equivalents(
        torch=Layer("ReLU"),
        keras="relu",
        keras_layer=Layer("ReLU", {"max_value": [None], "negative_slope": [0], "threshold": [0]}),
        write_onnx=of_operator("Relu"),
        onnx_operator=("Relu", elementwise.relu),
        c="relu",
        sklearn="relu",
    ),
    "leaky_relu": Equivalents(  # Keras's function has another slope
        torch=Layer("LeakyReLU", {"negative_slope": [spec.LEAKY_SLOPE]}),
        keras_layer=Layer("LeakyReLU", {"negative_slope": [spec.LEAKY_SLOPE]}),
        write_onnx=lambda graph, s: graph.add("Max", s, graph.add("Mul", s, spec.LEAKY_SLOPE)),
        onnx_operator=("LeakyRelu", lambda s, alpha=0.01: np.where(s < 0, alpha * s, s)),
        c="leaky",
    ),
    "elu": Equivalents(
        torch=Layer("ELU", {"alpha": [1]}),
        keras="elu",
        keras_layer=Layer("ELU", {"alpha": [1]}),
        write_onnx=write_elu,
        onnx_operator=("Elu", lambda s, alpha=1.0: np.where(s < 0, alpha * np.expm1(s), s)),
        c="elu",
    ),
    "softplus": Equivalents(
        # torch's Softplus is the identity above its threshold. At the default of 20, the difference
        # is still visible in float64. With a smaller threshold results differ; with a much larger
        # one, torch's exp overflows.
        torch=Layer("Softplus", {"beta": [1], "threshold": [20, 40]}, {"threshold": 40}),
        keras="softplus",
        write_onnx=write_softplus,
        onnx_operator=("Softplus", elementwise.softplus),
        c="softplus",
    ),
    "silu": Equivalents(
        torch=Layer("SiLU"),
        keras="silu",
        write_onnx=write_silu,
        onnx_operator=("Swish", lambda s, alpha=1.0: s * elementwise.sigmoid(alpha * s)),
        c="silu",
    ),
    "gelu": Equivalents(
        torch=Layer("GELU", {"approximate": ["none"]}),
        keras="gelu",
        write_onnx=write_gelu,
        onnx_operator=("Gelu", gelu_operator),
        c="gelu",
    ),
    "sin": Equivalents(
        torch=Layer("Sin"),  # of pytorch.py, since torch.nn has none
        write_onnx=of_operator("Sin"),
        onnx_operator=("Sin", elementwise.sin),
        c="sine",
    ),
    "hard_tanh": Equivalents(
        torch=Layer("Hardtanh", {"min_val": [-1], "max_val": [1]}),
        keras="hard_tanh",
        write_onnx=lambda graph, s: graph.add("Max", graph.add("Min", s, 1.0), -1.0),
        c="hard_tanh",
    ),
    "selu": Equivalents(
        torch=Layer("SELU"),
        keras="selu",
        write_onnx=write_selu,
        onnx_operator=("Selu", selu_operator),
        c="selu",
    ),
    "mish": Equivalents(
        torch=Layer("Mish"),
        keras="mish",
        write_onnx=write_mish,
        onnx_operator=("Mish", elementwise.mish),
        c="mish",
    ),
    "prelu": Equivalents(  # has parameters, so each tool has code for it
        torch=Layer("PReLU"),
        write_onnx=write_prelu,
    ),
    "softmax": Equivalents(  # not elementwise, so onnx_import and c_source have code for it
        torch=Layer("Softmax", {"dim": [1, -1]}, {"dim": 1}),
        keras="softmax",
        keras_layer=Layer("Softmax", {"axis": [-1, 1]}),
        write_onnx=of_operator("Softmax", axis=1),
        sklearn="softmax",
    ),
    "exp": Equivalents(
        torch=Layer("Exp"),  # of pytorch.py, since torch.nn has none
        keras="exponential",
        write_onnx=of_operator("Exp"),
        onnx_operator=("Exp", lambda s: np.exp(s)),
        c="exponential",
        sklearn="exp",
    ),
}

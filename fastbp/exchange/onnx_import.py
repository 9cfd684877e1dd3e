"""Networks from ONNX graphs: multi-layer perceptrons, whoever wrote them.

Nothing of the file is run. Linear layers are read from Gemm, MatMul and Add. What stands between
them is a function of one number, which different writers spell differently (GELU is one operator
or five): it is computed at some points and compared with the activations that a Network has.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError  # of onnx

from ..backends.numpy_ import elementwise
from .chain import LOSSES, Chain, network_of
from .onnx_export import MOST_BYTES, onnx

# Where functions are compared: dense near 0, wide, and not at special places only.
POINTS = np.concatenate([np.linspace(-12, 12, 97), np.random.default_rng(0).normal(0, 30, 96)])
POINTS.flags.writeable = False
TOLERANCE = 1e-6  # constants of float32 files are only as good as that
FLOATS = {onnx.TensorProto.FLOAT: "<f4", onnx.TensorProto.DOUBLE: "<f8"}
ATTRIBUTES = {
    onnx.AttributeProto.FLOAT: "f",
    onnx.AttributeProto.INT: "i",
    onnx.AttributeProto.STRING: "s",
    onnx.AttributeProto.TENSOR: "t",
}
SOFTMAX = "softmax"


class Signal(NamedTuple):
    """A function of the output s of the last linear layer (of the input, before the first one).

    ``stage`` counts Gemm, MatMul and the Adds of biases up to it. What comes from an earlier stage
    than the reader has reached branched off, and a Network's layers are a chain.
    """

    stage: int
    values: np.ndarray | str  # at POINTS; or SOFTMAX, the function that is not elementwise


def _erf(x):
    from scipy.special import erf

    return erf(x)


def _gelu(x, approximate=b"none"):
    # Any other form than the exact one is none of Network's activations.
    return elementwise.gelu(x) if approximate == b"none" else np.full_like(x, np.nan)


# Operator -> its function; attributes are keyword arguments. (None is a ufunc, for which further
# inputs and attributes have meanings of their own.)
ELEMENTWISE: dict[str, Callable] = {
    "Abs": lambda x: np.abs(x),
    "Add": lambda x, y: x + y,
    "Div": lambda x, y: x / y,
    "Elu": lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(x), x),
    "Erf": _erf,
    "Exp": lambda x: np.exp(x),
    "Gelu": _gelu,
    "LeakyRelu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "Log": lambda x: np.log(x),
    "Max": lambda *x: np.max(np.broadcast_arrays(*x), axis=0),
    "Min": lambda *x: np.min(np.broadcast_arrays(*x), axis=0),
    "Mul": lambda x, y: x * y,
    "Neg": lambda x: -x,
    "Relu": elementwise.relu,
    "Sigmoid": elementwise.sigmoid,
    "Softplus": elementwise.softplus,
    "Sub": lambda x, y: x - y,
    "Swish": lambda x, alpha=1.0: x * elementwise.sigmoid(alpha * x),
    "Tanh": lambda x: np.tanh(x),
}
KNOWN = {function.__name__: function for function, _ in elementwise.ACTIVATIONS.values()}
KNOWN["exp"] = np.exp
# What these say of training does not concern predictions.
PASSED_OVER = ("Identity", "Dropout")
OPERATORS = ("Gemm", "MatMul", "Softmax", "Constant", *PASSED_OVER, *ELEMENTWISE)


def from_onnx(cls, path, output, loss, backend):
    """See Network.from_onnx."""
    model = read(path)
    if len(model.functions):
        raise ValueError(f"{path} defines functions of its own; inline them before exporting")
    graph = model.graph
    reader = Reader(graph)
    name = _choose_output(graph, output)
    for node in _needed(graph, name):
        reader.visit(node)
    return network_of(cls, reader.chain(name), loss, backend)


def read(path):
    """The model in a file, of which nothing has been looked at yet."""
    size = Path(path).stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size:,} bytes, but an ONNX file has at most {MOST_BYTES:,}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(Path(path).read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path} is not an ONNX file: {error}") from None
    if not model.graph.node:
        raise ValueError(f"{path} is not an ONNX file, or its graph is empty")
    return model


def _choose_output(graph, wanted):
    names = [value.name for value in graph.output]
    if wanted is None and len(names) == 1:
        return names[0]
    if wanted not in names:
        raise ValueError(f"pass output=, one of the graph's outputs: {names}; got {wanted!r}")
    return wanted


def _needed(graph, output):
    """The nodes that an output depends on, in the file's order, which has inputs first."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, node.input))
            nodes.append(node)
    return nodes[::-1]


class Reader:
    """Follows the graph from its input on."""

    def __init__(self, graph):
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        inputs = [v.name for v in graph.input if v.name not in self.constants]
        if len(inputs) != 1:
            raise ValueError(f"a Network has one input, but the graph has {len(inputs)}: {inputs}")
        self.signals = {inputs[0]: Signal(0, POINTS)}
        self.weights: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []
        self.activations: list[str] = []
        self.stage = 0

    def visit(self, node):
        """Take in a node, or say why it has no place in a Network."""
        place, name = f"node {node.name or node.output[0]!r} ({node.op_type})", node.output[0]
        try:
            if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
                raise ValueError(
                    f"is not part of a multi-layer perceptron, which has {', '.join(OPERATORS)}"
                )
            if name in self.signals or name in self.constants:
                raise ValueError(f"gives its output {name!r} the name of another one")
            attributes = {a.name: _value(a) for a in node.attribute}
            if node.op_type == "Constant":
                if not isinstance(attributes.get("value"), onnx.TensorProto):
                    raise ValueError("has no tensor as its value")
                self.constants[name] = attributes["value"]
            else:
                self.signals[name] = self._signal(node.op_type, node.input, attributes)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {error}") from None

    def chain(self, output):
        """The layers up to the graph's output."""
        signal = self.signals.get(output)
        if signal is None or not self.weights:
            raise ValueError(f"no linear layer, Gemm or MatMul, leads to the output {output!r}")
        self._check_chain([signal])
        name = self._function(signal)
        if name not in LOSSES:
            raise ValueError(
                f"the graph ends in {name}, but a Network's output is one of {', '.join(LOSSES)}"
            )
        return Chain(self.weights, self.biases, self.activations, name)

    def _input(self, name):
        if name in self.signals:
            return self.signals[name]
        if name not in self.constants:
            raise ValueError(f"its input {name!r} comes from nowhere before it")
        try:
            return array_of(self.constants[name])
        except ValueError as error:
            raise ValueError(f"its constant {name!r} {error}") from None

    def _signal(self, operator, names, attributes):
        """What an operator makes of its inputs."""
        # Dropout has further inputs, which do not concern predictions.
        inputs = [self._input(name) for name in (names[:1] if operator in PASSED_OVER else names)]
        signals = [x for x in inputs if isinstance(x, Signal)]
        if not signals:
            raise ValueError("does not depend on the graph's input")
        self._check_chain(signals)
        if operator in PASSED_OVER:
            return signals[0]
        if operator == "Gemm":
            return self._linear(*inputs, **attributes)
        if operator == "MatMul":
            return self._linear(*inputs)
        if any(isinstance(x.values, str) for x in signals):
            raise ValueError("follows on a softmax, which must come last")
        if operator == "Softmax":
            return self._softmax(*inputs, **attributes)
        if operator == "Add" and self.weights and signals[0].values is POINTS:
            constants = [x for x in inputs if not isinstance(x, Signal)]
            if len(inputs) == 2 and len(constants) == 1:
                return self._add_bias(constants[0])
        arguments = [x.values if isinstance(x, Signal) else _scalar(x) for x in inputs]
        with np.errstate(all="ignore"):
            return Signal(self.stage, ELEMENTWISE[operator](*arguments, **attributes))

    def _check_chain(self, signals):
        if any(x.stage != self.stage for x in signals):
            raise ValueError("not a chain: takes what comes from before the last layer or bias")

    def _next_stage(self):
        """The output of the last linear layer as it is now."""
        self.stage += 1
        return Signal(self.stage, POINTS)

    def _linear(self, h, W, b=None, alpha=1.0, beta=1.0, transA=0, transB=0):
        """s = alpha h W + beta b: one more layer."""
        if not isinstance(h, Signal) or isinstance(W, Signal) or W.ndim != 2 or transA:
            raise ValueError("must multiply rows by a matrix of constants")
        if self.weights:
            self.activations.append(self._function(h))
        elif h.values is not POINTS:
            raise ValueError("the input goes through a function before the first layer")
        W = _scaled(W.T if transB else W, alpha)
        self.weights.append(W)
        self.biases.append(np.zeros(W.shape[1], W.dtype))
        return self._next_stage() if b is None else self._add_bias(b, beta)

    def _add_bias(self, b, beta=1.0):
        n = len(self.biases[-1])
        if isinstance(b, Signal) or b.shape not in ((), (1,), (1, 1), (n,), (1, n)):
            raise ValueError(f"adds what is not a constant bias of shape ({n},)")
        with np.errstate(over="ignore", invalid="ignore"):  # the Network looks at it
            self.biases[-1] = self.biases[-1] + _scaled(b, beta).ravel()
        return self._next_stage()

    def _softmax(self, s, axis=-1):
        if axis not in (1, -1) or s.values is not POINTS or not self.weights:
            raise ValueError("must be along axis 1, and right behind a linear layer")
        return Signal(self.stage, SOFTMAX)

    def _function(self, signal):
        """Network's name of the function behind a linear layer."""
        if isinstance(signal.values, str):
            return signal.values
        for name, function in KNOWN.items():
            with np.errstate(all="ignore"):
                wanted = function(POINTS)
            difference = np.abs(signal.values - wanted)
            # Not all functions are defined everywhere: exp is infinite, the same in both.
            same = (difference <= TOLERANCE * (1 + np.abs(wanted))) | (signal.values == wanted)
            if np.all(same):
                return name
        raise ValueError(
            f"the function behind linear layer {len(self.weights)} is none of a Network's: "
            f"{', '.join(KNOWN)} (with the parameters that docs/networks.md states)"
        )


def _value(attribute):
    if attribute.type not in ATTRIBUTES:
        raise ValueError(f"its attribute {attribute.name!r} is not a number, string or tensor")
    return getattr(attribute, ATTRIBUTES[attribute.type])


def _scaled(array, factor):
    with np.errstate(over="ignore", invalid="ignore"):  # the Network looks at it
        return array if factor == 1 else array * array.dtype.type(factor)


def _scalar(x):
    if x.size != 1:
        raise ValueError(f"has a constant of shape {x.shape} where one number is expected")
    return np.float64(x.reshape(()))


def array_of(tensor):
    """The numbers of a tensor in the file, whose every size is checked."""
    if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
        raise ValueError("lies in another file, which is not read; store it in this one")
    if tensor.data_type not in FLOATS:
        raise ValueError("is neither float32 nor float64")
    shape = tuple(tensor.dims)
    if len(shape) > 2 or any(n < 1 for n in shape):
        raise ValueError(f"has shape {shape}; expected at most 2 axes, none empty")
    dtype = np.dtype(FLOATS[tensor.data_type])
    if tensor.raw_data:
        if len(tensor.raw_data) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"of shape {shape} has {len(tensor.raw_data)} bytes")
        return np.frombuffer(tensor.raw_data, dtype).astype(dtype.newbyteorder("=")).reshape(shape)
    data = tensor.float_data if dtype.itemsize == 4 else tensor.double_data
    if len(data) != math.prod(shape):
        raise ValueError(f"of shape {shape} has {len(data)} numbers")
    return np.array(data, dtype.newbyteorder("=")).reshape(shape)

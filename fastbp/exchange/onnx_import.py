"""Reads multi-layer perceptrons from ONNX graphs of any origin.

Nothing in the file is executed. Linear layers are read from Gemm, MatMul and Add, normalisations
from LayerNormalization and RMSNormalization, residual connections from Add. Other operators between
linear layers form a function of one number, see onnx_functions.py. All other operators (casts,
reshapes, maps of labels) must not change rows and values.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from google.protobuf.message import DecodeError  # of onnx

from ..backends import get
from ..backends.numpy_ import elementwise
from ..basis import checks, spec
from ..files.file import named
from .chain import Chain, Extras, Norm, check_hidden, network_of
from .onnx_export import MOST_BYTES, onnx
from .onnx_functions import ELEMENTWISE, KNOWN, POINTS, TOLERANCE, same
from .onnx_tensors import (
    BOOLEANS,
    FLOATS,
    INTEGERS,
    array_of,
    constant,
    name_of,
    scalar,
    scaled,
    type_of,
)

# In older opsets, Add and others had different rules for shapes.
OLDEST_OPSET = 7
# Names in the place of a signal's values. BELOW is min(s, 0) times slopes, a part of prelu.
SOFTMAX, PRELU, BELOW = "softmax", "prelu", "product of min(s, 0) and several slopes"


class Signal(NamedTuple):
    """A function of the output s of the last linear layer (of the input, before the first one).

    ``stage`` counts Gemm, MatMul and the Adds of biases up to it. A signal from an earlier stage
    than the reader's is a branch, but a Network's layers form a chain.
    """

    stage: int
    values: np.ndarray | str  # at POINTS; or a name of what is no function of a number
    # The number of rows first, and after a Squeeze only that; None for sizes not stated.
    shape: tuple[int | None, ...] | None
    added: bool = False  # whether the input of the last linear layer is added


# Operators that must not change a signal's rows and values.
PASSED_OVER = ("Identity", "Dropout", "Cast", "Reshape", "Flatten", "Squeeze", "ZipMap")
NORMS = {"LayerNormalization": "layer", "RMSNormalization": "rms"}
OPERATORS = (
    *("Gemm", "MatMul", "Softmax", "Constant", "Transpose", "Concat", *PASSED_OVER),
    *("PRelu", *NORMS),
    *sorted(ELEMENTWISE),
)


def from_onnx(cls, path, output, loss, backend):
    """See Network.from_onnx."""
    path = Path(checks.path("path", path))
    get(backend)  # an unknown backend is not an error in the file
    with named(path):
        model = read(path)
        if len(model.functions):
            raise ValueError("the file defines functions of its own; inline them before exporting")
        _check_opset(model)
        graph = model.graph
        reader = Reader(graph)
        name = _choose_output(graph, output)
        for node in _needed(graph, name):
            reader.visit(node)
        return network_of(cls, reader.chain(name), loss, backend)


def read(path):
    """Return the model in a file; nothing in it is checked yet."""
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(
            f"the file has {size:,} bytes, but an ONNX file has at most {MOST_BYTES:,}"
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise ValueError(f"not an ONNX file: {error}") from None
    if not model.graph.node:
        raise ValueError("not an ONNX file, or its graph is empty")
    return model


def _check_opset(model):
    """Check the version of the operator set, which determines what operators mean."""
    versions = {o.version for o in model.opset_import if o.domain in ("", "ai.onnx")}
    newest = onnx.defs.onnx_opset_version()
    if len(versions) != 1 or not OLDEST_OPSET <= min(versions) <= newest:
        raise ValueError(
            f"the file must state one opset from {OLDEST_OPSET} to {newest} (the newest that the "
            f"installed onnx knows), got {sorted(versions)}; onnx.version_converter converts files"
        )


def _choose_output(graph, wanted):
    names = [value.name for value in graph.output]
    # Classifiers have an output of labels, too, which is not the network's.
    numbers = [value.name for value in graph.output if not _holds_labels(value.type)]
    if wanted is None and len(numbers) == 1:
        return numbers[0]
    if wanted not in names:
        raise ValueError(f"pass output=, one of the graph's outputs: {names}; got {wanted!r}")
    return wanted


def _holds_labels(kind):
    labels = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.STRING)
    return kind.HasField("tensor_type") and kind.tensor_type.elem_type in labels


def _needed(graph, output):
    """Return the nodes that an output depends on, in the file's order: inputs come first."""
    needed, nodes = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(filter(None, node.input))
            nodes.append(node)
    return nodes[::-1]


class Reader:
    """Reads the layers of a graph, node by node from its input."""

    def __init__(self, graph):
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        if len(self.constants) < len(graph.initializer):
            raise ValueError("two of the graph's initializers have the same name")
        inputs = [v for v in graph.input if v.name not in self.constants]
        if len(inputs) != 1:
            names = [v.name for v in inputs]
            raise ValueError(f"a Network has one input, but the graph has {len(names)}: {names}")
        kind = inputs[0].type.tensor_type
        if kind.elem_type not in FLOATS:
            raise ValueError(
                f"the input {inputs[0].name!r} holds {name_of(kind.elem_type)}, but a Network "
                "takes float32 or float64"
            )
        self.type = kind.elem_type
        shape = None
        if kind.HasField("shape"):
            shape = tuple(d.dim_value if d.dim_value > 0 else None for d in kind.shape.dim)
        self.signals = {inputs[0].name: Signal(0, POINTS, shape)}
        self.weights: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []
        self.activations: list[str] = []
        self.extras: list[Extras] = []
        self.below: Signal | None = None  # the input of the last linear layer
        self.stage = 0
        self.rows: int | None = None  # the number of rows, if the file states it

    def visit(self, node):
        """Read a node; raise ValueError with the reason if a Network cannot contain it."""
        place, name = f"node {node.name or node.output[0]!r} ({node.op_type})", node.output[0]
        try:
            domains = ("ai.onnx.ml",) if node.op_type == "ZipMap" else ("", "ai.onnx")
            if node.domain not in domains or node.op_type not in OPERATORS:
                domain = f" of {node.domain}" if node.domain else ""
                raise ValueError(
                    f"{node.op_type}{domain} is not part of a multi-layer perceptron, which has "
                    f"{', '.join(OPERATORS)}"
                )
            for output in node.output:
                if output in self.signals or output in self.constants:
                    raise ValueError(f"gives its output {output!r} the name of another one")
            attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
            if node.op_type == "Constant":
                self.constants[name] = constant(**attributes)
            elif not node.input:
                raise ValueError("has no input")
            elif node.op_type == "Identity" and node.input[0] in self.constants:
                self.constants[name] = self.constants[node.input[0]]
            else:
                result = self._result(node.op_type, node.input, attributes)
                (self.signals if isinstance(result, Signal) else self.constants)[name] = result
        except (TypeError, ValueError) as error:
            raise ValueError(f"{place}: {error}") from None

    def chain(self, output):
        """Return the chain of layers up to the graph's output."""
        signal = self.signals.get(output)
        if signal is None or not self.weights:
            raise ValueError(f"no linear layer, Gemm or MatMul, leads to the output {output!r}")
        self._check_chain([signal])
        name = self._function(signal)
        if signal.added or not self.extras[-1].empty:
            raise ValueError(
                "the output layer has a normalisation, a PRelu or a residual connection, which "
                "only the hidden layers of a Network have"
            )
        if all(type_of(W) != self.type for W in self.weights):
            raise ValueError(
                f"the input holds {name_of(self.type)}, but the weights {self.weights[0].dtype}"
            )
        extras = [] if all(one.empty for one in self.extras) else self.extras[:-1]
        return Chain(self.weights, self.biases, self.activations, name, extras)

    def _input(self, name, types=FLOATS):
        if name in self.signals:
            return self.signals[name]
        if name not in self.constants:
            raise ValueError(f"its input {name!r} comes from nowhere before it")
        try:
            return array_of(self.constants[name], types)
        except ValueError as error:
            raise ValueError(f"its constant {name!r} {error}") from None

    def _result(self, operator, names, attributes):
        """Return the result of an operator: a Signal, or an array if the inputs are constants."""
        # Further inputs of operators in PASSED_OVER are parameters, not operands.
        inputs = [self._input(name) for name in (names[:1] if operator in PASSED_OVER else names)]
        signals = [x for x in inputs if isinstance(x, Signal)]
        if operator == "Transpose":
            return _transposed(*inputs, **attributes)
        if operator == "Cast":
            self._check_cast(inputs[0], **attributes)
            return inputs[0]
        if not signals:
            raise ValueError("does not depend on the graph's input")
        if operator == "Add" and len(signals) == 2 and any(map(self._is_below, signals)):
            return self._residual(*signals)
        self._check_chain(signals)
        if operator in ("Add", "Mul") and (found := self._part_of_prelu(operator, *inputs)):
            return found
        squeezed = any(x.shape and len(x.shape) == 1 for x in signals)
        if squeezed and (len(names) > 1 or operator not in ("Identity", *ELEMENTWISE)):
            raise ValueError("follows a Squeeze, after which only activations may come")
        if operator in PASSED_OVER:
            return self._passed_over(operator, signals[0], names[1:], attributes)
        if operator == "Concat":
            return self._both_classes(*inputs, **attributes)
        if operator == "Gemm":
            return self._linear(*inputs, **attributes)
        if operator == "MatMul":
            return self._linear(*inputs)
        if any(x.added for x in signals):
            raise ValueError("follows a residual connection, after which only a layer may come")
        for x in signals:
            if isinstance(x.values, str):
                where = "come last" if x.values == SOFTMAX else "be followed by a layer"
                raise ValueError(f"follows a {x.values}, which must {where}")
        if operator == "Softmax":
            return self._softmax(*inputs, **attributes)
        if operator in NORMS:
            return self._norm(NORMS[operator], *inputs, **attributes)
        if operator == "PRelu":
            return self._prelu(*inputs, **attributes)
        if operator == "Add" and self.weights and signals[0].values is POINTS:
            constants = [x for x in inputs if not isinstance(x, Signal)]
            if len(inputs) == 2 and len(constants) == 1:
                return self._add_bias(constants[0])
        arguments = [x.values if isinstance(x, Signal) else scalar(x) for x in inputs]
        with np.errstate(all="ignore"):
            values = ELEMENTWISE[operator](*arguments, **attributes)
        return signals[0]._replace(values=values)

    def _check_cast(self, x, to, saturate=1, round_mode=b"up"):
        """Raise ValueError if a cast changes the type, since it would round."""
        there = self.type if isinstance(x, Signal) else type_of(x)
        if to != there:
            raise ValueError(
                f"casts {name_of(there)} to {name_of(to)}, but a Network has one dtype from its "
                "input to its output"
            )

    def _passed_over(self, operator, x, others, attributes):
        """Return the same signal; raise ValueError if the operator may change rows or values."""
        if operator == "Reshape":
            return self._reshaped(x, *others, **attributes)
        if operator == "Flatten":
            return self._flattened(x, **attributes)
        if operator == "Squeeze":
            return self._squeezed(x, *others, **attributes)
        if operator == "Dropout" and len(others) > 1 and others[1]:
            training = self._input(others[1], BOOLEANS)
            if isinstance(training, Signal) or training.any():
                raise ValueError("is in training mode; export the model for predictions")
        if operator == "ZipMap":
            labels = sum(len(values) for values in attributes.values())
            if not x.shape or labels != x.shape[-1]:
                raise ValueError(f"has {labels} labels for an output of shape {x.shape}")
        return x

    def _flattened(self, x, axis=1):
        """Return the flattened signal; rows are kept if only axes after the first are joined."""
        if axis != 1 and (not x.shape or axis != 1 - len(x.shape)):
            raise ValueError(f"joins rows: its axis is {axis}, and only 1 keeps them apart")
        return x._replace(shape=(x.shape[0], _product(x.shape[1:])) if x.shape else (None, None))

    def _reshaped(self, x, name, allowzero=0):
        target = self._input(name, INTEGERS)
        if isinstance(target, Signal) or target.ndim != 1:
            raise ValueError("has no constant shape")
        shape = x.shape or (None, None)
        rows, width = shape[0], _product(shape[1:])
        zero = set() if allowzero else {0}  # 0 keeps the old size, unless allowzero is set
        same_rows = zero | {rows}
        same_width = {width} | (zero if len(shape) == 2 else set())
        if len(target) == 2:
            n, m = target.tolist()
            if (n in same_rows and m in same_width | {-1}) or (n == -1 and m in same_width - {0}):
                return x._replace(shape=(rows, width))
        raise ValueError(
            f"makes the shape {target.tolist()} of {_shown(x.shape)}, which is not certain to keep "
            "the rows"
        )

    def _squeezed(self, x, name=None, axes=None):
        """Return a single output without its second axis; Network keeps it as a column."""
        given = axes if name is None else self._input(name, INTEGERS)
        axis = None if given is None or isinstance(given, Signal) else list(given)
        single = self.weights and x.shape and len(x.shape) == 2 and x.shape[1] == 1
        if axis not in ([1], [-1]) or not single:
            raise ValueError("may only drop the second axis of a single output")
        return x._replace(shape=(x.shape[0],))

    def _both_classes(self, *parts, axis):
        """Read columns 1 - sigmoid(s) and sigmoid(s) of two classes, as a softmax of 0 and s."""
        sigmoid = elementwise.sigmoid(POINTS)
        if not (
            axis in (1, -1)
            and len(parts) == 2
            and all(isinstance(x, Signal) for x in parts)
            and self.weights
            and self.weights[-1].shape[1] == 1
            and same(parts[0].values, 1 - sigmoid)
            and same(parts[1].values, sigmoid)
        ):
            raise ValueError(
                "may only join the probabilities of two classes, 1 - sigmoid(s) and sigmoid(s)"
            )
        W, b = self.weights[-1], self.biases[-1]
        self.weights[-1] = np.hstack([np.zeros_like(W), W])
        self.biases[-1] = np.hstack([np.zeros_like(b), b])
        return self._next_stage()._replace(values=SOFTMAX)

    def _check_chain(self, signals):
        if any(x.stage != self.stage for x in signals):
            raise ValueError("not a chain: takes what comes from before the last layer or bias")

    def _next_stage(self):
        """Begin a new stage; return the signal of the last linear layer's output."""
        self.stage += 1
        return Signal(self.stage, POINTS, (self.rows, len(self.biases[-1])))

    def _linear(self, h, W, b=None, alpha=1.0, beta=1.0, transA=0, transB=0):
        """Add a linear layer, s = alpha h W + beta b."""
        if not isinstance(h, Signal) or isinstance(W, Signal) or W.ndim != 2:
            raise ValueError("must multiply rows by a matrix of constants")
        if transA:
            raise ValueError("has transA, which makes columns of the rows")
        W = scaled(W.T if transB else W, alpha)
        if self.weights:
            self.activations.append(self._function(h))
            self.extras[-1].residual = h.added
            check_hidden(self.activations[-1], f"linear layer {len(self.weights)} before it")
        elif h.values is not POINTS:
            raise ValueError("the input goes through a function before the first layer")
        elif h.shape and (len(h.shape) != 2 or h.shape[1] not in (None, len(W))):
            raise ValueError(
                f"multiplies an input of shape {_shown(h.shape)} by a matrix of shape {W.shape}, "
                "but a Network takes rows"
            )
        else:
            self.rows = h.shape[0] if h.shape else None
        self.below = h
        self.extras.append(Extras())
        self.weights.append(W)
        self.biases.append(np.zeros(W.shape[1], W.dtype))
        return self._next_stage() if b is None else self._add_bias(b, beta)

    def _is_below(self, x):
        """Return whether a signal is the input of the last linear layer."""
        below = self.below
        return (
            below is not None
            and below.stage == x.stage
            and below.values is x.values
            and below.added == x.added
        )

    def _residual(self, one, other):
        """Read the sum of the output and the input of the last linear layer's layer."""
        h = other if self._is_below(one) else one
        self._check_chain([h])
        if h.added or h.values is SOFTMAX:
            raise ValueError("adds the input of a layer again, or to a softmax")
        return h._replace(added=True)

    def _check_linear(self, s):
        if not isinstance(s, Signal) or s.values is not POINTS or not self.weights:
            raise ValueError("must directly follow a linear layer or its normalisation")

    def _norm(self, kind, s, weight, bias=None, axis=-1, epsilon=1e-5, stash_type=1):
        """Read a normalisation of the last linear layer's outputs."""
        self._check_linear(s)
        n = len(self.biases[-1])
        if axis not in (1, -1):
            raise ValueError("must normalise axis 1")
        if self.extras[-1].norm is not None:
            raise ValueError("normalises a second time")
        for array in (weight, bias):
            if isinstance(array, Signal) or (array is not None and array.shape != (n,)):
                raise ValueError(f"has a scale or bias that is not a constant of shape ({n},)")
        if abs(epsilon - spec.NORM_EPSILON) > TOLERANCE * spec.NORM_EPSILON:
            raise ValueError(f"has epsilon {epsilon:g}; a Network has {spec.NORM_EPSILON:g}")
        self.extras[-1].norm = Norm(kind, weight, bias)
        return self._next_stage()

    def _prelu(self, s, slopes):
        """Read an activation with slopes."""
        self._check_linear(s)
        n = len(self.biases[-1])
        if isinstance(slopes, Signal) or slopes.shape not in ((), (1,), (1, 1), (n,), (1, n)):
            raise ValueError(f"has slopes that are not a constant of shape ({n},)")
        self.extras[-1].slopes = np.broadcast_to(slopes.ravel(), (n,))
        return s._replace(values=PRELU)

    def _part_of_prelu(self, operator, one, other):
        """Read min(s, 0) times slopes, or the sum of that and relu(s); None if it is neither."""
        s, other = (one, other) if isinstance(one, Signal) else (other, one)
        if s.added or not self.weights:
            return None
        if operator == "Mul" and not isinstance(other, Signal):
            if other.shape == self.biases[-1].shape and same(s.values, np.minimum(POINTS, 0)):
                self.extras[-1].slopes = other
                return s._replace(values=BELOW)
        elif operator == "Add" and isinstance(other, Signal):
            above, below = (other, s) if s.values is BELOW else (s, other)
            if below.values is BELOW and same(above.values, np.maximum(POINTS, 0)):
                return s._replace(values=PRELU)
        return None

    def _add_bias(self, b, beta=1.0):
        n = len(self.biases[-1])
        if self.extras[-1].norm is not None:
            raise ValueError("adds a constant to a normalisation, whose bias must be its own")
        if isinstance(b, Signal) or b.shape not in ((), (1,), (1, 1), (n,), (1, n)):
            raise ValueError(f"adds something else than a constant bias of shape ({n},)")
        with np.errstate(over="ignore", invalid="ignore"):  # Network checks for finite values
            self.biases[-1] = self.biases[-1] + scaled(b, beta).ravel()
        return self._next_stage()

    def _softmax(self, s, axis=-1):
        if axis not in (1, -1) or s.values is not POINTS or not self.weights:
            raise ValueError("must be along axis 1, and directly after a linear layer")
        return s._replace(values=SOFTMAX)

    def _function(self, signal):
        """Return Network's name of the function after a linear layer."""
        if isinstance(signal.values, str) and signal.values is not BELOW:
            return signal.values
        for name, function in KNOWN.items():
            with np.errstate(all="ignore"):
                wanted = function(POINTS)
            if same(signal.values, wanted):
                return name
        raise ValueError(
            f"the function after linear layer {len(self.weights)} is not one of Network's: "
            f"{', '.join(KNOWN)} (with the parameters that docs/networks.md states)"
        )


def _product(sizes):
    return None if None in sizes else math.prod(sizes)


def _shown(shape):
    return "unknown" if shape is None else str(["n" if size is None else size for size in shape])


def _transposed(x, perm=(1, 0)):
    if isinstance(x, Signal) or x.ndim != 2 or tuple(perm) != (1, 0):
        raise ValueError("transposes something else than a constant matrix")
    return x.T

"""Writes networks as ONNX graphs."""

import numpy as np

from ..basis import spec, writing
from ..basis.inputs import Categorical
from .activations import EQUIVALENTS, names_of, write_prelu

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise ImportError("exchange with ONNX needs onnx: pip install 'fastbp[onnx]'") from error

# The oldest opset added Erf; the newest is the last one tested with onnxruntime.
OPSETS = range(9, 29)
# Maximum size of a Protocol Buffers message.
MOST_BYTES = 2**31 - 1
ALL_UNITS = slice(None)


def to_onnx(net, path, output, opset):
    """See Network.to_onnx."""
    check_opset(opset)
    if net._engine.parameters.nbytes > MOST_BYTES:
        raise ValueError(
            f"an ONNX file holds at most {MOST_BYTES:,} bytes, "
            f"but the weights take {net._engine.parameters.nbytes:,}"
        )
    graph = Graph(net.layout.dtype, int(opset))
    widths = {"h": net.layout.sizes[-1]}
    if net._engine.heads:
        widths = {f"h_{k}": head.n_outputs for k, head in enumerate(net._engine.heads)}
        found = write_heads(graph, "X", net)
    else:
        found = [write_layers(graph, "X", net, output)]
    for name, h in zip(widths, found, strict=True):
        graph.add("Identity", h, output=name)
    inputs = [graph.info("X", net.layout.n_features)]
    outputs = [graph.info(name, n) for name, n in widths.items()]
    write_model(path, graph, "network", inputs, outputs, {"": opset})


def check_opset(opset, oldest=OPSETS[0]):
    """Refuse versions of ONNX's operators that cannot be written."""
    newest = min(OPSETS[-1], onnx.defs.onnx_opset_version())
    if isinstance(opset, bool) or not isinstance(opset, (int, np.integer)):
        raise TypeError(f"opset must be a whole number, got {opset!r}")
    if not oldest <= opset <= newest:
        raise ValueError(f"opset must be from {oldest} to {newest}, got {opset}")


def write_model(path, graph, name, inputs, outputs, opsets):
    """Write a graph with these inputs and outputs; `opsets` has the version of each domain."""
    ids = [helper.make_opsetid(domain, int(opset)) for domain, opset in opsets.items()]
    model = helper.make_model(
        helper.make_graph(graph.nodes, name, inputs, outputs, graph.constants),
        opset_imports=ids,
        ir_version=helper.find_min_ir_version_for(ids),
        producer_name="fastbp",
    )
    onnx.checker.check_model(model, full_check=True)
    writing.write(path, model.SerializeToString())


def write_layers(graph, h, net, output):
    """Add the nodes of all layers and the output activation; return the name of the output."""
    return _write_output(graph, _write_hidden(graph, h, net), net, output)


def write_heads(graph, h, net):
    """Add the nodes of a network with heads; return the name of each head's output."""
    h = _write_hidden(graph, h, net)
    return [
        _write_output(graph, h, net, head.row.output_activation, head.outputs, f"_{k}")
        for k, head in enumerate(net._engine.heads)
    ]


def _write_output(graph, h, net, activation, units=ALL_UNITS, suffix=""):
    """Add some units of the output layer."""
    W, b, m = net.weights[-1][:, units], net.biases[-1][units], len(net.weights)
    W, b = graph.constant(W, f"W{m}{suffix}"), graph.constant(b, f"b{m}{suffix}")
    return EQUIVALENTS[activation].write_onnx(graph, graph.add("Gemm", h, W, b))


def _write_hidden(graph, h, net):
    """Add the nodes of the hidden layers; return the name of the last one's output."""
    *names, _ = names_of(net, "identity", "ONNX")
    if net.layout.inputs:
        h = write_inputs(graph, h, net)
    for i, name in enumerate(names, start=1):
        below, W, b = h, net.weights[i - 1], net.biases[i - 1]
        s = graph.add("Gemm", h, graph.constant(W, f"W{i}"), graph.constant(b, f"b{i}"))
        if net.layout.norm is not None:
            s = write_norm(graph, s, net, i)
        if name == "prelu":
            h = write_prelu(graph, s, graph.constant(net.slopes[i - 1], f"slopes{i}"))
        else:
            h = EQUIVALENTS[name].write_onnx(graph, s)
        if i in net.layout.residual_layers:
            h = graph.add("Add", h, below)
    return h


def write_inputs(graph, X, net):
    """Add the nodes that make h_0 of X, with vectors for codes and numbers for missing ones."""
    tables, missing = iter(net.embeddings), iter(net.missing)
    parts, first = [], 0
    for i, item in enumerate(net.layout.inputs, start=1):
        columns = np.arange(first, first + item._columns)
        first += item._columns
        if isinstance(item, Categorical):
            code = graph.add("Gather", X, graph.tensor(columns[0], f"column{i}"), axis=1)
            known = graph.add("Greater", code, -1.0)  # not for NaN
            row = graph.add("Where", known, code, float(item.n_categories))
            row = graph.add("Cast", row, to=onnx.TensorProto.INT64)
            table = graph.constant(next(tables), f"embeddings{i}")
            parts.append(graph.add("Gather", table, row, axis=0))
            continue
        x = graph.add("Gather", X, graph.tensor(columns, f"columns{i}"), axis=1)
        if item.missing:
            fill = graph.constant(next(missing), f"missing{i}")
            x = graph.add("Where", graph.add("IsNaN", x), fill, x)
        parts.append(x)
    return graph.add("Concat", *parts, axis=1)


def write_norm(graph, s, net, i):
    """Add the normalisation of hidden layer i; as several nodes where the opset has none for it."""
    layer = net.layout.norm == "layer"
    scale = graph.constant(net.norm_weights[i - 1], f"norm_weights{i}")
    constants = [scale]
    if layer:
        constants.append(graph.constant(net.norm_biases[i - 1], f"norm_biases{i}"))
    if graph.opset >= (17 if layer else 23):
        name = "LayerNormalization" if layer else "RMSNormalization"
        return graph.add(name, s, *constants, axis=-1, epsilon=spec.NORM_EPSILON)
    n = net.layout.sizes[i]
    mean = graph.constant(np.full((n, 1), 1 / n), f"mean{i}")  # a row times this is its mean
    if layer:
        s = graph.add("Sub", s, graph.add("MatMul", s, mean))
    variance = graph.add("MatMul", graph.add("Mul", s, s), mean)
    deviation = graph.add("Sqrt", graph.add("Add", variance, spec.NORM_EPSILON))
    scaled = graph.add("Mul", graph.add("Div", s, deviation), scale)
    return graph.add("Add", scaled, constants[1]) if layer else scaled


class Graph:
    """Nodes and constants of a graph, with unique names.

    Parameters
    ----------
    dtype : numpy.dtype
        Of the numbers among the constants.
    opset : int
        The version of ONNX's operators.
    whole : Graph, optional
        A graph that this one becomes a part of. Names of its constants begin with `prefix`.
    taken : set of str
        Names of the graph's inputs, which nothing else may have.
    """

    def __init__(self, dtype, opset, whole=None, prefix="", taken=frozenset()):
        self.dtype, self.opset = np.dtype(dtype), opset
        self.type = helper.np_dtype_to_tensor_dtype(self.dtype)
        self.nodes: list = whole.nodes if whole else []
        self.constants: list = whole.constants if whole else []
        self.prefix = prefix
        self.taken = whole.taken if whole else taken
        self.numbers = {}

    def add(self, operator, *inputs, output=None, **attributes):
        """Add a node and return the name of its output. Inputs are names or numbers."""
        names = [x if isinstance(x, str) else self.number(x) for x in inputs]
        output = output or self._free(f"{operator}_{len(self.nodes)}")
        self.nodes.append(helper.make_node(operator, names, [output], output, **attributes))
        return output

    def info(self, name, n):
        """What ONNX is told about an input or output of rows of n numbers."""
        return helper.make_tensor_value_info(name, self.type, ["n_samples", n])

    def number(self, x):
        if x not in self.numbers:
            self.numbers[x] = self.constant(np.array(x), f"number_{len(self.numbers)}")
        return self.numbers[x]

    def constant(self, array, name):
        """Add an array in the graph's dtype; return its name."""
        return self.tensor(np.ascontiguousarray(array, self.dtype).reshape(array.shape), name)

    def tensor(self, array, name):
        """Add an array in its own dtype; return its name."""
        name = self._free(self.prefix + name)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def _free(self, name):
        while name in self.taken:
            name += "_"
        return name

"""Writes networks as ONNX graphs.

Activations are written with operators that onnxruntime supports for both precisions: for float64
it lacks Elu, Softplus and Erf, and attributes such as LeakyRelu's slope are always float32.
"""

import numpy as np

from ..basis import spec, writing

try:
    import onnx
    from onnx import helper, numpy_helper
except ImportError as error:
    raise ImportError("exchange with ONNX needs onnx: pip install 'fastbp[onnx]'") from error

# The oldest opset added Erf; the newest is the last one tested with onnxruntime.
OPSETS = range(9, 29)
# Maximum size of a Protocol Buffers message.
MOST_BYTES = 2**31 - 1


def to_onnx(net, path, output, opset):
    """See Network.to_onnx."""
    newest = min(OPSETS[-1], onnx.defs.onnx_opset_version())
    if isinstance(opset, bool) or not isinstance(opset, (int, np.integer)):
        raise TypeError(f"opset must be a whole number, got {opset!r}")
    if not OPSETS[0] <= opset <= newest:
        raise ValueError(f"opset must be from {OPSETS[0]} to {newest}, got {opset}")
    if net._engine.parameters.nbytes > MOST_BYTES:
        raise ValueError(
            f"an ONNX file holds at most {MOST_BYTES:,} bytes, "
            f"but the weights take {net._engine.parameters.nbytes:,}"
        )
    graph = Graph(net.layout.dtype)
    graph.add("Identity", write_layers(graph, "X", net, output), output="h")
    sizes = net.layout.sizes
    opset_id = helper.make_opsetid("", int(opset))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "network",
            [helper.make_tensor_value_info("X", graph.type, ["n_samples", sizes[0]])],
            [helper.make_tensor_value_info("h", graph.type, ["n_samples", sizes[-1]])],
            graph.constants,
        ),
        opset_imports=[opset_id],
        ir_version=helper.find_min_ir_version_for([opset_id]),
        producer_name="fastbp",
    )
    onnx.checker.check_model(model, full_check=True)
    writing.write(path, model.SerializeToString())


def write_layers(graph, h, net, output):
    """Add the nodes of all layers and the output activation; return the name of the output."""
    names = [*net.layout.activations, output]
    for i, (W, b, name) in enumerate(zip(net.weights, net.biases, names, strict=True), start=1):
        s = graph.add("Gemm", h, graph.constant(W, f"W{i}"), graph.constant(b, f"b{i}"))
        h = ACTIVATIONS[name](graph, s)
    return h


class Graph:
    """Nodes and constants of a graph, with unique names."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.type = helper.np_dtype_to_tensor_dtype(dtype)
        self.nodes, self.constants = [], []
        self.numbers = {}

    def add(self, operator, *inputs, output=None, **attributes):
        """Add a node and return the name of its output. Inputs are names or numbers."""
        names = [x if isinstance(x, str) else self.number(x) for x in inputs]
        output = output or f"{operator}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], output, **attributes))
        return output

    def number(self, x):
        if x not in self.numbers:
            self.numbers[x] = self.constant(np.array(x), f"number_{len(self.numbers)}")
        return self.numbers[x]

    def constant(self, array, name):
        array = np.ascontiguousarray(array, self.dtype).reshape(array.shape)
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def leaky_relu(graph, s):
    return graph.add("Max", s, graph.add("Mul", s, spec.LEAKY_SLOPE))


def elu(graph, s):
    if graph.dtype == np.float32:
        return graph.add("Elu", s)
    below = graph.add("Sub", graph.add("Exp", graph.add("Min", s, 0.0)), 1.0)
    return graph.add("Add", graph.add("Relu", s), below)


def softplus(graph, s):
    if graph.dtype == np.float32:
        return graph.add("Softplus", s)
    e = graph.add("Exp", graph.add("Neg", graph.add("Abs", s)))
    return graph.add("Add", graph.add("Relu", s), graph.add("Log", graph.add("Add", e, 1.0)))


def silu(graph, s):
    if graph.dtype == np.float64:
        # Many versions of onnxruntime fuse s Sigmoid(s) to an operator that they lack for float64.
        return graph.add("Div", s, graph.add("Add", graph.add("Exp", graph.add("Neg", s)), 1.0))
    return graph.add("Mul", s, graph.add("Sigmoid", s))


def gelu(graph, s):
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


def of_operator(operator, **attributes):
    return lambda graph, s: graph.add(operator, s, **attributes)


ACTIVATIONS = {
    "identity": lambda graph, s: s,
    "sigmoid": of_operator("Sigmoid"),
    "tanh": of_operator("Tanh"),
    "relu": of_operator("Relu"),
    "leaky_relu": leaky_relu,
    "elu": elu,
    "softplus": softplus,
    "silu": silu,
    "gelu": gelu,
    "softmax": of_operator("Softmax", axis=1),
    "exp": of_operator("Exp"),
}

"""What the functions of an exported network do, in the arithmetic of floats."""

from typing import NamedTuple

import numpy as np

from ..basis import spec
from .activations import EQUIVALENTS
from .c_text import Statements, hexadecimal

# Loss -> its derivative by d = h - y in C; formatted with the loss's parameter.
DELTAS = {
    "log_loss": "{d}",
    "cross_entropy": "{d}",
    "squared_error": "{d}",
    "poisson": "{d}",
    "absolute_error": "direction({d})",
    "huber": "huber({d}, {high})",
    "quantile": "quantile({d}, {above}, {below})",
}


class Layer(NamedTuple):
    """A layer as C sees it: where its parameters are, its sizes and its activation."""

    number: int
    weights: str  # arguments: weights, and steps for int8
    biases: str
    n_in: int
    n_out: int
    activation: str
    kind: str  # of the weights: float32, int8
    single: bool  # whether it is a single output, whose sum has another order

    @property
    def function(self):
        """The activation's name in C; None for identity and softmax."""
        return EQUIVALENTS[self.activation].c

    def forward(self, statements, source, target, slopes=None):
        """Write h to `target`, and σ'(s) to `slopes` unless that is None."""
        counts = [self.n_in] if self.single else [self.n_in, self.n_out]
        called = f"{'unit' if self.single else 'layer'}_{self.kind}"
        statements.call(called, self.weights, self.biases, source, target, *counts)
        if self.activation == "softmax":
            statements.call("softmax", target, self.n_out)
        elif self.function and slopes:
            statements.each(
                self.n_out,
                f"const float s = {target}[i];",
                f"{target}[i] = {self.function}(s);",
                f"{slopes}[i] = {self.function}_slope(s, {target}[i]);",
            )
        elif self.function:
            statements.each(self.n_out, f"{target}[i] = {self.function}({target}[i]);")


class Memory:
    """Parts of the caller's scratch, by name."""

    def __init__(self):
        self.size = 0
        self.lines: list[str] = []

    def take(self, name, n):
        """Set n numbers apart."""
        offset = f" + {self.size}" if self.size else ""
        self.lines.append(f"float *const {name} = scratch{offset};")
        self.size += n
        return name


def outputs_of_layers(memory, layers):
    """Set memory apart for the outputs of hidden layers, and return what gives a layer its place.

    Odd layers share one buffer and even layers another, since each layer needs only the previous.
    """
    hidden = [layer.n_out for layer in layers[:-1]]
    for k, name in enumerate(("a", "b")):
        if hidden[k::2]:
            memory.take(name, max(hidden[k::2]))
    return lambda number: "h" if number == len(layers) else ("a", "b")[(number - 1) % 2]


def scaled_inputs(code, memory, scalers, n, masks=False):
    """Scale the inputs, and return where they are.

    With `masks`, `inside_K` gets 1 for each input that scaling K does not clip, else 0.
    """
    source = "x"
    for k, scaling in enumerate(scalers.inputs, start=1):
        place = "z" if k > 1 else memory.take("z", n)
        code.call("scale_inputs", source, f"centers_{k}", f"rests_{k}", f"scales_{k}", place, n)
        source = place
        if scaling.low is None:
            continue
        low, high = (hexadecimal(float(bound)) for bound in (scaling.low, scaling.high))
        if masks:
            inside = memory.take(f"inside_{k}", n)
            code.each(n, f"{inside}[i] = (float)({low} <= z[i] && z[i] <= {high});")
        code.call("clip_inputs", place, low, high, n)
    return source


def unscaled_outputs(statements, layers, scalers):
    """Turn outputs into the user's units."""
    if scalers.targets is not None:
        statements.call("unscale_outputs", "h", "target_centers", "target_scales", layers[-1].n_out)


def predict(layers, scalers):
    """Statements that write h for x, and the size of their scratch."""
    code, memory = Statements(), Memory()
    place = outputs_of_layers(memory, layers)
    source = scaled_inputs(code, memory, scalers, layers[0].n_in)
    for layer in layers:
        layer.forward(code, source, place(layer.number))
        source = place(layer.number)
    unscaled_outputs(code, layers, scalers)
    code.lines[:0] = memory.lines or ["(void)scratch;"]
    return code, memory.size


def jacobian(layers, scalers):
    """Statements that write h and J = ∂h/∂x for x, and the size of their scratch."""
    code, memory = Statements(), Memory()
    place = outputs_of_layers(memory, layers)
    slopes = {
        layer.number: memory.take(f"slopes_{layer.number}", layer.n_out)
        for layer in layers
        if layer.function
    }
    source = scaled_inputs(code, memory, scalers, layers[0].n_in, masks=True)
    for layer in layers:
        layer.forward(code, source, place(layer.number), slopes.get(layer.number))
        source = place(layer.number)
    first, last = layers[0], layers[-1]
    inner = Statements()
    for layer in reversed(layers):
        target = place(layer.number - 1) if layer is not first else "J[k]"
        if layer is last:
            inner.call(f"column_{layer.kind}", layer.weights, "k", target, layer.n_in, layer.n_out)
        else:
            inner.call(
                f"back_{layer.kind}",
                *(layer.weights, place(layer.number), target, layer.n_in, layer.n_out),
            )
        if layer.number - 1 in slopes:
            inner.call("multiply", target, slopes[layer.number - 1], layer.n_in)
    if last.number in slopes:
        inner.each(first.n_in, f"J[k][i] *= {slopes[last.number]}[k];")
    _each_output(code, last, inner)
    if last.activation == "softmax":
        code.lines += [
            f"for (size_t i = 0; i < {first.n_in}; i++) {{",
            "    float mean = 0.0f;",
            f"    for (size_t k = 0; k < {last.n_out}; k++)",
            "        mean = fused(h[k], J[k][i], mean);",
            f"    for (size_t k = 0; k < {last.n_out}; k++)",
            "        J[k][i] = h[k] * (J[k][i] - mean);",
            "}",
        ]
        code.called.add("fused")
    _in_units(code, layers, scalers)
    unscaled_outputs(code, layers, scalers)
    code.lines[:0] = memory.lines or ["(void)scratch;"]
    return code, memory.size


def _each_output(code, last, inner):
    code.lines.append(f"for (size_t k = 0; k < {last.n_out}; k++) {{")
    code.lines += [*(f"    {line}" for line in inner.lines), "}"]
    code.called |= inner.called


def _in_units(code, layers, scalers):
    """Turn J into derivatives of predictions by features, both in the user's units."""
    n, inner = layers[0].n_in, Statements()
    for k, scaling in enumerate(scalers.inputs, start=1):
        inside = "" if scaling.low is None else f" * inside_{k}[i]"
        inner.each(n, f"J[k][i] = J[k][i] / scales_{k}[i]{inside};")
    if scalers.targets is not None:
        inner.each(n, "J[k][i] *= target_scales[k];")
    if inner.lines:
        _each_output(code, layers[-1], inner)


def check_trainable(net):
    """Raise ValueError if C cannot take the step of `fit_step`."""
    if net.loss is None:
        raise ValueError("train= needs a network with a loss, and this one has none")
    if net._engine.distribution is not None:
        raise ValueError(
            f"train= takes no losses of distributions, but the loss is {net._engine.loss_title}"
        )
    if net.loss not in DELTAS:
        title = "a function of your own" if callable(net.loss) else net.loss
        raise ValueError(f"train= does not take the loss, {title}, but only {', '.join(DELTAS)}")
    if net.monotonic_cst:
        raise ValueError(
            "train= takes no network with monotonic_cst: steps in C would not keep the signs of "
            "the weights"
        )
    if net.loss == "poisson" and net._engine.output_activation != "exp":
        raise ValueError(
            "train= takes the loss poisson with the output activation exp only, not with "
            f"{net._engine.output_activation}"
        )


def fit_step(net, layers, scalers):
    """Statements that take a step of SGD for x and y, and the size of their scratch."""
    code, memory = Statements(), Memory()
    for layer in layers:
        memory.take(f"h_{layer.number}", layer.n_out)
        memory.take(f"ds_{layer.number}", layer.n_out)
    source = scaled_inputs(code, memory, scalers, layers[0].n_in)
    sources = {}
    last = layers[-1]
    apart = last.activation != spec.LOSSES[net.loss].output_activation
    for layer in layers:
        h, ds = f"h_{layer.number}", f"ds_{layer.number}"
        sources[layer.number] = source
        layer.forward(code, source, h, ds if layer is not last or apart else None)
        if layer is not last and not layer.function:
            code.each(layer.n_out, f"{ds}[i] = 1.0f;")
        source = h
    y = "y[i]"
    if scalers.targets is not None:
        y = "((y[i] - target_centers[i]) - target_rests[i]) / target_scales[i]"
    parameter = net.loss_parameter or 0.0
    delta = DELTAS[net.loss].format(
        d=f"{source}[i] - {y}",
        high=hexadecimal(_single(parameter)),
        above=hexadecimal(_single(1 - parameter)),
        below=hexadecimal(_single(-parameter)),
    )
    if apart:
        code.each(last.n_out, f"ds_{last.number}[i] *= ({delta});")
    else:
        code.each(last.n_out, f"ds_{last.number}[i] = {delta};")
    for layer in reversed(layers):
        ds = f"ds_{layer.number}"
        if layer.number > 1:
            below = f"ds_{layer.number - 1}"
            code.call("deltas", layer.weights, ds, below, layer.n_in, layer.n_out)
        code.call(
            "step_sgd",
            *(layer.weights, layer.biases, sources[layer.number], ds, "rate"),
            *(layer.n_in, layer.n_out),
        )
    code.lines[:0] = memory.lines
    return code, memory.size


def _single(x):
    """A number rounded to float32."""
    return float(np.float32(x))

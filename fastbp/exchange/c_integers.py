"""A network in C whose arithmetic is that of whole numbers: its constants and functions."""

import numpy as np

from .activations import EQUIVALENTS
from .c_text import Function, Statements, array, signature

QUANTISE = """\
/* The inputs as whole numbers. x must be finite: NaN is taken for a very small number. */"""
INTEGERS = """\
/* Whole numbers out of whole numbers, without any floats: in `sums`, s of the outputs, each in
 * steps of its own. No two arrays may overlap; what the scratch holds does not matter. */"""
PREDICT_R = """\
/* The network's output h for one sample x. Any number of calls may run at once, each with a scratch
 * of its own, which must not overlap x or h. */"""
PREDICT = """\
/* The same with static memory: calls by several threads, or by a program and its interrupts, would
 * disturb each other. */"""


class Integers:
    """An `IntegerNetwork` in C. The attributes are as those of c_floats.Floats."""

    def __init__(self, whole, name, scalers):
        self.name, self.prefix = name, name.upper()
        self.declarations: list[str] = []
        self.constants: list[str] = []
        self.n_bytes = 0
        self._constant("float", "centers", whole.centers)
        self._constant("float", "factors", whole.factors)
        self._constant("float", "output_steps", whole.steps)
        sizes, output = whole.network.layout.sizes, whole._output
        inner = Statements()
        place = ("q", "a", "b")
        for i, layer in enumerate(whole.layers, start=1):
            source = "q" if i == 1 else place[1 + i % 2]
            self._constant("int8_t", f"weights_{i}", np.ascontiguousarray(layer.weights.T))
            self._constant("int32_t", f"biases_{i}", layer.biases)
            arrays = [f"weights_{i}", f"biases_{i}"]
            counts = sizes[i - 1 : i + 1]
            if i == len(whole.layers):
                inner.call("last_int32", *arrays, source, "sums", *counts)
                continue
            target = place[1 + (i - 1) % 2]
            self._constant("int32_t", f"multipliers_{i}", layer.multipliers)
            self._constant("uint8_t", f"shifts_{i}", layer.shifts)
            arrays += [f"multipliers_{i}", f"shifts_{i}"]
            inner.call("layer_int32", *arrays, layer.zero, layer.lowest, source, target, *counts)
            if layer.table is not None:
                self._constant("int8_t", f"table_{i}", layer.table)
                inner.call("look_up", target, f"table_{i}", sizes[i])
        outer = Statements()
        self._memory(inner, sizes)
        outer.lines = [f"int32_t sums[{self.prefix}_OUTPUTS];"]
        outer.lines.append(f"{name}_quantise(x, scratch);")
        outer.lines.append(f"{name}_integers(scratch, sums, scratch + {sizes[0]});")
        outer.call("dequantise", "sums", "output_steps", "h", sizes[-1])
        if output == "softmax":
            outer.call("softmax", "h", sizes[-1])
        elif function := EQUIVALENTS[output].c:
            outer.each(sizes[-1], f"h[i] = {function}(h[i]);")
        if scalers.targets is not None:
            self._constant("float", "target_centers", scalers.targets.center)
            self._constant("float", "target_scales", scalers.targets.scale)
            outer.call("unscale_outputs", "h", "target_centers", "target_scales", sizes[-1])
        self._functions(inner, outer, sizes)
        self.called = inner.called | outer.called | {"quantise_inputs"}

    def _constant(self, kind, name, values):
        self.constants.append(array(kind, name, values))
        self.n_bytes += values.nbytes

    def _memory(self, inner, sizes):
        """Set places apart for the outputs of odd and even hidden layers."""
        hidden = sizes[1:-1]
        most = [max(hidden[k::2], default=0) for k in (0, 1)]
        lines = ["int8_t *const a = scratch;", f"int8_t *const b = scratch + {most[0]};"]
        used = [line for line, n in zip(lines, most, strict=True) if n]
        inner.lines[:0] = used or ["(void)scratch;"]
        self.sizes = {
            "INTEGER_SCRATCH": max(1, sum(most)),
            "SCRATCH": sizes[0] + max(1, sum(most)),
        }

    def _functions(self, inner, outer, sizes):
        name, prefix = self.name, self.prefix
        x, h = f"const float x[{prefix}_INPUTS]", f"float h[{prefix}_OUTPUTS]"
        q, sums = f"int8_t q[{prefix}_INPUTS]", f"int32_t sums[{prefix}_OUTPUTS]"
        scratch = f"int8_t scratch[{prefix}_SCRATCH]"
        self.functions = [
            Function(PREDICT_R, signature(f"{name}_predict_r", [x, h, scratch]), outer.lines),
            Function(
                PREDICT,
                signature(f"{name}_predict", [x, h]),
                [f"static {scratch};", f"{name}_predict_r(x, h, scratch);"],
            ),
            Function(
                QUANTISE,
                signature(f"{name}_quantise", [x, q]),
                [f"quantise_inputs(x, centers, factors, q, {sizes[0]});"],
            ),
            Function(
                INTEGERS,
                signature(
                    f"{name}_integers",
                    [f"const {q}", sums, f"int8_t scratch[{prefix}_INTEGER_SCRATCH]"],
                ),
                inner.lines,
            ),
        ]

"""Writes networks as C99: a header, a source and a test program that need no library."""

import re
from pathlib import Path

import numpy as np

from ..basis import checks, writing
from .activations import EQUIVALENTS, names_of
from .c_names import check_name

WEIGHTS = ("float32", "int8")
# The largest int8 whose negative is an int8, too.
STEPS = 127
N_SAMPLES = 8


def to_c(net, folder, name, weights, X):
    """See Network.to_c."""
    check_name(name)
    folder = Path(checks.path("folder", folder))
    if not isinstance(weights, str) or weights not in WEIGHTS:
        raise ValueError(f'weights must be "float32" or "int8", got {weights!r}')
    exported = net._converted("float32", net.backend)
    steps = None
    if weights == "int8":
        steps = [_steps(W) for W in exported.weights]
        for i, step in enumerate(steps):
            exported.weights[i] = step * _whole(exported.weights[i], step)
    X, h = _samples(exported, X)
    texts = {
        f"{name}.h": _header(exported, name, weights),
        f"{name}.c": _source(exported, name, steps),
        f"{name}_test.c": _test(name, X, h),
    }
    folder.mkdir(parents=True, exist_ok=True)
    writing.write_all({folder / file: text.encode("ascii") for file, text in texts.items()})
    return exported


def _steps(W):
    """Return each unit's step, 1/127 of its largest weight."""
    largest = np.abs(W).max(axis=0).astype(np.float64)
    # A multiple of a subnormal step would be rounded again.
    return np.maximum(largest / STEPS, np.finfo(np.float32).tiny).astype(np.float32)


def _whole(W, step):
    """Return the weights as whole multiples of their units' steps."""
    return np.rint(W.astype(np.float64) / step).clip(-STEPS, STEPS).astype(np.int8)


def _samples(net, X):
    """Return samples for the test program, and the outputs that it should compute."""
    n_in = net.layout.sizes[0]
    if X is None:
        X = np.random.default_rng(0).standard_normal((N_SAMPLES, n_in))
    X = checks.samples(X, n_in, net.layout.dtype)
    h = net.to_backend("auto").predict(X)  # the NumPy reference differs in the last bits
    if not np.isfinite(h).all():
        outputs = "the network's output for the samples of the test program"
        raise ValueError(f"{checks.not_finite(outputs, h)}; pass other samples as X=")
    return X, h


def _activations(net):
    return names_of(net, net._engine.output_activation, "the C source")


def _memory(net):
    """Return the sizes of the buffers for hidden layers' outputs, by name.

    Odd layers share one buffer and even layers another, since each layer needs only the previous.
    """
    hidden = net.layout.sizes[1:-1]
    return {name: max(hidden[k::2]) for k, name in enumerate(("a", "b")) if hidden[k::2]}


def _header(net, name, weights):
    sizes, prefix = net.layout.sizes, name.upper()
    layers = " -> ".join(
        f"{n} {function}" for n, function in zip(sizes[1:], _activations(net), strict=True)
    )
    n_weights, n_biases = sum(W.size for W in net.weights), sum(sizes[1:])
    constants = 4 * (n_weights + n_biases) if weights == "float32" else n_weights + 8 * n_biases
    scratch = max(1, sum(_memory(net).values()))  # C has no empty arrays
    rounding = ""
    if weights == "int8":
        rounding = f"""
 * Each was rounded, by at most a {2 * STEPS}th of the largest one of its unit."""
    return f"""\
/* The network {sizes[0]} -> {layers}, its weights in {weights}. Written by fastbp.{rounding}
 *
 * {name}.c is C99 without any library. It has {constants} bytes of constants and
 * {4 * scratch} bytes of static memory. With instructions that multiply and add at once
 * (gcc -O3 -march=native) it is much faster, with the same results.
 *
 * {name}_test.c is a program that returns 0 if the results are those of fastbp to the last bit:
 *
 *     cc -O3 -march=native {name}.c {name}_test.c -o {name}_test && ./{name}_test
 */
#ifndef FASTBP_{prefix}_H
#define FASTBP_{prefix}_H

#define {prefix}_INPUTS {sizes[0]}
#define {prefix}_OUTPUTS {sizes[-1]}
#define {prefix}_SCRATCH {scratch}

#ifdef __cplusplus
extern "C" {{
#endif

/* The network's output h for one sample x; they must not overlap. x must be finite: what comes of
 * NaN is NaN. Its memory is static: calls by several threads, or by a program and its interrupts,
 * would disturb each other. */
void {name}_predict(const float x[{prefix}_INPUTS], float h[{prefix}_OUTPUTS]);

/* The same for any number of calls at once, each with a scratch of its own: memory for the outputs
 * of hidden layers. What it holds does not matter; it must not overlap x or h. */
void {name}_predict_r(const float x[{prefix}_INPUTS], float h[{prefix}_OUTPUTS],
    float scratch[{prefix}_SCRATCH]);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _source(net, name, steps):
    prefix = name.upper()
    kind = "float32" if steps is None else "int8"
    functions, constants, calls = set(), [], []
    source = "x"
    n_layers = len(net.weights)
    for i, (W, b, function) in enumerate(
        zip(net.weights, net.biases, _activations(net), strict=True), start=1
    ):
        n_in, n_out = W.shape
        target = "h" if i == n_layers else ("a", "b")[(i - 1) % 2]
        arrays = [f"weights_{i}", f"biases_{i}"]
        if steps is None:
            constants.append(_array("float", arrays[0], W))
        else:
            constants.append(_array("int8_t", arrays[0], _whole(W, steps[i - 1])))
            constants.append(_array("float", f"steps_{i}", steps[i - 1]))
            arrays.insert(1, f"steps_{i}")
        constants.append(_array("float", f"biases_{i}", b))
        single = i == n_layers and n_out == 1
        counts = [n_in] if single else [n_in, n_out]
        called = f"{'unit' if single else 'layer'}_{kind}"
        calls.append(f"{called}({', '.join(map(str, [*arrays, source, target, *counts]))});")
        functions.add(called)
        if function == "softmax":
            calls.append(f"{function}({target}, {n_out});")
            functions.add(function)
        elif elementwise := EQUIVALENTS[function].c:
            calls += [
                f"for (size_t i = 0; i < {n_out}; i++)",
                f"    {target}[i] = {elementwise}({target}[i]);",
            ]
            functions.add(elementwise)
        source = target
    memory = _memory(net)
    starts = {"a": "scratch", "b": f"scratch + {memory.get('a')}"}
    places = [f"float *const {place} = {starts[place]};" for place in memory]
    body = "\n    ".join([*(places or ["(void)scratch;"]), *calls])
    *arithmetic, end = _arithmetic(functions)
    predict = f"""\
void {name}_predict_r(const float x[{prefix}_INPUTS], float h[{prefix}_OUTPUTS],
    float scratch[{prefix}_SCRATCH])
{{
    {body}
}}

void {name}_predict(const float x[{prefix}_INPUTS], float h[{prefix}_OUTPUTS])
{{
    static float scratch[{prefix}_SCRATCH];
    {name}_predict_r(x, h, scratch);
}}"""
    text = "\n\n".join([*arithmetic, *constants, predict, end])
    return f'/* See {name}.h. */\n#include "{name}.h"\n\n{_prefixed(text, name)}\n'


def _prefixed(text, name):
    """Return the text with the network's name as a prefix of all names that it defines.

    So sources of several networks can be in one translation unit.
    """
    defined = re.findall(r"^(?:static (?:const )?\w+|#define|union) (\w+)", text, re.M)
    # Matches comments, strings and headers, too, so that names in them are kept.
    pattern = rf"""/\*.*?\*/|"[^"]*"|<[\w.]+>|\b(?:{"|".join(defined)})\b"""

    def renamed(match):
        word = match[0]
        if not word[0].isalpha():
            return word
        return f"{name.upper() if word.isupper() else name}_{word}"

    return re.sub(pattern, renamed, text, flags=re.S)


def _arithmetic(wanted):
    """Return the blocks of arithmetic.c that define these functions and those they call."""
    text = Path(__file__).with_name("arithmetic.c").read_text(encoding="ascii")
    blocks = text.strip().split("\n\n")[1:]
    defined = {}
    for block in blocks:
        for function in re.findall(r"^static \w+ (\w+)\(", block, re.M):
            defined[function] = block
    pending, needed = list(wanted), set()
    while pending:
        function = pending.pop()
        needed.add(function)
        called = set(re.findall(r"\w+(?=\()", defined[function])) & set(defined)
        pending += called - needed
    # Blocks that define no function (macros, types) are always needed.
    for_all = set(blocks) - set(defined.values())
    kept = for_all | {defined[function] for function in needed}
    return [block for block in blocks if block in kept]


def _test(name, X, h):
    prefix = name.upper()
    samples = _array("float", "samples", X, f"[][{prefix}_INPUTS]")
    outputs = _array("float", "outputs", h, f"[][{prefix}_OUTPUTS]")
    return f"""\
/* Compares {name}_predict with fastbp's Network.predict, bit by bit: 0 if all agrees. */
#include <stdio.h>
#include <string.h>

#include "{name}.h"

{samples}

{outputs}

int main(void)
{{
    const int n = (int)(sizeof samples / sizeof samples[0]);
    int different = 0;
    for (int i = 0; i < n; i++) {{
        float h[{prefix}_OUTPUTS];
        {name}_predict(samples[i], h);
        if (memcmp(h, outputs[i], sizeof h) == 0)
            continue;
        different++;
        for (int j = 0; j < {prefix}_OUTPUTS; j++)
            printf("sample %d, output %d: %.9g, expected %.9g\\n", i, j, (double)h[j],
                   (double)outputs[i][j]);
    }}
    printf("{name}: %d of %d samples differ\\n", different, n);
    return different != 0;
}}
"""


def _array(kind, name, array, brackets=None):
    """Return a C array: one-dimensional, or with brackets for two indices two-dimensional."""
    literal, per_line = (_hexadecimal, 6) if kind == "float" else (str, 20)
    groups = array if brackets else [np.ravel(array)]
    texts = []
    for group in groups:
        numbers = [literal(x) for x in group.tolist()]
        lines = [", ".join(numbers[k : k + per_line]) for k in range(0, len(numbers), per_line)]
        texts.append(",\n    ".join(lines))
    if brackets:
        texts = [f"{{{text}}}" for text in texts]
    content = ",\n    ".join(texts)
    return f"static const {kind} {name}{brackets or f'[{array.size}]'} = {{\n    {content}\n}};"


def _hexadecimal(x):
    """Return a float32 as an exact C literal."""
    mantissa, exponent = x.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}f"

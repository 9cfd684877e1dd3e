"""Writes estimators for tables as C99, their preparation of the columns included."""

from pathlib import Path

import numpy as np
from sklearn.base import is_classifier

from ..basis import checks, writing
from ..exchange import c_functions, c_text
from ..exchange.activations import names_of
from ..exchange.c_names import check_name
from ..exchange.scaling import Scalers
from . import columns, preparation

N_SAMPLES = 16  # of the test program
# How far results may differ from fastbp's: the inputs of networks are rounded to float32.
TOLERANCE = 1e-5
# What the numbers are that stand for a date.
OF_DATES = (
    *("year", "month from 1", "day of the week, Monday is 0", "hour"),
    "days since 1970-01-01 00:00 UTC, with their fraction",
)
PREDICT = """\
/* {outputs}
 * The arrays must not overlap. Memory is static: calls by several threads, or by a program and its
 * interrupts, would disturb each other. */"""
PREDICT_R = """\
/* The same for any number of calls at once, each with a scratch of its own. What it holds does not
 * matter. */"""


def to_c(model, folder, name):
    """See Tabular.to_c."""
    check_name(name)
    folder = Path(checks.path("folder", folder))
    code = Source(model, name)
    texts = {
        f"{name}.h": _header(model, name, code),
        f"{name}.c": c_text.source(name, code.called, code.constants, code.functions),
        f"{name}_test.c": _program(model, name, code),
    }
    folder.mkdir(parents=True, exist_ok=True)
    writing.write_all({folder / file: text.encode("ascii") for file, text in texts.items()})


class Source:
    """The constants and functions of a model in C.

    Attributes
    ----------
    constants : list of str
    functions : list of c_text.Function
        The last two are for the header.
    called : set of str
        Functions of the .c files.
    arguments : list of str
        What the columns are in the functions' declarations.
    scratch : int
        Numbers of the scratch.
    n_bytes : int
        Of the constants.
    """

    def __init__(self, model, name):
        self.constants: list[str] = []
        self.functions: list[c_text.Function] = []
        self.n_bytes = 0
        self._prepared = model._preparation
        n_numbers, n_categories = len(self._prepared.medians), len(self._prepared.categories)
        self._body = c_text.Statements()
        self.called = self._body.called
        prefix = name.upper()
        self.arguments = []
        if n_numbers:
            self.arguments.append(f"const double numbers[{prefix}_NUMBERS]")
        if n_categories:
            self.arguments.append(f"const int codes[{prefix}_CATEGORIES]")
        self.n_outputs = model._members[0].networks[0].layout.sizes[-1]
        self._write(model)
        h, scratch = f"double h[{prefix}_OUTPUTS]", f"float scratch[{prefix}_SCRATCH]"
        passed = ", ".join(each.split("[")[0].split()[-1] for each in [*self.arguments, h])
        body = [f"static {scratch};", f"{name}_predict_r({passed}, scratch);"]
        comment = PREDICT.format(outputs=_outputs_in_words(model))
        declared = c_text.signature(f"{name}_predict", [*self.arguments, h])
        self.functions.append(c_text.Function(comment, declared, body))
        declared = c_text.signature(f"{name}_predict_r", [*self.arguments, h, scratch])
        self.functions.append(c_text.Function(PREDICT_R, declared, self._body.lines))

    def _write(self, model):
        """Write the statements of the prediction, with the networks and constants they need."""
        widths = {m.recipe.bins: len(self._prepared.owners(m.recipe.bins)) for m in model._members}
        sizes = [m.networks[0].layout.sizes for m in model._members]
        memory = c_functions.Memory()
        for part, n in (
            ("inputs", max(widths.values())),
            ("x", max(size[0] for size in sizes)),
            ("output", self.n_outputs),
        ):
            memory.take(part, max(n, 1))
        memory.lines.append(f"float *const hidden = scratch + {memory.size};")
        code, n = self._body, self.n_outputs
        code.lines += ["size_t i;", f"for (i = 0; i < {n}; i++)", "    h[i] = 0.0;"]
        hidden, before = 1, None
        encodings = self._prepared.encodings
        for j, tables in enumerate(encodings.tables if encodings else []):
            for fold, table in enumerate(tables):
                self._constant("float", f"means_{fold}_{j}", table)
        if len(self._prepared.medians):
            self._constant("double", "medians", self._prepared.medians)
            self._constant("double", "scales", self._prepared.scales)
        # Recipes with the same bins share the inputs.
        for k, member in sorted(enumerate(model._members), key=lambda pair: pair[1].recipe.bins):
            bins = member.recipe.bins
            if bins != before:
                self._prepare(bins)
                before = bins
            shared, own = self._prepared.used(member.columns, bins)
            used = np.flatnonzero(shared)
            self._constant("int", f"used_{k}", used)
            code.call("select_inputs", "inputs", f"used_{k}", "x", len(used))
            share = float(member.weight / len(member.networks)).hex()
            for i, network in enumerate(member.networks):
                hidden = max(hidden, self._network(network, f"{k}_{i}"))
                if own.any():
                    self._encode(i, own, len(used))
                code.lines.append(f"network_{k}_{i}(x, output, hidden);")
                code.call("add_share", share, "output", "h", n)
        if not is_classifier(model):
            self._constant("double", "mean", model._mean)
            self._constant("double", "spread", model._spread)
            code.call("standardise_back", "mean", "spread", "h", n)
        elif not model._multilabel:
            code.call("divide_by_sum", "h", n)
        code.lines[:0] = memory.lines
        self.scratch = memory.size + hidden

    def _constant(self, kind, name, values):
        self.constants.append(c_text.array(kind, name, values))
        self.n_bytes += values.size * (8 if kind == "double" else 4)

    def _prepare(self, bins):
        """Write statements that compute the inputs of networks, in `Preparation.inputs`' order."""
        fitted, code, at = self._prepared, self._body, 0
        n = len(fitted.medians)
        if n:
            code.call(
                "scale_numbers", "numbers", "medians", "scales", preparation.CLIP, "inputs", n
            )
            at = n
        if fitted.missing.any():
            gaps = np.flatnonzero(fitted.missing)
            self._constant("int", f"gaps_{bins}", gaps)
            code.call("mark_missing", "numbers", f"gaps_{bins}", f"inputs + {at}", len(gaps))
            at += len(gaps)
        for j, edges in enumerate(fitted.edges[bins] if bins else []):
            if len(edges):
                self._constant("double", f"edges_{bins}_{j}", edges)
                given = f"numbers[{j}]", f"medians[{j}]", f"edges_{bins}_{j}", f"inputs + {at}"
                code.call("encode_bins", *given, len(edges) - 1)
                at += len(edges) - 1
        for j, (count, incomplete) in enumerate(fitted.categories):
            if count == 2 and not incomplete:
                code.call("encode_two", f"codes[{j}]", f"inputs + {at}")
                at += 1
                continue
            first = columns.MISSING if incomplete else 0
            most = count - (count > preparation.MOST_CATEGORIES)
            ends = first, count - 1, most
            code.call("encode_category", f"codes[{j}]", *ends, f"inputs + {at}")
            at += count - first

    def _encode(self, fold, own, at):
        """Write statements that compute the inputs of a fold's network by target encoding."""
        encodings = self._prepared.encodings
        for i, (j, tables) in enumerate(zip(encodings.columns, encodings.tables, strict=True)):
            _, n, width = tables.shape
            if own[i * width]:
                given = f"codes[{j}]", f"means_{fold}_{i}", f"x + {at}", n - 2, width
                self._body.call("encode_by_means", *given)
                at += width

    def _network(self, network, name):
        """Write a network as a function; return the size of its scratch."""
        activations = names_of(network, network._engine.output_activation, "the C source")
        layers = []
        for i, (W, b) in enumerate(zip(network.weights, network.biases, strict=True), start=1):
            weights, biases = f"weights_{name}_{i}", f"biases_{name}_{i}"
            self._constant("float", weights, W)
            self._constant("float", biases, b)
            single = i == len(network.weights) and len(b) == 1
            of_layer = i, weights, biases, *W.shape, activations[i - 1], "float32", single
            layers.append(c_functions.Layer(*of_layer))
        code, size = c_functions.predict(layers, Scalers())
        self.called |= code.called
        declared = f"static void network_{name}(const float *x, float *h, float *scratch)"
        self.functions.append(c_text.Function("", declared, code.lines))
        return size


def _outputs_in_words(model):
    if not is_classifier(model):
        return "The values h for the columns of a row, in the units of y."
    if model._multilabel:
        return "The probabilities h of the labels for the columns of a row."
    listed = ", ".join(_in_comment(value) for value in model.classes_.tolist())
    return f"The probabilities h of the classes {listed} for the columns of a row."


def _in_comment(value):
    """Return a value for a comment, in ASCII."""
    return ascii(value).replace("*/", "* /").replace("/*", "/ *")


def _header(model, name, code):
    prefix = name.upper()
    fitted = model._preparation
    sizes = {"NUMBERS": len(fitted.medians), "CATEGORIES": len(fitted.categories)}
    sizes = {**{key: n for key, n in sizes.items() if n}, "OUTPUTS": code.n_outputs}
    macros = "\n".join(
        f"#define {prefix}_{key} {n}" for key, n in {**sizes, "SCRATCH": code.scratch}.items()
    )
    functions = "\n\n".join(f"{each.comment}\n{each.declaration};" for each in code.functions[-2:])
    return f"""\
/* A {type(model).__name__} with the preparation of its columns. Written by fastbp.
 *
{_columns_in_words(model)}
 *
 * {name}.c is C99 without any library. It has {code.n_bytes} bytes of constants and
 * {4 * code.scratch} bytes of static memory. {name}_test.c is a program that returns 0 if the
 * results are those of fastbp to rounding:
 *
 *     cc -O3 -march=native {name}.c {name}_test.c -o {name}_test && ./{name}_test
 */
#ifndef FASTBP_{prefix}_H
#define FASTBP_{prefix}_H

{macros}

#ifdef __cplusplus
extern "C" {{
#endif

{functions}

#ifdef __cplusplus
}}
#endif

#endif
"""


def _columns_in_words(model):
    """Return what numbers and codes mean, as lines of a comment."""
    numbers: list[str] = []
    codes: list[str] = []
    n_categories = 0
    for column in model._columns:
        name = _in_comment(column.name)
        if column.kind == columns.CATEGORY:
            codes.append(f"[{n_categories}] {name}:")
            n_categories += 1
            codes += [f"    {i} {_in_comment(x)}" for i, x in enumerate(column.categories)]
        elif column.kind == columns.DATE:
            numbers += [f"[{len(numbers) + i}] {name}: {part}" for i, part in enumerate(OF_DATES)]
        else:
            numbers.append(f"[{len(numbers)}] {name}")
    lines = []
    if numbers:
        lines += ["Numbers; truth values are 0 and 1, time spans are days, NaN is missing:"]
        lines += [f"    {each}" for each in numbers]
    if codes:
        lines += [
            f"Codes of categories; {columns.MISSING} is missing, {columns.UNKNOWN} any other value:"
        ]
        lines += [f"    {each}" for each in codes]
    return "\n".join(f" * {line}" for line in lines)


def _program(model, name, code):
    """Return the text of a program that compares the results for some rows with fastbp's."""
    fitted, prefix = model._preparation, name.upper()
    random = np.random.default_rng(0)
    drawn = random.standard_normal((N_SAMPLES, len(fitted.medians)))
    with np.errstate(divide="ignore", over="ignore"):
        spread = np.where(fitted.scales > 0, 1 / fitted.scales, 1.0)
        numbers = fitted.medians + spread * drawn
    numbers = np.clip(numbers, -preparation.MOST, preparation.MOST)
    numbers[random.random(numbers.shape) < 0.1] = np.nan
    counts = [len(each.categories) for each in model._columns if each.kind == columns.CATEGORY]
    codes = random.integers(columns.UNKNOWN, np.array(counts), (N_SAMPLES, len(counts)))
    expected = model._predicted(numbers, codes)
    scale = np.abs(expected).max(axis=0)
    if not is_classifier(model):
        scale = np.maximum(scale, model._spread)
    arrays = []
    for kind, array, values, size in (
        ("double", "numbers", numbers, "NUMBERS"),
        ("int", "codes", codes, "CATEGORIES"),
        ("double", "expected", expected, "OUTPUTS"),
    ):
        if values.shape[1]:
            arrays.append(c_text.array(kind, array, values, f"[][{prefix}_{size}]"))
    arrays.append(c_text.array("double", "allowed", TOLERANCE * scale))
    given = "".join(f"{each.split('[')[0].split()[-1]}[i], " for each in code.arguments)
    return f"""\
/* Compares {name}_predict with fastbp's predictions: 0 if they are the same to rounding. */
#include <math.h>
#include <stdio.h>

#include "{name}.h"

{chr(10).join(f"{each}{chr(10)}" for each in arrays)}
int main(void)
{{
    int different = 0;
    for (int i = 0; i < {N_SAMPLES}; i++) {{
        double h[{prefix}_OUTPUTS];
        {name}_predict({given}h);
        for (int j = 0; j < {prefix}_OUTPUTS; j++) {{
            const double difference = h[j] - expected[i][j];
            if (-allowed[j] <= difference && difference <= allowed[j])
                continue;
            different++;
            printf("row %d, output %d: %.9g, expected %.9g\\n", i, j, h[j], expected[i][j]);
        }}
    }}
    printf("{name}: %d of %d results differ\\n", different, {N_SAMPLES} * {prefix}_OUTPUTS);
    return different != 0;
}}
"""

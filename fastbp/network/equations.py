"""The equations of one unit with the numbers filled in, as text and as LaTeX."""

import math
import re
from dataclasses import dataclass

from ..basis import spec

# Longer sums show only their first and last terms.
MOST_TERMS = 6

# Activation, hidden or output -> σ(s) and σ'(s) as text, then both as LaTeX.
FORMULAS = {name: row.formulas for name, row in spec.HIDDEN_ACTIVATIONS.items()} | {
    "exp": ("exp(s)", "h", "e^s", "h"),
    "softmax": ("exp(s) / Σ_k exp(s_k)", "", r"\frac{e^s}{\sum_k e^{s_k}}", ""),
}


# A letter of a formula that stands alone, not in a word such as \\tanh.
LETTER = r"(?<![A-Za-z\\]){}(?![A-Za-z])"


def _formulas(node):
    """The formulas of a unit's activation, in the letters of its layer."""
    activation = node.activation
    formulas = FORMULAS[activation] if isinstance(activation, str) else activation.formulas
    if node.normalized is not None:
        formulas = [re.sub(LETTER.format("s"), "z", text) for text in formulas]
    if node.added is not None:
        formulas = [re.sub(LETTER.format("h"), "f", text) for text in formulas]
    return formulas


def _argument(node):
    """The name of what the activation gets."""
    return "s" if node.normalized is None else "z"


@dataclass(frozen=True, repr=False)
class Equations:
    """The equations of one unit for one sample; prints as text, and as LaTeX in notebooks.

    Attributes
    ----------
    text : str
        The equations for terminals.
    latex : str
        An ``aligned`` environment, for use between ``$$`` or in an equation environment.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 2, 1], activation="tanh", loss="squared_error", seed=0)
    >>> trace = net.trace([[1.0, 0.0], [0.0, 1.0]], [0.5, -0.5])
    >>> equations = trace.equations(2, 0)
    >>> "w²" in equations.text, "w" in equations.latex
    (True, True)
    """

    text: str
    latex: str

    def __repr__(self):
        return self.text

    def _repr_latex_(self):
        return f"$${self.latex}$$"


@dataclass(frozen=True)
class Line:
    """left = formula = numbers = value; formula and numbers are optional."""

    left: tuple  # (text, LaTeX), like formula and numbers
    formula: tuple
    numbers: tuple
    value: float
    label: str = ""


def of_node(node, loss, target):
    """The Equations of a `trace.Node`; `target` is an output's target, else None."""
    lines = _forward(node) + _backward(node, loss, target) + _gradient(node) + _own(node)
    title = f"Unit {node.unit} of layer {node.layer} ({node.activation}), sample {node.sample}"
    text = [title]
    latex = []
    for line in lines:
        right = [line.formula[0], line.numbers[0], number(line.value)]
        indent = " " * 8
        head = f"{line.label:8}{line.left[0]}"
        text.append(head + " = " + f"\n{indent}    = ".join(part for part in right if part))
        right = [line.formula[1], line.numbers[1], latex_number(line.value)]
        tag = rf" && \text{{{line.label}}}" if line.label else ""
        parts = [part for part in right if part]
        latex.append(f"{line.left[1]} &= {parts[0]}{tag}")
        latex += [f"&= {part}" for part in parts[1:]]
    body = " \\\\\n".join(latex)
    return Equations("\n".join(text), f"\\begin{{aligned}}\n{body}\n\\end{{aligned}}")


def number(x):
    return f"{x:.5g}"


def latex_number(x):
    if not math.isfinite(x):
        return {"inf": r"\infty", "-inf": r"-\infty"}.get(str(x), r"\text{undefined}")
    mantissa, _, exponent = f"{x:.5g}".partition("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else mantissa


def _sum(terms):
    """The terms as a sum of products of numbers, as text and as LaTeX."""
    shown = list(terms)
    if len(terms) > MOST_TERMS:
        shown = [*terms[: MOST_TERMS - 2], None, terms[-1]]
    texts, latex = [], []
    for term in shown:
        if term is None:
            texts.append("...")
            latex.append(r"\dots")
            continue
        texts.append(" · ".join(_in_brackets(number(x), x, k) for k, x in enumerate(term.factors)))
        latex.append(
            r" \cdot ".join(_in_brackets(latex_number(x), x, k) for k, x in enumerate(term.factors))
        )
    return " + ".join(texts).replace("+ -", "- "), " + ".join(latex).replace("+ -", "- ")


def _in_brackets(text, x, k):
    """A factor, in brackets if it is negative and not the first."""
    return f"({text})" if k and math.copysign(1, x) < 0 else text


def raised(i):
    """The number i in superscript digits."""
    return str(i).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _symbol(name, i, j):
    return f"{name}_{i},{j}", f"{name}_{{{i},{j}}}"


def _slope_of(name, i, j):
    """∂e/∂ of a symbol."""
    text, latex = _symbol(name, i, j)
    return f"∂e/∂{text}", rf"\frac{{\partial e}}{{\partial {latex}}}"


def _forward(node):
    i, j = node.layer, node.unit
    return [
        Line(
            _symbol("s", i, j),
            (
                f"Σ_k h_{i - 1},k w{raised(i)}_k,{j} + b_{i},{j}",
                rf"\sum_k h_{{{i - 1},k}} w^{{{i}}}_{{k,{j}}} + b_{{{i},{j}}}",
            ),
            _sum(node.forward),
            node.s,
        ),
        *_normalized(node),
        *_activated(node),
    ]


def _normalized(node):
    """From s to z, in a normalised layer."""
    z, i, j = node.normalized, node.layer, node.unit
    if z is None:
        return []
    centred, shift = z.mean is not None, ("", "")
    above = f"s_{i},{j}", f"s_{{{i},{j}}}"
    squares = f"mean(s_{i}²) + 1e-5", rf"\overline{{s_{i}^2}} + 10^{{-5}}"
    lines = []
    if centred:
        mean = f"mean(s_{i})", rf"\overline{{s_{i}}}"
        lines.append(Line((f"μ_{i}", rf"\mu_{i}"), mean, ("", ""), z.mean))
        above = f"({above[0]} - μ_{i})", rf"{above[1]} - \mu_{i}"
        squares = (
            f"mean((s_{i} - μ_{i})²) + 1e-5",
            rf"\overline{{(s_{i} - \mu_{i})^2}} + 10^{{-5}}",
        )
        shift = f" + β_{i},{j}", rf" + \beta_{{{i},{j}}}"
    root = f"√({squares[0]})", rf"\sqrt{{{squares[1]}}}"
    lines.append(Line((f"d_{i}", f"d_{i}"), root, ("", ""), z.deviation))
    scaled = f"{above[0]} / d_{i}", rf"\frac{{{above[1]}}}{{d_{i}}}"
    x = f"x̂_{i},{j}", rf"\hat{{x}}_{{{i},{j}}}"
    lines.append(Line(x, scaled, ("", ""), z.x))
    formula = f"γ_{i},{j} {x[0]}{shift[0]}", rf"\gamma_{{{i},{j}}} {x[1]}{shift[1]}"
    numbers = _product((z.gamma, z.x), [z.beta] if centred else [])
    return [*lines, Line(_symbol("z", i, j), formula, numbers, z.z)]


def _activated(node):
    """From s or z to h."""
    i, j, z = node.layer, node.unit, _argument(node)
    sigma = _formulas(node)
    formula = f"σ({z}) = {sigma[0]}", rf"\sigma({z}) = {sigma[2]}"
    if node.a is not None:
        a = f", a = {number(node.a)}", rf", \quad a = {latex_number(node.a)}"
        formula = formula[0] + a[0], formula[1] + a[1]
    if node.added is None:
        return [Line(_symbol("h", i, j), formula, ("", ""), node.h)]
    f, below = _symbol("f", i, j), _symbol("h", i - 1, j)
    value = node.h - node.added
    return [
        Line(f, formula, ("", ""), value),
        Line(
            _symbol("h", i, j),
            (f"{f[0]} + {below[0]}", f"{f[1]} + {below[1]}"),
            _product((value,), [node.added]),
            node.h,
        ),
    ]


def _product(factors, addends=()):
    """A product of numbers plus further ones, as text and as LaTeX."""
    terms = [factors, *((x,) for x in addends)]
    found = []
    for shown, times in ((number, " · "), (latex_number, r" \cdot ")):
        texts = [
            times.join(_in_brackets(shown(x), x, k) for k, x in enumerate(term)) for term in terms
        ]
        found.append(" + ".join(texts).replace("+ -", "- "))
    return tuple(found)


def _backward(node, loss, target):
    i, j = node.layer, node.unit
    of_h, of_s = _slope_of("h", i, j), _slope_of("s", i, j)
    if target is not None:
        row = spec.LOSSES.get(loss, spec.CUSTOM_LOSS)
        formulas = row.gradient
        y = f"y = {number(target)}", rf"y = {latex_number(target)}"
        from_loss = f"{formulas[0]}, {y[0]}", rf"{formulas[2]}, \quad {y[1]}"
        first = Line(of_h, from_loss, ("", ""), node.dh, "(6)")
        if node.activation == row.output_activation:
            return [first, Line(of_s, (formulas[1], formulas[3]), ("", ""), node.ds)]
        return [first, *_through(node, of_h, of_s)]
    more = ("", "")
    if len(node.backward) > 1 and node.backward[-1].name.startswith("∂e/∂h"):
        of_next = _slope_of("h", i + 1, j)
        more = f" + {of_next[0]}", f" + {of_next[1]}"
    if node.backward and len(node.backward[0].factors) == 3:
        formula = (
            f"Σ_k w{raised(i + 1)}_{j},k σ'(s_{i + 1},k) ∂e/∂h_{i + 1},k",
            rf"\sum_k w^{{{i + 1}}}_{{{j},k}} \, \sigma'(s_{{{i + 1},k}}) \,"
            rf" \frac{{\partial e}}{{\partial h_{{{i + 1},k}}}}",
        )
    else:
        formula = (
            f"Σ_k w{raised(i + 1)}_{j},k ∂e/∂s_{i + 1},k",
            rf"\sum_k w^{{{i + 1}}}_{{{j},k}} \,"
            rf" \frac{{\partial e}}{{\partial s_{{{i + 1},k}}}}",
        )
    formula = formula[0] + more[0], formula[1] + more[1]
    return [Line(of_h, formula, _sum(node.backward), node.dh, "(1)"), *_through(node, of_h, of_s)]


def _through(node, of_h, of_s):
    """From ∂e/∂h to ∂e/∂s, through the unit's activation and its layer's normalisation."""
    i, j, z = node.layer, node.unit, _argument(node)
    sigma = _formulas(node)
    slope = f"σ'({z}_{i},{j})", rf"\sigma'({z}_{{{i},{j}}})"
    factors = (node.dh, node.slope)
    product = " · ".join(_in_brackets(number(x), x, k) for k, x in enumerate(factors))
    in_latex = r" \cdot ".join(_in_brackets(latex_number(x), x, k) for k, x in enumerate(factors))
    return [
        Line(slope, (sigma[1], sigma[3]), ("", ""), node.slope, "(2)"),
        Line(
            of_s if node.normalized is None else _slope_of("z", i, j),
            (f"{of_h[0]} {slope[0]}", rf"{of_h[1]} \, {slope[1]}"),
            (product, in_latex),
            node.ds if node.normalized is None else node.normalized.dz,
        ),
        *_through_norm(node),
    ]


def _through_norm(node):
    """From ∂e/∂z to ∂e/∂s, in a normalised layer."""
    z, i, j = node.normalized, node.layer, node.unit
    if z is None:
        return []
    x = f"x̂_{i},{j}", rf"\hat{{x}}_{{{i},{j}}}"
    error = f"γ_{i} ∂e/∂z_{i}", rf"\gamma_{i} \frac{{\partial e}}{{\partial z_{i}}}"
    lines, less = [], ("", "")
    if z.mean_error is not None:
        mean = f"mean({error[0]})", rf"\overline{{{error[1]}}}"
        lines.append(Line((f"m_{i}", f"m_{i}"), mean, ("", ""), z.mean_error))
        less = (f" - m_{i}", f" - m_{i}")
    mean = f"mean({error[0]} x̂_{i})", rf"\overline{{{error[1]} \hat{{x}}_{i}}}"
    lines.append(Line((f"q_{i}", f"q_{i}"), mean, ("", ""), z.mean_product))
    of_z = _slope_of("z", i, j)
    formula = (
        f"(γ_{i},{j} {of_z[0]}{less[0]} - {x[0]} q_{i}) / d_{i}",
        rf"\frac{{1}}{{d_{i}}} (\gamma_{{{i},{j}}} {of_z[1]}{less[1]} - {x[1]} q_{i})",
    )
    return [*lines, Line(_slope_of("s", i, j), formula, ("", ""), node.ds)]


def _gradient(node):
    i, j = node.layer, node.unit
    of_s = _slope_of("s", i, j)
    lines = []
    terms = list(enumerate(node.gradient[:-1]))
    if len(terms) > MOST_TERMS:
        terms = [*terms[: MOST_TERMS - 1], terms[-1]]
    for k, term in terms:
        left = (
            f"∂e/∂w{raised(i)}_{k},{j}",
            rf"\frac{{\partial e}}{{\partial w^{{{i}}}_{{{k},{j}}}}}",
        )
        formula = f"{of_s[0]} h_{i - 1},{k}", rf"{of_s[1]} \, h_{{{i - 1},{k}}}"
        label = "(3)-(5)" if k == 0 else ""
        lines.append(Line(left, formula, _sum([term]), term.value, label))
    lines.append(Line(_slope_of("b", i, j), of_s, ("", ""), node.gradient[-1].value))
    return lines


def _own(node):
    """The derivatives by the unit's parameters besides weights and bias."""
    i, j = node.layer, node.unit
    names = []
    if node.normalized is not None:
        of_z, x = _slope_of("z", i, j), rf"\hat{{x}}_{{{i},{j}}}"
        names.append((("γ", r"\gamma"), rf"{of_z[1]} \, {x}"))
        if node.normalized.mean is not None:
            names.append((("β", r"\beta"), of_z[1]))
    if node.a is not None:
        z = _argument(node)
        names.append((("a", "a"), rf"{_slope_of('h', i, j)[1]} \, \min({z}_{{{i},{j}}}, 0)"))
    lines = []
    for ((text, latex), formula), term in zip(names, node.own, strict=True):
        left = (
            f"∂e/∂{text}_{i},{j}",
            rf"\frac{{\partial e}}{{\partial {latex}_{{{i},{j}}}}}",
        )
        numbers = _product(term.factors) if len(term.factors) > 1 else ("", "")
        lines.append(Line(left, (term.name, formula), numbers, term.value))
    return lines

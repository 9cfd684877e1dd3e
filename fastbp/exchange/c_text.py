"""Pieces of exported C sources: arrays, statements, and functions out of the .c files here."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

# In this order they become one text. The last block of the first one ends all sources.
FILES = ("arithmetic.c", "derivatives.c", "integers.c", "tables.c")


class Function(NamedTuple):
    """A function of an exported source that its header declares."""

    comment: str
    declaration: str
    body: list[str]  # lines


class Statements:
    """Lines of C, and the functions of the .c files that they call."""

    def __init__(self):
        self.lines: list[str] = []
        self.called: set[str] = set()

    def call(self, function, *arguments):
        """Add a call."""
        self.called.add(function)
        self.lines.append(f"{function}({', '.join(map(str, arguments))});")

    def each(self, n, *statements):
        """Add a loop over i < n; names before a bracket are functions it calls."""
        for statement in statements:
            self.called |= set(re.findall(r"\w+(?=\()", statement))
        if len(statements) == 1:
            self.lines += [f"for (size_t i = 0; i < {n}; i++)", f"    {statements[0]}"]
        else:
            self.lines.append(f"for (size_t i = 0; i < {n}; i++) {{")
            self.lines += [f"    {statement}" for statement in statements]
            self.lines.append("}")


def array(kind, name, values, brackets=None, storage="static const"):
    """Return a C array: one-dimensional, or with brackets for two indices two-dimensional."""
    literal, per_line = LITERALS.get(kind, (str, 20))
    groups = values if brackets else [np.ravel(values)]
    texts = []
    for group in groups:
        numbers = [literal(x) for x in group.tolist()]
        lines = [", ".join(numbers[k : k + per_line]) for k in range(0, len(numbers), per_line)]
        texts.append(",\n    ".join(lines))
    if brackets:
        texts = [f"{{{text}}}" for text in texts]
    content = ",\n    ".join(texts)
    return f"{storage} {kind} {name}{brackets or f'[{values.size}]'} = {{\n    {content}\n}};"


def hexadecimal(x):
    """Return a float32 as an exact C literal."""
    mantissa, exponent = x.hex().split("p")
    return f"{mantissa.rstrip('0').rstrip('.')}p{exponent}f"


def hexadecimal_double(x):
    """Return a float64 as an exact C literal; NAN needs <math.h>."""
    return "NAN" if x != x else x.hex()


# Kind of numbers -> function that writes one, and how many are in a line.
LITERALS = {"float": (hexadecimal, 6), "double": (hexadecimal_double, 4)}


def signature(name, arguments):
    """Return a declaration, in lines of at most 100 characters."""
    lines = [f"void {name}("]
    for argument in arguments:
        space = "" if lines[-1].endswith("(") else " "
        text = f"{space}{argument}{')' if argument is arguments[-1] else ','}"
        if len(lines[-1] + text) > 100:
            lines.append(f"    {text.strip()}")
        else:
            lines[-1] += text
    return "\n".join(lines)


def source(name, called, constants, functions):
    """Return a source: of the .c files what these functions call, constants, functions."""
    *arithmetic, end = _blocks(called)
    texts = [
        "\n".join([function.declaration, "{", *(f"    {line}" for line in function.body), "}"])
        for function in functions
    ]
    text = "\n\n".join([*arithmetic, *constants, *texts, end])
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


def _blocks(wanted):
    """Return the blocks of the .c files that define these functions and those they call."""
    texts = [Path(__file__).with_name(file).read_text(encoding="ascii") for file in FILES]
    # The first block of a file is a comment about the file.
    first, *others = [text.strip().split("\n\n")[1:] for text in texts]
    blocks = [*first[:-1], *(block for file in others for block in file), first[-1]]
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

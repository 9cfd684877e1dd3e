"""The rooms of fastbp from the ground up, and how the documentation draws and lists them.

tools/draw_floors.py writes the texts into the pages; test_house.py compares the pages with them.
"""

import ast
import re
import textwrap
from pathlib import Path

import fastbp

PACKAGE = Path(fastbp.__file__).parent
PROJECT = Path(__file__).parents[1]
# A module imports from its own room and from those below.
FLOORS = [
    *("basis", "backends", "rules", "engine", "files", "training", "exchange", "network", "study"),
    *("plots", "estimators", "many", "tabular", "persistence", "cli"),
]
ROOT_MODULES = {"__init__", "__main__", "distributed"}  # above all rooms
WIDTH = 76  # of the text in a box of the drawing


def first_line(path):
    """The sentence with which the docstring of a module begins."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return docstring.splitlines()[0].replace("``", "`")


def drawing():
    """A box for each room, one above the other."""
    margin = max(map(len, FLOORS)) + 2
    line = f"{'─' * margin}┬{'─' * (WIDTH + 2)}"
    boxes = [("fastbp", "The public names.")]
    boxes += [(name, first_line(PACKAGE / name / "__init__.py")) for name in reversed(FLOORS)]
    lines = [f"┌{line}┐"]
    for name, sentence in boxes:
        for i, part in enumerate(textwrap.wrap(sentence.replace("`", ""), WIDTH)):
            lines.append(f"│ {'' if i else name:{margin - 2}} │ {part:{WIDTH}} │")
        lines.append(f"├{line.replace('┬', '┼')}┤")
    lines[-1] = f"└{line.replace('┬', '┴')}┘"
    return "\n".join(["```text", *lines, "```"])


def modules():
    """Each room with its modules, from the ground up."""
    parts = []
    for name in FLOORS:
        folder = PACKAGE / name
        paths = sorted(path for path in folder.rglob("*.py") if path != folder / "__init__.py")
        rows = [f"| `{written(path, folder)}` | {first_line(path)} |" for path in paths]
        parts += [f"### {name}", "", first_line(folder / "__init__.py"), ""]
        parts += ["| module | what it holds |", "|---|---|", *rows, ""]
    return "\n".join(parts[:-1])


def written(path, folder):
    """The name of a module within its room; a folder's own name for its `__init__.py`."""
    path = path.relative_to(folder)
    return f"{path.parent}/" if path.name == "__init__.py" else str(path.with_suffix(""))


TEXTS = {"floors": drawing, "modules": modules}
PAGES = {"CONTRIBUTING.md": ["floors"], "docs/code.md": ["floors", "modules"]}


def drawn(text, name):
    """A page's text with the part between its two comments of that name drawn anew."""
    begin, end = f"<!-- {name}: written by tools/draw_floors.py -->", f"<!-- end of {name} -->"
    found = re.fullmatch(f"(.*{re.escape(begin)}\n).*(\n{re.escape(end)}.*)", text, re.S)
    return f"{found[1]}\n{TEXTS[name]()}\n{found[2]}"

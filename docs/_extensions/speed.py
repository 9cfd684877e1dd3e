"""The directive ``speed``: a row of the README's table of times as a chart of bars.

The bars are HTML, so that they follow the theme's colours and the width of the window.
"""

from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

README = Path(__file__).parents[2] / "README.md"
OURS = ("Cython", "Numba")


def cells(line):
    return [cell.strip() for cell in line.strip("| \n").split("|")]


def times(workload):
    """{name: median µs a step}, of the row that begins with `workload`, the fastest first."""
    rows = [cells(line) for line in README.read_text(encoding="utf-8").splitlines() if "|" in line]
    heads = [row for row in rows if row[0] == "network, batch"]
    found = [row for row in rows if row[0] == workload]
    if len(heads) != 1 or len(found) != 1:
        raise ExtensionError(f"README.md has no single row {workload!r} in its table of times")
    names, figures = heads[0][1:-1], found[0][1:-1]  # the last column is a ratio
    pairs = [(name, float(figure)) for name, figure in zip(names, figures, strict=True)]
    return dict(sorted(pairs, key=lambda pair: pair[1]))


class Speed(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True  # "64-64-10, 32"

    def run(self):
        self.env.note_dependency(str(README))
        values = times(self.arguments[0])
        longest = max(values.values())
        rows = "".join(
            f'<tr><th scope="row">{"fastbp, " if name in OURS else ""}{escape(name)}</th>'
            f'<td><span class="bar{" ours" if name in OURS else ""}"'
            f' style="width: {100 * value / longest:.2f}%"></span></td><td>{value:g}</td></tr>'
            for name, value in values.items()
        )
        return [nodes.raw("", f'<table class="speed">{rows}</table>', format="html")]


def setup(app):
    app.add_directive("speed", Speed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

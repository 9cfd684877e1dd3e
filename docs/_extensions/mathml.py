r"""Formulas as MathML, which browsers draw by themselves: no script, no network.

A formula that cannot be converted is an error. ``\tag{3}`` in a displayed formula numbers it,
here and in the notebooks.
"""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

TAG = re.compile(r"\\tag\{([^}]*)\}")
FUNCTION = re.compile(r"\s*(\\(?:exp|ln|log|max|min|tanh))(?![A-Za-z])\s*(?!\()")


def convert(tex, **options):
    spaced = FUNCTION.sub(r"\\,\1\\,", tex)  # as TeX does by itself
    try:
        return tex2mathml(spaced.replace("'", r"^{\prime}"), **options)
    except MathError as error:
        raise ExtensionError(f"formula {tex!r}: {error}") from error


def visit_inline(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def visit_displayed(writer, node):
    tex = node.astext()
    number = node["number"] or ", ".join(TAG.findall(tex))
    writer.body.append(writer.starttag(node, "div", CLASS="math"))
    writer.body.append(convert(TAG.sub("", tex), as_block=True))
    if number:
        writer.body.append(f'<span class="eqno">({number})</span>')
    writer.body.append("</div>\n")
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

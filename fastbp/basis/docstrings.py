"""Sections of docstrings that several classes share."""

import inspect


def documented(sections, **words):
    """Return a decorator that inserts shared sections into a class's docstring.

    Parameters
    ----------
    sections : dict of str to str
        Name -> text. The docstring has the name in braces where the text belongs. In the text,
        names of `words` in braces stand for those.
    """
    filled = {name: inspect.cleandoc(text.format(**words)) for name, text in sections.items()}

    def fill(documented_class):
        if documented_class.__doc__:  # python -OO has none
            # Since 3.13 Python strips a docstring's indentation. cleandoc does so on any version.
            text = inspect.cleandoc(documented_class.__doc__)
            documented_class.__doc__ = text.format(**filled)
        return documented_class

    return fill

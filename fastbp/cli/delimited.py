"""Reads tables from text files whose columns are separated by a character, such as CSV files."""

import codecs
import csv
import io
import re
import warnings
from collections import Counter

from .options import note
from .packages import pandas

# Where several separate all lines alike, the first one does: commas also occur in numbers and text.
SEPARATORS = "\t;|,"
SAMPLE = 1 << 16
LINES = 200
# A separator divides at least this share of the lines into equally many cells.
SHARE = 0.9
NAMED_SEPARATOR = re.compile(r'"?sep=(.)"?[ \t]*\r?\n', re.IGNORECASE)
MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read(content, name, form):
    """Read a table, all of whose cells become text.

    Parameters
    ----------
    content : bytes
    name : str
        The name of the file, for messages.
    form : Form

    Returns
    -------
    DataFrame
        Its attribute ``attrs["decimal"]`` is the decimal mark that the separator suggests.

    Raises
    ------
    ValueError
        If the content is not such a table.
    """
    while content.startswith(2 * codecs.BOM_UTF8):  # as of a marked file that was marked again
        content = content.removeprefix(codecs.BOM_UTF8)
    encoding = form.encoding or _encoding(content, name)
    named, start = _first_line(_decoded(content, encoding, name))
    separator = form.separator or named or _separator(start)
    frame = _parse(content, start, name, encoding, separator, form, skipped=int(named is not None))
    if form.header:
        frame.columns = unique(_header(start, separator, list(frame.columns)), name)
    else:
        frame.columns = [str(j) for j in range(1, len(frame.columns) + 1)]
    frame.attrs["decimal"] = "," if separator == ";" else "."
    return frame


def header(content, separator=None):
    """Return the names of the columns from the beginning of a text file."""
    named, text = _first_line(_decoded(content, _encoding(content, "the file"), "the file"))
    rows = _rows(text, separator or named or _separator(text))
    return [name.strip() for name in rows[0]] if rows else []


def _encoding(content, name):
    for mark in sorted(MARKS, key=len, reverse=True):
        if content.startswith(mark):
            return MARKS[mark]
    start = content[:SAMPLE]
    if b"\0" in start:
        # Text in UTF-16 without a mark has a zero in every second byte, as most letters are ASCII.
        for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[0::2])):
            if zeros.count(0) > 0.7 * len(zeros):
                return encoding
        raise ValueError(f"{name} is not a text file: it has zero bytes")
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        encoding = "cp1252"
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            encoding = "latin-1"
        note(f"{name} is not UTF-8 text and is read as {encoding}; else set --encoding")
        return encoding
    return "utf-8"


def _decoded(content, encoding, name):
    """Return the first lines of the text."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        text = decoder.decode(content[:SAMPLE], final=len(content) <= SAMPLE)
    except UnicodeError as error:
        raise ValueError(f"{name} is not {encoding} text ({error}); set --encoding") from error
    if "\0" in text:
        raise ValueError(f"{name} is not a text file: it has zero bytes")
    return text


def _first_line(text):
    """Return the separator that a line such as ``sep=;`` before the header names, and the rest.

    Excel reads and writes such lines. Without one, the separator is None.
    """
    found = NAMED_SEPARATOR.match(text)
    return (found[1], text[found.end() :]) if found else (None, text)


def _rows(text, separator):
    """Return the first rows as lists of cells."""
    lines = io.StringIO(text, newline="")
    if separator == r"\s+":
        return [line.split() for line in lines if line.strip()][:LINES]
    made = []
    try:
        for row in csv.reader(lines, delimiter=separator, skipinitialspace=True):
            if row:
                made.append(row)
            if len(made) == LINES:
                break
    except csv.Error:  # pandas says more about it
        pass
    # The last row may be cut off.
    return made[:-1] if len(text) >= SAMPLE and 1 < len(made) < LINES else made


def _separator(text):
    """Return the character that separates columns; the comma if there is only one column."""
    for separator in SEPARATORS:
        rows = _rows(text, separator)
        if rows and len(rows[0]) > 1:
            same = sum(len(row) == len(rows[0]) for row in rows)
            if same >= SHARE * len(rows):
                return separator
    header = text.partition("\n")[0]
    return max(",;\t|", key=header.count)


def _parse(content, start, name, encoding, separator, form, skipped):
    pd = pandas()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(content),
                sep=separator,
                encoding=encoding,
                header=0 if form.header else None,
                index_col=False,
                skipinitialspace=True,
                skiprows=skipped,
                dtype=str,
            )
    except UnicodeError as error:
        raise ValueError(f"{name} is not {encoding} text ({error}); set --encoding") from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{name} is empty") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        shown = {"\t": "tabs", r"\s+": "spaces"}.get(separator, f"{separator!r}")
        rows = _rows(start, separator)
        other = next((j for j, row in enumerate(rows) if len(row) > len(rows[0])), None)
        why = str(error).strip()
        if other is not None:
            why = f"the header has {len(rows[0])} cells, but row {other} has {len(rows[other])}"
        raise ValueError(
            f"{name} is not a valid CSV file, with columns separated by {shown} (see --sep): {why}"
        ) from error


def _header(text, separator, columns):
    """Return the names in the first row, as they are there; pandas has numbered equal ones."""
    rows = _rows(text, separator)
    if not rows or len(rows[0]) != len(columns):
        return columns
    return [given.strip() or column for given, column in zip(rows[0], columns, strict=True)]


def unique(names, path):
    """Return names of columns without spaces around them; equal ones are numbered, with a note."""
    names = [str(name).strip() for name in names]
    seen: Counter = Counter()
    counts, made = Counter(names), []
    for name in names:
        new = name if not seen[name] else f"{name}.{seen[name]}"
        while new != name and new in counts:
            seen[name] += 1
            new = f"{name}.{seen[name]}"
        seen[name] += 1
        made.append(new)
    for name, count in counts.items():
        if count > 1:
            others = [new for new, old in zip(made, names, strict=True) if old == name][1:]
            called = ", ".join(others)
            note(f"{path} has {count} columns {name!r}; the later ones are called {called}")
    return made

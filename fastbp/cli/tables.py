"""Reads tables from files of many kinds, and writes CSV and Parquet."""

import argparse
import bz2
import codecs
import gzip
import io
import json
import lzma
import re
import sys
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..basis import writing
from . import delimited
from .options import new_file, note, require_file, suggestions
from .packages import openpyxl, pandas, pyarrow

TEXTS = (".csv", ".tsv", ".txt", ".data")
EXTENSIONS = (*TEXTS, ".parquet", ".feather", ".json", ".jsonl", ".ndjson", ".xlsx", ".npz")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
WRITTEN = (".csv", ".parquet")
STANDARD_INPUT = Path("-")
# How files of a kind begin, to recognise what comes from standard input.
STARTS = {
    b"PAR1": ".parquet",
    b"ARROW1": ".feather",
    b"PK\x03\x04": ".xlsx",
    b"\x1f\x8b": ".gz",
    b"BZh": ".bz2",
    b"\xfd7zXZ": ".xz",
    b"\x28\xb5\x2f\xfd": ".zst",
    b"{": ".json",
    b"[": ".json",
}


class Form(NamedTuple):
    """What the user says about a text file.

    Attributes
    ----------
    separator, encoding : str or None
        None to find it.
    header : bool
        Whether the first line has the names of the columns.
    """

    separator: str | None = None
    encoding: str | None = None
    header: bool = True


PLAIN = Form()


def add_form(command):
    """Add the options that say how a text file is written."""
    group = command.add_argument_group("text files")
    group.add_argument(
        "--sep",
        type=_separator,
        metavar="CHARACTER",
        help="between columns, or tab or space (default: found out)",
    )
    group.add_argument(
        "--decimal", choices=[".", ","], help="the decimal mark (default: found for each column)"
    )
    group.add_argument(
        "--encoding", type=_encoding, metavar="NAME", help="such as utf-16 (default: found out)"
    )
    group.add_argument(
        "--no-header",
        action="store_true",
        help="the first line has values; columns are called 1, 2, ...",
    )


def form(options):
    """Return the `Form` that the options say."""
    return Form(options.sep, options.encoding, not options.no_header)


def _separator(text):
    named = {"tab": "\t", "\\t": "\t", "space": r"\s+", " ": r"\s+"}
    if text not in named and (len(text) != 1 or text.isalnum() or text in '"\n\r'):
        raise argparse.ArgumentTypeError(f"expected one character, tab or space, got {text!r}")
    return named.get(text, text)


def _encoding(text):
    try:
        "".encode(text)  # unlike codecs.lookup, refuses codecs such as hex, which decode no text
        return codecs.lookup(text).name
    except (LookupError, ValueError):
        raise argparse.ArgumentTypeError(
            f"unknown encoding {text!r}; some are utf-8, utf-16, cp1252 and latin-1"
        ) from None


def data_path(text):
    """A path to a table, with an extension that can be read; a type for argparse."""
    if text == str(STANDARD_INPUT):
        return STANDARD_INPUT
    path = Path(text)
    if path.suffix.lower() == ".safetensors":
        raise argparse.ArgumentTypeError(
            f"{text!r} is a model, not a table; predict and evaluate take MODEL before DATA"
        )
    if path.suffix.lower() not in (*EXTENSIONS, *COMPRESSIONS):
        raise argparse.ArgumentTypeError(
            f"unknown kind of file {str(text)!r}; it must end in one of {', '.join(EXTENSIONS)}, "
            f"compressed in {', '.join(COMPRESSIONS)}, or be - for standard input"
        )
    return path


def output_path(text):
    """A path to write a table to, with an extension that can be written; a type for argparse."""
    path = new_file(text)
    if path.suffix.lower() not in WRITTEN:
        raise argparse.ArgumentTypeError(
            f"unknown kind of file {str(text)!r}; it must end in one of {', '.join(WRITTEN)}"
        )
    return path


def shown(path):
    """Return the name of a table's file for messages."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def stem(path):
    """Return the name of a table without its endings, for the files made from it."""
    if path == STANDARD_INPUT:
        return "model"
    return Path(path.stem).stem if path.suffix.lower() in COMPRESSIONS else path.stem


def read(path, form=PLAIN):
    """Read a table. The cells of text files become texts.

    Parameters
    ----------
    path : Path
        "-" is standard input.
    form : Form, optional

    Returns
    -------
    DataFrame

    Raises
    ------
    FileNotFoundError, ImportError, ValueError
        If the table cannot be read, or has no rows.
    """
    pandas()  # if it is missing, say so before any complaint about the file
    name = shown(path)
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise OSError("standard input is closed")
        content = sys.stdin.buffer.read()
        kind = _kind_of_content(content)
    else:
        require_file(path)
        content, kind = path.read_bytes(), path.suffix.lower()
    if kind in COMPRESSIONS:
        content, inner = _unpacked(content, kind, name), Path(path.stem).suffix.lower()
        kind = inner if inner in EXTENSIONS else _kind_of_content(content)
    if kind in TEXTS:
        frame = delimited.read(content, name, form)
    else:
        if form != PLAIN:
            raise ValueError(f"--sep, --encoding and --no-header are for text files, unlike {name}")
        frame = READERS[kind](content, name).reset_index(drop=True)
        frame.columns = delimited.unique(frame.columns, name)
    if not len(frame):
        raise ValueError(f"{name} has no rows, only names of columns")
    return frame


def _kind_of_content(content):
    start = content.lstrip()[:8] if content[:1].isspace() else content[:8]
    return next((kind for sign, kind in STARTS.items() if start.startswith(sign)), ".csv")


def _unpacked(content, kind, name):
    try:
        if kind == ".zst":
            return pyarrow(".zst").input_stream(io.BytesIO(content), compression="zstd").read()
        return {".gz": gzip, ".bz2": bz2, ".xz": lzma}[kind].decompress(content)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"{name} is not a readable {kind} file: {error}") from error


def _read_parquet(content, name):
    arrow = pyarrow("Parquet")
    try:
        return pandas().read_parquet(io.BytesIO(content), engine="pyarrow")
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{name} is not a Parquet file: {error}") from error


def _read_feather(content, name):
    arrow = pyarrow("Feather")
    try:
        return pandas().read_feather(io.BytesIO(content))
    except arrow.ArrowInvalid as error:
        raise ValueError(f"{name} is not a Feather file: {error}") from error


def _read_json(content, name):
    """Read a list of rows, an object of columns, or one row on each line."""
    try:
        try:
            rows = json.loads(content)
        except json.JSONDecodeError:
            lines = content.decode(json.detect_encoding(content)).splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
            if not all(isinstance(row, dict) for row in rows):
                raise ValueError("not every line holds an object") from None
        if not isinstance(rows, (list, dict)):
            raise ValueError(f"it holds {rows!r}")
        return pandas().DataFrame(rows)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{name} is not a table in JSON, which is a list of rows such as "
            f'[{{"x": 1, "y": 2}}], an object of columns, or one row on each line: {error}'
        ) from error


def _read_excel(content, name):
    openpyxl()
    try:
        with pandas().ExcelFile(io.BytesIO(content), engine="openpyxl") as book:
            sheets, frame = book.sheet_names, pandas().read_excel(book)
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{name} is not a readable .xlsx file: {error}") from error
    if len(sheets) > 1:
        note(f"{name} has {len(sheets)} sheets; the first one, {sheets[0]!r}, is read")
    return frame


def _read_npz(content, name):
    try:
        with zipfile.ZipFile(io.BytesIO(content)):  # NumPy would take other files for pickles
            pass
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        why = "it holds Python objects" if "allow_pickle" in str(error) else error
        raise ValueError(f"{name} is not a readable .npz file of plain arrays: {why}") from error
    columns = {}
    for key, array in arrays.items():
        if array.ndim == 1:
            columns[key] = array
        elif array.ndim == 2:
            columns |= {f"{key}{j}": array[:, j] for j in range(array.shape[1])}
        else:
            raise ValueError(
                f"{name}: array {key!r} has shape {array.shape}; expected columns (1-D) or "
                "matrices (2-D), whose columns are called name0, name1, ..."
            )
    for key, array in columns.items():
        if array.dtype.kind in "cV":
            raise ValueError(
                f"{name}: array {key!r} has dtype {array.dtype}; expected real numbers, dates "
                "or text"
            )
    lengths = {key: len(array) for key, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: arrays must have equal numbers of rows, but have {lengths}")
    if not columns:
        raise ValueError(f"{name} is empty")
    return pandas().DataFrame(columns)


READERS = {
    ".parquet": _read_parquet,
    ".feather": _read_feather,
    ".json": _read_json,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".xlsx": _read_excel,
    ".npz": _read_npz,
}


def write(frame, path):
    """Write a DataFrame in the format of the path's extension."""
    if path.suffix.lower() == ".parquet":
        content = frame.to_parquet(index=False)
    else:
        content = frame.to_csv(index=False).encode()
    writing.write(path, content)


def columns(frame, texts, path):
    """Return the columns that options name: each text is a name, or several between commas."""
    names = []
    for text in texts:
        each = [text] if text in frame else [part.strip() for part in text.split(",")]
        for name in filter(None, each):
            column(frame, name, path)
            names.append(name)
    return names


def column(frame, name, path):
    """Return a column of a table; if it does not exist, the error suggests a similar name."""
    if name in frame:
        return frame[name]
    names = list(frame.columns)
    hint = "".join(f" {text}" for text in suggestions(name, names))
    of_text = "decimal" in frame.attrs
    if of_text and len(names) == 1 and name in re.split(r"\W+", names[0]):
        hint = " If another character than the comma separates its columns, name it with --sep."
    if of_text and any(_is_number(key) for key in names) and not _is_number(name):
        hint = " Its first line seems to hold data; with --no-header columns are called 1, 2, ..."
    raise ValueError(f"{path} has no column {name!r}.{hint} Its columns: {listed(names)}")


def refuse_nested(series):
    """Raise ValueError if a column holds lists or structures, as Parquet files may."""
    types = pandas().api.types
    if types.is_object_dtype(series) and series.map(types.is_list_like).any():
        raise ValueError(
            f"column {series.name!r} holds lists or structures, which are neither numbers nor "
            "categories; split them into columns of numbers or text, or leave them out with --drop "
            f"{series.name}"
        )


def as_known(text, known):
    """Return the known text that a text of a CSV file means; the text itself if there is none.

    pandas reads 01 and true as 1 and True if all values of the column are numbers or booleans.
    The model was trained on these names. Looking up each text separately makes the result
    independent of the other rows in the table.
    """
    if text in known:
        return text
    if text.lower() in ("true", "false"):
        read = text.capitalize()
    elif _is_number(text) and "_" not in text:  # float accepts 1_000, pandas does not
        read = number_text(float(text))
    else:
        return text
    return read if read in known else text


def number_text(value):
    """Return a number as text, equal for 1 and 1.0: missing values turn int columns to float."""
    return f"{value:.0f}" if value % 1 == 0 else str(value)


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def listed(names, most=12):
    """Return the first names separated by commas, and the number of the others."""
    names = [str(name) for name in names]
    more = f", and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""Checks of output files: inputs are never overwritten, foreign files only with --force.

fastbp recognises its own files by their content. Each `is_...` function recognises one kind.
"""

import contextlib
import csv
import io
import itertools
import json
import os
import re
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..basis import writing
from ..files import file

# Larger files never count as ours, except models, for which only the header is read.
MOST_BYTES = 1 << 26
# The comment in our zip archives (.npz, and PyTorch's files).
COMMENT = b"fastbp"


class Output(NamedTuple):
    """A file that a command is about to write.

    Attributes
    ----------
    what : str
        Description of the content, for messages.
    path : Path
    option : str
        The option that sets the path.
    is_ours : function
        Takes a path; returns whether fastbp wrote the file there, and it has the same kind.
    """

    what: str
    path: Path
    option: str
    is_ours: Callable


def add_force(command):
    """Add the option --force to a command that writes files."""
    command.add_argument(
        "--force", action="store_true", help="overwrite files that fastbp did not write, too"
    )


def check(outputs, inputs, force):
    """Raise an error, before any work is done, if an output must not or cannot be written.

    Parameters
    ----------
    outputs : list of Output
    inputs : list of Path
        Files that the command reads.
    force : bool
        Whether files that fastbp did not write may be overwritten.

    Raises
    ------
    OSError, ValueError
    """
    for what, path, option, is_ours in outputs:
        writing.check(path)
        if any(_is_same(path, given) for given in inputs):
            raise ValueError(
                f"{what} would overwrite {path}, which this command reads; name another file with "
                f"{option}"
            )
        if _is_standard_output(path):
            raise ValueError(
                f"{what} would be mixed with printed text, since {path} is standard output; name "
                f"another file with {option}"
            )
        # Overwriting an empty file, a pipe or a device loses nothing.
        there = path.is_file() and path.stat().st_size
        if there and not force and not is_ours(path):
            raise ValueError(
                f"{what} would overwrite {path}, which is not an earlier output of this kind; name "
                f"another file with {option}, or overwrite it with --force"
            )
    for one, other in itertools.combinations(outputs, 2):
        if _key(one.path) == _key(other.path):
            raise ValueError(
                f"{one.what} and {other.what} would both be written to {other.path}; name another "
                f"file with {other.option}"
            )


def _is_same(path, other):
    """Return whether two paths lead to the same file."""
    with contextlib.suppress(OSError):  # one of them does not exist
        return os.path.samefile(path, other)
    return False


def _is_standard_output(path):
    with contextlib.suppress(OSError):
        same = os.path.samestat(os.stat(path), os.fstat(1))
        return same and os.path.realpath(path) != os.devnull
    return False


def _key(path):
    """Return a key that is equal for paths that some file systems (macOS's) treat as one file."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def can_draw():
    """Return whether matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def needs_matplotlib(option):
    """Raise ImportError, with the command to install it, if matplotlib is missing."""
    if not can_draw():
        raise ImportError(f"{option}: drawing needs matplotlib: pip install 'fastbp[cli]'")


# The content by which reports are recognised.
GENERATOR = '<meta name="generator" content="fastbp">'

# Recognising fastbp's own files.


def _content(path):
    """Return a file's content, or nothing if it is too large."""
    return path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""


def is_model(path):
    """Return whether a file is a model, and not a checkpoint."""
    return file.kind(path) not in (None, "checkpoint")


def is_picture(path):
    """Return whether a file is a picture with the metadata that `plots.common.save` writes."""
    content = _content(path)
    signs = (
        (b"\x89PNG", b"Software\0fastbp"),
        (b"%PDF", b"/Creator (fastbp)"),
        (b"<?xml", b"<dc:title>fastbp</dc:title>"),
    )
    return any(content.startswith(start) and sign in content for start, sign in signs)


def is_report(path):
    """Return whether a file is a page that `train --report` has written."""
    content = _content(path)
    return content.startswith(b"<!doctype html>") and GENERATOR.encode() in content[:1000]


def is_table(path, identifier=None):
    """Return whether a table has exactly the columns that `predict` writes.

    Parameters
    ----------
    path : Path
    identifier : str or None
        The column that ``--id`` puts before the others.
    """
    if path.suffix.lower() == ".parquet":
        import pyarrow
        from pyarrow import parquet

        try:
            names = parquet.read_schema(path).names
        except (pyarrow.ArrowInvalid, OSError):
            return False
    else:
        with open(path, encoding="utf-8", errors="replace", newline="") as table:
            line = table.readline(1 << 16)
        names = next(csv.reader(io.StringIO(line)), [])
    if identifier is not None and names[:1] == [identifier]:
        names = names[1:]
    return names[:1] == ["prediction"] and all(
        name.startswith("probability_") for name in names[1:]
    )


def is_onnx(path):
    """Return whether an ONNX file names fastbp as its producer, in its first bytes."""
    return b"\x12\x06fastbp" in _content(path)[:32]


def is_archive(path):
    """Return whether a file is a zip archive with our comment."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == COMMENT
    except (zipfile.BadZipFile, OSError):
        return False


def signed(archive):
    """Return the bytes of a zip archive with our comment added."""
    content = io.BytesIO(archive)
    with zipfile.ZipFile(content, "a") as opened:
        opened.comment = COMMENT
    return content.getvalue()


def is_c(path):
    """Return whether C source starts with a comment that names fastbp or its own header file."""
    comment = re.match(rb"/\*.*?\*/", _content(path), re.DOTALL)
    header = f"/* See {path.stem}.h. */".encode()
    return comment is not None and (b"fastbp" in comment[0] or comment[0] == header)


def is_interface(path):
    """Return whether a file is the description of inputs that `export` writes."""
    return _keys(path) == {"inputs", "outputs"}


def is_benchmark(path):
    """Return whether a file holds results of bench/run.py."""
    return {"commit", "machine", "settings", "training"} <= _keys(path)


def _keys(path):
    """Return the keys of the JSON object in a file; none if it holds something else."""
    try:
        found = json.loads(_content(path))
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()

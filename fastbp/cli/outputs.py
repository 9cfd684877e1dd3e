"""Checks of output files: never overwrite inputs, and foreign files only with --force.

fastbp recognises its own files by their content. Each `is_...` function here checks for one kind.
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

# Larger files never count as ours, except for models: only their headers are read.
MOST_BYTES = 1 << 26
# The comment of our zip archives, .npz or PyTorch's.
COMMENT = b"fastbp"


class Output(NamedTuple):
    """A file that a command is about to write.

    Attributes
    ----------
    what : str
        What it will have, for messages.
    path : Path
    option : str
        The option that names it.
    is_ours : function
        Tells of a path whether what is there was written by fastbp, and is of the same kind.
    """

    what: str
    path: Path
    option: str
    is_ours: Callable


def add_force(command):
    """Add the option to a command that writes files."""
    command.add_argument(
        "--force", action="store_true", help="overwrite files that fastbp did not write, too"
    )


def check(outputs, inputs, force):
    """Refuse, before any work, outputs that must not or cannot be written.

    Parameters
    ----------
    outputs : list of Output
    inputs : list of Path
        What the command reads.
    force : bool
        Whether other files than fastbp's may be overwritten.

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
                f"{what} would get mixed up with what is printed, since {path} is standard output; "
                f"name another file with {option}"
            )
        # An empty file has nothing to lose, and neither has a pipe or a device.
        there = path.is_file() and path.stat().st_size
        if there and not force and not is_ours(path):
            raise ValueError(
                f"{what} would overwrite {path}, which is no such file of fastbp's; name another "
                f"file with {option}, or overwrite it with --force"
            )
    for one, other in itertools.combinations(outputs, 2):
        if _key(one.path) == _key(other.path):
            raise ValueError(
                f"{one.what} and {other.what} would both be written to {other.path}; name another "
                f"file with {other.option}"
            )


def _is_same(path, other):
    """Whether two paths lead to one file, by whatever names."""
    with contextlib.suppress(OSError):  # one of them is not there
        return os.path.samefile(path, other)
    return False


def _is_standard_output(path):
    with contextlib.suppress(OSError):
        same = os.path.samestat(os.stat(path), os.fstat(1))
        return same and os.path.realpath(path) != os.devnull
    return False


def _key(path):
    """The same for paths that are one file on some file system, that of macOS, say."""
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def can_draw():
    """Whether matplotlib is there."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


# Recognising fastbp's own files.


def _content(path):
    """What is in a file; of a large one nothing."""
    return path.read_bytes() if path.stat().st_size <= MOST_BYTES else b""


def is_model(path):
    """Whether it is a model, and not a checkpoint of a training."""
    return file.kind(path) not in (None, "checkpoint")


def is_picture(path):
    """Whether it is a picture with the signature that `plots.common.save` writes."""
    content = _content(path)
    signs = (
        (b"\x89PNG", b"Software\0fastbp"),
        (b"%PDF", b"/Creator (fastbp)"),
        (b"<?xml", b"<dc:title>fastbp</dc:title>"),
    )
    return any(content.startswith(start) and sign in content for start, sign in signs)


def is_table(path):
    """Whether it has the columns that `predict` writes, and no other."""
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
    return names[:1] == ["prediction"] and all(
        name.startswith("probability_") for name in names[1:]
    )


def is_onnx(path):
    """Whether an ONNX file names fastbp as its producer, which stands at the beginning."""
    return b"\x12\x06fastbp" in _content(path)[:32]


def is_archive(path):
    """Whether it is a zip archive with our comment."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == COMMENT
    except (zipfile.BadZipFile, OSError):
        return False


def signed(archive):
    """A zip archive, as bytes, with our comment."""
    content = io.BytesIO(archive)
    with zipfile.ZipFile(content, "a") as opened:
        opened.comment = COMMENT
    return content.getvalue()


def is_c(path):
    """Whether the comment at the beginning of C source names fastbp, or the header that does."""
    comment = re.match(rb"/\*.*?\*/", _content(path), re.DOTALL)
    header = f"/* See {path.stem}.h. */".encode()
    return comment is not None and (b"fastbp" in comment[0] or comment[0] == header)


def is_interface(path):
    """Whether it is what `export` writes beside a network."""
    return _keys(path) == {"inputs", "outputs"}


def is_benchmark(path):
    """Whether it is what bench/run.py writes."""
    return {"commit", "machine", "settings", "training"} <= _keys(path)


def _keys(path):
    """The keys of a JSON object in a file; none if there is something else."""
    try:
        found = json.loads(_content(path))
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()

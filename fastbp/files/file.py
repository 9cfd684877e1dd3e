"""Safetensors files with a JSON document in the metadata: atomic writes and checked reads.

The safetensors package reads and writes the format. This file adds the document, and limits the
memory that a hostile file can take.
"""

import json
import os
import stat

import numpy as np

from ..basis import writing
from . import schema

# The metadata's entry that has the document.
KEY = "fastbp"
NOTES = "fastbp.notes"  # a second document, of what users want to remember
# The version of the documents.
SCHEMA = 1
# The most bytes of a header. It is JSON, and parsing it may take about 40 times as much memory.
MAX_HEADER = 1 << 22
DTYPES: dict[str, np.dtype] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}


def write(path, document, tensors, notes=None):
    """Write a document and named arrays, as `writing.write` does.

    Parameters
    ----------
    path : str or path-like
    document : dict
        What JSON can hold.
    tensors : dict of str to ndarray
    notes : dict, optional
        What JSON can hold.
    """
    from safetensors.numpy import save

    from ..basis.version import __version__

    document = {"schema": SCHEMA, "library": __version__, **document}
    metadata = {KEY: json.dumps(document, allow_nan=False)}
    if notes is not None:
        metadata[NOTES] = json.dumps(notes, allow_nan=False)
    content = save(tensors, metadata)
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER:
        raise ValueError(
            f"names and texts take {length} bytes in the file's header, but no more than "
            f"{MAX_HEADER} would be read again; has an encoder too many categories?"
        )
    writing.write(path, content)


def read(path):
    """The document and the arrays of a file, as `parse` returns them."""
    return parse(_content(path))


def read_notes(path):
    """The notes that were saved with a model, and the version of fastbp that saved it."""
    content = _content(path)
    metadata = _metadata(content, _check_header(content[:8], len(content)))
    library = schema.text("library", schema.decode(metadata[KEY]).get("library"))
    return schema.decode(metadata.get(NOTES, "{}")), library


def kind(path):
    """What kind of thing a file of ours has; None for any other file, and a broken one."""
    try:
        content = _content(path, header_only=True)
        document = schema.decode(_metadata(content, len(content) - 8)[KEY])
        return schema.text("kind", document.get("kind"))
    except ValueError:
        return None


def _content(path, header_only=False):
    with open(path, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{os.fspath(path)!r} is not a regular file")
        # Of a file without end no more than the size it had; of a broken one the first bytes.
        start = file.read(8)
        length = _check_header(start, status.st_size)
        return start + file.read(length if header_only else status.st_size - 8)


def _without_waiting(path, flags):
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe would wait for a writer


def _check_header(start, size):
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > size - 8:
        raise ValueError("not a whole safetensors file: its header is longer than the file")
    if length > MAX_HEADER:
        raise ValueError(
            f"the file's header takes {length} bytes, but no more than {MAX_HEADER} are read"
        )
    return length


def _metadata(content, length):
    """The strings in a header of that length; our document is among them."""
    try:
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        metadata[KEY]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise ValueError("not a file of fastbp's: it has no document of ours") from None
    return metadata


def parse(content):
    """The document of a file's content, its version checked, and its arrays as `Tensors`.

    The arrays take as much memory as the content; the header at most MAX_HEADER, and some 40
    times that while it is read.

    Raises
    ------
    ValueError
        If it is anything but a file of ours.
    """
    from safetensors import SafetensorError, deserialize

    length = _check_header(content[:8], len(content))
    document = schema.decode(_metadata(content, length)[KEY])
    try:
        found = deserialize(content)
    except SafetensorError as error:
        raise ValueError(f"not a whole safetensors file: {error}") from None
    arrays = {}
    for name, tensor in found:
        dtype = DTYPES.get(tensor["dtype"])
        if dtype is None:
            raise schema.wrong(
                f"the dtype of {schema.shown(name)}", tensor["dtype"], sorted(DTYPES)
            )
        arrays[name] = np.frombuffer(tensor["data"], dtype).reshape(tensor["shape"])
    version = schema.whole("schema", document.pop("schema", None), low=1)
    library = schema.text("library", document.pop("library", None))
    if version > SCHEMA:
        raise ValueError(
            f"the file was written by fastbp {schema.shown(library)}, in version {version} of the "
            f"schema; this one reads versions up to {SCHEMA}: pip install --upgrade fastbp"
        )
    return document, schema.Tensors(arrays)

"""Safetensors files with a JSON document in the metadata: atomic writes and checked reads.

The safetensors package reads and writes the format. This file adds the document, and limits the
memory that a hostile file can take.
"""

import contextlib
import json
import os
import stat

import numpy as np

from ..basis import checks, writing
from . import schema

# The metadata's entry that holds the document.
KEY = "fastbp"
NOTES = "fastbp.notes"  # the entry of a second document, the user's notes
# The version of the documents' schema. Version 2 adds the compute_dtype of networks, version 3 the
# output_activation, and networks without a loss, version 4 calibrations, version 5 the
# monotonic_cst, version 6 norm and residual, and the activation prelu, version 7 inputs, version 8
# heads.
SCHEMA = 8
# Maximum size of a header in bytes. Parsing its JSON may take about 40 times as much memory.
MAX_HEADER = 1 << 22
DTYPES: dict[str, np.dtype] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}


@contextlib.contextmanager
def named(path):
    """A context in which errors about a file's content begin with the file's path."""
    try:
        yield
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error


def write(path, document, tensors, notes=None):
    """Write a document and named arrays, as `writing.write` does.

    Parameters
    ----------
    path : str or path-like
    document : dict
        Of values that JSON can represent.
    tensors : dict of str to ndarray
    notes : dict, optional
        Of values that JSON can represent.
    """
    from safetensors.numpy import save

    from ..basis.version import __version__

    document = {"schema": _version(document), "library": __version__, **document}
    metadata = {KEY: json.dumps(document, allow_nan=False)}
    if notes is not None:
        try:
            metadata[NOTES] = json.dumps(notes, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise type(error)(f"notes must be representable in JSON: {error}") from None
    content = save(tensors, metadata)
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER:
        raise ValueError(
            f"names and texts take {length} bytes in the file's header, but loading reads at most "
            f"{MAX_HEADER}; reduce the categories of encoders, or the notes"
        )
    writing.write(path, content)


def _version(document):
    """Return the first version of the schema that can say this, for the sake of older readers."""
    model = document["model"]
    if _names(model, "loss_weights"):
        return 8
    if _names(model, "inputs"):
        return 7
    if any(_names(model, field) for field in ("norm", "residual", "prelu")):
        return 6
    if _names(model, "monotonic_cst"):
        return 5
    if _names(model, "calibration"):
        return 4
    if "output_activation" in model:
        return 3
    return 2 if "compute_dtype" in model else 1


def _names(value, name):
    """Whether a value of JSON has a field or an activation of that name, at any depth."""
    if isinstance(value, dict):
        activation = json.dumps(value.get("activation"))
        return (
            name in value
            or f'"{name}"' in activation
            or any(_names(entry, name) for entry in value.values())
        )
    return isinstance(value, list) and any(_names(entry, name) for entry in value)


def read(path):
    """Return the document and the arrays of a file, as `parse` does.

    To be called in `named`, like all functions that check what is in the file.
    """
    return parse(_content(path))


def read_notes(path):
    """Return the notes that were saved with a model, and the version of fastbp that saved it."""
    content = _content(path)
    metadata = _metadata(content, _check_header(content[:8], len(content)))
    library = schema.text("library", schema.decode(metadata[KEY]).get("library"))
    return schema.decode(metadata.get(NOTES, "{}")), library


def kind(path):
    """Return the kind of model in a file written by fastbp; None for other or broken files."""
    try:
        content = _content(path, header_only=True)
        document = schema.decode(_metadata(content, len(content) - 8)[KEY])
        return schema.text("kind", document.get("kind"))
    except ValueError:
        return None


def _content(path, header_only=False):
    # A number would be an open file's, such as standard output, and be closed.
    with open(checks.path("path", path), "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("not a regular file")
        # Read at most the size the file had: it may grow, and a broken one ends after the header.
        start = file.read(8)
        length = _check_header(start, status.st_size)
        return start + file.read(length if header_only else status.st_size - 8)


def _without_waiting(path, flags):
    # Opening a pipe would block until a writer comes.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_header(start, size):
    length = int.from_bytes(start, "little")
    if length >= 1 << 48:  # most likely text, or a file of another kind
        raise ValueError(
            f"not a safetensors file, as fastbp saves models: it begins with {bytes(start)!r}"
        )
    if len(start) < 8 or length > size - 8:
        raise ValueError("not a whole safetensors file: its header is longer than the file")
    if length > MAX_HEADER:
        raise ValueError(
            f"the file's header takes {length} bytes, but fastbp reads at most {MAX_HEADER}"
        )
    return length


def _metadata(content, length):
    """Return the metadata of a header of the given length, checked to hold our document."""
    try:
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        metadata[KEY]
    except (ValueError, RecursionError, LookupError, TypeError):
        raise ValueError(
            "not a file of fastbp: its header is not JSON, or has no 'fastbp' in the metadata"
        ) from None
    return metadata


def parse(content):
    """Return the document in a file's content, its version checked, and the arrays as `Tensors`.

    The arrays take as much memory as the content. The header takes at most MAX_HEADER bytes, and
    about 40 times as much while it is parsed.

    Raises
    ------
    ValueError
        If the content is not a complete file written by fastbp.
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
            f"schema; this fastbp reads versions up to {SCHEMA}; install a newer fastbp"
        )
    return document, schema.Tensors(arrays)

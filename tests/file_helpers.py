"""Files of models whose content a test changes."""

import json

from safetensors.numpy import save as save_tensors

from fastbp.files import file


def rewrite(path, change):
    """Let a function change the document and the tensors of a file."""
    document, tensors = file.read(path)
    document = {"schema": file.SCHEMA, "library": "0.0", **document}
    change(document, tensors._arrays)
    path.write_bytes(save_tensors(tensors._arrays, {file.KEY: json.dumps(document)}))


def broken(path, where, value):
    """Write another value into the document of the file."""
    *parts, last = where.split("/")

    def change(document, tensors):
        for part in parts:
            document = document[int(part) if isinstance(document, list) else part]
        document[int(last) if isinstance(document, list) else last] = value

    rewrite(path, change)

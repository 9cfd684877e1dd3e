"""An error about what is in a file names the file, whoever reads it."""

import datetime
import json
import re

import numpy as np
import pytest
from file_helpers import broken, rewrite
from helpers import make_data, make_network

import fastbp
from fastbp.cli import store

X, y = make_data("log_loss", 12, 3, 1)
SMALL = {"epochs": 1, "batch_size": None}


def network():
    return make_network([3, 4, 1], "log_loss", "numpy")


def named(path):
    """The pattern of a message that names the file once, at its beginning."""
    name = re.escape(str(path))
    return f"^{name}: (?!.*{name})"


CONTENTS = {
    "nothing": b"",
    "text": b"a,b\n1,2\n" * 20,
    "half a file": None,
    "no metadata": (2).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("what", CONTENTS)
@pytest.mark.parametrize(
    "read",
    [
        fastbp.load,
        fastbp.Network.load,
        store.load,
        lambda path: network().fit(X, y, resume_from=path, **SMALL),
    ],
    ids=["load", "Network.load", "command line", "resume_from"],
)
def test_files_that_are_no_models(tmp_path, what, read):
    path = tmp_path / "model.safetensors"
    network().save(path)
    path.write_bytes(path.read_bytes()[:-9] if what == "half a file" else CONTENTS[what])
    with pytest.raises(ValueError, match=named(path) + "not a "):
        read(path)


def test_broken_models(tmp_path):
    path = tmp_path / "model.safetensors"
    network().save(path)
    broken(path, "model/dtype", "float16")
    for read in (fastbp.load, fastbp.Network.load, store.load):
        with pytest.raises(ValueError, match=named(path) + "broken file: dtype"):
            read(path)


def test_notes_that_are_no_object(tmp_path):
    from safetensors.numpy import save

    from fastbp.files import file

    path = tmp_path / "model.safetensors"
    network().save(path)
    document, tensors = file.read(path)
    document = {"schema": file.SCHEMA, "library": "0", **document}
    metadata = {file.KEY: json.dumps(document), file.NOTES: "[]"}
    path.write_bytes(save(tensors._arrays, metadata))
    with pytest.raises(ValueError, match=named(path) + "broken file: the document must be"):
        store.load(path)


@pytest.mark.parametrize("name", ["optimizer.hyper", "history.loss", "weights.1"])
def test_checkpoints_whose_state_is_broken(tmp_path, name):
    """What a training takes from the file only once it begins."""
    checkpoint = fastbp.Checkpoint(tmp_path)
    network().fit(X, y, callbacks=[checkpoint], **SMALL)
    path = checkpoint.newest()
    rewrite(path, lambda document, tensors: tensors.pop(name))
    with pytest.raises(ValueError, match=named(path) + f"broken file: the tensor '{name}'"):
        network().fit(X, y, resume_from=path, **{**SMALL, "epochs": 2})


def test_an_unknown_backend_is_no_error_of_the_file(tmp_path):
    path = tmp_path / "model.safetensors"
    network().save(path)
    with pytest.raises(ValueError, match="^unknown backend 'rust'"):
        fastbp.Network.load(path, backend="rust")


def test_onnx(tmp_path):
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\xff" * 50)
    with pytest.raises(ValueError, match=named(path) + "not an ONNX file"):
        fastbp.Network.from_onnx(path)
    network().to_onnx(path)
    model = onnx.load(path)
    model.opset_import[0].version = 3
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=named(path) + "the file must state one opset"):
        fastbp.Network.from_onnx(path)


@pytest.mark.parametrize("content", [b"", b"text", None, "archive"])
def test_streams_of_arrays(tmp_path, content):
    path = tmp_path / "X.npy"
    if content == "archive":
        np.savez(path.with_suffix(".npz"), X=X, y=y)
        path = path.with_suffix(".npz")
    elif content is None:
        np.save(path, np.array([{}], object))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=named(path)):
        fastbp.ArrayStream(path, y)


def test_streams_of_tables(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "table.parquet"
    path.write_bytes(b"text")
    with pytest.raises(ValueError, match=named(path)):
        fastbp.ParquetStream(path, "y")
    day = datetime.date(2019, 11, 1)
    for column in (["a", "b"], ["1", "2"], [day, day], [[1.0], [2.0]], [{"a": 1}] * 2):
        parquet.write_table(pa.table({"a": column, "y": [0, 1]}), path)
        with pytest.raises(ValueError, match=named(path) + "column 'a' must hold numbers, but"):
            next(iter(fastbp.ParquetStream(path, "y")))

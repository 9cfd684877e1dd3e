"""Files that mean harm: loading them runs nothing, takes bounded memory, and ends in ValueError."""

import ast
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save as save_tensors

import fastbp
from fastbp.files import file

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "fuzz_load.py"
ROOM = Path(fastbp.__file__).parent / "persistence"
# What docs/saving.md states: so many times the file's size, and so much for header and document.
TIMES, MEGABYTES = 20, 256


def python(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOM.parents[1]), "OPENBLAS_NUM_THREADS": "1"},
        timeout=300,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_mutations_of_the_corpus(tmp_path):
    """A few thousand; tools/fuzz_load.py can do as many as one likes, guided by coverage."""
    done = python(TOOL, "--inputs", 5000, "--seed", 2019, "--megabytes", 64)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 5100  # those of the corpus among them


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.name)
def test_nothing_that_could_run_code_is_in_the_room(path):
    tree = ast.parse(path.read_text("utf-8"))
    imported = {
        name.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in [*node.names, ast.alias(getattr(node, "module", None) or "")]
    }
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not imported & {"pickle", "marshal", "shelve", "joblib", "dill", "importlib"}
    assert not named & {"eval", "exec", "compile", "__import__", "open_code", "globals"}


def narrow_layers():
    """A network whose weights, padded to whole vectors, take 16 times as much as in the file."""
    net = fastbp.Network([1_000_000, 1, 1], loss="huber", backend="numpy", seed=0)
    net.weights[0][...] = 0.5
    return net


def narrow_estimator(path):
    """One whose optimiser's memory is padded likewise, three times as large."""
    regressor = fastbp.MLPRegressor("huber", (1,), max_iter=1, backend="numpy", dtype="float32")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fastbp.save(regressor.fit(np.zeros((1, 1_000_000), np.float32), [0.0]), path)


def with_document(document, **tensors):
    return save_tensors(tensors, {file.KEY: json.dumps(document)})


def network_document(sizes):
    random = {"state": 1, "inc": 1, "has_uint32": 0, "uinteger": 0}
    model = {
        **{"layer_sizes": sizes, "activation": ["relu"] * (len(sizes) - 2), "loss": "huber"},
        **{"loss_parameter": 1.0, "dtype": "float32", "random": random},
    }
    return {"schema": 1, "library": "0", "kind": "network", "model": model}


def padded(text, n):
    return text.encode() * (n // len(text))


def raw(header):
    return len(header).to_bytes(8, "little") + header


MOST = file.MAX_HEADER
TENSOR = {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**64 - 1]}
HOSTILE = {
    "lists": lambda: raw(b'{"__metadata__": [' + padded("[],", MOST - 100) + b"[]]}"),
    "objects": lambda: raw(b"[" + padded('{"a":0},', MOST - 100) + b"0]"),
    "nested": lambda: raw(padded("[", MOST - 100)),
    "lists in the document": lambda: with_document({"schema": [[]] * 1_000_000}),
    "many names": lambda: with_document({"schema": 1, **{str(i): [] for i in range(250_000)}}),
    "a large tensor": lambda: raw(
        json.dumps(
            {
                "__metadata__": {file.KEY: json.dumps(network_document([2**31, 2**31, 1]))},
                "weights.1": TENSOR,
            }
        ).encode()
    ),
    "a large network": lambda: with_document(network_document([2**31, 2**31, 1])),
    "many layers": lambda: with_document(network_document([1] * 300_000)),
    "one long name": lambda: with_document({**network_document([2, 1]), "kind": "a" * 4_000_000}),
}


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_memory_is_bounded(tmp_path):
    for name, content in HOSTILE.items():
        (tmp_path / name.replace(" ", "-")).write_bytes(content())
    narrow_layers().save(tmp_path / "narrow")
    narrow_estimator(tmp_path / "narrow-estimator")
    code = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(TOOL.parent)!r})
from fuzz_load import limit_memory
import fastbp
from fastbp.persistence import models
import safetensors
for path in sorted(Path({str(tmp_path)!r}).iterdir()):
    limit_memory({MEGABYTES} + {TIMES} * path.stat().st_size // 2**20)
    start = time.process_time()
    try:
        print(path.name, repr(fastbp.load(path))[:30])
    except ValueError as error:
        print(path.name, "refused")
        assert len(str(error)) < 1000, error
    assert time.process_time() - start < 60  # whatever else the machine does
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines.pop("narrow").startswith("Network([1000000, 1, 1]")
    assert lines.pop("narrow-estimator").startswith("MLPRegressor(")
    assert set(lines.values()) == {"refused"} and len(lines) == len(HOSTILE)

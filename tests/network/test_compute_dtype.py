"""Network(compute_dtype="bfloat16"): what it keeps, refuses, copies, saves and exports."""

import copy
import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from file_helpers import rewrite
from helpers import SECONDS, make_data, parameters
from safetensors import safe_open

import fastbp
from fastbp.files import file

X, Y = make_data("cross_entropy", 90, 6, 3, kind="labels")


def network(backend=None, **settings):
    settings = {"loss": "cross_entropy", "seed": 0, "compute_dtype": "bfloat16", **settings}
    return fastbp.Network([6, 24, 3], activation="tanh", backend=backend, **settings)


def test_the_default_is_none():
    net = network("numpy", compute_dtype=None)
    assert net.compute_dtype is None and "compute_dtype" not in repr(net)


def test_it_is_shown():
    net = network("numpy")
    assert net.compute_dtype == net.layout.compute_dtype == "bfloat16"
    assert "dtype='float32', compute_dtype='bfloat16'" in repr(net)
    with pytest.raises(AttributeError):
        net.compute_dtype = None


@pytest.mark.parametrize("value", ["float16", "float32", "", 16, np.float32, ["bfloat16"]])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match='compute_dtype must be None or "bfloat16", got '):
        network("numpy", compute_dtype=value)


def test_double_precision_is_refused():
    with pytest.raises(ValueError, match="needs dtype=\"float32\", got dtype='float64'"):
        network("numpy", dtype="float64")


def test_weights_are_not_rounded(backend):
    net, exact = network(backend), network(backend, compute_dtype=None)
    assert parameters(net).tobytes() == parameters(exact).tobytes()
    assert not np.array_equal(net.predict(X), exact.predict(X))
    assert np.allclose(net.predict(X), exact.predict(X), atol=0.02)


def test_it_learns(compiled):
    losses = []
    for compute_dtype in (None, "bfloat16"):
        net = network(compiled, compute_dtype=compute_dtype)
        losses.append(net.fit(X, Y, optimizer=fastbp.Adam(0.01), epochs=300).loss[-1])
    assert losses[1] < 0.1
    assert abs(losses[1] - losses[0]) < 0.02


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_keep_it(compiled, copied):
    net = network(compiled)
    net.fit(X, Y, epochs=1)
    other = copied(net)
    assert other.compute_dtype == "bfloat16"
    assert other.predict(X).tobytes() == net.predict(X).tobytes()
    net.fit(X, Y, epochs=1)
    other.fit(X, Y, epochs=1)
    assert parameters(other).tobytes() == parameters(net).tobytes()


def test_another_backend_keeps_it(twins):
    net = network(twins[0])
    other = net.to_backend(twins[1])
    assert other.compute_dtype == "bfloat16"
    assert other.predict(X).tobytes() == net.predict(X).tobytes()


def test_files_keep_it(compiled, tmp_path):
    net = network(compiled)
    for save in (net.save, lambda path: fastbp.save(net, path)):
        save(tmp_path / "net.safetensors")
        for load in (fastbp.Network.load, fastbp.load):
            loaded = load(tmp_path / "net.safetensors")
            assert loaded.compute_dtype == "bfloat16"
            assert loaded.predict(X).tobytes() == net.predict(X).tobytes()


def schema_of(net, path):
    net.save(path)
    with safe_open(path, "np") as opened:
        return json.loads(opened.metadata()[file.KEY])["schema"]


def test_only_files_of_such_networks_need_a_new_fastbp(tmp_path):
    """An older one says then that it is older, instead of computing other numbers."""
    path = tmp_path / "net.safetensors"
    assert schema_of(network("numpy"), path) == 2
    assert schema_of(network("numpy", compute_dtype=None), path) == 1


@pytest.mark.parametrize("value", ["float16", None, 3])
def test_broken_files_are_refused(value, tmp_path):
    path = tmp_path / "net.safetensors"
    network("numpy").save(path)
    rewrite(path, lambda document, tensors: document["model"].update(compute_dtype=value))
    with pytest.raises(ValueError, match="broken file: compute_dtype must be"):
        fastbp.load(path)


def test_files_of_double_precision_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    network("numpy", compute_dtype=None, dtype="float64").save(path)
    rewrite(path, lambda document, tensors: document["model"].update(compute_dtype="bfloat16"))
    with pytest.raises(ValueError, match="broken file: the dtype of a network with compute_dtype"):
        fastbp.load(path)


def test_trainings_resume_with_it_only(compiled, tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    network(compiled).fit(X, Y, epochs=2, callbacks=[checkpoint])
    with pytest.raises(ValueError, match="differs in compute_dtype: 'bfloat16' there, None here"):
        network(compiled, compute_dtype=None).fit(X, Y, epochs=4, resume_from=checkpoint.newest())
    whole, resumed = network(compiled), network(compiled)
    whole.fit(X, Y, epochs=4)
    resumed.fit(X, Y, epochs=4, resume_from=checkpoint.newest())
    assert parameters(whole).tobytes() == parameters(resumed).tobytes()


def test_exports_are_in_single_precision(tmp_path):
    net = network("numpy")
    exact = network("numpy", compute_dtype=None)
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        found = net.to_torch()(torch.from_numpy(X.astype(np.float32))).numpy()
    assert np.allclose(found, exact.predict(X), atol=1e-5)
    folders = tmp_path / "rounding", tmp_path / "exact"
    for made, folder in zip((net, exact), folders, strict=True):
        made.to_c(folder)
    for made in folders[0].iterdir():
        assert made.read_bytes() == (folders[1] / made.name).read_bytes()


def test_gradients_are_checked_in_double_precision():
    """Rounded products have no derivative; the check is of the network that does not round."""
    assert fastbp.check_gradients(network("numpy"), X, Y, only=["numpy"]).passed


def test_a_notice_says_once_that_it_is_emulated():
    """The baseline build has no tiles."""
    program = (
        "import fastbp\n"
        "for backend in ('numpy', None, 'numpy'):\n"
        "    fastbp.Network([2, 2], loss='huber', compute_dtype='bfloat16', backend=backend)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env=os.environ | {"FASTBP_CPU": "baseline"},
        check=True,
    )
    assert done.stderr.startswith(
        "fastbp: bfloat16 is emulated, which is slower than float32: the "
    )
    assert done.stderr.count("\n") == 1

"""The floating-point environment of the process stays as it was: denormals and rounding.

A library that was linked with -ffast-math switches denormals off for everyone at its import.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from building import ROOT, build, copy_project, need_a_compiler
from helpers import SECONDS

from fastbp import backends

PROGRAM = """
import ctypes, hashlib, json, platform, sys
import numpy as np

libm = ctypes.CDLL(None)


def control():
    # The control bits of MXCSR (not its record of past exceptions), where its place is known.
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    environment = (ctypes.c_uint32 * 64)()
    assert libm.fegetenv(environment) == 0
    return environment[7] & 0xFFC0


def state():
    libm.ldexp.restype, libm.ldexp.argtypes = ctypes.c_double, (ctypes.c_double, ctypes.c_int)
    # Numbers whose hundredth is denormal.
    tiny = {np.float32: 1e-38, np.float64: 1e-307}
    return {
        "rounding": libm.fegetround() if hasattr(libm, "fegetround") else None,
        "control": control(),
        "denormals": [bool(number != 0) for number in (
            *(dtype(t) / dtype(100) for dtype, t in tiny.items()),
            *((np.full(64, t, dtype) / dtype(100)).all() for dtype, t in tiny.items()),
            np.float64(5e-324) * 2.0**60,
            libm.ldexp(1.0, -1060),
        )],
    }


backend, dtypes = sys.argv[1], sys.argv[2:]
before = state()
import fastbp
after_import = state()
digest = hashlib.sha256()
for dtype in dtypes:
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (100, 5)), rng.uniform(-1, 1, (100, 2))
    net = fastbp.Network(
        [5, 33, 7, 2], activation="tanh", loss="huber", seed=0, dtype=dtype, backend=backend
    )
    net.fit(X, y, epochs=5, batch_size=16)  # in the main thread
    net.fit(X, y, epochs=1000, batch_size=16)  # in a thread of its own
    digest.update(net.predict(X).tobytes() + net.loss_and_gradient(X, y)[1].weights[0].tobytes())
print(json.dumps({
    "before": before, "after import": after_import, "after": state(), "bits": digest.hexdigest(),
    "from": fastbp.__file__,
}))
"""


def run(backend, *dtypes, root=ROOT, **variables):
    """What PROGRAM says with the package in a folder."""
    paths = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend, *dtypes],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=root,
        env={**os.environ, "PYTHONPATH": paths} | variables,
    )
    assert done.returncode == 0, done.stderr
    comp = json.loads(done.stdout)
    assert Path(comp["from"]).parents[1] == root
    return comp


def assert_unchanged(comp):
    before = comp["before"]
    # Else something else in the process had switched denormals off, and this tests nothing.
    assert all(before["denormals"])
    assert comp["after import"] == before
    assert comp["after"] == before


@pytest.mark.skipif(os.name == "nt", reason="no libm by itself on Windows")
def test_nothing_changes(backend):
    assert_unchanged(run(backend, "float32", "float64"))


@pytest.mark.skipif(os.name == "nt", reason="compilers of Windows take no such flags")
def test_fast_math_in_the_environment(cython, tmp_path):
    """CFLAGS with fast-math neither reach the process nor the results."""
    need_a_compiler()
    from fastbp.backends import _cpu

    cpu = _cpu.supported()[0]
    expected = run(cython, "float32", FASTBP_CPU=cpu)
    copy_project(tmp_path)
    double = backends.get(cython).KERNELS[np.dtype("float64")].__file__
    shutil.copy(double, tmp_path / "fastbp" / "backends")
    build(tmp_path, ["_cpu", f"_kernels_{cpu}_f4"], CFLAGS="-ffast-math -Ofast")
    comp = run(cython, "float32", root=tmp_path, FASTBP_CPU=cpu)
    assert_unchanged(comp)
    assert comp["bits"] == expected["bits"]

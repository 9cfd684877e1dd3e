"""The floating-point environment of the process stays as it was: denormals and rounding.

A library that was linked with -ffast-math switches denormals off for everyone at its import.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from building import ROOT, build, copy_project, need_a_compiler
from helpers import SECONDS

import fastbp
from fastbp import backends

PROGRAM = """
import ctypes, hashlib, json, os, platform, signal, sys, threading, time, warnings
import numpy as np

libm = ctypes.CDLL(None)
# Where the place of MXCSR is known.
known = sys.platform == "linux" and platform.machine() == "x86_64"


def environment():
    found = (ctypes.c_uint32 * 64)()
    assert libm.fegetenv(found) == 0
    return found


def state():
    libm.ldexp.restype, libm.ldexp.argtypes = ctypes.c_double, (ctypes.c_double, ctypes.c_int)
    # Numbers whose hundredth is denormal.
    tiny = {np.float32: 1e-38, np.float64: 1e-307}
    return {
        "rounding": libm.fegetround() if hasattr(libm, "fegetround") else None,
        # The control bits (not the record of past exceptions).
        "control": environment()[7] & 0xFFC0 if known else None,
        "denormals": [bool(number != 0) for number in (
            *(dtype(t) / dtype(100) for dtype, t in tiny.items()),
            *((np.full(64, t, dtype) / dtype(100)).all() for dtype, t in tiny.items()),
            np.float64(5e-324) * 2.0**60,
            libm.ldexp(1.0, -1060),
        )],
    }


backend, *dtypes = sys.argv[1:]
if "flushing" in dtypes:  # as by a library that was linked with -ffast-math
    dtypes.remove("flushing")
    changed = environment()
    changed[7] |= 0x8040
    assert libm.fesetenv(changed) == 0
states = {"before": state()}
import fastbp
states["after import"] = state()
digest = hashlib.sha256()
for dtype in dtypes:
    rng = np.random.default_rng(0)
    X, y = rng.uniform(-1, 1, (100, 5)), rng.uniform(-1, 1, (100, 2))
    how = dict(activation="tanh", seed=0, dtype=dtype, backend=backend)
    net = fastbp.Network([5, 33, 7, 2], loss="huber", **how)
    net.fit(X, y, epochs=5, batch_size=16)  # in the main thread
    net.fit(X, y, epochs=1000, batch_size=16)  # in a thread of its own
    digest.update(net.predict(X).tobytes() + net.loss_and_gradient(X, y)[1].weights[0].tobytes())
    states[dtype, "after training"] = state()

    class Callback(fastbp.Callback):
        def epoch(self, network, history):
            states[dtype, "in a callback"] = state()
            if len(history.loss) == 2:
                raise ZeroDivisionError

    def loss(output, y):
        states[dtype, "in a loss", len(states)] = state()
        if armed:
            raise ZeroDivisionError
        return ((output - y) ** 2).sum(axis=1), 2 * (output - y)

    def until_an_error(call):
        try:
            call()
        except ZeroDivisionError:
            states[dtype, "after an error", len(states)] = state()
        else:
            raise AssertionError("no error")

    until_an_error(lambda: net.fit(X, y, epochs=9, callbacks=[Callback()]))
    armed = False
    own = fastbp.Network([5, 33, 2], loss=loss, **how)
    own.loss_and_gradient(X, y)
    own.per_sample_gradients(X[:2], y[:2])
    own.fit(X, y, epochs=2, batch_size=50, threads=1)
    armed = True
    until_an_error(lambda: own.fit(X, y, epochs=2, batch_size=16))

    def press():  # Ctrl-C, once some epochs are over
        seen = set()
        while len(seen) < 4:
            seen.add(net.weights[0][0, 0])
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert net.fit(X, y, epochs=10**7, batch_size=16).interrupted
    states[dtype, "after Ctrl-C"] = state()
print(json.dumps({
    "states": {str(when): found for when, found in states.items()}, "bits": digest.hexdigest(),
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


def assert_unchanged(comp, denormals=True):
    before = comp["states"]["before"]
    # Else something else in the process had switched denormals off, and this tests nothing.
    assert set(before["denormals"]) == {denormals}
    assert [when for when, found in comp["states"].items() if found != before] == []


@pytest.mark.skipif(os.name == "nt", reason="no libm by itself on Windows")
def test_nothing_changes(backend):
    assert_unchanged(run(backend, "float32", "float64"))


@pytest.mark.skipif(sys.platform != "linux", reason="the place of MXCSR is known on Linux only")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="a register of x86")
def test_a_caller_without_denormals(compiled):
    """It has none afterwards either, nor in its own loss."""
    assert_unchanged(run(compiled, "float32", "flushing"), denormals=False)


def test_compiled_losses_see_denormals(compiled):
    """NaN would end the training."""
    numba = pytest.importorskip("numba")

    @numba.njit
    def loss(output, y):
        e = np.where(y[:, 0] > 0, 1.0, np.nan)
        return e, output - y

    X, y = np.ones((20, 3)), np.full((20, 2), 1e-310)
    net = fastbp.Network([3, 4, 2], loss=loss, dtype="float64", backend=compiled)
    assert net.fit(X, y, epochs=2, batch_size=16).loss == [1.0, 1.0]
    assert net.loss_and_gradient(X, y)[0] == 1.0


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

"""Ctrl-C ends a fit soon and leaves a usable network and history."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import SECONDS, make_data, make_network, watch_runs

import fastbp

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a single process on Windows"),
]

# Without the interruption a fit takes hours.
PROGRAM = """
import json, os, signal, sys, threading, time, warnings
import numpy as np
import fastbp

backend, way = sys.argv[1:]
rng = np.random.default_rng(0)
n = {"one call": 1000, "many calls": 50, "validation": 50}[way]
X = rng.standard_normal((n, 8))
y = X[:, :1] * 0.5
net = fastbp.Network([8, 16, 1], loss="squared_error", seed=0, backend=backend)
options = {"optimizer": fastbp.SGD(1e-4), "shuffle": way == "many calls"}
options["batch_size"] = n
if way == "validation":
    options["validation_data"] = (X, y)
net.fit(X, y, epochs=1, **options)  # compiles


def press():
    # Ctrl-C, once an epoch is over: each is one step, and gives other weights.
    seen = set()
    while len(seen) < 4:
        seen.add(net.weights[0][0, 0])
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)


threading.Thread(target=press).start()
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    history = net.fit(X, y, epochs=10**7, **options)
net.fit(X, y, epochs=1, **options)
print(json.dumps({
    "interrupted": history.interrupted,
    "losses": len(history.loss),
    "finite": bool(np.isfinite(history.loss).all() and np.isfinite(net.predict(X)).all()),
    "validation": len(history.validation_loss),
    "warnings": [str(w.message) for w in caught],
}), flush=True)
"""


@pytest.mark.parametrize("way", ["one call", "many calls", "validation"])
def test_ctrl_c(backend, way):
    root = str(Path(fastbp.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, backend, way],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    comp = json.loads(done.stdout)
    assert comp["interrupted"] is True
    assert 0 < comp["losses"] < 10**7
    assert comp["finite"]
    assert comp["validation"] in (
        (comp["losses"], comp["losses"] - 1) if way == "validation" else (0,)
    )
    assert comp["warnings"] == [f"training interrupted after {comp['losses']} of 10000000 epochs"]


def test_epochs_of_an_inline_call_are_kept(backend, monkeypatch):
    """A short call runs on the main thread; Ctrl-C is heard once it has come back."""
    net = make_network([2, 1], "log_loss", backend)
    X, y = make_data("log_loss", 8, 2, 1)

    def interrupted(run, *args):
        run(*args)
        raise KeyboardInterrupt

    watch_runs(monkeypatch, net._engine.backend, interrupted)
    with pytest.warns(RuntimeWarning, match="interrupted after 3 of 3 epochs"):
        history = net.fit(X, y, epochs=3)
    assert history.interrupted
    assert len(history.loss) == 3

"""Kill trainings at random moments, go on with them, and compare with one that was left alone.

Run by test_checkpoint.py in a process of its own, which has no threads and so may fork.
"""

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

import fastbp

KILLS = 200
EPOCHS = 40
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(64, 4)), RNG.normal(size=(64, 2))
GIVEN = {
    "epochs": EPOCHS,
    "batch_size": 16,
    "dropout": 0.1,
    "average": fastbp.EMA(0.9),
    "schedule": fastbp.CosineDecay(),
}


def network():
    return fastbp.Network([4, 32, 2], loss="squared_error", backend="numpy", seed=1)


class Latest(fastbp.Callback):
    """Writes the network over the same file after each epoch."""

    def __init__(self, path):
        self.path = path

    def epoch(self, network, history):
        network.save(self.path)


def train(folder):
    checkpoint = fastbp.Checkpoint(folder, keep=2)
    net = network()
    callbacks = [Latest(folder / "latest"), checkpoint]
    net.fit(X, Y, callbacks=callbacks, resume_from=checkpoint.newest(), **GIVEN)
    net.save(folder / "trained.safetensors")


def killed(folder, after):
    """Train in another process, and kill that; returns whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            train(folder)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the training failed"
    return os.WIFSIGNALED(status)


def main(place):
    alone = network()
    alone.fit(X, Y, **GIVEN)
    times = []
    for name in ("first", "second"):  # of which one may be slow for other reasons
        start = time.monotonic()
        train(place / name)
        times.append(time.monotonic() - start)
    moments = random.Random(0)
    kills = trainings = halves = 0
    while kills < KILLS:
        folder = place / str(trainings)
        folder.mkdir()
        trainings += 1
        left: set = set()
        while not (folder / "trained.safetensors").exists():
            kills += killed(folder, moments.uniform(0, min(times) / 6))
            newest = fastbp.Checkpoint(folder).newest()
            for path in (newest, folder / "latest"):
                if path is not None and path.exists():
                    fastbp.Network.load(path, backend="numpy")
            halves += len({*folder.glob(".*.tmp")} - left)
            left |= {*folder.glob(".*.tmp")}
        trained = fastbp.Network.load(folder / "trained.safetensors", backend="numpy")
        assert trained._engine.parameters.tobytes() == alone._engine.parameters.tobytes()
    print(f"{kills} kills in {trainings} trainings, {halves} of them amid a write")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

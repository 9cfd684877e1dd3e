"""Kill trainings at random moments, go on with them, and compare with one that was left alone.

Run by test_checkpoint.py in a process of its own, which has no threads and so may fork.
"""

import os
import random
import signal
import sys
import traceback
from pathlib import Path

import numpy as np

import fastbp

os.fsync = lambda descriptor: None  # a process that dies loses nothing that it has written
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


def count_moments(folder, last=None):
    """Train, and return how often a function was called or came back.

    At that number `last` the process kills itself.
    """
    moments = 0

    def profile(*event):
        nonlocal moments
        moments += 1
        if moments == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(profile)
    try:
        train(folder)
    finally:
        sys.setprofile(None)
    return moments


def killed(folder, last):
    """Train in another process up to the moment `last`; returns whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            count_moments(folder, last)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the training failed"
    return os.WIFSIGNALED(status)


def main(place):
    alone = network()
    alone.fit(X, Y, **GIVEN)
    train(place / "first")  # imports what is imported late
    most = count_moments(place / "second") // 6
    moments = random.Random(0)
    kills = trainings = halves = 0
    while kills < KILLS:
        folder = place / str(trainings)
        folder.mkdir()
        trainings += 1
        left: set = set()
        while not (folder / "trained.safetensors").exists():
            kills += killed(folder, moments.randint(1, most))
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

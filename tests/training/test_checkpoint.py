"""A training that is stopped and gone on with is, to the last bit, one that was not stopped."""

import contextlib
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from file_helpers import broken
from helpers import OPTIMIZERS, make_data, make_network

import fastbp
from fastbp.files import file

EPOCHS = 6
VALIDATION = {"validation_data": make_data("squared_error", 20, 4, 2, seed=9)}
X, Y = make_data("squared_error", 40, 4, 2)
NOISE = np.random.default_rng(1).normal(size=(20, 2))
SCHEDULES = {
    "step": fastbp.StepDecay(every=2),
    "exponential": fastbp.ExponentialDecay(0.8),
    "cosine": fastbp.CosineDecay(warmup=0.2),
    "one cycle": fastbp.OneCycle(),
    "plateau": fastbp.ReduceOnPlateau(0.5, patience=1, min_delta=10.0, cooldown=1),
}
CASES = {
    **{name: {"optimizer": optimizer} for name, optimizer in OPTIMIZERS.items()},
    **{f"schedule {name}": {"schedule": schedule} for name, schedule in SCHEDULES.items()},
    "dropout": {"dropout": [0.1, 0.4]},
    "rules": {"l1": 0.01, "l2": [0.1, 0.0], "clip_norm": 0.1, "frozen": [0]},
    "ema": {"average": fastbp.EMA(0.9)},
    "swa": {"average": fastbp.SWA(3)},
    "swa later": {"average": fastbp.SWA(5), "dropout": 0.2},
    "whole batch": {"batch_size": None},
    "in order": {"shuffle": False},
    "validation": {**VALIDATION, "scoring": ["r2", "neg_mean_absolute_error"]},
    "early stopping": {**VALIDATION, "patience": 4},
    "early stopping of an average": {**VALIDATION, "patience": 4, "average": fastbp.EMA(0.9)},
    "all": {
        **VALIDATION,
        "scoring": "r2",
        "patience": 3,
        "monitor": "r2",
        "schedule": fastbp.ReduceOnPlateau(0.5, patience=1, min_delta=0.1),
        "dropout": 0.2,
        "average": fastbp.SWA(2),
        "sample_weight": np.linspace(0.5, 2, 40),
    },
}


class Stop(fastbp.Callback):
    """Ends a training after some epochs, as if it were killed then."""

    def __init__(self, epochs):
        self.epochs = epochs

    def epoch(self, network, history):
        if len(history.loss) == self.epochs:
            raise RuntimeError("stopped")


def network(backend, dtype="float32", seed=3):
    return make_network([4, 5, 2], "squared_error", backend, dtype, seed=seed)


def options(case):
    small = {"epochs": EPOCHS, "batch_size": 16, **CASES[case]}
    if case == "rprop":
        small["batch_size"] = None
    return small


def stopped(net, folder, after, **given):
    """Train for that many of the epochs, so that the last ones are not in a checkpoint."""
    checkpoint = fastbp.Checkpoint(folder, every_epochs=2)
    with contextlib.suppress(RuntimeError):
        net.fit(X, Y, callbacks=[Stop(after), checkpoint], **given)
    return checkpoint.newest()


@pytest.mark.parametrize("case", CASES)
def test_resumed_training_has_the_same_bits(backend, case, tmp_path):
    given = options(case)
    whole = network(backend)
    history = whole.fit(X, Y, **given)
    path = stopped(network(backend), tmp_path, 5, **given)
    assert path.name == "epoch-000004.safetensors"
    resumed = network(backend, seed=77)  # whose weights and random state do not matter
    assert resumed.fit(X, Y, resume_from=path, **given) == history
    assert resumed._engine.parameters.tobytes() == whole._engine.parameters.tobytes()
    # Another training of the same network goes on in the same way, too.
    assert resumed.fit(X, Y, epochs=1) == whole.fit(X, Y, epochs=1)


def test_early_stopping_in_the_resumed_part(tmp_path):
    """The best epoch lies before the checkpoint, the end behind it."""
    given = {"epochs": 50, "patience": 4, "validation_data": (X[:20], NOISE)}
    given["optimizer"] = fastbp.Adam(0.1)
    whole = network("numpy")
    history = whole.fit(X, Y, **given)
    assert history.best_epoch < 4 < len(history.loss) < 50
    path = stopped(network("numpy"), tmp_path, 5, **given)
    resumed = network("numpy")
    assert resumed.fit(X, Y, resume_from=path, **given) == history
    assert resumed._engine.parameters.tobytes() == whole._engine.parameters.tobytes()
    # From the end itself there is nothing to go on with.
    last = fastbp.Checkpoint(tmp_path / "last")
    network("numpy").fit(X, Y, callbacks=[last], **given)
    again = network("numpy")
    assert again.fit(X, Y, resume_from=last.newest(), **given) == history
    assert again._engine.parameters.tobytes() == whole._engine.parameters.tobytes()


def test_more_epochs_than_at_first(tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    network("numpy").fit(X, Y, epochs=2, callbacks=[checkpoint])
    resumed, whole = network("numpy"), network("numpy")
    assert resumed.fit(X, Y, epochs=5, resume_from=checkpoint.newest()) == whole.fit(X, Y, epochs=5)
    assert resumed._engine.parameters.tobytes() == whole._engine.parameters.tobytes()


def test_a_loaded_network_resumes_on_another_backend_and_more_threads(twins, tmp_path):
    first, second = twins
    whole = network(first)
    whole.fit(X, Y, epochs=EPOCHS, dropout=0.2)
    path = stopped(network(first), tmp_path, 3, epochs=EPOCHS, dropout=0.2)
    resumed = fastbp.Network.load(path, backend=second)
    resumed.fit(X, Y, epochs=EPOCHS, dropout=0.2, threads=2, resume_from=path)
    assert resumed._engine.parameters.tobytes() == whole._engine.parameters.tobytes()


def test_fit_many_saves_each_in_a_folder(tmp_path):
    nets = [network("numpy", seed=seed) for seed in (1, 2)]
    checkpoints = [fastbp.Checkpoint(tmp_path / name) for name in "ab"]
    fastbp.fit_many(nets, X, Y, epochs=2, callbacks=[[each] for each in checkpoints])
    for net, checkpoint in zip(nets, checkpoints, strict=True):
        loaded = fastbp.Network.load(checkpoint.newest(), backend="numpy")
        assert loaded._engine.parameters.tobytes() == net._engine.parameters.tobytes()


# When, and how many.


def epochs_in(folder):
    return [int(path.stem.removeprefix("epoch-")) for path in sorted(Path(folder).iterdir())]


def test_the_last_ones_and_the_end_are_kept(tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path / "new" / "folder", every_epochs=3, keep=2)
    network("numpy").fit(X, Y, epochs=10, callbacks=[checkpoint])
    assert epochs_in(checkpoint.folder) == [9, 10]


def test_by_the_clock(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    class Clock(fastbp.Callback):
        def epoch(self, network, history):
            now[0] += 25.0

    checkpoint = fastbp.Checkpoint(tmp_path, every_minutes=1, keep=9)
    network("numpy").fit(X, Y, epochs=7, callbacks=[checkpoint, Clock()])
    assert epochs_in(tmp_path) == [3, 6, 7]


def test_going_on_from_an_earlier_one_drops_the_later_ones(tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path, keep=9)
    network("numpy").fit(X, Y, epochs=5, callbacks=[checkpoint])
    (tmp_path / ".epoch-000009.safetensors.0123.tmp").write_bytes(b"of a killed process")
    network("numpy").fit(
        X, Y, epochs=3, callbacks=[checkpoint], resume_from=tmp_path / "epoch-000002.safetensors"
    )
    assert epochs_in(tmp_path) == [1, 2, 3]


def test_a_folder_of_another_training(tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    assert checkpoint.newest() is None
    network("numpy").fit(X, Y, epochs=1, callbacks=[checkpoint], resume_from=checkpoint.newest())
    with pytest.raises(ValueError, match=r"another training: resume that with resume_from="):
        network("numpy").fit(X, Y, epochs=1, callbacks=[checkpoint])


class Meanwhile(fastbp.Callback):
    """Another training, whose files the first training's checkpoints did not write."""

    def __init__(self, folder):
        self.folder = folder

    def epoch(self, network_, history):
        if len(history.loss) == 1:
            checkpoint = fastbp.Checkpoint(self.folder)
            network("numpy", seed=1).fit(X, Y, epochs=3, callbacks=[checkpoint])


def test_two_trainings_at_once_in_one_folder(tmp_path):
    """Neither goes on to delete what the other has saved."""
    callbacks = [fastbp.Checkpoint(tmp_path, every_epochs=2, keep=1), Meanwhile(tmp_path)]
    with pytest.raises(ValueError, match="another training is writing to .* epoch-000003"):
        network("numpy").fit(X, Y, epochs=4, callbacks=callbacks)
    assert epochs_in(tmp_path) == [1, 2, 3]


def test_a_file_with_a_name_of_the_users(tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    network("numpy").fit(X, Y, epochs=2, callbacks=[checkpoint])
    (tmp_path / "epoch-7.safetensors").write_bytes(checkpoint.newest().read_bytes())
    assert checkpoint.newest() == tmp_path / "epoch-000002.safetensors"


def test_going_on_from_elsewhere_into_a_folder_of_another_training(tmp_path):
    """Its checkpoints would be deleted; and the network is left as it was."""
    first, second = fastbp.Checkpoint(tmp_path / "a"), fastbp.Checkpoint(tmp_path / "b", keep=9)
    network("numpy").fit(X, Y, epochs=2, callbacks=[first])
    network("numpy", seed=1).fit(X, Y, epochs=5, callbacks=[second])
    net, untouched = network("numpy", seed=9), network("numpy", seed=9)
    with pytest.raises(ValueError, match="another training"):
        net.fit(X, Y, epochs=4, callbacks=[second], resume_from=first.newest())
    assert epochs_in(tmp_path / "b") == [1, 2, 3, 4, 5]
    assert net._engine.parameters.tobytes() == untouched._engine.parameters.tobytes()
    third = fastbp.Checkpoint(tmp_path / "c")
    net.fit(X, Y, epochs=4, callbacks=[third], resume_from=first.newest())
    assert epochs_in(tmp_path / "c") == [3, 4]


def test_one_folder_for_two(tmp_path):
    """Whoever is later would delete the other's files."""
    nets = [network("numpy", seed=seed) for seed in (1, 2)]
    checkpoints = [fastbp.Checkpoint(tmp_path / name) for name in ("a", "b/../a")]
    with pytest.raises(ValueError, match="two checkpoints have the same folder"):
        fastbp.fit_many(nets, X, Y, epochs=2, callbacks=[[each] for each in checkpoints])
    with pytest.raises(ValueError, match="two checkpoints have the same folder"):
        nets[0].fit(X, Y, epochs=2, callbacks=checkpoints)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_epoch(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    epochs = []
    count = fastbp.Callback()
    count.epoch = lambda network, history: epochs.append(1)
    with pytest.raises(PermissionError, match="no permission to write in the folder"):
        network("numpy").fit(X, Y, epochs=1, callbacks=[fastbp.Checkpoint(tmp_path), count])
    assert not epochs


# What is refused.


@pytest.mark.parametrize(
    "change, what",
    [
        ({"batch_size": 8}, "differs in batch_size: 16 there, 8 here"),
        ({"optimizer": fastbp.Adam(0.5)}, "differs in optimizer"),
        ({"optimizer": fastbp.SGD()}, "differs in optimizer"),
        ({"schedule": fastbp.OneCycle()}, "differs in schedule"),
        ({"l2": 0.1}, "differs in l2"),
        ({"dropout": 0.1}, "differs in dropout"),
        ({"average": fastbp.EMA()}, "differs in average"),
        ({"patience": 3, **VALIDATION}, "differs in early stopping"),
        ({"scoring": "r2", **VALIDATION}, "differs in scoring"),
        ({"X": X + 1}, "differs in data"),
        ({"X": X[::-1]}, "differs in data"),
        ({"y": Y + 1}, "differs in data"),
        ({"sample_weight": np.arange(40)}, "differs in data"),
    ],
)
def test_other_arguments(change, what, tmp_path):
    path = stopped(network("numpy"), tmp_path, 3, epochs=EPOCHS, batch_size=16)
    net = network("numpy")
    before = net._engine.parameters.tobytes()
    with pytest.raises(ValueError, match=what):
        net.fit(**{"X": X, "y": Y, "batch_size": 16, "resume_from": path, **change})
    assert net._engine.parameters.tobytes() == before


def test_other_steps_in_all(tmp_path):
    given = {"schedule": fastbp.CosineDecay(), "batch_size": 16}
    path = stopped(network("numpy"), tmp_path, 3, epochs=EPOCHS, **given)
    with pytest.raises(ValueError, match="differs in number of steps: 18 there, 21 here"):
        network("numpy").fit(X, Y, epochs=7, resume_from=path, **given)


def test_other_networks_and_files(tmp_path):
    path = stopped(network("numpy"), tmp_path, 3, epochs=EPOCHS)
    with pytest.raises(ValueError, match="differs in dtype: 'float32' there, 'float64' here"):
        network("numpy", "float64").fit(X, Y, resume_from=path)
    with pytest.raises(ValueError, match=r"differs in layer_sizes\[1\]: 5 there, 6 here"):
        make_network([4, 6, 2], "squared_error", "numpy", "float32").fit(X, Y, resume_from=path)
    with pytest.raises(ValueError, match="differs in loss"):
        make_network([4, 5, 2], "absolute_error", "numpy", "float32").fit(X, Y, resume_from=path)
    network("numpy").save(path)
    with pytest.raises(ValueError, match="not a checkpoint"):
        network("numpy").fit(X, Y, resume_from=path)
    with pytest.raises(FileNotFoundError):
        network("numpy").fit(X, Y, resume_from=tmp_path / "none")


def test_fits_that_cannot_be_saved(tmp_path):
    checkpoint = fastbp.Checkpoint(tmp_path)
    with pytest.raises(ValueError, match="Checkpoint is for Network.fit"):
        network("numpy").fit_batches([(X, Y)], callbacks=[checkpoint])
    with pytest.raises(ValueError, match="can save only trainings by Network.fit"):
        fastbp.MLPRegressor(callbacks=[checkpoint], backend="numpy").fit(X, Y)

    def loss(h, y):
        return ((h - y) ** 2).sum(axis=1), 2 * (h - y)

    with pytest.raises(ValueError, match="cannot be saved"):
        fastbp.Network([4, 2], loss=loss, backend="numpy").fit(X, Y, callbacks=[checkpoint])
    assert not list(tmp_path.iterdir())
    for wrong in ({"every_epochs": 0}, {"every_minutes": -1}, {"keep": 0}):
        with pytest.raises(ValueError, match="Checkpoint: "):
            fastbp.Checkpoint(tmp_path, **wrong)
    with pytest.raises(ValueError, match="Checkpoint: folder is empty"):
        fastbp.Checkpoint("")


def test_broken_checkpoints(tmp_path):
    """Whatever a part of the document is replaced by, it is an error or the training goes on."""
    given = options("all")
    path = stopped(network("numpy"), tmp_path, 3, **given)
    content = path.read_bytes()
    document = file.read(path)[0]["training"]
    places = [*document, *(f"plateau/{key}" for key in document["plateau"])]
    places += [f"stoppings/0/{key}" for key in document["stoppings"][0]]
    for place in places:
        for value in (None, -1, "a", [], {}, 0.5, 2**70):
            if place == "plateau/factor" and value in (-1, 0.5):
                continue
            if place in ("plateau/figure", "stoppings/0/figure") and value == 0.5:
                continue
            if place == "best_epoch" and value is None:
                continue
            path.write_bytes(content)
            broken(path, f"training/{place}", value)
            net = network("numpy")
            before = net._engine.parameters.tobytes()
            with pytest.raises(ValueError):
                pytest.fail(f"{place}={value}: {net.fit(X, Y, resume_from=path, **given)}")
            assert net._engine.parameters.tobytes() == before


def test_a_broken_checkpoint_with_an_average_that_the_training_lacks(tmp_path):
    path = stopped(network("numpy"), tmp_path, 3, epochs=EPOCHS)
    broken(path, "training/averaged", 1)
    net = network("numpy")
    before = net._engine.parameters.tobytes()
    with pytest.raises(ValueError, match=r"averaged must be a whole number in 0\.\.0"):
        net.fit(X, Y, epochs=EPOCHS, resume_from=path)
    assert net._engine.parameters.tobytes() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_trainings_killed_at_random_moments(tmp_path):
    """200 times; each goes on from its newest checkpoint, to the bits of one left alone."""
    script = Path(__file__).parents[1] / "killed_trainings.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills, trainings, halves = map(int, re.findall(r"\d+", done.stdout))
    assert kills >= 200 and trainings >= 2 and halves >= 1, done.stdout

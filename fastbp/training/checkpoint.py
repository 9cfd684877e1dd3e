"""Checkpoints: saves a training between epochs, and resumes it in another process.

A checkpoint holds everything that the remaining epochs depend on, so a resumed training gives the
same bits as one that never stopped. The user passes the arguments again, including the data; they
are compared with the saved ones.
"""

from __future__ import annotations

import math
import os
import re
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..basis import checks, spec, writing
from ..basis.names import keywords
from ..files import file, schema, values
from ..files import network as network_
from ..rules import monitoring
from .callbacks import Callback, EarlyStopping

if TYPE_CHECKING:
    from ..basis.annotations import StrPath
    from .history import History

NAME = re.compile(r"epoch-(\d+)\.safetensors")
# Fields of the documents of a training, of ReduceOnPlateau and of early stopping.
FIELDS = (
    *("arguments", "seed", "averaged", "steps", "epochs", "best_epoch", "plateau", "stoppings"),
)
PLATEAU = ("figure", "waited", "cooling", "factor")
STOPPING = ("figure", "waited", "best")
# The lists of a History, except for its scores and the losses of heads.
LISTS = ("loss", "validation_loss", "learning_rate")


class Checkpoint(Callback):
    """Saves a training between its epochs, so that `Network.fit` can resume it.

    Pass it to `Network.fit` as one of the callbacks. A process that is killed at any time leaves
    complete files. ``fit(resume_from=...)`` with the same arguments ends with the same bits as a
    training that was never stopped.

    Parameters
    ----------
    folder : str or path-like
        Folder of the files, one for each checkpoint: ``epoch-000012.safetensors`` after 12 epochs.
        It is created if it does not exist, and must not be used for another training.
    every_epochs : int, optional
        Number of epochs between checkpoints; by default 1, unless ``every_minutes`` is given.
        The end of the training is always saved.
    every_minutes : float, optional
        Save after the first epoch that ends at least this many minutes after the last checkpoint.
    keep : int, default=3
        Number of checkpoints to keep; older ones are deleted.

    See Also
    --------
    Network.load : Reads the network of a checkpoint, without its training.

    Examples
    --------
    >>> import fastbp, tempfile
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0]
    >>> checkpoint = fastbp.Checkpoint(tempfile.mkdtemp())
    >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    >>> history = net.fit(X, y, epochs=2, callbacks=[checkpoint])

    In another process, later:

    >>> net = fastbp.Network([1, 1], loss="squared_error")
    >>> history = net.fit(
    ...     X, y, epochs=5, callbacks=[checkpoint], resume_from=checkpoint.newest()
    ... )
    >>> len(history.loss)
    5
    """

    @keywords
    def __init__(
        self,
        folder: StrPath,
        *,
        every_epochs: int | None = None,
        every_minutes: float | None = None,
        keep: int = 3,
    ) -> None:
        name = checks.path("Checkpoint: folder", folder)
        if not name:  # which Path takes for the current folder
            raise ValueError('Checkpoint: folder is empty; pass "." for the current folder')
        self.folder = Path(name)
        if every_minutes is not None:
            every_minutes = checks.real_number("Checkpoint: every_minutes", every_minutes)
        elif every_epochs is None:
            every_epochs = 1
        if every_epochs is not None:
            every_epochs = checks.whole_number("Checkpoint: every_epochs", every_epochs)
        self.every_epochs, self.every_minutes = every_epochs, every_minutes
        self.keep = checks.whole_number("Checkpoint: keep", keep)
        self._state: Any = None

    def __getstate__(self):
        return {**vars(self), "_state": None}  # a copy must not save the original's training

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({str(self.folder)!r}, every_epochs={self.every_epochs}, "
            f"every_minutes={self.every_minutes}, keep={self.keep})"
        )

    def newest(self) -> Path | None:
        """Return the path of the last checkpoint in the folder, for ``resume_from`` of `fit`.

        Returns
        -------
        pathlib.Path or None
            None if there is no checkpoint yet; with ``resume_from=None``, `fit` starts a new
            training.

        Examples
        --------
        >>> import fastbp, tempfile
        >>> checkpoint = fastbp.Checkpoint(tempfile.mkdtemp())
        >>> print(checkpoint.newest())
        None
        >>> net = fastbp.Network([1, 1], loss="squared_error", seed=0)
        >>> history = net.fit([[0.0], [1.0]], [0.0, 2.0], epochs=2, callbacks=[checkpoint])
        >>> checkpoint.newest().name
        'epoch-000002.safetensors'
        """
        numbers = self._numbers()
        return self._path(numbers[-1]) if numbers else None

    def _path(self, epoch):
        return self.folder / f"epoch-{epoch:06d}.safetensors"

    def _numbers(self):
        """Return the epochs of the checkpoints in the folder, sorted."""
        if not self.folder.is_dir():
            return []
        names = {path.name for path in self.folder.iterdir()}
        numbers = {int(match[1]) for match in map(NAME.fullmatch, names) if match}
        # Skip a user's file such as epoch-7.safetensors, whose name we would pad.
        return sorted(number for number in numbers if self._path(number).name in names)

    def attach(self, state: State) -> None:
        """Called by the training, before `begin`, with its state.

        Parameters
        ----------
        state : State
        """
        from_here = state.source is not None and os.path.realpath(
            os.path.dirname(os.path.abspath(state.source))
        ) == os.path.realpath(self.folder)
        if self.newest() is not None and not from_here:
            raise ValueError(
                f"{str(self.folder)!r} has checkpoints of another training: resume that with "
                "resume_from=checkpoint.newest(), or name another folder"
            )
        self._state = state

    def begin(self, network: Any, history: History) -> None:
        if self._state is None:
            raise ValueError(
                "a Checkpoint can save only trainings by Network.fit and fit_many; remove it from "
                "the callbacks"
            )
        network_.to_document(network, {})  # raises an error if the network cannot be saved
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob(".epoch-*.tmp"):  # remains of a process that was killed
            path.unlink(missing_ok=True)
        writing.check(self._path(0))  # report a read-only folder before the first epoch
        self._known = set(self._numbers())
        self._saved = time.monotonic()

    def after_epoch(self, ended: bool) -> None:
        """Save if a checkpoint is due; called after all callbacks of an epoch.

        Parameters
        ----------
        ended : bool
            Whether it was the last epoch.
        """
        epoch, now = len(self._state.history.loss), time.monotonic()
        by_epochs = self.every_epochs is not None and epoch % self.every_epochs == 0
        by_time = self.every_minutes is not None and now - self._saved >= 60 * self.every_minutes
        if not (by_epochs or by_time or ended):
            return
        others = set(self._numbers()) - self._known
        if others:
            raise ValueError(
                f"another training is writing to {str(self.folder)!r}: "
                f"this one did not write {self._path(max(others)).name}; name another folder"
            )
        self._known.add(epoch)
        tensors: dict = {}
        document = self._state.to_document(tensors)
        file.write(self._path(epoch), {"kind": "checkpoint", **document}, tensors)
        self._saved = now
        numbers = self._numbers()
        # Checkpoints of later epochs are outdated: this training resumed from an earlier epoch.
        kept = [number for number in numbers if number <= epoch][-self.keep :]
        for number in set(numbers) - set(kept):
            self._path(number).unlink(missing_ok=True)

    def end(self, network: Any, history: History) -> None:
        self._state = None


def refuse_shared_folders(callbacks):
    """Raise ValueError if checkpoints share a folder: they would overwrite each other's files."""
    seen = set()
    for each in callbacks:
        if isinstance(each, Checkpoint):
            folder = os.path.realpath(each.folder)
            if folder in seen:
                raise ValueError(
                    f"two checkpoints have the same folder {str(each.folder)!r}, but a folder can "
                    "hold one training only; give each its own folder"
                )
            seen.add(folder)


@dataclass
class State:
    """State of a training between two epochs.

    Parameters
    ----------
    network : Network
    control : control.Control
    arguments : dict or None
        The result of `arguments`.
    training : training.Training
    rates : LearningRates
    history : training.History
    source : str, path or None
        The checkpoint to resume from.
    """

    network: Any
    control: Any
    arguments: dict | None
    training: Any
    rates: Any
    history: Any
    source: Any

    def to_document(self, tensors):
        """Return the document of a checkpoint, and add its arrays to `tensors`."""
        network, training, history = self.network, self.training, self.history
        layout, plateau = network.layout, self.control.plateau
        model = network_.to_document(network, tensors)
        network_.put_memory(training.memory, layout, tensors)
        if training.average.size:
            tensors["average"] = network_.packed(layout, training.average)
        for name, figures in self.figures().items():
            tensors[name] = np.array(figures, np.float64)
        stoppings = []
        for i, callback in enumerate(self.stoppings()):
            stoppings.append(
                {**_watch_to_json(callback._watch), "best": callback._best is not None}
            )
            if callback._best is not None:
                tensors[f"best.{i}"] = network_.packed(layout, callback._best)
        if plateau is not None:
            plateau = {
                **_watch_to_json(plateau.watch),
                "cooling": plateau.cooling,
                "factor": plateau.factor,
            }
        document = {
            "arguments": self.arguments,
            "seed": training.seed,
            "averaged": training.averaged,
            "steps": self.rates.done,
            "epochs": len(history.loss),
            "best_epoch": history.best_epoch,
            "stoppings": stoppings,
            "plateau": plateau,
        }
        return {"model": model, "training": document}

    def figures(self):
        """Return the history's lists by tensor name."""
        lists = {name: getattr(self.history, name) for name in LISTS}
        for kind in ("scores", "head_losses"):
            by_name = getattr(self.history, kind)
            lists |= {f"{kind}.{name}": figures for name, figures in by_name.items()}
        return {f"history.{name}": figures for name, figures in lists.items()}

    def stoppings(self):
        """Return the EarlyStopping callbacks."""
        return [each for each in self.control.callbacks if isinstance(each, EarlyStopping)]


class Saved:
    """A training as saved in a checkpoint.

    Parameters
    ----------
    model, training : dict
        The documents of the network and of its training.
    tensors : schema.Tensors

    Attributes
    ----------
    seed : int
        The seed of dropout.
    """

    def __init__(self, model, training, tensors):
        self._model, self._training, self._tensors = model, training, tensors
        self.seed = schema.whole("seed", training["seed"])

    def restore(self, state):
        """Set a training that has not begun to the saved state."""
        with file.named(state.source):
            self._restore(state)

    def _restore(self, state):
        training, saved, tensors = state.training, self._training, self._tensors
        layout = state.network.layout
        # Check everything first; the network changes last.
        found = network_.get_memory(training.optimizer.slots, layout, tensors)
        network_.fill_memory(training.memory, layout, found)
        training.counters[...] = training.memory.counters
        most = 2**63 - 1 if training.average.size else 0
        training.averaged = schema.whole("averaged", saved["averaged"], high=most)
        if training.average.size:
            average = network_.get_packed("average", layout, tensors)
            network_.unpack(layout, average, training.average)
        state.rates.done = schema.whole("steps", saved["steps"])
        epochs = schema.whole("epochs", saved["epochs"], 1)
        history = state.history
        for name, figures in state.figures().items():
            if name.startswith("history.head_losses.") and name not in tensors:
                # Checkpoints of earlier versions lack them.
                known = history.validation_loss if ".validation_" in name else history.loss
                figures.extend([math.nan] * len(known))
                continue
            array = tensors.take(name, np.float64, finite=False)
            if len(array) != epochs and (len(array) or name == "history.loss"):
                raise schema.wrong(f"the length of {name}", len(array), epochs)
            figures.extend(array.tolist())
            if name == "history.validation_loss" and not len(array):
                history._unvalidated = epochs
        history.best_epoch = schema.optional(
            schema.whole, "best_epoch", saved["best_epoch"], 1, epochs
        )
        self._restore_plateau(state.control.plateau)
        self._watches = []
        callbacks = state.stoppings()
        listed = schema.listed("stoppings", saved["stoppings"], len(callbacks))
        for i, (callback, stopping) in enumerate(zip(callbacks, listed, strict=True)):
            schema.fields("early stopping", stopping, STOPPING)
            best = None
            if schema.flag("best", stopping["best"]):
                best = layout.zeros(layout.n_parameters)
                network_.unpack(layout, network_.get_packed(f"best.{i}", layout, tensors), best)
            watch = monitoring.Watch(callback.monitor, callback.min_delta)
            self._watches.append((_set_watch(watch, stopping), best))
        network_.restore(state.network, self._model, tensors)

    def _restore_plateau(self, plateau):
        saved = self._training["plateau"]
        if plateau is None:
            schema.optional(schema.fields, "plateau", saved, ())
            return
        schema.fields("plateau", saved, PLATEAU)
        _set_watch(plateau.watch, saved)
        plateau.cooling = schema.whole("cooling", saved["cooling"])
        plateau.factor = schema.real("factor", saved["factor"])
        if not 0 <= plateau.factor <= 1:
            raise schema.wrong("factor", plateau.factor, "in [0, 1]")

    def restore_callbacks(self, state):
        """Restore the state of EarlyStopping callbacks; to be called after their `begin`."""
        for callback, (watch, best) in zip(state.stoppings(), self._watches, strict=True):
            callback._watch, callback._best = watch, best


def _watch_to_json(watch):
    return {"figure": values.to_json("the best figure", watch.best), "waited": watch.waited}


def _set_watch(watch, saved):
    watch.best = schema.number("the best figure", values.from_json("figure", saved["figure"]))
    watch.waited = schema.whole("waited", saved["waited"])
    return watch


def arguments(network, samples, control, regularizers, total):
    """Return the arguments that must match when a training resumes, by name, as JSON values."""
    schedule = control.schedule
    stoppings = [each for each in control.callbacks if isinstance(each, EarlyStopping)]
    layer_rules = regularizers.layer_rules[1:]
    of_samples = samples.arguments()
    found = {
        "layer_sizes": network.layout.sizes,
        "activation": network.layout.activations,
        "loss": network.loss,
        "loss_parameter": network.loss_parameter,
        "loss_weights": network.loss_weights,
        "output_activation": network._engine.given_output_activation,
        "dtype": network.layout.dtype.name,
        "compute_dtype": network.compute_dtype,
        "monotonic_cst": network.monotonic_cst and list(network.monotonic_cst),
        "norm": network.norm,
        "residual": network.residual or None,  # files of earlier versions lack it, and the inputs
        "inputs": list(map(repr, network.layout.inputs)) or None,
        **of_samples,
        "data": _checksum(of_samples["data"]),
        "optimizer": control.optimizer,
        "schedule": schedule,
        "l1": layer_rules[:, spec.L1].tolist(),
        "l2": layer_rules[:, spec.L2].tolist(),
        "frozen": np.flatnonzero(layer_rules[:, spec.FROZEN]).tolist(),
        "dropout": regularizers.dropout,
        "clip_norm": regularizers.clip_norm,
        "average": regularizers.average,
        "scoring": control.scores,
        "early stopping": [
            [each.patience, each.min_delta, each.monitor, each.restore_best] for each in stoppings
        ],
    }
    if schedule is not None and schedule.total_needed:
        found["number of steps"] = total
    return {name: values.to_json(name, value) for name, value in found.items()}


def _checksum(arrays):
    """Return a checksum that detects changed data."""
    total = 0
    for array in arrays:
        total = zlib.crc32(repr(array.shape).encode(), total)
        total = zlib.crc32(np.ascontiguousarray(array).data, total)
    return total


def read(path, now):
    """Read the training in a checkpoint; raise ValueError if its arguments differ from `now`.

    Parameters
    ----------
    path : str or path-like
    now : dict

    Returns
    -------
    Saved
    """
    checks.path("resume_from", path)
    with file.named(path):
        document, tensors = file.read(path)
        return saved_of(document, tensors, now)


def _first_difference(name, there, here):
    """Where two values differ, and what they have there; lists of one length are searched."""
    lists = [
        value["tuple"] if isinstance(value, dict) and list(value) == ["tuple"] else value
        for value in (there, here)
    ]
    if all(isinstance(each, list) for each in lists) and len(lists[0]) == len(lists[1]):
        for i, (old, new) in enumerate(zip(*lists, strict=True)):
            if old != new:
                return f"{name}[{i}]", old, new
    return name, there, here


def saved_of(document, tensors, now):
    """Return the training in a file's document and tensors, see `read`."""
    if document.get("kind") != "checkpoint":
        raise ValueError("the file is not a checkpoint, so no training can resume from it")
    schema.fields("the document", document, ("kind", "model", "training"))
    training = schema.fields("training", document["training"], FIELDS)
    before = training["arguments"]
    if not isinstance(before, dict):
        raise schema.wrong("arguments", before, "a JSON object")
    for name, value in now.items():
        if before.get(name) != value:
            entry, there, here = _first_difference(name, before.get(name), value)
            raise ValueError(
                f"the checkpoint is from a training that differs in {entry}: "
                f"{schema.shown(there)} there, {schema.shown(here)} here. To start a "
                "new training with its weights, use Network.load"
            )
    return Saved(document["model"], training, tensors)

"""Saves and loads models for all commands, with notes on how they were trained."""

from pathlib import Path
from typing import Any, NamedTuple

from .options import require_file


class Stored(NamedTuple):
    """Content of a model's file.

    Attributes
    ----------
    model : Pipeline, estimator or Network
    notes : dict
        Notes that `train` or the user has saved; empty if there are none.
    library : str
        The version of fastbp that saved it.
    path : Path
        The file.
    """

    model: Any
    notes: dict
    library: str
    path: Path


def save(model, path, notes):
    """Write a model, and notes that JSON can represent."""
    from ..persistence import models

    models.save(model, path, notes=notes)


def load(path):
    """Read a model.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Stored

    Raises
    ------
    OSError, ValueError
        If the file does not exist, or was not written by fastbp.
    """
    from ..files import file
    from ..persistence import models

    require_file(path)
    model = models.load(path)
    with file.named(path):
        notes, library = file.read_notes(path)
    return Stored(model, notes, library, path)


def is_tabular(model):
    """Return whether a model is a fitted TabularClassifier or TabularRegressor."""
    return hasattr(model, "leaderboard_")


def is_ours(stored):
    """Return whether the command `train` made a model."""
    if is_tabular(stored.model):
        return "readings" in stored.notes
    return list(getattr(stored.model, "named_steps", {})) == ["columns", "network"]


def members(stored):
    """Return the members of an ensemble; for another model, a list of the model."""
    return getattr(stored.model, "estimators_", [stored.model])


def count(stored):
    """Return the number of a model's networks."""
    if is_tabular(stored.model):
        return sum(len(member.networks) for member in stored.model._members)
    return len(members(stored))


def estimator(stored):
    """Return a model's estimator, or its Network; for an ensemble, the first member's."""
    model = members(stored)[0]
    return model[-1] if hasattr(model, "named_steps") else model


def network(stored):
    """Return a model's Network; for an ensemble, the first member's."""
    found = estimator(stored)
    if is_tabular(found):
        return found._members[0].networks[0]
    return found._network() if hasattr(found, "coefs_") else found


def parts_of(model):
    """Return what prepares the features and what predicts, of a model that `train` made.

    Returns
    -------
    prepare : ColumnTransformer, TabularClassifier or TabularRegressor
    estimator : MLPClassifier, MLPRegressor, TabularClassifier or TabularRegressor
        An estimator for tables prepares the features itself, so both are the same.
    """
    if is_tabular(model):
        return model, model
    return model["columns"], model["network"]


def parts(stored):
    """Return `parts_of` a model in a file.

    Raises
    ------
    ValueError
        If `train` did not make the model.
    """
    if not is_ours(stored):
        raise ValueError(
            f"{stored.path}: the file holds a {type(stored.model).__name__} that was not made by "
            "fastbp train, so the columns of its table are unknown; use fastbp.load in Python"
        )
    return parts_of(stored.model)

"""Models in files, with notes on how they were trained: the one place that saves and loads them."""

from typing import Any, NamedTuple


class Stored(NamedTuple):
    """What is in a file.

    Attributes
    ----------
    model : Pipeline, estimator or Network
    notes : dict
        What the command `train` noted; empty for a model that was saved from Python.
    library : str
        The version of fastbp that saved it.
    """

    model: Any
    notes: dict
    library: str


def save(model, path, notes):
    """Write a model and notes that JSON can hold."""
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
        If there is no such file, or nothing of ours in it.
    """
    from ..files import file
    from ..persistence import models

    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise FileNotFoundError(f"the file {str(path)!r} {what}")
    try:
        return Stored(models.load(path), *file.read_notes(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def is_ours(stored):
    """Whether a model is one that `train` makes."""
    return list(getattr(stored.model, "named_steps", {})) == ["columns", "network"]


def members(stored):
    """The members of an ensemble; of another model the model."""
    return getattr(stored.model, "estimators_", [stored.model])


def estimator(stored):
    """The estimator behind a model, or its Network; of an ensemble the first member's."""
    model = members(stored)[0]
    return model[-1] if hasattr(model, "named_steps") else model


def network(stored):
    """The Network behind a model."""
    found = estimator(stored)
    return found._network() if hasattr(found, "coefs_") else found


def parts(stored):
    """The preparation of columns and the network of a model that `train` has made.

    Returns
    -------
    prepare : ColumnTransformer
    network : MLPClassifier or MLPRegressor

    Raises
    ------
    ValueError
        For another kind of model.
    """
    if not is_ours(stored):
        raise ValueError(
            f"the file has a {type(stored.model).__name__} that was not made by fastbp train, so "
            "that it does not say which columns of a table it takes; use fastbp.load in Python"
        )
    return stored.model["columns"], stored.model["network"]

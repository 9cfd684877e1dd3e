"""The three backends: NumPy (the reference), Numba and Cython, and how one is chosen.

A backend is a module with the functions of interface.py. It is imported when it is first
asked for, so that importing fastbp stays light.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

from ..basis.spec import choose

if TYPE_CHECKING:
    from ..basis.annotations import BackendName
    from .interface import Backend

# Name -> module. "auto" takes the first compiled one that can be used.
BACKENDS: dict[BackendName, str] = {
    "cython": ".cython_",
    "numba": ".numba_",
    "numpy": ".numpy_",
}
ENVIRONMENT_VARIABLE = "FASTBP_BACKEND"


class BackendUnavailable(ImportError):
    """A backend was asked for that cannot be used here; the message says how to get it."""


def get(name: str | None = None) -> Backend:
    """The backend called `name`.

    Parameters
    ----------
    name : {"auto", "cython", "numba", "numpy"} or None
        None stands for the environment variable FASTBP_BACKEND and, where that is not set,
        for "auto": Cython if it is built, else Numba.

    Returns
    -------
    module
        An implementation of `fastbp.backends.interface.Backend`.

    Raises
    ------
    ValueError
        For an unknown name.
    BackendUnavailable
        For a backend that cannot be used here.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.backends.get("numpy").name
    'numpy'
    """
    source = "backend"
    if name is None:
        name = os.environ.get(ENVIRONMENT_VARIABLE) or "auto"
        source = f"backend (from the environment variable {ENVIRONMENT_VARIABLE})"
    where = choose(source, name, {**BACKENDS, "auto": None})
    if name != "auto":
        module: Any = importlib.import_module(where, __name__)
        return module
    try:
        return get("cython")
    except BackendUnavailable:
        return get("numba")


def available() -> dict[BackendName, str]:
    """Which backends can be used here.

    Returns
    -------
    dict
        Backend name -> a sentence that starts with "yes" (and names versions, or the CPU
        build that Cython loaded) or with "no" (and says why not and how to get it).

    Examples
    --------
    >>> import fastbp
    >>> fastbp.available_backends()["numpy"]  # doctest: +ELLIPSIS
    'yes: NumPy ...'
    """
    answers = {}
    for name in BACKENDS:
        try:
            answers[name] = f"yes: {get(name).describe()}"
        except (BackendUnavailable, ValueError) as error:  # ValueError: a wrong FASTBP_CPU
            answers[name] = f"no: {error}"
    return answers

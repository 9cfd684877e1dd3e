"""The Cython backend: kernels compiled ahead of time for several processors.

The best build that this processor runs is chosen at import; the environment variable FASTBP_CPU
(baseline, avx2 or avx512) overrides that.
"""

import importlib
import inspect
import os
import re

import numpy as np

from ..basis import inputs, layout, spec
from . import BackendUnavailable, interface

name = "cython"
teams = True
BUILDS = ("avx512", "avx2", "baseline")
CPU_VARIABLE = "FASTBP_CPU"
OWNERS = spec, layout, inputs  # the modules of the numbers that kernels are compiled with
KERNEL_FUNCTIONS = (
    *("finite", "activation", "loss_hessian_product", "predict", "forward", "backward"),
    *("loss_and_gradient", "per_sample", "jets", "jets_backward", "input_derivatives"),
    *("input_vjp", "sobolev_gradient", "hessian_product", "loss_deltas", "job"),
)
_HOW = (
    "install a C compiler and install fastbp from source again "
    "(in a copy of the repository: pip install --force-reinstall --no-deps .), or use Numba"
)


def _choose():
    """The name of the build to load."""
    try:
        from ._cpu import supported
    except ImportError as error:
        raise BackendUnavailable(f"the Cython kernels are not built; {_HOW}") from error
    wanted = os.environ.get(CPU_VARIABLE)
    if not wanted:
        return supported()[0]
    if wanted not in BUILDS:
        raise ValueError(
            f"unknown CPU build {wanted!r} in the environment variable {CPU_VARIABLE}; "
            f"known: {', '.join(BUILDS)}"
        )
    if wanted not in supported():
        raise BackendUnavailable(
            f"{CPU_VARIABLE}={wanted}, but this processor runs only: {', '.join(supported())}"
        )
    return wanted


def _load(precision):
    try:
        module = importlib.import_module(f"._kernels_{build}_{precision}", __package__)
    except ImportError as error:
        raise BackendUnavailable(
            f"the Cython kernels for {build} are not built ({error}); {_HOW}"
        ) from error
    if not _fits(module):  # it would read other memory than it is given
        raise BackendUnavailable(
            f"the Cython kernels for {build} were not built from the sources of this package; "
            "build them again (in a copy of the repository: pip install --editable .)"
        )
    return module


def _fits(module):
    """Whether kernels were built with today's numbers and take today's arguments."""
    codes = module.codes()
    for code, value in codes.items():
        if all(value != getattr(owner, code, None) for owner in OWNERS):
            return False
    if not all(code in codes for owner in OWNERS for code in _numbers(owner)):
        return False
    for name in KERNEL_FUNCTIONS:
        function = getattr(module, name, None)  # older kernels lack a newer function
        if function is None:
            return False
        expected = inspect.signature(getattr(interface.Backend, name)).parameters
        if list(inspect.signature(function).parameters) != list(expected)[1:]:
            return False
    return True


def _numbers(owner):
    """Return the names of the numbers of a module that kernels are compiled with."""
    return {
        name
        for name, value in vars(owner).items()
        # Kernels are given what follows from sizes in bytes and from groups.
        if name.isupper() and type(value) is int and not re.search("_BYTES|GROUP", name)
    }


build = _choose()
KERNELS = {np.dtype(np.float32): _load("f4"), np.dtype(np.float64): _load("f8")}
SINGLE = KERNELS[np.dtype(np.float32)]


def cpu():
    """The module that says what this processor can do."""
    from . import _cpu

    return _cpu


def describe():
    """What would compute, in a few words."""
    text = f"Cython kernels built for {build}"
    if not SINGLE.HAS_FMA:
        text += " (without FMA: last bits may differ from the others')"
    if SINGLE.CHECKED:
        text += " (debug build: every memory range is checked)"
    return text


def finite(array):
    return KERNELS[array.dtype].finite(array)


def activation(code, s, out):
    KERNELS[s.dtype].activation(code, s, out)


def loss_hessian_product(model, s, y, v, out):
    KERNELS[s.dtype].loss_hessian_product(model, s, y, v, out)


def predict(model, X, block, workspace, out):
    KERNELS[X.dtype].predict(model, X, block, workspace, out)


def forward(model, X, workspace, out):
    KERNELS[X.dtype].forward(model, X, workspace, out)


def backward(model, X, deltas, workspace, transposed, gradient, errors):
    KERNELS[X.dtype].backward(model, X, deltas, workspace, transposed, gradient, errors)


def input_vjp(model, X, *rest):
    KERNELS[X.dtype].input_vjp(model, X, *rest)


def loss_and_gradient(model, data, *rest):
    return KERNELS[data.X.dtype].loss_and_gradient(model, data, *rest)


def per_sample(model, data, *rest):
    KERNELS[data.X.dtype].per_sample(model, data, *rest)


def jets(model, X, directions, seconds, block, workspace, out):
    KERNELS[X.dtype].jets(model, X, directions, seconds, block, workspace, out)


def jets_backward(model, X, *rest):
    KERNELS[X.dtype].jets_backward(model, X, *rest)


def input_derivatives(model, X, *rest):
    KERNELS[X.dtype].input_derivatives(model, X, *rest)


def sobolev_gradient(model, data, *rest):
    return KERNELS[data.X.dtype].sobolev_gradient(model, data, *rest)


def hessian_product(model, data, *rest):
    KERNELS[data.X.dtype].hessian_product(model, data, *rest)


def loss_deltas(model, data, s, *rest):
    KERNELS[s.dtype].loss_deltas(model, data, s, *rest)


def job(model, data, **how):
    return KERNELS[data.X.dtype].job(model, data, **how)

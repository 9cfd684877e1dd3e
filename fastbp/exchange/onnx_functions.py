"""Recognises activations in ONNX graphs by their values.

The operators between two layers form a function of one number, which exporters write in different
ways (SiLU is one operator or two). It is evaluated at some points and compared with Network's
activations.
"""

from collections.abc import Callable

import numpy as np

from ..backends.numpy_ import elementwise
from .activations import EQUIVALENTS

# Points at which functions are compared: dense near 0, spread widely, and partly random. Distant
# points reveal bounds, such as in min(relu(s), 1000).
FAR = np.geomspace(100, 1e300, 150)
POINTS = np.concatenate(
    [np.linspace(-12, 12, 97), np.random.default_rng(0).normal(0, 30, 96), -FAR, FAR]
)
POINTS.flags.writeable = False
TOLERANCE = 1e-6  # the precision of constants in float32 files


def _erf(x):
    from scipy.special import erf

    return erf(x)


# Operator -> its function, with attributes as keyword arguments. (No function is a ufunc, see
# `Equivalents`.)
ELEMENTWISE: dict[str, Callable] = {
    "Abs": lambda x: np.abs(x),
    "Add": lambda x, y: x + y,
    "Clip": lambda x, min=-np.inf, max=np.inf: np.minimum(np.maximum(x, min), max),
    "Div": lambda x, y: x / y,
    "Erf": _erf,
    "Log": lambda x: np.log(x),
    "Max": lambda *x: np.max(np.broadcast_arrays(*x), axis=0),
    "Min": lambda *x: np.min(np.broadcast_arrays(*x), axis=0),
    "Mul": lambda x, y: x * y,
    "Neg": lambda x: -x,
    "Sub": lambda x, y: x - y,
    **dict(row.onnx_operator for row in EQUIVALENTS.values() if row.onnx_operator),
}
KNOWN = {row.value.__name__: row.value for row in elementwise.ACTIVATIONS.values()}
KNOWN["exp"] = np.exp


def same(values, wanted):
    """Return whether two functions are the same, by their values at POINTS."""
    if isinstance(values, str):
        return False
    with np.errstate(all="ignore"):
        near = np.abs(values - wanted) <= TOLERANCE * (1 + np.abs(wanted))
    # Some values are infinite in both, such as exp's. Some ways of writing a function, such as
    # log(1 + exp(s)), overflow although the function itself does not.
    overflow = (np.abs(POINTS) >= FAR[0]) & ~np.isfinite(values)
    return bool(np.all(near | (values == wanted) | overflow))

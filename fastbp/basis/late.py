"""Imports from higher floors, done when a user calls a method that needs them.

All other imports point down. These serve methods whose implementation belongs to a higher floor,
such as `Network.to_sklearn`.
"""

from importlib import import_module

ROOMS_ABOVE = {
    "plots": "fastbp.plots",  # Comparison.plot, History.plot
    "scikit_learn": "fastbp.estimators.scikit_learn",  # Network.to_sklearn and from_sklearn
    "skl2onnx": "fastbp.estimators.skl2onnx",  # register_skl2onnx
}


def load(name):
    """Import and return the module with a name in `ROOMS_ABOVE`."""
    return import_module(ROOMS_ABOVE[name])

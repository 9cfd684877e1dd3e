"""What lower floors load from higher ones, once a user asks for it.

All other imports point down. These are methods of a network or a result that belong to a higher
floor, such as `Network.to_sklearn`.
"""

from importlib import import_module

ROOMS_ABOVE = {
    "plots": "fastbp.plots",  # Comparison.plot
    "scikit_learn": "fastbp.estimators.scikit_learn",  # Network.to_sklearn and from_sklearn
    "skl2onnx": "fastbp.estimators.skl2onnx",  # register_skl2onnx
}


def load(name):
    """The module of that name in `ROOMS_ABOVE`."""
    return import_module(ROOMS_ABOVE[name])

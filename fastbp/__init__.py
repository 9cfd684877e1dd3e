"""fastbp: backpropagation for feed-forward networks on CPUs, fast.

The public names. Neither Numba nor scikit-learn is imported until something needs it.
"""

from typing import TYPE_CHECKING

from .backends import BackendUnavailable
from .backends import available as available_backends
from .compare import Comparison, compare_backends
from .least_squares import LeastSquares, levenberg_marquardt
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, Rprop
from .parameters import Gradient
from .regularizers import EMA, SWA
from .training import History, TrainingDiverged

if TYPE_CHECKING:
    from .estimators import MLPClassifier, MLPRegressor

__version__ = "0.1.0"

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "BackendUnavailable",
    "Comparison",
    "EMA",
    "Gradient",
    "History",
    "LeastSquares",
    "MLPClassifier",
    "MLPRegressor",
    "Network",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "SGD",
    "SWA",
    "TrainingDiverged",
    "available_backends",
    "compare_backends",
    "levenberg_marquardt",
]


def __getattr__(name):
    """The estimators, imported with scikit-learn when they are first asked for."""
    if name in ("MLPClassifier", "MLPRegressor"):
        from . import estimators

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__all__})

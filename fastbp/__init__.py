"""fastbp: backpropagation for feed-forward networks on CPUs, fast.

The public names. Neither Numba nor scikit-learn is imported until something needs it.
"""

from .backends import BackendUnavailable
from .backends import available as available_backends
from .compare import Comparison, compare_backends
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, Rprop
from .parameters import Gradient
from .training import History, TrainingDiverged

__version__ = "0.1.0"

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "BackendUnavailable",
    "Comparison",
    "Gradient",
    "History",
    "Network",
    "Optimizer",
    "RMSprop",
    "Rprop",
    "SGD",
    "TrainingDiverged",
    "available_backends",
    "compare_backends",
]

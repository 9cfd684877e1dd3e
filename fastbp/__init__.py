"""fastbp: backpropagation for feed-forward networks on CPUs, fast.

The public names. Neither Numba nor scikit-learn is imported until something needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .backends import BackendUnavailable
from .backends import available as available_backends
from .callbacks import Callback, EarlyStopping
from .compare import Comparison, compare_backends
from .gradcheck import GradientCheck, LayerCheck, WrongGradient, check_gradients
from .health import Health, HealthWarning
from .least_squares import LeastSquares, levenberg_marquardt
from .many import SomeFailed, fit_many
from .network import Network
from .optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop, Rprop
from .parameters import Gradient
from .persistence.checkpoint import Checkpoint
from .rate_finder import RateSearch, find_learning_rate
from .regularizers import EMA, SWA
from .schedules import (
    CosineDecay,
    ExponentialDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from .streaming import ArrayStream, ParquetStream
from .training import History, TrainingDiverged

if TYPE_CHECKING:
    from .ensembles import MLPEnsembleClassifier, MLPEnsembleRegressor
    from .equations import Equations
    from .estimators import MLPClassifier, MLPRegressor
    from .persistence.models import load, save
    from .plots import (
        BackendComparisonDisplay,
        DecisionBoundaryDisplay,
        HealthDisplay,
        LearningCurveDisplay,
        NetworkGraphDisplay,
        RooflineDisplay,
        WeightHistogramDisplay,
    )
    from .search import MLPSearchCV
    from .trace import Node, Term, Trace

__version__ = "0.1.0"

__all__ = [
    "Adagrad",
    "Adam",
    "AdamW",
    "ArrayStream",
    "BackendUnavailable",
    "Callback",
    "Checkpoint",
    "Comparison",
    "CosineDecay",
    "BackendComparisonDisplay",
    "DecisionBoundaryDisplay",
    "EMA",
    "EarlyStopping",
    "Equations",
    "ExponentialDecay",
    "Gradient",
    "GradientCheck",
    "Health",
    "HealthDisplay",
    "HealthWarning",
    "History",
    "LayerCheck",
    "LearningCurveDisplay",
    "LeastSquares",
    "MLPClassifier",
    "MLPEnsembleClassifier",
    "MLPEnsembleRegressor",
    "MLPRegressor",
    "MLPSearchCV",
    "Network",
    "NetworkGraphDisplay",
    "RooflineDisplay",
    "Node",
    "OneCycle",
    "Optimizer",
    "ParquetStream",
    "RMSprop",
    "RateSearch",
    "ReduceOnPlateau",
    "Rprop",
    "SGD",
    "SWA",
    "Schedule",
    "SomeFailed",
    "StepDecay",
    "Term",
    "Trace",
    "TrainingDiverged",
    "WeightHistogramDisplay",
    "WrongGradient",
    "available_backends",
    "check_gradients",
    "compare_backends",
    "find_learning_rate",
    "fit_many",
    "levenberg_marquardt",
    "load",
    "save",
]


# Public names that are imported when they are first asked for, and the module that has them.
_LATER = {
    "BackendComparisonDisplay": "plots",
    "DecisionBoundaryDisplay": "plots",
    "Equations": "equations",
    "HealthDisplay": "plots",
    "LearningCurveDisplay": "plots",
    "MLPClassifier": "estimators",
    "MLPEnsembleClassifier": "ensembles",
    "MLPEnsembleRegressor": "ensembles",
    "MLPRegressor": "estimators",
    "MLPSearchCV": "search",
    "NetworkGraphDisplay": "plots",
    "RooflineDisplay": "plots",
    "Node": "trace",
    "Term": "trace",
    "Trace": "trace",
    "WeightHistogramDisplay": "plots",
    "load": "persistence.models",
    "save": "persistence.models",
}


if not TYPE_CHECKING:  # a type checker that saw this would take any name for a public one

    def __getattr__(name):
        """The names that are imported when they are first asked for."""
        if name in _LATER:
            return getattr(import_module(f".{_LATER[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""fastbp: backpropagation for feed-forward networks on CPUs, fast.

The public names. Neither Numba nor scikit-learn is imported until something needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from . import exchange as exchange
from .backends import BackendUnavailable
from .backends import available as available_backends
from .basis.inputs import Categorical, Numeric
from .basis.version import __version__ as __version__
from .engine.activation import Activation
from .engine.parameters import Gradient
from .many.fit_many import SomeFailed, fit_many
from .network.forward import ForwardPass
from .network.network import Network
from .network.torch_function import TorchFunction, torch_function
from .rules.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    LazyAdam,
    Optimizer,
    RMSprop,
    Rprop,
)
from .rules.regularizers import EMA, SWA
from .rules.schedules import (
    CosineDecay,
    ExponentialDecay,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
)
from .study.compare import Comparison, compare_backends
from .study.gradcheck import GradientCheck, LayerCheck, WrongGradient, check_gradients
from .study.health import Health, HealthWarning
from .study.least_squares import LeastSquares, levenberg_marquardt
from .study.rate_finder import RateSearch, find_learning_rate
from .study.residual import fit_residual
from .training.callbacks import Callback, EarlyStopping
from .training.checkpoint import Checkpoint
from .training.history import History, TrainingDiverged
from .training.streaming import ArrayStream, ParquetStream

if TYPE_CHECKING:
    from .estimators.derivatives import input_jacobian, integrated_gradients
    from .estimators.ensembles import MLPEnsembleClassifier, MLPEnsembleRegressor
    from .estimators.mlp import MLPClassifier, MLPRegressor
    from .estimators.search import MLPSearchCV
    from .estimators.to_c import to_c
    from .network.equations import Equations
    from .network.summary import Summary
    from .network.trace import Node, Term, Trace
    from .persistence.models import load, save
    from .plots import (
        ActivationHistogramDisplay,
        BackendComparisonDisplay,
        DecisionBoundaryDisplay,
        HealthDisplay,
        IntervalDisplay,
        LearningCurveDisplay,
        NetworkGraphDisplay,
        ReliabilityDisplay,
        RooflineDisplay,
        WeightHistogramDisplay,
        WeightImageDisplay,
    )
    from .plots.notebook import TrainingView
    from .tabular.estimators import TabularClassifier, TabularRegressor

__all__ = [
    "Activation",
    "ActivationHistogramDisplay",
    "Adagrad",
    "Adam",
    "AdamW",
    "ArrayStream",
    "BackendUnavailable",
    "Callback",
    "Categorical",
    "Checkpoint",
    "Comparison",
    "CosineDecay",
    "BackendComparisonDisplay",
    "DecisionBoundaryDisplay",
    "EMA",
    "EarlyStopping",
    "Equations",
    "ExponentialDecay",
    "ForwardPass",
    "Gradient",
    "GradientCheck",
    "Health",
    "HealthDisplay",
    "HealthWarning",
    "History",
    "IntervalDisplay",
    "LayerCheck",
    "LazyAdam",
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
    "Numeric",
    "OneCycle",
    "Optimizer",
    "ParquetStream",
    "RMSprop",
    "RateSearch",
    "ReliabilityDisplay",
    "ReduceOnPlateau",
    "Rprop",
    "SGD",
    "SWA",
    "Schedule",
    "SomeFailed",
    "StepDecay",
    "Summary",
    "TabularClassifier",
    "TabularRegressor",
    "Term",
    "TorchFunction",
    "Trace",
    "TrainingDiverged",
    "TrainingView",
    "WeightHistogramDisplay",
    "WeightImageDisplay",
    "WrongGradient",
    "available_backends",
    "check_gradients",
    "compare_backends",
    "find_learning_rate",
    "fit_many",
    "fit_residual",
    "input_jacobian",
    "integrated_gradients",
    "levenberg_marquardt",
    "load",
    "save",
    "to_c",
    "torch_function",
]


# Public names that are imported when they are first asked for, and the module that has them.
_LATER = {
    "ActivationHistogramDisplay": "plots",
    "BackendComparisonDisplay": "plots",
    "DecisionBoundaryDisplay": "plots",
    "Equations": "network.equations",
    "HealthDisplay": "plots",
    "IntervalDisplay": "plots",
    "LearningCurveDisplay": "plots",
    "MLPClassifier": "estimators.mlp",
    "MLPEnsembleClassifier": "estimators.ensembles",
    "MLPEnsembleRegressor": "estimators.ensembles",
    "MLPRegressor": "estimators.mlp",
    "MLPSearchCV": "estimators.search",
    "NetworkGraphDisplay": "plots",
    "ReliabilityDisplay": "plots",
    "RooflineDisplay": "plots",
    "Node": "network.trace",
    "Summary": "network.summary",
    "TabularClassifier": "tabular.estimators",
    "TabularRegressor": "tabular.estimators",
    "Term": "network.trace",
    "Trace": "network.trace",
    "TrainingView": "plots.notebook",
    "WeightHistogramDisplay": "plots",
    "WeightImageDisplay": "plots",
    "input_jacobian": "estimators.derivatives",
    "integrated_gradients": "estimators.derivatives",
    "load": "persistence.models",
    "save": "persistence.models",
    "to_c": "estimators.to_c",
}


if not TYPE_CHECKING:  # a type checker that saw this would take any name for a public one

    def __getattr__(name):
        """The names that are imported when they are first asked for."""
        if name in _LATER:
            return getattr(import_module(f".{_LATER[name]}", __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "__version__", "backends", "exchange"})

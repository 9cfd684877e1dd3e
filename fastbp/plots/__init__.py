"""Pictures, as Display classes in scikit-learn's convention; they need matplotlib.

Each is made by a ``from_...`` method, which draws it, and keeps the axes in ``ax_`` and the figure
in ``figure_``; ``plot(ax=)`` draws it again elsewhere.
"""

from .boundary import DecisionBoundaryDisplay
from .curves import HealthDisplay, LearningCurveDisplay, WeightHistogramDisplay
from .graph import NetworkGraphDisplay
from .speed import BackendComparisonDisplay, RooflineDisplay

__all__ = [
    "BackendComparisonDisplay",
    "DecisionBoundaryDisplay",
    "HealthDisplay",
    "LearningCurveDisplay",
    "NetworkGraphDisplay",
    "RooflineDisplay",
    "WeightHistogramDisplay",
]

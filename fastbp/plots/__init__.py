"""Plots, as Display classes that follow scikit-learn's convention; they require matplotlib.

A ``from_...`` class method creates a display and draws it. The display keeps the axes in ``ax_``
and the figure in ``figure_``. ``plot(ax=)`` draws it again on other axes.
"""

from .boundary import DecisionBoundaryDisplay
from .comparison import BackendComparisonDisplay
from .curves import HealthDisplay, LearningCurveDisplay
from .graph import NetworkGraphDisplay
from .images import WeightImageDisplay
from .intervals import IntervalDisplay
from .layers import ActivationHistogramDisplay, WeightHistogramDisplay
from .reliability import ReliabilityDisplay
from .speed import RooflineDisplay

__all__ = [
    "ActivationHistogramDisplay",
    "BackendComparisonDisplay",
    "DecisionBoundaryDisplay",
    "HealthDisplay",
    "IntervalDisplay",
    "LearningCurveDisplay",
    "NetworkGraphDisplay",
    "ReliabilityDisplay",
    "RooflineDisplay",
    "WeightHistogramDisplay",
    "WeightImageDisplay",
]

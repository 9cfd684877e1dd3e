"""Plot of how often predictions come true, against the probability that the model gave them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from . import colors, models
from .common import Display, axes_for, legend_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats

NORMAL_95 = 1.959963984540054  # the normal distribution has 95 % of its mass within ± this


class ReliabilityDisplay(Display):
    """Reliability diagram: how often predictions come true, by the probability they were given.

    With two classes, the probability is that of the second one. With more, it is the confidence,
    the probability of the most probable class. Points on the diagonal are calibrated: of the
    predictions with a probability of 0.8, 80 % come true. Vertical lines are 95 % intervals
    (Wilson's) for the observed frequencies, bars the shares of all samples.

    The legend tells the expected calibration error (ECE), ``Σ_b n_b/n |o_b - p_b|`` over the
    bins b, with the observed frequency o_b and the mean probability p_b of a bin's n_b samples.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples,)
        Probability that the model gives to each prediction.
    came_true : ndarray of bool of shape (n_samples,)
        Whether it came true.
    n_bins : int, default=10
        Number of bins of equal width in [0, 1].
    name : str, optional
        Name of the model for the legend.
    label : str, default="confidence in the predicted class"
        What the probabilities are.

    Attributes
    ----------
    counts : ndarray of shape (n_bins,)
        Number of samples in each bin; the others have values for bins with samples only.
    prob_pred, prob_true : ndarray
        Mean probability and observed frequency of each bin with samples.
    intervals : ndarray of shape (n, 2)
        Bounds of the 95 % interval of each observed frequency.
    calibration_error : float
        The expected calibration error.

    See Also
    --------
    sklearn.calibration.CalibrationDisplay : The same points for two classes, without intervals.
    sklearn.metrics.PredictionErrorDisplay : Residuals of a regression.

    References
    ----------
    Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
    Wilson, "Probable inference, the law of succession, and statistical inference", Journal of the
    American Statistical Association 22, 1927.

    Examples
    --------
    >>> import fastbp
    >>> display = fastbp.ReliabilityDisplay.from_predictions(
    ...     [0, 1, 1, 0, 1], [0.1, 0.8, 0.9, 0.3, 0.7], n_bins=2
    ... )
    >>> display.counts.tolist(), display.prob_true.tolist()
    ([2, 3], [0.0, 1.0])
    """

    def __init__(
        self,
        probabilities: Floats,
        came_true: ArrayLike,
        *,
        n_bins: int = 10,
        name: str | None = None,
        label: str = "confidence in the predicted class",
    ) -> None:
        n_bins = checks.whole_number("n_bins", n_bins, 1, 10_000)
        self.probabilities, self.came_true = np.asarray(probabilities), np.asarray(came_true)
        self.n_bins, self.name, self.label = n_bins, name, label
        p = self.probabilities.astype(np.float64)
        bins = np.minimum((p * n_bins).astype(np.int64), n_bins - 1)
        self.counts = np.bincount(bins, minlength=n_bins)
        some = self.counts > 0
        n = self.counts[some]
        self.prob_pred = np.bincount(bins, p, n_bins)[some] / n
        self.prob_true = np.bincount(bins, self.came_true, n_bins)[some] / n
        self.intervals = _wilson(self.prob_true, n)
        self.calibration_error = float(n @ np.abs(self.prob_true - self.prob_pred) / n.sum())

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        n_bins: int = 10,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Create and draw the display of a network or fitted classifier.

        Parameters
        ----------
        estimator : Network, classifier or Pipeline
            A Network with softmax outputs or one sigmoid output, or any fitted classifier with
            ``predict_proba``.
        X : array-like of shape (n_samples, n_features)
            Samples that were not used for training.
        y : array-like of shape (n_samples,)
            Their classes.
        n_bins : int, default=10
            Number of bins of equal width in [0, 1].
        name : str, optional
            Name of the model for the legend, to compare models on the same axes.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        TypeError
            If the estimator is no model.
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ValueError
            If the model does not predict probabilities of classes, or does not know a label in y.
        """
        classes = models.classes_of(estimator)
        if classes is None:
            raise ValueError(
                "reliability needs a model that predicts probabilities of classes; for the "
                "residuals of a regression use sklearn.metrics.PredictionErrorDisplay"
            )
        found = models.probabilities(estimator, X)
        classes, labels = models.class_indices(estimator, classes, y, len(found))
        return cls._of(found, labels, models.class_names(classes), n_bins, name, ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        probabilities: ArrayLike,
        *,
        classes: Sequence[Any] | None = None,
        n_bins: int = 10,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Create and draw the display of probabilities that were predicted elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            The classes of the samples.
        probabilities : array-like of shape (n_samples,) or (n_samples, n_classes)
            Probability of the second of two classes, or of each class.
        classes : sequence, optional
            The classes in the order of the columns; by default 0, 1, ...
        n_bins : int, default=10
            Number of bins of equal width in [0, 1].
        name : str, optional
            Name of the model for the legend, to compare models on the same axes.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        ReliabilityDisplay

        Raises
        ------
        ValueError
            If these are no probabilities, or y_true has a label that is no class.
        """
        found = checks.real_numbers("probabilities", probabilities).astype(np.float64)
        if found.ndim == 1:
            found = np.column_stack([1 - found, found])
        if found.ndim != 2 or found.shape[1] < 2 or not len(found):
            raise ValueError(
                "probabilities must have shape (n_samples,) or (n_samples, n_classes), got "
                f"{np.shape(probabilities)}"
            )
        if not np.isfinite(found).all():
            raise ValueError(f"{checks.not_finite('probabilities', found)}; all must be finite")
        if found.min() < 0 or found.max() > 1 or np.abs(found.sum(axis=1) - 1).max() > 1e-3:
            raise ValueError(
                "probabilities must be in [0, 1], and those of a sample's classes must sum to 1"
            )
        known = np.arange(found.shape[1]) if classes is None else np.asarray(classes)
        if known.shape != (found.shape[1],):
            raise ValueError(
                f"classes must name the {found.shape[1]} columns of probabilities, got {classes!r}"
            )
        known, labels = models.class_indices(None, known, y_true, len(found))
        return cls._of(found, labels, models.class_names(known), n_bins, name, ax)

    @classmethod
    def _of(cls, found, labels, names, n_bins, name, ax):
        """Create and draw the display of the probabilities of all classes."""
        if found.shape[1] == 2:
            label, came_true = f"P({names[1]})", labels == 1
            return cls(found[:, 1], came_true, n_bins=n_bins, name=name, label=label).plot(ax=ax)
        came_true = found.argmax(axis=1) == labels
        return cls(found.max(axis=1), came_true, n_bins=n_bins, name=name).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on, also beside another model; new ones by default.

        Returns
        -------
        ReliabilityDisplay
        """
        ax = axes_for(ax)
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        color, ink = colors.unused(ax), colors.mixed(ax, colors.ink(ax), 0.6)
        legend = ax.get_legend()  # of the models that are on the axes already
        handles: list[Any] = list(legend.legend_handles) if legend else []
        if not handles:
            ax.plot([0, 1], [0, 1], color=ink, ls="--", lw=1, label="_calibrated", zorder=1)
            handles.append(Line2D([], [], color=ink, ls="--", lw=1, label="calibrated"))
        edges = np.linspace(0, 1, self.n_bins + 1)
        shares = self.counts / self.counts.sum()
        ax.stairs(shares, edges, fill=True, color=color, alpha=0.25, zorder=0)
        reach = np.abs(self.intervals.T - self.prob_true)
        look: dict[str, Any] = {"fmt": "o-", "color": color, "lw": 1.5, "ms": 5, "capsize": 2}
        ax.errorbar(self.prob_pred, self.prob_true, reach, **look)
        text = f"{self.name or 'observed'}, ECE {self.calibration_error:.3f}"
        handles.append(Line2D([], [], color=color, marker="o", label=text))
        if not legend:
            pale = colors.mixed(ax, colors.ink(ax), 0.25)
            handles.insert(1, Patch(color=pale, label="share of the samples"))
        ax.set(xlabel=self.label, ylabel="observed frequency", title="Reliability")
        ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        legend_below(ax, handles)
        return self._drawn(ax)


def _wilson(share, n):
    """Return Wilson's 95 % intervals for observed shares of n trials, of shape (n_shares, 2)."""
    z = NORMAL_95
    middle = share + z * z / (2 * n)
    reach = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return np.column_stack([middle - reach, middle + reach]) / (1 + z * z / n)[:, None]

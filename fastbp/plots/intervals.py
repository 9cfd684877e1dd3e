"""Plot of a regression's intervals, with the values that they hold and those that they miss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..engine import conformal
from . import colors, models
from .common import Display, axes_for, legend_below

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats


class IntervalDisplay(Display):
    """Intervals of predictions and the observed values, with the share that is covered.

    With one feature, intervals are drawn over the feature. With several, samples stand side by
    side, sorted by their predictions. Values outside of the widest interval are drawn in another
    colour.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        The observed values.
    y_pred : ndarray of shape (n_samples,)
        The predictions.
    intervals : ndarray of shape (n_coverages, n_samples, 2)
        Lower and upper bounds.
    coverages : sequence of float
        The share of values that each of the intervals shall hold.
    x : ndarray of shape (n_samples,), optional
        What to draw over; None for samples sorted by their predictions.
    name : str, optional
        Name of the model for the title.
    labels : (str, str), optional
        Names of x and y.

    Attributes
    ----------
    covered : list of float
        The share of the observed values that each of the intervals holds.
    widths : list of float
        The mean width of the intervals.

    See Also
    --------
    ReliabilityDisplay : The same question for probabilities of classes.
    sklearn.metrics.PredictionErrorDisplay : Residuals of a regression.

    Examples
    --------
    >>> import fastbp
    >>> display = fastbp.IntervalDisplay.from_predictions(
    ...     [1.0, 2.0, 9.0], [[0, 2], [1, 3], [2, 4]], coverage=0.8
    ... )
    >>> [round(share, 2) for share in display.covered], display.widths
    ([0.67], [2.0])
    """

    def __init__(
        self,
        y: Floats,
        y_pred: Floats,
        intervals: Floats,
        coverages: Sequence[float],
        *,
        x: Floats | None = None,
        name: str | None = None,
        labels: tuple[str, str] = ("x", "y"),
    ) -> None:
        order = np.argsort(coverages)[::-1]  # narrow ones are drawn on top
        self.y, self.y_pred = np.asarray(y), np.asarray(y_pred)
        self.intervals = np.asarray(intervals)[order]
        self.coverages = [float(coverages[k]) for k in order]
        self.x, self.name, self.labels = x, name, labels
        low, high = np.moveaxis(self.intervals, 2, 0)
        self.covered = ((low <= self.y) & (self.y <= high)).mean(axis=1).tolist()
        self.widths = (high - low).mean(axis=1).tolist()

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike,
        *,
        coverage: float | Sequence[float] = (0.5, 0.9),
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Create and draw the display of a model that predicts intervals or distributions.

        Parameters
        ----------
        estimator : Network, regressor or Pipeline
            A calibrated model, whose intervals are those of its ``predict_interval``; or one that
            predicts distributions, of which the central intervals are drawn.
        X : array-like of shape (n_samples, n_features)
            Samples that were used neither for training nor for `Network.calibrate`.
        y : array-like of shape (n_samples,)
            Their values.
        coverage : float or sequence of float, default=(0.5, 0.9)
            The share of values that an interval shall hold; each is drawn.
        name : str, optional
            Name of the model for the title.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        IntervalDisplay

        Raises
        ------
        TypeError
            If the model has no ``predict_interval``.
        ValueError
            If it is neither calibrated nor predicts distributions, or has several outputs.
        """
        step = models.last_step(estimator)
        if not hasattr(step, "predict_interval"):
            raise TypeError(
                "intervals are drawn of a Network, an MLPRegressor, their ensembles or a Pipeline "
                f"that ends in one, got {type(step).__name__}"
            )
        inputs = models.prepared(estimator, X)
        y_pred = models.predictions(step, inputs)
        coverages = _checked(coverage)
        if getattr(step, "_calibration", None) is None and hasattr(step, "calibrate"):
            ends = np.array([[(1 - c) / 2, (1 + c) / 2] for c in coverages])
            found = step.predict_quantiles(inputs, ends.ravel())
            intervals = np.moveaxis(found.reshape(len(found), -1, 2), 1, 0)
        else:
            intervals = np.stack([step.predict_interval(inputs, c) for c in coverages])
        (x_label,) = models.feature_names(models.fitted_pipeline(estimator), X, 1)[:1]
        labels = x_label, str(getattr(y, "name", None) or "y")
        known, samples = models.quantity(y, len(y_pred)), np.asarray(X)
        alone = samples.shape[1:] == (1,) and samples.dtype.kind in "fiu"
        x = samples[:, 0] if alone else None
        made = cls(known, y_pred, intervals, coverages, x=x, name=name, labels=labels)
        return made.plot(ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        intervals: ArrayLike,
        *,
        y_pred: ArrayLike | None = None,
        x: ArrayLike | None = None,
        coverage: float | Sequence[float] = 0.9,
        name: str | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Create and draw the display of intervals that were predicted elsewhere.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            The observed values.
        intervals : array-like of shape (n_samples, 2) or (n_coverages, n_samples, 2)
            Lower and upper bounds.
        y_pred : array-like of shape (n_samples,), optional
            The predictions; by default the middles of the first intervals.
        x : array-like of shape (n_samples,), optional
            What to draw over; by default samples are sorted by their predictions.
        coverage : float or sequence of float, default=0.9
            The share of values that the intervals shall hold, one for each of the intervals.
        name : str, optional
            Name of the model for the title.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        IntervalDisplay

        Raises
        ------
        ValueError
            If shapes do not fit, or lower bounds lie above upper ones.
        """
        bounds = np.asarray(intervals, np.float64)
        coverages = _checked(coverage)
        bounds = bounds[None] if bounds.ndim == 2 else bounds
        n = bounds.shape[1] if bounds.ndim == 3 else 0
        if bounds.shape != (len(coverages), n, 2) or not n:
            raise ValueError(
                "intervals must have shape (n_samples, 2), or (n_coverages, n_samples, 2) with as "
                f"many entries in coverage, got {np.shape(intervals)} and {len(coverages)}"
            )
        if not (bounds[..., 0] <= bounds[..., 1]).all():
            raise ValueError("intervals have lower bounds that are NaN or above the upper ones")
        y = models.quantity(y_true, n)
        middles = bounds[0].mean(axis=1) if y_pred is None else models.quantity(y_pred, n)
        x = None if x is None else models.quantity(x, n)
        return cls(y, middles, bounds, coverages, x=x, name=name).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        IntervalDisplay
        """
        ax = axes_for(ax)
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        color, *others = colors.cycle(ax)
        missed_color = others[0] if others else colors.ink(ax)
        order = np.argsort(self.y_pred if self.x is None else self.x, kind="stable")
        x = np.arange(len(order)) if self.x is None else self.x[order]
        handles: list[Any] = []
        shades = np.linspace(0.2, 0.45, len(self.coverages)) if len(self.coverages) > 1 else [0.3]
        for bounds, coverage, covered, shade in zip(
            self.intervals, self.coverages, self.covered, shades, strict=True
        ):
            face = colors.mixed(ax, color, shade)
            low, high = _drawable(bounds[order], self.y)
            ax.fill_between(x, low, high, color=face, lw=0, step="mid" if self.x is None else None)
            text = f"{100 * coverage:g} % interval, holds {100 * covered:.1f} %"
            handles.append(Patch(color=face, label=text))
        ax.plot(x, self.y_pred[order], color=color, lw=1.5)
        handles.append(Line2D([], [], color=color, lw=1.5, label="prediction"))
        y, (low, high) = self.y[order], self.intervals[0][order].T
        inside = (low <= y) & (y <= high)
        dots: dict[str, Any] = {"ls": "", "marker": ".", "ms": 4 if len(y) > 300 else 6}
        for rows, ink, label in (
            (inside, colors.mixed(ax, colors.ink(ax), 0.75), "observed"),
            (~inside, missed_color, "observed outside"),
        ):
            ax.plot(x[rows], y[rows], color=ink, **dots)
            handles.append(Line2D([], [], color=ink, label=label, **dots))
        x_label = "samples, sorted by prediction" if self.x is None else self.labels[0]
        title = f"Intervals of {self.name}" if self.name else "Intervals of predictions"
        ax.set(xlabel=x_label, ylabel=self.labels[1], title=title)
        legend_below(ax, handles)
        return self._drawn(ax)


def _checked(coverage):
    """Return coverages as a list of floats in (0, 1)."""
    several = coverage if np.ndim(coverage) else [coverage]
    if not len(several):
        raise ValueError("coverage is empty; pass the share that intervals shall hold, such as 0.9")
    return [conformal.check_coverage(each) for each in several]


def _drawable(bounds, y):
    """Return bounds with infinite ones replaced by some beyond the observed values."""
    reach = 2 * (np.ptp(y) or 1.0)
    return np.clip(bounds, y.min() - reach, y.max() + reach).T

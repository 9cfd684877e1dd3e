"""Plot of a model's output over the plane of two features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from . import colors, models
from .common import Display, axes_for, legend_below, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats

# At most so many hidden units are shown; the lines of more would cover the data.
MOST_UNITS = 8
MARKERS = "osD^v<>pP*Xh"


class DecisionBoundaryDisplay(Display):
    """Plot of a model's output over the plane of two features, with hidden units as lines.

    Two classes are drawn as the probability of the second one, with the boundary at ½; more
    classes as the regions where each is the most probable; a regression as one colour scale,
    which the samples share. Dashed lines show where hidden units of the first layer have s = 0.

    Parameters
    ----------
    x_0, x_1 : ndarray of shape (k, k)
        Coordinates of the grid points.
    response : ndarray of shape (k, k)
        At each grid point the predicted quantity; with two classes the probability of the second
        one; with more the index of the most probable class.
    classes : sequence of str, optional
        Names of the classes; None for a regression.
    units : ndarray of shape (n_shown, k, k), optional
        s of hidden units at the grid points.
    n_units : int, default=0
        Number of units in the first hidden layer, of which `units` may be a part.
    X : ndarray of shape (n_samples, 2), optional
        Samples to draw.
    y : ndarray of shape (n_samples,), optional
        Their targets: numbers, or with classes the index of each sample's class.
    names : (str, str, str), optional
        Names of the two features and of the predicted quantity.

    See Also
    --------
    sklearn.inspection.DecisionBoundaryDisplay : Without the hidden units, for any estimator.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 3, 1], loss="log_loss", seed=0)
    >>> display = fastbp.DecisionBoundaryDisplay.from_estimator(
    ...     net, [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    ... )
    >>> display.ax_.get_xlabel(), display.response.shape
    ('feature 0', (200, 200))
    """

    def __init__(
        self,
        x_0: Floats,
        x_1: Floats,
        response: NDArray[Any],
        *,
        classes: Sequence[str] | None = None,
        units: Floats | None = None,
        n_units: int = 0,
        X: Floats | None = None,
        y: NDArray[Any] | None = None,
        names: Sequence[str] = ("feature 0", "feature 1", "prediction"),
    ) -> None:
        self.x_0, self.x_1, self.response = x_0, x_1, response
        self.classes, self.names = classes if classes is None else list(classes), list(names)
        self.units = np.empty((0, *x_0.shape)) if units is None else units
        self.n_units, self.X, self.y = n_units, X, y
        if y is not None and X is None:
            raise ValueError("y has the targets of the samples X, so pass X, too")

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        y: ArrayLike | None = None,
        *,
        grid_resolution: int = 200,
        margin: float = 0.1,
        ax: Axes | None = None,
    ) -> Self:
        """Create and draw the display of a network or fitted estimator with two features.

        Parameters
        ----------
        estimator : Network, estimator or Pipeline
            Fitted to two features. Of a Pipeline the features are those of its first step.
        X : array-like or DataFrame of shape (n_samples, 2)
            Samples to draw. Their range determines the plotted area. Columns give the axes their
            names.
        y : array-like of shape (n_samples,), optional
            Targets of the samples.
        grid_resolution : int, default=200
            Number of grid points along each feature, at most 10000.
        margin : float, default=0.1
            Width of the margin around the samples, relative to their range.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        DecisionBoundaryDisplay

        Raises
        ------
        TypeError
            If the estimator is no model.
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ValueError
            If it does not have two features, predicts several quantities or several labels, or
            does not know a label in y.
        """
        classes = models.classes_of(estimator)
        last = models.last_step(estimator)
        n_features = (
            last.layout.n_features
            if hasattr(last, "layout")
            else getattr(models.fitted_pipeline(estimator), "n_features_in_", 2)
        )
        if n_features != 2:
            raise ValueError(
                f"a decision boundary needs 2 features, but the model has {n_features}"
            )
        resolution = checks.whole_number("grid_resolution", grid_resolution, 2, 10_000)
        margin = checks.real_number("margin", margin)
        points = checks.samples(X, 2, np.dtype(np.float64))
        low, high = points.min(axis=0), points.max(axis=0)
        room = margin * np.where(high > low, high - low, 1)
        sides = [np.linspace(low[k] - room[k], high[k] + room[k], resolution) for k in range(2)]
        x_0, x_1 = np.meshgrid(*sides)
        grid = models.like(X, np.column_stack([x_0.ravel(), x_1.ravel()]))
        names, labels = None, None
        if classes is None:
            response = models.predictions(estimator, grid)
            labels = None if y is None else models.quantity(y, len(points))
        else:
            response = models.probabilities(estimator, grid)
            response = response[:, 1] if len(classes) == 2 else response.argmax(axis=1)
            if y is not None:
                classes, labels = models.class_indices(estimator, classes, y, len(points))
            names = models.class_names(classes)
        units, n_units = _first_layer(estimator, grid)
        return cls(
            x_0,
            x_1,
            response.reshape(x_0.shape),
            classes=names,
            units=units.reshape(-1, *x_0.shape),
            n_units=n_units,
            X=points,
            y=labels,
            names=[*models.feature_names(estimator, X, 2), getattr(y, "name", "") or "prediction"],
        ).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw the display.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        DecisionBoundaryDisplay
        """
        ax = axes_for(ax)
        self._marker = 26 * min(1.0, size_of(ax)[0] / 330)  # area, smaller in small pictures
        if self.classes is None:
            handles = self._draw_regression(ax)
        else:
            handles = self._draw_classes(ax, self.classes)
        handles += self._draw_units(ax)
        ax.set(xlabel=self.names[0], ylabel=self.names[1])
        ax.set_title("Prediction" if self.classes is None else "Decision boundary")
        ax.set_xlim(self.x_0.min(), self.x_0.max())
        ax.set_ylim(self.x_1.min(), self.x_1.max())
        if handles:
            legend_below(ax, handles)
        return self._drawn(ax)

    def _draw_regression(self, ax):
        """Draw the prediction and the samples on one colour scale."""
        from matplotlib import rcParams
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize
        from matplotlib.ticker import MaxNLocator

        values = self.response if self.y is None else np.append(self.response, self.y)
        low, high = float(np.min(values)), float(np.max(values))
        if low == high:  # a constant: contours need a range
            low, high = low - 0.5 * max(abs(low), 1), high + 0.5 * max(abs(high), 1)
        norm = Normalize(low, high)
        levels = MaxNLocator(16).tick_values(low, high)
        ax.contourf(self.x_0, self.x_1, self.response, levels, norm=norm)
        if self.X is not None and self.y is not None:
            edge: dict[str, Any] = {"edgecolor": [colors.ground(ax)], "linewidth": 0.8}
            ax.scatter(*self.X.T, c=self.y, norm=norm, s=self._marker, zorder=3, **edge)
        else:
            self._draw_unlabelled(ax)
        bar = ScalarMappable(norm, rcParams["image.cmap"])
        ax.figure.colorbar(bar, ax=ax, label=self.names[2])
        return []

    def _draw_classes(self, ax, names):
        """Draw regions, boundary and samples; return the handles of a legend."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import ListedColormap, Normalize
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch

        palette = colors.of_classes(ax, len(names))
        pale = [colors.mixed(ax, color, 0.35) for color in palette]
        handles: list[Any] = []
        if len(names) == 2:
            low, high = (colors.mixed(ax, color, 0.6) for color in palette)
            shades = colors.between(low, tuple(colors.ground(ax)), high)
            levels = np.linspace(0, 1, 11)
            ax.contourf(self.x_0, self.x_1, self.response, levels, cmap=shades)
            bar = ScalarMappable(Normalize(0, 1), shades)
            ax.figure.colorbar(bar, ax=ax, label=f"P({names[1]})")
            if self.response.min() < 0.5 < self.response.max():
                line: dict[str, Any] = {"colors": [colors.ink(ax)], "linewidths": 2}
                ax.contour(self.x_0, self.x_1, self.response, [0.5], **line)
            handles.append(Line2D([], [], color=colors.ink(ax), lw=2, label=f"P({names[1]}) = ½"))
        else:
            edges = np.arange(len(names) + 1) - 0.5
            shades = ListedColormap(pale)
            ax.contourf(self.x_0, self.x_1, self.response, edges, cmap=shades)
        if self.y is None:
            self._draw_unlabelled(ax)
        for k, name in enumerate(names):
            if self.X is None or self.y is None:
                handles.append(Patch(color=pale[k], label=name))
                continue
            dots: dict[str, Any] = {
                "color": [palette[k]],
                "marker": MARKERS[k % len(MARKERS)],
                "label": name,
            }
            edge: dict[str, Any] = {"edgecolor": [colors.ground(ax)], "linewidth": 0.6}
            handles.append(
                ax.scatter(*self.X[self.y == k].T, s=self._marker, zorder=3, **dots, **edge)
            )
        return handles

    def _draw_unlabelled(self, ax):
        """Draw samples without targets as circles."""
        if self.X is not None:
            look: dict[str, Any] = {
                "color": "none",
                "edgecolor": [colors.ink(ax)],
                "linewidth": 0.8,
            }
            ax.scatter(*self.X.T, s=self._marker, zorder=3, **look)

    def _draw_units(self, ax):
        """Draw where s = 0 of each unit; return the handles of a legend."""
        from matplotlib.lines import Line2D

        if not len(self.units):
            return []
        look: dict[str, Any] = {"linewidth": 1, "linestyle": "--", "alpha": 0.7}
        for s in self.units:
            lines = ax.contour(self.x_0, self.x_1, s, [0], colors=[colors.ink(ax)])
            lines.set(**look)
        n, shown = self.n_units, len(self.units)
        label = "s = 0 of hidden units" if n == shown else f"s = 0 ({shown} of {n} units)"
        return [Line2D([], [], color=colors.ink(ax), **look, label=label)]


def _first_layer(model, grid):
    """Return s of the first hidden layer's strongest units at the grid points, and its size.

    A unit is as strong as its weights are large, incoming times outgoing ones. Those whose s does
    not change its sign on the grid are left out. Behind a normalisation, s is not what counts.
    """
    try:
        network = models.network_of(model)
    except TypeError:  # such as an ensemble
        return np.empty((0, len(grid))), 0
    # A unit of the output layer is no hidden unit.
    if len(network.weights) == 1 or network.layout.norm is not None:
        return np.empty((0, len(grid))), 0
    inputs = np.asarray(models.prepared(model, grid), np.float64)
    # In float64, since squares may overflow in float32.
    W, out = (network.weights[i].astype(np.float64) for i in range(2))
    b = network.biases[0]
    strengths = np.linalg.norm(W, axis=0) * np.linalg.norm(out, axis=1)
    found: list[Floats] = []
    for unit in np.argsort(-strengths, kind="stable"):
        s = inputs @ W[:, unit] + b[unit]
        if s.min() < 0 < s.max():
            found.append(s)
        if len(found) == MOST_UNITS:
            break
    return np.array(found).reshape(len(found), len(grid)), W.shape[1]

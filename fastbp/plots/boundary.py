"""Plot of a network's output over the plane of two features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from .common import COLORS, Display, axes_for, legend_below, network_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats


class DecisionBoundaryDisplay(Display):
    """Plot of the output over the plane of two features, with the first layer's units as lines.

    Parameters
    ----------
    x_0, x_1 : ndarray of shape (k, k)
        Coordinates of the grid points.
    response : ndarray of shape (k, k)
        The network's output at the grid points; with several outputs, the most probable class.
    lines : ndarray of shape (n_units, 3)
        a, b and c of each unit's line a x_0 + b x_1 + c = 0, where its s is 0; n_units may be 0.
    n_classes : int
        Number of classes; 1 if the response is a single output.
    X, y : ndarray or None
        Samples to draw, and their labels.
    """

    def __init__(
        self,
        x_0: Floats,
        x_1: Floats,
        response: NDArray[Any],
        lines: Floats,
        n_classes: int,
        X: Floats | None = None,
        y: NDArray[Any] | None = None,
    ) -> None:
        self.x_0, self.x_1, self.response = x_0, x_1, response
        self.lines, self.n_classes, self.X, self.y = lines, n_classes, X, y

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
        estimator : Network, MLPClassifier or MLPRegressor
        X : array-like of shape (n_samples, 2)
            Samples to draw. Their range determines the plotted area.
        y : array-like of shape (n_samples,), optional
            Labels of the samples.
        grid_resolution : int, default=200
            Number of grid points along each feature.
        margin : float, default=0.1
            Width of the margin around the samples, relative to their range.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        DecisionBoundaryDisplay
        """
        network = network_of(estimator)
        if network.layout.sizes[0] != 2:
            raise ValueError(
                "a decision boundary needs 2 features, but the network has "
                f"{network.layout.sizes[0]}"
            )
        resolution = checks.whole_number("grid_resolution", grid_resolution, 2)
        margin = checks.real_number("margin", margin)
        points = checks.samples(X, 2, np.dtype(np.float64))
        low, high = points.min(axis=0), points.max(axis=0)
        room = margin * np.where(high > low, high - low, 1)
        sides = [np.linspace(low[k] - room[k], high[k] + room[k], resolution) for k in range(2)]
        x_0, x_1 = np.meshgrid(*sides)
        h = network.predict(np.column_stack([x_0.ravel(), x_1.ravel()]))
        several = h.shape[1] > 1
        response = (h.argmax(axis=1) if several else h[:, 0]).reshape(x_0.shape)
        lines = np.column_stack([network.weights[0].T, network.biases[0]])
        if len(network.weights) == 1:
            lines = lines[:0]  # a unit of the output layer is no hidden unit
        labels = None if y is None else np.unique(np.ravel(y), return_inverse=True)[1]
        n_classes = h.shape[1] if several else 1
        return cls(x_0, x_1, response, lines, n_classes, points, labels).plot(ax=ax)

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
        from matplotlib.colors import ListedColormap

        ax = axes_for(ax)
        if self.n_classes == 1:
            probability = self.response.min() >= 0 and self.response.max() <= 1
            levels = np.linspace(0, 1, 11) if probability else 12
            filled = ax.contourf(
                self.x_0, self.x_1, self.response, levels, cmap="PuOr_r", alpha=0.6
            )
            ax.figure.colorbar(filled, ax=ax, label="output h")
            if probability:
                ax.contour(self.x_0, self.x_1, self.response, [0.5], colors="black", linewidths=2.5)
                ax.plot([], [], color="black", linewidth=2.5, label="h = 0.5")
        else:
            colors = ListedColormap([COLORS[k % len(COLORS)] for k in range(self.n_classes)])
            edges = np.arange(self.n_classes + 1) - 0.5
            ax.contourf(self.x_0, self.x_1, self.response, edges, cmap=colors, alpha=0.35)
        self._draw_lines(ax)
        if self.X is not None:
            self._draw_samples(ax, self.X)
        ax.set(xlabel="feature 0", ylabel="feature 1", title="Decision boundary")
        ax.set_xlim(self.x_0.min(), self.x_0.max())
        ax.set_ylim(self.x_1.min(), self.x_1.max())
        if ax.get_legend_handles_labels()[0]:
            legend_below(ax, ax.get_legend_handles_labels()[0])
        return self._drawn(ax)

    def _draw_lines(self, ax):
        """Draw the line s = 0 of each unit, long enough to cross the whole plot."""
        reach = 2 * np.hypot(np.ptp(self.x_0), np.ptp(self.x_1))
        middle = np.array([self.x_0.mean(), self.x_1.mean()])
        for k, (a, b, c) in enumerate(self.lines):
            size = np.hypot(a, b)
            if size == 0:
                continue
            normal = np.array([a, b]) / size
            foot = middle - (middle @ normal + c / size) * normal
            ends = np.outer([-reach, reach], [-normal[1], normal[0]]) + foot
            label = "s = 0 of hidden units" if k == 0 else None
            ax.plot(*ends.T, color="0.25", linewidth=1, linestyle="--", label=label)

    def _draw_samples(self, ax, X):
        markers = "osD^v<>p"
        labels = np.zeros(len(X), int) if self.y is None else self.y
        for k in np.unique(labels):
            color = COLORS[k % len(COLORS)]
            if self.n_classes == 1:  # darker versions of the colour map's ends
                color = {0: "#2d004b", 1: "#7f3b08"}.get(int(k), color)
            ax.scatter(
                *X[labels == k].T,
                s=22,
                color=color,
                marker=markers[k % len(markers)],
                edgecolor="white",
                linewidth=0.6,
                label=None if self.y is None else f"class {k}",
                zorder=3,
            )

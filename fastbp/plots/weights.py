"""Plots of weights: their distribution in each layer, and those of image-like inputs as images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from . import colors, models
from .common import Display, axes_for, bare, points, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from ..basis.annotations import Floats

# The most units whose weights are drawn as images if the user names none.
MOST_IMAGES = 64


class WeightHistogramDisplay(Display):
    """Histograms of the weights, one below the other for the layers, on the same scale.

    Each layer's density is drawn as high as its row. The root mean square of its weights stands
    beside it.

    Parameters
    ----------
    weights : list of ndarray
        Weights of each layer.
    bins : int, default=40
        Number of bins.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([4, 8, 2], loss="squared_error", seed=0)
    >>> display = fastbp.WeightHistogramDisplay.from_estimator(net)
    >>> [text.get_text() for text in display.ax_.texts]
    ['RMS 0.76', 'RMS 0.37']
    """

    def __init__(self, weights: Sequence[Floats], bins: int = 40) -> None:
        self.weights, self.bins = list(weights), checks.whole_number("bins", bins)

    @classmethod
    def from_estimator(cls, estimator: Any, *, bins: int = 40, ax: Axes | None = None) -> Self:
        """Create and draw the display of a network or fitted estimator.

        Parameters
        ----------
        estimator : Network, MLPClassifier, MLPRegressor or Pipeline
            Of a Pipeline or a search, its last step.
        bins : int, default=40
            Number of bins.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        WeightHistogramDisplay
        """
        return cls([W.copy() for W in models.network_of(estimator).weights], bins).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        WeightHistogramDisplay
        """
        ax = axes_for(ax)
        m = len(self.weights)
        largest = max(float(np.abs(W).max()) for W in self.weights) or 1.0
        edges = np.linspace(-largest, largest, self.bins + 1)
        shades = colors.of_layers(ax, m)
        room = size_of(ax)[1] / m  # of a row, in points
        font = min(points(ax.yaxis.label), 0.7 * room)
        for i, (W, shade) in enumerate(zip(self.weights, shades, strict=True)):
            density, _ = np.histogram(W, edges, density=True)
            heights = 0.85 * density / density.max()
            row = m - 1 - i  # the first layer on top
            look: dict[str, Any] = {
                "facecolor": (*shade[:3], 0.6),
                "edgecolor": shade,
                "linewidth": 1.2,
            }
            ax.stairs(row + heights, edges, baseline=row, fill=True, **look)
            size = np.sqrt(np.mean(np.square(W, dtype=np.float64)))
            ax.annotate(
                f"RMS {size:.2g}",
                (1, row),
                xycoords=("axes fraction", "data"),
                xytext=(4, 2),
                textcoords="offset points",
                color=colors.ink(ax),
                fontsize=font,
            )
        ax.axvline(0, color=colors.mixed(ax, colors.ink(ax), 0.4), lw=0.8, zorder=0)
        names = [*(f"layer {i + 1}" for i in range(m - 1)), "output"]
        if room > 2.5 * font:
            for i, W in enumerate(self.weights):
                names[i] += f"\n{W.size} weight{'s' * (W.size > 1)}"
        ax.set_yticks(range(m - 1, -1, -1), names, va="bottom", fontsize=font)
        ax.set_ylim(-0.1, m)
        ax.tick_params(axis="y", length=0)
        ax.grid(False, axis="y")
        ax.set(xlabel="weight", title="Weights by layer")
        bare(ax)
        ax.spines["left"].set_visible(False)
        return self._drawn(ax)

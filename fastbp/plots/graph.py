"""Plot of a network as a graph of units and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..network.trace import Trace
from . import colors, models
from .common import Display, axes_for, check_kind, points, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from ..basis.annotations import Floats

# Larger layers are drawn with a gap in the middle.
MOST_UNITS = 12


class NetworkGraphDisplay(Display):
    """Plot of a network with units as circles and weights as edges.

    The width of an edge is proportional to the weight's absolute value. Its colour shows the
    weight or its gradient.

    Parameters
    ----------
    weights : list of ndarray of shape (n_{i-1}, n_i)
    gradients : list of ndarray, optional
        Gradients of the weights, of the same shapes. If given, they determine the colours.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 3, 1], loss="log_loss", seed=0)
    >>> display = fastbp.NetworkGraphDisplay.from_estimator(net)
    >>> len(display.ax_.patches) + len(display.ax_.collections) > 0
    True
    """

    def __init__(
        self, weights: Sequence[Floats], gradients: Sequence[Floats] | None = None
    ) -> None:
        self.weights, self.gradients = weights, gradients

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Create and draw the display of a network or fitted estimator, coloured by weight.

        Parameters
        ----------
        estimator : Network, MLPClassifier or MLPRegressor
        ax : matplotlib Axes, optional

        Returns
        -------
        NetworkGraphDisplay
        """
        return cls(models.weights_of(estimator)).plot(ax=ax)

    @classmethod
    def from_trace(cls, trace: Trace, *, ax: Axes | None = None) -> Self:
        """Create and draw the display of a `Network.trace` result, coloured by the gradient ∇W.

        Parameters
        ----------
        trace : Trace
        ax : matplotlib Axes, optional

        Returns
        -------
        NetworkGraphDisplay
        """
        check_kind("trace", trace, Trace, "Network.trace")
        return cls(trace.W[1:], trace.dW[1:]).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        NetworkGraphDisplay
        """
        sizes = [len(self.weights[0]), *(W.shape[1] for W in self.weights)]
        ax = axes_for(ax, (2.2 + 1.6 * len(sizes), 4.8))
        from matplotlib.cm import ScalarMappable
        from matplotlib.collections import LineCollection
        from matplotlib.colors import Normalize

        shown = [_shown(n) for n in sizes]
        places = [_heights(n) for n in sizes]
        shades = self.weights if self.gradients is None else self.gradients
        largest = max(float(np.abs(C).max()) for C in shades) or 1.0
        norm, shade = Normalize(-largest, largest), colors.signed(ax)
        thickest = max(float(np.abs(W).max()) for W in self.weights) or 1.0
        for i, W in enumerate(self.weights):
            pairs = [(k, j) for k in shown[i] for j in shown[i + 1]]
            pairs.sort(key=np.abs(shades[i]).__getitem__)  # the strongest on top
            ax.add_collection(
                LineCollection(
                    [[(i, places[i][k]), (i + 1, places[i + 1][j])] for k, j in pairs],
                    linewidths=[0.4 + 4 * (abs(W[pair]) / thickest) for pair in pairs],
                    colors=[shade(norm(shades[i][pair])) for pair in pairs],
                    zorder=1,
                )
            )
        tallest = max(max(heights.values()) for heights in places)
        # Circles of small pictures are smaller, so that they do not touch.
        width, height = size_of(ax)
        diameter = min(13.0, 0.6 * height / (2 * tallest + 1.2), 0.5 * width / len(sizes))
        for i, n in enumerate(sizes):
            y = [places[i][k] for k in shown[i]]
            circle: dict[str, Any] = {"color": [colors.ground(ax)], "edgecolor": [colors.ink(ax)]}
            ax.scatter([i] * len(y), y, s=diameter**2, **circle, zorder=2)
            if len(y) < n:
                look: dict[str, Any] = {"color": colors.ink(ax), "fontsize": 16}
                ax.text(i, 0, "⋮", ha="center", va="center", **look)
        label = "weight W" if self.gradients is None else "gradient ∇W (width: |W|)"
        ax.figure.colorbar(ScalarMappable(norm, shade), ax=ax, label=label)
        names = ["input", *(f"layer {i}" for i in range(1, len(sizes) - 1)), "output"]
        ticks = [f"{name}\n{n} unit{'s' * (n > 1)}" for name, n in zip(names, sizes, strict=True)]
        if width < 5.5 * points(ax.xaxis.label) * len(sizes):  # the texts would overlap
            ticks = [*map(str, sizes)]
            ax.set_xlabel("units of each layer")
        ax.set_xticks(range(len(sizes)), ticks)
        ax.set_yticks([])
        ax.set_xlim(-0.4, len(sizes) - 0.6)
        ax.set_ylim(-tallest - 0.6, tallest + 0.6)
        ax.tick_params(length=0)
        ax.grid(False)
        ax.spines[:].set_visible(False)
        title = f"Network {'-'.join(map(str, sizes))}"
        if len(title) > width / (0.6 * points(ax.title)):
            title = f"Network of {len(self.weights)} layers"
        ax.set_title(title)
        return self._drawn(ax)


def _shown(n):
    """Return the units of a layer to draw: all, or the first and last ones."""
    if n <= MOST_UNITS:
        return list(range(n))
    half = MOST_UNITS // 2
    return [*range(half), *range(n - half, n)]


def _heights(n):
    """Return each drawn unit's height, centred on 0, first on top, with a gap for omitted units."""
    shown = _shown(n)
    gap = 1.0 if len(shown) < n else 0.0
    top = (len(shown) - 1 + gap) / 2
    return {k: top - row - gap * (row >= len(shown) / 2) for row, k in enumerate(shown)}

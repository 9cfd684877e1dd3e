"""Histograms by layer, one below the other: of the weights, and of the activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from . import colors, models
from .common import Display, axes_for, bare, points, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..basis.annotations import Floats


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
        return cls(models.weights_of(estimator), bins).plot(ax=ax)

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
        names = [*(f"layer {i}" for i in range(1, len(self.weights))), "output"]
        titles = [
            (name, f"{W.size} weight{'s' * (W.size > 1)}")
            for name, W in zip(names, self.weights, strict=True)
        ]
        sizes = [np.sqrt(np.mean(np.square(W, dtype=np.float64))) for W in self.weights]
        largest = max(float(np.abs(W).max()) for W in self.weights) or 1.0
        edges = np.linspace(-largest, largest, self.bins + 1)
        _draw_rows(ax, self.weights, edges, titles, [f"RMS {size:.2g}" for size in sizes])
        ax.axvline(0, color=colors.mixed(ax, colors.ink(ax), 0.4), lw=0.8, zorder=0)
        ax.set(xlabel="weight", title="Weights by layer")
        return self._drawn(ax)


class ActivationHistogramDisplay(Display):
    """Histograms of the hidden layers' activations, one below the other, on the same scale.

    Each layer's density is drawn as high as its row, without the activations that are exactly 0,
    of which relu has many. Beside it stand their share and the number of constant units, whose
    activation is the same for all samples: such units contribute nothing to the output but a bias.

    Parameters
    ----------
    activations : list of ndarray of shape (n_samples, n_units)
        Activations of each hidden layer.
    names : list of str, optional
        Name of each layer's activation function.
    bins : int, default=40
        Number of bins.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([2, 8, 4, 1], activation="relu", loss="log_loss", seed=0)
    >>> X = [[-1.0, 0.5], [0.2, 1.0], [1.5, -0.3]]
    >>> display = fastbp.ActivationHistogramDisplay.from_estimator(net, X)
    >>> [text.get_text() for text in display.ax_.texts]
    ['42% zero', '50% zero\\n1 constant']
    """

    def __init__(
        self,
        activations: Sequence[Floats],
        names: Sequence[str] | None = None,
        bins: int = 40,
    ) -> None:
        self.activations, self.bins = list(activations), checks.whole_number("bins", bins)
        self.names = None if names is None else list(names)

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: ArrayLike, *, bins: int = 40, ax: Axes | None = None
    ) -> Self:
        """Create and draw the display of a network or fitted estimator for some samples.

        Parameters
        ----------
        estimator : Network, MLPClassifier, MLPRegressor or Pipeline
            Of a Pipeline or a search, its last step, which gets X from the steps before.
        X : array-like of shape (n_samples, n_features)
            Samples; hundreds are enough.
        bins : int, default=40
            Number of bins.
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        ActivationHistogramDisplay

        Raises
        ------
        ValueError
            If the network has no hidden layer, or X does not suit it.
        """
        network = models.network_of(estimator)
        if len(network.weights) == 1:
            raise ValueError("the network has no hidden layer, so there are no activations to draw")
        step = models.last_step(estimator)
        outputs = step.layer_outputs(models.prepared(estimator, X))
        return cls(outputs[:-1], [*map(str, network.layout.activations)], bins).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        ActivationHistogramDisplay
        """
        ax = axes_for(ax)
        low = min(float(h.min()) for h in self.activations)
        high = max(float(h.max()) for h in self.activations)
        if low == high:
            low, high = low - 0.5, high + 0.5
        titles, texts = [], []
        for i, h in enumerate(self.activations, start=1):
            units = f"{h.shape[1]} {'' if self.names is None else self.names[i - 1]} units"
            titles.append((f"layer {i}", " ".join(units.split())))
            constant = int((h == h[:1]).all(axis=0).sum()) if len(h) > 1 else 0
            share = float((h == 0).mean())
            facts = [f"{share:.0%} zero"] if share else []
            facts += [f"{constant} constant"] if constant else []
            texts.append("\n".join(facts))
        rows = [h[h != 0] for h in self.activations]
        _draw_rows(ax, rows, np.linspace(low, high, self.bins + 1), titles, texts)
        ax.set(xlabel="activation", title="Activations by layer")
        return self._drawn(ax)


def _draw_rows(ax, layers, edges, titles, texts):
    """Draw a histogram of each layer in a row of its own, the first layer on top.

    Parameters
    ----------
    ax : matplotlib Axes
    layers : list of ndarray
        Values of each layer.
    edges : ndarray of shape (n_bins + 1,)
    titles : list of (str, str)
        Name of each layer, and a second line, which is left out if the rows are too low for it.
    texts : list of str
        What to write beside each row.
    """
    m = len(layers)
    room = size_of(ax)[1] / m  # of a row, in points
    font = min(points(ax.yaxis.label), 0.7 * room)
    if room < 2.5 * font:  # not enough for two lines
        texts = [text.replace("\n", ", ") for text in texts]
    for i, (values, shade) in enumerate(zip(layers, colors.of_layers(ax, m), strict=True)):
        counts, _ = np.histogram(values, edges)
        heights = 0.85 * counts / max(counts.max(), 1)
        row = m - 1 - i
        look: dict[str, Any] = {"edgecolor": shade, "linewidth": 1.2}
        look["facecolor"] = (*shade[:3], 0.6)
        ax.stairs(row + heights, edges, baseline=row, fill=True, **look)
        ax.annotate(
            texts[i],
            (1, row),
            xycoords=("axes fraction", "data"),
            xytext=(4, 2),
            textcoords="offset points",
            color=colors.ink(ax),
            fontsize=font,
        )
    names = ["\n".join(title) if room > 2.5 * font else title[0] for title in titles]
    ax.set_yticks(range(m - 1, -1, -1), names, va="bottom", fontsize=font)
    ax.set_ylim(-0.1, m)
    ax.tick_params(axis="y", length=0)
    ax.grid(False, axis="y")
    bare(ax)
    ax.spines["left"].set_visible(False)

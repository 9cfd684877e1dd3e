"""Plots of losses by epoch, of weights by layer, and of `Health` records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..basis import checks
from ..study.health import Health
from ..training.history import History
from .common import Display, axes_for, bare, check_kind, legend_below, network_of, style

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from ..basis.annotations import Floats, Quantity


class LearningCurveDisplay(Display):
    """Plot of losses by epoch.

    Parameters
    ----------
    loss : sequence of float
        Training loss of each epoch.
    validation_loss : sequence of float, default=()
        Loss on validation data after each epoch, if there are such data.
    validation_scores : sequence of float, default=()
        Scores on validation data after each epoch, drawn on a second axis.
    """

    def __init__(
        self,
        loss: Sequence[float],
        validation_loss: Sequence[float] = (),
        validation_scores: Sequence[float] = (),
    ) -> None:
        self.loss, self.validation_loss = list(loss), list(validation_loss)
        self.validation_scores = list(validation_scores)

    @classmethod
    def from_history(cls, history: History, *, ax: Axes | None = None) -> Self:
        """Create and draw the display of a `History`, which `Network.fit` returns.

        Parameters
        ----------
        history : History
        ax : matplotlib Axes, optional

        Returns
        -------
        LearningCurveDisplay
        """
        check_kind("history", history, History, "Network.fit")
        return cls(history.loss, history.validation_loss).plot(ax=ax)

    @classmethod
    def from_estimator(cls, estimator: Any, *, ax: Axes | None = None) -> Self:
        """Create and draw the display of an `MLPClassifier` or `MLPRegressor` fitted in epochs.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
        ax : matplotlib Axes, optional

        Returns
        -------
        LearningCurveDisplay
        """
        if not hasattr(estimator, "loss_curve_"):
            raise ValueError(
                f"{type(estimator).__name__} has no loss_curve_: it is not fitted, or its solver "
                "has no epochs; fit it with solver='sgd' or 'adam'"
            )
        scores = getattr(estimator, "validation_scores_", None)
        return cls(estimator.loss_curve_, (), () if scores is None else scores).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        LearningCurveDisplay
        """
        ax = axes_for(ax)
        ax.plot(range(1, len(self.loss) + 1), self.loss, label="training loss", **style(0))
        if self.validation_loss:
            epochs = range(1, len(self.validation_loss) + 1)
            ax.plot(epochs, self.validation_loss, label="validation loss", **style(1))
        ax.set(xlabel="epoch", ylabel="mean loss", title="Learning curve")
        losses = np.array([*self.loss, *self.validation_loss])
        if losses.min() > 0 and losses.max() > 20 * losses.min():
            ax.set_yscale("log")
        handles = ax.get_lines()
        if self.validation_scores:
            right = ax.twinx()
            epochs = range(1, len(self.validation_scores) + 1)
            handles += right.plot(
                epochs, self.validation_scores, label="validation score", **style(2)
            )
            right.set_ylabel("validation score")
            right.spines["top"].set_visible(False)
            ax.spines["top"].set_visible(False)
        else:
            bare(ax)
        legend_below(ax, handles)
        return self._drawn(ax)


class WeightHistogramDisplay(Display):
    """Histograms of the weights, one curve for each layer.

    Parameters
    ----------
    weights : list of ndarray
        Weights of each layer.
    bins : int, default=20
        Number of bins.
    """

    def __init__(self, weights: Sequence[Floats], bins: int = 20) -> None:
        self.weights, self.bins = weights, checks.whole_number("bins", bins)

    @classmethod
    def from_estimator(cls, estimator: Any, *, bins: int = 20, ax: Axes | None = None) -> Self:
        """Create and draw the display of a network or fitted estimator.

        Parameters
        ----------
        estimator : Network, MLPClassifier or MLPRegressor
        bins : int, default=20
            Number of bins.
        ax : matplotlib Axes, optional

        Returns
        -------
        WeightHistogramDisplay
        """
        return cls([W.copy() for W in network_of(estimator).weights], bins).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        WeightHistogramDisplay
        """
        ax = axes_for(ax)
        largest = max(float(np.abs(W).max()) for W in self.weights) or 1.0
        edges = np.linspace(-largest, largest, self.bins + 1)
        for i, W in enumerate(self.weights):
            density, _ = np.histogram(W, edges, density=True)
            label = f"layer {i + 1} ({W.size} weights)"
            ax.stairs(density, edges, linewidth=1.8, label=label, **style(i))
        ax.set(xlabel="weight", ylabel="density", title="Weights by layer")
        bare(ax)
        legend_below(ax, ax.get_legend_handles_labels()[0])
        return self._drawn(ax)


# Quantity that a HealthDisplay can draw -> label, and whether the scale is logarithmic.
QUANTITIES = {
    "gradient": ("root mean square of ∇W", True),
    "update": ("change of W / size of W", True),
    "dead": ("share of dead units", False),
    "saturated": ("share of saturated slopes", False),
}


class HealthDisplay(Display):
    """Plot of one quantity of a `Health` record over the training, one curve for each layer.

    Parameters
    ----------
    health : Health
    what : {"gradient", "update", "dead", "saturated"}, default="gradient"
    """

    def __init__(self, health: Health, what: Quantity = "gradient") -> None:
        if not isinstance(health, Health):
            raise TypeError(
                "health must be a fastbp.Health that was passed to fit as a callback, got "
                f"{type(health).__name__}"
            )
        if not isinstance(what, str) or what not in QUANTITIES:
            raise ValueError(f"what must be one of {', '.join(QUANTITIES)}; got {what!r}")
        self.health, self.what = health, what

    @classmethod
    def from_health(
        cls, health: Health, what: Quantity = "gradient", *, ax: Axes | None = None
    ) -> Self:
        """Create and draw the display of a `Health` record.

        Parameters
        ----------
        health : Health
        what : {"gradient", "update", "dead", "saturated"}, default="gradient"
        ax : matplotlib Axes, optional

        Returns
        -------
        HealthDisplay
        """
        return cls(health, what).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        HealthDisplay
        """
        if not self.health.loss:
            raise ValueError(
                "the Health has recorded nothing yet; pass it to fit as a callback first"
            )
        from matplotlib import colormaps

        ax = axes_for(ax)
        label, logarithmic = QUANTITIES[self.what]
        table = np.array(getattr(self.health, self.what))
        m = table.shape[1]
        for i in range(m):
            # From dark for the first layer to light for the output.
            color = colormaps["viridis"](0.9 * i / max(m - 1, 1))
            name = "output" if i == len(self.health.activations) else f"layer {i + 1}"
            ax.plot(table[:, i], color=color, marker="o", markersize=3, label=name)
        if logarithmic and np.nanmax(table, initial=0) > 0:
            ax.set_yscale("log")
        if not logarithmic:
            ax.set_ylim(-0.03, 1.03)
        ax.set(xlabel="record", ylabel=label, title=f"Health of the training: {label}")
        ax.xaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        bare(ax)
        if m:
            ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return self._drawn(ax)

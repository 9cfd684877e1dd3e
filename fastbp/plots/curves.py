"""Plots of losses by epoch, of weights by layer, and of `Health` records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..study.health import Health
from ..training.history import History
from . import colors, models
from .common import Display, axes_for, bare, check_kind, legend_below

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from ..basis.annotations import Quantity


SCORES = (":", "-.", (0, (3, 1, 1, 1, 1, 1)), (0, (5, 1)))  # line styles
SCORE_AXIS = "scores"
TRAINING_WIDTH = 3.0  # of the line that names a training in the legend


class LearningCurveDisplay(Display):
    """Plot of losses and scores by epoch.

    Solid lines are losses on training data, dashed lines losses on validation data, dotted and
    dash-dotted lines scores, on an axis of their own. A vertical line marks the best epoch.

    Parameters
    ----------
    loss : sequence of float
        Training loss of each epoch.
    validation_loss : sequence of float, default=()
        Loss on validation data after each epoch, if there are such data.
    scores : dict of str to sequence of float, optional
        Scores on validation data after each epoch.
    best_epoch : int, optional
        The best epoch, counted from 1.
    name : str, optional
        Name of the training for the legend. The curves of a named training share a colour.

    Examples
    --------
    Two trainings in one picture:

    >>> import fastbp
    >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
    >>> ax = None
    >>> for optimizer in [fastbp.Adam(0.1), fastbp.SGD(0.1)]:
    ...     net = fastbp.Network([1, 1], loss="squared_error", seed=0)
    ...     history = net.fit(X, y, epochs=20, optimizer=optimizer)
    ...     name = type(optimizer).__name__
    ...     ax = fastbp.LearningCurveDisplay.from_history(history, name=name, ax=ax).ax_
    >>> [line.get_label() for line in ax.get_lines()]
    ['Adam: training loss', 'SGD: training loss']
    """

    def __init__(
        self,
        loss: Sequence[float],
        validation_loss: Sequence[float] = (),
        scores: Mapping[str, Sequence[float]] | None = None,
        *,
        best_epoch: int | None = None,
        name: str | None = None,
    ) -> None:
        self.loss, self.validation_loss = list(loss), list(validation_loss)
        self.scores = {key: list(values) for key, values in (scores or {}).items()}
        self.best_epoch, self.name = best_epoch, name

    @classmethod
    def from_history(
        cls, history: History, *, name: str | None = None, ax: Axes | None = None
    ) -> Self:
        """Create and draw the display of a `History`, which `Network.fit` returns.

        Parameters
        ----------
        history : History
        name : str, optional
            Name of the training for the legend, to compare trainings on the same axes.
        ax : matplotlib Axes, optional
            Axes to draw on, also beside the curves of another history; new ones by default.

        Returns
        -------
        LearningCurveDisplay

        Raises
        ------
        TypeError
            If `history` is not a History.
        ValueError
            If no epoch is finished.
        """
        check_kind("history", history, History, "Network.fit")
        return cls(
            history.loss,
            history.validation_loss,
            history.scores,
            best_epoch=history.best_epoch,
            name=name,
        ).plot(ax=ax)

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Axes | None = None
    ) -> Self:
        """Create and draw the display of an `MLPClassifier` or `MLPRegressor` fitted in epochs.

        Parameters
        ----------
        estimator : MLPClassifier, MLPRegressor or Pipeline
            Of a Pipeline or a search, its last step.
        name : str, optional
            Name of the training for the legend, to compare trainings on the same axes.
        ax : matplotlib Axes, optional
            Axes to draw on, also beside the curves of another training; new ones by default.

        Returns
        -------
        LearningCurveDisplay

        Raises
        ------
        ValueError
            If the estimator is not fitted, or its solver has no epochs.
        """
        step = models.last_step(estimator)
        if not hasattr(step, "loss_curve_"):
            raise ValueError(
                f"{type(step).__name__} has no loss_curve_: it is not fitted, or its solver "
                "has no epochs; fit it with solver='sgd' or 'adam'"
            )
        scores = getattr(step, "validation_scores_", None) or []
        # The weights of the best score are restored; of equal scores those of the first.
        best = int(np.argmax(scores)) + 1 if np.isfinite(scores).all() and scores else None
        curves = {"validation score": scores} if scores else {}
        return cls(step.loss_curve_, (), curves, best_epoch=best, name=name).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; new ones by default.

        Returns
        -------
        LearningCurveDisplay
        """
        if not self.loss:
            raise ValueError(
                "there is nothing to draw, since no epoch is finished; train for at least one"
            )
        ax = axes_for(ax)
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        scores = {key: values for key, values in self.scores.items() if values}
        axes = [ax, _score_axis(ax)] if scores else [ax]
        shared: dict[str, Any] = {"color": colors.unused(*axes)} if self.name else {}
        legend = ax.get_legend()  # of the trainings that are on the axes already
        handles: list[Any] = list(legend.legend_handles) if legend else []

        def draw(on, what, values, style):
            look: dict[str, Any] = {"color": colors.unused(*axes), "linestyle": style, **shared}
            marker = "o" if len(values) == 1 else None  # a line needs two points
            epochs = range(1, len(values) + 1)
            label = f"{self.name}: {what}" if self.name else what
            line = on.plot(epochs, values, marker=marker, label=label, **look)[0]
            if self.name:  # colours stand for trainings, so that styles are explained once
                line = Line2D([], [], color=colors.ink(ax), ls=style, lw=1.5, label=what)
            if not self.name or what not in [handle.get_label() for handle in handles]:
                handles.append(line)

        if self.name:
            best = "" if self.best_epoch is None else f" (best epoch {self.best_epoch})"
            # Trainings first, then the quantities, which all of them share.
            place = sum(handle.get_linewidth() == TRAINING_WIDTH for handle in handles)
            label = f"{self.name}{best}"
            handles.insert(place, Line2D([], [], **shared, lw=TRAINING_WIDTH, label=label))
        draw(ax, "training loss", self.loss, "-")
        if self.validation_loss:
            draw(ax, "validation loss", self.validation_loss, "--")
        for i, (what, values) in enumerate(scores.items()):
            draw(axes[1], what, values, SCORES[i % len(SCORES)])
        if self.best_epoch is not None:
            look: dict[str, Any] = {
                "color": colors.ink(ax),
                **shared,
                "lw": 1,
                "ls": (0, (1, 3)),
                "zorder": 1,
            }
            line = ax.axvline(self.best_epoch, label=f"best epoch ({self.best_epoch})", **look)
            if not self.name:
                handles.append(line)
        ax.set(xlabel="epoch", ylabel="mean loss", title="Learning curve")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
        lowest, highest = ax.dataLim.intervaly
        if lowest > 0 and highest > 20 * lowest:
            ax.set_yscale("log")
        if scores:
            axes[1].set_ylabel(next(iter(scores)) if len(scores) == 1 else "validation score")
            for one in axes:
                one.spines["top"].set_visible(False)
        else:
            bare(ax)
        if legend_below(ax, handles) and scores:  # the curves of the scores must not cover it
            axes[1].patch.set(visible=True, facecolor=ax.get_facecolor())
            ax.patch.set_visible(False)
            ax.set_zorder(axes[1].get_zorder() + 1)
        return self._drawn(ax)


def _score_axis(ax):
    """Return the axes on the right for scores, which two displays on the same axes share."""
    for other in ax.figure.axes:
        twin = other.get_gid() == SCORE_AXIS and other.get_shared_x_axes().joined(ax, other)
        if twin and np.allclose(other.get_position().bounds, ax.get_position().bounds):
            return other
    right = ax.twinx()
    right.set_gid(SCORE_AXIS)
    right.grid(False)
    return right


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

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
    >>> net = fastbp.Network([1, 8, 1], activation="tanh", loss="squared_error", seed=0)
    >>> health = fastbp.Health(X, X**2, warn=False)
    >>> history = net.fit(X, X**2, epochs=5, callbacks=[health])
    >>> display = fastbp.HealthDisplay.from_health(health, "update")
    >>> len(display.ax_.get_lines())  # one for each layer
    2
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
        ax = axes_for(ax)
        label, logarithmic = QUANTITIES[self.what]
        table = np.array(getattr(self.health, self.what))
        m = table.shape[1]
        for i, color in enumerate(colors.of_layers(ax, m)):
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

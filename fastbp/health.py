"""The health of a training: gradients, updates and idle units by layer, and what to try."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from . import checks, spec

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .network import Network
    from .training import History

# A unit whose slope is below this much of the activation's largest passes next to no error back.
SMALL = 0.05
# What warnings begin at.
VANISHING = 1e-3  # the lowest layer's gradient, relative to the highest one's
EXPLODING = 1e3  # ... and the same upside down, or relative to the start
DEAD = 0.5  # share of a layer's units
SATURATED = 0.8  # share of a layer's units and samples
UNSTABLE = 1.0  # change of weights between two records, relative to them
STANDSTILL = 1e-7


class HealthWarning(UserWarning):
    """A training that is not well, and what to try."""


class Health:
    """A record of how well the layers learn, taken on some fixed samples.

    A callback for `Network.fit`; or call `record` where you like. At the end of a training it warns
    (`HealthWarning`) of vanishing and exploding gradients, dead and saturated units and of steps
    that are too large or too small, and says what to try.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_0)
        The samples to look at, some dozens to hundreds.
    y : array-like of shape (n_samples,) or (n_samples, n_m)
        Targets as the loss takes them, see `Network`.
    warn : bool, default=True
        Warn at the end of a training; else look at ``messages()``.

    Attributes
    ----------
    loss : list of float
        The mean loss of these samples, by record: before training, and after each epoch.
    gradient : list of ndarray of shape (m,)
        Root mean square of each layer's ∇W_i, by record. (Not the norm, so that layers of any
        size compare.)
    update : list of ndarray of shape (m,)
        How far the weights of each layer have moved since the record before, relative to them:
        norm over norm. NaN in the first record.
    dead : list of ndarray of shape (m - 1,)
        Share of each hidden layer's units whose slope σ' is next to nothing (below 5 % of
        the largest) for all samples.
    saturated : list of ndarray of shape (m - 1,)
        Share of each hidden layer's units and samples with such a slope. Around a half is usual for
        relu and its like.
    activations : tuple of str
        Those of the hidden layers.
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, *, warn: bool = True) -> None:
        self.X, self.y = X, y
        self.warn = checks.flag("warn", warn)
        self._start()

    def _start(self):
        self.loss: list[float] = []
        self.gradient: list[NDArray[np.float64]] = []
        self.update: list[NDArray[np.float64]] = []
        self.dead: list[NDArray[np.float64]] = []
        self.saturated: list[NDArray[np.float64]] = []
        self.activations: tuple[str, ...] = ()
        self._weights: list = []

    def record(self, network: Network) -> None:
        """Look at a network as it is now.

        Parameters
        ----------
        network : Network
        """
        trace = network.trace(self.X, self.y)
        weights = [W.astype(np.float64) for W in trace.W[1:]]
        self.activations = network.layout.activations
        self.loss.append(trace.loss)
        self.gradient.append(np.array([_root_mean_square(dW) for dW in trace.dW[1:]]))
        update = np.full(len(weights), np.nan)
        for i, before in enumerate(self._weights):
            size = np.linalg.norm(before)
            update[i] = np.linalg.norm(weights[i] - before) / size if size > 0 else np.inf
        self.update.append(update)
        dead, saturated = [], []
        for i, name in enumerate(self.activations, start=1):
            idle = np.abs(trace.slope(i)) < SMALL * spec.ACTIVATIONS[name].largest_slope
            dead.append(idle.all(axis=0).mean())
            saturated.append(idle.mean())
        self.dead.append(np.array(dead))
        self.saturated.append(np.array(saturated))
        self._weights = weights

    def begin(self, network: Network, history: History) -> None:
        """Start anew, with a record of the network before training.

        Parameters
        ----------
        network : Network
        history : History
        """
        self._start()
        self.record(network)

    def epoch(self, network: Network, history: History) -> None:
        """Record an epoch.

        Parameters
        ----------
        network : Network
        history : History
        """
        self.record(network)

    def end(self, network: Network, history: History) -> None:
        """Warn of what is not well.

        Parameters
        ----------
        network : Network
        history : History
        """
        if self.warn:
            for message in self.messages():
                warnings.warn(message, HealthWarning, stacklevel=2)

    def messages(self) -> list[str]:
        """What is not well, and what to try.

        Returns
        -------
        list of str
            Empty if all is well.
        """
        if not self.loss:
            return []
        found = [self._vanishing(), self._exploding(), *self._idle(), self._steps()]
        return [message for message in found if message]

    def _vanishing(self):
        """The gradient at the bottom against that at the top, before and after training."""
        ratios = [g[0] / g[-1] if g[-1] > 0 else 1.0 for g in self.gradient]
        if len(self.gradient[0]) < 3 or max(ratios[0], ratios[-1]) >= VANISHING:
            return ""
        return (
            f"vanishing gradients: that of layer 1 is {ratios[-1]:.1g} of the output layer's. "
            f"Each layer of {_named(self.activations)} passes little of the error back. Try "
            "activation='relu' or 'gelu', fewer hidden layers, or larger initial weights"
        )

    def _exploding(self):
        first, last = self.gradient[0], self.gradient[-1]
        finite = np.isfinite(last).all()
        downwards = last[0] / last[-1] if last[-1] > 0 else 1.0
        growth = last.max() / first.max() if first.max() > 0 else 1.0
        if finite and downwards <= EXPLODING and growth <= EXPLODING:
            return ""
        what = f"have grown {growth:.1g} times since the start"
        if downwards > EXPLODING:
            what = f"grow {downwards:.1g} times from the output layer to layer 1"
        if not finite:
            what = "are not finite"
        return (
            f"exploding gradients: they {what}. Try a smaller learning_rate, clip_norm=1 in fit, "
            "X scaled to unit variance, or smaller initial weights"
        )

    def _idle(self):
        for i, name in enumerate(self.activations):
            dead, saturated = self.dead[-1][i], self.saturated[-1][i]
            if dead > DEAD:
                cure = "a smaller learning_rate, X scaled to unit variance"
                if name == "relu":
                    cure += ", or activation='leaky_relu' or 'elu', which never stop learning"
                yield (
                    f"dead units: {dead:.0%} of layer {i + 1} ({name}) have next to no slope for "
                    f"any sample and learn no more. Try {cure}"
                )
            elif saturated > SATURATED and not spec.ACTIVATIONS[name].one_sided:
                yield (
                    f"saturated units: in layer {i + 1} ({name}) {saturated:.0%} of the slopes are "
                    "next to nothing. Try X scaled to unit variance, smaller initial weights, or l2"
                )

    def _steps(self):
        update = self.update[-1]
        if np.isnan(update).any():
            return ""
        if update.max() > UNSTABLE:
            return (
                f"large steps: the weights of layer {update.argmax() + 1} have moved by "
                f"{update.max():.1g} of their size since the last record. Try a smaller "
                "learning_rate"
            )
        moving = update[self.gradient[-1] > 0]
        if moving.size and moving.max() < STANDSTILL:
            return (
                f"standstill: no layer's weights have moved by more than {moving.max():.1g} of "
                "their size since the last record. Try a larger learning_rate"
            )
        return ""

    def __repr__(self):
        if not self.loss:
            return "Health: nothing recorded yet"
        lines = [
            f"Health, {len(self.loss)} records, loss {self.loss[0]:.4g} -> {self.loss[-1]:.4g}",
            "layer  activation  gradient   at start   update     dead  saturated",
        ]
        for i in range(len(self.gradient[-1])):
            hidden = i < len(self.activations)
            name = self.activations[i] if hidden else "output"
            line = (
                f"{i + 1:5}  {name:10}  {self.gradient[-1][i]:<9.3g}  {self.gradient[0][i]:<9.3g}  "
                f"{self.update[-1][i]:<9.3g}"
            )
            if hidden:
                line += f"  {self.dead[-1][i]:>4.0%}  {self.saturated[-1][i]:>9.0%}"
            lines.append(line.rstrip())
        messages = self.messages()
        return "\n".join([*lines, *messages] if messages else [*lines, "All is well."])


def _root_mean_square(array):
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))


def _named(activations):
    """The names of activations, each once."""
    return " and ".join(dict.fromkeys(activations))

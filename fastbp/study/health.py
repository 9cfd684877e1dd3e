"""Diagnoses a training by its gradients, updates and idle units in each layer, with advice."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..basis import checks, spec

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..network.network import Network
    from ..training.history import History

# A unit passes back almost no error if its slope is below this share of the activation's largest.
SMALL = 0.05
# Thresholds of the warnings.
VANISHING = 1e-3  # the lowest layer's gradient relative to the highest layer's
EXPLODING = 1e3  # the same ratio, or the largest gradient relative to the start
DEAD = 0.5  # share of a layer's units
SATURATED = 0.8  # share of a layer's units and samples
UNSTABLE = 1.0  # change of weights between two records, relative to them
STANDSTILL = 1e-7


class HealthWarning(UserWarning):
    """Warns of a problem in a training and suggests remedies."""


class Health:
    """A record of how well each layer learns, measured on a fixed set of samples.

    Use it as a callback of `Network.fit`, or call `record` yourself. At the end of a training it
    warns (`HealthWarning`) of vanishing and exploding gradients, of dead and saturated units, and
    of steps that are too large or too small, and suggests remedies.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_0)
        The samples to measure on; dozens to hundreds are enough.
    y : array-like of shape (n_samples,) or (n_samples, n_m)
        Targets in the loss's form, see `Network`.
    warn : bool, default=True
        Warn at the end of a training. If False, call ``messages()``.

    Attributes
    ----------
    loss : list of float
        The mean loss of these samples in each record: before training and after each epoch.
    gradient : list of ndarray of shape (m,)
        The root mean square of each layer's ∇W_i in each record. Unlike norms, these values can
        be compared between layers of different sizes.
    update : list of ndarray of shape (m,)
        The change of each layer's weights since the previous record: its norm divided by the
        norm of the weights. NaN in the first record.
    dead : list of ndarray of shape (m - 1,)
        The share of each hidden layer's units with a slope σ' near zero (below 5 % of the
        largest) for all samples.
    saturated : list of ndarray of shape (m - 1,)
        The share of each hidden layer's (unit, sample) pairs with a slope near zero. About one
        half is normal for relu and similar activations.
    activations : tuple of str
        The activations of the hidden layers.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
    >>> net = fastbp.Network([1, 8, 1], activation="tanh", loss="squared_error", seed=0)
    >>> health = fastbp.Health(X, X**2, warn=False)
    >>> history = net.fit(X, X**2, epochs=5, callbacks=[health])
    >>> len(health.loss), health.gradient[0].shape  # before training, and after each epoch
    (6, (2,))
    >>> health.messages()
    []
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
        """Measure a network in its current state and append to the record.

        Parameters
        ----------
        network : Network

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
        >>> net = fastbp.Network([1, 8, 1], activation="tanh", loss="squared_error", seed=0)
        >>> health = fastbp.Health(X, X**2, warn=False)
        >>> health.record(net)
        >>> len(health.loss)
        1
        """
        network._engine.check_one_loss("fastbp.Health")
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
            idle = np.abs(trace.slope(i)) < SMALL * spec.activation_of(name).largest_slope
            dead.append(idle.all(axis=0).mean())
            saturated.append(idle.mean())
        self.dead.append(np.array(dead))
        self.saturated.append(np.array(saturated))
        self._weights = weights

    def begin(self, network: Network, history: History) -> None:
        """Clear the record and measure the network before training.

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
        """Warn of the problems found.

        Parameters
        ----------
        network : Network
        history : History
        """
        if self.warn:
            for message in self.messages():
                warnings.warn(message, HealthWarning, stacklevel=2)

    def messages(self) -> list[str]:
        """Return the problems found, with suggested remedies.

        Returns
        -------
        list of str
            Empty if there are none.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.linspace(-1, 1, 20).reshape(-1, 1)
        >>> net = fastbp.Network([1, 8, 1], activation="tanh", loss="squared_error", seed=0)
        >>> health = fastbp.Health(X, X**2, warn=False)
        >>> net.weights[0] *= 100  # the tanh saturates
        >>> health.record(net)
        >>> health.messages()[0].partition(":")[0]
        'saturated units'
        """
        if not self.loss:
            return []
        found = [self._vanishing(), self._exploding(), *self._idle(), self._steps()]
        return [message for message in found if message]

    def _vanishing(self):
        """Compare the lowest layer's gradient with the highest one's, before and after training."""
        ratios = [g[0] / g[-1] if g[-1] > 0 else 1.0 for g in self.gradient]
        if len(self.gradient[0]) < 3 or max(ratios[0], ratios[-1]) >= VANISHING:
            return ""
        return (
            f"vanishing gradients: the gradient of layer 1 is {ratios[-1]:.1g} times the output "
            f"layer's. Each layer of {_named(self.activations)} passes little error back. Try "
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
                    f"dead units: {dead:.0%} of layer {i + 1} ({name}) have a slope near zero for "
                    f"all samples and no longer learn. Try {cure}"
                )
            elif saturated > SATURATED and not spec.activation_of(name).one_sided:
                yield (
                    f"saturated units: in layer {i + 1} ({name}) {saturated:.0%} of the slopes are "
                    "near zero. Try X scaled to unit variance, smaller initial weights, or l2"
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
    """Return the distinct names of activations, joined by "and"."""
    return " and ".join(dict.fromkeys(map(str, activations)))

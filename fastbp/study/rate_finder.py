"""A learning-rate range test, which suggests a learning rate.

The rate grows from step to step until the loss explodes; a good rate is well below that.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..basis import checks
from ..basis.data import Data
from ..basis.names import keywords
from ..network.network import Network, check_network
from ..rules.optimizers import optimizer_of
from ..rules.regularizers import regularizers_of
from ..training import sources
from ..training.history import TrainingDiverged
from ..training.run import Training

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ..rules.optimizers import Optimizer

# The test ends when the smoothed loss exceeds its smallest value by this factor.
EXPLODED = 4.0


@dataclass(eq=False, repr=False)
class RateSearch:
    """The result of `find_learning_rate`.

    Attributes
    ----------
    rates : ndarray of shape (n_steps,)
        The learning rate of each step, increasing.
    losses : ndarray of shape (n_steps,)
        The loss of each step's batch, before the step.
    smoothed : ndarray of shape (n_steps,)
        Exponential moving average of the losses, with bias correction as in Adam.
    suggestion : float or None
        The rate in the middle of the decade over which the smoothed loss decreases most; None if
        it decreases over no decade.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((64, 4))
    >>> net = fastbp.Network([4, 8, 1], loss="squared_error", seed=0)
    >>> search = fastbp.find_learning_rate(net, X, X[:, 0], n_steps=100)
    >>> len(search.rates) == len(search.losses) == len(search.smoothed)
    True
    >>> 1e-4 < search.suggestion < 1
    True
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    suggestion: float | None

    def __repr__(self):
        found = "none" if self.suggestion is None else f"{self.suggestion:.3g}"
        return (
            f"RateSearch(suggestion={found}, {len(self.rates)} rates from {self.rates[0]:.3g} to "
            f"{self.rates[-1]:.3g})"
        )

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the losses over the rates. Needs matplotlib.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw on; by default those of a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> X = np.random.default_rng(0).standard_normal((64, 4))
        >>> net = fastbp.Network([4, 8, 1], loss="squared_error", seed=0)
        >>> search = fastbp.find_learning_rate(net, X, X[:, 0], n_steps=100)
        >>> search.plot().get_xlabel()
        'learning rate'
        """
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.subplots(layout="constrained")[1]
        (smoothed,) = ax.plot(self.rates, self.smoothed, label="smoothed")
        (each,) = ax.plot(self.rates, self.losses, lw=1, label="loss of each batch")
        each.set(color=smoothed.get_color(), alpha=0.35, zorder=1)
        if self.suggestion is not None:
            label = f"suggestion {self.suggestion:.2g}"
            ax.axvline(self.suggestion, ls=":", color=ax.xaxis.label.get_color(), label=label)
        ax.set(
            xscale="log", xlabel="learning rate", ylabel="loss", title="Learning-rate range test"
        )
        ax.legend()
        return ax


@keywords
def find_learning_rate(
    network: Network,
    X: ArrayLike,
    y: ArrayLike,
    *,
    optimizer: Optimizer | str | None = None,
    batch_size: int | None = 32,
    sample_weight: ArrayLike | None = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    n_steps: int = 200,
    smoothing: float = 0.9,
) -> RateSearch:
    """Train a copy of a network while the learning rate grows exponentially.

    The network and its random state are not changed.

    Parameters
    ----------
    network : Network
    X : array-like of shape (n_samples, n_0)
    y : array-like of shape (n_samples,) or (n_samples, n_m)
        Targets in the loss's form, see `Network`.
    optimizer : Optimizer or str, default=Adam()
        The optimiser, or its name; its learning rate is ignored.
    batch_size : int or None, default=32
        Number of samples per step, as in `Network.fit`. The samples are shuffled, and used
        repeatedly if the steps need more.
    sample_weight : array-like of shape (n_samples,), optional
        Weights w ≥ 0, not all zero.
    lowest, highest : float, default=1e-6, 10.0
        The rates of the first and of the last step.
    n_steps : int, default=200
        Number of steps from the lowest to the highest rate. The test ends early if the loss
        explodes: it is not finite, or its smoothed value exceeds four times the smallest one.
    smoothing : float, default=0.9
        The weight of the previous average in the next one, in [0, 1).

    Returns
    -------
    RateSearch

    Raises
    ------
    TypeError, ValueError
        For bad arguments, or if no step has a finite loss.

    References
    ----------
    Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.random.default_rng(0).standard_normal((64, 4))
    >>> net = fastbp.Network([4, 8, 1], loss="squared_error", seed=0)
    >>> search = fastbp.find_learning_rate(net, X, X[:, 0], n_steps=100)
    >>> optimizer = fastbp.Adam(search.suggestion)
    >>> history = net.fit(X, X[:, 0], optimizer=optimizer, epochs=20)
    >>> history.loss[-1] < history.loss[0]
    True
    """
    check_network("network", network)
    network._engine.check_finite()
    data = network._engine.data(X, y, sample_weight)
    optimizer = optimizer_of(optimizer)
    if optimizer.full_batch_only:
        raise ValueError(
            f"{type(optimizer).__name__} adapts each weight's step, so there is no learning rate "
            "to find; pass another optimizer"
        )
    rows = sources.Rows(data, batch_size, shuffle=True)
    lowest = checks.real_number("lowest", lowest, 1e-30)
    highest = checks.real_number("highest", highest, 1e-30)
    if lowest >= highest:
        raise ValueError(f"lowest must be below highest, got {lowest:g} and {highest:g}")
    n_steps = checks.whole_number("n_steps", n_steps, 3, checks.MOST)
    smoothing = checks.real_number("smoothing", smoothing)
    if smoothing >= 1:
        raise ValueError(f"smoothing must be in [0, 1), got {smoothing:g}")

    engine = copy.copy(network._engine)
    regularizers = regularizers_of(len(engine.weights))
    training = Training(engine, data, optimizer, rows.batch_size, regularizers, 1)
    rates, losses, smoothed = np.geomspace(lowest, highest, n_steps), [], []
    average = 0.0
    for batch, rate in zip(_batches(engine.random, rows), rates.tolist(), strict=False):
        training.hyper[0] = rate
        try:
            losses.append(training.step(batch))
        except TrainingDiverged:
            break
        average = smoothing * average + (1 - smoothing) * losses[-1]
        smoothed.append(average / (1 - smoothing ** len(losses)))
        if smoothed[-1] > EXPLODED * min(smoothed):
            break
    if not losses:
        raise ValueError("the loss is not finite before the first step; scale X and y")
    rates = rates[: len(losses)]
    return RateSearch(rates, np.array(losses), np.array(smoothed), _steepest(rates, smoothed))


def _batches(random, rows):
    """Yield shuffled batches without end."""
    n = rows.n
    while True:
        order = random.permutation(n) if rows.shuffle else np.arange(n)
        for start in range(0, n, rows.batch_size):
            picked = order[start : start + rows.batch_size]
            yield Data(*(array[picked] if len(array) else array for array in rows.data))


def _steepest(rates, smoothed):
    """Return the rate in the middle of the decade over which the loss decreases most, or None.

    Differences over single steps would be too noisy, since the batches differ.
    """
    if len(rates) < 3:
        return None
    half = round(0.5 / math.log10(rates[1] / rates[0]))
    half = min(max(half, 1), (len(rates) - 1) // 2)
    falls = np.subtract(smoothed[: -2 * half], smoothed[2 * half :])
    middle = int(np.argmax(falls))
    return float(rates[half + middle]) if falls[middle] > 0 else None

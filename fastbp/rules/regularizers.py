"""Checks the options of `Network.fit` that limit overfitting.

These are penalties, frozen layers, dropout, clipping, averaged weights and smoothed labels.
`Regularizers` holds the checked options, for `training.run.Training`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..basis import checks, spec
from ..basis.names import keywords


@dataclass(frozen=True)
class EMA:
    """The exponential moving average of the weights over the training steps.

    After each step ``average = decay average + (1 - decay) weights``. The average starts with
    the weights after the first step.

    Parameters
    ----------
    decay : float, default=0.999
        The weight of the previous average in each step, in (0, 1).

    References
    ----------
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", SIAM J.
    Control Optim. 30, 1992. As ``torch.optim.swa_utils.get_ema_multi_avg_fn``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> history = net.fit(
    ...     [[1.0]], [0.0], optimizer=fastbp.SGD(0.1), epochs=2, average=fastbp.EMA(0.5)
    ... )
    >>> net.weights[0].round(6)  # the mean of 1.8 and 1.64, the weights after the two steps
    array([[1.72]])
    """

    decay: float = 0.999

    def __post_init__(self):
        checks.settle(self, decay=checks.real_number("EMA: decay", self.decay))
        if not 0 < self.decay < 1:
            raise ValueError(f"EMA: decay must be in (0, 1), got {self.decay:g}")


@dataclass(frozen=True)
class SWA:
    """The mean of the weights at the ends of epochs.

    Parameters
    ----------
    start : int
        The first epoch, counted from 1, whose weights enter the mean.

    References
    ----------
    Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider Optima
    and Better Generalization", UAI 2018. As ``torch.optim.swa_utils.AveragedModel``.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.Network([1, 1], loss="squared_error", dtype="float64")
    >>> net.weights[0] = [[2.0]]
    >>> history = net.fit(
    ...     [[1.0]], [0.0], optimizer=fastbp.SGD(0.1), epochs=3, average=fastbp.SWA(start=2)
    ... )
    >>> net.weights[0].round(6)  # the mean of the weights after the second and the third epoch
    array([[1.576]])
    """

    start: int

    def __post_init__(self):
        checks.settle(self, start=checks.whole_number("SWA: start", self.start))


for _class in (EMA, SWA):
    _class.__init__ = keywords(_class.__init__)  # type: ignore[method-assign]
del _class


@dataclass(frozen=True, eq=False)
class Regularizers:
    """Options besides the loss and the optimiser that affect training steps, all checked.

    Parameters
    ----------
    layer_rules : ndarray of shape (m + 1, spec.RULES)
        Penalties and frozen layers, see backends/interface.py.
    sklearn_penalties : bool, default=False
        Use scikit-learn's conventions: penalties are divided by a batch's total weight, and an
        epoch's loss is the mean of its batches' losses, weighted by their numbers of rows.
    dropout : tuple of float, default=()
        Dropout rates of the input and of the hidden layers; empty for no dropout.
    clip_norm : float or None, default=None
        Maximum norm of the gradient.
    average : EMA, SWA or None, default=None
        The average that replaces the weights at the end of training.
    """

    layer_rules: np.ndarray
    sklearn_penalties: bool = False
    dropout: tuple = ()
    clip_norm: float | None = None
    average: EMA | SWA | None = None

    @property
    def penalised(self):
        """Whether a layer has a penalty."""
        return bool(self.layer_rules[1:, (spec.L1, spec.L2)].any())


def regularizers_of(
    m,
    *,
    l1=0.0,
    l2=0.0,
    frozen=(),
    dropout=0.0,
    clip_norm=None,
    average=None,
    sklearn_penalties=False,
):
    """Return the Regularizers of a network of m layers, from the arguments of `Network.fit`."""
    layer_rules = np.zeros((m + 1, spec.RULES))
    for column, name, value in ((spec.L1, "l1", l1), (spec.L2, "l2", l2)):
        if type(value) is float and value == 0:  # the usual case
            continue
        if any(factors := _by_layer(name, value, m)):
            layer_rules[1:, column] = factors
    if layers := indices("frozen", frozen, m):
        layer_rules[layers, spec.FROZEN] = 1
        layer_rules[0] = layer_rules[1, spec.FROZEN] * np.eye(spec.RULES)[spec.FROZEN]
        if layer_rules[1:, spec.FROZEN].all():
            raise ValueError(f"frozen names all {m} layers; at least one layer must not be frozen")
    if clip_norm is not None:
        clip_norm = checks.real_number("clip_norm", clip_norm)
        if clip_norm == 0:
            raise ValueError("clip_norm must be above 0, or None for no clipping")
    if average is not None and not isinstance(average, (EMA, SWA)):
        raise TypeError(f"average must be fastbp.EMA(...) or fastbp.SWA(...), got {average!r}")
    return Regularizers(layer_rules, sklearn_penalties, _rates(dropout, m), clip_norm, average)


def smooth(targets, n_outputs, loss, amount):
    """Smooth checked (labels, values): spread the share `amount` evenly over all classes."""
    amount = _share("label_smoothing", amount)
    if amount == 0:
        return targets
    if loss not in ("cross_entropy", "log_loss"):
        raise ValueError(f"label_smoothing requires the loss cross_entropy or log_loss, got {loss}")
    labels, values = targets
    classes = 2 if loss == "log_loss" else n_outputs
    if labels.size:
        values = np.zeros((len(labels), n_outputs), values.dtype)
        values[np.arange(len(labels)), labels] = 1
    return labels[:0], (1 - amount) * values + amount / classes


def _by_layer(name, value, m):
    """Return a list of one number for each of m layers, from a number or a sequence of m."""
    if not _is_sequence(value):
        return [checks.real_number(name, value)] * m
    if len(value) != m:
        raise ValueError(
            f"{name} must be a number or one number for each of the {m} layers of weights, "
            f"got {len(value)} numbers"
        )
    return [checks.real_number(f"{name}[{i}]", number) for i, number in enumerate(value)]


def _share(name, value):
    """Return `value` as a float in [0, 1)."""
    share = checks.number(name, value)
    if not 0 <= share < 1:  # true for NaN, too
        raise ValueError(f"{name} must be in [0, 1), got {share:g}")
    return share


def _rates(dropout, m):
    """Return the m dropout rates of the input and the hidden layers; () if all are 0."""
    if _is_sequence(dropout):
        if len(dropout) not in (m - 1, m):
            raise ValueError(
                f"dropout must be a rate or one rate for each hidden layer (here {m - 1}), "
                f"optionally preceded by one for the input; got {len(dropout)} rates"
            )
        names = [f"dropout[{i}]" for i in range(len(dropout))]
        rates = [_share(*pair) for pair in zip(names, dropout, strict=True)]
        rates = [0.0] * (m - len(rates)) + rates
    else:
        rate = _share("dropout", dropout)
        if rate == 0:  # the usual case
            return ()
        rates = [0.0] + [rate] * (m - 1)
        if m == 1:
            raise ValueError(
                "dropout: the network has no hidden layer; for dropout of the input pass [rate]"
            )
    return tuple(rates) if any(rates) else ()


def indices(name, value, m):
    """Return layer numbers 1..m, from indices into `Network.weights`."""
    if type(value) is tuple and not value:  # the usual case
        return []
    plain = checks.plain(value)
    if isinstance(plain, (str, bytes, Mapping, type)) or not hasattr(plain, "__iter__"):
        raise TypeError(
            f"{name} must be a list of indices into the network's weights, got {value!r}"
        )
    numbers = []
    for entry in value:
        index = checks.whole_number(f"an entry of {name}", entry, lowest=-m)
        if index >= m:
            raise ValueError(
                f"{name} has the index {index}, but the network has {m} layers of weights: "
                f"0..{m - 1}"
            )
        numbers.append(index % m + 1)
    return numbers


def _is_sequence(value):
    # A float is the usual case; the checks take a microsecond.
    return type(value) is not float and checks.is_sequence(value)

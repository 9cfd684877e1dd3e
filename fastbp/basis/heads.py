"""The heads of a network with several losses: each is a loss of some of the outputs."""

import ctypes
from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import numpy as np

from . import checks, loss_parameters, spec

FORM = "(name, n_outputs) or (name, n_outputs, loss_parameter)"


class Head(NamedTuple):
    """One head, checked.

    Attributes
    ----------
    loss : str
        The name of its loss.
    n_outputs : int
    parameter : float, int, tuple of float or None
        The loss's parameter.
    weight : float
        The factor of its loss in the total.
    outputs, targets : slice
        Its columns of the network's outputs and of all targets.
    """

    loss: str
    n_outputs: int
    parameter: Any
    weight: float
    outputs: slice
    targets: slice

    @property
    def row(self):
        """The spec.Loss."""
        return spec.loss_of(self.loss, self.parameter)

    @property
    def n_targets(self):
        """The number of targets of a sample."""
        return self.targets.stop - self.targets.start

    @property
    def given(self):
        """What a user passes for the head."""
        return (self.loss, self.n_outputs, *(() if self.parameter is None else (self.parameter,)))


def names_of_losses(heads):
    """What the history calls the loss of each head: "poisson_loss".

    If several heads have that loss, the number of the head is in the name: "poisson_1_loss".
    """
    if not heads:  # the usual case
        return []
    of_heads = [head.loss.removesuffix("_loss") for head in heads]
    return [
        f"{loss}_loss" if of_heads.count(loss) == 1 else f"{loss}_{k}_loss"
        for k, loss in enumerate(of_heads)
    ]


def is_given(loss):
    """Whether the argument `loss` lists heads."""
    return isinstance(loss, list | tuple)


def heads_of(loss, loss_weights, n_outputs):
    """Return the heads of a network as a tuple, from its arguments; () for a single loss."""
    if not is_given(loss):
        if loss_weights is not None:
            raise ValueError(
                "loss_weights are the factors of several losses, but the network has a single one; "
                f"pass loss_weights=None, or a list of heads {FORM} as the loss"
            )
        return ()
    if not loss:
        raise ValueError(f"loss is an empty list; it must have an entry {FORM} for each head")
    given = [_entry(f"loss[{k}]", entry) for k, entry in enumerate(loss)]
    widths = [width for _, width, _ in given]
    if sum(widths) != n_outputs:
        raise ValueError(
            f"the numbers of outputs of the heads, {', '.join(map(str, widths))}, sum to "
            f"{sum(widths)}, but the last of layer_sizes is {n_outputs}; each output belongs to "
            "one head"
        )
    found: list[Head] = []
    first = first_target = 0
    for (name, width, parameter), weight in zip(
        given, _weights(loss_weights, len(given)), strict=True
    ):
        n_targets = 1 if spec.loss_of(name, parameter).one_target else width
        outputs = slice(first, first + width)
        targets = slice(first_target, first_target + n_targets)
        found.append(Head(name, width, parameter, weight, outputs, targets))
        first, first_target = outputs.stop, targets.stop
    return tuple(found)


def _entry(name, entry):
    """Return a head's loss, its number of outputs and the loss's parameter."""
    if not isinstance(entry, list | tuple) or len(entry) not in (2, 3):
        raise TypeError(f"{name} must be {FORM}, got {entry!r}")
    loss, width, *parameter = entry
    if callable(loss):
        raise TypeError(
            f"{name} is the function {loss!r}, but heads take losses that have a name: "
            f"{', '.join(spec.LOSSES)}; a function can be the loss of all outputs"
        )
    row = spec.choose("loss", loss, spec.LOSSES)
    width = checks.whole_number(f"the number of outputs of {name}", width, 1, checks.MOST)
    if row.output_activation == "softmax" and width == 1:
        raise ValueError(
            f"{name}: {loss} needs at least 2 outputs (a softmax of one unit is always 1); for two "
            "classes use log_loss with 1 output, or 2 outputs"
        )
    given = parameter[0] if parameter else None
    return loss, width, loss_parameters.loss_parameter(given, loss, row, f"{name}[2]")


def _weights(loss_weights, n_heads):
    if loss_weights is None:
        return [1.0] * n_heads
    try:
        given = [] if isinstance(loss_weights, str | Set | Mapping) else list(loss_weights)
    except TypeError:
        given = []
    if len(given) != n_heads:
        raise ValueError(
            f"loss_weights must have one number for each head, {n_heads} in all, got "
            f"{loss_weights!r}"
        )
    weights = [checks.real_number(f"loss_weights[{k}]", w) for k, w in enumerate(given)]
    if 0.0 in weights:
        raise ValueError(f"loss_weights must be above 0, got {loss_weights!r}; leave that head out")
    return weights


def heads_at(address):
    """The table of heads at an address, float64 of shape (n_heads, spec.HEAD_COLUMNS)."""
    count = int(ctypes.c_double.from_address(address).value)
    numbers = (ctypes.c_double * (1 + count * spec.HEAD_COLUMNS)).from_address(address)
    return np.array(numbers[1:]).reshape(count, spec.HEAD_COLUMNS)

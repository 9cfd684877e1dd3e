"""Several losses: each head has some of the outputs and targets, see `spec.HEAD_COLUMNS`.

e = Σ_k w_k e_k, and ∂e/∂s of a head's outputs is w_k ∂e_k/∂s.
"""

from typing import NamedTuple

import numpy as np

from ...basis import spec
from ...basis.heads import heads_at


class Head(NamedTuple):
    """The code of a loss, its weight and parameter, and its columns of outputs and targets."""

    loss: int
    weight: float
    parameter: float
    outputs: slice
    targets: slice


def heads_of(address):
    """The heads in the table at an address. The parameter of some losses is an address, too."""
    found = []
    for line in heads_at(address):
        start, width, first_target, n_targets, code, place = (
            int(line[column])
            for column in (
                *(spec.HEAD_FIRST, spec.HEAD_WIDTH, spec.HEAD_FIRST_TARGET, spec.HEAD_TARGETS),
                *(spec.HEAD_LOSS, spec.HEAD_NUMBERS),
            )
        )
        found.append(
            Head(
                code,
                float(line[spec.HEAD_WEIGHT]),
                address + 8 * place if place else float(line[spec.HEAD_PARAMETER]),
                slice(start, start + width),
                slice(first_target, first_target + n_targets),
            )
        )
    return found


def loss_and_delta(losses, address, s, y):
    """e and ∂e/∂s of the samples; `losses` is the table of all losses."""
    e, delta = np.zeros(len(s), s.dtype), np.empty_like(s)
    for head in heads_of(address):
        of_head = losses[head.loss].loss_and_delta
        loss, slope = of_head(s[:, head.outputs], y[:, head.targets], head.parameter)
        e = e + head.weight * loss
        delta[:, head.outputs] = head.weight * slope
    return e, delta


def output(losses, address, s):
    """The network's output: that of each head."""
    h = np.empty_like(s)
    for head in heads_of(address):
        h[:, head.outputs] = losses[head.loss].output(s[:, head.outputs])
    return h

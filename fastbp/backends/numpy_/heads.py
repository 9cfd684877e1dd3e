"""Several losses: each head has some of the outputs and targets, see `spec.HEAD_COLUMNS`.

e = Σ_k w_k e_k, and ∂e/∂s of a head's outputs is w_k ∂e_k/∂s.
"""

import ctypes
from typing import NamedTuple

import numpy as np

from ...basis import spec
from ...basis.heads import heads_at


class Head(NamedTuple):
    """The code of a loss, its weight and parameter, and its columns of outputs and targets.

    `sums` is the address of the sum of its losses, or 0.
    """

    loss: int
    weight: float
    parameter: float
    outputs: slice
    targets: slice
    sums: int


def heads_of(address):
    """The heads in the table at an address. The parameter of some losses is an address, too."""
    found = []
    for line in heads_at(address):
        start, width, first_target, n_targets, code, place, sums = (
            int(line[column])
            for column in (
                *(spec.HEAD_FIRST, spec.HEAD_WIDTH, spec.HEAD_FIRST_TARGET, spec.HEAD_TARGETS),
                *(spec.HEAD_LOSS, spec.HEAD_NUMBERS, spec.HEAD_SUMS),
            )
        )
        found.append(
            Head(
                code,
                float(line[spec.HEAD_WEIGHT]),
                address + 8 * place if place else float(line[spec.HEAD_PARAMETER]),
                slice(start, start + width),
                slice(first_target, first_target + n_targets),
                address + 8 * sums if sums else 0,
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


def add_sums(losses, address, s, y, w):
    """Add Σ w e_k to the sum of each head that has a place for it."""
    for head in heads_of(address):
        if head.sums:
            of_head = losses[head.loss].loss_and_delta
            e, _ = of_head(s[:, head.outputs], y[:, head.targets], head.parameter)
            ctypes.c_double.from_address(head.sums).value += float((w * e)[w > 0].sum())


def take_sums(address):
    """The sums of all heads, which begin anew."""
    places = [ctypes.c_double.from_address(head.sums) for head in heads_of(address)]
    found = [place.value for place in places]
    for place in places:
        place.value = 0.0
    return found


def hessian_product(losses, address, s, y, v):
    """∂²e/∂s∂s v of the samples, in which no two heads meet."""
    product = np.empty_like(s)
    for head in heads_of(address):
        own, of_head = head.outputs, losses[head.loss].hessian_product
        found = of_head(s[:, own], y[:, head.targets], head.parameter, v[:, own])
        product[:, own] = head.weight * found
    return product


def output(losses, address, s):
    """The network's output: that of each head."""
    h = np.empty_like(s)
    for head in heads_of(address):
        h[:, head.outputs] = losses[head.loss].output(s[:, head.outputs])
    return h

"""Pairs: an output activation σ and a loss that is computed from the output h = σ(s).

Then ∂e/∂s = ∂e/∂h σ'(s), which the passes compute by the pieces of both. Its twin is
`pair_hessian_product` in ``src_cython/losses.pxi``.
"""

import functools

from ...basis import spec
from ._jit import inner
from .elementwise import ACTIVATIONS
from .losses import LOSSES, pointwise_product


@functools.cache
def hessian_product(loss, activation):
    """The Piece for products of the Hessian ∂²e/∂s∂s, by the codes of a loss and of σ.

    σ is IDENTITY if the loss implies the output activation. A custom loss has no second derivative.
    """
    of_loss = LOSSES[loss]
    if activation == spec.IDENTITY or not of_loss.functions:
        return of_loss.hessian_product
    value, derivative, second_derivative, *_ = ACTIVATIONS[activation].functions
    slope_of_loss, product_of_loss = of_loss.functions

    @inner
    def product(parameter, s, y, v):
        """e''(h) σ'(s)² v + e'(h) σ''(s) v."""
        h = value(s)
        slope = derivative(s, h)
        first = product_of_loss(parameter, h, y, v * slope * slope)
        return first + slope_of_loss(parameter, h, y) * (v * second_derivative(s, h))

    names = (of_loss.losses_and_deltas.function.__name__, value.__name__)
    return pointwise_product("hessian_product_of_{}_of_{}".format(*names), product)

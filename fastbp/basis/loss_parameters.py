"""Checks of the parameters of losses."""

import itertools
import math

from . import checks


def loss_parameter(value, name, loss, argument="loss_parameter"):
    """Return a loss's parameter: `value`, or the loss's default if that is None.

    It is a float, an int for a number of components, or a tuple of floats for several quantiles.
    Messages call it `argument`.
    """
    if value is None:
        return loss.parameter
    if loss.parameter is None:
        raise ValueError(
            f"the loss {name} has no parameter, so {argument} must be None, got {value!r}"
        )
    if isinstance(loss.parameter, int):
        return checks.whole_number(argument, value, 1, checks.MOST)
    if name == "quantile" and checks.is_sequence(value):
        return _levels(value, argument)
    number = checks.real_number(argument, value, -math.inf, math.inf)
    low, high = loss.parameter_above, loss.parameter_below
    if not low < number < high:
        raise ValueError(f"{argument} of {name} must be in ({low:g}, {high:g}), got {value!r}")
    return number


def _levels(value, argument):
    """Return the levels of several quantiles as a tuple of floats."""
    levels = tuple(checks.number(f"{argument}[{i}]", q) for i, q in enumerate(value))
    rising = all(low < high for low, high in itertools.pairwise((0.0, *levels, 1.0)))
    if len(levels) < 2 or not rising:
        raise ValueError(
            f"{argument} of quantile must be a number in (0, 1), or at least two of them in rising "
            f"order, got {value!r}"
        )
    return levels

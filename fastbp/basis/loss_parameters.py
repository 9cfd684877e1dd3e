"""Checks of the parameters of losses."""

import itertools
import math

from . import checks


def loss_parameter(value, name, loss):
    """Return a loss's parameter: `value`, or the loss's default if that is None.

    It is a float, an int for a number of components, or a tuple of floats for several quantiles.
    """
    if value is None:
        return loss.parameter
    if loss.parameter is None:
        raise ValueError(
            f"the loss {name} has no parameter, so loss_parameter must be None, got {value!r}"
        )
    if isinstance(loss.parameter, int):
        return checks.whole_number("loss_parameter", value, 1, checks.MOST)
    if name == "quantile" and checks.is_sequence(value):
        return _levels(value)
    number = checks.real_number("loss_parameter", value, -math.inf, math.inf)
    low, high = loss.parameter_above, loss.parameter_below
    if not low < number < high:
        raise ValueError(f"loss_parameter of {name} must be in ({low:g}, {high:g}), got {value!r}")
    return number


def _levels(value):
    """Return the levels of several quantiles as a tuple of floats."""
    levels = tuple(checks.number(f"loss_parameter[{i}]", q) for i, q in enumerate(value))
    rising = all(low < high for low, high in itertools.pairwise((0.0, *levels, 1.0)))
    if len(levels) < 2 or not rising:
        raise ValueError(
            "loss_parameter of quantile must be a number in (0, 1), or at least two of them in "
            f"rising order, got {value!r}"
        )
    return levels

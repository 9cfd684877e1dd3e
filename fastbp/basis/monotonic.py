"""Monotonic constraints: the sign that each weight must have, so that the output rises or falls.

A hidden unit has a sign t, 1 or -1, by turns. If t h rises with the constrained features in all
units of a layer, and the weight from unit j to unit k of the next one has the sign t_j t_k or is
0, then t_k s_k rises with them, too, and so does t_k h_k = t_k σ(s_k) for an activation σ that
rises. In the first layer, the feature's constraint is in the place of t_j; the output has t = 1.
With a convex σ such as relu, units with t = -1 make concave functions, -σ(-s), and both kinds
together any shape (Runje and Shankaranarayana, "Constrained Monotonic Neural Networks", ICML 2023).
"""

import numpy as np

from . import checks

# The activations that never fall.
RISING = (
    *("identity", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus", "hard_tanh", "selu"),
    "exp",
)
NAME = "monotonic_cst"


def constraint(value, n_features):
    """Return a constraint as a tuple of 1, -1 or 0 for each feature; () if none is constrained."""
    if value is None:
        return ()
    if isinstance(value, dict):
        raise TypeError(
            f"{NAME} must be a list of {n_features} numbers here, since the features have no "
            f"names; got the dict {value!r}"
        )
    numbers = checks.shaped(value, (n_features,), NAME)
    for j, number in enumerate(numbers):
        if number not in (-1, 0, 1):
            raise ValueError(
                f"{NAME} must be 1 (rising), -1 (falling) or 0 (free) for each feature, but is "
                f"{number:g} for feature {j}"
            )
    return tuple(int(number) for number in numbers) if numbers.any() else ()


def check(activations, output_activation, n_outputs):
    """Refuse a network that no signs of weights make monotonic."""
    if n_outputs > 1:
        raise ValueError(
            f"{NAME} needs a single output, a value or the probability of the second of two "
            f"classes; this network has {n_outputs}"
        )
    for activation in (*activations, output_activation):
        if activation not in RISING:
            raise ValueError(
                f"{NAME} needs activations that never fall, but {str(activation)!r} does, or may; "
                f"use one of {', '.join(RISING)}"
            )


def signs(layout, constrained):
    """The sign of each weight, in the layout of the parameters; see `interface.Backend.job`.

    Without a constraint the array is empty.
    """
    if not constrained:
        return np.empty(0, layout.dtype)
    found = layout.zeros(layout.n_parameters)
    before = np.array(constrained)
    for array in layout.views(found)[0]:
        own = np.ones(array.shape[1])
        own[1::2] = -1
        array[...] = np.outer(before, own)
        before = own
    return found


def by_layer(layout, signs):
    """The signs of each layer's weights, as matrices; an empty list without a constraint."""
    return layout.views(signs)[0] if signs.size else []


def bounds(wanted):
    """The lower and upper bounds of numbers that must have these signs, as float64 arrays."""
    return np.where(wanted > 0, 0.0, -np.inf), np.where(wanted < 0, 0.0, np.inf)


def constrain(weights, biases, signs, random):
    """Give the initial weights of all layers the signs that they must have, in place.

    Behind the first hidden layer, the weights into a unit then sum to 1 in size. All t h rise
    together, so that with larger weights the outputs would grow with the width of each layer. And
    since all units of a layer rise in much the same direction, their biases tell them apart: in
    hidden layers they are drawn between plus and minus that sum.
    """
    last = len(weights) - 1
    for i, (W, b, wanted) in enumerate(zip(weights, biases, signs, strict=True)):
        W[...] = np.where(wanted != 0, wanted * np.abs(W), W)
        sums = np.abs(W).sum(axis=0)
        if i > 0:
            W /= np.where(sums > 0, sums, 1)
            sums[...] = 1
        if i < last:
            b[...] = sums * random.uniform(-1, 1, b.shape)


def check_signs(weights, wanted, name):
    """Refuse weights of a wrong sign."""
    wrong = wanted * weights < 0
    if wrong.any():
        j, k = (int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"{name}[{j}, {k}] is {weights[j, k]:g}, but {NAME} needs it to be "
            f"{'at least' if wanted[j, k] > 0 else 'at most'} 0; the sign of a weight follows "
            "from its units, which rise and fall by turns"
        )

"""The vocabulary that the network and every backend share: names, codes and what they imply.

Compiled kernels get integer codes and branch on them outside their inner loops. Adding an
activation, a loss or an optimiser means a row here and a function of the same name in each
backend.
"""

from dataclasses import dataclass

# Codes of activations.
IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU = range(9)
# Codes of losses.
LOG_LOSS, CROSS_ENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, POISSON, QUANTILE = range(7)
CUSTOM = 7  # computed by a function of the user's
# Codes of optimisers (their hyper-parameters are the dataclasses in optimizers.py).
SGD, MOMENTUM, NESTEROV, RMSPROP, ADAGRAD, ADAM, ADAMW, RPROP = range(8)

# Columns of the table of rules, which has a row a layer as the plan does: the penalties
# l1 Σ |W| and l2 / 2 Σ W² (row 0 is not used), and whether the layer keeps its parameters.
L1, L2, FROZEN, RULES = range(4)

LEAKY_SLOPE = 0.01  # slope of leaky_relu below zero
# Moments of optimisers that are smaller than this are set to 0.
SMALLEST = 2.0**-100
# Gradients that are smaller than this count as 0 where squares are averaged: in float32 they would
# be less than the last place of any average that is not set to 0.
SMALLEST_SQUARED = 2.0**-60


@dataclass(frozen=True)
class Activation:
    """One elementwise function h = σ(s) and what follows from its shape.

    ``uses_preactivation`` tells whether the derivative needs s besides h; if it does not,
    h overwrites s and the workspace holds one array less.
    """

    code: int
    uses_preactivation: bool
    initialization: str  # "glorot" or "he", see network.initial_weights


ACTIVATIONS = {
    "identity": Activation(IDENTITY, False, "glorot"),
    "sigmoid": Activation(SIGMOID, False, "glorot"),
    "tanh": Activation(TANH, False, "glorot"),
    "relu": Activation(RELU, False, "he"),
    "leaky_relu": Activation(LEAKY_RELU, False, "he"),
    "elu": Activation(ELU, False, "he"),
    "softplus": Activation(SOFTPLUS, False, "he"),
    "silu": Activation(SILU, True, "he"),
    "gelu": Activation(GELU, True, "he"),
}


@dataclass(frozen=True)
class Loss:
    """One loss with the output activation that belongs to it.

    ``lowest`` and ``highest`` bound the targets for which the loss is defined. ``parameter``
    is the default of the loss's parameter, which lies between 0 and ``parameter_below``;
    None if it has none.
    """

    code: int
    output_activation: str
    lowest: float = float("-inf")
    highest: float = float("inf")
    parameter: float | None = None
    parameter_below: float = 1e15


LOSSES = {
    "log_loss": Loss(LOG_LOSS, "sigmoid", 0.0, 1.0),
    "cross_entropy": Loss(CROSS_ENTROPY, "softmax", 0.0, 1.0),
    "squared_error": Loss(SQUARED_ERROR, "identity"),
    "absolute_error": Loss(ABSOLUTE_ERROR, "identity"),
    "huber": Loss(HUBER, "identity", parameter=1.0),
    "poisson": Loss(POISSON, "exp", 0.0),
    "quantile": Loss(QUANTILE, "identity", parameter=0.5, parameter_below=1.0),
}


CUSTOM_LOSS = Loss(CUSTOM, "identity")


def choose(kind, name, table):
    """The row of `table` called `name`, or a ValueError that lists the known names."""
    if not isinstance(name, str):
        raise TypeError(f"{kind} must be a name (str), got {type(name).__name__}: {name!r}")
    if name not in table:
        raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(sorted(table))}")
    return table[name]


def hidden_activations(activation, n_hidden):
    """One name for each hidden layer, from a name or a sequence of names."""
    names = [activation] * n_hidden if isinstance(activation, str) else activation
    if isinstance(activation, str):
        choose("activation", activation, ACTIVATIONS)
    try:
        names = tuple(names)
    except TypeError:
        raise TypeError(
            f"activation must be a name or one name per hidden layer, got {activation!r}"
        ) from None
    if len(names) != n_hidden:
        raise ValueError(
            f"activation lists {len(names)} names, but there are {n_hidden} hidden layers "
            "(the output layer's activation comes with the loss)"
        )
    for name in names:
        choose("activation", name, ACTIVATIONS)
    return names

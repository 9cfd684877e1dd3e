"""Tables of activations, losses and optimisers that the network and all backends share.

Compiled kernels get integer codes. A new activation, loss or optimiser needs a row here and a
function of the same name in each backend.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import NamedTuple

from .names import advice

# Codes of activations.
IDENTITY, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU = range(9)
SIN, HARD_TANH, SELU, MISH, PRELU, CUSTOM_ACTIVATION = range(9, 15)
# A network's first function of the user's own has the code CUSTOM_ACTIVATION, its second one the
# next, up to CODES - 1.
CODES = 32
# Codes of normalisations, 0 for none.
NO_NORM, LAYER_NORM, RMS_NORM = range(3)
# Codes of losses.
LOG_LOSS, CROSS_ENTROPY, SQUARED_ERROR, ABSOLUTE_ERROR, HUBER, POISSON, QUANTILE = range(7)
# Negative log likelihoods of one target a sample, from all outputs; and quantile with several q.
GAUSSIAN, STUDENT_T, LAPLACE, NEGATIVE_BINOMIAL, MIXTURE_DENSITY, QUANTILES = range(7, 13)
CUSTOM = 13  # computed by a user's function
POISSON_RATE = 14  # poisson as a function of h, the rate, for other output activations than exp
HEADS = 15  # several losses, each of some of the outputs
# Columns of the table of heads, which is float64 and follows the number of heads: the first output
# and the number of outputs, the first target and the number of targets; the code of the loss, its
# weight and its parameter; where the numbers of a distribution begin; and where kernels add up its
# losses: places for as many sums as a batch has groups of blocks, or 0 if they are not wanted.
HEAD_FIRST, HEAD_WIDTH, HEAD_FIRST_TARGET, HEAD_TARGETS, HEAD_LOSS = range(5)
HEAD_WEIGHT, HEAD_PARAMETER, HEAD_NUMBERS, HEAD_SUMS, HEAD_COLUMNS = range(5, 10)
# Codes of optimisers (their hyper-parameters are the dataclasses in optimizers.py).
SGD, MOMENTUM, NESTEROV, RMSPROP, ADAGRAD, ADAM, ADAMW, RPROP = range(8)

# Columns of the table of rules, which has one row per layer like the plan (row 0 is unused):
# the factors of the penalties l1 Σ |W| and l2 / 2 Σ W², and whether the layer is frozen.
L1, L2, FROZEN, RULES = range(4)

LEAKY_SLOPE = 0.01  # slope of leaky_relu below zero
# selu: λ for positive s, λ α (exp(s) - 1) below (Klambauer et al., NeurIPS 2017, appendix A4).
SELU_SCALE = 1.0507009873554805
SELU_DEPTH = 1.7580993408473768  # λ α
# Added to the variance before dividing by its root, as in PyTorch's LayerNorm.
NORM_EPSILON = 1e-5
NORMS = {None: NO_NORM, "layer": LAYER_NORM, "rms": RMS_NORM}
SIREN_FREQUENCY = 30.0  # ω0 of SIREN, the factor of the first layer's initial weights before sin


@dataclass(frozen=True)
class Activation:
    """One elementwise function h = σ(s) and its properties.

    Attributes
    ----------
    code : int
    uses_preactivation : bool
        Whether the derivative needs s besides h. If not, h overwrites s, which saves an array of
        the workspace.
    initialization : {"glorot", "he", "lecun", "siren"}
        The rule for the layer's initial weights, see `initial.bounds`.
    largest_slope : float
        The maximum of σ'(s).
    one_sided : bool
        Whether the function is flat on one side by design, so that about half of the units are
        idle for a sample.
    formulas : tuple of str
        σ(s) and σ'(s) as text, then both as LaTeX.
    """

    code: int
    uses_preactivation: bool
    initialization: str
    largest_slope: float
    one_sided: bool
    formulas: tuple


ACTIVATIONS = {
    "identity": Activation(IDENTITY, False, "glorot", 1.0, False, ("s", "1", "s", "1")),
    "sigmoid": Activation(
        *(SIGMOID, False, "glorot", 0.25, False),
        ("1 / (1 + exp(-s))", "h (1 - h)", r"\frac{1}{1 + e^{-s}}", "h (1 - h)"),
    ),
    "tanh": Activation(
        *(TANH, False, "glorot", 1.0, False),
        ("tanh s", "1 - h²", r"\tanh s", "1 - h^2"),
    ),
    "relu": Activation(
        *(RELU, False, "he", 1.0, True),
        ("max(s, 0)", "1 if s > 0, else 0", r"\max(s, 0)", r"[s > 0]"),
    ),
    "leaky_relu": Activation(
        *(LEAKY_RELU, False, "he", 1.0, True),
        (
            "max(s, 0.01 s)",
            "1 if s > 0, else 0.01",
            r"\max(s, 0.01 s)",
            r"[s > 0] + 0.01 [s \leq 0]",
        ),
    ),
    "elu": Activation(
        *(ELU, False, "he", 1.0, True),
        (
            "s if s > 0, else exp(s) - 1",
            "1 if s > 0, else h + 1",
            r"\max(s, 0) + e^{\min(s, 0)} - 1",
            r"e^{\min(s, 0)}",
        ),
    ),
    "softplus": Activation(
        *(SOFTPLUS, False, "he", 1.0, True),
        ("ln(1 + exp(s))", "1 - exp(-h)", r"\ln(1 + e^s)", "1 - e^{-h}"),
    ),
    "silu": Activation(
        *(SILU, True, "he", 1.1, True),
        (
            "s / (1 + exp(-s))",
            "p + h (1 - p), p = 1 / (1 + exp(-s))",
            r"\frac{s}{1 + e^{-s}}",
            r"p + h (1 - p), \quad p = \frac{1}{1 + e^{-s}}",
        ),
    ),
    "gelu": Activation(
        *(GELU, True, "he", 1.13, True),
        (
            "s Φ(s)",
            "Φ(s) + s exp(-s²/2) / √(2π)",
            r"s \, \Phi(s)",
            r"\Phi(s) + \frac{s \, e^{-s^2/2}}{\sqrt{2\pi}}",
        ),
    ),
    "sin": Activation(
        *(SIN, True, "siren", 1.0, False),
        ("sin s", "cos s", r"\sin s", r"\cos s"),
    ),
    "hard_tanh": Activation(
        *(HARD_TANH, False, "glorot", 1.0, False),
        (
            "max(-1, min(s, 1))",
            "1 if -1 < s < 1, else 0",
            r"\max(-1, \min(s, 1))",
            r"[-1 < s < 1]",
        ),
    ),
    "selu": Activation(
        *(SELU, False, "lecun", SELU_DEPTH, True),
        (
            "λ s if s > 0, else λ α (exp(s) - 1)",
            "λ if s > 0, else h + λ α",
            r"\lambda (\max(s, 0) + \alpha (e^{\min(s, 0)} - 1))",
            r"\lambda [s > 0] + \lambda \alpha \, e^s [s \leq 0]",
        ),
    ),
    "mish": Activation(
        *(MISH, True, "he", 1.09, True),
        (
            "s t, t = tanh(ln(1 + exp(s)))",
            "t + s (1 - t²) / (1 + exp(-s))",
            r"s \, t, \quad t = \tanh \ln(1 + e^s)",
            r"t + s \, \frac{1 - t^2}{1 + e^{-s}}",
        ),
    ),
}

# Activations of hidden layers: those above, and one with a learned slope for each unit.
HIDDEN_ACTIVATIONS = ACTIVATIONS | {
    "prelu": Activation(
        *(PRELU, True, "he", 1.0, False),
        (
            "s if s > 0, else a s",
            "1 if s > 0, else a",
            r"\max(s, 0) + a \min(s, 0)",
            r"[s > 0] + a [s \leq 0]",
        ),
    ),
}


@dataclass(frozen=True)
class Loss:
    """One loss with its output activations.

    Attributes
    ----------
    code : int
    output_activation : str
        The canonical one. Kernels compute e and ∂e/∂s from s in one formula, which neither
        overflows nor loses digits where h saturates.
    gradient : tuple of str
        ∂e/∂h and ∂e/∂s at the output as text, then both as LaTeX.
    lowest, highest : float
        Bounds of the targets.
    parameter : float or None
        The default of the loss's parameter, which lies between `parameter_above` and
        `parameter_below`; None if the loss has no parameter.
    others : tuple of str
        Further output activations that the loss may have, for which ∂e/∂s = ∂e/∂h σ'(s).
    of_output : int or None
        With these, the code of the loss as a function of h.
    meaning : str
        What the outputs mean, of losses that compare all outputs of a sample with one target.
    counts : bool
        Whether targets must be whole numbers.
    """

    code: int
    output_activation: str
    gradient: tuple
    lowest: float = float("-inf")
    highest: float = float("inf")
    parameter: float | None = None
    parameter_above: float = 0.0
    parameter_below: float = 1e15
    others: tuple = ()
    of_output: int | None = None
    meaning: str = ""
    counts: bool = False

    @property
    def one_target(self):
        """Whether a sample has one target, whatever the number of outputs."""
        return bool(self.meaning)

    @property
    def outputs(self):
        """The names of all output activations that the loss may have."""
        return (self.output_activation, *self.others)


FROM_THE_LOSS = ("from the loss",) * 2 + (r"\text{from the loss}",) * 2


def _distribution(code, meaning, **settings):
    """The Loss of a distribution, whose parameters are the outputs."""
    return Loss(code, "identity", FROM_THE_LOSS, meaning=meaning, **settings)


# The activations that may be at the output, too, beside identity.
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "identity")

LOSSES = {
    "log_loss": Loss(
        LOG_LOSS,
        "sigmoid",
        (
            "-y/h + (1 - y)/(1 - h)",
            "h - y",
            r"-\frac{y}{h} + \frac{1 - y}{1 - h}",
            "h - y",
        ),
        lowest=0.0,
        highest=1.0,
    ),
    "cross_entropy": Loss(
        CROSS_ENTROPY,
        "softmax",
        ("-y/h", "h - y", r"-\frac{y}{h}", "h - y"),
        lowest=0.0,
        highest=1.0,
    ),
    "squared_error": Loss(
        SQUARED_ERROR, "identity", ("h - y",) * 4, others=ELEMENTWISE, of_output=SQUARED_ERROR
    ),
    "absolute_error": Loss(
        ABSOLUTE_ERROR,
        "identity",
        ("sign(h - y)",) * 2 + (r"\operatorname{sign}(h - y)",) * 2,
        others=ELEMENTWISE,
        of_output=ABSOLUTE_ERROR,
    ),
    "huber": Loss(
        HUBER,
        "identity",
        ("h - y, at most δ in size",) * 2 + (r"\max(-\delta, \min(h - y, \delta))",) * 2,
        parameter=1.0,
        others=ELEMENTWISE,
        of_output=HUBER,
    ),
    "poisson": Loss(
        POISSON,
        "exp",
        ("1 - y/h", "h - y", r"1 - \frac{y}{h}", "h - y"),
        lowest=0.0,
        others=("identity", "softplus"),
        of_output=POISSON_RATE,
    ),
    "quantile": Loss(
        QUANTILE,
        "identity",
        ("1 - q if h > y, else -q",) * 2 + (r"[h > y] - q",) * 2,
        parameter=0.5,
        parameter_below=1.0,
        others=ELEMENTWISE,
        of_output=QUANTILE,
    ),
    "gaussian": _distribution(GAUSSIAN, "mean and log variance"),
    "student_t": _distribution(  # float32 has no 1 / √ν of far smaller ones
        STUDENT_T, "location and log scale", parameter=5.0, parameter_above=1e-30
    ),
    "laplace": _distribution(LAPLACE, "location and log scale"),
    "negative_binomial": _distribution(
        NEGATIVE_BINOMIAL, "log mean and log dispersion", lowest=0.0, counts=True
    ),
    "mixture_density": _distribution(
        MIXTURE_DENSITY, "logits, means and log scales of the components", parameter=5
    ),
}
# The loss quantile with several q.
QUANTILES_LOSS = _distribution(
    QUANTILES, "the first quantile and what each further one adds", parameter=()
)

# Output activation -> the loss of a network made from elsewhere, unless another one is asked for:
# the first of those to which it is canonical, else of those that may have it.
DEFAULT_LOSSES: dict[str, str] = {}
for _name, _row in LOSSES.items():
    DEFAULT_LOSSES.setdefault(_row.output_activation, _name)
for _name, _row in LOSSES.items():
    for _other in _row.others:
        DEFAULT_LOSSES.setdefault(_other, _name)

CUSTOM_LOSS = Loss(
    CUSTOM,
    "identity",
    FROM_THE_LOSS,
    others=ELEMENTWISE,
    of_output=CUSTOM,
)

# Of networks with several losses. Each head has the output activation of its loss.
HEADS_LOSS = Loss(HEADS, "heads", FROM_THE_LOSS)

# Of networks without a loss, which may end in everything.
NO_LOSS = Loss(
    SQUARED_ERROR, "identity", (), others=tuple(n for n in DEFAULT_LOSSES if n != "identity")
)


def loss_of(loss, parameter=None):
    """The Loss for a user's arguments: a name, a function, None or heads; its parameter."""
    if loss is None:
        return NO_LOSS
    if isinstance(loss, tuple):
        return HEADS_LOSS
    if isinstance(loss, str) and loss == "quantile" and isinstance(parameter, tuple):
        return QUANTILES_LOSS
    return CUSTOM_LOSS if callable(loss) else choose("loss", loss, LOSSES)


class Pair(NamedTuple):
    """A loss and an output activation, as the kernels take them.

    Attributes
    ----------
    loss : int
        Code of a loss.
    output_activation : str
    apart : str
        The output activation if kernels compute it apart from the loss, which then is a function of
        h; "identity" if the code of the loss implies it.
    """

    loss: int
    output_activation: str
    apart: str = "identity"


def pair_of(loss, output_activation=None, parameter=None):
    """The Pair for a user's loss or None, output activation or None, and checked parameter."""
    row = loss_of(loss, parameter)
    if loss is None and output_activation is None:
        raise TypeError(
            "a network needs a loss=, such as 'squared_error', or, to go without one, an "
            f"output_activation=: {', '.join(NO_LOSS.outputs)}"
        )
    if row is HEADS_LOSS and output_activation not in (None, row.output_activation):
        raise ValueError(
            "each head of a network has the output activation of its loss, so output_activation "
            f"must be None, got {output_activation!r}"
        )
    if output_activation in (None, row.output_activation):
        return Pair(row.code, row.output_activation)
    choose("output_activation", output_activation, DEFAULT_LOSSES)
    if output_activation not in row.outputs:
        title = "a function" if row is CUSTOM_LOSS else loss
        raise ValueError(
            f"the loss {title} cannot have the output activation {output_activation}, only "
            f"{', '.join(row.outputs)}; losses with {output_activation}: "
            f"{', '.join(losses_with(output_activation))}"
        )
    if row is NO_LOSS:  # the kernels compute none, so any with this output activation will do
        return pair_of(DEFAULT_LOSSES[output_activation], output_activation)
    return Pair(row.of_output, output_activation, output_activation)


def losses_with(output_activation):
    """The names of the losses that may have an output activation."""
    return [name for name, row in LOSSES.items() if output_activation in row.outputs]


def choose(kind, name, table):
    """The row of `table` called `name`; a ValueError lists the known names."""
    if not isinstance(name, str):
        raise TypeError(f"{kind} must be a name (str), got {type(name).__name__}: {name!r}")
    if name not in table:
        known = ", ".join(sorted(table))
        raise ValueError(f"unknown {kind} {name!r}; known: {known}{advice(kind, name, table)}")
    return table[name]


def activation_of(item):
    """The Activation of a layer: of its name, or the user's own."""
    return item if isinstance(item, Activation) else HIDDEN_ACTIVATIONS[item]


def activations_of(activation, n_hidden):
    """One activation per hidden layer, from one or a sequence: names, and Activations."""
    alone = isinstance(activation, str | Activation)
    names = [activation] * n_hidden if alone else activation
    if alone or callable(activation):
        _check_activation(activation)
    try:
        if isinstance(names, Set | Mapping):
            raise TypeError("they have no order")
        names = tuple(names)
    except TypeError:
        raise TypeError(
            f"activation must be a name or one name per hidden layer, got {activation!r}"
        ) from None
    if len(names) != n_hidden:
        raise ValueError(
            f"activation must have one name for each hidden layer (here {n_hidden}), "
            f"got {len(names)} (the output layer's activation comes with the loss)"
        )
    for name in names:
        _check_activation(name)
    own, most = {name for name in names if isinstance(name, Activation)}, CODES - CUSTOM_ACTIVATION
    if len(own) > most:
        raise ValueError(
            f"activation has {len(own)} different functions of your own; a network takes at most "
            f"{most}"
        )
    return names


def _check_activation(item):
    if isinstance(item, Activation):
        return
    if callable(item):
        raise TypeError(
            f"activation must be a name or a fastbp.Activation, got the function {item!r}; a "
            "function needs its derivative besides: fastbp.Activation(value, derivative)"
        )
    choose("activation", item, HIDDEN_ACTIVATIONS)

"""What every exchange comes down to: a chain of layers, and how it becomes a Network."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .. import spec

# Output activations -> the loss of a Network made from elsewhere, unless another one is asked for.
LOSSES = {
    "identity": "squared_error",
    "sigmoid": "log_loss",
    "softmax": "cross_entropy",
    "exp": "poisson",
}


class Chain(NamedTuple):
    """Layers as another tool has them: h_i = σ_i(h_{i-1} W_i + b_i)."""

    weights: Sequence[np.ndarray]  # of shapes (n_{i-1}, n_i)
    biases: Sequence[np.ndarray]  # of shapes (n_i,)
    activations: Sequence[str]  # of the hidden layers
    output: str  # the output activation, a key of LOSSES


def network_of(cls, chain, loss, backend):
    """A Network (the class `cls`) that computes what the chain does."""
    shapes = [np.shape(W) for W in chain.weights]
    if any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"weights of layers must be matrices, got shapes {shapes}")
    sizes = [shapes[0][0], *(shape[1] for shape in shapes)]
    if [shape[0] for shape in shapes[1:]] != sizes[1:-1]:
        raise ValueError(f"weights of shapes {shapes} do not follow on each other")
    dtypes = sorted({np.asarray(array).dtype.name for array in [*chain.weights, *chain.biases]})
    if dtypes not in (["float32"], ["float64"]):
        raise ValueError(f"weights must be float32 or float64 throughout, got {', '.join(dtypes)}")
    net = cls(
        sizes,
        activation=chain.activations,
        loss=_loss(chain.output, loss),
        dtype=dtypes[0],
        backend=backend,
    )
    for i, (W, b) in enumerate(zip(chain.weights, chain.biases, strict=True)):
        net.weights[i], net.biases[i] = W, b
    return net


def _loss(output, loss):
    """The loss asked for, if its output activation is the chain's or can be put behind it."""
    if loss is None:
        return LOSSES[output]
    known = spec.CUSTOM_LOSS if callable(loss) else spec.choose("loss", loss, spec.LOSSES)
    if output not in ("identity", known.output_activation):
        fitting = [name for name, row in spec.LOSSES.items() if row.output_activation == output]
        raise ValueError(
            f"loss {loss!r} has the output activation {known.output_activation}, but the model "
            f"ends in {output}; losses for that: {', '.join(fitting)}"
        )
    return loss

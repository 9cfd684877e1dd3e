"""A chain of layers, which every importer produces, and its conversion to a Network."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..basis import spec

ROWS = 32  # number of random rows for comparing a model's outputs with its network's


class Chain(NamedTuple):
    """The layers of another tool's model: h_i = σ_i(h_{i-1} W_i + b_i)."""

    weights: Sequence[np.ndarray]  # of shapes (n_{i-1}, n_i)
    biases: Sequence[np.ndarray]  # of shapes (n_i,)
    activations: Sequence[str]  # of the hidden layers
    output: str  # the output activation


class Linear(NamedTuple):
    """One linear layer: s = h W + b."""

    W: np.ndarray
    b: np.ndarray | None


def chain_of(layers):
    """Return the chain of a model's layers, given as pairs of place (for messages) and layer.

    A layer is a Linear or the name of an activation; "identity" may be anywhere.
    """
    weights: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    names: list[str] = []  # the activation after each linear layer
    before = ""  # the place of the last activation
    for place, layer in layers:
        if isinstance(layer, Linear):
            if names:
                check_hidden(names[-1], before)
            W, b = layer
            if W.ndim != 2 or (b is not None and b.shape != W.shape[1:]):
                shapes = W.shape if b is None else f"{W.shape} and {b.shape}"
                raise ValueError(
                    f"{place} has shapes {shapes}, expected a matrix and a bias for all its outputs"
                )
            weights.append(W)
            biases.append(np.zeros(W.shape[1], W.dtype) if b is None else b)
            names.append("identity")
        elif layer != "identity":
            if not weights:
                raise ValueError(f"{place} comes before the first linear layer")
            if names[-1] != "identity":
                raise ValueError(f"{place} follows an activation, but must follow a linear layer")
            names[-1], before = layer, place
    if not weights:
        raise ValueError("the model has no linear layer")
    *hidden, output = names
    return Chain(weights, biases, hidden, output)


def check_hidden(name, place):
    """Refuse activations that only the output can have."""
    if name not in spec.ACTIVATIONS:
        raise ValueError(
            f"{place} has the activation {name}, which a Network can have at its output only"
        )


def hidden_activations(what, activation, n_hidden):
    """Return the names of the hidden layers' activations, for weights that come without them.

    Without hidden layers, none need be passed.
    """
    if activation is not None:
        return spec.activations_of(activation, n_hidden)
    if n_hidden:
        raise ValueError(
            f"a {what} does not tell the activations of its {n_hidden} hidden layers: pass "
            'activation=, such as "relu"'
        )
    return ()


def in_float64(chain):
    """Return the same chain with weights in float64."""
    weights, biases = ([a.astype(np.float64) for a in arrays] for arrays in chain[:2])
    return chain._replace(weights=weights, biases=biases)


def check_outputs(outputs, expected, tolerance, why):
    """Raise ValueError if a model's outputs differ from those of the network read from it."""
    size = np.abs(expected[np.isfinite(expected)]).max(initial=1)
    if outputs.shape != expected.shape:
        what = f"their shape is {outputs.shape}, not {expected.shape}"
    elif np.allclose(outputs, expected, tolerance, tolerance * size, equal_nan=True):
        return
    elif not np.isfinite(outputs).all() or not np.isfinite(expected).all():
        what = "some are infinite or not a number"
    else:
        what = f"they differ by up to {np.abs(outputs - expected).max():.2g}"
    raise ValueError(
        "the model's outputs for random rows are not those of a Network with its layers "
        f"({what}): {why}"
    )


def network_of(cls, chain, loss, backend, loss_parameter=None, monotonic_cst=None):
    """Return a network of the class `cls` that computes the same as the chain."""
    shapes = [np.shape(W) for W in chain.weights]
    if any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"weights of layers must be matrices, got shapes {shapes}")
    sizes = [shapes[0][0], *(shape[1] for shape in shapes)]
    if [shape[0] for shape in shapes[1:]] != sizes[1:-1]:
        raise ValueError(
            f"weights of shapes {shapes} do not form a chain: each must have as many rows as the "
            "one before has columns"
        )
    dtypes = sorted({np.asarray(array).dtype.name for array in [*chain.weights, *chain.biases]})
    if dtypes not in (["float32"], ["float64"]):
        raise ValueError(f"weights must be float32 or float64 throughout, got {', '.join(dtypes)}")
    loss, output = _pair(chain.output, loss)
    net = cls._new(
        sizes,
        activation=chain.activations,
        loss=loss,
        loss_parameter=loss_parameter,
        output_activation=output,
        dtype=dtypes[0],
        monotonic_cst=monotonic_cst,
        backend=backend,
    )
    for i, (W, b) in enumerate(zip(chain.weights, chain.biases, strict=True)):
        net.weights[i], net.biases[i] = W, b
    return net


def _pair(output, loss):
    """Return the loss and the output activation, None if the loss adds its own to a linear end."""
    if loss is None:
        return spec.DEFAULT_LOSSES[output], output
    known = spec.loss_of(loss)
    if output == "identity":
        return loss, None
    if output not in known.outputs:
        raise ValueError(
            f"loss {loss!r} cannot have the output activation of the model, which ends in "
            f"{output}; losses with {output}: {', '.join(spec.losses_with(output))}"
        )
    return loss, output

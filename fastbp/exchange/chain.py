"""A chain of layers, which every importer produces, and its conversion to a Network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..basis import spec

ROWS = 32  # number of random rows for comparing a model's outputs with its network's


class Linear(NamedTuple):
    """One linear layer: s = h W + b."""

    W: np.ndarray
    b: np.ndarray | None


class Norm(NamedTuple):
    """A normalisation between a linear layer and its activation."""

    kind: str  # "layer" or "rms"
    weight: np.ndarray
    bias: np.ndarray | None


class Slopes(NamedTuple):
    """The activation prelu."""

    values: np.ndarray  # of shape (n_i,), or (1,) for all units


@dataclass
class Extras:
    """What a layer has besides weights, biases and the name of its activation."""

    norm: Norm | None = None
    slopes: np.ndarray | None = None
    residual: bool = False  # whether its input is added to its output

    @property
    def empty(self):
        return self.norm is None and self.slopes is None and not self.residual


def extras_of(net):
    """Return the Extras of a network's hidden layers; an empty list if none has any."""
    found, norm, slopes = [], net.layout.norm, list(net.slopes)
    for i in range(len(net.weights) - 1 if net.layout.special else 0):
        one = Extras(residual=i + 1 in net.layout.residual_layers)
        if norm is not None:
            shift = net.norm_biases[i] if norm == "layer" else None
            one.norm = Norm(norm, net.norm_weights[i], shift)
        if slopes and slopes[i].size:
            one.slopes = slopes[i]
        found.append(one)
    return found


class Chain(NamedTuple):
    """The layers of another tool's model: h_i = σ_i(h_{i-1} W_i + b_i)."""

    weights: Sequence[np.ndarray]  # of shapes (n_{i-1}, n_i)
    biases: Sequence[np.ndarray]  # of shapes (n_i,)
    activations: Sequence[str]  # of the hidden layers
    output: str  # the output activation
    extras: Sequence[Extras] = ()  # of the hidden layers; empty if none has any


# Marks in the list of layers for `chain_of`: the layers between them are added to their input.
BEGIN_RESIDUAL, END_RESIDUAL = object(), object()


class Builder:
    """Builds a chain, layer by layer; `place` in its methods says in messages where that is."""

    def __init__(self):
        self.weights: list[np.ndarray] = []
        self.biases: list[np.ndarray] = []
        self.names: list[str] = []  # the activation after each linear layer
        self.extras: list[Extras] = []
        self.before = ""  # the place of the last activation
        self.begun: list[int] = []  # numbers of layers before each residual connection around us

    def add(self, place, layer):
        """Add a Linear, Norm or Slopes, the name of an activation, or a mark."""
        if isinstance(layer, Linear):
            self._linear(place, *layer)
        elif isinstance(layer, Norm):
            self._norm(place, layer)
        elif isinstance(layer, Slopes):
            self._activation(place, "prelu")
            n = self.weights[-1].shape[1]
            if layer.values.shape not in ((n,), (1,)):
                raise ValueError(f"{place} has {layer.values.size} slopes for {n} units")
            self.extras[-1].slopes = np.broadcast_to(layer.values, (n,))
        elif layer is BEGIN_RESIDUAL:
            self.begun.append(len(self.weights))
        elif layer is END_RESIDUAL:
            self._residual(place, len(self.weights) - self.begun.pop())
        elif layer != "identity":
            self._activation(place, layer)

    def finish(self):
        """Return the chain."""
        if not self.weights:
            raise ValueError("the model has no linear layer")
        if not self.extras[-1].empty:
            raise ValueError(
                "the last linear layer is followed by a normalisation, a PReLU or a residual "
                "connection, which only the hidden layers of a Network have"
            )
        *hidden, output = self.names
        extras = [] if all(one.empty for one in self.extras) else self.extras[:-1]
        return Chain(self.weights, self.biases, hidden, output, extras)

    def _linear(self, place, W, b):
        if self.names:
            check_hidden(self.names[-1], self.before)
        if W.ndim != 2 or (b is not None and b.shape != W.shape[1:]):
            shapes = W.shape if b is None else f"{W.shape} and {b.shape}"
            raise ValueError(
                f"{place} has shapes {shapes}, expected a matrix and a bias for all its outputs"
            )
        self.weights.append(W)
        self.biases.append(np.zeros(W.shape[1], W.dtype) if b is None else b)
        self.names.append("identity")
        self.extras.append(Extras())

    def _follows_linear(self, place):
        if not self.weights:
            raise ValueError(f"{place} comes before the first linear layer")
        if self.names[-1] != "identity" or self.extras[-1].residual:
            what = "a residual connection" if self.extras[-1].residual else "an activation"
            raise ValueError(f"{place} follows {what}, but must follow a linear layer")

    def _norm(self, place, norm):
        self._follows_linear(place)
        n = self.weights[-1].shape[1]
        if self.extras[-1].norm is not None or norm.weight.shape != (n,):
            raise ValueError(
                f"{place} normalises {norm.weight.shape}, but a Network normalises, once, the "
                f"{n} units of the linear layer before it"
            )
        self.extras[-1].norm = norm

    def _activation(self, place, name):
        self._follows_linear(place)
        self.names[-1], self.before = name, place

    def _residual(self, place, layers):
        if layers != 1 or self.extras[-1].residual:
            raise ValueError(
                f"{place} is around {layers} linear layers; a residual connection of a Network "
                "is around one"
            )
        self.extras[-1].residual = True


def chain_of(layers):
    """Return the chain of a model's layers, given as pairs of place (for messages) and layer.

    A layer is what `Builder.add` takes; "identity" may be anywhere.
    """
    builder = Builder()
    for place, layer in layers:
        builder.add(place, layer)
    return builder.finish()


def check_hidden(name, place):
    """Refuse activations that only the output can have."""
    if name not in spec.HIDDEN_ACTIVATIONS:
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
            f"a {what} does not tell the activations of its hidden layers: pass "
            'activation=, such as "relu"'
        )
    return ()


def in_float64(chain):
    """Return the same chain with weights in float64."""
    weights, biases = ([a.astype(np.float64) for a in arrays] for arrays in chain[:2])
    extras = []
    for one in chain.extras:
        norm, slopes = one.norm, one.slopes
        if norm is not None:
            shift = None if norm.bias is None else norm.bias.astype(np.float64)
            norm = Norm(norm.kind, norm.weight.astype(np.float64), shift)
        slopes = None if slopes is None else slopes.astype(np.float64)
        extras.append(Extras(norm, slopes, one.residual))
    return chain._replace(weights=weights, biases=biases, extras=extras)


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
    numbers = [*chain.weights, *chain.biases, *_numbers(chain.extras)]
    dtypes = sorted({np.asarray(array).dtype.name for array in numbers})
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
        norm=_common_norm(chain.extras),
        residual=_residual(sizes, chain.extras),
        backend=backend,
    )
    for i, (W, b) in enumerate(zip(chain.weights, chain.biases, strict=True)):
        net.weights[i], net.biases[i] = W, b
    for i, one in enumerate(chain.extras):
        if one.norm is not None:
            net.norm_weights[i] = one.norm.weight
            if net.layout.norm == "layer":
                shift = one.norm.bias
                net.norm_biases[i] = np.zeros_like(one.norm.weight) if shift is None else shift
        if one.slopes is not None:
            net.slopes[i] = one.slopes
    return net


def _numbers(extras):
    """Yield the arrays of layers' extras."""
    for one in extras:
        yield from (array for array in one.norm or () if isinstance(array, np.ndarray))
        if one.slopes is not None:
            yield one.slopes


def _common_norm(extras):
    """Return the normalisation that all hidden layers have, None if none has one."""
    kinds = [one.norm and one.norm.kind for one in extras]
    if len(set(kinds)) > 1:
        raise ValueError(
            "hidden layers have the normalisations "
            f"{', '.join(str(kind).lower() for kind in kinds)}; a Network has one for all of them"
        )
    return kinds[0] if kinds else None


def _residual(sizes, extras):
    """Return whether the layers have the residual connections of a Network, or none."""
    given = [i for i, one in enumerate(extras, start=1) if one.residual]
    wanted = [i for i in range(2, len(sizes) - 1) if sizes[i] == sizes[i - 1]]
    if given and given != wanted:
        raise ValueError(
            f"residual connections are around the linear layers {given}; a Network of the widths "
            f"{sizes} has them around {wanted or 'none'}: around all hidden layers as wide as the "
            "hidden layer before them"
        )
    return bool(given)


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

"""Converts Keras models to networks, and weights to Keras's form; does not import Keras itself."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..basis import checks
from .activations import EQUIVALENTS, check_plain
from .chain import (
    ROWS,
    Chain,
    Linear,
    chain_of,
    check_outputs,
    hidden_activations,
    in_float64,
    network_of,
)

# Class in keras.layers -> activation, and the attributes with which the class computes it. Layers
# that act only in training, or do not change rows, are the identity.
LAYERS: dict[str, tuple[str, Mapping]] = {
    "ActivityRegularization": ("identity", {}),
    "AlphaDropout": ("identity", {}),
    "Dropout": ("identity", {}),
    "Flatten": ("identity", {"data_format": ["channels_last"]}),
    "GaussianDropout": ("identity", {}),
    "GaussianNoise": ("identity", {}),
    **{
        row.keras_layer.name: (name, row.keras_layer.accepted)
        for name, row in EQUIVALENTS.items()
        if row.keras_layer
    },
}
# Function in keras.activations -> name of an activation.
FUNCTIONS = {row.keras: name for name, row in EQUIVALENTS.items() if row.keras}
# Tolerance for differences of outputs: Keras computes parts of float64 models in float32.
TOLERANCE = 1e-5


def to_keras(net):
    """See Network.to_keras."""
    check_plain(net, "Keras")
    pairs = zip(net.weights, net.biases, strict=True)
    return [array.copy() for pair in pairs for array in pair]


def from_keras(cls, model, activation, loss, backend):
    """See Network.from_keras."""
    if isinstance(model, (list, tuple)):
        if loss is None:
            raise ValueError(
                "a list of weights does not tell the output's activation: pass loss=, or the model "
                "itself"
            )
        return network_of(cls, _of_list(model, activation), loss, backend)
    keras = sys.modules.get("keras")  # a user with a model has imported it
    if keras is None or keras.__version__ < "3" or not isinstance(model, keras.Model):
        raise TypeError(
            "expected a model of Keras 3, or the list of arrays that its get_weights() gives, "
            f"got {type(model).__name__} of {type(model).__module__}"
        )
    if activation is not None:
        raise ValueError(
            "activation is only for a list of weights, since a model has its own activations; "
            "leave it out"
        )
    reader = Reader(keras, model)
    chain = chain_of(reader.layers())
    net = network_of(cls, chain, loss, backend)
    reader.check(cls, chain)
    return net


def _of_list(arrays, activation):
    """Return the chain of a list of alternating kernels and biases, with a linear output."""
    arrays = [checks.real_numbers(f"entry {i}", array) for i, array in enumerate(arrays)]
    for i, array in enumerate(arrays):
        if array.ndim != 2 - i % 2 or (i % 2 and array.shape != arrays[i - 1].shape[1:]):
            what = "bias of the kernel before it" if i % 2 else "kernel of a Dense layer"
            raise ValueError(
                f"entry {i}, of shape {array.shape}, is not the {what}; a list must alternate "
                "between kernels and biases of Dense layers; for other layers pass the model itself"
            )
    if not arrays or len(arrays) % 2:
        raise ValueError(
            "the list has no weights"
            if not arrays
            else f"the bias of the kernel in entry {len(arrays) - 1} is missing: pass the model "
            "itself, or zeros as the bias"
        )
    hidden = hidden_activations("list of weights", activation, len(arrays) // 2 - 1)
    return Chain(arrays[::2], arrays[1::2], hidden, "identity")


class Reader:
    """Reads the layers of a model from its input to its output."""

    def __init__(self, keras, model):
        self.keras, self.model = keras, model
        # Normalisation before the first Dense layer computes scale x + shift from the input x.
        self.scale: Any = None
        self.shift: Any = None
        self.dtype = None  # dtype of the input; all layers must have it, too

    def layers(self):
        """Yield (place, layer) for all layers, in the form for `chain_of`."""
        first = True
        for layer, shape in self._path(self.model):
            place = f"layer {layer.name!r} ({type(layer).__name__})"
            self._check_plain(layer, place)
            match type(layer).__name__:
                case "Normalization":
                    if not first:
                        raise ValueError(f"{place} must come before the first Dense layer")
                    if None in shape[1:]:
                        raise ValueError(f"{place} takes inputs of any shape, {shape}, not rows")
                    self._normalize(layer, shape)
                case "Dense":
                    if len(shape) != 2:
                        raise ValueError(f"{place} takes an input of shape {shape}, not rows")
                    linear = self._linear(layer, place)
                    yield place, self._folded(linear) if first else linear
                    first = False
                    yield place, self._function(layer.activation, place)
                case _:
                    yield place, self._activation(layer, place)

    def check(self, cls, chain):
        """Compare the chain's outputs with the model's own for random rows."""
        dtype = chain.weights[0].dtype
        X = np.random.default_rng(0).standard_normal((ROWS, len(chain.weights[0])))
        if self.scale is not None:
            X = (X - self.shift) / self.scale
        X = X.astype(dtype)
        expected = network_of(cls, chain, None, "numpy").predict(X)
        tolerance, why = TOLERANCE, "something else changes them, or rounding does"
        if self.scale is None:
            # Large weights amplify rounding errors, the model's as much as ours.
            exact = network_of(cls, in_float64(chain), None, "numpy").predict(X)
            with np.errstate(invalid="ignore"):  # infinities
                rounding = np.abs(expected - exact).max() / max(1, np.abs(exact).max())
            if np.isfinite(rounding):
                tolerance += 16 * rounding
        else:
            why += (
                "; a normalisation loses digits when it is merged into the weights if its means "
                "are much larger than its standard deviations: leave it out of the model and "
                "normalise X"
            )
        check_outputs(self._outputs(X), expected, tolerance, why)

    def _path(self, model):
        """Yield (layer, shape of its input) from the model's input to its output."""
        from keras.src.models.functional import Functional  # has no public name

        keras, place = self.keras, f"model {model.name!r} ({type(model).__name__})"
        if type(model) not in (keras.Sequential, Functional) or "call" in vars(model):
            raise ValueError(
                f"{place} is neither a keras.Sequential nor a functional keras.Model, but has "
                "code of its own, so it is not known what it computes"
            )
        if not getattr(model, "outputs", None):
            raise ValueError(f"{place} is not built: begin it with keras.Input((n_features,))")
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise ValueError(
                f"{place} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
                "a Network has one of each"
            )
        (first,), (tensor,) = model.inputs, model.outputs
        self._check_dtype(first.dtype, f"the input of {place}")
        if type(model) is keras.Sequential:  # a Sequential casts its input, as a layer does
            self._check_dtype(model.compute_dtype, place)
        path = []
        # Go backwards, since a tensor knows the layer that made it. A layer may be used twice.
        while tensor is not first:
            layer, node, _ = tensor._keras_history
            given = layer._inbound_nodes[node].arguments
            if len(given.keras_tensors) != 1:
                raise ValueError(
                    f"layer {layer.name!r} takes {len(given.keras_tensors)} inputs; the layers of "
                    "a Network are a chain"
                )
            further = [v for v in keras.tree.flatten(given.kwargs) if v is not None]
            if len(given.args) != 1 or any(v is not False for v in further):
                raise ValueError(
                    f"layer {layer.name!r} is called with more than its input: "
                    f"{given.args[1:]}, {given.kwargs}"
                )
            (tensor,) = given.keras_tensors
            path.append((layer, tensor.shape))
        for layer, shape in reversed(path):
            if isinstance(layer, keras.Model):
                yield from self._path(layer)
            else:
                yield layer, shape

    def _check_dtype(self, dtype, place):
        self.dtype = self.dtype or dtype
        if dtype != self.dtype or dtype not in ("float32", "float64"):
            raise ValueError(
                f"{place} is {dtype}, but input and layers must all be float32 or all float64"
            )

    def _check_plain(self, layer, place):
        """Raise ValueError if a layer's class is unknown, or it may compute something else."""
        name = type(layer).__name__
        known = ["Dense", "Normalization", "Activation", *LAYERS]
        if name not in known or type(layer) is not getattr(self.keras.layers, name):
            raise ValueError(
                f"{place} has no equivalent in a Network; supported are {', '.join(known)} of "
                "keras.layers"
            )
        if "call" in vars(layer):
            raise ValueError(f"{place} has a call of its own, so it is not known what it computes")
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(f"{place} is quantised to {layer.quantization_mode}")
        for dtype in (layer.compute_dtype, layer.variable_dtype):
            self._check_dtype(dtype, place)

    def _linear(self, layer, place):
        if not layer.built:
            raise ValueError(f"{place} is not built")
        b = layer.bias
        return Linear(self._array(layer.kernel), None if b is None else self._array(b))

    def _array(self, tensor):
        return self.keras.ops.convert_to_numpy(tensor)

    def _normalize(self, layer, shape):
        """Merge a layer that computes (x - mean) / std, or x std + mean if it is inverted."""
        mean, variance = (
            np.broadcast_to(self._array(x).astype(np.float64), (1, *shape[1:])).ravel()
            for x in (layer.mean, layer.variance)
        )
        std = np.maximum(np.sqrt(variance), self.keras.config.epsilon())
        scale, shift = (std, mean) if layer.invert else (1 / std, -mean / std)
        if self.scale is None:
            self.scale, self.shift = scale, shift
        else:
            self.scale, self.shift = scale * self.scale, scale * self.shift + shift

    def _folded(self, linear):
        """Return the first linear layer with the normalisation of its input merged into it."""
        if self.scale is None:
            return linear
        W, b = linear
        shift = self.shift @ W + (0 if b is None else b)
        return Linear((self.scale[:, None] * W).astype(W.dtype), shift.astype(W.dtype))

    def _function(self, function, place):
        """Return Network's name of a layer's activation."""
        if isinstance(function, self.keras.layers.Layer):
            self._check_plain(function, f"the activation of {place}")
            return self._activation(function, f"the activation of {place}")
        for name, ours in FUNCTIONS.items():
            if function is getattr(self.keras.activations, name, self):  # old ones lack some
                return ours
        raise ValueError(
            f"{place} has the activation {getattr(function, '__name__', function)!r}; a Network "
            f"takes {', '.join(FUNCTIONS)} of keras.activations, and LeakyReLU(0.01)"
        )

    def _activation(self, layer, place):
        """Return Network's name of a layer without weights."""
        if type(layer).__name__ == "Activation":
            return self._function(layer.activation, place)
        if type(layer).__name__ not in LAYERS:
            raise ValueError(f"{place} is no activation")
        name, wanted = LAYERS[type(layer).__name__]
        for argument, values in wanted.items():
            value = getattr(layer, argument)
            if value not in values:
                raise ValueError(
                    f"{place} has {argument}={value!r}; a Network takes it with "
                    f"{argument}={values[0]!r} only"
                )
        return name

    def _outputs(self, X):
        """Return the model's own predictions for X."""
        tree = self.keras.tree
        shape = self.model.inputs[0].shape[1:]
        given = self.keras.ops.convert_to_tensor(X.reshape(-1, *shape), self.dtype)
        # A functional model may have its input in a dict or list.
        structure = getattr(self.model, "input", self.model.inputs[0])
        inputs = tree.map_structure(lambda _: given, structure)
        try:
            (outputs,) = tree.flatten(self.model(inputs, training=False))
        except Exception as error:
            raise ValueError(
                "the model cannot be compared with its Network, as it does not run on inputs of "
                f"shape {given.shape} ({type(error).__name__}: {error})"
            ) from error
        return self._array(outputs)

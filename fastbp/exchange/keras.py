"""Networks as the list of arrays that Keras has for weights; Keras itself is not needed."""

import numpy as np

from .chain import Chain, network_of


def to_keras(net):
    """See Network.to_keras."""
    pairs = zip(net.weights, net.biases, strict=True)
    return [array.copy() for pair in pairs for array in pair]


def from_keras(cls, weights, activation, loss, backend):
    """See Network.from_keras."""
    if not isinstance(weights, (list, tuple)):
        raise TypeError(
            "expected the list of arrays that model.get_weights() gives, "
            f"got {type(weights).__name__}"
        )
    arrays = [np.asarray(array) for array in weights]
    kernels: list[np.ndarray] = []
    biases: list[np.ndarray] = []
    previous = None
    for i, array in enumerate(arrays):
        if array.ndim == 2:
            kernels.append(array)
            biases.append(np.zeros(array.shape[1], array.dtype))
        elif array.ndim == 1 and previous == 2 and len(array) == len(biases[-1]):
            biases[-1] = array
        else:
            raise ValueError(
                f"entry {i}, of shape {array.shape}, is neither the kernel of a Dense layer nor "
                "the bias of the kernel before it; the model must have no other layers with weights"
            )
        previous = array.ndim
    if not kernels:
        raise ValueError("the list has no weights")
    hidden = [activation] * (len(kernels) - 1) if isinstance(activation, str) else activation
    return network_of(cls, Chain(kernels, biases, hidden, "identity"), loss, backend)

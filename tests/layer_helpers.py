"""Networks with normalised layers, residual connections and learned slopes, and PyTorch's twins.

Their scales, shifts and slopes are random here, since the initial ones would hide mistakes.
"""

import numpy as np
from gradient_helpers import torch_activations
from helpers import flat, outputs_for, use_threads

import fastbp
from fastbp.basis.layout import PARAMETERS

# What a layer can have, each by itself and together.
LAYERS = {
    "layer": {"norm": "layer", "activation": "tanh"},
    "rms": {"norm": "rms", "activation": "silu"},
    "residual": {"residual": True, "activation": "sigmoid"},
    "prelu": {"activation": "prelu"},
    "all": {"norm": "layer", "residual": True, "activation": "prelu"},
    "mixed": {"norm": "rms", "residual": True, "activation": ["gelu", "prelu", "relu"]},
}
# Functions without kinks, for finite differences and second derivatives.
SMOOTH = {
    "smooth layer": {"norm": "layer", "activation": "tanh"},
    "smooth rms": {"norm": "rms", "residual": True, "activation": ["gelu", "softplus", "sigmoid"]},
    "smooth": {"norm": "layer", "residual": True, "activation": "silu"},
}
LISTS = ("weights", "biases", "norm_weights", "norm_biases", "slopes")
EPSILON = 1e-5


def make_layers(which, widths, loss, backend, dtype="float64", seed=0):
    """A network with three hidden layers; no parameter has its initial value.

    `which` is a name of LAYERS or SMOOTH, or arguments. `widths` are five sizes, the last of them
    the wanted number of outputs.
    """
    sizes = [*widths[:-1], outputs_for(loss, widths[-1])]
    how = {"dtype": dtype, "backend": backend, "seed": seed}
    layers = which if isinstance(which, dict) else {**LAYERS, **SMOOTH}[which]
    net = fastbp.Network(sizes, loss=loss, **layers, **how)
    rng = np.random.default_rng(seed + 1)
    ranges = {"biases": (-0.3, 0.3), "norm_weights": (0.5, 1.5), "norm_biases": (-0.5, 0.5)}
    ranges["slopes"] = (-0.3, 0.6)
    for name, (low, high) in ranges.items():
        for array in getattr(net, name):
            array[...] = rng.uniform(low, high, array.shape)
    return net


def arrays_of(owner):
    """All arrays of a network or a gradient, in the order of PARAMETERS."""
    return [array for name in PARAMETERS for array in getattr(owner, name, ())]


def together(owner):
    """The same as one vector."""
    return flat(arrays_of(owner))


def results_of_threads(make, data_for, n, batch_size, how, monkeypatch):
    """The different losses, gradients and trained parameters for several numbers of threads.

    ``make()`` is an untrained network, ``data_for(net, n)`` are its samples, and `how` are
    arguments of `fit`.
    """
    found = set()
    for threads in (1, 2, 3, 7):
        net = make()
        X, y = data_for(net, n)
        with monkeypatch.context() as patch:
            use_threads(patch, threads)
            loss, gradient = net.loss_and_gradient(X, y)
        net.fit(X, y, epochs=1, batch_size=batch_size, threads=threads, **how)
        found.add((loss, together(gradient).tobytes(), together(net).tobytes()))
    return found


def torch_layers(torch, net, by_formula=False):
    """The output's pre-activation as a function of X, and its parameters as for `arrays_of`.

    Third derivatives need LayerNorm `by_formula`: those of PyTorch's own function are wrong.
    """
    functions, functional = torch_activations(torch), torch.nn.functional
    lists = {
        name: [torch.tensor(array, requires_grad=True) for array in getattr(net, name)]
        for name in LISTS
    }
    W, b, scales, shifts, slopes = lists.values()
    norm, residual, sizes = net.layout.norm, net.layout.residual, net.layout.sizes

    def output(X, factors=None):
        out = torch.as_tensor(X)
        out = out if factors is None else out * factors[0]
        for i, name in enumerate(net.layout.activations):
            s, n = out @ W[i] + b[i], sizes[i + 1]
            if norm == "layer" and by_formula:
                c = s - s.mean(1, keepdim=True)
                deviation = torch.sqrt((c * c).mean(1, keepdim=True) + EPSILON)
                s = scales[i] * (c / deviation) + shifts[i]
            elif norm == "layer":
                s = functional.layer_norm(s, (n,), scales[i], shifts[i], EPSILON)
            elif norm == "rms":
                s = functional.rms_norm(s, (n,), scales[i], EPSILON)
            h = functional.prelu(s, slopes[i]) if name == "prelu" else functions[name](s)
            h = h if factors is None else h * factors[i + 1]
            out = h + out if residual and i > 0 and sizes[i] == n else h
        return out @ W[-1] + b[-1]

    return output, [array for arrays in lists.values() for array in arrays]

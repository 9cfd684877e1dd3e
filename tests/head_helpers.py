"""Networks with several heads, targets for them, and the networks that have one of the heads."""

import numpy as np
from helpers import flat

import fastbp

LEVELS = (0.1, 0.5, 0.9)
# Heads and their weights. The widths begin and end inside of vectors.
HEADS = {
    "class and count": ([("cross_entropy", 3), ("poisson", 1)], [1.0, 0.5]),
    "all": (
        [
            *[("log_loss", 2), ("squared_error", 1), ("cross_entropy", 3), ("absolute_error", 2)],
            *[("huber", 2, 1.5), ("poisson", 1), ("quantile", 1, 0.7), ("quantile", 3, LEVELS)],
            *[("gaussian", 2), ("student_t", 2, 4.0), ("laplace", 2), ("negative_binomial", 2)],
            ("mixture_density", 6, 2),
        ],
        [0.7, 1.3, 2.0, 0.1, 1.0, 0.5, 3.0, 1.7, 0.9, 0.3, 1.1, 0.6, 1.9],
    ),
    "wide": ([("squared_error", 17), ("cross_entropy", 33), ("log_loss", 16)], [0.1, 1.0, 0.3]),
    "one output": ([("huber", 1, 1.5)], [2.0]),
}


def make_heads(which, backend="numpy", dtype="float64", hidden=(9,), seed=0, **options):
    """A network with 5 features; no parameter has its initial value."""
    heads, weights = HEADS[which]
    net = fastbp.Network(
        [5, *hidden, sum(head[1] for head in heads)],
        activation="tanh",
        loss=heads,
        loss_weights=weights,
        dtype=dtype,
        backend=backend,
        seed=seed,
        **options,
    )
    rng = np.random.default_rng(seed + 1)
    for array in (*net.weights, *net.biases):
        array[...] = rng.normal(0, 0.5, array.shape)
    return net


def parts_of(net):
    """The (first column, behind the last one) of each head's outputs."""
    ends = np.cumsum([width for _, width, *_ in net.loss])
    return list(zip([0, *ends], ends, strict=False))


def alone(net, k):
    """A network with head k alone, and the same parameters."""
    name, width, *parameter = net.loss[k]
    first, last = parts_of(net)[k]
    found = fastbp.Network(
        [*net.layout.sizes[:-1], width],
        activation="tanh",
        loss=name,
        loss_parameter=parameter[0] if parameter else None,
        dtype=net.layout.dtype,
        backend=net.backend,
    )
    for name in ("weights", "biases"):
        arrays = getattr(net, name)
        for i, array in enumerate([*arrays[:-1], arrays[-1][..., first:last]]):
            getattr(found, name)[i] = array
    return found


def targets_of(net, n, seed=0):
    """Targets of each head, classes as labels."""
    rng, found = np.random.default_rng(seed + 2), []
    for name, width, *_ in net.loss:
        if name == "cross_entropy":
            found.append(rng.integers(0, width, n))
        elif name == "log_loss":
            found.append(rng.integers(0, 2, (n, width)))
        elif name in ("poisson", "negative_binomial"):
            found.append(rng.poisson(1.5, n))
        elif name in ("squared_error", "absolute_error", "huber"):
            found.append(2 * rng.standard_normal((n, width)))
        else:  # of one target
            found.append(2 * rng.standard_normal(n))
    return tuple(found)


def samples_of(net, n, seed=0):
    """X and the targets."""
    X = np.random.default_rng(seed).standard_normal((n, net.layout.sizes[0]))
    return X, targets_of(net, n, seed)


def together(arrays):
    """All weights, then all biases, of a network or a Gradient."""
    return flat([*arrays.weights, *arrays.biases])

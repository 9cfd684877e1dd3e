"""Networks with embeddings and learned numbers for missing ones, and PyTorch's twins."""

import numpy as np
from gradient_helpers import torch_activations
from helpers import make_targets, outputs_for

import fastbp
from fastbp import Categorical, Numeric

# Inputs: of several kinds at ragged places, of one kind each, and a table of more than one piece.
INPUTS = {
    "all": [
        *(Numeric(3), Categorical(5, 3), Numeric(2, missing=True), Categorical(40, 11)),
        *(Numeric(1), Categorical(1, 1), Numeric(1, missing=True)),
    ],
    "categories": [Categorical(7), Categorical(300, 5)],
    "missing": [Numeric(4, missing=True)],
}
LISTS = ("weights", "biases", "embeddings", "missing")


def make_inputs(which, widths, loss, backend, dtype="float64", seed=0, activation="tanh"):
    """A network with the inputs INPUTS[which] in front of layers; no parameter is 0.

    `widths` are those of the hidden layers and the wanted number of outputs.
    """
    sizes = [INPUTS[which], *widths[:-1], outputs_for(loss, widths[-1])]
    how = {"activation": activation, "dtype": dtype, "backend": backend, "seed": seed}
    net = fastbp.Network(sizes, loss=loss, **how)
    rng = np.random.default_rng(seed + 1)
    for array in [*net.biases, *net.missing, *(table[-1] for table in net.embeddings)]:
        array[...] = rng.uniform(-0.3, 0.3, array.shape)
    return net


def samples_for(net, n, seed=0):
    """X of a network with inputs: all codes, unknown ones as -1 and NaN, and missing numbers."""
    rng, columns = np.random.default_rng(seed), []
    for item in net.layout.inputs:
        if isinstance(item, Categorical):
            column = rng.integers(-1, item.n_categories, n).astype(float)
            column[rng.random(n) < 0.1] = np.nan
            columns.append(column[:, None])
        else:
            numbers = rng.standard_normal((n, item.n_columns))
            if item.missing:
                numbers[rng.random(numbers.shape) < 0.3] = np.nan
            columns.append(numbers)
    return np.concatenate(columns, axis=1)


def data_for(net, n=11, seed=0):
    kinds = {"cross_entropy": "labels", "log_loss": "hard", "squared_error": "real"}
    rng = np.random.default_rng(seed + 2)
    return samples_for(net, n, seed), make_targets(kinds[net.loss], n, net.layout.sizes[-1], rng)


def torch_inputs(torch, net):
    """The output's pre-activation as a function of X, and its parameters as for `arrays_of`."""
    functions, functional = torch_activations(torch), torch.nn.functional
    lists = {
        name: [torch.tensor(array, requires_grad=True) for array in getattr(net, name)]
        for name in LISTS
    }
    W, b, tables, missing = lists.values()

    def output(X, factors=None):
        columns, at = [], 0
        of_tables, of_missing = iter(tables), iter(missing)
        for item in net.layout.inputs:
            if isinstance(item, Categorical):
                codes = np.where(X[:, at] >= 0, X[:, at], item.n_categories)  # not NaN either
                columns.append(functional.embedding(torch.tensor(codes).long(), next(of_tables)))
                at += 1
                continue
            x = torch.tensor(X[:, at : at + item.n_columns])
            columns.append(torch.where(x.isnan(), next(of_missing), x) if item.missing else x)
            at += item.n_columns
        h = torch.cat(columns, 1)
        h = h if factors is None else h * factors
        for i, name in enumerate(net.layout.activations):
            h = functions[name](h @ W[i] + b[i])
        return h @ W[-1] + b[-1]

    return output, [array for arrays in lists.values() for array in arrays]


def one_hot(net, X):
    """X with a column for each category, and the same network with weights E W_1 for these.

    The inputs are categories only.
    """
    columns, weights, at = [], [], 0
    for k, item in enumerate(net.layout.inputs):
        codes = np.where(X[:, k] >= 0, X[:, k], item.n_categories).astype(int)
        columns.append(np.eye(item.n_categories + 1)[codes])
        weights.append(net.embeddings[k] @ net.weights[0][at : at + item.dimension])
        at += item.dimension
    X = np.concatenate(columns, axis=1)
    how = {"activation": list(net.layout.activations), "dtype": "float64"}
    dense = fastbp.Network(
        [X.shape[1], *net.layout.sizes[1:]], loss=net.loss, backend=net.backend, **how
    )
    for i in range(len(net.weights)):
        dense.weights[i] = np.concatenate(weights) if i == 0 else net.weights[i]
        dense.biases[i] = net.biases[i]
    return X, dense

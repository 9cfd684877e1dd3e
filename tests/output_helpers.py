"""Pairs of a loss and an output activation that the loss does not imply, and their oracle."""

import numpy as np
from gradient_helpers import STEP, torch_activations
from helpers import PARAMETERS, make_data, make_network

from fastbp.basis import spec

PAIRS = [(loss, output) for loss, row in spec.LOSSES.items() for output in row.others]
# Each loss and each activation once or twice, where all pairs would take too long.
SOME_PAIRS = [
    ("squared_error", "tanh"),
    ("absolute_error", "sigmoid"),
    ("huber", "silu"),
    ("quantile", "softplus"),
    ("poisson", "softplus"),
    ("poisson", "identity"),
]
KINKED = ("relu", "leaky_relu", "hard_tanh")


def pair_network(sizes, loss, output, backend, dtype="float64", seed=0, **options):
    """A network with biases that are not zero; where h must be positive, it is."""
    net = make_network(sizes, loss, backend, dtype, seed=seed, output_activation=output, **options)
    if (loss, output) == ("poisson", "identity"):
        net.biases[-1][...] = 5
    return net


def pair_problem(loss, output, backend, sizes=(3, 5, 2), n=6, dtype="float64"):
    """A network and data for which the loss is smooth in the neighbourhood."""
    for seed in range(100):
        net = pair_network([*sizes], loss, output, backend, dtype, seed)
        X, y = make_data(loss, n, sizes[0], sizes[-1], seed)
        h, kink = net.predict(X), {"huber": 1}.get(loss, 0)
        s = net.layer_outputs(X)[-2] @ net.weights[-1] + net.biases[-1]
        smooth = np.abs(np.abs(h - y) - kink).min() > 100 * STEP
        if output in KINKED:
            smooth &= np.abs(s).min() > 100 * STEP and np.abs(np.abs(s) - 1).min() > 100 * STEP
        if smooth:
            return net, X, y
    raise AssertionError("no data without kinks")


def torch_pair(torch, loss, output, s, y):
    """The losses of the samples from the last pre-activation, and the output."""
    h, y = torch_activations(torch)[output](s), torch.as_tensor(y)
    d = h - y
    if loss == "squared_error":
        e = d**2 / 2
    elif loss == "absolute_error":
        e = d.abs()
    elif loss == "huber":
        e = torch.nn.functional.huber_loss(h, y, reduction="none", delta=1.0)
    elif loss == "quantile":
        q = PARAMETERS[loss]
        e = torch.maximum(-q * d, (1 - q) * d)
    else:
        assert loss == "poisson"
        e = d + torch.xlogy(y, y) - torch.xlogy(y, h)
    return e.sum(1), h

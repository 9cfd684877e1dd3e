"""Smooth problems, their gradients by finite differences, and the same networks in PyTorch."""

import numpy as np
from helpers import PARAMETERS, make_data, make_network, outputs_for

from fastbp.backends import numpy_
from fastbp.basis import spec
from fastbp.engine import jets

# Every entry of the gradient, relative to the largest one. Central differences with this step
# have truncation and rounding errors of about 1e-10.
STEP = 1e-5
DIFFERENCES = 1e-8
# Two computations of the same thing in float64.
SAME = 1e-12

# Functions with kinks, which a finite difference must not straddle, and where these are.
KINKED = {"relu": 0.0, "leaky_relu": 0.0, "selu": 0.0, "hard_tanh": 1.0}


def away_from_kinks(net, X):
    """Whether every hidden pre-activation is far from its kinks, compared with STEP."""
    h = X
    for i, name in enumerate(net.layout.activations):
        s = h @ net.weights[i] + net.biases[i]
        if np.abs(np.abs(s) - KINKED[name]).min() < 100 * STEP:
            return False
        h = numpy_.ACTIVATIONS[spec.ACTIVATIONS[name].code].value(s)
    return True


def problem(loss, kind, activation, backend, n_outputs=3, n=5):
    """A float64 network with two hidden layers, and data on which the loss is smooth."""
    for seed in range(100):
        net = make_network(
            [3, 5, 4, outputs_for(loss, n_outputs)], loss, backend, "float64", activation, seed
        )
        X, y = make_data(loss, n, 3, outputs_for(loss, n_outputs), seed, kind)
        smooth = activation not in KINKED or away_from_kinks(net, X)
        if loss in ("absolute_error", "huber", "quantile"):
            d = np.abs(net.predict(X) - y)
            kink = 1 if loss == "huber" else 0
            smooth = smooth and np.abs(d - kink).min() > 100 * STEP
        if smooth:
            return net, X, y
    raise AssertionError("no data without kinks")


def finite_differences(net, *data):
    """The gradient by central differences, in the order of `helpers.parameters`."""
    slopes = []
    for array in [*net.weights, *net.biases]:
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + STEP
            above = net.loss_and_gradient(*data)[0]
            array[index] = value - STEP
            below = net.loss_and_gradient(*data)[0]
            array[index] = value
            slopes.append((above - below) / (2 * STEP))
    return np.array(slopes)


def torch_activations(torch):
    """PyTorch's activations by fastbp's names, including output activations."""
    functional = torch.nn.functional
    return {
        "identity": lambda s: s.clone(),  # else gradients of s and h would be kept in one tensor
        "sigmoid": torch.sigmoid,
        "tanh": torch.tanh,
        "relu": functional.relu,
        "leaky_relu": lambda s: functional.leaky_relu(s, 0.01),
        "elu": functional.elu,
        "softplus": functional.softplus,
        "silu": functional.silu,
        "gelu": functional.gelu,
        "sin": torch.sin,
        "hard_tanh": functional.hardtanh,
        "selu": functional.selu,
        "mish": functional.mish,
        "exp": torch.exp,
        "softmax": lambda s: torch.softmax(s, 1),
    }


def torch_network(torch, net):
    """The output pre-activation as a function of X and factors of dropout, and its parameters."""
    functions = torch_activations(torch)
    W = [torch.tensor(w, requires_grad=True) for w in net.weights]
    b = [torch.tensor(v, requires_grad=True) for v in net.biases]

    def output(X, factors=None):
        h = torch.as_tensor(X)
        for i in range(len(W) - 1):
            h = h if factors is None else h * factors[i]
            h = functions[net.layout.activations[i]](h @ W[i] + b[i])
        return (h if factors is None else h * factors[-1]) @ W[-1] + b[-1]

    return output, [*W, *b]


def torch_loss(torch, loss, s, y):
    """Losses of the samples, and the output, from the output's pre-activation."""
    functional = torch.nn.functional
    y = torch.tensor(y)
    if loss == "log_loss":
        e = functional.binary_cross_entropy_with_logits(s, y, reduction="none")
        return e.sum(1), torch.sigmoid(s)
    if loss == "cross_entropy":
        return functional.cross_entropy(s, y, reduction="none"), torch.softmax(s, 1)
    if loss == "squared_error":
        return functional.mse_loss(s, y, reduction="none").sum(1) / 2, s
    if loss == "absolute_error":
        return functional.l1_loss(s, y, reduction="none").sum(1), s
    if loss == "huber":
        return functional.huber_loss(s, y, reduction="none", delta=1.0).sum(1), s
    if loss == "quantile":
        q = PARAMETERS[loss]
        return torch.maximum(q * (y - s), (q - 1) * (y - s)).sum(1), s
    assert loss == "poisson"
    # poisson_nll_loss lacks the terms without h, which make the deviance zero at h = y.
    e = functional.poisson_nll_loss(s, y, log_input=True, reduction="none")
    return (e - y + torch.xlogy(y, y)).sum(1), torch.exp(s)


def raw_jets(engine, X, directions, seconds):
    """What a backend's `jets` writes: the jets of s_m, of shape (P, n, n_m)."""
    layout, n = engine.layout.for_derivatives, len(X)
    sets = 1 + (len(directions) or X.shape[1]) + seconds
    block = jets.block_rows(layout, n, sets)
    workspace = layout.zeros(layout.jet_workspace_size(block, sets))
    s = np.empty((sets, n, layout.sizes[-1]), layout.dtype)
    engine.backend.jets(engine.model_of(layout), X, directions, seconds, block, workspace, s)
    return s


def input_derivatives(engine, X, v, t):
    """Name -> first and second derivatives of h_m by the inputs, by all ways that there are."""
    found = {"vjp": jets.input_vjp(engine, X, v), "jvp": jets.input_jvp(engine, X, t)}
    for back in (False, True)[: 1 if engine.layout.special else 2]:
        for width in {0, 1, X.shape[1]}:
            found[f"by X, {back}, {width}"] = jets._by_inputs(engine, X, back, width)
    return found

"""Steps of networks with normalised and residual layers, beside PyTorch and JAX under jit.

    python bench/norm.py        # a minute

bench/README.md says more.
"""

import json
import statistics
import sys

import numpy as np
import turns
from report import aligned, microseconds

import fastbp
from fastbp.basis import spec, writing

SIZES, CLASSES = [64, 64, 64, 10], 10
SECONDS, ROUNDS = 0.3, 9
RATE, EPSILON = 1e-3, 1e-8  # of Adam
SAME = 1e-9  # the largest relative difference of the weights after some steps, in float64
# Name -> options of the network, rows of a batch.
CASES = {
    "relu x 32": ({"activation": "relu"}, 32),
    "layer norm, residual, relu x 32": (
        {"activation": "relu", "norm": "layer", "residual": True},
        32,
    ),
    "RMS norm, residual, silu x 32": ({"activation": "silu", "norm": "rms", "residual": True}, 32),
    "prelu x 32": ({"activation": "prelu"}, 32),
    "relu x 256": ({"activation": "relu"}, 256),
    "layer norm, residual, relu x 256": (
        {"activation": "relu", "norm": "layer", "residual": True},
        256,
    ),
}
QUICK = ("layer norm, residual, relu x 32", "prelu x 32")


def data(n, dtype):
    """Samples and labels; the work does not depend on the numbers."""
    random = np.random.default_rng(0)
    return random.standard_normal((n, SIZES[0])).astype(dtype), random.integers(0, CLASSES, n)


def network(options, dtype, backend):
    how = {"loss": "cross_entropy", "dtype": dtype, "backend": backend, "seed": 0}
    return fastbp.Network(SIZES, **options, **how)


def arrays_of(net):
    """Everything that is learned: weights, biases, and what hidden layers have besides."""
    return [*net.weights, *net.biases, *net.norm_weights, *net.norm_biases, *net.slopes]


def of_fastbp(net, X, y):
    """A function that takes a number of steps."""
    optimizer = fastbp.Adam(RATE, epsilon=EPSILON)
    return lambda count: net.fit(X, y, optimizer=optimizer, epochs=count, batch_size=None)


def of_torch(net, X, y):
    """The same in PyTorch, eager."""
    import torch

    torch.set_num_threads(1)
    module = net.to_torch()[:-1]  # logits
    optimizer = torch.optim.Adam(module.parameters(), RATE, eps=EPSILON, fused=True)
    X, y = torch.from_numpy(X), torch.from_numpy(y)

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(X), y).backward()
            optimizer.step()

    return steps


def of_jax(net, X, y):
    """The same in JAX, all steps in one compiled loop; and a function for the parameters."""
    import jax
    import jax.numpy as jnp

    layout, X, y = net.layout, jnp.asarray(X), jnp.asarray(y)
    norm, residual = layout.norm, layout.residual_layers
    functions = {"relu": jax.nn.relu, "silu": jax.nn.silu}

    def normalized(s):
        if norm == "layer":
            s = s - s.mean(axis=1, keepdims=True)
        return s / jnp.sqrt((s * s).mean(axis=1, keepdims=True) + spec.NORM_EPSILON)

    def objective(lists):
        weights, biases, scales, shifts, slopes = lists
        h = X
        for i, name in enumerate(layout.activations):
            s = h @ weights[i] + biases[i]
            if norm is not None:
                s = scales[i] * normalized(s) + (shifts[i] if shifts else 0)
            out = jnp.where(s > 0, s, slopes[i] * s) if name == "prelu" else functions[name](s)
            h = out + h if i + 1 in residual else out
        logits = jax.nn.log_softmax(h @ weights[-1] + biases[-1])
        return -jnp.take_along_axis(logits, y[:, None], 1).mean()

    def step(_, state):
        parameters, first, second, count = state
        gradient = jax.grad(objective)(parameters)
        count = count + 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
        of_first, of_second = 1 - 0.9**count, 1 - 0.999**count

        def update(p, m, v):
            return p - RATE * (m / of_first) / (jnp.sqrt(v / of_second) + EPSILON)

        return jax.tree.map(update, parameters, first, second), first, second, count

    run = jax.jit(lambda state, count: jax.lax.fori_loop(0, count, step, state))
    lists = (net.weights, net.biases, net.norm_weights, net.norm_biases, net.slopes)
    parameters = [[jnp.asarray(array) for array in arrays] for arrays in lists]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = parameters, zeros, zeros, jnp.zeros((), X.dtype)

    def steps(count):
        return jax.block_until_ready(run(state, count))

    return steps, lambda count: [np.asarray(a) for arrays in steps(count)[0] for a in arrays]


def check(options, n, backend):
    """Refuse to time steps that end in other parameters."""
    X, y = data(n, "float64")
    net = network(options, "float64", backend)
    expected = of_jax(net, X, y)[1](10)
    of_fastbp(net, X, y)(10)
    pairs = zip(arrays_of(net), expected, strict=True)
    difference = max(np.abs(a - b).max(initial=0) for a, b in pairs)
    if not difference < SAME * max(np.abs(a).max(initial=0) for a in expected):
        raise ValueError(f"{backend}: the parameters differ from JAX's by {difference:.1e}")


def measured(options, n, dtype, backends, rounds, duration):
    """Contender -> seconds a step of each round; they take turns."""
    X, y = data(n, dtype)
    contenders = {
        "JAX": of_jax(network(options, dtype, "numpy"), X, y)[0],
        "PyTorch": of_torch(network(options, dtype, "numpy"), X, y),
    }
    for backend in backends:
        contenders[backend] = of_fastbp(network(options, dtype, backend), X, y)
    return turns.in_turns(contenders, turns.seconds_a_step, 5, rounds, duration)


def main(arguments=None):
    options = turns.parsed(arguments, __doc__, "float32", "two networks, few rounds")
    turns.take_one_core()
    try:
        import jax
        import torch  # noqa: F401
    except ImportError as error:
        print(f"norm: {error.name} is not installed to compare with", file=sys.stderr)
        return 2
    jax.config.update("jax_enable_x64", True)
    backends = turns.compiled_backends()
    peers = ("JAX", "PyTorch")
    table, results = [["µs a step", *backends, *peers, "JAX / fastbp"]], {}
    for name, (how, n) in CASES.items():
        if options.quick and name not in QUICK:
            continue
        for backend in backends:
            check(how, n, backend)
        effort = (2, 0.01) if options.quick else (ROUNDS, SECONDS)
        times = measured(how, n, options.dtype, backends, *effort)
        results[name] = times
        best = {contender: min(rounds) for contender, rounds in times.items()}
        ratio = best["JAX"] / statistics.mean(best[backend] for backend in backends)
        cells = [microseconds(best[contender]) for contender in (*backends, *peers)]
        table.append([name, *cells, f"{ratio:.1f}"])
    print(aligned(table))
    sizes = "-".join(map(str, SIZES))
    print(f"{sizes}; the best of {len(times['JAX'])} rounds, {options.dtype}, one core, Adam.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Training on derivatives: steps of `fit(dy=)` and `fit_residual` beside the same in JAX under jit.

    python bench/residual.py        # a minute

bench/README.md says more.
"""

import functools
import json
import statistics
import sys

import numpy as np
import turns
from report import aligned, microseconds

import fastbp
from fastbp.basis import writing

SECONDS, ROUNDS = 0.3, 9
RATE, EPSILON = 1e-3, 1e-8  # of Adam
SAME = 1e-10  # the largest relative difference of the weights after some steps, in float64
# Name -> layers, samples or points, and whether it is the equation.
CASES = {
    "Black-Scholes, 3-32-32-1 x 128": ([3, 32, 32, 1], 128, False),
    "Black-Scholes, 3-64-64-1 x 1024": ([3, 64, 64, 1], 1024, False),
    "Poisson, 2-24-24-1 x 361": ([2, 24, 24, 1], 361, True),
    "Poisson, 2-64-64-1 x 1024": ([2, 64, 64, 1], 1024, True),
}


def data(sizes, n, dtype):
    """Samples with made-up values and derivatives; the work does not depend on the numbers."""
    random = np.random.default_rng(0)
    X = random.uniform(0, 1, (n, sizes[0]))
    return [np.asarray(a, dtype) for a in (X, np.sin(X.sum(axis=1, keepdims=True)), np.cos(X))]


def residual(x, h, dh, d2h):
    """Δh + f."""
    f = np.sin(x.sum(axis=1, keepdims=True))
    return d2h.sum(axis=2) + f, None, None, np.ones((1, 1, 1, x.shape[1]), x.dtype)


def of_fastbp(net, X, y, dy, equation):
    """A function that takes a number of steps."""
    optimizer = fastbp.Adam(RATE, epsilon=EPSILON)

    def steps(count):
        if equation:
            return fastbp.fit_residual(
                net, X, residual, optimizer=optimizer, epochs=count, check=False
            )
        return net.fit(X, y, dy=dy, optimizer=optimizer, epochs=count, batch_size=None)

    return steps


def of_jax(net, X, y, dy, equation):
    """The same in JAX, all steps in one compiled loop; and a function for the weights."""
    import jax
    import jax.numpy as jnp

    X, y, dy = (jnp.asarray(a) for a in (X, y, dy))
    units = jnp.eye(X.shape[1], dtype=X.dtype)

    def h(parameters, x):
        *hidden, (W, b) = parameters
        for V, c in hidden:
            x = jnp.tanh(x @ V + c)
        return (x @ W + b)[0]

    def laplacian(parameters, x):
        """By two derivatives forward in each direction, the quickest way in JAX here."""

        def along(unit):
            first = functools.partial(jax.jvp, functools.partial(h, parameters))
            return jax.jvp(lambda x: first((x,), (unit,))[1], (x,), (unit,))[1]

        return sum(along(unit) for unit in units)

    def objective(parameters):
        if equation:
            f = jnp.sin(X.sum(axis=1))
            r = jax.vmap(functools.partial(laplacian, parameters))(X) + f
            return jnp.mean(r**2) / 2
        values, slopes = jax.vmap(jax.value_and_grad(h, argnums=1), (None, 0))(parameters, X)
        return (jnp.mean((values - y[:, 0]) ** 2) + jnp.mean(jnp.sum((slopes - dy) ** 2, 1))) / 2

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
    pairs = zip(net.weights, net.biases, strict=True)
    parameters = [(jnp.asarray(W), jnp.asarray(b)) for W, b in pairs]
    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = parameters, zeros, zeros, jnp.zeros((), X.dtype)

    def steps(count):
        return jax.block_until_ready(run(state, count))

    return steps, lambda count: [np.asarray(a) for pair in steps(count)[0] for a in pair]


def network(sizes, dtype, backend):
    return fastbp.Network(
        sizes, activation="tanh", loss="squared_error", dtype=dtype, backend=backend, seed=0
    )


def check(sizes, n, equation, backend):
    """Refuse to time steps that end in other weights."""
    arrays = data(sizes, n, "float64")
    net = network(sizes, "float64", backend)
    _, weights = of_jax(net, *arrays, equation)
    expected = weights(10)
    of_fastbp(net, *arrays, equation)(10)
    found = [a for pair in zip(net.weights, net.biases, strict=True) for a in pair]
    difference = max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True))
    if not difference < SAME * max(np.abs(a).max() for a in expected):
        raise ValueError(f"{backend}: the weights differ from JAX's by {difference:.1e}")


def measured(sizes, n, equation, dtype, backends, rounds, duration):
    """Contender -> seconds a step of each round; they take turns."""
    arrays = data(sizes, n, dtype)
    contenders = {"JAX": of_jax(network(sizes, dtype, "numpy"), *arrays, equation)[0]}
    for backend in backends:
        contenders[backend] = of_fastbp(network(sizes, dtype, backend), *arrays, equation)
    return turns.in_turns(contenders, turns.seconds_a_step, 5, rounds, duration)


def main(arguments=None):
    options = turns.parsed(arguments, __doc__, "float64", "the small networks, few rounds")
    turns.take_one_core()
    try:
        import jax
    except ImportError:
        print(
            "residual: JAX is not installed, so there is nothing to compare with", file=sys.stderr
        )
        return 2
    jax.config.update("jax_enable_x64", True)
    backends = turns.compiled_backends()
    table, results = [["µs a step", *backends, "JAX", "JAX / fastbp"]], {}
    for name, (sizes, n, equation) in CASES.items():
        if options.quick and n > 500:
            continue
        for backend in backends:
            check(sizes, n, equation, backend)
        how = (2, 0.01) if options.quick else (ROUNDS, SECONDS)
        times = measured(sizes, n, equation, options.dtype, backends, *how)
        results[name] = times
        best = {contender: min(rounds) for contender, rounds in times.items()}
        ratio = best["JAX"] / statistics.mean(best[backend] for backend in backends)
        cells = [microseconds(best[contender]) for contender in (*backends, "JAX")]
        table.append([name, *cells, f"{ratio:.1f}"])
    print(aligned(table))
    print(f"The best of {len(times['JAX'])} rounds, {options.dtype}, one core, full batches, Adam.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Derivatives by the inputs and products with the Hessian, beside JAX under jit and torch.func.

    python bench/derivatives.py              # a minute or two
    python bench/derivatives.py --dtype float32

bench/README.md says more.
"""

import importlib.util
import json
import sys
import time

import numpy as np
import turns
from report import aligned, microseconds

import fastbp
from fastbp.basis import writing

SECONDS, ROUNDS = 0.005, 60
SAME = 1e-10  # relative, of all numbers in float64
# Name -> layers, rows, loss.
CASES = {
    "3-64-64-1 x 1024": ([3, 64, 64, 1], 1024, "squared_error"),
    "64-64-10 x 32": ([64, 64, 10], 32, "squared_error"),
    "64-64-10 x 32, softmax": ([64, 64, 10], 32, "cross_entropy"),
}
CALLS = ["vjp", "jvp", "jacobian", "Hessian's diagonal", "Laplacian", "Hessian-vector product"]


class Case:
    """A network and what its derivatives are taken of."""

    def __init__(self, sizes, n, loss, dtype):
        random = np.random.default_rng(0)
        self.sizes, self.loss, self.dtype = sizes, loss, dtype
        net = self.network("numpy")
        self.weights, self.biases = list(net.weights), list(net.biases)
        self.X, self.t = random.standard_normal((2, n, sizes[0])).astype(dtype)
        self.v, self.y = random.standard_normal((2, n, sizes[-1])).astype(dtype)
        if loss == "cross_entropy":
            self.y = random.integers(0, sizes[-1], n)
        self.vector = [
            [random.standard_normal(a.shape).astype(dtype) for a in part]
            for part in (self.weights, self.biases)
        ]

    def network(self, backend):
        return fastbp.Network(
            self.sizes, activation="tanh", loss=self.loss, dtype=self.dtype, backend=backend, seed=0
        )


def of_fastbp(case, backend):
    """Call -> function."""
    net, X = case.network(backend), case.X
    vector = net.loss_and_gradient(X, case.y)[1]
    for part, numbers in zip((vector.weights, vector.biases), case.vector, strict=True):
        for array, given in zip(part, numbers, strict=True):
            array[...] = given

    def product():
        found = net.hessian_vector_product(X, case.y, vector)
        return [a for pair in zip(found.weights, found.biases, strict=True) for a in pair]

    functions = [
        lambda: net.input_vjp(X, case.v),
        lambda: net.input_jvp(X, case.t),
        lambda: net.input_jacobian(X),
        lambda: net.input_hessian_diagonal(X),
        lambda: net.input_laplacian(X),
        product,
    ]
    return dict(zip(CALLS, functions, strict=True))


def of_peer(case, transforms, library, finish):
    """Call -> functions that compute it in several ways, by JAX's transforms or PyTorch's.

    `transforms` are grad, vjp, jvp, jacrev, jacfwd, hessian, vmap and a compiler; `library` has
    tanh, softmax, a matrix of unit vectors, log_softmax and a way to make arrays.
    """
    grad, vjp, jvp, jacrev, jacfwd, hessian, vmap, compiled = transforms
    array, tanh, softmax, log_softmax, units, pick = library
    X, t, v, y = (array(a) for a in (case.X, case.t, case.v, case.y))
    parameters, vector = (
        [(array(W), array(b)) for W, b in zip(*arrays, strict=True)]
        for arrays in ((case.weights, case.biases), case.vector)
    )
    eye = units(X.shape[1])

    def s(parameters, x):
        *hidden, (W, b) = parameters
        for V, c in hidden:
            x = tanh(x @ V + c)
        return x @ W + b

    def h(parameters, x):
        found = s(parameters, x)
        return softmax(found) if case.loss == "cross_entropy" else found

    def loss(parameters, X):
        found = s(parameters, X)
        if case.loss == "cross_entropy":
            return -pick(log_softmax(found), y).mean()
        return ((found - y) ** 2).sum() / (2 * len(X))

    def of_rows(transform):
        """A transform of each row's output by its input."""
        return lambda parameters, X: vmap(transform(lambda x: h(parameters, x)))(X)

    def curves(function):
        """Second derivatives along the unit vectors."""

        def of_row(x):
            def along(unit):
                return jvp(lambda x: jvp(function, (x,), (unit,))[1], (x,), (unit,))[1]

            return vmap(along)(eye)

        return of_row

    def diagonal_of_hessian(function):
        return lambda x: hessian(function)(x).diagonal(0, -2, -1)

    # The weights are arguments, so that nothing is computed from them in advance.
    ways = {
        "vjp": [lambda p, X: vjp(lambda X: h(p, X), X)[1](v)[0]],
        "jvp": [lambda p, X: jvp(lambda X: h(p, X), (X,), (t,))[1]],
        "jacobian": [of_rows(jacrev), of_rows(jacfwd)],
        "Hessian's diagonal": [
            lambda p, X: of_rows(curves)(p, X).swapaxes(1, 2),
            of_rows(diagonal_of_hessian),
        ],
        "Laplacian": [
            lambda p, X: of_rows(curves)(p, X).sum(1),
            lambda p, X: of_rows(diagonal_of_hessian)(p, X).sum(-1),
        ],
    }
    functions = {}
    for call, alternatives in ways.items():
        made = [compiled(function) for function in alternatives]
        functions[call] = [lambda f=f: finish(f(parameters, X)) for f in made]
    product = compiled(lambda p, X: jvp(lambda p: grad(loss)(p, X), (p,), (vector,))[1])
    functions[CALLS[-1]] = [
        lambda: [finish(a) for pair in product(parameters, X) for a in pair],
    ]
    return functions


def of_jax(case):
    import jax
    import jax.numpy as jnp

    transforms = (
        *(jax.grad, jax.vjp, jax.jvp, jax.jacrev, jax.jacfwd, jax.hessian, jax.vmap),
        jax.jit,
    )

    def pick(of_classes, y):
        return jnp.take_along_axis(of_classes, y[:, None], axis=1)

    def units(n):
        return jnp.eye(n, dtype=case.dtype)

    library = jnp.asarray, jnp.tanh, jax.nn.softmax, jax.nn.log_softmax, units, pick
    return of_peer(case, transforms, library, jax.block_until_ready)


def of_torch(case):
    import torch
    from torch import func

    torch.set_num_threads(1)
    transforms = (
        *(func.grad, func.vjp, func.jvp, func.jacrev, func.jacfwd, func.hessian, func.vmap),
        lambda function: function,
    )

    def pick(of_classes, y):
        return of_classes.gather(1, y[:, None])

    def units(n):
        return torch.eye(n, dtype=getattr(torch, case.dtype))

    def softmax(s):
        return torch.softmax(s, -1)

    def log_softmax(s):
        return torch.log_softmax(s, -1)

    library = torch.from_numpy, torch.tanh, softmax, log_softmax, units, pick
    return of_peer(case, transforms, library, lambda found: found)


PEERS = {"JAX": ("jax", of_jax), "torch.func": ("torch", of_torch)}


def numbers(found):
    """One vector of what a call returned."""
    arrays = found if isinstance(found, list) else [found]
    return np.concatenate([np.ravel(np.asarray(a)) for a in arrays])


def check(contenders, peers):
    """Refuse to time calls whose numbers differ."""
    for call in CALLS:
        for peer, of_calls in peers.items():
            for k, function in enumerate(of_calls[call]):
                ref = numbers(function())
                for backend, own in contenders.items():
                    difference = np.abs(numbers(own[call]()) - ref).max() / np.abs(ref).max()
                    if not difference < SAME:
                        raise ValueError(
                            f"{call}: {backend} and {peer} ({k}) differ by {difference:.1e}"
                        )


def per_call(function, count):
    started = time.perf_counter()
    for _ in range(count):
        function()
    return (time.perf_counter() - started) / count


def main(arguments=None):
    options = turns.parsed(arguments, __doc__, "float64", "one small network, few rounds")
    turns.take_one_core()
    there = {
        name: make for name, (package, make) in PEERS.items() if importlib.util.find_spec(package)
    }
    if not there:
        print("derivatives: neither JAX nor PyTorch is installed", file=sys.stderr)
        return 2
    if "JAX" in there:
        import jax

        jax.config.update("jax_enable_x64", True)
    backends = turns.compiled_backends()
    cases = {"3-8-2 x 16": ([3, 8, 2], 16, "cross_entropy")} if options.quick else CASES
    how = (2, 0.001) if options.quick else (ROUNDS, SECONDS)
    table, results = [["µs a call", *backends, *there, "best peer / fastbp"]], {}
    for name, of_case in cases.items():
        exact = Case(*of_case, "float64")
        check(
            {backend: of_fastbp(exact, backend) for backend in backends},
            {peer: make(exact) for peer, make in there.items()},
        )
        case = Case(*of_case, options.dtype)
        own = {backend: of_fastbp(case, backend) for backend in backends}
        peers = {peer: make(case) for peer, make in there.items()}
        for call in CALLS:
            print(f"{name}: {call}", file=sys.stderr)
            functions = {backend: own[backend][call] for backend in backends}
            for peer, of_calls in peers.items():
                functions |= {f"{peer} {k}": way for k, way in enumerate(of_calls[call])}
            best = {
                n: min(rounds) for n, rounds in turns.in_turns(functions, per_call, 2, *how).items()
            }
            row = {backend: best[backend] for backend in backends}
            for peer in peers:  # the quickest of its ways
                row[peer] = min(t for n, t in best.items() if n.startswith(peer))
            results[f"{name}: {call}"] = row
            ratio = min(row[peer] for peer in peers) / min(row[backend] for backend in backends)
            table.append([f"{name}: {call}", *map(microseconds, row.values()), f"{ratio:.1f}"])
    print(aligned(table))
    print(f"The best of {how[0]} rounds, {options.dtype}, one core; tanh in the hidden layers.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

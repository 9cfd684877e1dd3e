"""Steps of networks with embeddings of categories, beside PyTorch.

    python bench/embeddings.py        # a minute

bench/README.md says more.
"""

import json
import statistics
import sys

import numpy as np
import turns
from report import aligned, microseconds

import fastbp
from fastbp.basis import writing

NUMBERS, SECONDS, ROUNDS = 10, 0.3, 9
CATEGORIES = (10, 20, 40, 80, 150, 300, 600, 1000)
HIDDEN, BATCH = [128, 128], 128
RATE, EPSILON = 1e-3, 1e-8  # of Adam
SAME = 1e-9  # the largest relative difference of the parameters after some steps, in float64
# Name -> the numbers of categories, and the rows of a batch.
CASES = {
    "no categories x 128": ((), BATCH),
    "8 of 10 to 1000 categories x 128": (CATEGORIES, BATCH),
    "8 of 10 to 1000 categories x 32": (CATEGORIES, 32),
    "8 of 10 to 1000 categories x 1024": (CATEGORIES, 1024),
    "2 of 10,000 categories x 128": ((10_000, 10_000), BATCH),
}


def data(categories, n, dtype):
    """Samples and targets; the work does not depend on the numbers."""
    random = np.random.default_rng(0)
    codes = [random.integers(0, count, n) for count in categories]
    X = np.column_stack([random.standard_normal((n, NUMBERS)), *codes]).astype(dtype)
    return X, random.standard_normal((n, 1)).astype(dtype)


def network(categories, dtype, backend):
    inputs = [fastbp.Numeric(NUMBERS), *map(fastbp.Categorical, categories)]
    how = {"loss": "squared_error", "dtype": dtype, "backend": backend, "seed": 0}
    return fastbp.Network([inputs, *HIDDEN, 1], **how)


def arrays_of(net):
    """Everything that is learned."""
    return [*net.weights, *net.biases, *net.embeddings]


def of_fastbp(net, X, y):
    """A function that takes a number of steps."""
    optimizer = fastbp.Adam(RATE, epsilon=EPSILON)
    return lambda count: net.fit(X, y, optimizer=optimizer, epochs=count, batch_size=None)


def of_torch(net, X, y):
    """The same in PyTorch, eager, with codes that are integers already; and its parameters."""
    import torch

    torch.set_num_threads(1)
    tables = [torch.nn.Embedding(*table.shape) for table in net.embeddings]
    layers = []
    for W, b in zip(net.weights, net.biases, strict=True):
        linear = torch.nn.Linear(*W.shape)
        linear.weight.data, linear.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
        layers += [linear, torch.nn.ReLU()]
    for table, own in zip(tables, net.embeddings, strict=True):
        table.weight.data = torch.tensor(own)
    module = torch.nn.Sequential(*layers[:-1])
    parameters = [*module.parameters(), *(table.weight for table in tables)]
    optimizer = torch.optim.Adam(parameters, RATE, eps=EPSILON, fused=True)
    codes = [torch.tensor(X[:, NUMBERS + k]).long() for k in range(len(tables))]
    X, y = torch.tensor(X[:, :NUMBERS]), torch.tensor(y)

    def steps(count):
        for _ in range(count):
            optimizer.zero_grad()
            vectors = [table(code) for table, code in zip(tables, codes, strict=True)]
            h = module(torch.cat([X, *vectors], 1))
            (0.5 * (h - y).square().mean()).backward()
            optimizer.step()

    def learned():
        weights = [layer.weight.T for layer in layers[::2]]
        found = [*weights, *(layer.bias for layer in layers[::2]), *(t.weight for t in tables)]
        return [array.detach().numpy() for array in found]

    return steps, learned


def check(categories, n, backend):
    """Return how far the parameters are from PyTorch's after ten steps; refuse a wide gap."""
    X, y = data(categories, n, "float64")
    net = network(categories, "float64", backend)
    steps, learned = of_torch(net, X, y)
    steps(10)
    of_fastbp(net, X, y)(10)
    pairs = list(zip(arrays_of(net), learned(), strict=True))
    difference = max(np.abs(a - b).max() for a, b in pairs) / max(np.abs(b).max() for _, b in pairs)
    if not difference < SAME:
        raise ValueError(f"{backend}: the parameters differ from PyTorch's by {difference:.1e}")
    return difference


def measured(categories, n, dtype, backends, rounds, duration):
    """Contender -> seconds a step of each round; they take turns."""
    X, y = data(categories, n, dtype)
    contenders = {"PyTorch": of_torch(network(categories, dtype, "numpy"), X, y)[0]}
    for backend in backends:
        contenders[backend] = of_fastbp(network(categories, dtype, backend), X, y)
    return turns.in_turns(contenders, turns.seconds_a_step, 5, rounds, duration)


def main(arguments=None):
    options = turns.parsed(arguments, __doc__, "float32", "two cases, few rounds")
    turns.take_one_core()
    try:
        import torch  # noqa: F401
    except ImportError as error:
        print(f"embeddings: {error.name} is not installed to compare with", file=sys.stderr)
        return 2
    backends = turns.compiled_backends()
    table = [["µs a step", *backends, "PyTorch", "PyTorch / fastbp", "difference"]]
    results = {}
    for name, (categories, n) in list(CASES.items())[: 2 if options.quick else None]:
        difference = max(check(categories, n, backend) for backend in backends)
        effort = (2, 0.01) if options.quick else (ROUNDS, SECONDS)
        times = measured(categories, n, options.dtype, backends, *effort)
        results[name] = times
        best = {contender: min(rounds) for contender, rounds in times.items()}
        ratio = best["PyTorch"] / statistics.mean(best[backend] for backend in backends)
        cells = [microseconds(best[contender]) for contender in (*backends, "PyTorch")]
        table.append([name, *cells, f"{ratio:.1f}", f"{difference:.0e}"])
    print(aligned(table))
    sizes = "-".join(map(str, [*HIDDEN, 1]))
    print(
        f"{NUMBERS} numbers and categories, {sizes}; the best of {len(times['PyTorch'])} rounds, "
        f"{options.dtype}, one core, Adam. Difference: of parameters after ten steps in float64."
    )
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

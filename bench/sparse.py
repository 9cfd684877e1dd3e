"""Steps on sparse samples, beside scikit-learn and PyTorch.

20,000 rows of 200,000 features, of which about 0.1 % are not zero, as from a TfidfVectorizer: the
frequency of a feature goes by Zipf's law. 64 hidden units (relu), 5 classes, batches of 200, in
float32. All contenders take the same batches in natural order, from the same initial weights.

Two pairs. With dense Adam, which moves all weights in every step: MLPClassifier beside
scikit-learn's on the same CSR matrix and PyTorch's EmbeddingBag with torch.optim.Adam. With lazy
Adam, which moves the weights that a batch touches: fastbp.LazyAdam beside EmbeddingBag(sparse=True)
with torch.optim.SparseAdam. The contenders take turns; figures are medians of rounds, and ratios
are to fastbp's. The last column is the largest difference of an epoch's loss from the reference
for that optimiser, PyTorch in float64, relative.

    python bench/sparse.py                     # a few minutes
    python bench/sparse.py --rows 2000 --features 20000 --rounds 1    # a look
"""

import argparse
import statistics
import time
import warnings

import numpy as np
import scipy.sparse
import torch
from sklearn.neural_network import MLPClassifier
from torch.nn import functional
from torch.utils.data import BatchSampler, SequentialSampler

import fastbp

HIDDEN, CLASSES, BATCH, RATE, EPSILON = 64, 5, 200, 1e-3, 1e-12


def text(rows, features, density, rng):
    """A matrix like that of a TfidfVectorizer, and labels that depend on it."""
    entries = max(1, round(features * density))
    frequency = 1 / np.arange(1, features + 1)
    names = rng.permutation(features)  # a vocabulary is not sorted by frequency
    drawn = names[rng.choice(features, (rows, 2 * entries), p=frequency / frequency.sum())]
    row = np.repeat(np.arange(rows), entries)
    rare = rng.integers(0, features, (rows, entries // 2))
    column = np.hstack([drawn[:, : entries - entries // 2], rare]).ravel()
    X = scipy.sparse.csr_array((np.ones(row.size, np.float32), (row, column)), (rows, features))
    X.data *= rng.uniform(0.5, 1, X.nnz).astype(np.float32)
    X = scipy.sparse.csr_array(X.multiply(1 / np.sqrt(X.power(2).sum(axis=1))[:, None]))
    X.sort_indices()
    y = (X @ rng.standard_normal((features, CLASSES))).argmax(axis=1)
    return X.astype(np.float32), y


class Contender:
    """Trains epoch by epoch from the common initial weights; `losses` has an epoch's loss each."""

    def __init__(self):
        self.losses, self.times = [], []

    def round(self):
        start = time.perf_counter()
        self.losses.append(self.epoch())
        self.times.append(time.perf_counter() - start)


class OfEstimator(Contender):
    """fastbp's or scikit-learn's MLPClassifier, by partial_fit with the solver adam."""

    def __init__(self, kind, X, y, weights, **options):
        super().__init__()
        self.X, self.y = X, y
        self.model = kind(
            (HIDDEN,),
            alpha=0.0,
            batch_size=BATCH,
            shuffle=False,
            learning_rate_init=RATE,
            epsilon=EPSILON,
            max_iter=1,
            warm_start=True,
            random_state=0,
            **options,
        )
        self.model.partial_fit(X[:CLASSES], np.arange(CLASSES), classes=np.arange(CLASSES))
        del self.model._optimizer
        for i, W in enumerate(weights):
            self.model.coefs_[i][...], self.model.intercepts_[i][...] = W, 0

    def epoch(self):
        self.model.partial_fit(self.X, self.y)
        return self.model.loss_


class OfNetwork(Contender):
    """fastbp.Network with LazyAdam."""

    def __init__(self, X, y, weights, backend):
        super().__init__()
        sizes = [X.shape[1], HIDDEN, CLASSES]
        self.net = fastbp.Network(sizes, loss="cross_entropy", backend=backend)
        for mine, W in zip(self.net.weights, weights, strict=True):
            mine[...] = W
        self.batches = [(X[i : i + BATCH], y[i : i + BATCH]) for i in range(0, len(y), BATCH)]
        self.optimizer = fastbp.LazyAdam(RATE, epsilon=EPSILON, epsilon_hat=True)

    def epoch(self):
        losses = [self.net.fit_step(*batch, optimizer=self.optimizer) for batch in self.batches]
        return float(np.mean(losses))


class OfTorch(Contender):
    """EmbeddingBag and two layers; an epoch is a loop over ready-made batches."""

    def __init__(self, X, y, weights, lazy, dtype):
        super().__init__()
        W, V = (torch.tensor(array, dtype=dtype) for array in weights)
        self.bag = torch.nn.EmbeddingBag.from_pretrained(W, False, mode="sum", sparse=lazy)
        self.bias = torch.nn.Parameter(torch.zeros(HIDDEN, dtype=dtype))
        self.last = torch.nn.Linear(HIDDEN, CLASSES, dtype=dtype)
        with torch.no_grad():
            self.last.weight.copy_(V.T)
            self.last.bias.zero_()
        others = [self.bias, *self.last.parameters()]
        # EPSILON is so small that it makes no difference to which root it is added.
        kind = torch.optim.SparseAdam if lazy else torch.optim.Adam
        self.optimizers = [
            kind(list(self.bag.parameters()), RATE, eps=EPSILON),
            torch.optim.Adam(others, RATE, eps=EPSILON),
        ]
        self.batches = []
        for rows in BatchSampler(SequentialSampler(y), BATCH, drop_last=False):
            part = X[rows]
            self.batches.append(
                (
                    torch.tensor(part.indices, dtype=torch.int64),
                    torch.tensor(part.indptr[:-1], dtype=torch.int64),
                    torch.tensor(part.data, dtype=dtype),
                    torch.tensor(y[rows]),
                )
            )

    def epoch(self):
        total = 0.0
        for columns, starts, values, labels in self.batches:
            h = torch.relu(self.bag(columns, starts, per_sample_weights=values) + self.bias)
            loss = functional.cross_entropy(self.last(h), labels)
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in self.optimizers:
                optimizer.step()
            total += loss.item()
        return total / len(self.batches)


def compare(title, contenders, reference, rounds, steps):
    """Train the contenders in turn, and print a table."""
    for _ in range(rounds + 1):  # the first warms up
        for contender in contenders.values():
            contender.round()
    exact = [reference.epoch() for _ in range(rounds + 1)]
    ours = statistics.median(next(iter(contenders.values())).times[1:])
    print(f"\n{title}\n\n| contender | ms a step | ratio | loss off by |\n|---|---:|---:|---:|")
    for name, contender in contenders.items():
        took = statistics.median(contender.times[1:])
        off = max(abs(a - b) / b for a, b in zip(contender.losses, exact, strict=True))
        print(f"| {name} | {1e3 * took / steps:.2f} | {took / ours:.2f} | {off:.1e} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description="Steps on sparse samples, beside others.")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=200_000)
    parser.add_argument("--density", type=float, default=0.001)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore")
    rng = np.random.default_rng(0)
    X, y = text(options.rows, options.features, options.density, rng)
    bounds = np.sqrt(6 / np.array([options.features + HIDDEN, HIDDEN + CLASSES]))
    weights = [
        rng.uniform(-bound, bound, shape).astype(np.float32)
        for bound, shape in zip(
            bounds, [(options.features, HIDDEN), (HIDDEN, CLASSES)], strict=True
        )
    ]
    steps = -(-options.rows // BATCH)
    print(
        f"{X.shape[0]:,} x {X.shape[1]:,}, {X.nnz / len(y):.0f} entries a row, "
        f"{options.threads} thread(s)"
    )
    how = {"threads": options.threads}
    dense = {
        "fastbp MLPClassifier, Cython": OfEstimator(
            fastbp.MLPClassifier, X, y, weights, backend="cython", **how
        ),
        "fastbp MLPClassifier, Numba": OfEstimator(
            fastbp.MLPClassifier, X, y, weights, backend="numba", **how
        ),
        "scikit-learn MLPClassifier": OfEstimator(MLPClassifier, X, y, weights),
        "PyTorch EmbeddingBag, Adam": OfTorch(X, y, weights, False, torch.float32),
    }
    reference = OfTorch(X, y, weights, False, torch.float64)
    compare("Adam (dense)", dense, reference, options.rounds, steps)
    del dense, reference
    lazy = {
        "fastbp LazyAdam, Cython": OfNetwork(X, y, weights, "cython"),
        "fastbp LazyAdam, Numba": OfNetwork(X, y, weights, "numba"),
        "PyTorch EmbeddingBag, SparseAdam": OfTorch(X, y, weights, True, torch.float32),
    }
    reference = OfTorch(X, y, weights, True, torch.float64)
    compare("Adam of the touched weights", lazy, reference, options.rounds, steps)


if __name__ == "__main__":
    main()

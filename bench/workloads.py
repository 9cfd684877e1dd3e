"""The one table of workloads that every benchmark runs."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A network and its data.

    Attributes
    ----------
    layers : tuple of int
    batch : int
        Samples a step.
    samples : int
        Samples an epoch.
    activation, loss : str
        As for `fastbp.Network`.
    optimizer : str
        "adam" or "sgd" (without momentum), learning rate 1e-3.
    """

    layers: tuple
    batch: int
    samples: int
    activation: str = "relu"
    loss: str = "cross_entropy"
    optimizer: str = "adam"

    @property
    def name(self):
        return f"{'-'.join(map(str, self.layers))} batch {self.batch}"

    @property
    def steps(self):
        """Steps an epoch."""
        return -(-self.samples // self.batch)

    @property
    def flops(self):
        """True operations of a training step: 4 n n_0 n_1 + Σ 6 n n_{i-1} n_i."""
        products = [a * b for a, b in zip(self.layers, self.layers[1:], strict=False)]
        return self.batch * (4 * products[0] + 6 * sum(products[1:]))

    def least_bytes(self, itemsize):
        """Bytes that a training step has to move if nothing stays in a cache between steps.

        The batch is read; parameters and the optimiser's slots are read and written.
        """
        pairs = zip(self.layers, self.layers[1:], strict=False)
        parameters = sum((n_in + 1) * n_out for n_in, n_out in pairs)
        slots = {"adam": 2, "sgd": 0}[self.optimizer]
        return itemsize * (self.batch * self.layers[0] + 2 * (1 + slots) * parameters)

    def data(self, dtype="float32"):
        """Random samples and targets: (X, y)."""
        random = np.random.default_rng(0)
        X = random.normal(size=(self.samples, self.layers[0])).astype(dtype)
        if self.loss == "cross_entropy":
            return X, random.integers(0, self.layers[-1], self.samples)
        if self.loss == "log_loss":
            return X, random.integers(0, 2, self.samples).astype(dtype)
        return X, random.normal(size=(self.samples, self.layers[-1])).astype(dtype)

    def mean_loss(self, h, y):
        """The loss of outputs h, comparable between libraries."""
        if self.loss == "squared_error":
            return float(((h - y) ** 2).mean())
        h = np.clip(h, 1e-7, 1 - 1e-7)
        if self.loss == "log_loss":
            return float(-np.where(y[:, None] == 1, np.log(h), np.log(1 - h)).mean())
        return float(-np.log(h[np.arange(len(y)), y]).mean())


WORKLOADS = [
    Workload((2, 8, 1), 1, 4096, loss="log_loss"),
    Workload((30, 32, 1), 32, 8192, loss="log_loss"),
    Workload((64, 64, 10), 32, 8192),
    Workload((64, 128, 64, 10), 128, 8192),
    Workload((784, 128, 10), 128, 8192),
    Workload((784, 512, 512, 10), 256, 2048),
    Workload((2048, 2048, 10), 256, 512),
    Workload((4096, 4096, 10), 256, 512),
    Workload((4, 32, 16, 4), 10000, 10000, "tanh", "squared_error"),
]

"""Training steps with losses of distributions, compared with squared_error and with PyTorch.

Networks 16-64-n take steps of Adam in float32, on one thread: all losses in turn, several rounds.
squared_error is that of a network with as many outputs. PyTorch computes the same losses with
`torch.nn.GaussianNLLLoss` and `torch.distributions`, eagerly. The check is the difference between
the first losses of the two, from equal weights.

    python bench/distributions.py            # half a minute
    python bench/distributions.py --quick    # a look
"""

import argparse
import os
import statistics
import time

import numpy as np
from measure import cores_for
from report import aligned

import fastbp

HIDDEN, FEATURES = 64, 16
# Loss -> number of outputs, parameter.
LOSSES = {
    "gaussian": (2, None),
    "student_t": (2, 5.0),
    "laplace": (2, None),
    "negative_binomial": (2, None),
    "mixture_density": (15, 5),
    "quantile": (3, (0.1, 0.5, 0.9)),
}


class Own:
    """fastbp's network."""

    def __init__(self, loss, X, y, batch_size):
        n_outputs, parameter = LOSSES.get(loss, (y.shape[1], None))
        self.net = fastbp.Network(
            [FEATURES, HIDDEN, n_outputs], loss=loss, loss_parameter=parameter, seed=0
        )
        self.data = X, y
        self.options = {"batch_size": batch_size, "shuffle": False, "threads": 1, "epochs": 1}
        self.first = self.net.loss_and_gradient(X, y)[0]

    def epoch(self):
        self.net.fit(*self.data, **self.options)


class Torch:
    """PyTorch's, with the weights of fastbp's."""

    def __init__(self, torch, loss, own, batch_size):
        self.torch, self.loss, self.batch_size = torch, loss, batch_size
        self.X, self.y = (torch.from_numpy(array) for array in own.data)
        self.module = own.net.to_torch()
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=0.001)
        with torch.no_grad():
            self.first = self.mean_loss(self.X, self.y).item()

    def mean_loss(self, X, y):
        torch, s = self.torch, self.module(X)
        families = torch.distributions
        if self.loss == "gaussian":
            of_gaussian = torch.nn.GaussianNLLLoss(full=True)
            return of_gaussian(s[:, :1], y, s[:, 1:].exp())
        if self.loss == "quantile":
            steps = torch.cat([s[:, :1], torch.nn.functional.softplus(s[:, 1:])], dim=1)
            d, q = y - steps.cumsum(1), torch.tensor(LOSSES["quantile"][1])
            return torch.maximum(q * d, (q - 1) * d).mean()
        if self.loss == "mixture_density":
            logits, means, scales = s.chunk(3, dim=1)
            shares, parts = (
                families.Categorical(logits=logits),
                families.Normal(means, scales.exp()),
            )
            return -families.MixtureSameFamily(shares, parts).log_prob(y[:, 0]).mean()
        first, second = s[:, :1], s[:, 1:]
        made = {
            "student_t": lambda: families.StudentT(5.0, first, second.exp()),
            "laplace": lambda: families.Laplace(first, second.exp()),
            "negative_binomial": lambda: families.NegativeBinomial(
                (-second).exp(), logits=first + second
            ),
        }
        return -made[self.loss]().log_prob(y).mean()

    def epoch(self):
        for start in range(0, len(self.X), self.batch_size):
            rows = slice(start, start + self.batch_size)
            self.optimizer.zero_grad()
            self.mean_loss(self.X[rows], self.y[rows]).backward()
            self.optimizer.step()


def contenders(loss, torch, steps, batch_size):
    """What trains, by column of the table."""
    rng = np.random.default_rng(0)
    n = steps * batch_size
    X = rng.normal(size=(n, FEATURES)).astype(np.float32)
    y = rng.poisson(2, (n, 1)) if loss == "negative_binomial" else rng.normal(size=(n, 1))
    y = y.astype(np.float32)
    own = Own(loss, X, y, batch_size)
    plain = Own("squared_error", X, np.repeat(y, LOSSES[loss][0], axis=1), batch_size)
    found = {"fastbp": own, "squared_error": plain}
    if torch is not None:
        found["PyTorch"] = Torch(torch, loss, own, batch_size)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few steps and rounds")
    parser.add_argument("--batch-size", type=int, default=32)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(1))
    try:
        import torch

        torch.set_num_threads(1)
        torch.distributions.Distribution.set_default_validate_args(False)
    except ImportError:
        torch = None
        print("PyTorch is not installed, so its column is missing")
    rounds, steps = (3, 20) if options.quick else (7, 500)
    lines = [["microseconds a step", "fastbp", "squared_error", "PyTorch", "check"]]
    for loss in LOSSES:
        found = contenders(loss, torch, steps, options.batch_size)
        times = {name: [] for name in found}
        for each in found.values():
            each.epoch()  # compiles, and warms up
        for _ in range(rounds):
            for name, each in found.items():
                start = time.perf_counter()
                each.epoch()
                times[name].append((time.perf_counter() - start) / steps)
        cells = [f"{1e6 * statistics.median(times[name]):.1f}" for name in times]
        check = "-"
        if torch is not None:
            check = f"{abs(found['fastbp'].first - found['PyTorch'].first):.1e}"
        lines.append([loss, *cells, *["-"] * (3 - len(cells)), check])
    print(aligned(lines))


if __name__ == "__main__":
    main()

"""
Regularisation
==============

Penalties, dropout, averages and similar methods on noisy data.

A network with more weights than samples is trained without and with each method. The loss on unseen
data shows the effect. Then follow a user-defined loss and a quantile.
"""

import numba
import numpy as np
from matplotlib import pyplot

import fastbp

rng = np.random.default_rng(0)
X, X_test = rng.standard_normal((200, 20)), rng.standard_normal((2000, 20))


def noisy(X):
    """The classes 0 and 1, a tenth of the labels wrong."""
    right = X[:, 0] + X[:, 1] * X[:, 2] > 0
    return right ^ (rng.uniform(size=len(X)) < 0.1)


y, y_test = noisy(X), noisy(X_test)
WAYS = {
    "nothing": {},
    "l2": {"l2": 1e-2},
    "l1 on the first layer": {"l1": [3e-3, 0, 0]},
    "dropout, the input too": {"dropout": [0.1, 0.5, 0.5]},
    "clipping by norm": {"clip_norm": 0.1},
    "label smoothing": {"label_smoothing": 0.2},
    "averaging by step": {"average": fastbp.EMA(0.99)},
    "averaging by epoch": {"average": fastbp.SWA(start=10)},
    "last layer only": {"frozen": [0, 1]},
    "several": {"l2": 3e-3, "dropout": 0.3, "average": fastbp.EMA(0.98)},
}
unseen = {}
print("log loss of unseen data, by what training was held back with:")
for name, options in WAYS.items():
    net = fastbp.Network([20, 64, 64, 1], loss="log_loss", seed=0)
    net.fit(X, y, optimizer=fastbp.Adam(3e-3), epochs=60, **options)
    unseen[name] = net.loss_and_gradient(X_test, y_test)[0]
    print(f"  {name:24}{unseen[name]:.3f}")


@numba.njit
def log_cosh(h, y):
    """A user-defined loss: the samples' losses and their derivatives by the output."""
    d = h - y
    return np.log(np.cosh(d)).sum(axis=1), np.tanh(d)


x = rng.uniform(-2, 2, (1000, 1))
t = np.sin(2 * x) + 0.3 * rng.standard_normal(x.shape)
grid = np.linspace(-2, 2, 200)[:, None]
losses = {"log cosh": (log_cosh, None), "median": ("quantile", 0.5), "9 of 10": ("quantile", 0.9)}
figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 4.8), layout="constrained")
left.plot(list(unseen.values()), list(unseen), "o")
left.axvline(np.log(2), color="0.5", ls="--", label="guessing")
left.set(xlabel="log loss of unseen data (less is better)", title="Ways to hold back")
left.invert_yaxis()
left.legend()
right.plot(x, t, ".", color="0.7", ms=3, label="samples")
print("share of the targets below the fit:")
for name, (loss, parameter) in losses.items():
    net = fastbp.Network([1, 32, 1], activation="tanh", loss=loss, loss_parameter=parameter, seed=0)
    net.fit(x, t, optimizer=fastbp.Adam(0.01), epochs=100, average=fastbp.SWA(start=50))
    print(f"  {name:24}{(t < net.predict(x)).mean():.2f}")
    right.plot(grid, net.predict(grid), label=name)
right.set(xlabel="x", ylabel="y", title="Losses of a regression")
right.legend()
pyplot.show()

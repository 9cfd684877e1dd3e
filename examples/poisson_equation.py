"""
Poisson's equation on the square
================================

A network solves a differential equation and is compared with the exact solution.

-Δu = f in the unit square, with u = 0 on its boundary, describes a membrane under a load. For
f = 2π² sin πx sin πy the solution is u = sin πx sin πy. The network never sees it. `fit_residual`
makes the residual r = Δh + f small at points inside, and h small on the boundary; first with Adam,
then with L-BFGS.
"""

import numpy as np
from matplotlib import pyplot

import fastbp


def exact(x):
    return np.sin(np.pi * x[:, :1]) * np.sin(np.pi * x[:, 1:])


def residual(x, h, dh, d2h):
    """r = Δh + f of shape (n, 1), and its derivatives by h, dh and d2h."""
    r = d2h.sum(axis=2) + 2 * np.pi**2 * exact(x)
    return r, None, None, np.ones((1, 1, 1, 2))


grid = np.linspace(0, 1, 21)
inside = np.stack(np.meshgrid(grid[1:-1], grid[1:-1]), axis=-1).reshape(-1, 2)
sides = [np.column_stack([grid, np.full(21, end)]) for end in (0.0, 1.0)]
boundary = np.concatenate([*sides, *(side[:, ::-1] for side in sides)])

net = fastbp.Network(
    [2, 24, 24, 1], activation="tanh", loss="squared_error", dtype="float64", seed=0
)
how = dict(boundary=(boundary, np.zeros(len(boundary))), boundary_weight=100.0)
first = fastbp.fit_residual(net, inside, residual, optimizer=fastbp.Adam(0.01), epochs=300, **how)
then = fastbp.fit_residual(net, inside, residual, optimizer="lbfgs", epochs=400, **how)

fine = np.linspace(0, 1, 81)
x = np.stack(np.meshgrid(fine, fine), axis=-1).reshape(-1, 2)
error = net.predict(x) - exact(x)
print(
    f"objective: {first.loss[0]:.3g}, {first.loss[-1]:.3g} by Adam, {then.loss[-1]:.3g} by L-BFGS"
)
print(f"largest error: {np.abs(error).max():.2e} (the solution goes up to 1)")
assert np.abs(error).max() < 0.01

figure, axes = pyplot.subplots(1, 3, figsize=(14, 4), layout="constrained")
for axis, values, title in (
    (axes[0], net.predict(x), "The network's solution"),
    (axes[1], error, "Its error"),
):
    picture = axis.pcolormesh(fine, fine, values.reshape(81, 81))
    axis.set(title=title, aspect="equal")
    figure.colorbar(picture, ax=axis)
axes[2].semilogy(np.arange(len(first.loss)), first.loss, label="Adam")
axes[2].semilogy(len(first.loss) + np.arange(len(then.loss)), then.loss, label="L-BFGS")
axes[2].set(title="Objective", xlabel="epoch or iteration")
axes[2].legend()
pyplot.show()

"""
Are the gradients right?
========================

Gradients of every backend, and a wrong formula, are compared with finite differences.
"""

import importlib.util

import numpy as np

import fastbp

rng = np.random.default_rng(0)
X = rng.standard_normal((8, 4))
y = rng.integers(0, 2, (8, 1))

net = fastbp.Network([4, 6, 5, 1], activation=["relu", "silu"], loss="log_loss", seed=0)
check = fastbp.check_gradients(net, X, y)
print(check)
assert check.passed

# Equation (6) as the course prints it, -y/h - (1-y)/(1-h), has a wrong sign: right where y = 1,
# wrong where y = 0.
h = net.predict(X).astype(float)
step = 1e-6


def log_loss(h, y):
    """e = -y ln h - (1 - y) ln(1 - h)."""
    return -y * np.log(h) - (1 - y) * np.log(1 - h)


for row in (int(y.argmax()), int(y.argmin())):
    t, p = y[row, 0], h[row, 0]
    difference = (log_loss(p + step, t) - log_loss(p - step, t)) / (2 * step)
    printed, mended = -t / p - (1 - t) / (1 - p), -t / p + (1 - t) / (1 - p)
    print(f"y = {t}: printed {printed:+.4f}, mended {mended:+.4f}, difference {difference:+.4f}")

# %%
# How small should the step be? The error of the difference shrinks with step², its rounding error
# grows with 1 / step. In between, a right derivative agrees to ten digits, and a wrong one to none.

if importlib.util.find_spec("matplotlib"):
    from matplotlib import pyplot

    steps = 10.0 ** np.arange(-14, -0.5, 0.25)
    t, p = 0, 0.2
    differences = (log_loss(p + steps, t) - log_loss(p - steps, t)) / (2 * steps)
    figure, ax = pyplot.subplots(figsize=(7, 4.9), layout="constrained")
    for label, derivative in ("mended", 1 / (1 - p)), ("as printed", -1 / (1 - p)):
        ax.loglog(steps, np.abs(differences / derivative - 1), label=f"formula {label}")
    ax.set(xlabel="step", ylabel="relative difference", title="Formula and finite difference")
    ax.legend()
    pyplot.show()

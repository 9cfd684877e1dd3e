"""
Levenberg-Marquardt
===================

A small regression to the last digits.

First a problem of NIST's Statistical Reference Datasets, whose solution is certified: Rat42,
y = b1 / (1 + exp(b2 - b3 x)), is a network with one sigmoid unit and no bias at the output. Then a
noisy curve, in comparison with Adam.
"""

import numpy as np
from matplotlib import pyplot

import fastbp

x = np.array([9, 14, 21, 28, 42, 57, 63, 70, 79], float)[:, None]
y = [8.93, 10.8, 18.59, 22.33, 39.35, 56.11, 61.73, 64.62, 67.08]
certified = {"b1": 72.462237576, "b2": 2.6180768402, "b3": 0.067359200066}

net = fastbp.Network([1, 1, 1], activation="sigmoid", loss="squared_error", dtype="float64")
net.weights[0], net.biases[0], net.weights[1] = [[0.1]], [-1.0], [[100.0]]  # NIST's first start
found = fastbp.levenberg_marquardt(net, x, y, frozen_biases=[1], tolerance=1e-14)

b = {"b1": net.weights[1][0, 0], "b2": -net.biases[0][0], "b3": net.weights[0][0, 0]}
errors = found.standard_errors
of_b = {"b1": errors.weights[1], "b2": errors.biases[0], "b3": errors.weights[0]}
print(f"Rat42: {len(found.loss) - 1} steps ({found.message})")
for name in b:
    error = of_b[name].item()
    print(f"  {name} = {b[name]:.10g} ± {error:.5g}, certified {certified[name]:.10g}")
    assert abs(b[name] / certified[name] - 1) < 1e-7

rng = np.random.default_rng(0)
X = np.linspace(-3, 3, 200)[:, None]
y = np.sin(2 * X) + 0.1 * X**2 + 0.05 * rng.standard_normal(X.shape)
settings = dict(activation="tanh", loss="squared_error", dtype="float64", seed=1)
by_steps = fastbp.Network([1, 8, 1], **settings)
by_adam = fastbp.Network([1, 8, 1], **settings)
found = fastbp.levenberg_marquardt(by_steps, X, y, tolerance=1e-6)
history = by_adam.fit(X, y, optimizer=fastbp.Adam(0.01), epochs=1000, batch_size=None)
print(f"A curve: loss {found.loss[-1]:.6f} after {len(found.loss) - 1} Levenberg-Marquardt steps,")
print(f"         loss {history.loss[-1]:.6f} after 1000 steps of Adam")
assert found.loss[-1] < history.loss[-1]

figure, (left, right) = pyplot.subplots(1, 2, figsize=(12, 4.6), layout="constrained")
left.plot(X, y, ".", color="0.6", label="samples")
for name, fitted in {"Levenberg-Marquardt": by_steps, "Adam": by_adam}.items():
    left.plot(X, fitted.predict(X), label=name)
left.set(xlabel="x", ylabel="y", title="The curve")
left.legend()
right.loglog(range(1, len(found.loss) + 1), found.loss, label="Levenberg-Marquardt")
right.loglog(range(1, len(history.loss) + 1), history.loss, label="Adam")
right.set(xlabel="step", ylabel="loss", title="The way there")
right.legend()
pyplot.show()

"""
The vanishing gradient, and its cure
====================================

Each sigmoid layer passes on at most a quarter of the error (σ' = h (1 - h) ≤ ¼), so almost nothing
reaches the first of eight layers. relu passes on all of the error, or none.
"""

import warnings

import numpy as np
from matplotlib import pyplot
from sklearn.datasets import make_moons

import fastbp

X, y = make_moons(500, noise=0.15, random_state=0)
layers = [2, *[16] * 8, 1]

figure, axes = pyplot.subplots(1, 2, figsize=(12, 4.8), sharey=True, layout="constrained")
for activation, ax in zip(("sigmoid", "relu"), axes, strict=True):
    net = fastbp.Network(layers, activation=activation, loss="log_loss", seed=0)
    health = fastbp.Health(X[:200], y[:200])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y, optimizer=fastbp.SGD(0.1), epochs=60, callbacks=[health])
    accuracy = np.mean((net.predict(X)[:, 0] > 0.5) == y)
    ratio = health.gradient[0][0] / health.gradient[0][-1]
    print(f"{activation}: accuracy {accuracy:.3f}")
    print(f"before training, layer 1's gradient is {ratio:.1e} of the output layer's")
    print(health, end="\n\n")
    fastbp.HealthDisplay.from_health(health, ax=ax)
    ax.set_title(f"8 hidden layers of {activation}: accuracy {accuracy:.2f}")

    vanishing = any("vanishing" in str(warning.message) for warning in caught)
    assert vanishing == (activation == "sigmoid")
    assert (accuracy > 0.95) == (activation == "relu")

pyplot.show()

"""The vanishing gradient of deep sigmoid networks, and its cure.

Each sigmoid layer passes on at most a quarter of the error (σ' = h (1 - h) ≤ ¼), so that eight
layers leave next to nothing to the first one. relu passes on all of it or nothing.
"""

import numpy as np
from sklearn.datasets import make_moons

import fastbp

X, y = make_moons(500, noise=0.15, random_state=0)
layers = [2, *[16] * 8, 1]

for activation in ("sigmoid", "relu"):
    net = fastbp.Network(layers, activation=activation, loss="log_loss", seed=0)
    health = fastbp.Health(X[:200], y[:200])
    health.record(net)
    for _ in range(6):  # SGD without momentum has no state to lose between calls
        net.fit(X, y, optimizer=fastbp.SGD(0.1), epochs=10)
        health.record(net)
    accuracy = np.mean((net.predict(X)[:, 0] > 0.5) == y)
    ratio = health.gradient[0][0] / health.gradient[0][-1]
    print(f"{activation}: accuracy {accuracy:.3f}")
    print(f"before training, layer 1's gradient is {ratio:.1e} of the output layer's")
    print(health, end="\n\n")
    vanishing = any("vanishing" in message for message in health.messages())
    assert vanishing == (activation == "sigmoid")
    assert (accuracy > 0.95) == (activation == "relu")

"""
Pictures of a network
=====================

Two half moons: the loss during the training, the network's regions of the plane, and its weights.
"""

from matplotlib import pyplot
from sklearn.datasets import make_moons

import fastbp

X, y = make_moons(400, noise=0.15, random_state=0)
net = fastbp.Network([2, 6, 1], activation="tanh", loss="log_loss", seed=0)
before = net.trace(X, y)
history = net.fit(
    X[:300], y[:300], optimizer=fastbp.Adam(0.03), epochs=150, validation_data=(X[300:], y[300:])
)

figure, axes = pyplot.subplots(2, 2, figsize=(12, 9), layout="constrained")
fastbp.LearningCurveDisplay.from_history(history, ax=axes[0, 0])
fastbp.DecisionBoundaryDisplay.from_estimator(net, X, y, ax=axes[0, 1])
fastbp.NetworkGraphDisplay.from_trace(before, ax=axes[1, 0])
axes[1, 0].set_title("Before training: what the gradient would change")
fastbp.WeightHistogramDisplay.from_estimator(net, ax=axes[1, 1])
pyplot.show()

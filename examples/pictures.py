"""Pictures of a network that learns two half moons; written into the folder given, or here."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402
from sklearn.datasets import make_moons  # noqa: E402

import fastbp  # noqa: E402

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
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
figure.savefig(folder / "pictures.png", dpi=120)
print(f"wrote {folder / 'pictures.png'}")

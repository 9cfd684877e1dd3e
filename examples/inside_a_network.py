"""
Inside a network that reads digits
==================================

The weights of the first layer as images, and the activations of the layers. The penalty leaves only
important weights: strokes at certain places, for (vermilion) and against (blue) a unit.
"""

from matplotlib import pyplot
from sklearn.datasets import load_digits

import fastbp

X, y = load_digits(return_X_y=True)
X = X / 8 - 1
net = fastbp.Network([64, 24, 12, 10], activation="relu", loss="cross_entropy", seed=0)
net.fit(X[:1400], y[:1400], optimizer=fastbp.AdamW(3e-3, weight_decay=0.3), epochs=80, l1=3e-4)
accuracy = (net.predict(X[1400:]).argmax(axis=1) == y[1400:]).mean()

figure, axes = pyplot.subplots(
    1, 3, figsize=(16, 5), layout="constrained", width_ratios=[1.5, 1, 1]
)
fastbp.WeightImageDisplay.from_estimator(net, (8, 8), ax=axes[0])
fastbp.ActivationHistogramDisplay.from_estimator(net, X[1400:], ax=axes[1])
fastbp.WeightHistogramDisplay.from_estimator(net, ax=axes[2])
figure.suptitle(f"{accuracy:.1%} of the test digits are read correctly")
pyplot.show()

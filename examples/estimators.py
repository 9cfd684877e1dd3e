"""
In place of scikit-learn's
==========================

scikit-learn's MLPClassifier and fastbp's on the digits: one import differs, the numbers agree.
"""

import time

import numpy as np
import sklearn.neural_network
from matplotlib import pyplot
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp

X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
fitted = {}
for library in (sklearn.neural_network, fastbp):
    classifier = library.MLPClassifier((64,), batch_size=32, max_iter=200, random_state=0)
    started = time.perf_counter()
    fitted[library] = classifier.fit(X / 16, y)
    seconds = time.perf_counter() - started
    accuracy = classifier.score(X_test / 16, y_test)
    print(f"{library.__name__:23} {classifier.n_iter_} epochs, {accuracy=:.4f}, {seconds=:.2f}")

ours, theirs = fitted[fastbp], fitted[sklearn.neural_network]
difference = max(np.abs(a - b).max() for a, b in zip(ours.coefs_, theirs.coefs_, strict=True))
print(f"largest difference of the coefficients: {difference:.0e}")

figure, ax = pyplot.subplots(figsize=(7, 4.9), layout="constrained")
ax.semilogy(theirs.loss_curve_, color="C1", linewidth=6, alpha=0.5, label="scikit-learn")
ax.semilogy(ours.loss_curve_, "k--", label="fastbp")
ax.set(xlabel="epoch", ylabel="training loss", title="The same training, twice")
ax.legend()
pyplot.show()

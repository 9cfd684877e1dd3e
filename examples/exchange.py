"""
From scikit-learn to C
======================

A network of scikit-learn is imported, trained further, and written as C code with weights of one
byte.

``to_c`` returns the network with the rounded weights. So you can measure the effect of rounding
before you compile anything.
"""

import shutil
import subprocess
import tempfile
from pathlib import Path

from matplotlib import pyplot
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import fastbp

X, X_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
X, X_test = X / 16, X_test / 16
classifier = MLPClassifier((64,), early_stopping=True, random_state=0).fit(X, y)
print(f"scikit-learn: accuracy {classifier.score(X_test, y_test):.4f}")

net = fastbp.Network.from_sklearn(classifier)
net.fit(X, y, epochs=30)


def accuracy(network):
    return (network.predict(X_test).argmax(axis=1) == y_test).mean()


print(f"trained on:   accuracy {accuracy(net):.4f}")

probabilities = {}
with tempfile.TemporaryDirectory() as folder:
    for weights in ("float32", "int8"):
        written = net.to_c(folder, "digits", weights=weights, X=X_test[:20])
        probabilities[weights] = written.predict(X_test)
        print(f"C, {weights + ':':9} accuracy {accuracy(written):.4f}")
    print("\n" + Path(folder, "digits.h").read_text())
    if shutil.which("cc"):
        command = ["cc", "-O2", "digits.c", "digits_test.c", "-o", "digits_test"]
        subprocess.run(command, cwd=folder, check=True)
        program = [Path(folder, "digits_test")]
        print(subprocess.run(program, check=True, capture_output=True, text=True).stdout)

figure, ax = pyplot.subplots(figsize=(7, 4.9), layout="constrained")
ax.plot(probabilities["float32"].ravel(), probabilities["int8"].ravel(), ".", alpha=0.4)
ax.plot([0, 1], [0, 1], "k", linewidth=0.5)
ax.set(
    xlabel="probability, weights in float32",
    ylabel="probability, weights in int8",
    title="What rounding the weights to one byte changes",
)
pyplot.show()

"""
Both backends on real data
==========================

Train on digits and breast cancer with both compiled backends, and compare them. This is what
``make demo`` runs.
"""

import importlib.util
import time

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import fastbp

print("Backends")
for name, answer in fastbp.available_backends().items():
    print(f"  {name:7} {answer}")


def train(title, layers, loss, data, scaler, backend):
    """Fit on the scaled training part and print the accuracy on the held-out part."""
    X, X_test, y, y_test = data
    X, X_test = scaler.fit_transform(X), scaler.transform(X_test)
    net = fastbp.Network(layers, activation="relu", loss=loss, seed=0, backend=backend)
    started = time.perf_counter()
    net.fit(X, y, optimizer=fastbp.Adam(3e-3), epochs=60, batch_size=32, l2=1e-3)
    seconds = time.perf_counter() - started
    h = net.predict(X_test)
    predicted = h.argmax(axis=1) if loss == "cross_entropy" else h[:, 0] > 0.5
    accuracy = np.mean(predicted == y_test)
    print(f"  {title:14} {backend:7} held-out accuracy {accuracy:.4f}, {seconds:6.3f} s")
    return accuracy


def split(load):
    """X, X_test, y, y_test with a quarter held out, classes in proportion."""
    X, y = load(return_X_y=True)
    return train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


digits, cancer = split(load_digits), split(load_breast_cancer)

print("\nTraining (the first fit with Numba includes compiling, some 10 s on a fresh machine)")
for backend in ("cython", "numba"):
    if fastbp.available_backends()[backend].startswith("yes"):
        accuracy = train("digits", [64, 64, 10], "cross_entropy", digits, MinMaxScaler(), backend)
        assert accuracy >= 0.97, "the digits should be learnt to 97 %"
        train("breast cancer", [30, 32, 1], "log_loss", cancer, StandardScaler(), backend)

print("\nComparison (timing, and starting each backend in a fresh process)")
X, _, y, _ = digits
comparison = fastbp.compare_backends([64, 64, 10], X / 16, y, loss="cross_entropy")
print(comparison)
if importlib.util.find_spec("matplotlib"):
    from matplotlib import pyplot

    steps = {result.backend: 1e6 * result.step for result in comparison.results}
    figure, ax = pyplot.subplots(figsize=(7, 3), layout="constrained")
    bars = ax.barh(list(steps), list(steps.values()), color=["C0", "C1", "C7"])
    ax.bar_label(bars, [f" {step:.3g} µs" for step in steps.values()])
    ax.set(xscale="log", xlabel="µs per training step", xlim=(1, 5 * max(steps.values())))
    ax.set_title(f"{comparison.problem.split(',')[0]}, batches of 32")
    ax.invert_yaxis()
    pyplot.show()

r"""
5. The same in one line, and how fast
=====================================

The loop of the last part, as a call of the library:

.. code-block:: python

   net.fit(X, y, optimizer=fastbp.SGD(1.0), epochs=3000, batch_size=None)

This part measures what the line is worth. All times on this page were taken when it was made, on
the machine that made it; run it on yours.
"""

# %%
# The task: handwritten digits
# ----------------------------
#
# Pictures of 8 x 8 grey values, and ten outputs. The output activation of ``cross_entropy`` is the
# **softmax**, a sigmoid for several classes: outputs are positive and add up to 1. Its ∂e/∂s is
# h - y again, with y = 1 for the right digit and 0 for the others.

import statistics
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp

X, digits = load_digits(return_X_y=True)
X, X_test, digits, digits_test = train_test_split(
    (X / 16).astype(np.float32), digits, stratify=digits, random_state=0
)
y = np.eye(10, dtype=np.float32)[digits]
BATCH = 32

# %%
# Our own step, as in the last part, now for mini-batches: each step looks at 32 pictures only.


def softmax(s):
    powers = np.exp(s - s.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def own_epoch(W, b, learning_rate, order):
    """Once through the data, in the given order; changes W and b."""
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        h_0 = X[rows]
        h_1 = np.maximum(h_0 @ W[0] + b[0], 0)  # relu
        h_2 = softmax(h_1 @ W[1] + b[1])
        ds_2 = (h_2 - y[rows]) / len(rows)
        ds_1 = (ds_2 @ W[1].T) * (h_1 > 0)
        W[1] -= learning_rate * (h_1.T @ ds_2)
        b[1] -= learning_rate * ds_2.sum(axis=0)
        W[0] -= learning_rate * (h_0.T @ ds_1)
        b[0] -= learning_rate * ds_1.sum(axis=0)


def network(backend):
    sizes = [64, 64, 10]
    return fastbp.Network(sizes, activation="relu", loss="cross_entropy", seed=0, backend=backend)


EPOCHS = 30
start = network("numpy")
W, b = [w.copy() for w in start.weights], [v.copy() for v in start.biases]
rng = np.random.default_rng(0)
for _ in range(EPOCHS):
    own_epoch(W, b, 0.1, rng.permutation(len(X)))
said = (np.maximum(X_test @ W[0] + b[0], 0) @ W[1] + b[1]).argmax(axis=1)
print(f"our own:  {np.mean(said == digits_test):.1%} of the held-out digits are right")

net = network("auto")
net.fit(X, digits, optimizer=fastbp.SGD(0.1), epochs=EPOCHS, batch_size=BATCH)
said = net.predict(X_test).argmax(axis=1)
print(f"library:  {np.mean(said == digits_test):.1%}")

# %%
# (The last digits differ, because each draws its own order of the pictures.)
#
# The time of a step
# ------------------
#
# Measuring times needs some care. Everything is called once before, since Numba compiles a function
# when it is first called. The contenders take turns, so that other work on the machine affects
# all of them. And we take the median of many rounds, which one slow round does not change.


def own_round():
    for _ in range(EPOCHS):
        own_epoch(W, b, 0.1, rng.permutation(len(X)))


def library_round(backend):
    net, optimizer = network(backend), fastbp.SGD(0.1)
    return lambda: net.fit(
        X, digits, optimizer=optimizer, epochs=EPOCHS, batch_size=BATCH, threads=1
    )


contenders = {"our own NumPy": own_round, "backend numpy": library_round("numpy")}
for backend, answer in fastbp.available_backends().items():
    if backend != "numpy" and answer.startswith("yes"):
        contenders[f"backend {backend}"] = library_round(backend)

times = {name: [] for name in contenders}
for do in contenders.values():
    do()
for _ in range(7):
    for name, do in contenders.items():
        started = time.perf_counter()
        do()
        times[name].append(time.perf_counter() - started)

steps = EPOCHS * -(-len(X) // BATCH)
microseconds = {name: statistics.median(t) / steps * 1e6 for name, t in times.items()}
for name, value in microseconds.items():
    print(f"{name:15} {value:7.1f} µs a step, {microseconds['our own NumPy'] / value:5.1f} x")

# %%
# Where does the time go? At each step our own loop makes some twenty calls from Python into NumPy,
# and each call costs a microsecond or more, whatever it computes. The library's compiled backends
# make *one* call for all steps. (The backend ``numpy`` is made to be read and to check the others,
# not to be fast.)

figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
colours = ["#999999", "#999999", "#0072B2", "#D55E00"]
bars = axes.barh(list(microseconds), list(microseconds.values()), color=colours)
axes.bar_label(bars, [f" {value:.1f} µs" for value in microseconds.values()])
axes.set(xscale="log", xlabel="µs a step (logarithmic)", xlim=(1, 5 * max(microseconds.values())))
axes.invert_yaxis()
plt.show()

# %%
# How near is that to the limit of the machine? Count the multiplications and additions: a
# step on n rows needs 4 n n₀ n₁ for the first layer (forward, and the gradient) and 6 n n₁ n₂ for
# the second (and the errors passed back).

operations = BATCH * (4 * 64 * 64 + 6 * 64 * 10)
for name, value in microseconds.items():
    print(f"{name:15} {operations / value / 1e3:6.2f} billion operations a second")

# %%
# A current core can do some 100 billion per second in single precision, if nothing ever
# waits. So the compiled step is within a small factor of the machine's limit, even for such a
# small network. The user guide explains it under "How the kernels work".

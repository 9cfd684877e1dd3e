r"""
4. A training step of your own
==============================

The equations of the last part are for single units and a single sample. Written with matrices, for
all units and samples at once, they are a few lines of NumPy. We write them, put the library's
numbers next to ours, and train with both.
"""

# %%
# From sums to matrices
# ---------------------
#
# Let a matrix hold one sample in each row. Then, with ⊙ for multiplying entry by entry, and σ'
# taken entry by entry,
#
# .. math::
#
#    \begin{aligned}
#    s_i &= h_{i-1} W_i + b_i & h_i &= \sigma(s_i) \\
#    \partial s_m &= h_m - y & \partial s_i &= \partial h_i \odot \sigma'(s_i) \\
#    \partial h_{i-1} &= \partial s_i W_i^\top & & \\
#    \partial W_i &= h_{i-1}^\top \, \partial s_i / n &
#    \partial b_i &= \text{mean of the rows of } \partial s_i
#    \end{aligned}
#
# where :math:`\partial s_i` is short for :math:`\partial e / \partial s_i` and so on. Compare:
# the sum over k in equation (1) is the product with the transposed :math:`W`; equations (3-5) are
# the product of :math:`h_{i-1}` and :math:`\partial s_i`, summed over the n samples, and the loss
# being a mean, divided by n.

import matplotlib.pyplot as plt
import numpy as np

import fastbp


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


class OwnNetwork:
    """Sigmoid units, log loss; layers count from 1, so entry 0 of a list is None."""

    def __init__(self, weights, biases):
        self.W = [None, *(np.array(w) for w in weights)]
        self.b = [None, *(np.array(v) for v in biases)]
        self.m = len(weights)

    def forward(self, X):
        self.s, self.h = [None], [X]
        for i in range(1, self.m + 1):
            self.s.append(self.h[i - 1] @ self.W[i] + self.b[i])
            self.h.append(sigmoid(self.s[i]))
        return self.h[-1]

    def backward(self, y):
        n = len(y)
        self.dh, self.ds, self.dW, self.db = ([None] * (self.m + 1) for _ in range(4))
        self.ds[self.m] = self.h[self.m] - y
        for i in range(self.m, 0, -1):
            if i < self.m:
                self.dh[i] = self.ds[i + 1] @ self.W[i + 1].T
                self.ds[i] = self.dh[i] * self.h[i] * (1 - self.h[i])
            self.dW[i] = self.h[i - 1].T @ self.ds[i] / n
            self.db[i] = self.ds[i].mean(axis=0)

    def step(self, X, y, learning_rate):
        h = self.forward(X)
        self.backward(y)
        for i in range(1, self.m + 1):
            self.W[i] -= learning_rate * self.dW[i]
            self.b[i] -= learning_rate * self.db[i]
        return np.mean(-y * np.log(h) - (1 - y) * np.log(1 - h))


# %%
# That is all there is to backpropagation. The data are two half moons, 200 points, that no straight
# line can part.

from sklearn.datasets import make_moons

X, labels = make_moons(200, noise=0.15, random_state=0)
y = labels.reshape(-1, 1).astype(float)

sizes, kind = [2, 6, 4, 1], {"activation": "sigmoid", "loss": "log_loss"}
net = fastbp.Network(sizes, **kind, dtype="float64", seed=1, backend="numpy")
own = OwnNetwork(net.weights, net.biases)
own.forward(X)
own.backward(y)

# %%
# Next to the library
# -------------------
#
# ``net.trace`` shows every quantity of the derivation, as the library computes it, under the same
# names: lists by the number of the layer, entry 0 being the input or None.

trace = net.trace(X, y)
print("largest difference of our own numbers from the library's")
for i in range(1, own.m + 1):
    differences = []
    for name in ("s", "h", "dh", "ds", "dW", "db"):
        ours, theirs = getattr(own, name)[i], getattr(trace, name)[i]
        if ours is not None:  # dh of the output, which we stepped over
            differences.append(f"{name} {np.abs(ours - theirs).max():.0e}")
    print(f"layer {i}:", ", ".join(differences))

# %%
# Nothing but rounding, whose unit is 2e-16 for numbers near 1. And if a number puzzles you, ask
# where it comes from. Here is one of the hidden units for the first sample, with the sum of
# equation (1) written out:

print(trace.equations(2, 0, sample=0))

# %%
# The check of the last part, every weight against finite differences, is also a call:

print(fastbp.check_gradients(net, X[:20], y[:20]))

# %%
# Training with both
# ------------------
#
# Both have the same start and take the same 3000 steps of gradient descent on all points.

own_losses = [own.step(X, y, learning_rate=1.0) for _ in range(3000)]
history = net.fit(X, y, optimizer=fastbp.SGD(1.0), epochs=3000, batch_size=None)
print("loss of our own network:", own_losses[-1])
print("loss of the library:    ", history.loss[-1])
print("largest difference of outputs:", np.abs(own.forward(X) - net.predict(X)).max())

# %%
# On the left the loss, with both curves on top of each other; on the right the result. (The
# long flat stretch is typical of sigmoid units: their σ' is at most ¼, so that layers far from
# the output learn slowly.)

BLUE, ORANGE = "#0072B2", "#D55E00"

figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
left.plot(own_losses, color=BLUE, linewidth=4, alpha=0.5, label="our own")
left.plot(history.loss, color="black", linestyle="--", label="the library")
left.set(xlabel="step", ylabel="loss", ylim=0)
left.legend()

across, up = np.linspace(-1.6, 2.6, 200), np.linspace(-1.2, 1.7, 200)
plane = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
outputs = own.forward(plane).reshape(200, 200)
style = {"origin": "lower", "cmap": "Greys", "vmin": 0, "vmax": 1, "alpha": 0.5}
image = right.imshow(outputs, extent=(-1.6, 2.6, -1.2, 1.7), aspect="auto", **style)
figure.colorbar(image, ax=right, label="output h")
right.contour(across, up, outputs, [0.5], colors="black", linewidths=2)
for answer, marker, colour in [(0, "o", ORANGE), (1, "s", BLUE)]:
    chosen = X[labels == answer]
    right.scatter(*chosen.T, s=18, marker=marker, color=colour, label=f"wanted {answer}")
right.set(xlabel="$x_1$", ylabel="$x_2$")
right.legend()
plt.show()

# %%
# Our forty lines do what the library does, number by number. They only take longer. How much
# longer, the last part measures.

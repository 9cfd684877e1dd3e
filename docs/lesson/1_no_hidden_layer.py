r"""
1. Networks without hidden layers
=================================

Linear regression and logistic regression are neural networks: the smallest ones, with inputs, one
layer of weights and an output. So the words can be learned on something you know.

A layer takes a row of numbers :math:`h_0`, multiplies it by a matrix of **weights** :math:`W_1`,
adds a row of **biases** :math:`b_1`, and passes each number of the sum through a function
:math:`\sigma_1`:

.. math:: s_1 = h_0 W_1 + b_1, \qquad h_1 = \sigma_1(s_1)

:math:`h_0` is the input, often called x. With one layer, :math:`h_1` is the output.
"""

# %%
# A straight line
# ---------------
#
# Twenty-four points that lie near the line 2 x + 1.

import matplotlib.pyplot as plt
import numpy as np

import fastbp

rng = np.random.default_rng(1)
x = rng.uniform(-1, 3, (24, 1))
y = 2 * x + 1 + rng.normal(0, 0.6, (24, 1))

# %%
# A network with one input, one output and nothing between them. The loss ``squared_error``
# determines the output activation, the identity, so that the output is w x + b: a straight line.

net = fastbp.Network([1, 1], loss="squared_error", dtype="float64", seed=0)
w, b = net.weights[0].item(), net.biases[0].item()
print(f"before training: w = {w:.3f}, b = {b:.3f}")

# %%
# It starts with a random weight and a bias of zero. How bad is that? The **loss** says it
# in one number. For one point, with the output h and the target y, it is
#
# .. math:: e = \frac{1}{2} (h - y)^2
#
# and for all points it is the mean of these.

h = net.predict(x)
print("loss by hand:   ", np.mean((h - y) ** 2 / 2))
print("loss by library:", net.loss_and_gradient(x, y)[0])

# %%
# Training means: find out for each weight in which direction the loss goes down, and take a step
# that way. The direction comes from the derivative. Here the chain rule is short. A small change
# of w changes h by x times as much, and a change of h changes e by (h - y) times as much:
#
# .. math::
#
#    \frac{\partial e}{\partial w} = (h - y) \, x, \qquad \frac{\partial e}{\partial b} = h - y

loss, gradient = net.loss_and_gradient(x, y)
print("de/dw by hand:   ", np.mean((h - y) * x))
print("de/dw by library:", gradient.weights[0].item())
print("de/db by hand:   ", np.mean(h - y))
print("de/db by library:", gradient.biases[0].item())

# %%
# Both derivatives are negative: the loss goes down if w and b go up. ``fit`` takes many such steps.
# ``SGD`` is plain **gradient descent**: w becomes w minus the learning rate times the derivative.

history = net.fit(x, y, optimizer=fastbp.SGD(0.2), epochs=200, batch_size=None)
w, b = net.weights[0].item(), net.biases[0].item()
print(f"after training:  w = {w:.6f}, b = {b:.6f}")

# %%
# For a straight line there is also a formula ("least squares"), so we can check the result:

exact, *_ = np.linalg.lstsq(np.hstack([x, np.ones_like(x)]), y)
print(f"least squares:   w = {exact[0, 0]:.6f}, b = {exact[1, 0]:.6f}")

# %%
# The same line. On the left the points with the line, on the right the loss during the training.

BLUE, ORANGE = "#0072B2", "#D55E00"  # also distinct for colour-blind readers

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.scatter(x, y, color=BLUE, label="points")
ends = np.array([[-1.0], [3.0]])
left.plot(ends, net.predict(ends), color=ORANGE, label=f"network: {w:.2f} x + {b:.2f}")
left.set(xlabel="x", ylabel="y")
left.legend()
right.plot(range(1, 21), history.loss[:20], color=BLUE, marker=".", label="loss of the network")
right.axhline(history.loss[-1], color="grey", linestyle=":", label="after 200 epochs")
right.set(xlabel="epoch (time through the data)", ylabel="loss", xticks=range(0, 21, 5), ylim=0)
right.legend()
plt.show()

# %%
# The loss does not go to zero, because the points do not lie on a line.
#
# Yes or no
# ---------
#
# Now the answer to learn is 0 or 1: did a student pass the exam, given the hours of study? A line
# would give -0.3 or 1.4 for some. The **sigmoid** squeezes any number into (0, 1), so that the
# output can be read as a probability:
#
# .. math:: \sigma(s) = \frac{1}{1 + e^{-s}}

hours = rng.uniform(0, 10, (40, 1))
passed = (rng.random((40, 1)) < 1 / (1 + np.exp(-(hours - 5)))).astype(float)

# %%
# What is a good loss for probabilities? If the answer is 1 and the network says h, pay -ln h:
# nothing if h = 1, and more and more the nearer h is to 0. If the answer is 0, pay -ln (1 - h).
# In one formula, the **log loss**:
#
# .. math:: e = -y \ln h - (1 - y) \ln (1 - h)
#
# In the library, the output activation of ``log_loss`` is the sigmoid. Otherwise the network is the
# same. It is called *logistic regression*.

net = fastbp.Network([1, 1], loss="log_loss", dtype="float64", seed=0)
net.fit(hours, passed, optimizer=fastbp.Adam(0.1), epochs=2000, batch_size=None)
w, b = net.weights[0].item(), net.biases[0].item()
print(f"network:      w = {w:.5f}, b = {b:.5f}")

# %%
# There is no formula for the best w and b this time, but scikit-learn finds them with another
# method (Newton's). ``C=np.inf`` means no penalty.

from sklearn.linear_model import LogisticRegression

other = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
other.fit(hours, passed.ravel())
print(f"scikit-learn: w = {other.coef_[0, 0]:.5f}, b = {other.intercept_[0]:.5f}")

# %%
# (Here ``Adam`` took the steps, a gradient descent that adapts the length of each weight's step.
# ``SGD`` would have taken longer, since hours and bias are on different scales.)

figure, axes = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
for answer, marker, colour, label in [(1, "o", BLUE, "passed"), (0, "x", ORANGE, "failed")]:
    chosen = passed == answer
    axes.scatter(hours[chosen], passed[chosen], marker=marker, color=colour, label=label)
grid = np.linspace(0, 10, 200).reshape(-1, 1)
axes.plot(grid, net.predict(grid), color="black", label="probability of passing")
axes.axvline(-b / w, color="grey", linestyle=":", label=f"half: {-b / w:.1f} hours")
axes.set(xlabel="hours of study", ylabel="output h")
axes.legend()
plt.show()

# %%
# Where the sum s = w x + b is 0, the output is ½. With two inputs that would be a line in the
# plane, with three a plane in space: logistic regression divides by something straight. What if
# no straight line will do? That is what hidden layers are for, in the next part.

r"""
3. The derivation, checked with numbers
=======================================

How does the loss change with a weight deep inside a network? The answer is the chain rule, applied
layer by layer from the output back: **backpropagation**. This part goes through the derivation of
the course that this library follows, equations (1) to (6) in its numbering. Two of the course's
formulas have slips. That is a good exercise: we shall find both with nothing but a calculator.
"""

# %%
# The names
# ---------
#
# Layers are numbered 1 to m and all treated alike. For one sample, layer i computes
#
# .. math:: s_{i,j} = b_{i,j} + \sum_k w^i_{k,j} \, h_{i-1,k}, \qquad h_{i,j} = \sigma(s_{i,j})
#
# where j counts the units of the layer, k those of the layer before it, and :math:`h_0` is the
# input. :math:`w^i_{k,j}` is the weight from unit k into unit j. :math:`\sigma` is the sigmoid,
# and e the log loss. We take two inputs, three hidden units and one output, with weights that
# anybody can type.

import matplotlib.pyplot as plt
import numpy as np

x, y = np.array([0.5, -1.0]), 0.0

W = {
    1: np.array([[0.6, -0.4, 0.9], [-0.7, 0.5, 0.2]]),
    2: np.array([[0.8], [-1.1], [0.3]]),
}
b = {1: np.array([0.1, -0.2, 0.0]), 2: np.array([-0.9])}


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def forward(W, b):
    """All s and h, by the number of their layer."""
    h, s = {0: x}, {}
    for i in W:
        s[i] = h[i - 1] @ W[i] + b[i]
        h[i] = sigmoid(s[i])
    return s, h


def log_loss(h):
    return -y * np.log(h) - (1 - y) * np.log(1 - h)


s, h = forward(W, b)
print("h_1 =", h[1].round(4))
print("h_2 =", h[2].round(4), "  e =", log_loss(h[2]).round(4))

# %%
# The tool: finite differences
# ----------------------------
#
# A derivative says how much a result changes when something is moved a little. So move it a little,
# to both sides, and look:
#
# .. math:: f'(x) \approx \frac{f(x + \varepsilon) - f(x - \varepsilon)}{2 \varepsilon}
#
# This needs no algebra, so it cannot make the same mistake as our algebra.


def slope(f, x, step=1e-5):
    return (f(x + step) - f(x - step)) / (2 * step)


print("slope of x² at 3:", slope(lambda x: x**2, 3.0))

# %%
# Where it starts: (6)
# --------------------
#
# Begin at the end, with how the loss changes with the output. From
# :math:`e = -y \ln h - (1 - y) \ln(1 - h)`, and since the derivative of :math:`\ln(1 - h)` is
# :math:`-1/(1 - h)`,
#
# .. math:: \frac{\partial e}{\partial h} = -\frac{y}{h} + \frac{1 - y}{1 - h} \tag{6}
#
# The course prints a **minus** between the two terms. Let us see, with the simplest numbers: y =
# 0 and h = 0.2. Then e = -ln(1 - h), and (1 - y)/(1 - h) = 1/0.8 = 1.25. Is the slope +1.25 or
# -1.25?

print("finite difference:", slope(log_loss, 0.2))

# %%
# Plus. One could have known: if the answer should be 0, then the more the network says, the worse.
# The loss must go up with h. In the picture, the printed formula's line goes down where the
# curve goes up.

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"

figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
grid = np.linspace(0.001, 0.6, 200)
axes.plot(grid, log_loss(grid), color="black", label="e = -ln(1 - h), the loss for y = 0")
near = np.linspace(0.05, 0.35, 2)
for slope_of, style, colour in [(1.25, "--", BLUE), (-1.25, ":", ORANGE)]:
    label = f"slope {slope_of:+.2f}, {'mended' if slope_of > 0 else 'as printed'}"
    tangent = log_loss(0.2) + slope_of * (near - 0.2)
    axes.plot(near, tangent, linestyle=style, linewidth=2.5, color=colour, label=label)
axes.plot(0.2, log_loss(0.2), "o", color="black")
axes.set(xlabel="output h", ylabel="loss e")
axes.legend()
plt.show()

# %%
# Why did nobody notice? With y = 1 the second term is zero, and both formulas agree. A test with
# one kind of answer does not show this slip: **test with both.**
#
# One step further: ∂e/∂s of the output
# -------------------------------------
#
# The sigmoid has a pretty derivative, which the course uses throughout:
#
# .. math:: \sigma'(s) = \sigma(s) \, (1 - \sigma(s)) = h \, (1 - h)

print("σ'(0.7) by formula:", sigmoid(0.7) * (1 - sigmoid(0.7)))
print("finite difference: ", slope(sigmoid, 0.7))

# %%
# So how does the loss change with the output's s? By the chain rule, (6) times σ':
#
# .. math::
#
#    \frac{\partial e}{\partial s} = \left( -\frac{y}{h} + \frac{1 - y}{1 - h} \right) h (1 - h)
#    = -y (1 - h) + (1 - y) h = h - y
#
# "What it said minus what it should have said." For our network that is 0.3896 - 0:

print("h - y:            ", h[2] - y)
print("finite difference:", slope(lambda s: log_loss(sigmoid(s)), s[2]))

# %%
# Programs should use h - y, not the product. When the network is very sure, h is rounded
# to 1, and the product becomes infinity times zero. In float32 it happens from s = 17 on:

with np.errstate(divide="ignore", invalid="ignore"):
    sure = 1 / (1 + np.exp(np.float32(-17)))
    product = 1 / (1 - sure) * (sure * (1 - sure))
print("h =", sure, "  (6) times σ' =", product, "  h - y =", sure - 0)

# %%
# The errors of hidden units: (1) and (2)
# ---------------------------------------
#
# A hidden unit affects the loss through *every* unit of the next layer. Moving :math:`h_{i,j}` by a
# little moves :math:`s_{i+1,k}` by :math:`w^{i+1}_{j,k}` times as much, that moves
# :math:`h_{i+1,k}` by :math:`\sigma'` times as much, and that moves the loss. Add up the ways:
#
# .. math::
#
#    \frac{\partial e}{\partial h_{i,j}} = \sum_k
#    w^{i+1}_{j,k} \; \sigma'(s_{i+1,k}) \; \frac{\partial e}{\partial h_{i+1,k}} \tag{1}
#
# .. math:: \sigma'(s_{i+1,k}) = \sigma(s_{i+1,k}) \, (1 - \sigma(s_{i+1,k})) \tag{2}
#
# The course's first version of this, which has no number, leaves out the last factor of (1). What
# it gives is how the next layer's *outputs* change, and not how the loss does. Both, and what is
# true:

dh = {2: -y / h[2] + (1 - y) / (1 - h[2])}
dh[1] = W[2] @ (h[2] * (1 - h[2]) * dh[2])
without = W[2] @ (h[2] * (1 - h[2]))


def loss_from_hidden(h_1):
    return log_loss(sigmoid(h_1 @ W[2] + b[2])).item()


print("unit   with factor   without   finite difference")
for j in range(3):
    unit = np.eye(3)[j]
    true = slope(lambda amount, unit=unit: loss_from_hidden(h[1] + amount * unit), 0.0)
    print(f"{j + 1:4} {dh[1][j]:13.6f} {without[j]:9.6f} {true:19.6f}")

# %%
# For the first unit, by hand: 0.8 · 0.3896 · 0.6104 · 1.6382 = 0.3117, where 0.8 is the weight,
# 0.3896 · 0.6104 is σ', and 1.6382 = 1/0.6104 is ∂e/∂h of the output.
#
# The gradient of the weights: (3) to (5)
# ---------------------------------------
#
# A weight into unit j of layer i affects the loss only through that unit. Moving
# :math:`w^i_{k,j}` moves :math:`s_{i,j}` by :math:`h_{i-1,k}` times as much, that moves
# :math:`h_{i,j}` by σ' times as much, and that moves the loss. So, for all weights into the unit at
# once, as a vector:
#
# .. math::
#
#    \nabla_{w_{i,j}} e = \frac{\partial e}{\partial h_{i,j}} \;
#    \sigma(s_{i,j}) (1 - \sigma(s_{i,j})) \; h_{i-1} \tag{3-5}
#
# Biases are not in the course's formulas. They are weights of a unit that always says 1:
# the same with 1 in place of :math:`h_{i-1}`.

ds = {i: dh[i] * h[i] * (1 - h[i]) for i in (1, 2)}
dW = {i: np.outer(h[i - 1], ds[i]) for i in (1, 2)}
db = {i: ds[i] for i in (1, 2)}


def loss_with(i, name, place, value):
    """The loss with one weight or bias of layer i changed."""
    changed = {"W": {n: a.copy() for n, a in W.items()}, "b": {n: a.copy() for n, a in b.items()}}
    changed[name][i][place] = value
    return log_loss(forward(changed["W"], changed["b"])[1][2]).item()


worst = 0.0
for i in (1, 2):
    for name, values, derivatives in (("W", W[i], dW[i]), ("b", b[i], db[i])):
        for place in np.ndindex(values.shape):
            true = slope(lambda v, at=(i, name, place): loss_with(*at, v), values[place])
            worst = max(worst, abs(derivatives[place] - true))
print("dW_1 =", dW[1].round(5), sep="\n")
print("db_1 =", db[1].round(5))
print("largest difference from a finite difference, of all 13 parameters:", worst)

# %%
# How small should the step be?
# -----------------------------
#
# Not too small. A long step measures the curve's bend along with its slope. A short one subtracts
# two numbers that are nearly the same, and what is left is mostly rounding. In between is a
# valley:

steps = np.logspace(-12, -0.5, 70)
true = dW[1][0, 0]
errors = [
    abs(slope(lambda v: loss_with(1, "W", (0, 0), v), W[1][0, 0], step) - true) / abs(true)
    for step in steps
]
figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
axes.loglog(steps, errors, ".", color=BLUE, label="measured")
axes.loglog(steps, 0.011 * steps**2, "--", color=ORANGE, label="from the bend: grows as ε²")
axes.loglog(steps, 1e-15 / steps, ":", color=GREEN, linewidth=2.5, label="from rounding: as 1/ε")
axes.set(xlabel="step ε", ylabel="relative error of the finite difference", ylim=(1e-13, 1e-1))
axes.legend()
plt.show()

# %%
# Hence the 10⁻⁵ above, in double precision. A gradient that agrees with finite differences to eight
# digits or so is right. One that agrees to one or two has a slip in it.

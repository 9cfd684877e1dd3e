r"""
2. What hidden units are for
============================

"One or the other, but not both": the function XOR. Four points, and the smallest problem that
logistic regression cannot solve.
"""

# %%
# Four points
# -----------

import matplotlib.pyplot as plt
import numpy as np

import fastbp

X = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
y = np.array([[0.0], [1.0], [1.0], [0.0]])

straight = fastbp.Network([2, 1], loss="log_loss", dtype="float64", seed=0)
history = straight.fit(X, y, optimizer=fastbp.Adam(0.05), epochs=3000, batch_size=None)
print("outputs:", straight.predict(X).ravel().round(4))
print("loss:", round(history.loss[-1], 6), "  ln 2:", round(np.log(2), 6))

# %%
# It answers ½ to everything, which costs ln 2 per point, as much as guessing. The training has not
# failed: nothing better exists.
#
# Here is why. The output is above ½ where s = w₁ x₁ + w₂ x₂ + b is positive. The points with answer
# 1 ask for
#
# .. math:: w_2 + b > 0 \quad \text{and} \quad w_1 + b > 0
#
# and those with answer 0 ask for
#
# .. math:: b < 0 \quad \text{and} \quad w_1 + w_2 + b < 0
#
# Add the first two: :math:`w_1 + w_2 + 2b > 0`. Add the other two: :math:`w_1 + w_2 + 2b < 0`. Both
# cannot be. No straight line has (0, 1) and (1, 0) on one side, and (0, 0) and (1, 1) on the other.
#
# Two hidden units, by hand
# -------------------------
#
# But two lines can do it: the answer is 1 *between* them. Put a layer of two units before the
# output. Each is a logistic regression of its own and draws a line of its own. Let unit 1 say "at
# least one" (OR), and unit 2 "both" (AND). Then the output has to say "unit 1, and not unit 2",
# which is a straight line in terms of the units.

by_hand = fastbp.Network([2, 2, 1], activation="sigmoid", loss="log_loss", dtype="float64")
by_hand.weights[0] = [[10.0, 10.0], [10.0, 10.0]]
by_hand.biases[0] = [-5.0, -15.0]
by_hand.weights[1] = [[10.0], [-10.0]]
by_hand.biases[1] = [-5.0]

# %%
# Column j of the first matrix has the weights into hidden unit j, a row for each input. With the
# inputs (0, 1), unit 1 has s = 10 · 0 + 10 · 1 - 5 = 5 and says σ(5) = 0.993; unit 2 has
# s = 10 - 15 = -5 and says 0.007.


def sigmoid(s):
    return 1 / (1 + np.exp(-s))


def hidden(net, X):
    """What the hidden units say: h_1 = σ(X W_1 + b_1)."""
    return sigmoid(X @ net.weights[0] + net.biases[0])


def table(net):
    print(" x1 x2   unit 1  unit 2   output  wanted")
    for x, h, out, wanted in zip(X, hidden(net, X), net.predict(X), y, strict=True):
        print(f"{x[0]:3.0f}{x[1]:3.0f}  {h[0]:7.3f} {h[1]:7.3f}  {out[0]:7.3f} {wanted[0]:7.0f}")


table(by_hand)

# %%
# Two hidden units, learned
# -------------------------
#
# Training finds such weights by itself.

net = fastbp.Network([2, 2, 1], activation="sigmoid", loss="log_loss", dtype="float64", seed=1)
history = net.fit(X, y, optimizer=fastbp.Adam(0.05), epochs=3000, batch_size=None)
print("loss:", history.loss[-1])
table(net)

# %%
# Left, the plane of the inputs with the line of each hidden unit, where its s is 0: the answer is 1
# between the two. Right, the same four points as the output unit sees them: the outputs of the two
# hidden units. There a straight line is enough.

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"


def points(axes, places):
    for answer, marker, colour in [(0, "o", ORANGE), (1, "s", BLUE)]:
        chosen = places[y.ravel() == answer]
        label = f"wanted {answer}"
        axes.scatter(*chosen.T, s=90, marker=marker, color=colour, edgecolor="black", label=label)


def line(axes, weights, bias, low, high, **style):
    """Where w · x + b = 0, as a line through the picture."""
    nearest = -bias * weights / (weights @ weights)
    along = np.array([-weights[1], weights[0]]) / np.linalg.norm(weights)
    ends = nearest + np.array([[-9.0], [9.0]]) * along
    axes.plot(*ends.T, **style)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def draw(net):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.6), layout="constrained")
    ticks = np.linspace(-0.5, 1.5, 201)
    plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
    shades = net.predict(plane).reshape(201, 201)
    style = {"origin": "lower", "cmap": "Greys", "vmin": 0, "vmax": 1, "alpha": 0.5}
    image = left.imshow(shades, extent=(-0.5, 1.5, -0.5, 1.5), **style)
    figure.colorbar(image, ax=left, label="output h", shrink=0.75)
    for j, (colour, dashes) in enumerate([(GREEN, "--"), (PINK, "-.")]):
        style = {"color": colour, "linestyle": dashes, "linewidth": 2.5}
        label = f"hidden unit {j + 1}"
        line(left, net.weights[0][:, j], net.biases[0][j], -0.5, 1.5, label=label, **style)
    points(left, X)
    left.set(xlabel="$x_1$", ylabel="$x_2$", title="the inputs")
    points(right, hidden(net, X))
    style = {"color": "black", "label": "output unit"}
    line(right, net.weights[1][:, 0], net.biases[1][0], -0.1, 1.1, **style)
    right.set(xlabel="hidden unit 1", ylabel="hidden unit 2", title="what the output unit sees")
    for axes in (left, right):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2)
    plt.show()


draw(net)

# %%
# Does it always work?
# --------------------
#
# No. Gradient descent goes downhill from where it starts, and from some starts it ends in a valley
# that is not the deepest one. A hundred starts for each number of hidden units:

starts = range(100)
for units in (1, 2, 3, 4, 8):
    solved = 0
    for seed in starts:
        net = fastbp.Network(
            [2, units, 1], activation="sigmoid", loss="log_loss", dtype="float64", seed=seed
        )
        net.fit(X, y, optimizer=fastbp.Adam(0.05), epochs=3000, batch_size=None)
        solved += np.array_equal(net.predict(X) > 0.5, y > 0.5)
    print(f"{units} hidden units: {solved:3d} of {len(starts)} starts solve XOR")

# %%
# One unit never works: the output follows a single unit up or down, and so divides the plane by one
# line, as before. Two are enough in principle, but half of the starts are unlucky. With a few units
# to spare nearly every start finds a way, which is one reason why networks are made larger than
# they would have to be.
#
# (Those were 500 trainings of 3000 steps each. That this page did not take long to make is what the
# last part is about.)

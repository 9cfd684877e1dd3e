"""
Vectors of categories
=====================

A network does not know that Saturday is near Sunday. It finds out from the data.

How many passengers there are in an hour depends on the day of the week and on the time of day. Both
are categories here: codes without an order. The network learns a vector of two numbers for each
hour and each day. All vectors are near 0 at first, and only what differs moves apart. So hours with
similar numbers of passengers end up close to each other.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

rng = np.random.default_rng(0)
n = 6000
days, hours = rng.integers(0, 7, n), rng.integers(0, 24, n)
warmth = rng.uniform(-1, 1, n)


def expected(day, hour, warmth):
    """Commuters at eight and at five from Monday to Friday; outings in warm afternoons."""
    weekday = day < 5
    rush = np.exp(-((hour - 8) ** 2) / 3) + np.exp(-((hour - 17) ** 2) / 4)
    outings = np.exp(-((hour - 15) ** 2) / 14) * (1 + warmth)
    return np.where(weekday, 4 * rush + 0.3 * outings, 2 * outings) + 0.3


y = rng.poisson(20 * expected(days, hours, warmth))

inputs = [fastbp.Numeric(1), fastbp.Categorical(7, 2), fastbp.Categorical(24, 2)]
network = fastbp.Network([inputs, 32, 32, 1], loss="poisson", seed=0)
X = np.column_stack([warmth, days, hours])
network.fit(X, y, epochs=60, batch_size=64, optimizer="adam", schedule="cosine")

# %%
# Each hour and each day at its vector. The last row of a table is that of unknown categories, which
# do not occur here.

names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], [str(hour) for hour in range(24)]
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, title, table, labels in zip(
    axes, ("Days of the week", "Hours"), network.embeddings, names, strict=True
):
    ax.scatter(*table[:-1].T, s=0)  # the limits of the axes
    for label, place in zip(labels, table, strict=False):
        ax.annotate(label, place, ha="center", va="center")
    ax.set_title(title)
plt.show()

# %%
# What the network has learned of the curves: a cold Monday and a warm Sunday.

grid = np.arange(24)
figure, ax = plt.subplots(figsize=(7, 3.5), layout="constrained")
for color, day, warm, title in (("C0", 0, -1.0, "a cold Monday"), ("C1", 6, 1.0, "a warm Sunday")):
    columns = np.full(24, warm), np.full(24, day), grid
    ax.plot(grid, network.predict(np.column_stack(columns)), color=color, label=title)
    ax.plot(grid, 20 * expected(np.full(24, day), grid, warm), color=color, linestyle=":")
ax.set(xlabel="hour", ylabel="passengers (dotted: expected)")
ax.legend()
plt.show()

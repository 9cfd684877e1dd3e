"""
Ensembles
=========

How far many networks disagree, and where.

Each member starts with different weights and is fitted to a new draw of the samples. The members
agree where there are many samples, and differ in the gap and outside of the data.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import MLPEnsembleRegressor, MLPRegressor

rng = np.random.default_rng(0)
x = np.concatenate([rng.uniform(-3, -0.8, 60), rng.uniform(0.8, 3, 60)])
y = np.sin(2 * x) + 0.1 * rng.standard_normal(x.shape)

network = MLPRegressor(
    hidden_layer_sizes=(32, 32),
    activation="tanh",
    batch_size=16,
    learning_rate_init=0.01,
    schedule=fastbp.CosineDecay(),
    max_iter=300,
)
ensemble = MLPEnsembleRegressor(network, 50, bootstrap=True, oob_score=True, random_state=0)
ensemble.fit(x.reshape(-1, 1), y)
print(f"R² on samples that the members had not seen: {ensemble.oob_score_:.3f}")

grid = np.linspace(-4, 4, 400).reshape(-1, 1)
low, median, high = ensemble.predict_quantiles(grid, [0.05, 0.5, 0.95]).T
among, between = ensemble.predict_std([[2.0], [0.0]])
print(f"the members' spread at 2: {among:.3f}, in the gap at 0: {between:.3f}")
assert between > 3 * among

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.fill_between(grid[:, 0], low, high, alpha=0.25, label="90 % of the members")
for member in ensemble.estimators_[:5]:
    axes.plot(grid, member.predict(grid), color="gray", linewidth=0.7)
axes.plot(grid, median, label="median of the members")
axes.plot(grid, np.sin(2 * grid), "k--", linewidth=1, label="the truth")
axes.plot(x, y, ".", color="black", markersize=4, label="samples")
axes.set(xlabel="x", ylabel="y", ylim=(-3, 3))
axes.legend(loc="upper center", ncols=2)
plt.show()

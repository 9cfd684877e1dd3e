"""
Features with which the prediction must rise
============================================

What is known of a table besides its rows: diabetes does not progress more slowly because the body
mass index or the blood pressure is higher.

A network that is free to do so follows the noise, and for many patients its prediction falls
somewhere as the body mass index rises. ``monotonic_cst`` rules that out for every patient. The thin
lines are single patients, orange where the prediction falls somewhere; the thick line is their
mean (the partial dependence).
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

table = load_diabetes(as_frame=True, scaled=False)
X, y = table.data, table.target

# The scaler hands on no names, so the constraints are a list here.
rising = [1 if name in ("bmi", "bp") else 0 for name in X.columns]


def fit(constraints):
    network = fastbp.MLPRegressor(
        hidden_layer_sizes=(16, 16),
        solver="lbfgs",
        alpha=1000,
        max_iter=3000,
        monotonic_cst=constraints,
        random_state=0,
    )
    return make_pipeline(StandardScaler(), network).fit(X, y)


models = {"free": fit(None), "rising": fit(rising)}
figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
grid = np.linspace(18, 42, 80)
for ax, (title, model) in zip(axes, models.items(), strict=True):
    curves = np.stack([model.predict(X.assign(bmi=value)) for value in grid], axis=1)
    falls = (np.diff(curves, axis=1) < -1e-6).any(axis=1)
    for curve, falling in zip(curves[::9], falls[::9], strict=True):
        ax.plot(grid, curve, color="C1" if falling else "C0", alpha=0.4, linewidth=0.8)
    ax.plot(grid, curves.mean(axis=0), color="black", linewidth=2.5)
    share = f"falls somewhere for {falls.mean():.0%} of patients"
    ax.set(title=f"{title}: {share}", xlabel="BMI (kg/m²)")
axes[0].set_ylabel("progression after a year")
plt.show()

# %%
# Why does the prediction for one patient differ from that for an average patient? The contributions
# of the features add up to the difference.

patient, average = X[:1], X.mean().to_frame().T
shares = fastbp.integrated_gradients(models["rising"], patient, baseline=average.to_numpy()[0])[
    0, 0
]
for name, share in sorted(zip(X.columns, shares, strict=True), key=lambda pair: -abs(pair[1])):
    print(f"{name:4}{share:+7.1f}")
difference = models["rising"].predict(patient) - models["rising"].predict(average)
print(f"sum {shares.sum():+7.1f}, difference {difference.item():+.1f}")

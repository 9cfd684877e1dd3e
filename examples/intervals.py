"""
Intervals that cover
====================

Four ways to say how far a prediction may be off, on data whose noise grows with x.

Each interval shall hold 90 % of new values. A network trained on squared errors says nothing about
the noise; calibrated on held-out samples, its intervals cover, but are as wide on the left, where
they need not be, as on the right. A loss that is a distribution learns where the noise is, and
calibration corrects its size.
"""

import numpy as np
from matplotlib import pyplot

import fastbp

rng = np.random.default_rng(0)


def samples(n):
    x = rng.uniform(0, 6, n)
    return x.reshape(-1, 1), np.sin(x) + (0.05 + 0.1 * x) * rng.standard_normal(n)


train, held_out, (X_test, y_test) = samples(600), samples(300), samples(600)
settings = {
    "hidden_layer_sizes": (32, 32),
    "activation": "tanh",
    "learning_rate_init": 0.01,
    "schedule": fastbp.CosineDecay(),
    "max_iter": 100,
    "tol": 0.0,
    "random_state": 0,
}
gaussian = fastbp.MLPRegressor("gaussian", **settings)
models = {
    "squared error": fastbp.MLPRegressor(**settings),
    "gaussian": gaussian,
    "quantiles": fastbp.MLPRegressor("quantile", loss_parameter=(0.05, 0.5, 0.95), **settings),
    "5 gaussian networks": fastbp.MLPEnsembleRegressor(gaussian, 5, random_state=0),
}
figure, axes = pyplot.subplots(2, 2, figsize=(11, 9), layout="constrained", sharey=True)
for ax, (name, model) in zip(axes.flat, models.items(), strict=True):
    model.fit(*train).calibrate(*held_out)
    display = fastbp.IntervalDisplay.from_estimator(model, X_test, y_test, coverage=0.9, ax=ax)
    (covered,), (width,) = display.covered, display.widths
    print(f"{name:20} holds {covered:.1%} of the test values, mean width {width:.2f}")
    assert 0.85 < covered < 0.95
    ax.set(xlabel="x", title=f"{name}: mean width {width:.2f}")
pyplot.show()

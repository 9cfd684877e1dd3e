"""
How far predictions can be trusted
==================================

On the left, how often the predictions of a classifier come true. A network that is trained for too
long is overconfident, and early stopping keeps it near the diagonal. On the right, scikit-learn's
display of the residuals of a regression, which accepts fastbp's estimators.
"""

import numpy as np
from matplotlib import pyplot
from sklearn.datasets import load_diabetes, make_classification
from sklearn.metrics import PredictionErrorDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

figure, axes = pyplot.subplots(1, 2, figsize=(13, 5.6), layout="constrained")

X, y = make_classification(3000, 12, n_informative=6, n_classes=3, flip_y=0.2, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
errors = {}
for name, options in {
    "trained for 150 epochs": {"epochs": 150},
    "stopped early": {
        "epochs": 150,
        "validation_data": (X_test[:500], y_test[:500]),
        "patience": 5,
    },
}.items():
    net = fastbp.Network([12, 64, 3], loss="cross_entropy", seed=0)
    net.fit(X_train, y_train, optimizer=fastbp.Adam(5e-3), **options)
    display = fastbp.ReliabilityDisplay.from_estimator(
        net, X_test[500:], y_test[500:], name=name, ax=axes[0]
    )
    errors[name] = display.calibration_error
assert errors["stopped early"] < errors["trained for 150 epochs"]

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
model = make_pipeline(
    StandardScaler(),
    fastbp.MLPRegressor(
        hidden_layer_sizes=(8,), solver="lbfgs", alpha=30.0, max_iter=2000, random_state=0
    ),
).fit(X_train, y_train)
PredictionErrorDisplay.from_estimator(
    model, X_test, y_test, kind="residual_vs_predicted", ax=axes[1]
)
size = np.sqrt(np.mean((y_test - model.predict(X_test)) ** 2))
axes[1].set_title(f"Residuals of a regression, RMS {size:.0f}")
pyplot.show()

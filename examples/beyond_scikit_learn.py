"""
The estimators beyond scikit-learn
==================================

Early stopping on your own validation samples, dropout, a schedule and quantiles, as keywords of
MLPClassifier and MLPRegressor.
"""

import numpy as np
from matplotlib import pyplot
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

import fastbp

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
X_fit, X_val, y_fit, y_val = train_test_split(X_train, y_train, random_state=0)

classifier = fastbp.MLPClassifier(
    (128, 64),
    activation=["gelu", "relu"],
    dropout=[0.1, 0.3],
    label_smoothing=0.05,
    average=fastbp.EMA(0.99),
    schedule=fastbp.CosineDecay(warmup=0.1),
    early_stopping=True,
    scoring="neg_log_loss",
    max_iter=60,
    n_iter_no_change=np.inf,
    learning_rate_init=0.003,
    random_state=0,
)
classifier.fit(X_fit, y_fit, X_val=X_val, y_val=y_val)
print(f"digits: accuracy {classifier.score(X_test, y_test):.3f} after {classifier.n_iter_} epochs,")
print(f"the best log loss of the validation samples {-classifier.best_validation_score_:.3f}")

# A search treats them like all other parameters.
search = GridSearchCV(
    classifier, {"dropout": [0.0, 0.3], "average": [None, fastbp.EMA(0.99)]}, cv=3
)
search.set_params(estimator__early_stopping=False, estimator__scoring=None).fit(X_train, y_train)
print("the search prefers", search.best_params_)

# The value that is exceeded in one case of ten.
rng = np.random.default_rng(0)
x = rng.uniform(-1, 1, (2000, 1))
noisy = np.sin(3 * x[:, 0]) + (0.1 + 0.4 * np.abs(x[:, 0])) * rng.normal(size=2000)
regressor = fastbp.MLPRegressor(
    loss="quantile", loss_parameter=0.9, hidden_layer_sizes=(32,), max_iter=300, random_state=0
)
above = noisy > regressor.fit(x, noisy).predict(x)
print(f"quantile 0.9: {np.mean(above):.1%} of the values are above it")

grid = np.linspace(-1, 1, 200).reshape(-1, 1)
figure, ax = pyplot.subplots(figsize=(7, 4.9), layout="constrained")
ax.plot(x[~above], noisy[~above], ".", color="C0", markersize=3, label="90 % below")
ax.plot(x[above], noisy[above], ".", color="C1", markersize=3, label="10 % above")
ax.plot(grid, regressor.predict(grid), "k", linewidth=2, label="quantile 0.9 by the network")
ax.set(xlabel="x", ylabel="y", title="A quantile that varies with x")
ax.legend(loc="upper left")
pyplot.show()

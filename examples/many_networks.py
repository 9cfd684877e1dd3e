"""
Many networks
=============

Seeds, widths and learning rates at once, and the search for an estimator's parameters.

`fit_many` trains one network per thread, each with the same bits as alone. `MLPSearchCV` compares
parameters by cross-validation, with the same results as GridSearchCV.
"""

import numpy as np
from matplotlib import pyplot
from sklearn.datasets import load_digits

import fastbp

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
rng = np.random.default_rng(0)

# The same network from 32 seeds, each on a bootstrap of the samples (given by rows, not copied).
networks = [
    fastbp.Network([64, 32, 10], activation="relu", loss="cross_entropy", seed=seed)
    for seed in range(32)
]
rows = [rng.integers(0, len(X), len(X)) for _ in networks]
histories = fastbp.fit_many(networks, X, y, rows=rows, optimizer=fastbp.Adam(3e-3), epochs=20)
losses = [history.loss[-1] for history in histories]
print(f"32 bootstraps: the last losses are {min(losses):.4f} to {max(losses):.4f}")

figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
for history in histories:
    left.semilogy(range(1, 21), history.loss, color="C0", alpha=0.4)
left.set(xlabel="epoch", ylabel="training loss", title="32 seeds and bootstraps")

# A list has one value for each network: widths and learning rates that differ.
widths, rates = [8, 16, 32], [1e-3, 1e-2]
networks = [
    fastbp.Network([64, width, 10], activation="relu", loss="cross_entropy", seed=0)
    for width in widths
    for _ in rates
]
histories = fastbp.fit_many(
    *(networks, X[:1300], y[:1300]),
    optimizer=[fastbp.Adam(rate) for _ in widths for rate in rates],
    epochs=40,
    validation_data=(X[1300:], y[1300:]),
    patience=5,
)
for network, history in zip(networks, histories, strict=True):
    best = min(history.validation_loss)
    print(f"{list(network.layout.sizes)}: {len(history.loss)} epochs, validation loss {best:.3f}")
for k, history in enumerate(histories):
    width, rate = widths[k // len(rates)], rates[k % len(rates)]
    epochs = range(1, len(history.loss) + 1)
    style = {"color": f"C{k // len(rates)}", "linestyle": "--" if rate == rates[0] else "-"}
    right.semilogy(epochs, history.validation_loss, **style, label=f"{width} units, rate {rate:g}")
right.set(xlabel="epoch", ylabel="validation loss", title="Widths and learning rates")
right.legend(fontsize="small")
pyplot.show()

# A search with rounds: the best third continues with three times the epochs.
search = fastbp.MLPSearchCV(
    fastbp.MLPClassifier((32,), batch_size=32, max_iter=36, random_state=0, n_iter_no_change=36),
    {"alpha": [1e-5, 1e-3, 1e-1], "learning_rate_init": [1e-3, 3e-3, 1e-2]},
    halving=3,
    cv=3,
).fit(X, y)
for candidates, epochs in zip(search.n_candidates_, search.n_resources_, strict=True):
    print(f"{candidates} candidates with {epochs} epochs")
print(f"{search.best_params_}: accuracy {search.best_score_:.3f}")

"""Accuracy with and without monotonic constraints, beside HistGradientBoosting with the same ones.

Prices of diamonds rise with the carats, and with each step of cut, colour and clarity. The table
comes with plotnine (``pip install plotnine``): 53,940 rows. Models learn the logarithm of the
price, of variance 1, from few or many rows, and predict 10,000 others. Beside the error stands the
share of test rows for which the prediction falls where one of the four is raised by a step (carats
by 0.05).

    python bench/monotonic.py
"""

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

CUTS = ["Fair", "Good", "Very Good", "Premium", "Ideal"]
COLORS = ["J", "I", "H", "G", "F", "E", "D"]
CLARITIES = ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"]
STEPS = [0.05, 1, 1, 1]
CST = [1, 1, 1, 1, 0, 0]
TEST_ROWS = 10_000
REPETITIONS = 2
STEPS_OF_TRAINING = 10_000


def table():
    """X of shape (53940, 6) and the logarithm of the price."""
    from plotnine.data import diamonds

    columns = [diamonds["carat"]]
    for name, levels in (("cut", CUTS), ("color", COLORS), ("clarity", CLARITIES)):
        columns.append(diamonds[name].astype(str).map({level: i for i, level in enumerate(levels)}))
    columns += [diamonds["depth"], diamonds["table"]]
    return np.stack(columns, axis=1).astype(np.float64), np.log(diamonds["price"].to_numpy(float))


def models(cst, seed, rows):
    network = fastbp.MLPRegressor(
        hidden_layer_sizes=(64, 64),
        batch_size=32,
        learning_rate_init=0.003,
        schedule="cosine",
        max_iter=max(1, STEPS_OF_TRAINING * 32 // rows),
        tol=0.0,
        n_iter_no_change=1000,
        dtype="float32",
        monotonic_cst=cst,
    )
    ensemble = fastbp.MLPEnsembleRegressor(network, 4, random_state=seed)
    return {
        "HistGradientBoosting": HistGradientBoostingRegressor(monotonic_cst=cst, random_state=seed),
        "4 networks": make_pipeline(StandardScaler(), ensemble),
    }


def falls(model, X):
    """The share of rows with a prediction that falls where it must rise."""
    predicted, falling = model.predict(X), np.zeros(len(X), bool)
    for j, step in enumerate(STEPS):
        raised = X.copy()
        raised[:, j] += step
        falling |= model.predict(raised) < predicted - 1e-6
    return falling.mean()


def main():
    X, y = table()
    y = (y - y.mean()) / y.std()
    for rows in (300, 3000, 30000):
        found: dict = {}
        for seed in range(REPETITIONS if rows < 30000 else 1):
            order = np.random.default_rng(seed).permutation(len(X))
            train, test = order[TEST_ROWS : TEST_ROWS + rows], order[:TEST_ROWS]
            for cst in (None, CST):
                for name, model in models(cst, seed, rows).items():
                    model.fit(X[train], y[train])
                    error = np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2))
                    key = f"{name}{', monotonic' if cst else ''}"
                    found.setdefault(key, []).append((error, falls(model, X[test])))
        for key, pairs in found.items():
            error, share = np.mean(pairs, axis=0)
            print(f"{rows:6} rows  {key:34} error {error:.4f}  falls {share:.1%}", flush=True)


if __name__ == "__main__":
    main()

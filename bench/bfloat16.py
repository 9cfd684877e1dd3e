"""What compute_dtype="bfloat16" does to the accuracy on held-out data.

On each data set that comes with scikit-learn, and for each seed, two networks begin with the same
weights, one computing in float32 and one in bfloat16. Both train on the same three quarters of the
rows, in the same order. The seed decides on all of that. Figures are in percent: the share of the
other rows that is classified right, or R² for the regression; means and standard deviations over
the seeds. The last column is the difference within the pairs.

    python bench/bfloat16.py                   # 20 seeds, some seconds
    python bench/bfloat16.py --seeds 100 --epochs 200
"""

import argparse

import numpy as np
from sklearn import datasets
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastbp

DATA = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "diabetes (R²)": datasets.load_diabetes,
}
HIDDEN = [64, 64]


def score(name, seed, epochs, compute_dtype):
    """The score on held-out rows, in percent."""
    X, y = DATA[name](return_X_y=True)
    regression = name.startswith("diabetes")
    X, X_test, y, y_test = train_test_split(
        X, y, random_state=seed, stratify=None if regression else y
    )
    scaler = StandardScaler().fit(X)
    if regression:
        of_targets = StandardScaler().fit(y[:, None])
        y, y_test = (of_targets.transform(part[:, None]) for part in (y, y_test))
    outputs = 1 if regression else int(y.max()) + 1
    net = fastbp.Network(
        [X.shape[1], *HIDDEN, outputs],
        loss="squared_error" if regression else "cross_entropy",
        seed=seed,
        compute_dtype=compute_dtype,
    )
    net.fit(scaler.transform(X), y, epochs=epochs, l2=1e-3)
    found = net.predict(scaler.transform(X_test))
    if regression:
        return 100 * r2_score(y_test, found)
    return 100 * accuracy_score(y_test, found.argmax(axis=1))


def main():
    parser = argparse.ArgumentParser(description="Held-out accuracy in float32 and in bfloat16.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=30)
    options = parser.parse_args()
    print("| data set | float32 | bfloat16 | difference |\n|---|---:|---:|---:|")
    for name in DATA:
        pairs = np.array(
            [
                [score(name, seed, options.epochs, kind) for kind in (None, "bfloat16")]
                for seed in range(options.seeds)
            ]
        )
        columns = [pairs[:, 0], pairs[:, 1], pairs[:, 1] - pairs[:, 0]]
        cells = [f"{values.mean():.2f} ± {values.std(ddof=1):.2f}" for values in columns]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

"""What the last bit of X does to scikit-learn's own L-BFGS.

scikit-learn's example plot_mlp_alpha has 15 fits: three data sets, five values of alpha. Each is
run twice, the second time with every entry of X moved to the next float64. A fit has changed if a
probability on the test set differs by more than 1e-3. The second column compares fastbp on the
same X with scikit-learn.

    python bench/one_ulp.py
"""

import warnings

import numpy as np
import sklearn.neural_network
from sklearn.datasets import make_circles, make_classification, make_moons
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp


def datasets():
    """The three data sets of the example."""
    X, y = make_classification(
        n_features=2,
        n_redundant=0,
        n_informative=2,
        random_state=0,
        n_clusters_per_class=1,
    )
    X += 2 * np.random.RandomState(2).uniform(size=X.shape)
    yield X, y
    yield make_moons(noise=0.3, random_state=0)
    yield make_circles(noise=0.2, factor=0.5, random_state=1)


def probabilities(library, alpha, X, y, X_test):
    perceptron = library.MLPClassifier(
        solver="lbfgs",
        alpha=alpha,
        random_state=1,
        max_iter=2000,
        early_stopping=True,
        hidden_layer_sizes=[10, 10],
    )
    return make_pipeline(StandardScaler(), perceptron).fit(X, y).predict_proba(X_test)


def main():
    warnings.simplefilter("ignore")
    by_ulp = by_library = fits = 0
    for X, y in datasets():
        X_train, X_test, y_train, _ = train_test_split(X, y, test_size=0.4, random_state=42)
        for alpha in np.logspace(-1, 1, 5):
            ref = probabilities(sklearn.neural_network, alpha, X_train, y_train, X_test)
            moved = np.nextafter(X_train, np.inf)
            other = probabilities(sklearn.neural_network, alpha, moved, y_train, X_test)
            ours = probabilities(fastbp, alpha, X_train, y_train, X_test)
            fits += 1
            by_ulp += abs(other - ref).max() > 1e-3
            by_library += abs(ours - ref).max() > 1e-3
    print(f"of {fits} fits {by_ulp} change by one ulp of X; fastbp differs in {by_library}")


if __name__ == "__main__":
    main()

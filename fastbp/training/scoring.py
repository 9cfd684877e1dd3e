"""Applies scikit-learn's scorers to networks; imported late, as scikit-learn imports slowly."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, get_scorer, get_scorer_names

from ..basis import checks, names
from ..basis.sparse import SparseRows
from ..rules import monitoring

# Losses for targets that are classes.
CLASSIFYING = ("log_loss", "cross_entropy")


class _Regressor(RegressorMixin, BaseEstimator):
    """A network as a regressor for scikit-learn's scorers."""

    def __init__(self, network=None):
        self.network = network

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        values = self.network.predict(X)
        return values.ravel() if values.shape[1] == 1 else values


class _Classifier(ClassifierMixin, BaseEstimator):
    """A network as a classifier for scikit-learn's scorers, with classes 0, 1, ..."""

    def __init__(self, network=None):
        self.network = network
        self.several = network is not None and network._engine.loss_name == "log_loss"
        self.several = self.several and network.layout.sizes[-1] > 1
        if network is not None:
            self.classes_ = np.arange(max(network.layout.sizes[-1], 2))

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = self.several
        return tags

    def predict(self, X):
        probability = self.network.predict(X)
        if self.network._engine.loss_name == "cross_entropy":
            return probability.argmax(axis=1)
        labels = (probability > 0.5).astype(np.int64)
        return labels if self.several else labels.ravel()

    def predict_proba(self, X):
        probability = self.network.predict(X)
        if self.network._engine.loss_name == "cross_entropy" or self.several:
            return probability
        return np.hstack([1 - probability, probability])


class Scores:
    """A function that returns a network's scores on validation data by name.

    Parameters
    ----------
    scorers : dict of str to callable
        Each is called as ``scorer(estimator, X, y)``, with ``sample_weight`` if the data have it.
    loss : str
    data : data.Data
    """

    def __init__(self, scorers, loss, data):
        data = data.with_weight()
        self.scorers = scorers
        self.X = data.X.matrix() if isinstance(data.X, SparseRows) else data.X
        self.y = targets(loss, data)
        self.wrap = _Classifier if loss in CLASSIFYING else _Regressor
        self.weights = {"sample_weight": data.sample_weight} if data.sample_weight.size else {}

    def __call__(self, network):
        model = self.wrap(network)
        return {
            name: checks.number(
                f"the score {name!r}", scorer(model, self.X, self.y, **self.weights)
            )
            for name, scorer in self.scorers.items()
        }


def score(network, data, scoring=None):
    """Return a network's score on data: accuracy or R² by default, else one scorer's."""
    loss = network._engine.loss_name
    if isinstance(scoring, (list, tuple, dict)):
        raise TypeError(f"scoring must be the name of a scorer or a callable, got {scoring!r}")
    if scoring is None:
        scoring = "accuracy" if loss in CLASSIFYING else "r2"
    if loss == "log_loss" and not np.isin(data.targets, (0, 1)).all() and scoring == "accuracy":
        raise ValueError("accuracy needs classes 0 and 1, but y has other numbers")
    (value,) = Scores(scorers_of(scoring), loss, data)(network).values()
    return value


def targets(loss, data):
    """Return targets in the form for scorers: labels for classes, a vector for one output."""
    if data.labels.size:
        return data.labels
    if loss == "cross_entropy":
        return data.targets.argmax(axis=1)
    y = data.targets
    if loss == "log_loss" and np.isin(y, (0, 1)).all():
        y = y.astype(np.int64)
    return y.ravel() if y.shape[1] == 1 else y


def scorers_of(scoring):
    """Return a dict of name to scorer, from a name, a callable, or a list or dict of these."""
    if isinstance(scoring, dict):
        named = scoring
    else:
        entries = scoring if isinstance(scoring, (list, tuple)) else [scoring]
        named = {_name(entry): entry for entry in entries}
        if len(named) < len(entries):
            raise ValueError(
                f"scoring has several scorers with the same name: {scoring!r}; pass a dict of "
                "distinct names"
            )
    scorers = {}
    for name, entry in named.items():
        if not isinstance(name, str) or name in monitoring.LOSS_FIELDS:
            raise ValueError(f"scoring: {name!r} cannot be the name of a score")
        if isinstance(entry, str):
            if entry not in (known := get_scorer_names()):
                raise ValueError(
                    f"unknown score {entry!r}; sklearn.metrics.get_scorer_names() returns the "
                    f"known ones{names.advice('score', entry, known)}"
                )
            entry = get_scorer(entry)
        elif not callable(entry):
            raise TypeError(
                "scoring must be names of scikit-learn's scorers or callables "
                f"scorer(estimator, X, y), got {entry!r}"
            )
        scorers[name] = entry
    if not scorers:
        raise ValueError("scoring is empty; name a scorer, or pass None for no scores")
    return scorers


def _name(entry):
    return entry if isinstance(entry, str) else getattr(entry, "__name__", "score")


def accuracy(y, predicted, sample_weight=None):
    """Return the same as scikit-learn's accuracy_score, faster, for checked y."""
    if not isinstance(y, np.ndarray):  # sparse
        return accuracy_score(y, predicted, sample_weight=sample_weight)
    right = y == predicted
    right = right if right.ndim == 1 else right.all(axis=1)
    return float(np.average(right, weights=sample_weight))


def r2(y, predicted, sample_weight=None):
    """Return the same as scikit-learn's r2_score, faster, for checked y; mean over outputs."""
    y, h = y.reshape(len(y), -1), predicted.reshape(len(y), -1)
    spread = np.average((y - np.average(y, 0, sample_weight)) ** 2, 0, sample_weight)
    error = np.average((y - h) ** 2, 0, sample_weight)
    ratio = np.divide(error, spread, out=np.zeros_like(error), where=spread > 0)
    # For a constant output, R² is 1 if the predictions are exact, else 0.
    return float(np.where((spread == 0) & (error > 0), 0, 1 - ratio).mean())

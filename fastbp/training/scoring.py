"""scikit-learn's scorers on a network. Imported, with scikit-learn, when scores are asked for."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, get_scorer

from ..basis import checks

LABEL_LOSSES = ("log_loss", "cross_entropy")


class _Regressor(RegressorMixin, BaseEstimator):
    """A network as scorers of regression see it."""

    def __init__(self, network=None):
        self.network = network

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        values = self.network.predict(X)
        return values.ravel() if values.shape[1] == 1 else values


class _Classifier(ClassifierMixin, BaseEstimator):
    """A network as scorers of classification see it: classes are 0, 1, ..."""

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
    """The named scores of a network on validation data, as a function of the network.

    Parameters
    ----------
    scorers : dict of str to callable
        ``scorer(estimator, X, y)``, with `sample_weight` too if the data have weights.
    loss : str
    data : training.Data
    """

    def __init__(self, scorers, loss, data):
        data = data.with_weight()
        self.scorers = scorers
        self.X = data.X
        self.y = targets(loss, data)
        self.wrap = _Classifier if loss in LABEL_LOSSES else _Regressor
        self.weights = {"sample_weight": data.sample_weight} if data.sample_weight.size else {}

    def __call__(self, network):
        model = self.wrap(network)
        return {
            name: checks.number(
                f"the score {name!r}", scorer(model, self.X, self.y, **self.weights)
            )
            for name, scorer in self.scorers.items()
        }


def targets(loss, data):
    """Targets as scorers take them: labels for classes, a vector for one output."""
    if data.labels.size:
        return data.labels
    if loss == "cross_entropy":
        return data.targets.argmax(axis=1)
    y = data.targets
    if loss == "log_loss" and np.isin(y, (0, 1)).all():
        y = y.astype(np.int64)
    return y.ravel() if y.shape[1] == 1 else y


def checked(scoring):
    """Name -> scorer, from a name, a callable, a list of these, or a dict to them."""
    if isinstance(scoring, dict):
        named = scoring
    else:
        entries = scoring if isinstance(scoring, (list, tuple)) else [scoring]
        named = {_name(entry): entry for entry in entries}
        if len(named) < len(entries):
            raise ValueError(f"scoring has several scorers of one name: {scoring!r}")
    scorers = {}
    for name, entry in named.items():
        if not isinstance(name, str) or name in ("loss", "validation_loss"):
            raise ValueError(f"scoring: {name!r} cannot be the name of a score")
        if isinstance(entry, str):
            entry = get_scorer(entry)  # whose ValueError lists the known names
        elif not callable(entry):
            raise TypeError(
                "scoring must be names of scikit-learn's scorers or callables "
                f"scorer(estimator, X, y), got {entry!r}"
            )
        scorers[name] = entry
    if not scorers:
        raise ValueError("scoring names no scorer; pass None for none")
    return scorers


def _name(entry):
    return entry if isinstance(entry, str) else getattr(entry, "__name__", "score")


def accuracy(y, predicted, sample_weight=None):
    """scikit-learn's accuracy_score of y that needs no checks."""
    if not isinstance(y, np.ndarray):  # sparse
        return accuracy_score(y, predicted, sample_weight=sample_weight)
    right = y == predicted
    right = right if right.ndim == 1 else right.all(axis=1)
    return float(np.average(right, weights=sample_weight))


def r2(y, predicted, sample_weight=None):
    """scikit-learn's r2_score of y that needs no checks, averaged over the outputs."""
    y, h = y.reshape(len(y), -1), predicted.reshape(len(y), -1)
    spread = np.average((y - np.average(y, 0, sample_weight)) ** 2, 0, sample_weight)
    error = np.average((y - h) ** 2, 0, sample_weight)
    ratio = np.divide(error, spread, out=np.zeros_like(error), where=spread > 0)
    # Of a constant output: 1 if it is met, 0 if not.
    return float(np.where((spread == 0) & (error > 0), 0, 1 - ratio).mean())

"""What the displays need to know of a model: a Network, an estimator, a search or a Pipeline."""

from __future__ import annotations

import numpy as np

from ..basis import checks, tables
from ..network.network import Network


def fitted_pipeline(model):
    """Return what a search has found best, or the model itself."""
    return getattr(model, "best_estimator_", model)


def last_step(model):
    """Return the estimator at the end of a Pipeline, or the model itself."""
    model = fitted_pipeline(model)
    return last_step(model.steps[-1][1]) if hasattr(model, "steps") else model


def network_of(model):
    """Return the Network itself, or that of a fitted estimator, search or Pipeline."""
    step = last_step(model)
    if hasattr(step, "coefs_") and hasattr(step, "_network"):
        return step._network()
    if not isinstance(step, Network):
        unfitted = hasattr(step, "_network")
        raise TypeError(
            "expected a Network or a fitted estimator of fastbp (or a Pipeline that ends in one), "
            f"got {type(step).__name__}{', which is not fitted' if unfitted else ''}"
        )
    return step


def weights_of(model):
    """Return copies of a model's weights, checked to be finite."""
    weights = [W.copy() for W in network_of(model).weights]
    for i, W in enumerate(weights):
        if not np.isfinite(W).all():
            raise ValueError(
                f"{checks.not_finite(f'weights[{i}]', W)}, which cannot be drawn; train again, "
                "with a smaller learning rate"
            )
    return weights


def prepared(model, X):
    """Return X as the last step of a Pipeline gets it."""
    model = fitted_pipeline(model)
    if len(getattr(model, "steps", ())) < 2:
        return X
    inputs = model[:-1].transform(X)
    return inputs.toarray() if checks.is_sparse(inputs) else inputs


def feature_names(model, X, n_features):
    """Return the names of the columns of X or, if it has none, of those the model was fitted to."""
    names = getattr(X, "columns", getattr(model, "feature_names_in_", None))
    return [f"feature {k}" for k in range(n_features)] if names is None else [*map(str, names)]


def like(X, array):
    """Return an array as a table with the columns of X, if X is a table."""
    if not hasattr(X, "columns"):
        return array
    if hasattr(X, "iloc"):
        return type(X)(array, columns=X.columns)
    return type(X)(dict(zip(X.columns, array.T, strict=True)))


def classes_of(model):
    """Return the classes whose probabilities a model predicts; None for a regression."""
    step = last_step(model)
    if not isinstance(step, Network):
        if not hasattr(step, "predict"):
            raise TypeError(f"expected a Network or a fitted estimator, got {type(step).__name__}")
        from sklearn.utils.validation import check_is_fitted

        check_is_fitted(step)
        return np.asarray(step.classes_) if hasattr(step, "predict_proba") else None
    step._engine.check_one_loss("this plot")
    output, n = step.output_activation, step.layout.sizes[-1]
    if not step._engine.classifies:
        return None
    if output == "softmax":
        return np.arange(n)
    if n > 1:
        raise ValueError(
            f"the network's {n} sigmoid outputs are {n} labels, and a sample may have several; "
            "draw each alone, or train with loss='cross_entropy' if there is one class a sample"
        )
    return np.arange(2)


def probabilities(model, X):
    """Return the probability of each class of `classes_of`, of shape (n_samples, n_classes)."""
    step = last_step(model)
    if isinstance(step, Network):
        h = step.predict(X)
        return h if h.shape[1] > 1 else np.column_stack([1 - h, h])
    found = fitted_pipeline(model).predict_proba(X)
    if isinstance(found, list) or np.abs(found.sum(axis=1) - 1).max() > 1e-3:
        raise ValueError("the model predicts several labels for a sample; draw each label alone")
    return found


def predictions(model, X):
    """Return a regression's predictions, of shape (n_samples,)."""
    step = last_step(model)
    if isinstance(step, Network):
        step._engine.check_one_loss("this plot")
    h = np.asarray(fitted_pipeline(model).predict(X))
    if h.ndim == 2 and h.shape[1] > 1:
        raise ValueError(
            f"the model predicts {h.shape[1]} quantities, and one can be drawn; fit a model with "
            "one output"
        )
    return h.reshape(len(h))


def class_indices(model, classes, y, n_samples):
    """Return the classes, and for each label in y the index of its class.

    A Network knows its classes as 0, 1, ...; other labels are taken as its classes in sorted order
    if there are as many of them.
    """
    labels = np.asarray(y)
    if labels.shape != (n_samples,):
        raise ValueError(
            f"y must have one label per sample: {n_samples} samples, but y has shape {labels.shape}"
        )
    if (missing := _is_missing(labels)).any():
        raise ValueError(
            f"y has missing labels ({checks.first_of(missing, labels)}); leave these samples out"
        )
    found = np.unique(labels)
    known = np.isin(found, classes)
    if isinstance(last_step(model), Network) and not known.all() and len(found) == len(classes):
        classes = found
    elif not known.all():
        raise ValueError(
            f"y has the label {found[~known].tolist()[0]!r}, but the model's classes are "
            f"{', '.join(map(repr, classes.tolist()))}"
        )
    order = np.argsort(classes)
    return classes, order[np.searchsorted(classes, labels, sorter=order)]


def _is_missing(labels):
    """Return where a label is NaN, None, or pandas.NA."""
    if labels.dtype.kind != "O":
        return labels != labels
    names = ("NoneType", *tables.MISSING)
    return np.array([type(a).__name__ in names or bool(a != a) for a in labels], dtype=bool)


def class_names(classes):
    """Return the names of classes for a legend; numbers are called "class 0" and so on."""
    numbers = np.asarray(classes).dtype.kind in "fiu"
    return [f"class {label}" if numbers else str(label) for label in classes]


def quantity(y, n_samples):
    """Return the numbers of a regression's target as an array of shape (n_samples,)."""
    values = checks.real_numbers("y", y)
    if values.shape not in ((n_samples,), (n_samples, 1)):
        raise ValueError(
            f"y must have one number per sample: {n_samples} samples, but y has shape "
            f"{values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{checks.not_finite('y', values)}; all must be finite")
    return values.reshape(n_samples).astype(np.float64)

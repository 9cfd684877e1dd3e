"""Derivatives of predictions by the features, through the scalers in front of an estimator."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.validation import _num_samples, check_is_fitted

from ..basis import tables
from ..engine import attributions
from .pipelines import described, passes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats, Matrix


def input_jacobian(model: Any, X: Matrix) -> Floats:
    """Compute the derivatives of a model's predictions by its features.

    Parameters
    ----------
    model : Network, fitted estimator, or sklearn.pipeline.Pipeline
        An `MLPRegressor`, an `MLPClassifier` or an ensemble of them; or a pipeline that ends in
        one, with StandardScaler, MinMaxScaler and "passthrough" in front. Anything else in front
        is refused.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The samples, as they would be passed to ``predict``.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs, n_features)
        The entry [r, k, j] is the derivative of row r's output k by its feature j: of ``predict``
        for regressors, of ``predict_proba`` for classifiers, whose outputs are the classes.

    Raises
    ------
    TypeError
        If the derivatives of the model or of a step are unknown; the message names it.
    ValueError
        For bad samples, or a pipeline without steps.

    See Also
    --------
    Network.input_jacobian : The same for networks alone.

    Notes
    -----
    A scaler divides feature j by its scale c_j. By the chain rule, the derivatives of the scaled
    feature are divided by c_j, too. ``MinMaxScaler(clip=True)`` makes a feature constant outside
    of its range, so derivatives are 0 there.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.random.default_rng(0).uniform(0, 1000, (300, 2))
    >>> y = X @ [0.5, -0.25]
    >>> linear = fastbp.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0)
    >>> model = make_pipeline(StandardScaler(), linear).fit(X, y)
    >>> fastbp.input_jacobian(model, X[:1]).round(4)
    array([[[ 0.5 , -0.25]]])
    """
    scalers, last = _parts(model, "input_jacobian")
    factors: Any = 1.0
    for scaler in scalers:
        factors = factors * SCALERS[type(scaler)](scaler, X)
        X = scaler.transform(X)
    found = last.input_jacobian(X)
    if scalers:
        found *= np.asarray(factors, found.dtype)
    return found


def integrated_gradients(
    model: Any, X: Matrix, baseline: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Compute how much each feature contributes to a prediction's difference from a baseline's.

    Parameters
    ----------
    model : Network, fitted estimator, or sklearn.pipeline.Pipeline
        As for `input_jacobian`, without ``MinMaxScaler(clip=True)``.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        The samples, as they would be passed to ``predict``.
    baseline : array-like of shape (n_features,) or (n_samples, n_features), optional
        A neutral sample in the units of X, such as the mean of the training samples; by default 0.
        If it has names (a Series or DataFrame), they must be those of the features in `fit`.

    Returns
    -------
    ndarray of shape (n_samples, n_outputs, n_features)
        The entry [r, k, j] is feature j's contribution to row r's output k: of ``predict`` for
        regressors, of ``predict_proba`` for classifiers, whose outputs are the classes. The sum
        over j is the difference from the baseline's output.

    Raises
    ------
    TypeError
        If the derivatives of the model or of a step are unknown; the message names it.
    ValueError
        For bad samples, a bad baseline, or a pipeline without steps.

    See Also
    --------
    Network.integrated_gradients : The same for networks alone, with the formula and its source.

    Notes
    -----
    A scaler maps straight lines to straight lines, and a feature's difference and derivative change
    by inverse factors. So the contributions are those of the scaled sample and baseline.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.random.default_rng(0).uniform(0, 1000, (300, 2))
    >>> y = X @ [0.5, -0.25]
    >>> linear = fastbp.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0)
    >>> model = make_pipeline(StandardScaler(), linear).fit(X, y)
    >>> fastbp.integrated_gradients(model, [[600.0, 100.0]], baseline=[500.0, 500.0]).round(2)
    array([[[ 50., 100.]]])
    """
    scalers, last = _parts(model, "integrated_gradients")
    base: Any = baseline
    for i, scaler in enumerate(scalers):
        if getattr(scaler, "clip", False):
            raise TypeError(
                "integrated gradients are unknown of MinMaxScaler(clip=True), which bends the line "
                "from the baseline"
            )
        if i == 0:
            base = checked_baseline(scaler, X, baseline)
            base = np.zeros(scaler.n_features_in_) if base is None else base
        plain = copy.copy(scaler)
        vars(plain).pop("feature_names_in_", None)  # the baseline has no names
        base = plain.transform(np.atleast_2d(base)).reshape(base.shape)
        X = scaler.transform(X)
    return last.integrated_gradients(X, base)


def checked_baseline(model, X, baseline):
    """Return the baseline as an array; None if there is none.

    Parameters
    ----------
    model : object
        With ``n_features_in_``; and ``feature_names_in_`` if it was fitted to features with names.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
    baseline : array-like or None
    """
    names = tables.columns_of(baseline) or tables.index_of(baseline)
    expected = list(getattr(model, "feature_names_in_", names or ()))
    if names and names != expected:
        raise ValueError(
            f"the features of baseline are {_listed(names)}, but those of fit are "
            f"{_listed(expected)}; they must have the same order"
        )
    return attributions.checked_baseline(baseline, _num_samples(X), model.n_features_in_)


def _listed(names):
    return f"{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"


def _parts(model, method):
    """The fitted scalers of a pipeline and the estimator behind them, which has the method."""
    if not isinstance(model, Pipeline):
        if isinstance(model, type) or not hasattr(model, method):
            raise TypeError(
                f"the derivatives of {described(model)} are unknown; they are known of Network, "
                "MLPRegressor, MLPClassifier, their ensembles and pipelines that end in one of "
                "these (Network.from_sklearn makes a network of scikit-learn's own estimators)"
            )
        return [], model
    if not model.steps:
        raise ValueError("the pipeline has no steps")
    for name, step in model.steps[:-1]:
        if not passes(step) and type(step) not in SCALERS:
            raise TypeError(
                f"the derivatives of the step {name!r}, {described(step)}, are unknown; in front "
                "of a network they are known of StandardScaler, MinMaxScaler and 'passthrough'"
            )
    *steps, (name, last) = model.steps
    if passes(last) or isinstance(last, Pipeline):
        raise TypeError(
            f"the last step, {name!r}, must be an estimator of fastbp, got {described(last)}"
        )
    scalers = [step for _, step in steps if not passes(step)]
    for scaler in scalers:
        check_is_fitted(scaler)
    return scalers, _parts(last, method)[1]


def _of_standard_scaler(scaler, X):
    """The derivatives of the scaled features: of shape (n_features,), or a number."""
    return 1.0 if scaler.scale_ is None else 1 / scaler.scale_


def _of_min_max_scaler(scaler, X):
    """The same, of shape (n, 1, n_features) if values outside of the range are clipped."""
    if not scaler.clip:
        return scaler.scale_
    low, high = scaler.feature_range
    unclipped = copy.copy(scaler).set_params(clip=False, copy=True)
    scaled = np.asarray(unclipped.transform(X))  # X is checked there
    return (scaler.scale_ * ((scaled >= low) & (scaled <= high)))[:, None]


# The class of a scaler -> the derivatives of the scaled features.
SCALERS = {StandardScaler: _of_standard_scaler, MinMaxScaler: _of_min_max_scaler}

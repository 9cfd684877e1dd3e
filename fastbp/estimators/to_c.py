"""Writes fitted estimators as C, with the scalers in front of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from ..exchange import c_source
from ..exchange.scaling import Scalers, Scaling
from ..network.network import Network
from .pipelines import described, passes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ..basis.annotations import StrPath
    from ..exchange.integers import IntegerNetwork


@overload
def to_c(
    model: Any,
    folder: StrPath,
    name: str = "network",
    *,
    weights: Literal["float32", "int8"] = "float32",
    arithmetic: Literal["float32"] = "float32",
    X: ArrayLike | None = None,
    jacobian: bool = False,
    train: Literal["sgd"] | None = None,
) -> Network: ...
@overload
def to_c(
    model: Any,
    folder: StrPath,
    name: str = "network",
    *,
    weights: Literal["int8"],
    arithmetic: Literal["int8"],
    X: ArrayLike,
) -> IntegerNetwork: ...
def to_c(
    model: Any,
    folder: StrPath,
    name: str = "network",
    *,
    weights: Literal["float32", "int8"] = "float32",
    arithmetic: Literal["float32", "int8"] = "float32",
    X: ArrayLike | None = None,
    jacobian: bool = False,
    train: Literal["sgd"] | None = None,
) -> Network | IntegerNetwork:
    """Write a fitted estimator as C99 source code, with the scalers of its pipeline.

    The C code takes features as ``predict`` takes them. Its outputs are those of ``predict`` for
    regressors, in the targets' units, and probabilities for classifiers: with two classes that of
    the second one, else one for each class.

    Parameters
    ----------
    model : Network, fitted estimator, Pipeline or TransformedTargetRegressor
        An `MLPRegressor` or `MLPClassifier`, of fastbp or scikit-learn; or a pipeline that ends in
        one, with StandardScaler, MinMaxScaler and "passthrough" in front; or a
        TransformedTargetRegressor of these whose transformer is a StandardScaler, or a MinMaxScaler
        that does not clip.
    folder, name, weights, arithmetic, jacobian, train
        As for `Network.to_c`. Derivatives are those of outputs by features, both in the user's
        units, as `fastbp.input_jacobian` has them; targets of ``NAME_fit_step`` are in the user's
        units, too.
    X : array-like of shape (n_samples, n_features), optional
        Samples as for `Network.to_c`, not scaled.

    Returns
    -------
    Network or fastbp.exchange.IntegerNetwork
        As of `Network.to_c`. The Network's own inputs and outputs are scaled ones; those of an
        IntegerNetwork are in the user's units.

    Raises
    ------
    TypeError
        If C has no equivalent of the model or of a step; the message names it.
    ValueError
        As for `Network.to_c`; also for estimators that are not fitted.

    See Also
    --------
    Network.to_c : The same for networks, with all details.

    Notes
    -----
    Scalers work in float32, as z = (x - center) / scale, where the center is a float32 and the rest
    that it has lost to rounding. Outputs agree with those of the pipeline to rounding.

    Examples
    --------
    >>> import numpy as np, fastbp, os, tempfile
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.random.default_rng(0).uniform(0, 1000, (300, 2))
    >>> y = X @ [0.5, -0.25]
    >>> linear = fastbp.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0)
    >>> model = make_pipeline(StandardScaler(), linear).fit(X, y)
    >>> folder = tempfile.mkdtemp()
    >>> network = fastbp.to_c(model, folder, "sensor")
    >>> sorted(os.listdir(folder))
    ['sensor.c', 'sensor.h', 'sensor_test.c']
    """
    if hasattr(model, "to_c") and not isinstance(model, Network):
        raise TypeError(
            f"a {type(model).__name__} prepares its columns itself; call its method: "
            "model.to_c(folder, name)"
        )
    targets = None
    if type(model) is TransformedTargetRegressor:
        check_is_fitted(model)
        targets = _of_targets(model.transformer_)
        model = model.regressor_
    inputs: list[Scaling] = []
    if isinstance(model, Pipeline):
        if not model.steps:
            raise ValueError("the pipeline has no steps")
        *before, (_, model) = model.steps
        inputs = _composed([_of_features(*step) for step in before if not passes(step[1])])
    if not isinstance(model, Network):
        try:
            model = Network.from_sklearn(model)
        except TypeError as error:
            raise TypeError(
                f"to_c writes a Network, an MLPRegressor or MLPClassifier, or a pipeline that ends "
                f"in one of these, not {described(model)}"
            ) from error
        if model._engine.distribution is not None:
            raise TypeError(
                f"the loss {model._engine.loss_title} predicts a distribution, and the outputs of "
                "the network are its parameters; to write these, pass "
                "Network.from_sklearn(estimator), for scaled features and targets"
            )
    model._engine.check_finite()
    scalers = Scalers(tuple(inputs), targets)
    return c_source.to_c(
        model, folder, name, weights, X, arithmetic, jacobian, train, scalers=scalers
    )


def _of_features(name, step):
    """Return the numbers of a step of a pipeline, see SCALERS."""
    if type(step) not in SCALERS:
        raise TypeError(
            f"the step {name!r}, {described(step)}, has no equivalent in C; in front of a network "
            "it has StandardScaler, MinMaxScaler and 'passthrough'"
        )
    check_is_fitted(step)
    return SCALERS[type(step)](step)


def _of_targets(transformer):
    """Return the scaling of targets, None if there is none."""
    if type(transformer) is FunctionTransformer:
        if transformer.func is None and transformer.inverse_func is None:
            return None
    elif type(transformer) in SCALERS:
        center, scale, bounds = SCALERS[type(transformer)](transformer)
        if not bounds:
            return _scaling(center, scale)
    raise TypeError(
        f"the transformer of targets, {described(transformer)}, has no equivalent in C, which has "
        "StandardScaler and MinMaxScaler(clip=False)"
    )


def _of_standard_scaler(scaler):
    n = scaler.n_features_in_
    return (
        scaler.mean_ if scaler.with_mean else np.zeros(n),
        scaler.scale_ if scaler.with_std else np.ones(n),
        (),
    )


def _of_min_max_scaler(scaler):
    bounds = scaler.feature_range if scaler.clip else ()
    low, scale = (numbers.astype(np.float64) for numbers in (scaler.min_, scaler.scale_))
    return -low / scale, 1 / scale, bounds


def _composed(steps):
    """Return the scalings of successive steps.

    Steps that do not clip become one with the next step, in float64: between two steps in float32,
    features that are far from 0 and lie close together would lose digits.
    """
    found: list[tuple] = []
    for center, scale, bounds in steps:
        center, scale = (np.asarray(numbers, np.float64) for numbers in (center, scale))
        if found and not found[-1][2]:
            before, by, _ = found.pop()
            center, scale = before + by * center, by * scale
        found.append((center, scale, bounds))
    return [_scaling(center, scale, *bounds) for center, scale, bounds in found]


def _scaling(center, scale, *bounds):
    center = np.asarray(center, np.float64)
    rounded, scale = center.astype(np.float32), np.asarray(scale, np.float32)
    rest = (center - rounded).astype(np.float32)
    if not (np.isfinite(rest).all() and np.isfinite(scale).all() and (scale > 0).all()):
        raise ValueError("a scaler has numbers that float32 cannot hold")
    return Scaling(rounded, rest, scale, *map(float, bounds))


# The class of a scaler -> its center and scale in float64, and the bounds that it clips to.
SCALERS = {StandardScaler: _of_standard_scaler, MinMaxScaler: _of_min_max_scaler}

"""The network behind an estimator: its parameters as coefs_ and intercepts_, its predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from ..basis import checks, monotonic, spec
from ..basis.sparse import check_undamaged, csr
from ..engine import attributions, jets
from ..exchange.activations import EQUIVALENTS
from ..network.network import Network
from .derivatives import checked_baseline
from .parameters import hidden_activations
from .samples import by_parts, outputs

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Backend, Floats, Matrix

# scikit-learn's names of output activations -> ours.
OUTPUTS = {
    theirs: row.output_activation
    for row in spec.LOSSES.values()
    if (theirs := EQUIVALENTS[row.output_activation].sklearn)
}
# Those that no loss has. They can be set for predictions.
FOR_PREDICTIONS: dict[str, Any] = {"tanh": np.tanh, "relu": lambda h: np.maximum(h, 0)}
# Their derivatives.
DERIVATIVES: dict[str, Any] = {"tanh": lambda h: 1 - np.tanh(h) ** 2, "relu": lambda h: h > 0}


class Held(NamedTuple):
    """An estimator's network, views of its parameters, and the settings it was made with."""

    network: Network
    coefs: list
    intercepts: list
    extras: list  # those behind the biases
    made_for: tuple
    shown: bool  # whether those views are coefs_ and intercepts_, or have been

    def is_for(self, wanted):
        """Return whether the settings are these; functions are compared by identity."""
        return all(
            ours is theirs or not (callable(ours) or callable(theirs)) and ours == theirs
            for ours, theirs in zip(self.made_for, wanted, strict=True)
        )

    def has(self, coefs, intercepts, extras):
        """Return whether these arrays are the network's own parameters."""
        return (
            _same(self.coefs, coefs)
            and _same(self.intercepts, intercepts)
            and (extras is None or _same(self.extras, extras))
        )


def _same(ours, theirs):
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))


class EstimatorNetwork(BaseEstimator):
    """The part of `MultilayerPerceptron` that keeps a network and predicts."""

    activation: Any
    backend: Backend | None
    monotonic_cst: Any
    norm: Literal["layer", "rms"] | None
    residual: bool
    coefs_: list[Floats]
    intercepts_: list[Floats]
    out_activation_: str
    _held: Held | None
    # The network's other parameters, as views; None for their initial values.
    _extras: list[Floats] | None = None

    def _loss(self):
        """Return Network's loss for the output activation, and the loss's parameter."""
        known = [*OUTPUTS, *FOR_PREDICTIONS]
        if self.out_activation_ not in known:
            raise ValueError(
                f"out_activation_ must be one of {', '.join(known)}, got {self.out_activation_!r}"
            )
        return spec.DEFAULT_LOSSES[OUTPUTS.get(self.out_activation_, "identity")], None

    def _network(self, adopt=False):
        """Return the network with the current values of `coefs_` and `intercepts_`.

        Usually these are views of the network's parameters. If the user has set them, they are
        copied into the network in each call, since their values may have changed. With `adopt`,
        they are replaced by views.
        """
        check_layers(self)
        if self.__dict__.get("n_layers_", len(self.coefs_) + 1) != len(self.coefs_) + 1:
            raise ValueError(
                f"n_layers_ is {self.n_layers_}, but coefs_ has {len(self.coefs_)} entries, one "
                "for each layer behind the input; set both"
            )
        activation = self.activation
        if not isinstance(activation, str):
            activation = hidden_activations(activation, len(self.coefs_) - 1)
        constrained = self._constraint(len(self.coefs_[0]))
        made_for = (activation, *self._loss(), self.backend, constrained, self.norm, self.residual)
        held = getattr(self, "_held", None)
        if held is not None and not held.is_for(made_for):
            held = None
        if held is not None and held.has(self.coefs_, self.intercepts_, self._extras):
            return held.network
        if held is not None and held.shown:
            held = None  # the user may still use the views, so the network must not overwrite them
        coefs = [np.asarray(coef) for coef in self.coefs_]
        intercepts = [np.asarray(intercept) for intercept in self.intercepts_]
        network = self._network_for(coefs, held)
        weights, biases, *others = network._engine.arrays
        extras = [array for arrays in others for array in arrays]
        self._fill_extras(extras)
        try:
            for view, array in zip([*weights, *biases], [*coefs, *intercepts], strict=True):
                view[...] = array
        except ValueError:
            raise ValueError(
                f"coefs_ of shapes {[coef.shape for coef in coefs]} need intercepts_ of shapes "
                f"{[view.shape for view in biases]}, got {[b.shape for b in intercepts]}"
            ) from None
        # After unpickling, no one else has references to the arrays.
        adopt = adopt or self.__dict__.get("_held", self) is None
        if adopt:  # keep the list objects, since a copy.copy may share them
            self.coefs_ = _refilled(self.coefs_, weights)
            self.intercepts_ = _refilled(self.intercepts_, biases)
            self._extras = extras
        self._held = Held(network, weights, biases, extras, made_for, shown=adopt)
        return network

    def _fill_extras(self, extras):
        """Copy the parameters behind the biases into a network's."""
        if self._extras is None:
            return
        if [array.shape for array in extras] != [array.shape for array in self._extras]:
            raise ValueError(
                "norm or activation have changed since the last fit, and the coefficients are for "
                "layers with other parameters; set them back, or set warm_start=False and call fit"
            )
        for view, array in zip(extras, self._extras, strict=True):
            view[...] = array

    def _network_for(self, coefs, held):
        """Return a network with the sizes of the coefficients, the held one if it fits."""
        shapes = [coef.shape for coef in coefs]
        if any(len(shape) != 2 for shape in shapes):
            raise ValueError(f"coefs_ must be matrices, got shapes {shapes}")
        sizes = (shapes[0][0], *(shape[1] for shape in shapes))
        if [shape[0] for shape in shapes[1:]] != list(sizes[1:-1]):
            raise ValueError(f"coefs_ of shapes {shapes} do not follow on each other")
        single = all(coef.dtype == np.float32 for coef in coefs)
        dtype = np.dtype(np.float32 if single else np.float64)
        if held is not None and (held.network.layout.sizes, held.network.layout.dtype) == (
            sizes,
            dtype,
        ):
            return held.network
        loss, parameter = self._loss()
        return Network(
            sizes,
            activation=hidden_activations(self.activation, len(coefs) - 1),
            loss=loss,
            loss_parameter=parameter,
            dtype=dtype,
            monotonic_cst=self._constraint(sizes[0]) or None,
            norm=self.norm,
            residual=self.residual,
            seed=0,
            backend=self.backend,
        )

    def _constraint(self, n_features):
        """Return monotonic_cst as a tuple of a number for each feature; () if all are free."""
        value = self.monotonic_cst
        if isinstance(value, dict):
            value = by_feature(value, getattr(self, "feature_names_in_", None))
        return monotonic.constraint(value, n_features)

    def __getstate__(self):
        """Return the state without the network, which is built again after unpickling."""
        state = dict(super().__getstate__())
        if "_held" in state:
            state["_held"] = None
        return state

    def __copy__(self):
        """Return an estimator that shares coefficients and optimiser, as scikit-learn's does.

        Training one in place trains both, until `fit` creates new coefficients.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def layer_outputs(self, X: Matrix) -> list[Floats]:
        """Compute the activations of every layer for X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        list of ndarray of shape (n_samples, n_units)
            The activations of the hidden layers in order, then the outputs.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> [h.shape for h in classifier.layer_outputs(X)]
        [(150, 8), (150, 3)]
        """
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        return self._forward_pass([self._checked_for_outputs(X)])[1:]

    def input_jacobian(self, X: Matrix) -> Floats:
        """Compute the derivatives of the predictions by the features.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        derivatives : ndarray of shape (n_samples, n_outputs, n_features)
            The entry [r, k, j] is the derivative of row r's output k by its feature j: of `predict`
            for a regressor, of ``predict_proba`` for a classifier, whose outputs are the classes.

        See Also
        --------
        fastbp.input_jacobian : The same for pipelines that scale the features.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> classifier.input_jacobian(X[:5]).shape  # samples, outputs, features
        (5, 3, 4)
        """
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        network, X = self._network(), self._checked_for_outputs(X)
        found = by_parts(network, X, lambda part: jets.input_jacobian(network._engine, part))
        derivative = DERIVATIVES.get(self.out_activation_)
        if derivative is not None:
            found *= derivative(outputs(network, X))[:, :, None]
        if (distribution := network._engine.distribution) is not None:
            slopes = distribution.slopes(outputs(network, X)).astype(found.dtype)
            found = np.einsum("rm,rmj->rj", slopes, found)[:, None]
        return self._derivatives_of_predictions(found)

    def integrated_gradients(
        self, X: Matrix, baseline: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Compute how much each feature contributes to a prediction's difference from a baseline's.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        baseline : array-like of shape (n_features,) or (n_samples, n_features), optional
            A neutral sample, such as the mean of the training samples; by default 0. If it has
            names (a Series or DataFrame), they must be those of the features in `fit`.

        Returns
        -------
        contributions : ndarray of shape (n_samples, n_outputs, n_features)
            The entry [r, k, j] is feature j's contribution to row r's output k: of `predict` for a
            regressor, of ``predict_proba`` for a classifier, whose outputs are the classes. The sum
            over j is the difference from the baseline's output.

        See Also
        --------
        fastbp.Network.integrated_gradients : The formula and its source.
        fastbp.integrated_gradients : The same for pipelines that scale the features.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> shares = classifier.integrated_gradients(X[:5], baseline=X.mean(axis=0))
        >>> shares.shape  # samples, classes, features
        (5, 3, 4)
        >>> base = classifier.predict_proba([X.mean(axis=0)])
        >>> bool(abs(shares.sum(axis=2) - (classifier.predict_proba(X[:5]) - base)).max() < 1e-6)
        True
        """
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        if self.out_activation_ in FOR_PREDICTIONS:
            raise ValueError(
                f"out_activation_ {self.out_activation_!r} has been set after fit; integrated "
                "gradients need the one that belongs to the loss"
            )
        engine = self._network()._engine
        if engine.distribution is not None:
            raise ValueError(
                f"loss={engine.loss!r} predicts a distribution; for contributions to its "
                "parameters call integrated_gradients of Network.from_sklearn(...)"
            )
        samples: Any = self._checked_for_outputs(X)
        if not isinstance(samples, np.ndarray):
            samples = samples.toarray()
        array = checked_baseline(self, X, baseline)
        found = attributions.integrated_gradients(engine, samples, array)
        return self._derivatives_of_predictions(found)

    def _derivatives_of_predictions(self, of_outputs):
        """Turn derivatives of the network's outputs into those of the predictions."""
        return of_outputs

    def _forward_pass_fast(self, X, check_input=True):
        """Return the outputs for X; all predictions call this."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)  # raises an error; it is slow, so it is not called if fitted
        network = self._network()
        if check_input:
            X = self._checked_for_outputs(X)
        elif isinstance(X, np.ndarray):
            X = np.require(X, network.layout.dtype, ["C", "A"])
        check_width(network, X)
        return self._activated(outputs(network, X))

    def _checked_for_outputs(self, X):
        check_undamaged(X)
        with checks.locating(X=X):
            return validate_data(
                self,
                X,
                accept_sparse=["csr", "csc"],
                dtype=self._network().layout.dtype,
                order="C",
                reset=False,
            )

    def _activated(self, h):
        """Apply out_activation_ to the outputs if the user has set one that belongs to no loss."""
        function = FOR_PREDICTIONS.get(self.out_activation_)
        return h if function is None else function(h)


def by_feature(constraints, names):
    """Return the list that a dict of monotonic_cst stands for, given the names of the features."""
    if names is None:
        raise ValueError(
            "monotonic_cst is a dict of names of features, but X has no names; pass X with names, "
            "such as a DataFrame, or monotonic_cst as a list with a number for each feature"
        )
    for name in constraints:
        if name not in names:
            raise ValueError(
                f"monotonic_cst has the key {name!r}, but X has no such feature; its features are "
                f"{', '.join(map(str, names[:20]))}{', ...' if len(names) > 20 else ''}"
            )
    return [constraints.get(name, 0) for name in names]


def check_layers(estimator):
    """Raise an error unless `coefs_` and `intercepts_` are lists with entries for the layers."""
    for name in ("coefs_", "intercepts_"):
        value = getattr(estimator, name)
        if not isinstance(value, list) and not checks.is_sequence(value):
            raise TypeError(
                f"{name} must be a list of arrays, one for each layer behind the input, got "
                f"{type(value).__name__}: {value!r}"
            )
        if not len(value):
            raise ValueError(f"{name} is empty; it must have an array for each layer")


def by_rows(X):
    """Return X in a form with fast access to rows, sparse entries in order."""
    return X if isinstance(X, np.ndarray) else csr(X)


def _refilled(given, views):
    """Replace the entries of a list and return it; return a new list if it is not a list."""
    if not isinstance(given, list):
        return list(views)
    given[:] = views
    return given


def check_width(network, X):
    """Raise ValueError if X has another number of features than the network."""
    if X.shape[1] != network.layout.sizes[0]:
        raise ValueError(
            f"X has {X.shape[1]} features, but coefs_ are for {network.layout.sizes[0]}"
        )

"""What the two estimators have in common: scikit-learn's multi-layer perceptron over Network.

The order of checks, draws of random numbers and attributes is scikit-learn's, so that the same
parameters give the same numbers; docs/estimators.md lists the differences.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import regularizers, solvers
from .estimator_parameters import (
    CONSTRAINTS,
    NOT_FOR_LBFGS,
    STOCHASTIC,
    hidden_activations,
)
from .network import Network
from .optimizers import Adam
from .sklearn_callbacks import CallbackSupportMixin, Tasks
from .stochastic import NOT_FINITE, StochasticTraining

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from .annotations import Floats, Matrix, _fit_context, with_callbacks
else:
    from sklearn.base import _fit_context

    from .sklearn_callbacks import with_callbacks

# Output activations -> Network's losses.
LOSSES = {
    "logistic": "log_loss",
    "softmax": "cross_entropy",
    "identity": "squared_error",
    "exp": "poisson",
}


class Held(NamedTuple):
    """A network made for an estimator, views of its parameters, and what it was made for."""

    network: Network
    coefs: list
    intercepts: list
    made_for: tuple
    shown: bool  # whether those views are coefs_ and intercepts_, or have been

    def is_for(self, wanted):
        """Whether it was made for that; a loss of the user's own may compare as it likes."""
        return all(
            ours is theirs or not (callable(ours) or callable(theirs)) and ours == theirs
            for ours, theirs in zip(self.made_for, wanted, strict=True)
        )

    def has(self, coefs, intercepts):
        """Whether these arrays are its own parameters."""
        return _same(self.coefs, coefs) and _same(self.intercepts, intercepts)


def _same(ours, theirs):
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))


class MultilayerPerceptron(CallbackSupportMixin, StochasticTraining, ABC):
    """Base of the estimators; not used by itself.

    A subclass sets its parameters and says how targets become `Samples` and back
    (`_validate_targets`, `_truth`), which output and loss they ask for (`_output_activation`,
    `_loss`) and what an output scores (`_scorer`).
    """

    _parameter_constraints: dict = CONSTRAINTS

    _held: Held | None

    # After fitting.
    coefs_: list[Floats]
    intercepts_: list[Floats]
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    n_iter_: int
    t_: int
    n_layers_: int
    n_outputs_: int
    out_activation_: str
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    def _set(self, parameters):
        """Keep the constructor's arguments, given as its `locals()`."""
        for name, value in parameters.items():
            if name != "self":
                setattr(self, name, value)

    @abstractmethod
    def _validate_targets(self, y, incremental, validation=False):
        """y as (labels, targets, number of outputs), see `solvers.Samples`."""

    @abstractmethod
    def _output_activation(self):
        """scikit-learn's name of the output activation."""

    def _loss(self):
        """Network's loss for that, and its parameter."""
        return LOSSES[self.out_activation_], None

    @abstractmethod
    def _truth(self, samples):
        """The y of samples, as `_validate_targets` had it."""

    @abstractmethod
    def _strata(self, samples):
        """What to stratify the split for early stopping by, or None."""

    @abstractmethod
    def _scorer(self, samples):
        """The score that early stopping looks at, as a function of the outputs for `samples`."""

    # The network and the attributes that show it.

    def _network(self, adopt=False):
        """The network with `coefs_` and `intercepts_` as they are now.

        Those are views of the network's own parameters, unless they have been set by hand: then
        they are copied in, now and whenever they are needed, since they may change unseen.
        To `adopt` is to replace them by views.
        """
        named = isinstance(self.activation, str)
        activation = self.activation if named else tuple(self.activation)
        made_for = (activation, *self._loss(), self.backend)
        held = getattr(self, "_held", None)
        if held is not None and not held.is_for(made_for):
            held = None
        if held is not None and held.has(self.coefs_, self.intercepts_):
            return held.network
        if held is not None and held.shown:
            held = None  # the arrays may be among those set by hand, or kept elsewhere
        coefs = [np.asarray(coef) for coef in self.coefs_]
        intercepts = [np.asarray(intercept) for intercept in self.intercepts_]
        network = self._network_for(coefs, held)
        weights, biases = list(network.weights), list(network.biases)
        for view, array in zip([*weights, *biases], [*coefs, *intercepts], strict=True):
            view[...] = array
        # Nobody else knows the arrays of an estimator that was just unpickled.
        adopt = adopt or self.__dict__.get("_held", self) is None
        if adopt:
            self.coefs_, self.intercepts_ = list(weights), list(biases)
        self._held = Held(network, weights, biases, made_for, shown=adopt)
        return network

    def _network_for(self, coefs, held):
        """A network of the sizes of these coefficients: the one there is, if it fits."""
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
            seed=0,
            backend=self.backend,
        )

    def __getstate__(self):
        """All but the network, which is made again where the backend of the parameters is."""
        state = dict(super().__getstate__())
        if "_held" in state:
            state["_held"] = None
        return state

    def _initialize(self, layer_units, dtype):
        """Draw the first coefficients, layer by layer, and forget what was there before."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(layer_units)
        self.out_activation_ = self._output_activation()
        self.coefs_, self.intercepts_ = [], []
        names = hidden_activations(self.activation, len(layer_units) - 2)
        names = [*names, names[-1] if names else self.activation]  # as if the output had it, too
        for fan_in, fan_out, name in zip(layer_units, layer_units[1:], names, strict=False):
            # Glorot and Bengio, AISTATS 2010; scikit-learn's factor for the logistic function.
            factor = 2 if name in ("logistic", "sigmoid") else 6
            bound = np.sqrt(factor / (fan_in + fan_out))
            draw = self._random_state.uniform
            self.coefs_.append(draw(-bound, bound, (fan_in, fan_out)).astype(dtype, copy=False))
            self.intercepts_.append(draw(-bound, bound, fan_out).astype(dtype, copy=False))
        if self.solver in STOCHASTIC:
            self._begin_records()

    def _stepping(self, network):
        """The optimiser of the parameters, at its start."""
        if self.solver == "adam":
            optimizer = Adam(
                self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon, epsilon_hat=True
            )
            return solvers.Stepping(optimizer, network.layout)
        optimizer = solvers.sgd(self.learning_rate_init, self.momentum, self.nesterovs_momentum)
        return solvers.Stepping(optimizer, network.layout, self.learning_rate, self.power_t)

    # Fitting.

    @_fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    def fit(
        self,
        X: Matrix,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Matrix | None = None,
        y_val: ArrayLike | None = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit to data X and targets y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or an indicator matrix of several labels; real numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        X_val, y_val : like X and y, default=None
            Samples for early stopping to look at, instead of some of X.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        validation = (X_val, y_val, sample_weight_val)
        return self._fit(X, y, sample_weight, validation)

    @_fit_context(prefer_skip_nested_validation=True)
    def initialize(self, X: Matrix, y: ArrayLike) -> Self:
        """Draw the first coefficients for data like these, without fitting.

        They can be looked at, or set. `partial_fit`, or `fit` with ``warm_start=True``, goes on
        from them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            As for `fit`; of all classes at least one sample.

        Returns
        -------
        self : object
            The estimator, which predicts as these coefficients say.
        """
        for name in ("coefs_", "intercepts_", "_optimizer"):
            self.__dict__.pop(name, None)
        network, _ = self._build(X, y)
        solvers.report_as_scikit_learn(network)
        return self

    def _check_solver(self):
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    def _fit(self, X, y, sample_weight, validation=(None, None, None), incremental=False):
        if self.solver == "lbfgs":
            for name in NOT_FOR_LBFGS:
                value = getattr(self, name)
                if value is not None and np.any(value):
                    raise ValueError(
                        f"{name} is for the solvers 'sgd' and 'adam', but solver is 'lbfgs' and "
                        f"{name}={value!r}"
                    )
        network, samples = self._build(X, y, sample_weight, incremental)
        validation = self._validation(*validation)
        for each in (samples, validation):
            if each is not None:
                each.keep_apart(network)
        stochastic = self.solver in STOCHASTIC
        tasks = Tasks(self, X, y, sample_weight, self.max_iter if stochastic else 0)
        # What scikit-learn reports has no meaning for targets between the classes.
        solvers.report_as_scikit_learn(network, exactly=self._smoothing() > 0)
        if stochastic:
            self._fit_stochastic(network, samples, validation, incremental, tasks)
        else:
            self._fit_lbfgs(network, samples)
        if not network._backend.finite(network._parameters):
            network.layout.clear_padding(network._parameters)
            if not network._backend.finite(network._parameters):
                raise ValueError(NOT_FINITE)
        tasks.end()
        return self

    def _build(self, X, y, sample_weight=None, incremental=False):
        """The network to train, with its first coefficients if need be, and checked samples."""
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._checked(X, y, reset=first_pass)
        labels, targets, self.n_outputs_ = self._validate_targets(y, incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._weigh(y, sample_weight, incremental)
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        if first_pass or self.solver == "lbfgs":
            self._held = None  # somebody may keep the arrays of the fit before
        network = self._network(adopt=True)
        _check_width(network, X)
        if self.n_outputs_ != network.layout.sizes[-1]:
            raise ValueError(
                f"y has {self.n_outputs_} outputs, but the coefficients that are there already "
                f"give {network.layout.sizes[-1]}"
            )
        return network, solvers.Samples(X, labels, targets, sample_weight)

    def _checked(self, X, y, reset):
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=not is_classifier(self),
            dtype=(np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype),
            reset=reset,
        )
        return (X if isinstance(X, np.ndarray) else X.tocsr()), y  # whose rows can be taken

    def _validation(self, X, y, sample_weight):
        """The user's own samples for early stopping, or None."""
        if X is None and y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight_val is provided, but X_val was not provided.")
            return None
        if X is None or y is None:
            given, missing = ("y_val", "X_val") if X is None else ("X_val", "y_val")
            raise ValueError(f"{given} is provided, but {missing} was not provided.")
        if not self.early_stopping:
            raise ValueError(
                "X_val and y_val are passed to fit while at the same time early_stopping is "
                "False. When passing X_val and y_val to fit, early_stopping should be set to True."
            )
        X, y = self._checked(X, y, reset=False)
        labels, targets, n_outputs = self._validate_targets(y, incremental=True, validation=True)
        if n_outputs != self.n_outputs_:
            raise ValueError(f"y_val has {n_outputs} outputs, but y has {self.n_outputs_}")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        return solvers.Samples(X, labels, targets, self._weigh(y, sample_weight, False))

    def _weigh(self, y, sample_weight, incremental):
        """The sample weights, times those of the classes if there are any."""
        return sample_weight

    def _regularizers(self, network):
        return regularizers.checked(
            len(network.weights),
            l1=self.l1,
            l2=self.alpha,
            dropout=self.dropout,
            clip_norm=self.clip_norm,
            average=self.average,
            frozen=self.frozen,
            divided=True,
        )

    def _fit_lbfgs(self, network, samples):
        result = solvers.minimize(
            network,
            samples.smooth(network, self._smoothing()),
            self._regularizers(network),
            self.alpha,
            tol=self.tol,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
        )
        self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)
        self.loss_ = float(result.fun)

    # Predicting.

    def layer_outputs(self, X: Matrix) -> list[Floats]:
        """The activations of every layer for X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        list of ndarray of shape (n_samples, n_units)
            Those of the hidden layers in order, then the outputs.
        """
        network, samples = self._checked_for_outputs(X)
        dense = samples if isinstance(samples, np.ndarray) else samples.toarray()
        return network.layer_outputs(dense)

    def _outputs(self, X):
        """The network's output for X, which is checked."""
        return solvers.outputs(*self._checked_for_outputs(X))

    def _checked_for_outputs(self, X):
        """The network, and X as it takes it."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)  # raises; to find nothing amiss takes it long
        network = self._network()
        X = validate_data(
            self,
            X,
            accept_sparse=["csr", "csc"],
            dtype=network.layout.dtype,
            order="C",
            reset=False,
        )
        _check_width(network, X)
        return network, X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _check_width(network, X):
    if X.shape[1] != network.layout.sizes[0]:
        raise ValueError(
            f"X has {X.shape[1]} features, but coefs_ are for {network.layout.sizes[0]}"
        )

"""The base class of both estimators: scikit-learn's multi-layer perceptron, built on Network.

The order of checks, draws of random numbers and attributes is scikit-learn's, so that the same
parameters give the same numbers; docs/estimators.md lists the differences.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..basis import checks, initial, monotonic, sample_weights, tables
from ..basis.layout import Layout
from ..basis.names import keywords
from ..basis.sparse import check_undamaged
from ..rules.regularizers import SWA, regularizers_of
from .attempt import Attempt
from .lbfgs import minimize, report_as_scikit_learn
from .network import OUTPUTS, EstimatorNetwork, by_rows, check_layers, check_width
from .parameters import CONSTRAINTS, NOT_FOR_LBFGS, STOCHASTIC, hidden_activations
from .privates import in_its_name, overridden
from .rules import NOT_FINITE, StochasticTraining
from .samples import CheckedSamples
from .stepping import AdamStepping, SGDStepping
from .tasks import CallbackSupportMixin, Tasks

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats, Matrix, _fit_context, with_callbacks
else:
    from sklearn.base import _fit_context

    from .tasks import with_callbacks


class MultilayerPerceptron(CallbackSupportMixin, EstimatorNetwork, StochasticTraining, ABC):
    """Base class of the estimators.

    A subclass sets its parameters, converts targets to `CheckedSamples` and back
    (`_validate_targets`, `_truth`), chooses output activation and loss (`_output_activation`,
    `_loss`), and computes the score (`_score`).
    """

    _parameter_constraints: dict = CONSTRAINTS

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

    @abstractmethod
    def _validate_targets(self, y, incremental, validation=False):
        """y as (labels, targets, number of outputs), see `CheckedSamples`."""

    @abstractmethod
    def _output_activation(self):
        """Return scikit-learn's name of the output activation."""

    @abstractmethod
    def _truth(self, samples):
        """Return the y of samples in the form for `_score`."""

    @abstractmethod
    def _strata(self, samples):
        """Return the classes that stratify the split for early stopping, or None."""

    @abstractmethod
    def _score(self, X, y, sample_weight=None):
        """Return the score for early stopping, of checked samples."""

    def _initialize(self, y, layer_units, dtype):
        """Draw initial coefficients, layer by layer, and discard the old ones and their records."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(layer_units)
        self.out_activation_ = self._output_activation()
        self.coefs_, self.intercepts_, self._extras = [], [], None
        names = hidden_activations(self.activation, len(layer_units) - 2)
        # scikit-learn draws the output layer's weights as if it had the hidden layers' activation.
        layout = Layout(tuple(layer_units), names, np.dtype(dtype))
        bounds = initial.bounds(layout)
        names = [*names, names[-1] if names else self.activation]
        layers = zip(layer_units, layer_units[1:], names, bounds, strict=False)
        for fan_in, fan_out, name, bound in layers:
            own = () if isinstance(self.activation, str) else (name,)
            coef, intercept = self._init_coef(fan_in, fan_out, dtype, *own)
            if name in ("sin", "selu"):  # scikit-learn has neither, and they need their own rules
                coef *= bound / np.sqrt(6 / (fan_in + fan_out))
            self.coefs_.append(coef)
            self.intercepts_.append(intercept)
        if constrained := self._constraint(layer_units[0]):
            signs = monotonic.by_layer(layout, monotonic.signs(layout, constrained))
            monotonic.constrain(self.coefs_, self.intercepts_, signs, self._random_state)
        if self.solver in STOCHASTIC:
            self._begin_records()

    def _init_coef(self, fan_in, fan_out, dtype, activation=None):
        """Draw a layer's initial coefficients; `activation` is given if layers have their own."""
        # Glorot and Bengio, AISTATS 2010; scikit-learn's factor for the logistic function.
        factor = 2 if (activation or self.activation) in ("logistic", "sigmoid") else 6
        bound = np.sqrt(factor / (fan_in + fan_out))
        coef = self._random_state.uniform(-bound, bound, (fan_in, fan_out))
        intercept = self._random_state.uniform(-bound, bound, fan_out)
        return coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)

    def _stepping(self, network):
        """Return a new optimiser with the estimator's parameters."""
        rate = self.learning_rate_init
        if self.solver == "adam":
            return AdamStepping(network.layout, rate, self.beta_1, self.beta_2, self.epsilon)
        how = (self.learning_rate, self.momentum, self.nesterovs_momentum, self.power_t)
        return SGDStepping(network.layout, rate, *how)

    # Fitting.

    @_fit_context(prefer_skip_nested_validation=True)
    @with_callbacks
    @keywords
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
            Validation samples for early stopping, instead of samples held out from X.
        sample_weight_val : array-like of shape (n_val,), default=None
            Weights of the validation samples.

        Returns
        -------
        self : object
            The fitted estimator.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> classifier.score(X, y) > 0.95
        True
        """
        own = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        own = {name: value for name, value in own.items() if value is not None}
        return self._fit(X, y, sample_weight=sample_weight, incremental=False, **own)

    @_fit_context(prefer_skip_nested_validation=True)
    def initialize(self, X: Matrix, y: ArrayLike) -> Self:
        """Draw initial coefficients for the shape and dtype of the given data, without fitting.

        You can read or set the coefficients. `partial_fit`, and `fit` with ``warm_start=True``,
        continue from them.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            As for `fit`, with at least one sample of each class.

        Returns
        -------
        self : object
            The estimator, which predicts with the initial coefficients.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier(hidden_layer_sizes=(8,), random_state=0).initialize(X, y)
        >>> [W.shape for W in classifier.coefs_], classifier.predict(X[:2]).shape
        ([(4, 8), (8, 3)], (2,))
        """
        with Attempt(self):
            for name in ("coefs_", "intercepts_", "_optimizer"):
                self.__dict__.pop(name, None)
            network, _ = self._build(X, y)
            with self._training_units():
                pass  # the coefficients were drawn for these units
        report_as_scikit_learn(network)
        return self

    def _check_solver(self):
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    def _fit(self, X, y, sample_weight=None, incremental=False, **validation):
        self._check_not_replaced()
        if self.solver == "lbfgs":
            for name in NOT_FOR_LBFGS:
                value = getattr(self, name)
                if value is not None and np.any(value):
                    raise ValueError(
                        f"{name} is for the solvers 'sgd' and 'adam', but solver is 'lbfgs' and "
                        f"{name}={value!r}"
                    )
        with Attempt(self) as attempt:
            network, samples = self._build(X, y, sample_weight, incremental)
            held_out = self._validation(**validation)
            for each in (samples, held_out):
                if each is not None:
                    each.keep_apart(network)
            stochastic = self.solver in STOCHASTIC
            tasks = Tasks(self, X, y, sample_weight, self.max_iter if stochastic else 0)
            # What scikit-learn reports has no meaning for targets between the classes.
            report_as_scikit_learn(network, exactly=self._smoothing() > 0)
            with self._training_units():
                if stochastic:
                    self._train_by_epochs(network, samples, held_out, incremental, tasks, attempt)
                else:
                    self._train_by_lbfgs(network, samples, attempt)
            network = self._network(adopt=True)  # early stopping may have restored the best
        engine = network._engine
        if not engine.finite():
            engine.clear_padding()
            if not engine.finite():
                raise ValueError(NOT_FINITE)
        tasks.end()
        return self

    def _build(self, X, y, sample_weight=None, incremental=False):
        """Return the network to train, with initial coefficients if needed, and checked samples."""
        hidden = checks.plain(self.hidden_layer_sizes)
        listed = hasattr(hidden, "__iter__") and not isinstance(hidden, type)
        hidden = [
            checks.whole_number("hidden_layer_sizes", size, -math.inf, checks.MOST)
            for size in (hidden if listed else [hidden])
        ]
        if any(size <= 0 for size in hidden):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        if overridden(self, "_validate_input"):
            X, encoded = self._validate_input(X, y, incremental, first_pass)
            X, y = by_rows(X), np.asarray(y)
            labels, targets, self.n_outputs_ = self._of_encoded(np.asarray(encoded))
        else:
            X, y = self._checked(X, y, reset=first_pass)
            labels, targets, self.n_outputs_ = self._validate_targets(y, incremental)
        if sample_weight is not None:
            with checks.locating(sample_weight=sample_weight):
                sample_weight = _check_sample_weight(sample_weight, X)
            sample_weights.refuse_denormal(sample_weight)
        if self._constraint(X.shape[1]):
            activations = hidden_activations(self.activation, len(hidden))
            monotonic.check(activations, OUTPUTS[self._output_activation()], self._output_units())
        sample_weight = self._weigh(y, sample_weight, incremental)
        samples = CheckedSamples(X, labels, targets, sample_weight)
        self._note_targets(samples, first_pass)
        self._random_state = check_random_state(self.random_state)
        layer_units = [X.shape[1], *hidden, self._output_units()]
        if first_pass:
            checks.layer_sizes(layer_units)
            self._initialize(samples.encoded(self.n_outputs_), layer_units, X.dtype)
        self._check_sizes(layer_units)
        if first_pass or self.solver == "lbfgs":
            self._held = None  # the user may have references to the previous fit's arrays
        network = self._network(adopt=True)
        network._engine.check_signs("the estimator")
        check_width(network, X)
        if self.n_outputs_ != network.layout.n_targets:
            raise ValueError(
                f"y has {self.n_outputs_} outputs, but the existing coefficients have "
                f"{network.layout.n_targets}; set warm_start=False and call fit to start from "
                "scratch"
            )
        return network, samples

    def _check_sizes(self, layer_units):
        """Raise ValueError if training cannot continue from the existing coefficients."""
        check_layers(self)
        sizes = [len(self.coefs_[0]), *(len(b) for b in self.intercepts_)]
        if len(sizes) != len(layer_units) or (
            self.solver == "lbfgs" and sizes[1:-1] != layer_units[1:-1]
        ):
            raise ValueError(
                f"hidden_layer_sizes is {layer_units[1:-1]}, but the existing coefficients are for "
                f"hidden layers of sizes {sizes[1:-1]}; set warm_start=False and call fit to start "
                "from scratch"
            )
        if self.out_activation_ != self._output_activation():
            raise ValueError(
                f"training needs out_activation_ {self._output_activation()!r}, but it is "
                f"{self.out_activation_!r}: it belongs to another loss, or was set after fit. "
                "Other activations are for predictions only; set it back, or call fit with "
                "warm_start=False"
            )

    def _output_units(self):
        """Return the number of units of the last layer."""
        return self.n_outputs_

    def _of_encoded(self, y):
        """Return (labels, targets, number of outputs) of y encoded by `_validate_input`."""
        targets = y.reshape(len(y), -1)
        return checks.NO_LABELS, targets, targets.shape[1]

    def _checked(self, X, y, reset):
        check_undamaged(X)
        tables.no_missing("y", y)
        with checks.locating(X=X, y=y):
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
        if not is_classifier(self):
            checks.no_dates("y", y)
        return by_rows(X), y

    def _validation(self, X_val=None, y_val=None, sample_weight_val=None):
        """Return the user's validation samples for early stopping, checked, or None."""
        X, y, sample_weight = X_val, y_val, sample_weight_val
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
            with checks.locating(sample_weight=sample_weight):
                sample_weight = _check_sample_weight(sample_weight, X)
        return CheckedSamples(X, labels, targets, self._weigh(y, sample_weight, False))

    def _weigh(self, y, sample_weight, incremental):
        """Return the sample weights, multiplied by class weights if there are any."""
        return sample_weight

    def _note_targets(self, samples, first_pass):
        """Store what a training needs to know about all of y."""

    def _training_units(self):
        """Return a context of a training, in which coefficients may be for other units of y."""
        return contextlib.nullcontext()

    def _in_units_of_y(self, coefs, intercepts):
        """Turn copies of the coefficients, which are made during a training, into those for y."""

    def _regularizers(self, network):
        average = self.average
        if isinstance(average, SWA) and average.start > self.max_iter:
            raise ValueError(
                f"{average} averages from epoch {average.start} on, but max_iter is {self.max_iter}"
            )
        return regularizers_of(
            len(network.weights),
            l1=self.l1,
            l2=self.alpha,
            dropout=self.dropout,
            clip_norm=self.clip_norm,
            average=average,
            frozen=self.frozen,
            sklearn_penalties=True,
        )

    def _train_by_lbfgs(self, network, samples, attempt):
        smooth = self._to_train(network, samples)
        regularizers = self._regularizers(network)
        attempt.accept()
        result = minimize(
            network,
            smooth,
            regularizers,
            self.alpha,
            tol=self.tol,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
        )
        self.n_iter_ = in_its_name(_check_optimize_result, "lbfgs", result, self.max_iter)
        self.loss_ = np.float64(result.fun)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

"""What the two estimators have in common: scikit-learn's multi-layer perceptron over Network.

The order of checks, draws of random numbers and attributes is scikit-learn's, so that the same
parameters give the same numbers; docs/estimators.md lists the differences.
"""

import math
import warnings
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from . import solvers
from .estimator_parameters import ACTIVATIONS, CONSTRAINTS, STOCHASTIC
from .network import Network
from .optimizers import Adam

# Output activations -> Network's losses.
LOSSES = {
    "logistic": "log_loss",
    "softmax": "cross_entropy",
    "identity": "squared_error",
    "exp": "poisson",
}
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may"
    " contain large values and need to be preprocessed."
)


class Held(NamedTuple):
    """A network made for an estimator, views of its parameters, and what it was made for."""

    network: Network
    coefs: list
    intercepts: list
    made_for: tuple
    shown: bool  # whether those views are coefs_ and intercepts_, or have been

    def has(self, coefs, intercepts):
        """Whether these arrays are its own parameters."""
        return _same(self.coefs, coefs) and _same(self.intercepts, intercepts)


def _same(ours, theirs):
    return len(ours) == len(theirs) and all(a is b for a, b in zip(ours, theirs, strict=True))


class MultilayerPerceptron(BaseEstimator, ABC):
    """Base of the estimators; not used by itself.

    A subclass sets its parameters and says how targets become `Samples` (`_targets`), which
    output they ask for (`_output_activation`) and what an output scores (`_score_outputs`).
    """

    _parameter_constraints: dict = CONSTRAINTS

    coefs_: list
    intercepts_: list
    _held: Held | None
    # Either None or a number, list or array, by early stopping.
    best_loss_: Any
    validation_scores_: Any
    best_validation_score_: Any
    _best: Any

    def _set(self, parameters):
        """Keep the constructor's arguments, given as its `locals()`."""
        for name, value in parameters.items():
            if name != "self":
                setattr(self, name, value)

    @abstractmethod
    def _validate_targets(self, y, incremental):
        """y as (labels, targets, number of outputs), see `solvers.Samples`."""

    @abstractmethod
    def _output_activation(self):
        """scikit-learn's name of the output activation."""

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
        made_for = (self.activation, self.out_activation_, self.backend)
        held = getattr(self, "_held", None)
        if held is not None and held.made_for != made_for:
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
        network = Network(
            sizes,
            activation=ACTIVATIONS[self.activation],
            loss=LOSSES[self.out_activation_],
            dtype=dtype,
            seed=0,
            backend=self.backend,
        )
        solvers.report_as_scikit_learn(network)
        return network

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
        for fan_in, fan_out in zip(layer_units, layer_units[1:], strict=False):
            # Glorot and Bengio, AISTATS 2010; scikit-learn's factor for the logistic function.
            bound = np.sqrt((2 if self.activation == "logistic" else 6) / (fan_in + fan_out))
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
    def fit(self, X, y, sample_weight=None):
        """Fit to data X and targets y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or an indicator matrix of several labels; real numbers in regression.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The fitted estimator.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _check_solver(self):
        if self.solver not in STOCHASTIC:
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    def _fit(self, X, y, sample_weight, incremental):
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=not is_classifier(self),
            dtype=(np.float64, np.float32) if self.dtype == "auto" else np.dtype(self.dtype),
            reset=first_pass,
        )
        labels, targets, self.n_outputs_ = self._validate_targets(y, incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
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
        if not isinstance(X, np.ndarray):
            X = X.tocsr()  # whose rows can be taken
        samples = solvers.Samples(X, labels, targets, sample_weight)
        if self.solver == "lbfgs":
            self._fit_lbfgs(network, samples)
        else:
            self._fit_stochastic(network, samples, incremental)
        return self

    def _fit_lbfgs(self, network, samples):
        result = solvers.minimize(
            network,
            samples,
            self.alpha,
            tol=self.tol,
            max_iter=self.max_iter,
            max_fun=self.max_fun,
        )
        self.n_iter_ = _check_optimize_result("lbfgs", result, self.max_iter)
        self.loss_ = float(result.fun)
        _check_finite(network)

    def _fit_stochastic(self, network, samples, incremental):
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._stepping(network)
        self._optimizer.check(network.layout)
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not hasattr(self, "loss_curve_") or self.early_stopping != (self.best_loss_ is None):
            self._begin_records()  # a warm start after another solver, or without early stopping
        score = None
        if self.early_stopping:
            samples, score = self._hold_out(network, samples)
        n = len(samples)
        epochs = solvers.Epochs(
            network, samples, self._optimizer, self._batch_rows(n), self.alpha, self.threads
        )
        order = np.arange(n) if self.shuffle else None
        self.n_iter_ = 0
        try:
            for _ in range(self.max_iter):
                if order is not None:
                    self._random_state.shuffle(order)  # what sklearn.utils.shuffle comes to
                self.loss_ = epochs.run(order)
                self.n_iter_ += 1
                self.t_ += n
                if self._ends(network, score) or incremental:
                    break
                if self.n_iter_ == self.max_iter:
                    warnings.warn(
                        f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) "
                        "reached and the optimization hasn't converged yet.",
                        ConvergenceWarning,
                        stacklevel=2,
                    )
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if self.early_stopping:
            if self._best is not None:
                network._parameters[...] = self._best
            # As in scikit-learn, where these are one with the coefficients from now on, and change
            # with them in a warm start.
            self._best = None
        elif not math.isfinite(self.loss_):
            raise ValueError(NOT_FINITE)
        _check_finite(network)

    def _begin_records(self):
        """Empty curves, and nothing reached so far."""
        self.loss_curve_ = []
        self._no_improvement_count = 0
        self._best = None
        self.validation_scores_ = [] if self.early_stopping else None
        self.best_validation_score_ = -np.inf if self.early_stopping else None
        self.best_loss_ = None if self.early_stopping else np.inf

    def _batch_rows(self, n):
        """The batch size for n samples."""
        if self.batch_size == "auto":
            return min(200, n)
        if self.batch_size > n:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than "
                "sample size. It is going to be clipped",
                stacklevel=2,
            )
        return min(self.batch_size, n)

    def _hold_out(self, network, samples):
        """The samples to train on, and the score of those held out as a function."""
        rows = np.arange(len(samples))
        train, held_out = train_test_split(
            rows,
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=self._strata(samples),
        )
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' "
                "or the size of your dataset."
            )
        validation = samples.take(held_out)
        X, score = validation.X, self._scorer(validation)
        if not validation.sparse:
            X = np.ascontiguousarray(X, network.layout.dtype)
        if self.best_validation_score_ == -np.inf:
            self._best = network._parameters.copy()
        return samples.take(train), lambda: score(solvers.outputs(network, X))

    def _ends(self, network, score):
        """Take note of an epoch; returns whether it is the last one."""
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        diverged = not math.isfinite(self.loss_)
        if score is None:
            self._note_loss()
        else:
            self._note_score(math.nan if diverged else score(), network)
        if diverged:
            if score is not None:
                warnings.warn(
                    f"Training diverged in iteration {self.n_iter_}; the coefficients with the "
                    "best validation score so far are kept.",
                    ConvergenceWarning,
                    stacklevel=3,
                )
            return True
        self._optimizer.end_epoch(self.t_)
        if self._no_improvement_count <= self.n_iter_no_change:
            return False
        what = "Training loss" if score is None else "Validation score"
        ends = self._optimizer.stops(
            f"{what} did not improve more than tol={self.tol:f} "
            f"for {self.n_iter_no_change} consecutive epochs.",
            self.verbose,
        )
        if not ends:
            self._no_improvement_count = 0
        return ends

    def _note_loss(self):
        loss = self.loss_
        worse = loss > self.best_loss_ - self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        self.best_loss_ = min(self.best_loss_, loss)

    def _note_score(self, score, network):
        self.validation_scores_.append(score)
        if self.verbose:
            print(f"Validation score: {score:f}")
        worse = score < self.best_validation_score_ + self.tol
        self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
        if score > self.best_validation_score_:
            self.best_validation_score_ = score
            self._best = network._parameters.copy()

    # Predicting.

    def _outputs(self, X):
        """The network's output for X, which is checked."""
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
        return solvers.outputs(network, X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _check_width(network, X):
    if X.shape[1] != network.layout.sizes[0]:
        raise ValueError(
            f"X has {X.shape[1]} features, but coefs_ are for {network.layout.sizes[0]}"
        )


def _check_finite(network):
    if not network._backend.finite(network._parameters):
        network.layout.clear_padding(network._parameters)
        if not network._backend.finite(network._parameters):
            raise ValueError(NOT_FINITE)

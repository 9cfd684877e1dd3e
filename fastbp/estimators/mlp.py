"""MLPClassifier and MLPRegressor: replacements for scikit-learn's estimators, built on Network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn import neural_network
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import check_is_fitted

from ..basis.checks import NO_LABELS
from ..basis.docstrings import documented
from ..basis.names import keywords
from ..engine.forecasts import forecast
from ..network.uncertainty import UncertaintyMixin, fingerprint
from ..training.scoring import accuracy, r2
from .base import MultilayerPerceptron
from .losses import RegressionLoss
from .parameters import CLASSIFIER_CONSTRAINTS, REGRESSOR_CONSTRAINTS, SECTIONS
from .privates import in_its_name
from .samples import CheckedSamples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import (
        Activation,
        Backend,
        ClassWeight,
        Floats,
        Loss,
        Matrix,
        RandomState,
        Scorer,
        _fit_context,
        available_if,
    )
    from ..rules.regularizers import EMA, SWA
    from ..rules.schedules import Schedule
    from ..training.callbacks import CallbackLike
else:
    from sklearn.base import _fit_context
    from sklearn.utils.metaestimators import available_if


@documented(
    SECTIONS,
    stratified=" (the classes of two in proportion)",
    score="Accuracy",
    rising="the probability of ``classes_[1]``",
    single="two classes",
)
class MLPClassifier(ClassifierMixin, MultilayerPerceptron):
    """A drop-in replacement for `sklearn.neural_network.MLPClassifier`.

    Minimises the log loss with scikit-learn's algorithms on compiled kernels: the same parameters,
    data and random_state give the same numbers, faster. docs/estimators.md lists the differences.

    Parameters
    ----------
    {parameters}
    label_smoothing : float, default=0.0
        Share of each target that is spread evenly over all classes, in [0, 1). If it is not 0,
        `loss_` is the exact log loss.
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes; sample weights are multiplied by them. "balanced" makes all
        classes count the same. With several labels, a list of one dict per label.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; the labels of a multilabel problem.
    {attributes}

    See Also
    --------
    Network : Other losses, activations and optimisers.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from fastbp import MLPClassifier
    >>> X, y = make_classification(n_samples=100, random_state=1)
    >>> classifier = MLPClassifier(random_state=1, max_iter=300).fit(X[:75], y[:75])
    >>> classifier.predict(X[75:80])
    array([1, 0, 1, 0, 0])
    """

    _parameter_constraints: dict = CLASSIFIER_CONSTRAINTS
    loss = "log_loss"  # scikit-learn's classifier has this attribute
    # After fitting.
    classes_: NDArray[Any]

    @keywords
    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] | NDArray[np.integer[Any]] = (100,),
        activation: Activation = "relu",
        *,
        solver: Literal["lbfgs", "sgd", "adam"] = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: RandomState = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: Backend | None = None,
        threads: int | None = None,
        dtype: Literal["auto", "float32", "float64"] = "auto",
        l1: ArrayLike = 0.0,
        dropout: ArrayLike = 0.0,
        clip_norm: float | None = None,
        average: EMA | SWA | None = None,
        frozen: ArrayLike = (),
        schedule: Schedule | str | None = None,
        scoring: Scorer | None = None,
        callbacks: Sequence[CallbackLike] = (),
        progress: bool = False,
        monotonic_cst: ArrayLike | Mapping[str, int] | None = None,
        norm: Literal["layer", "rms"] | None = None,
        residual: bool = False,
        label_smoothing: float = 0.0,
        class_weight: ClassWeight | Sequence[Mapping[Any, float]] | None = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.backend = backend
        self.threads = threads
        self.dtype = dtype
        self.l1 = l1
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.average = average
        self.frozen = frozen
        self.schedule = schedule
        self.scoring = scoring
        self.callbacks = callbacks
        self.progress = progress
        self.monotonic_cst = monotonic_cst
        self.norm = norm
        self.residual = residual
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight

    def _output_activation(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _validate_targets(self, y, incremental, validation=False):
        y = _column(y)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_classes(unique_labels(y), all_of_them=self.warm_start and not validation)
        binarizer = self._label_binarizer
        if not self._is_plain(binarizer):
            return self._of_encoded(np.asarray(binarizer.transform(y)).astype(bool))
        kind, n_classes = binarizer.y_type_, len(binarizer.classes_)
        if kind.startswith("multilabel") or y.ndim != 1:
            targets = binarizer.transform(y)
            return NO_LABELS, targets, targets.shape[1]
        numbers = np.searchsorted(binarizer.classes_, y)
        if kind == "multiclass":
            return numbers, np.empty((0, n_classes)), n_classes
        return NO_LABELS, numbers.reshape(-1, 1), 1

    def _is_plain(self, binarizer):
        """Whether the binarizer is scikit-learn's own, encoding to 0 and 1; we encode faster."""
        limits = getattr(binarizer, "neg_label", 0), getattr(binarizer, "pos_label", 1)
        return type(binarizer) is LabelBinarizer and limits == (0, 1)

    def _of_encoded(self, y):
        labels, targets, n_outputs = super()._of_encoded(y)
        if self._output_activation() != "softmax":
            return labels, targets, n_outputs
        if targets.dtype == bool and (targets.sum(axis=1) == 1).all():
            return targets.argmax(axis=1), np.empty((0, n_outputs)), n_outputs
        if not np.allclose(targets.sum(axis=1), 1):
            raise ValueError(
                "y with several classes must be encoded as rows that sum to 1, but some rows of "
                "the encoded y do not; check what _label_binarizer.transform returns"
            )
        return labels, targets, n_outputs

    def _validate_input(self, X, y, incremental, reset):
        """Check X and y; return X, and y as an indicator matrix."""
        X, y = self._checked(X, y, reset)
        labels, targets, n_outputs = self._validate_targets(y, incremental)
        return X, CheckedSamples(X, labels, targets).encoded(n_outputs).astype(bool)

    def _check_classes(self, classes, all_of_them):
        """Raise ValueError if the classes of y do not match those of earlier calls."""
        if all_of_them:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same "
                    "classes as in the previous call to fit. Previously "
                    f"got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _truth(self, samples):
        if samples.labels.size:
            return self._label_binarizer.classes_[samples.labels]
        return self._label_binarizer.inverse_transform(samples.targets)

    def _weigh(self, y, sample_weight, incremental):
        if self.class_weight is None:
            return sample_weight
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit, which does not see all "
                "of y. Pass a dict, as sklearn.utils.class_weight.compute_class_weight computes it."
            )
        if isinstance(self.class_weight, dict) and y.size == len(y):
            # compute_sample_weight would refuse a batch that lacks some of the classes.
            y = np.ravel(y)
            by_class = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
            weight = by_class[np.searchsorted(self.classes_, y)]
        else:
            weight = compute_sample_weight(self.class_weight, y)
        return weight if sample_weight is None else weight * sample_weight

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    @keywords
    def partial_fit(
        self,
        X: Matrix,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
    ) -> Self:
        """Train for one epoch on the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or an indicator matrix of several labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.
        classes : array of shape (n_classes,), default=None
            All classes that can occur in any call. Required in the first call only.

        Returns
        -------
        self : object
            The trained estimator.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier(hidden_layer_sizes=(8,), random_state=0)
        >>> for rows in (slice(0, None, 2), slice(1, None, 2)):
        ...     classifier = classifier.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        >>> classifier.t_
        150
        """
        if _check_partial_fit_first_call(self, classes):
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if multilabel else classes)
        return self._fit(X, y, sample_weight=sample_weight, incremental=True)

    @keywords
    def predict(self, X: Matrix) -> NDArray[Any]:
        """Predict the classes of X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The classes, or an indicator matrix if there are several labels.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> classifier.predict(X[[0, 50, 100]])
        array([0, 1, 2])
        """
        return self._predict(X)

    def _predict(self, X, check_input=True):
        h, binarizer = self._forward_pass_fast(X, check_input=check_input), self._label_binarizer
        if self._is_plain(binarizer) and h.ndim == 2:
            classes = binarizer.classes_
            if h.shape[1] > 1 and binarizer.y_type_ == "multiclass":
                return classes[h.argmax(axis=1)]
            if h.shape[1] == 1 and len(classes) == 2:
                return classes[(h[:, 0] > 0.5).astype(np.intp)]
        return binarizer.inverse_transform(h.ravel() if self.n_outputs_ == 1 else h)

    @keywords
    def predict_proba(self, X: Matrix) -> Floats:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. With several labels, each label's own probability.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> classifier.predict_proba(X[:4]).sum(axis=1).round(6)
        array([1., 1., 1., 1.])
        """
        h = self._forward_pass_fast(X)
        if self.n_outputs_ == 1:
            h = h.ravel()
        return np.vstack([1 - h, h]).T if h.ndim == 1 else h

    def _derivatives_of_predictions(self, of_outputs):
        if of_outputs.shape[1] == self.n_outputs_ == 1:  # of 1 - h, and of h
            return np.concatenate([-of_outputs, of_outputs], axis=1)
        return of_outputs

    def predict_log_proba(self, X: Matrix) -> Floats:
        """Predict the logarithms of the classes' probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        log_y_prob : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01, random_state=0)
        >>> classifier = classifier.fit(X, y)
        >>> classifier.predict_log_proba(X[:4]).shape
        (4, 3)
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def _strata(self, samples):
        if self.n_outputs_ > 1:
            return None
        # scikit-learn's error messages name the two classes so.
        return np.where(samples.targets.ravel() > 0, "True", "False")

    def _score(self, X, y, sample_weight=None):
        return super()._score_with_function(
            X, y, sample_weight=sample_weight, score_function=accuracy
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented(SECTIONS, stratified="", score="R²", rising="the prediction", single="one output")
class MLPRegressor(RegressorMixin, UncertaintyMixin, RegressionLoss, MultilayerPerceptron):
    """A drop-in replacement for `sklearn.neural_network.MLPRegressor`.

    Minimises the squared error or the Poisson deviance with scikit-learn's algorithms on compiled
    kernels: the same parameters, data and random_state give the same numbers, faster.
    docs/estimators.md lists the differences.

    Parameters
    ----------
    loss : {{"squared_error", "poisson", "absolute_error", "huber", "quantile", "gaussian", \
            "student_t", "laplace", "negative_binomial", "mixture_density"}} or callable, \
            default="squared_error"
        "squared_error" is half the squared error, averaged over the outputs. "poisson" is half
        the Poisson deviance, summed over the outputs; it requires y ≥ 0, and predictions are
        exp of the last layer. The other losses are `Network`'s, summed over the outputs, and
        not in scikit-learn; a callable has the form that `Network` accepts. With those from
        "gaussian" on, and with several quantiles, y has one column, the last layer has the
        parameters of its distribution, and `predict` returns the mean (of "student_t" the location,
        of quantiles the median).
    {parameters}
    loss_parameter : float, sequence of float or None, default=None
        δ > 0 of "huber" (default 1); q in (0, 1) of "quantile" (default 0.5, the median), or
        several q in rising order; ν > 0 of "student_t" (default 5); or the number of components of
        "mixture_density" (default 5).
    normalize_y : bool, default=False
        Train on y with mean 0 and standard deviation 1 in each column, as scikit-learn's
        GaussianProcessRegressor has it. Predictions, `coefs_` and `intercepts_` are in the units of
        y all the same; losses, ``tol`` and penalties are those of the standardised y. So is the
        network that ``callbacks`` get. Mean and deviation are weighted by the sample weights.
        `partial_fit` and ``warm_start`` keep those of the first call. Not for counts ("poisson",
        "negative_binomial"), nor for several quantiles.

    Attributes
    ----------
    {attributes}

    See Also
    --------
    Network : Other losses, activations and optimisers.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from fastbp import MLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=20, random_state=1)
    >>> regressor = MLPRegressor(random_state=1, max_iter=2000, tol=0.1).fit(X[:150], y[:150])
    >>> regressor.score(X[150:], y[150:]) > 0.9
    True
    """

    _parameter_constraints: dict = REGRESSOR_CONSTRAINTS

    @keywords
    def __init__(
        self,
        loss: Loss = "squared_error",
        hidden_layer_sizes: int | Sequence[int] | NDArray[np.integer[Any]] = (100,),
        activation: Activation = "relu",
        *,
        solver: Literal["lbfgs", "sgd", "adam"] = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: RandomState = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        backend: Backend | None = None,
        threads: int | None = None,
        dtype: Literal["auto", "float32", "float64"] = "auto",
        l1: ArrayLike = 0.0,
        dropout: ArrayLike = 0.0,
        clip_norm: float | None = None,
        average: EMA | SWA | None = None,
        frozen: ArrayLike = (),
        schedule: Schedule | str | None = None,
        scoring: Scorer | None = None,
        callbacks: Sequence[CallbackLike] = (),
        progress: bool = False,
        monotonic_cst: ArrayLike | Mapping[str, int] | None = None,
        norm: Literal["layer", "rms"] | None = None,
        residual: bool = False,
        loss_parameter: float | Sequence[float] | None = None,
        normalize_y: bool = False,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.backend = backend
        self.threads = threads
        self.dtype = dtype
        self.l1 = l1
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.average = average
        self.frozen = frozen
        self.schedule = schedule
        self.scoring = scoring
        self.callbacks = callbacks
        self.progress = progress
        self.monotonic_cst = monotonic_cst
        self.norm = norm
        self.residual = residual
        self.loss_parameter = loss_parameter
        self.normalize_y = normalize_y

    def _is_poisson(self):
        return isinstance(self.loss, str) and self.loss == "poisson"

    def _output_activation(self):
        return "exp" if self._is_poisson() else "identity"

    def _validate_targets(self, y, incremental, validation=False):
        targets = _column(y).reshape(len(y), -1)
        if self._is_poisson() and targets.min() < 0:
            raise ValueError("y must be at least 0 for loss='poisson', but has negative values")
        if (distribution := self._distribution()) is not None:
            distribution.check_targets(targets)
        return self._of_encoded(targets)

    def _validate_input(self, X, y, incremental, reset):
        """Check X and y; return both."""
        X, y = self._checked(X, y, reset)
        return X, _column(y)

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    @keywords
    def partial_fit(self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one epoch on the given data.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The values.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples.

        Returns
        -------
        self : object
            The trained estimator.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import MLPRegressor
        >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
        >>> regressor = MLPRegressor(hidden_layer_sizes=(8,), random_state=0)
        >>> for _ in range(3):
        ...     regressor = regressor.partial_fit(X, X.ravel() ** 2)
        >>> regressor.t_
        120
        """
        return self._fit(X, y, sample_weight=sample_weight, incremental=True)

    @keywords
    def predict(self, X: Matrix) -> Floats:
        """Predict the values for X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            The values.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import MLPRegressor
        >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
        >>> regressor = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
        >>> square = regressor.fit(X, X.ravel() ** 2).predict([[0.8]]).item()
        >>> 0.6 < square < 0.7
        True
        """
        return self._predict(X)

    def _predict(self, X, check_input=True):
        h = self._forward_pass_fast(X, check_input=check_input)
        if (distribution := self._network()._engine.distribution) is not None:
            return distribution.center(h).astype(h.dtype)
        return h.ravel() if h.shape[1] == 1 else h

    def _forecast(self, X):
        h = self._forward_pass_fast(X)
        return forecast(self._network()._engine, h)

    def _known(self, X, y):
        check_is_fitted(self)
        X, y = self._checked(X, y, reset=False)
        return X, y

    def _fingerprint(self):
        return fingerprint(self._network()._engine, self.out_activation_)

    def _score(self, X, y, sample_weight=None):
        return super()._score_with_function(X, y, sample_weight=sample_weight, score_function=r2)

    def _strata(self, samples):
        return None


# isinstance and functools.singledispatch treat them as scikit-learn's classes.
neural_network.MLPClassifier.register(MLPClassifier)
neural_network.MLPRegressor.register(MLPRegressor)


def _column(y):
    """Return y, as a vector if it is a matrix of one column."""
    return in_its_name(column_or_1d, y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y

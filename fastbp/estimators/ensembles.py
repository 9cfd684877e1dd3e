"""Ensembles: the same network trained with different seeds and training samples."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    MetaEstimatorMixin,
    RegressorMixin,
    clone,
    is_classifier,
)
from sklearn.compose import TransformedTargetRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state, get_tags
from sklearn.utils._param_validation import HasMethods, Interval
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.parallel import Parallel, delayed
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ..basis import checks, progress, tables, teams
from ..basis.docstrings import documented
from ..basis.names import keywords
from ..basis.sparse import check_undamaged
from ..engine.conformal import check_quantiles
from ..engine.forecasts import Points, mixture
from ..network.uncertainty import UncertaintyMixin
from .attempt import Attempt
from .derivatives import checked_baseline, input_jacobian, integrated_gradients
from .mlp import MLPClassifier, MLPRegressor
from .network import by_feature

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats, Matrix, RandomState, _fit_context
else:
    from sklearn.base import _fit_context

_PARAMETERS = """\
    estimator : estimator, default=None
        The estimator to clone for each member, each with its own random_state; {default} if
        None. It may be a pipeline.
    n_estimators : int, default=10
        The number of members.
    bootstrap : bool, default=False
        Fit each member to samples drawn with replacement (bagging). If False, the members
        differ in their initial weights and in the order of samples (a deep ensemble), and in the
        samples only if ``max_samples`` is less than all.
    max_samples : int or float, default=1.0
        Number of samples to draw for each member, or their share of all samples.
    oob_score : bool, default=False
        Predict each sample with the members that were not fitted to it, and score these
        predictions. Requires ``bootstrap=True``, or ``max_samples`` less than all.
    n_jobs : int, default=-1
        Number of members to fit at a time; -1 for one per core. The result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Determines the members' seeds and samples.
    progress : bool, default=False
        Show a progress bar over the members."""

_ATTRIBUTES = """\
    estimators_ : list of estimator
        The members.
    estimators_samples_ : list of ndarray
        The indices of the samples that each member was fitted to.
    oob_score_ : float
        {score} of predictions by members that had not seen the sample; with ``oob_score=True``.
    n_features_in_ : int
        Number of features of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, if X has names that are all strings."""

_NOTES = """\
    Members are fitted in threads. Inside a ``joblib.parallel_config`` that names a backend, they
    are fitted on that backend, for example on the workers of a Dask cluster.

    The spread of the members' predictions measures how far they disagree. It grows where
    training samples were few. It does not measure the noise of y.

    References
    ----------
    Breiman, "Bagging Predictors", Machine Learning 24, 1996. Lakshminarayanan, Pritzel and
    Blundell, "Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles",
    NeurIPS 2017."""

_SECTIONS = {"parameters": _PARAMETERS, "attributes": _ATTRIBUTES, "notes": _NOTES}


class Ensemble(MetaEstimatorMixin, BaseEstimator):
    """Base class of both ensembles."""

    _parameter_constraints: dict = {
        "estimator": [HasMethods(["fit", "predict"]), None],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "bootstrap": ["boolean"],
        "max_samples": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, 0, 1, closed="right"),
        ],
        "oob_score": ["boolean"],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "progress": ["boolean"],
    }
    _default: type
    # After fitting.
    estimators_: list[Any]
    oob_score_: float
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    @keywords
    def __init__(
        self,
        estimator: Any = None,
        n_estimators: int = 10,
        *,
        bootstrap: bool = False,
        max_samples: float = 1.0,
        oob_score: bool = False,
        n_jobs: int | None = -1,
        random_state: RandomState = None,
        progress: bool = False,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.bootstrap = bootstrap
        self.max_samples = max_samples
        self.oob_score = oob_score
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.progress = progress

    @abstractmethod
    def _outputs(self, member, X):
        """Return a member's output for X, in the form that the ensemble averages."""

    @abstractmethod
    def _note_oob(self, y, outputs):
        """Store the out-of-bag outputs and their score."""

    @_fit_context(prefer_skip_nested_validation=False)  # members check their own parameters
    @keywords
    def fit(self, X: Matrix, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels or values, as the members' `fit` accepts them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the samples. With ``bootstrap=True``, samples are drawn in proportion to
            them; otherwise they are passed on to the members.

        Returns
        -------
        self : object
            The fitted ensemble.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> len(ensemble.estimators_), ensemble.score(X, y) > 0.95
        (3, True)
        """
        with Attempt(self):
            return self._fit(X, y, sample_weight)

    def _fit(self, X, y, sample_weight):
        check_undamaged(X)
        tables.no_missing("y", y)
        with checks.locating(X=X, y=y, sample_weight=sample_weight):
            samples, targets = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr"],
                dtype=(np.float64, np.float32),
                multi_output=True,
                y_numeric=not is_classifier(self),
            )
            weight = None
            if sample_weight is not None:
                weight = _check_sample_weight(sample_weight, samples, ensure_non_negative=True)
        if not is_classifier(self):
            checks.no_dates("y", targets)
        self._prepare(targets)
        n = samples.shape[0]
        drawn = self.max_samples
        if not isinstance(drawn, Integral):
            drawn = max(1, int(drawn * n))
        if drawn > n and not self.bootstrap:
            raise ValueError(
                f"max_samples={drawn} is more than the {n} samples of X; draw at most {n}, or "
                "draw with replacement: bootstrap=True"
            )
        if self.oob_score and drawn == n and not self.bootstrap:
            raise ValueError(
                "oob_score=True requires samples that a member has not seen: set bootstrap=True, "
                "or max_samples to less than all samples"
            )
        p = None
        if self.bootstrap and weight is not None:
            p, weight = weight / weight.sum(), None
        self._drawing = n, drawn, self.bootstrap, p
        self._seeds = check_random_state(self.random_state).randint(2**31, size=self.n_estimators)
        first = self._default() if self.estimator is None else self.estimator
        if isinstance(getattr(first, "monotonic_cst", None), dict):  # members get X without names
            names = getattr(self, "feature_names_in_", None)
            first = clone(first).set_params(monotonic_cst=by_feature(first.monotonic_cst, names))
        calls = (
            delayed(_fit_member)(clone(first), samples, targets, weight, seed, self._drawing)
            for seed in self._seeds
        )
        members = []
        with (
            teams.abandoning(),
            progress.bar(self.progress, desc="members", total=self.n_estimators) as bar,
        ):
            for member in self._parallel()(calls):
                members.append(member)
                bar.update()
        self.estimators_ = members
        self.__dict__.pop("_calibration", None)  # that of other members
        if self.oob_score:
            self._note_oob(targets, self._oob_outputs(samples))
        return self

    def _prepare(self, y):
        """Store what prediction needs to know about y."""

    def _parallel(self):
        return Parallel(n_jobs=self.n_jobs, prefer="threads", return_as="generator")

    @property
    def estimators_samples_(self) -> list[NDArray[np.int64]]:
        """The indices of the samples that each member was fitted to.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, bootstrap=True, random_state=0).fit(X, y)
        >>> [len(rows) for rows in ensemble.estimators_samples_]
        [150, 150, 150]
        """
        return [_rows(seed, self._drawing) for seed in self._seeds]

    def _of_members(self, X, compute=None):
        """Return an iterator over the members' outputs for X, or over ``compute(member, X)``."""
        check_is_fitted(self)
        check_undamaged(X)
        with checks.locating(X=X):
            X = validate_data(
                self, X, accept_sparse=["csr"], dtype=(np.float64, np.float32), reset=False
            )
        compute = compute or self._outputs
        return self._parallel()(delayed(compute)(member, X) for member in self.estimators_)

    def _mean(self, X, compute=None):
        total = 0.0
        for outputs in self._of_members(X, compute):
            total = total + outputs
        return total / len(self.estimators_)

    def _derivatives(self, member, X):
        """Return a member's derivatives by the features, for the outputs of the ensemble."""
        return input_jacobian(member, X)

    def input_jacobian(self, X: Matrix) -> Floats:
        """Compute the derivatives of the ensemble's predictions by the features.

        They are the mean of the members' derivatives.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        derivatives : ndarray of shape (n_samples, n_outputs, n_features)
            The entry [r, k, j] is the derivative of row r's output k by its feature j: of `predict`
            for a regressor, of ``predict_proba`` for a classifier, whose outputs are the classes.

        Raises
        ------
        TypeError
            If the derivatives of the members are unknown, see `fastbp.input_jacobian`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> ensemble.input_jacobian(X[:5]).shape  # samples, outputs, features
        (5, 3, 4)
        """
        return self._mean(X, self._derivatives)

    def _contributions(self, member, X, baseline):
        """Return the contributions of the features to a member's part in the ensemble's outputs."""
        return integrated_gradients(member, X, baseline)

    def integrated_gradients(
        self, X: Matrix, baseline: ArrayLike | None = None
    ) -> NDArray[np.float64]:
        """Compute how much each feature contributes to a prediction's difference from a baseline's.

        The contributions are the mean of the members'.

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
            regressor, of ``predict_proba`` for a classifier, whose outputs are the classes.

        Raises
        ------
        TypeError
            If those of the members are unknown, see `fastbp.integrated_gradients`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> ensemble.integrated_gradients(X[:5], X.mean(axis=0)).shape  # samples, outputs, features
        (5, 3, 4)
        """
        check_is_fitted(self)
        array = checked_baseline(self, X, baseline)
        return self._mean(X, lambda member, X: self._contributions(member, X, array))

    def _oob_outputs(self, X):
        """Return each sample's mean output over members not fitted to it; NaN without any."""
        total: np.ndarray | None = None
        count = np.zeros(X.shape[0])
        for member, rows in zip(self.estimators_, self.estimators_samples_, strict=True):
            unseen = np.ones(X.shape[0], bool)
            unseen[rows] = False
            if unseen.any():
                outputs = self._outputs(member, X[unseen])
                if total is None:
                    total = np.zeros((X.shape[0], *outputs.shape[1:]))
                total[unseen] += outputs
                count += unseen
        if total is None:
            raise ValueError(
                "oob_score=True, but all members have seen all samples, so no sample is left to "
                "score; increase n_estimators, or decrease max_samples"
            )
        if not count.all():
            warnings.warn(
                f"{np.count_nonzero(count == 0)} samples have been seen by all members, so the "
                "out-of-bag score leaves them out; increase n_estimators to include them",
                stacklevel=3,
            )
        with np.errstate(invalid="ignore"):
            return total / count.reshape(-1, *[1] * (total.ndim - 1))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        first = get_tags(self._default() if self.estimator is None else self.estimator)
        tags.input_tags.sparse = first.input_tags.sparse
        tags.target_tags.multi_output = first.target_tags.multi_output
        if first.classifier_tags is not None and tags.classifier_tags is not None:
            tags.classifier_tags.multi_label = first.classifier_tags.multi_label
        return tags


def _rows(seed, drawing):
    """Return the indices of the samples that one member is fitted to."""
    n, drawn, bootstrap, p = drawing
    if drawn == n and not bootstrap:
        return np.arange(n)
    return np.random.default_rng(seed).choice(n, drawn, replace=bootstrap, p=p)


def random_states(estimator):
    """Return the names of all random_state parameters of an estimator and its parts."""
    names = sorted(estimator.get_params())
    return [name for name in names if name.split("__")[-1] == "random_state"]


def _fit_member(member, X, y, sample_weight, seed, drawing):
    random = check_random_state(int(seed))
    member.set_params(**{name: random.randint(2**31) for name in random_states(member)})
    n, drawn, bootstrap, _ = drawing
    if bootstrap or drawn < n:
        rows = _rows(seed, drawing)
        X, y = X[rows], y[rows]
        sample_weight = None if sample_weight is None else sample_weight[rows]
    weight = {} if sample_weight is None else {"sample_weight": sample_weight}
    return member.fit(X, y, **weight)


def _last_step(member):
    """Return the estimator at the end of a pipeline, or the member itself."""
    return member.steps[-1][1] if isinstance(member, Pipeline) else member


def _forecast_of(member, X):
    """Return a member's forecast for X; members that are not fastbp's predict single values."""
    last = _last_step(member)
    if isinstance(last, TransformedTargetRegressor):
        inner = _last_step(last.regressor_)
        if isinstance(inner, MLPRegressor) and inner._network()._engine.distribution is not None:
            raise TypeError(
                f"the members predict distributions (loss={inner.loss!r}) of a target that a "
                "TransformedTargetRegressor transforms, and what they are of the target itself is "
                "unknown; scale y before fit, and let the members be pipelines without it"
            )
    if not isinstance(last, MLPRegressor):
        return Points(np.reshape(member.predict(X), (X.shape[0], -1)))
    return last._forecast(member[:-1].transform(X) if len(getattr(member, "steps", ())) > 1 else X)


@documented(_SECTIONS, default="`MLPClassifier()`", score="The accuracy")
class MLPEnsembleClassifier(ClassifierMixin, Ensemble):
    """A classifier that averages the probabilities of many networks.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; the labels of a multilabel problem.
    oob_decision_function_ : ndarray of shape (n_samples, n_classes)
        Each sample's mean probabilities over the members not fitted to it; NaN if all members
        were fitted to it. With ``oob_score=True``.
    {attributes}

    See Also
    --------
    fit_many : Trains many networks at once, which may differ in all parameters.

    Notes
    -----
    {notes}

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> network = MLPClassifier((8,), solver="lbfgs", alpha=1.0, max_iter=1000)
    >>> bag = MLPEnsembleClassifier(network, 20, bootstrap=True, oob_score=True, random_state=0)
    >>> bag.fit(X, y).oob_score_ > 0.9
    True
    """

    _parameter_constraints: dict = {
        **Ensemble._parameter_constraints,
        "estimator": [HasMethods(["fit", "predict_proba"]), None],
    }
    _default = MLPClassifier
    # After fitting.
    classes_: NDArray[Any]
    oob_decision_function_: Floats

    def _prepare(self, y):
        check_classification_targets(y)
        self._multilabel = type_of_target(y).startswith("multilabel")
        self.classes_ = np.arange(y.shape[1]) if self._multilabel else np.unique(y)

    def _outputs(self, member, X):
        return self._by_class(member, member.predict_proba(X), 1.0)

    def _derivatives(self, member, X):
        return self._by_class(member, super()._derivatives(member, X), 0.0)

    def _contributions(self, member, X, baseline):
        return self._by_class(member, super()._contributions(member, X, baseline), 0.0)

    def _by_class(self, member, outputs, of_one_class):
        """Return a member's outputs for all classes; a bootstrap sample may lack some of them.

        A member that has seen a single class has outputs for two.
        """
        if self._multilabel or len(member.classes_) == len(self.classes_) > 1:
            return outputs
        full = np.zeros((len(outputs), len(self.classes_), *outputs.shape[2:]), outputs.dtype)
        known = np.searchsorted(self.classes_, member.classes_)
        full[:, known] = outputs if len(known) > 1 else of_one_class
        return full

    def _classes_of(self, probabilities):
        if self._multilabel:
            return (probabilities > 0.5).astype(int)
        return self.classes_[probabilities.argmax(axis=1)]

    def _note_oob(self, y, outputs):
        self.oob_decision_function_ = outputs
        known = ~np.isnan(outputs).any(axis=1)
        self.oob_score_ = accuracy_score(y[known], self._classes_of(outputs[known]))

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
            The classes with the largest mean probability, or an indicator matrix if there are
            several labels.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> ensemble.predict(X[[0, 50, 100]])
        array([0, 1, 2])
        """
        return self._classes_of(self._mean(X))

    @keywords
    def predict_proba(self, X: Matrix) -> Floats:
        """Predict the probabilities of the classes, averaged over the members.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        y_prob : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> ensemble.predict_proba(X[:4]).sum(axis=1).round(6)
        array([1., 1., 1., 1.])
        """
        return self._mean(X)

    def predict_std(self, X: Matrix) -> Floats:
        """Compute the standard deviation of the members' predictions: how far they disagree.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.

        Returns
        -------
        std : ndarray
            Of each class's probability, of shape (n_samples, n_classes).

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> ensemble.predict_std(X[:5]).shape  # samples, classes
        (5, 3)
        """
        return np.std(list(self._of_members(X)), axis=0)

    def predict_quantiles(self, X: Matrix, quantiles: ArrayLike = (0.05, 0.5, 0.95)) -> Floats:
        """Compute quantiles of the members' predictions, interpolated linearly.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The samples.
        quantiles : array-like of float, default=(0.05, 0.5, 0.95)
            The quantiles to compute, in [0, 1].

        Returns
        -------
        values : ndarray of shape (n_samples, n_quantiles, n_classes)
            Of each class's probability.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPEnsembleClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = MLPClassifier((8,), solver="lbfgs", alpha=1.0, tol=0.01)
        >>> ensemble = MLPEnsembleClassifier(member, 3, random_state=0).fit(X, y)
        >>> ensemble.predict_quantiles(X[:5], [0.1, 0.9]).shape  # samples, quantiles, classes
        (5, 2, 3)
        """
        q = check_quantiles(quantiles)
        return np.moveaxis(np.quantile(list(self._of_members(X)), q, axis=0), 0, 1)


@documented(_SECTIONS, default="`MLPRegressor()`", score="R²")
class MLPEnsembleRegressor(RegressorMixin, UncertaintyMixin, Ensemble):
    """A regressor that averages the values of many networks.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    oob_prediction_ : ndarray of shape (n_samples,) or (n_samples, n_outputs)
        Each sample's mean values over the members not fitted to it; NaN if all members were
        fitted to it. With ``oob_score=True``.
    {attributes}

    See Also
    --------
    fit_many : Trains many networks at once, which may differ in all parameters.

    Notes
    -----
    {notes}

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import MLPEnsembleRegressor, MLPRegressor
    >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
    >>> network = MLPRegressor(hidden_layer_sizes=(16,), activation="tanh", solver="lbfgs")
    >>> ensemble = MLPEnsembleRegressor(network, random_state=0).fit(X, np.sin(3 * X[:, 0]))
    >>> inside, outside = ensemble.predict_std([[0.0], [3.0]])
    >>> inside < outside
    np.True_
    """

    _default = MLPRegressor
    # After fitting.
    oob_prediction_: Floats

    def _outputs(self, member, X):
        return member.predict(X)

    def _forecast(self, X):
        return mixture([*self._of_members(X, _forecast_of)])

    def _known(self, X, y):
        check_is_fitted(self)
        check_undamaged(X)
        with checks.locating(X=X, y=y):
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr"],
                dtype=(np.float64, np.float32),
                multi_output=True,
                y_numeric=True,
                reset=False,
            )
        checks.no_dates("y", y)
        return X, y

    def _fingerprint(self):
        lasts = [_last_step(member) for member in self.estimators_]
        lasts = [
            _last_step(last.regressor_) if isinstance(last, TransformedTargetRegressor) else last
            for last in lasts
        ]
        return b"".join(last._fingerprint() for last in lasts if isinstance(last, MLPRegressor))

    def _note_oob(self, y, outputs):
        self.oob_prediction_ = outputs
        known = ~np.isnan(outputs.reshape(len(outputs), -1)).any(axis=1)
        self.oob_score_ = r2_score(y[known], outputs[known])

    @keywords
    def predict(self, X: Matrix) -> Floats:
        """Predict the values for X, averaged over the members.

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
        >>> from fastbp import MLPEnsembleRegressor, MLPRegressor
        >>> X = np.linspace(-1, 1, 40).reshape(-1, 1)
        >>> member = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", max_iter=2000)
        >>> ensemble = MLPEnsembleRegressor(member, 3, random_state=0).fit(X, X.ravel() ** 2)
        >>> 0.6 < ensemble.predict([[0.8]]).item() < 0.7
        True
        """
        return self._mean(X)

"""TabularClassifier and TabularRegressor, which take tables of mixed columns as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from ..basis import checks
from ..basis.docstrings import documented
from ..basis.names import keywords
from ..engine.conformal import Calibration
from ..engine.forecasts import Points
from ..estimators.targets import near_one
from ..network.uncertainty import UncertaintyMixin
from . import selection
from .base import Tabular, Targets

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..basis.annotations import ClassWeight, Floats, RandomState


_SECTIONS = {
    "parameters": """\
    time_budget : float, optional
        Seconds after which no further recipe is tried. The default takes as many as there are, so
        the same random_state gives the same model on every machine.
    n_jobs : int, optional
        How many networks to train at once; by default, and with -1, one for each free core. The
        result does not depend on it.
    random_state : int, RandomState instance or None, default=None
        Determines the folds, the initial weights and the order of training.
    backend : {{"auto", "cython", "numba", "numpy"}} or None, default=None
        As for `Network`.
    progress : bool, default=False
        Show a progress bar over the recipes.""",
    "attributes": """\
    feature_importances_ : ndarray of shape (n_features,)
        How much that loss grows if the values of a column are permuted among held-out rows; the
        mean over the folds. 0 for columns that were left out.
    feature_importances_std_ : ndarray of shape (n_features,)
        Their standard deviation over the folds.
    n_features_in_ : int
        Number of columns of X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if all are strings.""",
    "notes": """\
    1. The columns are prepared. Numbers are scaled by their quartiles and clipped smoothly; missing
       ones become the median, with an input that says so. Categories become an input for each of
       the 64 most frequent values; new ones at prediction count for nothing. A category of more
       than 30 values also becomes the mean of the targets for its value, over the rows that a
       network is trained on (Micci-Barreca, SIGKDD Explorations 2001). Dates become year, month,
       weekday, hour and elapsed days.
    2. A first recipe is trained: one network on the rows of each fold's complement. Columns whose
       permutation does not make the loss of held-out rows larger, by two standard errors, are left
       out, and it is trained again, as long as that makes the loss clearly smaller. Networks are
       otherwise misled by columns that say nothing (Grinsztajn et al., NeurIPS 2022).
    3. Four more recipes are trained on the columns that are left: wider and deeper networks with
       dropout, and two for which numbers are encoded as piecewise linear functions (Gorishniy et
       al., NeurIPS 2022).
    4. A greedy selection by the loss of held-out rows decides how much each recipe counts (Caruana
       et al., ICML 2004).""",
}


@documented(_SECTIONS)
class TabularClassifier(ClassifierMixin, Tabular):
    """A classifier for tables of numbers, categories and dates, which prepares the columns itself.

    Several recipes for small networks are trained, each on eight folds of the rows. The prediction
    is the weighted mean of the networks' probabilities. A table may be a DataFrame of pandas or
    polars, or an array; values may be missing.

    Parameters
    ----------
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; sample weights are multiplied by them.
    {parameters}

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes; the labels of a multilabel problem.
    leaderboard_ : list of dict
        For each recipe its name, how many columns its networks see, the loss of the rows that are
        held out from each network (log loss), and its weight in the model.
    {attributes}

    See Also
    --------
    TabularRegressor : The same for numbers.
    MLPClassifier : A single network, like scikit-learn's.

    Notes
    -----
    {notes}

    docs/tabular.md compares the accuracy with that of boosted trees, and says where they win.

    Examples
    --------
    >>> import pandas as pd
    >>> from fastbp import TabularClassifier
    >>> table = pd.DataFrame({{"age": [25, 40, None, 33] * 25, "city": ["Ulm", "Bonn"] * 50}})
    >>> bought = table["city"] == "Ulm"
    >>> classifier = TabularClassifier(random_state=0).fit(table, bought)
    >>> classifier.predict(table[:2])
    array([ True, False])
    """

    _parameter_constraints: dict = {
        **Tabular._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    classes_: NDArray[Any]

    @keywords
    def __init__(
        self,
        *,
        class_weight: ClassWeight | None = None,
        time_budget: float | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        backend: str | None = None,
        progress: bool = False,
    ) -> None:
        self.class_weight = class_weight
        self.time_budget = time_budget
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.backend = backend
        self.progress = progress

    def _targets(self, y):
        check_classification_targets(y)
        self._multilabel = type_of_target(y) == "multilabel-indicator"
        if self._multilabel:
            y = check_array(y)
            self.classes_ = np.arange(y.shape[1])
            measure = selection.binary_log_loss
            return Targets(y.astype(np.float32), "log_loss", y.shape[1], measure, None)
        self.classes_, labels = np.unique(column_or_1d(y, warn=True), return_inverse=True)
        if len(self.classes_) < 2:
            (only,) = self.classes_.tolist()
            raise ValueError(f"y has only one class, {only!r}; a classifier needs at least two")
        k = len(self.classes_)
        return Targets(labels, "cross_entropy", k, selection.log_loss, labels)

    def _weigh(self, y, sample_weight):
        if self.class_weight is None:
            return sample_weight
        weight = compute_sample_weight(self.class_weight, y)
        return weight if sample_weight is None else weight * sample_weight

    @keywords
    def predict_proba(self, X: Any) -> Floats:
        """Predict the probabilities of the classes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of the table that the classifier was fitted to.

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
            In the order of `classes_`; for a multilabel problem of each label.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import TabularClassifier
        >>> X = np.arange(40.0).reshape(-1, 1)
        >>> classifier = TabularClassifier(random_state=0).fit(X, X[:, 0] > 20)
        >>> classifier.predict_proba([[0.0], [39.0]]).round()
        array([[1., 0.],
               [0., 1.]])
        """
        return self._probabilities(self._outputs(X))

    def _predicted(self, numbers, codes):
        return self._probabilities(self._mean_output(numbers, codes))

    def _probabilities(self, p):
        return p if self._multilabel else p / p.sum(axis=1, keepdims=True)

    @keywords
    def predict(self, X: Any) -> NDArray[Any]:
        """Predict the classes.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of the table that the classifier was fitted to.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_classes)
            The most probable classes; for a multilabel problem an indicator matrix.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import TabularClassifier
        >>> X = np.arange(40.0).reshape(-1, 1)
        >>> names = np.where(X[:, 0] > 20, "large", "small")
        >>> TabularClassifier(random_state=0).fit(X, names).predict([[0.0], [39.0]])
        array(['small', 'large'], dtype='<U5')
        """
        p = self.predict_proba(X)
        if self._multilabel:
            return (p > 0.5).astype(int)
        return self.classes_[p.argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@documented(_SECTIONS)
class TabularRegressor(RegressorMixin, UncertaintyMixin, Tabular):
    """A regressor for tables of numbers, categories and dates, which prepares the columns itself.

    Several recipes for small networks are trained, each on eight folds of the rows. The prediction
    is the weighted mean of the networks' values. A table may be a DataFrame of pandas or polars,
    or an array; values may be missing.

    Parameters
    ----------
    {parameters}

    Attributes
    ----------
    leaderboard_ : list of dict
        For each recipe its name, how many columns its networks see, the loss of the rows that are
        held out from each network (squared error, in units of the variance of y), and its
        weight in the model.
    {attributes}

    See Also
    --------
    TabularClassifier : The same for classes.
    MLPRegressor : A single network, like scikit-learn's.

    Notes
    -----
    {notes}
    5. The errors of the held-out rows calibrate the intervals: `predict_interval` needs no
       `calibrate`. The coverage is then only about the one asked for, since recipes and columns
       were chosen on these rows, and the model averages networks that have seen most of them.
       `calibrate` with other rows makes it exact.

    docs/tabular.md compares the accuracy with that of boosted trees, and says where they win.

    Examples
    --------
    >>> import numpy as np
    >>> from fastbp import TabularRegressor
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 3))
    >>> regressor = TabularRegressor(random_state=0).fit(X, X[:, 0] ** 2)
    >>> regressor.feature_importances_.argmax()
    np.int64(0)
    """

    @keywords
    def __init__(
        self,
        *,
        time_budget: float | None = None,
        n_jobs: int | None = None,
        random_state: RandomState = None,
        backend: str | None = None,
        progress: bool = False,
    ) -> None:
        self.time_budget = time_budget
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.backend = backend
        self.progress = progress

    def _targets(self, y):
        y = _numbers(y)
        self._column = y.ndim == 1
        y, exponent = near_one(y.reshape(len(y), -1))
        mean, spread = y.mean(axis=0), y.std(axis=0)
        self._mean, self._spread = np.ldexp(mean, exponent), np.ldexp(spread, exponent)
        y = ((y - mean) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
        return Targets(y, "squared_error", y.shape[1], selection.squared_error, None)

    def _weigh(self, y, sample_weight):
        return sample_weight

    @keywords
    def predict(self, X: Any) -> Floats:
        """Predict the values.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of the table that the regressor was fitted to.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import TabularRegressor
        >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
        >>> TabularRegressor(random_state=0).fit(X, 2 * X[:, 0]).predict([[0.5]]).round(1)
        array([1.])
        """
        return self._shaped(self._forecast(X).center)

    def predict_std(self, X: Any) -> Floats:
        """Return the root mean square of held-out rows' errors, which is the same for every row.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            With the columns of the table that the regressor was fitted to.

        Returns
        -------
        std : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Of the rows that were held out from each network, or of those of `calibrate`.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import TabularRegressor
        >>> X = np.linspace(-1, 1, 200).reshape(-1, 1)
        >>> y = X[:, 0] + 0.1 * np.random.default_rng(0).standard_normal(200)
        >>> TabularRegressor(random_state=0).fit(X, y).predict_std(X[:2]).round(1)
        array([0.1, 0.1])
        """
        center = self._forecast(X).center
        calibration = self._calibration
        if calibration is None:
            raise ValueError("the model's file has no errors of held-out rows; call calibrate")
        scores, exponent = near_one(calibration.scores.T)
        std = np.ldexp(np.sqrt((scores**2).mean(axis=0)), exponent)
        return self._shaped(np.full_like(center, std))

    def _report(self, trials):
        super()._report(trials)
        held_out = sum(trial.weight * trial.predictions for trial in trials.trials)
        errors = np.abs(trials.targets.y - held_out) * self._spread
        self._calibration = Calibration(errors.T, self._fingerprint())

    def _forecast(self, X):
        return Points(self._outputs(X) * self._spread + self._mean)

    def _predicted(self, numbers, codes):
        return self._mean_output(numbers, codes) * self._spread + self._mean

    def _known(self, X, y):
        check_is_fitted(self)
        y = _numbers(y)
        check_consistent_length(X, y)
        return X, y

    def _fingerprint(self):
        return b""  # only `fit` changes the model, and calibrates it again

    def _shaped(self, values):
        return values[:, 0] if self._column else values


def _numbers(y):
    checks.no_dates("y", y)
    try:
        return check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(f"y must hold numbers: {error}; classes need TabularClassifier") from None

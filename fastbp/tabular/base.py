"""The base class of both estimators for tables: preparation, recipes and their selection."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    _check_sample_weight,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from ..basis import tables, teams
from ..basis.names import keywords
from ..estimators.attempt import Attempt
from . import columns, recipes
from .preparation import Preparation
from .trials import Trials

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ..basis.annotations import Floats, StrPath, _fit_context
else:
    from sklearn.base import _fit_context

FEWEST_ROWS = 4


class Targets(NamedTuple):
    """Targets as networks learn them.

    Attributes
    ----------
    y : ndarray
        Labels of shape (n,), or numbers of shape (n, n_outputs).
    loss : str
        The networks' loss.
    n_outputs : int
    measure : callable
        The loss by which recipes are selected: takes y and predictions, gives a loss for each row.
    strata : ndarray or None
        Classes that all folds should have in proportion.
    """

    y: np.ndarray
    loss: str
    n_outputs: int
    measure: Any
    strata: np.ndarray | None


class Tabular(BaseEstimator):
    """Base class of TabularClassifier and TabularRegressor."""

    _parameter_constraints: dict = {
        "time_budget": [Interval(Real, 0, None, closed="neither"), None],
        "n_jobs": [Interval(Integral, 1, None, closed="left"), Options(Integral, {-1}), None],
        "random_state": ["random_state"],
        "backend": [str, None],
        "progress": ["boolean"],
    }
    # After fitting.
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    leaderboard_: list[dict[str, Any]]
    feature_importances_: Floats
    feature_importances_std_: Floats

    @abstractmethod
    def _targets(self, y):
        """Check y, keep what predictions need, and return `Targets`."""

    @abstractmethod
    def _weigh(self, y, sample_weight):
        """The rows' weights, those of the classes included; None if all are 1."""

    @_fit_context(prefer_skip_nested_validation=True)
    @keywords
    def fit(self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Prepare the columns, train the networks and choose their weights.

        Parameters
        ----------
        X : DataFrame or array-like of shape (n_samples, n_features)
            Columns may hold numbers, truth values, texts or other names of categories, dates, and
            missing values.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes, or an indicator matrix of several labels; numbers for a regressor.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows.

        Returns
        -------
        self : object
            The fitted estimator. Ctrl-C ends the training early, with a warning; the estimator
            then has the networks that were trained to the end.

        Raises
        ------
        ValueError
            For data from which nothing can be learnt, such as columns of free text.

        Examples
        --------
        >>> import numpy as np
        >>> from fastbp import TabularRegressor
        >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
        >>> model = TabularRegressor(random_state=0).fit(X, np.abs(X[:, 0]))
        >>> [row["recipe"] for row in model.leaderboard_]
        ['smooth', 'wide', 'bins', 'deep', 'deep bins']
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        tables.no_missing("y", y)
        with Attempt(self):
            X, y = self._checked(X, y)
            if sample_weight is not None:
                sample_weight = _check_sample_weight(sample_weight, X, ensure_non_negative=True)
            weight = self._weigh(y, sample_weight)
            if weight is not None and not weight.all():  # rows of weight 0 are left out
                counted = weight > 0
                X = X.iloc[counted] if columns.is_frame(X) else X[counted]
                y, weight = np.asarray(y)[counted], weight[counted]
            targets = self._targets(y)
            self._columns = columns.find(X)
            numbers, codes = columns.read(self._columns, X)
            n = len(numbers)
            if n < FEWEST_ROWS:
                raise ValueError(
                    f"found n_samples = {n} (rows of weight 0 aside), but at least {FEWEST_ROWS} "
                    "are needed, since each network is tried on rows that are held out from it"
                )
        bins = sorted({recipe.bins for recipe in recipes.OTHERS} - {0})
        self._preparation = Preparation.fitted(numbers, codes, bins)
        trials = Trials(
            self._preparation,
            numbers,
            codes,
            targets,
            weight,
            seed=check_random_state(self.random_state).randint(2**31),
            threads=teams.available() if self.n_jobs in (None, -1) else self.n_jobs,
            backend=self.backend,
        )
        trials.run(self.time_budget, self.progress)
        self._report(trials)
        return self

    def _report(self, trials):
        """Keep the networks that count, and what was learnt about recipes and columns."""
        none = np.empty((0, trials.targets.n_outputs))  # predictions of the rows are not kept
        self._members = [
            dataclasses.replace(trial, predictions=none)
            for trial in trials.trials
            if trial.weight > 0
        ]
        self.leaderboard_ = [
            {
                "recipe": trial.recipe.name,
                "columns": int(trial.columns.sum()),
                "loss": trial.loss,
                "weight": trial.weight,
            }
            for trial in trials.trials
        ]
        owners = columns.owners(self._columns)
        found = np.zeros((self.n_features_in_, trials.importances.shape[1]))
        np.add.at(found, owners, trials.importances)
        self.feature_importances_ = found.mean(axis=1)
        self.feature_importances_std_ = found.std(axis=1)

    def _checked(self, X, y=None):
        """Check X, and y in `fit`; a table becomes a DataFrame of pandas, numbers a matrix."""
        reset = y is not None
        if type(X) is dict or hasattr(X, "collect"):  # the latter of polars
            how = "pandas.DataFrame(X)" if type(X) is dict else "X.collect()"
            raise TypeError(f"X must be a table or an array, got a {type(X).__name__}; pass {how}")
        if hasattr(X, "to_pandas"):  # of polars or pyarrow
            X = X.to_pandas()
        mixed = not reset and any(each.kind != columns.NUMBER for each in self._columns)
        if not columns.is_frame(X) and (mixed or _has_texts(X)) and np.ndim(X) == 2:
            import pandas

            X = pandas.DataFrame(X).infer_objects()
        if not columns.is_frame(X):
            options = {"dtype": np.float64, "ensure_all_finite": "allow-nan", "reset": reset}
            checked = (X, y) if reset else (X,)
            return validate_data(
                self, *checked, **({"multi_output": True} if reset else {}), **options
            )
        twice = X.columns[X.columns.duplicated()]
        if len(twice):
            raise ValueError(f"X has several columns called {twice[0]!r}; rename all but one")
        _check_feature_names(self, X, reset=reset)
        _check_n_features(self, X, reset=reset)
        if not reset:
            self._check_other_names(X)
            return X
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y")
        check_consistent_length(X, y)
        return X, y

    def _check_other_names(self, X):
        """Refuse other columns than in `fit` where names are no texts, as in a MultiIndex.

        scikit-learn compares texts only. The numbers 0, 1, ... are no names.
        """
        names, known = list(X.columns), [column.name for column in self._columns]
        if hasattr(self, "feature_names_in_") or all(isinstance(name, str) for name in names):
            return
        if names != known and known != list(range(len(known))):
            first = next(i for i, name in enumerate(names) if name != known[i])
            raise ValueError(
                f"column {first} of X is {names[first]!r}, but was {known[first]!r} in fit; the "
                "columns must be the same ones in the same order"
            )

    def _outputs(self, X):
        """The weighted mean of the networks' outputs."""
        check_is_fitted(self)
        return self._mean_output(*columns.read(self._columns, self._checked(X)))

    def _mean_output(self, numbers, codes):
        """The same for the columns as `columns.read` returns them."""
        total = 0.0
        for trial in self._members:
            networks = trial.networks
            inputs = self._preparation.of_networks(
                numbers, codes, trial.columns, trial.recipe.bins, len(networks)
            )
            pairs = zip(networks, inputs, strict=True)
            sums = sum(network.predict(part).astype(np.float64) for network, part in pairs)
            total = total + trial.weight / len(networks) * sums
        return total

    @abstractmethod
    def _predicted(self, numbers, codes):
        """What C has as outputs, of shape (n_rows, n_outputs): values or probabilities."""

    @keywords
    def to_c(self, folder: StrPath, name: str = "table") -> None:
        """Write the whole model as C99 source code, its preparation of the columns included.

        Parameters
        ----------
        folder : str or path-like
            Where to write; it is created if needed, and existing files are replaced.
        name : str, default="table"
            The name of the files and a prefix of all names in C: small letters and digits.

        Raises
        ------
        ValueError
            For a name that C or an operating system would take for something else.

        See Also
        --------
        Network.to_c : The same for a network, with more options.

        Notes
        -----
        ``NAME.h`` and ``NAME.c`` need no library, and ``NAME_test.c`` compares the results with
        fastbp's. ``NAME_predict(numbers, codes, h)`` takes the columns of a row: numbers as double,
        NaN if they are missing, and categories as codes; the header lists both in their order.
        (Without numbers, or without categories, there is no such argument.) A date is five
        numbers. ``h`` gets the values, or the probabilities of the classes. They agree with those
        of `predict` and ``predict_proba`` to rounding in float32.

        Examples
        --------
        >>> import numpy as np, os, tempfile
        >>> from fastbp import TabularRegressor
        >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
        >>> model = TabularRegressor(time_budget=0.01, random_state=0).fit(X, X[:, 0])
        >>> folder = tempfile.mkdtemp()
        >>> model.to_c(folder, "sensor")
        >>> sorted(os.listdir(folder))
        ['sensor.c', 'sensor.h', 'sensor_test.c']
        """
        check_is_fitted(self)
        from .c_export import to_c

        to_c(self, folder, name)

    @keywords
    def to_onnx(self, path: StrPath, *, opset: int = 17) -> None:
        """Write the whole model as an ONNX file, its preparation of the columns included.

        Parameters
        ----------
        path : str or path-like
            The file to write; an existing file is replaced.
        opset : int, default=17
            The version of ONNX's operators, from 13 to 28, or to the newest that the installed onnx
            supports.

        Raises
        ------
        ValueError
            For columns of dates, for categories that are not texts, for those with both empty texts
            and missing values, or if columns have no names; also if a column is called like an
            output.

        Notes
        -----
        The graph has one input for each column of the table, called by its name, of shape
        (n_samples, 1): float64 for numbers, truth values and time spans in days, texts for
        categories. NaN and the empty text stand for missing values; where the empty text is a
        category, it stands for that. A model that was fitted to an array has one input ``X`` of
        float64. The outputs are ``prediction`` and, of a classifier, ``probabilities``. They equal
        those of `predict` and `predict_proba` up to rounding in float32. This requires the package
        onnx: ``pip install 'fastbp[onnx]'``.

        Examples
        --------
        >>> import numpy as np, onnx, os, tempfile
        >>> from fastbp import TabularRegressor
        >>> X = np.linspace(-1, 1, 60).reshape(-1, 1)
        >>> model = TabularRegressor(time_budget=0.01, random_state=0).fit(X, X[:, 0])
        >>> path = os.path.join(tempfile.mkdtemp(), "model.onnx")
        >>> model.to_onnx(path)
        >>> [value.name for value in onnx.load(path).graph.output]
        ['prediction']
        """
        check_is_fitted(self)
        from .onnx_export import to_onnx

        to_onnx(self, path, opset)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_members")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.target_tags.multi_output = True
        return tags


def _has_texts(X):
    """Whether an array or a list of rows holds texts, and not only numbers."""
    if isinstance(X, list | tuple):
        return any(
            isinstance(value, str) for row in X if isinstance(row, list | tuple) for value in row
        )
    return isinstance(X, np.ndarray) and (
        X.dtype.kind in "US"
        or (X.dtype.kind == "O" and any(isinstance(value, str) for value in X.flat))
    )

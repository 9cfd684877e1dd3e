"""Hyperparameter search by cross-validation, with all fits in threads of one process."""

from __future__ import annotations

import contextlib
import math
import warnings
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import ParameterGrid, ParameterSampler
from sklearn.model_selection._search import BaseSearchCV
from sklearn.utils._param_validation import Interval

from ..basis import teams
from ..basis.checks import whole_number
from ..basis.names import keywords

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from ..basis.annotations import RandomState, Scoring, _fit_context
else:
    from sklearn.base import _fit_context

OF_SCIKIT_LEARN = BaseSearchCV._parameter_constraints


class MLPSearchCV(BaseSearchCV):
    """Search for an estimator's best parameters by cross-validation, in threads of one process.

    Replaces scikit-learn's GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV and
    HalvingRandomSearchCV, with the same results. Those searches start processes; each process
    imports everything and copies the data. fastbp's kernels run without the GIL, so threads are
    enough. Each fit uses one thread.

    Parameters
    ----------
    estimator : estimator
        An `MLPClassifier` or `MLPRegressor`, or a pipeline that ends in one. Other estimators
        work if they can be fitted in threads.
    param_distributions : dict or list of dict
        Maps names of parameters to lists of values; the candidates are all combinations. With
        ``n_candidates``, also to distributions (objects with a method ``rvs``).
    n_candidates : int, optional
        Number of candidates to draw; without replacement if all parameters have lists. By default
        the search tries all combinations.
    halving : float, optional
        Search in rounds: the best 1/``halving`` of the candidates enter the next round, which
        has ``halving`` times the resources. The search ends when fewer than ``halving``
        candidates are left or the resources are used up. 3 is a good value. By default all
        candidates get all resources.
    resource : str, default="max_iter"
        The parameter that halving increases, up to the value that ``estimator`` has for it; in a
        pipeline, for example, "mlp__max_iter".
    scoring : str, callable, list, tuple or dict, optional
        As in GridSearchCV. By default the estimator's ``score``.
    n_jobs : int, default=-1
        Number of fits at a time; -1 for one per core. The result does not depend on it.
    refit : bool, str or callable, default=True
        Whether to fit the best candidate to all data; as in GridSearchCV.
    cv : int, splitter or iterable, optional
        The folds; as in GridSearchCV. With ``halving``, they must be the same in each round.
    verbose : int, default=0
        How much to print; as in GridSearchCV.
    random_state : int, RandomState instance or None, default=None
        Determines which candidates are drawn.
    error_score : "raise" or float, default=nan
        The score of a candidate that cannot be fitted.
    return_train_score : bool, default=False
        Compute scores on the training data as well.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        As in GridSearchCV. With ``halving``, also ``iter`` and ``n_resources``.
    best_estimator_ : estimator
        The best candidate, fitted to all data; unless ``refit=False``.
    best_params_ : dict
        Parameters of the best candidate; with ``halving``, the best of the last round.
    best_score_ : float
        Mean score of the best candidate.
    best_index_ : int
        Index of the best candidate in `cv_results_`.
    n_candidates_, n_resources_ : list of int
        Number of candidates, and the resource's value, of each round; only with ``halving``.
    scorer_, n_splits_, refit_time_, multimetric_, n_features_in_, feature_names_in_, classes_
        As in GridSearchCV.

    See Also
    --------
    fit_many : Trains many networks at once, which may differ in all parameters.

    Notes
    -----
    After `fit`, the search has the best estimator's methods: predict, predict_proba, score and
    so on.

    Inside a ``joblib.parallel_config`` that names a backend, the fits run on that backend, for
    example on the workers of a Dask cluster. Callbacks that scikit-learn's searches accept
    (``set_callbacks``) work here, too.

    References
    ----------
    Halving: Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
    Optimization", AISTATS 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp import MLPClassifier, MLPSearchCV
    >>> X, y = load_iris(return_X_y=True)
    >>> classifier = MLPClassifier((8,), solver="lbfgs", max_iter=1000, random_state=0)
    >>> search = MLPSearchCV(classifier, {"alpha": [0.1, 1.0, 10.0, 1000.0]}).fit(X, y)
    >>> search.best_params_
    {'alpha': 0.1}
    """

    _parameter_constraints: dict = {
        name: OF_SCIKIT_LEARN[name] for name in OF_SCIKIT_LEARN if name != "pre_dispatch"
    } | {
        "param_distributions": [dict, list],
        "n_candidates": [Interval(Integral, 1, None, closed="left"), None],
        "halving": [Interval(Real, 1, None, closed="neither"), None],
        "resource": [str],
        "random_state": ["random_state"],
    }
    pre_dispatch = "2*n_jobs"
    # After fitting.
    cv_results_: dict[str, Any]
    best_estimator_: Any
    best_params_: dict[str, Any]
    best_score_: float
    best_index_: int
    n_candidates_: list[int]
    n_resources_: list[int]
    n_splits_: int
    refit_time_: float
    multimetric_: bool

    @keywords
    def __init__(
        self,
        estimator: Any,
        param_distributions: dict[str, Any] | list[dict[str, Any]],
        *,
        n_candidates: int | None = None,
        halving: float | None = None,
        resource: str = "max_iter",
        scoring: Scoring | None = None,
        n_jobs: int | None = -1,
        refit: bool | str | Callable[..., Any] = True,
        cv: Any = None,
        verbose: int = 0,
        random_state: RandomState = None,
        error_score: float | Literal["raise"] = np.nan,
        return_train_score: bool = False,
    ) -> None:
        self.estimator = estimator
        self.param_distributions = param_distributions
        self.n_candidates = n_candidates
        self.halving = halving
        self.resource = resource
        self.scoring = scoring
        self.n_jobs = n_jobs
        self.refit = refit
        self.cv = cv
        self.verbose = verbose
        self.random_state = random_state
        self.error_score = error_score
        self.return_train_score = return_train_score

    @_fit_context(prefer_skip_nested_validation=False)  # the estimator checks its own parameters
    def fit(self, X: Any, y: ArrayLike | None = None, **params: Any) -> Self:
        """Evaluate all candidates, and fit the best one to all data.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The samples.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The targets.
        **params
            Passed on to the estimator's `fit`, the scorer and the splitter, as in GridSearchCV.

        Returns
        -------
        self : object
            The fitted search.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from fastbp import MLPClassifier, MLPSearchCV
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = MLPClassifier((8,), solver="lbfgs", tol=0.01, random_state=0)
        >>> search = MLPSearchCV(classifier, {"alpha": [0.01, 1.0]}, cv=3).fit(X, y)
        >>> len(search.cv_results_["params"]), bool(search.best_score_ > 0.9)
        (2, True)
        """
        if self.halving is not None:
            if self.scoring is not None and not (
                isinstance(self.scoring, str) or callable(self.scoring)
            ):
                raise ValueError(
                    "with halving, scoring must be None or a single score, a string or a callable, "
                    f"got {self.scoring!r}"
                )
            if self.resource not in self.estimator.get_params():
                raise ValueError(
                    "resource must be the name of a parameter of the estimator, got "
                    f"{self.resource!r}; estimator.get_params() lists the names"
                )
        with warnings.catch_warnings():
            if self.halving is not None:  # the first rounds are short on purpose
                warnings.simplefilter("ignore", ConvergenceWarning)
            # Only a hint: a backend that the user has chosen takes precedence.
            with teams.abandoning(), joblib.parallel_config(prefer="threads"):
                return super().fit(X, y, **params)

    def _run_search(self, evaluate_candidates, *, callback_ctx=None):
        """Evaluate the candidates; BaseSearchCV calls this, from 1.9 on with callback_ctx."""
        if self.n_candidates is None:
            candidates = list(ParameterGrid(self.param_distributions))
        else:
            candidates = list(
                ParameterSampler(
                    self.param_distributions, self.n_candidates, random_state=self.random_state
                )
            )
        if self.halving is None:
            with self._task(callback_ctx, "search", n_candidates=len(candidates)) as context:
                evaluate_candidates(candidates, **context)
            return
        self.n_candidates_ = []
        self.n_resources_ = self._rounds(candidates, self.halving)
        rounds = len(self.n_resources_)
        with self._task(callback_ctx, "search", n_rounds=rounds) as search:
            for i, amount in enumerate(self.n_resources_):
                n = len(candidates)
                self.n_candidates_.append(n)
                with self._task(search.get("callback_ctx"), "round", n_candidates=n) as context:
                    results = evaluate_candidates(
                        [{**candidate, self.resource: amount} for candidate in candidates],
                        more_results={"iter": [i] * n, "n_resources": [amount] * n},
                        **context,
                    )
                scores = results["mean_test_score"][-n:]
                # argsort puts NaN last; roll moves it to the front, as the worst score. The
                # order of ties is scikit-learn's.
                order = np.roll(np.argsort(scores), np.count_nonzero(np.isnan(scores)))
                kept = order[-math.ceil(n / self.halving) :]
                candidates = [results["params"][-n:][k] for k in kept]

    @contextlib.contextmanager
    def _task(self, parent, name, *, n_candidates=0, n_rounds=0):
        """Report a task to the callbacks; yield the keyword argument for its subtasks."""
        if parent is None:  # before scikit-learn 1.9, where n_splits_ is not known yet either
            yield {}
            return
        task = parent.subcontext(
            task_name=name,
            max_subtasks=n_rounds or n_candidates * self.n_splits_,
            sequential_subtasks=n_rounds > 0,
        )
        task.call_on_fit_task_begin(estimator=self)
        yield {"callback_ctx": task}
        task.call_on_fit_task_end(estimator=self)

    def _rounds(self, candidates, halving):
        """Return the resource's value in each round of halving."""
        if any(self.resource in candidate for candidate in candidates):
            raise ValueError(
                f"halving sets {self.resource}, so it cannot be searched for; take it out of "
                "param_distributions, or name another resource"
            )
        most = whole_number(self.resource, self.estimator.get_params()[self.resource])
        # After so many rounds fewer than `halving` candidates remain, if the resources suffice.
        rounds = 1 + math.floor(math.log(len(candidates), halving))
        least = max(1, int(most // halving ** (rounds - 1)))
        rounds = min(rounds, 1 + math.floor(math.log(most // least, halving)))
        return [min(int(halving**i * least), most) for i in range(rounds)]

    @staticmethod
    def _select_best_index(refit, refit_metric, results):
        if "iter" not in results or callable(refit):
            return BaseSearchCV._select_best_index(refit, refit_metric, results)
        last = np.flatnonzero(results["iter"] == np.max(results["iter"]))
        scores = results["mean_test_score"][last]
        return last[0 if np.isnan(scores).all() else np.nanargmax(scores)]

"""The estimators pass scikit-learn's checks of estimators."""

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([fastbp.MLPClassifier(), fastbp.MLPRegressor()])
def test_checks_of_estimators(estimator, check, backend):
    estimator = clone(estimator).set_params(backend=backend)
    if backend == "numpy" and check.func.__name__.startswith("check_estimator_sparse"):
        estimator.set_params(max_iter=5)  # they fit in each sparse format, and expect no accuracy
    check(estimator)

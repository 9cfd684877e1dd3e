"""The estimators pass scikit-learn's checks of estimators, and its tests of its own MLP."""

import importlib.util
import types
from pathlib import Path

import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([fastbp.MLPClassifier(), fastbp.MLPRegressor()])
def test_checks_of_estimators(estimator, check, backend):
    check(clone(estimator).set_params(backend=backend))


def _tests_of_scikit_learn():
    """Its test module of the MLP, as written but for the classes; None if it is not installed."""
    found = importlib.util.find_spec("sklearn.neural_network.tests.test_mlp")
    if found is None:
        return {}
    source = Path(found.origin).read_text(encoding="utf-8")
    line = "from sklearn.neural_network import MLPClassifier, MLPRegressor"
    assert source.count(line) == 1
    module = types.ModuleType("test_mlp_of_scikit_learn")
    module.__file__ = found.origin
    exec(
        compile(
            source.replace(line, line.replace("sklearn.neural_network", "fastbp")),
            found.origin,
            "exec",
        ),
        vars(module),
    )
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


@pytest.fixture
def global_random_seed():
    """scikit-learn's fixture of that name."""
    return 42


globals().update(_tests_of_scikit_learn())

"""scikit-learn refuses NaN without saying where; a note to its error does."""

import numpy as np
import pandas
import pytest
from helpers import make_data

import fastbp

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
X, y = make_data("squared_error", 12, 3, 1)
y = y.ravel()


def regressor():
    return fastbp.MLPRegressor(hidden_layer_sizes=(3,), max_iter=1, random_state=0)


MODELS = {
    "estimator": regressor,
    "ensemble": lambda: fastbp.MLPEnsembleRegressor(regressor(), n_estimators=2),
}


def spoiled(array, index, value=np.nan):
    array = array.copy()
    array[index] = value
    return array


def note_of(call):
    with pytest.raises(ValueError, match="NaN|infinity") as caught:
        call()
    (note,) = caught.value.__notes__
    return note


@pytest.mark.parametrize("model", MODELS)
def test_where_the_first_is(model):
    model = MODELS[model]()
    bad_X, bad_y = spoiled(X, (slice(4, 6), 1)), spoiled(y, 7, np.inf)
    in_X = "X has NaN or infinite values (2 in all; the first, nan, is in row 4, column 1, co"
    assert note_of(lambda: model.fit(bad_X, y)).startswith(in_X)
    assert note_of(lambda: model.fit(pandas.DataFrame(bad_X), y)).startswith(in_X)
    in_y = "y has NaN or infinite values (1 in all; the first, inf, is in row 7, counted from 0)"
    assert note_of(lambda: model.fit(X, bad_y)) == in_y
    weights = spoiled(np.ones(12), 3)
    in_weights = note_of(lambda: model.fit(X, y, sample_weight=weights))
    assert in_weights.startswith("sample_weight has NaN") and "row 3," in in_weights
    model.fit(X, y)
    assert note_of(lambda: model.predict(bad_X)).startswith(in_X)


def test_what_is_no_number():
    table = pandas.DataFrame(X, columns=["a", "b", "c"])
    table["b"] = ["one", *"x" * 11]
    with pytest.raises(ValueError, match="could not convert") as caught:
        regressor().fit(table, y)
    (note,) = caught.value.__notes__
    assert "'one' in row 0, column 1 ('b'), counted from 0, is text; encode" in note
    with pytest.raises(ValueError, match="could not convert|Unknown label") as caught:
        regressor().fit(X, np.array(["a"] * 12, object))
    assert not hasattr(caught.value, "__notes__")


def test_names_of_columns():
    table = pandas.DataFrame(spoiled(X, (4, 1)), columns=["a", "b", "c"])
    assert "row 4, column 1 ('b'), counted from 0" in note_of(lambda: regressor().fit(table, y))


@pytest.mark.parametrize("value", [pandas.NA, None], ids=["NA", "None"])
@pytest.mark.parametrize(
    "model",
    [regressor, MODELS["ensemble"], fastbp.TabularRegressor, fastbp.TabularClassifier],
    ids=["estimator", "ensemble", "TabularRegressor", "TabularClassifier"],
)
def test_missing_targets_that_are_no_numbers(model, value):
    """NumPy and scikit-learn fail on them with errors about comparisons."""
    targets = pandas.Series(y.astype(object))
    targets[5] = value
    with pytest.raises(ValueError, match="y contains a missing value: .*(NA|None).* in row 5;"):
        model().fit(X, targets)

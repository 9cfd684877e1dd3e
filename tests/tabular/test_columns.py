"""Tables whose columns hold something else than at fit are read alike, or refused."""

import datetime

import numpy as np
import pandas as pd
import pytest

from fastbp import TabularRegressor
from fastbp.tabular import columns

DAYS = pd.Series(pd.date_range("2020-01-01", periods=6, tz="UTC"))
NUMBERS = pd.Series(np.arange(6) / 2)
TEXTS = pd.Series(["a", "b", "c"] * 2)
SPANS = DAYS - DAYS[0]


def frame(series):
    return pd.DataFrame({"c": series})


def read(fitted, series):
    numbers, codes = columns.read(columns.find(frame(fitted)), frame(series))
    return np.concatenate([numbers, codes], axis=1)


@pytest.mark.parametrize(
    "found",
    [
        DAYS,
        DAYS.dt.tz_localize(None),
        DAYS.dt.date,
        DAYS.dt.tz_localize(None).dt.to_period("D"),
        DAYS.astype("category"),
        pd.Series([1j] * 6),
        pd.Series([10**400] * 6, dtype=object),
        pd.Series([[1]] * 6),
        TEXTS,
    ],
    ids=lambda series: str(series.dtype),
)
@pytest.mark.parametrize("fitted", [NUMBERS, NUMBERS > 1, SPANS], ids=["numbers", "bools", "spans"])
def test_what_is_no_number_is_refused(fitted, found):
    with pytest.raises(ValueError, match="'c' has .* in row 0, .* fitted to a column of numbers"):
        read(fitted, found)


@pytest.mark.parametrize(
    "found",
    [
        NUMBERS,
        NUMBERS > 1,
        pd.Series([1, 2] * 3, dtype="Int64"),
        pd.Series([1, 2] * 3).astype("category"),
    ],
    ids=lambda series: str(series.dtype),
)
def test_numbers_are_no_dates(found):
    """pandas would take them for nanoseconds since 1970."""
    with pytest.raises(ValueError, match="'c' has the number .* fitted to a column of dates"):
        read(DAYS, found)


def test_missing_dates_are_missing_numbers():
    assert np.isnan(read(NUMBERS, pd.Series([pd.NaT] * 6))).all()


def test_dates_and_time_spans_of_all_types():
    pytest.importorskip("pyarrow")
    expected = read(DAYS, DAYS)
    for unit in ("s", "us", "ns"):
        series = DAYS.dt.tz_localize(None).astype(f"timestamp[{unit}][pyarrow]")
        assert (read(series, series) == expected).all()
    spans = [
        SPANS,
        SPANS.astype("duration[us][pyarrow]"),
        pd.Series([datetime.timedelta(days=k) for k in range(6)], dtype=object),
    ]
    for series in spans:
        assert read(series, series).ravel().tolist() == list(range(6))


def test_values_without_a_hash_are_no_categories():
    with pytest.raises(ValueError, match="'c' holds values that are no names of categories"):
        read(TEXTS, pd.Series([[1]] * 6))


def test_dates_among_categories_are_refused():
    with pytest.raises(ValueError, match="holds values of type datetime64"):
        columns.find(frame(pd.Series([np.datetime64("2020-01-01"), "a"] * 3, dtype=object)))


@pytest.fixture(scope="module")
def model():
    X = pd.DataFrame({"c": ["a", "b", "c"] * 8, "x": np.arange(24.0)})
    return TabularRegressor(random_state=0, time_budget=1e-3).fit(X, np.arange(24.0))


def test_rows_without_names(model):
    X = pd.DataFrame({"c": ["a", "b"], "x": [1.0, 2.0]})
    for rows in (X.to_numpy(object), X.to_numpy(object).tolist()):
        with pytest.warns(UserWarning, match="feature names"):
            assert model.predict(rows).tolist() == model.predict(X).tolist()
    with (
        pytest.warns(UserWarning),
        pytest.raises(ValueError, match="'c' holds values of type float"),
    ):
        model.predict(np.zeros((3, 2)))


def test_what_is_no_table(model):
    with pytest.raises(TypeError, match="pass pandas.DataFrame"):
        model.predict({"c": ["a"], "x": [1.0]})
    with pytest.raises(ValueError, match="several columns called 'c'"):
        model.predict(pd.DataFrame([["a", 1.0]], columns=["c", "c"]))
    with pytest.raises(ValueError, match="classes need TabularClassifier"):
        TabularRegressor().fit(np.zeros((24, 1)), ["a", "b"] * 12)


def test_names_of_several_levels():
    names = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])
    X = pd.DataFrame(np.random.default_rng(0).standard_normal((24, 2)), columns=names)
    model = TabularRegressor(random_state=0, time_budget=1e-3).fit(X, X[("a", 1)])
    with pytest.raises(ValueError, match=r"column 0 of X is \('a', 2\), but was \('a', 1\) in fit"):
        model.predict(X[[("a", 2), ("a", 1)]])

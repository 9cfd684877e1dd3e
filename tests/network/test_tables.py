"""Tables of pandas and polars: messages name the column; text and dates get advice."""

import datetime
import fractions

import numpy as np
import pandas
import polars
import pytest
from helpers import make_network

import fastbp

N = 6
X = np.arange(3.0 * N).reshape(N, 3)
NAMES = ["age", "income", "city"]


def with_column(values, kind=pandas.DataFrame, **others):
    """A table whose second column has these values."""
    return kind({"age": X[:, 0], "income": values, "city": X[:, 2], **others})


def spoiled(value, row=4, dtype=None):
    values = X[:, 1].astype(object) if dtype is None else X[:, 1].astype(dtype)
    values[row] = value
    return values


DAYS = [datetime.date(2020, 1, 1 + i) for i in range(N)]
PLACE = r"row 4, column 1 \('income'\), counted from 0"
TABLES = {
    "NaN": (
        with_column(spoiled(np.nan, dtype=float)),
        ValueError,
        rf"the first, nan, is in {PLACE}",
    ),
    "NaN, polars": (
        with_column(spoiled(np.nan, dtype=float), polars.DataFrame),
        *(ValueError, rf"X has NaN.*1 in all; the first, nan, is in {PLACE}"),
    ),
    "null, polars": (
        with_column([1.0, 2.0, 3.0, 4.0, None, 6.0], polars.DataFrame),
        *(ValueError, rf"X has NaN.* is in {PLACE}"),
    ),
    "too large": (
        with_column(spoiled(1e300, dtype=float)),
        *(ValueError, rf"too large for float32 .*{PLACE}"),
    ),
    "NA": (
        with_column(pandas.array([1, 2, 3, 4, None, 6], dtype="Int64")),
        *(ValueError, rf"X has NA in {PLACE}; fill or drop missing values first"),
    ),
    "text": (
        with_column(spoiled("lots")),
        *(TypeError, rf"'lots' in {PLACE}, is text; encode text as numbers, .*get_dummies"),
    ),
    "text, polars": (
        with_column(["a"] * N, polars.DataFrame),
        *(TypeError, r"'a' in row 0, column 1 \('income'\), .* is text; encode"),
    ),
    "categories": (
        with_column(pandas.Categorical(["low", "high"] * 3)),
        *(TypeError, r"'low' in row 0, column 1 \('income'\)"),
    ),
    "dates": (
        with_column(pandas.to_datetime(DAYS)),
        *(TypeError, r"the entry in row 0, column 1 \('income'\), counted from 0, is a Timestamp"),
    ),
    "all text": (
        pandas.DataFrame({name: ["1"] * N for name in NAMES}),
        *(TypeError, r"'1' in row 0, column 0 \('age'\)"),
    ),
    "a list of text": ([["a", "b", "c"]] * N, TypeError, "got dtype <U1; encode text as numbers"),
    "complex objects": (X.astype(object) + 1j, TypeError, "row 0, column 0, .* is a complex"),
}


@pytest.mark.parametrize("what", TABLES)
def test_messages(what):
    table, error, message = TABLES[what]
    net = fastbp.Network([3, 4, 1], loss="squared_error", backend="numpy")
    for call in (lambda: net.fit(table, np.ones(N)), lambda: net.predict(table)):
        with pytest.raises(error, match=message):
            call()


def test_columns_without_names_are_counted():
    net = make_network([3, 4, 1], "squared_error", "numpy")
    with pytest.raises(ValueError, match="row 4, column 1, counted from 0"):
        net.predict(pandas.DataFrame(with_column(spoiled(np.nan)).to_numpy()))
    wide = pandas.DataFrame(X, columns=["a", 2, "c"])
    wide.iloc[4, 1] = np.nan
    with pytest.raises(ValueError, match="row 4, column 1, counted from 0"):
        net.predict(wide)


def test_good_tables():
    net = make_network([3, 4, 1], "squared_error", "numpy")
    ref = net.predict(X)
    for table in (
        pandas.DataFrame(X, columns=NAMES),
        polars.DataFrame(X, schema=NAMES),
        pandas.DataFrame(X, columns=NAMES).astype("Int64"),
        with_column([fractions.Fraction(x) for x in X[:, 1]]),
    ):
        assert np.array_equal(net.predict(table), ref)


def test_targets():
    net = make_network([3, 4, 2], "squared_error", "numpy")
    y = pandas.DataFrame({"a": np.ones(N), "b": spoiled(np.nan, dtype=float)})
    with pytest.raises(ValueError, match=r"y has NaN.*row 4, column 1 \('b'\)"):
        net.fit(X, y)
    net = make_network([3, 4, 1], "squared_error", "numpy")
    with pytest.raises(ValueError, match=r"y has NaN.*row 4, column 0 \('b'\)"):
        net.fit(X, y[["b"]])
    with pytest.raises(ValueError, match=r"y has NaN.*row 4, counted"):
        net.fit(X, y["b"])
    labels = pandas.Series(["cat", "dog"] * 3)
    net = make_network([3, 4, 2], "cross_entropy", "numpy")
    with pytest.raises(TypeError, match=r"'cat' in row 0, .* is text; number the .*numpy.unique"):
        net.fit(X, labels)


@pytest.mark.parametrize("y", [[0, 1] * 3, [[0], [1]] * 3])
def test_labels_for_log_loss_with_two_outputs(y):
    net = make_network([3, 4, 2], "log_loss", "numpy")
    with pytest.raises(ValueError, match="For one class per sample use the loss cross_entropy"):
        net.fit(X, y)
    with pytest.raises(ValueError, match=r"shape \(6, 2\) for this network, got \(6, 3\)$"):
        net.fit(X, X > 3)

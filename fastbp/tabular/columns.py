"""Reads the columns of a table as arrays: numbers, and codes of categories.

A column's kind is decided when a model is fitted. Later tables are read in the same way.
"""

from __future__ import annotations

import dataclasses
import sys
from numbers import Number
from typing import Any

import numpy as np

KINDS = NUMBER, CATEGORY, DATE = "number", "category", "date"
# A column of texts with more distinct values than FEW, in more than this share of its rows, is
# taken for names or free text, unless its dtype says that they are categories.
FEW, SHARE_OF_NAMES = 50, 0.5
MISSING, UNKNOWN = -1, -2
# The numbers that a date becomes: these parts of it, and the days since 1970.
PARTS_OF_DATES = ("year", "month", "day_of_week", "hour")
SECONDS_PER_DAY = 86400.0
SCALARS = str, bool, int, float, np.bool_, np.number, np.str_  # what a category may be


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the table that a model was fitted to.

    Attributes
    ----------
    name : object
        Its name, or its number if the table has no names.
    kind : {"number", "category", "date"}
    categories : tuple
        The values of a category, the most frequent first.
    """

    name: Any
    kind: str
    categories: tuple = ()


def is_frame(X):
    """Whether X is a DataFrame of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(X, pandas.DataFrame)


def find(X):
    """The columns of a DataFrame or a matrix of numbers, with their kinds.

    Raises
    ------
    ValueError
        If a column holds text or values of a kind that cannot be used, or there is no column.
    """
    if X.shape[1] == 0:
        raise ValueError("X has no columns; at least one is needed")
    if not is_frame(X):
        return [Column(j, NUMBER) for j in range(X.shape[1])]
    return [_column(name, X.iloc[:, j]) for j, name in enumerate(X.columns)]


def _column(name, series):
    import pandas
    from pandas.api import types

    known = series.dropna()
    kind = types.infer_dtype(known, skipna=True)
    if types.is_bool_dtype(series) or types.is_numeric_dtype(series) or kind in NUMBERS:
        if kind == "complex":
            raise ValueError(
                f"column {name!r} holds complex numbers; replace it by two columns, such as the "
                "real and the imaginary parts"
            )
        return Column(name, NUMBER)
    if types.is_timedelta64_dtype(series) or kind in SPANS:
        return Column(name, NUMBER)
    if types.is_datetime64_any_dtype(series) or kind in DATES:
        return Column(name, DATE)
    odd = [value for value in known if not isinstance(value, SCALARS)]
    if odd:
        raise ValueError(
            f"column {name!r} holds values of type {type(odd[0]).__name__}, which are neither "
            "numbers nor names of categories; convert it, or leave it out"
        )
    counts, declared = known.value_counts(), isinstance(series.dtype, pandas.CategoricalDtype)
    if not declared and len(counts) > FEW and len(counts) > SHARE_OF_NAMES * len(known):
        raise ValueError(
            f"column {name!r} has {len(counts)} different texts in {len(known)} rows, such as "
            f"{str(known.iloc[0])[:40]!r}: names or free text, from which these estimators cannot "
            "learn; leave it out, derive numbers or categories from it, or, if they are names of "
            "categories, say so by its dtype: astype('category')"
        )
    by_count = counts.reset_index().to_numpy(object)
    values = sorted(by_count.tolist(), key=lambda pair: (-pair[1], str(pair[0])))
    return Column(name, CATEGORY, tuple(value for value, count in values if count))


NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal", "boolean", "complex")
DATES = ("datetime64", "datetime", "date")
SPANS = ("timedelta64", "timedelta")


def read(columns, X):
    """Read a table with the columns of the one that a model was fitted to.

    Parameters
    ----------
    columns : list of Column
    X : DataFrame or ndarray of shape (n_samples, n_columns)
        With the columns in the same order.

    Returns
    -------
    numbers : float64 array of shape (n_samples, number of numbers)
        NaN where a number is missing. A date is several numbers.
    codes : int64 array of shape (n_samples, number of categories)
        Indices of categories, MISSING or UNKNOWN.
    """
    if not is_frame(X):
        matrix = np.asarray(X, np.float64)
        _refuse_infinite(matrix, [column.name for column in columns])
        return matrix, np.empty((len(X), 0), np.int64)
    numbers, codes = [np.empty((len(X), 0))], [np.empty((len(X), 0), np.int64)]
    for j, column in enumerate(columns):
        series = X.iloc[:, j]
        if column.kind == CATEGORY:
            codes.append(_codes(column, series))
        else:
            made = (_dates if column.kind == DATE else _numbers)(column, series)
            _refuse_infinite(made, [column.name] * made.shape[1])
            numbers.append(made)
    return np.concatenate(numbers, axis=1), np.concatenate(codes, axis=1)


def owners(columns):
    """For each number and category that `read` returns, the index of its column."""
    numbers, categories = [], []
    for j, column in enumerate(columns):
        if column.kind == CATEGORY:
            categories.append(j)
        else:
            numbers += [j] * (len(PARTS_OF_DATES) + 1 if column.kind == DATE else 1)
    return np.array([*numbers, *categories], np.int64)


def _refuse_infinite(numbers, names):
    wrong = np.isinf(numbers)
    if wrong.any():
        row, j = np.argwhere(wrong)[0]
        raise ValueError(
            f"column {names[j]!r} has the value {numbers[row, j]} in row {row}; infinity is not a "
            "number to learn from: use NaN for a missing value, or a large number"
        )


def _numbers(column, series):
    import pandas
    from pandas.api import types

    if not types.is_numeric_dtype(series) or types.is_complex_dtype(series):
        series = series.astype(object)  # to_numeric takes dates for nanoseconds since 1970
        if types.infer_dtype(series, skipna=True) in SPANS:
            days = pandas.to_timedelta(series) / pandas.Timedelta(days=1)
            return days.to_numpy(np.float64)[:, None]
    try:
        numbers = pandas.to_numeric(series, errors="coerce").astype("Float64")
    except (OverflowError, TypeError):  # a whole number beyond float64, complex numbers
        numbers = series.map(_as_float).astype("Float64")
    wrong = (numbers.isna() & series.notna()).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"column {column.name!r} has {_shortened(series.iloc[row])} in row {row}, but the "
            "model was fitted to a column of numbers that float64 can hold"
        )
    return numbers.to_numpy(np.float64, na_value=np.nan)[:, None]


def _as_float(value):
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        return None


def _shortened(value):
    shown = repr(value)
    return shown if len(shown) < 50 else f"{shown[:40]}..."


def _dates(column, series):
    import pandas
    from pandas.api import types

    if not isinstance(series.dtype, np.dtype | pandas.DatetimeTZDtype):
        series = series.astype(object)  # Arrow's dates overflow in to_datetime
    if not types.is_datetime64_any_dtype(series):
        # to_datetime takes numbers for nanoseconds since 1970.
        wrong = series.map(lambda value: isinstance(value, Number)) & series.notna()
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise ValueError(
                f"column {column.name!r} has the number {_shortened(series.iloc[row])} in row "
                f"{row}, but the model was fitted to a column of dates; convert it, for example "
                "with pandas.to_datetime(column, unit='s')"
            )
    try:
        dates = pandas.to_datetime(series, errors="raise", utc=True)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"column {column.name!r} holds values that are no dates, but the model was fitted to a "
            f"column of dates: {error}"
        ) from None
    parts = [getattr(dates.dt, part).to_numpy(np.float64) for part in PARTS_OF_DATES]
    since = dates - pandas.Timestamp(0, tz="UTC").as_unit("s")  # ns would end in 2262
    parts.append((since.dt.total_seconds() / SECONDS_PER_DAY).to_numpy(np.float64))
    return np.stack(parts, axis=1)


def _codes(column, series):
    import pandas

    values = series.astype(object)
    index = pandas.Index(list(column.categories), dtype=object)
    try:
        codes = index.get_indexer(values.to_numpy(object)).astype(np.int64)
    except TypeError as error:  # lists, for example, have no hash
        raise ValueError(
            f"column {column.name!r} holds values that are no names of categories: {error}"
        ) from None
    codes[codes < 0] = UNKNOWN
    missing = values.isna().to_numpy()
    known = {type(category) for category in column.categories}
    if (codes[~missing] == UNKNOWN).all() and not known & set(map(type, values[~missing])):
        found = ", ".join(sorted({type(value).__name__ for value in values[~missing]}))
        if found and known:
            raise ValueError(
                f"column {column.name!r} holds values of type {found}, none of which the model "
                f"knows: it was fitted to {', '.join(map(repr, column.categories[:3]))} and others"
            )
    codes[missing] = MISSING
    return codes[:, None]

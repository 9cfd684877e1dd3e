"""Chooses the columns of a table to learn from, and turns them into inputs of the network."""

from typing import NamedTuple

import numpy as np

from .options import note
from .tables import as_known, listed, number_text, pandas, refuse_nested

# A column with more distinct texts than this causes a warning.
MANY_CATEGORIES = 100
# The category of missing texts.
MISSING = "(missing)"


class Columns(NamedTuple):
    """Names of the columns to learn from.

    Attributes
    ----------
    numbers, categories : list of str
    """

    numbers: list
    categories: list


def find(frame, target, *, categorical=(), drop=()):
    """Find the columns to learn from.

    Parameters
    ----------
    frame : DataFrame
    target : str
    categorical : sequence of str
        Columns whose numbers are names of categories.
    drop : sequence of str
        Columns to leave out.

    Returns
    -------
    Columns

    Raises
    ------
    ValueError
        If there are no such columns, or one has a type that cannot be used.
    """
    types = pandas().api.types
    found = Columns([], [])
    for name in frame.columns:
        if name == target or name in drop:
            continue
        series = frame[name]
        refuse_nested(series)
        if series.isna().all():
            note(f"warning: column {name!r} is empty and left out")
        elif types.is_datetime64_any_dtype(series) or types.is_timedelta64_dtype(series):
            raise ValueError(
                f"column {name!r} holds times, which are neither numbers nor categories; convert "
                f"them to numbers, or leave them out with --drop {name}"
            )
        elif types.is_numeric_dtype(series) and name not in categorical:
            found.numbers.append(name)
            if types.is_integer_dtype(series) and (series.diff().iloc[1:] == 1).all():
                note(f"warning: column {name!r} only counts the rows; if so, use --drop {name}")
        else:
            found.categories.append(name)
            _warn_of_many(series)
    if not found.numbers and not found.categories:
        raise ValueError("the table has no column to learn from besides the target")
    return found


def _warn_of_many(series):
    n_values = series.nunique()
    if n_values > MANY_CATEGORIES:
        example = series.dropna().iloc[0]
        note(
            f"warning: column {series.name!r} has {n_values} different values, such as "
            f"{str(example)[:40]!r}, and each becomes an input; if they are names or identifiers, "
            f"use --drop {series.name}"
        )


def prepare(frame, columns, path, known=None):
    """Convert the columns to numbers and text, with NaN for missing values.

    Parameters
    ----------
    frame : DataFrame
    columns : Columns
    path : Path
        The table's file, for messages.
    known : dict of str to collection of str, optional
        For each column of categories, the texts that the model was trained on.

    Returns
    -------
    DataFrame
        Columns of float64, and of str as objects.

    Raises
    ------
    ValueError
        If a column is missing, or a column of numbers holds something else.
    """
    names = [*columns.numbers, *columns.categories]
    missing = [name for name in names if name not in frame]
    if missing:
        others = [name for name in frame.columns if name not in names]
        raise ValueError(
            f"{path} lacks columns that the model was trained on: {listed(missing)}. "
            f"Its columns that the model does not know: {listed(others) or 'none'}"
        )
    made = {name: _numbers(frame[name], path) for name in columns.numbers}
    for name in columns.categories:
        made[name] = _texts(frame[name])
        if known:
            given = ~frame[name].isna().to_numpy()
            made[name][given] = [as_known(text, known[name]) for text in made[name][given]]
    return pandas().DataFrame(made)


def _numbers(series, path):
    pd = pandas()
    values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (np.isnan(values) & ~series.isna().to_numpy()) | np.isinf(values)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{path}: column {series.name!r} has {str(series.iloc[row])!r} in row {row + 1}, "
            "but must hold finite numbers"
        )
    return values


def _texts(series):
    """Return the values as texts, NaN for missing ones."""
    if pandas().api.types.is_float_dtype(series):
        texts = [number_text(value) for value in series]
    else:
        texts = [str(value) for value in series]
    made = np.array(texts, dtype=object)
    made[series.isna().to_numpy()] = np.nan
    return made


def transformer(columns):
    """Return a scikit-learn transformer that prepares such columns, not yet fitted."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())]
    categories = [
        ("fill", SimpleImputer(strategy="constant", fill_value=MISSING)),
        ("encode", OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
    ]
    made = [
        ("numbers", Pipeline(numbers), columns.numbers),
        ("categories", Pipeline(categories), columns.categories),
    ]
    return ColumnTransformer([part for part in made if part[2]])


def of_transformer(fitted):
    """Return the `Columns` that a fitted transformer prepares."""
    names = {name: list(columns) for name, _, columns in fitted.transformers_}
    return Columns(names.get("numbers", []), names.get("categories", []))


def known_texts(fitted):
    """Return, for each column of categories, the texts that a fitted transformer has seen."""
    return {
        column: set(values)
        for name, steps, columns in fitted.transformers_
        if name == "categories"
        for column, values in zip(columns, steps["encode"].categories_, strict=True)
    }


def inputs(fitted):
    """Describe how each input of the network is computed.

    Parameters
    ----------
    fitted : ColumnTransformer
        The result of `transformer`, fitted.

    Returns
    -------
    list of dict
        One for each input, in order. A number has "column", "fill" (the replacement of missing
        values), "mean" and "scale": the input is (value - mean) / scale. A category has "column"
        and "equals": the input is 1 if the text equals that, else 0.
    """
    listed = []
    for name, steps, columns in fitted.transformers_:
        if name == "numbers":
            fills = steps["fill"].statistics_
            means, scales = steps["scale"].mean_, steps["scale"].scale_
            for j in range(len(columns)):
                made = {"fill": fills[j], "mean": means[j], "scale": scales[j]}
                listed.append(
                    {"column": columns[j], **{key: float(value) for key, value in made.items()}}
                )
        elif name == "categories":
            for column, values in zip(columns, steps["encode"].categories_, strict=True):
                listed += [{"column": column, "equals": str(value)} for value in values]
    return listed

"""Turns the features of a table into what a model takes.

For a single network, gaps are filled, numbers scaled and categories encoded. Estimators for tables
do that themselves.
"""

import numpy as np

from ..files import file, schema
from . import readings, store


def transformer(chosen):
    """Return a scikit-learn transformer that prepares features, not yet fitted.

    Parameters
    ----------
    chosen : dict of str to Reading
        The columns to learn from.

    Returns
    -------
    ColumnTransformer
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = [("fill", SimpleImputer(strategy="median")), ("scale", StandardScaler())]
    categories = [
        ("fill", SimpleImputer(strategy="constant", fill_value=readings.MISSING)),
        ("encode", OneHotEncoder(handle_unknown="ignore", sparse_output=False)),
    ]
    names: dict = {}
    for name, reading in chosen.items():
        names |= readings.names(name, reading)
    made = [
        ("numbers", Pipeline(numbers), [name for name, of_texts in names.items() if not of_texts]),
        (
            "categories",
            Pipeline(categories),
            [name for name, of_texts in names.items() if of_texts],
        ),
    ]
    return ColumnTransformer([part for part in made if part[2]])


def transform(fitted, features, path):
    """Return what a model takes for the features of a table.

    Parameters
    ----------
    fitted : ColumnTransformer, TabularClassifier or TabularRegressor
        See `store.parts_of`.
    features : DataFrame
    path : str
        The table's file, for messages.

    Returns
    -------
    ndarray of float64, shape (n_rows, n_inputs); or DataFrame

    Raises
    ------
    ValueError
        If an input is too large for float32, in which the networks compute.
    """
    if store.is_tabular(fitted):
        return features[list(fitted.feature_names_in_)]
    X = fitted.transform(features)
    wrong = np.abs(X) > np.finfo(np.float32).max
    if wrong.any():
        row, j = np.argwhere(wrong)[0]
        name = next(columns for name, _, columns in fitted.transformers_ if name == "numbers")[j]
        scale = fitted.named_transformers_["numbers"]["scale"]
        raise ValueError(
            f"{path}: column {name!r} has {features[name].iloc[row]:g} in row "
            f"{features.index[row] + 1}, too far from the rows of the training, which have mean "
            f"{scale.mean_[j]:g} and standard deviation {scale.scale_[j]:g}"
        )
    return X


def readings_of(stored):
    """Return how the columns are read that a model was trained on.

    Parameters
    ----------
    stored : Stored
        A model of the command `train`. Models of earlier versions have no readings in their notes:
        all their columns are plain numbers or categories.

    Returns
    -------
    dict of str to Reading
    """
    known = _kinds(store.parts(stored)[0])
    if "readings" not in stored.notes:
        return known
    with file.named(stored.path):
        document = schema.some_fields(
            "readings", stored.notes["readings"], stored.notes["readings"]
        )
        made = {name: readings.from_json(name, each) for name, each in document.items()}
        features: dict = {}
        for name, reading in made.items():
            features |= readings.names(name, reading)
        if features != {name: reading.kind == "category" for name, reading in known.items()}:
            raise ValueError("broken file: the readings are not of the columns of the model")
    return made


def _kinds(fitted):
    """Return how the features are read that a model knows."""
    if store.is_tabular(fitted):
        return {column.name: readings.Reading(column.kind) for column in fitted._columns}
    kinds = {"numbers": "number", "categories": "category"}
    return {
        column: readings.Reading(kinds[name])
        for name, _, columns in fitted.transformers_
        if name in kinds
        for column in columns
    }


def known_texts(fitted):
    """Return, for each feature that is a category, the texts that a model has seen."""
    if store.is_tabular(fitted):
        found = [column for column in fitted._columns if column.kind == "category"]
        return {
            column.name: {*column.categories, *([readings.MISSING] if incomplete else [])}
            for column, (_, incomplete) in zip(found, fitted._preparation.categories, strict=True)
        }
    return {
        column: set(values)
        for name, steps, columns in fitted.transformers_
        if name == "categories"
        for column, values in zip(columns, steps["encode"].categories_, strict=True)
    }


def owners(fitted, chosen):
    """Return the column of the table that each input of a model comes from."""
    if store.is_tabular(fitted):
        sources = _sources(chosen)
        return [sources[feature]["column"] for feature in fitted.feature_names_in_]
    return [each["column"] for each in inputs(fitted, chosen)]


def _sources(chosen):
    """Return, for each feature, the column that it comes from, and which part of a date it is."""
    sources = {}
    for name, reading in chosen.items():
        for feature in readings.names(name, reading):
            part = feature.removeprefix(f"{name} (").removesuffix(")")
            sources[feature] = {"column": name} | ({} if feature == name else {"part": part})
    return sources


# What the inputs of an exported estimator for tables are.
TYPES = {"number": "float64", "category": "text"}


def inputs(fitted, chosen):
    """Describe how each input of the network is computed, or each of an estimator for tables.

    Parameters
    ----------
    fitted : ColumnTransformer
        The result of `transformer`, fitted.
    chosen : dict of str to Reading
        The columns.

    Returns
    -------
    list of dict
        One for each input, in order. A number has "column", "fill" (the replacement of missing
        values), "mean" and "scale": the input is (value - mean) / scale. A category has "column"
        and "equals": the input is 1 if the text equals that, else 0. If the value is a part of a
        date ("year", "month" as 01 to 12, "weekday" in English, "hour", "days" since 1970-01-01),
        "part" says which. An input of an estimator for tables is the column or part itself; "input"
        is its name, "type" is "float64" or "text".
    """
    sources, listed = _sources(chosen), []
    if store.is_tabular(fitted):
        return [
            {**sources[column.name], "input": column.name, "type": TYPES[column.kind]}
            for column in fitted._columns
        ]
    for name, steps, columns in fitted.transformers_:
        if name == "numbers":
            fills = steps["fill"].statistics_
            means, scales = steps["scale"].mean_, steps["scale"].scale_
            for j in range(len(columns)):
                made = {"fill": fills[j], "mean": means[j], "scale": scales[j]}
                listed.append(
                    {**sources[columns[j]], **{key: float(value) for key, value in made.items()}}
                )
        elif name == "categories":
            for column, values in zip(columns, steps["encode"].categories_, strict=True):
                listed += [{**sources[column], "equals": str(value)} for value in values]
    return listed

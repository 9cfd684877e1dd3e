"""Converts scikit-learn's pipelines that end in one of our estimators to documents, and back.

`TABLE` lists the parameters and fitted attributes that are saved for each class; all other
parameters must have their defaults. Loading checks what compiled code in scikit-learn and SciPy
assumes, such as the order of categories and the number of features, so that no file can make that
code read beyond an array.
"""

from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

from ..basis import checks
from ..files import schema, values
from . import estimators

DEPTH = 6  # how deeply transformers may be nested
OUTPUTS = ("default", "pandas", "polars")  # choices of set_output
WORDS = ("passthrough", "drop")


# Readers of attributes: each takes a name, the JSON value and the number of features.


def _numbers(what, value, n):
    array = values.array_from_json(what, value, ("float32", "float64"), n)
    if not checks.all_finite(array):
        raise ValueError(f"broken file: {checks.not_finite(what, array)}")
    return array


def _numbers_or_none(what, value, n):
    return None if value is None else _numbers(what, value, n)


def _any_array(what, value, n):
    return values.array_from_json(what, value, length=n)


def _counts(what, value, n):
    """Return numbers of samples: one for all features, or an array with one for each."""
    if isinstance(value, dict):
        return values.array_from_json(what, value, ("int64", "float64"), n)
    is_float = isinstance(value, float)
    return np.float64(schema.real(what, value)) if is_float else schema.whole(what, value)


def _dtype(what, value, n):
    return np.dtype(schema.text(what, value, values.KINDS.keys() - {"str"}))


def _categories(what, value, n):
    found = []
    for entry in schema.listed(what, value, n):
        array = values.array_from_json(what, entry)
        if array.dtype.kind in "OU":
            right = len({(type(each), repr(each)) for each in array.tolist()}) == len(array)
        else:  # the encoder finds numbers by bisection, so they must be sorted
            rest = array[:-1] if (array[-1:] != array[-1:]).any() else array  # NaN comes last
            right = bool((rest[:-1] < rest[1:]).all())
        if not len(array) or not right:
            raise schema.wrong(what, array.tolist(), "distinct categories, numbers sorted")
        found.append(array)
    return found


class Row(NamedTuple):
    """A class, its saved parameters, and its fitted attributes with their readers."""

    made: Any
    parameters: tuple
    attributes: dict


TABLE = {
    "StandardScaler": Row(
        StandardScaler,
        ("copy", "with_mean", "with_std"),
        {
            "n_samples_seen_": _counts,
            "mean_": _numbers_or_none,
            "var_": _numbers_or_none,
            "scale_": _numbers_or_none,
        },
    ),
    "MinMaxScaler": Row(
        MinMaxScaler,
        ("copy", "clip", "feature_range"),
        {
            "n_samples_seen_": _counts,
            "scale_": _numbers,
            "min_": _numbers,
            "data_min_": _numbers,
            "data_max_": _numbers,
            "data_range_": _numbers,
        },
    ),
    "SimpleImputer": Row(
        SimpleImputer,
        ("missing_values", "strategy", "fill_value", "copy", "keep_empty_features"),
        {"statistics_": _any_array, "_fit_dtype": _dtype},
    ),
    "OneHotEncoder": Row(
        OneHotEncoder,
        ("categories", "drop", "dtype", "sparse_output", "handle_unknown"),
        {"categories_": _categories},
    ),
}
# ColumnTransformer contains other transformers, so it is no row of the table.
PARAMETERS_OF_COLUMNS = ("sparse_threshold", "verbose_feature_names_out")
COLUMNS = (
    *("class", "set_output", "parameters", "n_features_in_", "feature_names_in_", "transformers"),
    *("remainder", "rest", "sparse_output_", "output_indices_"),
)
SIMPLE = (
    *("class", "set_output", "parameters", "n_features_in_", "feature_names_in_", "attributes"),
)


def is_pipeline(model):
    """Return whether a model is scikit-learn's Pipeline."""
    return type(model) is Pipeline


def to_document(pipeline, tensors):
    """Return the document of a fitted pipeline, and add its estimator's arrays to `tensors`."""
    if not pipeline.steps:
        raise ValueError("the pipeline has no steps; its last step must be a fitted estimator")
    _defaults(pipeline, ("steps",))
    *steps, (name, last) = pipeline.steps
    return {
        "steps": [[step, _to_json(transformer)] for step, transformer in steps],
        "set_output": _output_to_json(pipeline),
        "name": name,
        "estimator": estimators.to_document(last, tensors),
    }


def from_document(document, tensors):
    """Return the pipeline that a document describes."""
    schema.fields("pipeline", document, ("steps", "set_output", "name", "estimator"))
    steps = _steps(document["steps"], DEPTH)
    name = schema.text("a step's name", document["name"])
    steps.append((name, estimators.from_document(document["estimator"], tensors)))
    return _with_output(Pipeline(_named_apart(steps)), document["set_output"])


def _defaults(transformer, saved):
    """Raise ValueError if a parameter that is not saved differs from its default."""
    parameters = transformer.get_params(deep=False)
    plain = type(transformer)(**{name: parameters[name] for name in _needed(transformer)})
    for name, default in plain.get_params(deep=False).items():
        value = parameters[name]
        if name not in saved and value is not default and value != default:
            raise ValueError(
                f"a {type(transformer).__name__} with {name}={value!r} cannot be saved, only with "
                f"the default {name}={default!r}"
            )


def _needed(transformer):
    """Return the names of the parameters that have no default."""
    return {"Pipeline": ("steps",), "ColumnTransformer": ("transformers",)}.get(
        type(transformer).__name__, ()
    )


def _to_json(transformer):
    """Return the document of a transformer, fitted or not, or "passthrough" or "drop"."""
    if transformer is None or isinstance(transformer, str):
        return schema.text("a transformer", transformer or "passthrough", WORDS)
    name = type(transformer).__name__
    if type(transformer) is Pipeline:
        _defaults(transformer, ("steps",))
        document: dict = {"steps": [[step, _to_json(part)] for step, part in transformer.steps]}
    elif type(transformer) is ColumnTransformer:
        document = _columns_to_json(transformer)
    elif name in TABLE and type(transformer) is TABLE[name].made:
        document = _simple_to_json(transformer, TABLE[name])
    else:
        known = ", ".join(["ColumnTransformer", "Pipeline", *TABLE])
        raise TypeError(f"cannot save a {name} in a pipeline, only {known} and our estimators")
    return {"class": name, "set_output": _output_to_json(transformer), **document}


def _simple_to_json(transformer, row):
    _defaults(transformer, row.parameters)
    attributes = {}
    fitted = hasattr(transformer, "n_features_in_")
    for key in row.attributes if fitted else ():
        attributes[key] = _attribute_to_json(key, getattr(transformer, key))
    return {
        "parameters": {
            key: values.to_json(key, getattr(transformer, key)) for key in row.parameters
        },
        "n_features_in_": transformer.n_features_in_ if fitted else None,
        "feature_names_in_": estimators.names_to_json(transformer),
        "attributes": attributes,
    }


def _attribute_to_json(key, value):
    if isinstance(value, np.ndarray):
        return values.array_to_json(key, value)
    if isinstance(value, list):
        return [values.array_to_json(key, array) for array in value]
    return value.name if isinstance(value, np.dtype) else values.to_json(key, value)


def _columns_to_json(transformer):
    _defaults(transformer, ("transformers", "remainder", *PARAMETERS_OF_COLUMNS))
    check_is_fitted(transformer)
    fitted = {name: (each, columns) for name, each, columns in transformer.transformers_}
    remainder, _ = fitted.get("remainder", (transformer.remainder, None))
    rest = [int(i) for i in transformer._transformer_to_input_indices["remainder"]]
    entries = []
    for name, given, columns in transformer.transformers:
        if callable(columns):
            raise ValueError(
                f"the columns of {name!r} are chosen by a function, which cannot be saved; pass a "
                "list of columns"
            )
        each = given if isinstance(given, str) else fitted[name][0]
        entries.append([name, _to_json(each), values.to_json(f"columns of {name!r}", columns)])
    return {
        "parameters": {
            key: values.to_json(key, getattr(transformer, key)) for key in PARAMETERS_OF_COLUMNS
        },
        "n_features_in_": transformer.n_features_in_,
        "feature_names_in_": estimators.names_to_json(transformer),
        "transformers": entries,
        "remainder": _to_json(
            transformer.remainder if isinstance(transformer.remainder, str) else remainder
        ),
        "rest": rest,  # listed, so that a small file cannot claim a huge number of columns
        "sparse_output_": bool(transformer.sparse_output_),
        "output_indices_": [
            [name, part.start, part.stop] for name, part in transformer.output_indices_.items()
        ],
    }


def _output_to_json(transformer):
    return getattr(transformer, "_sklearn_output_config", {}).get("transform")


def _with_output(transformer, output):
    if output is not None:
        transformer._sklearn_output_config = {"transform": schema.text("output", output, OUTPUTS)}
    return transformer


def _from_json(document, depth):
    """Return the transformer that a document describes, or "passthrough" or "drop"."""
    if isinstance(document, str):
        return schema.text("a transformer", document, WORDS)
    if not isinstance(document, dict) or depth == 0:
        raise schema.wrong("a transformer", document, "a JSON object, not nested deeply")
    known = ("Pipeline", "ColumnTransformer", *TABLE)
    name = schema.text("a transformer's class", document.get("class"), known)
    if name == "Pipeline":
        schema.fields(name, document, ("class", "set_output", "steps"))
        made = Pipeline(_named_apart(_steps(document["steps"], depth - 1)))
        if not made.steps:
            raise schema.wrong("a pipeline", document, "a list of at least one step")
    elif name == "ColumnTransformer":
        made = _columns_from_json(document, depth)
    else:
        made = _simple_from_json(name, document)
    return _with_output(made, document["set_output"])


def _steps(document, depth):
    steps = []
    for step in schema.listed("steps", document):
        name, each = schema.listed("a step", step, 2)
        steps.append((schema.text("a step's name", name), _from_json(each, depth)))
        if steps[-1][1] == "drop":
            raise schema.wrong("a step of a pipeline", "drop", "a transformer or passthrough")
    return steps


def _named_apart(entries):
    """Return the entries; raise ValueError if scikit-learn would refuse their names."""
    names = [entry[0] for entry in entries]
    if len(set(names)) < len(names) or any("__" in name for name in names):
        raise schema.wrong("names of steps", names, "distinct, and without __")
    return entries


def _simple_from_json(name, document):
    row = TABLE[name]
    schema.fields(name, document, SIMPLE)
    made = estimators.with_parameters(row.made, row.parameters, document["parameters"])
    if document["n_features_in_"] is None:
        schema.fields(f"attributes of {name}, not fitted", document["attributes"], ())
        return made
    n = made.n_features_in_ = schema.whole("n_features_in_", document["n_features_in_"])
    estimators.set_names(made, document["feature_names_in_"], n)
    attributes = schema.fields(f"attributes of {name}", document["attributes"], row.attributes)
    for key, value in attributes.items():
        setattr(made, key, row.attributes[key](key, value, n))
    if name == "SimpleImputer":
        made.indicator_, made._fill_dtype = None, made._fit_dtype
    if name == "OneHotEncoder":
        if made.dtype not in values.DTYPES.values():
            raise schema.wrong("dtype of OneHotEncoder", made.dtype, "float32 or float64")
        drop = [] if made.drop is None or isinstance(made.drop, str) else made.drop
        if type(drop) is not list or any(type(each) in (list, tuple, dict) for each in drop):
            raise schema.wrong("drop of OneHotEncoder", drop, "one category for each feature")
        made._infrequent_enabled = False
        made._set_drop_idx()
        made._n_features_outs = made._compute_n_features_outs()
    return made


def _columns_from_json(document, depth):
    schema.fields("ColumnTransformer", document, COLUMNS)
    n = schema.whole("n_features_in_", document["n_features_in_"])
    fitted, indices = [], {}
    for entry in schema.listed("transformers", document["transformers"]):
        name, each, columns = schema.listed("an entry of transformers", entry, 3)
        name = schema.text("a transformer's name", name)
        fitted.append((name, _from_json(each, depth - 1), values.from_json("columns", columns)))
    _named_apart([*fitted, ("remainder",)])
    remainder = _from_json(document["remainder"], depth - 1)
    parameters = schema.fields("parameters", document["parameters"], PARAMETERS_OF_COLUMNS)
    made = ColumnTransformer(
        [(name, _unfitted(each), columns) for name, each, columns in fitted],
        remainder=_unfitted(remainder),
        sparse_threshold=schema.real("sparse_threshold", parameters["sparse_threshold"]),
        verbose_feature_names_out=schema.flag(
            "verbose_feature_names_out", parameters["verbose_feature_names_out"]
        ),
    )
    made.n_features_in_ = n
    estimators.set_names(made, document["feature_names_in_"], n)
    indices = {name: _indices(columns, made) for name, _, columns in fitted}
    rest = [schema.whole("rest", i) for i in schema.listed("rest", document["rest"])]
    used = {i for found in indices.values() for i in found}
    if len(used) + len(rest) != n or used | set(rest) != set(range(n)):
        raise schema.wrong("rest", rest, f"the columns out of {n} that are not selected")
    chosen = [columns for _, _, columns in fitted]
    selected = [each for columns in chosen for each in np.atleast_1d(columns).tolist()]
    by_name = bool(selected) and all(isinstance(each, str) for each in selected)
    left_over = made.feature_names_in_[rest].tolist() if by_name else rest
    if rest:
        fitted.append(("remainder", remainder, left_over))
    made._columns, made._remainder = chosen, ("remainder", made.remainder, left_over)
    made._transformer_to_input_indices = {**indices, "remainder": rest}
    made.transformers_ = [
        (name, _working(made, each, made._transformer_to_input_indices[name], document), columns)
        for name, each, columns in fitted
    ]
    made.sparse_output_ = schema.flag("sparse_output_", document["sparse_output_"])
    made.output_indices_ = {}
    for entry in schema.listed("output_indices_", document["output_indices_"]):
        name, start, stop = schema.listed("output_indices_", entry, 3)
        part = slice(schema.whole("start", start), schema.whole("stop", stop))
        made.output_indices_[schema.text("a transformer's name", name)] = part
    return made


def _unfitted(each):
    return each if isinstance(each, str) else clone(each)


def _working(made, each, indices, document):
    """Return the fitted transformer of some columns, as ColumnTransformer.fit would set it."""
    if each == "passthrough":
        each = FunctionTransformer(
            accept_sparse=True, check_inverse=False, feature_names_out="one-to-one"
        )
        each.n_features_in_ = len(indices)
        if hasattr(made, "feature_names_in_"):
            each.feature_names_in_ = made.feature_names_in_[indices]
        return _with_output(each, document["set_output"] or "default")
    if getattr(each, "n_features_in_", len(indices)) != len(indices):
        raise schema.wrong(
            "n_features_in_", each.n_features_in_, f"{len(indices)}, the number of its columns"
        )
    return each


def _indices(columns, made):
    """Return the indices of columns that are selected by index, by name or by a mask."""
    selected = columns if isinstance(columns, list) else [columns]
    n = made.n_features_in_
    names = getattr(made, "feature_names_in_", ())
    if selected and all(type(each) is bool for each in selected) and len(selected) == n:
        return [i for i, chosen in enumerate(selected) if chosen]
    if all(type(each) is int and -n <= each < n for each in selected):
        return [each % n for each in selected]
    positions = {name: i for i, name in enumerate(names)}
    if all(type(each) is str and each in positions for each in selected):
        return [positions[each] for each in selected]
    raise schema.wrong("columns", columns, "indices or names of columns, or a mask of them")

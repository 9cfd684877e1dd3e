"""Converts the estimators for tables to a JSON document and arrays, and back.

Saved are the parameters, the columns, their preparation, the networks that count, and the errors of
held-out rows.
"""

import dataclasses

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ..files import calibration, schema, values
from ..files import network as networks
from ..network.network import Network
from ..tabular import columns, preparation, recipes
from ..tabular.encodings import TargetEncodings
from ..tabular.estimators import TabularClassifier, TabularRegressor
from ..tabular.trials import Trial
from . import estimators

CLASSES: dict = {"TabularClassifier": TabularClassifier, "TabularRegressor": TabularRegressor}
FIELDS = (
    *("class", "parameters", "feature_names_in_", "columns", "bins", "categories", "members"),
    *("leaderboard", "targets"),
)
COLUMN = ("name", "kind", "categories")
MEMBER = ("recipe", "loss", "weight", "networks")
ENCODED = "encoded"  # which categories have target encodings, if any
ROW = ("recipe", "columns", "loss", "weight")
CLASS_FIELDS, NUMBER_FIELDS = ("classes_", "multilabel"), ("column", "mean", "spread")
# Tensors with one number for each number of the table, and for each column of the table.
OF_NUMBERS = ("medians", "scales")
OF_COLUMNS = ("feature_importances_", "feature_importances_std_")


def to_document(model, tensors):
    """Return the document of a fitted estimator, and add its arrays to `tensors`."""
    check_is_fitted(model)
    prepared = model._preparation
    for name in OF_NUMBERS:
        tensors[name] = getattr(prepared, name)
    tensors["missing"] = prepared.missing.astype(np.float64)
    for bins, edges in prepared.edges.items():
        tensors |= {f"edges.{bins}.{j}": array for j, array in enumerate(edges)}
    for name in OF_COLUMNS:
        tensors[name] = getattr(model, name)
    encodings = prepared.encodings
    if encodings is not None:
        tensors |= {f"means.{i}": table for i, table in enumerate(encodings.tables)}
    members = []
    for i, member in enumerate(model._members):
        documents = []
        for k, network in enumerate(member.networks):
            own: dict = {}
            documents.append(networks.to_document(network, own))
            tensors |= {f"{i}.{k}.{name}": array for name, array in own.items()}
        tensors[f"kept.{i}"] = member.columns.astype(np.float64)
        members.append(
            {
                "recipe": values.to_json("recipe", dataclasses.asdict(member.recipe)),
                "loss": member.loss,
                "weight": member.weight,
                "networks": documents,
            }
        )
    document = {
        "class": type(model).__name__,
        "parameters": {
            key: values.to_json(key, value) for key, value in model.get_params(deep=False).items()
        },
        "feature_names_in_": estimators.names_to_json(model),
        "columns": [
            {
                "name": values.to_json("a column's name", column.name),
                "kind": column.kind,
                "categories": values.to_json("categories", list(column.categories)),
            }
            for column in model._columns
        ],
        "bins": sorted(prepared.edges),
        "categories": [list(pair) for pair in prepared.categories],
        "members": members,
        "leaderboard": model.leaderboard_,
        "targets": _targets_to_json(model),
    }
    if encodings is not None:
        document[ENCODED] = list(encodings.columns)
    if not is_classifier(model):
        calibration.put(model, document, tensors)
    return document


def _targets_to_json(model):
    if is_classifier(model):
        return {
            "classes_": values.array_to_json("classes_", model.classes_),
            "multilabel": model._multilabel,
        }
    return {
        "column": model._column,
        "mean": model._mean.tolist(),
        "spread": model._spread.tolist(),
    }


def from_document(document, tensors):
    """Return the estimator that a document describes."""
    schema.some_fields("the estimator", document, (*FIELDS, ENCODED, calibration.NAME), FIELDS)
    cls = CLASSES[schema.text("the estimator's class", document["class"], CLASSES)]
    model = estimators.with_parameters(cls, cls._get_param_names(), document["parameters"])
    model._columns = [_column(entry) for entry in schema.listed("columns", document["columns"])]
    n = model.n_features_in_ = len(model._columns)
    estimators.set_names(model, document["feature_names_in_"], n)
    owners = columns.owners(model._columns)
    model._preparation = _preparation(document, model._columns, tensors)
    n_outputs = _set_targets(model, document["targets"])
    if ENCODED in document:
        model._preparation.encodings = _encodings(document[ENCODED], model, n_outputs, tensors)
    model.leaderboard_ = [
        _row(entry) for entry in schema.listed("leaderboard", document["leaderboard"])
    ]
    for name in OF_COLUMNS:
        setattr(model, name, tensors.take(name, np.float64, (n,)))
    scores = calibration.take(document, tensors)
    found = schema.listed("members", document["members"])
    kept = [tensors.take(f"kept.{i}", np.float64, (len(owners),)) != 0 for i in range(len(found))]
    parts = tensors.split()  # those of the networks are left
    model._members = [
        _member(entry, columns_, parts.pop(str(i), schema.Tensors({})), model, n_outputs)
        for i, (entry, columns_) in enumerate(zip(found, kept, strict=True))
    ]
    if parts or not model._members:
        raise schema.wrong(
            "members", len(model._members), "at least one, and as many as have tensors"
        )
    if scores is not None:
        calibration.restore(model, scores, model._members[0].networks[0])
    return model


def _column(document):
    schema.fields("a column", document, COLUMN)
    kind = schema.text("a column's kind", document["kind"], columns.KINDS)
    listed = schema.listed("categories", document["categories"])
    found = tuple(values.from_json("a category", entry) for entry in listed)
    if any(not isinstance(entry, (bool, int, float, str)) for entry in found):
        raise schema.wrong("categories", found, "numbers or strings")
    if len(set(found)) < len(found) or (found and kind != columns.CATEGORY):
        raise schema.wrong("categories", found, "distinct, and of a category")
    return columns.Column(values.from_json("a column's name", document["name"]), kind, found)


def _preparation(document, found, tensors):
    n_numbers = len(columns.owners(found)) - sum(c.kind == columns.CATEGORY for c in found)
    arrays = {name: tensors.take(name, np.float64, (n_numbers,)) for name in OF_NUMBERS}
    missing = tensors.take("missing", np.float64, (n_numbers,)) != 0
    edges = {}
    for bins in schema.listed("bins", document["bins"]):
        bins = schema.whole("bins", bins, 1, 2**16)
        edges[bins] = [tensors.take(f"edges.{bins}.{j}", np.float64) for j in range(n_numbers)]
        for array in edges[bins]:
            if len(array) in (1, 2) or not (np.diff(array) > 0).all():
                raise schema.wrong("edges", array.tolist(), "none, or at least 3 that increase")
    with_codes = [column for column in found if column.kind == columns.CATEGORY]
    pairs = []
    for pair, column in zip(
        schema.listed("categories", document["categories"], len(with_codes)),
        with_codes,
        strict=True,
    ):
        count, incomplete = schema.listed("a category's inputs", pair, 2)
        most = min(len(column.categories), preparation.MOST_CATEGORIES + 1)
        pairs.append(
            (
                schema.whole("a category's inputs", count, 0, most),
                schema.flag("whether values were missing", incomplete),
            )
        )
    return preparation.Preparation(**arrays, missing=missing, edges=edges, categories=pairs)


def _encodings(document, model, n_outputs, tensors):
    """Return the target encodings, whose columns are listed in the document."""
    counts = [len(c.categories) for c in model._columns if c.kind == columns.CATEGORY]
    found = [
        schema.whole("an encoded category", j, 0, len(counts) - 1)
        for j in schema.listed(ENCODED, document)
    ]
    if not found or sorted(set(found)) != found:
        raise schema.wrong(ENCODED, document, "numbers of categories that increase")
    pair = is_classifier(model) and not model._multilabel and n_outputs == 2
    width = 1 if pair else n_outputs
    tables = [
        tensors.take(f"means.{i}", np.float32, (None, counts[j] + 2, width))
        for i, j in enumerate(found)
    ]
    if len({len(table) for table in tables}) > 1:
        raise schema.wrong("the means' folds", [len(table) for table in tables], "as many of each")
    return TargetEncodings(found, tables)


def _set_targets(model, document):
    """Set what predictions need to know about y; return the number of outputs."""
    if is_classifier(model):
        schema.fields("targets", document, CLASS_FIELDS)
        model.classes_ = values.array_from_json("classes_", document["classes_"])
        model._multilabel = schema.flag("multilabel", document["multilabel"])
        return len(model.classes_)
    schema.fields("targets", document, NUMBER_FIELDS)
    model._column = schema.flag("column", document["column"])
    mean, spread = (
        [schema.real(name, value) for value in schema.listed(name, document[name])]
        for name in ("mean", "spread")
    )
    if len(mean) != len(spread) or not mean or min(spread) < 0 or (model._column and len(mean) > 1):
        raise schema.wrong("mean and spread", (mean, spread), "one of each for each output")
    model._mean, model._spread = np.array(mean), np.array(spread)
    return len(mean)


def _recipe(document):
    kinds = {field.name: field.type for field in dataclasses.fields(recipes.Recipe)}
    found = values.from_json("recipe", document)
    if not isinstance(found, dict) or found.keys() != kinds.keys():
        raise schema.wrong("recipe", found, f"of the fields {sorted(kinds)}")
    for name, value in found.items():
        if type(value).__name__ != kinds[name]:
            raise schema.wrong(f"the recipe's {name}", value, f"of type {kinds[name]}")
    return recipes.Recipe(**found)


def _member(document, kept, tensors, model, n_outputs):
    schema.fields("a member", document, MEMBER)
    recipe = _recipe(document["recipe"])
    if recipe.bins and recipe.bins not in model._preparation.edges:
        raise schema.wrong("a recipe's bins", recipe.bins, "0, or bins of the preparation")
    shared, encoded = model._preparation.used(kept, recipe.bins)
    width = int(shared.sum() + encoded.sum())
    made, parts = [], tensors.split()
    for k, entry in enumerate(schema.listed("networks", document["networks"])):
        own = parts.pop(str(k), schema.Tensors({}))
        network = networks.from_document(Network, entry, own, model.backend)
        own.end()
        sizes = network.layout.sizes
        if (sizes[0], sizes[-1]) != (width, n_outputs):
            raise schema.wrong("a network's sizes", list(sizes), f"from {width} to {n_outputs}")
        made.append(network)
    if parts or not made:
        raise schema.wrong("networks", len(made), "at least one, and as many as have tensors")
    if encoded.any() and len(made) != len(model._preparation.encodings.tables[0]):
        raise schema.wrong("networks", len(made), "one for each fold of the means")
    loss, weight = (schema.real(name, document[name]) for name in ("loss", "weight"))
    return Trial(recipe, kept, made, np.empty((0, n_outputs)), loss, weight)


def _row(document):
    schema.fields("a row of the leaderboard", document, ROW)
    return {
        "recipe": schema.text("recipe", document["recipe"]),
        "columns": schema.whole("columns", document["columns"]),
        "loss": schema.real("loss", document["loss"]),
        "weight": schema.real("weight", document["weight"]),
    }

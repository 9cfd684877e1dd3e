"""Writes estimators for tables as ONNX graphs, their preparation of the columns included."""

import numpy as np
from sklearn.base import is_classifier

from ..exchange.onnx_export import Graph, check_opset, helper, write_layers, write_model
from . import columns, preparation

# Older operators lack some types of numbers.
OLDEST_OPSET = 13
ML = "ai.onnx.ml"  # the domain of LabelEncoder, and its version
ML_VERSION = 2
DOUBLE = helper.np_dtype_to_tensor_dtype(np.dtype(np.float64))
# Larger scaled numbers would overflow when they are squared; all are clipped to the same value.
LARGEST = 1e150


def to_onnx(model, path, opset):
    """See Tabular.to_onnx."""
    check_opset(opset, OLDEST_OPSET)
    names = frozenset(getattr(model, "feature_names_in_", ["X"]))
    for name in names & {"", "prediction", "probabilities"}:
        raise ValueError(
            f"a column is called {name!r}, which cannot be the name of an input: the graph has "
            "outputs 'prediction' and 'probabilities'; rename the column, and fit again"
        )
    graph = Graph(np.float64, int(opset), taken=names)
    inputs, numbers, codes = _inputs(graph, model)
    total = None
    prepared: dict = {}
    means: dict = {}
    for i, member in enumerate(model._members):
        bins = member.recipe.bins
        if bins not in prepared:
            prepared[bins] = _prepared(graph, model._preparation, numbers, codes, bins)
        shared, encoded = model._preparation.used(member.columns, bins)
        used = _columns(graph, prepared[bins], np.flatnonzero(shared), f"used_{i}")
        for k, network in enumerate(member.networks):
            own = used
            if encoded.any():
                own = _encoded(graph, model._preparation.encodings, codes, encoded, used, k, means)
            part = Graph(network.layout.dtype, graph.opset, graph, f"{i}.{k}.")
            h = write_layers(part, own, network, network._engine.output_activation)
            share = member.weight / len(member.networks)
            h = graph.add("Mul", graph.add("Cast", h, to=DOUBLE), share)
            total = h if total is None else graph.add("Add", total, h)
    outputs = (
        _classes(graph, model, total) if is_classifier(model) else _values(graph, model, total)
    )
    opsets = {"": opset, ML: ML_VERSION}
    write_model(path, graph, type(model).__name__, inputs, outputs, opsets)


def _inputs(graph, model):
    """Return the graph's inputs, its numbers, and a code for each category."""
    _refuse(model)
    if not hasattr(model, "feature_names_in_"):
        for column in model._columns:
            if column.kind == columns.CATEGORY:
                raise ValueError(
                    f"column {column.name!r} holds texts, and the columns have no names, which the "
                    "inputs of a graph need; fit to a DataFrame whose columns have strings as names"
                )
        shape = ["n_samples", model.n_features_in_]
        return [helper.make_tensor_value_info("X", DOUBLE, shape)], "X", []
    infos, numbers, codes = [], [], []
    for column in model._columns:
        of_texts = column.kind == columns.CATEGORY
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(object)) if of_texts else DOUBLE
        infos.append(helper.make_tensor_value_info(column.name, kind, ["n_samples", 1]))
        if of_texts:
            codes.append(_codes(graph, column))
        else:
            numbers.append(column.name)
    return infos, graph.add("Concat", *numbers, axis=1) if numbers else None, codes


def _refuse(model):
    incomplete = iter(model._preparation.categories)
    for column in model._columns:
        if column.kind == columns.DATE:
            raise ValueError(
                f"column {column.name!r} holds dates, which ONNX does not have; replace it by "
                "numbers, such as year, month and elapsed days, and fit again"
            )
        if not all(isinstance(value, str) for value in column.categories):
            raise ValueError(
                f"the categories of column {column.name!r} are not all texts, such as "
                f"{column.categories[0]!r}; turn them into texts with astype(str), and fit again"
            )
        if column.kind == columns.CATEGORY and next(incomplete)[1] and "" in column.categories:
            raise ValueError(
                f"column {column.name!r} has both empty texts and missing values, which a graph "
                "cannot tell apart, since it has the empty text for a missing value; replace one "
                "of them by a text, or both by NaN, and fit again"
            )


def _codes(graph, column):
    """Return the codes of a category as numbers; the empty text stands for a missing value."""
    keys, values = list(column.categories), list(range(len(column.categories)))
    if "" not in keys:
        keys, values = [*keys, ""], [*values, columns.MISSING]
    code = graph.add(
        "LabelEncoder",
        column.name,
        domain=ML,
        keys_strings=keys,
        values_int64s=values,
        default_int64=columns.UNKNOWN,
    )
    return graph.add("Cast", code, to=DOUBLE)


def _columns(graph, matrix, indices, name):
    """Return some columns of a matrix."""
    return graph.add("Gather", matrix, graph.tensor(np.asarray(indices, np.int64), name), axis=1)


def _prepared(graph, fitted, numbers, codes, bins):
    """Return the inputs of networks, as `Preparation.inputs` computes them."""
    parts = []
    if numbers:
        absent = graph.add("IsNaN", numbers)
        medians = graph.constant(fitted.medians[None], f"medians_{bins}")
        filled = graph.add("Where", absent, medians, numbers)
        scales = graph.constant(fitted.scales[None], f"scales_{bins}")
        most = float(preparation.MOST)
        z = graph.add("Sub", filled, medians)
        z = graph.add("Max", graph.add("Min", z, most), -most)
        z = graph.add("Mul", z, scales)
        z = graph.add("Max", graph.add("Min", z, LARGEST), -LARGEST)
        ratio = graph.add("Div", z, preparation.CLIP)
        square = graph.add("Add", graph.add("Mul", ratio, ratio), 1.0)
        parts.append(graph.add("Div", z, graph.add("Sqrt", square)))
        if fitted.missing.any():
            said = graph.add("Cast", absent, to=DOUBLE)
            parts.append(_columns(graph, said, np.flatnonzero(fitted.missing), f"missing_{bins}"))
        for j, edges in enumerate(fitted.edges[bins] if bins else []):
            if len(edges):
                x = _columns(graph, filled, np.array([j]), f"column_{bins}_{j}")
                lower = graph.constant(edges[None, :-1], f"lower_{bins}_{j}")
                width = graph.constant(np.diff(edges)[None], f"width_{bins}_{j}")
                part = graph.add("Div", graph.add("Sub", x, lower), width)
                parts.append(graph.add("Max", graph.add("Min", part, 1.0), 0.0))
    pairs = zip(codes, fitted.categories, strict=True)
    for j, (code, (count, incomplete)) in enumerate(pairs):
        if count == 2 and not incomplete:
            known = graph.constant(np.array([[0.0, 1.0]]), f"known_{bins}_{j}")
            signs = graph.constant(np.array([[-1.0], [1.0]]), f"signs_{bins}_{j}")
            equal = graph.add("Cast", graph.add("Equal", code, known), to=DOUBLE)
            parts.append(graph.add("MatMul", equal, signs))
            continue
        if count > preparation.MOST_CATEGORIES:
            code = graph.add("Min", code, float(preparation.MOST_CATEGORIES))
        first = columns.MISSING if incomplete else 0
        known = graph.constant(np.arange(first, count)[None], f"known_{bins}_{j}")
        parts.append(graph.add("Cast", graph.add("Equal", code, known), to=DOUBLE))
    whole = graph.add("Concat", *parts, axis=1)
    return graph.add("Cast", whole, to=helper.np_dtype_to_tensor_dtype(np.dtype(np.float32)))


def _encoded(graph, encodings, codes, used, inputs, fold, made):
    """Return the inputs of a fold's network: those that all share, and target encodings.

    `made` keeps the encodings of all folds, which other recipes have, too.
    """
    parts = [inputs]
    for i, (j, tables) in enumerate(zip(encodings.columns, encodings.tables, strict=True)):
        width = tables.shape[2]
        if not used[i * width]:
            continue
        if (fold, i) not in made:
            table = graph.tensor(tables[fold], f"means_{fold}_{i}")
            code = graph.add("Cast", codes[j], to=helper.np_dtype_to_tensor_dtype(np.dtype("i8")))
            shape = graph.tensor(np.array([-1, width]), f"shape_{fold}_{i}")
            rows = graph.add("Gather", table, code, axis=0)
            made[fold, i] = graph.add("Reshape", rows, shape)
        parts.append(made[fold, i])
    return graph.add("Concat", *parts, axis=1)


def _values(graph, model, total):
    """Add the output of a regressor; return its description."""
    spread = graph.constant(model._spread[None], "spread")
    mean = graph.constant(model._mean[None], "mean")
    graph.add("Add", graph.add("Mul", total, spread), mean, output="prediction")
    return [helper.make_tensor_value_info("prediction", DOUBLE, ["n_samples", len(model._spread)])]


def _classes(graph, model, total):
    """Add the outputs of a classifier; return their descriptions."""
    n = len(model.classes_)
    whole = helper.np_dtype_to_tensor_dtype(np.dtype(np.int64))
    probabilities = helper.make_tensor_value_info("probabilities", DOUBLE, ["n_samples", n])
    if model._multilabel:
        graph.add("Identity", total, output="probabilities")
        graph.add("Cast", graph.add("Greater", total, 0.5), to=whole, output="prediction")
        return [
            helper.make_tensor_value_info("prediction", whole, ["n_samples", n]),
            probabilities,
        ]
    ones = graph.constant(np.ones((n, 1)), "ones")
    p = graph.add("Div", total, graph.add("MatMul", total, ones), output="probabilities")
    kind = object if model.classes_.dtype.kind in "OU" else model.classes_.dtype
    labels = graph.tensor(model.classes_.astype(kind), "labels")
    graph.add("Gather", labels, graph.add("ArgMax", p, axis=1, keepdims=0), output="prediction")
    of_labels = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return [
        helper.make_tensor_value_info("prediction", of_labels, ["n_samples"]),
        probabilities,
    ]

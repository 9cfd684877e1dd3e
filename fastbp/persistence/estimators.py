"""Converts estimators to a JSON document and arrays, and back.

Saved are the parameters, and the fitted attributes that prediction and further training need. Not
saved are metadata requests, and the state of a generator that was passed as random_state.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.base import is_classifier
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.validation import check_is_fitted

from ..basis import checks, loss_parameters, spec
from ..engine import distributions
from ..estimators.mlp import MLPClassifier, MLPRegressor
from ..estimators.network import OUTPUTS
from ..estimators.parameters import hidden_activations
from ..estimators.stepping import AdamStepping, SGDStepping
from ..estimators.targets import TargetScale
from ..files import calibration, schema, values
from ..files.network import (
    fill_memory,
    get_memory,
    get_parameters,
    layout_of,
    put_memory,
    put_parameters,
)
from ..rules.optimizers import SGD, Adam, Optimizer
from ..training.run import Memory

CLASSES: dict = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
FIELDS = (
    *("class", "parameters", "layer_sizes", "dtype", "feature_names_in_", "classes"),
    *("fitted", "curves", "optimizer"),
)
# Fitted attribute -> its check. Not every fit sets all of them.
FITTED: dict = {
    "out_activation_": partial(schema.text, choices=OUTPUTS),
    "n_iter_": schema.whole,
    "t_": schema.whole,
    "_no_improvement_count": schema.whole,
    "loss_": schema.number,
    "best_loss_": partial(schema.optional, schema.number),
    "best_validation_score_": partial(schema.optional, schema.number),
}
ALWAYS_FITTED = ("out_activation_", "n_iter_", "t_")
# Per-epoch records, which may be None -> conversion to the type that fit sets.
CURVES: dict = {"loss_curve_": list, "validation_scores_": np.ndarray.tolist}
CLASS_FIELDS = ("classes_", "y_type_", "sparse_input_")
OPTIMIZER = ("optimizer", "schedule", "power_t")
# Parameters that files of earlier versions lack, and those of estimators that leave them at these.
LATER = {"monotonic_cst": None, "norm": None, "residual": False, "normalize_y": False}
TARGET_SCALE = "target_scale"  # of the regressor's y, if it is normalised
SCHEDULES = ("constant", "invscaling", "adaptive")


def to_document(estimator, tensors):
    """Return the document of a fitted estimator, and add its arrays to `tensors`."""
    name = type(estimator).__name__
    if CLASSES.get(name) is not type(estimator):
        raise TypeError(
            f"cannot save a {name}, only a Network, fastbp's MLPClassifier and "
            "MLPRegressor, their ensembles, TabularClassifier and TabularRegressor, and "
            "scikit-learn's Pipelines that end in an MLPClassifier or MLPRegressor; for a search, "
            "save its best_estimator_"
        )
    check_is_fitted(estimator)
    estimator._validate_params()  # the user may have set parameters after fit
    if len(estimator.callbacks) or getattr(estimator, "_skl_callbacks", None):
        raise ValueError(
            "callbacks of an estimator cannot be saved; remove them first, for example with "
            "set_params(callbacks=())"
        )
    if estimator.out_activation_ != estimator._output_activation():
        raise ValueError(
            f"out_activation_ {estimator.out_activation_!r} does not match the loss, and cannot be "
            f"saved; set it to {estimator._output_activation()!r}, or fit again"
        )
    network, attributes = estimator._network(), vars(estimator)
    parameters = estimator.get_params(deep=False)
    for key, usual in LATER.items():
        if key in parameters and parameters[key] is usual:
            del parameters[key]
    put_parameters(network, tensors)
    for key in CURVES:
        if attributes.get(key) is not None:
            tensors[key] = np.array(attributes[key], np.float64)
    document = {
        "class": name,
        "parameters": {key: values.to_json(key, value) for key, value in parameters.items()},
        "layer_sizes": list(network.layout.sizes),
        "dtype": network.layout.dtype.name,
        "feature_names_in_": names_to_json(estimator),
        "classes": _classes_to_json(estimator) if is_classifier(estimator) else None,
        "fitted": {
            key: values.to_json(key, attributes[key]) for key in FITTED if key in attributes
        },
        "curves": {key: attributes[key] is not None for key in CURVES if key in attributes},
        "optimizer": _stepping_to_json(attributes.get("_optimizer"), network.layout, tensors),
    }
    if isinstance(estimator, MLPRegressor):
        calibration.put(estimator, document, tensors)
        if estimator._target_scale is not None:
            scale = estimator._target_scale._asdict()
            document[TARGET_SCALE] = {key: array.tolist() for key, array in scale.items()}
    return document


def names_to_json(estimator):
    """Return feature_names_in_ of an estimator as JSON, None if it has none."""
    names = getattr(estimator, "feature_names_in_", None)
    return None if names is None else values.array_to_json("feature_names_in_", names)


def _classes_to_json(estimator):
    binarizer = estimator._label_binarizer
    return {
        "classes_": values.array_to_json("classes_", estimator.classes_),
        "y_type_": binarizer.y_type_,
        "sparse_input_": bool(binarizer.sparse_input_),
    }


def _stepping_to_json(stepping, layout, tensors):
    """Return the optimiser's document; None if there is none, or none that training can resume."""
    if (
        stepping is None
        or stepping.made_for != (layout.sizes, layout.dtype)  # coefs_ have been replaced
        or not checks.all_finite(stepping.memory.state)  # training diverged
    ):
        return None
    optimizer = stepping.optimizer
    stepping.load()  # the user may have set its attributes
    put_memory(_needed(stepping.memory, optimizer), layout, tensors)
    sgd = isinstance(stepping, SGDStepping)
    return {
        "optimizer": values.to_json("optimizer", optimizer),
        "schedule": stepping.lr_schedule if sgd else "constant",
        "power_t": stepping.power_t if sgd else 0.5,
    }


def _needed(memory, optimizer):
    """Return the memory without velocities if the momentum is 0, else all of it."""
    return Memory(memory.hyper, memory.counters, memory.state[: optimizer.slots])


def from_document(document, tensors):
    """Return the estimator that a document describes."""
    schema.some_fields("estimator", document, (*FIELDS, calibration.NAME, TARGET_SCALE), FIELDS)
    name = schema.text("the estimator's class", document["class"], CLASSES)
    given = document["parameters"]
    names = [
        key
        for key in CLASSES[name]._get_param_names()
        if key not in LATER or (isinstance(given, dict) and key in given)
    ]
    estimator = with_parameters(CLASSES[name], names, given)
    if type(estimator.callbacks) not in (tuple, list) or estimator.callbacks:
        raise schema.wrong("callbacks", estimator.callbacks, "none")
    fitted = document["fitted"]
    for key, value in schema.some_fields("fitted", fitted, FITTED, ALWAYS_FITTED).items():
        value = FITTED[key](key, values.from_json(key, value))
        scalar = key in ("loss_", "best_loss_") and value is not None and math.isfinite(value)
        setattr(estimator, key, np.float64(value) if scalar else value)
    layout = _layout(estimator, document)
    estimator.n_features_in_, estimator.n_outputs_ = layout.sizes[0], layout.n_targets
    estimator.n_layers_ = len(layout.sizes)
    set_names(estimator, document["feature_names_in_"], layout.sizes[0])
    _set_classes(estimator, document["classes"])
    estimator.coefs_, estimator.intercepts_, *others = get_parameters(layout, tensors)
    estimator._extras = [array for arrays in others for array in arrays]
    estimator._held = None  # the network is built from these arrays when it is first needed
    if estimator.monotonic_cst is not None:
        estimator._network()._engine.check_signs("the file")
    for key, has in schema.some_fields("curves", document["curves"], CURVES).items():
        has = schema.flag(key, has)
        curve = tensors.take(key, np.float64, finite=False) if has else None
        setattr(estimator, key, curve if curve is None else CURVES[key](curve))
    if estimator.__dict__.get("validation_scores_") is not None:
        estimator._best_coefs, estimator._best_intercepts = estimator.coefs_, estimator.intercepts_
        estimator._best_extras = estimator._extras
    if document["optimizer"] is not None:
        estimator._optimizer = _stepping(document["optimizer"], layout, tensors)
    scores = calibration.take(document, tensors)
    if scores is not None:
        calibration.restore(estimator, scores, estimator._network())
    if TARGET_SCALE in document:
        estimator._target_scale = _target_scale(document[TARGET_SCALE], estimator)
    return estimator


def _target_scale(document, estimator):
    """Return the means and deviations with which partial_fit and warm starts continue."""
    if not getattr(estimator, "normalize_y", False):
        raise schema.wrong(TARGET_SCALE, document, "left out without normalize_y")
    schema.fields(TARGET_SCALE, document, TargetScale._fields)
    n = estimator.n_outputs_
    mean, deviation = (
        np.array([schema.real(key, x) for x in schema.listed(key, document[key], n)])
        for key in TargetScale._fields
    )
    if not (deviation > 0).all():
        raise schema.wrong("deviation", deviation.tolist(), "above 0")
    return TargetScale(mean, deviation)


def with_parameters(cls, names, document):
    """Return an instance of an estimator or transformer class that has checked its parameters."""
    schema.fields(f"the parameters of {cls.__name__}", document, names)
    made = cls(**{key: values.from_json(key, value) for key, value in document.items()})
    try:
        made._validate_params()
    except TypeError as error:  # a check was given a type that it does not handle
        raise ValueError(f"broken file: {cls.__name__}: {error}") from None
    return made


def set_names(estimator, document, n_features):
    """Set feature_names_in_ of an estimator from a document, unless that is None."""
    if document is not None:
        estimator.feature_names_in_ = values.array_from_json(
            "feature_names_in_", document, ("object",), n_features
        )
        for name in estimator.feature_names_in_:
            schema.text("a feature's name", name)


def _layout(estimator, document):
    """Return the layout of the estimator's network."""
    hidden = len(schema.listed("layer_sizes", document["layer_sizes"])) - 2
    try:
        activations = hidden_activations(estimator.activation, max(hidden, 0))
        loss, parameter = estimator._loss()
        row = spec.choose("loss", loss, spec.LOSSES)
        parameter = loss_parameters.loss_parameter(parameter, loss, row)
    except TypeError as error:
        raise ValueError(f"broken file: {error}") from None
    layers = estimator.norm, bool(estimator.residual)
    layout = layout_of(document["layer_sizes"], list(activations), document["dtype"], *layers)
    distributions.check_outputs(loss, parameter, layout.sizes[-1])
    return replace(layout, one_target=spec.loss_of(loss, parameter).one_target)


def _set_classes(estimator, document):
    output = estimator.out_activation_
    if not is_classifier(estimator):
        if document is not None or output not in ("identity", "exp"):
            raise schema.wrong("classes of a regressor", (document, output), "null")
        return
    schema.fields("classes", document, CLASS_FIELDS)
    kinds = ("binary", "multiclass", "multilabel-indicator")
    binarizer = LabelBinarizer()
    binarizer.y_type_ = schema.text("y_type_", document["y_type_"], kinds)
    binarizer.sparse_input_ = schema.flag("sparse_input_", document["sparse_input_"])
    binarizer.classes_ = values.array_from_json("classes_", document["classes_"])
    n, n_outputs = len(binarizer.classes_), estimator.n_outputs_
    fits = n_outputs == 1 and n in (1, 2) if binarizer.y_type_ == "binary" else n == n_outputs
    estimator.classes_, estimator._label_binarizer = binarizer.classes_, binarizer
    if not fits or output != estimator._output_activation():
        raise ValueError(
            f"broken file: {n} classes ({binarizer.y_type_}) do not match {n_outputs} outputs "
            f"with activation {output}"
        )


def _stepping(document, layout, tensors):
    """Return the optimiser that a document describes, ready to continue training."""
    schema.fields("optimizer", document, OPTIMIZER)
    optimizer = values.instance("optimizer", document["optimizer"], Optimizer)
    # Read all arrays first, so that a broken file cannot make us allocate memory.
    found = get_memory(optimizer.slots, layout, tensors)
    schedule = schema.text("schedule", document["schedule"], SCHEDULES)
    power_t = schema.real("power_t", document["power_t"])
    rate, *rest = vars(optimizer).values()
    if type(optimizer) is Adam:
        stepping = AdamStepping(layout, rate, *rest[:3])
    elif type(optimizer) is SGD:
        momentum, nesterov = rest
        stepping = SGDStepping(layout, rate, schedule, momentum, nesterov, power_t)
    else:
        raise schema.wrong("optimizer", optimizer, "Adam or SGD")
    fill_memory(_needed(stepping.memory, optimizer), layout, found)
    stepping.note()
    return stepping

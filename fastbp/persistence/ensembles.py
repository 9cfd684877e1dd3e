"""Converts ensembles to a JSON document and arrays, and back.

Saved are the parameters, the members and the out-of-bag score. The members' sample indices and
the out-of-bag predictions are not.
"""

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils.validation import check_is_fitted

from ..estimators.ensembles import MLPEnsembleClassifier, MLPEnsembleRegressor, random_states
from ..files import calibration, schema, values
from . import estimators, transformers

CLASSES: dict = {
    "MLPEnsembleClassifier": MLPEnsembleClassifier,
    "MLPEnsembleRegressor": MLPEnsembleRegressor,
}
FIELDS = (
    *("class", "parameters", "default", "members", "n_features", "feature_names_in_"),
    *("classes", "oob_score_"),
)
CLASS_FIELDS = ("classes_", "multilabel")
MEMBER = ("pipeline", "model")


def to_document(ensemble, tensors):
    """Return the document of a fitted ensemble, and add the members' arrays to `tensors`."""
    check_is_fitted(ensemble)
    parameters = ensemble.get_params(deep=False)
    default = parameters.pop("estimator") is None  # if not, loading clones it from a member
    members = []
    for i, member in enumerate(ensemble.estimators_):
        own: dict = {}
        pipeline = transformers.is_pipeline(member)
        kind = transformers if pipeline else estimators
        members.append({"pipeline": pipeline, "model": kind.to_document(member, own)})
        tensors |= {f"{i}.{name}": array for name, array in own.items()}
    classes = None
    if is_classifier(ensemble):
        classes = {
            "classes_": values.array_to_json("classes_", ensemble.classes_),
            "multilabel": ensemble._multilabel,
        }
    document = {
        "class": type(ensemble).__name__,
        "parameters": {key: values.to_json(key, value) for key, value in parameters.items()},
        "default": default,
        "members": members,
        "n_features": ensemble.n_features_in_,
        "feature_names_in_": estimators.names_to_json(ensemble),
        "classes": classes,
        "oob_score_": getattr(ensemble, "oob_score_", None),
    }
    if not is_classifier(ensemble):
        calibration.put(ensemble, document, tensors)
    return document


def from_document(document, tensors):
    """Return the ensemble that a document describes."""
    schema.some_fields("ensemble", document, (*FIELDS, calibration.NAME), FIELDS)
    name = schema.text("the ensemble's class", document["class"], CLASSES)
    names = [key for key in CLASSES[name]._get_param_names() if key != "estimator"]
    ensemble = estimators.with_parameters(CLASSES[name], names, document["parameters"])
    n = ensemble.n_features_in_ = schema.whole("n_features", document["n_features"], 1)
    estimators.set_names(ensemble, document["feature_names_in_"], n)
    scores = calibration.take(document, tensors)
    parts = tensors.split()
    ensemble.estimators_ = [
        _member(member, parts.pop(str(i), schema.Tensors({})))
        for i, member in enumerate(schema.listed("members", document["members"]))
    ]
    if parts or not ensemble.estimators_:
        raise schema.wrong(
            "members", len(ensemble.estimators_), "at least one, and as many as have tensors"
        )
    _set_classes(ensemble, document["classes"])
    _check_members(ensemble)
    if scores is not None:
        calibration.restore(ensemble, scores, _last(ensemble.estimators_[0])._network())
    score = schema.optional(schema.real, "oob_score_", document["oob_score_"])
    if score is not None:
        ensemble.oob_score_ = score
    if not schema.flag("default", document["default"]):
        ensemble.estimator = clone(ensemble.estimators_[0])
        ensemble.estimator.set_params(**dict.fromkeys(random_states(ensemble.estimator)))
    return ensemble


def _member(document, tensors):
    schema.fields("a member", document, MEMBER)
    pipeline = schema.flag("pipeline", document["pipeline"])
    kind = transformers if pipeline else estimators
    member = kind.from_document(document["model"], tensors)
    tensors.end()
    return member


def _set_classes(ensemble, document):
    if not is_classifier(ensemble):
        if document is not None:
            raise schema.wrong("classes of a regressor", document, "null")
        return
    schema.fields("classes", document, CLASS_FIELDS)
    classes = values.array_from_json("classes_", document["classes_"])
    try:
        in_order = np.array_equal(np.unique(classes), classes)
    except TypeError:  # strings and numbers together
        in_order = False
    if not in_order:
        raise schema.wrong("classes_", classes.tolist(), "distinct and sorted")
    ensemble.classes_ = classes
    ensemble._multilabel = schema.flag("multilabel", document["multilabel"])


def _last(member):
    """Return the estimator at the end of a pipeline, or the member itself."""
    return member[-1] if transformers.is_pipeline(member) else member


def _check_members(ensemble):
    """Raise ValueError if the members' outputs cannot be averaged."""
    lasts = [*map(_last, ensemble.estimators_)]
    for member, last in zip(ensemble.estimators_, lasts, strict=True):
        fits = member.n_features_in_ == ensemble.n_features_in_ and is_classifier(
            last
        ) == is_classifier(ensemble)
        if fits and is_classifier(ensemble):
            known = last.classes_.tolist()
            fits = set(known) <= set(ensemble.classes_.tolist())
            multilabel = last._label_binarizer.y_type_ == "multilabel-indicator"
            fits = fits and multilabel == ensemble._multilabel
            fits = fits and (not multilabel or len(known) == len(ensemble.classes_))
        elif fits:
            fits = last.n_outputs_ == lasts[0].n_outputs_
        if not fits:
            raise ValueError(
                "broken file: a member does not match its ensemble: features, classes or outputs "
                "differ"
            )

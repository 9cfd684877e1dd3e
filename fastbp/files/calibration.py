"""Converts a model's calibration, the scores of held-out samples, to an array, and back."""

import numpy as np

from ..engine.conformal import Calibration
from . import schema

NAME = "calibration"  # of the field and of the tensor


def put(model, document, tensors):
    """Add a model's calibration to its document and `tensors`, if it has one that still counts."""
    calibration = model._current_calibration()
    if calibration is not None:
        document[NAME] = True
        tensors[NAME] = calibration.scores


def take(document, tensors):
    """Return the scores that `put` stored, None if there are none."""
    if NAME not in document or not schema.flag(NAME, document[NAME]):
        return None
    scores = tensors.take(NAME, np.float64, (None, None), finite=False)
    if not scores.size or not (scores[:, 1:] >= scores[:, :-1]).all() or np.isnan(scores).any():
        raise schema.wrong("the tensor 'calibration'", scores, "rows of increasing numbers")
    return scores


def restore(model, scores, network):
    """Calibrate a model with the scores that `take` returned.

    `network` is the one that predicts, or one of an ensemble's.
    """
    if network._engine.classifies:
        raise schema.wrong("calibration", True, "left out for a model that predicts classes")
    n_kinds = network._forecast(np.zeros((1, network.layout.n_features))).n_kinds
    if len(scores) != n_kinds:
        raise schema.wrong("the number of rows of 'calibration'", len(scores), n_kinds)
    model._calibration = Calibration(scores, model._fingerprint())

"""scikit-learn's displays take fastbp's estimators, so that fastbp needs none of their kinds."""

import numpy as np
import pytest
from plot_helpers import classes, fitted
from sklearn import calibration, inspection, metrics

X, y = classes()


@pytest.mark.parametrize("kind", ["residual_vs_predicted", "actual_vs_predicted"])
def test_residuals(kind):
    targets = X[:, 0] - 2 * X[:, 1]
    model = fitted("MLPRegressor", X, targets)
    display = metrics.PredictionErrorDisplay.from_estimator(model, X, targets, kind=kind)
    predicted = model.predict(X)
    shown = targets - predicted if kind.startswith("residual") else targets
    assert np.allclose(display.scatter_.get_offsets(), np.column_stack([predicted, shown]))


def test_displays_of_classifiers():
    model = fitted("MLPClassifier", X, y)
    curve = calibration.CalibrationDisplay.from_estimator(model, X, y, n_bins=5)
    assert np.array_equal(curve.y_prob, model.predict_proba(X)[:, 1])
    counts = metrics.ConfusionMatrixDisplay.from_estimator(model, X, y).confusion_matrix
    assert counts.tolist() == metrics.confusion_matrix(y, model.predict(X)).tolist()
    area = metrics.RocCurveDisplay.from_estimator(model, X, y).roc_auc
    assert area == metrics.roc_auc_score(y, model.predict_proba(X)[:, 1])
    assert metrics.PrecisionRecallDisplay.from_estimator(model, X, y).average_precision > 0
    assert metrics.DetCurveDisplay.from_estimator(model, X, y).fpr.size
    plane = inspection.DecisionBoundaryDisplay.from_estimator(
        model, X, grid_resolution=10, response_method="predict"
    )
    assert set(np.unique(plane.response)) <= {0, 1}
    effect = inspection.PartialDependenceDisplay.from_estimator(model, X, [0, 1])
    assert effect.axes_.size == 2

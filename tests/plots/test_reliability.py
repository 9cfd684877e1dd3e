"""Reliability: bins, frequencies and intervals, against scikit-learn's and SciPy's."""

import numpy as np
import pytest
from helpers import make_network
from matplotlib import pyplot
from plot_helpers import classes, fitted, is_clean, legend_texts
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

Reliability = fastbp.ReliabilityDisplay


def predictions(n=300):
    rng = np.random.default_rng(0)
    p = rng.random(n)
    return (rng.random(n) < p**2).astype(int), p


def test_two_classes(style):
    """The points are those of scikit-learn's calibration_curve, the intervals those of SciPy."""
    y, p = predictions()
    display = Reliability.from_predictions(y, p, n_bins=7)
    true, pred = calibration_curve(y, p, n_bins=7)
    assert np.allclose(display.prob_true, true) and np.allclose(display.prob_pred, pred)
    assert display.counts.sum() == 300
    for share, n, bounds in zip(true, display.counts, display.intervals, strict=True):
        ref = binomtest(round(share * n), int(n)).proportion_ci(0.95, "wilson")
        assert np.allclose(bounds, [ref.low, ref.high])
    error = sum(display.counts * abs(true - pred)) / 300
    assert display.calibration_error == pytest.approx(error)
    ax = display.ax_
    points = [line for line in ax.get_lines() if line.get_marker() == "o"][0]
    assert np.allclose(points.get_xydata(), np.column_stack([pred, true]))
    bars = ax.patches[0].get_data()
    assert np.allclose(bars.values, display.counts / 300)
    segments = ax.collections[0].get_segments()
    assert np.allclose([[low[1], high[1]] for low, high in segments], display.intervals)
    assert legend_texts(display) == [
        *("calibrated", "share of the samples", f"observed, ECE {error:.3f}")
    ]
    assert ax.get_xlabel() == "P(class 1)"
    is_clean(display)


def test_probabilities_at_the_edges_of_bins():
    """1 belongs to the last bin; bins without samples have no points."""
    display = Reliability.from_predictions([0, 0, 1, 1], [0.0, 0.5, 0.5, 1.0], n_bins=4)
    assert display.counts.tolist() == [1, 0, 2, 1]
    assert display.prob_true.tolist() == [0.0, 0.5, 1.0]
    assert display.prob_pred.tolist() == [0.0, 0.5, 1.0]
    assert display.calibration_error == 0


def test_several_classes_by_confidence():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.25, 0.6, 0.15], [0.3, 0.3, 0.4]])
    display = Reliability.from_predictions(
        ["a", "b", "b", "c"], p, classes=["a", "b", "c"], n_bins=2
    )
    assert display.probabilities.tolist() == [0.5, 0.8, 0.6, 0.4]
    assert display.came_true.tolist() == [True, False, True, True]
    assert display.counts.tolist() == [1, 3]
    assert display.ax_.get_xlabel() == "confidence in the predicted class"


def test_networks_estimators_and_pipelines():
    X, y = classes()
    names = np.array(["no", "yes"])[y]
    model = make_pipeline(StandardScaler(), fitted("MLPClassifier", X, names))
    model[0].fit(X)
    display = Reliability.from_estimator(model, X, names)
    assert np.array_equal(display.probabilities, model.predict_proba(X)[:, 1])
    assert np.array_equal(display.came_true, names == "yes")
    assert display.ax_.get_xlabel() == "P(yes)"
    net = make_network([2, 3, 1], "log_loss", "numpy")
    display = Reliability.from_estimator(net, X, y)
    assert np.array_equal(display.probabilities, net.predict(X)[:, 0])
    X, y = classes(n_classes=3)
    net = make_network([2, 3, 3], "cross_entropy", "numpy")
    display = Reliability.from_estimator(net, X, y)
    assert np.array_equal(display.came_true, net.predict(X).argmax(axis=1) == y)


def test_models_side_by_side(style):
    y, p = predictions()
    first = Reliability.from_predictions(y, p, name="raw")
    second = Reliability.from_predictions(y, p**2, name="squared", ax=first.ax_)
    names = [text.split(",")[0] for text in legend_texts(second)]
    assert names == ["calibrated", "share of the samples", "raw", "squared"]
    points = [line for line in second.ax_.get_lines() if line.get_marker() == "o"]
    assert len({line.get_color() for line in points}) == 2
    assert len([line for line in second.ax_.get_lines() if line.get_linestyle() == "--"]) == 1
    assert second.calibration_error < first.calibration_error
    is_clean(second)


@pytest.mark.parametrize(
    ("y", "p", "options", "message"),
    [
        ([0, 1], [0.5, 1.2], {}, r"must be in \[0, 1\]"),
        ([0, 1], [0.5, np.nan], {}, "NaN"),
        ([0, 1], [[0.5, 0.2], [0.5, 0.5]], {}, "must sum to 1"),
        ([0, 2], [0.5, 0.2], {}, "y has the label 2, but the model's classes are 0, 1"),
        ([0], [0.5, 0.2], {}, "one label per sample: 2 samples"),
        ([], [], {}, "must have shape"),
        ([0, 1], [[1.0], [1.0]], {}, "must have shape"),
        ([0, 1], [0.5, 0.2], {"classes": ["a"]}, "must name the 2 columns"),
        ([0, 1], [0.5, 0.2], {"n_bins": 0}, "n_bins must be at least 1"),
    ],
)
def test_bad_predictions(y, p, options, message):
    with pytest.raises(ValueError, match=message):
        Reliability.from_predictions(y, p, **options)
    assert pyplot.get_fignums() == []


def test_regressions_are_refused():
    X, y = classes()
    for model in (
        fitted("MLPRegressor", X, y),
        make_network([2, 3, 1], "squared_error", "numpy"),
    ):
        with pytest.raises(ValueError, match="PredictionErrorDisplay"):
            Reliability.from_estimator(model, X, y)

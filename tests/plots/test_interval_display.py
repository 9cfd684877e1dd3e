"""IntervalDisplay draws the intervals of the model, and counts what they hold."""

import numpy as np
import pandas as pd
import pytest
from helpers import make_network
from matplotlib import pyplot
from matplotlib.colors import to_hex
from plot_helpers import fitted, is_clean, legend_texts
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

Intervals = fastbp.IntervalDisplay
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 2))
Y = X @ [1.0, 2.0] + RNG.normal(size=120)


def bands(display):
    """The vertices of each band."""
    return [collection.get_paths()[0].vertices for collection in display.ax_.collections]


def dots(display):
    return [line for line in display.ax_.get_lines() if line.get_marker() == "."]


def test_over_one_feature(style):
    net = make_network([1, 3, 1], "squared_error", "numpy").calibrate(X[:, :1], Y)
    table, target = pd.DataFrame({"dose": X[:, 0]}), pd.Series(Y, name="effect")
    display = Intervals.from_estimator(net, table, target, coverage=[0.5, 0.9], name="net")
    order = np.argsort(X[:, 0])
    for vertices, coverage in zip(bands(display), (0.9, 0.5), strict=True):
        low, high = net.predict_interval(X[:, :1], coverage)[order].T
        assert {*low.round(9), *high.round(9)} <= {*vertices[:, 1].round(9)}
        assert vertices[:, 0].min() == X[:, 0].min()
    expected = net.predict_interval(X[:, :1], 0.9)
    inside = (expected[:, 0] <= Y) & (expected[:, 1] >= Y)
    held, missed = dots(display)
    assert {*held.get_ydata()} == {*Y[inside]} and {*missed.get_ydata()} == {*Y[~inside]}
    assert to_hex(held.get_color()) != to_hex(missed.get_color())
    assert display.covered[0] == inside.mean()
    assert display.widths[0] == pytest.approx((expected[:, 1] - expected[:, 0]).mean())
    assert display.ax_.get_xlabel() == "dose" and display.ax_.get_ylabel() == "effect"
    assert display.ax_.get_title() == "Intervals of net"
    first, second, *rest = legend_texts(display)
    assert first == f"90 % interval, holds {100 * inside.mean():.1f} %"
    assert second.startswith("50 % interval")
    assert rest == ["prediction", "observed", "observed outside"]
    is_clean(display)


def test_sorted_by_prediction():
    scaler = StandardScaler().fit(X)
    regressor = fitted("MLPRegressor", scaler.transform(X), Y).calibrate(scaler.transform(X), Y)
    display = Intervals.from_estimator(make_pipeline(scaler, regressor), X, Y, coverage=0.8)
    (line,) = [line for line in display.ax_.get_lines() if line.get_marker() == "None"]
    predicted = regressor.predict(scaler.transform(X))
    np.testing.assert_array_equal(line.get_ydata(), np.sort(predicted))
    assert display.ax_.get_xlabel() == "samples, sorted by prediction"
    np.testing.assert_array_equal(
        display.intervals[0], regressor.predict_interval(scaler.transform(X), 0.8)
    )


def test_distributions_without_calibration():
    """An ensemble's own quantiles are drawn until it is calibrated."""
    member = fitted("MLPRegressor", X, Y, solver="lbfgs", max_iter=500, tol=0.1)
    model = fastbp.MLPEnsembleRegressor(member, 3, bootstrap=True, n_jobs=1, random_state=0)
    display = Intervals.from_estimator(model.fit(X, Y), X, Y, coverage=(0.8, 0.4))
    for found, coverage in zip(display.intervals, (0.8, 0.4), strict=True):
        ends = [0.5 - coverage / 2, 0.5 + coverage / 2]
        np.testing.assert_allclose(found, model.predict_quantiles(X, ends))
    display = Intervals.from_estimator(model.calibrate(X, Y), X, Y, coverage=0.8)
    np.testing.assert_array_equal(display.intervals[0], model.predict_interval(X, 0.8))


def test_predictions_from_elsewhere():
    bounds = np.array([[[0.0, 2.0], [1.0, 3.0]], [[-1, 9.0], [-np.inf, np.inf]]])
    display = Intervals.from_predictions([3.0, 3.0], bounds, x=[1, 0], coverage=[0.5, 0.9])
    assert display.coverages == [0.9, 0.5] and display.covered == [1.0, 0.5]
    assert np.isfinite(np.concatenate(bands(display))).all()  # infinite bounds are cut off
    display.figure_.canvas.draw()
    again = display.plot(ax=pyplot.subplots()[1])
    assert again is display


BAD = {
    "shape": (([1.0, 2.0], [[0, 1]]), {}, "y must have one number per sample"),
    "coverages": (([1.0], [[0, 1]]), {"coverage": [0.5, 0.9]}, "intervals must have shape"),
    "no coverage": (([1.0], [[0, 1]]), {"coverage": []}, "coverage is empty"),
    "coverage": (([1.0], [[0, 1]]), {"coverage": 90}, "for 90 % pass 0.9"),
    "crossing": (([1.0], [[1, 0]]), {}, "lower bounds that are NaN or above"),
}


@pytest.mark.parametrize("case", BAD)
def test_refused_predictions(case):
    arguments, options, words = BAD[case]
    with pytest.raises(ValueError, match=words):
        Intervals.from_predictions(*arguments, **options)


def test_refused_models():
    net = make_network([2, 1], "squared_error", "numpy")
    with pytest.raises(ValueError, match="predicts single values, so it has no quantiles"):
        Intervals.from_estimator(net, X, Y)
    with pytest.raises(ValueError, match="2 quantities"):
        Intervals.from_estimator(make_network([2, 2], "squared_error", "numpy"), X, Y)
    with pytest.raises(TypeError, match="got StandardScaler"):
        Intervals.from_estimator(StandardScaler(), X, Y)

"""Displays refuse what cannot be drawn, and say why."""

import numpy as np
import pandas as pd
import pytest
from helpers import make_network
from matplotlib import pyplot

import fastbp

X = np.random.default_rng(0).normal(size=(12, 2))
BOUNDARY = fastbp.DecisionBoundaryDisplay.from_estimator
IMAGES = fastbp.WeightImageDisplay.from_estimator


def images(net, **how):
    return IMAGES(net, (1, 2), **how)


OF_WEIGHTS = {
    "graph": fastbp.NetworkGraphDisplay.from_estimator,
    "histogram": fastbp.WeightHistogramDisplay.from_estimator,
    "images": images,
}


@pytest.mark.parametrize("draw", OF_WEIGHTS.values(), ids=OF_WEIGHTS)
def test_weights_that_are_not_finite(draw):
    net = make_network([2, 3, 1], "squared_error", "numpy")
    net.weights[0][1, 2] = np.nan
    with pytest.raises(ValueError, match=r"weights\[0\] has NaN .* row 1, column 2"):
        draw(net)


@pytest.mark.parametrize("draw", OF_WEIGHTS.values(), ids=OF_WEIGHTS)
def test_weights_whose_squares_overflow(draw):
    net = make_network([2, 3, 1], "squared_error", "numpy")
    net.weights[0][...] = net.weights[1][...] = 1e38
    draw(net).figure_.canvas.draw()


def test_the_largest_units_are_found_if_squares_overflow():
    net = make_network([4, 65, 1], "squared_error", "numpy")
    net.weights[0][...] = 1e30
    net.weights[0][:, 0] = 1e25  # the one of 65 that is left out
    assert np.all(IMAGES(net).images > 1e29)


@pytest.mark.parametrize("ax", ["axes", np.array([1, 2]), "figure"])
def test_what_is_no_axes(ax):
    net = make_network([2, 3, 1], "squared_error", "numpy")
    if isinstance(ax, str) and ax == "figure":
        ax = pyplot.figure()
    for draw in (*OF_WEIGHTS.values(), lambda net, ax: BOUNDARY(net, X, ax=ax)):
        with pytest.raises(TypeError, match=f"ax must be the Axes .* got {type(ax).__name__}"):
            draw(net, ax=ax)


@pytest.mark.parametrize(
    "y",
    [
        [0.0] * 6 + [np.nan] * 6,
        [0] * 6 + [None] * 6,
        pd.Series(["a"] * 6 + [None] * 6, dtype="string"),
        pd.Series([0] * 6 + [None] * 6, dtype="Int64"),
    ],
    ids=["nan", "none", "string", "Int64"],
)
def test_missing_labels(y):
    net = make_network([2, 3, 1], "log_loss", "numpy")
    message = r"y has missing labels \(6 in all; .* row 6"
    with pytest.raises(ValueError, match=message):
        BOUNDARY(net, X, y)
    with pytest.raises(ValueError, match=message):
        fastbp.ReliabilityDisplay.from_predictions(y, np.linspace(0, 1, 12))


def test_grids_of_more_points_than_memory_has():
    net = make_network([2, 3, 1], "squared_error", "numpy")
    with pytest.raises(ValueError, match="grid_resolution must be at most 10000, got 10000000"):
        BOUNDARY(net, X, grid_resolution=10**7)


@pytest.mark.parametrize("units", [0, "01", {0: 1}])
def test_units_that_are_no_sequence(units):
    net = make_network([2, 3, 1], "squared_error", "numpy")
    with pytest.raises(TypeError, match="units must be a sequence of units"):
        images(net, units=units)


@pytest.mark.parametrize("shape", [2, "12"])
def test_image_shapes_that_are_no_sequence(shape):
    net = make_network([2, 3, 1], "squared_error", "numpy")
    with pytest.raises(TypeError, match=r"image_shape must be \(height, width\)"):
        IMAGES(net, shape)


@pytest.mark.parametrize("results", [None, {}, [1], {"training": []}])
def test_what_are_no_results_of_a_benchmark(results):
    with pytest.raises(TypeError, match=r"content of results\.json"):
        fastbp.RooflineDisplay.from_results(results)

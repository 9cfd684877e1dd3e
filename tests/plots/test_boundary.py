"""The plane of two features: regions, samples on the same colours, names, and hidden units."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from helpers import make_network
from matplotlib import pyplot
from matplotlib.collections import PathCollection
from plot_helpers import (
    background,
    classes,
    contrast,
    fitted,
    hexes,
    is_clean,
    legend_texts,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, PolynomialFeatures, StandardScaler

import fastbp

draw = fastbp.DecisionBoundaryDisplay.from_estimator


def scatters(display):
    """The groups of samples on the axes."""
    return [c for c in display.ax_.collections if isinstance(c, PathCollection)]


def curves(display):
    """Corners of each line s = 0, one array for each unit."""
    shown = [c for c in display.ax_.collections if getattr(c, "levels", [1])[0] == 0]
    return [c.get_paths()[0].vertices for c in shown if len(c.levels) == 1]


def test_lines_of_units_and_boundary(style):
    """The line of a unit is where its s is 0; the boundary is where the output is ½."""
    X, y = classes()
    net = make_network([2, 3, 1], "log_loss", "numpy", "float32")
    display = draw(net, X, y, grid_resolution=50)
    assert len(curves(display)) == display.n_units == 3
    strengths = np.linalg.norm(net.weights[0], axis=0) * np.linalg.norm(net.weights[1], axis=1)
    for k, points in zip(np.argsort(-strengths), curves(display), strict=True):
        s = points @ net.weights[0][:, k] + net.biases[0][k]
        assert np.abs(s).max() < 1e-4
    h = net.predict([[display.x_0[7, 9], display.x_1[7, 9]]])
    assert display.response[7, 9] == pytest.approx(h.item(), rel=1e-5)
    assert legend_texts(display) == [
        *("P(class 1) = ½", "class 0", "class 1", "s = 0 of hidden units")
    ]
    boundary = [c for c in display.ax_.collections if list(getattr(c, "levels", [])) == [0.5]]
    for c in boundary:
        assert contrast(c.get_edgecolor()[0], background(display.ax_)) > 4
    is_clean(display)


def test_many_units_do_not_cover_the_data():
    """Of more than 8 units, those with the largest weights that cross the picture."""
    X, y = classes()
    net = make_network([2, 32, 1], "log_loss", "numpy")
    net.weights[0][:, 3] *= 100
    net.weights[0][:, 5] = 0
    display = draw(net, X, y, grid_resolution=30)
    assert len(curves(display)) == 8
    s = curves(display)[0] @ net.weights[0][:, 3] + net.biases[0][3]
    assert np.abs(s).max() < 1e-6 * np.abs(net.weights[0][:, 3]).max()
    assert legend_texts(display)[-1] == "s = 0 (8 of 32 units)"
    assert len(draw(make_network([2, 1], "log_loss", "numpy"), X).units) == 0


def test_classes_keep_names_and_colours(style):
    """Regions and samples of a class share colour and name, also if y lacks some class."""
    X, y = classes(n_classes=3)
    names = np.array(["setosa", "versicolor", "virginica"])
    model = fitted("MLPClassifier", X, names[y])
    some = y != 1
    display = draw(model, X[some], names[y[some]])
    assert legend_texts(display)[:3] == list(names)
    groups = scatters(display)
    assert [len(g.get_offsets()) for g in groups] == [(y == 0).sum(), 0, (y == 2).sum()]
    assert np.array_equal(groups[2].get_offsets(), X[y == 2])
    colors = hexes(g.get_facecolor()[0] for g in groups if len(g.get_facecolor()))
    assert len(set(colors)) == len(colors)
    probabilities = model.predict_proba(np.column_stack([display.x_0.ravel(), display.x_1.ravel()]))
    assert np.array_equal(display.response.ravel(), probabilities.argmax(axis=1))
    is_clean(display)


@pytest.mark.parametrize("n", [9, 12, 30])
def test_every_class_has_its_own_colour(n, style):
    X = np.random.default_rng(0).standard_normal((90, 2))
    y = np.arange(90) % n
    display = draw(make_network([2, 3, n], "cross_entropy", "numpy"), X, y, grid_resolution=10)
    colors = hexes(group.get_facecolor()[0] for group in scatters(display))
    assert len(colors) == len(set(colors)) == n
    markers = [tuple(group.get_paths()[0].vertices.ravel()) for group in scatters(display)[:12]]
    assert len(set(markers)) == min(n, 12)


def test_a_regression_has_one_colour_scale(style):
    """Samples and predictions share a norm, which covers both."""
    X = np.random.default_rng(0).standard_normal((300, 2))
    y = pd.Series(X @ [2.0, -1.0], name="price (k€)")
    display = draw(fitted("MLPRegressor", X, y), X, y)
    (samples,) = scatters(display)
    assert np.array_equal(samples.get_array(), y)
    (filled,) = (c for c in display.ax_.collections if len(getattr(c, "levels", [])) > 2)
    low, high = min(y.min(), display.response.min()), max(y.max(), display.response.max())
    for shown in (samples, filled):
        assert (shown.norm.vmin, shown.norm.vmax) == (low, high)
        assert shown.get_cmap() == samples.get_cmap()
    bar = display.figure_.axes[-1]
    assert bar.get_ylabel() == "price (k€)"
    assert display.ax_.get_title() == "Prediction"
    is_clean(display)


def test_a_constant_regression_is_drawn():
    net = make_network([2, 3, 1], "squared_error", "numpy")
    net.weights[1] = np.zeros((3, 1))
    is_clean(draw(net, classes()[0]))


def test_a_regression_between_0_and_1_is_no_probability():
    X, _ = classes()
    net = make_network([2, 3, 1], "squared_error", "numpy")
    net.weights[1], net.biases[1] = 0.01 * np.ones((3, 1)), [0.5]
    display = draw(net, X)
    assert display.response.min() > 0 and display.response.max() < 1
    assert legend_texts(display) == ["s = 0 of hidden units"]


def test_the_output_activation_decides_what_is_drawn():
    """Sigmoid outputs are probabilities with any loss, and without one."""
    X, y = classes()
    for output, probability in [("sigmoid", True), ("tanh", False)]:
        net = fastbp.Network([2, 3, 1], loss=None, output_activation=output, backend="numpy")
        display = draw(net, X, y, grid_resolution=10)
        assert (display.classes == ["class 0", "class 1"]) == probability
        assert np.allclose(display.response.ravel(), net.predict(_grid(display))[:, 0])


def _grid(display):
    return np.column_stack([display.x_0.ravel(), display.x_1.ravel()])


def test_true_and_false_are_names_of_classes():
    X, y = classes()
    display = draw(fitted("MLPClassifier", X, y == 1), X, y == 1, grid_resolution=10)
    assert display.classes == ["False", "True"]


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_name_the_axes(kind):
    X, y = classes()
    table = kind({"petal length (cm)": X[:, 0], "petal width (cm)": X[:, 1]})
    # A last digit in which scalers of tables differ decides between 80 iterations and 300.
    net = fastbp.MLPClassifier((3,), max_iter=2000, solver="lbfgs", random_state=0)
    model = make_pipeline(StandardScaler(), net)
    display = draw(model.fit(table, y), table, y, grid_resolution=20)
    axes = display.ax_
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("petal length (cm)", "petal width (cm)")
    assert np.allclose(display.X, X)


def test_pipelines_are_drawn_in_their_own_features():
    """Units of a Pipeline are lines behind a scaler, and curves behind polynomials."""
    X, y = classes()
    X = 100 * X + 1000
    for steps, straight in [([], True), ([PolynomialFeatures(2, include_bias=False)], False)]:
        net = fastbp.MLPClassifier((3,), max_iter=2000, solver="lbfgs", random_state=0)
        model = make_pipeline(StandardScaler(), *steps, net).fit(X, y)
        display = draw(model, X, y, grid_resolution=101)
        grid = np.column_stack([display.x_0.ravel(), display.x_1.ravel()])
        assert np.allclose(display.response.ravel(), model.predict_proba(grid)[:, 1])
        network = model[-1]
        for points in curves(display):
            s = model[:-1].transform(points) @ network.coefs_[0] + network.intercepts_[0]
            scale = np.abs(model[:-1].transform(grid) @ network.coefs_[0]).max()
            assert np.abs(s).min(axis=1).max() < (1e-9 if straight else 3e-3) * scale
    search = fastbp.MLPSearchCV(
        fastbp.MLPClassifier((3,), max_iter=20), {"alpha": [0.1, 1.0]}, cv=2, n_jobs=1
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        search.fit(X, y)
    assert draw(search, X, y, grid_resolution=10).n_units == 3


def test_ensembles_have_no_lines():
    X, y = classes()
    member = fastbp.MLPClassifier((3,), solver="lbfgs", random_state=0)
    bag = fastbp.MLPEnsembleClassifier(member, 2, n_jobs=1, random_state=0).fit(X, y)
    display = draw(bag, X, y, grid_resolution=20)
    assert display.n_units == 0
    grid = np.column_stack([display.x_0.ravel(), display.x_1.ravel()])
    assert np.allclose(display.response.ravel(), bag.predict_proba(grid)[:, 1])


def test_networks_may_know_other_labels():
    """A Network's classes are 0, 1, ...; names are matched in sorted order if all are there."""
    X, y = classes(n_classes=3)
    net = make_network([2, 3, 3], "cross_entropy", "numpy")
    display = draw(net, X, np.array(["a", "b", "c"])[y], grid_resolution=10)
    assert np.array_equal(display.y, y) and display.classes == ["a", "b", "c"]
    display = draw(net, X, np.where(y == 2, 0, y), grid_resolution=10)
    assert np.array_equal(display.y, np.where(y == 2, 0, y))
    with pytest.raises(ValueError, match=r"y has the label 3, but the model's classes are 0, 1, 2"):
        draw(net, X, y % 2 + 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1], r"one label per sample: 60 samples, but y has shape \(2,\)"),
        (np.zeros((60, 2)), r"y has shape \(60, 2\)"),
    ],
)
def test_bad_targets(y, message):
    X, _ = classes()
    with pytest.raises(ValueError, match=message):
        draw(make_network([2, 3, 1], "log_loss", "numpy"), X, y)


def test_bad_targets_of_a_regression():
    X, y = classes()
    net = make_network([2, 3, 1], "squared_error", "numpy")
    with pytest.raises(ValueError, match=r"one number per sample: 60 samples"):
        draw(net, X, [0.0, 1.0])
    with pytest.raises(ValueError, match=r"y has NaN or infinite values .* row 3"):
        draw(net, X, np.where(np.arange(60) == 3, np.nan, y))
    with pytest.raises(TypeError, match="y must hold numbers"):
        draw(net, X, np.array(["a"] * 60, object))
    assert pyplot.get_fignums() == []  # nothing has been drawn


def test_what_is_refused():
    X, y = classes()
    with pytest.raises(ValueError, match="needs 2 features, but the model has 3"):
        draw(make_network([3, 1], "huber", "numpy"), X)
    with pytest.raises(ValueError, match="needs 2 features, but the model has 3"):
        draw(fitted("MLPRegressor", np.c_[X, X[:, 0]], y), X)
    with pytest.raises(TypeError, match="expected a Network or a fitted estimator"):
        draw("model", X)
    with pytest.raises(ValueError, match="predicts 2 quantities, and one can be drawn"):
        draw(make_network([2, 2], "squared_error", "numpy"), X)
    with pytest.raises(ValueError, match="2 sigmoid outputs are 2 labels"):
        draw(make_network([2, 2], "log_loss", "numpy"), X)
    labels = np.column_stack([y, 1 - y, y])
    with pytest.raises(ValueError, match="several labels for a sample"):
        draw(fitted("MLPClassifier", X, labels), X)
    with pytest.raises(ValueError, match="NaN"):
        draw(make_network([2, 1], "log_loss", "numpy"), np.where(X > 1, np.nan, X))
    with pytest.raises(ValueError, match="pass X, too"):
        fastbp.DecisionBoundaryDisplay(X, X, X, y=y)


def test_what_is_not_fitted():
    X, y = classes()
    for kind in (fastbp.MLPClassifier, fastbp.MLPRegressor):
        for model in (kind(), make_pipeline(StandardScaler(), kind())):
            with pytest.raises(NotFittedError):
                draw(model, X, y)
    with pytest.raises(NotFittedError):
        fastbp.ReliabilityDisplay.from_estimator(fastbp.MLPClassifier(), X, y)


def test_sparse_features_behind_the_first_step():
    """Units are lines where the steps before give a sparse matrix, too."""
    X, y = classes()
    bins = KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf")
    model = make_pipeline(bins, fastbp.MLPClassifier((3,), solver="lbfgs", random_state=0))
    display = draw(model.fit(X, y), X, y, grid_resolution=15)
    s = bins.transform(_grid(display)) @ model[-1].coefs_[0] + model[-1].intercepts_[0]
    strengths = np.linalg.norm(model[-1].coefs_[0], axis=0)
    strengths = strengths * np.linalg.norm(model[-1].coefs_[1], axis=1)
    crossing = [k for k in np.argsort(-strengths) if s[:, k].min() < 0 < s[:, k].max()]
    assert crossing
    assert np.allclose(display.units.reshape(len(crossing), -1), s[:, crossing].T)


def test_scikit_learns_models_have_no_lines():
    X, y = classes()
    display = draw(LogisticRegression().fit(X, y), X, y, grid_resolution=10)
    assert display.n_units == 0 and display.classes == ["class 0", "class 1"]

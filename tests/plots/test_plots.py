"""Displays draw what they are given: data of curves, positions, labels, colours."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import make_data, make_network

import fastbp

matplotlib = pytest.importorskip("matplotlib", reason="needs matplotlib")
matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

SPEEDS = {"cython": 1e-5, "numba": 1.1e-5}  # seconds a step
DISPLAYS = [name for name in fastbp.__all__ if name.endswith("Display")]


@pytest.fixture(autouse=True)
def close_figures():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    pyplot.close("all")


def is_clean(display):
    """Labels on the axes, and all text inside the picture when it is drawn."""
    figure = display.figure_
    figure.canvas.draw()
    assert display.ax_.get_title()
    whole = figure.bbox.padded(2)
    for text in figure.findobj(matplotlib.text.Text):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent()
            shown = display.ax_.get_xaxis().get_view_interval() is not None
            if shown and box.width and text.axes is not None and text in text.axes.texts:
                assert whole.contains(*box.p0) and whole.contains(*box.p1), text.get_text()
    legend = display.ax_.get_legend()
    if legend is not None:
        box = legend.get_window_extent()
        assert whole.contains(*box.p0) and whole.contains(*box.p1)


def classes(n=60):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, 2))
    return X, (X[:, 0] * X[:, 1] > 0).astype(int)


def test_learning_curve():
    X, y = classes()
    net = fastbp.Network([2, 4, 1], loss="log_loss", backend="numpy", seed=0)
    history = net.fit(X, y, epochs=5, validation_data=(X, y))
    display = fastbp.LearningCurveDisplay.from_history(history)
    training, validation = display.ax_.get_lines()
    assert training.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert list(training.get_ydata()) == history.loss
    assert list(validation.get_ydata()) == history.validation_loss
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("epoch", "mean loss")
    is_clean(display)


def test_learning_curve_of_an_estimator():
    X, y = classes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged
        model = fastbp.MLPClassifier(
            (4,), max_iter=5, early_stopping=True, random_state=0, backend="numpy"
        ).fit(X, y)
    display = fastbp.LearningCurveDisplay.from_estimator(model)
    assert list(display.ax_.get_lines()[0].get_ydata()) == list(model.loss_curve_)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["training loss", "validation score"]
    is_clean(display)
    with pytest.raises(ValueError, match="has no loss_curve_"):
        fastbp.LearningCurveDisplay.from_estimator(fastbp.MLPClassifier())


def test_decision_boundary():
    """The line of a unit is where its s is 0; the boundary is where the output is ½."""
    X, y = classes()
    net = make_network([2, 3, 1], "log_loss", "numpy", "float32")
    display = fastbp.DecisionBoundaryDisplay.from_estimator(net, X, y, grid_resolution=50)
    lines = [line for line in display.ax_.get_lines() if len(line.get_xdata())]
    assert len(lines) == 3
    for k, line in enumerate(lines):
        points = np.column_stack(line.get_data())
        s = points @ net.weights[0][:, k] + net.biases[0][k]
        assert np.abs(s).max() < 1e-4
    h = net.predict([[display.x_0[7, 9], display.x_1[7, 9]]])
    assert display.response[7, 9] == pytest.approx(h.item(), rel=1e-5)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["h = 0.5", "s = 0 of hidden units", "class 0", "class 1"]
    is_clean(display)


def test_decision_boundary_of_several_classes():
    X, y = classes()
    net = make_network([2, 3, 3], "cross_entropy", "numpy")
    display = fastbp.DecisionBoundaryDisplay.from_estimator(net, X, y + 1)
    assert set(np.unique(display.response)) <= {0, 1, 2} and display.n_classes == 3
    is_clean(display)


def test_decision_boundary_of_an_estimator_and_without_labels():
    X, y = classes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = fastbp.MLPRegressor(
            hidden_layer_sizes=(3,), max_iter=3, random_state=0, backend="numpy"
        ).fit(X, y)
    display = fastbp.DecisionBoundaryDisplay.from_estimator(model, X)
    points = np.column_stack([display.x_0.ravel(), display.x_1.ravel()])
    assert np.allclose(display.response.ravel(), model.predict(points))
    is_clean(display)
    logistic = make_network([2, 1], "log_loss", "numpy")
    assert len(fastbp.DecisionBoundaryDisplay.from_estimator(logistic, X).lines) == 0
    with pytest.raises(ValueError, match="needs 2 features, but the network has 3"):
        fastbp.DecisionBoundaryDisplay.from_estimator(make_network([3, 1], "huber", "numpy"), X)
    with pytest.raises(TypeError, match="expected a Network or a fitted estimator"):
        fastbp.DecisionBoundaryDisplay.from_estimator("model", X)


def test_network_graph():
    """An edge for each weight, as thick as it is large and coloured by weight or gradient."""
    net = make_network([2, 3, 1], "log_loss", "numpy")
    X, y = classes()
    for display, colored_by in [
        (fastbp.NetworkGraphDisplay.from_estimator(net), list(net.weights)),
        (
            fastbp.NetworkGraphDisplay.from_trace(net.trace(X, y)),
            net.loss_and_gradient(X, y)[1].weights,
        ),
    ]:
        edges = [c for c in display.ax_.collections if hasattr(c, "get_segments")]
        assert [len(c.get_segments()) for c in edges] == [6, 3]
        largest = max(np.abs(C).max() for C in colored_by)
        for collection, C, W in zip(edges, colored_by, net.weights, strict=True):
            order = np.argsort(np.abs(C), axis=None, kind="stable")
            widths, colors = collection.get_linewidths(), collection.get_colors()
            assert np.array_equal(np.argsort(widths), np.argsort(np.abs(W).ravel()[order]))
            ref = matplotlib.colormaps["coolwarm"](0.5 + C.ravel()[order] / largest / 2)
            assert np.abs(colors - ref).max() < 0.02
        is_clean(display)


def test_large_layers_have_a_gap():
    net = make_network([40, 13, 12], "squared_error", "numpy")
    display = fastbp.NetworkGraphDisplay.from_estimator(net)
    assert [text.get_text() for text in display.ax_.texts] == ["⋮", "⋮"]
    names = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert names == ["input\n40 units", "layer 1\n13 units", "output\n12 units"]
    is_clean(display)


def test_weight_histogram():
    net = make_network([20, 30, 2], "squared_error", "numpy")
    display = fastbp.WeightHistogramDisplay.from_estimator(net, bins=10)
    for patch, W in zip(display.ax_.patches, net.weights, strict=True):
        values, edges, _ = patch.get_data()
        assert len(values) == 10 and (values * np.diff(edges)).sum() == pytest.approx(1)
        assert edges[-1] >= np.abs(W).max()
    is_clean(display)


def test_health():
    net = make_network([2, 4, 4, 1], "log_loss", "numpy")
    X, y = classes()
    health = fastbp.Health(X, y)
    with pytest.raises(ValueError, match="has recorded nothing"):
        fastbp.HealthDisplay.from_health(health)
    health.record(net)
    net.fit(X, y, epochs=2)
    health.record(net)
    for what, n in [("gradient", 3), ("update", 3), ("dead", 2), ("saturated", 2)]:
        display = fastbp.HealthDisplay.from_health(health, what)
        lines = display.ax_.get_lines()
        assert len(lines) == n
        for i, line in enumerate(lines):
            ref = [record[i] for record in getattr(health, what)]
            assert np.array_equal(line.get_ydata(), ref, equal_nan=True)
        is_clean(display)
    with pytest.raises(ValueError, match="what must be one of gradient"):
        fastbp.HealthDisplay.from_health(health, "wealth")


def test_given_axes_are_used():
    """Also on a figure that makes no room for what is outside the axes."""
    X, y = classes()
    net = make_network([2, 3, 1], "log_loss", "numpy")
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5))
    first = fastbp.DecisionBoundaryDisplay.from_estimator(net, X, y, ax=axes[0])
    second = fastbp.WeightHistogramDisplay.from_estimator(net, ax=axes[1])
    assert first.ax_ is axes[0] and second.ax_ is axes[1] and second.figure_ is figure
    is_clean(first)
    again = first.plot(ax=pyplot.subplots()[1])
    assert again is first and first.ax_ is not axes[0]


def test_backends_side_by_side():
    results = [SimpleNamespace(backend=b, step=t, gflops=1e-3 / t) for b, t in SPEEDS.items()]
    comparison = fastbp.Comparison("64-64-10, batch 32", results, {})
    display = fastbp.BackendComparisonDisplay.from_comparison(comparison)
    bars = {
        label.get_text(): bar.get_height()
        for label, bar in zip(display.ax_.get_xticklabels(), display.ax_.patches, strict=True)
    }
    assert bars == pytest.approx({name: 1e6 * t for name, t in SPEEDS.items()})
    is_clean(display)


def test_roofline():
    """Points lie at operations / time, and the roofs where they were measured."""
    figures = {name: {"median": t} for name, t in (SPEEDS | {"jax": 5e-5, "numpy": 1e-9}).items()}
    results = {
        "training": [{"flops": 1e6, "bytes": 1e5, "contenders": figures}],
        "peak": {"float32": 100e9, "memory": 10e9, "cache": 50e9},
        "settings": {"dtype": "float32"},
    }
    display = fastbp.RooflineDisplay.from_results(results)
    assert display.intensities == [10]
    # NumPy, the reference, does not compete.
    assert display.ours == [("cython", pytest.approx(1e11))]
    assert display.theirs == [("jax", pytest.approx(2e10))]
    lines = [line.get_data() for line in display.ax_.lines]
    points = {(x.item(0), round(y.item(0), 6)) for x, y in map(np.array, lines) if x.size == 1}
    assert points == {(10.0, 100.0), (10.0, 20.0)}
    roofs = [max(y) for x, y in lines if len(x) > 2]
    assert roofs == pytest.approx([100, 100])
    is_clean(display)


def test_displays_are_public():
    assert len(DISPLAYS) == 7
    for name in DISPLAYS:
        display = getattr(fastbp, name)
        assert callable(display.plot)


def test_regression_with_a_sparse_grid():
    """An output that is no probability has no line at ½."""
    X, _ = make_data("squared_error", 20, 2, 1)
    net = make_network([2, 3, 1], "squared_error", "numpy")
    net.weights[1] = 100 * np.ones((3, 1))
    display = fastbp.DecisionBoundaryDisplay.from_estimator(net, X, grid_resolution=20)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert labels == ["s = 0 of hidden units"]

"""Displays draw what they are given: data of curves, positions, labels, colours."""

import sys
import warnings

import matplotlib
import numpy as np
import pytest
from helpers import make_network
from matplotlib import pyplot
from plot_helpers import background, classes, contrast, fitted, is_clean
from sklearn import neural_network
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

DISPLAYS = [name for name in fastbp.__all__ if name.endswith("Display")]


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


def test_displays_are_public():
    assert len(DISPLAYS) == 11
    for name in DISPLAYS:
        display = getattr(fastbp, name)
        assert callable(display.plot)


def test_network_graph(style):
    """An edge for each weight, as thick as it is large and coloured by weight or gradient."""
    net = make_network([2, 3, 1], "log_loss", "numpy")
    X, y = classes()
    for display, colored_by, label in [
        (fastbp.NetworkGraphDisplay.from_estimator(net), list(net.weights), "weight W"),
        (
            fastbp.NetworkGraphDisplay.from_trace(net.trace(X, y)),
            net.loss_and_gradient(X, y)[1].weights,
            "gradient ∇W (width: |W|)",
        ),
    ]:
        edges = [c for c in display.ax_.collections if hasattr(c, "get_segments")]
        assert [len(c.get_segments()) for c in edges] == [6, 3]
        largest = max(np.abs(C).max() for C in colored_by)
        bar = display.figure_.axes[-1]
        assert bar.get_ylabel() == label
        shade = bar._colorbar.cmap
        for collection, C, W in zip(edges, colored_by, net.weights, strict=True):
            order = np.argsort(np.abs(C), axis=None, kind="stable")
            widths, colors = collection.get_linewidths(), collection.get_colors()
            assert np.array_equal(np.argsort(widths), np.argsort(np.abs(W).ravel()[order]))
            ref = shade(0.5 + C.ravel()[order] / largest / 2)
            assert np.abs(colors - ref).max() < 0.02
        for value in (0.0, 0.5, 1.0):  # also 0 can be seen
            assert contrast(shade(value)[:3], background(display.ax_)) > 1.4
        assert len({matplotlib.colors.to_hex(shade(value)) for value in (0.0, 0.5, 1.0)}) == 3
        is_clean(display)


def test_large_layers_have_a_gap():
    net = make_network([40, 13, 12], "squared_error", "numpy")
    display = fastbp.NetworkGraphDisplay.from_estimator(net)
    assert [text.get_text() for text in display.ax_.texts] == ["⋮", "⋮"]
    names = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert names == ["input\n40 units", "layer 1\n13 units", "output\n12 units"]
    assert display.ax_.get_title() == "Network 40-13-12"
    is_clean(display)


def test_names_of_many_layers_do_not_overlap():
    net = make_network([2, *[5] * 10, 1], "squared_error", "numpy")
    ax = pyplot.subplots(figsize=(4, 3), layout="constrained")[1]
    display = fastbp.NetworkGraphDisplay.from_estimator(net, ax=ax)
    is_clean(display)
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert len(boxes) == 12
    assert all(a.x1 < b.x0 for a, b in zip(boxes[:-1], boxes[1:], strict=True))
    title = ax.title.get_window_extent()
    assert ax.figure.bbox.x0 <= title.x0 and title.x1 <= ax.figure.bbox.x1
    circles = [c for c in ax.collections if len(getattr(c, "get_sizes", list)())]
    spacing = np.diff(ax.transData.transform([[0, 0], [0, 1]])[:, 1]).item() * 72 / ax.figure.dpi
    assert all(np.sqrt(c.get_sizes()).max() < spacing for c in circles[1:-1])


def test_weight_histogram(style):
    """A row for each layer: its density, on the same bins, and the size of its weights."""
    net = make_network([20, 30, 2], "squared_error", "numpy")
    display = fastbp.WeightHistogramDisplay.from_estimator(net, bins=10)
    for i, (patch, W) in enumerate(zip(display.ax_.patches, net.weights, strict=True)):
        heights, edges, base = patch.get_data()
        assert base == 1 - i
        density, ref = np.histogram(W, 10, (-edges[-1], edges[-1]), density=True)
        assert np.allclose(edges, ref) and edges[-1] >= np.abs(W).max()
        assert np.allclose(heights - base, 0.85 * density / density.max())
    texts = [text.get_text() for text in display.ax_.texts]
    assert texts == [f"RMS {np.sqrt(np.mean(W**2)):.2g}" for W in net.weights]
    assert len({patch.get_edgecolor() for patch in display.ax_.patches}) == 2
    is_clean(display)


def test_models_inside_of_others():
    """Searches and Pipelines are looked into; scikit-learn's networks are refused."""
    X, y = classes()
    model = make_pipeline(StandardScaler(), fitted("MLPClassifier", X, y))
    display = fastbp.WeightHistogramDisplay.from_estimator(model)
    assert np.array_equal(display.weights[0], model[-1].coefs_[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = neural_network.MLPClassifier((3,), max_iter=1).fit(X, y)
    for wrong in (theirs, fastbp.MLPClassifier(), None):
        with pytest.raises(TypeError, match="expected a Network or a fitted estimator of fastbp"):
            fastbp.WeightHistogramDisplay.from_estimator(wrong)


# Each display, made from its data, which draws nothing yet.
UNDRAWN = {
    "ActivationHistogramDisplay": lambda: fastbp.ActivationHistogramDisplay([np.ones((2, 3))]),
    "BackendComparisonDisplay": lambda: fastbp.BackendComparisonDisplay(["a"], [1.0], [1.0]),
    "DecisionBoundaryDisplay": lambda: fastbp.DecisionBoundaryDisplay(
        *np.meshgrid([0.0, 1.0], [0.0, 1.0]), np.eye(2), classes=["a", "b"]
    ),
    "HealthDisplay": lambda: fastbp.HealthDisplay(recorded()),
    "IntervalDisplay": lambda: fastbp.IntervalDisplay(
        np.ones(3), np.ones(3), np.ones((1, 3, 2)), [0.9]
    ),
    "LearningCurveDisplay": lambda: fastbp.LearningCurveDisplay([0.5, 0.4], best_epoch=2),
    "NetworkGraphDisplay": lambda: fastbp.NetworkGraphDisplay([np.ones((2, 3))]),
    "ReliabilityDisplay": lambda: fastbp.ReliabilityDisplay(np.array([0.2, 0.9]), [0, 1]),
    "RooflineDisplay": lambda: fastbp.RooflineDisplay(
        [1.0], [("numba", 1e9)], [None], {"peak": 1e11, "memory": 1e10, "cache": 5e10}
    ),
    "WeightHistogramDisplay": lambda: fastbp.WeightHistogramDisplay([np.ones((2, 3))]),
    "WeightImageDisplay": lambda: fastbp.WeightImageDisplay(np.ones((2, 3, 3))),
}


def recorded():
    X, y = classes()
    health = fastbp.Health(X, y)
    health.record(make_network([2, 3, 1], "log_loss", "numpy"))
    return health


def test_every_display_is_tried():
    assert [*UNDRAWN] == sorted(DISPLAYS)


@pytest.mark.parametrize("name", UNDRAWN)
def test_without_matplotlib(name, monkeypatch):
    display = UNDRAWN[name]()
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=r"plotting needs matplotlib: pip install 'fastbp\[plot\]'"
    ):
        display.plot()


@pytest.mark.parametrize("name", UNDRAWN)
def test_places_and_sizes(name):
    """On new axes, a part of a figure, and in small and large pictures."""
    display = UNDRAWN[name]()
    assert display.plot() is display and display.figure_ is display.ax_.figure
    is_clean(display)
    part = pyplot.figure(figsize=(9, 4), layout="constrained").subfigures(1, 2)[0]
    assert display.plot(ax=part.subplots()).figure_ is part
    for size in [(4.0, 3.0), (14.0, 10.0)]:
        figure, axes = pyplot.subplots(1, 1, figsize=size, layout="constrained")
        assert display.plot(ax=axes).ax_ is axes
        is_clean(display)
        assert axes.get_window_extent().height > 0.3 * figure.bbox.height

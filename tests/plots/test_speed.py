"""Pictures of speed: dots with their spread on logarithmic axes, and roofs where measured."""

import pickle

import numpy as np
import pytest
from matplotlib.colors import same_color
from matplotlib.figure import Figure
from plot_helpers import background, contrast, is_clean

import fastbp
from fastbp.plots import comparison
from fastbp.study.compare import BackendResult

SPEEDS = {"cython": 1e-5, "numba": 1.1e-5}  # seconds a step


def compared(**steps):
    results = [
        BackendResult(name, "", 8.2, 0.31, step, 1e-3 / step, 1.0, 0.0, 0.0, (0.9 * step, 2 * step))
        for name, step in steps.items()
    ]
    return fastbp.Comparison("64-64-10, batch 32", results, {})


def dots(ax):
    """(x, y) of the markers."""
    lines = [line for line in ax.get_lines() if line.get_marker() not in ("None", None, "")]
    return [[*map(tuple, line.get_xydata())] for line in lines]


def test_backends_side_by_side(style):
    display = fastbp.BackendComparisonDisplay.from_comparison(compared(cython=1.43e-3, numpy=0.02))
    ax = display.ax_
    assert dots(ax) == [[(1.43e-3, 0), (0.02, 1)]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["cython", "numpy"]
    bottom, top = ax.get_ylim()
    assert bottom > top  # the fastest is on top
    spreads = [line.get_xydata().tolist() for line in ax.get_lines()[:2]]
    assert np.allclose(spreads, [[[1.287e-3, 0], [2.86e-3, 0]], [[0.018, 1], [0.04, 1]]])
    assert [text.get_text() for text in ax.texts] == [
        *("1.43 ms, 0.699 GFLOP/s", "20 ms, 0.05 GFLOP/s")
    ]
    assert ax.get_xscale() == "log"
    display.figure_.canvas.draw()
    low, high = ax.get_xlim()
    ticks = [tick for tick in ax.get_xticks() if low <= tick <= high]
    assert len(ticks) >= 2
    shown = [ax.xaxis.get_major_formatter()(tick) for tick in ticks]
    assert all(text.split()[1] in ("µs", "ms") and "e" not in text for text in shown)
    is_clean(display)


def test_equal_backends_have_an_axis():
    display = fastbp.BackendComparisonDisplay(["a", "b"], [1e-5, 1e-5], [1.0, 1.0])
    is_clean(display.plot())
    low, high = display.ax_.get_xlim()
    assert len([tick for tick in display.ax_.get_xticks() if low <= tick <= high]) >= 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1.43e-3, "1.43 ms"),
        (999.7e-6, "1 ms"),
        (999.4e-6, "999 µs"),
        (1e-5, "10 µs"),
        (1e-6, "1 µs"),
        (0.1, "100 ms"),
        (8.2, "8.2 s"),
        (1234.0, "1,230 s"),
        (2.5e-10, "0.25 ns"),
    ],
)
def test_durations(seconds, text):
    assert comparison.duration(seconds) == text


def test_start_beside_the_steps():
    figure = Figure(figsize=(10, 4), layout="constrained")
    comparison.draw(figure, compared(**SPEEDS))
    left, right = figure.axes
    assert [x for x, _ in dots(left)[0]] == [1e-5, 1.1e-5]
    assert [[x for x, _ in group] for group in dots(right)] == [[8.2, 8.2], [0.31, 0.31]]
    assert [text.get_text() for text in right.texts] == ["8.2 s", "8.2 s", "310 ms", "310 ms"]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["empty compile cache", "next process"]


def test_roofline(style):
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
    ax = display.ax_
    lines = [line.get_data() for line in ax.lines]
    points = {(x.item(0), round(y.item(0), 6)) for x, y in map(np.array, lines) if x.size == 1}
    assert points == {(10.0, 100.0), (10.0, 20.0)}
    roofs = [max(y) for x, y in lines if len(x) > 2]
    assert roofs == pytest.approx([100, 100])
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    for name in ("cache, 50 GB/s", "memory, 10 GB/s", "FMA peak, 100 GFLOP/s"):
        (text,) = [text for text in ax.texts if text.get_text() == name]
        assert left <= text.xy[0] <= right and low <= text.xy[1] <= high
    assert pickle.loads(pickle.dumps(display)).intensities == [10]
    is_clean(display)


def test_every_library_can_be_seen(style):
    from fastbp.plots.speed import STYLES, style_of

    ax = fastbp.BackendComparisonDisplay(["a"], [1.0], [1.0]).plot().ax_
    looks = [style_of(ax, name) for name in STYLES]
    assert all(contrast(color, background(ax)) > 1.7 for color, _ in looks)
    assert len({marker for _, marker in looks}) == len(STYLES)


def test_a_range_test_of_rates(style):
    """The losses of single batches are paler than their average."""
    X = np.random.default_rng(0).standard_normal((64, 2))
    net = fastbp.Network([2, 1], loss="squared_error", backend="numpy", seed=0)
    found = fastbp.find_learning_rate(net, X, X[:, 0], n_steps=30)
    ax = found.plot()
    smoothed, each, *suggestion = ax.get_lines()
    assert np.array_equal(smoothed.get_ydata(), found.smoothed)
    assert np.array_equal(each.get_ydata(), found.losses)
    assert same_color(smoothed.get_color(), each.get_color()) and each.get_alpha() < 0.5
    assert contrast(suggestion[0].get_color(), background(ax)) > 3

"""Learning curves and curves of health: data, names, colours, axes."""

import numpy as np
import pytest
from helpers import make_network
from matplotlib import pyplot
from matplotlib.colors import to_hex
from plot_helpers import background, classes, contrast, fitted, is_clean, legend_texts

import fastbp
from fastbp.training.history import History

draw = fastbp.LearningCurveDisplay.from_history


def curves(ax):
    """Label -> values of the curves, without vertical lines."""
    return {
        line.get_label(): list(line.get_ydata())
        for line in ax.get_lines()
        if not str(line.get_label()).startswith("best epoch")
    }


def test_losses_scores_and_best_epoch(style):
    X, y = classes()
    net = fastbp.Network([2, 4, 1], loss="log_loss", backend="numpy", seed=0)
    history = net.fit(
        *(X, y),
        epochs=5,
        validation_data=(X, y),
        scoring=["accuracy", "neg_log_loss"],
        callbacks=[fastbp.EarlyStopping(3)],
    )
    display = draw(history)
    left, right = display.ax_, display.figure_.axes[1]
    assert curves(left) == {
        "training loss": history.loss,
        "validation loss": history.validation_loss,
    }
    assert curves(right) == history.scores
    assert all(list(line.get_xdata()) == [1, 2, 3, 4, 5] for line in left.get_lines()[:2])
    best = left.get_lines()[2]
    assert list(best.get_xdata()) == [history.best_epoch] * 2
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "mean loss")
    assert right.get_ylabel() == "validation score"
    assert legend_texts(display) == [
        *("training loss", "validation loss", "accuracy", "neg_log_loss"),
        f"best epoch ({history.best_epoch})",
    ]
    lines = [*left.get_lines()[:2], *right.get_lines()]
    assert len({to_hex(line.get_color()) for line in lines}) == 4
    assert all(contrast(line.get_color(), background(left)) > 1.5 for line in lines[:2])
    is_clean(display)


def test_one_epoch_is_a_point():
    display = draw(History([0.5], [0.6]))
    for line in display.ax_.get_lines():
        assert line.get_marker() == "o"
    ticks, (low, high) = display.ax_.get_xticks(), display.ax_.get_xlim()
    assert [tick for tick in ticks if low <= tick <= high] == [1]
    is_clean(display)
    assert draw(History([0.5, 0.4])).ax_.get_lines()[0].get_marker() in ("None", None, "")


def test_no_epoch_is_refused():
    with pytest.raises(ValueError, match="no epoch is finished"):
        draw(History())
    with pytest.raises(TypeError, match="history must be a History"):
        draw([0.5, 0.4])
    assert pyplot.get_fignums() == []


def test_trainings_side_by_side(style):
    """Each named history has a colour, each quantity a line style; both are explained once."""
    first = History([0.5, 0.4, 0.3], [0.6, 0.5, 0.4], {"accuracy": [0.5, 0.6, 0.7]}, best_epoch=3)
    second = History([0.9, 0.8], [1.0, 0.9], {"accuracy": [0.1, 0.2]})
    display = draw(first, name="Adam")
    again = draw(second, name="SGD", ax=display.ax_)
    assert len(display.figure_.axes) == 2  # the axis of scores is shared
    right = display.figure_.axes[1]
    assert list(curves(right)) == ["Adam: accuracy", "SGD: accuracy"]
    colors = {}
    for line in [*again.ax_.get_lines(), *right.get_lines()]:
        name = str(line.get_label()).partition(":")[0]
        colors.setdefault("Adam" if "best" in name else name, set()).add(to_hex(line.get_color()))
    assert [len(found) for found in colors.values()] == [1, 1]
    assert colors["Adam"] != colors["SGD"]
    assert legend_texts(again) == [
        *("Adam (best epoch 3)", "SGD", "training loss", "validation loss", "accuracy")
    ]
    is_clean(again)


def test_plot_of_a_history():
    display = History([0.5, 0.4]).plot(name="Adam")
    assert list(curves(History([0.9, 0.8]).plot(name="SGD", ax=display.ax_).ax_)) == [
        *("Adam: training loss", "SGD: training loss")
    ]


def test_unnamed_trainings_have_colours_of_their_own():
    display = draw(History([0.5, 0.4]))
    draw(History([0.9, 0.8]), ax=display.ax_)
    one, other = (to_hex(line.get_color()) for line in display.ax_.get_lines())
    assert one != other


@pytest.mark.parametrize(("loss", "scale"), [([5.0, 0.1], "log"), ([5.0, 1], "linear")])
def test_scale(loss, scale):
    assert draw(History(loss)).ax_.get_yscale() == scale
    assert draw(History([0.0, *loss])).ax_.get_yscale() == "linear"
    assert draw(History([-1.0, *loss])).ax_.get_yscale() == "linear"


@pytest.mark.parametrize(("size", "n"), [((2.4, 1.8), 2), ((2.4, 1.8), 8), ((9.0, 7.0), 8)])
def test_legends_leave_room_for_the_curves(size, n):
    """Where the legend would take too much, it is inside, above the curves of the scores."""
    figure, ax = pyplot.subplots(figsize=size, layout="constrained")
    history = History([0.5, 0.4], [0.6, 0.5], {f"score {i}": [0, 1] for i in range(n)})
    display = draw(history, ax=ax)
    figure.canvas.draw()
    assert ax.bbox.height > 0.35 * figure.bbox.height
    legend = ax.get_legend().get_window_extent()
    inside = legend.y0 > ax.bbox.y0
    assert inside == (size == (2.4, 1.8) and n == 8)
    assert not inside or ax.get_zorder() > figure.axes[1].get_zorder()
    is_clean(display)


def test_an_estimator():
    X, y = classes()
    model = fitted("MLPClassifier", X, y, early_stopping=True)
    display = fastbp.LearningCurveDisplay.from_estimator(model)
    assert list(display.ax_.get_lines()[0].get_ydata()) == list(model.loss_curve_)
    best = int(np.argmax(model.validation_scores_)) + 1
    assert model.validation_scores_[best - 1] == model.best_validation_score_
    assert legend_texts(display) == ["training loss", "validation score", f"best epoch ({best})"]
    is_clean(display)
    with pytest.raises(ValueError, match="has no loss_curve_"):
        fastbp.LearningCurveDisplay.from_estimator(fastbp.MLPClassifier())


def test_health(style):
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
            assert contrast(line.get_color(), background(display.ax_)) > 1.3
        is_clean(display)
    with pytest.raises(ValueError, match="what must be one of gradient"):
        fastbp.HealthDisplay.from_health(health, "wealth")

"""The view of a training in a notebook: what it sends, and what a browser makes of it."""

import json
import math
import pickle
from pathlib import Path

import browser_helpers
import pytest
from plot_helpers import classes

import fastbp
from fastbp.plots import notebook

SCRIPT = Path(notebook.__file__).with_name("training_view.js")
# anywidget's part: a model with `get` and `on`, and the module's function `render`.
PAGE = """
const [code, state, done] = arguments;
const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
const calls = [];
window.model = { state, get: () => window.model.state, on: (event, f) => calls.push(f),
  off: (event, f) => calls.splice(calls.indexOf(f), 1) };
window.change = (next) => { window.model.state = next; calls.forEach((f) => f()); };
document.body.innerHTML = "<main style='width:700px'></main>";
import(url).then((module) => {
  window.end = module.default.render({ model: window.model, el: document.querySelector("main") });
  done(calls.length);
});
"""


class Widget:
    """In anywidget's place: keeps every state that it has been given."""

    def __init__(self, state):
        self.states = [state]

    state = property(lambda self: self.states[-1], lambda self, value: self.states.append(value))


@pytest.fixture
def shown(monkeypatch):
    """The widgets that have been displayed, without a notebook."""
    from IPython import display

    widgets = []
    monkeypatch.setattr(notebook, "_widget_class", lambda: Widget)
    monkeypatch.setattr(display, "display", widgets.append)
    return widgets


def fit(view, epochs=6, **options):
    X, y = classes()
    net = fastbp.Network([2, 3, 1], loss="log_loss", backend="numpy", seed=0)
    return net.fit(X, y, epochs=epochs, callbacks=[view], **options)


def test_the_history_is_sent(shown, monkeypatch):
    monkeypatch.setattr(notebook, "PAUSE", 0.0)
    view = fastbp.TrainingView(6)
    X, y = classes()
    history = fit(view, validation_data=(X, y), scoring="accuracy", patience=3)
    assert shown == [view.widget]
    first, *_, last = view.widget.states
    assert [state["epoch"] for state in view.widget.states] == [0, *range(1, 7), 6]
    assert [state["running"] for state in view.widget.states] == [True] * 7 + [False]
    curves = {curve["name"]: curve for curve in last["curves"]}
    assert list(curves) == ["training loss", "validation loss", *history.scores]
    for name, values in [
        ("training loss", history.loss),
        ("validation loss", history.validation_loss),
        *history.scores.items(),
    ]:
        assert curves[name]["points"] == [[k, value] for k, value in enumerate(values, start=1)]
        assert curves[name]["axis"] == ("left" if "loss" in name else "right")
    assert last["best"] == history.best_epoch
    assert first["left"] is None and last["left"] == 0 and last["seconds"] > 0
    json.dumps(view.widget.states, allow_nan=False)


def test_pictures_are_sent_a_few_times_a_second(shown, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(notebook.time, "monotonic", lambda: now[0])
    view = fastbp.TrainingView()

    class Clock(fastbp.Callback):
        def epoch(self, network, history):
            now[0] += 0.09

    X, y = classes()
    net = fastbp.Network([2, 3, 1], loss="log_loss", backend="numpy", seed=0)
    net.fit(X, y, epochs=10, callbacks=[Clock(), view])
    assert [state["epoch"] for state in view.widget.states] == [0, 1, 4, 7, 10, 10]
    assert view.widget.state["epochs"] is None and view.widget.state["left"] is None


@pytest.mark.parametrize("n", [1, 999, 1000, 1001, 5432])
def test_long_curves_are_thinned(n):
    curve = notebook._curve("a", list(range(n)), 0)
    points = curve["points"]
    assert len(points) <= 1001 and points[0] == [1, 0.0] and points[-1] == [n, n - 1]
    assert all(value == epoch - 1 for epoch, value in points)


def test_what_is_no_number_is_left_out():
    points = notebook._curve("a", [1.0, math.nan, math.inf], 2)["points"]
    assert points == [[1, 1.0], [2, None], [3, None]]


def test_copies_and_text(shown):
    view = fastbp.TrainingView(20)
    fit(view, 1)
    copied = pickle.loads(pickle.dumps(view))
    assert copied.widget is None and copied.epochs == 20
    assert repr(view) == "TrainingView(20)" and repr(fastbp.TrainingView()) == "TrainingView()"
    with pytest.raises(ValueError, match="epochs must be at least 1"):
        fastbp.TrainingView(0)


def test_without_anywidget(monkeypatch):
    """The error comes before the training."""
    monkeypatch.setitem(__import__("sys").modules, "anywidget", None)
    notebook._widget_class.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'fastbp\[notebook\]'"):
        fastbp.TrainingView()


def test_a_real_widget():
    pytest.importorskip("anywidget")
    notebook._widget_class.cache_clear()
    view = fastbp.TrainingView(3)
    history = fit(view, 3)
    assert view.widget.state["curves"][0]["points"][-1] == [3, history.loss[-1]]
    assert "state" in view.widget.keys and "export default" in view.widget._esm


def state(n, running=True, **more):
    """A state of n epochs with two losses and a score."""
    curves = [
        notebook._curve("training loss", [1 / k for k in range(1, n + 1)], 0),
        notebook._curve("validation loss", [2 / k for k in range(1, n + 1)], 1),
        notebook._curve("<b>accuracy</b>", [1 - 1 / (k + 1) for k in range(1, n + 1)], 2),
    ]
    return {
        **{"curves": curves, "epoch": n, "epochs": 50, "seconds": 75.0, "left": 3.0},
        **{"best": None, "running": running, "end": "ended", **more},
    }


@pytest.fixture(scope="module")
def browser():
    with browser_helpers.chrome() as one:
        one.get("about:blank")
        yield one


def render(browser, first):
    assert browser.execute_async_script(PAGE, SCRIPT.read_text("utf-8"), first) == 1


def text(browser, selector):
    query = "return [...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    return browser.execute_script(query, selector)


def paths(browser):
    """Name -> points of each curve on the screen."""
    found = browser.execute_script(
        "return [...document.querySelectorAll('path.curve')].map((p) =>"
        " [p.dataset.name, p.getAttribute('d')])"
    )
    split = {name: d[1:].split("L") if d else [] for name, d in found}
    return {name: [[*map(float, at.split())] for at in d] for name, d in split.items()}


def test_curves_in_a_browser(browser):
    render(browser, state(20))
    drawn = paths(browser)
    assert list(drawn) == ["training loss", "validation loss", "<b>accuracy</b>"]
    x, y = zip(*drawn["training loss"], strict=True)
    steps = [b - a for a, b in zip(x[:-1], x[1:], strict=True)]
    assert max(steps) - min(steps) < 0.03
    # Heights are linear in the losses 1/k; y points down.
    assert (y[4] - y[0]) / (y[9] - y[0]) == pytest.approx((1 - 1 / 5) / (1 - 1 / 10), abs=1e-3)
    assert text(browser, ".row span")[:3] == ["epoch 20 of 50", "1 min 15 s", "3.0 s left"]
    assert text(browser, "button")[2].startswith("<b>accuracy</b>")  # names are no HTML
    assert browser.get_log("browser") == []


def test_a_change_is_drawn(browser):
    render(browser, state(1))
    assert [len(points) for points in paths(browser).values()] == [1, 1, 1]
    assert browser.execute_script("return document.querySelectorAll('svg circle').length") == 3
    browser.execute_script("window.change(arguments[0])", state(7, running=False, best=5))
    assert [len(points) for points in paths(browser).values()] == [7, 7, 7]
    assert text(browser, ".row span")[:4] == [
        "epoch 7 of 50",
        "1 min 15 s",
        "best epoch 5",
        "ended",
    ]
    browser.execute_script("window.end(); window.change(arguments[0])", state(9))
    assert len(paths(browser)["training loss"]) == 7  # a view that is closed draws no more


def test_before_the_first_epoch(browser):
    render(browser, state(0))
    assert all(points == [] for points in paths(browser).values())
    assert browser.get_log("browser") == []


def test_hiding_and_logarithms(browser):
    render(browser, state(20))
    browser.find_element("css selector", "button").click()
    assert list(paths(browser)) == ["validation loss", "<b>accuracy</b>"]
    browser.find_element("css selector", "button").click()
    browser.find_element("css selector", "input").click()
    (_, y0), (_, y1), (_, y2) = (paths(browser)["training loss"][k] for k in (0, 3, 15))
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.5, abs=1e-3)  # log 4 / log 16
    # The state goes on to change; what the reader has chosen stays.
    browser.execute_script("window.change(arguments[0])", state(20))
    (_, y0), (_, y1), (_, y2) = (paths(browser)["training loss"][k] for k in (0, 3, 15))
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.5, abs=1e-3)


def test_a_pointer_shows_values(browser):
    from selenium.webdriver import ActionChains

    render(browser, state(21))
    svg = browser.find_element("css selector", "main > div > svg")
    ActionChains(browser).move_to_element(svg).perform()
    assert text(browser, "g text") == ["epoch 11"]
    assert text(browser, "button") == [
        *("training loss 0.09091", "validation loss 0.1818", "<b>accuracy</b> 0.9167")
    ]
    button = browser.find_element("css selector", "button")
    ActionChains(browser).move_to_element(button).perform()
    assert text(browser, "button")[0] == "training loss 0.04762"  # of the last epoch


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_overlaps(browser, dark, tmp_path):
    """Labels of the axes stay inside and apart, on light and dark pages."""
    render(browser, state(40, best=33))
    if dark:
        browser.execute_script("document.body.style.cssText = 'background:#111;color:#eee'")
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('main > div > svg > text')].map((e) => {"
        "const b = e.getBBox(); return [b.x, b.y, b.x + b.width, b.y + b.height] })"
    )
    assert len(boxes) > 10
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0 and top >= 0 and right <= 640 and bottom <= 301
        for x0, y0, x1, y1 in boxes[:i]:
            assert right < x0 or x1 < left or bottom < y0 + 2 or y1 < top + 2
    fill = browser.execute_script(
        "return getComputedStyle(document.querySelector('svg text')).fill"
    )
    assert fill == ("rgb(238, 238, 238)" if dark else "rgb(0, 0, 0)")

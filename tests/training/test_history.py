"""What a History shows and returns: its repr, HTML, items, plot and table."""

import html.parser
import math
import subprocess
import sys

import numpy as np
import pytest
from helpers import make_data, make_network

import fastbp

X, y = make_data("squared_error", 30, 3, 1)


def network(seed=0):
    return make_network([3, 4, 1], "squared_error", "numpy", seed=seed)


def trained(epochs=4, **options):
    return network().fit(X, y, epochs=epochs, **options)


VALIDATED = {"validation_data": (X[:9], y[:9]), "scoring": "r2"}


def test_repr_is_short_and_says_what_was_recorded():
    history = fastbp.History([0.5, 0.25], [1.0, 2.0], {"r2": [0.1, 0.2]}, [0.01, 0.001], 1, True)
    assert repr(history) == (
        "History(2 epochs, loss 0.5 -> 0.25, validation_loss 1 -> 2, r2 0.1 -> 0.2, "
        "learning_rate 0.01 -> 0.001, best_epoch=1, interrupted)"
    )
    assert repr(fastbp.History([0.5])) == "History(1 epoch, loss 0.5 -> 0.5)"
    assert repr(fastbp.History()) == "History(0 epochs)"
    assert len(repr(trained(100, **VALIDATED))) < 120


def test_items():
    history = trained(**VALIDATED, schedule="cosine")
    assert list(history) == ["loss", "validation_loss", "r2", "learning_rate"]
    assert history["loss"] is history.loss
    assert history["validation_loss"] is history.validation_loss
    assert history["r2"] is history.scores["r2"]
    assert history["learning_rate"] is history.learning_rate
    assert "r2" in history and "r3" not in history
    assert list(trained()) == ["loss"]


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("val_loss", VALIDATED, "did you mean 'validation_loss'"),
        ("lr", {"schedule": "cosine"}, "did you mean 'learning_rate'"),
        ("los", {}, "did you mean 'loss'"),
        ("val_loss", {}, "validation_loss is recorded if fit has validation_data"),
        ("learning_rate", {}, "learning_rate is recorded if fit has a schedule"),
        ("accuracy", VALIDATED, "it has loss, validation_loss, r2"),
        (0, {}, "the history has no 0; it has loss"),
    ],
)
def test_unknown_items(name, options, message):
    with pytest.raises(KeyError, match=message):
        trained(**options)[name]


def test_a_score_may_have_any_name():
    history = trained(validation_data=(X, y), scoring={"learning_rate": "r2", "<b>": "r2"})
    assert history["learning_rate"] is history.scores["learning_rate"]
    assert "<td>&lt;b&gt;</td>" in history._repr_html_()


class Cells(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.cells = [], []
        self.feed(text)
        assert not self.tags

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.tags.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def test_html():
    history = fastbp.History([0.5, 0.25], [1.0, 2.0], {"r2": [0.3, 0.1]}, [0.01, 0.001], 1)
    assert Cells(history._repr_html_()).cells == [
        *("2 epochs, weights of epoch 1", "first", "best", "last"),
        *("loss", "0.5", "0.25 (epoch 2)", "0.25"),
        *("validation_loss", "1", "1 (epoch 1)", "2"),
        *("r2", "0.3", "0.3 (epoch 1)", "0.1"),
        *("learning_rate", "0.01", "0.001"),
    ]
    assert "0 epochs" in Cells(fastbp.History()._repr_html_()).cells[0]
    nan = fastbp.History([math.nan, math.inf], interrupted=True)
    assert Cells(nan._repr_html_()).cells[-3:] == ["loss", "nan", "inf"]


def test_table():
    history = trained(**VALIDATED, schedule="cosine")
    table = history.to_pandas()
    assert table.index.tolist() == [1, 2, 3, 4] and table.index.name == "epoch"
    assert {name: table[name].tolist() for name in table} == {n: history[n] for n in history}
    assert trained(1).to_pandas().columns.tolist() == ["loss"]
    assert fastbp.History().to_pandas().shape == (0, 1)


def test_table_of_a_training_that_diverged_has_its_epochs_in_place():
    table = fastbp.History([1.0, 2.0, 3.0], [4.0, 5.0]).to_pandas()
    assert table["validation_loss"].tolist()[:2] == [4.0, 5.0]
    assert np.isnan(table["validation_loss"][3])
    with pytest.raises(fastbp.TrainingDiverged) as caught:
        trained(500, optimizer=fastbp.SGD(30.0), validation_data=(X, y))
    history = caught.value.history
    assert len(history.to_pandas()) == len(history.loss)


def test_table_of_a_resumed_training_that_was_not_validated_before(tmp_path):
    callback = fastbp.Checkpoint(tmp_path)
    network().fit(X, y, epochs=2, callbacks=[callback])
    history = network().fit(X, y, epochs=5, validation_data=(X, y), resume_from=callback.newest())
    values = history.to_pandas()["validation_loss"].tolist()
    assert np.isnan(values[:2]).all() and values[2:] == history.validation_loss
    lowest = history.validation_loss.index(min(history.validation_loss))
    assert f"(epoch {lowest + 3})" in history._repr_html_().partition("validation_loss")[2]


def test_without_pandas():
    code = (
        "import sys, fastbp; sys.modules['pandas'] = None\n"
        "try: fastbp.History([1.0]).to_pandas()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "History.to_pandas needs pandas: pip install pandas\n", done.stderr


def test_plot():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    history = trained(**VALIDATED)
    ax = pyplot.subplots()[1]
    display = history.plot(ax=ax)
    assert isinstance(display, fastbp.LearningCurveDisplay) and display.ax_ is ax
    assert ax.get_lines()[0].get_ydata().tolist() == history.loss
    pyplot.close(ax.figure)
    pyplot.close(history.plot().figure_)

"""train --live: the chart's dots, its texts, and a terminal."""

import io
import math
import os
import sys

import numpy as np
import pandas as pd
import pytest

from fastbp.cli import live, main
from fastbp.training.history import History

rich_console = pytest.importorskip("rich.console", reason="needs rich")


def dots(rows, curve):
    """(column, row) of each dot of a braille chart that is in a character of the curve."""
    found = set()
    for y, (_, cells) in enumerate(rows):
        for x, (mark, owner) in enumerate(cells):
            for i, column in enumerate(live.DOTS):
                for j, bit in enumerate(column):
                    if owner == curve and mark != " " and (ord(mark) - 0x2800) & bit:
                        found.add((2 * x + i, 4 * y + j))
    return found


@pytest.mark.parametrize(("width", "height"), [(1, 1), (20, 5), (60, 14)])
def test_a_falling_line(width, height):
    """From the upper left to the lower right dot, a dot or more in each column, without gaps."""
    rows = live.chart([np.linspace(3, 1, 7)], width, height)
    assert [len(cells) for _, cells in rows] == [width] * height
    found = dots(rows, 0)
    n, m = 2 * width, 4 * height
    assert (0, 0) in found and (n - 1, m - 1) in found
    assert {x for x, _ in found} == {*range(n)} and {y for _, y in found} == {*range(m)}
    for x, y in found:
        assert abs(y / max(m - 1, 1) - x / max(n - 1, 1)) <= 1 / max(n - 1, 1) + 1 / max(m - 1, 1)
    if height > 1:
        assert [label for label, _ in rows] == ["3", *[""] * (height - 2), "1"]


def test_two_curves_and_scales():
    rows = live.chart([[4.0, 2.0], [3.0, 3.0, 3.0]], 20, 5)
    first, second = dots(rows, 0), dots(rows, 1)
    assert max(x for x, _ in first) <= 20  # ends where its epochs end
    assert max(x for x, _ in second) == 39
    # A large range is logarithmic: the geometric mean is in the middle.
    rows = live.chart([[100.0, 1.0, 0.01]], 21, 9)
    middle = [y for x, y in dots(rows, 0) if x in (20, 21)]
    assert abs(np.mean(middle) - 17.5) <= 1.5


@pytest.mark.parametrize(
    ("curves", "rows"),
    [([], 0), ([[]], 0), ([[math.nan]], 0), ([[1.0]], 4), ([[2.0, 2.0]], 4), ([[0.0, -5.0]], 4)],
)
def test_few_or_odd_values(curves, rows):
    assert len(live.chart(curves, 10, 4)) == rows
    assert len(live.chart(curves, 0, 4)) == 0


def test_values_that_are_not_finite_are_left_out():
    rows = live.chart([[1.0, math.inf, 3.0, math.nan]], 10, 4)
    assert [label for label, _ in rows] == ["3", "", "", "1"]
    assert max(x for x, _ in dots(rows, 0)) < 19


def test_texts():
    history = History([0.9, 0.5], [1.0, 0.7], best_epoch=2)
    lines = live.view(history, 10, 4.0, 60, 20).plain.splitlines()
    assert lines[0] == "epoch 2 of 10   4.0 s   at most 16.0 s left   best epoch 2"
    assert lines[-1].split("   ")[:2] == ["━━ training loss 0.5", "━━ validation loss 0.7"]
    assert len(lines) == 16 and max(map(len, lines)) <= 60
    assert lines[1].startswith("        1 ┤") and lines[14].startswith("      0.5 ┤")
    plain = live.view(history, 10, 4.0, 60, 20, braille=False).plain
    assert plain.isascii() and "*" in plain
    assert live.view(History(), 10, 0.0, 60, 20).plain == "epoch 0 of 10   0.0 s\n"


@pytest.mark.parametrize(("width", "height"), [(20, 6), (80, 24), (200, 60)])
def test_it_fits_into_the_terminal(width, height):
    history = History(list(np.geomspace(1, 0.01, 50)), list(np.geomspace(1, 0.02, 50)))
    shown = live.view(history, 100, 1.0, width, height)
    console = rich_console.Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True
    )
    lines = console.render_lines(shown)
    assert len(lines) < height
    assert all(sum(part.cell_length for part in line) <= width for line in lines)


def test_a_terminal_sees_every_epoch(monkeypatch):
    monkeypatch.setattr(live, "PAUSE", 0.0)
    file = io.StringIO()
    console = rich_console.Console(file=file, width=70, height=20, force_terminal=True)
    chart, history = live.LiveChart(3, console), History()
    chart.begin(None, history)
    for loss in (0.9, 0.5, 0.25):
        history.loss.append(loss)
        chart.epoch(None, history)
    chart.end(None, history)
    for text in ("epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3", "0.25"):
        assert text in file.getvalue()


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((80, 2)), columns=["a", "b"])
    frame.assign(y=np.where(frame.a > 0, "yes", "no")).to_csv("t.csv", index=False)
    return ["train", "t.csv", "--target", "y", "--epochs", "4", "--no-plot", "--backend", "numpy"]


def test_the_command_draws(table, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert main([*table, "--live"]) == 0
    error = capsys.readouterr().err
    assert "epoch 4 of 4" in error and "validation loss" in error
    assert "epoch/s" not in error  # no progress bar beside it


def test_without_a_terminal(table, capsys):
    assert main([*table, "--live"]) == 0
    assert "--live draws in a terminal only" in capsys.readouterr().err


def test_without_rich(table, capsys, monkeypatch):
    """The error comes before the training."""
    monkeypatch.setitem(sys.modules, "rich.live", None)
    assert main([*table, "--live"]) == 1
    assert "--live needs rich: pip install 'fastbp[cli]'" in capsys.readouterr().err
    assert not os.path.exists("t.safetensors")

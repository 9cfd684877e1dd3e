"""The command line: what it says about a model, in words and as a page."""

import html.parser
import json
import re
from pathlib import Path

import messy_tables as messy
import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK, people

import fastbp
from fastbp.cli import importance, main


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(capsys, frame, target, *options):
    """The report of a training."""
    frame.to_csv("table.csv", index=False)
    capsys.readouterr()
    assert main(["train", "table.csv", "--target", target, *QUICK, "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def verdict(capsys, frame, target, *options):
    return "; ".join(train(capsys, frame, target, *options)["verdict"])


def noise(n=300):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, 2)), columns=["a", "b"])
    return frame.assign(y=rng.integers(0, 10, n), z=rng.normal(size=n))


def test_good_models(capsys):
    report = train(capsys, people(), "bought")
    wrong = 1 - report["metrics"]["test"]["accuracy"]
    before = 1 - report["metrics"]["baseline"]["accuracy"]
    assert report["verdict"] == [
        f"better than the baseline: wrong in {wrong:.1%} of the test rows, the most frequent class "
        f"in {before:.1%}"
    ]
    said = verdict(capsys, messy.clean(400), "spent", "--log-target")
    assert said.startswith("better than the baseline: explains 9")
    assert "of the logarithm's variance in the test rows" in said
    report = train(capsys, messy.clean(400), "income")
    r2 = report["metrics"]["test"]["r2"]
    assert f"explains {max(r2, 0):.1%} of the target's variance" in report["verdict"][0]


def test_models_that_learnt_nothing(capsys):
    said = verdict(capsys, noise().drop(columns="z"), "y")
    assert re.match("no(t clearly)? better than the baseline: wrong in ", said)
    assert "these columns may say nothing about the target" in said
    said = verdict(capsys, noise().drop(columns="y"), "z")
    assert re.match("no(t clearly)? better than the baseline: explains ", said)


def test_a_learning_rate_that_is_too_large(capsys):
    frame = people()
    said = verdict(capsys, frame, "bought", "--learning-rate", "1000")
    assert "--learning-rate 1000 is too large: the training diverged; try 0.001" in said
    frame.to_csv("table.csv", index=False)
    command = ["train", "table.csv", "--target", "bought", *QUICK, "--learning-rate", "1e30"]
    assert main(command) == 1
    assert "diverged: --learning-rate 1e+30 is too large; try 0.001" in capsys.readouterr().err


def test_without_rows_to_judge_by(capsys):
    said = verdict(capsys, people(), "bought", "--test", "0", "--validation", "0")
    assert said.endswith("no rows were held out, so nothing is known about new rows")


def test_one_class_for_every_row(capsys):
    frame = noise(200)
    frame["y"] = np.where(np.arange(200) % 10, "no", "yes")
    said = verdict(capsys, frame.drop(columns="z"), "y", "--l2", "1000")
    assert "'no' is predicted for every row" in said


# Targets on a logarithmic scale.


def test_a_skewed_target_is_pointed_out_and_learnt(capsys):
    frame = messy.clean(400)
    plain = train(capsys, frame, "spent", "--epochs", "20")
    hint = "the target is skewed, with a few very large values: try --log-target"
    assert hint in plain["verdict"]
    found = train(capsys, frame, "spent", "--log-target", "--output", "log.safetensors")
    assert hint not in found["verdict"] and found["log_target"]
    # All figures are in the units of the target, whose logarithm the network predicts.
    assert main(["predict", "log.safetensors", "table.csv", "--json"]) == 0
    predicted = np.array(json.loads(capsys.readouterr().out)["prediction"])
    assert np.median(np.abs(predicted / frame.spent - 1)) < 0.2
    assert main(["evaluate", "log.safetensors", "table.csv", "--json"]) == 0
    mae = json.loads(capsys.readouterr().out)["metrics"]["model"]["mae"]
    assert mae == pytest.approx(np.mean(np.abs(predicted - frame.spent)), rel=1e-5)
    logarithms = fastbp.load("log.safetensors")["network"].coefs_[-1]
    assert np.abs(logarithms).max() < 10  # not in the units of the target
    assert main(["export", "log.safetensors", "--format", "npz", "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    outputs = json.loads(Path(written[1]).read_text(encoding="utf-8"))["outputs"]
    assert outputs == [{"log_of": "spent"}]


def test_targets_without_a_logarithm(capsys):
    frame = messy.clean()
    frame.loc[7, "spent"] = 0
    frame.to_csv("table.csv", index=False)
    assert main(["train", "table.csv", "--target", "spent", "--log-target"]) == 1
    assert "needs targets above 0, but 'spent' has 0 in row 8" in capsys.readouterr().err
    assert main(["train", "table.csv", "--target", "bought", "--log-target"]) == 1
    assert "is for regression; target 'bought' has classes" in capsys.readouterr().err


# The report.


class Page(html.parser.HTMLParser):
    """The headings, the texts of cells, and the addresses that a page loads."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.loaded = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)


@pytest.mark.parametrize("target", ["bought", "spent"])
def test_a_report_is_one_page_that_needs_no_network(target, capsys):
    pytest.importorskip("matplotlib")
    frame = messy.clean(200).assign(id=range(200), note="<script>alert(1)</script>")
    frame["town"] = frame.town.replace("Ulm", "<b>Ulm</b>")
    report = train(capsys, frame, target, "--report", "r.html", "--epochs", "10")
    assert report["html"] == "r.html"
    text = Path("r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    common = ["Figures", "Importance of the columns", "Learning curve", "Columns"]
    own = (
        ["Confusion matrix", "Calibration"] if target == "bought" else ["Predictions and residuals"]
    )
    assert sorted(page.texts["h2"]) == sorted(common + own)
    assert "script" not in page.texts and "b" not in page.texts  # what cells hold stays text
    assert all(each.startswith("#") for each in page.loaded)  # marks within a picture
    assert not re.search(r"url\(['\"]?(http|//)|@import", text)
    shown = page.texts["td"]
    for name in frame.columns.drop(target):
        assert name in shown
    names = [name for name in shown if name in ("income", "age", "share")]
    assert set(names[:2]) == {"income", "age"}  # the most important ones come first
    # It replaces itself, and nothing else.
    command = ["train", "table.csv", "--target", target, *QUICK, "--epochs", "1", "--report"]
    assert main([*command, "r.html"]) == 0
    Path("mine.html").write_text("<!doctype html><p>mine", encoding="utf-8")
    capsys.readouterr()
    assert main([*command, "mine.html"]) == 1
    assert "the report would overwrite mine.html" in capsys.readouterr().err


def test_importance_by_permutation():
    """Shuffling an input that alone decides makes half of the rows wrong, any other none."""

    class Model:
        classes_ = np.array([0, 1])

        def predict(self, X):
            return (X[:, 1] > 0).astype(int)

    X = np.random.default_rng(0).normal(size=(3000, 3))
    y = Model().predict(X)
    found = importance.by_permutation(Model(), X, y, ["a", "b", "a"], False, 0)
    assert [each.column for each in found] == ["b", "a"]
    assert found[0].mean == pytest.approx(0.5, abs=0.03) and 0 < found[0].spread < 0.02
    assert (found[1].mean, found[1].spread) == (0, 0)

    class Sum:
        def predict(self, X):
            return X[:, 0] + X[:, 2]

    # The inputs of a column are shuffled together: var(difference) = 2 · (1 + 1).
    found = importance.by_permutation(Sum(), X, Sum().predict(X), ["a", "b", "a"], False, 0)
    assert found[0].column == "a" and found[0].mean == pytest.approx(2.0, rel=0.05)

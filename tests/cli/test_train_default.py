"""`fastbp train` without options of a network: an ensemble that prepares the columns itself."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import line, people

import fastbp
from fastbp.cli import main
from fastbp.tabular import recipes


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(capsys, frame, *options):
    """Train on a table; the report."""
    frame.to_csv("table.csv", index=False)
    assert main(["train", "table.csv", "--no-plot", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_model_is_the_estimator_for_tables(capsys):
    report = train(capsys, people(90), "--target", "bought", "--test", "0", "--seed", "3")
    model = fastbp.load("table.safetensors")
    frame = people(90)
    own = fastbp.TabularClassifier(random_state=3).fit(
        frame[["age", "town", "rooms"]], frame.bought
    )
    assert report["recipes"] == model.leaderboard_ == own.leaderboard_
    assert report["networks"] == 8 * len([r for r in report["recipes"] if r["weight"] > 0])
    assert main(["predict", "table.safetensors", "table.csv", "--proba", "--output", "p.csv"]) == 0
    assert "never seen" not in capsys.readouterr().err  # missing ones were seen, too
    found = pd.read_csv("p.csv")
    expected = own.predict_proba(frame[["age", "town", "rooms"]])
    assert np.allclose(found[["probability_no", "probability_yes"]], expected, rtol=0, atol=1e-12)
    assert (found.prediction == own.predict(frame[["age", "town", "rooms"]])).all()


def test_values_in_units_and_of_logarithms(capsys):
    frame = line(80).assign(day=pd.date_range("2024-01-01", periods=80).astype(str))
    frame["price"] = np.exp(frame.price / 2e5)
    report = train(capsys, frame, "--target", "price", "--log-target", "--time", "1e-6")
    assert len(report["recipes"]) == 1  # the time is over after the first one
    assert report["metrics"]["test"]["r2"] > 0.8
    assert main(["evaluate", "table.safetensors", "table.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["model"]["r2"] > 0.8


def test_many_different_texts_are_categories(capsys):
    rng = np.random.default_rng(0)
    names = [f"street {i}" for i in rng.integers(0, 70, 100)]
    frame = people(100).assign(street=names)
    assert frame.street.nunique() > 50
    report = train(capsys, frame, "--target", "bought", "--time", "1e-6")
    assert next(c for c in report["columns"] if c["column"] == "street")["read_as"] == "category"


@pytest.mark.parametrize("option", [["--network"], ["--epochs", "2"], ["--no-early-stopping"]])
def test_options_of_a_network_train_one(capsys, option):
    settings = [] if "--epochs" in option else ["--epochs", "2"]
    report = train(capsys, people(60), "--target", "bought", *option, *settings)
    assert report["sizes"][1:] == [64, 64, 1]
    assert report["rows"]["validation"] > 0
    assert "recipes" not in report


@pytest.mark.parametrize("option", [["--network"], ["--hidden", "3"]])
def test_a_network_has_epochs_instead_of_time(capsys, option):
    people(60).to_csv("table.csv", index=False)
    with pytest.raises(SystemExit) as ended:
        main(["train", "table.csv", "--target", "bought", "--time", "3", *option])
    assert ended.value.code == 2
    assert f"--time is for an ensemble, but {option[0]} asks" in capsys.readouterr().err


def test_interrupted(capsys, monkeypatch):
    calls, whole = [], recipes.train

    def once(*arguments, **settings):
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(recipes, "train", once)
    people(60).to_csv("table.csv", index=False)
    assert main(["train", "table.csv", "--target", "bought"]) == 0
    printed = capsys.readouterr()
    assert "8 networks on" in printed.out and "; interrupted by Ctrl-C" in printed.out
    assert "the networks of the recipes trained before: smooth" in printed.err
    assert fastbp.load("table.safetensors").leaderboard_[0]["recipe"] == "smooth"


def test_the_picture_and_other_commands(capsys):
    people(80).to_csv("table.csv", index=False)
    command = ["train", "table.csv", "--target", "bought", "--time", "1e-6", "--report", "r.html"]
    assert main(command) == 0
    text = capsys.readouterr().out
    assert "importance of the columns: table.png" in text and "report: r.html" in text
    page = Path("r.html").read_text(encoding="utf-8")
    assert "8 networks of 1 kinds" not in page and "8 networks of 1 kind" in page
    assert "Importance of the columns" in page and "Learning curve" not in page
    assert main(["info", "table.safetensors"]) == 0
    text = capsys.readouterr().out
    assert "TabularClassifier" in text and "categories: town" in text and "network of 8" in text
    assert main(["export", "table.safetensors", "--format", "npz"]) == 1
    assert "fastbp train --network" in capsys.readouterr().err
    assert main(["export", "table.safetensors", "--format", "c", "--weights", "int8"]) == 1
    assert "not with --weights; for" in capsys.readouterr().err
    assert main(["export", "table.safetensors", "--format", "c"]) == 0
    assert "[0] 'town':" in Path("table_c", "table.h").read_text("ascii")


def test_the_exported_model_reads_the_columns(capsys):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    frame = people(80).assign(day=pd.date_range("2024-01-01", periods=80).astype(str))
    train(capsys, frame, "--target", "bought", "--time", "1e-6")
    assert main(["export", "table.safetensors", "--format", "onnx"]) == 0
    described = json.loads(Path("table.onnx.inputs.json").read_text())["inputs"]
    model = fastbp.load("table.safetensors")
    assert [each["input"] for each in described] == list(model.feature_names_in_)
    assert {"column": "day", "part": "days", "input": "day (days)", "type": "float64"} in described
    session = onnxruntime.InferenceSession("table.onnx", providers=["CPUExecutionProvider"])
    given = {
        each["input"]: np.array([["Ulm"]], object) if each["type"] == "text" else np.ones((1, 1))
        for each in described
    }
    (p,) = session.run(["probabilities"], given)
    row = pd.DataFrame({name: values[0] for name, values in given.items()})
    assert np.allclose(p, model.predict_proba(row), atol=1e-5)

"""The command line: numbers, classes and times that are too large, too small or too much alike."""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK

from fastbp.cli import main

A = np.random.default_rng(0).normal(size=60).round(3)
HOURS = np.arange(60) % 24


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def train(*options, **columns):
    """The exit code of a training on data.csv with these columns; the target is y."""
    pd.DataFrame(columns).to_csv("data.csv", index=False)
    return main(["train", "data.csv", "--target", "y", *QUICK, *options])


@pytest.mark.parametrize("start", [2**53, 10**19], ids=["2**53", "10**19"])
def test_classes_that_float64_cannot_tell_apart(start, capsys):
    labels = [str(start + i % 3) for i in range(60)]
    assert train("--task", "classification", a=A, y=labels) == 1
    said = capsys.readouterr().err
    assert "too large to be told apart exactly" in said or "nothing to learn" in said
    assert train("--categorical", "y", a=A, y=labels) == 0
    capsys.readouterr()
    assert main(["predict", "data.safetensors", "data.csv", "--proba"]) == 0
    names = pd.read_csv(io.StringIO(capsys.readouterr().out)).columns
    assert names.tolist() == ["prediction", *(f"probability_{start + i}" for i in range(3))]


@pytest.mark.parametrize(
    ("times", "task"),
    [
        ([f"{hour}:30" for hour in HOURS], "regression"),
        ([f"{hour % 3 + 8}:00" for hour in HOURS], "classification"),
    ],
)
def test_times_of_day_as_a_target_are_evaluated(times, task, capsys):
    assert train(a=A, y=times) == 0
    capsys.readouterr()
    assert main(["evaluate", "data.safetensors", "data.csv", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["task"] == task
    if task == "regression":
        main(["predict", "data.safetensors", "data.csv"])
        found = pd.read_csv(io.StringIO(capsys.readouterr().out))["prediction"]
        assert report["metrics"]["model"]["mse"] == pytest.approx(
            np.mean((found - HOURS - 0.5) ** 2)
        )
    else:
        assert report["classes"] == [8, 9, 10]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (A * 1e-200, "none above 1e+37; multiply it by a power of ten"),
        (A * 1e40, "none above 1e+37; multiply it by a power of ten"),
        (1e9 + 100 * A, "has steps of 64 there; subtract a constant"),
        (A * 1e200, "must hold finite numbers below 1e150"),
    ],
    ids=["small", "large", "alike", "huge"],
)
def test_targets_that_float32_cannot_hold(y, message, capsys):
    assert train(a=A, y=y) == 1
    said = capsys.readouterr()
    assert message in said.err and "warning" not in said.err and not said.out
    assert not Path("data.safetensors").exists()


def test_targets_far_from_0_are_good_if_they_vary_enough():
    assert train(a=A, y=1.7e9 + 1e6 * A) == 0
    assert train("--log-target", a=A, y=np.exp(A) * 1e40) == 0


def test_numbers_that_overflow(capsys):
    assert train(a=[1e200, *A[1:]], y=A) == 1
    assert "column 'a' has '1e+200' in row 1, but must hold finite numbers below 1e150" in (
        capsys.readouterr().err
    )
    codes = set()
    for seed in range(4):  # the row is in the training, or in one of the other parts
        codes.add(train("--seed", str(seed), a=[1e60, *A[1:]], y=A))
        said = capsys.readouterr().err
        assert "overflow" not in said and "nan" not in said.lower()
    assert codes == {0, 1}
    assert train(a=A, b=A[::-1], y=A + 1) == 0
    pd.DataFrame({"a": [0.5, 1e39], "b": [1, 2]}).to_csv("rows.csv", index=False)
    capsys.readouterr()
    assert main(["predict", "data.safetensors", "rows.csv"]) == 1
    said = capsys.readouterr()
    assert "rows.csv: column 'a' has 1e+39 in row 2, too far from the rows" in said.err
    assert not said.out


def test_identifiers_are_copied_as_they_are(capsys):
    frame = pd.DataFrame({"a": A, "y": A + 1})
    frame["i"] = pd.array([2**53 + 1 + i if i % 3 else None for i in range(60)], dtype="Int64")
    frame.to_parquet("data.parquet")
    options = ["--drop", "i", "--output", "m.safetensors"]
    assert main(["train", "data.parquet", "--target", "y", *QUICK, *options]) == 0
    capsys.readouterr()
    assert main(["predict", "m.safetensors", "data.parquet", "--id", "i"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(",") and lines[2].startswith(f"{2**53 + 2},")
    assert main(["predict", "m.safetensors", "data.parquet", "--id", "i", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)  # NaN is no JSON
    assert found["i"][:3] == [None, 2**53 + 2, 2**53 + 3]


def test_gaps_of_text_are_null_in_json(capsys):
    assert train("--drop", "k", a=A, k=["", "x"] * 30, y=A + 1) == 0
    capsys.readouterr()
    assert main(["predict", "data.safetensors", "data.csv", "--id", "k", "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["k"][:2] == [None, "x"]


@pytest.mark.parametrize("dtype", [np.complex128, [("x", np.float64)]])
def test_arrays_that_are_no_columns(dtype, capsys):
    np.savez("data.npz", X=np.zeros(60, dtype), y=A)
    assert main(["train", "data.npz", "--target", "y", *QUICK]) == 1
    assert "array 'X' has dtype" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["rot13", "hex", "undefined"])
def test_encodings_that_are_none_of_text(name, capsys):
    with pytest.raises(SystemExit):
        main(["train", "data.csv", "--target", "y", "--encoding", name])
    assert f"unknown encoding {name!r}" in capsys.readouterr().err


def test_control_characters_do_not_reach_the_terminal(capsys):
    assert train(a=A, y=np.where(A > 0, "l\nm", "\x1b[31mred")) == 0
    assert main(["evaluate", "data.safetensors", "data.csv"]) == 0
    said = capsys.readouterr()
    assert "\x1b" not in said.out and "l m" in said.out
    pd.DataFrame({"\x1b[31mred": A}).to_csv("rows.csv", index=False)
    assert main(["predict", "data.safetensors", "rows.csv"]) == 1
    assert "\x1b" not in capsys.readouterr().err


def test_only_text_files_have_a_first_line_with_data(capsys):
    Path("data.json").write_text("[[1, 2], [3, 4]]", encoding="utf-8")
    assert main(["train", "data.json", "--target", "y", *QUICK]) == 1
    assert "--no-header" not in capsys.readouterr().err

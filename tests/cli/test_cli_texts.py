"""The command line: texts of CSV files, which may look like numbers or truth values."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK

from fastbp.cli import main, tables


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


CODES = {"01": "1.0", "02": "2.0", "A3": "beta"}  # text, as there is a letter somewhere


def train_codes(frame, *options):
    frame.to_csv("codes.csv", index=False)
    assert main(["train", "codes.csv", "--target", "y", *QUICK, *options]) == 0


def predicted(frame, capsys):
    """The probabilities for a table of these rows."""
    frame.to_csv("rows.csv", index=False)
    capsys.readouterr()
    assert main(["predict", "codes.safetensors", "rows.csv", "--proba"]) == 0
    return pd.read_csv(io.StringIO(capsys.readouterr().out)).iloc[:, 1:].to_numpy()


def test_a_prediction_does_not_depend_on_the_other_rows(capsys):
    """Without its letters, a column of text looks like numbers or truth values."""
    rng = np.random.default_rng(0)
    code = rng.choice(list(CODES), 120)
    flags = {"01": "true", "02": "false", "A3": "maybe"}
    frame = pd.DataFrame({"code": code, "version": [CODES[c] for c in code]})
    frame["flag"] = [flags[c] for c in code]
    frame["y"] = np.where(code == "01", "yes", "no")
    train_codes(frame)
    rows = frame.drop_duplicates("code").sort_values("code")
    whole = predicted(rows, capsys)
    assert whole[0, 1] > 0.9 and whole[1, 1] < 0.1
    np.testing.assert_array_equal(predicted(rows.iloc[:2], capsys), whole[:2])
    assert main(["evaluate", "codes.safetensors", "rows.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["model"]["accuracy"] == 1


def test_categories_that_were_numbers_are_known_however_they_are_written(capsys):
    k = np.random.default_rng(0).integers(0, 3, 120)
    frame = pd.DataFrame({"k": k, "flag": k > 1, "y": np.where(k == 1, "yes", "no")})
    train_codes(frame, "--categorical", "k")
    whole = predicted(pd.DataFrame({"k": [0, 1, 2], "flag": [False, False, True]}), capsys)
    others = pd.DataFrame({"k": ["00", "1.0", "2", "x"], "flag": ["false", "FALSE", "True", None]})
    np.testing.assert_array_equal(predicted(others, capsys)[:3], whole)


def test_classes_that_look_like_numbers_in_the_table_to_evaluate(capsys):
    x = np.arange(120) % 3
    frame = pd.DataFrame({"x": x, "y": np.array(list(CODES))[x]})
    train_codes(frame)
    frame[frame.y != "A3"].to_csv("rows.csv", index=False)
    capsys.readouterr()
    assert main(["evaluate", "codes.safetensors", "rows.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"]["model"]["accuracy"] > 0.9


@pytest.mark.parametrize(
    ("text", "known", "wanted"),
    [
        ("01", {"1", "01"}, "01"),
        ("01", {"1"}, "1"),
        ("1.50", {"1.5"}, "1.5"),
        ("TRUE", {"True"}, "True"),
        ("1_0", {"10"}, "1_0"),
        ("1", {"1.0"}, "1"),
        ("inf", {"x"}, "inf"),
    ],
)
def test_texts_as_they_are_known(text, known, wanted):
    assert tables.as_known(text, known) == wanted

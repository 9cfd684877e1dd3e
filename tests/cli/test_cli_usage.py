"""The command line: help where a user needs it, from the guide to completion in the shell."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cli_cases import QUICK, environment, people
from helpers import SECONDS

import fastbp
from fastbp.cli import completion, main

QUICK = [*QUICK, "--epochs", "3"]
TRAIN = ["train", "people.csv", "--target", "bought", *QUICK]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    people().to_csv("people.csv", index=False)


def wrong_usage(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_without_a_command_there_is_a_guide(capsys):
    assert main([]) == 0
    guide = capsys.readouterr().out
    for command in ("train", "predict", "evaluate", "info", "export", "doctor"):
        assert f"\n  fastbp {command} " in guide
    assert max(map(len, guide.splitlines())) < 100


def test_names_of_other_libraries_get_a_remark(capsys):
    said = wrong_usage(capsys, "train", "t.csv", "--target", "y", "--backend", "cuda")
    assert ". fastbp computes on CPUs only" in said and "Did you mean" not in said


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"fastbp {fastbp.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["trian"], "'train'"),
        (["Predict"], "'predict'"),
        (["train", "t.csv", "--targt", "y"], "'--target'"),
        (["train", "t.csv", "--target", "y", "--learing-rate", "1"], "'--learning-rate'"),
        (["train", "t.csv", "--target", "y", "--learing-rate=1"], "'--learning-rate'"),
        (["train", "t.csv", "--target", "y", "--Hidden", "3"], "'--hidden'"),
        (["train", "t.csv", "--target", "y", "--optimizer", "adm"], "'adam'"),
        (["predict", "m", "t.csv", "--porba"], "'--proba'"),
        (["export", "m", "--format", "onxx"], "'onnx'"),
        (["compare", "--loss", "mse"], "'squared_error'"),
        (["train", "t.csv", "--target", "y", "--activation", "swish"], "'silu'"),
    ],
)
def test_misspelt_options_and_commands(arguments, hint, capsys):
    said = wrong_usage(capsys, *arguments)
    assert said.endswith(f"Did you mean {hint}?\n")
    assert said.startswith("usage: fastbp")


def test_what_is_like_nothing_gets_no_hint(capsys):
    assert "Did you mean" not in wrong_usage(capsys, "train", "t.csv", "--target", "y", "--qqqq")
    # A value that begins with dashes is no option, nor is an abbreviated one misspelt.
    assert "Did you mean" not in wrong_usage(
        capsys, "train", "t.csv", "--target", "y", "--epo", "none"
    )


def test_columns_separated_by_commas(capsys):
    frame = people().assign(**{"a,b": range(200), "c": 1.5})
    frame.to_csv("people.csv", index=False)
    assert main([*TRAIN, "--drop", "a,b", "--drop", "age, rooms", "--json"]) == 0
    columns = json.loads(capsys.readouterr().out)["columns"]
    assert [c["column"] for c in columns if c["why"] == "--drop"] == ["age", "rooms", "a,b"]
    assert main([*TRAIN, "--drop", "age,rom"]) == 1
    assert "has no column 'rom'. Did you mean 'rooms'?" in capsys.readouterr().err


def test_what_cannot_be_written_is_refused_before_the_table_is_read(capsys, monkeypatch):
    monkeypatch.setattr("fastbp.cli.tables.read", lambda *_: pytest.fail("the table was read"))
    for options in (["--plot", "x.jpeg"], ["--report", "x.pdf"]):
        train = [word for word in TRAIN if word != "--no-plot"]
        assert "it must end in one of" in wrong_usage(capsys, *train, *options)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main([*TRAIN, "--report", "x.html"]) == 1
    assert "--report: drawing needs matplotlib" in capsys.readouterr().err


def test_identifiers_beside_the_predictions(capsys):
    frame = people().assign(passenger=[f"p{j:03d}" for j in range(200)])
    frame.to_csv("people.csv", index=False)
    assert main(TRAIN) == 0
    command = ["predict", "people.safetensors", "people.csv", "--id", "passenger"]
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert list(made) == ["passenger", "prediction"] and made["passenger"][7] == "p007"
    for _ in range(2):  # the second time over its own output
        assert main([*command, "--proba", "--output", "p.csv"]) == 0
    table = pd.read_csv("p.csv")
    assert list(table) == ["passenger", "prediction", "probability_no", "probability_yes"]
    assert table["passenger"].tolist() == frame["passenger"].tolist()
    assert main([*command[:3], "--id", "town", "--output", "p.csv"]) == 1
    assert "is not an earlier output of this kind" in capsys.readouterr().err
    assert main([*command[:3], "--id", "pasenger"]) == 1
    assert "Did you mean 'passenger'?" in capsys.readouterr().err
    frame.rename(columns={"passenger": "prediction"}).to_csv("new.csv", index=False)
    assert main(["predict", "people.safetensors", "new.csv", "--id", "prediction"]) == 1
    assert "a column of the predictions has this name" in capsys.readouterr().err


def test_a_terminal_shows_what_is_being_done(capsys, monkeypatch):
    """From the beginning; and when something is printed, nothing is left of it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(TRAIN) == 0
    shown = capsys.readouterr().err
    assert shown.startswith("\r\x1b[Kreading people.csv ...")
    assert "\r\x1b[Kpreparing the training ..." in shown and "epoch/s" in shown
    assert shown.endswith("\r\x1b[K")
    assert main(["predict", "people.safetensors", "nowhere.csv"]) == 1
    assert capsys.readouterr().err.endswith(
        "\r\x1b[Kfastbp: the file 'nowhere.csv' does not exist\n"
    )


@pytest.mark.skipif(os.name == "nt", reason="pipes as POSIX has them")
def test_a_reader_that_has_seen_enough(capsys):
    assert main(TRAIN) == 0
    pd.concat([people()] * 200).to_csv("many.csv", index=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "fastbp", "predict", "people.safetensors", "many.csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout.readline() == b"prediction\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(SECONDS) == 141  # as a shell reports of a program that SIGPIPE has ended


@pytest.mark.skipif(os.name == "nt", reason="pipes as POSIX has them")
@pytest.mark.parametrize("arguments", [[], ["backends"]])
def test_a_reader_that_sees_nothing(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "fastbp", *arguments]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, timeout=SECONDS, env=environment()
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_an_output_that_lacks_characters(capsys):
    assert main(TRAIN) == 0
    command = [sys.executable, "-m", "fastbp"]
    how = {"env": environment() | {"PYTHONIOENCODING": "ascii"}, "capture_output": True}
    done = subprocess.run([*command, *TRAIN], timeout=SECONDS, check=True, **how)
    assert rb"K\xf6ln" in done.stdout and b"model: people.safetensors" in done.stdout
    predict = ["predict", "people.safetensors", "people.csv"]
    subprocess.run([*command, *predict], timeout=SECONDS, check=True, **how)
    done = subprocess.run([*command, *predict, "--id", "town"], timeout=SECONDS, **how)
    assert done.returncode == 1 and not done.stdout
    assert rb"standard output is in ascii, which lacks '\xf6'; name a file" in done.stderr


def test_closed_streams(monkeypatch, capsys):
    assert main(TRAIN) == 0
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["predict", "people.safetensors", "-"]) == 1
    assert "standard input is closed" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdout", None)
    assert main([*TRAIN, "--no-plot"]) == 0
    assert main(["predict", "people.safetensors", "people.csv"]) == 1
    assert "standard output is closed; name a file with --output" in capsys.readouterr().err


# Completion.


def test_completion_of_columns():
    class Given:
        data, sep = Path("people.csv"), None

    assert completion.columns("", Given) == ["age", "town", "rooms", "bought"]
    assert completion.columns("ro", Given) == ["rooms"]
    assert completion.columns("age,to", Given) == ["age,town"]
    people().to_parquet("people.parquet")
    people().to_csv("people.data", sep="|", index=False)
    for name in ("people.parquet", "people.data"):
        Given.data = Path(name)
        assert completion.columns("t", Given) == ["town"]
    for name in ("nowhere.csv", "nowhere.xlsx"):
        Given.data = Path(name)
        assert completion.columns("", Given) == []


def test_completion_of_files():
    for name in ("a.safetensors", "b.SAFETENSORS", "c.png", "d.csv.gz", ".hidden.csv"):
        Path(name).touch()
    Path("models").mkdir()
    Path("models/x.safetensors").touch()
    assert completion.MODELS("") == ["a.safetensors", "b.SAFETENSORS", "models/"]
    assert completion.MODELS("models/") == ["models/x.safetensors"]
    assert completion.MODELS("a") == ["a.safetensors"]
    assert completion.TABLES("") == ["d.csv.gz", "models/", "people.csv"]
    assert completion.TABLES(".h") == [".hidden.csv"]
    assert completion.TABLES("nowhere/") == []


@pytest.mark.skipif(os.name == "nt", reason="a shell's own business")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("fastbp train people.csv --target ", ["age", "town", "rooms", "bought"]),
        ("fastbp predict m", ["my.safetensors"]),
    ],
)
def test_completion_in_a_shell(line, offered):
    pytest.importorskip("argcomplete")
    Path("my.safetensors").touch()
    asked = {
        **{"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line},
        **{"COMP_POINT": str(len(line)), "_ARGCOMPLETE_STDOUT_FILENAME": "answer.txt"},
    }
    subprocess.run(
        [sys.executable, "-m", "fastbp"],
        env={**environment(), **asked},
        timeout=SECONDS,
        check=True,
    )
    answer = Path("answer.txt").read_text(encoding="utf-8").split("\n")
    assert [each.strip() for each in answer] == offered

"""The command line: what it says when it cannot, the doctor, and fastbp as a program."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK, environment, people, same_bits, train_people
from helpers import SECONDS

import fastbp
from fastbp.cli import doctor, main


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(capsys):
    """people.csv and people.safetensors, as the report of the training."""
    return train_people(capsys)


# What it says when it cannot.

GOOD = "x,y\n" + "".join(f"{i * 0.37 % 1:.3f},{i % 2}\n" for i in range(40))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, [], "the file 'data.csv' does not exist"),
        ("", [], "data.csv is empty"),
        ("x,y\n", [], "data.csv has no rows"),
        (GOOD, ["--target", "Yy"], "has no column 'Yy'. Did you mean 'y'? Its columns: x, y"),
        (GOOD, ["--drop", "z"], "has no column 'z'. Its columns: x, y"),
        (GOOD, ["--drop", "x"], "no column to learn from besides the target"),
        (GOOD.replace("x,y\n", ""), [], "first line seems to hold data"),
        (GOOD.replace(",1", ",7").replace(",0", ",7"), [], "target 'y' is '7' in every row"),
        (GOOD[:40], [], "the table has 4 rows with a target, but training needs at least 10"),
        (GOOD.replace(",1", ",b"), ["--task", "regression"], "has 'b' in row 2 (and 19 more such"),
        (
            GOOD,
            ["--target", "x", "--task", "classification"],
            "such as 0.37, which cannot be classes",
        ),
        (GOOD + "inf,1\n", [], "column 'x' has 'inf' in row 41"),
        (
            GOOD + "1,1,1\n",
            [],
            "not a valid CSV file, with columns separated by ',' (see --sep): the",
        ),
        (GOOD + "1,1,1\n", [], "the header has 2 cells, but row 41 has 3"),
        ("# exported\n" + GOOD, [], "the header has 1 cells, but row 1 has 2"),
        (GOOD, ["--output", "none/model.safetensors"], "there is no folder"),
        (
            GOOD,
            ["--learning-rate", "1e30"],
            "diverged: --learning-rate 1e+30 is too large; try 0.001",
        ),
        ("x,y\n" + "".join(f"1,n{i}\n" for i in range(30)), [], "too many for classes"),
        (GOOD.replace(",", "^"), [], "name it with --sep. Its columns: x^y"),
        (GOOD, ["--drop", "x", "--keep", "x"], "--drop and --keep both name 'x'"),
        (GOOD.replace("\n", "\n" + "9" * 400, 2), [], "9…' in row 1"),
    ],
)
def test_bad_training(text, options, message, capsys):
    if text is not None:
        Path("data.csv").write_text(text, encoding="utf-8")
    assert main(["train", "data.csv", "--target", "y", *QUICK, *options]) == 1
    assert message in capsys.readouterr().err
    assert not Path("data.safetensors").exists()


def test_lists_are_refused(capsys):
    people().assign(more=pd.Series([[1, 2]] * 200)).to_parquet("people.parquet")
    assert main(["train", "people.parquet", "--target", "bought"]) == 1
    assert "leave them out with --drop more" in capsys.readouterr().err
    assert main(["train", "people.parquet", "--target", "bought", "--drop", "more", *QUICK]) == 0
    assert main(["train", "people.parquet", "--target", "more"]) == 1
    assert "holds lists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "ending", ["csv", "parquet", "feather", "json", "npz", "csv.gz", "csv.zst"]
)
def test_other_files_under_these_names(ending, capsys):
    Path(f"data.{ending}").write_bytes(b"\xff\x00\xfe\x01\x02")
    assert main(["train", f"data.{ending}", "--target", "y"]) == 1
    assert f"fastbp: data.{ending} is not " in capsys.readouterr().err


def test_what_is_wrong_with_other_files_under_these_names(capsys):
    Path("text.npz").write_text("x,y\n1,2\n", encoding="utf-8")
    np.savez("objects.npz", y=np.array([None]))
    Path("data.jsonl").write_text('{"y": 1}\n[1]\n', encoding="utf-8")
    for name, why in (
        ("text.npz", "not a zip file"),
        ("objects.npz", "it holds Python objects"),
        ("data.jsonl", "not every line holds an object"),
    ):
        assert main(["train", name, "--target", "y"]) == 1
        said = capsys.readouterr().err
        assert why in said and "pickle" not in said


def test_bad_predictions(trained, capsys):
    frame = people(5)
    frame.drop(columns=["age", "town"]).to_csv("fewer.csv", index=False)
    assert main(["predict", "people.safetensors", "fewer.csv"]) == 1
    message = capsys.readouterr().err
    assert "fewer.csv lacks columns that the model was trained on: age, town." in message
    assert "that the model does not know: bought" in message
    frame.assign(age="old").to_csv("texts.csv", index=False)
    assert main(["predict", "people.safetensors", "texts.csv"]) == 1
    assert "texts.csv: column 'age' has 'old' in row 1" in capsys.readouterr().err
    frame.assign(bought="maybe").to_csv("others.csv", index=False)
    assert main(["evaluate", "people.safetensors", "others.csv"]) == 1
    assert "not trained on: maybe; it knows no, yes" in capsys.readouterr().err
    assert main(["predict", "people.csv", "people.csv"]) == 1
    assert "people.csv: not a safetensors file, as fastbp saves models" in capsys.readouterr().err
    assert main(["info", "nowhere.safetensors"]) == 1
    assert "the file 'nowhere.safetensors' does not exist" in capsys.readouterr().err
    assert main(["info", "."]) == 1
    assert "the file '.' is a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["train", "data.csv"], "--target"),
        (["train", "data.xls", "--target", "y"], "must end in one of .csv, .tsv, .txt"),
        (["train", "data.csv", "--target", "y", "--hidden", "3,x"], "such as 64,32, or none"),
        (["train", "data.csv", "--target", "y", "--epochs", "0"], "whole number of at least 1"),
        (["train", "data.csv", "--target", "y", "--l2", "-1"], "number from 0 to 1e+30"),
        (["train", "data.csv", "--target", "y", "--l2", "1e31"], "number from 0 to 1e+30"),
        (["train", "data.csv", "--target", "y", "--threads", "1025"], "at most 1024"),
        (["train", "data.csv", "--target", "y", "--hidden", "9999999999"], "up to 2147483647"),
        (["train", "data.csv", "--target", "y", "--learning-rate", "nan"], "number above 0"),
        (["train", "data.csv", "--target", "y", "--seed", "x"], "whole number from 0"),
        (["train", "data.csv", "--target", "y", "--test", "1"], "share from 0 to below 1"),
        (
            ["train", "data.csv", "--target", "y", "--test", "0.5", "--validation", "0.5"],
            "must leave rows",
        ),
        (["predict", "m", "data.csv", "--output", "p.json"], "must end in one of .csv, .parquet"),
        (["export", "m", "--format", "xml"], "invalid choice: 'xml'"),
        (["predict", "data.csv", "m.safetensors"], "take MODEL before DATA"),
        (["export", "m", "--format", "c", "--train", "sgd", "--weights", "int8"], "--weights int8"),
        (["compare", "--layers", "64,a"], "such as 64,64,10, got '64,a'"),
        (["compare", "--layers", "64"], "at least two sizes"),
        (["compare", "--batch-size", "0"], "whole number of at least 1"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", ["train", "predict", "evaluate", "info", "export", "compare", "backends", "doctor"]
)
def test_every_command_has_help_with_examples(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    help_of_command = capsys.readouterr().out
    assert f"  fastbp {command}" in help_of_command.partition("example")[2]


@pytest.mark.parametrize("module", ["pandas", "pyarrow"])
def test_missing_packages(module, monkeypatch, capsys):
    people().to_parquet("people.parquet")
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["train", "people.parquet", "--target", "bought"]) == 1
    assert f"needs {module}: pip install 'fastbp[cli]'" in capsys.readouterr().err


def test_without_matplotlib(monkeypatch, capsys):
    people().to_csv("people.csv", index=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", "people.csv", "--target", "bought", *QUICK[:-1]]) == 0
    assert "no picture is drawn" in capsys.readouterr().err
    assert Path("people.safetensors").exists() and not Path("people.png").exists()
    assert main(["train", "people.csv", "--target", "bought", *QUICK[:-1], "--plot", "x.png"]) == 1


# The doctor.


def test_doctor_finds_nothing_wrong(capsys):
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["problems"] == []
    assert report["versions"]["numpy"] == np.__version__
    assert report["backends"] == fastbp.available_backends()
    assert report["bfloat16"] == "in AMX tiles" or report["bfloat16"].startswith("emulated: the ")
    bits = {name: result["bits"] for name, result in report["check"].items() if name != "numpy"}
    assert len(set(bits.values())) == 1 or not same_bits()
    cache = report["numba_cache"]
    if "numba" in bits and cache and not os.environ.get("NUMBA_DISABLE_JIT"):
        assert cache["files"] > 0 and cache["bytes"] > 0
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("all is well\n")


def test_doctor_finds_what_is_wrong(monkeypatch, capsys):
    answers = {"cython": "no: not built", "numba": "no: broken", "numpy": "yes: NumPy"}
    monkeypatch.setattr(doctor.backends, "available", lambda: answers)
    assert main(["doctor"]) == 1
    assert "problem: no compiled backend can be used" in capsys.readouterr().out


def test_doctor_compares_bits(monkeypatch, capsys, compiled):
    """A compiled backend that computes something else, by little or by much, is found."""
    fit = fastbp.Network.fit
    change = [1e-7]

    def wrong(net, *data, **options):
        fit(net, *data, **options)
        if net.backend == compiled:
            net.weights[0][0, 0] += change[0]

    monkeypatch.setattr(fastbp.Network, "fit", wrong)
    others = {"cython", "numba"} & {
        name for name, answer in fastbp.available_backends().items() if answer.startswith("yes")
    }
    if len(others) == 2 and same_bits():
        assert main(["doctor"]) == 1
        assert "do not give the same bits" in capsys.readouterr().out
    change[0] = 0.1
    assert main(["doctor"]) == 1
    assert (
        f"problem: weights from {compiled} differ from the NumPy reference by 1.0e-01"
        in capsys.readouterr().out
    )


# As a program.


def run(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "fastbp", *arguments],
        capture_output=True,
        text=True,
        env={**environment(), **more},
        timeout=SECONDS,
    )


def test_as_a_module():
    done = run("backends")
    assert (done.returncode, done.stderr) == (0, "")
    assert "numpy    yes" in done.stdout
    done = run("train", "nothing.csv", "--target", "y")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "fastbp: the file 'nothing.csv' does not exist\n"


def test_as_a_console_script():
    scripts = pytest.importorskip("tomllib").loads(
        (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]["scripts"]
    assert scripts == {"fastbp": f"{main.__module__}:{main.__name__}"}


@pytest.mark.skipif(os.name == "nt", reason="a shell's own business")
def test_completion():
    pytest.importorskip("argcomplete")
    text = "fastbp export model --format "
    asked = {"_ARGCOMPLETE": "1", "COMP_LINE": text, "COMP_POINT": str(len(text))}
    done = run("export", **asked, _ARGCOMPLETE_IFS="\n", _ARGCOMPLETE_STDOUT_FILENAME="answer.txt")
    assert done.returncode == 0, done.stderr
    answer = Path("answer.txt").read_text(encoding="utf-8").split("\n")
    assert [each.strip() for each in answer] == ["c", "npz", "onnx", "torch-state"]

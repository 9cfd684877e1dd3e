"""The command line: tables to models and back, and what it prints."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK, environment, line, people, same_bits, train_people
from helpers import SECONDS
from sklearn import metrics as sklearn_metrics
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression

import fastbp
from fastbp.cli import columns, main, metrics, problems, readings


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trained(capsys):
    """people.csv and people.safetensors, as the report of the training."""
    return train_people(capsys)


# Training.


def test_training_learns_what_there_is_to_learn(trained):
    figures = trained["metrics"]
    assert figures["test"]["accuracy"] > 0.8 > 0.7 > figures["baseline"]["accuracy"]
    assert trained["rows"] == {"training": 140, "validation": 30, "test": 30}
    assert np.sum(trained["confusion"]) == 30
    assert len(trained["loss"]) == len(trained["validation_loss"]) == trained["training"]["epochs"]
    assert trained["validation_loss"][trained["training"]["best_epoch"] - 1] == min(
        trained["validation_loss"]
    )
    assert trained["sizes"] == [2 + 4, 8, 1]  # two numbers; three towns, and none


def test_figures_are_scikit_learns(trained, capsys):
    """The figures of `evaluate` and of the baseline follow from the table of `predict`."""
    frame = people(150, seed=1)
    frame.to_csv("more.csv", index=False)
    assert main(["evaluate", "people.safetensors", "more.csv", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["predict", "people.safetensors", "more.csv", "--proba", "--output", "p.csv"]) == 0
    predicted, truth = pd.read_csv("p.csv"), frame["bought"]
    probability = predicted[["probability_no", "probability_yes"]].to_numpy()
    probability /= probability.sum(axis=1, keepdims=True)  # of float32
    assert report["metrics"]["model"] == pytest.approx(
        {
            "accuracy": (predicted["prediction"] == truth).mean(),
            "log_loss": sklearn_metrics.log_loss(truth, probability),
            "roc_auc": sklearn_metrics.roc_auc_score(truth == "yes", probability[:, 1]),
        },
        rel=1e-6,
    )
    expected = sklearn_metrics.confusion_matrix(truth, predicted["prediction"])
    assert report["confusion"] == expected.tolist()
    dummy = DummyClassifier().fit(probability, truth)
    assert report["metrics"]["baseline"]["log_loss"] == pytest.approx(
        sklearn_metrics.log_loss(truth, dummy.predict_proba(probability))
    )


def test_regression_is_in_the_units_of_the_target(capsys):
    """The exact dependence is found, as by least squares; the target is far from unit variance."""
    frame = line()
    frame.to_parquet("line.parquet")
    options = ["--hidden", "none", "--epochs", "300", "--learning-rate", "0.03", "--l2", "0"]
    assert main(["train", "line.parquet", "--target", "price", *options, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["task"] == "regression"
    assert report["metrics"]["test"]["r2"] > 0.9999
    assert main(["predict", "line.safetensors", "line.parquet", "--output", "p.parquet"]) == 0
    X, y = frame[["a", "b"]], frame["price"]
    expected = LinearRegression().fit(X, y).predict(X)
    found = pd.read_parquet("p.parquet")["prediction"]
    assert np.abs(found - expected).max() < 0.01 * y.std()


def test_the_same_seed_gives_the_same_model(trained):
    first = fastbp.load("people.safetensors")["network"]
    command = ["train", "people.csv", "--target", "bought", *QUICK]
    for seed, same in (("0", True), ("1", False)):
        assert main([*command, "--seed", seed, "--output", "again.safetensors"]) == 0
        again = fastbp.load("again.safetensors")["network"]
        assert np.array_equal(first.coefs_[0], again.coefs_[0]) == same


def test_report_for_people(capsys):
    people().to_csv("people.csv", index=False)
    assert main(["train", "people.csv", "--target", "bought", *QUICK[:-1]]) == 0
    printed, errors = capsys.readouterr()
    assert errors == ""  # no progress bar outside of a terminal
    for words in (
        "people.csv: 200 rows, 140 training, 30 validation, 30 test",
        "target bought: classification (values that are not numbers)",
        "age     number         12  38.7, 46.4, 41.0  numbers\n",
        "town    category        9  Ulm, Bonn, Köln   text, 3 values\n",
        "network 6-8-1 on numpy: ",
        "verdict: better than the baseline: wrong in ",
        "accuracy",
        "true \\ predicted",
        "model: people.safetensors\nlearning curve: people.png\n",
    ):
        assert words in printed
    assert Path("people.png").read_bytes().startswith(b"\x89PNG")


def test_confusion_matrix_in_a_narrow_terminal(monkeypatch):
    """Columns are numbered where their names would not fit, and long names cut."""
    labels, counts = ["a", "some very long name"], [[3, 1], [0, 12]]
    monkeypatch.setenv("COLUMNS", "80")
    assert metrics.confusion_table(labels, counts).splitlines() == [
        "true \\ predicted  a  some very l…",
        "a                 3             1",
        "some very l…      0            12",
    ]
    monkeypatch.setenv("COLUMNS", "30")
    assert metrics.confusion_table(labels, counts).splitlines() == [
        "true \\ pred.      [0]  [1]",
        "[0] a               3    1",
        "[1] some very l…    0   12",
    ]


def test_progress_bar_in_a_terminal(capsys, monkeypatch):
    people().to_csv("people.csv", index=False)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["train", "people.csv", "--target", "bought", *QUICK]) == 0
    assert "epoch/s" in capsys.readouterr().err


def test_without_parts_held_out(capsys):
    people().to_csv("people.csv", index=False)
    command = ["train", "people.csv", "--target", "bought", *QUICK, "--json"]
    assert main([*command, "--validation", "0", "--test", "0"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["judged_on"], report["training"]["best_epoch"]) == ("training", None)
    assert len(report["loss"]) == 60 and report["validation_loss"] == []


def test_early_stopping_can_be_turned_off(trained, capsys):
    command = ["train", "people.csv", "--target", "bought", *QUICK, "--epochs", "80", "--json"]
    ended = {}
    for option in (["--patience", "1"], ["--no-early-stopping"]):
        assert main([*command, *option]) == 0
        ended[option[0]] = json.loads(capsys.readouterr().out)["training"]
    assert ended["--patience"]["epochs"] < 80
    assert ended["--no-early-stopping"]["epochs"] == 80
    assert ended["--no-early-stopping"]["best_epoch"] is None


PROGRAM = """
import sys
from fastbp.cli import main, single
class Watch(single.Watch):
    def epoch(self, network, history):
        if len(history.loss) == 3:
            print("three epochs", flush=True)
        return super().epoch(network, history)
single.Watch = Watch
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGINT for a single process on Windows")
@pytest.mark.slow
def test_ctrl_c_keeps_what_was_learnt(capfd):
    people().to_csv("people.csv", index=False)
    options = [*QUICK, "--epochs", "100000000", "--no-early-stopping"]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", "people.csv", "--target", "bought", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    for text in process.stdout:
        if text == "three epochs\n":
            break
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert "epochs, then interrupted by Ctrl-C" in printed
    assert main(["info", "people.safetensors", "--json"]) == 0
    notes = json.loads(capfd.readouterr().out)["notes"]
    assert notes["training"]["interrupted"] and notes["training"]["epochs"] >= 3


# What columns and targets are taken for.


@pytest.mark.parametrize(
    ("values", "task", "kind"),
    [
        (["a", "b"] * 10, "classification", "U"),
        ([True, False] * 10, "classification", "U"),
        ([3, 1, 2, 2] * 5, "classification", "i"),
        ([3.0, 1.0] * 10, "classification", "i"),
        ([0.5, 1.0] * 10, "regression", "f"),
        (list(range(21)), "regression", "f"),
    ],
)
def test_task_is_found(values, task, kind):
    series = pd.Series(values, name="y")
    reading = readings.decide(series.to_frame())["y"].reading
    problem = problems.find(series, reading, "x.csv")
    assert (problem.task, problem.y.dtype.kind) == (task, kind)
    assert problem.y.tolist() == ([str(v) for v in values] if kind == "U" else values)


def test_task_can_be_chosen():
    counts = pd.Series([0, 1, 2, 5] * 5, name="y")
    reading = readings.Reading("number")
    assert problems.find(counts, reading, "x.csv", "regression").y.dtype == np.float64


def test_text_is_the_same_with_gaps_and_without():
    """Whole numbers become floats where some are missing."""
    whole, gaps = pd.Series([1, 2, 3], name="k"), pd.Series([1, None, 3], name="k")
    reading = readings.Reading("category")
    found = [readings.features(series, reading, "x.csv")["k"].tolist() for series in (whole, gaps)]
    assert found[0] == ["1", "2", "3"]
    assert found[1][::2] == ["1", "3"] and np.isnan(found[1][1])


def chosen(frame, y, **options):
    """What each column is read as, with the reasons."""
    decisions = readings.decide(frame, categorical=options.pop("categorical", ()))
    found, _ = columns.choose(frame, "y", np.asarray(y), decisions, "x.csv", **options)
    return {column.name: (column.read_as(), column.why) for column in found}


def test_columns_that_are_left_out():
    n = columns.MANY_CATEGORIES + 1
    y = np.random.default_rng(0).normal(size=n)
    frame = pd.DataFrame({"y": y, "id": range(1, n + 1), "empty": None, "x": 0.5})
    frame["name"] = [f"name {i}" for i in range(n)]
    frame["z"] = np.arange(n) % 7
    frame["copy"] = y
    found = chosen(frame, y)
    assert found["z"] == ("number", "whole numbers")
    for name, why in (
        ("id", "an identifier: its name, and whole numbers that differ in every row; --keep id"),
        ("empty", "empty"),
        ("x", "always 0.5"),
        ("name", "different in every row, like a name or an identifier; --keep name uses it"),
        ("copy", "equal to the target, which it would give away; --keep copy uses it"),
    ):
        assert found[name][0] == "left out" and why in found[name][1]
    kept = chosen(frame, y, keep=["id", "name", "copy"], drop=["z"], categorical=["z"])
    assert {name: kept[name][0] for name in ("id", "name", "copy", "z")} == {
        "id": "number",
        "name": "category",
        "copy": "number",
        "z": "left out",
    }
    assert "and each becomes an input; see --drop name" in kept["name"][1]


def test_npz_and_other_separators(capsys):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 2)), rng.integers(0, 2, 60)
    np.savez("matrix.npz", X=X, y=y)
    frame = pd.DataFrame({"X0": X[:, 0], "X1": X[:, 1], "y": y})
    frame.to_csv("semicolons.csv", sep=";", index=False)
    frame.to_csv("tabs.tsv", sep="\t", index=False)
    losses = []
    for name in ("matrix.npz", "semicolons.csv", "tabs.tsv"):
        assert main(["train", name, "--target", "y", *QUICK, "--json"]) == 0
        losses.append(json.loads(capsys.readouterr().out)["loss"])
    assert losses[0] == losses[1] == losses[2]


# Using a model.


def test_predictions_do_not_depend_on_order_and_more_columns(trained, capsys):
    frame = people(30, seed=2)
    frame.to_csv("new.csv", index=False)
    frame[["town", "rooms", "age"]].assign(more=1).to_csv("other.csv", index=False)
    outputs = []
    for name in ("new.csv", "other.csv"):
        assert main(["predict", "people.safetensors", name, "--json"]) == 0
        outputs.append(json.loads(capsys.readouterr().out))
    assert outputs[0] == outputs[1]
    assert set(outputs[0]["prediction"]) == {"yes", "no"}


def test_unknown_category_is_none_of_the_known(trained, capsys):
    """All inputs of that column are 0."""
    pd.DataFrame({"age": [50.0], "town": ["Oz"], "rooms": [3]}).to_csv("new.csv", index=False)
    assert main(["predict", "people.safetensors", "new.csv", "--proba", "--json"]) == 0
    probability = json.loads(capsys.readouterr().out)["probability_yes"][0]
    model = fastbp.load("people.safetensors")
    scale = model["columns"].named_transformers_["numbers"]["scale"]
    row = np.zeros((1, 6))
    row[0, :2] = (np.array([50.0, 3.0]) - scale.mean_) / scale.scale_
    assert probability == pytest.approx(model["network"].predict_proba(row)[0, 1])


def by_hand(frame, interface):
    """The network's inputs, as the file beside an export says."""
    inputs = []
    for made in interface["inputs"]:
        series = frame[made["column"]]
        if "equals" in made:
            inputs.append(series.fillna(readings.MISSING) == made["equals"])
        else:
            inputs.append((series.fillna(made["fill"]) - made["mean"]) / made["scale"])
    return np.array(inputs, dtype=np.float32).T


@pytest.mark.parametrize("form", ["npz", "onnx", "torch-state", "c"])
def test_export(trained, capsys, form):
    """What other tools compute from the export is what `predict` says."""
    if form == "onnx":
        runtime = pytest.importorskip("onnxruntime")
    if form == "torch-state":
        torch = pytest.importorskip("torch")
    assert main(["export", "people.safetensors", "--format", form, "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    interface = json.loads(Path(written[1]).read_text(encoding="utf-8"))
    assert interface["outputs"] == [{"probability_of": "yes", "target": "bought"}]
    frame = people(20, seed=3)
    frame.to_csv("new.csv", index=False)
    assert main(["predict", "people.safetensors", "new.csv", "--proba", "--json"]) == 0
    expected = json.loads(capsys.readouterr().out)["probability_yes"]
    X = by_hand(frame, interface)
    if form == "onnx":
        found = runtime.InferenceSession(written[0]).run(None, {"X": X})[0]
    elif form == "c":
        names = sorted(path.name for path in Path(written[0]).iterdir())
        assert names == ["network.c", "network.h", "network_test.c"]
        return  # tests/exchange/test_exchange_c.py compiles such files
    else:
        if form == "npz":
            with np.load(written[0]) as archive:
                W1, b1, W2, b2 = (archive[key] for key in ("W1", "b1", "W2", "b2"))
                assert archive["activations"].tolist() == ["relu", "sigmoid"]
        else:
            state = [array.numpy() for array in torch.load(written[0]).values()]
            W1, b1, W2, b2 = state[0].T, state[1], state[2].T, state[3]
        found = 1 / (1 + np.exp(-(np.maximum(X @ W1 + b1, 0) @ W2 + b2)))
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4)


def test_options_of_c(trained, capsys):
    command = ["export", "people.safetensors", "--format"]
    assert main([*command, "c", "--weights", "int8", "--jacobian"]) == 0
    assert main([*command, "c", "--output", "trained", "--train", "sgd"]) == 0
    headers = [Path(name, "network.h").read_text() for name in ("people_c", "trained")]
    assert "its weights in int8" in headers[0] and "network_jacobian(" in headers[0]
    assert "its weights in float32" in headers[1] and "network_fit_step(" in headers[1]


def test_whole_numbers_in_c(trained, capsys):
    """The source is that of to_c for the table's rows, prepared as for the network."""
    command = ["export", "people.safetensors", "--format", "c", "--arithmetic", "int8"]
    people(90, seed=3).to_csv("more.csv", sep=";", decimal=",", index=False)
    assert main([*command, "--data", "more.csv", "--decimal", ","]) == 0
    text = "for the 90 rows of more.csv, the outputs differ from those in float32 by at most 0.0"
    assert text in capsys.readouterr().out
    source = Path("people_c", "network.c").read_bytes()
    interface = json.loads(Path("people_c.inputs.json").read_text(encoding="utf-8"))
    X = by_hand(people(90, seed=3), interface)
    network = fastbp.load("people.safetensors")["network"]
    fastbp.to_c(network, "expected", weights="int8", arithmetic="int8", X=X)
    assert source == Path("expected", "network.c").read_bytes()
    capsys.readouterr()
    assert main([*command, "--data", "people.csv", "--json", "--force"]) == 0
    calibration = json.loads(capsys.readouterr().out)["calibration"]
    assert 0 < calibration["rms"] < calibration["largest"] < 0.1
    assert main([*command, "--data", "people.csv", "--output", "people.csv"]) == 1
    assert Path("people.csv").is_file()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("npz --weights int8 --jacobian", "--weights and --jacobian cannot be used with --format"),
        ("onnx --data people.csv", "--data cannot be used with --format onnx, only with c"),
        ("c --arithmetic int8", "--arithmetic int8 needs --data, a table such as that of the"),
        ("c --weights int8 --data people.csv", "--data cannot be used without --arithmetic int8"),
        ("c --sep ;", "--no-header say how --data is written, which is missing"),
        (
            "c --arithmetic int8 --data people.csv --weights float32 --train sgd",
            "--arithmetic int8 cannot be used with --weights float32 and --train",
        ),
    ],
)
def test_options_of_c_that_do_not_go_together(given, message, trained, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", "people.safetensors", "--format", *given.split()])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("people.npz").exists() and not Path("people_c").exists()


def test_info(trained, capsys):
    assert main(["info", "people.safetensors"]) == 0
    printed = capsys.readouterr().out
    for words in (
        f"Pipeline, saved by fastbp {fastbp.__version__}",
        "network: 6-8-1, 65 weights and biases, float32",
        "activations: relu, sigmoid\nloss: log_loss\nclasses: no, yes\n",
        "numbers: age, rooms\ncategories: town\n",
        "target: bought\ntask: classification\n",
        "optimizer adam",
    ):
        assert words in printed
    assert main(["info", "people.safetensors", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["notes"]["metrics"] == trained["metrics"]


def test_models_from_python(capsys):
    """They can be looked at and exported; a table says nothing about their columns."""
    net = fastbp.Network([2, 3, 1], loss="squared_error", backend="numpy")
    fastbp.save(net, "net.safetensors", notes={"by": "hand\x1b[2J", "runs": {"a": {"x": 0.5}}})
    X = np.random.default_rng(0).normal(size=(20, 2))
    classifier = fastbp.MLPClassifier((3,), max_iter=200, tol=1.0).fit(X, X[:, 0] > 0)
    fastbp.save(classifier, "classifier.safetensors")
    assert main(["info", "net.safetensors"]) == 0
    printed = capsys.readouterr().out
    assert "Network, saved" in printed and "squared_error" in printed
    assert "by: hand [2J\nruns, a: x 0.5\n" in printed  # and the terminal is left alone
    rounding = fastbp.Network([2, 3], loss="huber", compute_dtype="bfloat16", backend="numpy")
    rounding.save("rounding.safetensors")
    assert main(["info", "rounding.safetensors"]) == 0
    assert "9 weights and biases, float32, products in bfloat16\n" in capsys.readouterr().out
    without = fastbp.Network([2, 3], loss=None, output_activation="tanh", backend="numpy")
    without.save("without.safetensors")
    assert main(["info", "without.safetensors"]) == 0
    assert "activations: tanh\nloss: none\n" in capsys.readouterr().out
    heads = [("cross_entropy", 2), ("poisson", 1)]
    fastbp.Network([2, 3], loss=heads, loss_weights=[1, 0.5]).save("heads.safetensors")
    assert main(["info", "heads.safetensors"]) == 0
    text = "activations: softmax, exp\nloss: cross_entropy + 0.5 poisson\n"
    assert text in capsys.readouterr().out
    assert main(["export", "heads.safetensors", "--format", "npz"]) == 0
    assert capsys.readouterr().out == "npz: heads.npz\n"
    with np.load("heads.npz") as archive:
        assert archive["activations"].tolist() == ["softmax", "exp"]
        assert archive["head_outputs"].tolist() == [2, 1]
    assert main(["info", "classifier.safetensors"]) == 0
    assert "classes: False, True" in capsys.readouterr().out
    assert main(["export", "classifier.safetensors", "--format", "npz"]) == 0
    assert capsys.readouterr().out == "npz: classifier.npz\n"
    people().to_csv("people.csv", index=False)
    assert main(["predict", "classifier.safetensors", "people.csv"]) == 1
    assert "was not made by fastbp train" in capsys.readouterr().err


def test_evaluation_on_rows_of_one_class(trained, capsys):
    frame = people(40, seed=4)
    frame[frame.bought == "yes"].to_csv("buyers.csv", index=False)
    assert main(["evaluate", "people.safetensors", "buyers.csv", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["metrics"]["model"]["roc_auc"] is None
    assert report["metrics"]["baseline"] == {"accuracy": 1.0, "log_loss": 0.0, "roc_auc": None}
    assert report["confusion"][0] == [0, 0]
    assert main(["evaluate", "people.safetensors", "buyers.csv"]) == 0
    assert "there is no ROC AUC" in capsys.readouterr().err


def test_notes_are_not_needed_to_evaluate(trained, capsys):
    fastbp.save(fastbp.load("people.safetensors"), "bare.safetensors")
    assert main(["evaluate", "bare.safetensors", "people.csv"]) == 1
    assert "name it with --target" in capsys.readouterr().err
    assert main(["evaluate", "bare.safetensors", "people.csv", "--target", "bought"]) == 0
    assert "people.csv: 200 rows, target bought" in capsys.readouterr().out


# The guide.


def alike(text):
    """Without what may differ from run to run, and between machines."""
    text = re.sub(r"date [^,]*", "date", re.sub(r"\b(cython|numba)\b", "compiled", text))
    return re.sub(r"\d+\.\d{6,}", lambda number: f"{float(number[0]):.5g}", text).strip()


def test_sessions_of_the_guide(monkeypatch, capfd):
    """Each command of the page prints what is below it there, figures included."""
    pytest.importorskip("onnx")
    if not same_bits():
        pytest.skip("a build without FMA gives other last bits")
    page = (Path(__file__).parents[2] / "docs" / "command_line.md").read_text(encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "80")
    exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], {})
    sessions = "\n".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL))
    commands = re.split(r"^\$ fastbp (.*)\n", sessions, flags=re.MULTILINE)
    for command, expected in zip(commands[1::2], commands[2::2], strict=True):
        main(shlex.split(command))
        printed, errors = capfd.readouterr()
        assert alike(printed or errors) == alike(expected)
    assert len(commands) > 20


def test_of_an_ensemble(tmp_path, capsys):
    """info says of how many networks; export writes one only."""
    X, y = np.arange(12.0).reshape(6, 2), ["a", "b"] * 3
    member = fastbp.MLPClassifier((3,), max_iter=1000, tol=1.0, backend="numpy")
    path = tmp_path / "ensemble.safetensors"
    fastbp.save(fastbp.MLPEnsembleClassifier(member, 4).fit(X, y), path)
    assert main(["info", str(path)]) == 0
    said = capsys.readouterr().out
    assert "MLPEnsembleClassifier" in said and "network of 4, the first one: 2-3-1" in said
    assert "classes: a, b" in said
    assert main(["export", str(path), "--format", "npz"]) == 1
    assert "has 4 networks, but export can only write" in capsys.readouterr().err

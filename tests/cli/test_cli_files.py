"""What the commands write: never over what they read, nor without --force over others' files."""

import io
import json
import os
import stat
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_cases import QUICK, people

import fastbp
from fastbp.cli import main, outputs, predicting, training

posix = pytest.mark.skipif(os.name != "posix", reason="links and pipes as POSIX has them")
QUICK = [*QUICK, "--epochs", "3"]
DRAWN = [word for word in QUICK if word != "--no-plot"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A trained model, as bytes."""
    folder = tmp_path_factory.mktemp("model")
    people().to_csv(folder / "people.csv", index=False)
    path = folder / "people.safetensors"
    command = ["train", folder / "people.csv", "--target", "bought", *QUICK, "--output", path]
    assert main([str(word) for word in command]) == 0
    return path.read_bytes()


def put_here(model):
    people().to_csv("people.csv", index=False)
    people().to_csv("table.csv", index=False)
    Path("people.safetensors").write_bytes(model)


@pytest.fixture
def trained(model, capsys):
    """people.csv and people.safetensors, and a copy of the table."""
    put_here(model)
    capsys.readouterr()


def contents():
    """All files here, with what is in them."""
    return {path: path.read_bytes() for path in sorted(Path().rglob("*")) if path.is_file()}


def refused(capsys, *command):
    """What the command says when it refuses, having touched nothing and begun nothing."""
    before = contents()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "train", lambda *_: pytest.fail("the training has begun"))
        patch.setattr(predicting, "inputs", lambda *_: pytest.fail("the prediction has begun"))
        assert main([str(word) for word in command]) == 1
    assert contents() == before
    printed, errors = capsys.readouterr()
    assert printed == ""
    return errors


# Inputs.


def spelled(name, way):
    """The same file by another path."""
    if way == "absolute":
        return Path(name).resolve()
    if way == "around":
        return Path("..", Path.cwd().name, name)
    other = Path("other" + Path(name).suffix)
    if way == "link":
        other.symlink_to(name)
    elif way == "hard link":
        os.link(name, other)
    return other if "link" in way else Path(name)


WAYS = ["itself", "absolute", "around"] + ["link", "hard link"] * (os.name == "posix")


@pytest.mark.parametrize("way", WAYS)
def test_inputs_are_never_overwritten(trained, way, capsys):
    """Not by force either."""
    table, model = spelled("table.csv", way), Path("people.safetensors")
    said = "would overwrite {}, which this command reads; name another file with --output"
    for command in (
        ["train", "table.csv", "--target", "bought", *QUICK, "--output", table],
        ["train", table, "--target", "bought", *QUICK, "--output", "table.csv"],
        ["predict", model, "table.csv", "--output", table],
        ["predict", model, table, "--output", "table.csv", "--proba"],
    ):
        for force in ([], ["--force"]):
            assert said.format(command[-1 - ("--proba" in command)]) in refused(
                capsys, *command, *force
            )


@pytest.mark.parametrize("way", WAYS)
def test_the_model_is_never_overwritten(trained, way, capsys):
    """The table's name says nothing about what is in the file: here it is the model."""
    os.replace("people.safetensors", "model.csv")
    model = spelled("model.csv", way)
    for command in (
        ["predict", "model.csv", "table.csv", "--output", model],
        ["predict", model, "table.csv", "--output", "model.csv"],
        ["export", "model.csv", "--format", "npz", "--output", model],
    ):
        for force in ([], ["--force"]):
            assert "which this command reads" in refused(capsys, *command, *force)


def test_the_name_of_an_input_in_other_letters(trained, capsys, monkeypatch):
    """Where the file system takes them for the same, as it is made to do here."""
    for name in ("stat", "access"):
        function = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda path, *more, f=function, **how: f(str(path).lower(), *more, **how)
        )
    command = ["predict", "people.safetensors", "table.csv", "--output", "TABLE.CSV", "--force"]
    assert main(command) == 1
    assert "TABLE.CSV, which this command reads" in capsys.readouterr().err


@pytest.mark.parametrize("picture", ["table.csv.png", "TABLE.CSV.PNG", "./x/../table.csv.png"])
def test_two_outputs_in_one_file(trained, picture, capsys):
    command = ["train", "table.csv", "--target", "bought", *DRAWN]
    Path("x").mkdir()
    said = refused(capsys, *command, "--output", "table.csv.png", "--plot", picture)
    assert "the model and the picture would both be written to" in said
    assert "with --plot" in said
    # Without --plot, the curve's name is the model's with another ending.
    assert "would both be" in refused(capsys, *command, "--output", "table.png", "--force")


# Other files.


def test_a_picture_of_somebody_else(trained, capsys):
    """Which happens to have the name that the picture would get."""
    Path("people.png").write_bytes(b"\x89PNG, drawn by hand")
    command = ["train", "people.csv", "--target", "bought", *DRAWN]
    for more in ([], ["--plot", "people.png"], ["--output", "people.safetensors"]):
        said = refused(capsys, *command, *more)
        assert "the picture would overwrite people.png, which is not an earlier output" in said
        assert "name another file with --plot, or overwrite it with --force" in said
    assert main([*command, "--no-plot"]) == 0
    assert Path("people.png").read_bytes() == b"\x89PNG, drawn by hand"
    assert main([*command, "--force"]) == 0
    for _ in range(2):  # and again, since now it is ours
        assert main(command) == 0


OTHERS = {
    "text": b"mine",
    "table": people(20).to_csv(index=False).encode(),
    "tensors": (2).to_bytes(8, "little") + b"{}",
    "broken": b"\xff" * 40,
    "json": b'{"inputs": 1, "outputs": 2, "more": 3}',
    "list": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize(
    ("command", "output"),
    [
        (["train", "table.csv", "--target", "bought", *QUICK], "x.safetensors"),
        (["predict", "people.safetensors", "table.csv"], "x.csv"),
        (["predict", "people.safetensors", "table.csv"], "x.parquet"),
        (["export", "people.safetensors", "--format", "npz"], "x.npz"),
    ],
)
def test_files_of_others_take_force(trained, command, output, kind, capsys):
    Path(output).write_bytes(OTHERS[kind])
    said = refused(capsys, *command, "--output", output)
    assert f"would overwrite {output}, which is not an earlier output of this kind" in said
    assert main([*command, "--output", output, "--force"]) == 0
    for _ in range(2):  # now it is fastbp's
        assert main([*command, "--output", output]) == 0


def test_an_empty_file_has_nothing_to_lose(trained):
    """As mktemp makes them."""
    Path("x.csv").touch()
    assert main(["predict", "people.safetensors", "table.csv", "--output", "x.csv"]) == 0
    assert len(pd.read_csv("x.csv")) == 200


def test_a_checkpoint_is_not_a_model(trained, capsys):
    """The training that it belongs to could not go on."""
    net = fastbp.Network([1, 1], loss="squared_error", backend="numpy")
    checkpoint = fastbp.Checkpoint("run")
    net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=2, callbacks=[checkpoint])
    command = ["train", "table.csv", "--target", "bought", *QUICK, "--output"]
    assert "not an earlier output of this kind" in refused(capsys, *command, checkpoint.newest())
    net.save("net.safetensors")  # a model, of whatever kind, is replaced by a model
    assert main([*command, "net.safetensors"]) == 0


def test_a_table_with_predictions_and_more(trained, capsys):
    """Somebody has added to it."""
    command = ["predict", "people.safetensors", "table.csv", "--proba", "--output"]
    for name in ("p.csv", "p.parquet"):
        assert main([*command, name]) == 0
        assert main([*command, name]) == 0
    pd.read_csv("p.csv").assign(right=True).to_csv("p.csv", index=False)
    pd.read_parquet("p.parquet").assign(right=True).to_parquet("p.parquet")
    capsys.readouterr()
    for name in ("p.csv", "p.parquet"):
        assert "not an earlier output of this kind" in refused(capsys, *command, name)


@pytest.mark.parametrize("form", ["npz", "onnx", "torch-state", "c"])
def test_exports_replace_exports(trained, form, capsys):
    """All of the files, or none if fastbp did not write one of them."""
    pytest.importorskip({"onnx": "onnx", "torch-state": "torch"}.get(form, "numpy"))
    command = ["export", "people.safetensors", "--format", form, "--json"]
    for _ in range(2):
        assert main(command) == 0
        written = json.loads(capsys.readouterr().out)["written"]
    files = [
        path
        for name in written
        for path in ([Path(name)], Path(name).glob("*"))[Path(name).is_dir()]
    ]
    assert len(files) == (4 if form == "c" else 2)
    for path in files:
        ours = path.read_bytes()
        path.write_bytes(b"/* mine */")
        assert f"would overwrite {path}, which is not an earlier output" in refused(
            capsys, *command
        )
        path.write_bytes(ours)
    path.write_bytes(b"/* mine */")
    assert main([*command, "--force"]) == 0
    assert path.read_bytes() == ours


@pytest.mark.parametrize("form", ["npz", "torch-state"])
def test_archives_can_be_read_with_the_comment(trained, form):
    if form == "npz":
        assert main(["export", "people.safetensors", "--format", form]) == 0
        with np.load("people.npz", allow_pickle=False) as archive:
            assert archive["W1"].shape == (6, 8)
    else:
        torch = pytest.importorskip("torch")
        assert main(["export", "people.safetensors", "--format", form]) == 0
        state = torch.load("people.pt", weights_only=True)
        assert state["0.weight"].shape == (8, 6)
    name = {"npz": "people.npz", "torch-state": "people.pt"}[form]
    with zipfile.ZipFile(name) as archive:
        assert archive.comment == b"fastbp" and archive.testzip() is None


def test_the_comment_of_an_archive():
    plain = io.BytesIO()
    np.savez(plain, a=np.arange(3))
    Path("plain.npz").write_bytes(plain.getvalue())
    Path("signed.npz").write_bytes(outputs.signed(plain.getvalue()))
    assert not outputs.is_archive(Path("plain.npz"))
    assert outputs.is_archive(Path("signed.npz"))


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_pictures_of_a_comparison(ending, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    result = fastbp.study.compare.BackendResult("numpy", "", *[1.0] * 7)
    comparison = fastbp.study.compare.Comparison("a problem", [result], {})
    calls = []
    monkeypatch.setattr(
        "fastbp.study.compare.compare_backends", lambda *_, **__: calls.append(1) or comparison
    )
    command = ["compare", "--plot", f"x.{ending}"]
    Path(f"x.{ending}").write_bytes(b"mine")
    assert "the picture would overwrite" in refused(capsys, *command)
    assert not calls
    for more in (["--force"], [], []):
        assert main([*command, *more]) == 0
    assert Path(f"x.{ending}").read_bytes() != b"mine"
    # One of matplotlib's is not ours.
    from matplotlib.figure import Figure

    Figure().savefig(f"x.{ending}")
    capsys.readouterr()
    assert "the picture would overwrite" in refused(capsys, *command)


# Before the work.


def test_what_cannot_be_written_is_refused_before_the_work(trained, capsys):
    Path("folder").mkdir()
    Path("locked.safetensors").write_bytes(Path("people.safetensors").read_bytes())
    Path("locked.safetensors").chmod(0o444)
    command = ["train", "table.csv", "--target", "bought", *DRAWN]
    for more, said in (
        (["--output", "none/x.safetensors"], "none/x.safetensors: there is no folder"),
        (["--plot", "none/x.png"], "none/x.png: there is no folder"),
        (["--output", "~/none/x.safetensors"], "there is no folder"),
        (["--output", "folder"], "folder: this is a folder, not a file"),
        (["--output", "table.csv/x"], "Not a directory" if os.name == "posix" else "no such"),
        (["--output", "locked.safetensors"], "locked.safetensors: the file is read-only"),
        (["--output", "locked.safetensors", "--force"], "the file is read-only"),
    ):
        assert said in refused(capsys, *command, *more)
    Path("locked.safetensors").chmod(0o644)
    predict = ["predict", "people.safetensors", "table.csv", "--output", "none/x.csv"]
    assert "none/x.csv: there is no folder" in refused(capsys, *predict)


def test_a_picture_without_matplotlib_is_refused_before_the_work(trained, capsys, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    command = ["train", "table.csv", "--target", "bought", *DRAWN, "--plot", "x.png"]
    assert "needs matplotlib" in refused(capsys, *command)
    assert "needs matplotlib" in refused(capsys, "compare", "--plot", "x.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "t.csv", "--target", "y", "--output", "-"], "got '-'"),
        (
            ["train", "t.csv", "--target", "y", "--output", "models/"],
            "the name of a folder, 'models/'",
        ),
        (["train", "t.csv", "--target", "y", "--output", ""], "the name of a folder, ''"),
        (["train", "t.csv", "--target", "y", "--plot", "x.xyz"], "one of .png, .svg, .pdf"),
        (["train", "t.csv", "--target", "y", "--plot", "x"], "one of .png, .svg, .pdf"),
        (["predict", "m", "t.csv", "--output", "-"], "got '-'"),
        (["predict", "m", "t.csv", "--output", "x.csv/"], "the name of a folder, 'x.csv/'"),
        (["compare", "--plot", "-"], "got '-'"),
        (["compare", "--plot", "x.csv"], "one of .png, .svg, .pdf"),
    ],
)
def test_names_that_no_file_has(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_names_for_exports(trained, capsys):
    """A folder is what C takes."""
    with pytest.raises(SystemExit) as ended:
        main(["export", "people.safetensors", "--format", "npz", "--output", "x/"])
    assert ended.value.code == 2
    assert "the name of a folder, 'x/'" in capsys.readouterr().err
    assert main(["export", "people.safetensors", "--format", "c", "--output", "new/x/"]) == 0
    assert Path("new", "x").is_dir() and Path("new", "x.inputs.json").is_file()


# What is not a file.


@posix
def test_nothing_lies_beside_a_device(trained, capsys):
    Path("null").symlink_to("/dev/null")
    assert main(["train", "table.csv", "--target", "bought", *DRAWN, "--output", "null"]) == 0
    assert main(["export", "people.safetensors", "--format", "npz", "--output", "null"]) == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    names = {"null", "people.csv", "people.safetensors", "table.csv"}
    assert set(os.listdir()) == names


@posix
@pytest.mark.serial
def test_standard_output_has_the_answer_already(model, capfd):
    """Model and report in one stream would be neither."""
    put_here(model)
    if not os.path.exists("/dev/stdout"):
        pytest.skip("there is no /dev/stdout")
    Path("out.csv").symlink_to("/dev/stdout")
    for command in (
        ["train", "table.csv", "--target", "bought", *QUICK, "--output", "/dev/stdout"],
        ["predict", "people.safetensors", "table.csv", "--output", "out.csv"],
        ["export", "people.safetensors", "--format", "npz", "--output", "/dev/stdout"],
    ):
        assert main(command) == 1
        printed, errors = capfd.readouterr()
        assert printed == "" and "is standard output" in errors


@posix
@pytest.mark.serial
def test_a_pipe_whose_reader_goes(trained, capsys, monkeypatch):
    """A reader that leaves while the model is written is an error, as that is no printed answer."""
    os.mkfifo("pipe.safetensors")
    reader = threading.Thread(target=lambda: os.close(os.open("pipe.safetensors", os.O_RDONLY)))
    write = os.open

    def after_the_reader(path, *more):
        handle = write(path, *more)
        if str(path) == "pipe.safetensors" and threading.current_thread() is not reader:
            reader.join()
        return handle

    monkeypatch.setattr(os, "open", after_the_reader)
    reader.start()
    command = ["train", "table.csv", "--target", "bought", *DRAWN, "--json"]
    assert main([*command, "--output", "pipe.safetensors"]) == 1
    assert capsys.readouterr() == ("", "fastbp: pipe.safetensors: Broken pipe\n")


@posix
def test_the_model_behind_a_link(trained):
    """It stays a link, and the picture lies beside it."""
    Path("models").mkdir()
    os.replace("people.safetensors", "models/first.safetensors")
    Path("people.safetensors").symlink_to("models/first.safetensors")
    before = Path("people.safetensors").read_bytes()
    command = ["train", "people.csv", "--target", "bought", *DRAWN, "--seed", "1"]
    assert main(command) == 0
    assert os.readlink("people.safetensors") == "models/first.safetensors"
    assert Path("people.safetensors").read_bytes() != before
    assert Path("people.png").is_file()


def test_a_failed_write_is_said_and_leaves_the_old(trained, capsys, monkeypatch):
    before = contents()
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(full))
    for command in (
        ["train", "people.csv", "--target", "bought", *QUICK, "--json"],
        ["predict", "people.safetensors", "table.csv", "--output", "p.csv"],
        ["export", "people.safetensors", "--format", "npz"],
        ["export", "people.safetensors", "--format", "c", "--output", "."],
    ):
        assert main(command) == 1
        printed, errors = capsys.readouterr()
        assert printed == "" and errors.endswith(": No space left on device\n")
        assert contents() == before


@pytest.mark.parametrize("way", [".", "..", "../inner"])
def test_a_folder_without_a_name(trained, way, monkeypatch):
    """Nothing is written but there; `..` of a temporary folder is everybody's."""
    model, temporary = Path("people.safetensors").resolve(), Path("temporary").resolve()
    inner = Path("outer/inner").resolve()
    temporary.mkdir()
    inner.mkdir(parents=True)
    monkeypatch.setattr("tempfile.tempdir", str(temporary / "own"))
    (temporary / "own").mkdir()
    monkeypatch.chdir(inner)
    assert main(["export", str(model), "--format", "c", "--output", way]) == 0
    folder = Path(way).resolve()
    names = {path.name for path in folder.iterdir() if path.is_file()}
    assert {"network.c", "network.h", "network_test.c"} <= names
    assert Path(f"{folder}.inputs.json").is_file()
    assert [path.name for path in temporary.rglob("*")] == ["own"]

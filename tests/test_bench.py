"""The benchmark runner: what it writes, its statistics, and what it does when something fails."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp
from fastbp import cli
from fastbp.cli import comparing

ROOT = Path(fastbp.__file__).resolve().parents[1]
BENCH = ROOT / "bench"
if not BENCH.is_dir():
    pytest.skip("the benches are not part of the installed package", allow_module_level=True)


@pytest.fixture(autouse=True)
def bench_on_path(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))


def figures(*seconds, **more):
    from measure import summary

    return summary(list(seconds)) | more


@pytest.fixture
def rows():
    """Made-up figures: a workload with all contenders, and one where some failed."""
    difference = {"largest difference from NumPy": 2e-7}
    losses = {"loss before": 0.7, "loss after": 0.5}
    return [
        {
            "name": "2-8-1 batch 1",
            "flops": 1000,
            "bytes": 500,
            "contenders": {
                "cython": figures(1e-6, 2e-6, 3e-6, **difference),
                "numba": figures(4e-6, 4e-6, 4e-6, **difference),
                "pytorch": figures(2e-5, 8e-5, 3e-5, **losses),
                "jax": figures(1e-5, 1e-5, 1e-5, **losses),
            },
        },
        {
            "name": "64-64-10 batch 32",
            "flops": 500_000,
            "bytes": 60_000,
            "contenders": {
                "cython": figures(1e-5, 1e-5, 1e-5, **difference),
                "numba": figures(1e-5, 1e-5, 2e-5, **difference),
                "pytorch": {"error": "no compiler"},
                "jax": {"error": "no compiler"},
            },
        },
    ]


@pytest.mark.parametrize("name", ["results.json", "results.png"])
def test_files_of_others_are_refused_before_the_run(name, tmp_path, capsys, monkeypatch):
    import run

    results = {key: {} for key in ("commit", "machine", "settings", "training")}
    monkeypatch.setattr(run, "run", lambda options: results)
    monkeypatch.setattr(run.importlib.util, "find_spec", lambda name: None)
    (tmp_path / name).write_text("mine")
    command = ["--output", str(tmp_path)]
    assert run.main(command) == 1
    assert f"would overwrite {tmp_path / name}" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert run.main([*command, "--force"]) == 0
    if name == "results.json":
        assert run.main(command) == 0  # its own


@pytest.mark.slow
@pytest.mark.serial  # it measures
def test_quick_run_writes_json_and_picture(tmp_path):
    usable = fastbp.available_backends()
    backend = "cython" if usable["cython"].startswith("yes") else "numba"
    command = [sys.executable, "-m", "fastbp", "bench", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(
        [*command, "--workloads", "30-32-1", "--contenders", backend],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30-32-1 batch 32" in done.stdout
    results = json.loads((tmp_path / "results.json").read_text())
    (row,) = results["training"]
    assert row["contenders"][backend]["median"] > 0
    assert row["contenders"][backend]["largest difference from NumPy"] < 1e-4
    assert results["peak"]["float32"] > results["peak"]["float64"] > 1e8
    assert set(results["machine"]) == {"name", "cpu", "cores"}
    assert (tmp_path / "results.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--contenders", "cython,abacus"], "unknown: abacus"),
        (["--workloads", "3-3-3-3"], "no workload has '3-3-3-3'"),
        (["--threads", "10000"], "may use"),
    ],
)
def test_bad_options(arguments, words, tmp_path, capsys):
    if "--threads" in arguments and not hasattr(os, "sched_getaffinity"):
        pytest.skip("this system does not say which cores may be used")
    import run

    assert run.main([*arguments, "--output", str(tmp_path)]) == 1
    assert words in capsys.readouterr().err


def test_command_without_the_repository(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(comparing, "__file__", str(tmp_path / "lib" / "fastbp" / "cli" / "x.py"))
    monkeypatch.chdir(tmp_path)
    assert cli.main(["bench", "--quick"]) == 1
    assert "copy of fastbp's repository" in capsys.readouterr().err


def test_other_commands_refuse_unknown_options(capsys):
    with pytest.raises(SystemExit):
        cli.main(["backends", "--quick"])
    assert "unrecognized arguments: --quick" in capsys.readouterr().err


def test_summary():
    from measure import summary

    assert summary([3.0, 1.0, 2.0, 5.0, 4.0]) == {
        "median": 3.0,
        "lower quartile": 2.0,
        "upper quartile": 4.0,
        "rounds": [3.0, 1.0, 2.0, 5.0, 4.0],
    }
    assert summary([2.0])["lower quartile"] == 2.0


class Scripted:
    """Stands in for a worker: answers from a list, and notes what it was told."""

    def __init__(self, name, told, seconds=(), fails_at=None):
        self.name, self.told, self.seconds = name, told, list(seconds)
        self.fails_at = fails_at
        self.environment = {"PYTHONPATH": str(ROOT)}

    def tell(self, do, **arguments):
        from measure import WorkerFailed

        self.told.append((self.name, do))
        if do == self.fails_at:
            raise WorkerFailed("out of beans")
        if do == "round":
            return {"seconds": self.seconds.pop(0)}
        return {
            "prepare": {"repeats": 1},
            "check": {"check": {"loss after": 0.5}},
            "where": {"fastbp": fastbp.__file__},
        }[do]


def test_rounds_take_turns_and_failures_stay_alone():
    from measure import interleaved
    from workloads import WORKLOADS

    told = []
    workers = {
        "a": Scripted("a", told, [1.0, 3.0]),
        "b": Scripted("b", told, fails_at="round"),
        "c": Scripted("c", told, [5.0, 5.0]),
    }
    answer = interleaved(workers, WORKLOADS[0], rounds=2)
    assert [who for who, do in told if do == "round"] == ["a", "b", "c", "a", "c"]
    assert answer["a"]["median"] == 2.0 and answer["a"]["loss after"] == 0.5
    assert answer["b"] == {"error": "out of beans"}


def test_a_worker_survives_what_it_cannot_do():
    from measure import Worker, WorkerFailed, cores_for, interleaved
    from workloads import Workload

    tiny = Workload((2, 3, 1), 1, 4, loss="log_loss")
    with Worker("numpy", cores_for(1)) as worker:
        with pytest.raises(WorkerFailed, match="TypeError"):
            worker.tell("prepare", kind="train", workload={"layers": []}, seconds=0.0)
        answer = interleaved({"numpy": worker}, tiny, rounds=2, seconds=0.001)
        assert answer["numpy"]["largest difference from NumPy"] == 0
        worker._process.kill()
        with pytest.raises(WorkerFailed, match="died"):
            worker.tell("round")
        assert "error" not in interleaved({"numpy": worker}, tiny, rounds=1)["numpy"]


@pytest.mark.parametrize("last", [0.6, float("nan")])
def test_times_of_a_peer_that_does_not_learn_do_not_count(last, monkeypatch):
    import peers
    import worker
    from workloads import Workload

    state = {"output": 0.5}

    def lazy(workload, X, y, threads):
        def epoch():
            state["output"] = last

        return epoch, lambda X: y[:, None] * 0 + state["output"]

    monkeypatch.setitem(peers.PEERS, "lazy", (lazy, "lazy"))
    data = dict(layers=[2, 1], batch=1, samples=4, loss="squared_error")
    monkeypatch.setattr(Workload, "mean_loss", lambda self, h, y: float(h.mean()))
    job = worker.Job("lazy", 1, "train", data, "float32")
    assert job.seconds(1) > 0
    with pytest.raises(worker.Skip, match="does not train"):
        job.check()


def test_tables(rows):
    import report

    assert report.rivals(rows[0]["contenders"]) == (("cython", 2e-6), ("jax", 1e-5))
    assert report.ratio(rows[0]["contenders"]) == pytest.approx(5)
    assert report.ratio(rows[1]["contenders"]) is None
    header, first, second = report.training_table(rows, peak=1e9).splitlines()
    assert header.split()[-4:] == ["peer/fastbp", "GFLOP/s", "of", "peak"]
    assert first.split()[-3:] == ["5.00", "0.5", "50%"]
    assert second.split()[-4:] == ["-", "-", "50.0", "5000%"]
    assert report.time_cell(figures(1e-6, 2e-6, 3e-6)) == "2 ±25%"
    assert report.time_cell(figures(8e-6), per=4) == "2 ±0%"
    checks = report.checks_table(rows).splitlines()
    assert checks[1].split()[-3:] == ["0.70", "->", "0.50"]
    assert report.notes(rows) == [
        "pytorch: no compiler (64-64-10 batch 32)",
        "jax: no compiler (64-64-10 batch 32)",
    ]


@pytest.mark.parametrize("missing", [[], ["pytorch", "jax"], ["cython", "numba"]])
def test_picture(rows, missing, tmp_path):
    from picture import draw

    for row in rows:
        for name in missing:
            del row["contenders"][name]
    results = {
        "training": rows,
        "machine": {"cpu": "A processor"},
        "settings": {"threads": 2, "dtype": "float64"},
        "peak": {"float64": 1e11, "memory": 1e10, "cache": 1e11},
    }
    draw(results, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_every_contender_has_a_style():
    from peers import PEERS
    from report import FASTBP

    from fastbp.plots.speed import STYLES

    assert set(STYLES) == {*PEERS, *FASTBP}


def test_interval_of_the_gate():
    """For 15 ratios the 4th from either end; for 6 the outermost, as in tables of the sign test."""
    from gate import Ratio

    assert Ratio.of([1 + i / 100 for i in range(15)]) == Ratio(1.07, 1.03, 1.11)
    assert Ratio.of(range(1, 7)) == Ratio(3.5, 1, 6)
    with pytest.raises(ValueError, match="too few"):
        Ratio.of([1.0] * 5)


def test_verdict_of_the_gate():
    from gate import Ratio

    assert Ratio(1.3, 1.2, 1.4).slower(0.1)
    assert not Ratio(1.3, 1.05, 1.4).slower(0.1)  # may be noise
    assert not Ratio(1.05, 1.04, 1.06).slower(0.1)


def test_gate_pairs_rounds_and_changes_who_starts():
    from gate import paired_ratios
    from workloads import WORKLOADS

    told = []
    workers = [Scripted("base", told, [1.0, 2.0]), Scripted("head", told, [3.0, 4.0])]
    assert paired_ratios(workers, WORKLOADS[0], rounds=2) == [3.0, 2.0]
    assert [who for who, do in told if do == "round"] == ["base", "head", "head", "base"]


def test_gate_refuses_an_unknown_commit(capsys):
    import gate

    assert gate.main(["no-such-commit", "--backend", "numba"]) == 2
    assert "gate: " in capsys.readouterr().err


def test_bytes_of_a_step():
    from workloads import Workload

    # A batch of 3 rows of 2 numbers; 9 + 4 parameters.
    adam = Workload((2, 3, 1), 3, 3)
    assert adam.least_bytes(4) == 4 * (3 * 2 + 6 * 13)
    assert Workload((2, 3, 1), 3, 3, optimizer="sgd").least_bytes(4) == 4 * (3 * 2 + 2 * 13)


def test_no_file_is_too_long():
    lengths = {path.name: len(path.read_text("utf-8").splitlines()) for path in BENCH.glob("*.py")}
    assert lengths and {name for name, length in lengths.items() if length > 500} == set()


@pytest.fixture
def peers_of_tables(tmp_path, monkeypatch):
    """Writes made-up figures: a function of the file's name, the model and errors by place."""
    import figures

    monkeypatch.setattr(figures, "cpu", lambda: "abacus")

    def write(name, model, errors, *, version="1", rows=2000, data=7):
        made = figures.Figures(rows)
        for (table, split), error in errors.items():
            cell = {"version": version, "data": data, "error": error, "seconds": 2.0}
            made.add(table, split, model, cell)
        made.write(tmp_path / name)
        return str(tmp_path / name)

    return write


def test_figures_of_several_runs_are_joined(peers_of_tables, capsys):
    """By table and split; the means are over those that all models have."""
    import tabular

    ours = peers_of_tables("ours", "tabular", {("gpa", 0): 0.3, ("gpa", 1): 0.5, ("cars", 0): 0.2})
    theirs = peers_of_tables("theirs", "tabm", {("cars", 0): 0.4, ("gpa", 1): 0.1})
    assert tabular.main(["--join", theirs, ours]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:3] == [
        ["table", "tabular", "tabm", "splits"],
        ["cars", "0.2000", "0.4000", "1"],
        ["gpa", "0.5000", "0.1000", "1"],
    ]
    expected = [(0.21 * 0.51) ** 0.5 - 0.01, (0.41 * 0.11) ** 0.5 - 0.01]
    assert [line[:2] for line in lines[5:7]] == [
        ["tabular", f"{expected[0]:.4f}"],
        ["tabm", f"{expected[1]:.4f}"],
    ]
    assert [line[-2:] for line in lines[5:7]] == 2 * [["1.50", "2.00"]]
    assert tabular.main(["--join", ours, "--models", "tabular"]) == 0
    assert ["gpa", "0.4000", "2"] in [s.split() for s in capsys.readouterr().out.splitlines()]
    assert tabular.main(["--join", ours, "--models", "tabm"]) == 1
    assert "no table and split has figures of tabm" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change, message",
    [
        ({"rows": 500}, "was measured with rows = 500, the others with 2000"),
        ({"data": 8}, "tabm and tabular had different rows of gpa, split 0"),
        ({"model": "tabular"}, "there are figures of tabular on gpa, split 0, already"),
        (
            {"model": "tabular", "errors": {("gpa", 1): 0.3}, "version": "2"},
            "figures of tabular 2 must not be mixed with those of 1",
        ),
        ({"cpu": "sand"}, "was measured with cpu = sand, the others with abacus"),
        ({"content": "[]"}, "holds no figures of this bench"),
    ],
)
def test_figures_that_cannot_be_joined(change, message, peers_of_tables, capsys):
    import tabular

    ours = peers_of_tables("ours", "tabular", {("gpa", 0): 0.3})
    made = {"name": "theirs", "model": "tabm", "errors": {("gpa", 0): 0.4}} | change
    cpu, content = made.pop("cpu", "abacus"), made.pop("content", None)
    theirs = peers_of_tables(**made)
    written = Path(theirs).read_text().replace("abacus", cpu)
    Path(theirs).write_text(content or written)
    assert tabular.main(["--join", ours, theirs]) == 1
    assert message in capsys.readouterr().err


def test_a_stopped_run_goes_on(tmp_path, monkeypatch, capsys):
    """Each fit is kept at once, and none is measured twice."""
    import tabular

    measured = []

    def measure(model, entry, seed, rows):
        if rows == 2000:  # not the first fit, which imports
            measured.append((model, seed))
            if len(measured) == 3:
                raise KeyboardInterrupt
        return {"version": tabular.version(model), "data": seed, "error": 0.5, "seconds": 1.0}

    monkeypatch.setattr(tabular, "measure", measure)
    output = tmp_path / "figures.json"
    command = ["--tables=bundled", "--models=boosting,tabular", f"--output={output}"]
    with pytest.raises(KeyboardInterrupt):
        tabular.main(command)
    assert len(json.loads(output.read_text())["cells"]) == 2
    assert tabular.main(command) == 0
    monkeypatch.setattr(tabular, "version", lambda model: "other")
    assert tabular.main(command) == 1 and len(measured) == 5
    assert "figures of boosting other must not be mixed" in capsys.readouterr().err
    stopped = [("boosting", 0), ("tabular", 0), ("boosting", 1)]
    assert measured == [*stopped, ("boosting", 1), ("tabular", 1)]
    output.write_text("mine")
    assert tabular.main(command) == 1 and output.read_text() == "mine"


# Short runs of the benches with a table of their own: what they print and write.


def check_estimators(results, printed):
    """Both trained for as many epochs, and reached about the same."""
    assert len(results) == 6
    for name, contenders in results.items():
        assert name in printed
        assert len({figures["epochs"] for figures in contenders.values()}) == 1
        reached = [figures["reached"] for figures in contenders.values()]
        assert max(reached) - min(reached) < 0.02


def check_latency(results, printed):
    """A time for every contender."""
    assert list(results) == ["2-8-1", "64-64-10"]
    for name, contenders in results.items():
        assert name in printed
        assert len(contenders) >= 5
        assert all(0 < figures["median"] < 0.1 for figures in contenders.values())


def check_embedded(results, printed):
    """Bytes and instructions of each form; weights in int8 take less, and predict about as well."""
    forms = {title.split(",")[1].strip(): row for title, row in results.items()}
    assert {"float32", "weights in int8", "arithmetic in int8"} <= {*forms}
    for name, (flash, memory, instructions, accuracy) in forms.items():
        assert name in printed and accuracy > 0.9
        assert 3000 < flash < 12000 and 64 <= memory < 1000 and 5000 < instructions < 50_000
    assert forms["weights in int8"][0] < forms["float32"][0] / 2


def check_calls(results, printed):
    """A line for each call and backend; a call takes longer than its kernel."""
    assert "numba" in results
    for backend, calls in results.items():
        assert len(calls) == 7
        for call, rounds in calls.items():
            assert f"{backend}: {call}" in printed
            total, kernel = map(min, zip(*rounds, strict=True))
            assert 0 < kernel < total


def check_ageing(results, printed):
    """Both times of every case."""
    assert len(results) >= 5
    for figures in results:
        assert f"{figures['loss']}, {figures['activation']}" in printed
        assert 0 < figures["early"] < 0.01 and 0 < figures["late"] < 0.01


def check_residual(results, printed):
    """A time for every contender; that they take the same steps is checked by the bench."""
    assert len(results) == 2
    for name, times in results.items():
        assert name in printed
        assert set(times) >= {"JAX", "numba"}
        assert all(0 < seconds < 1 for rounds in times.values() for seconds in rounds)


def check_norm(results, printed):
    """A time for every contender; that they take the same steps is checked by the bench."""
    assert len(results) == 2
    for name, times in results.items():
        assert name in printed
        assert set(times) >= {"JAX", "PyTorch", "numba"}
        assert all(0 < seconds < 1 for rounds in times.values() for seconds in rounds)


def check_embeddings(results, printed):
    """A time for every contender; that they take the same steps is checked by the bench."""
    assert len(results) == 2
    for name, times in results.items():
        assert name in printed
        assert set(times) >= {"PyTorch", "numba"}
        assert all(0 < seconds < 1 for rounds in times.values() for seconds in rounds)


def check_derivatives(results, printed):
    """A time for every contender; that they compute the same is checked by the bench."""
    assert len(results) == 6
    for name, times in results.items():
        assert name in printed
        assert set(times) >= {"JAX", "torch.func", "numba"}
        assert all(0 < seconds < 1 for seconds in times.values())


def check_threads(results, printed):
    """Both times of every case."""
    assert len(results) == 6
    for name, rounds in results.items():
        assert name in printed
        assert set(rounds) == {"1 core", "2 cores"}
        assert all(0 < seconds < 100 for times in rounds.values() for seconds in times)


def check_reinforcement(results, printed):
    """A time for each contender; without trainings."""
    assert "fastbp" in results["updates"] and not results["trainings"]
    for name, rounds in results["updates"].items():
        assert name in printed
        assert len(rounds) == 1 and 0 < rounds[0] < 1


def check_tabular(results, printed):
    """Errors and seconds of both models on the one table."""
    assert [cell["model"] for cell in results["cells"]] == ["tabular", "boosting"]
    for cell in results["cells"]:
        assert cell["model"] in printed and cell["table"] == "diabetes" and cell["split"] == 0
        assert 0.5 < cell["error"] < 1 and "log_loss" not in cell and cell["seconds"] > 0


def check_uncertainty(results, printed):
    """Coverage and width of both models; only one has a distribution."""
    assert results.keys() == {"diabetes"}
    for name, (cell,) in results["diabetes"].items():
        assert name in printed
        assert 0.5 < cell["calibrated coverage"] <= 1 and 0 < cell["calibrated width"] < 10
        assert (cell["CRPS"] is None) == (cell["own width"] is None) == (name == "squared_error")


TABULAR = ["--tables=bundled", "--models=tabular,boosting", "--splits=1", "--rows=200"]
FOR_ARM = ("arm-linux-gnueabihf-gcc", "arm-linux-gnueabi-gcc", "qemu-arm")
COMPILES_FOR_ARM = pytest.mark.skipif(
    not all(map(shutil.which, FOR_ARM)), reason=f"needs {', '.join(FOR_ARM)}"
)
UNCERTAINTY = ["--tables=diabetes", "--models=squared_error,gaussian", "--splits=1"]
COMPILES = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")

JAX = pytest.mark.skipif(not importlib.util.find_spec("jax"), reason="needs JAX")
TORCH = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs PyTorch")
TWO_CORES = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")


@pytest.mark.slow
@pytest.mark.parametrize(
    "script, options, check",
    [
        ("estimators.py", ["--quick"], check_estimators),
        pytest.param("latency.py", ["--quick"], check_latency, marks=COMPILES),
        pytest.param("embedded.py", ["--quick"], check_embedded, marks=COMPILES_FOR_ARM),
        ("calls.py", ["--quick"], check_calls),
        ("ageing.py", ["--epochs", "60"], check_ageing),
        ("reinforcement.py", ["--only=updates", "--hidden=8", "--rounds=1"], check_reinforcement),
        pytest.param("residual.py", ["--quick"], check_residual, marks=JAX),
        pytest.param("norm.py", ["--quick"], check_norm, marks=[JAX, TORCH]),
        pytest.param("embeddings.py", ["--quick"], check_embeddings, marks=TORCH),
        pytest.param("derivatives.py", ["--quick"], check_derivatives, marks=[JAX, TORCH]),
        ("tabular.py", TABULAR, check_tabular),
        ("uncertainty.py", UNCERTAINTY, check_uncertainty),
        pytest.param("threads.py", ["--quick"], check_threads, marks=TWO_CORES),
    ],
    ids=[
        *(
            "estimators",
            "latency",
            "embedded",
            "calls",
            "ageing",
            "reinforcement",
            "residual",
            "norm",
            "embeddings",
            "derivatives",
        ),
        *("tabular", "uncertainty"),
        "threads",
    ],
)
def test_short_run(script, options, check, tmp_path):
    output = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(BENCH / script), *options, "--output", str(output)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    check(json.loads(output.read_text()), done.stdout)


@pytest.mark.slow
def test_bfloat16():
    """A short run prints a line for every data set."""
    done = subprocess.run(
        [sys.executable, str(BENCH / "bfloat16.py"), "--seeds", "2", "--epochs", "1"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    names = [line.split(" | ")[0] for line in done.stdout.splitlines()[2:]]
    assert names == ["| iris", "| wine", "| breast cancer", "| digits", "| diabetes (R²)"]


@pytest.mark.slow
def test_distributions():
    """A short run prints a line for every loss, and PyTorch's losses are the same."""
    done = subprocess.run(
        [sys.executable, str(BENCH / "distributions.py"), "--quick"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    lines = lines[next(i for i, line in enumerate(lines) if line[0] == "microseconds") + 1 :]
    assert [line[0] for line in lines] == [
        *("gaussian", "student_t", "laplace", "negative_binomial", "mixture_density", "quantile")
    ]
    assert all(check == "-" or float(check) < 1e-5 for *_, check in lines)

"""The comparison of backends, from Python and from the command line."""

import json

import numpy as np
import pytest

import fastbp
from fastbp.backends import BACKENDS
from fastbp.cli import main
from fastbp.study import compare


@pytest.fixture(scope="module")
def comparison():
    """With Numba's kernels as plain Python in fresh processes; the gallery's demo compiles them."""
    starts = compare._starts

    def without_compiling(*how):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NUMBA_DISABLE_JIT", "1")
            return starts(*how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "_starts", without_compiling)
        yield compared()


def compared():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(64, 5)), random.integers(0, 3, 64)
    return fastbp.compare_backends(
        [5, 4, 3], X, y, loss="cross_entropy", batch_size=16, dtype="float64", seconds=0.02
    )


@pytest.mark.slow
def test_every_backend_is_compared_or_missing_with_a_reason(comparison):
    compared = {result.backend for result in comparison.results}
    assert compared | set(comparison.missing) == set(BACKENDS)
    assert "numpy" in compared
    assert all(comparison.missing.values())


@pytest.mark.slow
def test_figures_are_consistent(comparison):
    reference = next(r for r in comparison.results if r.backend == "numpy")
    assert reference.gradient_error == reference.weight_error == 0
    assert reference.speedup == 1
    for result in comparison.results:
        assert result.speedup == pytest.approx(reference.step / result.step)
        # 16 rows: 4 * 5 * 4 + 6 * 4 * 3 operations each
        assert result.gflops == pytest.approx(16 * 152 / result.step / 1e9)
        assert result.gradient_error < 1e-13
        assert result.weight_error < 1e-9
        assert result.cold_start > 0 and result.cached_start > 0
    steps = [result.step for result in comparison.results]
    assert steps == sorted(steps)


@pytest.mark.slow
def test_table_and_json_show_the_same(comparison):
    table = str(comparison)
    for entry in json.loads(comparison.to_json())["results"]:
        assert entry["backend"] in table
        assert f"{entry['step'] * 1e6:.2f} µs" in table


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_writes_a_picture(comparison, tmp_path, ending):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"comparison.{ending}"
    comparison.plot(path)
    assert path.stat().st_size > 1000


def test_each_turn_has_the_same_epochs_from_the_same_weights(monkeypatch):
    """Since a step's time may depend on the weights."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 3)), rng.normal(size=(64, 2))
    fit, turns = fastbp.Network.fit, {}

    def watched(network, X, y, **options):
        if len(X) == 64:  # the fits that compare results have fewer rows
            turns.setdefault(network.backend, []).append(
                (options["epochs"], network.weights[0].tobytes())
            )
        return fit(network, X, y, **options)

    monkeypatch.setattr(fastbp.Network, "fit", watched)
    monkeypatch.setattr(compare, "_starts", lambda *how: (1.0, 1.0))
    fastbp.compare_backends([3, 4, 2], X, y, loss="huber", batch_size=2, seconds=0.5)
    usable = [name for name, answer in fastbp.available_backends().items() if answer[:3] == "yes"]
    assert set(turns) == set(usable)
    assert len({weights for of_one in turns.values() for _, weights in of_one}) == 1
    of_reference = set(turns["numpy"])  # a first look at one epoch, and the turns
    assert all(set(of_one) == of_reference for of_one in turns.values())
    assert all(len(of_one) >= 8 for of_one in turns.values())


def test_only_restricts_and_keeps_the_reference():
    X, y = np.zeros((4, 2)), np.zeros(4)
    comparison = fastbp.compare_backends(
        [2, 1], X, y, loss="log_loss", only=["numpy"], seconds=0.01
    )
    assert [result.backend for result in comparison.results] == ["numpy"]


def test_output_activation():
    X, y = np.ones((4, 2)), np.full(4, 0.5)
    comparison = fastbp.compare_backends(
        *([2, 1], X, y),
        loss="squared_error",
        output_activation="tanh",
        only=["numpy"],
        seconds=0.01,
    )
    assert comparison.problem.startswith("2-1, squared_error behind tanh, batch 4")
    assert comparison.results[0].cold_start > 0


def test_command_line_compares(capsys):
    arguments = ["compare", "--layers", "3,2,2", "--samples", "16", "--backend", "numpy"]
    assert main(arguments) == 0
    assert "3-2-2, cross_entropy" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["results"][0]["backend"] == "numpy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layers", "3,x"], "argument --layers: expected sizes separated by commas"),
        (["--layers", "3,0"], "argument --layers: expected sizes separated by commas"),
        (["--activation", "swish"], "Did you mean 'silu'?"),
        (["--samples", "0"], "argument --samples: expected a whole number of at least 1"),
        (["--batch-size", "0"], "argument --batch-size: expected a whole number of at least 1"),
    ],
)
def test_command_line_says_what_is_wrong(capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--backend", "numpy", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_command_line_checks_pictures_first(capsys):
    small = ["--samples", "16", "--layers", "2,1"]
    assert main(["compare", "--backend", "numpy", "--plot", "/nowhere/x.png", *small]) == 1
    assert "/nowhere" in capsys.readouterr().err


def test_command_line_lists_backends(capsys):
    assert main(["backends"]) == 0
    printed = capsys.readouterr().out
    for name, answer in fastbp.available_backends().items():
        assert f"{name:8} {answer}" in printed


@pytest.mark.parametrize("variable", ["numpy", None])
def test_environment_variable_is_the_default(monkeypatch, variable):
    if variable is None:
        monkeypatch.delenv("FASTBP_BACKEND", raising=False)
        expected = fastbp.Network([1, 1], loss="huber", backend="auto").backend
        assert expected in ("cython", "numba")
    else:
        monkeypatch.setenv("FASTBP_BACKEND", variable)
        expected = variable
    assert fastbp.Network([1, 1], loss="huber").backend == expected


def test_unknown_backend_in_the_environment_names_the_variable(monkeypatch):
    monkeypatch.setenv("FASTBP_BACKEND", "fortran")
    with pytest.raises(ValueError, match="FASTBP_BACKEND.*'fortran'; known: auto, cython"):
        fastbp.Network([1, 1], loss="huber")

"""Trained networks come out as written down in reference_hashes.json, to the bit.

This holds from version to version what test_parity.py holds from backend to backend.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import reference_cases
from helpers import ACTIVATIONS, DTYPES, LOSSES_AND_TARGETS, OPTIMIZERS, SECONDS
from reference_cases import CASES, SHAPES, TABLE

import fastbp
from fastbp import backends

TOOL = Path(__file__).parents[2] / "tools" / "reference_hashes.py"
THREADS = [1, 2, 5] if reference_cases.options_of(1) else [None]


def assert_as_written(found):
    lines = reference_cases.differences(found, json.loads(TABLE.read_text("utf-8")))
    if lines:
        pytest.fail(
            "\n".join(
                [
                    f"{len(lines)} of {len(CASES)} cases give other bits:",
                    *(f"  {line}" for line in lines),
                    "If the change of bits is intended, run tools/reference_hashes.py and say "
                    "so in CHANGELOG.md.",
                ]
            ),
            pytrace=False,
        )


def test_the_cases_cover_the_tables():
    found = {(value, case.dtype) for case in CASES.values() for value in vars(case).values()}
    for values in (ACTIVATIONS, OPTIMIZERS, SHAPES, [True, False], [0.0, 2.0**-6]):
        assert {(value, dtype) for value in values for dtype in DTYPES} <= found
    assert {(c.loss, c.kind) for c in CASES.values()} == set(LOSSES_AND_TARGETS)
    for extra in ("weighted", "l2", "validation"):
        assert {bool(getattr(case, extra)) for case in CASES.values()} == {True, False}


def test_a_difference_is_reported():
    """Of any result of any case, and of cases that only one side has."""
    expected = {"a": ["1", "2", "3"], "b": ["4", "5", "6"], "c": ["7", "8", "9"]}
    found = {"a": ["1", "2", "3"], "b": ["4", "x", "y"], "d": ["7", "8", "9"]}
    assert reference_cases.differences(found, found) == []
    assert reference_cases.differences(found, expected) == [
        "b: losses, predictions",
        "c: not in the cases",
        "d: not in the table",
    ]


@pytest.mark.serial  # threads that wait for each other would wait for other tests, too
@pytest.mark.parametrize("threads", THREADS)
def test_numba(compiled, threads):
    if compiled != "numba":
        pytest.skip("Cython's builds have a test of their own")
    assert_as_written(reference_cases.table(compiled, threads))


@pytest.mark.serial
@pytest.mark.parametrize("build", ["avx512", "avx2", "baseline"])
def test_cython(cython, build):
    """In a process of its own for each build of the kernels that has fused multiply-adds."""
    from fastbp.backends import _cpu

    if build not in _cpu.supported():
        pytest.skip(f"this processor does not run {build}")
    if not has_fma(build):
        pytest.skip(f"{build} has no fused multiply-add")
    root = str(Path(fastbp.__file__).parents[1])
    paths = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    threads = [str(number) for number in THREADS if number is not None]
    done = subprocess.run(
        [sys.executable, TOOL, "--print", cython, *threads],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, "PYTHONPATH": paths, backends.get(cython).CPU_VARIABLE: build},
    )
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    assert len(tables) == len(THREADS)
    for found in tables:
        assert_as_written(found)


def has_fma(build):
    import importlib

    return importlib.import_module(f"fastbp.backends._kernels_{build}_f4").HAS_FMA

"""CONTRIBUTING.md says all that is needed for a new activation.

Its changes are made in a copy of the project, which is built and tested there.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from building import ROOT, build, copy_project, need_a_compiler
from helpers import SECONDS

pytestmark = pytest.mark.slow

TITLE = "## Adding an activation\n"
# What mentions the activation before the new one by name, without being about all of them.
NOT_OF_ALL = {
    "docs/estimators.md",  # an example
    "docs/exchange.md",  # which of them other tools have
    "fastbp/study/health.py",  # what a warning suggests
    "fastbp/exchange/__init__.py",
}


def changes():
    """[(file, [hunk, ...]), ...]: what the walk-through shows, a hunk being a list of lines."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    text = page.partition(TITLE)[2].partition("\n## ")[0]
    found = []
    for block in re.findall(r"^```diff\n\+\+\+ (.*?)^```", text, re.M | re.S):
        file, *hunks = re.split(r"\n@@\n", block.rstrip("\n"))
        found.append((file, [hunk.split("\n") for hunk in hunks]))
    return found


def change(path, hunk):
    """Replace the lines of a hunk that are there by those that shall be."""
    before = "".join(f"{line[1:]}\n" for line in hunk if line[:1] != "+")
    after = "".join(f"{line[1:]}\n" for line in hunk if line[:1] != "-")
    text = path.read_text("utf-8")
    assert text.count(before) == 1, f"{path.name}: {text.count(before)} places look like\n{before}"
    path.write_text(text.replace(before, after), "utf-8")


def python(folder, *arguments, **variables):
    env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"} | variables
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=folder,
        env=env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def mentions(word):
    """The files that have to do with an activation, by its name."""
    folders = [ROOT / name for name in ("fastbp", "src_cython", "docs")]
    endings = (".py", ".pxi", ".c", ".h", ".md")
    files = [p for folder in folders for p in folder.rglob("*") if p.suffix in endings]
    skipped = {"_build", "generated"}
    return {
        path.relative_to(ROOT).as_posix()
        for path in files
        if not skipped & set(path.relative_to(ROOT).parts)
        and re.search(rf"\b{word}\b", path.read_text("utf-8"), re.I)
    }


def test_no_file_is_missing():
    """The activation before the new one is nowhere else in the sources and the documentation."""
    changed = {file for file, _ in changes()}
    assert len(changed) >= 8
    assert mentions("gelu") - NOT_OF_ALL <= changed
    assert all((ROOT / file).is_file() for file in changed)


CHECK = """
import numpy as np
import fastbp

rng = np.random.default_rng(0)
X, y = rng.standard_normal((50, 4)), rng.standard_normal((50, 2))
found = {}
for backend in ("numpy", "cython", "numba"):
    net = fastbp.Network(
        [4, 9, 5, 2], activation="softsign", loss="squared_error", dtype="float64", seed=0,
        backend=backend,
    )
    loss, gradient = net.loss_and_gradient(X, y)
    found[backend] = np.concatenate([[loss], *map(np.ravel, gradient.weights)])
assert found["cython"].tobytes() == found["numba"].tobytes()
assert np.abs(found["cython"] - found["numpy"]).max() < 1e-13
fastbp.check_gradients(net, X, y)
print(fastbp.__file__)
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The project with the changes, built for this processor."""
    need_a_compiler()
    from fastbp.backends import cython_

    folder = tmp_path_factory.mktemp("project")
    copy_project(folder)
    for file, hunks in changes():
        for hunk in hunks:
            change(folder / file, hunk)
    build(
        folder, ["_cpu", *(f"_kernels_{cython_.build}_{precision}" for precision in ("f4", "f8"))]
    )
    return folder


def test_gradients_and_parity(cython, copy):
    """On all backends, with Numba's kernels compiled."""
    pytest.importorskip("numba")
    done = python(copy, "-c", CHECK)
    assert Path(done.strip()) == copy / "fastbp" / "__init__.py"


def test_the_tests_pass(cython, copy):
    """Those of all activations, and the house rules. (Numba's kernels as plain Python: quicker.)"""
    python(copy, "tools/reference_hashes.py")
    hashes = (copy / "tests" / "reference_hashes.json").read_text("utf-8")
    assert hashes.count("softsign") >= 2
    left_out = {Path(__file__).name, "ecosystem"}
    tests = [p for p in (copy / "tests").rglob("test_*.py") if not left_out & set(p.parts)]
    of_all = sorted(path for path in tests if "ACTIVATIONS" in path.read_text("utf-8"))
    assert len(of_all) > 10 and copy / "tests" / "test_house.py" in of_all
    # There is one build here, and no time to compile all of Numba's kernels.
    chosen = ["-k", "(softsign and not builds and not numba_give) or test_house"]
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *of_all, *chosen]
    assert passed(python(copy, *options, "--backend", "numpy,cython")) > 400
    options += ["--backend", "numba", "-m", "nojit"]
    assert passed(python(copy, *options, NUMBA_DISABLE_JIT="1")) > 10


def passed(report):
    return int(re.search(r"(\d+) passed", report)[1])

"""CONTRIBUTING.md says all that is needed for a new activation, and for a new optimiser.

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

# Walk-through -> what it adds; what was there before, mentioned in the same places; and files that
# mention that without being about all of its kind.
WALKS = {
    "## Adding an activation\n": (
        "softsign",
        "mish",
        {"docs/networks.md"},  # those that fall somewhere
    ),
    "## Adding an optimiser\n": ("adadelta", "rprop", {"docs/training.md"}),  # takes no schedule
}


def changes(title):
    """[(file, [hunk, ...]), ...]: what a walk-through shows, a hunk being a list of lines."""
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    text = page.partition(title)[2].partition("\n## ")[0]
    found = []
    for block in re.findall(r"^```diff\n\+\+\+ (.*?)^```", text, re.M | re.S):
        file, *hunks = re.split(r"\n@@\n", block.rstrip("\n"))
        found.append((file, [hunk.split("\n") for hunk in hunks]))
    return found


def change(path, hunk):
    """Replace the old lines of a hunk by its new lines."""
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
    """The files that have to do with an activation or an optimiser, by its name."""
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


@pytest.mark.parametrize("title", WALKS)
def test_no_file_is_missing(title):
    """What was there before is nowhere else in the sources and the documentation."""
    _, before, not_of_all = WALKS[title]
    changed = {file for file, _ in changes(title)}
    assert len(changed) >= 8
    assert mentions(before) - not_of_all <= changed
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
    net.fit(X, y, optimizer=fastbp.Adadelta(), epochs=3)
    found[backend] = np.concatenate([[loss], *map(np.ravel, [*gradient.weights, *net.weights])])
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
    for title in WALKS:
        for file, hunks in changes(title):
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
    """Those that know them, and the house rules. (Numba's kernels as plain Python: quicker.)"""
    python(copy, "tools/reference_hashes.py")
    hashes = (copy / "tests" / "reference_hashes.json").read_text("utf-8")
    left_out = {Path(__file__).name, "ecosystem"}
    tests = [p for p in (copy / "tests").rglob("test_*.py") if not left_out & set(p.parts)]
    # There is one build here, and no time to compile all of Numba's kernels.
    added = [name for name, _, _ in WALKS.values()]
    for name in added:
        assert hashes.count(name) >= 2
    chosen = [
        "-k",
        f"(({' or '.join(added)}) and not (builds or twins or numba_give)) or test_house",
    ]
    options = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *of_all(tests), *chosen]
    assert passed(python(copy, *options, "--backend", "numpy,cython")) > 450
    options += ["--backend", "numba", "-m", "nojit"]
    assert passed(python(copy, *options, NUMBA_DISABLE_JIT="1")) > 10


def of_all(tests):
    """The files of tests that iterate the activations or the optimisers."""
    chosen = [p for p in tests if re.search("ACTIVATIONS|OPTIMIZERS", p.read_text("utf-8"))]
    assert len(chosen) > 20 and "test_house.py" in {path.name for path in chosen}
    return sorted(chosen)


def passed(report):
    return int(re.search(r"(\d+) passed", report)[1])

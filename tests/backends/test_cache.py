"""Numba's cache on disk: shared by processes, refreshed with the sources, never in the way.

Each test runs a copy of the package in processes of its own. They only compute
relu and its derivatives in float32, which are quick to compile.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import SECONDS

import fastbp

pytest.importorskip("numba")

PACKAGE = Path(fastbp.__file__).parent
KERNELS = 6  # those that PROGRAM needs: finite, activation, relu, its three derivatives

PROGRAM = """
import json, sys
import numpy as np
from fastbp import backends
from fastbp.backends.numba_ import _jit
from fastbp.basis import spec

found = []  # whether each kernel was there already

class Counting(_jit.Cache):
    def load_overload(self, sig, target_context):
        loaded = super().load_overload(sig, target_context)
        found.append(loaded is not None)
        return loaded

_jit.Cache = Counting
if "full disk" in sys.argv:  # no file may grow beyond some bytes
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
numba = backends.get("numba")
s, results = np.linspace(-1, 1, 16, dtype="float32"), np.empty((4, 16), "float32")
assert numba.finite(s)
numba.activation(spec.RELU, s, results)
print(json.dumps({
    "results": results.tobytes().hex(),
    "compiled": found.count(False),
    "loaded": found.count(True),
}))
"""


def copy_package(folder):
    """A copy of the package without what was compiled; the folder to import it from."""
    shutil.copytree(
        PACKAGE, folder / "fastbp", ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd")
    )
    return folder


def start(root, *words, **variables):
    """Start PROGRAM on the package in a folder, with these environment variables."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "FASTBP_"))}
    env |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=root,
        env=env | {k: str(v) for k, v in variables.items()},
    )


def finish(process):
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, err
    return json.loads(out)


@dataclass
class Filled:
    """A copy of the package with a cache that two processes filled at once."""

    root: Path
    cache: Path
    answers: list

    def run(self):
        return finish(start(self.root, NUMBA_CACHE_DIR=self.cache))

    def files(self):
        """Path -> content and time of each file in the cache."""
        found = {p: p for p in self.cache.rglob("*") if p.is_file()}
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in found}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    root = copy_package(tmp_path_factory.mktemp("package"))
    cache = tmp_path_factory.mktemp("cache")
    together = [start(root, NUMBA_CACHE_DIR=cache) for _ in range(2)]
    return Filled(root, cache, [finish(process) for process in together])


def test_processes_that_fill_the_cache_together(filled):
    one, other = filled.answers
    assert one["results"] == other["results"]
    # The slower one may find a kernel that the other one has just written.
    assert one["compiled"] + other["compiled"] >= KERNELS
    for answer in (one, other):
        assert answer["compiled"] + answer["loaded"] == KERNELS
    before = filled.files()
    third = filled.run()
    assert third == {"results": one["results"], "compiled": 0, "loaded": KERNELS}
    assert before
    assert filled.files() == before


DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"\x80\x05garbage" * 50,
    "a changed byte": lambda content: content[:-500] + b"?" + content[-499:],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_replaced(filled, damage):
    """One of the cache's files: compiled anew, and in order again afterwards."""
    paths = sorted(filled.files())
    path = paths[list(DAMAGES).index(damage) % len(paths)]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    expected = filled.answers[0]["results"]
    assert filled.run() == {"results": expected, "compiled": 1, "loaded": KERNELS - 1}
    assert filled.run() == {"results": expected, "compiled": 0, "loaded": KERNELS}


def no_in_tree_cache(root):
    """Take away the package's own place for the cache, also from root, who may write anywhere."""
    (root / "fastbp" / "backends" / "numba_" / "__pycache__").write_text("in the way")
    return root


def test_read_only_install(filled, tmp_path):
    """The cache is in the user's folder then."""
    root, home = no_in_tree_cache(copy_package(tmp_path / "package")), tmp_path / "home"
    places = {"HOME": home, "XDG_CACHE_HOME": home / "cache", "LOCALAPPDATA": home}
    first, second = (finish(start(root, **places)) for _ in range(2))
    expected = filled.answers[0]["results"]
    assert first == {"results": expected, "compiled": KERNELS, "loaded": 0}
    assert second == {"results": expected, "compiled": 0, "loaded": KERNELS}
    assert [p for p in home.rglob("*") if p.is_file()]


def test_nowhere_to_write(filled, tmp_path):
    """A read-only install without a home folder compiles in every process."""
    root = no_in_tree_cache(copy_package(tmp_path / "package"))
    nowhere = root / "fastbp" / "__init__.py" / "x"
    places = {name: nowhere for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA")}
    comp = finish(start(root, **places))
    assert comp["results"] == filled.answers[0]["results"]
    assert comp["loaded"] == 0


@pytest.mark.skipif(os.name == "nt", reason="no limit on the size of files")
def test_full_disk(filled, tmp_path):
    """What cannot be written is left out, and leaves nothing behind that harms."""
    comp = finish(start(filled.root, "full disk", NUMBA_CACHE_DIR=tmp_path))
    assert comp == {"results": filled.answers[0]["results"], "compiled": KERNELS, "loaded": 0}
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_the_cache_follows_the_sources(filled):
    """A change of an inner function, in another file than the entry point, is seen."""
    path = filled.root / "fastbp" / "backends" / "numba_" / "elementwise.py"
    original = path.read_text("utf-8")
    body = "return select_le(s, splat(s, 0.0), splat(s, 0.0), s)"
    assert original.count(body) == 1
    path.write_text(original.replace(body, "return splat(s, 7.0)"), "utf-8")
    try:
        comp = filled.run()
        assert comp["compiled"] == KERNELS
        assert comp["results"] != filled.answers[0]["results"]
        assert filled.run() == {"results": comp["results"], "compiled": 0, "loaded": KERNELS}
    finally:
        path.write_text(original, "utf-8")


STAMP = """
import sys
from pathlib import Path

here, *files = map(Path, sys.argv[1:])
from fastbp.backends.numba_._jit import source_stamp

assert Path(source_stamp.__wrapped__.__code__.co_filename).parent == here
stamps = []
for file in [here / "_jit.py", *files]:  # the first one as it is
    original = file.read_bytes()
    if stamps:
        file.write_bytes(original + b"#")
    source_stamp.cache_clear()
    stamps.append(source_stamp())
    file.write_bytes(original)
print(*stamps)
"""


def test_the_stamp_covers_every_file(tmp_path):
    root = copy_package(tmp_path) / "fastbp"
    here = root / "backends" / "numba_"
    shared = [root / "basis" / name for name in ("spec.py", "layout.py", "inputs.py")]
    files = [*sorted(here.rglob("*.py")), *shared]
    assert len(files) > 5
    done = subprocess.run(
        [sys.executable, "-c", STAMP, here, *files],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=root.parent,
        env=os.environ | {"PYTHONPATH": str(root.parent)},
    )
    assert done.returncode == 0, done.stderr
    stamps = done.stdout.split()
    assert len(set(stamps)) == len(stamps) == 1 + len(files)


NAMES = """
import gc
from numba.core.dispatcher import Dispatcher
from fastbp.backends import numba_

functions = [d.py_func for d in gc.get_objects() if isinstance(d, Dispatcher)]
for f in functions:
    if f.__module__.startswith("fastbp"):
        print(f"{f.__module__}.{f.__qualname__}")
"""


def test_every_function_has_a_name_of_its_own(tmp_path):
    """Else a process may take one for another, in kernels that several processes compiled."""
    done = subprocess.run(
        [sys.executable, "-c", NAMES],
        capture_output=True,
        text=True,
        cwd=copy_package(tmp_path),
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    names = done.stdout.split()
    assert len(names) > 50
    assert sorted(names) == sorted(set(names))

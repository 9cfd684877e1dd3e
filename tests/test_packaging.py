"""What installations rely on: declared versions, and which files travel."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import fastbp

PACKAGE = Path(fastbp.__file__).parent
ROOT = PACKAGE.parent
if not (ROOT / "pyproject.toml").exists():
    pytest.skip("the project is not here, only the package", allow_module_level=True)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Endings of sources, and of what is compiled from them.
CODE = {".py", ".so", ".pyd", ".pyc", ".nbc"}


def requirements():
    """Name -> [lowest version, ...] of everything that the project asks for by >=."""
    project = PROJECT["project"]
    lists = [PROJECT["build-system"]["requires"], project["dependencies"]]
    lists += project["optional-dependencies"].values()
    found = {}
    for requirement in (entry for entries in lists for entry in entries):
        match = re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement)
        if match:
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_minimum_versions_are_the_declared_ones():
    text = (ROOT / "tools" / "minimum-versions.txt").read_text("utf-8")
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)$", text, re.M))
    declared = requirements()
    assert all(len(versions) == 1 for versions in declared.values()), declared
    core = {re.split(">=", entry)[0] for entry in PROJECT["project"]["dependencies"]}
    assert core | {"cython", "matplotlib", "onnx", "pandas", "pyarrow", "pytest"} <= set(pinned)
    for name, version in pinned.items():
        if name != "pyparsing":  # comes with matplotlib
            (lowest,) = declared[name]
            assert [*version.split("."), "0", "0"][:3] == [*lowest.split("."), "0", "0"][:3], name


def test_the_source_distribution_has_every_file():
    """MANIFEST.in names all that git tracks, but for what only git reads."""
    try:
        done = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    except FileNotFoundError:
        pytest.skip("no git")
    if done.returncode:
        pytest.skip("not a git repository")
    lines = (ROOT / "MANIFEST.in").read_text("utf-8").splitlines()
    words = [line.split() for line in lines]
    included = {name for first, *rest in words if first == "include" for name in rest}
    grafted = tuple(f"{rest[0]}/" for first, *rest in words if first == "graft")
    # setuptools takes these by itself.
    included |= {"LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"}
    tracked = {
        name for name in done.stdout.splitlines() if not name.startswith((".git", "fastbp/"))
    }
    assert {name for name in tracked if not name.startswith(grafted)} <= included
    data = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in CODE}
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["fastbp"]
    assert data == {path for pattern in patterns for path in PACKAGE.glob(pattern)}

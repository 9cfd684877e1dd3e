"""Copies of the project, and builds of Cython modules in them."""

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers import SECONDS

import fastbp

ROOT = Path(fastbp.__file__).resolve().parents[1]
# Of the project's folder, what a copy has.
PARTS = (
    *("setup.py", "pyproject.toml", "README.md", "LICENSE", "CONTRIBUTING.md"),
    *("fastbp", "src_cython", "tests", "tools", "docs"),
)

# setup.py with all modules left out but those named.
BUILD = """
import runpy, sys
import setuptools

names = sys.argv[1:]
setup = setuptools.setup


def some(*, ext_modules, **options):
    chosen = [module for module in ext_modules if module.name.split(".")[-1] in names]
    assert len(chosen) == len(names)
    setup(ext_modules=chosen, **options)


setuptools.setup = some
sys.argv = ["setup.py", "--quiet", "build_ext", "--inplace"]
runpy.run_path("setup.py", run_name="__main__")
"""


def need_a_compiler():
    """Skip the test where nothing can be built."""
    if not (ROOT / "setup.py").exists():
        pytest.skip("the sources are not here")
    for name in ("Cython", "setuptools"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC")
    if not compiler or not shutil.which(shlex.split(compiler)[0]):
        pytest.skip("no C compiler")


def copy_project(folder):
    """The project in a folder, without anything that was built."""
    ignored = shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "_build", "generated")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, folder / part)


def build(folder, modules, **variables):
    """Build some modules of a copy in place."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("FASTBP_")}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, *modules],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        cwd=folder,
        env=env | {"FASTBP_REQUIRE_CYTHON": "1"} | variables,
    )
    assert done.returncode == 0, done.stderr
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for name in modules:
        assert (folder / "fastbp" / "backends" / f"{name}{suffix}").exists()

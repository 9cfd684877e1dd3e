"""Which backends and pages the tests take (--backend, --every-page), and the order of files."""

import os
import signal

import numpy as np
import pytest

import fastbp
from fastbp import backends

REFERENCE = "numpy"


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        action="append",
        help=f"test these only, one or a comma list; known: {', '.join(backends.BACKENDS)}",
    )
    parser.addoption(
        "--every-page",
        action="store_true",
        help="open every page of the site in the browser, instead of ten",
    )


def pytest_configure(config):
    # A shell lets what it starts in the background ignore Ctrl-C, which tests press.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _chosen(config):
    given = config.getoption("--backend")
    if not given:
        return list(backends.BACKENDS)
    names = [name for entry in given for name in entry.split(",")]
    unknown = set(names) - set(backends.BACKENDS)
    if unknown:
        raise pytest.UsageError(f"--backend: unknown {', '.join(sorted(unknown))}")
    return names


def pytest_generate_tests(metafunc):
    chosen = _chosen(metafunc.config)
    compiled = [name for name in chosen if name != REFERENCE]
    for fixture, names in (("backend", chosen), ("compiled", compiled)):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, names, indirect=True, scope="session")


def pytest_collection_modifyitems(items):
    """Put the files of long tests first: of two processes, none may begin one as the other ends."""
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)


def _usable(name):
    """The name of a backend; skips where it is not available, or fails if it has to be."""
    try:
        backends.get(name)
    except fastbp.BackendUnavailable as error:
        if name == "cython" and os.environ.get("FASTBP_REQUIRE_CYTHON") == "1":
            pytest.fail(f"FASTBP_REQUIRE_CYTHON=1, but: {error}", pytrace=False)
        pytest.skip(str(error))
    return name


@pytest.fixture(scope="session")
def backend(request):
    """The name of each backend in turn."""
    return _usable(request.param)


@pytest.fixture(scope="session")
def compiled(request):
    """The name of each compiled backend in turn."""
    return _usable(request.param)


@pytest.fixture(scope="session")
def twins():
    """The names of the two compiled backends, for tests that need both."""
    return _usable("cython"), _usable("numba")


@pytest.fixture(scope="session")
def cython():
    """The Cython backend's name, for tests of its builds."""
    return _usable("cython")


@pytest.fixture
def rng():
    return np.random.default_rng(20191101)

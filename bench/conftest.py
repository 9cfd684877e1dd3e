"""Options, pinning and the summary of the benches."""

import importlib.util
import os

import pytest
from threadpoolctl import threadpool_limits

import fastbp
from fastbp.backends import BACKENDS

RESULTS = {}  # (kind, workload, who) -> seconds, for the summary


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        action="append",
        choices=sorted(BACKENDS),
        help="bench this backend only (may be repeated; default: all, and the peers)",
    )


def pytest_configure(config):
    # One thread everywhere: the kernels are compared, not the schedulers.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    threadpool_limits(1)


def pytest_generate_tests(metafunc):
    chosen = metafunc.config.getoption("--backend")
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", chosen or list(BACKENDS), indirect=True)
    if "peer" in metafunc.fixturenames:
        # The others take long to compile, and want settings before they are imported.
        eager = ["scikit-learn", "pytorch"]
        metafunc.parametrize("peer", [] if chosen else eager, indirect=True)


@pytest.fixture
def backend(request):
    answer = fastbp.available_backends()[request.param]
    if not answer.startswith("yes"):
        pytest.skip(answer)
    return request.param


@pytest.fixture
def peer(request):
    from peers import PEERS

    function, package = PEERS[request.param]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    function.label = request.param
    return function


@pytest.fixture
def record(benchmark):
    """Note a time for the summary, and its correctness beside it."""

    def record(kind, workload, who, repeats, flops, **correctness):
        if benchmark.stats is None:  # --benchmark-disable: run once, nothing timed
            return
        seconds = benchmark.stats.stats.median / repeats
        benchmark.extra_info.update(us=round(seconds * 1e6, 3), **correctness)
        benchmark.extra_info["GFLOP/s"] = round(flops / seconds / 1e9, 2)
        RESULTS.setdefault(kind, {}).setdefault(workload.name, {})[who] = seconds

    return record


def pytest_terminal_summary(terminalreporter):
    for kind, rows in RESULTS.items():
        columns = list(dict.fromkeys(who for row in rows.values() for who in row))
        terminalreporter.section(f"{kind}: median µs, one thread")
        width = max(map(len, rows)) + 2
        terminalreporter.write_line(" " * width + "".join(f"{who:>14}" for who in columns))
        for name, row in rows.items():
            cells = [f"{row[who] * 1e6:14.2f}" if who in row else " " * 14 for who in columns]
            terminalreporter.write_line(name.ljust(width) + "".join(cells))

"""Progress bars leave no thread behind, and without one nothing of tqdm is used."""

import re
import sys
import threading
from pathlib import Path

import pytest
from helpers import make_data, make_network

import fastbp

X, y = make_data("log_loss", 20, 3, 1)
SEEN: list = []


class Threads(fastbp.Callback):
    def epoch(self, network, history):
        SEEN.extend(threading.enumerate())


def network():
    return make_network([3, 4, 1], "log_loss", None)


CALLS = {
    "fit": lambda shown: network().fit(X, y, epochs=3, progress=shown, callbacks=[Threads()]),
    "fit_many": lambda shown: fastbp.fit_many(
        [network()], X, y, epochs=3, progress=shown, callbacks=[[Threads()]], threads=1
    ),
    "ensembles": lambda shown: fastbp.MLPEnsembleClassifier(
        fastbp.MLPClassifier((3,), max_iter=3, tol=1.0, callbacks=[Threads()]), 2, progress=shown
    ).fit(X, y.ravel()),
}


pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_no_thread_watches_a_bar(call, shown, monkeypatch, capsys):
    tqdm = pytest.importorskip("tqdm")
    monkeypatch.setattr(tqdm.tqdm, "monitor", None)  # which another test may have started
    SEEN.clear()
    CALLS[call](shown)
    assert SEEN
    assert not [thread for thread in SEEN if isinstance(thread, tqdm.TMonitor)]
    assert ("100%" in capsys.readouterr().err) == shown


@pytest.mark.parametrize("call", CALLS)
def test_tqdm_is_not_needed_without_a_bar(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    CALLS[call](False)


def test_all_bars_come_from_one_place():
    package = Path(fastbp.__file__).parent
    importing = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"^\s*(from|import) tqdm", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert importing == ["basis/progress.py"]

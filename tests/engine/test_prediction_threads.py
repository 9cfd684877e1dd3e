"""Predictions in several threads."""

import threading

import numpy as np
import pytest
from helpers import make_network

from fastbp.basis import teams


@pytest.mark.parametrize("sizes", [[4, 32, 16, 4], [30, 65, 1], [50, 3]], ids=str)
def test_threads_change_no_bit(backend, sizes, monkeypatch):
    X = np.random.default_rng(0).standard_normal((9001, sizes[0]))
    found, used = [], set()
    run = teams.run

    def watched(member, threads):
        def noted(rank):
            used.add(threading.get_ident())
            member(rank)

        run(noted, threads)

    monkeypatch.setattr(teams, "run", watched)
    for threads in (1, 2, 5):
        monkeypatch.setattr(teams, "automatic", lambda *_, threads=threads: threads)
        net = make_network(sizes, "squared_error", backend, "float32")
        found.append(net.predict(X))
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()
    assert np.array_equal(found[0][-5:], net.predict(X[-5:])) or backend == "numpy"
    assert len(used) > 1 or backend == "numpy"

"""Predictions in several threads."""

import threading

import numpy as np
import pytest
from helpers import make_network

import fastbp
from fastbp.basis import teams
from fastbp.engine import buffers


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


def test_slices_of_wide_networks_are_not_too_small():
    """The products of a few rows are slow: each one reads all weights."""
    engine = fastbp.Network([2048, 2048, 2], loss="squared_error")._engine
    for threads in (1, 3):
        sizes = [len(range(1000)[rows]) for rows in engine.slices(1000, threads)]
        assert sum(sizes) == 1000
        assert min(sizes[:-1]) >= 64 * threads


def test_predictions_take_small_blocks():
    """Their workspaces stay in the cache, and calls keep them."""
    for layers in ([784, 512, 512, 10], [2048, 2048, 10], [4, 8, 3]):
        layout = fastbp.Network(layers, loss="cross_entropy").layout
        rows = layout.prediction_rows(100_000)
        assert rows >= 64
        assert layout.workspace_size(rows) * 4 <= buffers.MOST_BYTES

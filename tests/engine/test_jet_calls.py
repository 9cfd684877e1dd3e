"""Derivatives by the inputs and products with the Hessian: threads, blocks and Ctrl-C."""

import os
import signal
import threading

import numpy as np
import pytest
from helpers import error, make_data, make_network, wait_until

from fastbp.basis import teams
from fastbp.engine import buffers, jets

SIZES = [[3, 32, 16, 2], [5, 30, 1], [4, 2]]
CALLS = {
    "jvp": lambda engine, X, data: jets.input_jvp(engine, X, X[::-1].copy()),
    "vjp": lambda engine, X, data: jets.input_vjp(engine, X, data.targets),
    "jacobian": lambda engine, X, data: jets.input_jacobian(engine, X),
    "diagonal": lambda engine, X, data: jets.input_hessian_diagonal(engine, X),
    "laplacian": lambda engine, X, data: jets.input_laplacian(engine, X),
    "hessian": lambda engine, X, data: jets.hessian_product(engine, data, engine.parameters),
    "back": lambda engine, X, data: way_back(engine, X, data),
    "vjp and gradient": lambda engine, X, data: vjp_gradient(engine, X, data),
}


def way_back(engine, X, data):
    p = jets.JetPass(engine, X, 1)
    return p.backward(p.s[0], np.ascontiguousarray(p.h))


def vjp_gradient(engine, X, data):
    gradient = engine.layout.zeros(engine.layout.n_parameters)
    jets.input_vjp(engine, X, data.targets, gradient)
    return gradient


def problem(sizes, backend, n, dtype="float32", loss="squared_error"):
    net = make_network(sizes, loss, backend, dtype)
    kind = "soft" if loss == "cross_entropy" else None
    X, y = make_data(loss, n, sizes[0], sizes[-1], kind=kind)
    data = net._engine.data(X, y)
    return net._engine, data.X, data


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "sizes, loss",
    [
        *((sizes, "squared_error") for sizes in SIZES),
        ([3, 32, 16, 5], "cross_entropy"),
        ([3, 30, 1], "log_loss"),
    ],
    ids=str,
)
def test_threads_change_no_bit(backend, sizes, loss, call, monkeypatch):
    engine, X, data = problem(sizes, backend, 3001, loss=loss)
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
        found.append(CALLS[call](engine, X, data).tobytes())
    assert found[0] == found[1] == found[2]
    assert len(used) > 1 or backend == "numpy"


@pytest.mark.parametrize("call", ["hessian", "back", "vjp and gradient"])
def test_gradients_of_many_blocks(backend, call):
    """The sum over many rows is that over parts of them."""
    engine, X, data = problem([3, 12, 2], backend, 4000, "float64")
    whole = CALLS[call](engine, X, data)
    parts = [slice(i, i + 100) for i in range(0, 4000, 100)]
    total = sum(CALLS[call](engine, X[rows].copy(), data.rows(rows)) for rows in parts)
    assert error(total / (40 if call == "hessian" else 1), whole) < 1e-13


def test_workspaces_that_are_not_kept(backend, monkeypatch):
    engine, X, data = problem([3, 12, 2], backend, 700)
    kept = way_back(engine, X, data)
    monkeypatch.setattr(jets, "KEPT_BYTES", 0)
    assert way_back(engine, X, data).tobytes() == kept.tobytes()


@pytest.mark.serial
@pytest.mark.skipif(os.name == "nt", reason="no SIGINT there")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("call", CALLS)
def test_ctrl_c_ends_long_calls(compiled, call, threads, monkeypatch):
    """Between two parts; nothing but the result is lost."""
    engine, X, data = problem([3, 12, 1], compiled, 90_000)
    before = engine.parameters.copy()
    monkeypatch.setattr(teams, "automatic", lambda *_: threads)
    monkeypatch.setattr(jets, "SLICE_FLOPS", 1)
    taken = []
    take = buffers.take

    def pressed(*arguments, **options):
        taken.append(1)
        if len(taken) == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return take(*arguments, **options)

    monkeypatch.setattr(buffers, "take", pressed)
    with pytest.raises(KeyboardInterrupt):
        CALLS[call](engine, X, data)
        wait_until(lambda: False)
    assert len(taken) < 150  # of at least 240
    assert engine.parameters.tobytes() == before.tobytes()


@pytest.mark.parametrize("n_outputs", [1, 9])
@pytest.mark.parametrize("n_inputs", [1, 9])
@pytest.mark.parametrize("hidden", [[], [6], [6, 5]], ids=str)
def test_both_ways_agree(backend, n_inputs, hidden, n_outputs, monkeypatch):
    """Forward and from the outputs back, whichever is less work."""
    engine, X, _ = problem([n_inputs, *hidden, n_outputs], backend, 20, "float64")
    found = []
    for back in (False, True):
        monkeypatch.setattr(jets, "_back_is_less_work", lambda *_, back=back: back)
        found.append(
            [
                function(engine, X)
                for function in (
                    jets.input_jacobian,
                    jets.input_hessian_diagonal,
                    jets.input_laplacian,
                )
            ]
        )
    for forward, backward in zip(*found, strict=True):
        assert error(backward, forward) < 1e-13


def test_the_way_with_less_work_is_taken():
    assert jets._back_is_less_work([64, 64, 10], True, 0)
    assert jets._back_is_less_work([3, 64, 64, 1], False, 3)
    assert not jets._back_is_less_work([3, 64, 64, 40], True, 0)
    assert not jets._back_is_less_work([3, 64, 64, 40], True, 3)

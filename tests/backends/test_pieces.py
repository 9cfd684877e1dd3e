"""Numba's pieces: what a network does not use is not compiled, and `doctor --compile` has all."""

import itertools
import signal

import numpy as np
import pytest
from helpers import OPTIMIZERS
from job_helpers import Parts

import fastbp
from fastbp.basis import spec
from fastbp.basis.layout import STRIDE
from fastbp.cli import main
from fastbp.engine import jets

pytest.importorskip("numba")

from numba import config

from fastbp.backends.numba_ import _jit, pieces

if config.DISABLE_JIT:
    pytest.skip("nothing is compiled", allow_module_level=True)

DTYPES = ("float32", "float64")


def use_all(dtype):
    """Call all entry points, with every activation, loss and optimiser at least once."""
    X, half = np.linspace(-1, 1, 12).reshape(4, 3), np.full((4, 3), 0.5)
    hidden = len(spec.ACTIVATIONS)
    for loss, optimizer in itertools.zip_longest(spec.LOSSES, OPTIMIZERS.values()):
        mixture, row = loss == "mixture_density", spec.LOSSES[loss or "huber"]
        net = fastbp.Network(
            [3, *[4] * hidden, 3 if mixture else 2],
            activation=list(spec.ACTIVATIONS),
            loss=loss or "huber",
            loss_parameter=1 if mixture else None,
            dtype=dtype,
            seed=0,
            backend="numba",
        )
        s = half[:, : net.layout.sizes[-1]].astype(dtype)
        y = half[:, : net.layout.n_targets] + (0.5 if row.counts else 0)
        net.fit(X, y, epochs=1, optimizer=optimizer, dropout=0.1, clip_norm=1.0)
        net.loss_and_gradient(X, y)
        net.per_sample_gradients(X, y)
        net.predict(X)
        rows = np.zeros((4, 16, net.layout.plan[-1, STRIDE]), dtype)
        net._engine.backend.loss_hessian_product(net._engine.model, *rows)
        engine, samples = net._engine, X.astype(dtype)
        jets.JetPass(engine, samples, 1).backward(s)
        jets.input_laplacian(engine, samples)
        jets.input_vjp(engine, samples, s)
        data = engine.data(X, y)
        jets.hessian_product(engine, data, engine.parameters)
        jets.loss_deltas(engine, data, s)
    parts = Parts(net, X, y, fastbp.SGD())
    parts.backward(parts.forward())
    parts.job.update(0.1)


def test_nothing_is_compiled_after_doctor_compile(monkeypatch):
    assert main(["doctor", "--compile"]) == 0
    compiled = []
    monkeypatch.setattr(_jit, "_compile", lambda function, *rest, **o: compiled.append(function))
    for dtype in DTYPES:
        use_all(dtype)
    assert compiled == []


@pytest.mark.serial
def test_ctrl_c_waits_until_a_kernel_is_compiled(monkeypatch):
    """Within Numba it would be lost, or leave Numba's tables half filled."""
    found = []

    class Pressing(_jit.Cache):
        def load_overload(self, *arguments):
            signal.raise_signal(signal.SIGINT)
            return super().load_overload(*arguments)

        def save_overload(self, sig, data):
            found.append(sig)

    def double(p):
        p[0] = p[0] + p[0]

    monkeypatch.setattr(_jit, "Cache", Pressing)
    monkeypatch.setattr(_jit, "KERNELS", [])
    piece = _jit.Piece(double, _jit.REALS)
    with pytest.raises(KeyboardInterrupt):
        piece.address(np.dtype("float32"))
    assert len(found) == 1


WANTED = {"output": False, "deltas": True}


def test_a_table_holds_what_a_network_uses():
    def places(activation, loss, **options):
        net = fastbp.Network([3, 4, 2], activation=activation, loss=loss, backend="numba")
        plan, code = net.layout.plan.tobytes(), spec.LOSSES[loss].code
        table = pieces.table(net.layout.dtype, plan, code, **{**WANTED, **options})
        return set(np.flatnonzero(table).tolist())

    tanh = {pieces.ACTIVATE + spec.TANH, pieces.MULTIPLY_BY_DERIVATIVE + spec.TANH}
    assert places("tanh", "huber") == {*tanh, pieces.LOSS}
    assert places("identity", "huber", optimizer=spec.SGD) == {pieces.LOSS, pieces.UPDATE}
    assert places("tanh", "huber", output=True, deltas=False) == {pieces.ACTIVATE + spec.TANH}
    softmax = {pieces.SOFTMAX, pieces.LOSS}
    assert places("tanh", "cross_entropy") == {*tanh, *softmax}
    assert places("tanh", "cross_entropy", output=True) == {*tanh, *softmax, pieces.OUTPUT}

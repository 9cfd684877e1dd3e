"""A training step: gather, forward, loss, backward, Adam."""

import numpy as np
import pytest
from workloads import WORKLOADS

import fastbp


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_train_step(benchmark, record, workload, backend):
    benchmark.group = f"training, one epoch of {workload.steps} steps, {workload.name}"
    X, y = workload.data()
    settings = dict(activation=workload.activation, loss=workload.loss, seed=0)
    net = fastbp.Network(workload.layers, backend=backend, **settings)
    # Compiles, and serves as the check: one epoch must end where the reference does.
    net.fit(X, y, batch_size=workload.batch, epochs=1)
    reference = fastbp.Network(workload.layers, backend="numpy", **settings)
    reference.fit(X, y, batch_size=workload.batch, epochs=1)
    error = float(np.abs(net.predict(X) - reference.predict(X)).max())
    assert error < 1e-2

    # A round is some 0.1 s of epochs; it times an epoch, as for the peers.
    speed = 5e9 if backend == "numpy" else 50e9
    epochs = max(1, round(0.1 / (workload.steps * (workload.flops / speed + 1e-6))))
    benchmark.pedantic(
        net.fit,
        (X, y),
        dict(batch_size=workload.batch, epochs=1),
        rounds=7,
        iterations=epochs,
        warmup_rounds=1,
    )
    record("train step", workload, backend, workload.steps, workload.flops, error_of_outputs=error)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_train_step_of_peer(benchmark, record, workload, peer):
    benchmark.group = f"training, one epoch of {workload.steps} steps, {workload.name}"
    X, y = workload.data()
    epoch, outputs = peer(workload, X, y)

    def loss():
        return workload.mean_loss(outputs(X), y)

    before = loss()
    benchmark.pedantic(epoch, rounds=3, warmup_rounds=1)
    assert loss() < before  # it does train
    record("train step", workload, peer.label, workload.steps, workload.flops, loss=loss())

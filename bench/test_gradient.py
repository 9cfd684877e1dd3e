"""Loss and gradient of one batch, called from Python."""

import numpy as np
import pytest
from workloads import WORKLOADS

import fastbp


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_loss_and_gradient(benchmark, record, workload, backend):
    benchmark.group = f"loss and gradient, {workload.name}"
    X, y = workload.data()
    X, y = X[: workload.batch], y[: workload.batch]
    settings = dict(activation=workload.activation, loss=workload.loss, seed=0)
    net = fastbp.Network(workload.layers, backend=backend, **settings)
    _, gradient = net.loss_and_gradient(X, y)
    _, reference = net.to_backend("numpy").loss_and_gradient(X, y)
    error = max(
        float(np.abs(comp - ref).max())
        for comp, ref in zip(gradient.weights, reference.weights, strict=True)
    )
    assert error < 1e-4

    calls = max(1, round(0.01 / (workload.flops / 50e9 + 1e-5)))
    benchmark.pedantic(net.loss_and_gradient, (X, y), rounds=15, iterations=calls, warmup_rounds=1)
    record("loss and gradient", workload, backend, 1, workload.flops, error_of_gradient=error)

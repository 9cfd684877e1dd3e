"""Prediction of one row and of many, NumPy in and out."""

import numpy as np
import pytest
from workloads import WORKLOADS

import fastbp


@pytest.mark.parametrize("rows", [1, 10000], ids=["1 row", "10000 rows"])
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_predict(benchmark, record, workload, rows, backend):
    kind = f"prediction of {rows} row{'s' * (rows > 1)}"
    benchmark.group = f"{kind}, {'-'.join(map(str, workload.layers))}"
    if benchmark.disabled:  # run once, nothing timed
        rows = min(rows, 100)
    X = np.random.default_rng(0).normal(size=(rows, workload.layers[0])).astype("float32")
    settings = dict(activation=workload.activation, loss=workload.loss, seed=0)
    net = fastbp.Network(workload.layers, backend=backend, **settings)
    error = float(np.abs(net.predict(X) - net.to_backend("numpy").predict(X)).max())
    assert error < 1e-4

    products = [a * b for a, b in zip(workload.layers, workload.layers[1:], strict=False)]
    flops = 2 * rows * sum(products)
    calls = max(1, round(0.01 / (flops / 50e9 + 1e-5)))
    benchmark.pedantic(net.predict, (X,), rounds=15, iterations=calls, warmup_rounds=1)
    record(kind, workload, backend, 1, flops, error_of_outputs=error)

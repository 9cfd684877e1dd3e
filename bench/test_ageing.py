"""A training from its first epoch until long after it has converged."""

import ageing
import pytest


@pytest.mark.parametrize(("loss", "activation"), ageing.CASES)
def test_ageing(benchmark, request, loss, activation, backend):
    if backend == "numpy":
        pytest.skip("the reference does not flush denormal numbers")
    benchmark.group = "ageing of 64-64-10 batch 32"
    epochs = 60 if request.config.getoption("--benchmark-disable") else ageing.EPOCHS
    arguments = (loss, activation, backend, "float32", epochs)
    early, late = benchmark.pedantic(ageing.step_times, arguments, rounds=1)
    assert 0 < early < 1e-2 and 0 < late < 1e-2
    benchmark.extra_info.update(early=early, late=late, ratio=round(late / early, 2))

"""fit_many and the estimators over Dask workers, which are real processes on the loopback."""

import contextlib
import os
import signal

import joblib
import numpy as np
import pytest
from helpers import wait_until
from many_helpers import alone, assert_same, networks

import fastbp
from fastbp.rules.optimizers import SGD, Adam

pytest.importorskip("distributed")
from distributed import Client, LocalCluster

from fastbp.many import on_dask as many_on_dask

pytestmark = pytest.mark.slow

N = 150


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=":0",
            memory_limit=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def data(rng):
    return rng.normal(size=(N, 6)), rng.integers(0, 3, N)


def test_same_bits_as_alone(client, data, rng):
    nets = networks("cython", count=9)
    options = {
        "optimizer": [Adam(0.01), *[SGD(0.1, momentum=0.9)] * 8],
        "epochs": [3, 1, 4, 2, 5, 1, 1, 1, 2],
        "sample_weight": rng.uniform(0.5, 2, N),
        "dropout": 0.2,
        "patience": 3,
        "validation_data": data,
    }
    rows = [None, rng.integers(0, N, N), *[None] * 7]
    expected = alone(nets, *data, rows=rows, **options)
    histories = fastbp.fit_many(nets, *data, rows=rows, client=client, **options)
    assert_same(nets, histories, expected)


def test_chunks_hold_each_network_once(rng):
    works = rng.uniform(0, 1e9, 500).tolist()
    for threads in (1, 2, 64):
        chunks = list(many_on_dask._chunks(works, threads))
        assert sorted(sum(chunks, [])) == list(range(500))
        assert len(chunks) >= min(4 * threads, 25) - 1
        sums = [sum(works[i] for i in chunk) for chunk in chunks]
        assert max(sums) < many_on_dask.FLOPS_PER_TASK + 1e9
    assert list(many_on_dask._chunks([1e12] * 3, 2)) == [[0], [1], [2]]


def test_the_data_are_sent_once(client, data, monkeypatch):
    sent, scatter = [], client.scatter
    monkeypatch.setattr(client, "scatter", lambda *a, **k: sent.append(k) or scatter(*a, **k))
    fastbp.fit_many(networks("cython", count=20), *data, client=client, epochs=1)
    assert sent == [{"broadcast": True, "hash": False}]


def test_failures_have_the_networks_numbers(client, data):
    nets = networks("cython", count=6)[::-1]  # the last one is of float32 with ReLU
    optimizer = [*[SGD(0.1)] * 5, SGD(1e30)]
    with np.errstate(all="ignore"), pytest.raises(fastbp.SomeFailed) as caught:
        fastbp.fit_many(nets, *data, client=client, epochs=3, optimizer=optimizer)
    assert caught.value.indices == [5]
    assert isinstance(caught.value.exceptions[0], fastbp.TrainingDiverged)
    assert caught.value.exceptions[0].__notes__ == ["in network 5"]
    assert [len(h.loss) for h in caught.value.histories[:5]] == [3] * 5


def test_a_worker_that_dies(client, data, monkeypatch):
    """Its networks are trained by the other one."""
    nets = networks("cython", count=40)
    options = {"epochs": 400, "batch_size": 8}
    expected = alone(nets, *data, **options)
    killed = min(client.run(os.getpid).values())
    as_completed = many_on_dask.as_completed

    def killing(futures):
        for n, future in enumerate(as_completed(futures)):
            if n == 0:
                os.kill(killed, signal.SIGKILL)
            yield future

    monkeypatch.setattr(many_on_dask, "as_completed", killing)
    histories = fastbp.fit_many(nets, *data, client=client, **options)
    assert_same(nets, histories, expected)
    wait_for_another(client, killed)


def wait_for_another(client, killed):
    """Until there is a worker in the place of the one that was killed."""

    def there():
        with contextlib.suppress(OSError):  # of a worker that the scheduler believes to be there
            known = client.run(os.getpid).values()
            return len(known) == 2 and killed not in known

    wait_until(there)


def test_ctrl_c(client, data, monkeypatch):
    """It comes after the first results, while the workers train the other networks."""
    nets = networks("cython", count=40)
    before = [net._engine.parameters.copy() for net in nets]
    as_completed = many_on_dask.as_completed

    def interrupting(futures):
        for n, future in enumerate(as_completed(futures)):
            if n == 1:
                signal.raise_signal(signal.SIGINT)
            yield future

    monkeypatch.setattr(many_on_dask, "as_completed", interrupting)
    with pytest.warns(RuntimeWarning, match="training interrupted; .* of 40 networks"):
        histories = fastbp.fit_many(nets, *data, client=client, epochs=10, batch_size=8)
    left = [i for i, history in enumerate(histories) if history.interrupted]
    assert left
    for i in left:
        np.testing.assert_array_equal(nets[i]._engine.parameters, before[i])


def test_bad_arguments(client, data):
    nets = networks("cython", count=2)
    with pytest.raises(TypeError, match=r"client must be a distributed\.Client"):
        fastbp.fit_many(nets, *data, client="tcp://127.0.0.1:8786")
    with pytest.raises(ValueError, match="workers of a cluster cannot call callbacks"):
        fastbp.fit_many(nets, *data, client=client, callbacks=[[], []])
    with pytest.raises(ValueError, match="workers of a cluster do not read checkpoints"):
        fastbp.fit_many(nets, *data, client=client, resume_from=["a", "b"])
    with pytest.raises(ValueError, match="network 1: epochs"):
        fastbp.fit_many(nets, *data, client=client, epochs=[1, 0])


def test_progress(client, data, capsys):
    fastbp.fit_many(networks("cython", count=3), *data, client=client, epochs=1, progress=True)
    assert "3/3" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_search_and_ensemble_in_joblibs_dask(client, data):
    classifier = fastbp.MLPClassifier((5,), max_iter=5, backend="cython", random_state=0)
    search = fastbp.MLPSearchCV(classifier, {"alpha": [1e-3, 1.0]}, cv=2)
    ensemble = fastbp.MLPEnsembleClassifier(classifier, 4, bootstrap=True, random_state=0)
    scores = search.fit(*data).cv_results_["mean_test_score"]
    expected = ensemble.fit(*data).predict_proba(data[0])
    tasks = client.run(lambda dask_worker: len(dask_worker.state.log))
    with joblib.parallel_config("dask"):
        np.testing.assert_array_equal(search.fit(*data).cv_results_["mean_test_score"], scores)
        np.testing.assert_array_equal(ensemble.fit(*data).predict_proba(data[0]), expected)
    after = client.run(lambda dask_worker: len(dask_worker.state.log))
    assert sum(after.values()) > sum(tasks.values())

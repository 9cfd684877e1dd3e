"""The loss of each head in a History: against single networks, and wherever histories are used."""

import copy

import numpy as np
import pytest
from head_helpers import HEADS, alone, make_heads, samples_of, together
from helpers import DTYPES

import fastbp
from fastbp.basis.layout import Layout

SAME = 1e-13
TWO = ["cross_entropy_loss", "poisson_loss"]
VALIDATED = [f"validation_{name}" for name in TWO]


def weights_of(n):
    w = np.random.default_rng(5).uniform(0.1, 2, n)
    w[n // 2] = 0
    return w


def in_batches(losses, w, size):
    """Σ w e / Σ w from those of batches, of which each had its own parameters."""
    totals = [w[i : i + size].sum() for i in range(0, len(w), size)]
    return np.dot(losses, totals) / w.sum()


@pytest.mark.parametrize("which", HEADS)
def test_losses_are_those_of_networks_with_a_head_alone(backend, which):
    net = make_heads(which, backend)
    X, y = samples_of(net, 40)
    X_v, y_v = samples_of(net, 21, seed=3)
    w = weights_of(40)
    expected = [alone(net, k).loss_and_gradient(X, y[k], w)[0] for k in range(len(y))]
    how = {"batch_size": None, "l2": 0.1, "sample_weight": w, "validation_data": (X_v, y_v)}
    history = net.fit(X, y, epochs=1, **how)
    lists = list(history.head_losses.values())
    assert np.array(lists[: len(y)]).ravel() == pytest.approx(expected, rel=SAME)
    expected = [alone(net, k).loss_and_gradient(X_v, y_v[k])[0] for k in range(len(y))]
    assert np.array(lists[len(y) :]).ravel() == pytest.approx(expected, rel=SAME)
    total = np.dot(expected, net.loss_weights)
    assert history.validation_loss == pytest.approx([total], rel=SAME)


def test_names():
    heads = [("log_loss", 1), ("squared_error", 1), ("poisson", 1), ("squared_error", 2)]
    net = fastbp.Network([3, 5], loss=heads, seed=0, backend="numpy")
    X = np.zeros((4, 3))
    y = [0, 1, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3], np.zeros((4, 2))
    history = net.fit(X, y, epochs=2)
    names = ["loss", "log_loss", "squared_error_1_loss", "poisson_loss", "squared_error_3_loss"]
    assert list(history) == names
    assert history["poisson_loss"] == history.head_losses["poisson_loss"]
    assert history.to_pandas().columns.tolist() == names
    assert "poisson_loss" in repr(history) and "poisson_loss" in history._repr_html_()
    with pytest.raises(KeyError, match="did you mean 'squared_error_3_loss'"):
        history["squared_error_2_loss"]
    assert fastbp.Network([3, 1], loss="huber").fit(X, y[1], epochs=1).head_losses == {}


def test_names_of_keras_get_advice():
    net = make_heads("class and count")
    X, y = samples_of(net, 6)
    history = net.fit(X, y, epochs=1, validation_data=(X, y))
    assert list(history) == ["loss", "validation_loss", *TWO, *VALIDATED]
    with pytest.raises(KeyError, match="did you mean 'validation_poisson_loss'"):
        history["val_poisson_loss"]


def test_losses_of_batches_are_before_their_steps(backend):
    net = make_heads("class and count", backend)
    X, y = samples_of(net, 25)
    w = weights_of(25)
    steps, of_steps = copy.deepcopy(net), []
    for i in range(0, 25, 7):
        rows = slice(i, i + 7)
        batch = X[rows], [target[rows] for target in y]
        of_steps.append(
            [alone(steps, k).loss_and_gradient(batch[0], batch[1][k], w[rows])[0] for k in (0, 1)]
        )
        steps.fit_step(*batch, sample_weight=w[rows], optimizer="adam")
    streamed = copy.deepcopy(net)
    history = net.fit(X, y, sample_weight=w, epochs=2, batch_size=7, shuffle=False, l2=0.0)
    for name, losses in zip(TWO, np.transpose(of_steps), strict=True):
        expected = in_batches(losses, w, 7)
        assert history[name][0] == pytest.approx(expected, rel=1e-12)
    other = streamed.fit_batches([(X, y, w)], epochs=2, batch_size=7)
    assert np.array_equal(together(streamed), together(net))
    assert other.head_losses == history.head_losses
    parts = [(X[i : i + 7], [t[i : i + 7] for t in y], w[i : i + 7]) for i in range(0, 25, 7)]
    penalised = copy.deepcopy(steps).fit_batches(parts, epochs=1, l2=0.1)
    whole = steps.fit(X, y, sample_weight=w, epochs=1, batch_size=7, shuffle=False, l2=0.1)
    for name in ["loss", *TWO]:
        assert penalised[name] == pytest.approx(whole[name], rel=1e-12)


def test_blocks_groups_and_threads_change_nothing(twins, monkeypatch):
    """Nor does the backend."""
    found = set()
    for backend in twins:
        for threads in (1, 3):
            net = make_heads("class and count", backend, "float32", (16,))
            X, y = samples_of(net, 9000)
            history = net.fit(X, y, epochs=2, batch_size=9000, threads=threads)
            found.add(str(history.head_losses))
    assert len(found) == 1
    whole = eval(found.pop())
    monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, 16))
    monkeypatch.setattr(Layout, "partition", lambda self, n: (16, 1))
    for backend in twins:
        net = make_heads("class and count", backend, "float32", (16,))
        losses = net.fit(X, y, epochs=2, batch_size=9000, validation_data=(X, y)).head_losses
        found.add(str(losses))
        for name in TWO:
            assert losses[name] == pytest.approx(whole[name], rel=1e-5)
    assert len(found) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_weight_zero_add_nothing(backend, dtype):
    """Even if their losses overflow."""
    net = make_heads("class and count", backend, dtype)
    X, y = samples_of(net, 9)
    w = np.ones(9)
    w[4] = 0
    before = copy.deepcopy(net)
    expected = net.fit(X, y, sample_weight=w, epochs=1).head_losses
    X[4] = 1e30
    history = before.fit(X, y, sample_weight=w, epochs=1, validation_data=(X, y, w))
    for name in TWO:
        assert history[name] == expected[name]
    assert np.isfinite(list(history.head_losses.values())).all()


def test_early_stopping_and_schedules_monitor_them():
    net = make_heads("class and count", "auto")
    X, y = samples_of(net, 30)
    how = {"validation_data": samples_of(net, 20, seed=9), "optimizer": fastbp.Adam(0.03)}
    history = net.fit(X, y, epochs=200, patience=3, monitor="validation_poisson_loss", **how)
    assert history.best_epoch == 1 + int(np.argmin(history["validation_poisson_loss"]))
    assert len(history.loss) == history.best_epoch + 3
    plateau = fastbp.ReduceOnPlateau(patience=1, monitor="cross_entropy_loss")
    assert len(net.fit(X, y, epochs=2, schedule=plateau).learning_rate) == 2
    with pytest.raises(ValueError, match="monitor must be one of loss, cross_entropy_loss, poiss"):
        net.fit(X, y, patience=1, monitor="quantile_loss")


def test_a_resumed_training_has_the_whole_history(tmp_path):
    nets = [make_heads("class and count", "auto") for _ in range(2)]
    X, y = samples_of(nets[0], 30)
    how = {"batch_size": 8, "validation_data": (X, y)}
    expected = nets[0].fit(X, y, epochs=4, **how)
    nets[1].fit(X, y, epochs=2, callbacks=[fastbp.Checkpoint(tmp_path)], **how)
    found = make_heads("class and count", "auto")
    latest = tmp_path / "epoch-000002.safetensors"
    history = found.fit(X, y, epochs=4, resume_from=latest, **how)
    assert history.head_losses == expected.head_losses
    assert np.array_equal(together(found), together(nets[0]))
    history = make_heads("class and count", "auto").fit(
        *(X, y), epochs=3, batch_size=8, resume_from=latest
    )
    assert [len(history[name]) for name in history] == [3, 2, 3, 3, 2, 2]


def test_validation_may_begin_when_a_training_resumes(tmp_path):
    net = make_heads("class and count", "auto")
    X, y = samples_of(net, 30)
    net.fit(X, y, epochs=2, callbacks=[fastbp.Checkpoint(tmp_path)])
    latest, net = tmp_path / "epoch-000002.safetensors", make_heads("class and count", "auto")
    history = net.fit(X, y, epochs=5, resume_from=latest, validation_data=(X, y))
    assert [len(history[name]) for name in history] == [5, 3, 5, 5, 3, 3]
    assert (
        history.to_pandas()["validation_poisson_loss"].isna().tolist() == [True] * 2 + [False] * 3
    )


def test_an_interrupted_epoch_is_in_none_of_the_lists():
    class Stop(fastbp.Callback):
        def epoch(self, network, history):
            if len(history.loss) == 3:
                raise KeyboardInterrupt

    net = make_heads("class and count", "auto")
    X, y = samples_of(net, 12)
    with pytest.warns(RuntimeWarning, match="interrupted"):
        history = net.fit(X, y, epochs=9, validation_data=(X, y), callbacks=[Stop()])
    assert {len(history[name]) for name in history} == {3}


def test_networks_in_threads():
    nets = [make_heads("class and count", "auto") for _ in range(2)]
    X, y = samples_of(nets[0], 20)
    single = copy.deepcopy(nets[0]).fit(X, y, epochs=2)
    for history in fastbp.fit_many(nets, X, y, epochs=2):
        assert history.head_losses == single.head_losses

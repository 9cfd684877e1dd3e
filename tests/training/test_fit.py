"""What `Network.fit` promises besides the mathematics: orders, seeds, histories, copies."""

import copy
import pickle
import threading

import numpy as np
import pytest
from helpers import (
    OPTIMIZERS,
    copy_parameters,
    error,
    flat,
    gradient_of,
    make_data,
    make_network,
    parameters,
)

import fastbp
from fastbp.training import sources

SIZES = [4, 6, 2]
N = 21


@pytest.fixture
def data():
    return make_data("squared_error", N, 4, 2)


def trained(backend, data, net=None, **options):
    """Parameters and history of a network after fit; its seed is 0."""
    net = net or make_network(SIZES, "squared_error", backend)
    options = {"epochs": 4, "batch_size": 5, **options}
    history = net.fit(*data, **options)
    return parameters(net), history


# Seeds and orders.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_seed_repeats(backend, data, dtype):
    def run(seed):
        net = fastbp.Network(SIZES, loss="squared_error", dtype=dtype, seed=seed, backend=backend)
        history = net.fit(*data, epochs=3, batch_size=5)
        return parameters(net), history.loss

    (weights, losses), (weights_2, losses_2) = run(7), run(7)
    assert np.array_equal(weights, weights_2)
    assert losses == losses_2
    assert not np.array_equal(weights, run(8)[0])


def test_initial_weights_do_not_depend_on_the_backend(backend):
    ref = fastbp.Network(SIZES, loss="squared_error", seed=3, backend="numpy")
    comp = fastbp.Network(SIZES, loss="squared_error", seed=3, backend=backend)
    assert np.array_equal(parameters(comp), parameters(ref))


def test_without_a_seed_networks_differ():
    one, other = (fastbp.Network(SIZES, loss="huber", backend="numpy") for _ in range(2))
    assert not np.array_equal(parameters(one), parameters(other))


@pytest.mark.parametrize(
    "activation, bounds",
    [
        ("tanh", [(6 / 500) ** 0.5, (6 / 220) ** 0.5]),
        ("relu", [(6 / 300) ** 0.5, (6 / 220) ** 0.5]),
    ],
)
def test_initial_weights(activation, bounds):
    """Uniform in the interval that the docstring of Network states."""
    net = fastbp.Network(
        [300, 200, 20], activation=activation, loss="huber", seed=0, backend="numpy"
    )
    for W, b, bound in zip(net.weights, net.biases, bounds, strict=True):
        assert 0.99 * bound < np.abs(W).max() <= bound * (1 + 1e-6)
        assert W.std() == pytest.approx(bound / 3**0.5, rel=0.03)
        assert not b.any()


def test_shuffling_draws_a_new_order_for_each_epoch(backend, data):
    """An epoch with a permutation is one over permuted data; the seed gives the permutations."""
    X, y = data
    w = np.linspace(0.1, 2, N)
    net = fastbp.Network(SIZES, loss="squared_error", dtype="float64", seed=9, backend=backend)
    random = copy.deepcopy(net._engine.random)
    ref = copy.deepcopy(net)
    plain = {"optimizer": fastbp.SGD(0.05), "batch_size": 5}
    net.fit(X, y, epochs=3, sample_weight=w, **plain)
    for _ in range(3):
        order = random.permutation(N)
        ref.fit(X[order], y[order], epochs=1, sample_weight=w[order], shuffle=False, **plain)
    assert error(parameters(net), parameters(ref)) < 1e-14


def test_without_shuffling_batches_come_in_order(backend, data):
    X, y = data
    net, ref = (make_network(SIZES, "squared_error", backend) for _ in range(2))
    net.fit(X, y, optimizer=fastbp.SGD(0.05), epochs=1, batch_size=8, shuffle=False)
    for rows in (slice(0, 8), slice(8, 16), slice(16, None)):
        ref.fit(X[rows], y[rows], optimizer=fastbp.SGD(0.05), epochs=1, batch_size=None)
    assert error(parameters(net), parameters(ref)) < 1e-14


def test_orders_drawn_in_several_calls(backend, data, monkeypatch):
    """How many epochs go into one call of the backend makes no difference."""
    ref, history = trained(backend, data)
    monkeypatch.setattr(sources, "ORDERED_ROWS", N)
    comp, history_2 = trained(backend, data)
    assert np.array_equal(comp, ref)
    assert history_2.loss == history.loss


@pytest.mark.parametrize("batch_size", [N, N + 1, 10**9])
def test_full_batch(backend, data, batch_size):
    """A batch size of None stands for all samples, and so does any that is not below them."""
    ref, history = trained(backend, data, batch_size=None)
    comp, history_2 = trained(backend, data, batch_size=batch_size, shuffle=False)
    assert np.array_equal(comp, ref)
    assert history_2.loss == history.loss


def test_one_step_is_the_gradient(backend, data):
    """w - η ∇ with the gradient that loss_and_gradient gives, sample weights included."""
    w = np.linspace(0, 2, N)
    net = make_network(SIZES, "squared_error", backend)
    before, gradient = parameters(net), gradient_of(net, *data, w)
    net.fit(*data, sample_weight=w, optimizer=fastbp.SGD(0.3), epochs=1, batch_size=None)
    assert error(parameters(net), before - 0.3 * gradient) < 1e-14


# Histories and validation.


def test_history(backend, data):
    """Losses by epoch, as they were before each step."""
    net = make_network(SIZES, "squared_error", backend)
    before = net.loss_and_gradient(*data)[0]
    history = net.fit(*data, optimizer=fastbp.SGD(0.01), epochs=5, batch_size=None)
    assert len(history.loss) == 5
    assert history.loss[0] == pytest.approx(before, rel=1e-13)
    assert history.loss == sorted(history.loss, reverse=True)
    assert history.validation_loss == []
    assert history.interrupted is False
    assert all(type(loss) is float for loss in history.loss)


def test_history_weights_batches_by_their_samples(backend, data):
    """The mean over an epoch is Σ w e / Σ w, not the mean of the batches' means."""
    X, y = data
    w = np.linspace(0, 5, N)
    net = make_network(SIZES, "squared_error", backend)
    losses = [
        net.loss_and_gradient(X[i : i + 8], y[i : i + 8], w[i : i + 8])[0] for i in (0, 8, 16)
    ]
    sums = [w[i : i + 8].sum() for i in (0, 8, 16)]
    optimizer = fastbp.SGD(1e-15)
    history = net.fit(
        X, y, sample_weight=w, optimizer=optimizer, epochs=1, batch_size=8, shuffle=False
    )
    assert history.loss[0] == pytest.approx(np.average(losses, weights=sums), rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_validation_loss(backend, data, weighted):
    validation = (*make_data("squared_error", 9, 4, 2, seed=8), np.linspace(0, 1, 9))
    validation = validation if weighted else validation[:2]
    net = make_network(SIZES, "squared_error", backend)
    ref = make_network(SIZES, "squared_error", backend)
    history = net.fit(*data, epochs=3, shuffle=False, batch_size=5, validation_data=validation)
    assert len(history.validation_loss) == len(history.loss) == 3
    for epochs in (1, 2, 3):
        ref = make_network(SIZES, "squared_error", backend)
        ref.fit(*data, epochs=epochs, shuffle=False, batch_size=5)
        expected = ref.loss_and_gradient(*validation)[0]
        assert history.validation_loss[epochs - 1] == pytest.approx(expected, rel=1e-12)


def test_validation_in_slices(backend, data, monkeypatch):
    """Large validation sets are taken in slices; all weights of a slice may be 0."""
    validation = (*make_data("squared_error", 9, 4, 2, seed=8), np.r_[np.zeros(4), np.ones(5)])
    options = {"validation_data": validation, "epochs": 2}
    ref = trained(backend, data, **options)[1]
    monkeypatch.setattr("fastbp.engine.engine.SLICE_FLOPS", 0)
    monkeypatch.setattr("fastbp.engine.engine.SLICE_ROWS", 2)
    comp = trained(backend, data, **options)[1]
    assert comp.validation_loss == pytest.approx(ref.validation_loss, rel=1e-13)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_epoch_by_epoch_is_the_same(backend, data, optimizer):
    """With validation data the backend is called once an epoch; state and steps go on."""
    batch_size = None if optimizer == "rprop" else 5
    options = {"optimizer": OPTIMIZERS[optimizer], "batch_size": batch_size, "l2": 0.01}
    ref, history = trained(backend, data, **options)
    comp, history_2 = trained(backend, data, validation_data=data, **options)
    assert np.array_equal(comp, ref)
    assert history_2.loss == history.loss


def test_progress(backend, data, capsys):
    """The bar goes to stderr and changes nothing."""
    ref, history = trained(backend, data)
    assert capsys.readouterr() == ("", "")
    comp, history_2 = trained(backend, data, progress=True, validation_data=data)
    out, err = capsys.readouterr()
    assert out == ""
    assert "4/4" in err and "loss=" in err and "validation_loss=" in err
    assert np.array_equal(comp, ref)
    assert history_2.loss == history.loss


# Divergence.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("validate", [False, True])
def test_divergence(backend, data, dtype, validate):
    net = make_network(SIZES, "squared_error", backend, dtype, activation="relu")
    before = parameters(net)
    with pytest.raises(fastbp.TrainingDiverged, match="smaller learning_rate") as caught:
        net.fit(
            *data,
            optimizer=fastbp.SGD(1e6),
            epochs=1000,
            batch_size=5,
            validation_data=data if validate else None,
        )
    comp = caught.value
    assert isinstance(comp, ArithmeticError)
    assert 1 <= comp.epoch <= 1000
    assert len(comp.history.loss) in (comp.epoch - 1, comp.epoch)
    assert all(np.isfinite(comp.history.loss))
    assert f"epoch {comp.epoch}" in str(comp)
    assert parameters(net).shape == before.shape
    assert not np.array_equal(parameters(net), before)


def test_divergence_in_the_last_step(backend, data):
    """Weights that stop being finite are reported even if no loss comes after them."""
    net = make_network(SIZES, "squared_error", backend, "float32", activation="relu")
    X, y = data
    with pytest.raises(fastbp.TrainingDiverged, match="weights are not finite") as caught:
        net.fit(1e10 * X, y, optimizer=fastbp.SGD(1e30), epochs=1, batch_size=None)
    assert caught.value.epoch == 1
    with pytest.raises(ValueError, match=r"network's weights\[\d\] has NaN or infinite"):
        net.predict(X)


WAYS_TO_DIVERGE = {
    "step": ({"optimizer": fastbp.SGD(1e30)}, 1e10),
    "weight decay": ({"optimizer": fastbp.AdamW(1e30, weight_decay=1e30)}, 1.0),
    "penalty": ({"optimizer": fastbp.SGD(1e30), "l2": 1e30}, 1.0),
}


@pytest.mark.parametrize("way", WAYS_TO_DIVERGE)
def test_network_can_be_mended_after_divergence(backend, data, way):
    """New weights and biases are all it takes."""
    ref = make_network(SIZES, "squared_error", backend, "float32", activation="relu")
    net = copy.deepcopy(ref)
    options, scale = WAYS_TO_DIVERGE[way]
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit(scale * data[0], data[1], epochs=9, batch_size=None, **options)
    copy_parameters(ref, net)
    assert np.array_equal(net.predict(data[0]), ref.predict(data[0]))
    assert np.array_equal(trained(backend, data, net)[0], trained(backend, data, ref)[0])


def test_network_can_be_mended_after_overflow_in_the_backward_pass(backend):
    """Deltas that overflow while the loss is finite."""
    net = make_network([3, 5, 5, 5, 2], "squared_error", backend, "float32")
    for W in net.weights:
        W[...] = 1e20
    net.biases[-1] = [1e15, 1e15]
    for b in net.biases[:-1]:
        b[...] = 0
    X, y = np.zeros((4, 3)), np.zeros((4, 2))
    with pytest.raises(fastbp.TrainingDiverged):
        net.fit(X, y, optimizer=fastbp.SGD(0.1), epochs=1)
    copy_parameters(make_network([3, 5, 5, 5, 2], "squared_error", backend, "float32"), net)
    assert np.isfinite(net.predict(X)).all()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_divergence_can_be_pickled(protocol):
    """As worker processes do to hand it to their parent."""
    ref = fastbp.TrainingDiverged(3, "the loss of a batch is nan", fastbp.History([1.0, 2.0]))
    comp = pickle.loads(pickle.dumps(ref, protocol))
    assert (comp.epoch, comp.history, str(comp)) == (ref.epoch, ref.history, str(ref))


# Batches without weight.


def test_batch_without_weight(backend, data):
    """A batch whose sample weights are all zero has a zero gradient and no part in the loss."""
    X, y = data
    w = np.r_[np.zeros(7), np.ones(N - 7)]
    net, ref = (make_network(SIZES, "squared_error", backend) for _ in range(2))
    options = {"optimizer": fastbp.SGD(0.05), "epochs": 2, "batch_size": 7, "shuffle": False}
    history = net.fit(X, y, sample_weight=w, **options)
    history_2 = ref.fit(X[7:], y[7:], **options)
    assert error(parameters(net), parameters(ref)) < 1e-14
    assert history.loss == pytest.approx(history_2.loss, rel=1e-13)


# Memory.


def test_plain_arrays_are_not_copied(backend, data, monkeypatch):
    """Contiguous arrays of the network's dtype reach the backend as they are."""
    net = make_network(SIZES, "squared_error", backend)
    w = np.linspace(0.1, 2, N)
    seen = {}
    for name in ("job", "loss_and_gradient", "predict"):
        original = getattr(net._engine.backend, name)

        def spy(*args, name=name, original=original, **options):
            seen[name] = args
            return original(*args, **options)

        monkeypatch.setattr(net._engine.backend, name, spy)
    net.fit(*data, sample_weight=w, epochs=1)
    net.loss_and_gradient(*data, w)
    net.predict(data[0])
    for name in ("job", "loss_and_gradient"):
        samples = seen[name][1]
        for array, given in (
            (data[0], samples.X),
            (data[1], samples.targets),
            (w, samples.sample_weight),
        ):
            assert np.shares_memory(given, array), name
    assert np.shares_memory(seen["predict"][1], data[0])
    labels = np.arange(N) % 2
    net = make_network(SIZES, "cross_entropy", backend)
    net.fit(data[0], labels, epochs=1)
    assert np.shares_memory(seen["job"][1].labels, labels)


def test_results_belong_to_the_caller(backend, data):
    """Predictions and gradients are new arrays; later calls leave them alone."""
    net = make_network(SIZES, "squared_error", backend)
    output, gradient = net.predict(data[0]), gradient_of(net, *data)
    _, views = net.loss_and_gradient(*data)
    ref = output.copy()
    net.fit(*data, epochs=2)
    net.predict(data[0][::-1])
    assert np.array_equal(output, ref)
    assert np.array_equal(flat([*views.weights, *views.biases]), gradient)


# Networks as values.


@pytest.mark.parametrize(
    "duplicate",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))],
    ids=["copy", "pickle"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_copies(backend, data, duplicate, dtype):
    """A copy predicts and trains alike, its random state included, and shares nothing."""
    net = make_network(SIZES, "squared_error", backend, dtype)
    trained(backend, data, net)
    comp = duplicate(net)
    assert comp.backend == backend
    assert np.array_equal(comp.predict(data[0]), net.predict(data[0]))
    before = parameters(net)
    weights, _ = trained(backend, data, comp)
    assert np.array_equal(parameters(net), before)
    assert np.array_equal(trained(backend, data, net)[0], weights)


def test_to_backend(backend, data):
    net = make_network(SIZES, "squared_error", "numpy")
    trained("numpy", data, net)
    comp = net.to_backend(backend)
    assert (comp.backend, net.backend) == (backend, "numpy")
    assert np.array_equal(parameters(comp), parameters(net))
    before = parameters(net)
    weights, _ = trained(backend, data, comp)
    assert np.array_equal(parameters(net), before)
    assert error(weights, trained("numpy", data, net)[0]) < 1e-12


def test_backend_from_the_environment(backend, monkeypatch):
    monkeypatch.setenv("FASTBP_BACKEND", backend)
    assert fastbp.Network(SIZES, loss="huber").backend == backend
    monkeypatch.setenv("FASTBP_BACKEND", "fortran")
    with pytest.raises(ValueError, match="FASTBP_BACKEND.*known: .*numpy"):
        fastbp.Network(SIZES, loss="huber")


def test_weights_and_biases(backend, data):
    """Views of the network's own numbers, which can be written to or replaced."""
    net = make_network(SIZES, "squared_error", backend)
    assert [w.shape for w in net.weights] == [(4, 6), (6, 2)]
    assert [b.shape for b in net.biases] == [(6,), (2,)]
    before = net.predict(data[0])
    net.weights[1] *= 2
    net.biases[1][:] *= 2
    assert error(net.predict(data[0]), 2 * before) < 1e-14
    new = np.arange(24).reshape(4, 6)
    net.weights[0] = new
    assert np.array_equal(net.weights[0], new)
    assert not np.shares_memory(net.weights[0], new)
    net.weights[-1] = np.zeros((6, 2))
    net.biases[-1] = [3, 4]
    assert np.array_equal(net.predict(data[0]), np.tile([3.0, 4.0], (N, 1)))
    assert len(net.weights) == 2 and [*net.biases][1] is not None


def test_repr_names_what_matters(backend):
    text = repr(make_network(SIZES, "squared_error", backend, activation="gelu"))
    for part in ("[4, 6, 2]", "gelu", "squared_error", "float64", backend):
        assert part in text


# Threads.


def test_two_networks_in_two_threads(backend):
    X, y = make_data("squared_error", 400, 4, 2)

    def work(seed, results):
        net = make_network([4, 30, 2], "squared_error", backend, seed=seed)
        history = net.fit(X, y, epochs=20, batch_size=20)
        results[seed] = (parameters(net), history.loss)

    serial, parallel = {}, {}
    for seed in (1, 2):
        work(seed, serial)
    threads = [threading.Thread(target=work, args=(seed, parallel)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in (1, 2):
        assert np.array_equal(parallel[seed][0], serial[seed][0])
        assert parallel[seed][1] == serial[seed][1]


def test_the_gil_is_released(compiled):
    """Python code goes on while one long call of the backend runs."""
    X, y = make_data("squared_error", 1000, 32, 1)
    net = make_network([32, 128, 1], "squared_error", compiled, "float32")
    net.fit(X, y, epochs=1)  # compiles
    thread = threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 400})
    seen = set()
    thread.start()
    while thread.is_alive():
        seen.add(float(net.weights[0][0, 0]))
    assert len(seen) > 3  # weights from before, from after, and from steps in between

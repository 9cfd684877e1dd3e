"""What a training writes to is its own: not a file's, a buffer's, a copy's, or the samples'."""

import copy
import pickle

import joblib
import numpy as np
import pytest
from helpers import copy_parameters, make_data, make_network, parameters

import fastbp
from fastbp.rules.regularizers import regularizers_of
from fastbp.training.run import Memory, Training

SIZES = [8, 8, 1]  # in float64 without padding, so that W_1 can be X as it is
X, y = make_data("squared_error", 40, 8, 1)
pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"
)  # few iterations do


def net_of(backend):
    return make_network(SIZES, "squared_error", backend)


def fit_batches(net):
    net.fit_batches([(X[:20], y[:20]), (X[20:], y[20:])])


def fit_steps(net):
    for i in range(3):
        net.fit_step(X[i : i + 4], y[i : i + 4])


def assigned(net):
    net.weights[0] = X[:8]
    net.biases[1][0] = 3.0


def gradient_steps(net):
    for i in range(3):
        net.apply_gradient(net.loss_and_gradient(X[i : i + 4], y[i : i + 4])[1])


# What changes a network.
WRITERS = {
    "fit": lambda net: net.fit(X, y, epochs=2, dropout=0.2, average=fastbp.EMA(0.9)),
    "swa": lambda net: net.fit(X, y, epochs=3, average=fastbp.SWA(start=2)),
    "early stopping": lambda net: net.fit(X, y, epochs=3, validation_data=(X, y), patience=1),
    "fit_batches": fit_batches,
    "fit_step": fit_steps,
    "apply_gradient": gradient_steps,
    "blend": lambda net: net.blend(make_network(SIZES, "squared_error", "numpy", seed=5), 0.3),
    "fit_many": lambda net: fastbp.fit_many([net], X, y, epochs=2),
    "levenberg_marquardt": lambda net: fastbp.levenberg_marquardt(net, X, y, max_evaluations=3),
    "assignment": assigned,
}


def mapped(net, folder):
    joblib.dump(net, folder / "net.joblib")
    return joblib.load(folder / "net.joblib", mmap_mode="r")


def from_bytes(net, folder):
    buffers = []
    data = pickle.dumps(net, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer.raw()) for buffer in buffers])


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kept", [mapped, from_bytes])
def test_read_only_parameters(backend, kept, writer, tmp_path):
    ref = net_of(backend)
    comp = kept(ref, tmp_path)
    WRITERS[writer](ref)
    WRITERS[writer](comp)
    assert parameters(comp).tobytes() == parameters(ref).tobytes()


def test_a_buffer_is_left_as_it_is(backend):
    ref, buffers = net_of(backend), []
    data = pickle.dumps(ref, protocol=5, buffer_callback=buffers.append)
    held = [bytearray(buffer.raw()) for buffer in buffers]  # not even read-only
    for _ in range(2):
        net = pickle.loads(data, buffers=held)
        assert parameters(net).tobytes() == parameters(ref).tobytes()
        net.fit(X, y, epochs=1)


def fitted(net):
    net.fit(X, y, epochs=2)
    return parameters(net)


@pytest.mark.serial
def test_joblib_processes(compiled):
    """To which arrays above `max_nbytes` go as read-only maps."""
    net = net_of(compiled)
    found = joblib.Parallel(n_jobs=2, max_nbytes=100)(joblib.delayed(fitted)(net) for _ in range(2))
    expected = fitted(net)
    assert [each.tobytes() for each in found] == [expected.tobytes()] * 2


@pytest.mark.parametrize("writer", WRITERS)
def test_shallow_copies(backend, writer):
    net = net_of(backend)
    before, state = parameters(net), net._engine.random.bit_generator.state
    ref = net_of(backend)
    comp = copy.copy(net)
    WRITERS[writer](comp)
    WRITERS[writer](ref)
    assert parameters(comp).tobytes() == parameters(ref).tobytes()
    assert parameters(net).tobytes() == before.tobytes()
    assert net._engine.random.bit_generator.state == state


@pytest.mark.serial
def test_a_network_and_its_copy_at_once(compiled):
    ref = net_of(compiled)
    nets = [net_of(compiled)]
    nets += [copy.copy(nets[0]) for _ in range(3)]
    fastbp.fit_many(nets, X, y, epochs=5, threads=4)
    ref.fit(X, y, epochs=5)
    for net in nets:
        assert parameters(net).tobytes() == parameters(ref).tobytes()


def test_buffers_of_the_wrong_size():
    engine = net_of("numpy")._engine
    state = engine.__getstate__()
    with pytest.raises(ValueError, match="shape"):
        engine.__setstate__({**state, "parameters": state["parameters"][:-8]})


# The samples may be the network's own weights; they are meant as they are before training.
ALIASES = {
    "fit": lambda net, X, y: net.fit(X, y, epochs=3, batch_size=4),
    "validation": lambda net, X, y: net.fit(X[:4], y[:4], epochs=3, validation_data=(X, y)),
    "fit_batches": lambda net, X, y: net.fit_batches([(X, y)], batch_size=2),
    "fit_step": lambda net, X, y: net.fit_step(X, y),
    "forward": lambda net, X, y: net.forward(X).backward(y),
    "fit_many": lambda net, X, y: fastbp.fit_many([net_of("numpy"), net], X, y, epochs=3),
}


@pytest.mark.parametrize("call", ALIASES)
def test_samples_that_are_the_networks_own_weights(backend, call):
    ref, comp = net_of(backend), net_of(backend)
    expected = ALIASES[call](ref, ref.weights[0].copy(), ref.weights[1].copy())
    found = ALIASES[call](comp, comp.weights[0], comp.weights[1])
    assert parameters(comp).tobytes() == parameters(ref).tobytes()
    assert repr(found) == repr(expected)


def test_weights_of_samples_that_are_the_networks_own(backend):
    nets = [net_of(backend) for _ in range(2)]
    for net in nets:
        net.biases[0] = np.arange(1, 9)
    X, y = make_data("squared_error", 8, 8, 1)
    nets[0].fit(X, y, epochs=3, sample_weight=nets[0].biases[0].copy())
    nets[1].fit(X, y, epochs=3, sample_weight=nets[1].biases[0])
    assert parameters(nets[0]).tobytes() == parameters(nets[1]).tobytes()


FLAWS = {
    "not aligned": lambda a: np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape),
    "strided": lambda a: np.zeros((*a.shape, 2))[..., 0],
    "too short": lambda a: a[..., :-1].copy(),
    "another dtype": lambda a: a.astype(np.float32),
}


@pytest.mark.parametrize("flaw", ["read-only", *FLAWS])
@pytest.mark.parametrize("what", ["parameters", "state"])
def test_arrays_that_compiled_code_would_crash_on(compiled, what, flaw):
    """They can be made by reaching into private attributes only."""
    net = net_of(compiled)
    memory = Memory.empty(fastbp.Adam(), net.layout)
    if flaw == "read-only":
        (net._engine.parameters if what == "parameters" else memory.state).flags.writeable = False
    elif what == "parameters":
        net._engine.parameters = FLAWS[flaw](net._engine.parameters)
    else:
        memory.state = FLAWS[flaw](memory.state)
    data, regularizers = net._engine.data(X, y, None), regularizers_of(2)
    with pytest.raises(ValueError, match=f"{what} must be a writable, aligned"):
        Training(net._engine, data, fastbp.Adam(), 8, regularizers, 1, memory)


# Estimators. Their coefs_ are views of a network's parameters, or the user's own arrays.


def partial_fit(estimator):
    return estimator.partial_fit(X, y.ravel())


def warm_fit(estimator):
    return estimator.set_params(warm_start=True).fit(X, y.ravel())


def regressor(**parameters):
    parameters = {"max_iter": 3, "tol": 1.0, "random_state": 0, **parameters}
    return fastbp.MLPRegressor(hidden_layer_sizes=(8,), **parameters).fit(X, y.ravel())


def coefficients(estimator):
    return b"".join(array.tobytes() for array in [*estimator.coefs_, *estimator.intercepts_])


@pytest.mark.parametrize(
    ("parameters", "writer"),
    [
        ({}, partial_fit),
        ({"solver": "sgd", "average": fastbp.EMA(0.9)}, warm_fit),
        ({"early_stopping": True}, warm_fit),
        ({"solver": "lbfgs", "max_iter": 200}, warm_fit),
    ],
    ids=["partial_fit", "average", "early stopping", "lbfgs"],
)
@pytest.mark.parametrize("kept", [mapped, from_bytes])
def test_read_only_estimators(kept, parameters, writer, tmp_path):
    ref = regressor(**parameters)
    comp = kept(ref, tmp_path)
    for _ in range(2):
        assert coefficients(writer(comp)) == coefficients(writer(ref))


@pytest.mark.parametrize("writer", [partial_fit, warm_fit])
def test_coefficients_replaced_by_read_only_arrays(writer):
    ref, comp = regressor(), regressor()
    for estimator in (ref, comp):
        estimator.coefs_[0] = np.linspace(-1, 1, 64).reshape(8, 8)
        estimator.intercepts_[0] = np.zeros(8)
    mine = comp.coefs_[0]
    mine.flags.writeable = comp.intercepts_[0].flags.writeable = False
    assert coefficients(writer(comp)) == coefficients(writer(ref))
    assert np.array_equal(mine, np.linspace(-1, 1, 64).reshape(8, 8))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_samples_that_are_the_estimators_own_coefficients(solver):
    ref, comp = regressor(solver=solver), regressor(solver=solver)
    for estimator in (ref, comp):
        estimator.set_params(warm_start=True, max_iter=5, batch_size=3)
    ref.fit(ref.coefs_[0].copy(), ref.coefs_[1].copy().ravel())
    comp.fit(comp.coefs_[0], comp.coefs_[1].ravel())
    assert coefficients(comp) == coefficients(ref)


def test_mapped_samples(backend, tmp_path):
    """Which are only read."""
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    files = [np.load(tmp_path / name, mmap_mode="r") for name in ("X.npy", "y.npy")]
    ref, comp = net_of(backend), net_of(backend)
    ref.fit(X, y, epochs=2)
    comp.fit(*files, epochs=2)
    assert parameters(comp).tobytes() == parameters(ref).tobytes()


def test_parameters_of_a_view(backend):
    """A view that is made read-only is the user's; the network goes on."""
    ref, comp = net_of(backend), net_of(backend)
    copy_parameters(ref, comp)
    comp.weights[0].flags.writeable = False
    ref.fit(X, y, epochs=1)
    comp.fit(X, y, epochs=1)
    assert parameters(comp).tobytes() == parameters(ref).tobytes()

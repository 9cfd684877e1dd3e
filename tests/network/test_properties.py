"""What holds for any network and any data, tried on random ones."""

import numpy as np
import pytest
from helpers import ACTIVATIONS, DTYPES, TARGETS, error, gradient_of, make_targets
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp

pytestmark = pytest.mark.nojit

every_time_the_same = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, print_blob=False
)

# Between backends, and between two orders of the same sum; relative to the largest entry.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


@st.composite
def problems(draw, losses=tuple(TARGETS), dtypes=tuple(DTYPES)):
    """A network (on the reference backend) and data for it."""
    loss = draw(st.sampled_from(losses))
    kind = draw(st.sampled_from(TARGETS[loss]))
    hidden = draw(st.lists(st.integers(1, 35), max_size=3))
    n_outputs = draw(st.integers(2 if loss == "cross_entropy" else 1, 20))
    sizes = [draw(st.integers(1, 20)), *hidden, n_outputs]
    names = [draw(st.sampled_from(ACTIVATIONS)) for _ in hidden]
    seed = draw(st.integers(0, 2**32))
    net = fastbp.Network(
        sizes,
        activation=names,
        loss=loss,
        dtype=draw(st.sampled_from(dtypes)),
        seed=seed,
        backend="numpy",
    )
    rng = np.random.default_rng(seed)
    for b in net.biases:
        b[...] = rng.uniform(-1, 1, b.shape)
    n = draw(st.integers(1, 20))
    X = rng.standard_normal((n, sizes[0])) * draw(st.sampled_from([0.0, 0.1, 1.0, 3.0]))
    y = make_targets(kind, n, n_outputs, rng)
    return net, X, y


@given(problem=problems())
@every_time_the_same
def test_parity(compiled, problem):
    net, X, y = problem
    other = net.to_backend(compiled)
    tolerance = TOLERANCE[net.layout.dtype.name]
    assert error(other.predict(X), net.predict(X)) < tolerance
    assert error(other.loss_and_gradient(X, y)[0], net.loss_and_gradient(X, y)[0]) < tolerance
    assert error(gradient_of(other, X, y), gradient_of(net, X, y)) < tolerance


@given(problem=problems())
@every_time_the_same
def test_outputs_are_in_range(backend, problem):
    net, X, _ = problem
    h = net.to_backend(backend).predict(X)
    assert h.shape == (len(X), net.layout.sizes[-1])
    assert h.dtype == net.layout.dtype
    assert np.isfinite(h).all()
    if net.loss in ("log_loss", "cross_entropy"):
        assert (h >= 0).all() and (h <= 1).all()
    if net.loss == "cross_entropy":
        assert h.sum(axis=1) == pytest.approx(np.ones(len(X)), abs=2e-6)
    if net.loss == "poisson":
        assert (h >= 0).all()


@given(problem=problems())
@every_time_the_same
def test_losses_are_not_negative(backend, problem):
    net, X, y = problem
    loss = net.to_backend(backend).loss_and_gradient(X, y)[0]
    assert loss >= -1e-5 * max(1.0, np.abs(net.predict(X)).max())


@given(problem=problems(dtypes=("float64",)))
@every_time_the_same
def test_gradient_of_the_mean_is_the_mean_of_the_gradients(backend, problem):
    net, X, y = problem
    net = net.to_backend(backend)
    single = [gradient_of(net, X[i : i + 1], y[i : i + 1]) for i in range(len(X))]
    ref = np.mean(single, axis=0)
    scale = np.abs(single).max() or 1.0
    assert np.abs(gradient_of(net, X, y) - ref).max() < 1e-13 * scale


@given(problem=problems(dtypes=("float64",)), data=st.data())
@every_time_the_same
def test_order_of_the_samples_does_not_matter(backend, problem, data):
    net, X, y = problem
    net = net.to_backend(backend)
    order = data.draw(st.permutations(range(len(X))))
    loss, permuted = net.loss_and_gradient(X, y)[0], net.loss_and_gradient(X[order], y[order])[0]
    assert permuted == pytest.approx(loss, rel=1e-12, abs=1e-12)
    assert np.array_equal(net.predict(X[order]), net.predict(X)[order]) or backend == "numpy"


@given(problem=problems(dtypes=("float64",)), data=st.data())
@every_time_the_same
def test_a_weight_of_k_is_k_repetitions(backend, problem, data):
    net, X, y = problem
    net = net.to_backend(backend)
    counts = data.draw(st.lists(st.integers(0, 3), min_size=len(X), max_size=len(X)).filter(any))
    repeated = np.repeat(np.arange(len(X)), counts)
    loss, ref = (
        net.loss_and_gradient(X[repeated], y[repeated])[0],
        gradient_of(net, X[repeated], y[repeated]),
    )
    assert net.loss_and_gradient(X, y, counts)[0] == pytest.approx(loss, rel=1e-12, abs=1e-12)
    assert np.abs(gradient_of(net, X, y, counts) - ref).max() < 1e-12 * max(1, np.abs(ref).max())


@given(problem=problems(), factor=st.sampled_from([1e-3, 0.5, 7.0, 1e6]))
@every_time_the_same
def test_only_the_ratios_of_sample_weights_count(backend, problem, factor):
    net, X, y = problem
    net = net.to_backend(backend)
    w = np.linspace(0.5, 2, len(X))
    tolerance = TOLERANCE[net.layout.dtype.name]
    loss = net.loss_and_gradient(X, y, w)[0]
    assert net.loss_and_gradient(X, y, factor * w)[0] == pytest.approx(loss, rel=tolerance)
    assert error(gradient_of(net, X, y, factor * w), gradient_of(net, X, y, w)) < tolerance

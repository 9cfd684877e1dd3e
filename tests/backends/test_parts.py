"""The parts of a step on their own (forward, backward, update) against the step in one piece.

They are the same kernels, so the bits have to be the same. All batches have a power of two of rows:
then it makes no difference whether deltas are divided by their number early or late.
"""

import gc
import itertools

import numpy as np
import pytest
from helpers import DTYPES, LOSSES_AND_TARGETS, OPTIMIZERS, error, make_data, make_network
from job_helpers import NATURAL, RATES, STEPS, Parts

import fastbp
from fastbp.basis import spec
from fastbp.basis.layout import Layout, S, layer_view, views
from fastbp.rules.regularizers import regularizers_of

# Sizes of the network and rows of a batch: a power of two, division by which rounds nothing.
SHAPES = {
    "one row": ([4, 5, 2], 1),
    "single output": ([6, 19, 1], 8),
    "a single weight": ([1, 1], 4),
    "no hidden layer": ([9, 3], 8),
    "single output, no hidden layer": ([17, 1], 16),
    "narrow middle": ([6, 19, 1, 18, 3], 8),
    "wide": ([20, 130, 35, 11], 32),
}
OPTIONS = {
    "plain": {},
    "clipped": {"clip_norm": 0.05},
    "penalties": {"l1": 0.01, "l2": 0.02},
    "frozen": {"frozen": [0]},
    "average": {"average": fastbp.EMA(0.9)},
    "all": {"clip_norm": 0.2, "l1": 0.01, "l2": 0.02, "average": fastbp.EMA(0.8)},
    "sklearn": {"l1": 0.01, "l2": 0.3, "sklearn_penalties": True},
}


def problem(backend, shape, loss, dtype, kind=None, activation="gelu"):
    sizes, n = SHAPES[shape]
    if loss == "cross_entropy":
        sizes = [*sizes[:-1], max(sizes[-1], 2)]
    net = make_network(sizes, loss, backend, dtype, activation)
    return net, *make_data(loss, n, sizes[0], sizes[-1], kind=kind)


def twins(backend, shape, loss, dtype, optimizer, options, **how):
    """Two networks that are the same, each with its job."""
    activation = how.pop("activation", "gelu")
    kind = how.pop("kind", None)
    made = []
    for _ in range(2):
        net, X, y = problem(backend, shape, loss, dtype, kind, activation)
        regularizers = regularizers_of(len(net.weights), **options)
        made.append(Parts(net, X, y, optimizer, regularizers, **how))
    return made


def own_deltas(parts, loss):
    """∂e/∂s_m from the output, as the mathematics says."""
    if loss == "squared_error":
        return lambda out: out - parts.data.targets
    one_hot = np.eye(parts.net.layout.sizes[-1], dtype=parts.net.layout.dtype)
    return lambda out: out - one_hot[parts.data.labels]


def deltas_of_loss(net, X, y):
    """∂e/∂s_m as the backend computes it for each sample."""
    units = net._engine.per_sample(net._engine.data(X, y), units=True).units
    return np.ascontiguousarray(units[:, -net.layout.sizes[-1] :])


GRID = [
    (shape, dtype, loss, optimizer, options)
    for (shape, dtype, loss), optimizer, options in zip(
        itertools.product(SHAPES, DTYPES, ["squared_error", "cross_entropy"]),
        itertools.cycle(OPTIMIZERS),
        itertools.cycle(OPTIONS),
        strict=False,
    )
    if not (options == "frozen" and len(SHAPES[shape][0]) == 2)  # one layer at least has to learn
]


@pytest.mark.nojit
@pytest.mark.parametrize(("shape", "dtype", "loss", "optimizer", "options"), GRID)
def test_a_step_from_own_deltas(backend, shape, dtype, loss, optimizer, options):
    whole, parts = twins(backend, shape, loss, dtype, OPTIMIZERS[optimizer], OPTIONS[options])
    whole.run()
    for rate in RATES.tolist():
        parts.step_by_parts(own_deltas(parts, loss), rate)
    assert parts.bits() == whole.bits()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("options", OPTIONS)
def test_each_optimizer_with_each_rule(backend, optimizer, options):
    optimizer, options = OPTIMIZERS[optimizer], OPTIONS[options]
    whole, parts = twins(backend, "narrow middle", "squared_error", "float32", optimizer, options)
    whole.run()
    for rate in RATES.tolist():
        parts.step_by_parts(own_deltas(parts, "squared_error"), rate)
    assert parts.bits() == whole.bits()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "kind"), LOSSES_AND_TARGETS)
@pytest.mark.parametrize("activation", spec.ACTIVATIONS)
def test_each_loss_and_activation(backend, loss, kind, activation, dtype):
    how = {"kind": kind, "activation": activation}
    optimizer = OPTIMIZERS["adam"]
    whole, parts = twins(backend, "narrow middle", loss, dtype, optimizer, {}, **how)
    _, X, y = problem(backend, "narrow middle", loss, dtype, kind)
    whole.run()
    for rate in RATES.tolist():
        deltas = deltas_of_loss(parts.net, X, y)
        parts.step_by_parts(lambda out, deltas=deltas: deltas, rate)
    assert parts.bits() == whole.bits()


@pytest.mark.parametrize("dtype", DTYPES)
def test_denormal_numbers(compiled, dtype):
    """The parts take h_1 for zeros, as the whole step does; exactly, it would count in s_2."""
    how = {"activation": "relu"}
    whole, parts = twins(compiled, "wide", "squared_error", dtype, fastbp.SGD(), {}, **how)
    tiny = np.finfo(dtype).tiny
    for net in (whole.net, parts.net):
        net.weights[0], net.weights[1] = net.weights[0] * tiny, net.weights[1] / (100 * tiny)
        net.biases[0] = np.zeros(130)
    assert not np.array_equal(parts.forward(), parts.net.predict(parts.data.X))
    whole.run()
    for rate in RATES.tolist():
        parts.step_by_parts(own_deltas(parts, "squared_error"), rate)
    assert parts.bits() == whole.bits()


@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_change_the_rounding_only(backend, dtype):
    optimizer = OPTIMIZERS["nesterov"]
    whole, parts = twins(backend, "wide", "squared_error", dtype, optimizer, {}, block=16)
    whole.run()
    for rate in RATES.tolist():
        parts.step_by_parts(own_deltas(parts, "squared_error"), rate)
    ref, comp = (net._engine.parameters for net in (whole.net, parts.net))
    assert error(comp, ref) < {"float32": 1e-6, "float64": 1e-14}[dtype]


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_the_parts_give(backend, shape, loss, dtype):
    """The same numbers as the functions that have been there before; s_m stays."""
    net, X, y = problem(backend, shape, loss, dtype)
    parts = Parts(net, X, y, fastbp.SGD())
    n, m = len(X), len(net.weights)
    units = net._engine.per_sample(parts.data, units=True).units
    deltas = deltas_of_loss(net, X, y)
    errors, gradient = np.empty_like(parts.data.X), net.layout.zeros(net.layout.n_parameters)
    assert np.array_equal(parts.forward(), net.predict(X))
    for factor in (4, 1):  # the first call leaves nothing behind that the second one reads
        parts.backward(factor * deltas, gradient, errors)
    assert np.array_equal(errors, net.input_gradient(X, y))
    first = -4 * net.layout.sizes[-1]
    s = layer_view(net.layout.plan, parts.workspace, n, m, S)
    assert np.array_equal(s, units[:, first : first + net.layout.sizes[-1]])
    _, ref = net.loss_and_gradient(X, y)
    weights, biases, *_ = views(net.layout.plan, gradient / gradient.dtype.type(n))
    for comp, expected in zip([*weights, *biases], [*ref.weights, *ref.biases], strict=True):
        assert np.array_equal(comp, expected)
    padded = gradient.copy()
    net.layout.clear_padding(padded)
    assert np.array_equal(gradient, padded)


@pytest.mark.nojit
def test_either_of_gradient_and_errors(backend):
    net, X, y = problem(backend, "narrow middle", "huber", "float64")
    parts = Parts(net, X, y, fastbp.SGD())
    parts.forward()
    deltas = deltas_of_loss(net, X, y)
    both, errors = net.layout.zeros(net.layout.n_parameters), np.empty_like(parts.data.X)
    parts.backward(deltas, both, errors)
    alone = np.empty_like(errors)
    parts.backward(deltas, np.empty(0), alone)
    parts.transposed = net.layout.zeros(net.layout.n_transposed)  # enough without errors
    parts.backward(deltas)
    assert np.array_equal(parts.gradient, both)
    assert np.array_equal(alone, errors)


def test_backends_agree(backend):
    """About a step, up to rounding; the reference defines it."""
    results = []
    for name in ("numpy", backend):
        net, X, y = problem(name, "wide", "squared_error", "float64")
        regularizers = regularizers_of(len(net.weights), **OPTIONS["all"])
        parts = Parts(net, X, y, OPTIMIZERS["adam"], regularizers)
        parts.step_by_parts(own_deltas(parts, "squared_error"), 0.01)
        results.append(parts)
    ref, comp = results
    assert error(comp.net._engine.parameters, ref.net._engine.parameters) < 1e-13
    assert error(comp.average, ref.average) < 1e-13


def test_update_in_a_job_for_several_threads(compiled):
    """All threads' counters go on alike."""
    ref, comp = (
        Parts(*problem(compiled, "wide", "squared_error", "float32"), fastbp.Adam(), threads=n)
        for n in (1, 3)
    )
    for parts in (ref, comp):
        parts.step_by_parts(own_deltas(parts, "squared_error"), 0.01)
    assert comp.bits() == ref.bits()
    assert (comp.counters == ref.counters[0]).all()


@pytest.mark.nojit
def test_one_rate_for_all_steps(backend):
    one, each = twins(backend, "one row", "squared_error", "float64", fastbp.Adam(), {})
    assert one.run(np.array([0.02])).tobytes() == each.run(np.full(STEPS, 0.02)).tobytes()
    assert one.bits() == each.bits()


@pytest.mark.nojit
def test_taking_other_data(backend):
    """As a job of its own would do it."""
    optimizer = OPTIMIZERS["momentum"]
    one, other = twins(backend, "wide", "squared_error", "float64", optimizer, {})
    X, y = make_data("squared_error", 8, 20, 11, seed=1)  # fewer than in the first batches
    for parts in (one, other):
        parts.run()
    one.job.take(one.net._engine.data(X, y))
    one.run()
    again = Parts(other.net, X, y, optimizer)
    again.state[...], again.counters[...] = other.state, other.counters
    again.run()
    assert one.bits() == again.bits()


def test_a_job_keeps_its_arrays(backend):
    """They may be used nowhere else."""
    ref, comp = twins(backend, "wide", "squared_error", "float64", fastbp.Adam(), OPTIONS["all"])
    ref.run()
    expected, n_parameters = ref.net._engine.parameters.tobytes(), ref.net.layout.n_parameters
    job, parameters = comp.job, comp.net._engine.parameters
    del comp
    gc.collect()
    litter = [np.full(size, np.nan) for size in (3, 6, 16, 300, n_parameters) for _ in range(50)]
    assert job.run(NATURAL, STEPS, RATES, np.zeros(STEPS), 0) == STEPS
    assert parameters.tobytes() == expected
    assert litter


def test_plans_of_a_layout_that_keeps_more(backend):
    """`forward` puts s_i beside h_i if the plan has a place for it."""
    net, X, y = problem(backend, "narrow middle", "squared_error", "float32", activation="tanh")
    parts = Parts(net, X, y, fastbp.SGD())
    sizes, activations = net.layout.sizes, net.layout.activations
    layout = Layout(sizes, activations, net.layout.dtype, separate=True)
    parts.model = parts.model._replace(plan=layout.plan)
    parts.workspace = layout.zeros(layout.workspace_size(len(X)))
    parts.forward()
    units, at = net._engine.per_sample(parts.data, units=True).units, 0
    for i, size in enumerate(sizes[1:], start=1):
        s = layer_view(layout.plan, parts.workspace, len(X), i, S)
        assert np.array_equal(s, units[:, at : at + size])
        at += 4 * size

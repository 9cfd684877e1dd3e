"""Every backend against the NumPy reference, and the two compiled ones bit for bit.

The grid goes through all pairs of activation and loss in both precisions, and cycles through
optimisers, shapes, sample weights and L2 penalties so that each meets the others; then through
all pairs of optimiser and shape.
"""

import functools
import importlib
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import (
    ACTIVATIONS,
    DTYPES,
    LOSSES_AND_TARGETS,
    OPTIMIZERS,
    error,
    flat,
    make_data,
    make_network,
    outputs_for,
    parameters,
)

from fastbp import backends
from fastbp.basis.layout import Layout

# Largest difference from the reference, relative to the largest entry: of predictions, losses
# and gradients, and of weights after some steps.
ONE_PASS = {"float32": 2e-6, "float64": 1e-14}
TRAINED = {"float32": 2e-5, "float64": 1e-13}
STEPPED = {"weights after a step", "losses", "weights"}
EPOCHS = 2

# Sizes (the last is the wanted number of outputs), samples, batch size.
SHAPES = {
    "ragged tail": ([5, 7, 3], 23, 8),
    "width 1": ([1, 1, 1], 6, 4),
    "one row": ([4, 5, 2], 1, 1),
    "batches of one": ([3, 6, 1], 5, 1),
    "one feature": ([1, 9, 2], 12, 5),
    "whole vectors": ([16, 32, 16], 32, 16),
    "17 and 33 wide": ([17, 33, 17, 5], 35, 17),
    "narrow middle": ([6, 19, 1, 18, 3], 14, 6),
    "deep": ([4, 6, 5, 6, 5, 6, 5, 2], 15, 7),
    "no hidden layer": ([9, 3], 20, 9),
    "wide": ([40, 130, 70, 11], 50, 50),
    "many outputs": ([3, 4, 67], 13, 6),
}


@dataclass(frozen=True)
class Case:
    activation: str
    loss: str
    kind: str
    optimizer: str
    shape: str
    dtype: str
    weighted: bool
    l2: float

    def __str__(self):
        extras = ["weighted"] * self.weighted + ["l2"] * (self.l2 > 0)
        names = [self.activation, self.loss, self.kind, self.optimizer, self.shape, self.dtype]
        return "-".join([*names, *extras]).replace(" ", "_")


def grid():
    """See the module's docstring."""
    optimizers, shapes = list(OPTIMIZERS), list(SHAPES)
    count = 0
    for i, activation in enumerate(ACTIVATIONS):
        for j, (loss, kind) in enumerate(LOSSES_AND_TARGETS):
            for dtype in DTYPES:
                yield Case(
                    activation,
                    loss,
                    kind,
                    optimizers[(i + 3 * j) % len(optimizers)],
                    shapes[(5 * i + j) % len(shapes)],
                    dtype,
                    count % 3 == 0,
                    0.02 if count % 5 < 2 else 0.0,
                )
                count += 1
    for i, optimizer in enumerate(optimizers):
        for j, shape in enumerate(shapes):
            loss, kind = LOSSES_AND_TARGETS[count % len(LOSSES_AND_TARGETS)]
            yield Case(
                ACTIVATIONS[(i + 2 * j) % len(ACTIVATIONS)],
                loss,
                kind,
                optimizer,
                shape,
                DTYPES[(i + j) % 2],
                count % 2 == 0,
                0.02 if count % 3 == 0 else 0.0,
            )
            count += 1


CASES = list(grid())


def test_the_grid_is_covered():
    """Each value of each factor occurs in both precisions."""
    pairs = {(value, case.dtype) for case in CASES for value in vars(case).values()}
    for values in (ACTIVATIONS, OPTIMIZERS, SHAPES, [True, False], [0.0, 0.02]):
        assert {(value, dtype) for value in values for dtype in DTYPES} <= pairs
    assert {(c.activation, c.loss, c.kind) for c in CASES} >= {
        (a, *pair) for a in ACTIVATIONS for pair in LOSSES_AND_TARGETS
    }
    assert {(c.optimizer, c.shape) for c in CASES} >= {(o, s) for o in OPTIMIZERS for s in SHAPES}


def problem(case, backend):
    """The case's network, data and batch size."""
    sizes, n, batch_size = SHAPES[case.shape]
    sizes = [*sizes[:-1], outputs_for(case.loss, sizes[-1])]
    net = make_network(sizes, case.loss, backend, case.dtype, case.activation, seed=3)
    X, y = make_data(case.loss, n, sizes[0], sizes[-1], seed=4, kind=case.kind)
    w = None
    if case.weighted:
        w = np.random.default_rng(5).uniform(0.1, 2, n)
        w[n // 2] = 0 if n > 1 else 0.7
    return net, X, y, w, batch_size


def run(case, backend):
    """Name -> numbers: one pass over the data, one step, and some epochs of steps."""
    net, X, y, w, batch_size = problem(case, backend)
    loss, gradient = net.loss_and_gradient(X, y, w)
    found = {
        "prediction": net.predict(X),
        "loss": loss,
        "gradient": flat([*gradient.weights, *gradient.biases]),
    }
    rprop = case.optimizer == "rprop"
    options = {
        "optimizer": OPTIMIZERS[case.optimizer],
        "batch_size": None if rprop else batch_size,
        "sample_weight": w,
        "l2": case.l2,
    }
    first = slice(0, len(X) if rprop else batch_size)
    of_first = {**options, "sample_weight": None}  # the first batch's may all be zero
    net.fit(X[first], y[first], epochs=1, **of_first)
    found["weights after a step"] = parameters(net)
    net = problem(case, backend)[0]
    history = net.fit(X, y, epochs=5 if rprop else EPOCHS, **options)
    found["losses"] = np.array(history.loss)
    found["weights"] = parameters(net)
    return found


reference = functools.cache(functools.partial(run, backend="numpy"))


def assert_close(case, comp, ref):
    for name in ref:
        tolerance = TRAINED if name in STEPPED else ONE_PASS
        assert error(comp[name], ref[name]) < tolerance[case.dtype], name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reference(compiled, case):
    assert_close(case, run(case, compiled), reference(case))


@pytest.mark.nojit
@pytest.mark.parametrize("case", CASES[:: len(CASES) // 40], ids=str)
def test_reference_on_a_selection(compiled, case):
    assert_close(case, run(case, compiled), reference(case))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cython_and_numba_give_the_same_bits(twins, case):
    one, other = (run(case, name) for name in twins)
    assert [name for name in one if not np.array_equal(one[name], other[name])] == []


@pytest.mark.parametrize("build", ["baseline", "avx2", "avx512"])
@pytest.mark.parametrize("case", CASES[::5], ids=str)
def test_cython_builds_give_the_same_bits(cython, case, build, monkeypatch):
    """Vector width does not show; a build without fused multiply-adds only has to be close."""
    from fastbp.backends import _cpu

    if build not in _cpu.supported():
        pytest.skip(f"this processor does not run {build}")
    ref = run(case, cython)
    ending = {"float32": "f4", "float64": "f8"}[case.dtype]
    module = importlib.import_module(f"fastbp.backends._kernels_{build}_{ending}")
    monkeypatch.setitem(backends.get(cython).KERNELS, np.dtype(case.dtype), module)
    comp = run(case, cython)
    if module.HAS_FMA:
        assert [name for name in ref if not np.array_equal(comp[name], ref[name])] == []
    else:
        assert_close(case, comp, ref)


@pytest.mark.parametrize("rows", [16, 48])
@pytest.mark.parametrize("case", CASES[::7], ids=str)
def test_block_size_does_not_matter(compiled, case, rows, monkeypatch):
    """Blocks of any size change the order of sums only; the twins agree on each size."""
    ref = run(case, compiled)
    monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, rows))
    comp = run(case, compiled)
    assert_close(case, comp, ref)


@pytest.mark.parametrize("rows", [16, 48])
@pytest.mark.parametrize("case", CASES[::7], ids=str)
def test_twins_agree_on_blocks(twins, case, rows, monkeypatch):
    monkeypatch.setattr(Layout, "block_rows", lambda self, n: min(n, rows))
    ref, comp = (run(case, backend) for backend in twins)
    assert [name for name in ref if not np.array_equal(comp[name], ref[name])] == []


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_many_steps(compiled, optimizer, dtype):
    """Rounding grows slowly where training converges."""
    weights = []
    for backend in ("numpy", compiled):
        net = make_network([6, 20, 10, 1], "squared_error", backend, dtype)
        X, _ = make_data("squared_error", 100, 6, 1)
        y = np.sin(X[:, :1]) + X[:, 1:2] / 2
        net.fit(X, y, optimizer=OPTIMIZERS[optimizer], epochs=100, batch_size=10)
        weights.append(parameters(net))
    assert error(weights[1], weights[0]) < {"float32": 2e-3, "float64": 1e-10}[dtype]


# What the samples may come as; each is made from a float64 array.


def _read_only(X, folder):
    X = X.copy()
    X.flags.writeable = False
    return X


def _strided(X, folder):
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan)
    wide[::2, ::3] = X
    return wide[::2, ::3]


def _memory_mapped(X, folder):
    np.save(folder / "X.npy", X)
    return np.load(folder / "X.npy", mmap_mode="r")


def _unaligned(X, folder):
    return np.frombuffer(b"x" + X.tobytes(), offset=1).reshape(X.shape)


FORMS = {
    "read-only": _read_only,
    "fortran": lambda X, folder: np.asfortranarray(X),
    "strided": _strided,
    "reversed": lambda X, folder: X[::-1, ::-1].copy()[::-1, ::-1],
    "memory-mapped": _memory_mapped,
    "unaligned": _unaligned,
    "big-endian": lambda X, folder: X.astype(">f8"),
    "half precision": lambda X, folder: X.astype(np.float16),
    "integers": lambda X, folder: X.astype(int),
    "unsigned": lambda X, folder: np.abs(X).astype(np.uint8),
    "booleans": lambda X, folder: X > 0,
    "objects": lambda X, folder: X.astype(object),
    "lists": lambda X, folder: X.tolist(),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_input(backend, form, dtype, tmp_path):
    """Samples, targets and sample weights of any kind give what plain arrays give."""
    X, y = make_data("squared_error", 11, 4, 2)
    X, y = 3 * X, 3 * y
    w = np.arange(1.0, 12.0)
    shaped, targets = FORMS[form](X, tmp_path), FORMS[form](y, tmp_path)
    weights = np.ravel(FORMS[form](w[:, None], tmp_path))
    plain = [np.array(a, dtype, order="C") for a in (shaped, targets, weights)]
    before = [a.copy() for a in plain]

    def results(X, y, w):
        net = make_network([4, 5, 2], "squared_error", backend, dtype)
        net.fit(X, y, sample_weight=w, epochs=2, batch_size=4)
        return net.predict(X), net.loss_and_gradient(X, y, w)[0], parameters(net)

    for comp, ref in zip(results(shaped, targets, weights), results(*plain), strict=True):
        assert np.array_equal(comp, ref)
    for array, original in zip(plain, before, strict=True):
        assert np.array_equal(array, original)


@pytest.mark.parametrize("kind", [np.int8, np.uint64, float, object, bool, list])
def test_forms_of_labels(backend, kind):
    X, y = make_data("cross_entropy", 12, 3, 2)
    net = make_network([3, 4, 2], "cross_entropy", backend)
    ref = net.loss_and_gradient(X, y)[0]
    labels = y.tolist() if kind is list else y.astype(kind)
    assert net.loss_and_gradient(X, labels)[0] == ref


def test_one_column_may_be_flat(backend):
    X, y = make_data("log_loss", 12, 3, 1)
    net = make_network([3, 4, 1], "log_loss", backend)
    assert net.loss_and_gradient(X, y.ravel())[0] == net.loss_and_gradient(X, y)[0]


@pytest.mark.nojit
def test_labels_and_one_hot_rows_agree(backend):
    X, y = make_data("cross_entropy", 12, 3, 4)
    net = make_network([3, 4, 4], "cross_entropy", backend)
    loss, gradient = net.loss_and_gradient(X, y)
    loss_2, gradient_2 = net.loss_and_gradient(X, np.eye(4)[y])
    assert loss_2 == loss
    assert np.array_equal(flat(gradient_2.weights), flat(gradient.weights))


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 15, 16, 17, 200])
def test_finite(backend, dtype, size):
    finite = backends.get(backend).finite
    largest = np.full(size, np.finfo(dtype).max, dtype)
    largest[::2] *= -1
    assert finite(largest) and finite(np.full(size, 1e-40, dtype)) and finite(largest[:0])
    assert finite(np.ones((size, 3), dtype))
    for bad in (np.nan, np.inf, -np.inf):
        for place in {0, size // 2, size - 1}:
            numbers = np.ones(size, dtype)
            numbers[place] = bad
            assert not finite(numbers)

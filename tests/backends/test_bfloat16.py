"""Products of matrices rounded to bfloat16: the same bits from NumPy, Numba, Cython and AMX tiles.

A block of 32 k is two chains of fused multiply-adds, of even and of odd k; e + o is added to C.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import OPTIMIZERS, error, flat, make_data, parameters

import fastbp
from fastbp.backends.numpy_ import bfloat16 as reference
from fastbp.basis.layout import DS, ROUNDED
from fastbp.engine import bfloat16

SINGLE = np.float32
# Numbers of inputs and of outputs, and rows: a part of a block, whole blocks, several strips.
SHAPES = [
    (1, 2, 1),
    (5, 3, 7),
    (31, 17, 33),
    (32, 64, 32),
    (33, 100, 65),
    (70, 130, 16),
    (257, 16, 3),
]


def network(backend, *sizes, seed=0, **settings):
    settings = {"activation": "identity", "loss": "squared_error", **settings}
    return fastbp.Network(sizes, compute_dtype="bfloat16", seed=seed, backend=backend, **settings)


def matrices(shape, scale=1.0, special=()):
    """X, W, a bias and deltas, with some numbers taken from `special`."""
    (n_in, n_out, rows), rng = shape, np.random.default_rng(5)
    made = []
    for size in ((rows, n_in), (n_in, n_out), (n_out,), (rows, n_out)):
        array = (rng.standard_normal(size) * scale).astype(SINGLE)
        for value in special:
            array.flat[rng.integers(0, array.size, array.size // 9)] = value
        made.append(array)
    return made


def products(backend, X, W, bias, deltas):
    """X W + bias, Xᵀ deltas and deltas Wᵀ, as the parts of a step compute them."""
    net = network(backend, *W.shape)
    layout, engine = net.layout, net._engine
    engine.weights[0][...], engine.biases[0][...] = W, bias
    out, errors = np.empty_like(deltas), np.empty_like(X)
    workspace = layout.zeros(layout.workspace_size(len(X)))
    transposed = layout.zeros(layout.n_all_transposed)
    gradient = layout.zeros(layout.n_parameters)
    engine.backend.forward(engine.model, X, workspace, out)
    engine.backend.backward(engine.model, X, deltas, workspace, transposed, gradient, errors)
    return out, layout.views(gradient)[0][0].copy(), errors


def same(comp, ref):
    """Whether the bits are the same; all NaNs are alike."""
    both = np.isnan(comp) & np.isnan(ref)
    return bool((both | (comp.view(np.uint32) == ref.view(np.uint32))).all())


def assert_like_the_reference(backend, *given):
    expected = (
        reference.product(given[0], given[1], given[2]),
        reference.product(given[0].T, given[3], 0.0),
        reference.product(given[3], given[1].T, 0.0),
    )
    for comp, ref in zip(products(backend, *given), expected, strict=True):
        assert same(comp, ref)


def needs_the_mode():
    numba_ = pytest.importorskip("fastbp.backends.numba_.denormals")
    if numba_.FLUSH == 0:
        pytest.skip("a processor whose control register is unknown, or plain Python")


# Rounding.


def test_rounding_by_hand():
    """bfloat16 has 7 bits behind the point, so halfway between two numbers is at the eighth."""
    half = 2.0**-8
    for x, expected in (
        (1 + half, 1),  # to the even neighbour, down
        (1 + 3 * half, 1 + 4 * half),  # to the even neighbour, up
        (1 + half + 2.0**-23, 1 + 2 * half),
        (1 + half - 2.0**-23, 1),
        (-1 - 3 * half, -1 - 4 * half),
        (2 - 2.0**-23, 2),
        (2.0**-126, 2.0**-126),
        (2.0**-126 - 2.0**-149, 0),  # denormal, though close to a normal number
        (3.4028235e38, np.inf),
        (np.inf, np.inf),
    ):
        assert reference.rounded(np.array([x], SINGLE)) == [expected]
    zero = reference.rounded(np.array([-(2.0**-140)], SINGLE))
    assert np.signbit(zero) and zero == 0
    assert np.isnan(reference.rounded(np.array([0x7FFFFFFF], np.uint32).view(SINGLE)))


def all_kinds_of_numbers():
    bits = np.random.default_rng(1).integers(0, 2**32, 100_000, dtype=np.uint32)
    numbers = bits.view(SINGLE)
    ties = (bits & np.uint32(0xFFFF0000) | np.uint32(0x8000)).view(SINGLE)
    numbers = np.concatenate([numbers, ties])
    return numbers[~(np.isnan(numbers) | (numbers != 0) & (np.abs(numbers) < 2.0**-126))]


def test_rounding_is_that_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = all_kinds_of_numbers()
    with np.errstate(over="ignore"):
        expected = x.astype(ml_dtypes.bfloat16).astype(np.float64)
    assert np.array_equal(reference.rounded(x), expected)


def test_rounding_is_that_of_torch():
    torch = pytest.importorskip("torch")
    x = all_kinds_of_numbers()
    expected = torch.from_numpy(x).to(torch.bfloat16).to(torch.float64).numpy()
    assert np.array_equal(reference.rounded(x), expected)


@pytest.mark.nojit
def test_a_product_by_hand(backend):
    """Even k: 2**24 - 2**24; odd k: 1 + 1. In a single chain, the first 1 would be lost."""
    X = np.zeros((1, 34), SINGLE)
    X[0, :4] = 2.0**24, 1, -(2.0**24), 1
    X[0, 32], X[0, 33] = 1 + 2.0**-8, 1 + 3 * 2.0**-8
    W, bias = np.ones((34, 2), SINGLE), np.array([0, 0.5], SINGLE)
    out = products(backend, X, W, bias, np.zeros((1, 2), SINGLE))[0]
    assert out.tolist() == [[2 + 1 + (1 + 2.0**-6), 2.5 + 1 + (1 + 2.0**-6)]]


# Products.


@pytest.mark.nojit
@pytest.mark.parametrize("shape", SHAPES)
def test_all_backends_give_the_same_bits(backend, shape):
    assert_like_the_reference(backend, *matrices(shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_denormal_numbers_are_zeros(backend, shape):
    """As inputs, as products, as sums of products, and in the bias."""
    needs_the_mode()
    tiny = 2.0**-126
    special = (tiny / 3, -tiny / 2, tiny, -tiny * 1.5, 2.0**-63, -(2.0**-64), 1e-45, -0.0)
    given = matrices(shape, 2.0**-62, special)
    assert_like_the_reference(backend, *given)
    found = products(backend, *given)
    assert not any(((array != 0) & (np.abs(array) < tiny)).any() for array in found)


@pytest.mark.parametrize("shape", SHAPES)
def test_numbers_that_are_not_finite(backend, shape):
    with np.errstate(all="ignore"):
        largest = np.finfo(SINGLE).max
        assert_like_the_reference(backend, *matrices(shape, special=(np.inf, largest, -largest)))
        assert_like_the_reference(backend, *matrices(shape, special=(np.nan, -np.inf)))


def test_the_mode_of_the_caller_does_not_matter(compiled):
    """`predict` does not flush denormal numbers, `forward` does; a rounded product always does."""
    needs_the_mode()
    net = network(compiled, 40, 3)
    net.weights[0] = net.weights[0] * 1e-20
    X = np.random.default_rng(0).standard_normal((9, 40)).astype(SINGLE) * SINGLE(1e-19)
    out = np.empty((9, 3), SINGLE)
    workspace = net.layout.zeros(net.layout.workspace_size(9))
    net._engine.backend.forward(net._engine.model, X, workspace, out)
    assert net.predict(X).tobytes() == out.tobytes()
    assert not out.any()


def test_the_mode_is_restored(compiled):
    """A product of the float32 network that follows is denormal, and exact."""
    network(compiled, 2, 2).predict([[1.0, 1.0]])
    net = fastbp.Network([1, 1], loss="squared_error", backend=compiled)
    net.weights[0] = [[1e-40]]
    assert net.predict([[1.0]])[0, 0] == SINGLE(1e-40) > 0


# Networks.


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_twins_train_to_the_same_bits(twins, optimizer):
    X, y = make_data("cross_entropy", 150, 9, 4)
    batch_size = None if optimizer == "rprop" else 50
    how = {"batch_size": batch_size, "dropout": 0.2, "clip_norm": 0.5, "l2": 0.01}
    results = []
    for backend in twins:
        net = network(backend, 9, 40, 17, 4, activation="gelu", loss="cross_entropy")
        history = net.fit(X, y, optimizer=OPTIMIZERS[optimizer], epochs=3, **how)
        results.append((history.loss, parameters(net).tobytes(), net.predict(X).tobytes()))
    assert results[0] == results[1]


def test_numba_may_call_the_product_of_cython(twins):
    """As it does where there are tiles, of which Numba knows nothing."""
    from fastbp.backends import cython_, numba_

    X, y = make_data("squared_error", 50, 9, 4)
    before, results = numba_.BFLOAT16_PRODUCT.elsewhere, []
    try:
        for address in (0, cython_.SINGLE.bfloat16_address()):
            net = network("numba", 9, 40, 4, activation="tanh")
            numba_.use_product(address)
            net.fit(X, y, epochs=2)
            results.append(parameters(net).tobytes())
            found = numba_.table(np.dtype(SINGLE), net.layout.plan.tobytes(), 2, True, True)
            assert (address in found) or not address
    finally:
        numba_.use_product(before)
    assert results[0] == results[1]


@pytest.mark.parametrize(("sizes", "rows"), [((40, 130, 70, 5), 64), ((4, 32, 3), 5000)])
def test_threads_change_no_bit(compiled, sizes, rows):
    X, y = make_data("squared_error", rows, sizes[0], sizes[-1])
    results = set()
    for threads in (1, 2, 5):
        net = network(compiled, *sizes, activation="relu")
        net.fit(X, y, epochs=2, batch_size=None, threads=threads)
        results.add(parameters(net).tobytes())
    assert len(results) == 1


def test_a_step_of_the_reference(compiled):
    """The first gradient agrees to rounding: activations differ in their last bits."""
    X, y = make_data("squared_error", 60, 9, 4)
    found = []
    for backend in ("numpy", compiled):
        gradient = network(backend, 9, 40, 4, activation="tanh").loss_and_gradient(X, y)[1]
        found.append(flat([*gradient.weights, *gradient.biases]))
    assert error(found[1], found[0]) < 2e-3


@pytest.mark.nojit
def test_derivatives_of_samples_follow(backend):
    """Of a single sample they are the gradient; but denormal numbers stay in biases."""
    X, y = make_data("squared_error", 6, 5, 3)
    net = network(backend, 5, 8, 3, activation="tanh")
    each = net.per_sample_gradients(X, y)
    trace = net.trace(X[:1], y[:1])
    for r in range(len(X)):
        alone = net.loss_and_gradient(X[r : r + 1], y[r : r + 1])[1]
        for comp, ref in zip(each.weights, alone.weights, strict=True):
            assert np.array_equal(comp[r], ref)
    x = X[:1].astype(SINGLE)
    s = reference.product(x, np.array(net.weights[0]), np.array(net.biases[0]))
    assert np.array_equal(trace.s[1], s)


def test_small_derivatives_of_samples_are_zeros(backend):
    needs_the_mode()
    net = network(backend, 2, 2)
    X, y = [[1e-20, -1e-20]], net.predict([[1e-20, -1e-20]]) - 1e-20
    each, alone = net.per_sample_gradients(X, y).weights[0], net.loss_and_gradient(X, y)[1]
    assert np.array_equal(each[0], alone.weights[0]) and not each.any()


@pytest.mark.nojit
def test_a_single_output_is_not_rounded(backend):
    """It has no matrix product; the layers before it do."""
    X, y = make_data("squared_error", 20, 40, 1)
    exact = fastbp.Network([40, 1], loss="squared_error", seed=0, backend=backend)
    rounding = network(backend, 40, 1)
    assert exact.predict(X).tobytes() == rounding.predict(X).tobytes()
    assert network(backend, 4, 3, 1).layout.plan[:, ROUNDED].tolist() == [0, 1, 0]
    assert DS < ROUNDED < exact.layout.plan.shape[1]


# Who computes.


def fake(tiles=True, permitted=True, built=True, wrong=False):
    """A processor and kernels, whose tiles give other bits if they are `wrong`."""
    state = SimpleNamespace(on=False)

    def use_tiles(on):
        state.on = on

    def multiply_rounded(A, B, init, C):
        C[...] = init + A @ B + (1 if wrong and state.on else 0)

    cpu = SimpleNamespace(has_tiles=lambda: tiles, may_use_tiles=lambda: permitted)
    return state, (
        cpu,
        SimpleNamespace(HAS_TILES=built, use_tiles=use_tiles, multiply_rounded=multiply_rounded),
    )


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({}, ""),
        ({"tiles": False}, "the processor has no AMX tiles"),
        ({"permitted": False}, "the operating system does not permit AMX tiles"),
        ({"built": False}, "the Cython kernels in use are built without AMX tiles"),
    ],
)
def test_tiles_are_used_if_all_is_there(how, reason, monkeypatch):
    state, made = fake(**how)
    monkeypatch.setattr(bfloat16, "_built", lambda: made)
    assert bfloat16.obstacle.__wrapped__() == reason
    assert state.on == (not reason)


def test_tiles_that_give_other_bits_are_not_used(monkeypatch):
    state, made = fake(wrong=True)
    monkeypatch.setattr(bfloat16, "_built", lambda: made)
    with pytest.warns(UserWarning, match="do not give the bits that they should"):
        assert "bits" in bfloat16.obstacle.__wrapped__()
    assert not state.on


def test_without_cython_the_emulation_computes(monkeypatch):
    def missing():
        raise ImportError

    monkeypatch.setattr(bfloat16, "_built", missing)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bfloat16.obstacle.__wrapped__() == "the Cython kernels are not built"


def test_the_processors_tiles(cython):
    """On a processor that has them."""
    if bfloat16.obstacle():
        pytest.skip(bfloat16.obstacle())
    kernels = bfloat16._built()[1]
    rng, results = np.random.default_rng(3), []
    for _ in range(50):
        M, K, J = rng.integers(1, 300), rng.integers(1, 600), 16 * rng.integers(1, 10)
        A, B, init = (
            rng.standard_normal(size).astype(SINGLE) * SINGLE(rng.choice([1, 1e-19]))
            for size in ((M, K), (K, J), (M, J))
        )
        results = [np.empty_like(init), np.empty_like(init)]
        try:
            for on in (0, 1):
                kernels.use_tiles(on)
                kernels.multiply_rounded(A, B, init, results[on])
        finally:
            kernels.use_tiles(True)
        assert results[0].tobytes() == results[1].tobytes()

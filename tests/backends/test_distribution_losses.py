"""Losses of distributions: SciPy's and PyTorch's likelihoods, their slopes, and extreme numbers."""

import numpy as np
import pytest
import scipy.stats as stats
from gradient_helpers import finite_differences
from helpers import DTYPES, error, flat, gradient_of, parameters

import fastbp
from fastbp import backends
from fastbp.basis import checks
from fastbp.basis.data import Data
from fastbp.basis.layout import STRIDE

LEVELS = (0.1, 0.5, 0.75, 0.9)
# Loss -> number of outputs, parameter.
LOSSES = {
    "gaussian": (2, None),
    "student_t": (2, 3.5),
    "laplace": (2, None),
    "negative_binomial": (2, None),
    "mixture_density": (12, 4),
    "quantile": (4, LEVELS),
}


def problem(loss, n=37):
    """Pre-activations and targets."""
    n_outputs, _ = LOSSES[loss]
    rng = np.random.default_rng(n_outputs)
    y = rng.poisson(3.0, (n, 1)) if loss == "negative_binomial" else 2 * rng.normal(size=(n, 1))
    return rng.normal(size=(n, n_outputs)), y.astype(float)


def network(loss, backend, dtype="float64", sizes=(), **options):
    """A network of that loss; without sizes, its pre-activations are its inputs."""
    n_outputs, parameter = LOSSES[loss]
    options = {"loss": loss, "loss_parameter": parameter, "seed": 1} | options
    if sizes:
        net = fastbp.Network([*sizes, n_outputs], dtype=dtype, backend=backend, **options)
        rng = np.random.default_rng(2)  # scales begin without weights
        net.weights[-1] = 0.4 * rng.normal(size=(sizes[-1], n_outputs))
        return net
    net = fastbp.Network([n_outputs, n_outputs], dtype=dtype, backend=backend, **options)
    net.weights[0], net.biases[0] = np.eye(n_outputs), np.zeros(n_outputs)
    return net


def losses_and_deltas(loss, backend, s, y, dtype="float64"):
    data = Data(s.astype(dtype), checks.NO_LABELS, y.astype(dtype), np.empty(0, dtype))
    found = network(loss, backend, dtype)._engine.per_sample(data, losses=True, errors=True)
    return found.losses, found.errors


def of_scipy(loss, s, y):
    """The negative log likelihoods; the mean pinball loss of quantiles."""
    y = y[:, 0]
    if loss == "quantile":
        d = y[:, None] - np.column_stack([s[:, :1], np.log1p(np.exp(s[:, 1:]))]).cumsum(axis=1)
        return np.maximum(np.multiply(LEVELS, d), np.subtract(LEVELS, 1) * d).mean(axis=1)
    if loss == "mixture_density":
        logits, means, scales = np.split(s, 3, axis=1)
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return -np.log((shares * stats.norm(means, np.exp(scales)).pdf(y[:, None])).sum(axis=1))
    first, scale = s[:, 0], np.exp(s[:, 1])
    if loss == "negative_binomial":
        return -stats.nbinom(1 / scale, 1 / (1 + scale * np.exp(first))).logpmf(y)
    if loss == "gaussian":
        return -stats.norm(first, np.sqrt(scale)).logpdf(y)
    family = {"student_t": lambda *a: stats.t(3.5, *a), "laplace": stats.laplace}[loss]
    return -family(first, scale).logpdf(y)


def of_torch(torch, loss, s, y):
    """The same from torch.distributions."""
    families, y = torch.distributions, y[:, 0]
    if loss == "quantile":
        steps = torch.cat([s[:, :1], torch.nn.functional.softplus(s[:, 1:])], dim=1)
        d, q = y[:, None] - steps.cumsum(1), torch.tensor(LEVELS, dtype=s.dtype)
        return torch.maximum(q * d, (q - 1) * d).mean(1)
    if loss == "mixture_density":
        logits, means, scales = s.chunk(3, dim=1)
        parts = families.Normal(means, scales.exp())
        return -families.MixtureSameFamily(families.Categorical(logits=logits), parts).log_prob(y)
    first, second = s[:, 0], s[:, 1]
    if loss == "negative_binomial":
        return -families.NegativeBinomial((-second).exp(), logits=first + second).log_prob(y)
    made = {
        "gaussian": lambda: families.Normal(first, (second / 2).exp()),
        "student_t": lambda: families.StudentT(3.5, first, second.exp()),
        "laplace": lambda: families.Laplace(first, second.exp()),
    }
    return -made[loss]().log_prob(y)


@pytest.mark.nojit
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_those_of_scipy(backend, loss):
    s, y = problem(loss)
    found, _ = losses_and_deltas(loss, backend, s, y)
    np.testing.assert_allclose(found, of_scipy(loss, s, y), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_and_deltas_are_those_of_torch(backend, loss):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    s, y = problem(loss)
    leaf = torch.tensor(s, requires_grad=True)
    e = of_torch(torch, loss, leaf, torch.tensor(y))
    e.sum().backward()
    found, deltas = losses_and_deltas(loss, backend, s, y)
    np.testing.assert_allclose(found, e.numpy(force=True), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(deltas, leaf.grad.numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.nojit
@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_slopes(backend, loss):
    """Of a whole network, with weights of the samples."""
    net = network(loss, backend, sizes=[3, 4], activation="tanh")
    _, y = problem(loss)
    data = np.random.default_rng(0).normal(size=(37, 3)), y, np.arange(37) % 3
    assert error(gradient_of(net, *data), finite_differences(net, *data)) < 1e-8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_twins_give_the_same_bits(twins, loss, dtype):
    """For rows that fill vectors and rows that do not, and any number of threads."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(700, 3)), problem(loss, 700)[1]
    found = []
    for backend in twins:
        for threads in (1, 3):
            net = network(loss, backend, dtype, sizes=[3, 9], activation="tanh")
            history = net.fit(X, y, epochs=2, batch_size=93, threads=threads)
            found.append(parameters(net).tobytes() + np.array(history.loss).tobytes())
    assert len(set(found)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_compiled_ones_equal_the_reference(compiled, loss, dtype):
    s, y = problem(loss)
    s, y = s.astype(dtype).astype(float), y.astype(dtype).astype(float)
    expected, slopes = losses_and_deltas(loss, "numpy", s, y)
    found, deltas = losses_and_deltas(loss, compiled, s, y, dtype)
    near = 100 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, expected, rtol=near, atol=near)
    np.testing.assert_allclose(deltas, slopes, rtol=near, atol=near)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", ["gaussian", "student_t", "laplace", "negative_binomial"])
def test_extreme_numbers_are_finite(backend, loss, dtype):
    """Variances of 1e-30 and 1e30, counts of a billion, outliers far away."""
    largest = float(np.log(1e30)) / (2 if loss in ("student_t", "laplace") else 1)
    targets = [0.0, 7.0, 1e9] if loss == "negative_binomial" else [-1e9, 0.0, 1.0]
    numbers = np.meshgrid([-20.0, 0.0, 20.7], [-largest, 0.0, largest], targets)
    first, second, y = (array.reshape(-1, 1) for array in numbers)
    s = np.column_stack([first, second])
    found, deltas = losses_and_deltas(loss, backend, s, y, dtype)
    assert np.isfinite(deltas).all()
    if loss == "negative_binomial":  # SciPy's loses all digits there
        assert np.isfinite(found).all()
    else:
        near = 1e-12 if dtype == "float64" else 1e-5
        expected = of_scipy(loss, s, y)
        if loss == "laplace":  # SciPy's takes the logarithm of a density that underflows
            expected = np.log(2) + s[:, 1] + np.abs(y[:, 0] - s[:, 0]) * np.exp(-s[:, 1])
        with np.errstate(over="ignore"):  # (1e9 / 1e-15)² is infinite in float32
            expected = expected.astype(dtype)
        np.testing.assert_allclose(found, expected, rtol=near, atol=near)


@pytest.mark.nojit
@pytest.mark.parametrize("dtype", DTYPES)
def test_deltas_stay_finite_where_the_loss_is_not(backend, dtype):
    s = np.array([[0.0, -1e4], [0.0, 1e4], [1e20, -1e4], [0.0, -1e4]])
    y = np.array([[0.0], [0.0], [-1e20], [1.0]])
    for loss in ("gaussian", "student_t", "laplace"):
        found, deltas = losses_and_deltas(loss, backend, s, y, dtype)
        assert np.isfinite(deltas).all() and not np.isnan(found).any()
    s = np.array([[0.0, 0.0, 0.0, 5.0, -1e4, -1e4], [0.0, -500.0, 0.0, 5.0, 0.0, 0.0]])
    data = np.array([[1e12], [-1e12]])
    net = fastbp.Network(
        [6, 6], loss="mixture_density", loss_parameter=2, dtype=dtype, backend=backend
    )
    net.weights[0], net.biases[0] = np.eye(6), np.zeros(6)
    data = Data(s.astype(dtype), checks.NO_LABELS, data.astype(dtype), np.empty(0, dtype))
    found = net._engine.per_sample(data, losses=True, errors=True)
    assert np.isfinite(found.errors).all() and not np.isnan(found.losses).any()


def test_counts_without_cancellation(backend):
    """Against 60 digits, from a mean of 1e-13 to 1e11 and up to the limit of Poisson's."""
    mpmath = pytest.importorskip("mpmath", reason="mpmath is the independent source here")
    mpmath.mp.dps = 60
    grid = [(-30.0, 0.3, 20.7, 25.0), (-60.0, -5.0, 0.0, 4.0), (0.0, 1.0, 150.0, 1e9)]
    first, second, y = (array.reshape(-1, 1) for array in np.meshgrid(*grid))
    s = np.column_stack([first, second])
    found = losses_and_deltas("negative_binomial", backend, s, y)
    for row, target, e, deltas in zip(s, y[:, 0], *found, strict=True):
        log_mean, log_dispersion = map(mpmath.mpf, row)
        for value, expected in zip(
            (e, *deltas), _of_counts(mpmath, log_mean, log_dispersion, target), strict=True
        ):
            assert abs(value - expected) <= 1e-12 * max(1, abs(expected))


def test_slopes_by_the_dispersion_keep_their_digits_in_float32(backend):
    """Where a series takes over: for m = 1 and y = 0, of which all else is 0."""
    k = np.geomspace(4, 1e5, 2000)
    s, y = np.column_stack([np.zeros_like(k), -np.log(k)]).astype("float32"), np.zeros((len(k), 1))
    found = losses_and_deltas("negative_binomial", backend, s, y, "float32")[1][:, 1]
    expected = losses_and_deltas("negative_binomial", backend, s, y)[1][:, 1]
    assert np.abs(found / expected - 1).max() < 1e-5


def _of_counts(mpmath, log_mean, log_dispersion, y):
    """The loss and its slopes, by their definitions."""
    m, r = mpmath.exp(log_mean), mpmath.exp(-log_dispersion)
    gamma, digamma = mpmath.loggamma, mpmath.digamma
    e = gamma(r) + gamma(y + 1) - gamma(y + r) + r * mpmath.log1p(m / r) + y * mpmath.log1p(r / m)
    slope = (m - y) * r / (r + m)
    yield e
    yield slope
    yield slope + r * (digamma(y + r) - digamma(r) - mpmath.log1p(m / r))


def test_rows_of_weight_0_do_not_count(backend):
    """Even if their own loss overflows."""
    s = np.array([[0.0, -1e4], [0.5, 0.25]])
    y = np.array([1e300, 1.0])
    net = network("gaussian", backend)
    loss, gradient = net.loss_and_gradient(s, y, [0.0, 2.0])
    alone, expected = net.loss_and_gradient(s[1:], y[1:])
    assert loss == alone
    assert np.array_equal(gradient.weights[0], expected.weights[0])


def test_means_of_very_many_rows_keep_their_digits(compiled):
    rows = 1 << 18
    x = np.random.default_rng(0).normal(size=(rows, 1)).astype(np.float32)
    net = fastbp.Network([1, 2], loss="gaussian", backend=compiled)
    net.weights[0], net.biases[0] = [[0.0, 0.0]], [0.1, 0.2]
    _, gradient = net.loss_and_gradient(x, x)
    d = x.astype(float) - np.float32(0.1)
    terms = np.column_stack([-d, 0.5 * (np.exp(0.2) - d * d)]) * np.exp(-np.float32(0.2))
    difference = np.abs(gradient.biases[0] - terms.mean(axis=0))
    assert (difference <= 1e-6 * np.abs(terms).mean(axis=0)).all()


@pytest.mark.nojit
def test_stirlings_formula_leaves_small_errors(backend):
    """Through a loss: e at y = 0 and 1 gives ln Γ(r + 1) - ln Γ(r) = ln r."""
    r = np.array([1e-6, 0.3, 1.0, 3.9, 4.0, 9.99, 10.0, 1e3, 1e8])
    s = np.column_stack([np.zeros_like(r), -np.log(r)])
    none, one = (
        losses_and_deltas("negative_binomial", backend, s, np.full((len(r), 1), y))[0]
        for y in (0.0, 1.0)
    )
    np.testing.assert_allclose(one - none, np.log1p(1 / r), atol=1e-13, rtol=1e-13)


def products(loss, backend, s, y, v, dtype="float64"):
    """(∂²e/∂s∂s) v of each row."""
    net, (n, k) = network(loss, backend, dtype), s.shape
    arrays = np.zeros((4, 48, net.layout.plan[-1, STRIDE]), dtype)
    for array, values in zip(arrays, (s, y, v), strict=False):
        array[:n, : values.shape[1]] = values
    arrays[3] = np.nan
    backends.get(backend).loss_hessian_product(net._engine.model, *arrays)
    return arrays[3, :n, :k]


@pytest.mark.parametrize("loss", LOSSES)
def test_hessian_products_are_those_of_torch(backend, loss):
    torch = pytest.importorskip("torch", reason="PyTorch is the independent source here")
    s, y = problem(loss)
    v, leaf = np.random.default_rng(1).normal(size=s.shape), torch.tensor(s, requires_grad=True)
    e = of_torch(torch, loss, leaf, torch.tensor(y))
    (slopes,) = torch.autograd.grad(e.sum(), leaf, create_graph=True)
    (ref,) = torch.autograd.grad((slopes * torch.tensor(v)).sum(), leaf)
    # PyTorch's ψ' is off by 1e-9; the test of digits below has another source.
    near = 1e-8 if loss == "negative_binomial" else 1e-11
    np.testing.assert_allclose(products(loss, backend, s, y, v), ref, rtol=near, atol=near)


@pytest.mark.nojit
@pytest.mark.parametrize("loss", LOSSES)
def test_hessian_products_are_differences_of_gradients(backend, loss):
    """Of a whole network, with weights of the samples."""
    net = network(loss, backend, sizes=[3, 4], activation="tanh")
    X, y, w = np.random.default_rng(0).normal(size=(37, 3)), problem(loss)[1], np.arange(37) % 3
    along, step, sides = np.random.default_rng(1).normal(size=parameters(net).size), 1e-5, []
    arrays = [*net.weights, *net.biases]
    parts = np.split(along, np.cumsum([a.size for a in arrays])[:-1])
    parts = [part.reshape(a.shape) for part, a in zip(parts, arrays, strict=True)]
    product = net.hessian_vector_product(X, y, fastbp.Gradient(parts[:2], parts[2:]), w)
    for move in (step, -2 * step):
        for array, part in zip(arrays, parts, strict=True):
            array += move * part
        sides.append(gradient_of(net, X, y, w))
    found = flat([*product.weights, *product.biases])
    assert error(found, (sides[0] - sides[1]) / (2 * step)) < 1e-7


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_hessian_products_of_twins_and_reference(twins, loss, dtype):
    s, y = problem(loss)
    s, y = s.astype(dtype).astype(float), y.astype(dtype).astype(float)
    v = np.random.default_rng(1).normal(size=s.shape).astype(dtype).astype(float)
    one, other = (products(loss, name, s, y, v, dtype) for name in twins)
    assert one.tobytes() == other.tobytes()
    near = 1000 * float(np.finfo(dtype).eps)
    ref = products(loss, "numpy", s, y, v)
    np.testing.assert_allclose(one, ref, rtol=near, atol=near * np.abs(ref).max())


def test_far_targets_and_kinks_in_hessian_products(backend):
    v = np.array([[1.0, 2.0]])
    for loss, expected in (("gaussian", [1, 0]), ("laplace", [0, 0]), ("student_t", [9 / 7, 0])):
        at_target = products(loss, backend, np.zeros((1, 2)), np.zeros((1, 1)), v)
        np.testing.assert_allclose(at_target, [expected], rtol=1e-14, atol=0)
    far = products("student_t", backend, np.zeros((1, 2)), np.full((1, 1), 1e200), v)
    np.testing.assert_allclose(far, [[0, 0]], rtol=0, atol=1e-190)


@pytest.mark.nojit
def test_hessian_products_of_counts_keep_their_digits(backend):
    """From almost Poisson's distribution to a huge dispersion, with 50 digits as the reference."""
    mpmath = pytest.importorskip("mpmath")
    rows = [(0.3, -18.0, 3), (6.0, -18.0, 400), (6.0, -3.0, 0), (-3.0, 0.5, 0), (2.0, 8.0, 50)]

    def e(eta, scale, t):
        m, r = mpmath.exp(eta), mpmath.exp(-scale)
        gammas = mpmath.loggamma(r) - mpmath.loggamma(t + r)
        return gammas - r * mpmath.log(r / (r + m)) - t * mpmath.log(m / (r + m))

    for eta, scale, t in rows:
        s, y = np.array([[eta, scale]] * 2), np.full((2, 1), float(t))
        found = products("negative_binomial", backend, s, y, np.eye(2))
        with mpmath.workdps(50):
            curves = [
                float(mpmath.diff(lambda *x, t=t: e(*x, t), (eta, scale), order))
                for order in ((2, 0), (1, 1), (0, 2))
            ]
        expected = np.reshape([curves[0], curves[1], curves[1], curves[2]], (2, 2))
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=0)


def test_every_backend_computes_them():
    codes = [network(loss, "numpy")._engine.code for loss in LOSSES]
    assert len(set(codes)) == len(LOSSES)
    for name in backends.available():
        for loss in LOSSES:
            found, _ = losses_and_deltas(loss, name, *problem(loss, 1))
            assert np.isfinite(found).all()

"""Losses of distributions in the reference: negative log likelihoods of one target a sample.

A function takes pre-activations s of shape (n, n_m), targets y of shape (n, 1) and the loss's
parameter. It returns each sample's loss e and its delta ∂e/∂s. Its product takes a vector v for
each sample besides, and returns ∂²e/∂s∂s v. `numbers` are float64 numbers at an address, see
``Model.function`` in interface.py.

A factor 1 / σ is at most exp(LARGEST), so that deltas are finite; with smaller scales, losses that
are too large for the precision are infinite.
"""

import ctypes

import numpy as np
from numpy.polynomial.polynomial import polyval

HALF_LOG_2_PI = 0.9189385332046727
LOG_2 = 0.6931471805599453
# By precision: half the largest exponent of exp, and a deviation whose square is finite.
LARGEST = {np.dtype(np.float32): 44.0, np.dtype(np.float64): 354.0}
FAR = {np.dtype(np.float32): 1e18, np.dtype(np.float64): 1e150}
# For |z| below this, the difference z / (1 + z) - ln(1 + z) is computed as a series of five terms:
# where its error is about that of the difference, which loses digits in proportion to 1 / z.
SMALL = {np.dtype(np.float32): 0.05, np.dtype(np.float64): 1e-3}
# From here on, the series of `stirling_error` are exact in float64.
SERIES = 10
PHI = 1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156
PHI_SLOPE = -1 / 12, 1 / 120, -1 / 252, 1 / 240, -1 / 132, 691 / 32760, -1 / 12
PHI_CURVE = 1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6


def numbers(address, n):
    """The n float64 numbers at an address."""
    return np.array((ctypes.c_double * n).from_address(address))


def columns(s, y):
    """The columns of s, and the targets; each of shape (n,)."""
    return (*s.T, y[:, 0])


def inverse_scale(log_scale):
    """exp(-log_scale), at most exp(LARGEST)."""
    return np.exp(np.minimum(-log_scale, LARGEST[log_scale.dtype]))


def nearby(z):
    """z, at most FAR in size."""
    far = FAR[z.dtype]
    return np.clip(z, -far, far)


def softplus(s):
    return np.maximum(s, 0) + np.log1p(np.exp(-np.abs(s)))


def sigmoid(s):
    u = np.exp(-np.abs(s))
    return np.where(s < 0, u, 1) / (1 + u)


def deltas(s, *parts):
    return np.stack(parts, axis=1).astype(s.dtype, copy=False)


def numbers_of_student_t(nu):
    """What `student_t` needs, as float64 numbers: ν, c = ln B(ν / 2, ½) + ½ ln ν, √ν and ½ ln ν.

    By Stirling's formula, with a = ν / 2, c = ½ ln 2π + ½ - a ln(1 + 1 / (2 a)) + φ(a) - φ(a + ½).
    """
    a = nu / 2
    low, high = stirling_error(np.array([a, a + 0.5]))[0]
    constant = HALF_LOG_2_PI + 0.5 - a * np.log1p(0.5 / a) + low - high
    return np.array([nu, constant, np.sqrt(nu), np.log(nu) / 2])


def gaussian(s, y, _):
    """e = ½ (ln 2π + λ + z²) with z = (y - μ) exp(-λ / 2)."""
    mean, log_variance, t = columns(s, y)
    v = inverse_scale(log_variance / 2)
    z = (t - mean) * v
    e = HALF_LOG_2_PI + log_variance / 2 + z * z / 2
    z = nearby(z)
    return e, deltas(s, -z * v, (1 - z * z) / 2)


def gaussian_hessian_product(s, y, _, v):
    """As ∂z/∂μ = -u and ∂z/∂λ = -z / 2 with u = exp(-λ / 2); v = (a, b)."""
    mean, log_variance, t = columns(s, y)
    (a, b), u = v.T, inverse_scale(log_variance / 2)
    z = nearby((t - mean) * u)
    return deltas(s, u * (u * a + z * b), z * (u * a + z * b / 2))


def student_t(s, y, address):
    """e = c + λ + ½ (ν + 1) ln(1 + a²) with a = |y - μ| exp(-λ) / √ν; b is the smaller of a, 1/a.

    The numbers are ν, c, √ν and ½ ln ν, see `numbers_of_student_t`.
    """
    nu, constant, root, half_log = map(float, numbers(address, 4))
    location, log_scale, t = columns(s, y)
    d, v = t - location, inverse_scale(log_scale)
    a = np.abs(d) * v / root
    far = a > 1
    b = np.where(far, 1 / a, a)
    log_a = np.log(np.abs(d)) - log_scale - half_log
    log_sum = np.log1p(b * b) + np.where(far, 2 * log_a, 0)
    e = constant + log_scale + (nu + 1) / 2 * log_sum
    slope = (nu + 1) / root * v * (b / (1 + b * b))
    of_scale = 1 - (nu + 1) * (np.where(far, 1, b * b) / (1 + b * b))
    return e, deltas(s, np.copysign(slope, -d), of_scale)


def student_t_hessian_product(s, y, address, v):
    """With t = (y - μ) w, w = exp(-λ) / √ν, f = t / (1 + t²), p = t f and q = 1 / (1 + t²)."""
    nu, _, root, _ = map(float, numbers(address, 4))
    location, log_scale, y = columns(s, y)
    d, u = y - location, inverse_scale(log_scale)
    t, w = np.abs(d) * u / root, u / root
    far = t > 1
    least = np.where(far, 1 / t, t)
    square = least * least
    p, q = np.where(far, 1, square) / (1 + square), np.where(far, square, 1) / (1 + square)
    f = np.copysign(least / (1 + square), d)
    a, b = w * v[:, 0], v[:, 1]
    by_location = (nu + 1) * w * q * ((q - p) * a + 2 * f * b)
    return deltas(s, by_location, 2 * (nu + 1) * q * (f * a + p * b))


def laplace(s, y, _):
    """e = ln 2 + λ + |y - μ| exp(-λ); the derivative by μ at y is taken as 0."""
    location, log_scale, t = columns(s, y)
    d, v = t - location, inverse_scale(log_scale)
    z = np.abs(d) * v
    return LOG_2 + log_scale + z, deltas(s, -np.sign(d) * v, 1 - nearby(z))


def laplace_hessian_product(s, y, _, v):
    """The kink at y = μ counts for nothing."""
    location, log_scale, t = columns(s, y)
    (a, b), d, u = v.T, t - location, inverse_scale(log_scale)
    slope = np.sign(d) * u
    return deltas(s, slope * b, slope * a + nearby(np.abs(d) * u) * b)


def stirling_error(x):
    """φ(x) = ln Γ(x) - (x - ½) ln x + x - ½ ln 2π and x φ'(x), for x > 0."""
    near = x < SERIES
    small = np.where(near, x, 1)
    product, slope = small + 1, np.ones_like(x)  # of (x + 1) (x + 2) ...
    for i in range(2, SERIES):
        slope = slope * (small + i) + product
        product = product * (small + i)
    large = np.where(near, small + SERIES, x)
    r = 1 / large
    q = r * r
    phi = r * polyval(q, np.array(PHI, x.dtype))
    phi_slope = q * polyval(q, np.array(PHI_SLOPE, x.dtype))
    log_large, log_small = np.log(large), np.log(small)
    shifted = (large - 0.5) * log_large - (small + 0.5) * log_small - np.log(product)
    ratio = log_large - log_small - r / 2 + phi_slope - slope / product
    return (
        np.where(near, shifted - SERIES + phi, phi),
        np.where(near, small * ratio - 0.5, x * phi_slope),
    )


def stirling_curve(x):
    """x² φ''(x) with φ of `stirling_error`, so that ψ'(x) = 1 / x + 1 / (2 x²) + φ''(x)."""
    near = x < SERIES
    small = np.where(near, x, 1)
    squares = sum(1 / (small + i) ** 2 for i in range(1, SERIES))
    r = 1 / np.where(near, small + SERIES, x)
    curve = polyval(r * r, np.array(PHI_CURVE, x.dtype))
    shifted = small * small * (squares + r * (1 + r * (0.5 + r * curve))) - small + 0.5
    return np.where(near, shifted, r * curve)


def negative_binomial(s, y, _):
    """e = -ln P(y) of counts with the mean m = exp(η) and the variance m + m² / r, r = exp(-λ).

    P(y) = Γ(y + r) / (Γ(r) y!) (r / (r + m))ʳ (m / (r + m))ʸ. As in Loader, "Fast and Accurate
    Computation of Binomial Probabilities", 2000, Stirling's formula takes out what cancels:

    e = φ(r) + φ(y) - φ(y + r) + ½ (ln 2π + ln y + ln(1 + y / r)) + r l_1 + y l_2 for y > 0, with
    l_1 = ln((r + m) / (r + y)) and l_2 = ln((1 + r / m) / (1 + r / y)); e = r l_1 for y = 0.
    """
    log_mean, log_dispersion, t = columns(s, y)
    most = 2 * LARGEST[s.dtype] - 8
    log_dispersion = np.clip(log_dispersion, -most, most)
    m, r = np.exp(np.minimum(log_mean, most)), np.exp(-log_dispersion)
    x, log_y = log_mean + log_dispersion, np.log(t)
    u = log_y + log_dispersion
    first, second = (m - t) / (r + t), (t - m) / (r + t) * np.exp(-x)
    near = (np.abs(first) <= 0.25) & (np.abs(second) <= 0.25)
    l_1 = np.where(near, np.log1p(first), softplus(x) - softplus(u))
    l_2 = np.where(near, np.log1p(second), softplus(-x) - softplus(-u))
    of_r, of_y, of_both = map(stirling_error, (r, t, r + t))
    spread = HALF_LOG_2_PI + (log_y + softplus(u)) / 2
    likely = of_r[0] + of_y[0] - of_both[0] + spread + r * l_1 + t * l_2
    e = np.where(t > 0, likely, r * l_1)
    of_mean = (m - t) * (r / (m + r))
    z = first
    series = -z * z * (1 / 2 - z * (2 / 3 - z * (3 / 4 - z * (4 / 5 - z * (5 / 6)))))
    excess = np.where(np.abs(z) < SMALL[s.dtype], r * series, of_mean - r * l_1)
    return e, deltas(s, of_mean, excess + t / (r + t) / 2 + r / (r + t) * of_both[1] - of_r[1])


def negative_binomial_hessian_product(s, y, _, v):
    """With g = (m - y) / (r + m), q = r / (r + y) and w = y / (r + y), and c = x² φ''(x):

    ∂²e/∂η² = m r (r + y) / (r + m)², ∂²e/∂η∂λ = -g m r / (r + m) and
    ∂²e/∂λ² = w (2 - w) / 2 + c(r) - q² c(r + y) - r q g² - ∂e/∂λ.
    """
    log_mean, log_dispersion, t = columns(s, y)
    most = 2 * LARGEST[s.dtype] - 8
    m, r = np.exp(np.minimum(log_mean, most)), np.exp(-np.clip(log_dispersion, -most, most))
    (a, b), slope = v.T, negative_binomial(s, y, _)[1][:, 1]
    share, of_mean = 1 / (r + t), m * (r / (m + r))
    g, w = (m - t) / (m + r), t * share
    curve = stirling_curve(r) - (1 - w) ** 2 * stirling_curve(r + t) - r * (r * share) * g * g
    curve = w * (2 - w) / 2 + curve - slope
    mixed = -g * of_mean
    return deltas(s, of_mean * ((r + t) / (m + r)) * a + mixed * b, mixed * a + curve * b)


def mixture_density(s, y, _):
    """e = ln Σ exp(a) - ln Σ exp(l), l = a - λ - ½ z² - ½ ln 2π and z = (y - μ) exp(-λ).

    s has the logits a of the components' shares, their means μ and their log scales λ.
    """
    logits, means, log_scales = np.split(s, 3, axis=1)
    v = inverse_scale(log_scales)
    far = FAR[s.dtype]
    z = nearby((y - means) * v)
    likelihoods = logits - log_scales - z * z / 2
    of_all, of_target = (
        a.max(axis=1, keepdims=True)
        + np.log(np.exp(a - a.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True))
        for a in (logits, likelihoods)
    )
    e = (of_all - of_target)[:, 0] + HALF_LOG_2_PI
    e = np.where((np.abs(z) < far).any(axis=1), e, np.inf)
    shares, found = np.exp(logits - of_all), np.exp(likelihoods - of_target)
    parts = shares - found, -found * z * v, found * (1 - z * z)
    return e, np.concatenate(parts, axis=1).astype(s.dtype, copy=False)


def mixture_density_hessian_product(s, y, _, v):
    """With π = softmax(a), r = softmax(l), and the derivatives D of l along v.

    It is the covariance of the logits' derivatives under π, less that of D under r, less the mean
    under r of the second derivatives of l.
    """
    logits, means, log_scales = np.split(s, 3, axis=1)
    by_logits, by_means, by_scales = np.split(v, 3, axis=1)
    u = inverse_scale(log_scales)
    z = nearby((y - means) * u)
    likelihoods = logits - log_scales - z * z / 2
    shares, found = (np.exp(a - a.max(axis=1, keepdims=True)) for a in (logits, likelihoods))
    shares = shares / shares.sum(axis=1, keepdims=True)
    found = found / found.sum(axis=1, keepdims=True)
    of_z = u * by_means + z * by_scales
    along = by_logits - by_scales + z * of_z
    along = along - (found * along).sum(axis=1, keepdims=True)
    by_logits = by_logits - (shares * by_logits).sum(axis=1, keepdims=True)
    parts = (
        shares * by_logits - found * along,
        found * u * (of_z + z * (by_scales - along)),
        found * (along * (1 - z * z) + 2 * z * of_z),
    )
    return np.concatenate(parts, axis=1).astype(s.dtype, copy=False)


def quantiles(s, y, address):
    """The mean pinball loss of quantiles that do not cross.

    The first quantile is s_0, each further one softplus(s_j) above the one before.
    """
    d, slopes = _slopes_of_quantiles(s, y, address)
    rest = slopes[:, ::-1].cumsum(axis=1)[:, ::-1]  # of this quantile and of those above
    rest[:, 1:] *= sigmoid(s[:, 1:])
    return (slopes * d).sum(axis=1), rest.astype(s.dtype, copy=False)


def quantiles_hessian_product(s, y, address, v):
    """Only softplus curves: it is diagonal, and 0 for s_0."""
    _, slopes = _slopes_of_quantiles(s, y, address)
    rest, p = slopes[:, ::-1].cumsum(axis=1)[:, ::-1], sigmoid(s)
    rest[:, 0] = 0
    return (rest * p * (1 - p) * v).astype(s.dtype, copy=False)


def _slopes_of_quantiles(s, y, address):
    """Differences of the quantiles and the target, and the derivatives of e by the quantiles."""
    n = s.shape[1]
    levels = numbers(address, n).astype(s.dtype)
    steps = np.concatenate([s[:, :1], softplus(s[:, 1:])], axis=1)
    d = steps.cumsum(axis=1) - y
    return d, np.select([d > 0, d < 0], [(1 - levels) / n, -levels / n])

"""Distributions of raw outputs: mean, deviation, quantiles and cdf are SciPy's."""

import numpy as np
import pytest
import scipy.stats as stats

from fastbp.engine.distributions import distribution_of

s = np.array([[0.5, -1.0], [-2.0, 0.3], [3.0, 1.5]])
y = np.array([0.0, 1.0, 4.0])
LEVELS = [0.05, 0.5, 0.9]
scale = np.exp(s[:, 1])
TWINS = {
    "gaussian": (None, stats.norm(s[:, 0], np.exp(s[:, 1] / 2))),
    "student_t": (5.0, stats.t(5.0, s[:, 0], scale)),
    "laplace": (None, stats.laplace(s[:, 0], scale)),
    "negative_binomial": (None, stats.nbinom(1 / scale, 1 / (1 + np.exp(s[:, 0]) * scale))),
}


@pytest.mark.parametrize("loss", TWINS)
def test_distributions_are_those_of_scipy(loss):
    parameter, twin = TWINS[loss]
    found = distribution_of(loss, parameter)
    assert found.n_outputs == 2
    for method in (found.center, found.mean):
        np.testing.assert_allclose(method(s), twin.mean(), rtol=1e-12)
    np.testing.assert_allclose(found.std(s), twin.std(), rtol=1e-12)
    np.testing.assert_allclose(found.cdf(s, y), twin.cdf(y), rtol=1e-10)
    expected = np.stack([twin.ppf(level) for level in LEVELS], axis=1)
    np.testing.assert_allclose(found.quantiles(s, LEVELS), expected, rtol=1e-12)


def test_moments_that_do_not_exist():
    found = distribution_of("student_t", 1.0)
    assert not np.isfinite(found.mean(s)).any()
    assert np.array_equal(found.center(s), s[:, 0])
    assert not np.isfinite(distribution_of("student_t", 2.0).std(s)).any()


def test_mixtures_add_up_their_parts():
    #     logits     means     log scales
    raw = np.log([[0.2, 0.8, 1, 1, 1.5, 0.5]])
    raw[0, 2:4] = -1.0, 2.0
    found = distribution_of("mixture_density", 2)
    parts = stats.norm([-1.0, 2.0], [1.5, 0.5])
    shares = np.array([0.2, 0.8])
    assert found.n_outputs == 6
    mean = 0.2 * -1 + 0.8 * 2
    np.testing.assert_allclose(found.mean(raw), mean)
    variance = 0.2 * (1.5**2 + (mean + 1) ** 2) + 0.8 * (0.5**2 + (mean - 2) ** 2)
    np.testing.assert_allclose(found.std(raw), np.sqrt(variance))
    np.testing.assert_allclose(found.cdf(raw, [0.7]), shares @ parts.cdf(0.7))
    for level, quantile in zip(LEVELS, found.quantiles(raw, LEVELS)[0], strict=True):
        np.testing.assert_allclose(shares @ parts.cdf(quantile), level, rtol=1e-12)


def test_quantiles_do_not_cross_and_are_interpolated():
    raw = np.array([[1.0, -3.0, 2.0]])
    found = distribution_of("quantile", (0.1, 0.5, 0.9))
    first, second = 1 + np.log1p(np.exp(-3.0)), 1 + np.log1p(np.exp(-3.0)) + np.log1p(np.exp(2.0))
    np.testing.assert_allclose(
        found.quantiles(raw, [0.1, 0.5, 0.9, 0.6]),
        [[1.0, first, second, first + (second - first) / 4]],
    )
    np.testing.assert_allclose(found.center(raw), first)
    np.testing.assert_allclose(distribution_of("quantile", (0.9, 0.95)).center(raw[:, :2]), 1.0)
    with pytest.raises(ValueError, match="from 0.1 to 0.9, which do not tell the quantile 0.95"):
        found.quantiles(raw, [0.5, 0.95])
    for call in (found.mean, found.std, lambda raw: found.cdf(raw, [0.0])):
        with pytest.raises(ValueError, match="do not tell"):
            call(raw)


@pytest.mark.parametrize("extreme", [-1e4, 1e4])
def test_scales_out_of_range_stay_positive_and_finite(extreme):
    raw = np.array([[0.0, extreme]])
    for loss, (parameter, _) in TWINS.items():
        deviation = distribution_of(loss, parameter).std(raw)
        assert 0 < deviation < np.inf


def test_other_losses_have_no_distribution():
    assert distribution_of("squared_error", None) is None
    assert distribution_of("quantile", 0.5) is None

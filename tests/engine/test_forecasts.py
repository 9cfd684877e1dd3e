"""Forecasts of networks and ensembles, against SciPy's distributions and mixtures of them."""

import numpy as np
import pytest
from scipy import stats

from fastbp.engine.distributions import distribution_of
from fastbp.engine.forecasts import Distributions, Levels, Members, Points, mixture

Q = np.array([0.001, 0.3, 0.5, 0.975])


def raw(n_outputs, n=40, seed=0):
    return np.random.default_rng(seed).normal(size=(n, n_outputs))


def members(loss, parameter, n_outputs, count=3):
    distribution = distribution_of(loss, parameter)
    return [Distributions([(distribution, raw(n_outputs, seed=k))]) for k in range(count)]


def gaussian(s):
    return stats.norm(s[:, 0], np.exp(s[:, 1] / 2))


def counts(s):
    mean, dispersion = np.exp(s).T
    return stats.nbinom(1 / dispersion, 1 / (1 + dispersion * mean))


SCIPY = {
    ("gaussian", None, 2): gaussian,
    ("student_t", 5.0, 2): lambda s: stats.t(5, s[:, 0], np.exp(s[:, 1])),
    ("laplace", None, 2): lambda s: stats.laplace(s[:, 0], np.exp(s[:, 1])),
    ("negative_binomial", None, 2): counts,
}


@pytest.mark.parametrize("case", SCIPY, ids=lambda case: case[0])
def test_one_network(case):
    (forecast,) = members(*case, count=1)
    expected = SCIPY[case](forecast.parts[0][1])
    np.testing.assert_allclose(forecast.center[:, 0], expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(forecast.std()[:, 0], expected.std(), rtol=1e-12)
    found = forecast.quantiles(Q)
    assert found.shape == (40, 4, 1)
    for j, q in enumerate(Q):
        np.testing.assert_allclose(found[:, j, 0], expected.ppf(q), rtol=1e-9)
    y = raw(1, seed=9)
    scores = np.abs(y[:, 0] - expected.mean()) / expected.std()
    np.testing.assert_allclose(forecast.scores(y), scores[None], rtol=1e-12)


@pytest.mark.parametrize("case", SCIPY, ids=lambda case: case[0])
def test_a_mixture_of_members(case):
    """Mean, deviation and quantiles of the mixture, by SciPy's distributions of the members."""
    parts = members(*case)
    forecast = mixture(parts)
    expected = [SCIPY[case](part.parts[0][1]) for part in parts]
    means = np.array([each.mean() for each in expected])
    squares = np.mean([each.var() + each.mean() ** 2 for each in expected], axis=0)
    np.testing.assert_allclose(forecast.center[:, 0], means.mean(axis=0), rtol=1e-10)
    variance = squares - means.mean(axis=0) ** 2
    np.testing.assert_allclose(forecast.std()[:, 0] ** 2, variance, rtol=1e-9)

    def cdf(y):
        return np.mean([each.cdf(y) for each in expected], axis=0)

    for q, found in zip(Q, forecast.quantiles(Q)[:, :, 0].T, strict=True):
        if case[0] == "negative_binomial":  # the first whole number that is enough
            np.testing.assert_array_equal(found, np.rint(found))
            assert (cdf(found) >= q - 1e-12).all() and (cdf(found - 1) < q + 1e-12).all()
        else:
            np.testing.assert_allclose(cdf(found), q, rtol=1e-10)


def test_members_that_agree_are_as_one():
    (one,) = members("student_t", 4.0, 2, count=1)
    same = mixture([one, one, one])
    np.testing.assert_allclose(same.std(), one.std(), rtol=1e-14)
    np.testing.assert_allclose(same.quantiles(Q), one.quantiles(Q), rtol=1e-13)


def test_single_values():
    """An ensemble's members disagree; a network alone says nothing about its spread."""
    alone = [Points(raw(2, seed=k)) for k in range(4)]
    together, values = mixture(alone), np.stack([each.center for each in alone])
    assert isinstance(together, Members) and together.n_kinds == 2
    np.testing.assert_allclose(together.center, values.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(together.std(), values.std(axis=0), rtol=1e-14)
    found = together.quantiles(Q)
    assert found.shape == (40, 4, 2)
    np.testing.assert_allclose(found[:, 1], np.quantile(values, Q[1], axis=0), rtol=1e-14)
    np.testing.assert_array_equal(together.scores(values[0]), np.abs(values[0] - together.center).T)
    for method in (alone[0].std, lambda: alone[0].quantiles(Q)):
        with pytest.raises(ValueError, match="predicts single values, .* loss='gaussian'"):
            method()


def test_lists_of_quantiles():
    levels = (0.1, 0.5, 0.9)
    distribution = distribution_of("quantile", levels)
    parts = [Levels([(distribution, raw(3, seed=k))], levels) for k in range(3)]
    together, asked = mixture(parts), np.array([0.1, 0.3, 0.9])
    own = np.mean([distribution.quantiles(part.parts[0][1], asked) for part in parts], axis=0)
    np.testing.assert_allclose(together.quantiles(asked)[:, :, 0], own, rtol=1e-14)
    np.testing.assert_allclose(together.center, together.quantiles(np.array([0.5]))[:, :, 0])
    with pytest.raises(ValueError, match="do not tell the standard deviation"):
        together.std()
    with pytest.raises(ValueError, match="do not tell the quantile 0.95"):
        together.quantiles(np.array([0.95]))


def test_what_has_no_answer():
    (heavy,) = members("student_t", 1.5, 2, count=1)
    for method in (heavy.std, lambda: heavy.scores(raw(1))):
        with pytest.raises(ValueError, match="no finite standard deviation .* above 2"):
            method()
    with pytest.raises(ValueError, match="must lie between 0 and 1"):
        heavy.quantiles(np.array([0.0, 0.5]))
    levels = [
        Levels([(distribution_of("quantile", q), raw(2))], q) for q in [(0.1, 0.9), (0.2, 0.8)]
    ]
    for odd in (levels, [heavy, Points(raw(1))]):
        with pytest.raises(ValueError, match="members with different losses"):
            mixture(odd)


def test_a_scale_that_underflows():
    """A score is infinite or 0, but never NaN."""
    forecast = Distributions([(distribution_of("gaussian", None), np.array([[1.0, -1e4]] * 2))])
    assert forecast.scores(np.array([[1.0], [2.0]]))[0, 0] == 0
    assert forecast.scores(np.array([[1.0], [2.0]]))[0, 1] > 1e100

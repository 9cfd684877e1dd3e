"""Split conformal prediction: ranks by hand, and coverage of exchangeable data."""

import numpy as np
import pytest
from scipy import stats

from fastbp.engine import conformal
from fastbp.engine.conformal import Calibration
from fastbp.engine.distributions import distribution_of
from fastbp.engine.forecasts import Distributions, Levels, Members, Points

LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


@pytest.mark.parametrize(
    "n, coverage, k",
    [
        (4, 0.8, 4),
        (4, 0.6, 3),
        (4, 0.61, 4),
        (9, 0.9, 9),
        (1, 0.5, 1),
        (99, 0.07, 7),
        (99, 0.29, 29),
    ],
)
def test_ranks_by_hand(n, coverage, k):
    """The k-th of n scores is not exceeded by the (n + 1)-th with probability k / (n + 1)."""
    scores = np.arange(n, 0.0, -1.0)[None]
    assert Calibration(scores, b"").score_for(coverage).tolist() == [k]


@pytest.mark.parametrize("n, coverage, needed", [(4, 0.81, 5), (8, 0.9, 9), (98, 0.99, 99)])
def test_the_smallest_number_of_samples(n, coverage, needed):
    with pytest.raises(ValueError, match=rf"coverage={coverage} needs at least {needed} samples"):
        Calibration(np.zeros((1, n)), b"").score_for(coverage)
    assert Calibration(np.zeros((1, needed)), b"").score_for(coverage).tolist() == [0]


@pytest.mark.parametrize("coverage", [0, 1, -0.5, np.nan, 90])
def test_bad_coverages(coverage):
    hint = "for 90 % pass 0.9" if coverage == 90 else "coverage must lie between 0 and 1"
    with pytest.raises(ValueError, match=hint):
        conformal.check_coverage(coverage)


def test_coverages_of_other_types():
    assert conformal.check_coverage(np.float32(0.5)) == 0.5
    for odd in ("0.9", None, True, [0.9]):
        with pytest.raises(TypeError, match="coverage must be a number"):
            conformal.check_coverage(odd)


def of_gaussian(rng, n):
    return [(distribution_of("gaussian", None), rng.normal(size=(n, 2)))]


# Kind of forecast -> one of it for n samples, right or wrong as it may be.
FORECASTS = {
    "points": lambda rng, n: Points(rng.normal(size=(n, 2))),
    "members": lambda rng, n: Members([Points(rng.normal(size=(n, 1))) for _ in range(3)]),
    "distributions": lambda rng, n: Distributions(of_gaussian(rng, n)),
    "mixture": lambda rng, n: Distributions(of_gaussian(rng, n) + of_gaussian(rng, n)),
    "levels": lambda rng, n: Levels(
        [(distribution_of("quantile", LEVELS), rng.normal(size=(n, 5)))], LEVELS
    ),
}


@pytest.mark.parametrize("kind", FORECASTS)
def test_coverage(kind):
    """Whatever the forecasts and the noise, the mean over calibrations is k / (n + 1).

    The coverage after one calibration has the distribution Beta(k, n + 1 - k).
    """
    rng = np.random.default_rng(0)
    n, calibrations, tries = 14, 500, 40
    for coverage, k in [(0.5, 8), (0.9, 14)]:
        covered = []
        for _ in range(calibrations):
            forecast = FORECASTS[kind](rng, n + tries)
            n_outputs = forecast.center.shape[1]
            y = rng.exponential(2, (n + tries, n_outputs)) + rng.integers(2, size=n_outputs)
            scores = Calibration(forecast.scores(y)[:, :n], b"").score_for(coverage)
            low, high = forecast.interval(scores, coverage)
            covered.append(((low <= y) & (y <= high))[n:].mean(axis=0))
        share = np.mean(covered, axis=0)
        beta = stats.beta(k, n + 1 - k)
        spread = np.sqrt((beta.var() + 0.25 / tries) / calibrations)
        assert np.abs(share - beta.mean()).max() < 4 * spread, (share, beta.mean())
        if kind == "points":  # the calibrations' own spread, beside that of few tries
            expected = beta.var() + (beta.mean() - beta.moment(2)) / tries
            assert np.var(covered) == pytest.approx(expected, rel=0.2)


def test_a_useless_interval_is_a_point():
    """Where the pair of quantiles would cross, it shrinks to its middle."""
    forecast = Levels([(distribution_of("quantile", (0.1, 0.9)), np.zeros((1, 2)))], (0.1, 0.9))
    low, high = forecast.interval(np.array([-5.0]), 0.8)
    assert low == high == pytest.approx(np.log(2) / 2)


def test_the_pair_nearest_to_the_coverage():
    distribution = distribution_of("quantile", LEVELS)
    s = np.random.default_rng(0).normal(size=(3, 5))
    forecast, own = Levels([(distribution, s)], LEVELS), distribution.quantiles(s, LEVELS)
    scores = np.array([1.0, 2.0])
    for coverage, pair in [(0.95, 0), (0.8, 0), (0.61, 0), (0.59, 1), (0.4, 1), (0.1, 1)]:
        low, high = forecast.interval(scores, coverage)
        np.testing.assert_allclose(low[:, 0], own[:, pair] - scores[pair])
        np.testing.assert_allclose(high[:, 0], own[:, -1 - pair] + scores[pair])

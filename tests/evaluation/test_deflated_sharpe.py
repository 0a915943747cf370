from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from nofx_pipelines.evaluation.deflated_sharpe import (
    deflated_sharpe,
    expected_best_sharpe,
    moments,
    probabilistic_sharpe,
)

# Bailey & López de Prado (2014), numerical example: annualised Sharpe 2.5 over five years of 250 days,
# variance 1/2 across trials (annualised), skewness -3, kurtosis 10.
SHARPE, VARIANCE, LENGTH = 2.5 / math.sqrt(250), 0.5 / 250, 1250


def test_the_papers_example() -> None:
    assert expected_best_sharpe(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(SHARPE, 100, VARIANCE, LENGTH, -3, 10) == pytest.approx(0.9004, abs=5e-5)


def test_the_papers_break_even_numbers_of_trials() -> None:
    assert deflated_sharpe(SHARPE, 46, VARIANCE, LENGTH, -3, 10) == pytest.approx(0.9505, abs=5e-5)
    assert deflated_sharpe(SHARPE, 88, VARIANCE, LENGTH, 0, 3) == pytest.approx(0.9505, abs=5e-5)


def test_the_expected_best_is_what_a_simulation_finds() -> None:
    draws = np.random.default_rng(7).standard_normal((20_000, 50)).max(axis=1)
    assert expected_best_sharpe(50, 1.0) == pytest.approx(draws.mean(), rel=0.02)


def test_one_trial_deflates_nothing() -> None:
    assert deflated_sharpe(0.1, 1, 0.5, 250, 0, 3) == probabilistic_sharpe(0.1, 0.0, 250)


def test_normal_returns_give_the_normal_probability() -> None:
    expected = stats.norm.cdf(0.05 * math.sqrt(249) / math.sqrt(1 + 0.5 * 0.1**2))
    assert probabilistic_sharpe(0.1, 0.05, 250) == pytest.approx(expected, rel=1e-12)


def test_moments_are_scipys() -> None:
    values = np.random.default_rng(7).gamma(2.0, size=100)
    assert moments(values) == pytest.approx((stats.skew(values), stats.kurtosis(values, fisher=False)))
    assert all(map(math.isnan, moments(np.ones(5))))


def test_without_a_second_observation_nothing_is_known() -> None:
    assert math.isnan(probabilistic_sharpe(0.1, 0.0, 1))


@pytest.mark.slow
def test_the_probability_is_calibrated_on_skill_less_returns() -> None:
    """Under no skill the probabilistic Sharpe ratio is uniform: it exceeds .95 one time in twenty."""
    rng = np.random.default_rng(11)
    over = 0
    for _ in range(4_000):
        returns = rng.standard_normal(225)
        observed = returns.mean() / returns.std(ddof=1)
        over += probabilistic_sharpe(observed, 0.0, 225, *moments(returns)) > 0.95
    assert 0.04 < over / 4_000 < 0.06


def test_the_best_of_trials_grows_from_zero_at_one_trial_without_a_jump() -> None:
    counts = np.linspace(1.0, 12.0, 400)
    best = np.array([expected_best_sharpe(float(count), 1.0) for count in counts])
    assert best[0] == 0.0
    assert (np.diff(best) >= 0).all()
    assert np.diff(best).max() < 0.05

"""p-values: uniform on fresh data, right far out, and blind to what lies in the reference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nofx_pipelines.anomaly.calibration import CAP, Tail
from nofx_pipelines.errors import NotEnoughData


def test_p_values_of_fresh_data_are_uniform() -> None:
    rng = np.random.default_rng(5)
    tail = Tail.fit(np.abs(rng.standard_t(4, size=50_000)))
    p = 10.0 ** -tail.score(np.abs(rng.standard_t(4, size=20_000)))
    assert stats.kstest(p, "uniform").statistic < 0.015


@pytest.mark.parametrize("df", [3, 5])
def test_far_out_p_is_the_distribution_s_own(df: int) -> None:
    for p, slack in ((1e-3, 0.2), (1e-4, 0.5), (1e-5, 0.9)):
        at = np.array([stats.t.isf(p / 2, df)])
        scores = [
            Tail.fit(np.abs(np.random.default_rng(seed).standard_t(df, size=50_000))).score(at)[0]
            for seed in range(9)
        ]
        assert np.median(scores) == pytest.approx(-np.log10(p), abs=slack)


def test_a_thin_tail_is_given_too_much_rather_than_too_little() -> None:
    tail = Tail.fit(np.abs(np.random.default_rng(6).normal(size=50_000)))
    for p in (1e-4, 1e-6):
        assert -np.log10(p) - 2 < tail.score(np.array([stats.norm.isf(p / 2)]))[0] < -np.log10(p)


def test_a_pareto_tail_is_found_again() -> None:
    body = stats.genpareto.rvs(0.25, scale=2.0, size=100_000, random_state=7)
    tail = Tail.fit(body)
    # above a threshold u a generalised Pareto has the same shape and the scale sigma + shape * u
    assert tail.shape == pytest.approx(0.25, abs=0.06)
    assert tail.scale == pytest.approx(2.0 + 0.25 * tail.threshold, rel=0.1)


def test_anomalies_in_the_reference_do_not_hide_the_next_one() -> None:
    clean = np.abs(np.random.default_rng(8).normal(size=10_000))
    dirty = np.concatenate([clean, np.full(20, 30.0)])
    threshold = np.quantile(dirty, 0.98)
    shape, _, scale = stats.genpareto.fit(dirty[dirty > threshold] - threshold, floc=0)
    stretched = -np.log10(0.02 * stats.genpareto.sf(6.0 - threshold, shape, scale=scale))
    assert Tail.fit(dirty).score(np.array([6.0]))[0] > stretched + 1.0
    assert Tail.fit(dirty).score(np.array([6.0]))[0] > 4.0


def test_louder_is_never_less_unusual() -> None:
    tail = Tail.fit(np.abs(np.random.default_rng(9).standard_t(3, size=5_000)))
    scores = tail.score(np.linspace(0, 200, 20_001))
    assert (np.diff(scores) >= -1e-12).all()
    assert scores.max() <= CAP


@given(st.floats(0.2, 8.0))
def test_quantile_is_the_inverse_of_score(neg_log10_p: float) -> None:
    tail = Tail.fit(np.abs(np.random.default_rng(10).normal(size=20_000)))
    at = tail.quantile(neg_log10_p)
    assert tail.score(np.array([at]))[0] == pytest.approx(neg_log10_p, abs=0.02)


def test_unknown_stays_unknown_and_does_not_count() -> None:
    values = np.abs(np.random.default_rng(11).normal(size=1_000))
    with_gaps = np.concatenate([values, np.full(500, np.nan), [np.inf]])
    at = np.array([[1.0, np.nan], [3.0, 0.0]])
    np.testing.assert_array_equal(Tail.fit(values).score(at), Tail.fit(with_gaps).score(at))
    assert np.isnan(Tail.fit(values).score(at)[0, 1])


def test_a_score_does_not_depend_on_its_batch() -> None:
    tail = Tail.fit(np.abs(np.random.default_rng(12).normal(size=2_000)))
    batch = np.abs(np.random.default_rng(13).normal(size=300)) * 2
    alone = np.array([tail.score(batch[k : k + 1])[0] for k in range(300)])
    np.testing.assert_array_equal(tail.score(batch), alone)


def test_a_constant_reference_makes_anything_beyond_it_unusual() -> None:
    tail = Tail.fit(np.ones(500))
    assert tail.score(np.array([1.0]))[0] == 0.0
    assert tail.score(np.array([2.0]))[0] > 1.6


def test_too_few_values_are_refused() -> None:
    with pytest.raises(NotEnoughData, match="99 reference values are fewer than 100"):
        Tail.fit(np.ones(99))

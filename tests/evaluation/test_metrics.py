from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from nofx_pipelines.evaluation import metrics

# Thirty daily returns and what empyrical-reloaded 0.7.1 says of them (252 days a year).
RETURNS = np.concatenate(
    [
        [0.001, 0.007, -0.0045, -0.0168, -0.0081, -0.0188, 0.0022, 0.0278, -0.0088, -0.0114],
        [0.0108, 0.0081, 0.0031, -0.0176, 0.0004, 0.0149, -0.0259, -0.0082, -0.037, -0.0248],
        [-0.0358, -0.0037, -0.0243, 0.0064, 0.0041, -0.0027, -0.0493, -0.0098, 0.0, 0.0033],
    ]
)
EMPYRICAL = {
    "sharpe": -6.914573652025288,
    "sortino": -6.914473645214881,
    "calmar": -4.0494264703541845,
    "max_drawdown": -0.20911586698367857,
    "annual_return": -0.8467993271347727,
    "total_return": -0.20015244248112796,
}


@pytest.mark.parametrize("name", sorted(EMPYRICAL))
def test_agrees_with_empyrical(name: str) -> None:
    function = getattr(metrics, name)
    arguments = () if name in ("max_drawdown", "total_return") else (252,)
    assert float(function(RETURNS, *arguments)) == pytest.approx(EMPYRICAL[name], rel=1e-13)


@pytest.mark.parametrize("name", sorted(EMPYRICAL))
def test_rows_of_resamples_are_measured_one_by_one(name: str) -> None:
    function = getattr(metrics, name)
    arguments = () if name in ("max_drawdown", "total_return") else (252,)
    rows = np.stack([RETURNS, RETURNS[::-1], np.abs(RETURNS) - 0.001])
    expected = [float(function(row, *arguments)) for row in rows]
    np.testing.assert_allclose(function(rows, *arguments), expected, rtol=1e-13)


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=30))
def test_drawdown_is_the_worst_fall_between_any_two_dates(returns: list[float]) -> None:
    curve = np.concatenate([[1.0], np.cumprod(1.0 + np.array(returns))])
    worst = min(curve[j] / curve[i] - 1.0 for i in range(curve.size) for j in range(i, curve.size))
    assert float(metrics.max_drawdown(np.array(returns))) == pytest.approx(worst, abs=1e-12)


def test_what_does_not_vary_has_no_ratio() -> None:
    constant = np.full(10, 0.1)
    assert np.isnan(metrics.sharpe(constant, 252))
    assert np.isnan(metrics.icir(constant))
    assert np.isnan(metrics.sortino(constant, 252))
    assert np.isnan(metrics.calmar(constant, 252))
    assert np.isnan(metrics.sharpe(np.array([0.1]), 252))


def _frame(scores: np.ndarray, returns: np.ndarray, per_session: int = 1) -> pl.DataFrame:
    bars, instruments = scores.shape
    day = date(2024, 1, 1)
    rows = [
        (
            f"I{i:02d}",
            datetime(2024, 1, 1, tzinfo=UTC) + timedelta(days=t // per_session, minutes=t % per_session),
            day + timedelta(days=t // per_session),
            float(scores[t, i]),
            None if np.isnan(returns[t, i]) else float(returns[t, i]),
        )
        for t in range(bars)
        for i in range(instruments)
    ]
    schema = {
        "instrument_id": pl.String,
        "ts_close": pl.Datetime("us", "UTC"),
        "session_date": pl.Date,
        "score": pl.Float64,
        "forward_return": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_cross_sectional_coefficients_are_scipys(rng: np.random.Generator) -> None:
    scores = np.round(rng.standard_normal((7, 12)), 1)  # with ties
    returns = np.round(scores * 0.3 + rng.standard_normal((7, 12)), 1)
    returns[2, :3] = np.nan  # unknown labels do not count
    result = metrics.cross_sectional_ic(_frame(scores, returns).sample(fraction=1.0, shuffle=True, seed=1))
    known = [~np.isnan(row) for row in returns]
    spearman = [stats.spearmanr(s[k], r[k]).statistic for s, r, k in zip(scores, returns, known, strict=True)]
    pearson = [stats.pearsonr(s[k], r[k]).statistic for s, r, k in zip(scores, returns, known, strict=True)]
    np.testing.assert_allclose(result["rank_ic"], spearman, rtol=1e-12)
    np.testing.assert_allclose(result["ic"], pearson, rtol=1e-12)
    assert result["n"].to_list() == [12, 12, 9, 12, 12, 12, 12]
    assert metrics.rank_ic(_frame(scores, returns)) == pytest.approx(float(np.mean(spearman)), rel=1e-12)


def test_a_thin_or_flat_timestamp_is_null() -> None:
    scores = np.array([[1.0, 2, 3, 4, 5], [0.1] * 5, [1.0, 2, 3, 4, 5]])
    returns = np.array([[1.0, 2, 3, 4, np.nan], [1.0, 2, 3, 4, 5], [0.3] * 5])
    result = metrics.cross_sectional_ic(_frame(scores, returns))
    assert result["rank_ic"].to_list() == [None, None, None]
    assert result["ic"].to_list() == [None, None, None]
    assert metrics.rank_ic(_frame(scores, returns)) is None


def test_contributions_over_time_average_to_scipys_coefficients(rng: np.random.Generator) -> None:
    scores = np.round(rng.standard_normal((60, 2)), 1)
    returns = 0.4 * scores + rng.standard_normal((60, 2))
    result = metrics.ic_over_time(_frame(scores, returns, per_session=3))
    spearman = np.mean([stats.spearmanr(scores[:, i], returns[:, i]).statistic for i in range(2)])
    pearson = np.mean([stats.pearsonr(scores[:, i], returns[:, i]).statistic for i in range(2)])
    assert result["rank_ic"].mean() == pytest.approx(spearman, rel=1e-12)
    assert result["ic"].mean() == pytest.approx(pearson, rel=1e-12)


def test_over_time_a_score_that_never_moves_is_null() -> None:
    result = metrics.ic_over_time(_frame(np.ones((6, 1)), np.arange(6.0)[:, None]))
    assert result["rank_ic"].to_list() == [None] * 6


def test_hits_count_sides_of_the_median_or_of_zero() -> None:
    scores = np.array([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    returns = np.array([[0.3, 0.1, 0.2], [0.3, 0.2, np.nan]])
    frame = _frame(scores, returns)
    # First bar: above/above, below/below, on the line. Second: two rows known, sides reversed.
    assert metrics.hits(frame, cross_section=True)["hits"].to_list() == [2, 0]
    assert metrics.hits(frame, cross_section=True)["calls"].to_list() == [2, 2]
    assert metrics.hits(frame, cross_section=False)["hits"].to_list() == [3, 2]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=20))
def test_spearman_is_scipys_ties_included(pairs: list[tuple[int, int]]) -> None:
    x, y = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    ours = metrics.spearman(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)

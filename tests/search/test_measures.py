"""What scores are worth, against what the gates compute."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.evaluation import metrics
from nofx_pipelines.models.dataset import Dataset
from nofx_pipelines.search.measures import active_returns, rank_ic, sharpe, turnover


def ragged(seed: int, times: int, instruments: int, keep: float) -> Dataset:
    rng = np.random.default_rng(seed)
    chosen = rng.random(times * instruments) < keep
    time, place = (grid.ravel()[chosen] for grid in np.mgrid[:times, :instruments])
    size = len(time)
    return Dataset(
        x=np.zeros((size, 1)),
        y=rng.integers(-4, 5, size).astype(float),  # ties
        weight=np.ones(size),
        ts_close=time.astype(np.int64) * 1_000_000,
        session_date=time.astype(np.int32),
        instrument_id=np.array([f"i{n}" for n in place]),
        feature_names=("a",),
    )


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from([1, 3, 4, 6, 9]), st.floats(0.4, 1.0))
def test_rank_ic_is_the_one_that_the_gates_use(seed, times, instruments, keep):
    data = ragged(seed, times, instruments, keep)
    score = np.random.default_rng(seed + 1).integers(-4, 5, len(data)).astype(float)
    if not len(data):
        return
    crossed = len(np.unique(data.instrument_id)) >= metrics.MIN_CROSS_SECTION
    oracle = metrics.cross_sectional_ic if crossed else metrics.ic_over_time
    expected = oracle(data.predictions(score))["rank_ic"].mean()
    assert rank_ic(score, data) == pytest.approx(expected or 0.0, abs=1e-12)


def test_turnover_of_a_portfolio_that_never_and_always_changes():
    data = ragged(1, 20, 10, 1.0)
    still = np.tile(np.arange(10.0), 20)
    assert turnover(still, data) == 0.0
    flipping = np.concatenate([np.arange(10.0) * (1 if day % 2 else -1) for day in range(20)])
    assert turnover(flipping, data) == pytest.approx(1.0)


def test_the_sharpe_of_a_horizon_is_that_of_the_top_fifth_less_that_of_all():
    data = ragged(3, 40, 5, 1.0)
    score = np.tile(np.arange(5.0), 40)
    earned = np.expm1(data.y).reshape(40, 5)
    held = earned[:, 4] - earned.mean(axis=1)
    assert sharpe(active_returns(score, data)) == pytest.approx(held.mean() / held.std())
    assert sharpe(active_returns(score, dataclasses.replace(data, y=np.zeros(len(data))))) == 0.0


def test_below_five_instruments_the_sharpe_of_a_horizon_is_against_cash():
    data = ragged(3, 40, 4, 1.0)
    score = np.tile([1.0, -1.0, 1.0, -1.0], 40)
    held = np.expm1(data.y).reshape(40, 4)[:, [0, 2]].sum(axis=1) / 4
    assert sharpe(active_returns(score, data)) == pytest.approx(held.mean() / held.std())

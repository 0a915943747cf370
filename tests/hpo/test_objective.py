from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.hpo.objective import (
    Objective,
    Outcome,
    Trial,
    active_returns,
    rank_ic,
    sharpe,
    thinned,
    turnover,
)
from nofx_pipelines.hpo.study import prepare
from nofx_pipelines.models import gbdt, metrics
from nofx_pipelines.models.dataset import Dataset, from_frame
from nofx_pipelines.models.gbdt import GbdtParams

TREES = {"trees": 15}


@pytest.fixture(scope="module")
def world(plant):
    return plant()


@pytest.fixture(scope="module")
def objective(world):
    return prepare(*world, 5, folds_used=3, row_budget=10**9)


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


def test_only_train_and_valid_rows_are_ever_seen(world, objective):
    frame, folds = world
    ends = folds.filter(pl.col("role") == "valid")["end"].max()
    assert objective.data.session_date.max() < (ends - pl.date(1970, 1, 1).pipe(pl.select).item()).days
    last = folds["fold"].max()
    start = folds.filter(fold=last, role="test")["start"].item()
    spoiled = frame.with_columns(
        pl.when(pl.col("session_date") < start).then("forward_return").otherwise(9.0).alias("forward_return")
    )
    assert prepare(spoiled, folds, 5, folds_used=3, row_budget=10**9).data.fingerprint() == (
        objective.data.fingerprint()
    )


def test_folds_are_the_table_s_rows_latest_first(world, objective):
    frame, folds = world
    days = from_frame(frame).session_date
    assert len(objective.folds) == 3
    for place, rows in enumerate(objective.folds):
        span = folds.filter(fold=2 - place).with_columns(pl.col("start", "end").to_physical())
        for role in ("train", "valid"):
            start, stop = getattr(rows, role)
            of_role = span.filter(role=role)
            inside = (days >= of_role["start"].item()) & (days < of_role["end"].item())
            assert np.flatnonzero(inside).tolist() == list(range(start, stop))


def test_steps_are_running_means_of_models_fitted_on_the_folds_train(objective):
    outcome = objective.evaluate(Trial(0, TREES, (None, None, None)))
    scores = []
    for rows in objective.folds:
        model = gbdt.fit(objective.data.take(slice(*rows.train)), GbdtParams(**TREES), seed=5)
        valid = objective.data.take(slice(*rows.valid))
        scores.append(metrics.rank_ic(valid.predictions(model.predict(valid.x))))
    expected = np.cumsum(scores) / np.arange(1, 4)
    assert outcome.state == "COMPLETE"
    np.testing.assert_allclose(outcome.steps, expected, atol=1e-12)
    assert outcome.rank_ic == outcome.steps[-1]


def test_a_trial_stops_at_the_fold_where_it_falls_behind(objective):
    whole = objective.evaluate(Trial(0, TREES, (None, None, None)))
    for step in (0, 1):
        limits = [None, None, None]
        limits[step] = whole.steps[step] + 1e-9
        pruned = objective.evaluate(Trial(1, TREES, tuple(limits)))
        assert (pruned.state, pruned.steps) == ("PRUNED", whole.steps[: step + 1])
        limits[step] = whole.steps[step]  # not below: goes on
        assert objective.evaluate(Trial(2, TREES, tuple(limits))).state == "COMPLETE"


def test_a_trial_that_cannot_run_fails_with_its_reason(objective):
    outcome = objective.evaluate(Trial(4, {"trees": 5, "lambda_l2": -1.0}, (None, None, None)))
    assert outcome.state == "FAIL"
    assert "lambda_l2" in outcome.reason
    assert Outcome.from_dict(outcome.as_dict()) == outcome


def test_what_was_saved_scores_the_same(objective, tmp_path):
    objective.save(tmp_path)
    trial = Trial(0, TREES, (None, None, None))
    found = Objective.load(tmp_path).evaluate(trial)
    assert dataclasses.replace(found, seconds=0) == dataclasses.replace(objective.evaluate(trial), seconds=0)


def test_thinning_leaves_whole_timestamps_at_even_distances():
    data = ragged(3, 100, 6, 1.0)
    kept = thinned(data, 150)
    assert len(kept) == 25 * 6
    assert np.unique(kept.session_date).tolist() == list(range(0, 100, 4))
    assert thinned(data, 600) is data


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

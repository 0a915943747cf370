from __future__ import annotations

import math
from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nofx_pipelines.config import FoldConfig, LabelConfig
from nofx_pipelines.errors import ConfigError, DataError, NotEnoughData
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import Role, rows, sessions_needed, walk_forward
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.schemas import FOLDS

from .strategies import LONG_AFTER, intraday_bars, random_walk

ROLES: tuple[Role, ...] = ("train", "valid", "test")
configs = st.builds(
    FoldConfig,
    count=st.integers(2, 8),
    test_fraction=st.floats(0.05, 0.6),
    embargo_bars=st.integers(0, 20),
)


def business_days(count: int) -> list[date]:
    """Monday to Friday from 2024-01-01, without some Wednesdays."""
    days = (date(2024, 1, 1) + timedelta(days=n) for n in range(2 * count + 10))
    return [day for day in days if day.weekday() < 5 and day.day != 17][:count]


def numbers(folds: pl.DataFrame, sessions: list[date], fold: int, role: Role) -> list[int]:
    """Which sessions a role holds, read from the table alone."""
    frame = pl.DataFrame({"session_date": sessions, "number": range(len(sessions))})
    return rows(frame, folds, fold, role)["number"].to_list()


def test_three_years_of_daily_bars_by_hand() -> None:
    sessions = business_days(750)
    folds = walk_forward(sessions, FoldConfig(), horizon_sessions=5)
    assert folds.schema == pl.Schema(FOLDS.columns)
    spans = {
        (fold, role): (min(held), max(held) + 1)
        for fold in range(5)
        for role in ROLES
        if (held := numbers(folds, sessions, fold, role))
    }
    # hold-out 300; 440 before it less the gap of 10; blocks of (440 - 20) // 7 = 60
    assert spans[4, "train"] == (0, 370)
    assert spans[4, "valid"] == (380, 440)
    assert spans[4, "test"] == (450, 750)
    assert spans[3, "test"] == (380, 440)
    assert spans[3, "valid"] == (310, 370)
    assert spans[3, "train"] == (0, 300)
    assert spans[0, "train"] == (0, 120)
    assert spans[0, "valid"] == (130, 190)
    assert spans[0, "test"] == (200, 260)
    assert set(folds.filter(role="train")["purge_bars"]) == {0}
    assert set(folds.filter(pl.col("role") != "train")["purge_bars"]) == {5}


@settings(deadline=None)
@given(configs, st.integers(30, 400), st.integers(1, 12), st.sampled_from([1, 4, 240]))
def test_no_label_window_reaches_into_a_later_role(
    config: FoldConfig, size: int, horizon: int, per_session: int
) -> None:
    sessions = business_days(size)
    assume(size >= sessions_needed(config, horizon_sessions=horizon, bars_per_session=per_session))
    folds = walk_forward(sessions, config, horizon_sessions=horizon, bars_per_session=per_session)
    embargo = math.ceil(config.embargo_bars / per_session)
    held = {(f, r): numbers(folds, sessions, f, r) for f in range(config.count) for r in ROLES}
    for fold in range(config.count):
        train, valid, test = (held[fold, role] for role in ROLES)
        for earlier, later in ((train, valid), (valid, test), (train, test)):
            reached = {n + step for n in earlier for step in range(horizon + embargo + 1)}
            assert not reached & set(later)
        assert valid[0] - train[-1] - 1 == horizon + embargo  # and nothing more is thrown away
        assert test[0] - valid[-1] - 1 == horizon + embargo
        assert train[0] == 0


@settings(deadline=None)
@given(configs, st.integers(30, 400), st.integers(1, 8))
def test_tests_are_disjoint_trains_expand_and_the_hold_out_is_last(
    config: FoldConfig, size: int, horizon: int
) -> None:
    sessions = business_days(size)
    assume(size >= sessions_needed(config, horizon_sessions=horizon))
    folds = walk_forward(sessions, config, horizon_sessions=horizon)
    tests = [set(numbers(folds, sessions, fold, "test")) for fold in range(config.count)]
    trains = [numbers(folds, sessions, fold, "train") for fold in range(config.count)]
    assert sum(len(test) for test in tests) == len(set.union(*tests))
    assert all(len(earlier) < len(later) for earlier, later in pairwise(trains))
    hold_out = tests[-1]
    assert hold_out == set(range(size - max(1, round(config.test_fraction * size)), size))
    for fold in range(config.count - 1):
        used = {n for role in ROLES for n in numbers(folds, sessions, fold, role)}
        reached = {n + step for n in used for step in range(horizon + 1)}
        assert not reached & hold_out
        assert len(trains[fold]) >= 2 * len(numbers(folds, sessions, fold, "valid"))


@settings(deadline=None)
@given(configs, st.integers(1, 8))
def test_sessions_needed_is_the_fewest(config: FoldConfig, horizon: int) -> None:
    needed = sessions_needed(config, horizon_sessions=horizon)
    walk_forward(business_days(needed), config, horizon_sessions=horizon)
    with pytest.raises(NotEnoughData, match=f"{needed - 1} sessions .* at least {needed} are needed"):
        walk_forward(business_days(needed - 1), config, horizon_sessions=horizon)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 25), st.integers(0, 99), st.lists(st.integers(0, 399), max_size=40, unique=True))
def test_purge_holds_for_every_bar(horizon: int, seed: int, missing: list[int]) -> None:
    """A brute force over bars: whatever decides a label lies before the next role's first bar."""
    per_session = 10
    closes: list[float | None] = list(random_walk(seed, 400))
    for bar in missing:
        closes[bar] = None
    bars = intraday_bars(closes, per_session)
    labelling = LabelConfig(horizon=horizon, sigma_bars=5)
    windows = LabelWindows.of(labelling, per_session)
    labels = compute_labels(bars, labelling, known_until=LONG_AFTER, windows=windows)
    sessions = sorted(set(bars["session_date"].to_list()))
    config = FoldConfig(count=3, test_fraction=0.2, embargo_bars=0)
    folds = walk_forward(sessions, config, horizon_sessions=windows.ahead, bars_per_session=per_session)
    for fold in range(config.count):
        parts = [rows(labels, folds, fold, role) for role in ROLES]
        for earlier, later in pairwise(parts):
            first_bar = later["ts_close"].min()
            assert not earlier.filter(pl.col("known_at") >= first_bar).height


def test_a_fold_or_role_that_is_not_there_is_named() -> None:
    sessions = business_days(100)
    folds = walk_forward(sessions, FoldConfig(count=2), horizon_sessions=1)
    frame = pl.DataFrame({"session_date": sessions})
    with pytest.raises(ConfigError, match="fold 2"):
        rows(frame, folds, 2, "test")
    assert rows(frame.lazy(), folds, 1, "test").collect().equals(rows(frame, folds, 1, "test"))


def test_unsorted_sessions_are_refused() -> None:
    with pytest.raises(DataError, match="2024-01-01 follows 2024-01-02"):
        walk_forward([date(2024, 1, 2), date(2024, 1, 1)], FoldConfig(), horizon_sessions=1)


@pytest.mark.parametrize(("sessions", "horizon", "per_session"), [(120, 1, 331), (32, 1, 1440)])
def test_short_real_histories_fit(sessions: int, horizon: int, per_session: int) -> None:
    days = business_days(sessions)
    folds = walk_forward(days, FoldConfig(), horizon_sessions=horizon, bars_per_session=per_session)
    assert folds.height == 15

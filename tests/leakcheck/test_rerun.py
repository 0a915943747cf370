from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig, LabelConfig
from nofx_pipelines.errors import DataError, LeakError, NotEnoughData
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import rows, walk_forward
from nofx_pipelines.leakcheck.report import ROWS
from nofx_pipelines.leakcheck.rerun import check
from nofx_pipelines.leakcheck.stage import Stage, World

from .worlds import daily, intraday

DAILY = daily()
MINUTES = intraday(3, 20, 30)
KEY = ("instrument_id", "ts_close")
Each = Callable[[pl.Expr], pl.Expr]


def feature(expression: pl.Expr) -> Stage:
    """A stage with one column ``x``, computed over each instrument's traded bars."""

    def compute(world: World) -> pl.DataFrame:
        traded = world.bars.filter(pl.col("close").is_not_null()).sort(KEY)
        return traded.select(*KEY, x=expression)

    return Stage("features", compute, KEY, "ts_close")


CLOSE = pl.col("close")
HONEST = {
    "return": (CLOSE / CLOSE.shift(1)).log().over("instrument_id"),
    "moving average": CLOSE.rolling_mean(20).over("instrument_id"),
    "exponential": CLOSE.ewm_mean(span=10).over("instrument_id"),
    "expanding maximum": CLOSE / CLOSE.cum_max().over("instrument_id"),
    "cross-sectional rank": CLOSE.rank().over("ts_close") / pl.len().over("ts_close"),
}
LEAKY = {
    "next close": CLOSE.shift(-1).over("instrument_id") / CLOSE,
    "five closes ahead": CLOSE.shift(-5).over("instrument_id") / CLOSE,
    "centred mean": CLOSE.rolling_mean(11, center=True).over("instrument_id"),
    "full-sample z score": (CLOSE - CLOSE.mean().over("instrument_id")) / CLOSE.std().over("instrument_id"),
    "full-sample maximum": CLOSE / CLOSE.max().over("instrument_id"),
    "full-sample minimum": CLOSE / CLOSE.min().over("instrument_id"),
    "full-sample rank": CLOSE.rank().over("instrument_id"),
    "backward fill": pl.when(CLOSE.shift(1) < CLOSE).then(CLOSE).backward_fill().over("instrument_id"),
    "whole sample's length": CLOSE / pl.len().over("instrument_id"),
    "members of the end": CLOSE / pl.col("instrument_id").n_unique(),
    "last volume": pl.col("volume") / pl.col("volume").last().over("instrument_id"),
    "session's mean": CLOSE / CLOSE.mean().over("instrument_id", "session_date"),
    "session's last close": CLOSE / CLOSE.last().over("instrument_id", "session_date"),
}


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_feature_passes(name: str) -> None:
    for bars in (DAILY, MINUTES):
        report = check(bars, [feature(HONEST[name])], seed=1, cuts=4)
        assert report.ok, str(report.leaks[0])
        assert report.compared["features"] > 500
        report.raise_if_leaky()


@pytest.mark.parametrize("name", LEAKY)
def test_a_leaky_feature_is_caught(name: str) -> None:
    report = check(MINUTES, [feature(LEAKY[name])], seed=1, cuts=4)
    assert {(leak.stage, leak.column) for leak in report.leaks} == {("features", "x")}
    assert len({leak.cut for leak in report.leaks}) == 4  # at every cut, not by luck
    with pytest.raises(LeakError, match=r"features\.x moved in \d+ rows known at .*instrument_id I0"):
        report.raise_if_leaky()


@pytest.mark.parametrize("name", [name for name in LEAKY if "session" not in name])
def test_a_leaky_daily_feature_of_one_instrument_is_caught(name: str) -> None:
    alone = DAILY.filter(instrument_id="I00")
    assert not check(alone, [feature(LEAKY[name])], seed=3, cuts=12).ok


def test_how_far_a_leak_reaches_and_how_large_it_is_are_told() -> None:
    cut = DAILY["ts_close"].unique().sort()[60]
    report = check(DAILY, [feature(CLOSE.shift(-2).over("instrument_id"))], seed=1, cuts=[cut])
    (leak,) = report.leaks
    assert leak.rows == 2 * 8  # the two bars before the cut of each instrument
    assert dict(leak.first) == {"instrument_id": "I00", "ts_close": DAILY["ts_close"].unique().sort()[59]}
    assert leak.size is not None
    assert leak.size > 10
    assert report.frame().row(0, named=True)["rows"] == 16


def test_rows_that_vanish_in_the_past_are_a_leak() -> None:
    survivors = Stage(
        "members",
        lambda world: world.bars.filter(CLOSE.last().over("instrument_id") > 100).select(*KEY, "close"),
        KEY,
        "ts_close",
    )
    assert ROWS in {leak.column for leak in check(DAILY, [survivors], seed=1).leaks}


def _labels(known_until: Callable[[World], datetime], known: str | None) -> Stage:
    def compute(world: World) -> pl.DataFrame:
        return compute_labels(
            world.bars, LabelConfig(horizon=5, sigma_bars=10), known_until=known_until(world)
        )

    return Stage("labels", compute, KEY, known)


def test_labels_pass_by_known_at_and_as_of_the_cut() -> None:
    end = datetime(2100, 1, 1, tzinfo=DAILY["ts_close"][0].tzinfo)
    stages = [_labels(lambda world: end, "known_at"), _labels(lambda world: world.cut, None)]
    for stage in stages:
        assert check(DAILY, [stage], seed=2).ok
        assert check(MINUTES, [stage], seed=2).ok


def test_labels_that_claim_to_be_known_too_early_are_caught() -> None:
    end = datetime(2100, 1, 1, tzinfo=DAILY["ts_close"][0].tzinfo)
    found = check(DAILY, [_labels(lambda world: end, "ts_close")], seed=2)
    assert "forward_return" in {leak.column for leak in found.leaks}
    everything = check(DAILY, [_labels(lambda world: end, None)], seed=2)
    assert not everything.ok


def _inputs(fit_on: str) -> Stage:
    """Standardised returns; ``fit_on`` train is right, all is the classic mistake."""

    def compute(world: World) -> pl.DataFrame:
        change = (CLOSE / CLOSE.shift(1)).log().over("instrument_id")
        frame = world.bars.sort(KEY).select(*KEY, "session_date", x=change)
        past = frame.filter(pl.col("ts_close") <= world.cut)
        sessions = past["session_date"].unique().sort().to_list()
        folds = walk_forward(sessions, FoldConfig(2, 0.3, 0), horizon_sessions=1)
        fitted = rows(past, folds, 0, "train") if fit_on == "train" else frame
        mean, std = fitted["x"].mean(), fitted["x"].std()
        return past.select(*KEY, x=(pl.col("x") - mean) / std)

    return Stage("model_inputs", compute, KEY)


def test_a_scaler_fitted_on_the_whole_sample_is_caught() -> None:
    assert check(DAILY, [_inputs("train")], seed=4, sessions_before=40).ok
    report = check(DAILY, [_inputs("all")], seed=4, sessions_before=40)
    assert {(leak.stage, leak.column) for leak in report.leaks} == {("model_inputs", "x")}


def test_stages_see_what_earlier_ones_made() -> None:
    second = Stage(
        "second", lambda world: world.results["features"].with_columns(y=-pl.col("x")), KEY, "ts_close"
    )
    report = check(DAILY, [feature(LEAKY["next close"]), second], seed=1)
    assert {leak.stage for leak in report.leaks} == {"features", "second"}


def test_cuts_are_drawn_by_seed_inside_the_history() -> None:
    stage = [feature(HONEST["return"])]
    first, again, other = (check(MINUTES, stage, seed=seed, cuts=5, sessions_before=6) for seed in (1, 1, 2))
    assert first == again
    assert first.cuts != other.cuts
    sessions = MINUTES["session_date"].unique().sort()
    assert list(first.cuts) == sorted(first.cuts)
    assert all(sessions[6] <= cut.date() < sessions[-1] for cut in first.cuts)
    minutes = {cut.minute for cut in first.cuts}
    assert len(minutes) > 1  # inside sessions, not at their ends


def test_long_histories_run_in_windows_that_hold_the_sessions_needed() -> None:
    seen: list[pl.DataFrame] = []
    spy = Stage("spy", lambda world: seen.append(world.bars) or world.bars, (*KEY,), "ts_close")  # type: ignore[func-returns-value]
    report = check(MINUTES, [spy], seed=1, sessions_before=5, max_rows=300)
    assert report.ok
    assert report.window_rows == max(len(window) for window in seen[::2])
    assert report.window_rows < len(MINUTES) / 2
    for cut, window in zip(report.cuts, seen[::2], strict=True):
        sessions = window["session_date"].unique().sort()
        assert sum(day < cut.date() for day in sessions) >= 5
        assert sum(day > cut.date() for day in sessions) >= 1
        assert window["instrument_id"].n_unique() == 3
    assert not check(MINUTES, [feature(LEAKY["next close"])], seed=1, sessions_before=5, max_rows=600).ok


def test_too_short_a_history_says_how_long_it_must_be() -> None:
    with pytest.raises(NotEnoughData, match="122 in all; there are 120"):
        check(DAILY, [feature(HONEST["return"])], seed=1, sessions_before=120)


def test_the_last_session_is_never_cut() -> None:
    for seed in range(5):
        (cut,) = check(DAILY, [feature(HONEST["return"])], seed=seed, cuts=1, sessions_before=118).cuts
        assert cut.date() == DAILY["session_date"].unique().sort()[118]


def test_a_stage_that_compares_nothing_does_not_pass() -> None:
    empty = Stage("nothing", lambda world: world.bars.clear(), KEY, "ts_close")
    with pytest.raises(DataError, match="compared no row of nothing"):
        check(DAILY, [empty], seed=1)


def test_the_data_given_are_left_alone() -> None:
    before = DAILY.clone()
    check(DAILY, [feature(HONEST["return"])], seed=np.random.default_rng(0).integers(10).item())
    assert DAILY.equals(before)

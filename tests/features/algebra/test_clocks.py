"""Windows that count traded bars, and windows that count the calendar's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import (
    Expr,
    Feature,
    FeatureSet,
    close,
    compute,
    compute_chunks,
    ema,
    high,
    hold,
    open_,
    rank,
    ref,
    resample,
    rolling_count,
    rolling_mean,
    rolling_sum,
    sample,
    sector,
    volume,
    zscore,
)
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import EVERY, YEAR, numbers, random_bars, same_bits, worst


def of(name: str, expr: Expr, clock: Literal["row", "calendar"]) -> Feature:
    return Feature(name, expr, "ratio", "For a test.", False, clock=clock)


EXPRS = {
    "mean": rolling_mean(close, 5, min_valid=3),
    "gain": close / ref(close, 1),
    "count": rolling_count(volume, 6),
    "smooth": ema(close, 4),
    "place": rank(rolling_sum(volume, 3, 1), 2),
    "in_sector": zscore(ref(close, 2), 2, group=sector),
}
CALENDAR = FeatureSet("calendar", tuple(of(name, e, "calendar") for name, e in EXPRS.items()))
ROWS = FeatureSet("rows", tuple(of(f"{name}_rows", e, "row") for name, e in EXPRS.items()))
BOTH = CALENDAR + ROWS


def test_calendar_windows_count_suspended_days_as_missing() -> None:
    """Against Polars' windows over all bars, those that were not traded without their numbers."""
    bars = random_bars(5, 80, suspended=0.3, missing=0.05, seed=4).sort("instrument_id", "ts_close")
    traded = pl.col("status") == "traded"
    x, v = (pl.when(traded).then(pl.col(name)) for name in ("close", "volume"))
    wanted = bars.select(
        "instrument_id",
        "ts_close",
        "status",
        mean=x.rolling_mean(5, min_samples=3).over("instrument_id"),
        gain=(x / x.shift(1)).over("instrument_id"),
        count=v.is_not_null().cast(pl.Int64).rolling_sum(6, min_samples=1).over("instrument_id"),
    ).filter(traded)
    got = compute(bars, CALENDAR, bars_per_year=YEAR).frame
    gaps = worst(got, wanted.with_columns(pl.col("count").cast(pl.Float64)), ("mean", "gain", "count"))
    assert max(gaps.values()) < 1e-12
    assert got.height == int((bars["status"] == "traded").sum())
    rows = compute(bars, ROWS, bars_per_year=YEAR).frame
    assert rows["gain_rows"].null_count() < got["gain"].null_count()  # a suspended day lies between


def test_rows_beside_calendar_features_are_what_they_are_alone() -> None:
    """But for rounding: blocks of windows begin elsewhere."""
    bars = random_bars(6, 60, per_session=2, suspended=0.3, missing=0.05, seed=9)
    for features in (ROWS, EVERY):
        both = features + FeatureSet("one", (of("cal", rolling_mean(close, 4, 1), "calendar"),))
        alone = compute(bars, features, bars_per_year=YEAR).frame
        beside = compute(bars, both, bars_per_year=YEAR).frame
        assert max(worst(alone, beside, features.columns).values()) < 1e-9


@pytest.mark.parametrize("features", [CALENDAR, BOTH], ids=["calendar", "both"])
def test_the_oracle_agrees(features: FeatureSet) -> None:
    bars = random_bars(6, 90, suspended=0.25, missing=0.05, seed=2)
    ours, oracle = (compute(bars, features, bars_per_year=YEAR, engine=e).frame for e in ("numba", "polars"))  # type: ignore[arg-type]
    assert max(worst(ours, oracle, features.columns).values()) < 1e-9


@settings(max_examples=25, deadline=None)
@given(st.lists(numbers(), min_size=1, max_size=3), st.integers(0, 1_000), st.integers(1, 60))
def test_stream_chunks_and_restart_equal_batch(exprs: list[Expr], seed: int, cut: int) -> None:
    bars = random_bars(4, 40, suspended=0.3, missing=0.1, seed=seed)
    features = FeatureSet(
        "mixed",
        (
            *(of(f"c{k}", e, "calendar") for k, e in enumerate(exprs)),
            *(of(f"r{k}", e, "row") for k, e in enumerate(exprs)),
        ),
    )
    whole = compute(bars, features, bars_per_year=YEAR).frame
    stream = Stream(features, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    moments = bars.sort("ts_close").partition_by("ts_close", maintain_order=True)
    same_bits(pl.concat([stream.update(part) for part in moments]), whole)
    when = moments[min(cut, len(moments) - 1)]["ts_close"][0]
    first = compute(bars.filter(pl.col("ts_close") < when), features, bars_per_year=YEAR)
    second = compute(bars.filter(pl.col("ts_close") >= when), features, bars_per_year=YEAR, state=first.state)
    same_bits(pl.concat([first.frame, second.frame]), whole)
    same_bits(pl.concat(compute_chunks(bars.lazy(), features, bars_per_year=YEAR, rows=50)), whole)


def test_a_late_bar_and_a_correction_replay_on_both_clocks() -> None:
    bars = random_bars(4, 50, suspended=0.3, seed=6).sort("ts_close")
    stream = Stream(BOTH, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    late = bars.filter(pl.col("status") == "traded")[-12:-11]
    first = bars.join(late, on=["instrument_id", "ts_close"], how="anti")
    frames = [stream.update(p) for p in first.partition_by("ts_close", maintain_order=True)]
    frames.append(stream.update(late))
    got = pl.concat(frames).unique(["instrument_id", "ts_close"], keep="last", maintain_order=True)
    same_bits(got, compute(bars, BOTH, bars_per_year=YEAR).frame)


def test_slower_bars_on_the_clock_of_traded_rows() -> None:
    bars = random_bars(4, 12, per_session=6, suspended=0.3, seed=3)
    slow = resample(rolling_mean(close, 2) + high)
    down = close < open_
    some = hold(rolling_mean(sample(close, down), 3), down)
    alone = FeatureSet("alone", (of("slow", slow, "row"), of("some", some, "row")))
    both = alone + FeatureSet("more", (of("cal", ref(close, 1), "calendar"),))
    left, right = (compute(bars, s, bars_per_year=YEAR).frame for s in (alone, both))
    assert max(worst(left, right, alone.columns).values()) < 1e-9
    assert left["slow"].null_count() < left.height


def test_the_clock_is_part_of_the_version_and_is_checked() -> None:
    row = of("gain", close / ref(close, 1), "row")
    assert replace(row, clock="calendar").version != row.version
    assert FeatureSet("a", (replace(row, clock="calendar"),)).version != FeatureSet("a", (row,)).version
    with pytest.raises(FeatureError, match="clock 'daily' of feature gain is not known"):
        replace(row, clock="daily")  # type: ignore[arg-type]
    with pytest.raises(FeatureError, match="declares \\['gain'\\] more than once"):
        FeatureSet("a", (row,)) + FeatureSet("b", (replace(row, clock="calendar"),))


def test_bars_without_a_status_are_all_traded() -> None:
    bars = random_bars(2, 20, suspended=0.0, seed=1).drop("status")
    got = compute(bars, CALENDAR, bars_per_year=YEAR).frame
    alone = compute(bars, ROWS, bars_per_year=YEAR).frame
    np.testing.assert_array_equal(
        got["mean"].fill_null(np.nan).to_numpy(), alone["mean_rows"].fill_null(np.nan).to_numpy()
    )
    assert got["ts_close"].max() - got["ts_close"].min() > timedelta(days=5)

"""Features of slower bars: against bars that Polars makes, joined when they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features import (
    bars_per_year,
    close,
    compute,
    ema,
    high,
    hold,
    low,
    open_,
    rank,
    resample,
    rolling_mean,
    rolling_std,
    sample,
    volume,
    vwap,
)
from nofx_pipelines.features.streaming.stream import Stream
from tests.features.worlds import YEAR, random_bars, same_bits, set_of, worst

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
FEATURES = {
    "first": open_,
    "top": high,
    "bottom": low,
    "last": close,
    "shares": volume,
    "paid": vwap,
    "mean": rolling_mean(close, 3),
    "range": ema(high - low, 2),
    "restless": rolling_std(close / open_, 4, 2),
}


def minutes(days: int = 3, gaps: float = 0.1, seed: int = 0, length: int = 1) -> pl.DataFrame:
    """Bars of 90 minutes a day of two instruments, some of them missing."""
    rng, frames = np.random.default_rng(seed), []
    for name in ("A", "B"):
        opens = [BEGIN + timedelta(days=d, minutes=55 + m) for d in range(days) for m in range(0, 90, length)]
        there = rng.random(len(opens)) >= gaps
        opens = [when for when, kept in zip(opens, there, strict=True) if kept]
        n = len(opens)
        price = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, n)))
        frames.append(
            pl.DataFrame(
                {
                    "instrument_id": name,
                    "ts_open": opens,
                    "ts_close": [when + timedelta(minutes=length) for when in opens],
                    "session_date": [when.date() for when in opens],
                    "open": price * rng.uniform(0.99, 1.01, n),
                    "high": price * 1.02,
                    "low": price * 0.98,
                    "close": price,
                    "volume": np.round(rng.lognormal(8, 1, n)),
                    "amount": price * 1_000,
                }
            )
        )
    return pl.concat(frames).with_columns(pl.col("ts_open", "ts_close").cast(pl.Datetime("us", "UTC")))


def made_by_polars(bars: pl.DataFrame, every: int | None, offset: int = 0) -> pl.DataFrame:
    """Slower bars with the ``ts_close`` of the row from which they are known."""
    if every is None:
        bucket = pl.col("session_date").cast(pl.Datetime("us", "UTC"))
    else:
        shift = pl.duration(minutes=offset)
        bucket = (pl.col("ts_open") - shift).dt.truncate(f"{every}m") + shift
    slow = (
        bars.with_columns(bucket=bucket)
        .group_by("instrument_id", "bucket", maintain_order=True)
        .agg(
            pl.col("session_date", "ts_close").last(),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume", "amount").sum(),
        )
    )
    after = pl.col("ts_close").shift(-1)
    first_after = (
        bars.with_columns(bucket=bucket)
        .group_by("instrument_id", "bucket", maintain_order=True)
        .agg(pl.col("ts_close").first())
        .select("instrument_id", "bucket", next=after.over("instrument_id"))
    )
    slow = slow.join(first_after, on=["instrument_id", "bucket"], maintain_order="left")
    if every is None:
        return slow.with_columns(known=pl.col("next"))
    over = pl.col("ts_close") == pl.col("bucket") + pl.duration(minutes=every)
    # its own row tells the bar, unless that row has to tell the one before
    known, waits = [], False
    for name, ts, nxt, done in slow.select(
        "instrument_id", "ts_close", "next", over.alias("done")
    ).iter_rows():
        single = bars.filter((pl.col("instrument_id") == name) & (pl.col("ts_close") == ts))
        begins_here = _opens_bucket(bars, single, bucket)
        if done and not (waits and begins_here):
            known.append(ts)
            waits = False
        else:
            known.append(nxt)
            waits = nxt is not None
    return slow.with_columns(known=pl.Series(known, dtype=pl.Datetime("us", "UTC")))


def _opens_bucket(bars: pl.DataFrame, row: pl.DataFrame, bucket: pl.Expr) -> bool:
    own = row.select(b=bucket)["b"][0]
    same = bars.filter(pl.col("instrument_id") == row["instrument_id"][0]).filter(bucket == own)
    return bool(same["ts_close"][0] == row["ts_close"][0])


def expected(bars: pl.DataFrame, every: int | None, offset: int = 0) -> pl.DataFrame:
    """The features of Polars' slower bars, at each bar those that were known by then."""
    slow = made_by_polars(bars, every, offset)
    own = compute(
        slow.with_columns(ts_close=pl.col("ts_close")),
        set_of(**FEATURES),
        bars_per_year=YEAR,
        engine="polars",
    ).frame
    own = own.join(slow.select("instrument_id", "ts_close", "known"), on=["instrument_id", "ts_close"])
    own = own.filter(pl.col("known").is_not_null()).select(
        "instrument_id", pl.col("known").alias("ts_close"), *FEATURES
    )
    keys = bars.select("instrument_id", "ts_close", "session_date").sort("ts_close")
    joined = keys.join_asof(own.sort("ts_close"), on="ts_close", by="instrument_id", check_sortedness=False)
    return joined.sort("instrument_id", "ts_close")


@pytest.mark.parametrize("engine", ["numba", "polars"])
@pytest.mark.parametrize(
    ("every", "offset", "gaps"), [(5, 0, 0.0), (5, 0, 0.4), (15, 5, 0.2), (60, 0, 0.3), (None, 0, 0.2)]
)
def test_slower_bars_are_those_that_polars_makes(
    every: int | None, offset: int, gaps: float, engine: str
) -> None:
    bars = minutes(days=9 if every is None else 3, gaps=gaps, seed=every or 1)
    features = set_of(**{k: resample(e, minutes=every, offset=offset) for k, e in FEATURES.items()})
    got = compute(bars, features, bars_per_year=YEAR, engine=engine).frame  # type: ignore[arg-type]
    wanted = expected(bars, every, offset)
    for name in FEATURES:
        assert got[name].is_null().to_list() == wanted[name].is_null().to_list(), name
        assert got[name].null_count() < got.height, name
    gaps_found = worst(got, wanted.select(got.columns[:2], *FEATURES), tuple(FEATURES))
    assert max(gaps_found.values()) < 1e-9


def test_a_bar_counts_from_the_row_that_closes_at_its_end_or_the_next() -> None:
    bars = minutes(days=1, gaps=0.0).filter(pl.col("instrument_id") == "A")
    features = set_of(last=resample(close, minutes=5))
    got = compute(bars, features, bars_per_year=YEAR).frame.join(bars, on=["instrument_id", "ts_close"])
    at = {row["ts_close"].strftime("%H:%M"): (row["last"], row["close"]) for row in got.iter_rows(named=True)}
    assert at["00:59"][0] is None
    assert at["01:00"][0] == at["01:00"][1]  # the bar that closes at the end
    assert at["01:04"][0] == at["01:00"][1]
    cut = bars.filter(pl.col("ts_close") != BEGIN + timedelta(minutes=60))
    got = compute(cut, features, bars_per_year=YEAR).frame.join(cut, on=["instrument_id", "ts_close"])
    at = {row["ts_close"].strftime("%H:%M"): (row["last"], row["close"]) for row in got.iter_rows(named=True)}
    assert at["01:01"][0] == at["00:59"][1]  # the first bar after it


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3, 7, 30, None]), st.floats(0, 0.7), st.integers(1, 200))
def test_the_future_never_changes_the_past(seed: int, every: int | None, gaps: float, cut: int) -> None:
    bars = minutes(days=2, gaps=gaps, seed=seed)
    features = set_of(**{k: resample(e, minutes=every) for k, e in FEATURES.items()})
    whole = compute(bars, features, bars_per_year=YEAR).frame
    when = bars["ts_close"].unique().sort()[min(cut, bars["ts_close"].n_unique() - 1)]
    part = compute(bars.filter(pl.col("ts_close") <= when), features, bars_per_year=YEAR).frame
    same_bits(part, whole.filter(pl.col("ts_close") <= when))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4, 15, None]), st.floats(0, 0.6))
def test_the_stream_has_the_batch_s_bits(seed: int, every: int | None, gaps: float) -> None:
    bars = minutes(days=2, gaps=gaps, seed=seed)
    features = set_of(**{k: resample(e, minutes=every) for k, e in FEATURES.items()})
    stream = Stream(features, ["A", "B"], bars_per_year=YEAR)
    parts = [stream.update(p) for p in bars.sort("ts_close").partition_by("ts_close", maintain_order=True)]
    same_bits(pl.concat(parts), compute(bars, features, bars_per_year=YEAR).frame)


def test_rows_of_many_instruments_side_by_side() -> None:
    """Of a tile's instruments some have a sample at a moment, others not."""
    bars = random_bars(18, 25, suspended=0.2, seed=2)
    down = close < open_
    features = set_of(a=hold(rolling_mean(sample(close, down), 3, 1), down), b=resample(ema(volume, 2)))
    stream = Stream(features, bars["instrument_id"].unique().to_list(), bars_per_year=YEAR)
    parts = [stream.update(p) for p in bars.sort("ts_close").partition_by("ts_close", maintain_order=True)]
    assert stream.lanes.w > 1
    same_bits(pl.concat(parts), compute(bars, features, bars_per_year=YEAR).frame)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(FeatureError, match=r"rank of .* mixes clocks"):
        resample(rank(close), minutes=5)
    with pytest.raises(FeatureError, match="bars_per_year is the number of the faster bars"):
        resample(rolling_std(close, 5) * bars_per_year)
    with pytest.raises(FeatureError, match="minutes = 0"):
        resample(close, minutes=0)
    down = close < open_
    with pytest.raises(FeatureError, match="mixes clocks"):
        close + sample(close, down)
    with pytest.raises(FeatureError, match=r"hold of .* mixes clocks"):
        hold(sample(close, down), close > open_)
    with pytest.raises(FeatureError, match="rows of a condition only"):
        set_of(half=sample(close, down))

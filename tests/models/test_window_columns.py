"""Window columns against a direct look-up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.models.window_columns import base_names, longest, window_names, with_lags


def _features(seed: int, bars: int = 12, instruments: int = 3, missing: float = 0.3) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    rows = [
        (f"I{n}", start + timedelta(days=3 * k + k % 3), float(rng.normal()), float(rng.normal()))
        for k in range(bars)
        for n in range(instruments)
        if rng.random() > missing
    ]
    return pl.DataFrame(rows, schema=["instrument_id", "ts_close", "a", "b"], orient="row")


@given(st.integers(0, 10_000))
def test_a_lag_is_the_value_so_many_closes_before(seed: int) -> None:
    frame = _features(seed)
    names = window_names(("a", "b"), 4)
    found = with_lags(frame, names)
    closes = sorted(set(frame["ts_close"]))
    values = {(i, t): (a, b) for i, t, a, b in frame.rows()}
    for row in found.iter_rows(named=True):
        at = closes.index(row["ts_close"])
        for k in (1, 2, 3):
            past = values.get((row["instrument_id"], closes[at - k])) if at >= k else None
            assert (row[f"a@{k}"], row[f"b@{k}"]) == (past or (None, None))


@given(st.integers(0, 10_000))
def test_rows_and_their_order_stay(seed: int) -> None:
    frame = _features(seed).sample(fraction=1.0, shuffle=True, seed=seed)
    assert with_lags(frame, ["a@1"]).drop("a@1").equals(frame)


@given(st.integers(0, 10_000))
def test_the_future_never_changes_the_past(seed: int) -> None:
    frame = _features(seed)
    cut = sorted(set(frame["ts_close"]))[6]
    later = frame.with_columns(pl.when(pl.col("ts_close") > cut).then(99.0).otherwise("a").alias("a"))
    early = pl.col("ts_close") <= cut
    assert with_lags(frame, ["a@2"]).filter(early).equals(with_lags(later, ["a@2"]).filter(early))


def test_history_fills_what_the_rows_lack() -> None:
    frame = _features(1, missing=0.0)
    some = frame.filter(pl.col("ts_close") == frame["ts_close"].max())
    assert with_lags(some, ["a@1"])["a@1"].null_count() == some.height
    whole = with_lags(frame, ["a@1"]).filter(pl.col("ts_close") == frame["ts_close"].max())
    assert with_lags(some, ["a@1"], frame).equals(whole)


def test_names() -> None:
    names = window_names(("a", "b"), 3)
    assert names == ("a@2", "b@2", "a@1", "b@1", "a", "b")
    assert base_names(names) == ["a", "b"]
    assert longest(names) == 2
    assert longest(["a"]) == 0

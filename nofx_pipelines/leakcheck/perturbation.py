"""Another future: everything after a cut changed, everything up to it untouched."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import polars as pl

from nofx_pipelines.lake.schemas import UTC_US

_PRICES = ("open", "high", "low", "close", "prev_close", "limit_up", "limit_down", "index_price")
_QUANTITIES = ("volume", "amount", "n_trades", "taker_volume", "taker_amount")
_RATES = ("funding_rate",)
_ROW_NOISE, _LEVEL_SHIFT = 0.3, 1.5
"""In logs: each row's own noise, and the shift of an instrument's whole future, up or down."""
_DROPPED, _SUSPENDED = 0.1, 0.05
"""Shares of the future's bars that vanish, and that lose their trade."""
_ADDED_SESSIONS = 3
NEWCOMER = ".NEWCOMER"
"""Ends the id of an instrument that exists only after the cut."""


def is_past(cut: datetime) -> pl.Expr:
    """Bars that had closed at ``cut``."""
    return pl.col("ts_close") <= pl.lit(cut, dtype=UTC_US)


def perturbed_bars(bars: pl.DataFrame, cut: datetime, rng: np.random.Generator) -> pl.DataFrame:
    """``bars`` with another future after ``cut``: prices, volumes, gaps, members and length.

    Prices move by a random factor a row and a shift up or down an instrument; volumes likewise;
    some bars vanish, some lose their trade, one session vanishes whole; an instrument is listed;
    sessions follow the last one. Bars that had closed by the cut keep their bits. Column order and
    the sort by instrument and time are kept.
    """
    past, future = bars.filter(is_past(cut)), bars.filter(~is_past(cut))
    changed = _without_trade(_scaled(_thinned(future, rng), rng), rng)
    parts = [past, changed, _newcomer(changed, rng), *_further_sessions(changed)]
    order = [name for name in ("instrument_id", "ts_open", "ts_close") if name in bars.columns]
    return pl.concat(parts).sort(order)


def perturbed_actions(
    actions: pl.DataFrame, bars: pl.DataFrame, cut: datetime, rng: np.random.Generator
) -> pl.DataFrame:
    """``actions`` with others after the cut's session: those known vanish, each instrument is split.

    An action counts from the open of its ex-date; one of the session that holds the cut, or of an
    earlier one, is kept.
    """
    last = bars.filter(is_past(cut))["session_date"].max()
    past = actions.filter(pl.col("ex_date") <= last)
    days = bars.filter(pl.col("session_date") > last)["session_date"].unique().sort().to_list()
    if not days:
        return past
    names = bars["instrument_id"].unique().sort().to_list()
    splits = [_split(name, days[int(rng.integers(len(days)))], rng) for name in names]
    added = pl.DataFrame(splits, schema={name: actions.schema[name] for name in splits[0]})
    return pl.concat([past, added], how="diagonal").select(actions.columns).sort("instrument_id", "ex_date")


def _split(instrument_id: str, ex_date: date, rng: np.random.Generator) -> dict[str, object]:
    announced = datetime.combine(ex_date, time(), UTC)
    return {
        "instrument_id": instrument_id,
        "ex_date": ex_date,
        "kind": "split",
        "ratio": float(rng.integers(2, 6)),
        "source": "leakcheck",
        "knowledge_time": announced,
    }


def _thinned(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    kept = future.filter(pl.Series(rng.random(len(future)) >= _DROPPED))
    days = kept["session_date"].unique().sort()
    if len(days) < 3:
        return kept
    return kept.filter(pl.col("session_date") != days[int(rng.integers(1, len(days)))])


def _scaled(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    names = future["instrument_id"].unique().sort()
    first_up = int(rng.integers(2))
    shift = [_LEVEL_SHIFT if (number + first_up) % 2 else -_LEVEL_SHIFT for number in range(len(names))]
    levels = pl.DataFrame({"instrument_id": names, "_shift": shift}, schema_overrides={"_shift": pl.Float64})
    noise = pl.DataFrame({name: rng.normal(0, _ROW_NOISE, len(future)) for name in ("_price", "_quantity")})
    scaled = future.join(levels, on="instrument_id", how="left", maintain_order="left").hstack(noise)
    price, quantity = (
        (pl.col("_shift") + pl.col("_price")).exp(),
        (pl.col("_quantity") - pl.col("_shift")).exp(),
    )
    changes = [
        (pl.col(name) * factor).cast(future.schema[name])
        for names, factor in ((_PRICES, price), (_QUANTITIES, quantity), (_RATES, price))
        for name in names
        if name in future.columns
    ]
    return scaled.with_columns(changes).select(future.columns)


def _without_trade(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    if "status" not in future.columns:
        return future
    lost = pl.Series(rng.random(len(future)) < _SUSPENDED)
    nulls = [
        pl.when(lost).then(None).otherwise(pl.col(n)).alias(n) for n in _PRICES[:4] if n in future.columns
    ]
    zeros = [pl.when(lost).then(0).otherwise(pl.col(n)).alias(n) for n in _QUANTITIES if n in future.columns]
    status = pl.when(lost).then(pl.lit("suspended")).otherwise(pl.col("status")).alias("status")
    return future.with_columns(status, *nulls, *zeros).cast(pl.Schema(future.schema))


def _newcomer(future: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    names = future["instrument_id"].unique().sort()
    if names.is_empty():
        return future
    copied = names[int(rng.integers(len(names)))]
    return future.filter(instrument_id=copied).with_columns(pl.lit(copied + NEWCOMER).alias("instrument_id"))


def _further_sessions(future: pl.DataFrame) -> list[pl.DataFrame]:
    if future.is_empty():
        return []
    last = future.filter(pl.col("session_date") == pl.col("session_date").max())
    times = [
        name for name in ("ts_open", "ts_close", "session_date", "knowledge_time") if name in future.columns
    ]
    return [
        last.with_columns(pl.col(name) + timedelta(days=number) for name in times).cast(
            pl.Schema(future.schema)
        )
        for number in range(1, _ADDED_SESSIONS + 1)
    ]

"""Prices adjusted by the corporate actions known at each session.

The factor grows: a session's prices are multiplied by the factors of all actions up to that session, so
an action changes nothing before its own day. Meaning of an action's numbers, per share held before it:

- ``dividend``: ``cash`` is paid;
- ``bonus``: ``ratio`` new shares are given;
- ``rights``: ``ratio`` new shares may be bought at ``cash`` each;
- ``split``: ``ratio`` shares replace one (0.1 for a reverse split of ten).

Actions of one instrument and day act together: reference = (close - dividend + rights ratio x rights
price) / (1 + bonus + rights ratio) / split, as the Shanghai and Shenzhen exchanges compute theirs.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TypeVar

import polars as pl

from nofx_pipelines.lake.store import Lake

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

PRICE_COLUMNS = ("open", "high", "low", "close", "prev_close", "limit_up", "limit_down")
FACTORS = {"instrument_id": pl.String(), "ex_date": pl.Date(), "factor": pl.Float64()}

_LOOKBACK = timedelta(days=120)
"""How far before an ex-date the last close may lie; longer suspensions get no factor."""


def action_terms(actions: pl.DataFrame) -> pl.DataFrame:
    """One row an instrument and ex-date: ``paid`` (cash less rights money) and ``shares`` of one."""
    kind, ratio, cash = pl.col("kind"), pl.col("ratio").fill_null(0.0), pl.col("cash").fill_null(0.0)
    dividend = cash.filter(kind == "dividend").sum()
    subscribed = (ratio * cash).filter(kind == "rights").sum()
    issued = ratio.filter(kind.is_in(["bonus", "rights"])).sum()
    split = pl.col("ratio").filter(kind == "split").product()
    return (
        actions.group_by("instrument_id", "ex_date")
        .agg((dividend - subscribed).alias("paid"), ((1 + issued) * split).alias("shares"))
        .sort("ex_date", "instrument_id")
    )


def ex_reference(close: pl.Expr) -> pl.Expr:
    """The reference price after an action, from the last close and the columns of ``action_terms``."""
    return (close - pl.col("paid")) / pl.col("shares")


def action_factors(actions: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """Factor of each instrument and ex-date: last close before it over the reference price.

    ``closes`` has ``instrument_id``, ``session_date``, ``close`` (unadjusted, null where nothing traded).
    An action before the first close, or one that leaves nothing of the price, has no row.

    >>> from datetime import date
    >>> day = {"instrument_id": ["A"], "ex_date": [date(2024, 1, 3)]}
    >>> bonus = pl.DataFrame({**day, "kind": ["bonus"], "ratio": [1.0], "cash": [None]})
    >>> close = pl.DataFrame({"instrument_id": ["A"], "session_date": [date(2024, 1, 2)], "close": [10.0]})
    >>> action_factors(bonus, close)["factor"].to_list()
    [2.0]
    """
    before = closes.drop_nulls("close").select("instrument_id", "session_date", "close").sort("session_date")
    joined = action_terms(actions).join_asof(
        before,
        left_on="ex_date",
        right_on="session_date",
        by="instrument_id",
        allow_exact_matches=False,
        tolerance=_LOOKBACK,
        check_sortedness=False,
    )
    sound = joined.filter(pl.col("close").is_not_null() & (ex_reference(pl.col("close")) > 0))
    factor = pl.col("close") / ex_reference(pl.col("close"))
    return sound.select("instrument_id", "ex_date", factor.alias("factor"))


def adjusted(bars: Frame, actions: pl.DataFrame, factors: pl.DataFrame | None = None) -> Frame:
    """Bars with prices multiplied, and volume divided, by the product of the factors up to each session.

    Rows whose ``price_basis`` is not ``unadjusted`` stay as they are. ``factors`` (``action_factors`` or
    ``stored_factors``) are needed when ``bars`` do not reach back to before every action; left out, they
    are computed from ``bars``. Amounts are money and stay.
    """
    if actions.is_empty():
        return bars
    known = _factors_of(bars, actions) if factors is None else factors
    product = (
        known.lazy()
        .sort("ex_date")
        .with_columns(pl.col("factor").cum_prod().over("instrument_id").alias("_factor"))
        .select("instrument_id", "ex_date", "_factor")
    )
    lazy = bars.lazy()
    columns = lazy.collect_schema().names()
    dated = (
        lazy.select("instrument_id", "session_date")
        .unique()
        .sort("session_date")
        .join_asof(
            product,
            left_on="session_date",
            right_on="ex_date",
            by="instrument_id",
            check_sortedness=False,
        )
        .select("instrument_id", "session_date", "_factor")
    )
    unadjusted = pl.col("price_basis") == "unadjusted"
    factor = pl.when(unadjusted).then(pl.col("_factor").fill_null(1.0)).otherwise(1.0)
    changed = [(pl.col(name) * factor).alias(name) for name in PRICE_COLUMNS if name in columns]
    scaled = [(pl.col(name) / factor).alias(name) for name in ("volume", "taker_volume") if name in columns]
    joined = lazy.join(dated, on=["instrument_id", "session_date"], how="left", maintain_order="left")
    result = joined.with_columns(*changed, *scaled).select(columns)
    return result.collect() if isinstance(bars, pl.DataFrame) else result


def stored_factors(lake: Lake, universe: str, market: str) -> pl.DataFrame:
    """Factors of every action of a market, from the unadjusted closes in ``<universe>/bars``."""
    actions_table, bars_table = lake.table(market, "corporate_actions"), lake.table(universe, "bars")
    if not actions_table.exists() or not bars_table.exists():
        return pl.DataFrame(schema=FACTORS)
    actions = actions_table.scan().collect()
    if actions.is_empty():
        return pl.DataFrame(schema=FACTORS)
    ids = actions["instrument_id"].unique().sort().to_list()
    wanted = pl.col("instrument_id").is_in(ids) & (pl.col("price_basis") == "unadjusted")
    closes = (
        bars_table.scan()
        .filter(wanted & pl.col("close").is_not_null())
        .sort("ts_open")
        .group_by("instrument_id", "session_date")
        .agg(pl.col("close").last())
        .collect()
    )
    return action_factors(actions, closes)


def running_hashes(factors: pl.DataFrame) -> list[str]:
    """Hash of ``factors`` (sorted by ``ex_date``) up to each ex-date, the first of none."""
    sha = hashlib.sha256()
    hashes = [sha.hexdigest()]
    for _, day in factors.group_by("ex_date", maintain_order=True):
        sha.update(day.write_json().encode())
        hashes.append(sha.hexdigest())
    return hashes


def _factors_of(bars: pl.DataFrame | pl.LazyFrame, actions: pl.DataFrame) -> pl.DataFrame:
    closes = (
        bars.lazy()
        .filter((pl.col("price_basis") == "unadjusted") & pl.col("close").is_not_null())
        .sort("ts_open")
        .group_by("instrument_id", "session_date")
        .agg(pl.col("close").last())
        .collect()
    )
    return action_factors(actions, closes)

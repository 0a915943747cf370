"""Dated exchange rules: price limits, ticks, lots and costs, read from ``rules.toml``.

Every row carries its source and a confidence. What the table does not cover raises ``RuleNotCovered``;
nothing is extrapolated. Whether an A-share is under special treatment (ST) is not in any bar: the board's
limit is used for all (see ``LIMIT_NOTES``).
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.errors import RuleNotCovered

LIMIT_NOTES = (
    "Main-board shares under special treatment had 5 % until 2026-07-06; bars do not name them, "
    "so the board's 10 % is used.",
    "On first days ruled by the issue price (2013-12-13 to 2023-04-10) no limit is given.",
)
"""What the limits of ``price_limits`` take for granted."""

CURRENCY = {"cn": "CNY", "hk": "HKD", "crypto": "USDT"}

_CONFIDENCE = ("V", "V-m", "S2", "S1", "A", "M")
_FUND_TICKS, _STOCK_TICKS = 1000, 100
"""Ticks in one yuan."""


@dataclass(frozen=True)
class Fee:
    """One part of a cost schedule; ``side`` is ``buy``, ``sell`` or ``both``."""

    name: str
    side: str
    bps: float
    source: str
    confidence: str


@dataclass(frozen=True)
class CostSchedule:
    """What a trade costs: bps of turnover a side, and the least commission of one order.

    ``confidence`` is the weakest of the parts'; ``parts`` say where each comes from.
    """

    buy_bps: float
    sell_bps: float
    minimum: float
    currency: str
    confidence: str
    parts: tuple[Fee, ...]


@dataclass(frozen=True)
class LotRule:
    """Least order and step in shares; an odd remainder may be sold in one order."""

    minimum: int
    step: int

    def floor(self, shares: float) -> int:
        """The largest order of at most ``shares``.

        >>> LotRule(200, 1).floor(310.7), LotRule(100, 100).floor(310.7), LotRule(200, 1).floor(150)
        (310, 300, 0)
        """
        if shares < self.minimum:
            return 0
        return self.minimum + int((shares - self.minimum) // self.step) * self.step


@dataclass(frozen=True)
class TickTable:
    """Price bands and the tick of each; a price on an edge belongs to the lower band."""

    up_to: tuple[float, ...]
    ticks: tuple[float, ...]

    def tick(self, prices: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The tick of each price."""
        at = np.searchsorted(np.asarray(self.up_to), prices, side="left")
        return np.asarray(self.ticks)[at]


def costs(market: str, board: str, on: date) -> CostSchedule:
    """Stamp duty, levies, exchange fees and a retail commission in force on ``on``.

    Raises ``RuleNotCovered`` before the first covered day. Sources stand in each part.

    >>> schedule = costs("cn", "main", date(2024, 1, 2))
    >>> round(schedule.buy_bps, 3), round(schedule.sell_bps, 3), schedule.minimum
    (2.6, 7.6, 5.0)
    """
    rows = _covering("fee", market, board, on)
    parts = tuple(Fee(row["name"], row["side"], row["bps"], row["source"], row["confidence"]) for row in rows)
    return CostSchedule(
        buy_bps=math.fsum(part.bps for part in parts if part.side in ("buy", "both")),
        sell_bps=math.fsum(part.bps for part in parts if part.side in ("sell", "both")),
        minimum=max(float(row.get("minimum", 0.0)) for row in rows),
        currency=CURRENCY[market],
        confidence=max((part.confidence for part in parts), key=_CONFIDENCE.index),
        parts=parts,
    )


def lots(market: str, board: str, on: date) -> LotRule:
    """Lot rule of an A-share board; Hong Kong's is per issuer and crypto's per symbol, so they raise.

    >>> lots("cn", "star", date(2024, 1, 2))
    LotRule(minimum=200, step=1)
    """
    row = _covering("lot", market, board, on)[0]
    return LotRule(row["minimum"], row["step"])


def tick_table(market: str, board: str, on: date) -> TickTable:
    """Ticks by price band; crypto's are per symbol and raise.

    >>> float(tick_table("hk", "main", date(2025, 8, 4)).tick(np.array([20.0]))[0])
    0.01
    """
    row = _covering("tick", market, board, on)[0]
    return TickTable(
        tuple(float(upper) for upper, _ in row["bands"]), tuple(tick for _, tick in row["bands"])
    )


def price_limits(frame: pl.DataFrame) -> pl.DataFrame:
    """Add ``limit_up`` and ``limit_down`` to bars of A-shares; null where there is no limit or none is known.

    ``frame`` has ``exchange``, ``board``, ``session_date``, ``prev_close`` (unadjusted, ex-reference) and
    ``listed_sessions`` (0 on the first day, null when the listing day is unknown). Half-up to the tick in
    integer ticks, and at least one tick from the previous close where the exchange says so.
    """
    scale = pl.when(pl.col("board") == "fund").then(_FUND_TICKS).otherwise(_STOCK_TICKS)
    frame = frame.with_columns(
        _dated("price_limit", "per_mille").alias("_p"),
        _dated("unlimited_days", "sessions").alias("_free"),
        _floored().alias("_floor"),
        (pl.col("prev_close") * scale).round().cast(pl.Int64).alias("_t"),
    )
    up, down = (_half_up(pl.col("_t") * (1000 + sign * pl.col("_p"))) for sign in (1, -1))
    free = pl.col("listed_sessions") < pl.col("_free")
    known = pl.col("_p").is_not_null() & pl.col("_t").is_not_null() & ~free.fill_null(value=False)
    floored = pl.col("_floor")
    up = pl.when(floored).then(pl.max_horizontal(up, pl.col("_t") + 1)).otherwise(up)
    down = pl.when(floored).then(pl.min_horizontal(down, pl.col("_t") - 1)).otherwise(down)
    return frame.with_columns(
        pl.when(known).then(_price(up)).alias("limit_up"),
        pl.when(known).then(_price(pl.max_horizontal(down, 1))).alias("limit_down"),
    ).drop("_p", "_free", "_floor", "_t")


def _price(ticks: pl.Expr) -> pl.Expr:
    """Ticks as the nearest double; a plain division multiplies by 0.01 and misses it by one unit."""
    fund = (ticks / _FUND_TICKS).round(3)
    return pl.when(pl.col("board") == "fund").then(fund).otherwise((ticks / _STOCK_TICKS).round(2))


def _half_up(per_mille_ticks: pl.Expr) -> pl.Expr:
    """Thousandths of a tick to whole ticks, a half going up; all in integers."""
    return (per_mille_ticks + 500) // 1000


def _dated(table: str, value: str) -> pl.Expr:
    """The value of the row whose boards and span hold each bar, else null."""
    found: pl.Expr = pl.lit(None, pl.Int64)
    for row in _table()[table]:
        found = pl.when(_holds(row) & pl.col("board").is_in(row["boards"])).then(row[value]).otherwise(found)
    return found


def _floored() -> pl.Expr:
    rows = _table()["limit_floor"]
    return pl.any_horizontal(*[(pl.col("exchange") == row["exchange"]) & _holds(row) for row in rows])


def _holds(row: Mapping[str, Any]) -> pl.Expr:
    day = pl.col("session_date")
    inside = day >= row["valid_from"]
    return inside & (day < row["valid_until"]) if "valid_until" in row else inside


def _covering(table: str, market: str, board: str, on: date) -> Sequence[Mapping[str, Any]]:
    """Rows in force; raises ``RuleNotCovered`` when there are none."""
    mine = [row for row in _table()[table] if row["market"] == market and board in row["boards"]]
    rows = [row for row in mine if row["valid_from"] <= on and on < row.get("valid_until", date.max)]
    if not rows:
        first = min((row["valid_from"] for row in mine), default=None)
        raise RuleNotCovered(
            f"no {table} rule for market {market!r}, board {board!r} on {on}",
            kept="nothing was assumed",
            hint=f"use a day from {first} on" if first else "use a market and board of rules.toml",
        )
    return rows


@lru_cache(maxsize=1)
def _table() -> dict[str, list[dict[str, Any]]]:
    text = Path(__file__).with_name("rules.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)

"""A universe's tables as a `MarketPanel`: bars, corporate actions, listings and the dated rules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.evaluation.holdout import dated_costs
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.adjust import adjusted
from nofx_pipelines.market.rules import LotRule, TickTable, lots, tick_table
from nofx_pipelines.marl.panel import BAR_COLUMNS, MarketPanel, Terms, build_panel, most_liquid

Array = NDArray[np.float64]

POOL = 60
"""At most so many instruments, the most liquid before the cut, are traded."""


def load_panel(
    lake: Lake,
    universe: UniverseConfig,
    *,
    test_fraction: float,
    versions: Mapping[str, int] | None = None,
) -> tuple[MarketPanel, int]:
    """The panel of a universe and the first bar that agents are judged on.

    The last ``test_fraction`` of the sessions are for judging; which instruments are traded is decided by
    what came before. ``versions``: read these versions of the tables instead of the newest. Raises
    NotEnoughData when nothing was liquid enough.
    """
    found = versions or {}
    table, actions, listings = (
        lake.table(scope, name)
        for scope, name in (
            (universe.name, "bars"),
            (universe.market, "corporate_actions"),
            (universe.market, "instruments"),
        )
    )
    lazy = table.scan(version=found.get(table.key)).select(*BAR_COLUMNS, "price_basis")
    days = lazy.select(pl.col("session_date").unique().sort()).collect()["session_date"]
    cut = _cut(days, test_fraction, universe.name)
    pool = most_liquid(lazy, cut, POOL)
    if not pool:
        raise NotEnoughData(
            f"no instrument of {universe.name} traded often enough before {cut}",
            kept="no agent was trained",
            hint="ask for a longer history, or other members",
        )
    bars = lazy.filter(pl.col("instrument_id").is_in(pool)).collect()
    unadjusted = bars["close"]
    if actions.exists():
        bars = adjusted(bars, actions.scan(version=found.get(actions.key)).collect())
    factor = (bars["close"] / unadjusted).fill_nan(None)
    terms = terms_of(universe, listings.scan(version=found.get(listings.key)).collect(), pool, days[-1])
    panel = build_panel(bars.select(BAR_COLUMNS), factor, pool, terms)
    return panel, panel.first_bar_of(cut)


def versions_read(lake: Lake, universe: UniverseConfig) -> dict[str, int]:
    """The newest versions of the tables that a panel is made from, by table key."""
    tables = [lake.table(universe.name, "bars")]
    tables += [lake.table(universe.market, name) for name in ("corporate_actions", "instruments")]
    return {table.key: version for table in tables if (version := table.version()) is not None}


def terms_of(universe: UniverseConfig, listings: pl.DataFrame, instruments: list[str], last: date) -> Terms:
    """The rules of a universe's market: dated costs and ticks, lots, T+1 in A-shares, shorts of perpetuals.

    Hong Kong allows short sales of designated securities only and A-shares of listed ones with borrowed
    stock; neither list is in our data, so both are modelled without shorts.
    """
    rows = {row["instrument_id"]: row for row in listings.sort("valid_from").iter_rows(named=True)}
    boards = [rows[name]["board"] for name in instruments]
    board = max(sorted(set(boards)), key=boards.count)  # its costs stand for all, as in the portfolio
    market = universe.market
    lot: dict[str, LotRule | float] = {
        name: lots(market, rows[name]["board"], last) if market == "cn" else float(rows[name]["lot_size"])
        for name in instruments
    }

    @cache
    def table(of: str, day: date) -> TickTable:
        return tick_table(market, of, day)

    def ticks(name: str, day: date, prices: Array) -> Array:
        if market == "crypto":
            return np.full_like(prices, float(rows[name]["tick_size"]))
        return np.asarray(table(rows[name]["board"], day).tick(prices))

    return Terms(
        costs=dated_costs(market, board),
        lots=lot,
        ticks=ticks,
        t_plus_one=market == "cn",
        shortable=board == "perpetual",
    )


def _cut(days: pl.Series, test_fraction: float, name: str) -> date:
    first = int(len(days) * (1 - test_fraction))
    if first < 1 or first >= len(days):
        raise NotEnoughData(
            f"{name} has {len(days)} sessions, of which the last {test_fraction:.0%} would be judged on",
            kept="no agent was trained",
            hint="ask for a longer history",
        )
    found: date = days[first]
    return found

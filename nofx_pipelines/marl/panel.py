"""A universe's bars as tensors, with the terms of trading of each session beside them.

Prices are adjusted by the corporate actions known at each session (a dividend is thereby reinvested), so
lots and ticks, which rule unadjusted shares, are carried into adjusted units by each session's factor.
Bars of a source that only has adjusted prices have the factor 1: their lots are approximate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from nofx_pipelines.errors import NotEnoughData
from nofx_pipelines.evaluation.price_panel import grid, matrix, price_panel
from nofx_pipelines.market.rules import CostSchedule, LotRule
from nofx_pipelines.marl.features import asset_features, log_returns, market_features, volatility, windows

Array = NDArray[np.float64]

BAR_COLUMNS = (
    "instrument_id",
    "ts_open",
    "ts_close",
    "session_date",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "status",
    "limit_up",
    "limit_down",
)
TRADED_SHARE = 0.6
"""Of the sessions before the cut: an instrument that traded less often is left out of the pool."""


@dataclass(frozen=True)
class Terms:
    """Rules of trading: costs by day, and of each instrument its lots, ticks by day, T+1 and shorts."""

    costs: Callable[[date], CostSchedule]
    lots: dict[str, LotRule | float]
    ticks: Callable[[str, date, Array], Array]
    """Instrument, session and unadjusted prices to ticks."""
    t_plus_one: bool
    shortable: bool


@dataclass(frozen=True, eq=False)
class MarketPanel:
    """T bars of P instruments."""

    instruments: tuple[str, ...]
    session_date: tuple[date, ...]
    ts_close_us: NDArray[np.int64]
    open: Tensor  # [T, P] float64; the last close where nothing traded
    high: Tensor  # [T, P]
    low: Tensor  # [T, P]
    mark: Tensor  # [T, P] last known close
    volume: Tensor  # [T, P]
    can_buy: Tensor  # [T, P] bool
    can_sell: Tensor  # [T, P] bool
    limit_up: Tensor  # [T, P] inf: none
    limit_down: Tensor  # [T, P] 0: none
    least: Tensor  # [T, P] least order, in adjusted units
    step: Tensor  # [T, P]
    tick: Tensor  # [T, P]
    sigma: Tensor  # [T, P] of one bar's log return
    adv: Tensor  # [T, P] mean units a bar, over 20
    features: Tensor  # [T, P, C] float32
    market: Tensor  # [T, M] float32
    buy_bps: Tensor  # [T]
    sell_bps: Tensor  # [T]
    minimum: Tensor  # [T]
    new_session: Tensor  # [T] bool
    lock: Tensor  # [P] bool: T+1
    shortable: Tensor  # [P] bool

    def to(self, device: str) -> MarketPanel:
        """The same on another device."""
        moved: dict[str, Any] = {
            k: v.to(device) if isinstance(v, Tensor) else v for k, v in vars(self).items()
        }
        return MarketPanel(**moved)

    def first_bar_of(self, day: date) -> int:
        """The first bar of the first session that is not before ``day``."""
        return int(np.searchsorted(np.array(self.session_date), np.datetime64(day).astype(date)))


def most_liquid(bars: pl.DataFrame | pl.LazyFrame, before: date, count: int) -> list[str]:
    """The ``count`` instruments with the highest median amount traded before a day, highest first.

    Instruments that traded in less than ``TRADED_SHARE`` of those bars, or have no amount, are left out.
    """
    earlier = bars.lazy().filter(pl.col("session_date") < before)
    grid_bars = earlier.select(pl.col("ts_open").n_unique()).collect().item()
    amount = (pl.col("close") * pl.col("volume")).fill_nan(None)
    traded = earlier.filter(pl.col("status") == "traded").group_by("instrument_id")
    seen = traded.agg(amount.median().alias("amount"), pl.len().alias("bars"))
    usual = seen.filter((pl.col("bars") >= TRADED_SHARE * grid_bars) & (pl.col("amount") > 0))
    ranked = usual.sort("amount", "instrument_id", descending=[True, False]).head(count)
    return ranked.select("instrument_id").collect()["instrument_id"].to_list()


def build_panel(
    bars: pl.DataFrame, factors: pl.Series, instruments: Sequence[str], terms: Terms
) -> MarketPanel:
    """Arrange adjusted ``bars`` (``BAR_COLUMNS``) of ``instruments``; ``factors`` is each row's adjustment.

    Raises NotEnoughData when none of the instruments has a bar.
    """
    bars = bars.with_columns(factors.alias("factor")).filter(pl.col("instrument_id").is_in(list(instruments)))
    if bars.is_empty():
        raise NotEnoughData(
            f"none of the {len(instruments)} instruments chosen has a bar",
            kept="no agent was trained",
            hint="widen start and end in nofx.toml",
        )
    bars = bars.with_columns(_sound(name) for name in ("open", "high", "low", "close"))
    prices = price_panel(bars)
    _, names, place = grid(bars)
    shape = prices.open.shape
    raw = {name: matrix(bars[name], place, shape, np.nan) for name in ("high", "low", "volume", "factor")}
    first = np.nan_to_num(prices.mark, nan=1.0)
    opens = np.where(np.isfinite(prices.open), prices.open, first)
    high = np.fmax(raw["high"], opens)
    low = np.fmin(raw["low"], opens)
    traded = np.isfinite(prices.open)
    volume = np.where(traded, np.nan_to_num(raw["volume"], posinf=0.0).clip(min=0.0), 0.0)
    bounds = [matrix(bars[name], place, shape, np.nan) for name in ("limit_up", "limit_down")]
    factor = _carried(raw["factor"])
    known = list(names)
    fillable = (prices.can_buy, prices.can_sell, traded)
    days = prices.session_date
    schedules = [terms.costs(day) for day in days]
    return MarketPanel(
        instruments=tuple(known),
        session_date=tuple(days),
        ts_close_us=prices.ts_close_us,
        open=_f64(opens),
        high=_f64(high),
        low=_f64(low),
        mark=_f64(first),
        volume=_f64(volume),
        can_buy=torch.as_tensor(prices.can_buy),
        can_sell=torch.as_tensor(prices.can_sell),
        limit_up=_f64(np.nan_to_num(bounds[0], nan=np.inf)),
        limit_down=_f64(np.nan_to_num(bounds[1], nan=0.0)),
        **_lots(known, factor, terms),
        tick=_f64(_ticks(known, days, first / factor, terms) * factor),
        sigma=_f64(volatility(log_returns(prices.mark))),
        adv=_f64(windows(volume, 20).mean(-1)),
        features=torch.as_tensor(asset_features(opens, high, low, prices.mark, volume, fillable)),
        market=torch.as_tensor(market_features(prices.mark, volume)),
        buy_bps=_f64(np.array([s.buy_bps for s in schedules])),
        sell_bps=_f64(np.array([s.sell_bps for s in schedules])),
        minimum=_f64(np.array([s.minimum for s in schedules])),
        new_session=torch.tensor([True, *(a != b for a, b in pairwise(days))]),
        lock=torch.full((len(known),), terms.t_plus_one),
        shortable=torch.full((len(known),), terms.shortable),
    )


def _sound(name: str) -> pl.Expr:
    """The price where it is one, else null."""
    return pl.when(pl.col(name).is_finite() & (pl.col(name) > 0)).then(pl.col(name)).alias(name)


def _carried(factor: Array) -> Array:
    """Each instrument's last known factor, 1 before the first."""
    frame = pl.DataFrame(factor).with_columns(pl.all().fill_nan(None).forward_fill().fill_null(1.0))
    return frame.to_numpy()


def _lots(names: list[str], factor: Array, terms: Terms) -> dict[str, Tensor]:
    rules = [terms.lots[name] for name in names]
    least = np.array([rule.minimum if isinstance(rule, LotRule) else rule for rule in rules])
    step = np.array([rule.step if isinstance(rule, LotRule) else rule for rule in rules])
    return {"least": _f64(least / factor), "step": _f64(step / factor)}


def _ticks(names: list[str], days: Sequence[date], unadjusted: Array, terms: Terms) -> Array:
    found = np.empty_like(unadjusted)
    starts = [0, *(t for t in range(1, len(days)) if days[t] != days[t - 1]), len(days)]
    for start, end in pairwise(starts):
        for i, name in enumerate(names):
            found[start:end, i] = terms.ticks(name, days[start], unadjusted[start:end, i])
    return found


def _f64(values: Any) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float64)

"""Who is listed on a simulated market: identifiers, boards, sectors, lots, ticks and lasting traits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from nofx_pipelines.lake.schemas import INSTRUMENTS
from nofx_pipelines.market.instruments import make_instrument_id
from nofx_pipelines.market.rules import tick_table
from nofx_pipelines.market.simulator.models import MarketModel
from nofx_pipelines.market.simulator.randomness import Streams

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

OWN_LOG_SPREAD = 0.5
"""Half the log distance between the idiosyncratic volatility of quiet and of lively instruments."""
COMMON_LOG_SPREAD = 0.1
"""The same for their loading on market and sector."""

_CN_BOARDS = (
    ("SSE", "main", 600_001),
    ("SZSE", "main", 1),
    ("SZSE", "chinext", 300_001),
    ("SSE", "star", 688_001),
    ("SSE", "main", 600_001),
)
_HK_LOTS = (100.0, 200.0, 400.0, 500.0, 1000.0, 2000.0)
_LATE_SHARE, _LATE_FIRST, _LATE_SPAN = 0.07, 40, 160
"""Share of instruments listed mid-way, and when: sessions after the start."""


@dataclass(frozen=True)
class Roster:
    """Instruments in a fixed order; every array has one entry an instrument."""

    ids: tuple[str, ...]
    symbols: tuple[str, ...]
    exchanges: tuple[str, ...]
    boards: tuple[str, ...]
    sector: Ints
    first_price: Floats
    lot: Floats
    step: Floats
    """Volume is a multiple of it."""
    tick: Floats
    """At the first price; Hong Kong's follows the spread table."""
    common_volatility: Floats
    own_volatility: Floats
    amount: Floats
    """Typical daily amount."""
    listed_after: Ints
    """Sessions between the simulation's start and the listing; 0: listed before."""

    @property
    def count(self) -> int:
        """Number of instruments."""
        return len(self.ids)


def draw_roster(model: MarketModel, count: int, streams: Streams, start: date) -> Roster:
    """The instruments of a market; ``start`` only picks the tick table in force."""
    random = streams.of("roster", 0)
    columns = [random.random(count) for _ in range(5)]
    symbols, exchanges, boards = zip(*(_listing(model.market, i) for i in range(count)), strict=True)
    price = _log_uniform(columns[0], model.price_range)
    lively = np.where((np.arange(count) // len(model.sectors)) % 2 == 0, 1.0, -1.0)
    own = 0.16 * (columns[1] - 0.5)
    late = columns[3] < (_LATE_SHARE if count >= 10 else 0.0)
    return Roster(
        ids=tuple(_identifier(model.market, e, s) for e, s in zip(exchanges, symbols, strict=True)),
        symbols=symbols,
        exchanges=exchanges,
        boards=boards,
        sector=np.arange(count, dtype=np.int64) % len(model.sectors),
        first_price=price,
        lot=_lots(model.market, columns[4], price),
        step=_steps(model.market, columns[4], price),
        tick=_ticks(model.market, price, start),
        common_volatility=np.exp(COMMON_LOG_SPREAD * lively + 0.5 * own),
        own_volatility=np.exp(OWN_LOG_SPREAD * lively + own),
        amount=_log_uniform(columns[2], model.turnover),
        listed_after=np.where(late, _LATE_FIRST + (columns[2] * _LATE_SPAN).astype(np.int64), 0),
    )


def instruments_frame(model: MarketModel, roster: Roster, sessions: list[date]) -> pl.DataFrame:
    """``INSTRUMENTS`` rows; an instrument whose listing lies past the last session is left out."""
    last = len(sessions) - 1
    rows = [i for i in range(roster.count) if roster.listed_after[i] <= last]
    since = {i: sessions[int(roster.listed_after[i])] for i in rows}
    spot = model.market == "crypto"
    return pl.DataFrame(
        {
            "instrument_id": [roster.ids[i] for i in rows],
            "valid_from": [since[i] for i in rows],
            "valid_to": None,
            "symbol": [roster.symbols[i] for i in rows],
            "market": model.market,
            "exchange": [roster.exchanges[i] for i in rows],
            "board": [roster.boards[i] for i in rows],
            "asset_class": "spot" if spot else "equity",
            "name": [f"Simulated {model.sectors[roster.sector[i]]} {roster.symbols[i]}" for i in rows],
            "currency": model.currency,
            "lot_size": [float(roster.lot[i]) for i in rows],
            "tick_size": [float(roster.tick[i]) for i in rows],
            "sector": [model.sectors[roster.sector[i]] for i in rows],
            "listed_on": [since[i] if roster.listed_after[i] else None for i in rows],
            "delisted_on": None,
        },
        schema=INSTRUMENTS.columns,
    )


def _listing(market: str, i: int) -> tuple[str, str, str]:
    """Symbol, exchange and board of the i-th instrument."""
    if market == "crypto":
        return f"SIM{i + 1:03d}-USDT", "BINANCE", "spot"
    if market == "hk":
        return f"{i + 1:05d}", "SEHK", "main"
    exchange, board, first = _CN_BOARDS[(i + i // 5) % len(_CN_BOARDS)]
    return f"{first + i:06d}", exchange, board


def _identifier(market: str, exchange: str, symbol: str) -> str:
    return make_instrument_id(market, exchange, symbol, "SPOT" if market == "crypto" else None)


def _log_uniform(u: Floats, bounds: tuple[float, float]) -> Floats:
    low, high = np.log(bounds[0]), np.log(bounds[1])
    return np.exp(low + u * (high - low))


def _lots(market: str, u: Floats, price: Floats) -> Floats:
    if market == "cn":
        return np.full(len(u), 100.0)
    if market == "hk":
        return np.asarray(_HK_LOTS)[(u * len(_HK_LOTS)).astype(np.int64)]
    return _steps(market, u, price)


def _steps(market: str, u: Floats, price: Floats) -> Floats:
    """Crypto trades in steps worth about a tenth of a quote coin."""
    if market != "crypto":
        return _lots(market, u, price)
    return np.asarray(10.0 ** np.round(np.log10(0.1 / price)))


def _ticks(market: str, price: Floats, start: date) -> Floats:
    if market == "cn":
        return np.full(len(price), 0.01)
    if market == "hk":
        return np.asarray(tick_table("hk", "main", start).tick(price))
    return np.asarray(10.0 ** (np.floor(np.log10(price)) - 4))

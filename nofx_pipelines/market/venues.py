"""Exchanges and what their symbols say: market, currency, board and class of an instrument."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nofx_pipelines.errors import DataError
from nofx_pipelines.market.instruments import InstrumentId, parse_instrument_id

EXCHANGES: dict[str, str] = {
    "SSE": "cn",
    "SZSE": "cn",
    "BSE": "cn",
    "SEHK": "hk",
    "BINANCE": "crypto",
    "OKX": "crypto",
    "BYBIT": "crypto",
    "COINBASE": "crypto",
    "KRAKEN": "crypto",
    "BITGET": "crypto",
}
"""Market of each exchange code."""

_CURRENCY = {"cn": "CNY", "hk": "HKD"}

_BOARDS: dict[str, tuple[tuple[str, str], ...]] = {
    "SSE": (
        (r"68[89]\d{3}", "star"),
        (r"60\d{4}", "main"),
        (r"900\d{3}", "b_share"),
        (r"000\d{3}", "index"),
        (r"5\d{5}", "fund"),
    ),
    "SZSE": (
        (r"30[0-2]\d{3}", "chinext"),
        (r"00[0-3]\d{3}", "main"),
        (r"200\d{3}", "b_share"),
        (r"399\d{3}", "index"),
        (r"1[568]\d{4}", "fund"),
    ),
    "BSE": ((r"899\d{3}", "index"), (r"(43|8[378]|92)\d{4}", "bse")),
    "SEHK": (
        (r"08\d{3}", "gem"),
        (r"(028|03[014])\d{2,3}", "fund"),
        (r"\d{5}", "main"),
        (r"[A-Z]+", "index"),
    ),
}


@dataclass(frozen=True)
class Listing:
    """What a symbol's form says about an instrument, without asking anyone."""

    instrument_id: str
    market: str
    exchange: str
    symbol: str
    board: str
    asset_class: str
    currency: str


def listing(instrument_id: str) -> Listing:
    """Board, class and currency of an instrument.

    Raises ``DataError`` for an exchange that the market does not have or a symbol of no board.

    >>> listing("CN.SSE.688981").board, listing("CN.SSE.000001").asset_class
    ('star', 'index')
    """
    parts = parse_instrument_id(instrument_id)
    if parts.market == "crypto":
        return _crypto(parts)
    if EXCHANGES.get(parts.exchange) != parts.market:
        known = ", ".join(code for code, market in EXCHANGES.items() if market == parts.market)
        raise DataError(
            f"{instrument_id}: exchange {parts.exchange!r} is none of {parts.market}'s",
            hint=f"use one of {known}",
        )
    for pattern, board in _BOARDS[parts.exchange]:
        if re.fullmatch(pattern, parts.symbol):
            asset_class = "index" if board == "index" else "equity"
            return _listing(parts, board, asset_class, _CURRENCY[parts.market])
    raise DataError(
        f"{instrument_id}: symbol {parts.symbol!r} belongs to no board of {parts.exchange}",
        hint="check the exchange that stands before it",
    )


def _crypto(parts: InstrumentId) -> Listing:
    board = "perpetual" if parts.kind == "PERP" else "spot"
    return _listing(parts, board, board, parts.symbol.rpartition("-")[2])


def _listing(parts: InstrumentId, board: str, asset_class: str, currency: str) -> Listing:
    return Listing(str(parts), parts.market, parts.exchange, parts.symbol, board, asset_class, currency)

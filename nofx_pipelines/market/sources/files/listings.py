"""Rows of the instruments table for what the files hold."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import date

import numpy as np
import polars as pl

from nofx_pipelines.errors import NofxError
from nofx_pipelines.lake.schemas import INSTRUMENTS
from nofx_pipelines.market.rules import lots, tick_table
from nofx_pipelines.market.sources.files.file_index import IndexedPart
from nofx_pipelines.market.sources.files.instrument_summary import InstrumentSummary
from nofx_pipelines.market.sources.files.spans import first_session

_STOCK_LOT = 100.0
_STOCK_TICK = 0.01
"""Of A-shares, before the first dated rule too."""


def instruments_of(parts: list[IndexedPart]) -> pl.DataFrame:
    """One row an instrument, valid from its first session in the files.

    Lot: the exchange's rule; where the exchange leaves it to the stock (Hong Kong), the largest usual
    lot that divides every volume. Tick: the exchange's at the last price, for crypto the finest decimal seen.
    """
    first: dict[str, date] = {}
    summaries: dict[str, list[InstrumentSummary]] = defaultdict(list)
    for part in parts:
        for identifier, summary in part.survey.instruments.items():
            begins = first_session(part.survey, summary)
            first[identifier] = min(first.get(identifier, begins), begins)
            summaries[identifier].append(summary)
    rows = [_row(identifier, summaries[identifier], first[identifier]) for identifier in sorted(summaries)]
    return pl.DataFrame(rows, schema=INSTRUMENTS.columns)


def _row(identifier: str, summaries: list[InstrumentSummary], begins: date) -> dict[str, object]:
    listing = summaries[0].listing
    return {
        "instrument_id": identifier,
        "valid_from": begins,
        "valid_to": None,
        "symbol": listing.symbol,
        "market": listing.market,
        "exchange": listing.exchange,
        "board": listing.board,
        "asset_class": listing.asset_class,
        "name": listing.symbol,
        "currency": listing.currency,
        "lot_size": _lot(summaries, begins),
        "tick_size": _tick(summaries, begins),
        "sector": None,
        "listed_on": None,
        "delisted_on": None,
    }


def _lot(summaries: list[InstrumentSummary], on: date) -> float:
    listing = summaries[0].listing
    if listing.asset_class == "index":
        return 1.0
    if listing.market == "crypto":
        return min(each.lot for each in summaries)
    if listing.market == "hk":
        return float(math.gcd(*(max(int(each.lot), 1) for each in summaries)))
    try:
        return float(lots(listing.market, listing.board, on).minimum)
    except NofxError:
        return _STOCK_LOT


def _tick(summaries: list[InstrumentSummary], on: date) -> float:
    listing = summaries[0].listing
    if listing.market == "crypto":
        return min(each.tick for each in summaries)
    price = summaries[-1].last_close
    if listing.asset_class == "index" or price is None:
        return _STOCK_TICK
    try:
        return float(tick_table(listing.market, listing.board, on).tick(np.array([price]))[0])
    except NofxError:
        return _STOCK_TICK

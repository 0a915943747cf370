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
from nofx_pipelines.market.sources.files.file_index import Found
from nofx_pipelines.market.sources.files.instrument_summary import Held
from nofx_pipelines.market.sources.files.spans import first_session

_STOCK_LOT = 100.0
_STOCK_TICK = 0.01
"""Of A-shares, before the first dated rule too."""


def instruments_of(found: list[Found]) -> pl.DataFrame:
    """One row an instrument, valid from its first session in the files.

    Lot: the exchange's rule; where the exchange leaves it to the stock (Hong Kong), the largest usual
    lot that divides every volume. Tick: the exchange's at the last price, for crypto the finest decimal seen.
    """
    first: dict[str, date] = {}
    held: dict[str, list[Held]] = defaultdict(list)
    for each in found:
        for identifier, one in each.survey.held.items():
            begins = first_session(each.survey, one)
            first[identifier] = min(first.get(identifier, begins), begins)
            held[identifier].append(one)
    rows = [_row(identifier, held[identifier], first[identifier]) for identifier in sorted(held)]
    return pl.DataFrame(rows, schema=INSTRUMENTS.columns)


def _row(identifier: str, held: list[Held], begins: date) -> dict[str, object]:
    listing = held[0].listing
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
        "lot_size": _lot(held, begins),
        "tick_size": _tick(held, begins),
        "sector": None,
        "listed_on": None,
        "delisted_on": None,
    }


def _lot(held: list[Held], on: date) -> float:
    listing = held[0].listing
    if listing.asset_class == "index":
        return 1.0
    if listing.market == "crypto":
        return min(each.lot for each in held)
    if listing.market == "hk":
        return float(math.gcd(*(max(int(each.lot), 1) for each in held)))
    try:
        return float(lots(listing.market, listing.board, on).minimum)
    except NofxError:
        return _STOCK_LOT


def _tick(held: list[Held], on: date) -> float:
    listing = held[0].listing
    if listing.market == "crypto":
        return min(each.tick for each in held)
    price = held[-1].last_close
    if listing.asset_class == "index" or price is None:
        return _STOCK_TICK
    try:
        return float(tick_table(listing.market, listing.board, on).tick(np.array([price]))[0])
    except NofxError:
        return _STOCK_TICK

"""Tushare daily bars: newest first, lots of 100, amounts in thousand yuan, suspended days absent."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.layout import Layout, Units
from nofx_pipelines.market.sources.files.raw import Head

NAME = "tushare"
COLUMNS = ("ts_code", "trade_date", "open", "high", "low", "close", "vol", "amount")


def recognise(head: Head) -> Layout | None:
    """Columns of Tushare's ``daily`` and ``pro_bar``; prices off the tick of 0.01 are forward-adjusted."""
    if not set(COLUMNS) <= set(head.names):
        return None
    columns = {"symbol": "ts_code", "label": "trade_date", "volume": "vol", "amount": "amount"}
    columns |= {name: name for name in ("open", "high", "low", "close")}
    if "pre_close" in head.names:
        columns["prev_close"] = "pre_close"
    return Layout(
        NAME,
        columns,
        labels="session",
        price_basis="forward",
        basis_from_ticks=True,
        units=Units(volume=100.0, amount=1_000.0),
        knowledge_lag=timedelta(hours=1),
        notes=(("gaps", "suspended days are absent", "Tushare lists traded days only"),),
    )

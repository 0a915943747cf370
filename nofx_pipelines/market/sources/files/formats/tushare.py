"""Tushare daily bars: newest first, lots of 100, amounts in thousand yuan, suspended days absent."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import Layout, Units
from nofx_pipelines.market.sources.files.raw import Head


class Tushare:
    """What Tushare's ``daily`` and ``pro_bar`` deliver."""

    name = "tushare"
    title = "Tushare daily"
    columns = ("ts_code", "trade_date", "open", "high", "low", "close", "vol", "amount")
    rank = 30

    def recognise(self, head: Head) -> Layout | None:
        """Its columns; prices off the tick of 0.01 are forward-adjusted."""
        if not set(self.columns) <= set(head.names):
            return None
        columns = {"symbol": "ts_code", "label": "trade_date", "volume": "vol", "amount": "amount"}
        columns |= {name: name for name in ("open", "high", "low", "close")}
        if "pre_close" in head.names:
            columns["prev_close"] = "pre_close"
        return Layout(
            self.name,
            columns,
            labels="session",
            price_basis="forward",
            basis_from_ticks=True,
            units=Units(volume=100.0, amount=1_000.0),
            knowledge_lag=timedelta(hours=1),
            notes=(("gaps", "suspended days are absent", "Tushare lists traded days only"),),
        )


FORMAT: Format = Tushare()

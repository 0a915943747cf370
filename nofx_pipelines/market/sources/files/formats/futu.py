"""Futu candles: end labels in exchange time, an opening-auction bar, forward-adjusted prices."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.raw import Head


class Futu:
    """Candles as Futu OpenD exports them."""

    name = "futu"
    title = "Futu candles"
    columns = ("code", "time_key", "open", "close", "high", "low", "volume", "turnover")
    rank = 20

    def recognise(self, head: Head) -> Layout | None:
        """Its columns; a session's first ``last_close`` is the session before's close."""
        if not set(self.columns) <= set(head.names):
            return None
        columns = {"symbol": "code", "label": "time_key", "amount": "turnover"}
        columns |= {name: name for name in ("open", "high", "low", "close", "volume")}
        if "last_close" in head.names:
            columns["prev_close"] = "last_close"
        return Layout(
            self.name,
            columns,
            labels_default="end",
            price_basis="forward",
            prev_close="first_bar",
            knowledge_lag=timedelta(seconds=5),
            notes=(
                ("volume unit", "shares", "Futu documents shares for Hong Kong and A-shares"),
                ("closing auction", "inside the last bar", "no label follows the close"),
            ),
        )


FORMAT: Format = Futu()

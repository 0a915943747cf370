"""czsc bars: end labels in exchange time, no amounts."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.raw import Head


class Czsc:
    """czsc's ``RawBar`` as a table."""

    name = "czsc"
    title = "czsc bars"
    columns = ("symbol", "dt", "open", "close", "high", "low", "vol")
    rank = 50

    def recognise(self, head: Head) -> Layout | None:
        """Its columns, with ``amount`` where it is there."""
        if not set(self.columns) <= set(head.names):
            return None
        columns = {"symbol": "symbol", "label": "dt", "volume": "vol"}
        columns |= {name: name for name in ("open", "high", "low", "close")}
        if "amount" in head.names:
            columns["amount"] = "amount"
        return Layout(
            self.name,
            columns,
            labels_default="end",
            knowledge_lag=timedelta(seconds=5),
            notes=(("volume unit", "shares", "czsc documents shares"),),
        )


FORMAT: Format = Czsc()

"""hikyuu daily bars: unadjusted, lots of 100, amounts in thousand yuan; no volume means suspended."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import Layout, Units
from nofx_pipelines.market.sources.files.raw import Head


class Hikyuu:
    """A hikyuu day file."""

    name = "hikyuu"
    title = "hikyuu daily"
    columns = ("code", "date", "open", "high", "low", "close", "volume_lot", "amount_raw")
    rank = 40

    def recognise(self, head: Head) -> Layout | None:
        """Its columns: the volume in lots of 100, the amount in thousand yuan."""
        if not set(self.columns) <= set(head.names):
            return None
        columns = {"symbol": "code", "label": "date", "volume": "volume_lot", "amount": "amount_raw"}
        columns |= {name: name for name in ("open", "high", "low", "close")}
        return Layout(
            self.name,
            columns,
            labels="session",
            units=Units(volume=100.0, amount=1_000.0),
            knowledge_lag=timedelta(hours=1),
            notes=(("suspensions", "rows with volume 0", "hikyuu writes the close before"),),
        )


FORMAT: Format = Hikyuu()

"""hikyuu daily bars: unadjusted, lots of 100, amounts in thousand yuan; no volume means suspended."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.layout import Layout, Units
from nofx_pipelines.market.sources.files.raw import Head

NAME = "hikyuu"
COLUMNS = ("code", "date", "open", "high", "low", "close", "volume_lot", "amount_raw")


def recognise(head: Head) -> Layout | None:
    """Columns of a hikyuu day file."""
    if not set(COLUMNS) <= set(head.names):
        return None
    columns = {"symbol": "code", "label": "date", "volume": "volume_lot", "amount": "amount_raw"}
    columns |= {name: name for name in ("open", "high", "low", "close")}
    return Layout(
        NAME,
        columns,
        labels="session",
        units=Units(volume=100.0, amount=1_000.0),
        knowledge_lag=timedelta(hours=1),
        notes=(("suspensions", "rows with volume 0", "hikyuu writes the close before"),),
    )

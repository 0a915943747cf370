"""czsc bars: end labels in exchange time, no amounts."""

from __future__ import annotations

from datetime import timedelta

from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.raw import Head

NAME = "czsc"
COLUMNS = ("symbol", "dt", "open", "close", "high", "low", "vol")


def recognise(head: Head) -> Layout | None:
    """Columns of czsc's ``RawBar`` as a table."""
    if not set(COLUMNS) <= set(head.names):
        return None
    columns = {"symbol": "symbol", "label": "dt", "volume": "vol"}
    columns |= {name: name for name in ("open", "high", "low", "close")}
    if "amount" in head.names:
        columns["amount"] = "amount"
    return Layout(
        NAME,
        columns,
        labels_default="end",
        knowledge_lag=timedelta(seconds=5),
        notes=(("volume unit", "shares", "czsc documents shares"),),
    )

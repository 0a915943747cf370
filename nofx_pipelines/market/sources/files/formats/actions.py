"""Corporate actions: hikyuu's table, or our own column names."""

from __future__ import annotations

from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.raw import Head

HIKYUU = "hikyuu_corporate_actions"
OWN = "own_corporate_actions"
HIKYUU_NUMBERS = ("countAsGift", "countOfIncreasement", "countForSell", "priceForSell", "bonus")
OWN_COLUMNS = ("ex_date", "kind", "ratio", "cash", "currency", "announced_on")


def recognise(head: Head) -> Layout | None:
    """hikyuu's counts per ten shares, or a symbol, ``ex_date``, ``kind`` and ``ratio`` or ``cash``."""
    names = set(head.names)
    if {"code", "date", *HIKYUU_NUMBERS} <= names:
        columns = {"symbol": "code", "label": "date"} | {name: name for name in HIKYUU_NUMBERS}
        return Layout(HIKYUU, columns, kind="actions", labels="session")
    symbol = next((name for name in ("instrument_id", "symbol") if name in names), None)
    if symbol and {"ex_date", "kind"} <= names and names & {"ratio", "cash"}:
        columns = {"symbol": symbol, "label": "ex_date"}
        columns |= {name: name for name in OWN_COLUMNS[1:] if name in names}
        return Layout(OWN, columns, kind="actions", labels="session")
    return None

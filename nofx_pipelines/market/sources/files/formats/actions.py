"""Corporate actions: hikyuu's table, or our own column names."""

from __future__ import annotations

from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import ACTION_COUNTS, ACTION_VALUES, Layout
from nofx_pipelines.market.sources.files.raw import Head


class Actions:
    """Dividends, bonus and rights issues and splits, told apart from bars by their columns."""

    name = "corporate_actions"
    title = "corporate actions (hikyuu's, or symbol, ex_date, kind, ratio or cash)"
    columns = ()
    """Two sets of names."""
    rank = 10

    def recognise(self, head: Head) -> Layout | None:
        """hikyuu's counts per ten shares, or a symbol, ``ex_date``, ``kind`` and ``ratio`` or ``cash``."""
        names = set(head.names)
        if {"code", "date", *ACTION_COUNTS} <= names:
            columns = {"symbol": "code", "label": "date"} | {name: name for name in ACTION_COUNTS}
            return Layout("hikyuu_corporate_actions", columns, kind="actions", labels="session")
        symbol = next((name for name in ("instrument_id", "symbol") if name in names), None)
        if symbol and {"ex_date", "kind"} <= names and names & {"ratio", "cash"}:
            columns = {"symbol": symbol, "label": "ex_date"}
            columns |= {name: name for name in ACTION_VALUES if name in names}
            return Layout("own_corporate_actions", columns, kind="actions", labels="session")
        return None


FORMAT: Format = Actions()

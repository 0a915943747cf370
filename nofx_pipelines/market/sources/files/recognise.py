"""Which format a part is, by its columns and values."""

from __future__ import annotations

from nofx_pipelines.market.sources.files.formats import actions, binance, czsc, futu, hikyuu, own, tushare
from nofx_pipelines.market.sources.files.layout import Layout
from nofx_pipelines.market.sources.files.raw import Head

_FORMATS = (actions, futu, tushare, hikyuu, czsc, binance, own)
"""The particular before the general."""

KNOWN = (
    "Futu candles, Tushare daily, hikyuu daily and corporate actions, Binance klines, czsc bars, "
    "and CSV, Parquet or feather with instrument_id or symbol, ts_open or ts_close or session_date "
    "(or timestamp), open, high, low, close, volume"
)


def recognise(head: Head) -> Layout | None:
    """The first format that knows the columns, ``None`` if none does.

    >>> recognise(Head("a.csv", ("timestamp", "open", "high", "low", "close", "volume"), ())).format
    'ohlcv'
    """
    if not head.rows and head.columns is None:
        return None
    return next((layout for each in _FORMATS if (layout := each.recognise(head)) is not None), None)


def closest(head: Head) -> str:
    """What the nearest format lacks, for the message about a file that none knows."""
    seen = {name.lower() for name in head.names}
    lacking = {
        each.NAME: [name for name in each.COLUMNS if name.lower() not in seen]
        for each in (futu, tushare, hikyuu, czsc, own)
    }
    name = min(lacking, key=lambda each: (len(lacking[each]), each != own.NAME))
    return f"the nearest format, {name}, needs {', '.join(lacking[name])} too" if lacking[name] else ""

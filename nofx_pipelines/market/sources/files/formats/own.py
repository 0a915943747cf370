"""Our own column names, and any table of a time, four prices and a volume."""

from __future__ import annotations

from nofx_pipelines.lake.schemas import BARS
from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import NUMBERS, REQUIRED, TEXTS, Labels, Layout
from nofx_pipelines.market.sources.files.raw import Head

_TIMESTAMPED = "ohlcv"
_SYMBOLS = ("instrument_id", "symbol")
_TIMES = ("timestamp", "datetime", "date_time", "time", "dt", "date")


class Own:
    """Bars by our own column names, or by the usual ones."""

    name = "own"
    title = (
        "CSV, Parquet or feather with instrument_id or symbol, ts_open or ts_close or session_date "
        "(or timestamp), open, high, low, close, volume"
    )
    columns = ("symbol", "ts_open", *REQUIRED)
    rank = 90

    def recognise(self, head: Head) -> Layout | None:
        """``instrument_id`` or ``symbol``; ``ts_open``, ``ts_close`` or ``session_date``; prices and volume.

        With ``timestamp`` (``datetime``, ``time``, ``date``) in their place, or without a symbol, the
        rows and the file's name decide what the file leaves open.
        """
        names = {name.lower(): name for name in head.names}
        if not set(REQUIRED) <= set(names):
            return None
        columns = {name: names[name] for name in (*NUMBERS, *TEXTS) if name in names}
        symbol = next((names[name] for name in _SYMBOLS if name in names), None)
        if symbol is not None:
            columns["symbol"] = symbol
        exact = _own_times(names)
        if exact is not None and "symbol" in columns:
            return Layout(
                self.name,
                columns | exact,
                labels="both" if "ts_close" in exact else _labels(names),
                naive_zone=None,
                notes=(
                    ("columns", ", ".join(name for name in head.names if name.lower() in BARS.columns), ""),
                ),
            )
        time = next(
            (names[name] for name in ("ts_open", "ts_close", "session_date", *_TIMES) if name in names), None
        )
        if time is None:
            return None
        labels = _labels(names)
        return Layout(
            _TIMESTAMPED, columns | {"label": time}, labels=labels, naive_zone=None, units_documented=False
        )


def _own_times(names: dict[str, str]) -> dict[str, str] | None:
    if "ts_open" in names and "ts_close" in names:
        times = {"label": names["ts_open"], "ts_close": names["ts_close"]}
    else:
        column = next(
            (names[name] for name in ("ts_open", "ts_close", "session_date") if name in names), None
        )
        times = {"label": column} if column is not None else {}
    if "session_date" in names and "ts_close" in times:
        times["session_date"] = names["session_date"]
    return times or None


def _labels(names: dict[str, str]) -> Labels | None:
    if "ts_open" in names:
        return "start"
    if "ts_close" in names:
        return "end"
    return "session" if "session_date" in names else None


FORMAT: Format = Own()

"""Binance klines: twelve columns, with or without header, in ms or (spot, since 2025) microseconds."""

from __future__ import annotations

import re
from datetime import timedelta

from nofx_pipelines.market.sources.files.formats import Format
from nofx_pipelines.market.sources.files.layout import REQUIRED, Layout
from nofx_pipelines.market.sources.files.raw import Head

_OURS = (
    "label",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "ts_close",
    "amount",
    "n_trades",
    "taker_volume",
    "taker_amount",
)
_ALIASES = {
    "label": ("open_time", "opentime"),
    "ts_close": ("close_time", "closetime"),
    "amount": ("quote_volume", "quote_asset_volume", "quotevolume"),
    "n_trades": ("count", "number_of_trades", "num_trades", "trades"),
    "taker_volume": (
        "taker_buy_volume",
        "taker_buy_base_asset_volume",
        "taker_buy_base_volume",
        "taker_base",
    ),
    "taker_amount": ("taker_buy_quote_volume", "taker_buy_quote_asset_volume", "taker_quote"),
}
_SYMBOL_NAMES = ("instrument_id", "symbol", "pair")


class Binance:
    """Klines of Binance's archives and its API."""

    name = "binance_klines"
    title = "Binance klines"
    columns = ()
    """The archives of spot have no header."""
    rank = 60

    def recognise(self, head: Head) -> Layout | None:
        """Twelve numbers whose seventh is the first plus the bar, or Binance's own header."""
        if head.columns is None:
            columns = dict(zip(_OURS, head.names, strict=False)) if _looks_like_kline(head) else None
            futures = False
        else:
            columns, futures = _by_header(head)
        if columns is None:
            return None
        value, evidence = ("PERP", "its header is that of the futures archives") if futures else ("SPOT", "")
        return Layout(
            self.name,
            columns,
            labels="start",
            naive_zone="UTC",
            exchange="BINANCE",
            crypto_kind=value,
            knowledge_lag=timedelta(seconds=1),
            notes=(("kind", value, evidence),) if futures else (),
        )


def _looks_like_kline(head: Head) -> bool:
    row = next((row for row in head.rows if len(row) == len(head.names)), ())
    if len(row) not in (11, 12) or not (row[0].isdigit() and row[6].isdigit()):
        return False
    return len(row[0]) in (13, 16) and len(row[0]) == len(row[6]) and int(row[6]) > int(row[0])


def _by_header(head: Head) -> tuple[dict[str, str] | None, bool]:
    names = {re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_"): name for name in head.names}
    columns: dict[str, str] = {name: names[name] for name in REQUIRED if name in names}
    for ours, aliases in _ALIASES.items():
        if column := next((names[alias] for alias in aliases if alias in names), None):
            columns[ours] = column
    if not {"label", "ts_close", *REQUIRED} <= set(columns):
        return None, False
    for name in _SYMBOL_NAMES:
        if name in names:
            columns["symbol"] = names[name]
            break
    return columns, {"quote_volume", "count", "taker_buy_volume"} <= set(names)


FORMAT: Format = Binance()

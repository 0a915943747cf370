"""Trades to bars: an interval's bar is closed by the first trade of a later one."""

from __future__ import annotations

from typing import Any

import polars as pl

_US = 60_000_000
_UTC_US = pl.Datetime("us", "UTC")


class TradeBars:
    """Open bars of instruments, and what closes them.

    A bar closes for all instruments when any of them trades in a later interval: time has gone on. A trade
    of an interval that is closed already is refused with ValueError.

    >>> trades = TradeBars(1)
    >>> buy = {"instrument_id": "A", "ts": 1_000_000, "price": 10.0, "size": 2.0, "side": "buy"}
    >>> trades.take(buy).height
    0
    >>> closed = trades.take(buy | {"ts": 61_000_000, "price": 11.0})
    >>> closed.select("instrument_id", "open", "close", "volume", "taker_volume").row(0)
    ('A', 10.0, 10.0, 2.0, 2.0)
    """

    def __init__(self, minutes: int) -> None:
        self._width = minutes * _US
        self._open: dict[str, dict[str, Any]] = {}
        self._begun: int | None = None

    def take(self, trade: dict[str, Any]) -> pl.DataFrame:
        """Add a trade; the bars that it closes."""
        ts, price, size = int(trade["ts"]), float(trade["price"]), float(trade["size"])
        begun = ts // self._width * self._width
        if self._begun is not None and begun < self._begun:
            raise ValueError(f"a trade at {ts} us comes after its bar was closed")
        closed = self._closed(begun) if self._begun is not None and begun > self._begun else []
        self._begun = begun
        bar = self._open.setdefault(str(trade["instrument_id"]), _empty(price))
        bar["high"], bar["low"] = max(bar["high"], price), min(bar["low"], price)
        bar["close"] = price
        bar["volume"] += size
        bar["amount"] += size * price
        bar["n_trades"] += 1
        if trade.get("side") == "buy":
            bar["taker_volume"] += size
            bar["taker_amount"] += size * price
        return _frame(closed)

    def _closed(self, begun: int) -> list[dict[str, Any]]:
        assert self._begun is not None
        times = {"ts_open": self._begun, "ts_close": self._begun + self._width}
        rows = [{"instrument_id": name, **times, **bar} for name, bar in sorted(self._open.items())]
        self._open.clear()
        return rows

    def open_bars(self) -> dict[str, Any]:
        """The open bars, as JSON."""
        return {"begun": self._begun, "bars": {name: dict(bar) for name, bar in self._open.items()}}

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from `open_bars`."""
        self._begun = kept.get("begun")
        self._open = {name: dict(bar) for name, bar in kept.get("bars", {}).items()}


def _empty(price: float) -> dict[str, Any]:
    sums = ("volume", "amount", "taker_volume", "taker_amount")
    return {
        "open": price,
        "high": price,
        "low": price,
        "close": price,
        "n_trades": 0,
        **dict.fromkeys(sums, 0.0),
    }


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame()
    return pl.DataFrame(rows).with_columns(
        pl.col("ts_open", "ts_close").cast(_UTC_US), session_date=pl.col("ts_open").cast(_UTC_US).dt.date()
    )

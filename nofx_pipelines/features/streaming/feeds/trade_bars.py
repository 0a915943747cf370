"""Trades to bars: an interval's bar is closed by a timer, or by the first trade of a later interval."""

from __future__ import annotations

from typing import Any

import polars as pl

from nofx_pipelines.features.streaming.feeds.entries import Clock, Trade, refused, trade_of

_US = 60_000_000
GRACE_US = 10_000_000
"""So long after an interval's end, by the newest trade's time, a late trade still corrects its bar."""
_UTC_US = pl.Datetime("us", "UTC")
_SCHEMA: dict[str, Any] = {"instrument_id": pl.String, "ts_open": pl.Int64, "ts_close": pl.Int64}
_SCHEMA |= dict.fromkeys(("open", "high", "low", "close"), pl.Float64) | {"n_trades": pl.Int64}
_SCHEMA |= dict.fromkeys(("volume", "amount", "taker_volume", "taker_amount"), pl.Float64)


class TradeBars:
    """Bars of intervals that are open, and of closed ones that a late trade may still correct.

    A bar closes for all instruments when any of them trades in a later interval, or when `close_due` is
    called after its end: time has gone on. A trade of a closed interval within ``grace_us`` gives the
    corrected bar at once; a later one is refused (EntryRefused) and counted in ``late``. Taker volumes of a
    bar with a trade of unknown side are null: what was bought is not known.

    >>> trades = TradeBars(1)
    >>> buy = {"instrument_id": "A", "ts": 1_000_000, "price": 10.0, "size": 2.0, "side": "buy"}
    >>> trades.take(buy).height
    0
    >>> closed = trades.take(buy | {"ts": 61_000_000, "price": 11.0})
    >>> closed.select("instrument_id", "open", "close", "volume", "taker_volume").row(0)
    ('A', 10.0, 10.0, 2.0, 2.0)
    >>> trades.take(buy | {"ts": 59_999_000, "price": 12.0}).select("close", "volume").row(0)
    (12.0, 4.0)
    """

    def __init__(self, minutes: int, grace_us: int = GRACE_US) -> None:
        self._width, self._grace = minutes * _US, grace_us
        self._bars: dict[int, dict[str, dict[str, Any]]] = {}
        """By the interval's beginning; those at or after ``_begun`` are open."""
        self._begun: int | None = None
        self._newest = -(2**62)
        self.clock = Clock()
        self.late, self.corrections = 0, 0

    def take(self, fields: Any) -> pl.DataFrame:
        """Add a trade; the bars that it closes, or the one that it corrects."""
        trade = trade_of(fields, self.clock)
        begun = trade.ts_us // self._width * self._width
        if self._begun is not None and begun < self._begun:
            return self._corrected(begun, trade)
        closed = self._close_before(begun)
        self._add(begun, trade)
        return _frame(closed)

    def _corrected(self, begun: int, trade: Trade) -> pl.DataFrame:
        if begun + self._width + self._grace < self._newest:
            self.late += 1
            raise refused(
                f"the trade of {trade.instrument_id} at {trade.ts_us} us is later than the grace of "
                f"{self._grace / 1e6:g} s after its bar",
                "nofx stream --grace SECONDS",
            )
        self.corrections += 1
        self._add(begun, trade)
        return _frame([self._row(begun, trade.instrument_id)])

    def _add(self, begun: int, trade: Trade) -> None:
        bars = self._bars.setdefault(begun, {})
        bar = bars.setdefault(trade.instrument_id, _empty(trade))
        bar["high"], bar["low"] = max(bar["high"], trade.price), min(bar["low"], trade.price)
        if trade.ts_us < bar["first_us"]:
            bar["first_us"], bar["open"] = trade.ts_us, trade.price
        if trade.ts_us >= bar["last_us"]:
            bar["last_us"], bar["close"] = trade.ts_us, trade.price
        bar["volume"] += trade.size
        bar["amount"] += trade.size * trade.price
        bar["n_trades"] += 1
        bar["sided"] = bar["sided"] and trade.side is not None
        if trade.side == "buy":
            bar["taker_volume"] += trade.size
            bar["taker_amount"] += trade.size * trade.price
        self._newest = max(self._newest, trade.ts_us)

    @property
    def due_us(self) -> int | None:
        """When the open interval ends; None where nothing is open."""
        return None if self._begun is None or self._begun not in self._bars else self._begun + self._width

    def close_due(self, now_us: int) -> pl.DataFrame:
        """The bars of the open interval, when it has ended by the clock."""
        due = self.due_us
        if due is None or now_us < due:
            return pl.DataFrame()
        return _frame(self._close_before(due))

    def _close_before(self, begun: int) -> list[dict[str, Any]]:
        """Open the interval that begins at ``begun``; the rows of those before it."""
        rows = []
        if self._begun is not None and begun > self._begun:
            rows = [self._row(self._begun, name) for name in sorted(self._bars.get(self._begun, {}))]
        self._begun = begun
        newest = max(self._newest, begun)
        for old in [at for at in self._bars if at < begun and at + self._width + self._grace < newest]:
            del self._bars[old]
        return rows

    def _row(self, begun: int, name: str) -> dict[str, Any]:
        bar = self._bars[begun][name]
        row = {"instrument_id": name, "ts_open": begun, "ts_close": begun + self._width, **bar}
        if not bar["sided"]:
            row |= {"taker_volume": None, "taker_amount": None}
        return row

    def open_bars(self) -> dict[str, Any]:
        """The bars that may still change, as JSON."""
        bars = {str(at): {name: dict(bar) for name, bar in own.items()} for at, own in self._bars.items()}
        return {
            "begun": self._begun, "newest": self._newest, "bars": bars, "late": self.late,
            "corrections": self.corrections, "from_zero": self.clock.from_zero,
        }  # fmt: skip

    def restore(self, kept: dict[str, Any]) -> None:
        """Go on from `open_bars`."""
        self._begun, self._newest = kept.get("begun"), kept.get("newest", -(2**62))
        self._bars = {
            int(at): {name: dict(bar) for name, bar in own.items()}
            for at, own in kept.get("bars", {}).items()
        }
        self.late, self.corrections = kept.get("late", 0), kept.get("corrections", 0)
        self.clock.from_zero = kept.get("from_zero")


def _empty(trade: Trade) -> dict[str, Any]:
    sums = ("volume", "amount", "taker_volume", "taker_amount")
    price = dict.fromkeys(("open", "high", "low", "close"), trade.price)
    at = {"first_us": trade.ts_us, "last_us": trade.ts_us, "n_trades": 0, "sided": True}
    return {**price, **at, **dict.fromkeys(sums, 0.0)}


def _frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    if not rows:
        return pl.DataFrame()
    frame = pl.DataFrame([{name: row[name] for name in _SCHEMA} for row in rows], schema=_SCHEMA)
    times = pl.col("ts_open", "ts_close").cast(_UTC_US)
    return frame.with_columns(times, session_date=pl.col("ts_open").cast(_UTC_US).dt.date())

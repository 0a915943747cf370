"""Where a stream's bars come from: a replay, or a Redis Stream of bars or of trades.

A feed gives moments (bars of one ``ts_close``, or of several) with the position after each. Going on from a
position gives the same moments that were still to come, so a stream that was saved with it loses none and
counts none twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.streaming.feeds.trade_bars import TradeBars

Position = dict[str, Any]
"""What a feed goes on from, as JSON."""
_UTC_US = pl.Datetime("us", "UTC")


class Feed(Protocol):
    """Moments from a position on; ends when there is no more."""

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        """Positions after each moment, and its bars."""
        ...


@dataclass(frozen=True)
class Replay:
    """The bars of a frame, one ``ts_close`` after the other.

    >>> bars = pl.DataFrame({"instrument_id": ["A", "B"], "ts_close": [1, 1], "close": [2.0, 3.0]})
    >>> [(position, part.height) for position, part in Replay(bars).moments(None)]
    [({'ts_close_us': 1}, 2)]
    """

    bars: pl.DataFrame

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        """All moments after the position's time."""
        left = self.bars.sort("ts_close")
        times = left["ts_close"].to_physical()
        if position is not None:
            left = left.filter(times > position["ts_close_us"])
        for part in left.partition_by("ts_close", maintain_order=True):
            yield {"ts_close_us": int(part["ts_close"].to_physical()[0])}, part


@dataclass(frozen=True)
class RedisFeed:
    """Entries of a Redis Stream: ``bars`` a JSON list of bars, or ``trade`` one trade in JSON.

    A bar has what `bars_frame` says, a trade instrument_id, ts (microseconds), price, size and perhaps side
    (``buy`` where the taker bought). Trades become bars of ``bar_minutes`` minutes. Ends after ``idle_ms``
    without an entry, never where that is 0.
    """

    client: Any
    key: str
    bar_minutes: int = 1
    idle_ms: int = 0

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        """All moments of entries after the position's."""
        last = "0-0" if position is None else str(position["id"])
        trades = TradeBars(self.bar_minutes)
        if position is not None:
            trades.restore(position.get("open_bars", {}))
        while found := self.client.xread({self.key: last}, count=256, block=self.idle_ms):
            for entry, fields in found[0][1]:
                last = _text(entry)
                bars = self._bars(last, {_text(k): _text(v) for k, v in fields.items()}, trades)
                if bars.height:
                    yield {"id": last, "open_bars": trades.open_bars()}, bars

    def _bars(self, entry: str, fields: dict[str, str], trades: TradeBars) -> pl.DataFrame:
        try:
            if "trade" in fields:
                return trades.take(json.loads(fields["trade"]))
            return bars_frame(json.loads(fields["bars"]))
        except (KeyError, ValueError, TypeError, pl.exceptions.PolarsError) as error:
            raise FeatureError(
                f"entry {entry} of {self.key} is neither bars nor a trade: {error}",
                kept="everything before it was taken",
                hint=f"XDEL {self.key} {entry}, then nofx stream goes on after it",
            ) from error


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def bars_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Bars in JSON as rows of `bars`: instrument_id, ts_close, their numbers, and where something reads them
    ts_open, status and the others.

    Times are microseconds UTC, or ISO 8601 with an offset. Without session_date (YYYY-MM-DD) the session is
    the UTC day of the close.

    >>> bar = {"instrument_id": "A", "ts_close": "2025-01-02T15:00:00+08:00", "close": 3.0}
    >>> bars_frame([bar]).select("ts_close", "session_date").row(0)[0].isoformat()
    '2025-01-02T07:00:00+00:00'
    """
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame = frame.with_columns(
        _times(frame[name]) for name in ("ts_open", "ts_close") if name in frame.columns
    )
    day = pl.col("ts_close").dt.date()
    if "session_date" in frame.columns:
        day = pl.coalesce(pl.col("session_date").str.to_date("%Y-%m-%d"), day)
    return frame.with_columns(day.alias("session_date"))


def _times(column: pl.Series) -> pl.Series:
    if column.dtype == pl.String:
        return column.str.to_datetime("%+", time_unit="us", time_zone="UTC")
    return column.cast(_UTC_US)

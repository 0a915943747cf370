"""Where a stream's bars come from: a replay, or a Redis Stream of bars or of trades.

A feed gives moments (bars of one ``ts_close``, or of several) with the position after each. Going on from a
position gives the same moments that were still to come, so a stream that was saved with it loses none and
counts none twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from nofx_pipelines.features.streaming.dead_letters import DeadLetters
from nofx_pipelines.features.streaming.feeds.entries import (
    EntryRefused,
    bar_of,
    bars_frame,
    checked_frame,
    refused,
)
from nofx_pipelines.features.streaming.feeds.trade_bars import GRACE_US, TradeBars

__all__ = ["Feed", "Position", "RedisFeed", "Replay", "bars_frame"]

Position = dict[str, Any]
"""What a feed goes on from, as JSON."""


def _now_us() -> int:
    return time.time_ns() // 1_000


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

    def after(self, last_us: dict[str, int]) -> Position:
        """The position after the last bars of instruments."""
        return {"ts_close_us": max(last_us.values())}

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
    (``buy`` where the taker bought). Trades become bars of ``bar_minutes`` minutes, which close by the next
    interval's first trade or by the clock ``now_us``, once no entry is waiting; a late trade corrects its bar
    up to ``grace_s`` after it. Ends after ``idle_ms`` without an entry, never where that is 0.

    An entry that cannot be taken, or a bar of it, goes to ``letters`` with its reason; the position goes past
    it, with a moment without bars where nothing follows.
    """

    client: Any
    key: str
    bar_minutes: int = 1
    idle_ms: int = 0
    grace_s: float = GRACE_US / 1e6
    letters: DeadLetters = field(default_factory=DeadLetters)
    now_us: Callable[[], int] = _now_us

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        """All moments of entries after the position's."""
        last = "0-0" if position is None else str(position["id"])
        trades = TradeBars(self.bar_minutes, round(self.grace_s * 1e6))
        if position is not None:
            trades.restore(position.get("open_bars", {}))
        quiet_ms = 0
        while True:
            block = self._block_ms(trades, quiet_ms)
            entries = self.client.xread({self.key: last}, count=256, block=block)
            if entries:
                quiet_ms, behind = 0, False
                for entry, fields in entries[0][1]:
                    last = _text(entry)
                    bars = self._bars(last, {_text(k): _text(v) for k, v in fields.items()}, trades)
                    behind = not bars.height
                    if bars.height:
                        yield {"id": last, "open_bars": trades.open_bars()}, bars
                if behind:
                    yield {"id": last, "open_bars": trades.open_bars()}, pl.DataFrame()
                continue
            bars = trades.close_due(self.now_us())
            if bars.height:
                yield {"id": last, "open_bars": trades.open_bars()}, bars
                continue
            quiet_ms += block
            if quiet_ms >= self.idle_ms and (self.idle_ms or not block):
                return

    def _block_ms(self, trades: TradeBars, quiet_ms: int) -> int:
        """How long to wait for an entry: until a bar is to be closed, or the feed ends; 0 is for ever."""
        left = max(self.idle_ms - quiet_ms, 1) if self.idle_ms else 0
        due = trades.due_us
        if due is None:
            return left
        wait = max(-(-(due - self.now_us()) // 1_000), 1)
        return min(wait, left) if left else wait

    def _bars(self, entry: str, fields: dict[str, str], trades: TradeBars) -> pl.DataFrame:
        """The bars of an entry, without those that cannot be taken."""
        try:
            if "trade" in fields:
                return trades.take(json.loads(fields["trade"]))
            if "bars" not in fields:
                raise refused(f"an entry has neither bars nor a trade but {', '.join(sorted(fields))[:200]}")
            rows = json.loads(fields["bars"])
            if not isinstance(rows, list):
                raise refused(f"bars are {type(rows).__name__}, not a list")
            return checked_frame(self._sound(entry, rows, trades))
        except (ValueError, RecursionError) as error:
            self.letters.add(entry, fields, f"not JSON: {error}")
        except EntryRefused as error:
            self.letters.add(entry, fields, error.problem)
        return pl.DataFrame()

    def _sound(self, entry: str, rows: list[Any], trades: TradeBars) -> list[dict[str, Any]]:
        """The bars that can be taken; of two of one instrument and close the later."""
        sound: dict[tuple[str, int], dict[str, Any]] = {}
        for row in rows:
            try:
                bar = bar_of(row, trades.clock)
            except EntryRefused as error:
                self.letters.add(entry, row, error.problem)
            else:
                sound[bar["instrument_id"], bar["ts_close"]] = bar
        return list(sound.values())


def _text(value: object) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)

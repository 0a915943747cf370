"""Run a stream: moments in, vectors into the online store, the state into a file with the feed's position."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl

from nofx_pipelines.errors import FeatureError, NofxError
from nofx_pipelines.features.online.store import OnlineStore
from nofx_pipelines.features.streaming.dead_letters import DeadLetters
from nofx_pipelines.features.streaming.feeds.feeds import Feed, Position
from nofx_pipelines.features.streaming.stream import Stream


@dataclass
class StreamStats:
    """What a run has done: moments, bars, seconds, and how long each moment took from arrival to the
    store."""

    moments: int = 0
    bars: int = 0
    newest: str = ""
    corrected: int = 0
    """Bars that were late or corrected earlier ones."""
    in_lake: int = 0
    """Bars that were passed over: the batch had them at the hand-over."""
    refused: int = 0
    """Entries and bars that went to the dead letters."""
    first_s: float = 0.0
    """Seconds from the beginning of the run to the first vectors in the store."""
    began: float = field(default_factory=time.perf_counter)
    seconds: float = 0.0
    took_us: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """Microseconds from arrival to the store, of the last 10,000 moments."""
        return float(np.percentile(self.took_us[-10_000:], share)) if self.took_us else 0.0

    @property
    def bars_per_second(self) -> float:
        """Bars a second since the beginning."""
        return self.bars / self.seconds if self.seconds else 0.0


def serve(
    stream: Stream,
    feed: Feed,
    store: OnlineStore | None,
    state: Path | None,
    *,
    position: Position | None = None,
    save_every: int = 100,
    show: Callable[[StreamStats], None] | None = None,
    moments: int | None = None,
    letters: DeadLetters | None = None,
    prepare: Prepare | None = None,
) -> StreamStats:
    """Take the feed to its end, or ``moments`` of it.

    Bars that cannot be taken go to ``letters``, and the stream goes on. ``prepare`` makes the feed's bars
    those of the batch (adjusted, with groups, without what the batch had).

    The state is saved with the position every ``save_every`` moments, at the end, and where the feed raises
    a NofxError. A run that was killed goes on from the last one saved and does the moments since again, with
    the same results; a vector in the store is written over by the same one.
    """
    done = StreamStats()
    letters = DeadLetters() if letters is None else letters
    names = stream.feature_set.columns
    online = [f.name for f in stream.feature_set.features if f.online]
    wanted = online if len(online) < len(names) else list(names)

    def save() -> None:
        if state is not None:
            note = {**stream.note, "position": position}
            stream.save(state, note if prepare is None else {**note, **prepare.note()})

    coming = feed.moments(position)
    while True:
        try:
            moment = next(coming, None)
        except NofxError:
            save()
            raise
        done.refused = letters.count
        if moment is None:
            break
        (after, arriving), arrived = moment, time.perf_counter()
        bars = arriving if prepare is None or arriving.is_empty() else prepare.bars(arriving, position)
        done.in_lake += arriving.height - bars.height
        if bars.height:
            _take(stream, bars, store, wanted, letters, _entry(after, bars), done)
            done.took_us.append((time.perf_counter() - arrived) * 1e6)
        if arriving.height:
            done.moments, done.newest = done.moments + 1, str(arriving["ts_close"].max())
        done.bars, position = done.bars + bars.height, after
        done.seconds = time.perf_counter() - done.began
        if arriving.is_empty() or done.moments % save_every == 0:
            save()
        if show is not None:
            show(done)
        if moments is not None and done.moments >= moments:
            break
    save()
    done.refused = letters.count
    return done


class Prepare(Protocol):
    """What stands between a feed and the stream."""

    def bars(self, arriving: pl.DataFrame, position: Position | None) -> pl.DataFrame:
        """The bars as the batch would have them; ``position`` is the one before them."""
        ...

    def note(self) -> dict[str, Any]:
        """What goes into the state file, as JSON."""
        ...


def _take(
    stream: Stream,
    bars: pl.DataFrame,
    store: OnlineStore | None,
    names: list[str],
    letters: DeadLetters,
    entry: str,
    done: StreamStats,
) -> None:
    """A moment into the stream and the store; bars that cannot be taken to the dead letters."""
    done.corrected += stream.count_late(bars)
    for frame in _updated(stream, bars, letters, entry):
        if store is not None and frame.height:
            _put(store, frame, names, stream.version)
            done.first_s = done.first_s or time.perf_counter() - done.began


def _updated(stream: Stream, bars: pl.DataFrame, letters: DeadLetters, entry: str) -> Iterator[pl.DataFrame]:
    """The features of the bars that can be taken: all together, else without those that are refused by
    themselves, else instrument by instrument where features look at one."""
    try:
        yield stream.update(bars)
        return
    except FeatureError as error:
        problem = error.problem
    sound = []
    for row in bars.iter_slices(1):
        reason = stream.refusal(row)
        if reason is None:
            sound.append(row)
        else:
            letters.add(entry, row.write_json(), reason)
    if not sound:
        return
    if len(sound) < bars.height:
        yield from _updated(stream, pl.concat(sound), letters, entry)
        return
    parts = bars.partition_by("instrument_id", maintain_order=True)
    if len(parts) > 1 and not stream.crossing:
        for part in parts:
            yield from _updated(stream, part, letters, entry)
        return
    letters.add(entry, bars.write_json(), problem)


def _entry(position: Position, bars: pl.DataFrame) -> str:
    """What a moment is called in the dead letters."""
    return str(position["id"]) if "id" in position else str(bars["ts_close"].max())


def _put(store: OnlineStore, frame: pl.DataFrame, names: list[str], version: str) -> None:
    newest = frame.sort("ts_close").unique("instrument_id", keep="last", maintain_order=True)
    values = newest.select(names).to_numpy()  # null is NaN there
    times = newest["ts_close"].dt.epoch("us").to_numpy()
    store.put(newest["instrument_id"].to_list(), times, version, names, values, replace=False)

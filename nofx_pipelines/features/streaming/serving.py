"""Run a stream: moments in, vectors into the online store, the state into a file with the feed's position."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from nofx_pipelines.errors import NofxError
from nofx_pipelines.features.online.store import OnlineStore
from nofx_pipelines.features.streaming.feeds.feeds import Feed, Position
from nofx_pipelines.features.streaming.stream import Stream


@dataclass
class StreamStats:
    """What a run has done: moments, bars, seconds, and how long each moment took from arrival to the
    store."""

    moments: int = 0
    bars: int = 0
    newest: str = ""
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
) -> StreamStats:
    """Take the feed to its end, or ``moments`` of it.

    The state is saved with the position every ``save_every`` moments, at the end, and where the feed raises
    a NofxError. A run that was killed goes on from the last one saved and does the moments since again, with
    the same results; a vector in the store is written over by the same one.
    """
    done = StreamStats()
    names = stream.feature_set.columns
    online = [f.name for f in stream.feature_set.features if f.online]

    def save() -> None:
        if state is not None:
            stream.save(state, {"position": position})

    coming = feed.moments(position)
    while True:
        try:
            moment = next(coming, None)
        except NofxError:
            save()
            raise
        if moment is None:
            break
        (after, bars), arrived = moment, time.perf_counter()
        frame = stream.update(bars)
        if store is not None and frame.height:
            _put(store, frame, online if len(online) < len(names) else list(names), stream.version)
        done.took_us.append((time.perf_counter() - arrived) * 1e6)
        done.moments, done.bars, position = done.moments + 1, done.bars + bars.height, after
        done.seconds = time.perf_counter() - done.began
        done.newest = str(bars["ts_close"].max())
        if done.moments % save_every == 0:
            save()
        if show is not None:
            show(done)
        if moments is not None and done.moments >= moments:
            break
    save()
    return done


def _put(store: OnlineStore, frame: pl.DataFrame, names: list[str], version: str) -> None:
    newest = frame.sort("ts_close").unique("instrument_id", keep="last", maintain_order=True)
    values = newest.select(names).to_numpy()  # null is NaN there
    times = newest["ts_close"].dt.epoch("us").to_numpy()
    store.put(newest["instrument_id"].to_list(), times, version, names, values)

"""``nofx stream``: bars or trades in, features into the online store, a table of how it goes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING

import polars as pl

from nofx_pipelines import plugins
from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import count, say, seconds, table
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.lake.store import Lake

if TYPE_CHECKING:
    from nofx_pipelines.config import UniverseConfig
    from nofx_pipelines.features.program.declaration import FeatureSet
    from nofx_pipelines.features.streaming.feeds.ccxt import CcxtFeed
    from nofx_pipelines.features.streaming.feeds.feeds import Feed, Position
    from nofx_pipelines.features.streaming.serving import StreamStats
    from nofx_pipelines.features.streaming.stream import Stream

_EVERY_S = 1.0
_DAYS_A_YEAR = {"cn": 243.0, "hk": 247.0, "crypto": 365.0}


@dataclass(frozen=True)
class Source:
    """What is read: ``replay``, ``redis`` or ``ccxt``, and the options of each."""

    kind: str
    bars: Path | None = None
    start: date | None = None
    key: str = "bars"
    bar_minutes: int = 1
    exchange: str = "binance"
    symbols: tuple[str, ...] = ()
    timeframe: str = "1m"
    idle_s: float | None = None


def run_stream(
    home: Path,
    source: Source,
    *,
    universe: str | None,
    sets: list[str],
    state: Path | None,
    save_every: int,
) -> None:
    """Serve until the source ends, then say what was done."""
    from nofx_pipelines.features.online.backends import store_of
    from nofx_pipelines.features.online.mapped_store import MappedStore
    from nofx_pipelines.features.sets.registry import feature_set
    from nofx_pipelines.features.streaming.serving import serve

    chosen = _universe(home, universe)
    if chosen is None and (not sets or (source.kind == "replay" and source.bars is None)):
        raise ConfigError("whose features?", hint="--universe cn, or --set ta --bars minutes.parquet")
    features = feature_set(*(sets or (chosen.features if chosen else ())), folder=home / plugins.FOLDER)
    state = state or home / "streams" / f"{universe or 'bars'}.{source.kind}.stream"
    store = store_of(home, chosen) if chosen else MappedStore(home / "online" / "stream" / "features.online")
    stream, feed = _begin(home, chosen, features, source, state)
    if stream.note:
        say(f"going on from {state}: {stream.note['position']}")
    with _until_stopped(feed) as stoppable:
        position = stream.note.get("position")
        done = serve(stream, stoppable, store, state, position=position, save_every=save_every, show=_Shown())
    _summary(done, stream, store.place, state)
    store.close()


def _universe(home: Path, name: str | None) -> UniverseConfig | None:
    if name is None:
        return None
    config = usable_config(home)
    if name not in config.universes:
        raise ConfigError(f"no universe {name!r} in nofx.toml", hint=f"one of {', '.join(config.universes)}")
    return config.universes[name]


def _begin(
    home: Path, universe: UniverseConfig | None, features: FeatureSet, source: Source, state: Path
) -> tuple[Stream, Feed]:
    """The stream, loaded, handed over from a batch, or new; and what it reads."""
    from nofx_pipelines.features.execution.batch import compute
    from nofx_pipelines.features.streaming.feeds.feeds import RedisFeed, Replay
    from nofx_pipelines.features.streaming.stream import Stream

    per_year, known = _bars_per_year(universe), None
    feed: Feed
    if source.kind == "redis":
        feed = RedisFeed(_redis(), source.key, source.bar_minutes, int(1_000 * (source.idle_s or 0)))
    elif source.kind == "ccxt":
        feed, per_year = _exchange_feed(universe, source)
    elif source.kind == "replay":
        known = _known(home, universe, source.bars)
        feed = Replay(known if source.start is None else known.filter(pl.col("session_date") >= source.start))
    else:
        raise ConfigError(f"no source {source.kind!r}", hint="--source replay, redis or ccxt")
    if state.exists():
        return Stream.load(state, features), feed
    if known is not None and source.start is not None:
        past = known.filter(pl.col("session_date") < source.start)
        result = compute(past, features, bars_per_year=per_year)
        assert result.state is not None
        return Stream.from_state(features, result.state, history=past), feed
    return Stream(features, [], bars_per_year=per_year), feed


def _known(home: Path, universe: UniverseConfig | None, path: Path | None) -> pl.DataFrame:
    """The bars of a file, or the universe's."""
    from nofx_pipelines.features.execution.refresh import replayed_bars

    if path is not None:
        return pl.read_parquet(path)
    assert universe is not None
    return replayed_bars(Lake(usable_config(home).lake), universe, None, None)


def _exchange_feed(universe: UniverseConfig | None, source: Source) -> tuple[CcxtFeed, float]:
    """Bars of an exchange, and how many a year has."""
    from nofx_pipelines.features.streaming.feeds.ccxt import CcxtFeed, exchange_of, instruments_of

    if not source.symbols:
        raise ConfigError("which symbols?", hint="--symbol BTC/USDT --symbol ETH/USDT")
    if universe is not None and (universe.market, universe.freq) != ("crypto", source.timeframe):
        raise ConfigError(
            f"the universe is {universe.market} at {universe.freq}, bars are crypto at {source.timeframe}",
            hint="--timeframe of a crypto universe, or --set ta without --universe",
        )
    since = datetime.combine(source.start, datetime.min.time(), UTC) if source.start else None
    exchange = exchange_of(source.exchange)
    feed = CcxtFeed(
        exchange,
        instruments_of(source.exchange, source.symbols),
        source.timeframe,
        since_us=None if since is None else int(since.timestamp()) * 1_000_000,
        idle_s=source.idle_s,
        report=say,
    )
    return feed, _DAYS_A_YEAR["crypto"] * feed.bars_a_day


def _bars_per_year(universe: UniverseConfig | None) -> float:
    from nofx_pipelines.market.sessions import calendar

    return calendar(universe.market).bars_per_year(universe.freq) if universe else _DAYS_A_YEAR["crypto"]


def _redis() -> object:
    try:
        import redis
    except ImportError as error:
        raise ConfigError(
            "the redis package is not installed", hint="pip install 'nofx-pipelines[stream]'"
        ) from error
    from nofx_pipelines.features.online.backends import LOCAL_REDIS, REDIS_URL

    url = os.environ.get(REDIS_URL, LOCAL_REDIS)
    return redis.Redis.from_url(url, socket_timeout=None)  # a read waits for the next entry


@dataclass
class _Stoppable:
    """A feed that ends when the process is asked to: at once while it waits, else after the moment."""

    feed: Feed
    asked: bool = False
    waiting: bool = False

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        """Those of the feed until then."""
        coming = self.feed.moments(position)
        while not self.asked:
            try:
                self.waiting = True
                moment = next(coming, None)
            except KeyboardInterrupt:
                return
            finally:
                self.waiting = False
            if moment is None:
                return
            yield moment

    def stop(self, _number: int, _frame: object) -> None:
        """What a signal calls; at a second one the process ends where it is."""
        if self.asked or self.waiting:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def _until_stopped(feed: Feed) -> Iterator[_Stoppable]:
    """Ctrl-C and SIGTERM end the feed and not the process: the state is saved and the summary printed."""
    stoppable = _Stoppable(feed)
    ours = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    before = {number: signal.signal(number, stoppable.stop) for number in ours}
    try:
        yield stoppable
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class _Shown:
    """A line a second, written over in a terminal."""

    last: float = field(default_factory=time.perf_counter)

    def __call__(self, done: StreamStats) -> None:
        now = time.perf_counter()
        if now - self.last < _EVERY_S:
            return
        self.last = now
        line = (
            f"{done.newest}  {count(done.bars)} bars  {count(done.bars_per_second)}/s  "
            f"p50 {done.percentile(50):,.0f} us  p99 {done.percentile(99):,.0f} us a moment"
        )
        sys.stdout.write(f"\r{line}" if sys.stdout.isatty() else f"{line}\n")
        sys.stdout.flush()


def _summary(done: StreamStats, stream: Stream, store: str, state: Path) -> None:
    rows = [
        ("moments", count(done.moments)),
        ("bars", count(done.bars)),
        ("bars a second", count(done.bars_per_second)),
        ("arrival to store, p50", f"{done.percentile(50):,.0f} us a moment"),
        ("arrival to store, p99", f"{done.percentile(99):,.0f} us a moment"),
        ("newest bar", done.newest),
        ("instruments", count(len(stream.instruments))),
        ("features", f"{count(len(stream.outputs))}, version {stream.version}"),
        ("took", seconds(done.seconds)),
    ]
    say(("\n" if sys.stdout.isatty() else "") + table(["", ""], rows))
    say(f"store {store}\nstate {state}")

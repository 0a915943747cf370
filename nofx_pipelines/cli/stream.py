"""``nofx stream``: bars or trades in, features into the online store, a table of how it goes."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Any

import polars as pl

from nofx_pipelines import plugins
from nofx_pipelines.cli.configuration import usable_config
from nofx_pipelines.cli.terminal import count, say, seconds, table
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.features.streaming.feeds.feeds import RedisFeed, Replay
from nofx_pipelines.lake.store import Lake

if TYPE_CHECKING:
    from nofx_pipelines.config import UniverseConfig
    from nofx_pipelines.features.program.declaration import FeatureSet
    from nofx_pipelines.features.streaming.continuation import HandOver, LiveBars
    from nofx_pipelines.features.streaming.dead_letters import DeadLetters
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
    grace_s: float = 10.0


def run_stream(
    home: Path,
    source: Source,
    *,
    universe: str | None,
    sets: list[str],
    state: Path | None,
    save_every: int,
    namespace: str = "",
) -> None:
    """Serve until the source ends, then say what was done."""
    from nofx_pipelines.features.online.backends import checked_namespace, store_of
    from nofx_pipelines.features.online.mapped_store import MappedStore
    from nofx_pipelines.features.online.store import OnlineStore
    from nofx_pipelines.features.sets.registry import feature_set
    from nofx_pipelines.features.streaming.continuation import require_behind
    from nofx_pipelines.features.streaming.dead_letters import FILE, DeadLetters
    from nofx_pipelines.features.streaming.serving import serve

    store: OnlineStore

    chosen = _universe(home, universe)
    if chosen is None and (not sets or (source.kind == "replay" and source.bars is None)):
        raise ConfigError("whose features?", hint="--universe cn, or --set ta --bars minutes.parquet")
    if source.kind not in ("replay", "redis", "ccxt"):
        raise ConfigError(f"no source {source.kind!r}", hint="--source replay, redis or ccxt")
    if chosen is not None and sets:
        chosen = replace(chosen, features=tuple(sets))
    features = feature_set(*(sets or (chosen.features if chosen else ())), folder=home / plugins.FOLDER)
    name = f"{universe or 'bars'}{f'@{namespace}' if namespace else ''}.{source.kind}"
    state = state or home / "streams" / f"{name}.stream"
    letters = DeadLetters(home / "streams" / FILE, name)
    if chosen is not None:
        store = store_of(home, chosen, namespace)
    else:
        folder = home / "online" / "stream"
        folder = folder / f"@{checked_namespace(namespace)}" if namespace else folder
        store = MappedStore(folder / "features.online")
    with store:
        begun = _begin(home, chosen, features, source, state, store.place, letters)
        require_behind(store, begun.stream, begun.note)
        say(begun.said)
        if not state.exists():  # what the store holds from now on is this stream's
            note = begun.live.note() if begun.live else {"store": store.place}
            begun.stream.save(state, {**note, "position": begun.position})
        begun.stream.note = {"store": store.place}
        with _until_stopped(begun.feed) as stoppable:
            done = serve(
                begun.stream, stoppable, store, state, position=begun.position, save_every=save_every,
                show=_Shown(), letters=letters, prepare=begun.live,
            )  # fmt: skip
        _summary(done, begun.stream, store.place, state, letters)


def _universe(home: Path, name: str | None) -> UniverseConfig | None:
    if name is None:
        return None
    config = usable_config(home)
    if name not in config.universes:
        raise ConfigError(f"no universe {name!r} in nofx.toml", hint=f"one of {', '.join(config.universes)}")
    return config.universes[name]


@dataclass(frozen=True)
class _Begun:
    """A stream and what it reads, from where; ``note`` is the state file's, of a stream that was stopped."""

    stream: Stream
    feed: Feed
    position: Position | None
    live: LiveBars | None
    note: dict[str, Any]
    said: str


def _begin(
    home: Path, universe: UniverseConfig | None, features: FeatureSet, source: Source, state: Path,
    store: str, letters: DeadLetters,
) -> _Begun:  # fmt: skip
    """The stream: the batch's continuation, its own, or new where the lake has no bars."""
    from nofx_pipelines.features.streaming import state_file
    from nofx_pipelines.features.streaming.continuation import LiveBars, hand_over, rewound, still_continues
    from nofx_pipelines.features.streaming.stream import Stream

    note = state_file.read(state)[0]["note"] if state.exists() else {}
    base, lake = None, Lake(usable_config(home).lake)
    of_lake = source.kind == "replay" and source.bars is None
    if universe is not None and not (of_lake and source.start is None):
        base = hand_over(lake, universe, source.start if source.kind == "replay" else None)
    feed, per_year = _feed(lake, universe, source, letters, base)
    if base is None:
        return _without_lake(features, source, feed, state, per_year)
    live = LiveBars(base, store, adjust=not of_lake)
    if note and still_continues(note, base):
        live.restore(note)
        stream, position = Stream.load(state, features), note["position"]
        return _Begun(stream, feed, position, live, note, f"going on from {state}: {position}")
    after = getattr(feed, "after", None)  # a Redis Stream is read from its beginning
    position = rewound(note, base) if note else after(base.last_us) if after else None
    said = f"going on from {universe.name if universe else ''}'s features at the end of {base.session}"
    return _Begun(base.stream(), feed, position, live, note, said)


def _without_lake(features: FeatureSet, source: Source, feed: Feed, state: Path, per_year: float) -> _Begun:
    """A stream of bars that no lake knows: its own file's, handed over to by a replay's past, or new."""
    from nofx_pipelines.features.execution.batch import compute
    from nofx_pipelines.features.streaming.stream import Stream

    if state.exists():
        stream = Stream.load(state, features)
        position = stream.note.get("position")
        return _Begun(stream, feed, position, None, stream.note, f"going on from {state}: {position}")
    if isinstance(feed, Replay) and source.start is not None:
        past = feed.bars.filter(pl.col("session_date") < source.start)
        if past.height:
            result = compute(past, features, bars_per_year=per_year)
            assert result.state is not None
            stream = Stream.from_state(features, result.state, history=past)
            after = {"ts_close_us": int(past["ts_close"].to_physical().max())}  # type: ignore[arg-type]
            return _Begun(stream, feed, after, None, {}, f"going on from the bars before {source.start}")
    said = "no bars before: the stream starts without history"
    return _Begun(Stream(features, [], bars_per_year=per_year), feed, None, None, {}, said)


def _feed(
    lake: Lake, universe: UniverseConfig | None, source: Source, letters: DeadLetters, base: HandOver | None
) -> tuple[Feed, float]:
    """What is read, and how many bars a year has."""
    from nofx_pipelines.features.execution.refresh import replayed_bars

    if source.kind == "ccxt":
        return _exchange_feed(universe, source, letters)
    per_year = _bars_per_year(universe) if base is None else base.inputs.bars_per_year
    if source.kind == "redis":
        idle_ms = int(1_000 * (source.idle_s or 0))
        feed = RedisFeed(
            _redis(), source.key, source.bar_minutes, idle_ms, grace_s=source.grace_s, letters=letters
        )
        return feed, per_year
    if source.bars is not None:
        return Replay(pl.read_parquet(source.bars)), per_year
    assert universe is not None
    return Replay(replayed_bars(lake, universe, source.start, None)), per_year


def _exchange_feed(
    universe: UniverseConfig | None, source: Source, letters: DeadLetters
) -> tuple[CcxtFeed, float]:
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
        letters=letters,
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


def _summary(done: StreamStats, stream: Stream, store: str, state: Path, letters: DeadLetters) -> None:
    rows = [
        ("moments", count(done.moments)),
        ("bars", count(done.bars)),
        ("bars a second", count(done.bars_per_second)),
        ("first vectors after", f"{done.first_s:.2f} s"),
        ("late bars", count(done.corrected)),
        ("bars the lake has", count(done.in_lake)),
        ("not taken", count(done.refused)),
        ("arrival to store, p50", f"{done.percentile(50):,.0f} us a moment"),
        ("arrival to store, p99", f"{done.percentile(99):,.0f} us a moment"),
        ("newest bar", done.newest),
        ("instruments", count(len(stream.instruments))),
        ("features", f"{count(len(stream.outputs))}, version {stream.version}"),
        ("took", seconds(done.seconds)),
    ]
    say(("\n" if sys.stdout.isatty() else "") + table(["", ""], rows))
    say(f"store {store}\nstate {state}")
    if done.refused:
        say(f"dead letters {letters.path}; the last: {letters.last}")

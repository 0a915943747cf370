"""``nofx stream``: bars or trades in, features into the online store, a table of how it goes."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from nofx_pipelines.cli.terminal import count, say, seconds, table
from nofx_pipelines.config_file import load_config
from nofx_pipelines.errors import ConfigError
from nofx_pipelines.lake.store import Lake

if TYPE_CHECKING:
    from nofx_pipelines.config import UniverseConfig
    from nofx_pipelines.features.declaration import FeatureSet
    from nofx_pipelines.features.feeds import Feed
    from nofx_pipelines.features.serving import Served
    from nofx_pipelines.features.stream import Stream

_EVERY_S = 1.0
_DAYS_A_YEAR = {"cn": 243.0, "hk": 247.0, "crypto": 365.0}


def run_stream(
    home: Path,
    *,
    source: str,
    universe: str | None,
    bars: Path | None,
    sets: list[str],
    start: str | None,
    key: str,
    bar_minutes: int,
    state: Path | None,
    save_every: int,
) -> None:
    """Serve until the source ends, then say what was done."""
    from nofx_pipelines.features.online.backends import store_of
    from nofx_pipelines.features.online.mapped_store import MappedStore
    from nofx_pipelines.features.serving import serve
    from nofx_pipelines.features.sets.registry import feature_set

    chosen = _universe(home, universe)
    if chosen is None and (not sets or (source == "replay" and bars is None)):
        raise ConfigError("whose features?", hint="--universe cn, or --set ta --bars minutes.parquet")
    features = feature_set(*(sets or (chosen.features if chosen else ())))
    state = state or home / "streams" / f"{universe or 'bars'}.{source}.stream"
    store = store_of(home, chosen) if chosen else MappedStore(home / "online" / "stream" / "features.online")
    begun = date.fromisoformat(start) if start else None
    stream, feed = _begin(home, chosen, features, source, bars, begun, key, bar_minutes, state)
    if stream.note:
        say(f"going on from {state}: {stream.note['position']}")
    done = serve(
        stream, feed, store, state, position=stream.note.get("position"), save_every=save_every, show=_Shown()
    )
    _summary(done, stream, store.place, state)
    store.close()


def _universe(home: Path, name: str | None) -> UniverseConfig | None:
    if name is None:
        return None
    config = load_config(home)
    if name not in config.universes:
        raise ConfigError(f"no universe {name!r} in nofx.toml", hint=f"one of {', '.join(config.universes)}")
    return config.universes[name]


def _begin(
    home: Path,
    universe: UniverseConfig | None,
    features: FeatureSet,
    source: str,
    path: Path | None,
    start: date | None,
    key: str,
    bar_minutes: int,
    state: Path,
) -> tuple[Stream, Feed]:
    """The stream, loaded, handed over from a batch, or new; and what it reads."""
    from nofx_pipelines.features.batch import compute
    from nofx_pipelines.features.feeds import RedisFeed, Replay
    from nofx_pipelines.features.refresh import replayed_bars
    from nofx_pipelines.features.stream import Stream

    per_year = _bars_per_year(universe)
    feed: Feed
    if source == "redis":
        feed = RedisFeed(_redis(), key, bar_minutes)
    elif source == "replay":
        if path is not None:
            known = pl.read_parquet(path)
        else:
            assert universe is not None
            known = replayed_bars(Lake(load_config(home).lake), universe, None, None)
        after = known if start is None else known.filter(pl.col("session_date") >= start)
        feed = Replay(after)
    else:
        raise ConfigError(f"no source {source!r}", hint="--source replay or redis")
    if state.exists():
        return Stream.load(state, features), feed
    if source == "replay" and start is not None:
        past = known.filter(pl.col("session_date") < start)
        result = compute(past, features, bars_per_year=per_year)
        assert result.state is not None
        return Stream.from_state(features, result.state, history=past), feed
    return Stream(features, [], bars_per_year=per_year), feed


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
class _Shown:
    """A line a second, written over in a terminal."""

    last: float = field(default_factory=time.perf_counter)

    def __call__(self, done: Served) -> None:
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


def _summary(done: Served, stream: Stream, store: str, state: Path) -> None:
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

"""``nofx init``: write ``nofx.toml``, or extend it by a universe, and show what was recognised."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

from nofx_pipelines import plugins
from nofx_pipelines.cli.terminal import count, home_option, say, table
from nofx_pipelines.config import FREQS, MARKETS, FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.config_file import (
    DEFAULT_END,
    DEFAULT_START,
    FILE_NAME,
    default_config,
    load_usable,
    parse_usable,
    render_config,
    render_feed,
    render_universe,
)
from nofx_pipelines.errors import ConfigError, NotEnoughData

SOURCES = ("files", "simulated")


@dataclass(frozen=True)
class InitRequest:
    """The universe that was asked for; None is still to be found out."""

    plugins: Path
    """The home's folder of plug-ins."""
    market: str | None
    freq: str | None
    source: str
    path: Path | None
    name: str | None


def init_home(
    home: Path,
    *,
    market: str | None,
    freq: str | None,
    source: str | None,
    path: Path | None,
    name: str | None,
) -> None:
    """Write the default file, or add the universe that the flags describe.

    Raises:
        ConfigError: for an unknown market, frequency or source, a name that is taken, a path that is
            not there, or a feed that other sources feed already.
    """
    if not any((market, freq, source, path, name)):
        if (home / FILE_NAME).exists():
            raise ConfigError(
                f"{home / FILE_NAME} is there already",
                kept="it was left as it is",
                hint=f"nofx init {home_option(home)} --source files --path bars/ --name hk_real",
            )
        write_default(home)
        say(f"wrote {home / FILE_NAME}: three simulated universes. Next: nofx run {home_option(home)}")
        return
    request = _checked(
        InitRequest(
            home / plugins.FOLDER, market, freq, source or ("files" if path else "simulated"), path, name
        )
    )
    feed = _files_feed(request) if request.source == "files" else _simulated_feed(request)
    universe = UniverseConfig(name=_name(request, feed), market=feed.market, freq=feed.freq)
    _extend(home, feed, universe)
    say(f"\nwrote {home / FILE_NAME}: universe {universe.name}")
    say(f"Next: nofx run {home_option(home)} --universe {universe.name}")


def write_default(home: Path) -> None:
    """Three simulated universes."""
    _write(home, render_config(default_config(home)))


def _checked(request: InitRequest) -> InitRequest:
    for flag, value, known in (
        ("--market", request.market, MARKETS),
        ("--freq", request.freq, FREQS),
        ("--source", request.source, SOURCES),
    ):
        if value is not None and value not in known:
            raise ConfigError(
                f"{flag} {value!r} is not one of {', '.join(known)}",
                kept="nothing was written",
                hint=f"{flag} {known[0]}",
            )
    if request.name is not None and not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", request.name):
        raise ConfigError(
            f"--name {request.name!r}: a name starts with a-z and has at most 40 of a-z, 0-9 and _",
            kept="nothing was written",
            hint="--name hk_real",
        )
    if request.source == "files" and request.path is None:
        raise ConfigError("--source files needs --path", kept="nothing was written", hint="--path bars/")
    if request.path is not None and not request.path.exists():
        raise ConfigError(f"--path {request.path} is not there", kept="nothing was written")
    return request


def _files_feed(request: InitRequest) -> FeedConfig:
    from nofx_pipelines.market.sources.files.description import describe

    path = cast(Path, request.path).resolve()
    found = describe(path, now=datetime.now(UTC))
    say(f"{path}:")
    decisions = [(d.subject, d.matter, d.value, d.evidence[:110]) for d in found.decisions]
    say(table(("file", "matter", "decided", "because"), decisions))
    say()
    feeds = [f for f in found.feeds if request.market in (None, f.market) and request.freq in (None, f.freq)]
    if not feeds:
        held = ", ".join(f"{f.market} {f.freq}" for f in found.feeds) or "no bars that a reader knows"
        asked = " ".join(filter(None, (request.market, request.freq))) or "any market and frequency"
        raise NotEnoughData(f"{path} holds {held}; asked was {asked}", kept="nothing was written")
    best = feeds[0]
    say(
        f"{count(best.rows)} bars of {best.instruments} instruments, {best.market} {best.freq}, "
        f"{best.start} to {best.last}"
    )
    for other in found.feeds:
        if other is not best:
            say(f"not taken: {count(other.rows)} bars, {other.market} {other.freq}")
    link = SourceConfig(kind="files", path=path, plugins=request.plugins)
    return _feed(best.market, best.freq, link, best.start, None)


def _simulated_feed(request: InitRequest) -> FeedConfig:
    link = SourceConfig(kind="simulated", plugins=request.plugins)
    return _feed(request.market or "cn", request.freq or "1d", link, DEFAULT_START, DEFAULT_END)


def _feed(market: str, freq: str, source: SourceConfig, start: date, end: date | None) -> FeedConfig:
    known: Any = {"market": market, "freq": freq}
    return FeedConfig(**known, sources=(source,), start=start, end=end)


def _name(request: InitRequest, feed: FeedConfig) -> str:
    return request.name or f"{feed.market}_{feed.freq}"


def _extend(home: Path, feed: FeedConfig, universe: UniverseConfig) -> None:
    file = home / FILE_NAME
    if not file.exists():
        text = "\n\n".join(["# Written by `nofx init`", render_feed(feed), render_universe(universe)]) + "\n"
        parse_usable(text, home, file)
        _write(home, text)
        return
    config, refused = load_usable(home)
    if f"{feed.market} {feed.freq}" in refused:
        raise refused[f"{feed.market} {feed.freq}"]
    if universe.name in config.universes or universe.name in refused:
        raise ConfigError(
            f"--name {universe.name!r} is taken in {file}",
            kept="it was left as it is",
            hint=f"--name {universe.name}_2",
        )
    text = file.read_text(encoding="utf-8").rstrip("\n")
    there = config.feeds.get((feed.market, feed.freq))
    if there is None:
        text += "\n\n" + render_feed(feed)
    elif there.sources != feed.sources:
        held = ", ".join(str(link.path or link.kind) for link in there.sources)
        raise ConfigError(
            f"{feed.market} {feed.freq} in {file} is fed by {held} already",
            kept="it was left as it is",
            hint=f"another --home, or add the source to [markets.{feed.market}.{feed.freq}] by hand",
        )
    text += "\n\n" + render_universe(universe) + "\n"
    parse_usable(text, home, file)
    _write(home, text)


def _write(home: Path, text: str) -> None:
    home.mkdir(parents=True, exist_ok=True)
    draft = home / f"{FILE_NAME}.{os.getpid()}.part"
    draft.write_text(text, encoding="utf-8")
    draft.replace(home / FILE_NAME)

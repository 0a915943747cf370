"""The inbox: ``$NOFX_HOME/inbox/<market>/<freq>/``, whose files join a feed's chain of sources."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from nofx_pipelines.config import FeedConfig, SourceConfig
from nofx_pipelines.errors import DataError, PluginError


def inbox_folder(feed: FeedConfig, home: Path) -> Path:
    """Where new files for ``feed`` are dropped."""
    return home / "inbox" / feed.market / feed.freq


def inbox_files(feed: FeedConfig, home: Path) -> list[Path]:
    """The files that wait there, by name; hidden and half-copied (``*.part``) ones are left out."""
    folder = inbox_folder(feed, home)
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_file() and f.name[0] != "." and f.suffix != ".part")


def inbox_link(feed: FeedConfig, path: Path) -> SourceConfig:
    """The inbox, or a file in it, as a link that knows every format which the feed's chain names."""
    formats = dict.fromkeys(name for link in feed.sources for name in link.formats)
    folder = next((link.plugins for link in feed.sources if link.plugins is not None), None)
    return SourceConfig(kind="files", path=path, formats=tuple(formats), plugins=folder)


def with_inbox(feed: FeedConfig, home: Path, now: datetime) -> FeedConfig:
    """``feed`` with the inbox at the end of its chain; unchanged while nothing usable lies there.

    A simulated feed takes no files: simulated and real bars do not mix.
    """
    link = inbox_link(feed, inbox_folder(feed, home))
    waiting = takes_files(feed) and inbox_files(feed, home)
    return (
        replace(feed, sources=(*feed.sources, link))
        if waiting and not inbox_problem(feed, home, now)
        else feed
    )


def inbox_problem(feed: FeedConfig, home: Path, now: datetime) -> str | None:
    """Why none of the files that wait can be used; None when one can, or none waits."""
    if not takes_files(feed) or not inbox_files(feed, home):
        return None
    from nofx_pipelines.market.sources import open_source

    link = inbox_link(feed, inbox_folder(feed, home))
    end = feed.end or now.date() + timedelta(days=1)
    try:
        open_source(link, market=feed.market, freq=feed.freq, start=feed.start, end=end, now=now)
    except (DataError, PluginError) as error:
        return error.problem
    return None


def takes_files(feed: FeedConfig) -> bool:
    """Whether files may join the feed's chain: its bars are no simulation."""
    return all(link.kind != "simulated" for link in feed.sources)


def file_key(path: Path) -> str:
    """The SHA-256 of a file's bytes: what makes a file the same file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

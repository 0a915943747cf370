"""The inbox: ``$NOFX_HOME/inbox/<market>/<freq>/``, whose files join a feed's chain of sources."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from nofx_pipelines.config import FeedConfig, SourceConfig


def inbox_folder(feed: FeedConfig, home: Path) -> Path:
    """Where new files for ``feed`` are dropped."""
    return home / "inbox" / feed.market / feed.freq


def inbox_files(feed: FeedConfig, home: Path) -> list[Path]:
    """The files that wait there, by name; hidden and half-copied (``*.part``) ones are left out."""
    folder = inbox_folder(feed, home)
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.is_file() and f.name[0] != "." and f.suffix != ".part")


def with_inbox(feed: FeedConfig, home: Path) -> FeedConfig:
    """``feed`` with the inbox at the end of its chain; unchanged while the inbox is empty.

    A simulated feed takes no files: simulated and real bars do not mix.
    """
    simulated = any(link.kind == "simulated" for link in feed.sources)
    if simulated or not inbox_files(feed, home):
        return feed
    return replace(feed, sources=(*feed.sources, SourceConfig(kind="files", path=inbox_folder(feed, home))))


def file_key(path: Path) -> str:
    """The SHA-256 of a file's bytes: what makes a file the same file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

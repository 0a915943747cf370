"""What a stream could not take: a table in the home, an entry once, with its reason, its text and the time.

SQLite, because a stream adds single rows while others read, and a killed one must leave whole rows.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from nofx_pipelines.errors import LakeError

FILE = "dead_letters.sqlite"
_TABLE = (
    "CREATE TABLE IF NOT EXISTS dead_letters (stream TEXT NOT NULL, entry TEXT NOT NULL, "
    "reason TEXT NOT NULL, raw TEXT NOT NULL, refused_at_us INTEGER NOT NULL, "
    "PRIMARY KEY (stream, entry, raw))"
)
_ADD = "INSERT OR IGNORE INTO dead_letters VALUES (?, ?, ?, ?, ?)"
_ALL = (
    "SELECT stream, entry, reason, raw, refused_at_us FROM dead_letters ORDER BY refused_at_us, stream, entry"
)
_MOST = 65_536
"""Characters of an entry that are kept."""


def _now_us() -> int:
    return time.time_ns() // 1_000


@dataclass
class DeadLetters:
    """The table at ``path``, for entries of ``stream``; without a path they are counted only.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     letters = DeadLetters(Path(folder) / FILE, "cn.redis", now_us=lambda: 0)
    ...     letters.add("1-0", {"close": "x"}, "close 'x' is not a number")
    ...     letters.add("1-0", {"close": "x"}, "close 'x' is not a number")  # taken again after a kill
    ...     letters.count, stored_letters(letters.path).height
    (2, 1)
    """

    path: Path | None = None
    stream: str = "stream"
    now_us: Callable[[], int] = _now_us
    count: int = 0
    last: str = ""
    """Why the last one was not taken."""

    def add(self, entry: str, raw: Any, reason: str) -> None:
        """Put an entry in; one that is there already stays as it is. LakeError where it cannot be kept."""
        text = raw if isinstance(raw, str) else json.dumps(raw, default=str, sort_keys=True)
        self.count, self.last = self.count + 1, reason
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=30)) as table, table:
                table.execute(_TABLE)
                table.execute(_ADD, (self.stream, entry, reason, _storable(text), self.now_us()))
        except (sqlite3.Error, OSError) as error:
            raise LakeError(
                f"{self.path} cannot take entry {entry}: {error}",
                kept="the stream's state is that before the entry",
                hint="make room or mend the file, then start the stream again",
            ) from error


def _storable(text: str) -> str:
    return text[:_MOST].encode("utf-8", "backslashreplace").decode()


def stored_letters(path: Path | None) -> pl.DataFrame:
    """All rows of a table of dead letters: stream, entry, reason, raw, refused_at_us; none without a file."""
    schema = {"stream": pl.String, "entry": pl.String, "reason": pl.String, "raw": pl.String}
    rows: list[Any] = []
    if path is not None and path.exists():
        try:
            with closing(sqlite3.connect(path, timeout=30)) as table:
                rows = table.execute(_ALL).fetchall()
        except sqlite3.Error as error:
            raise LakeError(
                f"{path} is no table of dead letters: {error}",
                kept="it was left as it is",
                hint=f"move {path} away",
            ) from error
    return pl.DataFrame(rows, schema={**schema, "refused_at_us": pl.Int64}, orient="row")

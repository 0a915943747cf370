"""What each commit says of itself: read from the transaction log, one file a version.

Every commit of the lake carries one metadata entry, ``nofx``, a JSON object: the kind of commit,
its range, lineage, code version, run, and for each session its content hash, rows and inputs. The
log is never cleaned up (retention 100 years), so each version's own file can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl

METADATA_KEY = "nofx"
_HISTORY: dict[str, pl.DataType] = {
    "version": pl.Int64(),
    "committed_at": pl.Datetime("us", "UTC"),
    "kind": pl.String(),
    "start": pl.Date(),
    "end": pl.Date(),
    "sessions": pl.Int64(),
    "rows": pl.Int64(),
    "code_version": pl.String(),
    "run_id": pl.String(),
    "lineage": pl.String(),
}


@dataclass(frozen=True)
class Part:
    """One session's (or one whole table's) rows in one commit."""

    content: str
    rows: int
    inputs: str = ""


@dataclass(frozen=True)
class Message:
    """What a commit says: ``kind`` is replace, append, overwrite or compact."""

    kind: str
    start: date | None = None
    end: date | None = None
    sessions: Mapping[date, Part] = field(default_factory=dict)
    whole: Part | None = None
    lineage: Mapping[str, int] = field(default_factory=dict)
    code_version: str = ""
    run_id: str = ""

    def to_json(self) -> str:
        """The message as canonical JSON."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "start": self.start.isoformat() if self.start else None,
            "end": self.end.isoformat() if self.end else None,
            "sessions": {d.isoformat(): _packed(part) for d, part in self.sessions.items()},
            "whole": _packed(self.whole) if self.whole else None,
            "lineage": dict(self.lineage),
            "code_version": self.code_version,
            "run_id": self.run_id,
        }
        return json.dumps(content, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Message:
        """The inverse of `to_json`."""
        content = json.loads(text)
        return cls(
            kind=content["kind"],
            start=date.fromisoformat(content["start"]) if content["start"] else None,
            end=date.fromisoformat(content["end"]) if content["end"] else None,
            sessions={date.fromisoformat(d): Part(*part) for d, part in content["sessions"].items()},
            whole=Part(*content["whole"]) if content["whole"] else None,
            lineage=content["lineage"],
            code_version=content["code_version"],
            run_id=content["run_id"],
        )


@dataclass(frozen=True)
class Commit:
    """One version of a table: its message and the files that it added and removed."""

    version: int
    committed_at: datetime
    message: Message
    added: tuple[str, ...]
    removed: tuple[str, ...]


class CommitLog:
    """The commits of one table, each read once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "_delta_log"
        self._commits: dict[int, Commit] = {}

    def latest(self) -> int | None:
        """The newest version, None before the first commit."""
        if not self._folder.is_dir():
            return None
        names = (entry.name for entry in self._folder.iterdir())
        versions = [int(name[:20]) for name in names if name.endswith(".json") and name[:20].isdigit()]
        return max(versions, default=None)

    def commit(self, version: int) -> Commit:
        """Read one version."""
        if version not in self._commits:
            self._commits[version] = self._read(version)
        return self._commits[version]

    def _read(self, version: int) -> Commit:
        text = (self._folder / f"{version:020d}.json").read_text()
        actions = [json.loads(line) for line in text.splitlines() if line]
        header: dict[str, Any] = next(
            (action["commitInfo"] for action in actions if "commitInfo" in action), {}
        )
        said = header.get(METADATA_KEY)
        return Commit(
            version=version,
            committed_at=datetime.fromtimestamp(header.get("timestamp", 0) / 1000, UTC),
            message=Message.from_json(said) if said else Message(kind=header.get("operation", "").lower()),
            added=tuple(action["add"]["path"] for action in actions if "add" in action),
            removed=tuple(action["remove"]["path"] for action in actions if "remove" in action),
        )


def history_frame(commits: Sequence[Commit]) -> pl.DataFrame:
    """Commits as rows: what each did, to which range, by which code, from which versions."""
    rows = [
        (
            commit.version,
            commit.committed_at,
            commit.message.kind,
            commit.message.start,
            commit.message.end,
            len(commit.message.sessions),
            sum(part.rows for part in _all_parts(commit.message)),
            commit.message.code_version,
            commit.message.run_id,
            json.dumps(dict(commit.message.lineage), sort_keys=True),
        )
        for commit in commits
    ]
    return pl.DataFrame(rows, schema=_HISTORY, orient="row")


def _all_parts(message: Message) -> list[Part]:
    return [*message.sessions.values(), *([message.whole] if message.whole else [])]


def _packed(part: Part) -> list[str | int]:
    return [part.content, part.rows, part.inputs]

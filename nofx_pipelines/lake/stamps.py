"""Stamps: per session (or table) the content hash, rows, code version and inputs last committed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from nofx_pipelines.lake.content import NO_ROWS, combined
from nofx_pipelines.lake.log import Commit, CommitLog, Part


@dataclass(frozen=True)
class SessionStamp:
    """What the lake knows of one session: ``version`` is the table version that last wrote it."""

    content: str
    rows: int
    code_version: str
    inputs: str
    version: int
    parts: tuple[str, ...] = ()
    """Content hashes of the commits that make up the session: several after appends."""


@dataclass(frozen=True)
class TableStamp:
    """What the lake knows of a whole table at ``version``."""

    version: int
    content: str
    rows: int
    code_version: str
    inputs: str


class StampFold:
    """Folds a table's commits into stamps, later ones over earlier ones, each commit once.

    Only the newest fold is kept; asking for an older version folds again from the start.
    """

    def __init__(self, log: CommitLog) -> None:
        self._log = log
        self._reset()

    def _reset(self) -> None:
        self._version = -1
        self._sessions: dict[date, SessionStamp] = {}
        self._whole: SessionStamp | None = None
        self._code_version = ""

    def sessions(self, version: int) -> dict[date, SessionStamp]:
        """The stamp of every session as of ``version``, in date order."""
        self._advance(version)
        return dict(sorted(self._sessions.items()))

    def table(self, version: int) -> TableStamp:
        """The whole table's stamp as of ``version``."""
        self._advance(version)
        if self._whole is not None:
            whole = self._whole
            return TableStamp(version, whole.content, whole.rows, whole.code_version, whole.inputs)
        stamps = sorted(self._sessions.items())
        return TableStamp(
            version=version,
            content=_hash(f"{day} {stamp.content}" for day, stamp in stamps if stamp.rows),
            rows=sum(stamp.rows for _, stamp in stamps),
            code_version=self._code_version,
            inputs=_hash(f"{day} {stamp.inputs}" for day, stamp in stamps),
        )

    def _advance(self, version: int) -> None:
        if version < self._version:
            self._reset()
        for number in range(self._version + 1, version + 1):
            self._fold(self._log.commit(number))
            self._version = number

    def _fold(self, commit: Commit) -> None:
        message = commit.message
        if message.kind not in ("replace", "append", "overwrite"):
            return
        self._code_version = message.code_version
        if message.kind == "overwrite":
            self._sessions, self._whole = {}, None
        if message.kind == "replace" and message.start and message.end:
            kept = {d: s for d, s in self._sessions.items() if not message.start <= d < message.end}
            self._sessions = kept
        for day, part in message.sessions.items():
            self._sessions[day] = _joined(self._sessions.get(day), part, commit)
        if message.whole is not None:
            self._whole = _joined(self._whole, message.whole, commit)


def _joined(before: SessionStamp | None, part: Part, commit: Commit) -> SessionStamp:
    """The stamp after ``part`` joined what stood ``before``; a part without rows adds no content."""
    parts = (before.parts if before is not None else ()) + ((part.content,) if part.rows else ())
    return SessionStamp(
        content=combined(parts) if parts else NO_ROWS,
        rows=part.rows + (before.rows if before is not None else 0),
        code_version=commit.message.code_version,
        inputs=part.inputs,
        version=commit.version,
        parts=parts,
    )


def _hash(lines: Iterable[str]) -> str:
    sha = hashlib.sha256()
    for line in lines:
        sha.update(f"{line}\n".encode())
    return sha.hexdigest()


def fresh(stamp: SessionStamp | None, code_version: str, inputs: str) -> bool:
    """Whether a session was written by this code from these inputs."""
    return stamp is not None and (stamp.code_version, stamp.inputs) == (code_version, inputs)

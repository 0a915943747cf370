"""The search's book: one JSON line a told trial, synced to disk, whole or not there.

A search that is killed goes on from the last whole line; one process at a time holds the book.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nofx_pipelines.search.study_lock import study_lock


@dataclass(eq=False)
class Journal:
    """Told trials in order."""

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, row: dict[str, Any]) -> None:
        """Append one trial; it is on disk when this returns."""
        with self.path.open("ab") as stream:
            stream.write(json.dumps(row, sort_keys=True).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.rows.append(row)


@contextmanager
def open_journal(folder: Path, name: str) -> Iterator[Journal]:
    """The journal ``folder/name.jsonl``; what a kill left of a last line is cut off.

    Waits for another process that holds it, ModelError where that takes too long (`study_lock`).
    """
    path = folder / f"{name}.jsonl"
    with study_lock(folder, name):
        yield Journal(path, _whole_lines(path))


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as stream:
            stream.truncate(len(whole))
    return [json.loads(line) for line in whole.splitlines()]

"""SHA-256 of every data file, in a small file beside it, and the checks against it.

``_sha256/<data file>.sha256`` holds the hash and the size; it is written beside and renamed into
place right after the commit. A writer killed in between leaves files without a record: see
`nofx_pipelines.lake.recovery`.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nofx_pipelines.errors import IntegrityError

State = Literal["ok", "mismatched", "unrecorded", "missing"]
_Seen = tuple[int, int, int]


@dataclass(frozen=True)
class Checksum:
    """Hash (hexadecimal) and size in bytes of a data file."""

    sha256: str
    size: int


def checksum(path: Path) -> Checksum:
    """Hash a file in one pass."""
    with path.open("rb") as file:
        return Checksum(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())


class Checksums:
    """The recorded checksums of one table's data files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._verified: dict[str, _Seen] = {}

    def record(self, name: str) -> None:
        """Record the checksum of a data file, in one rename."""
        found = checksum(self._folder / name)
        target = self._record_path(name)
        target.parent.mkdir(exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=target.parent, prefix=".")
        with os.fdopen(handle, "w") as file:
            file.write(f"{found.sha256} {found.size}\n")
        os.replace(beside, target)

    def recorded(self, name: str) -> Checksum | None:
        """What was recorded for a data file; None where nothing (readable) was."""
        try:
            digest, size = self._record_path(name).read_text().split()
            return Checksum(digest, int(size)) if len(digest) == 64 else None
        except (FileNotFoundError, ValueError):
            return None

    def state(self, name: str) -> State:
        """Compare the bytes on disk with the record, always reading them."""
        if not (self._folder / name).is_file():
            return "missing"
        known = self.recorded(name)
        if known is None:
            return "unrecorded"
        return "ok" if checksum(self._folder / name) == known else "mismatched"

    def require(self, name: str) -> bool:
        """Check a file that is about to be read; False if it has no record.

        A file already checked by this object is read again only if its size, time or inode changed.
        Raises `IntegrityError` for changed or missing bytes.
        """
        seen = self._look(name)
        if seen is not None and self._verified.get(name) == seen:
            return True
        state = self.state(name)
        if state in ("mismatched", "missing"):
            raise broken_file(self._folder / name, state)
        if state == "ok" and seen is not None:
            self._verified[name] = seen
        return state == "ok"

    def forget(self, name: str) -> None:
        """Remove the record of a file that was removed."""
        self._record_path(name).unlink(missing_ok=True)
        self._verified.pop(name, None)

    def _look(self, name: str) -> _Seen | None:
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino

    def _record_path(self, name: str) -> Path:
        return self._folder / "_sha256" / f"{name}.sha256"


def broken_file(path: Path, state: State) -> IntegrityError:
    """The error for a data file whose bytes cannot be trusted."""
    problem = "is gone" if state == "missing" else "differs from its recorded SHA-256"
    return IntegrityError(
        f"{path} {problem}",
        kept="nothing was read from it",
        hint="restore it from a backup, or recompute its sessions with force",
    )

"""SHA-256 of every data file, recorded with the commit: it is the first part of the file's name.

A data file is called ``<sha256>-<token>.parquet``. The commit that adds it to the log thereby
records its hash in the same atomic step; there is no moment at which a writer could be killed and
leave a file without one.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from pathlib import Path
from typing import Literal

from nofx_pipelines.errors import IntegrityError

State = Literal["ok", "mismatched", "unrecorded", "missing"]

_NAME = re.compile(r"([0-9a-f]{64})-[0-9a-f]{8}\.parquet\Z")
_Seen = tuple[int, int, int]


def sha256_of(path: Path) -> str:
    """Hash a file in one pass."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def named_by_hash(path: Path) -> str:
    """The name that records a data file's hash; the token keeps equal files of two commits apart."""
    return f"{sha256_of(path)}-{secrets.token_hex(4)}.parquet"


class Checksums:
    """Checks one table's data files against the hashes in their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._verified: dict[str, _Seen] = {}

    def state(self, name: str) -> State:
        """Compare the bytes on disk with the record, always reading them."""
        recorded = _NAME.match(name)
        if not (self._folder / name).is_file():
            return "missing"
        if recorded is None:
            return "unrecorded"
        return "ok" if sha256_of(self._folder / name) == recorded[1] else "mismatched"

    def require(self, name: str) -> None:
        """Check a file that is about to be read, or raise `IntegrityError`.

        A file already checked by this object is read again only if its size, time or inode changed.
        """
        seen = self._look(name)
        if seen is not None and self._verified.get(name) == seen:
            return
        state = self.state(name)
        if state != "ok":
            raise _broken(self._folder / name, state)
        if seen is not None:
            self._verified[name] = seen

    def _look(self, name: str) -> _Seen | None:
        try:
            status = (self._folder / name).stat()
        except FileNotFoundError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ino


def _broken(path: Path, state: State) -> IntegrityError:
    problem = {
        "mismatched": "differs from the SHA-256 recorded with its commit",
        "missing": "is gone: it was removed by vacuum or by hand",
        "unrecorded": "was committed without a SHA-256, not by this library",
    }[state]
    return IntegrityError(
        f"{path} {problem}",
        kept="nothing was read from it",
        hint="restore it from a backup, or recompute its sessions with force",
    )

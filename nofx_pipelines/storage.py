"""A disk that is full or not to be written: said as what it is, whichever library met it first."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from nofx_pipelines.errors import NofxError, StorageError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL_TEXT = re.compile(
    r"No space left on device|os error 28\b|database or disk is full|Disk quota exceeded|MDB_MAP_FULL"
)
_DENIED_TEXT = re.compile(
    r"Read-only file system|os error 30\b|readonly database|unable to open database file|Permission denied"
)
_LEAST_FREE = 2**20
"""Bytes below which whatever a process failed of was the disk."""
KEPT = "every table is as its last commit left it"


def is_writable(folder: Path) -> bool:
    """Whether files can be made in the folder, or the folder itself where it is not there yet.

    >>> is_writable(Path("/proc/nowhere"))
    False
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()  # os.access says yes to root in /proc
    except OSError as error:
        return error.errno in _FULL
    return True


def require_writable(home: Path) -> Path:
    """``home``, where it can be written.

    Raises
    ------
    StorageError
        Naming the folder and what to do instead.
    """
    if is_writable(home):
        return home
    raise _denied(str(home), home)


def storage_error(error: BaseException, home: Path) -> StorageError | None:
    """What an error says of the disk of ``home``; None where it is about something else.

    Parameters
    ----------
    error
        Of whichever library: its number is looked at, its text (Delta Lake, SQLite and LMDB wrap numbers),
        and those of its causes.
    home
        Whose disk it may be about.
    """
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        number = cause.errno if isinstance(cause, OSError) else None
        text = str(cause)
        if number in _FULL or (number is None and _FULL_TEXT.search(text)):
            return _full(cause, home)
        place = Path(str(getattr(cause, "filename", None) or home))
        denied = number in _DENIED or (number is None and _DENIED_TEXT.search(text))
        if denied and not (is_writable(place.parent if place != home else home) and is_writable(home)):
            return _denied(str(place), home)
        cause = cause.__cause__ or cause.__context__
    return None


def said_of_storage(text: str, home: Path) -> str | None:
    """What the messages of a process that failed say of the disk of ``home``; None where nothing.

    A log on a full disk ends anywhere, so that the disk itself is asked, too.
    """
    if _FULL_TEXT.search(text) or shutil.disk_usage(home).free < _LEAST_FREE:
        return str(_full(None, home))
    return str(_denied(str(home), home)) if _DENIED_TEXT.search(text) and not is_writable(home) else None


@contextmanager
def storage_guard(home: Path) -> Iterator[None]:
    """Errors about the disk of ``home`` leave as StorageError; errors of ours and all others as they are."""
    try:
        yield
    except NofxError:
        raise
    except Exception as error:
        known = storage_error(error, home)
        if known is None:
            raise
        raise known from error


def _full(error: BaseException | None, home: Path) -> StorageError:
    name = getattr(error, "filename", None)
    where = f" when {name} was written" if name else ""
    place = home if home.exists() else home.parent
    try:
        free = f", {shutil.disk_usage(place).free / 2**20:,.0f} MiB are free"
    except OSError:
        free = ""
    return StorageError(
        f"no space is left for {home}{where}{free}",
        kept=KEPT,
        hint=f"make room (nofx compact --home {quote(str(home))} removes old versions), then nofx run",
    )


def _denied(name: str, home: Path) -> StorageError:
    return StorageError(
        f"{name} cannot be written: a read-only file system, or another user's folder",
        kept=f"{KEPT}; nofx status, sql, models, doctor and report --output FILE read it",
        hint=f"make {home} writable, or cp -r {quote(str(home))} ELSEWHERE and nofx run --home ELSEWHERE",
    )

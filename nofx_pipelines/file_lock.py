"""Locks of files that the system gives back when their holder dies, and waits that say what for.

The holder writes into the file who it is and since when; whoever waits says so after a few seconds and
again every minute, through the logger of this module, and gives up at a limit.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from nofx_pipelines.errors import ConfigError, WaitTimeout
from nofx_pipelines.processes import ProcessId

LIMIT_S = 6 * 3600.0
"""How long another run's work is waited for, unless ``$NOFX_WAIT_LIMIT_S`` says otherwise."""
SILENT_S = 3.0
_AGAIN_S = 60.0
_LOOK_S = 0.1


def wait_limit_s() -> float:
    """The longest wait for another run; `ConfigError` where ``$NOFX_WAIT_LIMIT_S`` is no positive number."""
    text = os.environ.get("NOFX_WAIT_LIMIT_S", "").strip()
    try:
        limit = float(text or LIMIT_S)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise ConfigError(
            f"NOFX_WAIT_LIMIT_S = {text!r} is no positive number of seconds",
            hint="export NOFX_WAIT_LIMIT_S=3600",
        )
    return limit


@contextmanager
def file_lock(path: Path, what: str, *, limit_s: float | None = None) -> Iterator[bool]:
    """Hold the lock ``path``, whose folder is made; gives whether another holder was waited for.

    Parameters
    ----------
    path
        The file; it stays behind, empty.
    what
        What the lock stands for, for people: ``stage cn/features``.
    limit_s
        How long to wait, `wait_limit_s` by default; `WaitTimeout` after that.

    >>> from tempfile import mkdtemp
    >>> with file_lock(Path(mkdtemp()) / "locks" / "cn.bars.lock", "stage cn/bars") as waited:
    ...     waited
    False
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    limit = wait_limit_s() if limit_s is None else limit_s
    with path.open("a+", encoding="utf-8") as lock:
        waited = _wait(lock.fileno(), path, what, limit)
        lock.truncate(0)
        lock.write(f"{ProcessId.own().text}\n{datetime.now(UTC).isoformat(timespec='seconds')}\n")
        lock.flush()
        try:
            yield waited
        finally:
            lock.truncate(0)


def _wait(lock: int, path: Path, what: str, limit_s: float) -> bool:
    began = time.monotonic()
    said = began + SILENT_S - _AGAIN_S
    waited = False
    while not _taken(lock):
        waited, now = True, time.monotonic()
        if now - began >= limit_s:
            raise WaitTimeout(
                f"{what}: {holder(path)} still holds it after {limit_s:.0f} s (the limit, NOFX_WAIT_LIMIT_S)",
                kept="all that was computed before",
                hint="nofx doctor --repair, or end that process, then nofx run",
            )
        if now - said >= _AGAIN_S:
            said = now
            logging.getLogger(__name__).warning("waiting for %s: %s holds it", what, holder(path))
        time.sleep(_LOOK_S)
    return waited


def holder(path: Path) -> str:
    """Who holds the lock ``path``, for people."""
    try:
        name, since = path.read_text(encoding="utf-8").splitlines()[:2]
        process = ProcessId.parse(name)
        if process is not None:
            return f"process {process.pid} on {process.host}, since {since}"
    except (OSError, ValueError):
        pass  # between two holders the file is empty
    return "another process"


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

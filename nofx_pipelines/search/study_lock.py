"""A search belongs to one process at a time; another one waits until it ends and finds its trials told."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nofx_pipelines.errors import ModelError

PATIENCE_S = 600.0
"""A run that was killed may leave its search behind, which goes on to its end."""
_LOOK_S = 0.2


@contextmanager
def study_lock(folder: Path, name: str, *, patience_s: float | None = None) -> Iterator[None]:
    """Hold ``folder/name.lock``; the folder is made. Up to ``patience_s`` (`PATIENCE_S`) another's end is
    waited for, ModelError after that.

    >>> from tempfile import mkdtemp
    >>> with study_lock(Path(mkdtemp()), "study-1"):
    ...     pass
    """
    folder.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + (PATIENCE_S if patience_s is None else patience_s)
    with (folder / f"{name}.lock").open("w") as lock:
        silent = True
        while not _taken(lock.fileno()):
            if time.monotonic() >= until:
                raise ModelError(
                    f"another process runs the search {name}",
                    kept="its trials",
                    hint="wait for it, then nofx run",
                )
            if silent:
                logging.getLogger(__name__).warning("waiting for the process that runs the search %s", name)
                silent = False
            time.sleep(_LOOK_S)
        yield


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

"""A search belongs to one process at a time; another one waits until it ends and finds its trials told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nofx_pipelines.errors import ModelError, WaitTimeout
from nofx_pipelines.file_lock import file_lock

PATIENCE_S = 600.0
"""A run that was killed may leave its search behind, which ends soon after it."""


@contextmanager
def study_lock(folder: Path, name: str, *, patience_s: float | None = None) -> Iterator[None]:
    """Hold ``folder/name.lock``; the folder is made. Up to ``patience_s`` (`PATIENCE_S`) another's end is
    waited for, ModelError after that.

    >>> from tempfile import mkdtemp
    >>> with study_lock(Path(mkdtemp()), "study-1"):
    ...     pass
    """
    lock = file_lock(
        folder / f"{name}.lock",
        f"the search {name}",
        limit_s=PATIENCE_S if patience_s is None else patience_s,
    )
    try:
        lock.__enter__()
    except WaitTimeout as error:
        raise ModelError(
            f"another process runs the search {name}", kept="its trials", hint="wait for it, then nofx run"
        ) from error
    try:
        yield
    finally:
        lock.__exit__(None, None, None)

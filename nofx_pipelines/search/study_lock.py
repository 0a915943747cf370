"""A search belongs to one process at a time; another one waits until it ends and reads its trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
    limit = PATIENCE_S if patience_s is None else patience_s
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(folder / f"{name}.lock", f"the search {name}", limit_s=limit))
        except WaitTimeout as error:
            problem, hint = f"another process runs the search {name}", "wait for it, then nofx run"
            raise ModelError(problem, kept="its trials", hint=hint) from error
        yield

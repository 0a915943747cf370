"""The lake: one folder of Delta tables, ``<root>/<scope>/<name>``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from nofx_pipelines.errors import LakeError
from nofx_pipelines.home_path import checked_path
from nofx_pipelines.lake.names import checked_scope, schema_of
from nofx_pipelines.lake.table import LakeTable

BACKOFF_SECONDS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)


class Lake:
    """Tables by scope and name.

    ``backoff`` are the seconds waited before each retry of a commit that lost to another writer;
    when they are used up, `CommitConflict` is raised. ``clock`` gives seconds since 1970.

    >>> Lake(Path("lake")).table("cn", "bars").folder.as_posix()
    'lake/cn/bars'
    """

    def __init__(
        self,
        root: Path,
        *,
        backoff: Sequence[float] = BACKOFF_SECONDS,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.root = checked_path(root)
        self._backoff = tuple(backoff)
        self._sleep = sleep
        self._clock = clock
        self._tables: dict[tuple[str, str], LakeTable] = {}

    def table(self, scope: str, name: str) -> LakeTable:
        """The table ``name`` of ``scope``, written or not; `LakeError` for anything that is no name."""
        key = (checked_scope(scope), name)
        schema = schema_of(name)
        if key not in self._tables:
            excluded = None if name == "excluded_sessions" else self.table(scope, "excluded_sessions")
            self._tables[key] = LakeTable(
                self.root / scope / name,
                scope=scope,
                schema=schema,
                excluded=excluded,
                backoff=self._backoff,
                sleep=self._sleep,
                clock=self._clock,
            )
        return self._tables[key]

    def tables(self) -> list[tuple[str, str]]:
        """Scope and name of every table that was written, sorted."""
        found = []
        for log in self.root.glob("*/*/_delta_log"):
            scope, name = log.parent.parent.name, log.parent.name
            try:
                if self.table(scope, name).exists():
                    found.append((scope, name))
            except LakeError:
                continue  # a folder that the lake did not write
        return sorted(found)

"""Work out which sessions are not fresh, compute those only, commit them chunk by chunk."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.stamps import fresh
from nofx_pipelines.lake.table import LakeTable


@dataclass(frozen=True)
class RefreshResult:
    """What a refresh did: ``rows`` written in ``written`` sessions, ``fresh`` sessions left alone."""

    rows: int
    written: tuple[date, ...]
    fresh: tuple[date, ...]
    version: int | None
    seconds: float


def refresh_sessions(
    table: LakeTable,
    sessions: Sequence[date],
    *,
    code_version: str,
    inputs: Mapping[date, str],
    compute: Callable[[list[date]], pl.DataFrame],
    lineage: Mapping[str, int],
    run_id: str,
    force: bool = False,
    chunk: int = 250,
    clock: Callable[[], float] = time.perf_counter,
) -> RefreshResult:
    """Bring ``sessions`` up to this code and these inputs, ``chunk`` sessions a commit.

    ``sessions`` are a calendar's, ascending. A session is fresh when its stamp carries the same
    ``code_version`` and ``inputs``; ``force`` computes all. ``compute`` gets a contiguous run of
    sessions and returns their rows; sessions without rows are stamped as empty. What was committed
    stays if a later chunk fails, so the next call goes on from there.
    """
    began = clock()
    if chunk < 1:
        raise LakeError(f"{table.key}: chunk = {chunk} is below 1", kept="nothing was computed")
    days = _checked(table, sessions, inputs)
    stamps = {} if force else table.stamps()
    stale = [day for day in days if not fresh(stamps.get(day), code_version, inputs[day])]
    rows, version = 0, table.version()
    for part in contiguous(days, stale, chunk):
        frame = compute(part)
        rows += frame.height
        version = table.replace(
            part[0],
            part[-1] + timedelta(days=1),
            _only(frame, part, table),
            lineage=lineage,
            code_version=code_version,
            inputs={day: inputs[day] for day in part},
            run_id=run_id,
        )
    unchanged = tuple(sorted(set(days) - set(stale)))
    return RefreshResult(rows, tuple(stale), unchanged, version, clock() - began)


def contiguous(days: Sequence[date], chosen: Sequence[date], chunk: int) -> Iterator[list[date]]:
    """Split ``chosen`` into runs that are neighbours in ``days``, at most ``chunk`` long.

    >>> a, b, c, d = (date(2024, 1, n) for n in (2, 3, 4, 5))
    >>> [len(part) for part in contiguous([a, b, c, d], [a, c, d], 250)]
    [1, 2]
    """
    wanted = set(chosen)
    run: list[date] = []
    for day in days:
        if run and (day not in wanted or len(run) == chunk):
            yield run
            run = []
        if day in wanted:
            run.append(day)
    if run:
        yield run


def fingerprint(tables: Iterable[LakeTable], names: Iterable[str] = ()) -> str:
    """Hash of ``names`` and of what ``tables`` hold: by session less those left out, or whole."""
    sha = hashlib.sha256("\n".join(names).encode())
    for table in tables:
        sha.update(f"{table.name}\n".encode())
        excluded, stamps, whole = set(table.excluded_sessions()), table.stamps(), table.stamp()
        for day, stamp in stamps.items():
            if stamp.rows and day not in excluded:
                sha.update(f"{day} {stamp.content}\n".encode())
        if not stamps and whole is not None:
            sha.update(f"{whole.content}\n".encode())
    return sha.hexdigest()


def _checked(table: LakeTable, sessions: Sequence[date], inputs: Mapping[date, str]) -> list[date]:
    days = list(sessions)
    if any(later <= earlier for earlier, later in itertools.pairwise(days)):
        raise LakeError(f"{table.key}: sessions must ascend without repeats", kept="nothing was computed")
    missing = [day for day in days if day not in inputs]
    if missing:
        raise LakeError(
            f"{table.key}: {len(missing)} sessions, the first {missing[0]}, have no inputs fingerprint",
            kept="nothing was computed",
        )
    return days


def _only(frame: pl.DataFrame, part: Sequence[date], table: LakeTable) -> pl.DataFrame:
    """Refuse rows of days that are no session of this chunk."""
    column = table.schema.session_column
    if column is None or column not in frame.columns:
        return frame  # the table says what is wrong with it
    strangers = frame.filter(~pl.col(column).is_in(list(part)))
    if strangers.height:
        raise LakeError(
            f"{table.key}: {strangers.height} computed rows, the first of {strangers[column][0]}, "
            "belong to no session asked for",
            kept=f"sessions before {part[0]} are committed",
        )
    return frame

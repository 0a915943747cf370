"""Which rows and columns of a stage's result differ, bit for bit, at or before a cut."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from nofx_pipelines.lake.schemas import UTC_US
from nofx_pipelines.leakcheck.report import ROWS, Leak
from nofx_pipelines.leakcheck.stage import Stage


def known_rows(frame: pl.DataFrame, stage: Stage, cut: datetime) -> pl.DataFrame:
    """The rows that a stage claims to be known at ``cut``, sorted by its key."""
    if stage.known is not None:
        frame = frame.filter(pl.col(stage.known) <= pl.lit(cut, dtype=UTC_US))
    return frame.sort(stage.key)


def differences(stage: Stage, cut: datetime, before: pl.DataFrame, after: pl.DataFrame) -> list[Leak]:
    """Leaks between the :func:`known_rows` of two worlds; ``before`` is the one as it was."""
    keys = list(stage.key)
    leaks = []
    if not before.select(keys).equals(after.select(keys)):
        gone, come = before.join(after, on=keys, how="anti"), after.join(before, on=keys, how="anti")
        strangers = pl.concat([gone.select(keys), come.select(keys)]).sort(keys)
        leaks.append(Leak(stage.name, ROWS, cut, len(strangers), _first(strangers), None))
        before = before.join(after, on=keys, how="semi").sort(keys)
        after = after.join(before, on=keys, how="semi").sort(keys)
    for name in sorted(set(before.columns) ^ set(after.columns)):
        leaks.append(Leak(stage.name, name, cut, len(before), _first(before.select(keys)), None))
    for name in (name for name in before.columns if name not in keys and name in after.columns):
        moved = _moved(before[name], after[name])
        if moved.any():
            first = _first(before.filter(moved).select(keys))
            size = _size(before[name].filter(moved), after[name].filter(moved))
            leaks.append(Leak(stage.name, name, cut, int(moved.sum()), first, size))
    return leaks


def _moved(before: pl.Series, after: pl.Series) -> pl.Series:
    """True where the bits differ; nulls are equal, and 0.0 is not -0.0."""
    if before.dtype != after.dtype:
        return pl.repeat(True, len(before), eager=True)
    if before.dtype == pl.Float64:
        before, after = before.reinterpret(dtype=pl.Int64), after.reinterpret(dtype=pl.Int64)
    return before.ne_missing(after)


def _size(before: pl.Series, after: pl.Series) -> float | None:
    if not before.dtype.is_numeric() or not after.dtype.is_numeric():
        return None
    gap = (before.cast(pl.Float64) - after.cast(pl.Float64)).abs().fill_nan(None).max()
    return float(gap) if isinstance(gap, float) else None


def _first(keys: pl.DataFrame) -> tuple[tuple[str, object], ...]:
    return tuple(keys.row(0, named=True).items()) if len(keys) else ()

"""Whether a frame that a plug-in delivers has the columns, types and values that it promised."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from nofx_pipelines.lake.schemas import TableSchema


@dataclass(frozen=True)
class FrameShape:
    """Columns of a frame, and those among them that may be missing or null."""

    columns: Mapping[str, pl.DataType]
    optional: frozenset[str]

    @classmethod
    def of(
        cls, schema: TableSchema, *, without: Collection[str] = (), optional: Collection[str] = ()
    ) -> FrameShape:
        """A table's columns ``without`` some; beside the nullable ones, those ``optional`` may be missing."""
        columns = {name: dtype for name, dtype in schema.columns.items() if name not in without}
        return cls(columns, frozenset({*schema.nullable, *optional}))

    def problem(self, frame: object) -> str | None:
        """What is wrong with the frame's columns, None for nothing.

        >>> shape = FrameShape({"close": pl.Float64(), "volume": pl.Float64()}, frozenset({"volume"}))
        >>> shape.problem(pl.DataFrame({"close": [1]}))
        'column close is Int64, not Float64'
        """
        if not isinstance(frame, pl.DataFrame):
            return f"is {type(frame).__name__}, not a polars DataFrame"
        if unknown := [name for name in frame.columns if name not in self.columns]:
            return f"has columns {', '.join(unknown)}, none of {', '.join(self.columns)}"
        needed = [name for name in self.columns if name not in self.optional]
        if missing := [name for name in needed if name not in frame.columns]:
            return f"lacks columns {', '.join(missing)}"
        for name, dtype in frame.schema.items():
            empty = dtype == pl.Null and name in self.optional
            if dtype != self.columns[name] and not empty:
                return f"column {name} is {dtype}, not {self.columns[name]}"
        nulls = {name: count for name in needed if (count := frame[name].null_count())}
        return next((f"column {name} is null in {count} rows" for name, count in nulls.items()), None)

    def completed(self, frame: pl.DataFrame, **fill: str) -> pl.DataFrame:
        """A sound frame with all columns, in order; a missing one is null, or what ``fill`` gives it."""
        whole = frame.with_columns(
            pl.lit(fill.get(name), dtype).alias(name)
            for name, dtype in self.columns.items()
            if name not in frame.columns
        )
        return whole.select(pl.col(name).cast(dtype) for name, dtype in self.columns.items())


@dataclass(frozen=True)
class Promise:
    """What holds for every row of a frame; ``broken`` is true on a row that breaks it."""

    column: str
    broken: pl.Expr
    says: str


def broken_promise(frame: pl.DataFrame, promises: Sequence[Promise]) -> str | None:
    """The first promise that some row breaks, with that row's value.

    >>> up = Promise("close", pl.col("close") <= 0, "is not above zero")
    >>> broken_promise(pl.DataFrame({"close": [1.0, -2.0]}), [up])
    'close = -2.0 is not above zero (1 of 2 rows)'
    """
    for promise in promises:
        bad = frame.filter(promise.broken)
        if bad.height:
            value = bad[promise.column][0]
            return f"{promise.column} = {value!r} {promise.says} ({bad.height} of {frame.height} rows)"
    return None

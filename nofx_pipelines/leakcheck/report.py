"""What a leak check found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from nofx_pipelines.errors import LeakError
from nofx_pipelines.lake.schemas import UTC_US

ROWS = "(rows)"
"""The column of a leak where whole rows came or went."""


@dataclass(frozen=True)
class Leak:
    """A column of a stage that moved at or before ``cut`` when only what lies after it was changed.

    ``first`` is the key of the first row that moved, ``rows`` how many did, ``size`` the largest
    absolute difference (None where it is no number, or came or went).
    """

    stage: str
    column: str
    cut: datetime
    rows: int
    first: tuple[tuple[str, object], ...]
    size: float | None

    def __str__(self) -> str:
        where = ", ".join(f"{name} {_text(value)}" for name, value in self.first)
        size = "" if self.size is None else f", by up to {self.size:.3g}"
        moved = f"{self.stage}.{self.column} moved in {self.rows} rows known at {_text(self.cut)}"
        return f"{moved}, first at {where}{size}"


@dataclass(frozen=True)
class LeakReport:
    """Every leak of every cut; ``compared`` counts the rows at or before the cuts by stage."""

    leaks: tuple[Leak, ...]
    cuts: tuple[datetime, ...]
    compared: dict[str, int]
    seed: int
    window_rows: int
    """Bars in the largest window that was run; all bars where they are few enough."""

    @property
    def ok(self) -> bool:
        """Whether nothing moved."""
        return not self.leaks

    def raise_if_leaky(self) -> None:
        """Raise LeakError that names each stage and column that moved, at its first cut."""
        if self.ok:
            return
        first = {(leak.stage, leak.column): leak for leak in reversed(self.leaks)}
        named = sorted(first.values(), key=lambda leak: self.leaks.index(leak))
        more = f"; and {len(named) - 10} more columns" if len(named) > 10 else ""
        raise LeakError(
            "the future moved the past: " + "; ".join(str(leak) for leak in named[:10]) + more,
            kept="nothing that was made from it may be trained on",
            hint=f"make {named[0].stage}.{named[0].column} read only bars up to its own, then run again",
        )

    def frame(self) -> pl.DataFrame:
        """One row a leak: stage, column, cut, rows, first (as text), size."""
        schema = {
            "stage": pl.String(),
            "column": pl.String(),
            "cut": UTC_US,
            "rows": pl.Int64(),
            "first": pl.String(),
            "size": pl.Float64(),
        }
        rows = [
            (
                leak.stage,
                leak.column,
                leak.cut,
                leak.rows,
                ", ".join(_text(v) for _, v in leak.first),
                leak.size,
            )
            for leak in self.leaks
        ]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def __str__(self) -> str:
        found = "no leak" if self.ok else f"{len(self.leaks)} leaks"
        rows = ", ".join(f"{stage} {count}" for stage, count in self.compared.items())
        return f"{found} at {len(self.cuts)} cuts (rows compared: {rows})"


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}" if value.second else f"{value:%Y-%m-%d %H:%M}"
    return value.isoformat() if isinstance(value, date) else str(value)

"""What the leak check runs: stages, and the world that they run in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl


@dataclass
class World:
    """One set of bars and corporate actions, and what the stages made of them so far.

    Bars after ``cut`` are there to be ignored; a stage that gives what was known at the cut is told
    the cut as it would be told the time. ``as_was`` are the results of the world with its own future.
    """

    bars: pl.DataFrame
    actions: pl.DataFrame
    cut: datetime
    as_was: dict[str, pl.DataFrame] = field(default_factory=dict)
    results: dict[str, pl.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """A named step of a pipeline: ``compute`` reads the world, earlier stages' results included.

    ``key`` names a row. ``known`` is the column that says when a row became known: rows at or before
    the cut must not move. Without it the whole result is claimed to be known at the cut.
    """

    name: str
    compute: Callable[[World], pl.DataFrame]
    key: tuple[str, ...]
    known: str | None = None

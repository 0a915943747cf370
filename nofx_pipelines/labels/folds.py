"""Walk-forward folds over sessions: expanding train, then valid, then test, with gaps between.

Every gap leaves out the label horizon (purge) and an embargo, so no label of an earlier role reaches
into a later one. The last fold's test is the hold-out: the final ``test_fraction`` of the sessions. The
other folds lie a whole gap before it, their tests side by side.

Source: M. López de Prado, Advances in Financial Machine Learning (2018), chapter 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal, TypeVar

import polars as pl

from nofx_pipelines.config import FoldConfig
from nofx_pipelines.errors import ConfigError, DataError, NotEnoughData
from nofx_pipelines.lake.schemas import FOLDS

Role = Literal["train", "valid", "test"]
Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)
_FIRST_TRAIN_BLOCKS = 2
"""The first train is at least this many times as long as a valid or test block."""


@dataclass(frozen=True)
class _Span:
    fold: int
    role: Role
    first: int
    stop: int  # session numbers, half-open


def walk_forward(
    sessions: Sequence[date], config: FoldConfig, *, horizon_sessions: int, bars_per_session: int = 1
) -> pl.DataFrame:
    """Split ``sessions`` (sorted, distinct) into ``config.count`` folds; rows of the FOLDS table.

    ``horizon_sessions`` is how many sessions a label can reach ahead; ``embargo_bars`` are rounded up to
    sessions. start and end are half-open dates; purge_bars and embargo_bars say what was left out
    before the role (0 before train). Raises NotEnoughData with the sessions needed.

    >>> days = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
    >>> folds = walk_forward(days, FoldConfig(2, 0.25, 0), horizon_sessions=1)
    >>> for role, start, end in folds.filter(fold=1).select("role", "start", "end").iter_rows():
    ...     print(f"{role:5} {start} {end}")
    train 2024-01-01 2024-02-03
    valid 2024-02-04 2024-02-14
    test  2024-02-15 2024-03-01
    """
    _check(sessions)
    embargo = math.ceil(config.embargo_bars / bars_per_session)
    spans = _spans(len(sessions), config, horizon_sessions + embargo)
    if spans is None:
        needed = sessions_needed(config, horizon_sessions=horizon_sessions, bars_per_session=bars_per_session)
        raise NotEnoughData(
            f"{len(sessions)} sessions are too few for {config.count} folds with test_fraction = "
            f"{config.test_fraction}, a horizon of {horizon_sessions} and an embargo of {embargo} sessions: "
            f"at least {needed} are needed",
            kept="no fold was made",
            hint="ask for a longer history, or lower count, horizon or embargo_bars",
        )
    purge_bars, embargo_bars = horizon_sessions * bars_per_session, embargo * bars_per_session
    rows = [
        (
            span.fold,
            span.role,
            sessions[span.first],
            sessions[span.stop - 1] + timedelta(days=1),
            0 if span.role == "train" else purge_bars,
            0 if span.role == "train" else embargo_bars,
        )
        for span in spans
    ]
    return pl.DataFrame(rows, schema=FOLDS.columns, orient="row")


def sessions_needed(config: FoldConfig, *, horizon_sessions: int, bars_per_session: int = 1) -> int:
    """The fewest sessions that :func:`walk_forward` accepts.

    >>> sessions_needed(FoldConfig(count=5, test_fraction=0.3, embargo_bars=5), horizon_sessions=5)
    53
    """
    gap = horizon_sessions + math.ceil(config.embargo_bars / bars_per_session)
    development = _blocks(config.count) + 2 * gap  # one session a block
    needed = development + gap
    while _spans(needed, config, gap) is None:
        needed += 1
    return needed


def rows(frame: Frame, folds: pl.DataFrame, fold: int, role: Role) -> Frame:
    """The rows of ``frame`` whose session_date lies in this fold's role."""
    found = folds.filter(pl.col("fold") == fold, pl.col("role") == role)
    if found.is_empty():
        known = sorted(set(folds["fold"].to_list()))
        raise ConfigError(
            f"fold {fold} has no role {role!r}: folds are {known}, roles train, valid and test",
            hint="name one of these",
        )
    return frame.filter(
        pl.col("session_date") >= found["start"].item(), pl.col("session_date") < found["end"].item()
    )


def _check(sessions: Sequence[date]) -> None:
    for earlier, later in pairwise(sessions):
        if later <= earlier:
            raise DataError(
                f"folds: session {later} follows {earlier}: sessions must ascend", hint="sort them"
            )


def _blocks(count: int) -> int:
    """Blocks of valid's length in the development part: the tests before the hold-out, valid, train."""
    return (count - 1) + 1 + _FIRST_TRAIN_BLOCKS


def _spans(size: int, config: FoldConfig, gap: int) -> list[_Span] | None:
    """The roles as session numbers, None when ``size`` sessions are too few."""
    hold_out = max(1, round(config.test_fraction * size))
    development = size - hold_out - gap
    block = (development - 2 * gap) // _blocks(config.count)
    if block < 1:
        return None
    return list(_layout(size, development, block, gap, config.count))


def _layout(size: int, development: int, block: int, gap: int, count: int) -> Iterator[_Span]:
    for fold in range(count):
        is_last = fold == count - 1
        test = size if is_last else development - (count - 2 - fold) * block
        test_first = development + gap if is_last else test - block
        valid_stop = test_first - gap
        train_stop = valid_stop - block - gap
        yield _Span(fold, "train", 0, train_stop)
        yield _Span(fold, "valid", valid_stop - block, valid_stop)
        yield _Span(fold, "test", test_first, test)

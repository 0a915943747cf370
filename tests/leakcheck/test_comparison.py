from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.leakcheck.comparison import differences, known_rows
from nofx_pipelines.leakcheck.report import ROWS
from nofx_pipelines.leakcheck.stage import Stage

T0 = datetime(2024, 1, 1, tzinfo=UTC)
STAGE = Stage("features", lambda world: world.bars, ("instrument_id", "ts_close"), "ts_close")


def frame(**columns: list[object]) -> pl.DataFrame:
    size = len(next(iter(columns.values())))
    keys = {"instrument_id": ["A"] * size, "ts_close": [T0 + timedelta(days=n) for n in range(size)]}
    return pl.DataFrame({**keys, **columns}, strict=False).with_columns(
        pl.col("ts_close").cast(pl.Datetime("us", "UTC"))
    )


def test_equal_frames_have_no_difference() -> None:
    rows = frame(x=[1.0, None, float("nan")], label=[1, None, 3], name=["a", None, "c"])
    assert differences(STAGE, T0, rows, rows.clone()) == []


@pytest.mark.parametrize(
    ("before", "after", "size"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0 + 2**-51, 3.0], 2**-51),  # one bit
        ([1.0, None, 3.0], [1.0, 2.0, 3.0], None),
        ([1.0, 2.0, 3.0], [1.0, None, 3.0], None),
        ([1.0, 0.0, 3.0], [1.0, -0.0, 3.0], 0.0),
        ([1.0, float("nan"), 3.0], [1.0, 2.0, 3.0], None),
        (["a", "b", "c"], ["a", "x", "c"], None),
    ],
)
def test_one_moved_value_is_named(before: list[object], after: list[object], size: float | None) -> None:
    (leak,) = differences(STAGE, T0, frame(x=before, y=[1, 1, 1]), frame(x=after, y=[1, 1, 1]))
    assert (leak.stage, leak.column, leak.rows, leak.size) == ("features", "x", 1, size)
    assert dict(leak.first) == {"instrument_id": "A", "ts_close": T0 + timedelta(days=1)}


def test_rows_that_come_or_go_are_named_and_the_others_still_compared() -> None:
    rows = frame(x=[1.0, 2.0, 3.0])
    other = rows.filter(pl.col("x") != 1.0).with_columns(x=pl.col("x") + pl.lit([0.0, 1.0]).explode())
    found = differences(STAGE, T0, rows, other)
    assert [(leak.column, leak.rows) for leak in found] == [(ROWS, 1), ("x", 1)]
    assert dict(found[0].first)["ts_close"] == T0
    assert dict(found[1].first)["ts_close"] == T0 + timedelta(days=2)


def test_a_column_that_comes_or_goes_is_named() -> None:
    rows = frame(x=[1.0], y=[1.0])
    assert [leak.column for leak in differences(STAGE, T0, rows, rows.drop("y"))] == ["y"]


def test_only_rows_up_to_the_cut_count() -> None:
    rows = frame(x=[1.0, 2.0, 3.0], known_at=[T0, None, T0 + timedelta(days=5)])
    assert known_rows(rows, STAGE, T0 + timedelta(days=1))["x"].to_list() == [1.0, 2.0]
    by_known_at = Stage("labels", STAGE.compute, STAGE.key, "known_at")
    assert known_rows(rows, by_known_at, T0 + timedelta(days=1))["x"].to_list() == [1.0]
    assert len(known_rows(rows, Stage("all", STAGE.compute, STAGE.key), T0)) == 3

"""What a delivered frame must be: its columns, its types, its values."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS
from nofx_pipelines.market.sources.frame_checks import FrameShape, Promise, broken_promise

SHAPE = FrameShape({"id": pl.String(), "day": pl.Date(), "cash": pl.Float64()}, frozenset({"cash"}))
DAY = date(2024, 1, 2)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pl.DataFrame({"id": ["a"], "day": [DAY], "cash": [1.0]}), None),
        (pl.DataFrame({"day": [DAY], "id": ["a"]}), None),
        (pl.DataFrame({"id": ["a"], "day": [DAY], "cash": [None]}), None),
        ({"id": ["a"]}, "is dict, not a polars DataFrame"),
        (pl.LazyFrame({"id": ["a"]}), "is LazyFrame, not a polars DataFrame"),
        (pl.DataFrame({"id": ["a"], "day": [DAY], "csh": [1.0]}), "has columns csh, none of id, day, cash"),
        (pl.DataFrame({"id": ["a"]}), "lacks columns day"),
        (pl.DataFrame({"id": ["a"], "day": ["2024-01-02"]}), "column day is String, not Date"),
        (pl.DataFrame({"id": ["a"], "day": [DAY], "cash": [1]}), "column cash is Int64, not Float64"),
        (pl.DataFrame({"id": [None], "day": [DAY]}), "column id is Null, not String"),
        (pl.DataFrame({"id": ["a", None], "day": [DAY, DAY]}), "column id is null in 1 rows"),
    ],
)
def test_what_is_wrong_with_a_frame_is_said(frame: object, says: str | None) -> None:
    assert SHAPE.problem(frame) == says


def test_a_sound_frame_is_completed_in_order() -> None:
    frame = pl.DataFrame({"cash": [None], "day": [DAY]})
    whole = SHAPE.completed(frame, id="mine")
    assert whole.rows() == [("mine", DAY, None)]
    assert dict(whole.schema) == SHAPE.columns


def test_the_shape_of_a_table_takes_its_nullable_columns_as_optional() -> None:
    shape = FrameShape.of(CORPORATE_ACTIONS, without=["knowledge_time"], optional=["source"])
    assert "knowledge_time" not in shape.columns
    assert shape.optional == {*CORPORATE_ACTIONS.nullable, "source"}


def test_the_first_broken_promise_is_said_with_its_value() -> None:
    frame = pl.DataFrame({"a": [1, 2, 3, None], "b": ["x", "y", "x", "x"]})
    small, x = Promise("a", pl.col("a") > 1, "is above 1"), Promise("b", pl.col("b") != "x", "is not x")
    assert broken_promise(frame, [x, small]) == "b = 'y' is not x (1 of 4 rows)"
    assert broken_promise(frame, [small]) == "a = 2 is above 1 (2 of 4 rows)"
    assert broken_promise(frame.head(1), [small, x]) is None

"""Compaction keeps every row, the newest versions and those that models were made from."""

from __future__ import annotations

from datetime import timedelta

import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.errors import NofxError
from nofx_pipelines.lake.compaction import compact_lake

NEXT = timedelta(days=1)


def test_old_versions_go_and_rows_registered_and_recent_versions_stay(lake, labels, days):
    table = lake.table("cn", "labels")
    for number in range(9):
        day = days[number % 3]
        table.replace(day, day + NEXT, labels([day], weight=float(number + 1)))
    now, registered = table.scan().collect(), table.scan(version=3).collect()
    (done,) = compact_lake(lake, keep={"cn/labels": {3}, "hk/labels": {1}}, recent=2)
    assert (done.table, done.merged > 1, done.into) == ("cn/labels", True, 1)
    assert done.removed > 0
    assert done.removed_bytes > 0
    assert_frame_equal(table.scan().collect(), now, check_row_order=False)
    assert_frame_equal(table.scan(version=3).collect(), registered, check_row_order=False)
    assert_frame_equal(table.scan(version=8).collect(), now, check_row_order=False)
    with pytest.raises(NofxError):
        table.scan(version=1).collect()
    assert table.verify().whole
    (again,) = compact_lake(lake, keep={"cn/labels": {3}}, recent=2)
    assert (again.merged, again.into) == (0, 0)


def test_a_lake_without_tables_has_nothing_to_compact(lake):
    assert list(compact_lake(lake, keep={})) == []

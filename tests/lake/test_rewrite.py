from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.lake.log import CommitLog


def test_only_files_that_share_sessions_are_rewritten(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[4], labels(days[:4]))
    table.replace(days[4], days[8], labels(days[4:8]))
    before = {file.name for file in table.checked_files()[0]}
    version = table.replace(days[2], days[6], labels(days[2:6], weight=2.0))
    commit = CommitLog(table.folder).commit(version)
    assert set(commit.removed) == before
    assert len(commit.added) == 3  # the new sessions, and what stays of each file
    version = table.replace(days[2], days[6], labels(days[2:6], weight=3.0))
    commit = CommitLog(table.folder).commit(version)
    assert (len(commit.added), len(commit.removed)) == (1, 1)
    weights = table.scan().group_by("session_date").agg(pl.col("weight").sum()).sort("session_date").collect()
    assert weights["weight"].to_list() == [3.0, 3.0, 9.0, 9.0, 9.0, 9.0, 3.0, 3.0]


def test_a_hole_splits_its_file_so_that_the_next_replace_copies_less(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[9], labels(days[:9]))
    table.replace(days[4], days[5], labels(days[4:5], weight=2.0))
    spans = [(file.first, file.last) for file in table.checked_files()[0]]
    assert spans == [(days[0], days[3]), (days[4], days[4]), (days[5], days[8])]
    before = {file.name for file in table.checked_files()[0]}
    table.replace(days[6], days[7], labels(days[6:7], weight=2.0))
    assert len(before & {file.name for file in table.checked_files()[0]}) == 2
    assert table.scan().collect().height == 27


def test_carried_rows_keep_columns_that_the_new_ones_lack(lake, features, days):
    table = lake.table("cn", "features")
    table.replace(days[0], days[3], features(days[:3], sma=1.0))
    table.replace(days[1], days[2], features(days[1:2], atr=2.0))
    found = table.scan().collect().sort("session_date", "instrument_id")
    assert found["sma"].to_list() == [1.0] * 3 + [None] * 3 + [1.0] * 3
    assert found["atr"].to_list() == [None] * 3 + [2.0] * 3 + [None] * 3


@pytest.mark.parametrize("target_rows", [6, 1000])
def test_merging_keeps_every_row(lake, labels, days, target_rows):
    table = lake.table("cn", "labels")
    for number, day in enumerate(days[:7]):
        table.append(labels([day], weight=float(number + 1)))
    before = table.scan().collect().sort("session_date", "instrument_id")
    report = table.compact(target_rows)
    assert report.version == 7
    assert (report.removed, report.added) == ((6, 3) if target_rows == 6 else (7, 1))
    assert_frame_equal(table.scan().collect().sort("session_date", "instrument_id"), before)
    assert table.history()["kind"][0] == "compact"
    assert table.compact(target_rows).removed == 0
    assert table.version() == 7

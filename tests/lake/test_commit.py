from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import polars as pl
import pytest
from deltalake.exceptions import DeltaError

from nofx_pipelines.errors import CommitConflict
from nofx_pipelines.lake.store import Lake

NEXT = timedelta(days=1)


class Rival:
    """A clock that lets another writer commit between the plan and the commit, ``times`` times."""

    def __init__(self, write, times: int) -> None:
        self.write, self.left, self.sleeps = write, times, []

    def clock(self) -> float:
        if self.left:
            self.left -= 1
            self.write()
        return 1.7e9

    def lake(self, root, backoff=(0.1, 0.2, 0.4)) -> Lake:
        return Lake(root, backoff=backoff, sleep=self.sleeps.append, clock=self.clock)


def test_a_lost_race_is_planned_anew_and_loses_nothing(lake, labels, days):
    mine, other = lake.table("cn", "labels"), Lake(lake.root).table("cn", "labels")
    mine.append(labels(days[:4]))
    rival = Rival(lambda: other.replace(days[1], days[2], labels(days[1:2], weight=7.0)), times=2)
    version = rival.lake(lake.root).table("cn", "labels").replace(days[2], days[3], labels(days[2:3], 8.0))
    assert (version, rival.sleeps) == (3, [0.1, 0.2])
    weights = (
        mine.scan().group_by("session_date").agg(pl.col("weight").unique(), pl.len()).sort("session_date")
    )
    assert weights.collect()["weight"].to_list() == [[1.0], [7.0], [8.0], [1.0]]
    assert weights.collect()["len"].to_list() == [3] * 4
    assert mine.verify().whole


def test_two_writers_of_one_empty_range_do_not_double_it(lake, labels, days):
    lake.table("cn", "labels").append(labels(days[5:6]))
    other = Lake(lake.root).table("cn", "labels")
    rival = Rival(lambda: other.replace(days[0], days[1], labels(days[:1], weight=7.0)), times=1)
    rival.lake(lake.root).table("cn", "labels").replace(days[0], days[1], labels(days[:1], weight=8.0))
    found = other.scan(start=days[0], end=days[1]).collect()
    assert found["weight"].to_list() == [8.0] * 3


def test_two_writers_that_both_create_the_table(lake, labels, days):
    other = Lake(lake.root).table("cn", "labels")
    rival = Rival(lambda: other.append(labels(days[:1])), times=1)
    version = rival.lake(lake.root).table("cn", "labels").append(labels(days[1:2]))
    assert version == 1
    assert other.scan().collect().height == 6
    assert other.stamps().keys() == set(days[:2])


def test_an_overwrite_against_an_append_keeps_stamps_true(lake, labels, days):
    other = Lake(lake.root).table("cn", "labels")
    other.append(labels(days[:1]))
    rival = Rival(lambda: other.append(labels(days[1:2])), times=1)
    rival.lake(lake.root).table("cn", "labels").overwrite(labels(days[3:4]))
    assert other.scan().collect()["session_date"].unique().to_list() == [days[3]]
    assert list(other.stamps()) == [days[3]]


def test_retries_are_bounded(lake, labels, days):
    other = Lake(lake.root).table("cn", "labels")
    other.append(labels(days[:1]))
    rival = Rival(lambda: other.append(labels([])), times=99)
    table = rival.lake(lake.root, backoff=(0.5, 0.25)).table("cn", "labels")
    with pytest.raises(CommitConflict, match=r"cn/labels: another writer won 3 times.*nothing was written"):
        table.replace(days[0], days[1], labels(days[:1], weight=9.0))
    assert rival.sleeps == [0.5, 0.25]
    assert other.scan().collect()["weight"].unique().to_list() == [1.0]
    assert other.version() == 3


def test_other_failures_are_not_retried(lake, labels, days, monkeypatch):
    table = lake.table("cn", "labels")
    table.append(labels(days[:1]))

    def fail(*args, **kwargs):
        raise DeltaError("disk full")

    monkeypatch.setattr("nofx_pipelines.lake.commit.DeltaTable.create_write_transaction", fail)
    with pytest.raises(DeltaError, match="disk full"):
        table.append(labels(days[1:2]))
    assert table.version() == 0


WRITER = """
import sys
from datetime import date, timedelta
from pathlib import Path
import polars as pl
from nofx_pipelines.lake.store import Lake
root, name, first, own = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
table = Lake(root, backoff=[.01, .02, .05] * 20).table("cn", "labels")
frame = pl.read_parquet(root / "frame.parquet").with_columns(weight=pl.lit(own))
days = sorted(frame["session_date"].unique())[first : first + 3]
for _ in range(12):
    for day in days:
        part = frame.filter(pl.col("session_date") == day)
        if name == "replace":
            table.replace(day, day + timedelta(days=1), part)
        else:
            table.append(part)
"""


def test_processes_that_write_at_once_lose_nothing(lake, labels, days):
    lake.root.mkdir()
    labels(days[:9]).write_parquet(lake.root / "frame.parquet")
    jobs = [("replace", 0, 1.0), ("replace", 2, 2.0), ("append", 6, 3.0)]
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(lake.root), *(str(part) for part in job)])
        for job in jobs
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]
    table = lake.table("cn", "labels")
    assert table.version() == 3 * 12 * 3 - 1
    counts = (
        table.scan()
        .group_by("session_date")
        .agg(pl.len(), pl.col("weight").unique())
        .sort("session_date")
        .collect()
    )
    assert counts["len"].to_list() == [3] * 5 + [36] * 3
    assert [len(weights) for weights in counts["weight"]] == [
        1
    ] * 8  # of session 2, which both wrote, one won
    assert {day: stamp.rows for day, stamp in table.stamps().items()} == dict(
        counts.select("session_date", "len").iter_rows()
    )
    assert table.verify().whole

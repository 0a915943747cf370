from __future__ import annotations

import json
import time
from datetime import date, timedelta

import polars as pl
import pytest

from nofx_pipelines.lake.content import NO_ROWS, session_digests
from nofx_pipelines.lake.log import CommitLog, Message, Part
from nofx_pipelines.lake.schemas import LABELS
from nofx_pipelines.lake.stamps import StampFold
from nofx_pipelines.lake.store import Lake


def test_later_commits_override_and_others_stay(lake, labels, days):
    table = lake.table("cn", "labels")
    assert table.stamps() == {}
    assert table.stamp() is None
    table.replace(days[0], days[3], labels(days[:3]), code_version="c1", inputs=dict.fromkeys(days[:3], "i1"))
    before = table.stamps()
    table.replace(days[1], days[2], labels(days[1:2], 2.0), code_version="c2", inputs={days[1]: "i2"})
    after = table.stamps()
    assert (after[days[0]], after[days[2]]) == (before[days[0]], before[days[2]])
    assert (after[days[1]].code_version, after[days[1]].inputs, after[days[1]].version) == ("c2", "i2", 1)
    assert after[days[1]].content != before[days[1]].content
    assert table.stamps(0) == before  # an older version folds anew
    assert table.stamps() == after


def test_content_is_of_the_rows_alone(lake, labels, days):
    one, other = lake.table("cn", "labels"), lake.table("hk", "labels")
    frame = labels(days[:3])
    one.replace(days[0], days[3], frame)
    for day in reversed(days[:3]):
        shuffled = frame.filter(pl.col("session_date") == day).sample(fraction=1, shuffle=True, seed=day.day)
        other.replace(day, day + timedelta(days=1), shuffled)
    contents = [{day: stamp.content for day, stamp in t.stamps().items()} for t in (one, other)]
    assert contents[0] == contents[1]
    stored = session_digests(other.scan().collect(), "session_date", LABELS.key)
    assert {day: content for day, (content, _) in stored.items()} == contents[0]
    assert one.stamp().content == other.stamp().content  # type: ignore[union-attr]


def test_sessions_without_rows_are_stamped_empty(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[2], labels(days[:1]), inputs=dict.fromkeys(days[:2], "i"))
    stamp = table.stamps()[days[1]]
    assert (stamp.rows, stamp.content, stamp.inputs) == (0, NO_ROWS, "i")


def test_replaced_sessions_that_do_not_return_lose_their_stamp(lake, labels, days):
    table = lake.table("cn", "labels")
    table.replace(days[0], days[3], labels(days[:3]))
    table.replace(days[0], days[2], labels([]))
    assert list(table.stamps()) == [days[2]]


def test_appends_join_in_any_order(lake, labels, days):
    rows = labels(days[:1])
    stamps = []
    for scope, parts in (("cn", (rows[:1], rows[1:])), ("hk", (rows[1:], rows[:1]))):
        for part in parts:
            lake.table(scope, "labels").append(part)
        stamps.append(lake.table(scope, "labels").stamps()[days[0]])
    assert stamps[0].content == stamps[1].content
    assert (stamps[0].rows, stamps[0].version) == (3, 1)


def test_whole_tables_have_one_stamp(lake, labels, days):
    table = lake.table("cn", "folds")
    frame = pl.DataFrame(
        {
            "fold": [0],
            "role": ["train"],
            "start": [days[0]],
            "end": [days[1]],
            "purge_bars": [5],
            "embargo_bars": [0],
        },
        schema=table.schema.columns,
    )
    table.overwrite(frame, code_version="c", inputs="i")
    first = table.stamp()
    table.overwrite(frame, code_version="c", inputs="j")
    second = table.stamp()
    assert first is not None
    assert second is not None
    assert first.content == second.content
    assert (second.version, second.inputs, second.code_version, second.rows) == (1, "j", "c", 1)
    assert table.stamps() == {}


def test_compaction_leaves_stamps(lake, labels, days):
    table = lake.table("cn", "labels")
    for day in days[:4]:
        table.replace(day, day + timedelta(days=1), labels([day]))
    before = table.stamps()
    table.compact()
    assert table.stamps() == before


def write_log(folder, sessions: int, commits: int) -> None:
    """A log as 2,600 sessions written in ``commits`` commits leave it."""
    (folder / "_delta_log").mkdir(parents=True)
    days = [date(2014, 1, 1) + timedelta(days=n) for n in range(sessions)]
    size = -(-sessions // commits) if commits < sessions else 1
    for version in range(commits):
        part = [days[(version * size + k) % sessions] for k in range(size)]
        parts = {day: Part("ab" * 32, 30, "cd" * 32) for day in part}
        message = Message("replace", part[0], part[-1] + timedelta(days=1), parts)
        action = {"commitInfo": {"timestamp": 0, "nofx": message.to_json()}}
        (folder / "_delta_log" / f"{version:020d}.json").write_text(json.dumps(action))


@pytest.mark.parametrize("commits", [300])
def test_ten_years_of_sessions_fold_fast_and_each_commit_is_read_once(tmp_path, commits, monkeypatch):
    write_log(tmp_path, 2_600, commits)
    read: list[int] = []
    original = CommitLog._read
    monkeypatch.setattr(CommitLog, "_read", lambda self, v: read.append(v) or original(self, v))
    fold = StampFold(CommitLog(tmp_path))
    assert len(fold.sessions(commits - 2)) >= 2_500
    assert read == list(range(commits - 1))
    began = time.perf_counter()
    fold.sessions(commits - 1)
    assert read == list(range(commits))
    first = time.perf_counter() - began
    assert first < 1.0  # a guard against folding from the start, two orders above what it takes


def test_another_process_commits_are_seen(lake, labels, days):
    lake.table("cn", "labels").append(labels(days[:1]))
    other = Lake(lake.root)
    assert len(other.table("cn", "labels").stamps()) == 1
    lake.table("cn", "labels").append(labels(days[1:2]))
    assert len(other.table("cn", "labels").stamps()) == 2

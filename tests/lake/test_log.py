from __future__ import annotations

from datetime import date

from nofx_pipelines.lake.log import CommitLog, Message, Part


def test_a_message_survives_its_json():
    message = Message(
        "replace",
        date(2024, 1, 1),
        date(2024, 2, 1),
        {date(2024, 1, 2): Part("ab" * 32, 3, "in")},
        Part("cd" * 32, 3),
        {"cn/bars": 4},
        "code",
        "run",
    )
    assert Message.from_json(message.to_json()) == message
    assert Message.from_json(Message("compact").to_json()) == Message("compact")


def test_a_commit_says_what_it_did(lake, labels, days):
    table = lake.table("cn", "labels")
    table.append(labels(days[:2]), lineage={"cn/bars": 7}, code_version="c1", run_id="r1")
    version = table.replace(days[0], days[1], labels(days[:1], weight=2.0))
    log = CommitLog(table.folder)
    first, second = log.commit(0), log.commit(version)
    assert (first.message.kind, first.message.lineage, first.removed) == ("append", {"cn/bars": 7}, ())
    assert second.removed == first.added
    assert len(second.added) == 2
    assert log.latest() == version


def test_history_reads_newest_first(lake, labels, days):
    table = lake.table("cn", "labels")
    assert table.history().height == 0
    table.append(labels(days[:2]), lineage={"cn/bars": 7}, code_version="c1", run_id="r1")
    table.replace(days[0], days[1], labels(days[:1]), run_id="r2")
    rows = table.history().rows(named=True)
    assert [row["kind"] for row in rows] == ["replace", "append"]
    assert [row["rows"] for row in rows] == [3, 6]
    assert (rows[1]["lineage"], rows[1]["code_version"], rows[0]["run_id"]) == ('{"cn/bars": 7}', "c1", "r2")
    assert (rows[0]["start"], rows[0]["end"], rows[0]["sessions"]) == (days[0], days[1], 1)

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.errors import IntegrityError, LakeError
from nofx_pipelines.lake.store import Lake

NEXT = timedelta(days=1)


def parquet(table):
    return {path.name for path in table.folder.glob("*.parquet")}


@pytest.fixture
def table(lake, labels, days):
    """Six versions of three sessions, one commit a session at first."""
    table = lake.table("cn", "labels")
    for number in range(6):
        day = days[number % 3]
        table.replace(day, day + NEXT, labels([day], weight=float(number + 1)))
    return table


def test_verify_tells_every_state_apart(table):
    names = table.verify().ok
    assert len(names) == 3
    (table.folder / names[0]).unlink()
    content = bytearray((table.folder / names[1]).read_bytes())
    content[10] ^= 1
    (table.folder / names[1]).write_bytes(bytes(content))
    report = table.verify()
    assert (report.missing, report.mismatched, report.ok) == (names[:1], names[1:2], names[2:])
    assert report.version == 5
    assert not report.whole
    assert not table.verify(version=5).whole


def test_every_flipped_bit_is_found_on_read_and_by_verify(table):
    whole = table.verify()
    for number, name in enumerate(whole.ok * 4):
        path = table.folder / name
        content = path.read_bytes()
        flipped = bytearray(content)
        flipped[(number * 997) % len(content)] ^= 1 << number % 8
        path.write_bytes(bytes(flipped))
        assert table.verify().mismatched == (name,)
        with pytest.raises(IntegrityError, match=name):
            table.scan()
        with pytest.raises(IntegrityError, match=name):
            Lake(table.folder.parent.parent).table("cn", "labels").scan()
        path.write_bytes(content)
    assert table.verify() == whole


def test_vacuum_spares_the_newest_and_the_named_versions(table):
    spared = {version: table.scan(version=version).collect() for version in (1, 5)}
    needed = {name for version in spared for name in table.verify(version).ok}
    gone = parquet(table) - needed
    report = table.vacuum(keep=[1])
    assert (report.kept, set(report.removed)) == ((1, 5), gone)
    assert len(gone) == 1
    assert parquet(table) == needed
    assert report.removed_bytes > 0
    for version, rows in spared.items():
        assert_frame_equal(table.scan(version=version).collect(), rows)
        assert table.verify(version).whole
    with pytest.raises(IntegrityError, match="is gone: it was removed by vacuum"):
        table.scan(version=3)
    assert table.vacuum(keep=[1]).removed == ()


def test_vacuum_refuses_versions_that_are_not_there(table):
    before = parquet(table)
    with pytest.raises(LakeError, match="has no version 6; its newest is 5; nothing was removed"):
        table.vacuum(keep=[1, 6])
    assert parquet(table) == before


def test_vacuum_leaves_files_that_another_writer_has_not_committed_yet(lake, table):
    stranger = table.folder / ("ab" * 32 + "-00000000.parquet")
    stranger.write_bytes(b"being written")
    table.vacuum(keep=range(6))
    assert stranger.exists()
    later = Lake(lake.root, clock=lambda: stranger.stat().st_mtime + 86_401).table("cn", "labels")
    assert later.vacuum(keep=range(6)).removed == (stranger.name,)
    assert later.verify(0).whole


def test_nothing_else_removes_files(table, labels, days):
    before = parquet(table)
    table.compact()
    table.overwrite(labels(days[:1]))
    table.replace(days[0], days[9], labels([]))
    assert before <= parquet(table)
    assert [table.verify(version).whole for version in range(table.version() + 1)] == [True] * 9


def test_a_dead_writers_staging_is_cleared(table):
    left = table.folder / "_staging" / "dead"
    left.mkdir(parents=True)
    (left / "arrived").write_bytes(b"x")
    os.utime(left)
    table.vacuum(keep=[])
    assert not left.exists()

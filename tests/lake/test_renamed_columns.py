"""A column that an earlier version wrote under another name is read, and rewritten by the next commit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.lake.query import query
from nofx_pipelines.lake.schemas import LABELS, ONLINE_FEATURES, TABLES, TableSchema
from nofx_pipelines.lake.store import Lake

NEXT = timedelta(days=1)


def under(schema: TableSchema, monkeypatch: pytest.MonkeyPatch, root: Path) -> Lake:
    """The lake as code sees it that knows the table under ``schema``."""
    monkeypatch.setitem(TABLES, schema.name, schema)
    return Lake(root)


@pytest.fixture
def before() -> TableSchema:
    """The schema of an earlier version, which called the weight otherwise."""
    columns = {("importance" if name == "weight" else name): kind for name, kind in LABELS.columns.items()}
    return dataclasses.replace(LABELS, columns=columns)


@pytest.fixture
def after() -> TableSchema:
    return dataclasses.replace(LABELS, renamed={"weight": "importance"})


def names(table_folder: Path) -> list[bool]:
    """Of every data file, whether it has the new name."""
    return sorted("weight" in pq.read_schema(path).names for path in table_folder.glob("*.parquet"))


def test_sessions_of_both_names_are_read_side_by_side(
    tmp_path: Path,
    before: TableSchema,
    after: TableSchema,
    labels: Callable[..., pl.DataFrame],
    days: list,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = under(before, monkeypatch, tmp_path).table("cn", "labels")
    for day in days[:3]:
        old.append(labels([day], weight=2.0).rename({"weight": "importance"}))
    lake = under(after, monkeypatch, tmp_path)
    table = lake.table("cn", "labels")
    first = table.scan().collect()
    assert first.columns == list(LABELS.columns)
    assert first["weight"].to_list() == [2.0] * 9
    stamps = table.stamps()
    table.replace(days[1], days[1] + NEXT, labels([days[1]], weight=3.0))
    assert names(table.folder) == [False, False, False, True]  # the replaced file still lies there
    expected = pl.concat([labels([days[0]], weight=2.0), labels([days[1]], weight=3.0)])
    expected = pl.concat([expected, labels([days[2]], weight=2.0)])
    key = ["session_date", "instrument_id"]
    assert_frame_equal(table.scan().collect().sort(key), expected.sort(key))
    assert query(lake, "select sum(weight) as w from labels")["w"].item() == 3 * (2.0 + 3.0 + 2.0)
    assert {day: s.content for day, s in table.stamps().items() if day != days[1]} == {
        day: s.content for day, s in stamps.items() if day != days[1]
    }
    table.compact()
    assert_frame_equal(table.scan().collect().sort(key), expected.sort(key))
    assert table.verify().whole


def test_the_online_store_s_record_of_0_1_0_is_read_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = pl.datetime(2026, 1, 5, 8, time_unit="us", time_zone="UTC")
    rows = pl.select(
        instrument_id=pl.lit("CN.SSE.600519"), event_time=now, version=pl.lit("v"), published_at=now
    )
    columns = {
        name.replace("published_at", "handed_over_at"): t for name, t in ONLINE_FEATURES.columns.items()
    }
    old = dataclasses.replace(ONLINE_FEATURES, columns=columns, renamed={})
    under(old, monkeypatch, tmp_path).table("cn", "online_features").overwrite(
        rows.rename({"published_at": "handed_over_at"})
    )
    lake = under(ONLINE_FEATURES, monkeypatch, tmp_path)
    table = lake.table("cn", "online_features")
    assert_frame_equal(table.scan().collect(), rows)
    assert query(lake, "select published_at from online_features").height == 1
    table.overwrite(rows)
    (newest,) = (table.folder / file.name for file in table.checked_files()[0])
    assert pq.read_schema(newest).names == list(ONLINE_FEATURES.columns)
    assert_frame_equal(table.scan(version=0).collect(), rows)

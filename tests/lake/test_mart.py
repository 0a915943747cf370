from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest

from nofx_pipelines.errors import LakeError
from nofx_pipelines.lake.mart import build_mart


def read(path, sql):
    with closing(duckdb.connect(path, read_only=True)) as connection:
        return connection.execute(sql).fetchall()


def test_frames_and_sql_become_tables(lake, labels, days, tmp_path):
    lake.table("cn", "labels").append(labels(days[:2]))
    frame = pl.DataFrame({"a": [1.5, None], "t": [datetime(2024, 1, 1, tzinfo=UTC)] * 2, "l": [["x"], []]})
    path = tmp_path / "deep" / "mart.duckdb"
    rows = build_mart(lake, path, {"label_counts": "SELECT count(*) AS n FROM labels", 'odd "name': frame})
    assert rows == {"label_counts": 1, 'odd "name': 2}
    assert read(path, "SELECT n FROM label_counts") == [(6,)]
    assert read(path, 'SELECT a, l FROM "odd ""name"') == [(1.5, ["x"]), (None, [])]
    assert [entry.name for entry in path.parent.iterdir()] == ["mart.duckdb"]


def test_a_failing_build_keeps_the_old_file(lake, tmp_path):
    path = tmp_path / "mart.duckdb"
    build_mart(lake, path, {"t": pl.DataFrame({"a": [1]})})
    with pytest.raises(LakeError):
        build_mart(lake, path, {"t": pl.DataFrame({"a": [2]}), "u": "SELECT * FROM nope"})
    assert read(path, "SELECT a FROM t") == [(1,)]
    assert [entry.name for entry in tmp_path.iterdir()] == ["mart.duckdb"]


READER = """
import sys, duckdb
low = 0
print("ready", flush=True)
while low < 11:
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        low, high, rows = connection.execute("SELECT min(a), max(a), count(*) FROM t").fetchone()
    assert low == high and rows == 50_000, (low, high, rows)
"""


def test_a_reader_sees_the_old_or_the_new_one_whole(lake, tmp_path):
    path = tmp_path / "mart.duckdb"

    def build(number: int) -> None:
        build_mart(lake, path, {"t": pl.DataFrame({"a": [number] * 50_000})})

    build(0)
    command = [sys.executable, "-c", READER, str(path)]
    with (
        closing(duckdb.connect(path, read_only=True)) as held,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader,
    ):
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        for number in range(1, 12):
            build(number)
        assert reader.wait(timeout=60) == 0
        assert held.execute("SELECT max(a), count(*) FROM t").fetchall() == [(0, 50_000)]

"""``mart.duckdb``: small result tables in one file for BI tools, always whole and always readable."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import duckdb
import polars as pl

from nofx_pipelines.lake.names import quoted
from nofx_pipelines.lake.query import query
from nofx_pipelines.lake.store import Lake


def build_mart(lake: Lake, path: Path, tables: Mapping[str, pl.DataFrame | str]) -> dict[str, int]:
    """Build ``path`` beside and rename it into place; returns the rows of each table.

    ``tables`` are frames, or SQL over the lake (see `nofx_pipelines.lake.query.query`). Whoever has the
    old file open keeps reading it; whoever opens the path gets the old or the new one, whole. When
    a table fails, the old file stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        rows = _build(lake, building / path.name, tables)
        os.replace(building / path.name, path)
    finally:
        shutil.rmtree(building)
    return rows


def _build(lake: Lake, path: Path, tables: Mapping[str, pl.DataFrame | str]) -> dict[str, int]:
    rows = {}
    with closing(duckdb.connect(path)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, content in tables.items():
            frame = query(lake, content) if isinstance(content, str) else content
            connection.register("arriving", frame.to_arrow())
            connection.execute(f"CREATE TABLE {quoted(name)} AS SELECT * FROM arriving")
            connection.unregister("arriving")
            rows[name] = frame.height
        connection.execute("CHECKPOINT")
    return rows

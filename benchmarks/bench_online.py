"""Putting and getting online vectors: ours against SQLite, DuckDB and a dictionary in this process.

    python -m benchmarks.bench_online

5,000 instruments of 158 features. SQLite (one blob an entity, WAL) and DuckDB (a table in memory) are what
people reach for on one machine; the dictionary shares nothing with other processes and is the floor.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl

from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.features.online.store import OnlineStore

ENTITIES, FEATURES, ASKED, SEED = 5_000, 158, 100, 7


class Times:
    """Event times that grow, so that every put is newer."""

    def __init__(self) -> None:
        self.now = 0

    def next(self) -> int:
        self.now += 1
        return self.now


def ours(
    folder: Path, names: list[str], columns: list[str], matrix: np.ndarray, asked: list[str]
) -> tuple[float, float]:
    """Seconds of a put of all and a get of a hundred."""
    store, times = OnlineStore(folder / "bench.online"), Times()
    put = median_seconds(
        lambda: store.put(names, np.full(len(names), times.next()), "v", columns, matrix), repeats=30
    )
    return put, median_seconds(lambda: store.get(asked), repeats=300)


def sqlite(folder: Path, names: list[str], matrix: np.ndarray, asked: list[str]) -> tuple[float, float]:
    """One blob an entity, replaced; read by key."""
    base, times = sqlite3.connect(folder / "bench.sqlite"), Times()
    base.execute("pragma journal_mode=wal")
    base.execute("create table vectors (entity text primary key, event_time integer, value blob)")

    def put() -> None:
        when = times.next()
        rows = [(name, when, row.tobytes()) for name, row in zip(names, matrix, strict=True)]
        base.executemany("insert or replace into vectors values (?, ?, ?)", rows)
        base.commit()

    marks = ",".join("?" * len(asked))

    def get() -> list[np.ndarray]:
        found = base.execute(
            f"select entity, event_time, value from vectors where entity in ({marks})", asked
        )
        return [np.frombuffer(blob) for _, _, blob in found]

    return median_seconds(put, repeats=5), median_seconds(get, repeats=100)


def duck(names: list[str], columns: list[str], matrix: np.ndarray, asked: list[str]) -> tuple[float, float]:
    """A table in memory, replaced whole; read by key."""
    base = duckdb.connect()
    frame = pl.DataFrame({"entity": names, **{c: matrix[:, k] for k, c in enumerate(columns)}}).to_arrow()

    def put() -> None:
        base.register("incoming", frame)
        base.execute("create or replace table vectors as select * from incoming")

    put()
    wanted = pl.DataFrame({"entity": asked}).to_arrow()
    base.register("wanted", wanted)

    def get() -> object:
        return base.execute("select v.* from wanted join vectors v using (entity)").fetchnumpy()

    return median_seconds(put, repeats=5), median_seconds(get, repeats=30)


def dictionary(names: list[str], matrix: np.ndarray, asked: list[str]) -> tuple[float, float]:
    """A dictionary of rows."""
    held: dict[str, np.ndarray] = {}

    def put() -> None:
        copy = matrix.copy()
        held.update(zip(names, copy, strict=True))

    put()
    return median_seconds(put, repeats=30), median_seconds(
        lambda: np.stack([held[n] for n in asked]), repeats=300
    )


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(SEED)
    names = [f"CN.SSE.{600_000 + k}" for k in range(ENTITIES)]
    columns, matrix = [f"f{k:03d}" for k in range(FEATURES)], rng.normal(size=(ENTITIES, FEATURES))
    asked = [names[k] for k in rng.choice(ENTITIES, ASKED, replace=False)]
    with TemporaryDirectory() as folder:
        found = {
            "NOFX, memory-mapped, shared": ours(Path(folder), names, columns, matrix, asked),
            "SQLite, WAL": sqlite(Path(folder), names, matrix, asked),
            "DuckDB, in memory": duck(names, columns, matrix, asked),
            "dict, not shared": dictionary(names, matrix, asked),
        }
    put, get = found["NOFX, memory-mapped, shared"]
    rows = [
        (name, f"{p * 1e3:.2f}", f"{p / put:.2f}x", f"{g * 1e6:,.0f}", f"{g / get:.2f}x")
        for name, (p, g) in found.items()
    ]
    header = ("", "put 5,000 x 158, ms", "to ours", "get 100, us", "to ours")
    print(machine_table("Online store", header, rows))


if __name__ == "__main__":
    main()

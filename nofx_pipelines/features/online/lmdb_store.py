"""Vectors in LMDB: every put is one transaction, on disk before it returns.

Three tables in one file: ``vector`` (entity to slot), ``used`` (entity to its last use, kept where there is a
limit), ``meta`` (version, names and counters). Readers take no lock and see whole puts. What a reader counts
(hits, misses, uses) is written with its next put, every 1,024 entities, and on ``close``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import ConfigError, FeatureError, IntegrityError, TableNotFound
from nofx_pipelines.features.online.layout import NAME_BYTES, VALUES
from nofx_pipelines.features.online.store import Found, OnlineStore, joined, newest_of_each, slots
from nofx_pipelines.storage import is_writable

_ROOM = 1 << 36
"""Addresses reserved for the file, 64 GiB: it grows as it is filled."""
_REMEMBERED = 1_024
_COUNTERS = ("writes", "hits", "misses", "evictions", "uses")


class _Environment:
    """An open file; one a process, as LMDB demands, shared by the stores on it."""

    def __init__(self, lmdb: Any, path: Path) -> None:
        self.writable = is_writable(path.parent)
        how = {} if self.writable else {"readonly": True, "lock": False}  # a lock is a file beside it
        try:
            self.env = lmdb.open(str(path), subdir=False, map_size=_ROOM, max_dbs=3, max_readers=1_024, **how)
            self.vector, self.used, self.meta = (
                self.env.open_db(name, create=self.writable) for name in (b"vector", b"used", b"meta")
            )
        except lmdb.Error as error:
            raise IntegrityError(
                f"{path} is no LMDB store: {error}",
                kept="it was left as it is",
                hint=f"rm {path}, then nofx run",
            ) from error
        self.path, self.inode = path, os.stat(path).st_ino

    def is_there(self) -> bool:
        """Whether the file still is the one that was opened."""
        try:
            return os.stat(self.path).st_ino == self.inode
        except FileNotFoundError:
            return False

    def __del__(self) -> None:
        if hasattr(self, "env"):
            self.env.close()


_OPEN: WeakValueDictionary[Path, _Environment] = WeakValueDictionary()
_OPENING = threading.Lock()


class LmdbStore(OnlineStore):
    """The store in one LMDB file; any number of processes, one writes at a time.

    >>> from tempfile import mkdtemp
    >>> store = LmdbStore(Path(mkdtemp()) / "features.lmdb")
    >>> store.put(["A", "B"], [1_000, 1_000], "v1", ["x", "y"], [[1.0, 2.0], [3.0, 4.0]])
    2
    >>> store.get(["B"], ["y"]).values.tolist()
    [[4.0]]

    Raises ConfigError where the package lmdb is missing.
    """

    def __init__(self, path: Path, *, limit_bytes: int | None = None) -> None:
        try:
            import lmdb
        except ImportError as error:
            raise ConfigError(
                "the lmdb package is not installed", hint="pip install 'nofx-pipelines[online]'"
            ) from error
        self.path, self.limit_bytes = Path(path), limit_bytes
        self._lmdb: Any = lmdb
        self._environment: _Environment | None = None
        self._header: tuple[bytes, str, tuple[str, ...]] = (b"", "", ())
        self._remembered: dict[bytes, None] = {}
        self._counted = {"hits": 0, "misses": 0}

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def bytes_of(self, features: int) -> int:
        """One slot, the name and the last use; LMDB's pages come on top."""
        return (features + VALUES) * 8 + NAME_BYTES + 8

    def _put(
        self,
        entities: Sequence[str],
        times: NDArray[np.int64],
        version: str,
        names: tuple[str, ...],
        matrix: NDArray[np.float64],
        now_us: int,
    ) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        env = self._open()
        chosen = newest_of_each(entities, times)
        keys = [entities[k].encode() for k in chosen]
        words = slots(times[chosen], matrix[chosen], now_us)
        size, data = words.shape[1] * 8, memoryview(words.tobytes())
        try:
            with env.env.begin(write=True) as txn:
                if self._head(txn, env) != (version, names):
                    self._begin(txn, env, version, names)
                counters, put = self._counters(txn, env), 0
                for k, (key, when) in enumerate(zip(keys, times[chosen].tolist(), strict=True)):
                    old = txn.get(key, db=env.vector)
                    if old is not None and int.from_bytes(old[:8], "little", signed=True) > when:
                        continue
                    txn.put(key, data[k * size : k * size + size], db=env.vector)
                    put += 1
                counters["writes"] += put
                self._use(txn, env, counters, keys, len(names))
                self._write_counters(txn, env, counters)
        except self._lmdb.Error as error:
            raise self._failed(error) from error
        self._forget()
        return put

    def _get(self, entities: Sequence[str]) -> Found:
        env = self._current()
        keys = [entity.encode() for entity in entities]
        with env.env.begin(db=env.vector) as txn:
            version, names = self._head(txn, env)
            blobs = [txn.get(key, default=b"") if key else b"" for key in keys]
        words, known = joined(b"".join(blobs), [len(blob) > 0 for blob in blobs], entities, len(names))
        hits = int(known.sum())
        self._counted["hits"] += hits
        self._counted["misses"] += len(keys) - hits
        if self.limit_bytes is not None:
            for key in keys:
                self._remembered.pop(key, None)
                self._remembered[key] = None
            if len(self._remembered) >= _REMEMBERED:
                self.flush()
        return Found(words, known, hits, version, names)

    def flush(self) -> None:
        """Write what was counted since the last put."""
        if not any(self._counted.values()) or not self.path.exists():
            return
        env = self._open()
        if env.writable:
            with env.env.begin(write=True) as txn:
                counters = self._counters(txn, env)
                self._use(txn, env, counters, [], 0)
                self._write_counters(txn, env, counters)
        self._forget()

    def between(self, start_us: int, end_us: int) -> list[str]:
        """Entities whose vector has its event time in ``[start_us, end_us)``, the oldest first."""
        times = self._event_times()
        inside = [(when, name) for name, when in times.items() if start_us <= when < end_us]
        return [name for _, name in sorted(inside)]

    def clean(self, now_us: int, ttl_us: int) -> int:
        """Take out the entities whose vector is older than ``ttl_us``; how many."""
        if not self.path.exists():
            return 0
        env = self._open()
        with env.env.begin(write=True) as txn:
            gone = [
                bytes(key)
                for key, slot in txn.cursor(db=env.vector)
                if now_us - int.from_bytes(slot[:8], "little", signed=True) > ttl_us
            ]
            for key in gone:
                txn.delete(key, db=env.vector)
                txn.delete(key, db=env.used)
        return len(gone)

    def statistics(self) -> dict[str, int]:
        """As `OnlineStore.statistics`; what other processes counted and did not write yet is missing."""
        env, times = self._current(), self._event_times()
        with env.env.begin() as txn:
            _, names = self._head(txn, env)
            counters = self._counters(txn, env)
        return {
            "entities": len(times),
            "features": len(names),
            "bytes": self.path.stat().st_size,
            "writes": counters["writes"],
            "hits": counters["hits"] + self._counted["hits"],
            "misses": counters["misses"] + self._counted["misses"],
            "evictions": counters["evictions"],
            "oldest_us": min(times.values(), default=0),
            "newest_us": max(times.values(), default=0),
        }

    def entities(self) -> list[str]:
        """Every entity that is here, by name."""
        return list(self._event_times())

    @property
    def version(self) -> str | None:
        """The version of the vectors; None where nothing was put."""
        try:
            env = self._current()
        except TableNotFound:
            return None
        with env.env.begin() as txn:
            return self._head(txn, env)[0]

    def close(self) -> None:
        """Write what was counted and let go of the file."""
        self.flush()
        self._environment = None

    def _event_times(self) -> dict[str, int]:
        env = self._current()
        with env.env.begin(buffers=True) as txn:
            return {
                bytes(key).decode(): int.from_bytes(slot[:8], "little", signed=True)
                for key, slot in txn.cursor(db=env.vector)
            }

    def _open(self) -> _Environment:
        env = self._environment
        if env is None or not env.is_there():
            place = self.path.resolve()
            with _OPENING:
                env = _OPEN.get(place)
                if env is not None and not env.is_there():  # LMDB knows open files by their names
                    env.env.close()
                    env = None
                if env is None:
                    env = _OPEN[place] = _Environment(self._lmdb, place)
            self._environment = env
        return env

    def _current(self) -> _Environment:
        """The file, where something was put."""
        if self.path.exists():
            env = self._open()
            with env.env.begin() as txn:
                if txn.get(b"header", db=env.meta) is not None:
                    return env
        raise TableNotFound(f"{self.path} was never written", hint="nofx run")

    def _head(self, txn: Any, env: _Environment) -> tuple[str, tuple[str, ...]]:
        text = txn.get(b"header", db=env.meta) or b""
        if text != self._header[0]:
            told = json.loads(text or b'{"version": "", "names": []}')
            self._header = (text, told["version"], tuple(told["names"]))
        return self._header[1], self._header[2]

    def _begin(self, txn: Any, env: _Environment, version: str, names: tuple[str, ...]) -> None:
        for table in (env.vector, env.used, env.meta):
            txn.drop(table, delete=False)
        header = json.dumps({"version": version, "names": names}).encode()
        txn.put(b"header", header, db=env.meta)
        self._header = (header, version, names)
        self._forget()

    def _counters(self, txn: Any, env: _Environment) -> dict[str, int]:
        words = np.frombuffer(txn.get(b"counters", db=env.meta) or bytes(8 * len(_COUNTERS)), "<u8")
        return dict(zip(_COUNTERS, words.tolist(), strict=True))

    def _write_counters(self, txn: Any, env: _Environment, counters: dict[str, int]) -> None:
        words = np.array([counters[name] for name in _COUNTERS], "<u8")
        txn.put(b"counters", words.tobytes(), db=env.meta)

    def _use(
        self, txn: Any, env: _Environment, counters: dict[str, int], keys: list[bytes], features: int
    ) -> None:
        """Count what was read since, then the use by a put of ``keys``; evict where room is short."""
        for name, more in self._counted.items():
            counters[name] += more
        if self.limit_bytes is None:
            return
        for key in self._remembered:
            if txn.get(key, db=env.vector) is not None:
                counters["uses"] += 1
                txn.put(key, counters["uses"].to_bytes(8, "big"), db=env.used)
        before = counters["uses"].to_bytes(8, "big")
        for key in keys:
            counters["uses"] += 1
            txn.put(key, counters["uses"].to_bytes(8, "big"), db=env.used)
        room = self._room(features) if keys else None
        leaving = txn.stat(env.vector)["entries"] - room if room is not None else 0
        if leaving > 0:
            names = list(txn.cursor(db=env.vector).iternext(values=False))
            order = sorted((txn.get(key, db=env.used, default=b""), key) for key in names)
            for _, key in [(used, key) for used, key in order if used <= before][:leaving]:
                txn.delete(key, db=env.vector)
                txn.delete(key, db=env.used)
            counters["evictions"] += leaving

    def _forget(self) -> None:
        self._remembered, self._counted = {}, {"hits": 0, "misses": 0}

    def _failed(self, error: Exception) -> FeatureError:
        return FeatureError(
            f"{self.path}: LMDB refused the put: {error}",
            kept="nothing was put, what was there stays",
            hint="check the disk and the file's rights",
        )

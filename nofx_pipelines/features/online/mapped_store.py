"""Vectors in a memory-mapped file: half a vector is never seen, nothing has to run beside it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features.online.layout import (
    COUNTERS,
    EVENT,
    EVICTIONS,
    HITS,
    MISSES,
    NAME_BYTES,
    VALUES,
    WRITES,
    Mapped,
    create,
    open_file,
)
from nofx_pipelines.features.online.store import Found, OnlineStore, newest_of_each
from nofx_pipelines.features.online.vectors import count, fill, read, touch

FIRST_CAPACITY = 64
_PATIENCE = 1_000
"""Reads that a writer may overtake before a reader gives up."""
_NOBODY: tuple[list[str], NDArray[np.int64], bool] = ([], np.zeros(0, np.int64), True)
"""Nobody asked for: names, rows, whether they are distinct."""


class MappedStore(OnlineStore):
    """The store in one file; open it in as many processes as you like, one writes at a time.

    >>> from tempfile import mkdtemp
    >>> store = MappedStore(Path(mkdtemp()) / "features.online")
    >>> store.put(["A", "B"], [1_000, 1_000], "v1", ["x", "y"], [[1.0, 2.0], [3.0, 4.0]])
    2
    >>> store.get(["B"], ["y"]).values.tolist()
    [[4.0]]
    """

    def __init__(self, path: Path, *, limit_bytes: int | None = None) -> None:
        self.path, self.limit_bytes = Path(path), limit_bytes
        self._mapped: Mapped | None = None
        self._rows: dict[str, int] = {}
        self._asked: tuple[list[str], NDArray[np.int64], bool] = _NOBODY

    @property
    def place(self) -> str:
        """The file."""
        return str(self.path)

    def bytes_of(self, features: int) -> int:
        """Two slots, the name, the count of writes and the last use."""
        return 2 * (features + VALUES) * 8 + NAME_BYTES + 16

    def _put(
        self,
        entities: Sequence[str],
        times: NDArray[np.int64],
        version: str,
        names: tuple[str, ...],
        matrix: NDArray[np.float64],
        now_us: int,
    ) -> int:
        with self._writing():
            mapped = self._ready_for(entities, version, names)
            rows = self._placed(entities)
            if not self._asked[2]:
                chosen = newest_of_each(entities, times)
                rows, times, matrix = rows[chosen], times[chosen], matrix[chosen]
            newer = _write(mapped, rows, times, matrix, now_us)
            touch(mapped.uses, mapped.writes, rows, np.empty(len(rows), np.bool_), False)
            mapped.uses[WRITES] += np.uint64(newer)
            return newer

    def _get(self, entities: Sequence[str]) -> Found:
        mapped = self._current()
        rows = self._placed(entities)
        words = _read(mapped, rows)
        known = np.empty(len(rows), np.bool_)
        hits = touch(mapped.uses, mapped.writes, rows, known, True)
        return Found(words, known, hits, mapped.version, mapped.names)

    def between(self, start_us: int, end_us: int) -> list[str]:
        """Entities whose vector has its event time in ``[start_us, end_us)``, the oldest first."""
        times = self._event_times(self._current())
        inside = np.flatnonzero((times >= start_us) & (times < end_us))
        names = list(self._rows)
        return [names[row] for row in inside[np.argsort(times[inside], kind="stable")].tolist()]

    def clean(self, now_us: int, ttl_us: int) -> int:
        """Take out the entities whose vector is older than ``ttl_us``; how many. Readers follow by
        themselves."""
        if not self.path.exists():
            return 0
        with self._writing():
            mapped = self._writable()
            self._learn(mapped)
            kept = np.flatnonzero(now_us - self._event_times(mapped) <= ttl_us)
            gone = len(self._rows) - len(kept)
            if gone:
                self._replaced(mapped, kept, self._capacity(len(kept), len(mapped.names)))
        return gone

    def statistics(self) -> dict[str, int]:
        """As `OnlineStore.statistics`, and the room for entities."""
        mapped = self._current()
        times = self._event_times(mapped)
        return {
            "entities": len(self._rows),
            "features": len(mapped.names),
            "capacity": mapped.capacity,
            "bytes": self.path.stat().st_size,
            "writes": int(mapped.uses[WRITES]),
            "hits": int(mapped.uses[HITS]),
            "misses": int(mapped.uses[MISSES]),
            "evictions": int(mapped.uses[EVICTIONS]),
            "oldest_us": int(times.min()) if len(times) else 0,
            "newest_us": int(times.max()) if len(times) else 0,
        }

    def _event_times(self, mapped: Mapped) -> NDArray[np.int64]:
        rows = np.arange(len(self._rows))
        return np.asarray(_read(mapped, rows)[:, EVENT].view("<i8"))

    def entities(self) -> list[str]:
        """Every entity that was ever put, in the order of their first put."""
        self._current()
        return list(self._rows)

    def close(self) -> None:
        """Let go of the mapping."""
        self._mapped, self._rows, self._asked = None, {}, _NOBODY

    @property
    def version(self) -> str | None:
        """The version of the vectors; None where nothing was put."""
        return self._current().version if self.path.exists() else None

    def _current(self) -> Mapped:
        """The file as it is now: mapped again after another took its place, names read as they came."""
        try:
            inode = os.stat(self.path).st_ino
        except FileNotFoundError as error:
            raise TableNotFound(f"{self.path} was never written", hint="nofx run") from error
        if self._mapped is None or self._mapped.inode != inode:
            self._map(writable=False)
        mapped = self._mapped
        assert mapped is not None
        self._learn(mapped)
        return mapped

    def _map(self, *, writable: bool) -> Mapped:
        self._mapped = open_file(self.path, writable=writable)
        self._asked = _NOBODY
        self._rows = {}
        return self._mapped

    def _learn(self, mapped: Mapped) -> None:
        count = int(mapped.count[0])
        for row in range(len(self._rows), count):
            self._rows[bytes(mapped.entities[row]).decode()] = row

    def _placed(self, entities: Sequence[str]) -> NDArray[np.int64]:
        """The rows of entities, -1 for unknown ones; those asked last are remembered."""
        names, found, _ = self._asked
        if names != entities or (len(found) and found.min() < 0):
            found = np.fromiter(
                (self._rows.get(name, -1) for name in entities), dtype=np.int64, count=len(entities)
            )
            self._asked = (list(entities), found, len(np.unique(found)) == len(found))
        return found

    def _is_known(self, entities: Sequence[str]) -> bool:
        """Whether these were asked last and all of them are here."""
        names, found, _ = self._asked
        return len(found) > 0 and names == entities and bool(found.min() >= 0)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time; a killed one's lock is released with it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _ready_for(self, entities: Sequence[str], version: str, names: tuple[str, ...]) -> Mapped:
        """The file mapped for writing, with room for ``entities`` and these features."""
        if not self.path.exists():
            create(self.path, version, names, self._capacity(len(entities), len(names)))
        mapped = self._writable()
        if (mapped.version, mapped.names) != (version, names):
            create(self.path, version, names, self._capacity(len(entities), len(names)))
            mapped = self._map(writable=True)
        self._learn(mapped)
        fresh = (
            []
            if self._is_known(entities)
            else [name for name in dict.fromkeys(entities) if name not in self._rows]
        )
        room = self._room(len(names))
        if room is not None and len(self._rows) + len(fresh) > room:
            mapped = self._evicted(mapped, entities, len(self._rows) + len(fresh) - room)
        if len(self._rows) + len(fresh) > mapped.capacity:
            mapped = self._grown(mapped, len(self._rows) + len(fresh))
        for name in fresh:
            row = len(self._rows)
            mapped.entities[row] = name.encode()
            self._rows[name] = row
            mapped.count[0] = row + 1
        return mapped

    def _writable(self) -> Mapped:
        """The mapping of the last put while the file is the same, else a new one."""
        mapped = self._mapped
        if mapped is not None and mapped.words.flags.writeable and mapped.inode == os.stat(self.path).st_ino:
            return mapped
        return self._map(writable=True)

    def _grown(self, old: Mapped, needed: int) -> Mapped:
        """The same vectors in a larger file, which takes the old one's place once it is whole."""
        rows = self._rows
        mapped = self._replaced(old, np.arange(int(old.count[0])), self._capacity(needed, len(old.names)))
        self._rows = rows
        return mapped

    def _evicted(self, old: Mapped, entities: Sequence[str], leaving: int) -> Mapped:
        """The same without the ``leaving`` entities that were used longest ago; ``entities`` stay."""
        staying = {self._rows[name] for name in entities if name in self._rows}
        others = np.setdiff1d(np.arange(len(self._rows)), np.fromiter(staying, np.int64, len(staying)))
        oldest = others[np.argsort(old.uses[COUNTERS + others], kind="stable")[:leaving]]
        kept = np.setdiff1d(np.arange(len(self._rows)), oldest)
        old.uses[EVICTIONS] += np.uint64(leaving)
        mapped = self._replaced(old, kept, old.capacity)
        self._learn(mapped)
        return mapped

    def _capacity(self, needed: int, features: int) -> int:
        """Room for at least ``needed``, with space to grow within the limit."""
        room, limit = max(FIRST_CAPACITY, needed * 3 // 2), self._room(features)
        return room if limit is None else max(needed, min(room, limit))

    def _replaced(self, old: Mapped, kept: NDArray[np.int64], capacity: int) -> Mapped:
        """A file with the kept rows in the place of this one, once it is whole."""
        draft = self.path.with_suffix(".grown")
        create(draft, old.version, old.names, capacity)
        new, size = open_file(draft, writable=True), len(kept)
        new.entities[:size], new.writes[:size] = old.entities[kept], old.writes[kept]
        new.words[:size] = old.words[kept]
        new.uses[:COUNTERS], new.uses[COUNTERS : COUNTERS + size] = (
            old.uses[:COUNTERS],
            old.uses[COUNTERS + kept],
        )
        new.count[0] = size
        draft.replace(self.path)
        return self._map(writable=True)


def _write(
    mapped: Mapped,
    rows: NDArray[np.int64],
    times: NDArray[np.int64],
    matrix: NDArray[np.float64],
    now_us: int,
) -> int:
    """Fill the slots that are not in use, then count the writes."""
    newer = np.zeros(len(rows), np.bool_)
    put = fill(mapped.words, mapped.writes, rows, times, matrix.view(np.uint64), now_us, newer)
    count(mapped.writes, rows, newer)
    return int(put)


def _read(mapped: Mapped, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Whole slots ``[E, F + 3]``, zeros for rows below 0: taken again where a writer finished meanwhile."""
    words = np.empty((len(rows), mapped.words.shape[2]), np.uint64)
    for _ in range(_PATIENCE):
        if read(mapped.words, mapped.writes, rows, words):
            return words
    raise FeatureError("writers overtook every read", kept="nothing was read", hint="write less often")

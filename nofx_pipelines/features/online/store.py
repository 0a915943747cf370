"""Put and get vectors: newer event times win, half a vector is never seen, versions do not mix."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features.online.layout import (
    EVENT,
    NAME_BYTES,
    VALUES,
    WRITTEN,
    Mapped,
    create,
    open_file,
)
from nofx_pipelines.features.online.vectors import count, fill, read
from nofx_pipelines.lake.schemas import UTC_US

FIRST_CAPACITY = 64
_PATIENCE = 1_000
"""Reads that a writer may overtake before a reader gives up."""
_NOBODY: tuple[list[str], NDArray[np.int64], bool] = ([], np.zeros(0, np.int64), True)
"""Nobody asked for: names, rows, whether they are distinct."""
Status = Literal["fresh", "stale", "unknown"]


@dataclass(frozen=True, eq=False)
class Vectors:
    """What ``get`` found, a row an entity asked for, in the order asked."""

    values: NDArray[np.float64]  # [E, F] NaN where a feature or the entity is unknown
    event_time: NDArray[np.int64]  # [E] microseconds UTC, 0 where unknown
    written: NDArray[np.int64]  # [E] microseconds UTC
    known: NDArray[np.bool_]  # [E]
    version: str
    names: tuple[str, ...]

    def status(self, now_us: int, ttl_us: int) -> list[Status]:
        """``fresh``, ``stale`` (older than ``ttl_us``) or ``unknown``, for each row."""
        old = now_us - self.event_time > ttl_us
        return [
            "unknown" if not k else "stale" if o else "fresh" for k, o in zip(self.known, old, strict=True)
        ]


class OnlineStore:
    """The store in one file; open it in as many processes as you like, one writes at a time.

    >>> from tempfile import mkdtemp
    >>> store = OnlineStore(Path(mkdtemp()) / "features.online")
    >>> store.put(["A", "B"], [1_000, 1_000], "v1", ["x", "y"], [[1.0, 2.0], [3.0, 4.0]])
    2
    >>> store.get(["B"], ["y"]).values.tolist()
    [[4.0]]
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._mapped: Mapped | None = None
        self._rows: dict[str, int] = {}
        self._columns: dict[str, int] = {}
        self._asked: tuple[list[str], NDArray[np.int64], bool] = _NOBODY

    def put(
        self,
        entities: Sequence[str],
        event_times: Sequence[int] | NDArray[np.int64],
        version: str,
        names: Sequence[str],
        values: Any,
        *,
        now_us: int | None = None,
    ) -> int:
        """Write vectors ``[E, F]``; how many were newer than (or as new as) what is there.

        ``event_times`` are microseconds UTC. Another version or other names start an empty store. Raises
        FeatureError for sizes that do not fit and names that do not.
        """
        matrix = np.ascontiguousarray(values, dtype=np.float64)
        times = np.asarray(event_times, dtype=np.int64)
        _require_fitting(entities, times, names, matrix, known=self._is_known(entities))
        with self._writing():
            mapped = self._ready_for(entities, version, tuple(names))
            rows = self._placed(entities)
            now = time.time_ns() // 1_000 if now_us is None else now_us
            return _write(mapped, rows, times, matrix, now, distinct=self._asked[2])

    def get(self, entities: Sequence[str], names: Sequence[str] | None = None) -> Vectors:
        """The newest whole vectors of ``entities``; all features unless ``names`` are given.

        Raises TableNotFound where nothing was ever put, FeatureError for an unknown feature.
        """
        mapped = self._current()
        wanted = mapped.names if names is None else tuple(names)
        columns = None if names is None else self._places(wanted)
        rows = self._placed(entities)
        words = _read(mapped, rows)
        found = words[:, VALUES:].view("<f8")
        known = rows >= 0
        picked = found if columns is None else found[:, columns]
        return Vectors(
            values=picked if known.all() else np.where(known[:, None], picked, np.nan),
            event_time=words[:, EVENT].view("<i8"),
            written=words[:, WRITTEN].view("<i8"),
            known=known,
            version=mapped.version,
            names=wanted,
        )

    def get_online_features(
        self, entities: Sequence[str], names: Sequence[str] | None = None, *, now_us: int, ttl_us: int
    ) -> pl.DataFrame:
        """The same as a frame: instrument_id, event_time, version, age_seconds, status, then the features.

        Unknown values are null.
        """
        found = self.get(entities, names)
        keys = pl.DataFrame(
            {
                "instrument_id": list(entities),
                "event_time": pl.Series(found.event_time).cast(UTC_US),
                "version": found.version,
                "age_seconds": (now_us - found.event_time) / 1e6,
                "status": found.status(now_us, ttl_us),
            },
            schema_overrides={"instrument_id": pl.String, "status": pl.String},
        )
        unknown = pl.Series("known", found.known)
        keys = keys.with_columns(
            pl.when(unknown).then(pl.col(name)).alias(name) for name in ("event_time", "age_seconds")
        )
        return keys.hstack(pl.DataFrame(found.values, schema=list(found.names)).fill_nan(None))

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
                self._replaced(mapped, kept, _room(len(kept)))
        return gone

    def statistics(self) -> dict[str, int]:
        """Entities, features, room for entities, bytes, writes, and the oldest and newest event time."""
        mapped = self._current()
        times = self._event_times(mapped)
        return {
            "entities": len(self._rows),
            "features": len(mapped.names),
            "capacity": mapped.capacity,
            "bytes": self.path.stat().st_size,
            "writes": int(mapped.writes.sum()),
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
        self._rows, self._columns = {}, {name: k for k, name in enumerate(self._mapped.names)}
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

    def _places(self, names: Sequence[str]) -> list[int]:
        unknown = [name for name in names if name not in self._columns]
        if unknown:
            raise FeatureError(
                f"the store has no feature {', '.join(unknown[:5])}",
                kept="nothing was read",
                hint=f"it has {', '.join(list(self._columns)[:8])} …",
            )
        return [self._columns[name] for name in names]

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
            create(self.path, version, names, _room(len(entities)))
        mapped = self._writable()
        if (mapped.version, mapped.names) != (version, names):
            create(self.path, version, names, _room(len(entities)))
            mapped = self._map(writable=True)
        self._learn(mapped)
        fresh = (
            []
            if self._is_known(entities)
            else [name for name in dict.fromkeys(entities) if name not in self._rows]
        )
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
        mapped = self._replaced(old, np.arange(int(old.count[0])), _room(needed))
        self._rows = rows
        return mapped

    def _replaced(self, old: Mapped, kept: NDArray[np.int64], capacity: int) -> Mapped:
        """A file with the kept rows in the place of this one, once it is whole."""
        draft = self.path.with_suffix(".grown")
        create(draft, old.version, old.names, capacity)
        new, size = open_file(draft, writable=True), len(kept)
        new.entities[:size], new.writes[:size] = old.entities[kept], old.writes[kept]
        new.words[:size] = old.words[kept]
        new.count[0] = size
        draft.replace(self.path)
        return self._map(writable=True)


def _room(needed: int) -> int:
    """Capacity for at least ``needed``, with space to grow.

    >>> _room(3), _room(100)
    (64, 150)
    """
    return max(FIRST_CAPACITY, needed * 3 // 2)


def _write(
    mapped: Mapped,
    rows: NDArray[np.int64],
    times: NDArray[np.int64],
    matrix: NDArray[np.float64],
    now_us: int,
    *,
    distinct: bool,
) -> int:
    """Fill the slots that are not in use, then count the writes."""
    if not distinct:
        last = _last_of_each(rows, times)
        rows, times, matrix = rows[last], times[last], matrix[last]
    newer = np.zeros(len(rows), np.bool_)
    put = fill(mapped.words, mapped.writes, rows, times, matrix.view(np.uint64), now_us, newer)
    count(mapped.writes, rows, newer)
    return int(put)


def _last_of_each(rows: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Of entities that were given several times, the newest, the later one of equals."""
    order = np.lexsort((np.arange(len(rows)), times, rows))
    chosen = np.zeros(len(rows), dtype=np.bool_)
    chosen[order[np.append(rows[order][1:] != rows[order][:-1], True)]] = True
    return chosen


def _read(mapped: Mapped, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Whole slots ``[E, F + 3]``, zeros for rows below 0: taken again where a writer finished meanwhile."""
    words = np.empty((len(rows), mapped.words.shape[2]), np.uint64)
    for _ in range(_PATIENCE):
        if read(mapped.words, mapped.writes, rows, words):
            return words
    raise FeatureError("writers overtook every read", kept="nothing was read", hint="write less often")


def _require_fitting(
    entities: Sequence[str],
    times: NDArray[np.int64],
    names: Sequence[str],
    matrix: NDArray[np.float64],
    *,
    known: bool,
) -> None:
    """``known`` entities were checked before."""
    if matrix.shape != (len(entities), len(names)) or times.shape != (len(entities),):
        raise FeatureError(
            f"{len(entities)} entities, {len(names)} features and {len(times)} times do not fit a matrix of "
            f"{' x '.join(map(str, matrix.shape))}",
            kept="nothing was put",
        )
    if len(set(names)) < len(names) or not names:
        raise FeatureError("feature names must be there, each once", kept="nothing was put")
    for name in () if known else set(entities):
        if not name or len(name.encode()) > NAME_BYTES or "\0" in name:
            raise FeatureError(
                f"{name!r} is no entity: a name has 1 to {NAME_BYTES} bytes", kept="nothing was put"
            )

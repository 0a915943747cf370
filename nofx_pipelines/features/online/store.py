"""What every online store does, wherever it keeps its vectors: newer wins, versions do not mix, the least
recently used leave when room is short.

A vector travels as a slot, F + 3 words of 8 bytes, little-endian: event time and write time in microseconds,
the exclusive or of all other words, F float64 values. Where a slot does not fit its check it is not served.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.online.layout import CHECK, EVENT, NAME_BYTES, VALUES, WRITTEN
from nofx_pipelines.lake.schemas import UTC_US

Status = Literal["fresh", "stale", "unknown"]
Words = NDArray[np.uint64]


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


class Found(NamedTuple):
    """Slots as a store holds them."""

    words: Words  # [E, F + 3], zeros where unknown
    known: NDArray[np.bool_]  # [E]
    hits: int
    version: str
    names: tuple[str, ...]


class OnlineStore(ABC):
    """The newest vector of each entity, all of one version of a feature set.

    A store with ``limit_bytes`` lets the entities leave whose last put or get is longest ago, so that what
    it keeps stays within; what is being put never leaves. `MappedStore`, `LmdbStore` and `RedisStore` differ
    in where the vectors are, not in what they answer.
    """

    limit_bytes: int | None = None

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the vectors are, for people."""

    @abstractmethod
    def bytes_of(self, features: int) -> int:
        """What one vector of ``features`` takes, its name included."""

    def put(
        self,
        entities: Sequence[str],
        event_times: Sequence[int] | NDArray[np.int64],
        version: str,
        names: Sequence[str],
        values: Any,
        *,
        now_us: int | None = None,
        replace: bool = True,
    ) -> int:
        """Write vectors ``[E, F]``; how many were newer than (or as new as) what is there.

        ``event_times`` are microseconds UTC. Another version or other names start an empty store, or
        without ``replace`` raise FeatureError, as do sizes that do not fit, names that do not, and more
        vectors than the limit allows.
        """
        matrix = np.ascontiguousarray(values, dtype=np.float64)
        times = np.asarray(event_times, dtype=np.int64)
        if not replace and (held := self.version) not in (None, version):
            raise other_version(self.place, held, version)
        require_fitting(entities, times, names, matrix, known=self._is_known(entities))
        self._require_room(entities, len(names))
        now = time.time_ns() // 1_000 if now_us is None else now_us
        return self._put(entities, times, version, tuple(names), matrix, now)

    def get(self, entities: Sequence[str], names: Sequence[str] | None = None) -> Vectors:
        """The newest whole vectors of ``entities``; all features unless ``names`` are given.

        Raises TableNotFound where nothing was ever put, FeatureError for an unknown feature and for a vector
        that does not fit its check.
        """
        found = self._get(entities)
        wanted = found.names if names is None else tuple(names)
        values = found.words[:, VALUES:].view("<f8")
        picked = values if names is None else values[:, _places(found.names, wanted)]
        whole = found.hits == len(found.known)
        return Vectors(
            values=picked if whole else np.where(found.known[:, None], picked, np.nan),
            event_time=found.words[:, EVENT].view("<i8"),
            written=found.words[:, WRITTEN].view("<i8"),
            known=found.known,
            version=found.version,
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

    @abstractmethod
    def between(self, start_us: int, end_us: int) -> list[str]:
        """Entities whose vector has its event time in ``[start_us, end_us)``, the oldest first."""

    @abstractmethod
    def clean(self, now_us: int, ttl_us: int) -> int:
        """Take out the entities whose vector is older than ``ttl_us``; how many."""

    @abstractmethod
    def statistics(self) -> dict[str, int]:
        """Entities, features, bytes; vectors written since the version began; hits and misses (entities asked
        for and there, or not), evictions; the oldest and newest event time."""

    @abstractmethod
    def entities(self) -> list[str]:
        """Every entity that is here."""

    @property
    @abstractmethod
    def version(self) -> str | None:
        """The version of the vectors; None where nothing was put."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and connections; the next call takes them again."""

    def __enter__(self) -> Self:
        """The store itself, closed at the end of the block."""
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @abstractmethod
    def _put(
        self,
        entities: Sequence[str],
        times: NDArray[np.int64],
        version: str,
        names: tuple[str, ...],
        matrix: NDArray[np.float64],
        now_us: int,
    ) -> int: ...

    @abstractmethod
    def _get(self, entities: Sequence[str]) -> Found: ...

    def _is_known(self, entities: Sequence[str]) -> bool:
        """Whether these names were checked before."""
        return False

    def _room(self, features: int) -> int | None:
        """How many vectors the limit allows; None without one."""
        return None if self.limit_bytes is None else self.limit_bytes // self.bytes_of(features)

    def _require_room(self, entities: Sequence[str], features: int) -> None:
        room = self._room(features)
        if room is not None and len(entities) > room and len(set(entities)) > room:
            raise FeatureError(
                f"{len(set(entities))} vectors of {features} features need "
                f"{len(set(entities)) * self.bytes_of(features):,} bytes, the limit is {self.limit_bytes:,}",
                kept="nothing was put",
                hint="raise [universes.X.online] limit_mib",
            )


def other_version(place: str, held: str | None, version: str) -> FeatureError:
    """The error of a stream that would write over another version's vectors."""
    return FeatureError(
        f"{place} holds version {held}, the stream computes {version}",
        kept="nothing was put",
        hint="nofx stream --namespace NAME serves this version beside it; nofx run publishes the universe's",
    )


def slots(times: NDArray[np.int64], matrix: NDArray[np.float64], now_us: int) -> Words:
    """Vectors ``[E, F]`` as slots ``[E, F + 3]``.

    >>> slots(np.array([5]), np.array([[1.5]]), now_us=7)[0, :2].tolist()
    [5, 7]
    """
    words = np.empty((len(times), matrix.shape[1] + VALUES), "<u8")
    words[:, EVENT], words[:, WRITTEN] = times.view(np.uint64), np.uint64(now_us)
    words[:, VALUES:] = matrix.view(np.uint64)
    words[:, CHECK] = 0
    words[:, CHECK] = np.bitwise_xor.reduce(words, axis=1)
    return words


def joined(
    data: bytes, there: Sequence[bool], entities: Sequence[str], features: int
) -> tuple[Words, NDArray[np.bool_]]:
    """Slots ``[E, F + 3]`` from the bytes of those that are ``there`` ``[E]``, zeros for the others.

    Raises FeatureError where bytes are missing or too many, and for a slot that does not fit its check.
    """
    known = np.array(there, np.bool_)
    width, count = features + VALUES, int(known.sum())
    if len(data) != count * width * 8:
        raise _torn(entities, f"{len(data)} bytes are no {count} slots of {features} features")
    found = np.frombuffer(data, "<u8").reshape(count, width)
    wrong = np.flatnonzero(np.bitwise_xor.reduce(found, axis=1))
    if len(wrong):
        entity = entities[int(np.flatnonzero(known)[wrong[0]])]
        raise _torn([entity], "it does not fit its check")
    if count == len(known):
        return found, known
    words = np.zeros((len(known), width), np.uint64)
    words[known] = found
    return words, known


def newest_of_each(entities: Sequence[str], times: NDArray[np.int64]) -> NDArray[np.intp]:
    """Positions of the newest vector of each entity, the later one of equals, in the order given.

    >>> newest_of_each(["a", "b", "a"], np.array([4, 1, 4])).tolist()
    [1, 2]
    """
    if len(set(entities)) == len(entities):
        return np.arange(len(entities))
    chosen: dict[str, int] = {}
    for k, entity in enumerate(entities):
        if entity not in chosen or times[k] >= times[chosen[entity]]:
            chosen[entity] = k
    return np.sort(np.fromiter(chosen.values(), np.intp, len(chosen)))


def require_fitting(
    entities: Sequence[str],
    times: NDArray[np.int64],
    names: Sequence[str],
    matrix: NDArray[np.float64],
    *,
    known: bool = False,
) -> None:
    """Sizes and names of a put; ``known`` entities were checked before. Raises FeatureError."""
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


@lru_cache(maxsize=16)
def _index(names: tuple[str, ...]) -> dict[str, int]:
    return {name: k for k, name in enumerate(names)}


def _places(names: tuple[str, ...], wanted: Sequence[str]) -> list[int]:
    places = _index(names)
    unknown = [name for name in wanted if name not in places]
    if unknown:
        raise FeatureError(
            f"the store has no feature {', '.join(unknown[:5])}",
            kept="nothing was read",
            hint=f"it has {', '.join(names[:8])} …",
        )
    return [places[name] for name in wanted]


def _torn(entities: Sequence[str], why: str) -> FeatureError:
    return FeatureError(
        f"the vector of {', '.join(entities[:5])} is damaged: {why}",
        kept="nothing was read",
        hint="nofx run hands it over again",
    )

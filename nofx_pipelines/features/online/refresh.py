"""Publish the newest vector of each instrument from the table of features to the online store."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features.online.backends import store_of
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.lake.schemas import FEATURES, ONLINE_FEATURES
from nofx_pipelines.lake.store import Lake

SESSIONS = 60
"""Sessions back in which an instrument must have traded to be published."""
_DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Publication:
    """What was published: vectors, those that were newer than the store's, and the newest event time."""

    rows: int
    newer: int
    features: int
    newest: datetime | None
    seconds: float


def ttl_us(universe: UniverseConfig) -> int:
    """How old a vector may be and still count as fresh, in microseconds.

    >>> ttl_us(UniverseConfig("cn", "cn", "1d")) // _DAY_US
    4
    """
    minutes = universe.online.ttl_minutes
    if minutes is not None:
        return minutes * 60_000_000
    return (4 if universe.freq == "1d" else 1) * _DAY_US  # a weekend and a holiday; a night


def newest_vectors(lake: Lake, universe: UniverseConfig) -> pl.DataFrame:
    """The last row of each instrument in the newest sessions of the table of features, by instrument."""
    table = lake.table(universe.name, "features")
    if not table.exists():
        raise TableNotFound(
            f"{table.key} was never written",
            kept="nothing was published",
            hint=f"nofx run --universe {universe.name}",
        )
    days = [day for day, stamp in table.stamps().items() if stamp.rows][-SESSIONS:]
    if not days:
        return table.scan().head(0).collect()
    rows = table.scan(start=days[0]).sort("ts_close").group_by("instrument_id").last()
    return rows.sort("instrument_id").collect()


def publish(
    lake: Lake,
    home: Path,
    universe: UniverseConfig,
    *,
    inputs: str,
    now: datetime,
    run_id: str,
    code_version: str,
) -> Publication:
    """Put the newest vectors into the store and record it in the table ``online_features``."""
    began = time.perf_counter()
    vectors = newest_vectors(lake, universe)
    names = _names(vectors, universe)
    put = 0
    if vectors.height:
        with store_of(home, universe) as store:
            put = store.put(
                vectors["instrument_id"].to_list(),
                vectors["ts_close"].dt.epoch("us").to_numpy(),
                vectors["version"][-1],
                names,
                _matrix(vectors, names),
                now_us=int(now.timestamp() * 1e6),
            )
    features = lake.table(universe.name, "features")
    version = features.version()
    lake.table(universe.name, "online_features").overwrite(
        vectors.select("instrument_id", pl.col("ts_close").alias("event_time"), "version").with_columns(
            published_at=pl.lit(now).cast(ONLINE_FEATURES.columns["published_at"])
        ),
        lineage={} if version is None else {features.key: version},
        code_version=code_version,
        inputs=inputs,
        run_id=run_id,
    )
    newest = vectors["ts_close"].max()
    return Publication(
        vectors.height,
        put,
        len(names),
        newest if isinstance(newest, datetime) else None,
        time.perf_counter() - began,
    )


def stored_publication(lake: Lake, universe: UniverseConfig) -> Publication:
    """What was published last, read from its table."""
    table = lake.table(universe.name, "online_features").scan().collect()
    newest = table["event_time"].max()
    return Publication(table.height, 0, 0, newest if isinstance(newest, datetime) else None, 0.0)


def differences(lake: Lake, home: Path, universe: UniverseConfig) -> list[str]:
    """Instruments whose vector in the store is older than, or differs in a bit from, the newest row."""
    vectors = newest_vectors(lake, universe)
    if vectors.is_empty():
        return []
    names, entities = _names(vectors, universe), vectors["instrument_id"].to_list()
    try:
        with store_of(home, universe) as store:
            found = store.get(entities, names)
    except TableNotFound:
        return entities
    wanted, times = _matrix(vectors, names), vectors["ts_close"].dt.epoch("us").to_numpy()
    same = (wanted.view(np.uint64) == np.ascontiguousarray(found.values).view(np.uint64)) | (
        np.isnan(wanted) & np.isnan(found.values)
    )
    later = found.event_time > times  # somebody streamed a newer one
    right = found.known & (later | (same.all(axis=1) & (found.event_time == times)))
    return [name for name, good in zip(entities, right, strict=True) if not good]


def why_not_published(lake: Lake, home: Path, universe: UniverseConfig) -> str | None:
    """Why the store may not hold every vector that the table of features ends with; None when it does."""
    try:
        if lake.table(universe.name, "features").exists() and not differences(lake, home, universe):
            return None
    except FeatureError as error:  # a server that is away, a damaged vector
        return error.problem
    return "the online store lacks vectors"


def _names(vectors: pl.DataFrame, universe: UniverseConfig) -> list[str]:
    """The features of the vectors that go online."""
    declared = universe_features(universe).features
    offline = {feature.name for feature in declared if not feature.online}
    return [name for name in vectors.columns if name not in FEATURES.columns and name not in offline]


def _matrix(vectors: pl.DataFrame, names: list[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.ascontiguousarray(vectors.select(pl.col(names).fill_null(float("nan"))).to_numpy())

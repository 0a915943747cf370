"""Features as they were known: a point-in-time join on event time and knowledge time.

A row of features is made of all bars up to its own, so it is known when the last known of them is; a
feature that looks across instruments also waits for the others of its moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.lake.schemas import FEATURES
from nofx_pipelines.lake.store import Lake

_ROW, _KNOWN = "#row", "#known_at"
_WANTED = ("instrument_id", "event_time")


def get_historical_features(
    lake: Lake,
    universe: UniverseConfig,
    entity_frame: pl.DataFrame,
    names: Sequence[str],
    *,
    knowledge_time: str | None = None,
    max_age: timedelta | None = None,
) -> pl.DataFrame:
    """For every entity row the newest features that had closed and were known by then.

    ``entity_frame`` has ``instrument_id`` and ``event_time`` (UTC); ``knowledge_time`` names a column of it
    by when everything must have been known, the event time by default. Gives the frame's rows in their
    order with ``ts_close``, ``version`` and ``age_seconds`` of what was found and the features, null where
    nothing was or it was older than ``max_age``. FeatureError for columns and features that are not there.
    """
    table = lake.table(universe.name, "features")
    if not table.exists():
        raise TableNotFound(f"{table.key} was never written", hint=f"nofx run --universe {universe.name}")
    _require(entity_frame, [*_WANTED, *([knowledge_time] if knowledge_time else [])], "the entity frame")
    features = table.scan()
    _require(pl.DataFrame(schema=features.collect_schema()), names, "the table of features")
    own = entity_frame["instrument_id"].unique().implode()
    declared = {f.name: f.expr.stage for f in universe_features(universe).features}
    across = any(declared.get(name, 0) > 0 for name in names)
    bars = lake.table(universe.name, "bars").scan().filter(pl.col("status") == "traded")
    known = bars.select("instrument_id", "ts_close", "knowledge_time")
    known = known if across else known.filter(pl.col("instrument_id").is_in(own))
    chosen = features.filter(pl.col("instrument_id").is_in(own)).select(
        "instrument_id", "ts_close", "version", *names
    )
    return point_in_time(
        entity_frame,
        chosen.collect(),
        known.collect(),
        knowledge_time=knowledge_time,
        max_age=max_age,
        across=across,
    )


def point_in_time(
    entity_frame: pl.DataFrame,
    features: pl.DataFrame,
    known: pl.DataFrame,
    *,
    knowledge_time: str | None = None,
    max_age: timedelta | None = None,
    across: bool = False,
) -> pl.DataFrame:
    """The join itself: ``known`` has instrument_id, ts_close and knowledge_time of the bars."""
    rows = features.join(available(known, across=across), on=["instrument_id", "ts_close"], how="inner")
    values = [name for name in features.columns if name not in FEATURES.columns]
    until = pl.col(knowledge_time) if knowledge_time else pl.col("event_time")
    asked = entity_frame.with_row_index(_ROW).with_columns(until.alias(_KNOWN))
    places = rows.select("instrument_id", "ts_close", _KNOWN)
    by_event = _newest(asked, places, "event_time", "ts_close")
    by_knowledge = _newest(asked, places, _KNOWN, _KNOWN)
    found = by_event.join(by_knowledge, on=_ROW, suffix="#k").select(
        _ROW, pl.when(pl.all_horizontal(pl.col("ts_close", "ts_close#k").is_not_null())).then(
            pl.min_horizontal("ts_close", "ts_close#k")
        ).alias("ts_close"),
    )  # fmt: skip
    joined = asked.drop(_KNOWN).join(found, on=_ROW, how="left")
    age = pl.col("event_time") - pl.col("ts_close")
    if max_age is not None:
        joined = joined.with_columns(ts_close=pl.when(age <= max_age).then("ts_close"))
    joined = joined.join(rows.drop(_KNOWN), on=["instrument_id", "ts_close"], how="left").sort(_ROW)
    told = joined.with_columns(age_seconds=age.dt.total_microseconds() / 1e6)
    return told.select(*entity_frame.columns, "ts_close", "version", "age_seconds", *values)


def available(known: pl.DataFrame, *, across: bool) -> pl.DataFrame:
    """When the features of each bar were known: the latest knowledge of it and of all bars before it."""
    frame = known.sort("instrument_id", "ts_close")
    if across:
        frame = frame.with_columns(pl.col("knowledge_time").max().over("ts_close"))
    last = pl.col("knowledge_time").cum_max().over("instrument_id")
    return frame.select("instrument_id", "ts_close", last.alias(_KNOWN))


def _newest(asked: pl.DataFrame, places: pl.DataFrame, left: str, right: str) -> pl.DataFrame:
    """Of every asked row the newest place whose ``right`` is not after its ``left``."""
    ordered = places.sort(right, "ts_close")
    kept = ordered.select("instrument_id", "ts_close", pl.col(right).alias("#right"))
    return (
        asked.sort(left)
        .join_asof(kept, left_on=left, right_on="#right", by="instrument_id", check_sortedness=False)
        .select(_ROW, "ts_close")
    )


def _require(frame: pl.DataFrame, names: Sequence[str], what: str) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise FeatureError(f"{what} has no column {absent[0]!r}", hint=f"it has {frame.columns[:12]}")

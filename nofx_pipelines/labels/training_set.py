"""Features joined with labels that are known, and the folds over their sessions."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from nofx_pipelines.config import FoldConfig, LabelConfig, UniverseConfig
from nofx_pipelines.errors import FeatureError, NotEnoughData
from nofx_pipelines.labels.folds import walk_forward
from nofx_pipelines.labels.windows import horizon_sessions
from nofx_pipelines.lake.incremental import fingerprint
from nofx_pipelines.lake.schemas import TRAINING_SET
from nofx_pipelines.lake.stamps import TableStamp
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.sessions import calendar

if TYPE_CHECKING:
    from nofx_pipelines.features.program.declaration import FeatureSet


@dataclass(frozen=True)
class TrainingSetResult:
    """What a refresh did: ``written`` is False when both tables were fresh."""

    rows: int
    folds: int
    written: bool
    version: int | None
    seconds: float


def build(
    features: pl.DataFrame,
    labels: pl.DataFrame,
    feature_set: FeatureSet,
    label_config: LabelConfig,
    fold_config: FoldConfig,
    *,
    bars_per_session: int = 1,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows whose label is known, with the scale-free features, and their folds.

    ``features``, ``labels``: rows of their tables. A label whose bars took more sessions than its horizon
    (a suspension) is left out, so that the folds' purge covers every row. Null features stay null.
    Returns the TRAINING_SET frame, oldest first, and the FOLDS frame. Raises FeatureError when a
    column is missing, NotEnoughData when no label is known or the sessions are too few.
    """
    names = _scale_free(feature_set)
    _require_columns(features, names)
    reach = horizon_sessions(label_config.horizon, bars_per_session)
    known = _known_labels(labels, label_config.horizon, reach)
    keys = list(TRAINING_SET.key)
    wanted = features.select(*keys, *(pl.col(name).cast(pl.Float64) for name in names))
    rows = known.join(wanted, on=keys, how="inner").sort("ts_close", "instrument_id")
    if rows.is_empty():
        raise NotEnoughData(
            f"none of {len(labels)} labels over {label_config.horizon} bars is known and has features",
            kept="no training set was made",
            hint="ask for a longer history",
        )
    sessions = rows["session_date"].unique().sort().to_list()
    folds = walk_forward(sessions, fold_config, horizon_sessions=reach, bars_per_session=bars_per_session)
    return rows.select(*TRAINING_SET.columns, *names), folds


def refresh_training_set(
    lake: Lake, universe: UniverseConfig, *, run_id: str, code_version: str, force: bool = False
) -> TrainingSetResult:
    """Build the training set and folds of ``universe`` anew when features or labels have changed.

    Both tables are written whole. Raises what :func:`build` raises, and TableNotFound when features or
    labels were never written.
    """
    from nofx_pipelines.features.sets.registry import universe_features

    began = time.perf_counter()
    features, labels = lake.table(universe.name, "features"), lake.table(universe.name, "labels")
    table, folds_table = lake.table(universe.name, "training_set"), lake.table(universe.name, "folds")
    chosen = universe_features(universe)
    inputs = training_inputs(lake, universe)
    stamps = (table.stamp(), folds_table.stamp())
    if not force and all(_is_fresh(stamp, code_version, inputs) for stamp in stamps):
        rows, folds = (stamp.rows if stamp else 0 for stamp in stamps)
        return TrainingSetResult(rows, folds, False, table.version(), time.perf_counter() - began)
    lineage = {each.key: version for each in (features, labels) if (version := each.version()) is not None}
    rows_frame, folds_frame = build(
        features.scan().collect(),
        labels.scan().collect(),
        chosen,
        universe.labels,
        universe.folds,
        bars_per_session=calendar(universe.market).bars_per_session(universe.freq),
    )
    stamp_with = {"code_version": code_version, "inputs": inputs, "run_id": run_id}
    folds_table.overwrite(folds_frame, lineage=lineage, **stamp_with)
    version = table.overwrite(rows_frame, lineage=lineage, **stamp_with)
    seconds = time.perf_counter() - began
    return TrainingSetResult(len(rows_frame), len(folds_frame), True, version, seconds)


def training_inputs(lake: Lake, universe: UniverseConfig) -> str:
    """The fingerprint of what the training set of ``universe`` would be built from."""
    from nofx_pipelines.features.sets.registry import universe_features

    tables = (lake.table(universe.name, name) for name in ("features", "labels"))
    return fingerprint(tables, _scale_free(universe_features(universe)))


def _scale_free(feature_set: FeatureSet) -> list[str]:
    return [feature.name for feature in feature_set.features if feature.scale_free]


def _is_fresh(stamp: TableStamp | None, code_version: str, inputs: str) -> bool:
    return stamp is not None and (stamp.code_version, stamp.inputs) == (code_version, inputs)


def _require_columns(features: pl.DataFrame, names: list[str]) -> None:
    missing = [name for name in names if name not in features.columns]
    if missing:
        raise FeatureError(
            f"the features table lacks {', '.join(missing)}",
            kept="no training set was made",
            hint="materialise features again with the universe's feature sets",
        )


def _known_labels(labels: pl.DataFrame, horizon: int, reach: int) -> pl.DataFrame:
    """Labels at ``horizon`` that are known, decided within ``reach`` sessions of their own."""
    session = labels["session_date"].unique().sort()
    number = pl.DataFrame({"session_date": session, "number": range(len(session))})
    numbered = labels.filter(horizon=horizon).join(number, on="session_date")
    decided = numbered.select("instrument_id", known_at="ts_close", decided="number")
    known = numbered.filter(pl.col("forward_return").is_not_null()).join(
        decided, on=["instrument_id", "known_at"], how="inner"
    )
    return known.filter(pl.col("decided") - pl.col("number") <= reach)

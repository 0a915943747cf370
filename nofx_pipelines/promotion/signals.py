"""What the champion says about the latest sessions: one score an instrument and bar, and its rank."""

from __future__ import annotations

import hashlib
from datetime import date, timedelta

import numpy as np
import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ModelError, TableNotFound
from nofx_pipelines.evaluation.metrics import MIN_CROSS_SECTION
from nofx_pipelines.lake.incremental import RefreshResult, refresh_sessions
from nofx_pipelines.lake.schemas import SIGNALS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.models.window_columns import base_names, longest, parse, with_lags
from nofx_pipelines.registry.versions import NamedModel

SIGNAL_SESSIONS = 20
"""The sessions that a run scores: those since the last few closes, and what was revised among them."""


LONGEST_WINDOW = 32
"""Bars that a model may read, at most; a session has at least one."""


def score_features(features: pl.DataFrame, model: NamedModel) -> pl.DataFrame:
    """Score feature rows: a SIGNALS frame sorted by ts_close and instrument.

    Rows without any of the model's features, and rows that the model gives no finite score, are left out.
    Raises ModelError when a feature column that the model needs is missing.
    """
    names = list(model.scorer.feature_names)
    missing = [name for name in names if name not in features.columns]
    if missing:
        raise ModelError(
            f"{model.name} version {model.version} needs {len(missing)} features that the table lacks: "
            f"{', '.join(missing[:5])}",
            kept="no signal was written",
            hint="train a model on the universe's present feature sets: nofx run",
        )
    usable = features.filter(pl.any_horizontal(pl.col(names).is_not_null())).sort("ts_close", "instrument_id")
    x = usable.select(pl.col(names).cast(pl.Float64).fill_null(np.nan)).to_numpy()  # [N, F]
    scores = np.asarray(model.scorer.predict(x), dtype=np.float64).reshape(-1) if len(x) else np.empty(0)
    return (
        usable.select("instrument_id", "ts_close", "session_date")
        .with_columns(
            pl.lit(model.name).alias("model"),
            pl.lit(model.version).alias("model_version"),
            pl.Series("score", scores, dtype=pl.Float64),
        )
        .filter(pl.col("score").is_finite())
        .with_columns(cross_sectional_rank("score").alias("rank"))
        .select(list(SIGNALS.columns))
    )


def cross_sectional_rank(column: str) -> pl.Expr:
    """Rank across the instruments of a ``ts_close``, scaled to [-0.5, 0.5]; null below five of them.

    >>> frame = pl.DataFrame({"ts_close": [1] * 5, "score": [3.0, 1.0, 2.0, 5.0, 4.0]})
    >>> frame.select(cross_sectional_rank("score"))["score"].to_list()
    [0.0, -0.5, -0.25, 0.5, 0.25]
    """
    count = pl.len().over("ts_close")
    scaled = (pl.col(column).rank("average").over("ts_close") - 1.0) / (count - 1) - 0.5
    return pl.when(count >= MIN_CROSS_SECTION).then(scaled)


def refresh_signals(
    lake: Lake,
    universe: UniverseConfig,
    model: NamedModel,
    *,
    run_id: str,
    code_version: str,
    force: bool = False,
    sessions: int = SIGNAL_SESSIONS,
) -> RefreshResult:
    """Score the latest ``sessions`` sessions of the universe's features and commit those that changed.

    A session is scored again when its features, the model or the code are other than recorded; older
    sessions keep the signals that were given at their time. Raises TableNotFound without features.
    """
    features = lake.table(universe.name, "features")
    version = features.version()
    if version is None:
        raise TableNotFound(
            f"{universe.name}/features was never written",
            kept="no signal was written",
            hint=f"nofx run --universe {universe.name}",
        )
    known = _known(features, version)
    latest = list(known)[-sessions:] if sessions > 0 else []

    def compute(days: list[date]) -> pl.DataFrame:
        names = model.scorer.feature_names
        past = list(known).index(days[0]) - longest(names)
        rows = features.scan(
            version=version, start=list(known)[max(0, past)], end=days[-1] + timedelta(days=1)
        )
        there = [n for n in base_names(names) if n in rows.collect_schema()]
        frame = rows.select("instrument_id", "ts_close", "session_date", *there).collect()
        windows = with_lags(frame, [name for name in names if parse(name)[0] in there])
        return score_features(windows.filter(pl.col("session_date").is_in(days)), model)

    return refresh_sessions(
        lake.table(universe.name, "signals"),
        latest,
        code_version=code_version,
        inputs={day: _fingerprint(known, day, model.name, model.version) for day in latest},
        compute=compute,
        lineage={f"{universe.name}/features": version},
        run_id=run_id,
        force=force,
    )


def signal_inputs(lake: Lake, universe: UniverseConfig, sessions: int = SIGNAL_SESSIONS) -> dict[date, str]:
    """The fingerprint of what the signals of the latest sessions would be made from."""
    features, throne = lake.table(universe.name, "features"), lake.table(universe.name, "champion")
    version = features.version()
    if version is None or not throne.exists():
        return {}
    champion = throne.scan().collect()
    name, number = champion["model"][0], champion["version"][0]
    known = _known(features, version)
    latest = list(known)[-sessions:] if sessions > 0 else []
    return {day: _fingerprint(known, day, name, number) for day in latest}


def signalled_version(lake: Lake, universe: UniverseConfig) -> str | None:
    """The model version behind the newest signals; None without signals."""
    table = lake.table(universe.name, "signals")
    if not table.exists():
        return None
    newest = table.scan().filter(pl.col("ts_close") == pl.col("ts_close").max()).head(1).collect()
    return str(newest["model_version"][0]) if newest.height else None


def _known(features: LakeTable, version: int) -> dict[date, str]:
    """Content hashes of the sessions with features, ascending."""
    excluded = set(features.excluded_sessions())
    stamps = features.stamps(version)
    return {day: s.content for day, s in sorted(stamps.items()) if s.rows and day not in excluded}


def _fingerprint(known: dict[date, str], day: date, model: str, model_version: str) -> str:
    """Of the model and of the sessions that its longest possible window reaches into."""
    days = list(known)
    last = days.index(day)
    contents = [known[d] for d in days[max(0, last - LONGEST_WINDOW + 1) : last + 1]]
    return hashlib.sha256("\n".join([*contents, model, model_version]).encode()).hexdigest()

"""The pipeline's own stages, as a leak check runs them: prices to model inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features import compute
from nofx_pipelines.features.sets.registry import universe_features
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import Role, sessions_needed
from nofx_pipelines.labels.folds import rows as rows_of
from nofx_pipelines.labels.training_set import build
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.history import History
from nofx_pipelines.leakcheck.report import LeakReport
from nofx_pipelines.leakcheck.rerun import check
from nofx_pipelines.leakcheck.stage import Stage, World
from nofx_pipelines.market.adjust import adjusted
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.models.dataset import Dataset, feature_columns, from_frame, from_frames
from nofx_pipelines.models.preprocessing import Preprocessing, fit
from nofx_pipelines.models.window_columns import lagged, with_lags

if TYPE_CHECKING:
    from nofx_pipelines.features import FeatureSet

_ALWAYS = datetime(9999, 1, 1, tzinfo=UTC)
_KEY = ("instrument_id", "ts_close")


def check_lake(
    lake: Lake, universe: UniverseConfig, *, seed: int, cuts: int = 3, max_rows: int = 60_000
) -> LeakReport:
    """Leak check of a universe's bars in the lake; long histories are read in windows around the cuts."""
    actions = lake.table(universe.market, "corporate_actions")
    known_actions = actions.scan().collect() if actions.exists() else None
    history = History.of_table(lake.table(universe.name, "bars"))
    return check_universe(history, universe, seed=seed, actions=known_actions, cuts=cuts, max_rows=max_rows)


def check_universe(
    bars: pl.DataFrame | History,
    universe: UniverseConfig,
    *,
    seed: int,
    actions: pl.DataFrame | None = None,
    cuts: int | Sequence[datetime] = 3,
    max_rows: int = 60_000,
) -> LeakReport:
    """Leak check of a universe's own stages on ``bars`` (unadjusted, with ``actions`` apart)."""
    history = bars if isinstance(bars, History) else History.of(bars)
    features = universe_features(universe)
    per_session = calendar(universe.market).bars_per_session(universe.freq)
    stages = pipeline_stages(
        universe,
        features,
        bars_per_session=per_session,
        bars_per_year=calendar(universe.market).bars_per_year(universe.freq),
    )
    windows = LabelWindows.of(universe.labels, per_session)
    folds = sessions_needed(universe.folds, horizon_sessions=windows.ahead, bars_per_session=per_session)
    before = windows.ahead + folds
    wished = before + math.ceil(features.warm_up / per_session)  # so that every feature has values
    if sum(history.rows.values()) <= max_rows:  # the first train of folds over all of it ends before the cut
        wished = max(wished, len(history.rows) // 3)
    before = max(before, min(wished, len(history.rows) - 2))
    return check(
        history, stages, seed=seed, cuts=cuts, actions=actions, sessions_before=before, max_rows=max_rows
    )


def pipeline_stages(
    universe: UniverseConfig, features: FeatureSet, *, bars_per_session: int, bars_per_year: float
) -> list[Stage]:
    """Prices, features, labels, labels as of the cut, training set, folds and model inputs.

    A test replaces one stage by a leaky one of the same name and sees it named.
    """
    windows = LabelWindows.of(universe.labels, bars_per_session)

    def prices(world: World) -> pl.DataFrame:
        return adjusted(world.bars, world.actions)

    def features_of(world: World) -> pl.DataFrame:
        return compute(world.results["prices"], features, bars_per_year=bars_per_year).frame

    def labels(world: World, known_until: datetime) -> pl.DataFrame:
        return compute_labels(
            world.results["prices"],
            universe.labels,
            known_until=known_until,
            windows=windows,
            folder=universe.plugins,
        )

    def built(world: World, labels: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        return build(
            world.results["features"],
            world.results[labels],
            features,
            universe.labels,
            universe.folds,
            bars_per_session=bars_per_session,
        )

    return [
        Stage("prices", prices, _KEY, "ts_close"),
        Stage("features", features_of, _KEY, "ts_close"),
        Stage("labels", lambda world: labels(world, _ALWAYS), (*_KEY, "horizon"), "known_at"),
        Stage("labels_at_cut", lambda world: labels(world, world.cut), (*_KEY, "horizon")),
        Stage("training_set", lambda world: built(world, "labels_at_cut")[0], _KEY),
        Stage("folds", lambda world: built(world, "labels_at_cut")[1], ("fold", "role")),
        Stage(
            "model_inputs",
            lambda world: model_inputs(world, *built(world, "labels")),
            ("fold", "role", *_KEY),
        ),
    ]


def model_inputs(world: World, rows: pl.DataFrame, folds: pl.DataFrame) -> pl.DataFrame:
    """What models are given of the newest fold whose train was settled at the cut, its settled roles.

    A role is settled when its last label is known. Its inputs are its features, and their values one bar
    before as a network's window has them, after the preprocessing that was fitted on the fold's train;
    ``development`` is train and valid, fitted on both. Valid and test rows after the cut are another
    future's: whatever was fitted on them moves. Folds are those of the world as it was, since they follow
    the calendar.
    """
    folds = world.as_was.setdefault("all_folds", folds)
    rows = with_lags(rows, _window_columns(rows), world.results["features"])
    numbers = range(int(folds["fold"].max()), -1, -1)  # type: ignore[arg-type]
    fold = next((number for number in numbers if _is_settled(world, folds, number, "train")), None)
    if fold is None:
        return _inputs(0, "train", from_frame(rows).take(slice(0)))
    train = from_frames(rows, folds, fold, "train")
    fitted = fit(train.x)
    frames = [_inputs(fold, "train", train, fitted)]
    for role in ("valid", "test"):
        if _is_settled(world, folds, fold, role):
            frames.append(_inputs(fold, role, from_frames(rows, folds, fold, role), fitted))
    if _is_settled(world, folds, fold, "valid"):
        development = from_frames(rows, folds, fold, "development")
        frames.append(_inputs(fold, "development", development, fit(development.x)))
    return pl.concat(frames)


def _window_columns(rows: pl.DataFrame) -> list[str]:
    """Each feature one bar before: what a network's window adds to a row, at its nearest end."""
    return [lagged(name, 1) for name in feature_columns(rows)]


def _is_settled(world: World, folds: pl.DataFrame, fold: int, role: Role) -> bool:
    last = rows_of(world.as_was["labels"], folds, fold, role)["known_at"].max()
    return isinstance(last, datetime) and last <= world.cut


def _inputs(fold: int, role: str, part: Dataset, fitted: Preprocessing | None = None) -> pl.DataFrame:
    keys = part.predictions(part.weight).select(*_KEY, "forward_return", weight="score")
    x = part.x if fitted is None else fitted.apply(part.x)
    values = pl.DataFrame(x, schema=dict.fromkeys(part.feature_names, pl.Float64))
    return keys.hstack(values).select(pl.lit(fold).alias("fold"), pl.lit(role).alias("role"), pl.all())

"""The pipeline's own stages, as a leak check runs them: prices to model inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.features import compute, feature_set
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import sessions_needed
from nofx_pipelines.labels.training_set import build
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck.history import History
from nofx_pipelines.leakcheck.report import LeakReport
from nofx_pipelines.leakcheck.rerun import check
from nofx_pipelines.leakcheck.stage import Stage, World
from nofx_pipelines.market.adjust import adjusted
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.models.dataset import Dataset, from_frames
from nofx_pipelines.models.preprocessing import fit

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
    features = feature_set(*universe.features)
    per_session = calendar(universe.market).bars_per_session(universe.freq)
    stages = pipeline_stages(
        universe,
        features,
        bars_per_session=per_session,
        bars_per_year=calendar(universe.market).bars_per_year(universe.freq),
    )
    windows = LabelWindows.of(universe.labels, per_session)
    folds = sessions_needed(universe.folds, horizon_sessions=windows.ahead, bars_per_session=per_session)
    before = windows.ahead + folds + math.ceil(features.warm_up / per_session)
    return check(
        bars, stages, seed=seed, cuts=cuts, actions=actions, sessions_before=before, max_rows=max_rows
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
            world.results["prices"], universe.labels, known_until=known_until, windows=windows
        )

    def built(world: World) -> tuple[pl.DataFrame, pl.DataFrame]:
        return build(
            world.results["features"],
            world.results["labels_at_cut"],
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
        Stage("training_set", lambda world: built(world)[0], _KEY),
        Stage("folds", lambda world: built(world)[1], ("fold", "role")),
        Stage("model_inputs", model_inputs, ("fold", "role", *_KEY)),
    ]


def model_inputs(world: World) -> pl.DataFrame:
    """What models are given: features of each fold and role after the preprocessing fitted on its train.

    The role ``hold_out`` is the last fold's test after a fit on everything before it.
    """
    rows, folds = world.results["training_set"], world.results["folds"]
    last = int(folds["fold"].max())  # type: ignore[arg-type]
    frames = []
    for fold in range(last + 1):
        train, valid, test = (from_frames(rows, folds, fold, role) for role in ("train", "valid", "test"))
        fitted = fit(train.x)
        for role, part in (("train", train), ("valid", valid), ("test", test)):
            frames.append(_inputs(fold, role, part, fitted.apply(part.x)))
    development = fit(from_frames(rows, folds, last, "development").x)
    frames.append(_inputs(last, "hold_out", test, development.apply(test.x)))
    return pl.concat(frames)


def _inputs(fold: int, role: str, part: Dataset, x: object) -> pl.DataFrame:
    keys = part.predictions(part.weight).select(*_KEY, "forward_return", weight="score")
    values = pl.DataFrame(x, schema=list(part.feature_names))  # type: ignore[arg-type]
    return keys.hstack(values).select(pl.lit(fold).alias("fold"), pl.lit(role).alias("role"), pl.all())

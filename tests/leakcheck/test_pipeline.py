from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig, LabelConfig, UniverseConfig
from nofx_pipelines.errors import LeakError, NotEnoughData
from nofx_pipelines.features import Feature, FeatureSet, close, log, rank, ref, rolling_mean, volume
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import rows as rows_of
from nofx_pipelines.labels.folds import sessions_needed
from nofx_pipelines.labels.training_set import build
from nofx_pipelines.lake.schemas import BARS, CORPORATE_ACTIONS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.leakcheck import Stage, World, check, check_lake, check_universe, pipeline_stages
from nofx_pipelines.leakcheck.report import LeakReport
from nofx_pipelines.models.dataset import from_frame
from nofx_pipelines.models.preprocessing import fit

from .worlds import FIRST_DAY, daily, intraday

BASIS = pl.lit("unadjusted").alias("price_basis")
DAILY = daily(6, 150).with_columns(BASIS)
MINUTES = intraday(2, 40, 30).with_columns(BASIS)
FOLDS = FoldConfig(count=3, test_fraction=0.3, embargo_bars=2)
UNIVERSE = UniverseConfig("mine", "crypto", "1d", labels=LabelConfig(horizon=5, sigma_bars=10), folds=FOLDS)
RETURN = log(close / ref(close, 1))
SET = FeatureSet(
    "small",
    (
        Feature("return_1", RETURN, "return", "Return of one bar.", scale_free=True),
        Feature("rank_return", rank(RETURN), "rank", "Rank of it.", scale_free=True),
        Feature(
            "volume_ratio", volume / rolling_mean(volume, 5), "ratio", "Volume to its mean.", scale_free=True
        ),
    ),
)
ACTIONS = pl.concat(
    [
        pl.DataFrame(schema=CORPORATE_ACTIONS.columns),
        pl.DataFrame(
            {
                "instrument_id": ["I00", "I01"],
                "ex_date": [FIRST_DAY + timedelta(days=20), FIRST_DAY + timedelta(days=100)],
                "kind": ["split", "bonus"],
                "ratio": [2.0, 0.5],
            }
        ),
    ],
    how="diagonal",
)


def stages(per_session: int = 1) -> list[Stage]:
    return pipeline_stages(UNIVERSE, SET, bars_per_session=per_session, bars_per_year=365.0)


def with_stage(name: str, compute: object) -> list[Stage]:
    """The pipeline with one stage computed otherwise."""
    return [replace(each, compute=compute) if each.name == name else each for each in stages()]


def run(chosen: list[Stage], bars: pl.DataFrame = DAILY, before: int = 60) -> LeakReport:
    return check(bars, chosen, seed=5, actions=ACTIONS, sessions_before=before)


@pytest.mark.parametrize(("bars", "per_session", "before"), [(DAILY, 1, 60), (MINUTES, 30, 25)])
def test_the_pipeline_does_not_leak(bars: pl.DataFrame, per_session: int, before: int) -> None:
    report = run(stages(per_session), bars, before)
    report.raise_if_leaky()
    assert set(report.compared) == {
        "prices",
        "features",
        "labels",
        "labels_at_cut",
        "training_set",
        "folds",
        "model_inputs",
    }
    assert min(report.compared.values()) >= 3 * 9
    assert str(report).startswith("no leak at 3 cuts (rows compared: prices ")


def test_a_leaky_feature_is_named_in_every_stage_that_it_reaches() -> None:
    def leaky(world: World) -> pl.DataFrame:
        honest = stages()[1].compute(world)
        return honest.with_columns(pl.col("return_1") - pl.col("return_1").mean())

    report = run(with_stage("features", leaky))
    named = {(leak.stage, leak.column) for leak in report.leaks}
    assert named >= {("features", "return_1"), ("training_set", "return_1"), ("model_inputs", "return_1")}
    # a network's window holds it one bar later as well
    assert {column for _, column in named} == {"return_1", "return_1@1"}
    with pytest.raises(LeakError, match=r"features\.return_1 moved in .*make features\.return_1 read only"):
        report.raise_if_leaky()


def test_prices_adjusted_backwards_are_caught() -> None:
    """The usual forward-adjusted series: today's prices kept, the past divided by later splits."""

    def backwards(world: World) -> pl.DataFrame:
        factor = pl.col("ratio").product().alias("later")
        later = (
            world.bars.select("instrument_id", "session_date")
            .unique()
            .join(world.actions, on="instrument_id")
            .filter(pl.col("ex_date") > pl.col("session_date"))
            .group_by("instrument_id", "session_date")
            .agg(factor)
        )
        joined = world.bars.join(
            later, on=["instrument_id", "session_date"], how="left", maintain_order="left"
        )
        return joined.with_columns(pl.col("close") / pl.col("later").fill_null(1.0)).select(
            world.bars.columns
        )

    report = run(with_stage("prices", backwards))
    assert ("prices", "close") in {(leak.stage, leak.column) for leak in report.leaks}


def test_labels_that_ignore_what_is_known_are_caught() -> None:
    def too_early(world: World) -> pl.DataFrame:
        known = world.cut + timedelta(days=3)
        return compute_labels(world.results["prices"], UNIVERSE.labels, known_until=known)

    report = run(with_stage("labels_at_cut", too_early))
    named = {leak.stage for leak in report.leaks}
    assert "labels_at_cut" in named
    assert "training_set" in named
    assert "labels" not in named


def test_inputs_scaled_by_later_rows_are_caught() -> None:
    """The scaler of a fold's train fitted on all rows of the training set."""

    def scaled(world: World) -> pl.DataFrame:
        honest = stages()[6].compute(world)
        everything, _ = build(
            world.results["features"], world.results["labels"], SET, UNIVERSE.labels, UNIVERSE.folds
        )
        fitted = fit(from_frame(everything).x)
        return honest.with_columns(pl.col("return_1") * fitted.scale[0])

    report = run(with_stage("model_inputs", scaled))
    assert {(leak.stage, leak.column) for leak in report.leaks} == {("model_inputs", "return_1")}


@pytest.mark.parametrize("session", [50, 70, 90, 120, 140])
def test_inputs_are_of_the_newest_fold_that_was_settled(session: int) -> None:
    cut = DAILY["ts_close"].unique().sort()[session]
    seen: list[pl.DataFrame] = []
    inputs = stages()[6]
    spied = replace(inputs, compute=lambda world: seen.append(inputs.compute(world)) or seen[-1])  # type: ignore[func-returns-value]
    check(DAILY, [*stages()[:3], spied], seed=1, cuts=[cut])
    labels = compute_labels(DAILY, UNIVERSE.labels, known_until=datetime(2100, 1, 1, tzinfo=UTC))
    rows, folds = build(
        labels.with_columns(return_1=0.0, rank_return=0.0, volume_ratio=0.0),
        labels,
        SET,
        UNIVERSE.labels,
        FOLDS,
    )
    known = rows.join(
        labels.select("instrument_id", "ts_close", "known_at"), on=["instrument_id", "ts_close"]
    )
    settled = {
        (fold, role)
        for fold in range(3)
        for role in ("train", "valid", "test")
        if rows_of(known, folds, fold, role)["known_at"].max() <= cut  # type: ignore[arg-type, operator]
    }
    newest = max(fold for fold, role in settled if role == "train")
    expected = {role for fold, role in settled if fold == newest}
    expected |= {"development"} if "valid" in expected else set()
    assert set(seen[0].select("fold", "role").unique().rows()) == {(newest, role) for role in expected}
    train = seen[0].filter(role="train")
    assert len(train) == len(rows_of(known, folds, newest, "train"))
    assert train["return_1"].mean() == pytest.approx(0.0, abs=1e-3)


def test_folds_that_count_the_future_are_caught() -> None:
    def folds(world: World) -> pl.DataFrame:
        days: list[date] = world.bars["session_date"].unique().sort().to_list()
        middle = days[len(days) // 2]
        return pl.DataFrame({"fold": [0, 0], "role": ["train", "test"], "start": [days[0], middle]})

    report = run([Stage("folds", folds, ("fold", "role"))])
    assert {(leak.stage, leak.column) for leak in report.leaks} == {("folds", "start")}


def test_a_universe_is_checked_with_its_own_features_and_calendar() -> None:
    report = check_universe(DAILY, UNIVERSE, seed=1, cuts=1, actions=ACTIONS)
    report.raise_if_leaky()
    assert report.compared["features"] > 6 * 60


def test_a_history_that_can_be_folded_can_be_checked() -> None:
    """However long the features' warm-up is."""
    shortest = 5 + sessions_needed(FOLDS, horizon_sessions=5) + 2
    short = DAILY.filter(pl.col("session_date") < FIRST_DAY + timedelta(days=shortest))
    assert check_universe(short, UNIVERSE, seed=1, cuts=1).ok
    needed = shortest - 1
    with pytest.raises(NotEnoughData, match="the leak check needs"):
        check_universe(
            DAILY.filter(pl.col("session_date") < FIRST_DAY + timedelta(days=needed)), UNIVERSE, seed=1
        )


def test_bars_in_the_lake_are_read_in_windows(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    table = lake.table("mine", "bars")
    known_columns = {
        "freq": pl.lit("1d"),
        "session_phase": pl.lit("all"),
        "is_final": pl.lit(value=True),
        "quality": pl.lit([], dtype=pl.List(pl.String)),
        "source": pl.lit("test"),
        "revision": pl.lit(0, dtype=pl.Int32),
        "knowledge_time": pl.col("ts_close"),
    }
    full = DAILY.with_columns(**known_columns)
    absent = [pl.lit(None, dtype=t).alias(n) for n, t in BARS.columns.items() if n not in full.columns]
    full = full.with_columns(absent).select(list(BARS.columns))
    table.replace(FIRST_DAY, FIRST_DAY + timedelta(days=150), full)
    assert check_lake(lake, UNIVERSE, seed=1, cuts=2) == check_universe(full, UNIVERSE, seed=1, cuts=2)
    small = check_lake(lake, UNIVERSE, seed=1, cuts=2, max_rows=400)
    assert small.ok
    assert small.window_rows < len(DAILY)
    assert datetime(2024, 1, 1, tzinfo=UTC) < small.cuts[0] < small.cuts[1]

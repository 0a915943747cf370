from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import FoldConfig, LabelConfig, UniverseConfig
from nofx_pipelines.errors import FeatureError, NotEnoughData, TableNotFound
from nofx_pipelines.features import Feature, FeatureSet, close, feature_set, ref
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.folds import rows, walk_forward
from nofx_pipelines.labels.training_set import TrainingSetResult, build, refresh_training_set
from nofx_pipelines.lake.schemas import EXCLUDED_SESSIONS, FOLDS, LABELS, TRAINING_SET
from nofx_pipelines.lake.store import Lake

from .strategies import FIRST_DAY, LONG_AFTER, daily_bars, random_walk

CHANGE = Feature("change", close / ref(close, 1) - 1, "return", "Change of the close.", scale_free=True)
PRICE = Feature("price", close, "price", "The close.", scale_free=False)
SET = FeatureSet("test", (PRICE, CHANGE))
LABEL = LabelConfig(horizon=3, sigma_bars=4)
FOLD = FoldConfig(count=3, test_fraction=0.3, embargo_bars=2)
PATHS: dict[str, list[float | None]] = {name: list(random_walk(seed, 80)) for seed, name in enumerate("ABC")}
BARS = daily_bars(PATHS)


def features_of(bars: pl.DataFrame) -> pl.DataFrame:
    traded = bars.drop_nulls("close").sort("instrument_id", "ts_close")
    return traded.select(
        "instrument_id",
        "ts_close",
        "session_date",
        version=pl.lit("v"),
        price="close",
        change=pl.col("close") / pl.col("close").shift(1).over("instrument_id") - 1,
    )


FEATURES = features_of(BARS)
LABELS_FRAME = compute_labels(BARS, LABEL, known_until=LONG_AFTER)


def test_rows_are_the_known_labels_with_scale_free_features() -> None:
    frame, folds = build(FEATURES, LABELS_FRAME, SET, LABEL, FOLD)
    assert frame.columns == [*TRAINING_SET.columns, "change"]
    assert dict(frame.schema) == {**TRAINING_SET.columns, "change": pl.Float64()}
    assert len(frame) == 3 * (80 - 3)
    assert frame.equals(frame.sort("ts_close", "instrument_id"))
    assert frame["change"].null_count() == 3  # the first bar of each stays, its feature unknown
    joined = frame.join(LABELS_FRAME, on=["instrument_id", "ts_close"], suffix="_label")
    for name in ("forward_return", "barrier", "weight"):
        assert joined[name].equals(joined[f"{name}_label"], check_names=False)
    sessions = frame["session_date"].unique().sort().to_list()
    assert len(sessions) == 77
    assert folds.equals(walk_forward(sessions, FOLD, horizon_sessions=3))
    assert dict(folds.schema) == FOLDS.columns


def test_other_horizons_are_left_alone() -> None:
    other = compute_labels(BARS, replace(LABEL, horizon=5), known_until=LONG_AFTER)
    both = pl.concat([LABELS_FRAME, other])
    assert build(FEATURES, both, SET, LABEL, FOLD)[0].equals(
        build(FEATURES, LABELS_FRAME, SET, LABEL, FOLD)[0]
    )


@pytest.mark.parametrize("missing", [1, 10])
def test_a_label_across_a_suspension_is_left_out(missing: int) -> None:
    paths = {name: list(path) for name, path in PATHS.items()}
    paths["B"][40 : 40 + missing] = [None] * missing
    bars = daily_bars(paths)
    labels = compute_labels(bars, LABEL, known_until=LONG_AFTER)  # unbounded: these reach over it
    frame, folds = build(features_of(bars), labels, SET, LABEL, FOLD)
    over = [FIRST_DAY + timedelta(days=n) for n in (37, 38, 39)]
    assert (
        labels.filter(pl.col("session_date").is_in(over), instrument_id="B")["forward_return"].null_count()
        == 0
    )
    assert frame.filter(pl.col("session_date").is_in(over), instrument_id="B").is_empty()
    assert frame.filter(pl.col("session_date").is_in(over)).height == 6
    # so no row of an earlier role is decided in a later one
    known = frame.join(
        labels.select("instrument_id", "ts_close", "known_at"), on=["instrument_id", "ts_close"]
    )
    for fold in range(3):
        train, valid, test = (rows(known, folds, fold, role) for role in ("train", "valid", "test"))
        assert train.filter(pl.col("known_at") >= valid["ts_close"].min()).is_empty()
        assert valid.filter(pl.col("known_at") >= test["ts_close"].min()).is_empty()


def test_one_instrument_is_enough() -> None:
    alone = pl.col("instrument_id") == "A"
    frame, _ = build(FEATURES.filter(alone), LABELS_FRAME.filter(alone), SET, LABEL, FOLD)
    assert len(frame) == 77


def test_a_missing_feature_column_is_named() -> None:
    with pytest.raises(FeatureError, match="lacks change"):
        build(FEATURES.drop("change"), LABELS_FRAME, SET, LABEL, FOLD)


def test_no_known_label_and_too_few_sessions_are_told_apart() -> None:
    early = compute_labels(BARS, LABEL, known_until=datetime.combine(FIRST_DAY, datetime.max.time(), UTC))
    with pytest.raises(NotEnoughData, match="none of 3 labels over 3 bars is known"):
        build(FEATURES, early, SET, LABEL, FOLD)
    with pytest.raises(NotEnoughData, match="77 sessions are too few for 20 folds"):
        build(FEATURES, LABELS_FRAME, SET, LABEL, replace(FOLD, count=20, embargo_bars=20))


# the tables

UNIVERSE = UniverseConfig("mine", "crypto", "1d", labels=LABEL, folds=FOLD)


@dataclass
class Stored:
    lake: Lake

    def write(self, name: str, frame: pl.DataFrame, first: date, last: date) -> None:
        self.lake.table("mine", name).replace(first, last, frame)

    def refresh(self, **change: object) -> TrainingSetResult:
        asked = {"run_id": "r", "code_version": "v1", **change}
        return refresh_training_set(self.lake, UNIVERSE, **asked)  # type: ignore[arg-type]

    def versions(self) -> list[int | None]:
        return [self.lake.table("mine", name).version() for name in ("training_set", "folds")]


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    technical = feature_set("technical").features
    values = {f.name: pl.col("price") * (n + 1) for n, f in enumerate(technical)}
    features = FEATURES.with_columns(**values).drop("price", "change")
    both = Stored(Lake(tmp_path))
    both.write("features", features, FIRST_DAY, FIRST_DAY + timedelta(days=80))
    both.write("labels", LABELS_FRAME, FIRST_DAY, FIRST_DAY + timedelta(days=80))
    return both


def test_both_tables_are_written_whole_and_then_fresh(stored: Stored) -> None:
    result = stored.refresh()
    assert (result.rows, result.folds, result.written, result.version) == (231, 9, True, 0)
    frame = stored.lake.table("mine", "training_set").scan().collect()
    scale_free = {f.name for f in feature_set("technical").features if f.scale_free}
    assert set(frame.columns) == {*TRAINING_SET.columns, *scale_free}
    assert stored.lake.table("mine", "folds").scan().collect().height == 9
    again = stored.refresh()
    assert (again.rows, again.folds, again.written, again.version) == (231, 9, False, 0)
    assert stored.versions() == [0, 0]
    lineage = stored.lake.table("mine", "training_set").history()["lineage"][0]
    assert lineage == '{"mine/features": 0, "mine/labels": 0}'


def test_changed_labels_code_or_force_write_anew(stored: Stored) -> None:
    stored.refresh()
    last = FIRST_DAY + timedelta(days=79)
    unchanged = LABELS_FRAME.filter(session_date=last)
    stored.write("labels", unchanged, last, last + timedelta(days=1))
    assert not stored.refresh().written  # the same content again
    stored.write("labels", unchanged.with_columns(weight=pl.lit(0.5)), last, last + timedelta(days=1))
    assert stored.refresh().written
    assert stored.refresh(code_version="v2").written
    assert stored.refresh(code_version="v2", force=True).written
    assert stored.versions() == [3, 3]


def test_an_excluded_session_leaves_the_training_set(stored: Stored) -> None:
    stored.refresh()
    bad = FIRST_DAY + timedelta(days=30)
    row = ("labels", bad, "test", "wrong", datetime(2024, 3, 1, tzinfo=UTC))
    excluded = pl.DataFrame([row], schema=EXCLUDED_SESSIONS.columns, orient="row")
    stored.lake.table("mine", "excluded_sessions").append(excluded)
    assert stored.refresh().written
    frame = stored.lake.table("mine", "training_set").scan().collect()
    assert frame.filter(session_date=bad).is_empty()


def test_half_written_tables_are_written_again(stored: Stored) -> None:
    """Stopped between the two commits, the next run does both."""
    stored.refresh()
    folds = stored.lake.table("mine", "folds")
    folds.overwrite(folds.scan().collect(), code_version="v1", inputs="other")
    assert stored.refresh().written


def test_without_labels_nothing_is_written(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with pytest.raises(TableNotFound):
        refresh_training_set(lake, UNIVERSE, run_id="r", code_version="v")
    assert not lake.table("mine", "training_set").exists()
    assert LABELS.session_column == "session_date"

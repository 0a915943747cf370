from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from nofx_pipelines.config import UniverseConfig
from nofx_pipelines.errors import ModelError, TableNotFound
from nofx_pipelines.lake.schemas import SIGNALS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.promotion.signals import refresh_signals, score_features
from nofx_pipelines.registry.versions import NamedModel

UNIVERSE = UniverseConfig("cn", "cn", "1d")
DAYS = [date(2024, 1, day) for day in (2, 3, 4, 5)]


class Weighted:
    """Scores are a weighted sum, NaN as zero; counts the rows it was shown."""

    feature_names = ("momentum", "volume")

    def __init__(self) -> None:
        self.rows = 0

    def predict(self, x: np.ndarray) -> np.ndarray:
        assert x.dtype == np.float64
        self.rows += len(x)
        return np.nan_to_num(x) @ np.array([1.0, 10.0])


def model(version: str = "3") -> NamedModel:
    return NamedModel("nofx-signal-cn", version, Weighted())


def features(days: list[date] = DAYS, names: int = 6, seed: int = 7) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"I{i}", day) for day in days for i in range(names)]
    frame = pl.DataFrame(rows, schema={"instrument_id": pl.String, "session_date": pl.Date}, orient="row")
    return frame.select(
        "instrument_id",
        pl.col("session_date").cast(pl.Datetime("us", "UTC")).dt.offset_by("7h").alias("ts_close"),
        "session_date",
        pl.lit("v").alias("version"),
        pl.Series("volume", rng.standard_normal(len(rows))),
        pl.Series("momentum", rng.standard_normal(len(rows))),
    )


def test_features_reach_the_model_by_name() -> None:
    frame = features()
    result = score_features(frame, model())
    assert dict(result.schema) == SIGNALS.columns
    expected = frame.sort("ts_close", "instrument_id").select(pl.col("momentum") + 10 * pl.col("volume"))
    np.testing.assert_allclose(result["score"], expected.to_series())
    assert result["model"].unique().to_list() == ["nofx-signal-cn"]
    assert result["model_version"].unique().to_list() == ["3"]


def test_ranks_run_from_minus_half_to_half() -> None:
    for (_close,), rows in score_features(features(), model()).group_by("ts_close"):
        ordered = rows.sort("score")["rank"].to_list()
        assert ordered == pytest.approx(np.linspace(-0.5, 0.5, 6).tolist())


def test_below_five_instruments_there_is_no_rank() -> None:
    result = score_features(features(names=4), model())
    assert result["rank"].null_count() == result.height == 16


def test_unknown_features_reach_the_model_as_nan_and_empty_rows_do_not() -> None:
    first, second = pl.int_range(pl.len()) == 0, pl.int_range(pl.len()) == 1
    frame = features().with_columns(
        pl.when(~(first | second)).then("momentum").alias("momentum"),
        pl.when(~first).then("volume").alias("volume"),
    )
    result = score_features(frame, model())
    assert result.height == frame.height - 1
    score = result.filter((pl.col("instrument_id") == "I1") & (pl.col("session_date") == DAYS[0]))["score"][0]
    assert score == pytest.approx(10 * frame["volume"][1])


def test_a_score_that_is_not_finite_is_no_signal() -> None:
    class Broken(Weighted):
        def predict(self, x: np.ndarray) -> np.ndarray:
            scores = super().predict(x)
            scores[0], scores[1] = np.nan, np.inf
            return scores

    result = score_features(features(), NamedModel("m", "1", Broken()))
    assert result.height == 22
    assert result.filter(pl.col("session_date") == DAYS[0])["rank"].null_count() == 4


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(ModelError, match=r"version 3 needs 1 features that the table lacks: momentum"):
        score_features(features().drop("momentum"), model())


def test_no_rows_give_no_signals() -> None:
    assert dict(score_features(features().clear(), model()).schema) == SIGNALS.columns


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    lake.table("cn", "features").replace(DAYS[0], DAYS[-1] + timedelta(days=1), features())
    return lake


def refresh(lake: Lake, given: NamedModel, sessions: int = 2, code: str = "a", force: bool = False):  # type: ignore[no-untyped-def]
    return refresh_signals(
        lake, UNIVERSE, given, sessions=sessions, run_id="r", code_version=code, force=force
    )


def test_the_latest_sessions_are_scored_once(lake: Lake) -> None:
    given = model()
    first = refresh(lake, given)
    assert first.written == tuple(DAYS[-2:])
    stored = lake.table("cn", "signals").scan().collect().sort("ts_close", "instrument_id")
    assert stored.equals(score_features(features(DAYS).filter(pl.col("session_date") >= DAYS[2]), model()))
    shown = given.scorer.rows  # type: ignore[attr-defined]
    again = refresh(lake, given)
    assert (again.written, again.fresh, again.version) == ((), tuple(DAYS[-2:]), first.version)
    assert given.scorer.rows == shown  # type: ignore[attr-defined]


@pytest.mark.parametrize("change", ["model", "code", "features", "force"])
def test_a_change_scores_again_what_depends_on_it(lake: Lake, change: str) -> None:
    refresh(lake, model())
    if change == "features":
        day = DAYS[-1]
        lake.table("cn", "features").replace(day, day + timedelta(days=1), features([day], seed=9))
    result = refresh(
        lake,
        model("4" if change == "model" else "3"),
        code="b" if change == "code" else "a",
        force=change == "force",
    )
    assert result.written == (tuple(DAYS[-1:]) if change == "features" else tuple(DAYS[-2:]))


def test_earlier_signals_stay_as_they_were_given(lake: Lake) -> None:
    refresh(lake, model("3"), sessions=4)
    refresh(lake, model("4"), sessions=1)
    stored = lake.table("cn", "signals").scan().collect()
    versions = stored.group_by("session_date").agg(pl.col("model_version").unique()).sort("session_date")
    assert [v[0] for v in versions["model_version"]] == ["3", "3", "3", "4"]


def test_excluded_sessions_are_left_out(lake: Lake) -> None:
    row = {
        "table": "features",
        "session_date": DAYS[-1],
        "rule": "units",
        "reason": "k drifted",
        "decided_at": datetime(2024, 1, 6),
    }
    excluded = pl.DataFrame([row]).with_columns(
        pl.col("decided_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    lake.table("cn", "excluded_sessions").replace(DAYS[-1], DAYS[-1] + timedelta(days=1), excluded)
    assert refresh(lake, model()).written == tuple(DAYS[1:3])


def test_lineage_names_the_features_it_read(lake: Lake) -> None:
    refresh(lake, model())
    assert lake.table("cn", "signals").history()["lineage"].to_list() == ['{"cn/features": 0}']


def test_without_features_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(TableNotFound, match="cn/features was never written"):
        refresh(Lake(tmp_path), model())

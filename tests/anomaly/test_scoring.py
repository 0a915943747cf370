"""Scores of sessions: what they may depend on, and what they find."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines.anomaly.scoring import Scored, history, score_sessions
from nofx_pipelines.lake.schemas import ANOMALY_EVIDENCE, ANOMALY_SCORES

Bars = Callable[..., pl.DataFrame]
KEY = ["instrument_id", "ts_close", "detector"]


def _scored(bars: pl.DataFrame, days: list[date], freq: str = "1d") -> Scored:
    return score_sessions(bars, freq, days, seed=3, detector_version="v")


def _days(bars: pl.DataFrame) -> list[date]:
    return bars["session_date"].unique().sort().to_list()


@pytest.fixture(scope="module")
def bars(make_bars: Bars) -> pl.DataFrame:
    """Three hundred daily sessions with a price that is wrong and one that stands still."""
    made = make_bars(sessions=300, instruments=6).sort("instrument_id", "ts_close")
    who, days = pl.col("instrument_id") == "CN.SSE.600002", _days(made)
    wrong = who & (pl.col("session_date") == days[250])
    return made.with_columns(
        pl.when(wrong).then(pl.col(c) * 1.3).otherwise(pl.col(c)).alias(c) for c in ("close", "high")
    )


@pytest.fixture(scope="module")
def whole(bars: pl.DataFrame) -> Scored:
    return _scored(bars, _days(bars))


def test_frames_are_the_tables(whole: Scored) -> None:
    assert dict(whole.scores.schema) == dict(pl.Schema(ANOMALY_SCORES.columns))
    assert dict(whole.evidence.schema) == dict(pl.Schema(ANOMALY_EVIDENCE.columns))
    assert not whole.scores.select(pl.struct(KEY).is_duplicated().any()).item()
    assert np.isfinite(whole.scores["neg_log10_p"].to_numpy()).all()


def test_a_session_alone_equals_the_whole_history_bit_for_bit(bars: pl.DataFrame, whole: Scored) -> None:
    days = _days(bars)
    for k in (130, 181, 240, 250, 299):
        first = history(days, [days[k]], "1d")
        part = bars.filter(pl.col("session_date").is_between(days[first], days[k]))
        alone = _scored(part, [days[k]])
        same = pl.col("session_date") == days[k]
        assert_frame_equal(alone.scores.sort(KEY), whole.scores.filter(same).sort(KEY), check_exact=True)
        assert_frame_equal(
            alone.evidence.sort("instrument_id"),
            whole.evidence.filter(same).sort("instrument_id"),
            check_exact=True,
        )


def test_a_session_of_minutes_alone_equals_the_whole_history(make_bars: Bars) -> None:
    bars = make_bars(sessions=75, instruments=5, slots=12)
    days = _days(bars)
    whole = _scored(bars, days, "1m").scores
    assert whole.height
    for k in (60, 74):
        part = bars.filter(pl.col("session_date").is_between(days[history(days, [days[k]], "1m")], days[k]))
        alone = _scored(part, [days[k]], "1m").scores
        assert_frame_equal(
            alone.sort(KEY), whole.filter(pl.col("session_date") == days[k]).sort(KEY), check_exact=True
        )


def test_the_future_never_changes_the_past(bars: pl.DataFrame, whole: Scored) -> None:
    days = _days(bars)
    later = pl.col("session_date") > days[200]
    changed = bars.with_columns(
        pl.when(later).then(pl.col(c) * 1.7).otherwise(pl.col(c)).alias(c)
        for c in ("close", "high", "volume")
    )
    past = pl.col("session_date") <= days[200]
    after = _scored(changed, days)
    assert_frame_equal(
        after.scores.filter(past).sort(KEY), whole.scores.filter(past).sort(KEY), check_exact=True
    )


def test_the_order_of_rows_does_not_matter(bars: pl.DataFrame, whole: Scored) -> None:
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=8)
    assert_frame_equal(
        _scored(shuffled, _days(bars)).scores.sort(KEY), whole.scores.sort(KEY), check_exact=True
    )


def test_ordinary_bars_score_as_often_as_p_says(make_bars: Bars) -> None:
    bars = make_bars(sessions=800, instruments=12, seed=11)
    scores = _scored(bars, _days(bars)).scores.filter(pl.col("detector") == "ensemble")["neg_log10_p"]
    assert (scores >= 1).mean() == pytest.approx(0.1, abs=0.02)
    assert (scores >= 2).mean() == pytest.approx(0.01, abs=0.005)
    assert (scores >= 3).mean() < 0.003


def test_a_wrong_close_is_found_and_explained(bars: pl.DataFrame, whole: Scored) -> None:
    loudest = whole.evidence.sort("score")[-1].row(0, named=True)
    assert loudest["instrument_id"] == "CN.SSE.600002"
    assert loudest["session_date"] in (_days(bars)[250], _days(bars)[251])
    names = {line["feature"] for line in loudest["explanation"]}
    assert names & {"close_to_vwap", "return", "reversal"}
    first = loudest["explanation"][0]
    assert not first["expected_low"] <= first["value"] <= first["expected_high"]


def test_explanations_are_signed(bars: pl.DataFrame, whole: Scored) -> None:
    for row in whole.evidence.iter_rows(named=True):
        for line in row["explanation"]:
            if line["value"] is not None and abs(line["contribution"]) > 2:
                above = line["value"] > line["expected_high"]
                below = line["value"] < line["expected_low"]
                if above or below:
                    assert (line["contribution"] > 0) == above


def test_without_a_history_nothing_is_scored(make_bars: Bars) -> None:
    bars = make_bars(sessions=60, instruments=6)
    assert _scored(bars, _days(bars)).scores.is_empty()
    one = bars.head(1)
    assert _scored(one, _days(one)).scores.is_empty()
    none = bars.clear()
    assert _scored(none, []).scores.is_empty()


def test_one_instrument_is_scored_without_a_cross_section(make_bars: Bars) -> None:
    bars = make_bars(sessions=320, instruments=1)
    scored = _scored(bars, _days(bars))
    assert scored.scores.filter(pl.col("detector") == "ensemble").height > 100
    assert "cross_section" not in scored.evidence["channel"].to_list()


@pytest.mark.parametrize("column", ["volume", "amount", "n_trades", "close"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 5.0])
def test_odd_columns_leave_the_others_scored(make_bars: Bars, column: str, value: float | None) -> None:
    bars = make_bars(sessions=160, instruments=5).with_columns(pl.lit(value, dtype=pl.Float64).alias(column))
    scores = _scored(bars, _days(bars)[-20:]).scores
    assert not scores["neg_log10_p"].is_nan().any()
    if column != "close":
        assert scores.filter(pl.col("detector") == "ensemble").height == 100

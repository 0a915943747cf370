"""Scores of sessions: what they may depend on, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from nofx_pipelines import plugins
from nofx_pipelines.anomaly.scoring import Scored, history, score_sessions
from nofx_pipelines.errors import PluginError
from nofx_pipelines.lake.schemas import ANOMALY_EVIDENCE, ANOMALY_SCORES

Bars = Callable[..., pl.DataFrame]
KEY = ["instrument_id", "ts_close", "detector"]


DETECTORS = ("robust_z", "ewma", "isolation_forest", "rules")
SKELETON = Path(plugins.__file__).parent / "skeletons" / "detectors.py.txt"


def _scored(
    bars: pl.DataFrame,
    days: list[date],
    freq: str = "1d",
    detectors: Sequence[str] = DETECTORS,
    plugins: Path | None = None,
) -> Scored:
    return score_sessions(
        bars, freq, days, detectors=detectors, plugins=plugins, seed=3, detector_version="v"
    )


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


SOME = [
    *((name,) for name in DETECTORS),
    *(tuple(name for name in DETECTORS if name != out) for out in DETECTORS),
]


@pytest.mark.parametrize("detectors", SOME, ids="+".join)
def test_fewer_detectors_score_as_they_do_among_all(
    bars: pl.DataFrame, whole: Scored, detectors: tuple[str, ...]
) -> None:
    days = _days(bars)
    scored = _scored(bars, days, detectors=detectors)
    own = pl.col("detector").is_in(detectors)
    among_all = whole.scores.filter(
        own & pl.col("session_date").is_in(scored.scores["session_date"].implode())
    )
    assert_frame_equal(scored.scores.filter(own).sort(KEY), among_all.sort(KEY), check_exact=True)
    assert {*scored.scores["detector"]} == {"ensemble", *detectors}
    assert {*scored.evidence["detector"]} <= {*detectors}
    first = history(days, [days[250]], "1d")
    part = bars.filter(pl.col("session_date").is_between(days[first], days[250]))
    alone = _scored(part, [days[250]], detectors=detectors)
    same = pl.col("session_date") == days[250]
    assert_frame_equal(alone.scores.sort(KEY), scored.scores.filter(same).sort(KEY), check_exact=True)


@pytest.fixture
def with_drift(tmp_path: Path) -> Path:
    """A folder of plug-ins with the detector that a newcomer begins with."""
    text = SKELETON.read_text(encoding="utf-8").replace("__NAME__", "drift")
    (tmp_path / "drift.py").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_detector_with_a_memory_scores_a_session_alone_as_in_the_whole_history(
    bars: pl.DataFrame, with_drift: Path
) -> None:
    days, names = _days(bars), ("drift:DETECTOR", "rules")
    whole = _scored(bars, days, detectors=names, plugins=with_drift).scores
    assert whole.filter(pl.col("detector") == "drift:DETECTOR").height > 100
    for k in (181, 240, 299):
        part = bars.filter(pl.col("session_date").is_between(days[history(days, [days[k]], "1d")], days[k]))
        alone = _scored(part, [days[k]], detectors=names, plugins=with_drift).scores
        assert_frame_equal(
            alone.sort(KEY), whole.filter(pl.col("session_date") == days[k]).sort(KEY), check_exact=True
        )


MEMORY = """
import numpy as np
from nofx_pipelines.anomaly.detectors.protocol import Statistic

class Memory:
    statistics = (Statistic("sum"),)

    def fit(self, bars, reference, seed):
        return self

    def score(self, bars, span):
        return np.nancumsum(np.abs(bars.z[0]), axis=0)[span] + bars.traded.cumsum(axis=0)[span] % 7

    def parameters(self):
        return {}

DETECTOR = Memory()
"""


def test_detectors_read_the_same_whichever_sessions_were_read_with_one(
    make_bars: Bars, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MEMORY)
    bars = make_bars(sessions=520, instruments=3)
    days = _days(bars)
    whole = _scored(bars, days[420:], detectors=["mine:DETECTOR"], plugins=tmp_path).scores
    for k in (470, 519):
        part = bars.filter(pl.col("session_date").is_between(days[history(days, [days[k]], "1d")], days[k]))
        assert part["session_date"].n_unique() < k
        alone = _scored(part, [days[k]], detectors=["mine:DETECTOR"], plugins=tmp_path).scores
        assert_frame_equal(
            alone.sort(KEY), whole.filter(pl.col("session_date") == days[k]).sort(KEY), check_exact=True
        )


def test_a_user_s_detector_stands_beside_ours(bars: pl.DataFrame, whole: Scored, with_drift: Path) -> None:
    scored = _scored(bars, _days(bars), detectors=(*DETECTORS, "drift:DETECTOR"), plugins=with_drift)
    ours = pl.col("detector").is_in(DETECTORS)
    assert_frame_equal(
        scored.scores.filter(ours).sort(KEY), whole.scores.filter(ours).sort(KEY), check_exact=True
    )
    assert "drift:DETECTOR" in scored.evidence["detector"].to_list()
    learned = next(iter(scored.references.values())).parameters()["detectors"]["drift:DETECTOR"]
    assert learned["parameters"]["slack"] == 0.5
    assert len(learned["tails"]) == 8


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("for z in units])", "for z in units])[:, ::-1]", "scores a session otherwise beside later ones"),
        ("float(x.std())", "np.random.default_rng().random()", "is another one when it is fitted again"),
        ("known = [", "known = [1 / 0 ", "raised SyntaxError when importing it"),
        ('SLACK, "spread"', 'set(), "spread"', "gave parameters that JSON cannot hold"),
    ],
)
def test_a_user_s_detector_that_is_wrong_is_refused_by_name(
    bars: pl.DataFrame, with_drift: Path, old: str, new: str, why: str
) -> None:
    file = with_drift / "drift.py"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(PluginError, match=rf"plug-in 'drift:DETECTOR' \(detector, .*drift.py\) {why}"):
        _scored(bars, _days(bars), detectors=("rules", "drift:DETECTOR"), plugins=with_drift)


def test_a_reference_without_a_known_bar_leaves_its_period_unscored(make_bars: Bars) -> None:
    bars = make_bars(sessions=60, instruments=2, slots=4)
    five_to_the_week_s_end = pl.col("session_date") >= _days(bars)[2]
    bars = bars.filter(five_to_the_week_s_end).with_columns(
        ts_open=pl.col("session_date").cast(pl.Datetime("us", "UTC"))
        + pl.duration(hours=pl.int_range(pl.len()).over("instrument_id", "session_date"))
    )
    scores = _scored(bars, _days(bars), "1h").scores
    assert scores.height
    assert scores["session_date"].min() == _days(bars)[19]

"""Refreshing features in a lake: what is recomputed, and that it equals the full history bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.errors import FeatureError, TableNotFound
from nofx_pipelines.features import compute, feature_set
from nofx_pipelines.features.execution.refresh import feature_inputs, refresh_features
from nofx_pipelines.lake.incremental import RefreshResult
from nofx_pipelines.lake.schemas import BARS, CORPORATE_ACTIONS, EXCLUDED_SESSIONS, INSTRUMENTS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.adjust import adjusted
from nofx_pipelines.market.sessions import calendar
from tests.features.worlds import random_bars, same_bits

UNIVERSE = UniverseConfig(name="cn_small", market="cn", freq="1d")
FEED = FeedConfig(market="cn", freq="1d", sources=(SourceConfig(kind="simulated"),), start=date(2024, 1, 1))
YEAR = calendar("cn").bars_per_year("1d")
TECHNICAL = feature_set("technical")
FOREVER = date(2030, 1, 1)


def table_bars(
    sessions: int = 90, gone: tuple[date, date] = (date(2024, 1, 20), date(2024, 3, 20))
) -> pl.DataFrame:
    """Bars in the table's columns: six instruments, one of them suspended for long."""
    plain = random_bars(6, sessions, seed=1, suspended=0.05)
    long_gone = (pl.col("instrument_id") == "CN.SSE.600004") & pl.col("session_date").is_between(*gone)
    knowledge = datetime(2026, 1, 1, tzinfo=UTC)
    known = {
        "status": pl.when(long_gone).then(pl.lit("suspended")).otherwise("status"),
        "ts_open": pl.col("ts_close").dt.offset_by("-6h"),
        "freq": pl.lit("1d"),
        "session_phase": pl.lit("all"),
        "price_basis": pl.lit("unadjusted"),
        "is_final": pl.lit(value=True),
        "quality": pl.lit([], dtype=pl.List(pl.String)),
        "source": pl.lit("simulated"),
        "revision": pl.lit(0),
        "knowledge_time": pl.lit(knowledge),
    }
    frame = plain.with_columns(**known)
    absent = [pl.lit(None).alias(name) for name in BARS.columns if name not in frame.columns]
    return frame.with_columns(absent).select(*BARS.columns).cast(BARS.columns)  # type: ignore[arg-type]


def write_bars(lake: Lake, bars: pl.DataFrame) -> None:
    days = bars["session_date"]
    first, last = days.min(), days.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    lake.table(UNIVERSE.name, "bars").replace(first, last + timedelta(days=1), bars)


def refresh(
    lake: Lake, start: date = date(2000, 1, 1), end: date = FOREVER, code: str = "v1", *, force: bool = False
) -> RefreshResult:
    return refresh_features(
        lake, UNIVERSE, FEED, start=start, end=end, run_id="r", code_version=code, force=force
    )


def stored(lake: Lake) -> pl.DataFrame:
    return lake.table(UNIVERSE.name, "features").scan().collect()


def expected(bars: pl.DataFrame) -> pl.DataFrame:
    return compute(bars, TECHNICAL, bars_per_year=YEAR).frame


def sessions(bars: pl.DataFrame) -> list[date]:
    return bars["session_date"].unique().sort().to_list()


@pytest.fixture
def bars() -> pl.DataFrame:
    return table_bars()


@pytest.fixture
def lake(tmp_path: Path, bars: pl.DataFrame) -> Lake:
    made = Lake(tmp_path)
    write_bars(made, bars)
    return made


def test_the_history_once_and_then_nothing(lake: Lake, bars: pl.DataFrame) -> None:
    first = refresh(lake)
    assert first.written == tuple(sessions(bars))
    same_bits(stored(lake), expected(bars))
    again = refresh(lake)
    assert (again.written, again.rows) == ((), 0)
    stamps = lake.table(UNIVERSE.name, "features").stamps()
    inputs = feature_inputs(lake, UNIVERSE, FEED, date(2024, 2, 1), date(2024, 3, 1))
    assert inputs == {
        day: s.inputs for day, s in stamps.items() if date(2024, 2, 1) <= day < date(2024, 3, 1)
    }


def test_one_session_after_another_equals_the_history(lake: Lake, bars: pl.DataFrame) -> None:
    days = sessions(bars)
    refresh(lake, end=days[70])
    for day in days[70:]:
        assert refresh(lake, day, day + timedelta(days=1)).written == (day,)
    same_bits(stored(lake), expected(bars))
    assert refresh(lake).written == ()


def test_a_session_alone_in_an_empty_lake(lake: Lake, bars: pl.DataFrame) -> None:
    day = sessions(bars)[80]
    assert refresh(lake, day, day + timedelta(days=1)).written == (day,)
    same_bits(stored(lake), expected(bars).filter(pl.col("session_date") == day))


def test_the_last_bars_before_a_long_suspension_are_found(tmp_path: Path) -> None:
    lake, bars = Lake(tmp_path), table_bars(220, (date(2024, 3, 1), date(2024, 7, 20)))
    write_bars(lake, bars)
    days = sessions(bars)
    refresh(lake, end=days[200])
    assert refresh(lake).written == tuple(days[200:])
    same_bits(stored(lake), expected(bars))


def test_small_chunks_equal_one(lake: Lake, bars: pl.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nofx_pipelines.features.execution.refresh._CHUNK_SESSIONS", 7)
    refresh(lake, start=sessions(bars)[30])
    refresh(lake)
    same_bits(stored(lake), expected(bars))


def test_a_new_last_session_adds_only_itself(tmp_path: Path) -> None:
    lake, bars = Lake(tmp_path), table_bars()
    days = sessions(bars)
    write_bars(lake, bars.filter(pl.col("session_date") < days[-1]))
    refresh(lake)
    write_bars(lake, bars.filter(pl.col("session_date") == days[-1]))
    assert refresh(lake).written == (days[-1],)
    same_bits(stored(lake), expected(bars))


def test_a_changed_session_makes_all_later_ones_stale(lake: Lake, bars: pl.DataFrame) -> None:
    refresh(lake)
    days = sessions(bars)
    there = pl.col("session_date") == days[40]
    changed = bars.with_columns(close=pl.when(there).then(pl.col("close") * 1.01).otherwise("close"))
    write_bars(lake, changed.filter(there))
    assert refresh(lake).written == tuple(days[40:])
    same_bits(stored(lake), expected(changed))


def test_other_code_and_force_recompute_what_is_asked_for(lake: Lake, bars: pl.DataFrame) -> None:
    refresh(lake)
    days = sessions(bars)
    assert refresh(lake, start=days[50], end=days[60], code="v2").written == tuple(days[50:60])
    assert refresh(lake, start=days[50], end=days[60], code="v2").written == ()
    assert refresh(lake, start=days[85], force=True).written == tuple(days[85:])
    same_bits(stored(lake), expected(bars))


def dividend(day: date) -> pl.DataFrame:
    row = {
        "instrument_id": "CN.SSE.600001",
        "ex_date": day,
        "kind": "dividend",
        "cash": 1.5,
        "currency": "CNY",
        "source": "test",
        "knowledge_time": datetime(2024, 1, 1, tzinfo=UTC),
    }
    return pl.DataFrame([row], schema=CORPORATE_ACTIONS.columns)


def test_a_corporate_action_counts_from_its_day(lake: Lake, bars: pl.DataFrame) -> None:
    refresh(lake)
    days = sessions(bars)
    lake.table("cn", "corporate_actions").overwrite(dividend(days[60]))
    assert refresh(lake, end=days[75]).written == tuple(days[60:75])
    assert refresh(lake, start=days[75]).written == tuple(days[75:])
    whole = expected(adjusted(bars, dividend(days[60])))
    assert not whole.equals(expected(bars))
    same_bits(stored(lake), whole)


def test_an_excluded_session_leaves_with_its_features(lake: Lake, bars: pl.DataFrame) -> None:
    refresh(lake)
    day = sessions(bars)[70]
    row = {
        "table": ["bars"],
        "session_date": [day],
        "rule": ["units"],
        "reason": ["test"],
        "decided_at": [datetime(2024, 1, 1, tzinfo=UTC)],
    }
    table = lake.table(UNIVERSE.name, "excluded_sessions")
    table.replace(day, day + timedelta(days=1), pl.DataFrame(row, schema=EXCLUDED_SESSIONS.columns))
    assert refresh(lake).written == tuple(sessions(bars)[70:])
    same_bits(stored(lake), expected(bars.filter(pl.col("session_date") != day)))
    assert refresh(lake).written == ()


def damage(lake: Lake, days: Sequence[date]) -> None:
    states = lake.table(UNIVERSE.name, "feature_state")
    stamps = states.stamps()
    rows = states.scan(start=days[0], end=days[0] + timedelta(days=1)).collect()
    inputs = {days[0]: stamps[days[0]].inputs}
    wrong = rows.with_columns(state=pl.lit(b"rubbish"))
    states.replace(days[0], days[0] + timedelta(days=1), wrong, inputs=inputs, code_version="v1")


def test_a_damaged_state_is_refused_and_force_repairs_it(lake: Lake, bars: pl.DataFrame) -> None:
    days = sessions(bars)
    refresh(lake, end=days[81])
    damage(lake, days[80:])
    with pytest.raises(FeatureError, match=r"damaged.*force=True"):
        refresh(lake)
    refresh(lake, start=days[80], force=True)
    same_bits(stored(lake), expected(bars))


def test_without_bars_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TableNotFound, match=r"cn_small/bars was never written.*nofx run --universe cn_small"):
        refresh(Lake(tmp_path))
    assert feature_inputs(Lake(tmp_path), UNIVERSE, FEED, date(2024, 1, 1), FOREVER) == {}


def test_sectors_come_from_the_instruments_of_that_day(lake: Lake, bars: pl.DataFrame) -> None:
    """A, B and C change their sector in the middle; the ranks in sectors follow from that session on."""
    universe = UniverseConfig(name="cn_small", market="cn", freq="1d", features=("cross_section",))
    names = sorted(bars["instrument_id"].unique())
    turn = sessions(bars)[40]
    rows = [
        {"instrument_id": name, "valid_from": date(2000, 1, 1), "sector": "bank" if k % 2 else "food"}
        for k, name in enumerate(names)
    ]
    rows += [{"instrument_id": name, "valid_from": turn, "sector": "food"} for name in names[:3]]
    frame = pl.DataFrame(rows)
    texts = dict.fromkeys(("symbol", "market", "exchange", "board", "asset_class", "name", "currency"), "x")
    frame = frame.with_columns(**{n: pl.lit(t) for n, t in texts.items()}, lot_size=100.0, tick_size=0.01)
    absent = [pl.lit(None).alias(name) for name in INSTRUMENTS.columns if name not in frame.columns]
    table = lake.table(universe.market, "instruments")
    table.overwrite(frame.with_columns(absent).select(*INSTRUMENTS.columns).cast(INSTRUMENTS.columns))  # type: ignore[arg-type]
    refresh_features(lake, universe, FEED, start=date(2000, 1, 1), end=FOREVER, run_id="r", code_version="v")
    known = frame.select("instrument_id", "valid_from", "sector").sort("valid_from")
    joined = bars.sort("session_date").join_asof(
        known, left_on="session_date", right_on="valid_from", by="instrument_id", check_sortedness=False
    )
    wanted = compute(joined, feature_set("cross_section"), bars_per_year=YEAR).frame
    same_bits(stored(lake), wanted)
    assert wanted["rank_in_sector_20"].null_count() < wanted.height

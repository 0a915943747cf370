"""The bars of a universe: choice of source and revision, and a session alone equals the full run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import FeedConfig, SourceConfig, UniverseConfig
from nofx_pipelines.errors import CalendarError, ConfigError, NotEnoughData
from nofx_pipelines.lake.schemas import BARS, CORPORATE_ACTIONS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market import bars as bars_module
from nofx_pipelines.market.bars import RefreshedBars, build_bars, choose, refresh_bars
from nofx_pipelines.market.checks import check_rows
from nofx_pipelines.market.fingerprints import row_hashes
from nofx_pipelines.market.gaps import GAPS_SUSPENDED
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources import open_source

NOW = datetime(2026, 11, 1, tzinfo=UTC)
A, B = "CN.SSE.600000", "CN.SZSE.000001"
START, END = date(2024, 1, 2), date(2024, 3, 1)
SOURCES = (SourceConfig(kind="files", path=Path("made")),)
FEED = FeedConfig(market="cn", freq="1d", sources=SOURCES, start=START, end=END)
UNIVERSE = UniverseConfig(name="cn_test", market="cn", freq="1d")
Make = Callable[..., pl.DataFrame]


def stored(frame: pl.DataFrame, revision: int = 0) -> pl.DataFrame:
    return frame.with_columns(row_hashes(frame), pl.lit(revision, pl.Int32).alias("revision"))


def rough(make_bars: Make) -> pl.DataFrame:
    """Two months with a suspension, a unit switch, a bad print and an action."""
    bars = make_bars([A, B], "1d", START, END)
    mine = pl.col("instrument_id") == A
    gone = pl.col("session_date").is_between(date(2024, 1, 15), date(2024, 1, 26))
    bars = bars.filter(~(mine & gone)).with_columns(pl.lit([GAPS_SUSPENDED]).alias("quality"))
    switched = mine & (pl.col("session_date") == date(2024, 2, 5))
    spiked = mine & (pl.col("session_date") == date(2024, 2, 20))
    return bars.with_columns(
        pl.when(switched).then(pl.col("volume") / 100).otherwise("volume").alias("volume"),
        pl.when(spiked).then(pl.col("high") * 1.5).otherwise("high").alias("high"),
    )


ACTIONS = pl.DataFrame(
    [(A, date(2024, 1, 22), "dividend", None, 0.5), (B, date(2024, 2, 6), "bonus", 0.1, None)],
    schema={
        name: CORPORATE_ACTIONS.columns[name]
        for name in ("instrument_id", "ex_date", "kind", "ratio", "cash")
    },
    orient="row",
)


def test_the_first_source_of_the_chain_and_the_newest_revision_count(make_bars: Make) -> None:
    first = make_bars([A], "1d", START, date(2024, 1, 5), source="files")
    second = make_bars([A, B], "1d", START, date(2024, 1, 9), source="simulated")
    revised = stored(first[:1].with_columns(pl.col("close") + 1), revision=1)
    every = pl.concat([stored(first), stored(second), revised])
    chosen = choose(every, ["files", "simulated"]).sort("instrument_id", "ts_open")
    mine = chosen.filter(pl.col("instrument_id") == A)
    assert mine["source"].to_list() == ["files"] * 3 + ["simulated"] * 2
    assert mine["close"][0] == first["close"][0] + 1
    assert chosen.filter(pl.col("instrument_id") == B)["source"].unique().to_list() == ["simulated"]
    assert choose(every, ["simulated"])["source"].unique().to_list() == ["simulated"]


def test_building_is_blind_to_the_order_of_rows(make_bars: Make, make_instruments: Make) -> None:
    rows, listed = stored(rough(make_bars)), make_instruments([A, B])
    sessions = calendar("cn").sessions(START, END)

    def build(frame: pl.DataFrame) -> pl.DataFrame:
        return build_bars(
            frame, listed, calendar("cn"), freq="1d", sessions=sessions, now=NOW, actions=ACTIONS
        ).bars

    assert build(rows).equals(build(rows.sample(fraction=1.0, shuffle=True, seed=3)))
    assert dict(build(rows).schema) == BARS.columns


@pytest.fixture
def lake(tmp_path: Path, make_bars: Make, make_instruments: Make) -> Lake:
    made = Lake(tmp_path)
    made.table("cn", "source_bars_1d").append(stored(rough(make_bars)))
    made.table("cn", "instruments").overwrite(make_instruments([A, B]))
    actions = ACTIONS.with_columns(
        pl.lit("CNY").alias("currency"),
        pl.lit(None, pl.Date).alias("announced_on"),
        pl.lit("made").alias("source"),
        pl.lit(NOW).alias("knowledge_time"),
    )
    made.table("cn", "corporate_actions").overwrite(actions)
    return made


def refresh(lake: Lake, start: date = START, end: date = END, **options: object) -> RefreshedBars:
    given: dict[str, object] = {"now": NOW, "run_id": "r", "code_version": "c1", **options}
    return refresh_bars(lake, UNIVERSE, FEED, start=start, end=end, **given)  # type: ignore[arg-type]


def rows_of(lake: Lake) -> pl.DataFrame:
    return lake.table("cn_test", "bars").scan().collect().sort("ts_open", "instrument_id")


def test_a_session_built_alone_equals_the_full_run(
    lake: Lake, tmp_path: Path, make_bars: Make, make_instruments: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh(lake)
    whole = rows_of(lake)
    assert {"suspended", "source_hole", "traded"} <= set(whole["status"])
    resumed = (pl.col("instrument_id") == A) & (pl.col("session_date") == date(2024, 1, 29))
    before = (pl.col("instrument_id") == A) & (pl.col("session_date") == date(2024, 1, 12))
    close = whole.filter(before)["close"].item()
    assert whole.filter(resumed)["prev_close"].item() == pytest.approx(close - 0.5)  # its dividend
    stamps = {day: stamp.content for day, stamp in lake.table("cn_test", "bars").stamps().items()}
    monkeypatch.setattr(bars_module, "CHUNK_ROWS", 1)
    done = refresh(lake, force=True)
    assert len(done.written) == len(calendar("cn").sessions(START, END))
    assert rows_of(lake).equals(whole)
    assert {day: s.content for day, s in lake.table("cn_test", "bars").stamps().items()} == stamps
    for day in (date(2024, 1, 29), date(2024, 2, 6), date(2024, 2, 21)):
        refresh(lake, day, day + timedelta(days=1), force=True)
    assert rows_of(lake).equals(whole)


def test_a_second_refresh_computes_nothing_and_adds_nothing(lake: Lake) -> None:
    first = refresh(lake)
    assert first.rejected == 2
    before = lake.table("cn", "quarantine").scan().collect()
    again = refresh(lake)
    assert again.written == ()
    assert again.rows == 0
    forced = refresh(lake, force=True, now=NOW + timedelta(days=1))
    assert forced.rejected == 2
    assert lake.table("cn", "quarantine").scan().collect().equals(before)
    assert refresh(lake, code_version="c2").written == first.written


def test_a_revision_rebuilds_the_sessions_that_read_it_and_no_earlier_one(
    lake: Lake, make_bars: Make
) -> None:
    refresh(lake)
    day = date(2024, 2, 7)
    bar = make_bars([A, B], "1d", START, END).filter(
        (pl.col("session_date") == day) & (pl.col("instrument_id") == B)
    )
    revised = bar.with_columns(pl.col("close") + 0.01)
    lake.table("cn", "source_bars_1d").append(stored(revised, revision=1))
    stamps = lake.table("cn_test", "bars").stamps()
    done = refresh(lake)
    assert done.written[0] == day
    after = lake.table("cn_test", "bars").stamps()
    changed = [each for each in after if after[each].content != stamps[each].content]
    assert changed == [day, calendar("cn").next_session(day)]  # its close is the next day's previous close


def test_excluded_sessions_are_listed_once_and_leave_when_they_are_good(lake: Lake, make_bars: Make) -> None:
    day = date(2024, 1, 9)
    lots = make_bars([A, B], "1d", day, day + timedelta(days=1)).with_columns(pl.col("volume") / 100)
    lake.table("cn", "source_bars_1d").append(stored(lots, revision=1))
    other = pl.DataFrame(
        {"table": ["features"], "session_date": [day], "rule": ["x"], "reason": ["y"], "decided_at": [NOW]}
    )
    lake.table("cn_test", "excluded_sessions").replace(day, day + timedelta(days=1), other)
    done = refresh(lake)
    assert done.excluded.select("session_date", "rule").rows() == [(day, "refused_bars")]
    listed = lake.table("cn_test", "excluded_sessions").scan().collect().sort("table")
    assert listed.select("table", "rule").rows() == [("bars", "refused_bars"), ("features", "x")]
    assert rows_of(lake).filter(pl.col("session_date") == day).is_empty()
    good = make_bars([A, B], "1d", day, day + timedelta(days=1))
    lake.table("cn", "source_bars_1d").append(stored(good, revision=2))
    refresh(lake)
    listed = lake.table("cn_test", "excluded_sessions").scan().collect()
    assert listed["table"].to_list() == ["features"]
    assert rows_of(lake).filter(pl.col("session_date") == day).height == 2


def test_members_choose_the_instruments(lake: Lake) -> None:
    only = UniverseConfig(name="one", market="cn", freq="1d", members=("600000",))
    refresh_bars(lake, only, FEED, start=START, end=END, now=NOW, run_id="r", code_version="c")
    assert lake.table("one", "bars").scan().collect()["instrument_id"].unique().to_list() == [A]
    none = UniverseConfig(name="none", market="cn", freq="1d", members=("600519",))
    with pytest.raises(ConfigError, match="no instrument '600519' among those ingested"):
        refresh_bars(lake, none, FEED, start=START, end=END, now=NOW, run_id="r", code_version="c")


def test_without_ingestion_or_calendar_it_says_so(tmp_path: Path, lake: Lake) -> None:
    with pytest.raises(NotEnoughData, match="cn 1d was never ingested"):
        refresh(Lake(tmp_path / "empty"))
    with pytest.raises(CalendarError, match="past its verified horizon"):
        refresh(lake, date(2031, 1, 1), date(2031, 2, 1))


def test_real_shares_keep_within_the_limits_of_their_day(real_data: Path, tmp_path: Path) -> None:
    """Eleven years of three A-shares with their corporate actions: rules, rounding and reference prices hold.

    The two days beyond a limit are the resumptions after the share reform, which had none.
    """
    for name in (
        "hikyuu_SH600000_1d",
        "hikyuu_SZ000001_1d",
        "hikyuu_SZ000002_1d",
        "hikyuu_corporate_actions",
    ):
        (tmp_path / f"{name}.csv.gz").symlink_to(real_data / f"market/ashare/{name}.csv.gz")
    start, end = date(2000, 3, 1), date(2011, 12, 7)
    link = SourceConfig(kind="files", path=tmp_path)
    source = open_source(link, market="cn", freq="1d", start=start, end=end, now=NOW)
    rows = pl.concat([batch.bars for batch in source.batches(start, end)]).drop("row_hash")
    good, rejects = check_rows(rows, calendar("cn"), freq="1d", now=NOW)
    assert rejects.is_empty()
    result = build_bars(
        stored(good),
        source.instruments(),
        calendar("cn"),
        freq="1d",
        sessions=calendar("cn").sessions(start, end),
        now=NOW,
        actions=source.corporate_actions(),
    )
    assert result.rejects.is_empty()
    beyond = result.bars.filter(pl.col("quality").list.contains("beyond_limit"))
    assert beyond.select("instrument_id", "session_date").rows() == [
        (A, date(2006, 5, 12)),
        (B, date(2007, 6, 20)),
    ]
    traded = result.bars.filter(pl.col("status") == "traded")
    limited = traded.filter(pl.col("limit_up").is_not_null())
    assert limited.height >= traded.height - 3  # the first day of each
    at_limit = limited.filter((pl.col("close") - pl.col("limit_up")).abs() < 1e-9).height
    assert at_limit > 30  # the limits bind: closes stand exactly on them

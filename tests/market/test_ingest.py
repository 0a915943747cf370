"""Ingestion: idempotent, revised by value, safe to kill, nothing swallowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from nofx_pipelines.config import FeedConfig, SourceConfig
from nofx_pipelines.errors import CalendarError
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, SOURCE_BARS, TRUTH_SIGNAL
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.lake.table import LakeTable
from nofx_pipelines.market import ingest as ingest_module
from nofx_pipelines.market.gaps import GAPS_NO_TRADE, GAPS_SUSPENDED
from nofx_pipelines.market.ingest import IngestResult, ingest, pending_sessions
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources import Decision

NOW = datetime(2026, 11, 1, tzinfo=UTC)
A, B = "CN.SSE.600000", "CN.SZSE.000001"
START, END = date(2024, 1, 2), date(2024, 2, 1)
Make = Callable[..., pl.DataFrame]
MadeSource = Callable[..., Any]
Run = Callable[..., IngestResult]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """``run(*sources, **options)`` ingests them into one lake."""

    def go(*sources: Any, **options: Any) -> IngestResult:
        waiting = list(sources)
        monkeypatch.setattr(ingest_module, "open_source", lambda *_, **__: waiting.pop(0))
        links = tuple(SourceConfig(kind="files", path=Path("made")) for _ in sources)
        feed = FeedConfig(market="cn", freq="1d", sources=links, start=START, end=END)
        given = {"start": START, "end": END, "now": NOW, "run_id": "r1", "code_version": "c1", **options}
        return ingest(Lake(tmp_path), feed, **given)

    return go


@pytest.fixture
def source(made_source: MadeSource, make_instruments: Make) -> Callable[..., Any]:
    def make(*frames: pl.DataFrame, **options: Any) -> Any:
        return made_source(list(frames), make_instruments([A, B]), **options)

    return make


def held(tmp_path: Path, name: str = "source_bars_1d") -> pl.DataFrame:
    return Lake(tmp_path).table("cn", name).scan().collect()


def versions(tmp_path: Path) -> dict[str, int | None]:
    lake = Lake(tmp_path)
    return {name: lake.table(scope, name).version() for scope, name in lake.tables()}


def test_everything_sound_arrives_once(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    result = run(source(bars))
    sessions = calendar("cn").sessions(START, END)
    assert (result.rows, result.new, result.revised, result.rejected) == (bars.height, bars.height, 0, 0)
    assert result.sessions == tuple(sessions)
    stored = held(tmp_path)
    assert dict(stored.schema) == SOURCE_BARS.columns
    assert set(stored["revision"]) == {0}
    key = ["instrument_id", "ts_open"]
    assert stored.sort(key).select(bars.columns).equals(bars.sort(key))
    assert held(tmp_path, "instruments").height == 2
    assert set(result.versions) == {"source_bars_1d", "instruments"}


def test_an_unchanged_source_is_not_read_again(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    run(source(bars))
    before = versions(tmp_path)
    made = source(bars)
    again = run(made)
    assert made.reads == 0
    assert (again.rows, again.sessions) == (0, ())
    assert versions(tmp_path) == before
    forced = run(source(bars), force=True)
    assert (forced.rows, forced.new, forced.revised) == (bars.height, 0, 0)
    assert held(tmp_path).height == bars.height
    assert run(source(bars), code_version="c2").sessions != ()
    assert held(tmp_path).height == bars.height


def test_changed_values_are_appended_as_the_next_revision(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    at = (pl.col("instrument_id") == A) & (pl.col("session_date") == date(2024, 1, 9))
    up = bars.with_columns(pl.when(at).then(pl.col("volume") + 100).otherwise("volume").alias("volume"))
    later = bars.with_columns(pl.lit("r2").alias("source_rev"), pl.lit("elsewhere.csv:1").alias("raw_ref"))
    run(source(bars))
    assert run(source(later)).revised == 0  # where it stood is no value
    assert run(source(up)).revised == 1
    assert run(source(up), force=True).revised == 0
    stored = held(tmp_path).filter(at).sort("revision")
    assert stored["revision"].to_list() == [0, 1]
    assert stored["volume"][1] == stored["volume"][0] + 100
    assert held(tmp_path).height == bars.height + 1


def test_two_files_that_disagree_settle_after_one_run(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    at = pl.col("session_date") == date(2024, 1, 9)
    other = bars.filter(at).with_columns(pl.col("volume") * 2, pl.col("amount") * 2)
    first = run(source(bars, other))
    assert (first.new, first.revised) == (bars.height, 2)
    for _ in range(2):
        again = run(source(bars, other), force=True)
        assert (again.new, again.revised) == (0, 0)
    stored = held(tmp_path).filter(at & (pl.col("revision") == 1))
    assert stored.sort("instrument_id")["volume"].to_list() == other.sort("instrument_id")["volume"].to_list()


def test_equal_values_of_two_instruments_are_two_bars(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    mine = make_bars([A], "1d", START, END)
    run(source(mine))
    twin = mine.with_columns(pl.lit(B).alias("instrument_id"))
    assert run(source(twin)).new == mine.height
    assert held(tmp_path).height == 2 * mine.height


def test_bad_rows_are_quarantined_once_and_the_rest_goes_on(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    bad = bars.with_columns(
        pl.when(pl.int_range(pl.len()) < 3).then(-1.0).otherwise("volume").alias("volume")
    )
    result = run(source(bad))
    assert (result.rows, result.rejected) == (bars.height - 3, 3)
    quarantine = held(tmp_path, "quarantine")
    assert quarantine["rule"].to_list() == ["negative_volume"] * 3
    assert quarantine["run_id"].to_list() == ["r1"] * 3
    run(source(bad), force=True, run_id="r2", now=NOW + timedelta(days=1))
    assert held(tmp_path, "quarantine").equals(quarantine)
    assert run(source(bars)).new == 3


def test_days_outside_the_calendar_go_to_quarantine(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A], "1d", date(2026, 12, 28), date(2027, 1, 1))
    shift = pl.duration(days=7)
    ahead = bars.with_columns(
        pl.col("ts_open") + shift, pl.col("ts_close") + shift, pl.col("session_date") + shift
    )
    result = run(source(pl.concat([bars, ahead])), start=date(2026, 12, 1), end=date(2027, 2, 1))
    assert result.new == bars.height
    assert set(held(tmp_path, "quarantine")["rule"]) == {"calendar_unverified"}
    with pytest.raises(CalendarError, match="past its verified horizon"):
        run(source(ahead), start=date(2027, 1, 4), end=date(2027, 2, 1))


def test_a_session_becomes_final_with_time(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    day = date(2024, 1, 31)
    bars = make_bars([A], "1d", START, END)
    closes = datetime(2024, 1, 31, 7, 0, tzinfo=UTC)
    early = run(source(bars), now=closes + timedelta(minutes=29))
    assert len(early.sessions) == 22
    last = pl.col("session_date") == day
    assert held(tmp_path).filter(last)["is_final"].to_list() == [False]
    assert held(tmp_path).filter(~last)["is_final"].all()
    done = run(source(bars), now=closes + timedelta(minutes=30))
    assert done.sessions == (day,)
    assert (done.new, done.revised) == (0, 1)
    assert held(tmp_path).filter(last).sort("revision")["is_final"].to_list() == [False, True]
    assert run(source(bars), now=NOW).sessions == ()


def test_a_killed_run_is_taken_up_again(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (make_bars([name], "1d", START, END) for name in (A, B))
    monkeypatch.setattr(ingest_module, "COMMIT_ROWS", 1)
    append = LakeTable.append
    calls: list[int] = []

    def dies(self: LakeTable, *args: Any, **options: Any) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return append(self, *args, **options)

    monkeypatch.setattr(LakeTable, "append", dies)
    with pytest.raises(KeyboardInterrupt):
        run(source(first, second))
    assert held(tmp_path)["instrument_id"].unique().to_list() == [A]
    monkeypatch.setattr(LakeTable, "append", append)
    again = run(source(first, second))
    assert (again.rows, again.new) == (first.height + second.height, second.height)
    assert run(source(first, second)).sessions == ()


def test_the_parts_of_a_long_history_may_come_in_any_order(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    run(source(bars), start=date(2024, 1, 15), end=END)
    run(source(bars), start=START, end=date(2024, 1, 15))
    assert held(tmp_path).height == bars.height
    assert run(source(bars)).sessions == ()


def test_instruments_and_actions_are_merged_and_written_only_when_they_change(
    run: Run, source: Callable[..., Any], make_bars: Make, make_instruments: Make, tmp_path: Path
) -> None:
    bars = make_bars([A, B], "1d", START, END)
    action = {
        "instrument_id": A,
        "ex_date": date(2024, 1, 10),
        "kind": "dividend",
        "ratio": None,
        "cash": 0.5,
        "currency": "CNY",
        "announced_on": None,
        "source": "files",
        "knowledge_time": NOW,
    }
    actions = pl.DataFrame([action], schema=CORPORATE_ACTIONS.columns)
    run(source(bars, actions=actions))
    other = source(bars.filter(pl.col("instrument_id") == A))
    other.listed = make_instruments(["CN.SSE.600519"])
    run(other)
    assert held(tmp_path, "instruments").height == 3
    assert held(tmp_path, "corporate_actions").height == 1
    before = versions(tmp_path)
    run(other, force=True)
    after = versions(tmp_path)
    assert (after["instruments"], after["corporate_actions"]) == (
        before["instruments"],
        before["corporate_actions"],
    )


def test_what_was_planted_is_written_per_session_once(
    run: Run, source: Callable[..., Any], make_bars: Make, tmp_path: Path
) -> None:
    bars = make_bars([A], "1d", START, END)
    planted = bars.select(
        "instrument_id",
        "ts_close",
        "session_date",
        *[pl.lit(0.1).alias(name) for name in ("linear", "interaction", "expected_return")],
    ).cast(TRUTH_SIGNAL.columns)  # type: ignore[arg-type]
    run(source(bars, planted={"truth_signal": planted}), end=date(2024, 1, 16))
    run(source(bars, planted={"truth_signal": planted}))
    assert held(tmp_path, "truth_signal").height == planted.height
    version = versions(tmp_path)["truth_signal"]
    run(source(bars, planted={"truth_signal": planted}), force=True)
    assert versions(tmp_path)["truth_signal"] == version


@pytest.mark.parametrize(
    ("told", "tags"),
    [
        ([Decision("x", "gaps", "no_trade bars are absent")], [GAPS_NO_TRADE]),
        ([Decision("x", "gaps", "suspended days are absent")], [GAPS_SUSPENDED]),
        ([Decision("x", "gaps", "unknown"), Decision("x", "units", "no_trade")], []),
    ],
)
def test_a_source_s_habit_of_leaving_out_quiet_bars_is_kept(
    run: Run,
    source: Callable[..., Any],
    make_bars: Make,
    tmp_path: Path,
    told: Sequence[Decision],
    tags: list[str],
) -> None:
    run(source(make_bars([A], "1d", START, END), told=list(told)))
    assert held(tmp_path)["quality"].to_list() == [tags] * 22


def test_real_hong_kong_minutes_arrive_whole(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "market/hk/HK.00005_1m.csv.gz"
    links = (SourceConfig(kind="files", path=path),)
    feed = FeedConfig(market="hk", freq="1m", sources=links, start=date(2019, 7, 1), end=date(2019, 8, 3))
    lake = Lake(tmp_path)
    options: dict[str, Any] = {"start": feed.start, "end": feed.end, "now": NOW, "code_version": "c"}
    result = ingest(lake, feed, run_id="r1", **options)
    # 24 sessions of 331 bars, less what the vendor pads after the typhoon stop of 2019-07-31
    assert (result.rows, result.rejected) == (24 * 331 - 125, 125)
    rules = lake.table("hk", "quarantine").scan().collect()
    assert rules["rule"].unique().to_list() == ["out_of_session"]
    assert ingest(lake, feed, run_id="r2", **options).sessions == ()


def test_a_part_of_the_history_is_what_the_whole_would_have(tmp_path):
    """The simulator begins with the feed, whatever range is asked for."""
    source = SourceConfig(kind="simulated", instruments=4)
    feed = FeedConfig(market="cn", freq="1d", sources=(source,), start=date(2024, 1, 1), end=date(2024, 4, 1))
    now = datetime(2025, 1, 1, tzinfo=UTC)
    part, whole = Lake(tmp_path / "part"), Lake(tmp_path / "whole")
    run = {"now": now, "run_id": "r", "code_version": "c"}
    ingest(part, feed, start=date(2024, 2, 1), end=date(2024, 3, 1), **run)
    ingest(whole, feed, start=feed.start, end=feed.end, **run)
    february = [
        lake.table("cn", "source_bars_1d").scan(start=date(2024, 2, 1), end=date(2024, 3, 1)).collect()
        for lake in (part, whole)
    ]
    assert february[0].height > 40
    assert february[0].sort("instrument_id", "ts_open").equals(february[1].sort("instrument_id", "ts_open"))
    pending = {"start": date(2024, 2, 5), "end": date(2024, 3, 1), "now": now, "code_version": "c"}
    assert pending_sessions(whole, feed, **pending) == []

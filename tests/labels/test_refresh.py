from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.config import LabelConfig, UniverseConfig
from nofx_pipelines.errors import PluginError, TableNotFound
from nofx_pipelines.labels.compute import compute_labels
from nofx_pipelines.labels.refresh import label_inputs, refresh_labels
from nofx_pipelines.labels.windows import LabelWindows
from nofx_pipelines.lake.incremental import RefreshResult
from nofx_pipelines.lake.schemas import BARS, CORPORATE_ACTIONS, EXCLUDED_SESSIONS
from nofx_pipelines.lake.store import Lake
from nofx_pipelines.market.adjust import action_factors, adjusted

from .strategies import FIRST_DAY, LONG_AFTER, daily_bars, random_walk, table_bars, write_kind

DAYS = 40
UNIVERSE = UniverseConfig("mine", "crypto", "1d", labels=LabelConfig(horizon=3, sigma_bars=4))
WINDOWS = LabelWindows.of(UNIVERSE.labels, 1)
PATHS: dict[str, list[float | None]] = {
    name: list(random_walk(seed, DAYS)) for seed, name in enumerate("ABC")
}
PATHS["B"][10:16] = [None] * 6  # a suspension longer than the horizon
BARS_FRAME = table_bars(daily_bars(PATHS))


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def store_bars(lake: Lake, first: int = 0, last: int = DAYS, frame: pl.DataFrame = BARS_FRAME) -> None:
    chosen = frame.filter(pl.col("session_date").is_between(day(first), day(last), closed="left"))
    lake.table("mine", "bars").replace(day(first), day(last), chosen)


def refresh(lake: Lake, **change: object) -> RefreshResult:
    asked = {"start": day(0), "end": day(1000), "run_id": "r", "code_version": "v1", **change}
    return refresh_labels(lake, UNIVERSE, **asked)  # type: ignore[arg-type]


def stored(lake: Lake) -> pl.DataFrame:
    return lake.table("mine", "labels").scan().collect().sort("instrument_id", "ts_close")


def expected(frame: pl.DataFrame = BARS_FRAME, known_until: datetime = LONG_AFTER) -> pl.DataFrame:
    return compute_labels(frame, UNIVERSE.labels, known_until=known_until, windows=WINDOWS)


def written(result: RefreshResult) -> list[int]:
    return [(session - FIRST_DAY).days for session in result.written]


def test_the_table_holds_the_labels_of_all_bars(lake: Lake) -> None:
    store_bars(lake)
    result = refresh(lake)
    assert stored(lake).equals(expected())
    assert written(result) == list(range(DAYS))
    assert result.rows == len(expected())
    history = lake.table("mine", "labels").history().row(0, named=True)
    assert history["lineage"] == '{"mine/bars": 0}'
    assert written(refresh(lake)) == []


def test_each_close_writes_the_last_horizon_again(lake: Lake) -> None:
    store_bars(lake, 0, 30)
    refresh(lake)
    for number in range(30, 34):
        store_bars(lake, number, number + 1)
        assert written(refresh(lake)) == [number - 3, number - 2, number - 1, number]
    so_far = BARS_FRAME.filter(pl.col("session_date") < day(34))
    assert stored(lake).equals(expected(so_far))


def test_sessions_refreshed_alone_equal_one_run(lake: Lake) -> None:
    store_bars(lake)
    for number in (7, 3, 20, 19, 0, 39, 12, 16):
        refresh(lake, start=day(number), end=day(number + 1))
    refresh(lake, start=day(10), end=day(25))
    refresh(lake)
    assert stored(lake).equals(expected())


def test_a_corrected_bar_makes_only_its_surroundings_stale(lake: Lake) -> None:
    store_bars(lake)
    refresh(lake)
    close = pl.when(session_date=day(20), instrument_id="A").then(pl.col("close") * 1.1).otherwise("close")
    other = BARS_FRAME.with_columns(close)
    store_bars(lake, 20, 21, other)
    assert written(refresh(lake)) == list(range(20 - WINDOWS.ahead, 20 + WINDOWS.back + 1))
    assert stored(lake).equals(expected(other))


def test_an_excluded_session_has_no_labels_and_is_stepped_over(lake: Lake) -> None:
    store_bars(lake)
    refresh(lake)
    row = ("bars", day(20), "test", "wrong", datetime(2024, 3, 1, tzinfo=UTC))
    excluded = pl.DataFrame([row], schema=EXCLUDED_SESSIONS.columns, orient="row")
    lake.table("mine", "excluded_sessions").append(excluded)
    result = refresh(lake)
    # one session further on either side than its own reach, since the windows close ranks
    assert set(written(result)) == set(range(17, 20 + WINDOWS.back + 1))
    without = BARS_FRAME.filter(pl.col("session_date") != day(20))
    assert stored(lake).equals(expected(without))
    assert written(refresh(lake)) == []


def test_other_code_or_force_computes_all(lake: Lake) -> None:
    store_bars(lake)
    refresh(lake)
    assert len(refresh(lake, code_version="v2").written) == DAYS
    assert len(refresh(lake, code_version="v2", force=True).written) == DAYS


@pytest.mark.parametrize("number", [0, 5, 20, 38])
@pytest.mark.parametrize("hour", [15, 17])
def test_what_is_not_known_yet_is_not_there(lake: Lake, number: int, hour: int) -> None:
    store_bars(lake)
    until = datetime.combine(day(number), time(hour), UTC)
    refresh(lake, known_until=until)
    assert stored(lake).equals(expected(known_until=until))
    later = until + timedelta(minutes=30)
    assert written(refresh(lake, known_until=later)) == []  # no bar closed in between
    refresh(lake)
    assert stored(lake).equals(expected())


def test_bars_that_close_within_a_session_make_it_stale(lake: Lake) -> None:
    offset = pl.when(instrument_id="A").then(timedelta()).otherwise(timedelta(hours=2))
    at_two_hours = BARS_FRAME.with_columns(pl.col("ts_close") + offset, pl.col("ts_open") + offset)
    store_bars(lake, frame=at_two_hours)
    first = datetime.combine(day(20), time(16), UTC)
    refresh(lake, known_until=first)
    assert stored(lake).equals(expected(at_two_hours, first))
    second = first + timedelta(hours=2)
    assert written(refresh(lake, known_until=second)) == [17, 18, 19, 20]
    assert stored(lake).equals(expected(at_two_hours, second))


def test_bars_that_are_not_known_yet_make_nothing_stale(lake: Lake) -> None:
    until = datetime.combine(day(20), time(17), UTC)
    store_bars(lake, 0, 21)
    refresh(lake, known_until=until)
    store_bars(lake, 21, DAYS)
    assert written(refresh(lake, known_until=until)) == list(range(21, DAYS))  # as empty
    assert stored(lake)["session_date"].max() == day(20)


def test_prices_are_adjusted_the_same_in_every_window(lake: Lake) -> None:
    actions = pl.DataFrame(
        {
            "instrument_id": ["A", "A", "C"],
            "ex_date": [day(8), day(25), day(30)],
            "kind": ["dividend", "bonus", "split"],
            "ratio": [None, 0.3, 3.0],
            "cash": [1.7, None, None],
            "source": ["test"] * 3,
            "knowledge_time": [datetime(2024, 1, 1, tzinfo=UTC)] * 3,
        },
        schema_overrides={
            name: CORPORATE_ACTIONS.columns[name] for name in ("ratio", "cash", "knowledge_time")
        },
    )
    full = pl.concat([pl.DataFrame(schema=CORPORATE_ACTIONS.columns), actions], how="diagonal")
    lake.table("crypto", "corporate_actions").overwrite(full)
    store_bars(lake)
    for number in range(DAYS):
        refresh(lake, start=day(number), end=day(number + 1))
    prices = adjusted(BARS_FRAME, full, action_factors(full, BARS_FRAME))
    assert not prices.equals(BARS_FRAME)
    assert stored(lake).equals(expected(prices))
    a = stored(lake).filter(instrument_id="A", session_date=day(24))["forward_return"].item()
    raw = expected().filter(instrument_id="A", session_date=day(24))["forward_return"].item()
    assert a == pytest.approx(raw + 0.26236426446749106)  # log 1.3

    later = full.with_columns(
        pl.when(pl.col("ex_date") == day(30)).then(2.0).otherwise("ratio").alias("ratio")
    )
    lake.table("crypto", "corporate_actions").overwrite(later)
    assert written(refresh(lake)) == list(range(27, DAYS))  # whose windows reach the ex-date


def test_a_kind_of_one_s_own_sees_adjusted_bars(lake: Lake, tmp_path: Path) -> None:
    write_kind(tmp_path, "Labelled(np.log(bars.ahead('high')[:, 1] / bars.ahead('volume')[:, 1]))")
    bonus = pl.DataFrame(
        {"instrument_id": ["A"], "ex_date": [day(8)], "kind": ["bonus"], "ratio": [1.0]},
    )
    actions = pl.concat([pl.DataFrame(schema=CORPORATE_ACTIONS.columns), bonus], how="diagonal")
    lake.table("crypto", "corporate_actions").overwrite(
        actions.with_columns(source=pl.lit("test"), knowledge_time=LONG_AFTER)
    )
    store_bars(lake)
    refresh_labels(lake, with_kind(tmp_path), start=day(0), end=day(DAYS), run_id="r", code_version="v")
    values = stored(lake).filter(instrument_id="A")["forward_return"].to_list()
    path = [close or 0.0 for close in PATHS["A"]]
    # a share became two: the price counts twice, and each share traded half
    assert values[6] == pytest.approx(math.log(path[7] / 1000))
    assert values[7] == pytest.approx(math.log(2 * path[8] / 500))


def test_a_kind_that_fails_writes_nothing(lake: Lake, tmp_path: Path) -> None:
    write_kind(tmp_path, "value")
    store_bars(lake)
    with pytest.raises(PluginError, match=r"'mine:LABEL' .* raised NameError when labelling bars"):
        refresh_labels(lake, with_kind(tmp_path), start=day(0), end=day(DAYS), run_id="r", code_version="v")
    assert not lake.table("mine", "labels").exists()


def test_what_is_stale_is_known_without_loading_the_kind(lake: Lake, tmp_path: Path) -> None:
    """The planner asks for it: a kind that does not import fails when its stage runs."""
    (tmp_path / "mine.py").write_text("1 / 0")
    store_bars(lake)
    span = {"start": day(0), "end": day(DAYS)}
    assert label_inputs(lake, with_kind(tmp_path), **span) == label_inputs(lake, UNIVERSE, **span)


def with_kind(folder: Path) -> UniverseConfig:
    return replace(UNIVERSE, labels=replace(UNIVERSE.labels, kind="mine:LABEL"), plugins=folder)


def test_bars_that_are_not_final_have_no_labels(lake: Lake) -> None:
    open_session = BARS_FRAME.with_columns(is_final=pl.col("session_date") != day(39))
    store_bars(lake, frame=open_session)
    refresh(lake)
    assert stored(lake).equals(expected(BARS_FRAME.filter(pl.col("session_date") < day(39))))


def test_without_bars_the_next_step_is_named(lake: Lake) -> None:
    with pytest.raises(TableNotFound, match=r"mine/bars was never written.*nofx run --universe mine"):
        refresh(lake)
    assert not lake.table("mine", "labels").exists()


def test_a_session_without_bars_is_stamped_empty(lake: Lake) -> None:
    lake.table("mine", "bars").replace(
        day(0), day(1), pl.DataFrame(schema=BARS.columns), inputs={day(0): "nothing"}
    )
    store_bars(lake, 1, 10)
    assert written(refresh(lake)) == list(range(10))
    assert lake.table("mine", "labels").stamps()[day(0)].rows == 0

"""Every row rule catches its own case and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from nofx_pipelines.market.checks import QUARANTINE_COLUMNS, check_rows
from nofx_pipelines.market.sessions import calendar

NOW = datetime(2026, 11, 1, tzinfo=UTC)
A, B = "CN.SSE.600000", "CN.SZSE.000001"
START, END = date(2024, 1, 2), date(2024, 1, 12)

MakeBars = Callable[..., pl.DataFrame]


def changed(frame: pl.DataFrame, row: int, **values: object) -> pl.DataFrame:
    at = pl.int_range(pl.len()) == row
    return frame.with_columns(
        pl.when(at).then(pl.lit(value, frame.schema[name])).otherwise(name).alias(name)
        for name, value in values.items()
    )


def test_sound_bars_pass_untouched(make_bars: MakeBars) -> None:
    for ids, freq in (
        ([A, B], "1d"),
        ([A], "1m"),
        (["HK.SEHK.00700"], "30m"),
        (["CRYPTO.OKX.SPOT.BTC-USDT"], "1h"),
    ):
        bars = make_bars(ids, freq, START, END)
        good, rejects = check_rows(bars, calendar(ids[0].split(".")[0].lower()), freq=freq, now=NOW)
        assert good.equals(bars)
        assert rejects.is_empty()
        assert dict(rejects.schema) == QUARANTINE_COLUMNS


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"close": float("nan")}, "non_finite"),
        ({"high": float("inf")}, "non_finite"),
        ({"volume": float("nan")}, "non_finite"),
        ({"open": None}, "missing_price"),
        ({"volume": None}, "missing_volume"),
        ({"low": 0.0}, "non_positive_price"),
        ({"open": -1.0}, "non_positive_price"),
        ({"high": 10.0, "low": 9.0, "open": 9.5, "close": 10.5}, "ohlc_order"),
        ({"high": 12.0, "low": 10.2, "open": 10.1, "close": 10.5}, "ohlc_order"),
        ({"volume": -100.0}, "negative_volume"),
        ({"amount": -1.0}, "negative_volume"),
        ({"session_date": date(2024, 1, 6)}, "not_a_session"),
        ({"session_date": date(2027, 1, 4)}, "calendar_unverified"),
        ({"session_date": date(1985, 1, 4)}, "calendar_unverified"),
        ({"ts_open": datetime(2024, 1, 4, 1, 0, tzinfo=UTC)}, "out_of_session"),
        ({"ts_close": datetime(2024, 1, 4, 6, 59, tzinfo=UTC)}, "off_grid"),
    ],
)
def test_a_bad_row_is_refused_by_name(make_bars: MakeBars, values: dict[str, object], rule: str) -> None:
    bars = changed(make_bars([A, B], "1d", START, END), 2, **values)
    good, rejects = check_rows(bars, calendar("cn"), freq="1d", now=NOW)
    assert rejects["rule"].to_list() == [rule]
    assert good.equals(pl.concat([bars[:2], bars[3:]]))
    row = rejects.row(0, named=True)
    assert row["instrument_id"] == A
    assert row["file"] == "made.csv:2"
    assert row["seen_at"] == NOW
    assert json.loads(row["raw"])["instrument_id"] == A
    assert row["reason"]
    assert row["value"]


def test_minutes_off_the_grid_at_lunch_and_after_a_halt_are_refused(make_bars: MakeBars) -> None:
    day = date(2016, 1, 4)
    bars = make_bars([A], "1m", day, day + timedelta(days=1))
    minute = timedelta(minutes=1)

    def moved(to: datetime) -> pl.DataFrame:
        return changed(bars, 141, ts_open=to, ts_close=to + minute)

    for to, rule in (
        (datetime(2016, 1, 4, 4, 0, tzinfo=UTC), "off_grid"),  # lunch
        (datetime(2016, 1, 4, 5, 20, tzinfo=UTC), "off_grid"),  # the circuit breaker's halt
        (datetime(2016, 1, 4, 5, 35, tzinfo=UTC), "out_of_session"),  # after it closed the day
        (datetime(2016, 1, 4, 1, 29, tzinfo=UTC), "out_of_session"),
    ):
        _, rejects = check_rows(moved(to), calendar("cn"), freq="1m", now=NOW)
        assert rejects["rule"].to_list() == [rule], to


def test_an_auction_bar_lies_in_its_own_window_only(make_bars: MakeBars) -> None:
    day = date(2019, 7, 2)
    bars = make_bars(["HK.SEHK.00700"], "1m", day, day + timedelta(days=1))
    window = {
        "ts_open": datetime(2019, 7, 2, 1, 0, tzinfo=UTC),
        "ts_close": datetime(2019, 7, 2, 1, 30, tzinfo=UTC),
    }
    auction = changed(bars, 5, **window, session_phase="open_auction")
    assert check_rows(auction, calendar("hk"), freq="1m", now=NOW)[1].is_empty()
    as_continuous = changed(bars, 5, **window)
    assert check_rows(as_continuous, calendar("hk"), freq="1m", now=NOW)[1]["rule"].to_list() == [
        "out_of_session"
    ]


def test_of_duplicates_the_first_stays(make_bars: MakeBars) -> None:
    bars = make_bars([A, B], "1d", START, END)
    again = pl.concat([bars, changed(bars[3:4], 0, high=99.0), bars[3:4]])
    good, rejects = check_rows(again, calendar("cn"), freq="1d", now=NOW)
    assert good.equals(bars)
    assert rejects["rule"].to_list() == ["duplicate_key", "duplicate_key"]
    assert rejects["quarantine_id"].n_unique() == 2


def test_bars_without_a_trade_need_no_prices(make_bars: MakeBars) -> None:
    quiet = {"open": None, "high": None, "low": None, "close": None, "volume": 0.0, "status": "suspended"}
    bars = changed(make_bars([A], "1d", START, END), 1, **quiet)
    assert check_rows(bars, calendar("cn"), freq="1d", now=NOW)[1].is_empty()


def test_ids_are_the_same_on_every_run_and_apart_within_one(make_bars: MakeBars) -> None:
    bars = make_bars([A, B], "1d", START, END).with_columns(pl.lit(-1.0).alias("volume"))
    first = check_rows(bars, calendar("cn"), freq="1d", now=NOW)[1]
    later = check_rows(bars, calendar("cn"), freq="1d", now=NOW + timedelta(days=9))[1]
    assert first["quarantine_id"].to_list() == later["quarantine_id"].to_list()
    assert first["quarantine_id"].n_unique() == bars.height


def test_a_whole_batch_outside_the_calendar_is_refused_whole(make_bars: MakeBars) -> None:
    bars = make_bars([A], "1d", START, END).with_columns(pl.lit(date(2030, 1, 4)).alias("session_date"))
    good, rejects = check_rows(bars, calendar("cn"), freq="1d", now=NOW)
    assert good.is_empty()
    assert set(rejects["rule"]) == {"calendar_unverified"}

"""Calendars against real bars, published dates and their own laws."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import CalendarError
from nofx_pipelines.market.sessions import FREQ_MINUTES, calendar

HK_FILES = ("00005", "00388", "00700", "01299")


def labels(path: Path, column: str, tz: str) -> pl.DataFrame:
    """Bar-end labels of a file as UTC instants, one column ``ts_close``."""
    frame = pl.read_csv(path, columns=[column], try_parse_dates=True)
    utc = pl.col(column).dt.replace_time_zone(tz).dt.convert_time_zone("UTC").cast(pl.Datetime("us", "UTC"))
    return frame.select(utc.alias("ts_close"))


@pytest.mark.parametrize("symbol", HK_FILES)
def test_hong_kong_minutes_are_the_grid_plus_the_opening_auction(real_data: Path, symbol: str) -> None:
    hk = calendar("hk")
    start, end = date(2019, 7, 2), date(2020, 1, 1)
    real = labels(real_data / f"market/hk/HK.{symbol}_1m.csv.gz", "time_key", "Asia/Hong_Kong")
    grid = hk.grid("1m", start, end)
    auctions = hk.auctions(start, end).filter(pl.col("session_phase") == "open_auction")
    expected = pl.concat([grid, auctions]).sort("ts_close")["ts_close"]
    # the vendor pads the afternoon of 2019-07-31, when a typhoon stopped trading at 13:55
    stopped = datetime(2019, 7, 31, 5, 55, tzinfo=UTC)
    padded = real.filter((pl.col("ts_close") > stopped) & (pl.col("ts_close") < stopped + timedelta(hours=4)))
    assert padded.height == 125
    assert (
        real.join(padded, on="ts_close", how="anti").sort("ts_close")["ts_close"].to_list()
        == expected.to_list()
    )
    assert len(hk.sessions(start, end)) == 127
    assert [hk.session(day).half_day for day in (date(2019, 12, 24), date(2019, 12, 30))] == [True, False]


def test_no_stock_traded_after_the_typhoon_stop(real_data: Path) -> None:
    for symbol in HK_FILES:
        path = real_data / f"market/hk/HK.{symbol}_1m.csv.gz"
        traded = pl.read_csv(path, try_parse_dates=True).filter(
            (pl.col("time_key").dt.date() == date(2019, 7, 31)) & (pl.col("volume") > 0)
        )
        last = traded["time_key"].max()
        assert last == datetime(2019, 7, 31, 13, 55)
    assert calendar("hk").session(date(2019, 7, 31)).closes == datetime(2019, 7, 31, 5, 55, tzinfo=UTC)


def test_shanghai_minutes_are_the_grid_circuit_breakers_included(real_data: Path) -> None:
    real = labels(real_data / "market/ashare/000001.XSHG_index_1m_2015-2016H1.csv.gz", "dt", "Asia/Shanghai")
    grid = calendar("cn").grid("1m", date(2015, 1, 5), date(2016, 7, 1))
    assert real.join(grid, on="ts_close", how="anti").is_empty()
    missing = grid.join(real, on="ts_close", how="anti")
    assert missing.group_by("session_date").len().sort("session_date").rows() == [
        (date(2015, 4, 24), 1),
        (date(2015, 7, 21), 2),
        (date(2015, 11, 24), 4),
    ]
    breakers = grid.filter(pl.col("session_date").is_in([date(2016, 1, 4), date(2016, 1, 7)]))
    assert breakers.group_by("session_date").len().sort("session_date")["len"].to_list() == [142, 17]


def test_daily_files_hold_no_day_that_the_calendar_closes(real_data: Path) -> None:
    for name in ("hikyuu_SH000001", "hikyuu_SH600000", "hikyuu_SZ000001", "hikyuu_SZ000002"):
        frame = pl.read_csv(
            real_data / f"market/ashare/{name}_1d.csv.gz", schema_overrides={"date": pl.String}
        )
        days = frame["date"].str.to_date("%Y%m%d").to_list()
        assert set(days) <= set(calendar("cn").sessions(min(days), max(days) + timedelta(days=1))), name


@pytest.mark.parametrize(
    ("market", "day", "opens", "closes", "bars"),
    [
        ("hk", date(2010, 6, 1), "02:00", "08:00", 240),  # 10:00-12:30, 14:30-16:00
        ("hk", date(2010, 12, 24), "02:00", "04:30", 150),
        ("hk", date(2011, 6, 1), "01:30", "08:00", 300),  # 09:30-12:00, 13:30-16:00
        ("hk", date(2012, 3, 5), "01:30", "08:00", 330),
        ("hk", date(2020, 8, 19), "05:30", "08:00", 150),  # typhoon: from 13:30
        ("hk", date(2023, 10, 9), "06:00", "08:00", 120),  # typhoon: from 14:00
        ("hk", date(2022, 8, 25), "05:00", "08:00", 180),
        ("hk", date(2026, 2, 16), "01:30", "04:00", 150),  # New Year's eve
        ("cn", date(2024, 3, 1), "01:30", "07:00", 240),
        ("cn", date(2016, 1, 4), "01:30", "05:35", 142),
    ],
)
def test_hours_of_the_day(market: str, day: date, opens: str, closes: str, bars: int) -> None:
    session = calendar(market).session(day)
    assert (session.opens.strftime("%H:%M"), session.closes.strftime("%H:%M")) == (opens, closes)
    assert calendar(market).grid("1m", day, day + timedelta(days=1)).height == bars


@pytest.mark.parametrize("day", [date(2023, 9, 1), date(2023, 9, 8), date(2023, 7, 17), date(2024, 9, 6)])
def test_weather_closures_are_no_sessions(day: date) -> None:
    assert not calendar("hk").is_session(day)
    with pytest.raises(CalendarError, match="no session of hk"):
        calendar("hk").session(day)
    assert calendar("hk").next_session(date(2023, 8, 31)) == date(2023, 9, 4)


def test_auctions_stand_aside_on_late_and_early_days() -> None:
    hk = calendar("hk")

    def phases(day: date) -> list[str]:
        return hk.auctions(day, day + timedelta(days=1))["session_phase"].to_list()

    assert phases(date(2019, 7, 30)) == ["open_auction", "close_auction"]
    assert phases(date(2019, 7, 31)) == ["open_auction"]
    assert phases(date(2020, 8, 19)) == ["close_auction"]
    assert calendar("crypto").auctions(date(2024, 1, 1), date(2024, 2, 1)).is_empty()


def test_a_lunch_break_splits_the_hour_and_ends_the_half_hour() -> None:
    day = date(2024, 3, 1)
    bars = calendar("hk").grid("1h", day, day + timedelta(days=1))
    spans = [(a.strftime("%H:%M"), b.strftime("%H:%M")) for a, b in bars.select("ts_open", "ts_close").rows()]
    assert spans[:4] == [("01:30", "02:30"), ("02:30", "03:30"), ("03:30", "04:00"), ("05:00", "06:00")]


@pytest.mark.parametrize("market", ["cn", "hk", "crypto"])
def test_outside_the_verified_span_it_raises(market: str) -> None:
    trading = calendar(market)
    day = timedelta(days=1)
    trading.sessions(trading.verified_until - day, trading.verified_until)
    with pytest.raises(CalendarError, match="past its verified horizon"):
        trading.sessions(trading.verified_until - day, trading.verified_until + day)
    with pytest.raises(CalendarError, match="before its verified span"):
        trading.grid("1m", trading.verified_from - day, trading.verified_from + day)
    with pytest.raises(CalendarError, match="past its verified horizon"):
        trading.is_session(trading.verified_until)


def test_an_unknown_market_or_frequency_is_named() -> None:
    with pytest.raises(CalendarError, match="'us' has no calendar"):
        calendar("us")
    with pytest.raises(CalendarError, match="'7m' is none of"):
        calendar("cn").grid("7m", date(2024, 1, 1), date(2024, 2, 1))


def test_bars_a_year_follow_the_market() -> None:
    assert calendar("cn").bars_per_year("1d") == 243
    assert calendar("hk").bars_per_year("1d") == 246
    assert calendar("crypto").bars_per_year("1m") == 365 * 1440
    assert [calendar("cn").bars_per_session(freq) for freq in ("1h", "30m", "15m", "5m")] == [4, 8, 16, 48]


@given(
    st.sampled_from(["cn", "hk", "crypto"]),
    st.sampled_from(["1d", *FREQ_MINUTES]),
    st.dates(date(2009, 1, 3), date(2026, 11, 1)),
    st.integers(1, 40),
)
def test_bars_tile_each_session_without_overlap(market: str, freq: str, start: date, days: int) -> None:
    trading = calendar(market)
    grid = trading.grid(freq, start, start + timedelta(days=days))
    assert grid["session_date"].unique(maintain_order=True).to_list() == trading.sessions(
        start, start + timedelta(days=days)
    )
    assert grid.select((pl.col("ts_close") > pl.col("ts_open")).all()).item()
    assert grid.select((pl.col("ts_open") >= pl.col("ts_close").shift(1)).all()).item() is not False
    alone = [trading.grid(freq, day, day + timedelta(days=1)) for day in grid["session_date"].unique().sort()]
    assert grid.is_empty() or pl.concat(alone).equals(grid)


@given(st.sampled_from(["cn", "hk"]), st.dates(date(2010, 1, 1), date(2026, 11, 1)))
def test_next_and_previous_sessions_are_inverse(market: str, day: date) -> None:
    trading = calendar(market)
    following = trading.next_session(day)
    assert following > day
    assert trading.is_session(following)
    assert trading.previous_session(following) <= day
    before = trading.previous_session(following)
    assert trading.next_session(before) == following

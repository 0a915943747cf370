"""The simulator as a source: schemas, clock, fingerprint, refusals."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import CalendarError, ConfigError
from nofx_pipelines.lake.schemas import (
    CORPORATE_ACTIONS,
    INSTRUMENTS,
    QUARANTINE,
    SOURCE_BARS,
    TRUTH_ANOMALIES,
    TRUTH_SIGNAL,
    TableSchema,
)
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources import Source, open_source
from nofx_pipelines.market.sources.simulated import open_simulated
from nofx_pipelines.market.venues import listing

NOW = datetime(2025, 6, 1, tzinfo=UTC)
MARKETS = ("cn", "hk", "crypto")


def opened(market: str = "cn", freq: str = "1d", *, now: datetime = NOW, **changed: Any) -> Source:
    when = {"start": date(2024, 1, 1), "end": date(2024, 7, 1)} | {
        k: changed.pop(k) for k in ("start", "end") if k in changed
    }
    config = SourceConfig("simulated", **{"instruments": 12, **changed})
    return open_source(config, market=market, freq=freq, now=now, **when)


def keeps(frame: pl.DataFrame, schema: TableSchema, *, without: tuple[str, ...] = ()) -> None:
    assert dict(frame.schema) == {k: v for k, v in schema.columns.items() if k not in without}
    required = [name for name in frame.columns if name not in schema.nullable]
    assert frame.select(required).null_count().row(0) == (0,) * len(required)


@pytest.mark.parametrize("market", MARKETS)
def test_everything_delivered_keeps_its_schema(market: str) -> None:
    source = opened(market)
    for batch in source.batches(*source.span()):
        keeps(batch.bars, SOURCE_BARS, without=("revision",))
        assert dict(batch.rejects.schema) == {k: v for k, v in QUARANTINE.columns.items() if k != "run_id"}
    keeps(source.instruments(), INSTRUMENTS)
    keeps(source.corporate_actions(), CORPORATE_ACTIONS)
    truth = source.truth()
    keeps(truth["truth_signal"], TRUTH_SIGNAL)
    keeps(truth["truth_anomalies"], TRUTH_ANOMALIES)


@pytest.mark.parametrize("market", MARKETS)
def test_instruments_say_that_they_are_simulated_and_their_boards_follow_their_codes(market: str) -> None:
    frame = opened(market, instruments=30).instruments()
    assert frame["name"].str.starts_with("Simulated ").all()
    assert frame["instrument_id"].is_unique().all()
    for row in frame.iter_rows(named=True):
        known = listing(row["instrument_id"])
        assert (row["board"], row["exchange"], row["currency"], row["asset_class"]) == (
            *(known.board, known.exchange, known.currency, known.asset_class),
        )


@pytest.mark.parametrize("market", MARKETS)
def test_bars_lie_on_the_calendar_in_order_of_time(market: str) -> None:
    source = opened(market, "1h", end=date(2024, 2, 1), anomalies=False)
    bars = pl.concat([batch.bars for batch in source.batches(*source.span())])
    assert bars["ts_open"].is_sorted()
    grid = calendar(market).grid("1h", date(2024, 1, 1), date(2024, 2, 1))
    assert (
        bars.select("session_date", "ts_open", "ts_close")
        .unique()
        .sort("ts_open")
        .equals(grid.select("session_date", "ts_open", "ts_close"))
    )
    assert (bars["knowledge_time"] == bars["ts_close"]).all()
    assert set(bars["knowledge_kind"]) == {"observed"}


THREE_YEARS = {"start": date(2022, 1, 1), "end": date(2025, 1, 1), "instruments": 30, "anomalies": False}


@pytest.fixture(scope="module")
def long() -> tuple[Source, pl.DataFrame]:
    source = opened(**THREE_YEARS)
    return source, pl.concat([batch.bars for batch in source.batches(*source.span())])


def test_late_listings_have_no_bar_before_and_no_limit_at_first(long: tuple[Source, pl.DataFrame]) -> None:
    source, bars = long
    late = source.instruments().drop_nulls("listed_on")
    assert 1 <= late.height <= 6
    for row in late.iter_rows(named=True):
        mine = bars.filter(pl.col("instrument_id") == row["instrument_id"])
        assert mine["session_date"].min() == row["listed_on"] == row["valid_from"]
        assert mine["limit_up"][:1].null_count() == 1
        assert mine["limit_up"][5:].null_count() == 0


def test_suspended_shares_have_rows_without_prices(long: tuple[Source, pl.DataFrame]) -> None:
    _, bars = long
    quiet = bars.filter(pl.col("status") == "suspended")
    assert 20 < quiet.height < 0.02 * bars.height
    assert quiet["close"].null_count() == quiet.height
    assert quiet["volume"].sum() == 0


def test_a_session_appears_once_it_has_closed() -> None:
    spans = [
        opened(now=datetime(2024, 6, 3, hour, 1, tzinfo=UTC), end=date(2030, 1, 1)).span()
        for hour in (6, 7)  # 15:00 in Shanghai is 07:00 UTC
    ]
    assert spans == [(date(2024, 1, 2), date(2024, 6, 1)), (date(2024, 1, 2), date(2024, 6, 4))]


def test_before_the_first_close_there_is_nothing() -> None:
    source = opened(now=datetime(2023, 1, 1, tzinfo=UTC))
    assert source.span() == (date(2024, 1, 1), date(2024, 1, 1))
    assert list(source.batches(date(2024, 1, 1), date(2024, 7, 1))) == []
    assert source.instruments().is_empty()
    assert source.corporate_actions().is_empty()
    assert all(frame.is_empty() for frame in source.truth().values())


def test_the_fingerprint_names_what_decides_the_bars() -> None:
    same = {opened().fingerprint(), opened(end=date(2024, 5, 1)).fingerprint()}
    other = [
        opened("hk"),
        opened(freq="5m"),
        opened(seed=8),
        opened(instruments=13),
        opened(signal=False),
        opened(anomalies=False),
        opened(start=date(2024, 1, 5)),
    ]
    assert len(same | {source.fingerprint() for source in other}) == 1 + len(other)


def test_the_truth_does_not_need_the_bars_to_have_been_read() -> None:
    read, unread = opened(), opened()
    for _ in read.batches(*read.span()):
        pass
    for name, frame in read.truth().items():
        assert frame.equals(unread.truth()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"market": "us"}, "market 'us'"),
        ({"freq": "2m"}, "frequency '2m'"),
        ({"instruments": 501}, "instruments = 501 is not in 1..500"),
    ],
)
def test_what_cannot_be_simulated_is_refused_with_its_value(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(**change)


def test_a_start_outside_the_calendar_is_refused() -> None:
    with pytest.raises(CalendarError):
        opened(start=date(1985, 1, 1))


def test_decisions_name_the_seed() -> None:
    said: Callable[[str], str] = {d.matter: d.value for d in opened().decisions()}.__getitem__
    assert "seed 7" in said("format")
    assert said("price_basis") == "unadjusted"


def test_opening_is_direct_too() -> None:
    source = open_simulated(
        SourceConfig("simulated"),
        market="hk",
        freq="1d",
        start=date(2024, 1, 1),
        end=date(2024, 2, 1),
        now=NOW,
    )
    assert source.name == "simulated"

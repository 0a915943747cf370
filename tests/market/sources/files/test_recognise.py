"""Which format a head is of, and what is said about one that is of none."""

from __future__ import annotations

import pytest

from nofx_pipelines.market.sources.files.formats import load_formats
from nofx_pipelines.market.sources.files.raw import Head
from nofx_pipelines.market.sources.files.recognise import closest, known_formats, recognise

OWN = "symbol,ts_open,open,high,low,close,volume"


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (OWN, "own"),
        ("timestamp,open,high,low,close,volume", "ohlcv"),
        # the particular before the general: these have all that a more general format asks for too
        (f"{OWN},ex_date,kind,cash", "own_corporate_actions"),
        ("code,time_key,open,close,high,low,volume,turnover,date", "futu"),
        ("symbol,dt,open,close,high,low,vol,volume", "czsc"),
        ("open_time,open,high,low,close,volume,close_time,timestamp", "binance_klines"),
        ("date,price", None),
    ],
)
def test_the_first_format_that_knows_the_columns_takes_them(columns: str, expected: str | None) -> None:
    layout = recognise(Head("a.csv", tuple(columns.split(",")), ()))
    assert (layout.format if layout else None) == expected


def test_only_the_formats_given_are_asked() -> None:
    head = Head("a.csv", tuple(OWN.split(",")), ())
    assert recognise(head, [each for each in load_formats() if each.name != "own"]) is None
    assert recognise(Head("a.csv", None, ())) is None


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ("symbol,ts_open,open,high,close,volume", "the nearest format, own, needs low too"),
        ("ts_code,trade_date,open,high,low,close,vol", "the nearest format, tushare, needs amount too"),
        # futu, tushare, hikyuu and own lack as many: the most general is named
        ("open,high,low,close", "the nearest format, own, needs symbol, ts_open, volume too"),
        ("code,open,close,high,low", "the nearest format, own, needs symbol, ts_open, volume too"),
        # of equals that are not the most general, the first asked
        ("code,open,close,high,low,x_key,turnover", "the nearest format, futu, needs time_key, volume too"),
        (OWN, ""),
    ],
)
def test_the_nearest_format_is_named_with_what_it_needs(columns: str, says: str) -> None:
    assert closest(Head("a.csv", tuple(columns.split(",")), ()), load_formats()) == says


def test_the_known_formats_make_a_sentence_of_their_titles() -> None:
    names = {"corporate_actions", "futu", "tushare", "hikyuu", "czsc", "binance_klines", "own"}
    assert known_formats([each for each in load_formats() if each.name in names]) == (
        "corporate actions (hikyuu's, or symbol, ex_date, kind, ratio or cash), Futu candles, "
        "Tushare daily, hikyuu daily, czsc bars, Binance klines, and CSV, Parquet or feather with "
        "instrument_id or symbol, ts_open or ts_close or session_date (or timestamp), "
        "open, high, low, close, volume"
    )

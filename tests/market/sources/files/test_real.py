"""Each real format against values read off the files by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.errors import UnrecognisedFile
from nofx_pipelines.lake.schemas import CORPORATE_ACTIONS, INSTRUMENTS
from nofx_pipelines.market.sessions import calendar
from nofx_pipelines.market.sources.files import describe
from nofx_pipelines.market.sources.files.normalise import COLUMNS

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_REFORMS = {("CN.SSE.600000", date(2006, 5, 12)), ("CN.SZSE.000001", date(2007, 6, 20))}
"""Share-structure reforms: shares for holders of tradable stock only, and a day without price limits."""
PRICES = ("open", "high", "low", "close")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def only(bars: pl.DataFrame, instrument_id: str) -> pl.DataFrame:
    return bars.filter(pl.col("instrument_id") == instrument_id)


@pytest.fixture(scope="module")
def hk(real_data, deliver):
    return deliver(real_data / "market" / "hk", "hk", "1m")


@pytest.fixture(scope="module")
def cn_daily(real_data, deliver):
    return deliver(real_data / "market" / "ashare", "cn", "1d")


def test_futu_first_and_last_bars(hk):
    tencent = only(hk.bars, "HK.SEHK.00700")
    first, second = tencent.row(0, named=True), tencent.row(1, named=True)
    assert (first["ts_open"], first["ts_close"]) == (utc(2019, 7, 2, 1, 0), utc(2019, 7, 2, 1, 30))
    assert first["session_phase"] == "open_auction"
    assert [first[name] for name in PRICES] == [366.6] * 4
    assert (first["volume"], first["amount"], first["prev_close"]) == (1_925_200.0, 708_088_560.0, 351.4)
    assert (second["ts_open"], second["ts_close"]) == (utc(2019, 7, 2, 1, 30), utc(2019, 7, 2, 1, 31))
    assert [second[name] for name in PRICES] == [366.0, 366.0, 361.6, 361.8]
    assert second["session_phase"] == "continuous"
    last = tencent.row(-1, named=True)
    assert (last["ts_open"], last["ts_close"]) == (utc(2019, 12, 31, 3, 59), utc(2019, 12, 31, 4, 0))
    assert [last[name] for name in PRICES] == [375.4, 375.6, 374.4, 374.4]
    assert (last["volume"], last["amount"]) == (1_449_900.0, 544_657_880.0)


def test_futu_sessions_and_grid(hk):
    """127 sessions of 331 bars, half days of 151; every continuous bar is one that the calendar expects."""
    sizes = hk.bars.group_by("instrument_id", "session_date").len()
    assert sizes.group_by("instrument_id").len()["len"].to_list() == [127] * 4
    assert sizes.filter(pl.col("len") != 331).sort("session_date")[
        "session_date"
    ].unique().sort().to_list() == [
        date(2019, 12, 24),
        date(2019, 12, 31),
    ]
    assert set(sizes["len"]) == {331, 151}
    grid = calendar("hk").grid("1m", date(2019, 7, 2), date(2020, 1, 1))
    continuous = hk.bars.filter(pl.col("session_phase") == "continuous")
    seen = continuous.select("session_date", "ts_open", "ts_close").unique()
    assert grid.join(seen, on=["session_date", "ts_open", "ts_close"], how="anti").is_empty()
    # the calendar has nothing after the typhoon of 2019-07-31 closed the market at 13:55; Futu pads
    beyond = seen.join(grid, on=["session_date", "ts_open", "ts_close"], how="anti")
    assert beyond["session_date"].unique().to_list() == [date(2019, 7, 31)]
    assert beyond["ts_open"].min() >= utc(2019, 7, 31, 5, 55)


def test_futu_empty_minutes_are_no_trades(hk):
    """585, 1,045, 128 and 201 minutes have no volume; in three of them the price moved, so they traded."""
    idle = hk.bars.filter(pl.col("status") == "no_trade")
    assert idle.group_by("instrument_id").len().sort("instrument_id")["len"].to_list() == [
        584,
        1043,
        128,
        201,
    ]
    assert idle.select(pl.col(PRICES).null_count()).row(0) == (idle.height,) * 4
    assert idle["volume"].to_list() == [0.0] * idle.height
    traded = hk.bars.filter(pl.col("status") == "traded")
    assert traded.select(pl.col(*PRICES, "volume", "amount").null_count()).row(0) == (0,) * 6


def test_futu_previous_close_is_the_session_before(hk):
    """``last_close`` of every session's first bar equals the last price of the session before."""
    closes = hk.bars.drop_nulls("close").group_by("instrument_id", "session_date", maintain_order=True)
    last = closes.agg(pl.col("close").last(), pl.col("prev_close").first())
    before = last.with_columns(pl.col("close").shift(1).over("instrument_id").alias("before")).drop_nulls()
    assert before.height == 4 * 126
    assert (before["before"] - before["prev_close"]).abs().max() < 1e-9


def test_futu_bars_are_marked(hk):
    assert hk.rejects.is_empty()
    assert hk.bars.schema == COLUMNS
    assert hk.bars["price_basis"].unique().to_list() == ["forward"]
    assert hk.bars["is_final"].all()
    assert hk.bars["knowledge_kind"].unique().to_list() == ["assumed"]
    assert (hk.bars["knowledge_time"] > hk.bars["ts_close"]).all()
    assert hk.bars["raw_ref"][0] == "HK.00005_1m.csv.gz:2"
    assert hk.bars["row_hash"].n_unique() == hk.bars.height
    assert hk.source.span() == (date(2019, 7, 2), date(2020, 1, 1))


def test_futu_lots_are_read_off_the_volumes(hk):
    """The board lots of 2019: HSBC 400, HKEX 100, Tencent 100, AIA 200."""
    listed = hk.source.instruments()
    assert listed.schema == INSTRUMENTS.columns
    assert listed["lot_size"].to_list() == [400.0, 100.0, 100.0, 200.0]
    assert any("k = 1.004" in each for each in hk.decided("units"))


def test_hikyuu_daily(cn_daily):
    bank = only(cn_daily.bars, "CN.SSE.600000").filter(pl.col("price_basis") == "unadjusted")
    assert bank.height == 2836
    first, last = bank.row(0, named=True), bank.row(-1, named=True)
    assert (first["ts_open"], first["ts_close"]) == (utc(1999, 11, 10, 1, 30), utc(1999, 11, 10, 7, 0))
    assert [first[name] for name in PRICES] == [29.5, 29.8, 27.0, 27.75]
    assert (first["volume"], first["amount"]) == (174_085_000.0, 4_859_102_000.0)
    assert last["session_date"] == date(2011, 12, 6)
    assert [last[name] for name in PRICES] == [8.76, 8.84, 8.7, 8.73]
    assert (last["volume"], last["amount"]) == (26_440_400.0, 232_130_000.0)
    k = bank.filter(pl.col("volume") > 0).select(
        (pl.col("amount") / pl.col("volume") / pl.col("close")).median()
    )
    assert k.item() == pytest.approx(1.0, abs=0.002)


def test_hikyuu_days_without_volume_are_suspensions(cn_daily):
    """1, 38 and 18 days have no volume; on three of them (1991, 1992) the price moved: less than a lot."""
    quiet = cn_daily.bars.filter(pl.col("status") == "suspended")
    counts = dict(quiet.group_by("instrument_id").len().iter_rows())
    assert counts == {"CN.SSE.600000": 1, "CN.SZSE.000001": 36, "CN.SZSE.000002": 17}
    assert quiet.select(pl.col(PRICES).null_count()).row(0) == (54,) * 4


def test_hikyuu_index_is_an_index(cn_daily):
    listed = cn_daily.source.instruments()
    classes = dict(listed.select("instrument_id", "asset_class").iter_rows())
    assert classes["CN.SSE.000001"] == "index"
    assert classes["CN.SZSE.000001"] == "equity"
    index = only(cn_daily.bars, "CN.SSE.000001")
    assert (index["session_date"][0], index["volume"][0]) == (date(1990, 12, 19), 126_000.0)


def test_tushare_daily(cn_daily):
    rows = only(cn_daily.bars, "CN.SZSE.000001").filter(pl.col("price_basis") == "forward")
    assert rows.height == 1199
    assert rows["session_date"].is_sorted()
    first, last = rows.row(0, named=True), rows.row(-1, named=True)
    assert (first["session_date"], last["session_date"]) == (date(2014, 1, 2), date(2018, 11, 30))
    assert [last[name] for name in PRICES] == [10.1135, 10.252, 10.064, 10.252]
    assert last["prev_close"] == 10.0937
    assert last["volume"] == pytest.approx(59_471_532.0)
    assert last["amount"] == pytest.approx(610_571_532.0)
    assert first["prev_close"] == 6.5517
    assert any("absent" in each for each in cn_daily.decided("gaps"))


def test_folder_names_what_it_leaves_out(cn_daily):
    told = {each.subject: each for each in cn_daily.source.decisions() if "left out" in each.value}
    assert "000001.XSHG_index_1m_2015-2016H1.csv.gz" in told
    unknown = {
        each.subject: each.evidence for each in cn_daily.source.decisions() if each.value == "not recognised"
    }
    assert unknown["hikyuu_SH600000_trades.csv.gz"] == "columns: code, buyorsell, datetime, price, vol"
    assert unknown["hikyuu_SH600000_minute_price_vol.csv.gz"] == "columns: code, datetime, price, vol"
    assert cn_daily.rejects.is_empty()


def test_hikyuu_corporate_actions(cn_daily):
    """SH600000 of 2002-08-22: five new shares and two yuan for ten; SZ000001 of 1993-05-24: all kinds."""
    actions = cn_daily.source.corporate_actions()
    assert actions.schema == CORPORATE_ACTIONS.columns
    day = actions.filter(
        (pl.col("instrument_id") == "CN.SSE.600000") & (pl.col("ex_date") == date(2002, 8, 22))
    )
    assert day.select("kind", "ratio", "cash").rows() == [("bonus", 0.5, None), ("dividend", None, 0.2)]
    day = actions.filter(
        (pl.col("instrument_id") == "CN.SZSE.000001") & (pl.col("ex_date") == date(1993, 5, 24))
    )
    assert day.select("kind", "ratio", "cash").rows() == [
        ("bonus", pytest.approx(0.85), None),
        ("dividend", None, 0.3),
        ("rights", 0.1, 16.0),
    ]
    assert actions["knowledge_time"][0] == utc(2000, 7, 5, 16, 0)


def test_hikyuu_actions_explain_the_prices(cn_daily):
    """The scaling's independent proof: the next open is near the ex-reference, far from the last close."""
    actions = cn_daily.source.corporate_actions()
    bars = cn_daily.bars.filter((pl.col("price_basis") == "unadjusted") & (pl.col("status") == "traded"))
    checked = 0
    terms = actions.group_by("instrument_id", "ex_date").agg(
        pl.col("cash").filter(pl.col("kind") == "dividend").sum().alias("paid"),
        (pl.col("ratio") * pl.col("cash")).filter(pl.col("kind") == "rights").sum().alias("price"),
        pl.col("ratio").sum().alias("new"),
    )
    for instrument_id, ex_date, paid, price, new in terms.iter_rows():
        if ex_date < date(1997, 1, 1) or (instrument_id, ex_date) in _REFORMS:
            continue  # no price limits before 1996-12
        rows = only(bars, instrument_id)
        before = rows.filter(pl.col("session_date") < ex_date).tail(1)
        after = rows.filter(pl.col("session_date") >= ex_date).head(1)
        reference = (before["close"][0] - paid + price) / (1 + new)
        assert abs(after["open"][0] / reference - 1) < 0.101, (instrument_id, ex_date)
        if reference < 0.8 * before["close"][0]:
            assert after["open"][0] < 0.899 * before["close"][0], (instrument_id, ex_date)
            checked += 1
    assert checked >= 6


def test_czsc_index_minutes(real_data, deliver):
    found = deliver(real_data / "market" / "ashare" / "000001.XSHG_index_1m_2015-2016H1.csv.gz", "cn", "1m")
    assert found.bars.height == 87_032
    first = found.bars.row(0, named=True)
    assert (first["ts_open"], first["ts_close"]) == (utc(2015, 1, 5, 1, 30), utc(2015, 1, 5, 1, 31))
    assert [first[name] for name in PRICES] == [3258.63, 3262.85, 3258.63, 3259.69]
    assert (first["volume"], first["amount"]) == (1_333_523_100.0, None)
    assert found.source.instruments()["asset_class"].to_list() == ["index"]
    sizes = dict(found.bars.group_by("session_date").len().iter_rows())
    assert len(sizes) == 364
    assert (sizes[date(2016, 1, 4)], sizes[date(2016, 1, 7)]) == (142, 17)
    last = found.bars.row(-1, named=True)
    assert (last["ts_close"], last["close"]) == (utc(2016, 6, 30, 7, 0), 2929.61)


def test_binance_klines(real_data, deliver):
    found = deliver(real_data / "market" / "crypto", "crypto", "1m")
    rows = only(found.bars, "CRYPTO.BINANCE.SPOT.ADA-BTC")
    assert rows.height == 21
    first = rows.row(0, named=True)
    assert (first["ts_open"], first["ts_close"]) == (utc(2021, 11, 27, 0, 0), utc(2021, 11, 27, 0, 1))
    assert [first[name] for name in PRICES] == [2.853e-05, 2.854e-05, 2.851e-05, 2.854e-05]
    values = [first[name] for name in ("volume", "amount", "n_trades", "taker_volume", "taker_amount")]
    assert values == [36304.2, 1.03547608, 79, 19523.0, 0.55694227]
    assert first["raw_ref"] == "binance_spot_ADABTC-1m-2021-11-27.csv.gz:1"
    left = [each.subject for each in found.source.decisions() if each.value == "not recognised"]
    assert left == ["hftbacktest_binance_spot_btcusdt_L2_20240808.gz"]


def test_bitcoin_perpetual(real_data, deliver):
    """End labels by the volume's quarter-hour rhythm; the volume column can only be dollars."""
    path = real_data / "market" / "crypto" / "nautilus_btc_perp_1m_2021-12-31_2022-02-01.csv.gz"
    found = deliver(path, "crypto", "1m")
    assert found.bars.height == 45_031
    first = found.bars.row(0, named=True)
    assert (first["ts_open"], first["ts_close"]) == (utc(2021, 12, 31, 23, 0), utc(2021, 12, 31, 23, 1))
    assert [first[name] for name in PRICES] == [46319.0, 46385.0, 46319.0, 46377.0]
    assert first["amount"] == 2_300_413.7295
    assert first["volume"] == pytest.approx(2_300_413.7295 / 46350.0)
    assert first["quality"] == ["volume_from_amount"]
    assert found.bars["ts_close"][-1] == utc(2022, 2, 1, 5, 31)
    assert found.source.instruments()["asset_class"].to_list() == ["perpetual"]
    assert "minute 1" in found.decided("labels")[0]
    assert found.decided("units")[0].startswith("volume column in USD")


@pytest.mark.parametrize("name", ["hikyuu_SH600000_trades.csv.gz", "hikyuu_SH600000_minute_price_vol.csv.gz"])
def test_a_single_unknown_file_is_an_error(real_data, deliver, name):
    with pytest.raises(UnrecognisedFile, match=r"columns: code, .*Next: give one of: .*Futu candles"):
        deliver(real_data / "market" / "ashare" / name, "cn", "1m")


def test_describe_guesses_market_and_frequency(real_data):
    found = describe(real_data / "market", now=NOW)
    feeds = [(feed.market, feed.freq, feed.rows, feed.instruments) for feed in found.feeds]
    expected = [
        ("hk", "1m", 4 * 41_677, 4),
        ("cn", "1m", 87_032, 1),
        ("crypto", "1m", 45_052, 2),
        ("cn", "1d", 20_282, 4),
    ]
    assert [feed for feed in feeds if feed in expected] == expected  # other folders may lie beside them
    assert found.feeds[0].start == date(2019, 7, 2)
    assert any(each.subject.endswith("trades.csv.gz") for each in found.decisions)


def test_formats_are_told_by_content_not_by_name(real_data, deliver, tmp_path: Path):
    """The same bytes under other names give the same bars."""
    original = real_data / "market" / "hk" / "HK.00700_1m.csv.gz"
    renamed = tmp_path / "x.dat"
    renamed.write_bytes(original.read_bytes())
    bars = deliver(renamed, "hk", "1m").bars
    known = deliver(original, "hk", "1m").bars
    assert bars.drop("raw_ref").equals(known.drop("raw_ref"))

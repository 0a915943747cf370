"""Small made-up files of each format, for machines without the real data."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from nofx_pipelines.market.sources.files import describe, units
from nofx_pipelines.market.sources.files.layout import Layout, Units

PRICES = ("open", "high", "low", "close")
FUTU = "code,time_key,open,close,high,low,pe_ratio,turnover_rate,volume,turnover,change_rate,last_close\n"
FUTU_ROWS = [
    "HK.00700,2019-12-24 09:30:00,380.0,380.0,380.0,380.0,0,0,200.0,76000.0,0,379.0",
    "HK.00700,2019-12-24 09:31:00,380.0,381.0,381.4,379.8,0,0,1000.0,380500.0,0,380.0",
    "HK.00700,2019-12-24 09:32:00,381.0,381.0,381.0,381.0,0,0,0.0,0.0,0,381.0",
    "HK.00700,2019-12-24 12:00:00,381.0,382.0,382.0,381.0,0,0,500.0,190800.0,0,381.0",
]
KLINES = [
    [0, "100.0", "101.0", "99.0", "100.5", "10.0", 59_999, "1000.0", 7, "4.0", "400.0", "0"],
    [60_000, "100.5", "102.0", "100.0", "101.5", "20.0", 119_999, "2000.0", 9, "5.0", "500.0", "0"],
]
DAY_MS = 1_735_689_600_000  # 2025-01-01


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def klines(*, unit: int, header: str = "") -> str:
    """Rows of 2025-01-01 in milliseconds (``unit`` 1) or microseconds (1,000)."""
    rows = []
    for row in KLINES:
        opens, closes = (DAY_MS + row[0]) * unit, (DAY_MS + row[6] + 1) * unit - 1
        rows.append(",".join(str(cell) for cell in [opens, *row[1:6], closes, *row[7:]]))
    return header + "\n".join(rows) + "\n"


def test_futu(tmp_path, deliver):
    (tmp_path / "a.csv").write_text(FUTU + "\n".join(FUTU_ROWS) + "\n")
    found = deliver(tmp_path / "a.csv", "hk", "1m")
    assert found.bars["ts_close"].to_list() == [
        utc(2019, 12, 24, 1, 30), utc(2019, 12, 24, 1, 31), utc(2019, 12, 24, 1, 32), utc(2019, 12, 24, 4, 0),
    ]  # fmt: skip
    assert found.bars["session_phase"].to_list() == ["open_auction", "continuous", "continuous", "continuous"]
    assert found.bars["status"].to_list() == ["traded", "traded", "no_trade", "traded"]
    assert found.bars["prev_close"].to_list() == [379.0] * 4
    assert found.bars["close"].to_list() == [380.0, 381.0, None, 382.0]


def test_futu_without_its_first_bar_knows_no_previous_close(tmp_path, deliver):
    (tmp_path / "a.csv").write_text(FUTU + "\n".join(FUTU_ROWS[2:]) + "\n")
    assert deliver(tmp_path / "a.csv", "hk", "1m").bars["prev_close"].to_list() == [None, None]


@pytest.mark.parametrize(("first", "second"), [("20181130", "20181129"), ("20181129", "20181130")])
def test_tushare_in_any_order(tmp_path, deliver, first, second):
    header = "ts_code,trade_date,open,high,low,close,pre_close,change,pct_chg,vol,amount\n"
    rows = [
        f"000001.SZ,{day},10.1135,10.252,10.064,10.252,10.09,0,0,5947.15,6105.7" for day in (first, second)
    ]
    (tmp_path / "a.csv").write_text(header + "\n".join(rows) + "\n")
    bars = deliver(tmp_path / "a.csv", "cn", "1d").bars
    assert bars["session_date"].to_list() == [date(2018, 11, 29), date(2018, 11, 30)]
    assert bars["volume"].to_list() == [pytest.approx(594_715.0)] * 2
    assert bars["amount"].to_list() == [pytest.approx(6_105_700.0)] * 2
    assert bars["price_basis"].to_list() == ["forward"] * 2
    assert (bars["ts_open"][0], bars["ts_close"][0]) == (utc(2018, 11, 29, 1, 30), utc(2018, 11, 29, 7, 0))


def test_tushare_prices_on_the_tick_are_unadjusted(tmp_path, deliver):
    header = "ts_code,trade_date,open,high,low,close,vol,amount\n"
    (tmp_path / "a.csv").write_text(header + "000001.SZ,20181130,10.11,10.25,10.06,10.25,5947.15,6095.8\n")
    assert deliver(tmp_path / "a.csv", "cn", "1d").bars["price_basis"].to_list() == ["unadjusted"]


def test_hikyuu(tmp_path, deliver):
    rows = ["SH600000,20111205,8.84,8.91,8.63,8.8,401884,353658", "SH600000,20111206,8.8,8.8,8.8,8.8,0,0"]
    (tmp_path / "a.csv").write_text("code,date,open,high,low,close,volume_lot,amount_raw\n" + "\n".join(rows))
    found = deliver(tmp_path / "a.csv", "cn", "1d")
    assert found.bars["volume"].to_list() == [40_188_400.0, 0.0]
    assert found.bars["amount"].to_list() == [353_658_000.0, 0.0]
    assert found.bars["status"].to_list() == ["traded", "suspended"]
    assert found.bars["close"].to_list() == [8.8, None]
    assert "k = 0.1" in found.decided("units")[0]


def test_czsc(tmp_path, deliver):
    header = "symbol,id,dt,freq,open,close,high,low,vol\n"
    rows = [
        f"000001.XSHG,0,2015-01-05 {at}:00,Freq.F1,3258.6,3259.7,3262.8,3258.6,1000"
        for at in ("09:31", "15:00")
    ]
    (tmp_path / "a.csv").write_text(header + "\n".join(rows))
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert found.bars["ts_open"].to_list() == [utc(2015, 1, 5, 1, 30), utc(2015, 1, 5, 6, 59)]
    assert found.source.instruments()["asset_class"].to_list() == ["index"]


FUTURES_HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    "taker_buy_volume,taker_buy_quote_volume,ignore\n"
)


@pytest.mark.parametrize(
    ("unit", "header", "kind"), [(1, "", "SPOT"), (1_000, "", "SPOT"), (1, FUTURES_HEADER, "PERP")]
)
def test_binance(tmp_path, deliver, unit, header, kind):
    path = tmp_path / "BTCUSDT-1m-2025-01-01.csv"
    path.write_text(klines(unit=unit, header=header))
    found = deliver(path, "crypto", "1m")
    expected = f"CRYPTO.BINANCE.{kind}.BTC-USDT"
    assert found.bars["instrument_id"].to_list() == [expected] * 2
    assert found.bars["ts_open"].to_list() == [utc(2025, 1, 1, 0, 0), utc(2025, 1, 1, 0, 1)]
    assert found.bars["ts_close"].to_list() == [utc(2025, 1, 1, 0, 1), utc(2025, 1, 1, 0, 2)]
    assert found.bars["amount"].to_list() == [1000.0, 2000.0]
    assert found.bars["n_trades"].to_list() == [7, 9]


def test_binance_milliseconds_and_microseconds_in_one_file(tmp_path, deliver):
    rows = [klines(unit=1).splitlines()[0], klines(unit=1_000).splitlines()[1]]
    path = tmp_path / "BTCUSDT-1m-2025.csv"
    path.write_text("\n".join(rows))
    assert deliver(path, "crypto", "1m").bars["ts_open"].to_list() == [
        utc(2025, 1, 1, 0, 0),
        utc(2025, 1, 1, 0, 1),
    ]


def own_frame() -> pl.DataFrame:
    opens = [utc(2025, 1, 2, 1, 30) + timedelta(minutes=i) for i in range(4)]
    return pl.DataFrame(
        {
            "instrument_id": ["CN.SSE.600519"] * 4,
            "ts_open": opens,
            "ts_close": [each + timedelta(minutes=1) for each in opens],
            "open": [1500.0, 1501.0, 1502.0, 1503.0],
            "high": [1502.0, 1503.0, 1504.0, 1505.0],
            "low": [1499.0, 1500.0, 1501.0, 1502.0],
            "close": [1501.0, 1502.0, 1503.0, 1504.0],
            "volume": [100.0, 200.0, 300.0, 400.0],
            "amount": [150_100.0, 300_400.0, 450_900.0, 601_600.0],
        }
    ).with_columns(pl.col("ts_open", "ts_close").cast(pl.Datetime("us", "UTC")))


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zip", "parquet", "feather", "parquet.gz"])
def test_own_columns_in_every_container(tmp_path, deliver, kind):
    frame, path = own_frame(), tmp_path / "bars.bin"
    buffer = io.BytesIO()
    if kind.startswith("csv"):
        frame.write_csv(buffer)
    elif kind.startswith("parquet"):
        frame.write_parquet(buffer)
    else:
        frame.write_ipc(buffer)
    data = buffer.getvalue()
    if kind.endswith("gz"):
        data = gzip.compress(data)
    if kind.endswith("zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("one.csv", data)
    else:
        path.write_bytes(data)
    found = deliver(path, "cn", "1m")
    assert found.bars.select(frame.columns).equals(frame)


def test_a_zip_may_hold_several_files(tmp_path, deliver):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1m-2025-01-01.csv", klines(unit=1))
        archive.writestr("../../ETHUSDT-1m-2025-01-01.csv", klines(unit=1))
        archive.writestr("readme.txt", "nothing of use\n")
    found = deliver(path, "crypto", "1m")
    assert sorted(found.bars["instrument_id"].unique()) == [
        "CRYPTO.BINANCE.SPOT.BTC-USDT",
        "CRYPTO.BINANCE.SPOT.ETH-USDT",
    ]
    assert sorted(each.name for each in tmp_path.parent.iterdir() if "ETH" in each.name) == []
    left = [each.subject for each in found.source.decisions() if each.value == "not recognised"]
    assert left == ["many.zip!readme.txt"]


@pytest.mark.parametrize("column", ["ts_open", "ts_close"])
def test_own_labels_follow_the_column(tmp_path, deliver, column):
    frame = own_frame()
    dropped = "ts_close" if column == "ts_open" else "ts_open"
    frame.drop(dropped).write_parquet(tmp_path / "a.parquet")
    found = deliver(tmp_path / "a.parquet", "cn", "1m")
    assert found.bars.select("ts_open", "ts_close").equals(frame.select("ts_open", "ts_close"))


def test_own_daily_by_session_date(tmp_path, deliver):
    frame = pl.DataFrame(
        {
            "symbol": ["700", "700"],
            "session_date": [date(2019, 12, 23), date(2019, 12, 24)],
            "open": [380.0, 381.0], "high": [382.0, 383.0], "low": [379.0, 380.0], "close": [381.0, 382.0],
            "volume": [1000.0, 2000.0],
        }
    )  # fmt: skip
    frame.write_parquet(tmp_path / "a.parquet")
    bars = deliver(tmp_path / "a.parquet", "hk", "1d").bars
    assert bars["instrument_id"].to_list() == ["HK.SEHK.00700"] * 2
    # the half day of Christmas Eve closes at noon
    assert bars["ts_close"].to_list() == [utc(2019, 12, 23, 8, 0), utc(2019, 12, 24, 4, 0)]
    assert bars["session_phase"].to_list() == ["all", "all"]


def test_stock_minutes_in_utc_are_told_from_local_ones(tmp_path, deliver):
    local = ["2025-01-02 09:30:00", "2025-01-02 09:31:00", "2025-01-02 13:00:00"]
    in_utc = ["2025-01-02 01:30:00", "2025-01-02 01:31:00", "2025-01-02 05:00:00"]
    opened = []
    for name, times in (("local", local), ("utc", in_utc)):
        rows = "\n".join(f"600519.SH,{at},1,1,1,1,100" for at in times)
        (tmp_path / f"{name}.csv").write_text(f"symbol,timestamp,open,high,low,close,volume\n{rows}\n")
        opened.append(deliver(tmp_path / f"{name}.csv", "cn", "1m").bars["ts_open"].to_list())
    assert opened[0] == opened[1] == [utc(2025, 1, 2, 1, 30), utc(2025, 1, 2, 1, 31), utc(2025, 1, 2, 5, 0)]


def test_only_the_frequency_asked_for_is_taken(tmp_path, deliver):
    own_frame().write_parquet(tmp_path / "minutes.parquet")
    rows = "600519.SH,2025-01-02,1,1,1,1,100\n600519.SH,2025-01-03,1,1,1,1,100\n"
    (tmp_path / "days.csv").write_text("symbol,session_date,open,high,low,close,volume\n" + rows)
    minutes, days = deliver(tmp_path, "cn", "1m"), deliver(tmp_path, "cn", "1d")
    assert (minutes.bars.height, days.bars.height) == (4, 2)
    assert [each.subject for each in minutes.source.decisions() if "left out" in each.value] == ["days.csv"]
    feeds = describe(tmp_path, now=utc(2026, 1, 1)).feeds
    assert [(feed.market, feed.freq, feed.rows) for feed in feeds] == [("cn", "1m", 4), ("cn", "1d", 2)]


def test_own_corporate_actions(tmp_path, deliver):
    own_frame().write_parquet(tmp_path / "minutes.parquet")
    rows = ["600519.SH,2025-01-02,dividend,,23.882", "600519.SH,2025-01-03,gift,1,"]
    (tmp_path / "actions.csv").write_text("\n".join(["symbol,ex_date,kind,ratio,cash", *rows]))
    found = deliver(tmp_path, "cn", "1m")
    assert found.source.corporate_actions().select("kind", "cash", "currency").rows() == [
        ("dividend", 23.882, "CNY")
    ]
    assert found.rejects["rule"].to_list() == ["bad_action"]


def test_large_files_come_in_bounded_batches(tmp_path, deliver, monkeypatch):
    from nofx_pipelines.market.sources.files import source

    frames = [own_frame().with_columns(instrument_id=pl.lit(f"CN.SSE.60051{i}")) for i in range(5)]
    pl.concat(frames).sample(fraction=1, shuffle=True, seed=1).write_csv(tmp_path / "a.csv")
    whole = deliver(tmp_path / "a.csv", "cn", "1m")
    monkeypatch.setattr(source, "MAX_BATCH_ROWS", 8)
    batches = list(whole.source.batches(date(2020, 1, 1), date(2030, 1, 1)))
    assert [batch.bars.height for batch in batches] == [8, 8, 4]
    assert pl.concat([batch.bars for batch in batches]).equals(whole.bars)


def test_one_instrument_is_cut_by_sessions(tmp_path, deliver, monkeypatch):
    from nofx_pipelines.market.sources.files import source

    frame = own_frame()
    later = frame.with_columns(pl.col("ts_open", "ts_close") + timedelta(days=1))
    pl.concat([frame, later]).write_parquet(tmp_path / "a.parquet")
    whole = deliver(tmp_path / "a.parquet", "cn", "1m")
    monkeypatch.setattr(source, "MAX_BATCH_ROWS", 4)
    batches = list(whole.source.batches(date(2020, 1, 1), date(2030, 1, 1)))
    assert [batch.bars.height for batch in batches] == [4, 4]
    assert pl.concat([batch.bars for batch in batches]).equals(whole.bars)


def test_range_is_half_open_and_final_depends_on_now(tmp_path, deliver):
    own_frame().write_parquet(tmp_path / "a.parquet")
    found = deliver(tmp_path / "a.parquet", "cn", "1m", now=utc(2025, 1, 2, 7, 30))
    assert not found.bars["is_final"].any()
    assert deliver(tmp_path / "a.parquet", "cn", "1m", now=utc(2025, 1, 2, 8, 0)).bars["is_final"].all()
    assert list(found.source.batches(date(2025, 1, 3), date(2025, 1, 4))) == []
    assert found.source.span() == (date(2025, 1, 2), date(2025, 1, 3))


def test_fingerprint_follows_the_bytes(tmp_path, deliver):
    path = tmp_path / "a.parquet"
    own_frame().write_parquet(path)
    before = deliver(path, "cn", "1m").source.fingerprint()
    assert deliver(path, "cn", "1m").source.fingerprint() == before
    # tomorrow an open feed ends a day later, and the same files need not be read again
    assert deliver(path, "cn", "1m", end=date(2029, 1, 1)).source.fingerprint() == before
    own_frame().with_columns(pl.col("volume") + 1).write_parquet(path)
    assert deliver(path, "cn", "1m").source.fingerprint() != before


@pytest.mark.parametrize(
    ("k", "market", "expected"),
    [
        (1.0, "cn", Units()),
        (100.0, "cn", Units(100.0, 1.0)),
        (0.1, "cn", Units(100.0, 1_000.0)),
        (0.001, "cn", Units(1.0, 1_000.0)),
        (1.03, "hk", Units()),
        (37.0, "cn", Units()),  # fits nothing: the format's units stand
    ],
)
def test_units_by_the_self_test(k, market, expected):
    seen = units.UnitEvidence(k, k, k, k, None)
    decided = units.decide(Layout("own", {}), seen, market=market, asset_class="equity")
    assert decided.units == expected
    assert f"k = {k:.4g}" in decided.evidence


def test_own_volume_in_lots_is_noticed(tmp_path, deliver):
    own_frame().with_columns(pl.col("volume") / 100).write_parquet(tmp_path / "a.parquet")
    found = deliver(tmp_path / "a.parquet", "cn", "1m")
    assert found.bars["volume"].to_list() == [100.0, 200.0, 300.0, 400.0]
    assert found.decided("units")[0].startswith("volume in lots of 100 shares, amount in CNY")


def test_paths_with_sub_folders(tmp_path: Path, deliver):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    own_frame().write_parquet(tmp_path / "deep" / "er" / "a.parquet")
    (tmp_path / ".hidden.csv").write_text("x")
    (tmp_path / "half.csv.part").write_text("x")
    found = deliver(tmp_path, "cn", "1m")
    assert found.bars["raw_ref"][0] == "deep/er/a.parquet:1"
    assert found.rejects.is_empty()

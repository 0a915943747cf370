"""What cannot be used is named, row by row and file by file; the rest goes on."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile

import polars as pl
import pytest

from nofx_pipelines.config import SourceConfig
from nofx_pipelines.errors import ConfigError, DataError, UnrecognisedFile
from nofx_pipelines.lake.schemas import QUARANTINE
from nofx_pipelines.market.sources.files import containers, open_files, raw, survey

HEADER = "symbol,ts_open,open,high,low,close,volume"
GOOD = [
    "600519.SH,2025-01-02T01:30:00Z,10,11,9,10.5,100",
    "600519.SH,2025-01-02T01:31:00Z,10.5,11,10,10.6,200",
    "600519.SH,2025-01-02T01:32:00Z,10.6,11,10,10.7,300",
    "600519.SH,2025-01-02T01:33:00Z,10.7,11,10,10.8,400",
]


def table(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


@pytest.mark.parametrize(
    ("row", "rule", "value"),
    [
        ("600519.SH,2025-01-02T01:40:00Z,ten,11,9,10,100", "not_a_number", "ten"),
        ("600519.SH,2025-01-02T01:40:00Z,10,11,9,10,1O0", "not_a_number", "1O0"),
        ("600519.SH,2025-01-02T01:40:00Z,10,inf,9,10,100", "not_finite", "inf"),
        ("600519.SH,2025-01-02T01:40:00Z,10,1e999,9,10,100", "not_finite", "1e999"),
        ("600519.SH,2025-01-02T01:40:00Z,NaN,11,9,10,100", "not_finite", "NaN"),
        ("600519.SH,2025-01-02T01:40:00Z,,11,9,10,100", "missing_value", ""),
        ("600519.SH,2025-01-02T01:40:00Z,10,11,9,10,", "missing_value", ""),
        ("600519.SH,yesterday,10,11,9,10,100", "bad_time", "yesterday"),
        ("600519.SH,2025-02-30T01:40:00Z,10,11,9,10,100", "bad_time", "2025-02-30T01:40:00Z"),
        ("600519.SH,0001-01-01T00:00:00Z,10,11,9,10,100", "bad_time", "0001-01-01T00:00:00Z"),
        ("600519.SH,2025-01-02 09:40:00,10,11,9,10,100", "mixed_time_zone", "2025-01-02 09:40:00"),
        ("../../x,2025-01-02T01:40:00Z,10,11,9,10,100", "bad_symbol", "../../x"),
        ("a'; drop table,2025-01-02T01:40:00Z,10,11,9,10,100", "bad_symbol", "a'; drop table"),
        (",2025-01-02T01:40:00Z,10,11,9,10,100", "bad_symbol", ""),
        ("HK.00700,2025-01-02T01:40:00Z,10,11,9,10,100", "wrong_market", "HK.SEHK.00700"),
        ("600519.SH,2025-01-02T01:40:00Z,10,11,9,10", "ragged_row", None),
        ("600519.SH,2025-01-02T01:40:00Z,10,11,9,10,100,7", "ragged_row", None),
        ('600519.SH,"2025-01-02T01:40:00Z,10,11,9,10,100', "ragged_row", None),
    ],
)
def test_a_bad_row_costs_itself(tmp_path, deliver, row, rule, value):
    path = tmp_path / "a.csv"
    path.write_text(table(*GOOD[:2], row, *GOOD[2:]))
    found = deliver(path, "cn", "1m")
    assert found.bars.height == 4
    assert found.bars["raw_ref"].to_list() == [f"a.csv:{line}" for line in (2, 3, 5, 6)]
    reject = found.rejects.row(0, named=True)
    assert found.rejects.height == 1
    assert (reject["rule"], reject["file"], reject["source"]) == (rule, "a.csv:4", "files")
    assert reject["value"] == (row if value is None else value)
    assert reject["reason"]
    cells = json.loads(reject["raw"])
    assert cells == {"text": row} if value is None else cells["symbol"] == row.split(",")[0]
    assert found.rejects.columns == [name for name in QUARANTINE.columns if name != "run_id"]
    assert [each.value for each in found.source.decisions() if each.matter == "rejected"] == ["1 rows"]


def test_a_bad_optional_cell_costs_its_row_and_a_missing_one_does_not(tmp_path, deliver):
    rows = [f"{GOOD[0]},1050", f"{GOOD[1]},", f"{GOOD[2]},nan", f"{GOOD[3]},much"]
    (tmp_path / "a.csv").write_text(table(*rows, header=f"{HEADER},amount"))
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert found.bars["amount"].to_list() == [1050.0, None, None]
    assert found.rejects.select("rule", "value").rows() == [("not_a_number", "much")]


def test_quarantine_ids_are_stable_and_do_not_collide(tmp_path, deliver):
    from datetime import UTC, datetime

    bad = "600519.SH,2025-01-02T01:40:00Z,ten,11,9,10,100"
    (tmp_path / "a.csv").write_text(table(*GOOD, bad, bad))
    first = deliver(tmp_path / "a.csv", "cn", "1m")
    later = deliver(tmp_path / "a.csv", "cn", "1m", now=datetime(2027, 1, 1, tzinfo=UTC))
    assert first.rejects["quarantine_id"].n_unique() == 2
    assert first.rejects["quarantine_id"].to_list() == later.rejects["quarantine_id"].to_list()
    assert later.rejects["seen_at"].unique().to_list() == [datetime(2027, 1, 1, tzinfo=UTC)]


def test_rows_that_only_the_checks_may_judge_pass(tmp_path, deliver):
    """Zero and negative prices, a high below the low, duplicates: parsed here, judged downstream."""
    odd = [
        "600519.SH,2025-01-02T01:34:00Z,0,11,9,10,100",
        "600519.SH,2025-01-02T01:35:00Z,-1,11,9,10,100",
        "600519.SH,2025-01-02T01:36:00Z,10,9,11,10,100",
        GOOD[0],
    ]
    (tmp_path / "a.csv").write_text(table(*GOOD, *odd))
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert found.bars.height == 8
    assert found.rejects.is_empty()


def test_unsorted_rows_come_in_order(tmp_path, deliver):
    (tmp_path / "a.csv").write_text(table(*reversed(GOOD)))
    assert deliver(tmp_path / "a.csv", "cn", "1m").bars["ts_open"].is_sorted()


def test_explicit_offsets_may_differ(tmp_path, deliver):
    rows = [
        GOOD[0],
        "600519.SH,2025-01-02T09:31:00+08:00,10,11,9,10,100",
        "600519.SH,2025-01-01T20:32:00-0500,1,1,1,1,1",
    ]
    (tmp_path / "a.csv").write_text(table(*rows))
    opens = deliver(tmp_path / "a.csv", "cn", "1m").bars["ts_open"].dt.strftime("%H:%M").to_list()
    assert opens == ["01:30", "01:31", "01:32"]


def test_bytes_that_are_not_utf8_cost_their_line(tmp_path, deliver):
    (tmp_path / "a.csv").write_bytes(table(*GOOD).encode() + "600519.SH,2025-01-02,贵州茅台\n".encode("gbk"))
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert found.bars.height == 4
    assert found.rejects.select("rule", "file").rows() == [("not_utf8", "a.csv:6")]


def test_byte_order_mark_and_carriage_returns(tmp_path, deliver):
    (tmp_path / "a.csv").write_bytes(
        b"\xef\xbb\xbf" + table(*GOOD).replace("\n", "\r\n").encode() + b"\r\n\r\n"
    )
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert (found.bars.height, found.rejects.height) == (4, 0)


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", data)
    return buffer.getvalue()


def bad_member(data: bytes) -> bytes:
    """A zip whose directory reads well and whose member does not match its checksum."""
    whole = bytearray(zipped(data))
    start = 30 + struct.unpack_from("<H", whole, 26)[0] + struct.unpack_from("<H", whole, 28)[0]
    whole[start + 40] ^= 0xFF
    return bytes(whole)


TEXT = table(*GOOD).encode()
PARQUET = io.BytesIO()
pl.DataFrame({"symbol": ["600519.SH"], "ts_open": [1]}).write_parquet(PARQUET)


@pytest.mark.parametrize(
    ("name", "data", "rule"),
    [
        ("empty.csv", b"", "empty_file"),
        ("blank.csv", b"\n\n", "empty_file"),
        ("header.csv", f"{HEADER}\n".encode(), "empty_file"),
        ("cut.csv.gz", gzip.compress(TEXT, mtime=0)[:-9], "corrupt_file"),
        ("stub.csv.gz", gzip.compress(TEXT, mtime=0)[:6], "corrupt_file"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), "empty_file"),
        ("crc.csv.gz", gzip.compress(TEXT, mtime=0)[:-8] + b"\0" * 8, "corrupt_file"),
        ("cut.zip", zipped(TEXT)[:-30], "corrupt_file"),
        ("member.zip", bad_member(TEXT), "corrupt_file"),
        ("cut.parquet", PARQUET.getvalue()[:-20], "corrupt_file"),
        ("line.csv", TEXT + b"x" * (raw.MAX_LINE_BYTES * 2), "corrupt_file"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_reject_and_the_others_go_on(tmp_path, deliver, name, data, rule):
    (tmp_path / name).write_bytes(data)
    (tmp_path / "good.csv").write_text(table(*GOOD))
    found = deliver(tmp_path, "cn", "1m")
    assert found.bars.height == 4
    assert found.rejects.height == 1
    assert found.rejects["rule"][0] == rule
    assert found.rejects["file"][0].startswith(name)
    assert any(each.subject.startswith(name) for each in found.source.decisions())
    (tmp_path / "good.csv").unlink()
    with pytest.raises(DataError, match=name):
        deliver(tmp_path / name, "cn", "1m")


def test_a_bomb_is_refused(tmp_path, deliver, monkeypatch):
    monkeypatch.setattr(containers, "MAX_DECOMPRESSED_BYTES", 1_000_000)
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(TEXT + b"\n" * 20_000_000, mtime=0))
    (tmp_path / "good.csv").write_text(table(*GOOD))
    found = deliver(tmp_path, "cn", "1m")
    assert found.bars.height == 4
    assert "more than 1,000,000 bytes" in found.rejects["reason"][0]


def test_rejects_are_counted_past_their_limit(tmp_path, deliver, monkeypatch):
    monkeypatch.setattr(survey, "MAX_REJECTS", 5)
    bad = [f"600519.SH,2025-01-02T02:{i:02d}:00Z,ten,11,9,10,100" for i in range(12)]
    (tmp_path / "a.csv").write_text(table(*GOOD, *bad, "a,b"))
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert found.bars.height == 4
    assert found.rejects["rule"].value_counts().sort("rule").rows() == [
        ("many_rejects", 1),
        ("not_a_number", 4),
        ("ragged_row", 1),
    ]
    assert found.rejects.filter(pl.col("rule") == "many_rejects")["reason"].to_list() == [
        "8 further rows or lines cannot be used"
    ]


def test_a_file_of_another_market(tmp_path, deliver):
    (tmp_path / "a.csv").write_text(table(*GOOD))
    with pytest.raises(DataError, match=r"no 1m bars of hk.*4 rows are of another market than hk"):
        deliver(tmp_path / "a.csv", "hk", "1m")
    other = [row.replace("600519.SH", "HK.00700") for row in GOOD]
    (tmp_path / "b.csv").write_text(table(*other))
    found = deliver(tmp_path, "hk", "1m")
    assert found.bars["instrument_id"].unique().to_list() == ["HK.SEHK.00700"]
    assert found.rejects.select("file", "rule").rows() == [("a.csv", "wrong_market")]


def test_another_frequency_is_a_clear_error(tmp_path, deliver):
    (tmp_path / "a.csv").write_text(table(*GOOD))
    with pytest.raises(DataError, match=r"no 1d bars of cn.*1m bars, left out.*Next: ask for the market"):
        deliver(tmp_path / "a.csv", "cn", "1d")


def test_missing_columns_are_named(tmp_path, deliver):
    (tmp_path / "a.csv").write_text("symbol,ts_open,open,high,close,volume\n600519.SH,2025-01-02,1,1,1,1\n")
    with pytest.raises(
        UnrecognisedFile, match=r"columns: symbol, ts_open, open.*the nearest format, own, needs low too"
    ):
        deliver(tmp_path / "a.csv", "cn", "1m")


def test_no_symbol_anywhere(tmp_path, deliver):
    rows = [row.removeprefix("600519.SH,") for row in GOOD]
    (tmp_path / "bars.csv").write_text(table(*rows, header=HEADER.removeprefix("symbol,")))
    with pytest.raises(DataError, match="no symbol in the file's name"):
        deliver(tmp_path / "bars.csv", "cn", "1m")
    (tmp_path / "bars.csv").rename(tmp_path / "600519.SH.csv")
    bars = deliver(tmp_path / "600519.SH.csv", "cn", "1m").bars
    assert bars["instrument_id"].unique().to_list() == ["CN.SSE.600519"]


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh9", "bzip2"), (b"\xff\xfes\0", "UTF-16")]
)
def test_unsupported_containers_are_named(tmp_path, deliver, magic, name):
    (tmp_path / "a.bin").write_bytes(magic + b"rest of it")
    with pytest.raises(UnrecognisedFile, match=name):
        deliver(tmp_path / "a.bin", "cn", "1m")


def test_paths_that_hold_nothing(tmp_path, deliver):
    with pytest.raises(DataError, match="does not exist"):
        deliver(tmp_path / "nowhere", "cn", "1m")
    with pytest.raises(DataError, match="holds no files"):
        deliver(tmp_path, "cn", "1m")


def test_no_path_is_a_configuration_error():
    from datetime import UTC, date, datetime

    now = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(ConfigError, match="has no path"):
        open_files(
            SourceConfig("files"),
            market="cn",
            freq="1m",
            start=date(2020, 1, 1),
            end=date(2021, 1, 1),
            now=now,
        )


def test_a_file_that_breaks_after_its_survey_says_so(tmp_path, deliver):
    """Cut while it is being read: the error names it, no half of it is delivered."""
    from datetime import date

    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(TEXT, mtime=0))
    source = deliver(path, "cn", "1m").source
    path.write_bytes(gzip.compress(TEXT, mtime=0)[:-9])
    with pytest.raises(DataError, match=r"a\.csv\.gz cannot be read"):
        list(source.batches(date(2020, 1, 1), date(2030, 1, 1)))


def test_one_row_with_a_zone_does_not_condemn_the_rest(tmp_path, deliver):
    """The side that most rows take stands: a single odd cell costs itself, whichever way it is odd."""
    local = [row.replace("T01:", " 09:").replace("Z,", ",") for row in GOOD]
    (tmp_path / "a.csv").write_text(table(*local, "600519.SH,2025-01-02T01:40:00Z,10,11,9,10,100"))
    found = deliver(tmp_path / "a.csv", "cn", "1m")
    assert found.bars["ts_open"].dt.strftime("%H:%M").to_list() == ["01:30", "01:31", "01:32", "01:33"]
    assert found.rejects.select("rule", "file").rows() == [("mixed_time_zone", "a.csv:6")]
    assert "rows with a zone are rejected (most rows name none)" in found.decided("time zone")


@pytest.mark.parametrize("ending", ["\n", ""])
def test_lines_keep_their_numbers_across_blocks(tmp_path, deliver, monkeypatch, ending):
    bad = "600519.SH,2025-01-02T01:40:00Z,ten,11,9,10,100"
    path = tmp_path / "a.csv"
    path.write_text(table(*GOOD[:2], "", bad, *GOOD[2:]).removesuffix("\n") + ending)
    whole = deliver(path, "cn", "1m")
    assert whole.bars["raw_ref"].to_list() == [f"a.csv:{line}" for line in (2, 3, 6, 7)]
    for size in (1, 7, 64, 97):
        monkeypatch.setattr(containers, "BLOCK_BYTES", size)
        again = tmp_path / str(size) / "a.csv"  # another path, so that no survey is remembered
        again.parent.mkdir()
        again.write_bytes(path.read_bytes())
        found = deliver(again, "cn", "1m")
        assert found.bars.equals(whole.bars)
        assert found.rejects.equals(whole.rejects)
    assert whole.rejects["file"].to_list() == ["a.csv:5"]

"""Laws: order does not matter, what is written is read, no byte makes it fail or lose a row unnamed."""

from __future__ import annotations

import gzip
import random
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nofx_pipelines.errors import NofxError
from nofx_pipelines.market.sources.files.file_index import open_path
from nofx_pipelines.market.sources.files.times import wall_clock

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RELAXED = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

HEADERS = {
    "futu": "code,time_key,open,close,high,low,volume,turnover,last_close",
    "tushare": "ts_code,trade_date,open,high,low,close,pre_close,vol,amount",
    "hikyuu": "code,date,open,high,low,close,volume_lot,amount_raw",
}


def lines(name: str, count: int = 40) -> list[str]:
    """Rows of one format, good ones and one bad in ten."""
    rng, rows = random.Random(7), []
    for i in range(count):
        price, volume = 10 + rng.random(), rng.randrange(1, 50) * 100
        prices = f"{price:.3f},{price + 0.5:.3f},{price - 0.5:.3f},{price + 0.1:.3f}"
        day = (date(2019, 1, 1) + timedelta(days=i)).strftime("%Y%m%d")
        if name == "futu":
            at = datetime(2019, 7, 2, 9, 30) + timedelta(minutes=i)
            o, h, low, c = prices.split(",")
            row = f"HK.00700,{at},{o},{c},{h},{low},{volume},{volume * price:.2f},{o}"
        elif name == "tushare":
            row = f"600000.SH,{day},{prices},{price:.3f},{volume / 100},{volume * price / 1000:.4f}"
        else:
            row = f"SH600000,{day},{prices},{volume // 100},{volume * price / 1000:.0f}"
        rows.append(row.replace(".", "x", 1) if i % 10 == 9 and name != "tushare" else row)
    return rows


def asked(name: str) -> tuple[str, str]:
    return ("hk", "1m") if name == "futu" else ("cn", "1d")


@pytest.mark.parametrize("name", sorted(HEADERS))
@RELAXED
@given(seed=st.integers(0, 2**32))
def test_shuffled_rows_give_the_same_bars(tmp_path_factory, deliver, name, seed):
    rows, folder = lines(name), tmp_path_factory.mktemp("order")
    mixed = rows.copy()
    random.Random(seed).shuffle(mixed)
    found = []
    for part in (rows, mixed):
        path = folder / "a.csv"
        path.write_text("\n".join([HEADERS[name], *part]))
        found.append(deliver(path, *asked(name)))
        path.unlink()
    one, other = (each.bars.drop("raw_ref", "source_rev") for each in found)
    assert one.equals(other)
    kept = ("instrument_id", "rule", "reason", "value", "raw")
    one_bad, other_bad = (each.rejects.select(kept).sort("raw") for each in found)
    assert one_bad.equals(other_bad)


finite = st.floats(0.01, 1e7, allow_nan=False)


@st.composite
def own_bars(draw: st.DrawFn) -> pl.DataFrame:
    """Bars in our own columns: several instruments, any order, unknown amounts."""
    symbols = draw(st.lists(st.sampled_from(["BTC", "ETH", "SOL"]), min_size=1, max_size=3, unique=True))
    minutes = draw(st.lists(st.integers(0, 10_000), min_size=4, max_size=30, unique=True))
    start = datetime(2024, 2, 28, 22, tzinfo=UTC)
    rows = [
        {
            "instrument_id": f"CRYPTO.BINANCE.SPOT.{symbol}-USDT",
            "ts_open": start + timedelta(minutes=minute),
            "ts_close": start + timedelta(minutes=minute + 1),
            **{name: draw(finite) for name in ("open", "high", "low", "close", "volume")},
            "amount": draw(st.none() | finite),
            "n_trades": draw(st.none() | st.integers(0, 2**40)),
        }
        for symbol in symbols
        for minute in minutes
    ]
    schema = {"ts_open": pl.Datetime("us", "UTC"), "ts_close": pl.Datetime("us", "UTC"), "amount": pl.Float64}
    return pl.DataFrame(rows, schema_overrides={**schema, "n_trades": pl.Int64})


@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
@RELAXED
@given(frame=own_bars())
def test_what_is_written_is_read(tmp_path_factory, deliver, kind, frame):
    path = tmp_path_factory.mktemp("own") / f"bars.{kind}"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "feather": frame.write_ipc}[kind](path)
    found = deliver(path, "crypto", "1m")
    assert found.rejects.is_empty()
    units = {each.instrument_id: each for each in _units(found)}
    same = frame.sort("instrument_id", "ts_open")
    for identifier, rows in same.group_by("instrument_id", maintain_order=True):
        got = found.bars.filter(pl.col("instrument_id") == identifier[0])
        by = units[identifier[0]]
        expected = rows.with_columns(pl.col("volume") * by.volume, pl.col("amount") * by.amount)
        assert got.select(frame.columns).equals(expected)


class _Units:
    def __init__(self, instrument_id: str, volume: float, amount: float) -> None:
        self.instrument_id, self.volume, self.amount = instrument_id, volume, amount


def _units(found) -> list[_Units]:
    """Units as decided: random amounts may by chance look like thousands of the currency."""
    held = found.source._index.bars[0].survey.instruments
    return [_Units(name, each.units.units.volume, each.units.units.amount) for name, each in held.items()]


def spoiled(data: bytes, rng: random.Random) -> bytes:
    """Cut, or with bytes changed, dropped or inserted."""
    if rng.random() < 0.3:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 12)):
        at = rng.randrange(len(changed))
        way = rng.randrange(3)
        if way == 0:
            changed[at] = rng.randrange(256)
        elif way == 1:
            del changed[at]
        else:
            changed.insert(at, rng.randrange(256))
    return bytes(changed)


def rows_in(data: bytes) -> int:
    """Lines that are not blank, less the header: counted without the reader."""
    text = list(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"))
    return sum(1 for line in text if line.decode("utf-8", errors="replace").strip()) - 1


def seeds(fast: int, slow: int) -> list:
    """Some seeds in every run, the others in the long one."""
    return [*range(fast), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(fast, slow))]


@pytest.mark.parametrize("seed", seeds(24, 400))
def test_garbled_text_loses_no_row_unnamed(tmp_path, deliver, seed):
    rng, name = random.Random(seed), sorted(HEADERS)[seed % 3]
    header, body = f"{HEADERS[name]}\n".encode(), "\n".join(lines(name)).encode()
    data = header + spoiled(body, rng)
    (tmp_path / "a.csv").write_bytes(data)
    try:
        found = deliver(tmp_path / "a.csv", *asked(name))
    except NofxError:
        return
    assert found.bars.height + found.rejects.height == rows_in(data)


@pytest.mark.parametrize("seed", seeds(8, 200))
@pytest.mark.parametrize("kind", ["csv", "gz", "zip"])
def test_spoiled_files_raise_nothing_but_our_errors(tmp_path, deliver, kind, seed):
    import io
    import zipfile

    rng, name = random.Random(seed), sorted(HEADERS)[seed % 3]
    data = "\n".join([HEADERS[name], *lines(name)]).encode()
    if kind == "gz":
        data = gzip.compress(data, mtime=0)
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.csv", data)
            archive.writestr("b.csv", data)
        data = buffer.getvalue()
    (tmp_path / "a.bin").write_bytes(spoiled(data, rng))
    (tmp_path / "good.csv").write_text("\n".join([HEADERS[name], *lines(name)]))
    found = deliver(tmp_path, *asked(name))  # the good file always goes on
    assert found.bars.filter(pl.col("raw_ref").str.starts_with("good.csv")).height == 40 - _bad(name)


def _bad(name: str) -> int:
    return 0 if name == "tushare" else 4


@pytest.mark.parametrize("seed", seeds(10, 300))
@pytest.mark.parametrize("kind", ["parquet", "ipc"])
def test_spoiled_columnar_files_raise_nothing_but_our_errors(tmp_path, seed, kind):
    rng = random.Random(seed)
    opens = [datetime(2025, 1, 2, 1, 30, tzinfo=UTC) + timedelta(minutes=i) for i in range(100)]
    prices = {
        name: [10.0 + i / 100 for i in range(100)] for name in ("open", "high", "low", "close", "volume")
    }
    frame = pl.DataFrame({"symbol": ["600519.SH"] * 100, "ts_open": opens, **prices})
    path = tmp_path / "a.bin"
    frame.write_parquet(path) if kind == "parquet" else frame.write_ipc(path)
    path.write_bytes(spoiled(path.read_bytes(), rng))
    try:
        opened = open_path(path, market="cn", freq="1m", now=NOW)
    except NofxError:
        return
    assert opened.bars or opened.rejected or opened.left_out


@RELAXED
@given(
    at=st.datetimes(datetime(1970, 1, 2), datetime(2099, 12, 30)),
    minutes=st.integers(-14 * 60, 14 * 60),
    style=st.sampled_from(["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y/%m/%d %H:%M:%S"]),
)
def test_times_with_offsets_are_read_as_python_reads_them(at, minutes, style):
    offset = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    text = at.strftime(style) + offset
    wall, aware = wall_clock(pl.Series([text]))
    expected = datetime.fromisoformat(text.replace("/", "-")).astimezone(UTC).replace(tzinfo=None)
    assert (wall[0], aware[0]) == (expected if expected >= datetime(1970, 1, 1) else None, True)


@RELAXED
@given(at=st.datetimes(datetime(1974, 1, 1), datetime(2099, 12, 30)))
def test_epochs_of_any_size(at):
    at = at.replace(microsecond=0)
    seconds = int(at.replace(tzinfo=UTC).timestamp())
    cells = pl.Series([seconds, seconds * 1_000, seconds * 1_000_000, seconds * 1_000_000_000])
    for dtype in (pl.Int64, pl.String):
        wall, aware = wall_clock(cells.cast(dtype))
        assert wall.to_list() == [at] * 4
        assert aware.all()

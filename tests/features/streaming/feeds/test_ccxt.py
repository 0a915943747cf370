"""Bars of an exchange: a fake one with a clock of its own, and ccxt's Binance on the loopback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.cli.stream import Source, run_stream
from nofx_pipelines.errors import ConfigError, DataError, FeatureError
from nofx_pipelines.features import compute, feature_set
from nofx_pipelines.features.online.mapped_store import MappedStore
from nofx_pipelines.features.streaming.feeds import ccxt as feeds
from nofx_pipelines.features.streaming.feeds.ccxt import CcxtFeed, exchange_of, instruments_of
from nofx_pipelines.features.streaming.serving import serve
from nofx_pipelines.features.streaming.stream import Stream
from nofx_pipelines.lake.schemas import BARS
from nofx_pipelines.market.sessions import calendar

ccxt = pytest.importorskip("ccxt", reason="pip install 'nofx-pipelines[ccxt]'")

MINUTE, SECOND = 60_000_000, 1_000_000
BEGIN = int(datetime(2025, 6, 1, tzinfo=UTC).timestamp()) * SECOND
FORMING = -1.0
SYMBOLS = {"A": "A/USDT", "B": "B/USDT", "C": "C/USDT"}


@dataclass
class Clock:
    """Time passes where somebody sleeps, and a little where somebody asks."""

    now: int
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.slept.append(seconds)
        self.now += max(1, round(seconds * SECOND))


@dataclass
class Fake:
    """Minutes (0 is `BEGIN`) in which each symbol has a bar, and seconds after the close until it is there.

    The forming bar is given too, as exchanges do. ``reach``: looks only so many bars ahead.
    """

    clock: Clock
    minutes: dict[str, list[int]]
    late_s: dict[str, float] = field(default_factory=dict)
    page: int = 1_000
    reach: int | None = None
    errors: list[Exception] = field(default_factory=list)
    asked: list[tuple[str, int]] = field(default_factory=list)
    id: str = "fake"

    def parse_timeframe(self, timeframe: str) -> int:
        return int(ccxt.Exchange.parse_timeframe(timeframe))

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int | None, limit: int | None) -> list[Any]:
        assert since is not None
        assert limit is not None
        assert timeframe == "1m"
        self.asked.append((symbol, since * 1_000))
        self.clock.now += 50_000
        if self.errors:
            raise self.errors.pop(0)
        rows = [self.row(symbol, minute) for minute in self.minutes[symbol] if self.there(symbol, minute)]
        rows = [row for row in rows if row[0] >= since]
        if self.reach is not None:
            rows = [row for row in rows if row[0] < since + self.reach * 60_000]
        return rows[: min(limit, self.page)]

    def there(self, symbol: str, minute: int) -> bool:
        opened = BEGIN + minute * MINUTE
        late = round(self.late_s.get(symbol, 0.0) * SECOND)
        return opened + (MINUTE if late else 0) + late <= self.clock.now

    def row(self, symbol: str, minute: int) -> list[Any]:
        opened = BEGIN + minute * MINUTE
        last = value_of(symbol, minute) if opened + MINUTE <= self.clock.now else FORMING
        return [opened // 1_000, 1.0, 2.0, 0.5, last, 3.0]


def value_of(symbol: str, minute: int) -> float:
    return minute + ord(symbol[0]) / 1_000


def world(minutes: dict[str, list[int]], at_minute: float, **more: Any) -> tuple[Fake, Clock]:
    clock = Clock(BEGIN + round(at_minute * MINUTE))
    return Fake(clock, minutes, **more), clock


def feed_of(exchange: Fake, **more: Any) -> CcxtFeed:
    symbols = {name: symbol for name, symbol in SYMBOLS.items() if symbol in exchange.minutes}
    options: dict[str, Any] = {"since_us": BEGIN, "idle_s": 300.0} | more
    return CcxtFeed(exchange, symbols, now_us=exchange.clock, sleep=exchange.clock.sleep, **options)


def keys(frames: list[pl.DataFrame]) -> list[tuple[str, int, float]]:
    """Instrument, minute and close of every bar, in the order in which they came."""
    rows = pl.concat(frames).with_columns(pl.col("ts_open").dt.epoch("us")) if frames else pl.DataFrame()
    return [
        (r["instrument_id"], (r["ts_open"] - BEGIN) // MINUTE, r["close"]) for r in rows.iter_rows(named=True)
    ]


def all_bars(exchange: Fake) -> list[tuple[str, int, float]]:
    return sorted((s[0], m, value_of(s, m)) for s, minutes in exchange.minutes.items() for m in minutes)


def test_a_bar_is_as_the_lake_has_it() -> None:
    exchange, _ = world({"A/USDT": [0, 1]}, 5)
    _, bars = next(feed_of(exchange).moments(None))
    assert bars.schema == {name: BARS.columns[name] for name in bars.columns}
    assert bars.row(0, named=True) == {
        "instrument_id": "A",
        "ts_open": datetime(2025, 6, 1, tzinfo=UTC),
        "ts_close": datetime(2025, 6, 1, 0, 1, tzinfo=UTC),
        "session_date": date(2025, 6, 1),
        "open": 1.0,
        "high": 2.0,
        "low": 0.5,
        "close": value_of("A", 0),
        "volume": 3.0,
        "amount": None,
    }


def test_the_session_is_the_day_on_which_a_bar_opens() -> None:
    exchange, _ = world({"A/USDT": [1_439]}, 1_441)
    _, bars = next(feed_of(exchange).moments(None))
    assert bars["session_date"].item() == date(2025, 6, 1)


def test_a_seventh_column_is_the_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange, _ = world({"A/USDT": [0]}, 5)
    plain = exchange.row
    monkeypatch.setattr(exchange, "row", lambda symbol, minute: [*plain(symbol, minute), 4.5])
    assert next(feed_of(exchange).moments(None))[1]["amount"].to_list() == [4.5]


def test_only_closed_bars_each_soon_after_its_close() -> None:
    exchange, clock = world({"A/USDT": list(range(10))}, 3.5)
    came = []
    for _, bars in feed_of(exchange).moments(None):
        came.append((keys([bars])[0], clock.now))
    assert [key for key, _ in came] == all_bars(exchange)
    for (_, minute, last), now in came:
        assert last != FORMING
        after_s = (now - BEGIN) / SECOND - (minute + 1) * 60
        assert after_s >= 1
        assert minute < 3 or after_s < 4


def test_a_bar_that_closes_during_the_request_is_still_forming() -> None:
    """The answer may be older than the clock after it."""
    exchange, clock = world({"A/USDT": [0, 1]}, 0)
    plain = exchange.fetch_ohlcv

    def slow(symbol: str, timeframe: str, since: int | None, limit: int | None) -> list[Any]:
        rows = plain(symbol, timeframe, since, limit)
        clock.now += MINUTE
        return rows

    exchange.fetch_ohlcv = slow  # type: ignore[method-assign]
    assert keys([bars for _, bars in feed_of(exchange).moments(None)]) == all_bars(exchange)


def test_symbols_of_one_close_come_together() -> None:
    minutes = {s: list(range(40)) for s in SYMBOLS.values()}
    minutes["B/USDT"] = [m for m in minutes["B/USDT"] if m % 5]
    exchange, _ = world(minutes, 30, page=7)
    moments = [bars for _, bars in feed_of(exchange).moments(None)]
    assert [m["instrument_id"].to_list() for m in moments] == [
        ["A", "B", "C"] if minute % 5 else ["A", "C"] for minute in range(40)
    ]
    assert sorted(keys(moments)) == all_bars(exchange)


def test_the_past_is_read_in_pages() -> None:
    exchange, clock = world({"A/USDT": list(range(100))}, 101)
    begun = clock.now
    assert keys([b for _, b in feed_of(exchange, limit=30).moments(None)]) == all_bars(exchange)
    assert [(since - BEGIN) // MINUTE for _, since in exchange.asked][:5] == [0, 30, 60, 90, 100]
    assert clock.now - begun >= 300 * SECOND, "it ends after idle_s"


def test_an_answer_in_any_order_with_bars_twice_and_from_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some exchanges give the newest bars, whatever they are asked for."""
    exchange, _ = world({"A/USDT": list(range(20))}, 10)
    plain = exchange.fetch_ohlcv

    def newest(symbol: str, timeframe: str, since: int | None, limit: int | None) -> list[Any]:
        rows = plain(symbol, timeframe, BEGIN // 1_000, limit)
        return [*rows[::-1], *rows]

    monkeypatch.setattr(exchange, "fetch_ohlcv", newest)
    assert keys([bars for _, bars in feed_of(exchange).moments(None)]) == all_bars(exchange)


def test_without_a_beginning_it_starts_limit_bars_ago() -> None:
    exchange, _ = world({"A/USDT": list(range(100))}, 100.5)
    found = keys([b for _, b in feed_of(exchange, limit=30, since_us=None).moments(None)])
    assert [minute for _, minute, _ in found] == list(range(70, 100))


def test_a_gap_longer_than_an_exchange_looks() -> None:
    minutes = {"A/USDT": [0, 1, 95, 96], "B/USDT": list(range(200))}
    exchange, _ = world(minutes, 201, reach=10)
    moments = [b for _, b in feed_of(exchange, limit=10).moments(None)]
    assert sorted(keys(moments)) == all_bars(exchange)
    assert len(moments) == 200, "both of one close together"


def test_a_gap_longer_than_an_exchange_looks_while_it_runs() -> None:
    minutes = {"A/USDT": [0, 1, 95, 96], "B/USDT": list(range(100))}
    exchange, _ = world(minutes, 2.5, reach=10)
    moments = [b for _, b in feed_of(exchange, limit=10).moments(None)]
    assert sorted(keys(moments)) == all_bars(exchange)
    assert sum(symbol == "A/USDT" for symbol, _ in exchange.asked) < 2 * 100 * 30 + 100


@pytest.mark.parametrize("late_s", [20.0, 60.0])
def test_a_late_symbol_is_waited_for(late_s: float) -> None:
    minutes = {s: list(range(12)) for s in ("A/USDT", "B/USDT")}
    exchange, _ = world(minutes, 3, late_s={"B/USDT": late_s})
    moments = [b for _, b in feed_of(exchange).moments(None)]
    assert [m.height for m in moments] == [2] * 12


def test_a_symbol_that_is_too_late_comes_alone() -> None:
    minutes = {s: list(range(12)) for s in ("A/USDT", "B/USDT")}
    exchange, clock = world(minutes, 0, late_s={"B/USDT": 90.0})
    moments, given_s = [], {}
    for _, bars in feed_of(exchange, grace_s=10.0).moments(None):
        moments.append(bars)
        for name, minute, _ in keys([bars]):
            given_s[name, minute] = (clock.now - BEGIN) / SECOND - (minute + 1) * 60
    assert sorted(keys(moments)) == all_bars(exchange)
    assert [m.height for m in moments] == [1] * 24
    assert all(70 <= s < 74 for (name, _), s in given_s.items() if name == "A")
    assert all(90 <= s < 94 for (name, _), s in given_s.items() if name == "B")


def test_a_dead_symbol_holds_up_no_past() -> None:
    """Asked once and found empty, it is not waited for in any bar that is old already."""
    exchange, clock = world({"A/USDT": list(range(500)), "B/USDT": []}, 500)
    feed = feed_of(exchange).moments(None)
    for _ in range(498):
        next(feed)
    assert not clock.slept
    assert sum(symbol == "B/USDT" for symbol, _ in exchange.asked) < 3
    assert len(list(feed)) == 2


def test_errors_of_the_network_are_waited_out() -> None:
    errors = [ccxt.RequestTimeout("slow"), ccxt.RateLimitExceeded("429"), ccxt.ExchangeNotAvailable("502")]
    exchange, clock = world({"A/USDT": [0, 1]}, 5, errors=errors * 3)
    told: list[str] = []
    feed = feed_of(exchange, report=told.append, idle_s=None).moments(None)
    assert keys([next(feed)[1], next(feed)[1]]) == all_bars(exchange)
    assert clock.slept == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert told[1] == "fake A/USDT, again in 2 s: RateLimitExceeded: 429"


def test_an_exchange_that_stays_away_is_named() -> None:
    exchange, clock = world({"A/USDT": [0]}, 5, errors=[ccxt.NetworkError("gone")] * 99)
    with pytest.raises(FeatureError, match="fake could not be reached for 1m bars of A/USDT: NetworkError"):
        next(feed_of(exchange, idle_s=100.0).moments(None))
    assert 100 <= (clock.now - BEGIN) / SECOND - 300 < 200


def test_a_refusal_is_not_tried_again() -> None:
    exchange, clock = world({"A/USDT": [0]}, 5, errors=[ccxt.BadSymbol("no A/USDT")])
    with pytest.raises(FeatureError, match=r"fake refused for 1m bars of A/USDT: BadSymbol.*load_markets"):
        next(feed_of(exchange).moments(None))
    assert not clock.slept


def test_what_is_no_error_of_an_exchange_is_not_hidden() -> None:
    exchange, _ = world({"A/USDT": [0]}, 5, errors=[ZeroDivisionError("a mistake of ours")])
    with pytest.raises(ZeroDivisionError):
        next(feed_of(exchange).moments(None))


def assert_cut_loses_nothing(make: Callable[[], CcxtFeed], cut: int, down_s: float, in_order: bool) -> None:
    """Killed after ``cut`` moments, it goes on from the last one's position, as JSON, some time later."""
    feed = make()
    moments = feed.moments(None)
    taken = [next(moments) for _ in range(cut)]
    position = json.loads(json.dumps(taken[-1][0]))
    feed.sleep(down_s)
    frames = [bars for _, bars in (*taken, *feed.moments(position))]
    exchange = feed.exchange
    assert isinstance(exchange, Fake)
    assert sorted(keys(frames)) == all_bars(exchange)
    if in_order:
        closes = [bars["ts_close"].unique().item() for bars in frames]
        assert closes == sorted(set(closes)), "in order, and all of one close together"


@pytest.mark.parametrize("late_s", [0.0, 40.0, 100.0])
@pytest.mark.parametrize("down_s", [0.0, 70.0, 400.0])
def test_cut_after_every_moment(late_s: float, down_s: float) -> None:
    minutes = {
        "A/USDT": list(range(12)),
        "B/USDT": [0, 1, 4, 5, 6, 11],
        "C/USDT": [m for m in range(12) if m % 3],
    }

    def make() -> CcxtFeed:
        exchange, _ = world(minutes, 6, late_s={"B/USDT": late_s}, page=3)
        return feed_of(exchange, idle_s=400.0)

    for cut in range(1, len(list(make().moments(None))) + 1):
        assert_cut_loses_nothing(make, cut, down_s, in_order=late_s == 0)


MINUTES = st.lists(st.integers(0, 14), unique=True, max_size=15).map(sorted)
LATE_S = st.sampled_from([0.0, 0.0, 30.0, 65.0, 130.0])


@given(
    minutes=st.tuples(MINUTES, MINUTES, MINUTES),
    late_s=st.tuples(LATE_S, LATE_S, LATE_S),
    at_minute=st.floats(0, 20),
    limit=st.integers(1, 9),
    looks_ahead=st.booleans(),
    cut=st.floats(0, 1),
    down_s=st.floats(0, 400),
)
@settings(max_examples=30, deadline=None)
def test_cut_anywhere_it_loses_nothing_and_doubles_nothing(
    minutes: tuple[list[int], ...],
    late_s: tuple[float, ...],
    at_minute: float,
    limit: int,
    looks_ahead: bool,
    cut: float,
    down_s: float,
) -> None:
    """In any world; what looks only ``limit`` bars ahead looks further than bars are late."""
    own = dict(zip(SYMBOLS.values(), minutes, strict=True))
    delays = dict(zip(SYMBOLS.values(), late_s, strict=True))
    limit = limit if looks_ahead else limit + 4

    def make() -> CcxtFeed:
        exchange, _ = world(own, at_minute, late_s=delays, reach=None if looks_ahead else limit)
        return feed_of(exchange, limit=limit, idle_s=1_200.0)

    whole = [bars for _, bars in make().moments(None)]
    assert sorted(keys(whole)) == all_bars(Fake(Clock(0), own))
    if whole:
        assert_cut_loses_nothing(make, max(1, round(cut * len(whole))), down_s, in_order=not any(late_s))


def test_a_symbol_that_is_new_begins_where_the_others_are_and_one_left_out_is_kept() -> None:
    exchange, _ = world({"A/USDT": list(range(20)), "B/USDT": list(range(20))}, 21)
    moments = feed_of(Fake(exchange.clock, {"A/USDT": list(range(20))})).moments(None)
    position = [next(moments)[0] for _ in range(5)][-1]
    assert position == {"timeframe": "1m", "ts_close_us": {"A": BEGIN + 5 * MINUTE}}
    only_b = feed_of(Fake(exchange.clock, {"B/USDT": list(range(20))}))
    after, bars = next(only_b.moments(position))
    assert keys([bars]) == [("B", 5, value_of("B", 5))]
    assert after["ts_close_us"] == {"A": BEGIN + 5 * MINUTE, "B": BEGIN + 6 * MINUTE}


def test_one_that_is_behind_waits_for_none_that_is_ahead() -> None:
    exchange, clock = world({"A/USDT": list(range(9)), "B/USDT": list(range(9))}, 5.2)
    position = {"timeframe": "1m", "ts_close_us": {"A": BEGIN + 5 * MINUTE, "B": BEGIN + 2 * MINUTE}}
    moments = feed_of(exchange).moments(position)
    found = [next(moments)[1] for _ in range(3)]
    assert not clock.slept
    assert [key[:2] for key in keys(found)] == [("B", 2), ("B", 3), ("B", 4)]
    assert next(moments)[1].height == 2


@pytest.mark.parametrize(
    "position", [{"ts_close_us": 7}, {"timeframe": "5m", "ts_close_us": {"A": 7}}, {"id": "0-0"}]
)
def test_a_position_of_something_else_is_refused(position: dict[str, Any]) -> None:
    exchange, _ = world({"A/USDT": [0]}, 5)
    with pytest.raises(FeatureError, match="is not one of 1m bars by ccxt; the state is as it was"):
        next(feed_of(exchange).moments(position))


@pytest.mark.parametrize("timeframe", ["1w", "1M", "7m", "0m", "m", "", "1x"])
def test_a_timeframe_without_a_fixed_length_is_refused(timeframe: str) -> None:
    exchange, _ = world({"A/USDT": [0]}, 5)
    with pytest.raises(ConfigError, match="is not a part of a day"):
        next(feed_of(exchange, timeframe=timeframe).moments(None))


def test_symbols_and_identifiers() -> None:
    assert instruments_of("gate", ["1INCH/USDT"]) == {"CRYPTO.GATE.SPOT.1INCH-USDT": "1INCH/USDT"}
    for symbols, message in (
        (["BTCUSDT"], "neither spot nor a perpetual"),
        (["BTC/USDT:USDT-251226"], "neither spot nor a perpetual"),
        (["BTC/USDT:USDT", "BTC/USDT:BTC"], "are both CRYPTO.BINANCE.PERP.BTC-USDT"),
    ):
        with pytest.raises(ConfigError, match=message):
            instruments_of("binance", symbols)
    with pytest.raises(DataError, match="breaks a rule"):
        instruments_of("binance", ["../x/USDT"])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"knows no exchange 'binanse'. Next: --exchange binance"):
        exchange_of("binanse")
    with pytest.raises(ConfigError, match="knows no exchange 'base'"):
        exchange_of("base")
    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(ConfigError, match=r"pip install 'nofx-pipelines\[ccxt\]'"):
        exchange_of("binance")


class Binance(BaseHTTPRequestHandler):
    """Binance's klines and exchangeInfo, from bars in memory, the forming one included."""

    bars: ClassVar[dict[str, pl.DataFrame]]
    clock: ClassVar[Clock]
    asked: ClassVar[list[dict[str, str]]]
    fail: ClassVar[list[int]]
    address: ClassVar[str]

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(place.query).items()}
        if place.path.endswith("/exchangeInfo"):
            names = self.bars if place.path == "/api/v3/exchangeInfo" else ()
            return self._answer(200, {"timezone": "UTC", "symbols": [market(name) for name in names]})
        assert place.path == "/api/v3/klines"
        self.asked.append(query)
        if self.fail:
            return self._answer(self.fail.pop(), {"code": -1003, "msg": "Too many requests."})
        rows = self.bars[query["symbol"]].filter(
            pl.col("ts_open").dt.epoch("ms") >= int(query["startTime"]),
            pl.col("ts_open").dt.epoch("us") <= self.clock.now,
        )
        return self._answer(200, [kline(row) for row in rows.head(int(query["limit"])).iter_rows(named=True)])

    def _answer(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def market(name: str) -> dict[str, Any]:
    base, quote = name[:-4], name[-4:]
    return {
        "symbol": name,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": ["SPOT"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "9e9", "tickSize": "0.01"}
        ],
    }


def kline(row: dict[str, Any]) -> list[Any]:
    opened, closed = (int(row[name].timestamp() * 1_000) for name in ("ts_open", "ts_close"))
    numbers = [repr(row[name]) for name in ("open", "high", "low", "close", "volume")]
    return [opened, *numbers, closed - 1, "1.5", 40, "0.5", "0.7", "0"]


def minute_bars(instrument: str, minutes: int, seed: int) -> pl.DataFrame:
    """A walk whose turnover ccxt does not tell."""
    rng = np.random.default_rng(seed)
    price = np.round(100 * np.exp(np.cumsum(rng.normal(0, 0.001, minutes))), 2)
    start = np.round(price * np.exp(rng.normal(0, 0.0005, minutes)), 2)
    opened = pl.Series(BEGIN + MINUTE * np.arange(minutes)).cast(pl.Datetime("us", "UTC"))
    return pl.DataFrame(
        {
            "instrument_id": instrument,
            "ts_open": opened,
            "ts_close": opened.dt.offset_by("1m"),
            "session_date": opened.dt.date(),
            "open": start,
            "high": np.maximum(price, start) + 0.01,
            "low": np.minimum(price, start) - 0.01,
            "close": price,
            "volume": np.round(rng.lognormal(1, 1, minutes), 5),
            "amount": pl.Series([None] * minutes, dtype=pl.Float64),
        }
    )


BTC, ETH = "CRYPTO.BINANCE.SPOT.BTC-USDT", "CRYPTO.BINANCE.SPOT.ETH-USDT"
TOTAL, CLOSED = 280, 260


@pytest.fixture
def binance() -> Iterator[type[Binance]]:
    """A server of our own on the loopback; 260 minutes of two symbols have closed."""

    made = {
        "bars": {"BTCUSDT": minute_bars(BTC, TOTAL, 1), "ETHUSDT": minute_bars(ETH, TOTAL, 2)},
        "clock": Clock(BEGIN + CLOSED * MINUTE + 30 * SECOND),
        "asked": [],
        "fail": [],
    }
    handler: type[Binance] = type("Handler", (Binance,), made)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    handler.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def on_loopback(server: Any) -> Any:
    paths = {"public": "/api/v3", "fapiPublic": "/fapi/v1", "dapiPublic": "/dapi/v1"}
    return exchange_of("binance", {name: server.address + path for name, path in paths.items()})


def minutes_of(server: Any, n: int) -> pl.DataFrame:
    return pl.concat(bars.head(n) for bars in server.bars.values())


def test_ccxt_from_http_to_the_online_store(tmp_path: Path, binance: Any) -> None:
    """The past in pages and a stop in it, then live bars, two symbols, a rate limit: the batch's bits."""
    features = feature_set("technical")
    store, state, year = MappedStore(tmp_path / "f.online"), tmp_path / "s.stream", 365.0 * 1_440
    binance.fail.append(429)
    told: list[str] = []
    feed = CcxtFeed(
        on_loopback(binance),
        instruments_of("binance", ["BTC/USDT", "ETH/USDT"]),
        since_us=BEGIN,
        limit=100,
        idle_s=180.0,
        now_us=binance.clock,
        sleep=binance.clock.sleep,
        report=told.append,
    )
    serve(Stream(features, [], bars_per_year=year), feed, store, state, moments=130)
    again = Stream.load(state)
    done = serve(again, feed, store, state, position=again.note["position"])
    assert (done.moments, done.bars) == (TOTAL - 130, 2 * (TOTAL - 130))
    assert len(told) == 1
    assert "BTC/USDT, again in 1 s: RateLimitExceeded" in told[0] or "DDoSProtection" in told[0]
    assert {query["interval"] for query in binance.asked} == {"1m"}
    batch = compute(minutes_of(binance, TOTAL), features, bars_per_year=year).frame
    wanted = batch.sort("ts_close").group_by("instrument_id").last().sort("instrument_id")
    found = store.get([BTC, ETH], list(features.columns))
    np.testing.assert_array_equal(
        found.values, wanted.select(pl.col(features.columns).fill_null(np.nan)).to_numpy()
    )
    np.testing.assert_array_equal(found.event_time, wanted["ts_close"].dt.epoch("us").to_numpy())
    assert not np.isnan(found.values).all()


def test_ccxt_gives_the_very_bars_of_the_exchange(binance: Any) -> None:
    feed = CcxtFeed(
        on_loopback(binance),
        instruments_of("binance", ["BTC/USDT", "ETH/USDT"]),
        since_us=BEGIN,
        limit=100,
        idle_s=10.0,
        now_us=binance.clock,
        sleep=binance.clock.sleep,
    )
    found = pl.concat(bars for _, bars in feed.moments(None))
    assert found.sort("instrument_id", "ts_close").equals(minutes_of(binance, CLOSED))


def test_a_symbol_that_binance_lacks(binance: Any) -> None:
    feed = CcxtFeed(on_loopback(binance), instruments_of("binance", ["XYZ/USDT"]), now_us=binance.clock)
    with pytest.raises(FeatureError, match="binance refused for 1m bars of XYZ/USDT: BadSymbol"):
        next(feed.moments(None))


def test_the_command_reads_an_exchange(
    tmp_path: Path, binance: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a date on, bars a year of minutes; a second run goes on from the state."""
    clocked = partial(CcxtFeed, now_us=binance.clock, sleep=binance.clock.sleep)
    monkeypatch.setattr(feeds, "exchange_of", lambda name: on_loopback(binance))
    monkeypatch.setattr(feeds, "CcxtFeed", clocked)
    state = tmp_path / "streams" / "bars.ccxt.stream"
    for minutes in (CLOSED, TOTAL):
        read = Source("ccxt", start=date(2025, 6, 1), symbols=("BTC/USDT", "ETH/USDT"), idle_s=20.0)
        run_stream(tmp_path, read, universe=None, sets=["technical"], state=None, save_every=100)
        stream = Stream.load(state)
        last = {BTC: BEGIN + minutes * MINUTE, ETH: BEGIN + minutes * MINUTE}
        assert stream.note["position"] == {"timeframe": "1m", "ts_close_us": last}
        binance.clock.now = BEGIN + (TOTAL + 5) * MINUTE
    assert stream.bars_per_year == calendar("crypto").bars_per_year("1m")
    assert stream.lanes.seen.tolist() == [TOTAL, TOTAL]
    assert binance.asked[0]["startTime"] == str(BEGIN // 1_000)
    out = capsys.readouterr().out
    assert out.count("going on from") == 1
    store = MappedStore(tmp_path / "online" / "stream" / "features.online")
    assert sorted(store.entities()) == [BTC, ETH]


def test_what_the_command_cannot_read_is_said(tmp_path: Path) -> None:
    for source, universe, message in (
        (Source("ccxt"), None, "which symbols"),
        (Source("ccxt", symbols=("BTC/USDT",), timeframe="1w"), None, "'1w' is not a part of a day"),
        (Source("ccxt", symbols=("BTC/USDT",)), "cn", "the universe is cn at 1d, bars are crypto at 1m"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_stream(tmp_path, source, universe=universe, sets=["ta"], state=None, save_every=1)

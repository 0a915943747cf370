"""Closed bars of an exchange by ccxt: the past from a position on, then each bar as it closes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Protocol

import polars as pl

from nofx_pipelines.errors import ConfigError, FeatureError
from nofx_pipelines.features.streaming.dead_letters import DeadLetters
from nofx_pipelines.features.streaming.feeds.entries import EntryRefused, number
from nofx_pipelines.features.streaming.feeds.feeds import Position
from nofx_pipelines.market.instruments import make_instrument_id

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_SETTLE = 1 * _SECOND
"""A bar counts as closed so long after its close: the exchange's clock may be behind ours."""
_POLL = 2 * _SECOND
"""How long after an answer without a new bar an exchange is asked again."""
_LOOK_S = 60.0
"""The longest sleep: a machine that was suspended looks at the clock again."""
_RETRY_S, _RETRY_CAP_S = 1.0, 60.0
_NUMBERS = ("open", "high", "low", "close", "volume", "amount")
_UTC_US = pl.Datetime("us", "UTC")
_SCHEMA: dict[str, Any] = {"instrument_id": pl.String, "ts_open": _UTC_US, "ts_close": _UTC_US}
_SCHEMA |= dict.fromkeys(_NUMBERS, pl.Float64)

Row = Sequence[Any]
"""ts_open in milliseconds, open, high, low, close, volume and perhaps the quote volume."""


class Exchange(Protocol):
    """What is used of a ccxt exchange."""

    id: str

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int | None, limit: int | None) -> list[Row]:
        """Bars that open at ``since`` (milliseconds) or later, at most ``limit``."""
        ...

    def parse_timeframe(self, timeframe: str) -> int:
        """Seconds of a timeframe."""
        ...


def _now_us() -> int:
    return time.time_ns() // 1_000


def _silent(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class CcxtFeed:
    """Closed bars of ``symbols`` (instrument_id to ccxt symbol), all of one ``ts_close`` together.

    Starts at the position, without one at ``since_us`` (microseconds UTC), without that ``limit`` bars ago;
    ``limit`` is also the bars of one request, at most as many as the exchange gives. A moment is given when
    every symbol's bar of that close has come, or a symbol that was asked a ``timeframe`` and ``grace_s``
    seconds after the close had none; such a late bar comes in a moment of its own, when the exchange has it.
    Ends after ``idle_s`` seconds without a new closed bar, never where that is None. ``amount`` is null
    unless rows have a seventh column.

    What ccxt calls a NetworkError (time-outs and rate limits among them) is told to ``report`` and tried
    again after 1, 2, 4 … 60 seconds; FeatureError where that took ``idle_s``, and at once where an exchange
    refuses. ConfigError for a timeframe whose bars have no fixed length, or are longer than a day.

    The position is JSON: the timeframe, and of every instrument the ``ts_close`` of the last bar given (where
    there was none yet, of the bar before the first that is asked for).
    """

    exchange: Exchange
    symbols: Mapping[str, str]
    timeframe: str = "1m"
    since_us: int | None = None
    limit: int = 500
    idle_s: float | None = None
    grace_s: float = 10.0
    now_us: Callable[[], int] = _now_us
    sleep: Callable[[float], None] = time.sleep
    report: Callable[[str], None] = _silent
    letters: DeadLetters = field(default_factory=DeadLetters)

    def after(self, last_us: Mapping[str, int]) -> Position | None:
        """The position after the last bars of instruments; None where it has none of them."""
        own = {name: last_us[name] for name in self.symbols if name in last_us}
        return {"timeframe": self.timeframe, "ts_close_us": own} if own else None

    @property
    def bars_a_day(self) -> int:
        """How many bars a day has; ConfigError for a timeframe that is no part of one."""
        return _DAY // self._width_us()

    def moments(self, position: Position | None) -> Iterator[tuple[Position, pl.DataFrame]]:
        """All moments after the position's bars."""
        run = _Run(self, self._width_us())
        run.begin(position)
        heard = self.now_us()
        while True:
            if run.ask():
                heard = self.now_us()
            if (close := run.ready()) is not None:
                bars = run.take(close)
                yield run.position(), bars
                heard = self.now_us()
                continue
            left = None if self.idle_s is None else self.idle_s - (self.now_us() - heard) / _SECOND
            if left is not None and left <= 0:
                return
            self.sleep(min(run.wait_s(), _LOOK_S if left is None else left))

    def _width_us(self) -> int:
        try:
            width = self.exchange.parse_timeframe(self.timeframe) * _SECOND
        except (ValueError, IndexError, _ccxt().BaseError):
            width = 0
        if not 0 < width <= _DAY or _DAY % width:
            raise ConfigError(
                f"timeframe {self.timeframe!r} is not a part of a day", hint="--timeframe 1m, 5m, 1h or 1d"
            )
        return width


@dataclass
class _Place:
    """How far an instrument is: the last close given, the last time it was asked and had nothing new, and
    bars that wait, by their close. Microseconds."""

    given: int
    asked: int = -(2**62)
    bars: deque[tuple[int, Row]] = field(default_factory=deque)

    def past(self, close: int) -> bool:
        """Whether its bar of this close has come, or a later one has."""
        return self.given >= close or (bool(self.bars) and self.bars[0][0] >= close)


class _Run:
    """One iteration over a feed."""

    def __init__(self, feed: CcxtFeed, width: int) -> None:
        self._feed, self._width = feed, width
        self._kept: dict[str, int] = {}
        self._places: dict[str, _Place] = {}

    def begin(self, position: Position | None) -> None:
        """Where each instrument starts: one that the position does not know where the others are."""
        feed = self._feed
        if position is None:
            start = feed.now_us() - feed.limit * self._width if feed.since_us is None else feed.since_us
            start = start // self._width * self._width
        else:
            self._kept = self._checked(position)
            start = max(self._kept.values())
        self._places = {name: _Place(self._kept.get(name, start)) for name in sorted(feed.symbols)}

    def _checked(self, position: Position) -> dict[str, int]:
        """The closes of a position; those of instruments that are not asked for now are kept."""
        frame, closes = position.get("timeframe"), position.get("ts_close_us")
        if frame != self._feed.timeframe or not isinstance(closes, dict) or not closes:
            raise FeatureError(
                f"the position {str(position)[:200]} is not one of {self._feed.timeframe} bars by ccxt",
                kept="the state is as it was",
                hint="another --state, or the --source and --timeframe that it was saved with",
            )
        return {str(name): int(close) for name, close in closes.items()}

    def position(self) -> Position:
        """What to go on from, as JSON."""
        closes = self._kept | {name: place.given for name, place in self._places.items()}
        return {"timeframe": self._feed.timeframe, "ts_close_us": closes}

    def ask(self) -> bool:
        """Ask for every instrument that has no bar waiting and is due; whether there was a new one."""
        fresh = False
        for name, place in self._places.items():
            now = self._feed.now_us()
            if place.bars or self._due(place) > now:
                continue
            place.bars.extend(self._page(self._feed.symbols[name], place))
            fresh = fresh or bool(place.bars)
            if not place.bars:
                place.asked = now
        return fresh

    def _due(self, place: _Place) -> int:
        return max(place.given + self._width + _SETTLE, place.asked + _POLL)

    def ready(self) -> int | None:
        """The earliest close of waiting bars, when no other bar of it is to be waited for."""
        close = min((place.bars[0][0] for place in self._places.values() if place.bars), default=None)
        if close is None:
            return None
        late = close + self._width + round(self._feed.grace_s * _SECOND)
        there = all(place.past(close) or place.asked >= late for place in self._places.values())
        return close if there else None

    def take(self, close: int) -> pl.DataFrame:
        """The bars of a close."""
        rows = []
        for name, place in self._places.items():
            if place.bars and place.bars[0][0] == close:
                row, place.given = place.bars.popleft()[1], close
                try:
                    rows.append((name, close - self._width, close, *_numbers(row)))
                except EntryRefused as error:
                    self._feed.letters.add(f"{name} {close}", list(row), error.problem)
        frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
        return frame.select(
            "instrument_id",
            "ts_open",
            "ts_close",
            pl.col("ts_open").dt.date().alias("session_date"),
            *_NUMBERS,
        )

    def wait_s(self) -> float:
        """Seconds until an instrument is due; at most a minute."""
        due = min(self._due(place) for place in self._places.values() if not place.bars)
        return min(max(due - self._feed.now_us(), 0) / _SECOND, _LOOK_S)

    def _page(self, symbol: str, place: _Place) -> list[tuple[int, Row]]:
        """The next closed bars of an instrument, in order.

        Some exchanges look no further than ``limit`` bars from where they are asked, so that a longer gap
        seems to be the end: it is walked through the first time, then whenever the newest bars are beyond it.
        """
        after, reach = place.given, self._feed.limit * self._width
        found = self._closed(symbol, after)
        newest = self._feed.now_us() - reach
        walked = place.asked > 0
        if found or newest <= after or (walked and not self._closed(symbol, newest)):
            return found
        while not found and after <= newest:
            after += reach
            found = self._closed(symbol, after)
        return found

    def _closed(self, symbol: str, after: int) -> list[tuple[int, Row]]:
        """A request's closed bars. A bar is closed by the clock before the request, not after it."""
        until = self._feed.now_us() - _SETTLE
        closes = {int(row[0]) * 1_000 + self._width: row for row in self._fetch(symbol, after // 1_000)}
        return [(close, closes[close]) for close in sorted(closes) if after + self._width <= close <= until]

    def _fetch(self, symbol: str, since_ms: int) -> list[Row]:
        """One request, again and again while the network or the rate limit is what fails."""
        feed, ccxt = self._feed, _ccxt()
        begun, delay = feed.now_us(), _RETRY_S
        while True:
            try:
                return feed.exchange.fetch_ohlcv(symbol, feed.timeframe, since_ms, feed.limit)
            except ccxt.NetworkError as error:
                if feed.idle_s is not None and feed.now_us() - begun >= feed.idle_s * _SECOND:
                    raise self._failed(
                        symbol, error, "could not be reached", "the same command later"
                    ) from error
                feed.report(f"{feed.exchange.id} {symbol}, again in {delay:.0f} s: {_short(error)}")
            except ccxt.BaseError as error:
                hint = f"a --symbol of ccxt.{feed.exchange.id}().load_markets() and a --timeframe it has"
                raise self._failed(symbol, error, "refused", hint) from error
            feed.sleep(delay)
            delay = min(2 * delay, _RETRY_CAP_S)

    def _failed(self, symbol: str, error: Exception, what: str, hint: str) -> FeatureError:
        bars = f"{self._feed.timeframe} bars of {symbol}"
        return FeatureError(
            f"{self._feed.exchange.id} {what} for {bars}: {_short(error)}",
            kept="everything before it was taken",
            hint=hint,
        )


def _numbers(row: Row) -> list[float | None]:
    values = [number(name, value) for name, value in zip(_NUMBERS, row[1:7], strict=False)]
    return values + [None] * (len(_NUMBERS) - len(values))


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def instruments_of(exchange: str, symbols: Sequence[str]) -> dict[str, str]:
    """ccxt's symbols by their instrument_id: spot ``BTC/USDT``, perpetuals ``BTC/USDT:USDT``.

    ConfigError for what is neither, and for two symbols of one identifier; DataError where a part is no part
    of an identifier.

    >>> instruments_of("binance", ["BTC/USDT", "ETH/USDT:USDT"])
    {'CRYPTO.BINANCE.SPOT.BTC-USDT': 'BTC/USDT', 'CRYPTO.BINANCE.PERP.ETH-USDT': 'ETH/USDT:USDT'}
    """
    named: dict[str, str] = {}
    for symbol in symbols:
        pair, _, settled = symbol.partition(":")
        base, _, quote = pair.partition("/")
        if not base or not quote or "-" in settled:
            raise ConfigError(
                f"symbol {symbol!r} is neither spot nor a perpetual",
                hint="--symbol BTC/USDT, or BTC/USDT:USDT for the perpetual that is settled in USDT",
            )
        kind = "PERP" if settled else "SPOT"
        name = make_instrument_id("crypto", exchange.upper().replace("_", ""), f"{base}-{quote}", kind)
        if named.setdefault(name, symbol) != symbol:
            raise ConfigError(
                f"symbols {named[name]!r} and {symbol!r} are both {name}", hint="one stream for each of them"
            )
    return named


def exchange_of(name: str, urls: Mapping[str, str] | None = None) -> Exchange:
    """ccxt's exchange; ``urls`` go over its base addresses by the name of the API (``public`` …).

    ConfigError where ccxt is not installed or knows no such exchange.
    """
    ccxt = _ccxt()
    if name not in ccxt.exchanges:
        near = get_close_matches(name, ccxt.exchanges, 3) or ["binance", "okx", "kraken"]
        raise ConfigError(f"ccxt knows no exchange {name!r}", hint=f"--exchange {' or '.join(near)}")
    settings = {"enableRateLimit": True, **({"urls": {"api": dict(urls)}} if urls else {})}
    exchange: Exchange = getattr(ccxt, name)(settings)
    return exchange


def _ccxt() -> Any:
    try:
        import ccxt
    except ImportError as error:
        raise ConfigError(
            "the ccxt package is not installed", hint="pip install 'nofx-pipelines[ccxt]'"
        ) from error
    return ccxt

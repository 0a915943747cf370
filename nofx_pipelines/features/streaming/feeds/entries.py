"""Bars and trades in JSON, checked: texts and timestamps become numbers where that can be proven.

What cannot is refused by name (`EntryRefused`); the entry goes to the dead letters and the stream goes on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from nofx_pipelines.errors import FeatureError
from nofx_pipelines.features.algebra.operators import BAR_COLUMNS
from nofx_pipelines.features.online.layout import NAME_BYTES

_UTC_US = pl.Datetime("us", "UTC")
_NUMBERS = (*BAR_COLUMNS, "funding_rate", "index_price")
_TIMES = ("ts_open", "ts_close")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FIRST_S, _END_S = 631_152_000, 4_102_444_800
"""1990 and 2100 in seconds: a number between them in one unit is far outside in the three others."""
_UNITS = {"s": (1, 1_000_000), "ms": (1_000, 1_000), "us": (1_000_000, 1), "ns": (1_000_000_000, 0)}
"""Of each unit how many a second has, and how many microseconds one is (0: a thousandth)."""
_SIDES = {"buy": "buy", "sell": "sell", "": None, "unknown": None, "none": None}


class EntryRefused(FeatureError):
    """An entry that cannot be taken."""


def refused(problem: str, hint: str = "mend the producer; the entry is in the dead letters") -> EntryRefused:
    """The error of an entry that cannot be taken."""
    return EntryRefused(problem, kept="everything else was taken", hint=hint)


@dataclass
class Clock:
    """The unit of a stream's numeric times: each number's own by its size, or microseconds throughout.

    A number of seconds, milliseconds, microseconds or nanoseconds that lies between 1990 and 2100 in one of
    the units does so in no other. A stream whose first time does in none has times since a start of its own,
    in microseconds as documented (``from_zero``).

    >>> clock = Clock()
    >>> [clock.microseconds("ts", value) for value in (1_735_801_200, "1735801200000")]
    [1735801200000000, 1735801200000000]
    """

    from_zero: bool | None = None

    def microseconds(self, name: str, value: Any) -> int:
        """A time in microseconds UTC; EntryRefused names what cannot be one."""
        if isinstance(value, str):
            if not _DECIMAL.fullmatch(value.strip()):
                return _of_text(name, value)
            value = int(value) if value.strip().isdecimal() and len(value) < 40 else float(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise refused(f"{name} {str(value)[:80]!r} is not a time")
        unit = _unit_of(value)
        if self.from_zero is None:
            self.from_zero = unit is None
        if self.from_zero:
            if abs(value) >= 2**62:
                raise refused(f"{name} {value!r} is not a time in microseconds")
            unit = "us"
        if unit is None:
            raise refused(
                f"{name} {value!r} is not between 1990 and 2100 in seconds, milliseconds, microseconds or "
                "nanoseconds"
            )
        times = _UNITS[unit][1]
        if isinstance(value, int):
            return value * times if times else value // 1_000
        return round(value * times) if times else round(value / 1_000)


def _unit_of(value: float) -> str | None:
    return next((unit for unit, (n, _) in _UNITS.items() if _FIRST_S * n <= value < _END_S * n), None)


def _of_text(name: str, text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise refused(f"{name} {text!r} is neither a number nor ISO 8601") from error
    if moment.tzinfo is None:
        raise refused(f"{name} {text!r} has no offset from UTC", "write +08:00 or Z behind it")
    epoch = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (moment - epoch) // timedelta(microseconds=1)


def number(name: str, value: Any) -> float | None:
    """A finite number or null, texts converted; EntryRefused names what is neither.

    >>> number("close", "12.5"), number("close", None)
    (12.5, None)
    """
    if value is None:
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool | str) or not isinstance(value, int | float) or not _finite(value):
        raise refused(f"{name} {str(value)[:80]!r} is not a finite number")
    return float(value)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def instrument_of(value: Any) -> str:
    """An instrument's name; EntryRefused where it is none."""
    if not isinstance(value, str) or not value.strip() or "\0" in value or len(value.encode()) > NAME_BYTES:
        raise refused(f"instrument_id {value!r} is no name of 1 to {NAME_BYTES} bytes")
    return value


@dataclass(frozen=True)
class Trade:
    """One trade. ``side`` is what the taker did, None where nobody said."""

    instrument_id: str
    ts_us: int
    price: float
    size: float
    side: str | None


def trade_of(fields: Any, clock: Clock) -> Trade:
    """A trade in JSON (instrument_id, ts, price, size, perhaps side); EntryRefused names what is wrong."""
    if not isinstance(fields, Mapping):
        raise refused(f"a trade is {type(fields).__name__}, not an object")
    lacking = [name for name in ("instrument_id", "ts", "price", "size") if fields.get(name) is None]
    if lacking:
        raise refused(f"a trade lacks {', '.join(lacking)}")
    price, size = number("price", fields["price"]), number("size", fields["size"])
    assert price is not None
    assert size is not None
    if price <= 0 or size < 0:
        raise refused(f"price {price!r} and size {size!r}: a price is above 0, a size not below")
    side = fields.get("side")
    text = "" if side is None else str(side).strip().lower()
    if text not in _SIDES:
        raise refused(f"side {side!r} is neither buy nor sell", "leave it out where it is not known")
    name, ts_us = instrument_of(fields["instrument_id"]), clock.microseconds("ts", fields["ts"])
    return Trade(name, ts_us, price, size, _SIDES[text])


def bar_of(fields: Any, clock: Clock) -> dict[str, Any]:
    """A bar in JSON with its times in microseconds and its numbers as such; EntryRefused names what is
    wrong."""
    if not isinstance(fields, Mapping):
        raise refused(f"a bar is {type(fields).__name__}, not an object")
    bar = dict(fields)
    lacking = [name for name in ("instrument_id", "ts_close") if bar.get(name) is None]
    if lacking:
        raise refused(f"a bar lacks {', '.join(lacking)}")
    instrument_of(bar["instrument_id"])
    for name in _TIMES:
        if bar.get(name) is not None:
            bar[name] = clock.microseconds(name, bar[name])
    for name in _NUMBERS:
        if name in bar:
            bar[name] = number(name, bar[name])
    if bar.get("session_date") is not None:
        try:
            bar["session_date"] = date.fromisoformat(str(bar["session_date"]))
        except ValueError as error:
            raise refused(f"session_date {bar['session_date']!r} is not YYYY-MM-DD") from error
    return bar


def bars_frame(rows: list[dict[str, Any]], clock: Clock | None = None) -> pl.DataFrame:
    """Bars in JSON as rows of `bars`: instrument_id, ts_close, their numbers, and where something reads them
    ts_open, status and the others.

    Times are numbers since 1970 (`Clock`) or ISO 8601 with an offset, numbers may be texts; EntryRefused
    names what cannot be converted. Without session_date (YYYY-MM-DD) the session is the UTC day of the close.

    >>> bar = {"instrument_id": "A", "ts_close": "2025-01-02T15:00:00+08:00", "close": "3.5"}
    >>> frame = bars_frame([bar])
    >>> frame["ts_close"][0].isoformat(), frame["close"][0]
    ('2025-01-02T07:00:00+00:00', 3.5)
    """
    clock = Clock() if clock is None else clock
    return checked_frame([bar_of(row, clock) for row in rows])


def checked_frame(bars: list[dict[str, Any]]) -> pl.DataFrame:
    """What `bar_of` gave, as rows of `bars`."""
    if not bars:
        return pl.DataFrame()
    names = {name for bar in bars for name in bar}
    schema: dict[str, Any] = {n: pl.Int64 for n in _TIMES if n in names}
    schema |= {n: pl.Float64 for n in _NUMBERS if n in names} | {"session_date": pl.Date}
    try:
        frame = pl.DataFrame(bars, schema_overrides=schema, infer_schema_length=None)
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise refused(f"the bars do not make a table: {str(error)[:200]}") from error
    times = [pl.col(name).cast(_UTC_US) for name in _TIMES if name in frame.columns]
    frame = frame.with_columns(times)
    day = pl.col("ts_close").dt.date()
    if "session_date" in frame.columns:
        day = pl.coalesce(pl.col("session_date"), day)
    return frame.with_columns(day.alias("session_date"))

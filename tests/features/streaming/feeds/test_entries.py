"""Texts and times of entries: converted where it can be proven, else refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nofx_pipelines.features.streaming.feeds.entries import Clock, EntryRefused, bars_frame, number, trade_of

US = 1_735_801_200_123_456


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (US, US),
        (str(US), US),
        (US // 1_000, US // 1_000 * 1_000),
        (US * 1_000 + 999, US),
        (US // 1_000_000, US // 1_000_000 * 1_000_000),
        (1_735_801_200.5, 1_735_801_200_500_000),
        ("1735801200.5", 1_735_801_200_500_000),
        ("2025-01-02T15:00:00.123456+08:00", US),
        ("2025-01-02T07:00:00.123456Z", US),
    ],
)
def test_a_time_of_any_unit_is_microseconds(value: Any, expected: int) -> None:
    assert Clock().microseconds("ts", value) == expected
    assert datetime.fromtimestamp(expected / 1e6, UTC).year == 2025


@pytest.mark.parametrize(
    "value", ["2025-01-02T07:00:00", "soon", "", True, float("nan"), [1], 7, 10**30, 10**400, -1, "9" * 5_000]
)
def test_what_is_no_time_is_refused_by_name(value: Any) -> None:
    with pytest.raises(EntryRefused, match="ts_close"):
        Clock(from_zero=False).microseconds("ts_close", value)


def test_times_since_a_start_of_their_own_stay_microseconds() -> None:
    """Also those that would be a date in seconds: the first one is none in any unit."""
    clock = Clock()
    assert [clock.microseconds("ts", 60_000_000 * k) for k in range(1, 90)] == [
        60_000_000 * k for k in range(1, 90)
    ]
    assert clock.from_zero


@pytest.mark.parametrize("value", ["12.5", " 12.5 ", "1.25e1", 12.5, "+12.50"])
def test_a_number_may_be_a_text(value: Any) -> None:
    assert number("close", value) == 12.5


@pytest.mark.parametrize(
    "value", ["", "1,250.0", "nan", "inf", "1e999", "0x10", "1_0", True, [], float("inf"), 10**400]
)
def test_what_is_no_number_is_refused_by_name(value: Any) -> None:
    with pytest.raises(EntryRefused, match=r"volume .* is not a finite number"):
        number("volume", value)


def test_bars_of_texts_are_the_bars_of_numbers() -> None:
    bar = {"instrument_id": "A", "ts_close": US, "close": 10.5, "volume": 3, "n_trades": 2, "sector": "bank"}
    texts = {name: str(value) for name, value in bar.items()}
    assert bars_frame([texts]).equals(bars_frame([bar]))
    assert bars_frame([texts])["sector"].to_list() == ["bank"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"price": 0}, "a price is above 0"),
        ({"price": "x"}, "price 'x'"),
        ({"size": -1}, "a price is above 0"),
        ({"ts": None}, "lacks ts"),
        ({"side": "long"}, "side 'long' is neither buy nor sell"),
        ({"instrument_id": 7}, "instrument_id 7"),
        ({"instrument_id": "x" * 65}, "1 to 64 bytes"),
    ],
)
def test_a_trade_that_cannot_be_one_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    trade = {"instrument_id": "A", "ts": str(US), "price": "10.5", "size": "2", "side": "SELL"}
    taken = trade_of(json.loads(json.dumps(trade)), Clock())
    assert (taken.ts_us, taken.price, taken.size, taken.side) == (US, 10.5, 2.0, "sell")
    with pytest.raises(EntryRefused, match=said):
        trade_of(trade | change, Clock())

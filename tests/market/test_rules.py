"""Dated rules against hand-computed cases and exact decimal arithmetic."""

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.errors import RuleNotCovered
from nofx_pipelines.market.rules import LotRule, costs, lots, price_limits, tick_table


def limits(
    board: str, day: date, prev_close: float, exchange: str = "SZSE", listed_sessions: int | None = 1000
) -> tuple[float | None, float | None]:
    frame = pl.DataFrame(
        {
            "exchange": [exchange],
            "board": [board],
            "session_date": [day],
            "prev_close": [prev_close],
            "listed_sessions": [listed_sessions],
        },
        schema_overrides={"listed_sessions": pl.Int64, "prev_close": pl.Float64},
    )
    up, down = price_limits(frame).select("limit_up", "limit_down").row(0)
    return up, down


@pytest.mark.parametrize(
    ("board", "day", "prev_close", "up", "down"),
    [
        ("main", date(2018, 11, 30), 10.09, 11.10, 9.08),  # 11.099, 9.081
        ("main", date(2018, 11, 30), 10.05, 11.06, 9.05),  # 11.055 and 9.045: both halves go up
        ("main", date(2018, 11, 30), 3.35, 3.69, 3.02),  # 3.685 and 3.015
        ("chinext", date(2020, 8, 21), 20.00, 22.00, 18.00),  # the last day of 10 %
        ("chinext", date(2020, 8, 24), 20.00, 24.00, 16.00),
        ("star", date(2024, 1, 2), 51.23, 61.48, 40.98),  # 61.476, 40.984
        ("bse", date(2024, 1, 2), 7.77, 10.10, 5.44),  # 10.101, 5.439
        ("fund", date(2024, 1, 2), 1.234, 1.357, 1.111),  # 1.3574, 1.1106, tick 0.001
    ],
)
def test_limits_by_hand(board: str, day: date, prev_close: float, up: float, down: float) -> None:
    assert limits(board, day, prev_close) == (up, down)


def test_no_limits_before_they_existed_or_without_a_previous_close() -> None:
    assert limits("main", date(1996, 12, 13), 10.0) == (None, None)
    assert limits("main", date(1996, 12, 16), 10.0) == (11.0, 9.0)
    assert limits("index", date(2024, 1, 2), 3000.0) == (None, None)
    frame = pl.DataFrame({"exchange": ["SSE"], "board": ["main"], "session_date": [date(2024, 1, 2)]})
    frame = frame.with_columns(
        pl.lit(None, pl.Float64).alias("prev_close"), pl.lit(5, pl.Int64).alias("listed_sessions")
    )
    assert price_limits(frame).select("limit_up", "limit_down").row(0) == (None, None)


@pytest.mark.parametrize(
    ("board", "day", "nth", "limited"),
    [
        ("main", date(2023, 4, 7), 0, False),
        ("main", date(2023, 4, 7), 1, True),
        ("main", date(2023, 4, 14), 4, False),
        ("main", date(2023, 4, 17), 5, True),
        ("chinext", date(2020, 8, 21), 1, True),
        ("chinext", date(2020, 8, 25), 1, False),
        ("bse", date(2024, 1, 2), 1, True),
        ("star", date(2024, 1, 2), 4, False),
    ],
)
def test_first_days_are_unlimited(board: str, day: date, nth: int, limited: bool) -> None:
    assert (limits(board, day, 10.0, listed_sessions=nth)[0] is not None) == limited


def test_an_unknown_listing_day_uses_the_ordinary_limit() -> None:
    assert limits("star", date(2024, 1, 2), 10.0, listed_sessions=None) == (12.0, 8.0)


def test_penny_shares_move_a_tick_where_the_exchange_says_so() -> None:
    assert limits("main", date(2011, 2, 25), 0.04) == (0.04, 0.04)
    assert limits("main", date(2011, 2, 28), 0.04) == (0.05, 0.03)
    assert limits("main", date(2023, 4, 7), 0.04, exchange="SSE") == (0.04, 0.04)
    assert limits("main", date(2023, 4, 10), 0.04, exchange="SSE") == (0.05, 0.03)


BOARDS = [("main", 100, 2), ("star", 200, 2), ("bse", 300, 2), ("fund", 100, 3)]


@given(st.lists(st.integers(10, 500_000), min_size=1, max_size=50), st.sampled_from(BOARDS))
def test_limits_equal_exact_decimal_rounding(ticks: list[int], rule: tuple[str, int, int]) -> None:
    board, per_mille, digits = rule
    prices = [Decimal(tick).scaleb(-digits) for tick in ticks]
    frame = pl.DataFrame(
        {
            "exchange": "SZSE",
            "board": board,
            "session_date": date(2024, 1, 2),
            "prev_close": [float(price) for price in prices],
            "listed_sessions": 1000,
        }
    )
    cent = Decimal(1).scaleb(-digits)
    for side, sign in (("limit_up", 1), ("limit_down", -1)):
        wanted = [(p * (1000 + sign * per_mille) / 1000).quantize(cent, ROUND_HALF_UP) for p in prices]
        assert price_limits(frame)[side].to_list() == [float(limit) for limit in wanted]


@pytest.mark.parametrize(
    ("market", "board", "day", "buy", "sell", "minimum"),
    [
        ("cn", "main", date(2024, 1, 2), 2.6, 7.6, 5.0),  # 2.5 + 0.1; and 5 stamp on sales
        ("cn", "star", date(2023, 8, 25), 2.6, 12.6, 5.0),  # stamp 10 on sales
        ("cn", "main", date(2022, 4, 28), 2.7, 12.7, 5.0),  # transfer 0.2
        ("cn", "main", date(2008, 9, 18), 13.5, 13.5, 5.0),  # stamp on both sides, transfer on par
        ("cn", "main", date(2007, 5, 30), 33.5, 33.5, 5.0),
        ("hk", "main", date(2020, 1, 2), 13.97, 13.97, 3.0),  # 10 + .27 + .5 + .2 + 3
        ("hk", "main", date(2022, 6, 1), 16.985, 16.985, 3.0),  # 13 + .27 + .015 + .5 + .2 + 3
        ("hk", "main", date(2024, 1, 2), 14.05, 14.05, 3.0),  # 10 + .27 + .015 + .565 + .2 + 3
        ("hk", "main", date(2025, 6, 30), 14.27, 14.27, 3.0),
        ("hk", "fund", date(2025, 6, 30), 4.27, 4.27, 3.0),  # no stamp duty
        ("crypto", "spot", date(2024, 1, 2), 10.0, 10.0, 0.0),
        ("crypto", "perpetual", date(2024, 1, 2), 5.0, 5.0, 0.0),
    ],
)
def test_costs_by_hand(market: str, board: str, day: date, buy: float, sell: float, minimum: float) -> None:
    schedule = costs(market, board, day)
    assert (schedule.buy_bps, schedule.sell_bps, schedule.minimum) == (
        pytest.approx(buy, abs=1e-12),
        pytest.approx(sell, abs=1e-12),
        minimum,
    )
    assert all(part.source and part.confidence for part in schedule.parts)


def test_every_day_has_one_rate_of_each_fee() -> None:
    for market, board, first in (
        ("cn", "main", date(1991, 10, 23)),
        ("cn", "fund", date(2006, 7, 1)),
        ("hk", "main", date(2005, 1, 1)),
        ("crypto", "spot", date(2017, 7, 14)),
        ("crypto", "perpetual", date(2019, 9, 13)),
    ):
        for day in pl.date_range(first, date(2026, 11, 23), "1d", eager=True).to_list()[::7]:
            names = [part.name for part in costs(market, board, day).parts]
            assert len(names) == len(set(names)), (market, board, day)


@pytest.mark.parametrize(
    ("market", "board", "day"),
    [
        ("cn", "main", date(1991, 10, 22)),
        ("hk", "main", date(2004, 12, 31)),
        ("crypto", "spot", date(2015, 1, 1)),
        ("us", "main", date(2024, 1, 2)),
        ("cn", "warrant", date(2024, 1, 2)),
    ],
)
def test_outside_coverage_it_raises(market: str, board: str, day: date) -> None:
    with pytest.raises(RuleNotCovered, match=f"no fee rule for market '{market}'"):
        costs(market, board, day)


@pytest.mark.parametrize(
    ("day", "price", "tick"),
    [
        (date(2006, 7, 21), 3.0, 0.025),
        (date(2006, 7, 24), 3.0, 0.01),
        (date(2024, 1, 2), 0.25, 0.001),  # an edge belongs to the lower band
        (date(2024, 1, 2), 0.255, 0.005),
        (date(2024, 1, 2), 15.0, 0.02),
        (date(2024, 1, 2), 30.0, 0.05),
        (date(2025, 8, 4), 15.0, 0.01),
        (date(2025, 8, 4), 30.0, 0.02),
        (date(2025, 8, 4), 60.0, 0.05),
        (date(2025, 8, 4), 350.0, 0.2),
        (date(2025, 8, 4), 9000.0, 5.0),
    ],
)
def test_hong_kong_spreads(day: date, price: float, tick: float) -> None:
    assert tick_table("hk", "main", day).tick(np.array([price]))[0] == tick


def test_lots() -> None:
    assert lots("cn", "main", date(2024, 1, 2)) == LotRule(100, 100)
    assert lots("cn", "bse", date(2024, 1, 2)) == LotRule(100, 1)
    with pytest.raises(RuleNotCovered, match="no lot rule for market 'hk'"):
        lots("hk", "main", date(2024, 1, 2))


@given(st.floats(0, 1e6), st.sampled_from([LotRule(100, 100), LotRule(200, 1), LotRule(100, 1)]))
def test_a_floored_order_is_the_largest_legal_one(shares: float, rule: LotRule) -> None:
    order = rule.floor(shares)
    assert order <= shares
    assert order == 0 or (order >= rule.minimum and (order - rule.minimum) % rule.step == 0)
    following = order + rule.step if order else rule.minimum
    assert following > shares

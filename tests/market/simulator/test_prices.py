"""Ticks and limits, against the rule tables and exact decimal arithmetic."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.market.rules import tick_table
from nofx_pipelines.market.simulator.models import MODELS
from nofx_pipelines.market.simulator.prices import Ticks, half_up, limit_shares, limits
from nofx_pipelines.market.simulator.randomness import Streams
from nofx_pipelines.market.simulator.roster import Roster, draw_roster

DAY = date(2024, 1, 2)


def roster(market: str) -> Roster:
    return draw_roster(MODELS[market], 30, Streams(1, market, "1d"), DAY)


@given(fen=st.integers(100, 50_000), per_mille=st.sampled_from([50, 100, 200, 300]))
def test_limits_round_half_up_in_decimals(fen: int, per_mille: int) -> None:
    close = Decimal(fen) / 100
    cent = Decimal("0.01")
    exact = [
        float((close * (1000 + sign * per_mille) / 1000).quantize(cent, ROUND_HALF_UP)) for sign in (1, -1)
    ]
    up, down = limits(np.array([fen / 100]), np.array([float(per_mille)]))
    assert [up[0], down[0]] == exact


def test_a_reference_is_announced_half_up() -> None:
    assert half_up(np.array([10.125, 10.1249])).tolist() == [10.13, 10.12]


def test_boards_have_their_limits_and_new_listings_none() -> None:
    names = roster("cn")
    shares = limit_shares(names, [date(2024, 1, 2 + k) for k in range(4)])
    by_board = {board: set(shares[0][np.array(names.boards) == board]) for board in set(names.boards)}
    old = {board: {v for v in values if np.isfinite(v)} for board, values in by_board.items()}
    assert old == {"main": {100.0}, "chinext": {200.0}, "star": {200.0}}


@pytest.mark.parametrize("market", ["cn", "hk", "crypto"])
@given(scale=st.floats(0.3, 3.0))
def test_rounded_prices_lie_on_the_grid_and_near(market: str, scale: float) -> None:
    names = roster(market)
    ticks = Ticks(market, names).on(DAY)
    price = names.first_price * scale
    tick = tick_table("hk", "main", DAY).tick(price) if market == "hk" else names.tick
    nearest, below, above = ticks.nearest(price), ticks.below(price), ticks.above(price)
    for rounded in (nearest, below, above):
        steps = rounded / tick
        assert np.allclose(steps, np.round(steps), rtol=0, atol=1e-6 * np.maximum(steps, 1))
    assert (np.abs(nearest - price) <= 0.5001 * tick).all()
    assert (below <= price + 1e-6 * tick).all()
    assert (above >= price - 1e-6 * tick).all()


def test_prices_are_the_doubles_of_their_decimals() -> None:
    names = roster("hk")
    rounded = Ticks("hk", names).on(DAY).nearest(names.first_price)
    assert all(float(f"{price:.3f}") == price for price in rounded)

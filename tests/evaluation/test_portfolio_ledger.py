from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nofx_pipelines.evaluation.portfolio_ledger import Ledger, fees


@dataclass(frozen=True)
class Schedule:
    buy_bps: float
    sell_bps: float
    minimum: float = 0.0


ALWAYS = np.array([True, True])
FREE = Schedule(0.0, 0.0)


def test_a_fee_is_at_least_the_minimum_and_at_most_the_trade() -> None:
    values = np.array([0.0, 0.001, 1.0, 100.0])
    np.testing.assert_allclose(fees(values, 20.0, 0.01), [0.0, 0.001, 0.01, 0.2])


def test_a_hand_computed_round_trip() -> None:
    ledger = Ledger.opening(2)
    costs = Schedule(10.0, 20.0)
    bought = ledger.rebalance(np.array([0.5, 0.0]), np.array([10.0, 5.0]), ALWAYS, ALWAYS, costs, 0.0)
    assert (bought.traded, bought.cost) == (0.5, 0.0005)
    assert ledger.units.tolist() == [0.05, 0.0]
    assert ledger.cash == pytest.approx(0.4995)
    # The price rises by a fifth: 0.6 in the stock, 1.0995 in all; everything is sold for 0.0012 in fees.
    sold = ledger.rebalance(np.array([0.0, 0.0]), np.array([12.0, 5.0]), ALWAYS, ALWAYS, costs, 0.0)
    assert sold.cost == pytest.approx(0.0012)
    assert ledger.units.tolist() == [0.0, 0.0]
    assert ledger.cash == pytest.approx(1.0983)


def test_buys_shrink_to_what_cash_pays_for_fees_included() -> None:
    ledger = Ledger.opening(2)
    fill = ledger.rebalance(np.array([0.5, 0.5]), np.ones(2), ALWAYS, ALWAYS, Schedule(100.0, 0.0), 0.0)
    assert fill.traded == pytest.approx(1 / 1.01)
    assert fill.cost == pytest.approx(0.01 / 1.01)
    assert ledger.cash == pytest.approx(0.0, abs=1e-15)


def test_the_minimum_fee_weighs_on_each_trade() -> None:
    ledger = Ledger.opening(2)
    fill = ledger.rebalance(np.array([0.4, 0.1]), np.ones(2), ALWAYS, ALWAYS, Schedule(10.0, 0.0), 0.001)
    assert fill.cost == pytest.approx(0.002)


def test_what_cannot_trade_is_held_and_tried_again() -> None:
    ledger = Ledger.opening(2)
    ledger.rebalance(np.array([1.0, 0.0]), np.ones(2), ALWAYS, ALWAYS, FREE, 0.0)
    want, locked = np.array([0.0, 1.0]), np.array([False, True])
    fill = ledger.rebalance(want, np.ones(2), ALWAYS, locked, FREE, 0.0)
    assert fill.traded == 0.0  # nothing was sold, so there is no cash to buy with
    assert ledger.units.tolist() == [1.0, 0.0]
    ledger.rebalance(want, np.ones(2), ALWAYS, ALWAYS, FREE, 0.0)
    assert ledger.units.tolist() == [0.0, 1.0]


def test_a_partly_filled_position_is_topped_up_and_sold_like_any_other() -> None:
    ledger = Ledger.opening(2)
    ledger.rebalance(np.array([0.5, 0.0]), np.ones(2), ALWAYS, ALWAYS, FREE, 0.0)
    # The first may not be sold: the second gets only the half that cash pays for.
    ledger.rebalance(np.array([0.0, 1.0]), np.ones(2), ALWAYS, np.array([False, True]), FREE, 0.0)
    assert ledger.units.tolist() == [0.5, 0.5]
    ledger.rebalance(np.array([0.0, 1.0]), np.ones(2), ALWAYS, ALWAYS, FREE, 0.0)
    assert ledger.units.tolist() == [0.0, 1.0]
    ledger.rebalance(np.array([0.0, 0.0]), np.ones(2), ALWAYS, ALWAYS, FREE, 0.0)
    assert ledger.units.tolist() == [0.0, 0.0]


def test_drift_alone_causes_no_orders() -> None:
    ledger = Ledger.opening(2)
    want = np.array([0.5, 0.5])
    ledger.rebalance(want, np.ones(2), ALWAYS, ALWAYS, FREE, 0.0)
    assert ledger.rebalance(want, np.array([2.0, 0.5]), ALWAYS, ALWAYS, FREE, 0.0).traded == 0.0


steps = st.lists(
    st.tuples(
        st.lists(st.floats(0.1, 10.0), min_size=4, max_size=4),
        st.lists(st.sampled_from([0.0, 0.0, 0.2, 0.5, 1.0]), min_size=4, max_size=4),
        st.lists(st.booleans(), min_size=8, max_size=8),
    ),
    min_size=1,
    max_size=12,
)


@given(steps, st.floats(0, 100), st.floats(0, 100), st.floats(0, 0.01))
def test_money_is_conserved(
    plan: list[tuple[list[float], list[float], list[bool]]], buy: float, sell: float, minimum: float
) -> None:
    """A fill moves value between cash and stock, loses exactly its fees, and borrows or shorts nothing."""
    ledger, costs = Ledger.opening(4), Schedule(buy, sell)
    for price_list, weights, flags in plan:
        prices, want = np.array(price_list), np.array(weights) / max(1.0, sum(weights))
        before, held = ledger.equity(prices), ledger.units.copy()
        can_buy, can_sell = np.array(flags[:4]), np.array(flags[4:])
        fill = ledger.rebalance(want, prices, can_buy, can_sell, costs, minimum)
        assert ledger.equity(prices) == pytest.approx(before - fill.cost, rel=1e-12, abs=1e-13)
        assert ledger.cash >= -1e-12
        assert (ledger.units >= 0).all()
        moved = ledger.units - held
        assert not (moved[~can_buy] > 1e-15).any()
        assert not (moved[~can_sell] < -1e-15).any()
        assert fill.traded == pytest.approx(float(np.abs(moved * prices).sum()), rel=1e-9, abs=1e-12)
        # Free to trade and not wanted: gone.
        assert (ledger.units[(want == 0) & can_sell] == 0).all()

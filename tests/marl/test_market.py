"""Fills computed by hand: limits, lots, participation, impact, quotes."""

from __future__ import annotations

import math

import pytest
import torch

from nofx_pipelines.market.rules import LotRule
from nofx_pipelines.marl.market import execute, whole_lots
from tests.marl.worlds import F64, bar, ledger, orders


@pytest.mark.parametrize("rule", [LotRule(100, 100), LotRule(200, 1), LotRule(100, 1)])
def test_lots_are_those_of_the_rule_table(rule: LotRule) -> None:
    for shares in (0.0, 99.9, 100.0, 150.0, 199.0, 200.0, 310.7, 1_000.0):
        ours = whole_lots(
            torch.tensor(shares), torch.tensor(float(rule.minimum)), torch.tensor(float(rule.step))
        )
        assert ours.item() == rule.floor(shares)


def test_the_fill_is_at_the_open() -> None:
    book = ledger()
    execute(book, orders(market=10.0), bar(open=10.0, high=12.0, low=8.0))
    assert float(book.cash) == 9_900.0


def test_nothing_is_bought_at_limit_up_or_sold_at_limit_down() -> None:
    book = ledger()
    execute(book, orders(market=10.0), bar(can_buy=False))
    assert float(book.units) == 0.0
    execute(book, orders(market=10.0), bar(can_sell=False))
    assert float(book.units) == 10.0
    execute(book, orders(market=-10.0), bar(can_sell=False))
    assert float(book.units) == 10.0
    execute(book, orders(market=-10.0), bar(can_buy=False))
    assert float(book.units) == 0.0


@pytest.mark.parametrize("missing", [{"volume": 0.0}, {"adv": 0.0}, {"adv": math.nan}])
def test_no_volume_and_no_known_volume_mean_no_fill(missing: dict[str, float]) -> None:
    book = ledger()
    execute(book, orders(market=10.0, bid=10.0, bid_price=10.2), bar(**missing))
    assert float(book.units) == 0.0
    assert float(book.cash) == 10_000.0


def test_agents_share_a_tenth_of_the_volume() -> None:
    book = ledger(1e6, agents=3)
    wanted = torch.tensor([[600.0], [300.0], [100.0]])
    execute(book, orders(agents=3, market=wanted), bar(volume=5_000.0))
    assert book.units[0, :, 0].tolist() == [300.0, 150.0, 50.0]


def test_quotes_get_what_market_orders_left() -> None:
    book = ledger(1e6, agents=2)
    asked = orders(
        agents=2, market=torch.tensor([[400.0], [0.0]]), bid=torch.tensor([[0.0], [900.0]]), bid_price=9.8
    )
    fills = execute(book, asked, bar(volume=5_000.0, low=9.5))
    assert fills.bought[0, 0, 0].item() == 400.0
    assert fills.bid[0, 1, 0].item() == 100.0


def test_a_quote_fills_only_when_the_bar_trades_through_it() -> None:
    for low, filled in ((9.8, 0.0), (9.79, 100.0)):
        book = ledger()
        execute(book, orders(bid=100.0, bid_price=9.8), bar(low=low))
        assert float(book.units) == filled
    assert float(book.cash) == 10_000.0 - 980.0
    for high, left in ((10.4, 100.0), (10.41, 0.0)):
        book = ledger()
        execute(book, orders(market=100.0), bar())
        execute(book, orders(ask=100.0, ask_price=10.4), bar(high=high))
        assert float(book.units) == left
    assert float(book.cash) == 10_000.0 + 40.0


def test_a_quote_that_the_open_has_passed_fills_at_the_open() -> None:
    book = ledger()
    execute(book, orders(bid=100.0, bid_price=11.0), bar(open=10.0, low=9.9))
    assert float(book.cash) == 9_000.0


def test_a_quote_above_limit_up_does_not_fill_in_a_locked_bar() -> None:
    book = ledger()
    locked = bar(open=11.0, high=11.0, low=11.0, limit_up=11.0, can_buy=False)
    execute(book, orders(bid=100.0, bid_price=12.0), locked)
    assert float(book.units) == 0.0


def test_what_is_bought_today_is_not_quoted_for_sale_today() -> None:
    book = ledger()
    execute(book, orders(market=100.0, ask=100.0, ask_price=10.1), bar(high=11.0, lock=True))
    assert float(book.units) == 100.0


def test_impact_is_the_square_root_law_on_all_agents_volume() -> None:
    book = ledger(1e6, agents=2)
    met = bar(sigma=0.02, adv=40_000.0, volume=1e5)
    fills = execute(book, orders(agents=2, market=torch.tensor([[3_000.0], [1_000.0]])), met)
    assert fills.buy_price.item() == pytest.approx(10 * (1 + 0.02 * math.sqrt(4_000 / 40_000)), rel=1e-12)
    assert book.impact[0, 0].item() == pytest.approx(3_000 * (fills.buy_price.item() - 10), rel=1e-12)


def test_impact_stops_at_the_session_s_limit() -> None:
    met = bar(sigma=0.5, adv=1e4, volume=1e5, limit_up=10.3)
    assert execute(ledger(1e6), orders(market=5_000.0), met).buy_price.item() == 10.3


def test_an_odd_remainder_is_sold_in_one_order() -> None:
    book = ledger()
    book.units[:] = 130.0
    execute(book, orders(market=-120.0), bar(least=100.0, step=100.0))
    assert float(book.units) == 30.0
    execute(book, orders(market=-30.0), bar(least=100.0, step=100.0))
    assert float(book.units) == 0.0


def test_purchases_stay_within_cash_fees_and_impact_included() -> None:
    book = ledger(10_000.0)
    execute(book, orders(market=1e6), bar(volume=1e9, sigma=0.02, adv=1e5, buy_bps=30.0, minimum=5.0))
    assert 0 <= float(book.cash) < 400
    assert torch.isfinite(book.units).all()
    assert book.cash.dtype == F64

"""The market maker by hand."""

from __future__ import annotations

import math

import pytest
import torch

from nofx_pipelines.marl.roles.market_maker import MarketMaker
from tests.marl.worlds import outcome, view

ROLE = MarketMaker()


@pytest.mark.parametrize(("action", "sigmas"), [(1, 0.25), (2, 0.5), (3, 1.0)])
def test_quotes_lie_at_ticks_around_the_close(action: int, sigmas: float) -> None:
    quotes = ROLE.decide(view(weights=0.1, sellable=0.1), 0, torch.tensor([action])).quotes
    assert quotes is not None
    assert quotes.bid_price[0, 0].item() == pytest.approx(math.floor(1_000 * math.exp(-0.02 * sigmas)) / 100)
    assert quotes.ask_price[0, 0].item() == pytest.approx(math.ceil(1_000 * math.exp(0.02 * sigmas)) / 100)
    assert quotes.bid.sum().item() == pytest.approx(0.5)
    assert quotes.ask[0, 0].item() == pytest.approx(0.05)


def test_one_side_only_and_out() -> None:
    seen = view(weights=0.1, sellable=0.1)
    bids, asks, out = (ROLE.decide(seen, 0, torch.tensor([a])) for a in (4, 5, 6))
    assert bids.quotes is not None
    assert asks.quotes is not None
    assert out.target is not None
    assert (bids.quotes.bid > 0).all()
    assert (bids.quotes.ask == 0).all()
    assert (asks.quotes.bid == 0).all()
    assert asks.quotes.ask[0, 0].item() == pytest.approx(0.1)
    assert out.target.tolist() == [[0.0, 0.0, 0.0]]


def test_what_is_locked_is_not_offered() -> None:
    assert ROLE.mask(view(weights=0.1), 0)[0].tolist() == [True, True, True, True, True, False, False]


def test_the_rule_only_sells_when_full() -> None:
    assert ROLE.baseline(view(weights=0.1, sellable=0.1), 0).item() == 2
    assert ROLE.baseline(view(weights=0.3, sellable=0.3), 0).item() == 5


def test_inventory_is_fined_by_its_square() -> None:
    assert ROLE.reward(outcome(own=1.0, weights=1 / 6), 0).item() == pytest.approx(1 - 0.2 * 0.25)

"""The ledger against decimal arithmetic, vectorbt and the law that money is conserved."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nofx_pipelines.evaluation.portfolio_ledger import fees as reference_fees
from nofx_pipelines.marl.ledger import affordable, fees
from nofx_pipelines.marl.market import execute
from tests.marl.worlds import F64, bar, ledger, orders

getcontext().prec = 40


def walk(rng: np.random.Generator, bars: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Opens [T, N] and orders [T, N] in whole units, positions never negative, cash ample."""
    opens = np.round(10 * np.exp(np.cumsum(rng.normal(0, 0.02, (bars, n)), axis=0)), 2)
    held, sizes = np.zeros(n), np.zeros((bars, n))
    for t in range(bars):
        sizes[t] = np.where(rng.random(n) < 0.5, rng.integers(-40, 60, n), 0)
        sizes[t] = np.maximum(sizes[t], -held)
        held += sizes[t]
    return opens, sizes


def test_fees_are_those_of_the_portfolio_s_ledger() -> None:
    values = np.array([0.0, 3.0, 100.0, 1e6])
    ours = fees(torch.as_tensor(values), torch.tensor(7.6, dtype=F64), torch.tensor(5.0, dtype=F64))
    np.testing.assert_array_equal(ours.numpy(), reference_fees(values, 7.6, 5.0))


def test_two_hundred_orders_equal_decimal_arithmetic() -> None:
    opens, sizes = walk(np.random.default_rng(3), 100, 2)
    book, cash, held = ledger(100_000.0, n=2), Decimal(100_000), [Decimal(0)] * 2
    for t in range(len(opens)):
        execute(
            book,
            orders(n=2, market=torch.as_tensor(sizes[t])),
            bar(n=2, open=torch.as_tensor(opens[t]), buy_bps=2.6, sell_bps=7.6, minimum=5.0),
        )
        for i in range(2):
            units, price = Decimal(int(sizes[t, i])), Decimal(str(opens[t, i]))
            value = abs(units) * price
            if units:
                rate = Decimal("2.6") if units > 0 else Decimal("7.6")
                cash -= units * price + min(max(value * rate / 10_000, Decimal(5)), value)
                held[i] += units
        equity = cash + sum(h * Decimal(str(o)) for h, o in zip(held, opens[t], strict=True))
        assert math.isclose(float(book.equity(torch.as_tensor(opens[t])[None])), float(equity), rel_tol=1e-12)


@pytest.mark.slow
def test_orders_equal_vectorbt_s() -> None:
    vbt = pytest.importorskip("vectorbt")
    opens, sizes = walk(np.random.default_rng(5), 100, 2)
    theirs = vbt.Portfolio.from_orders(
        opens, size=sizes, price=opens, fees=0.001, init_cash=100_000, cash_sharing=True, group_by=True
    )
    book, ours = ledger(100_000.0, n=2), []
    for t in range(len(opens)):
        at = torch.as_tensor(opens[t])
        execute(
            book,
            orders(n=2, market=torch.as_tensor(sizes[t])),
            bar(n=2, open=at, buy_bps=10.0, sell_bps=10.0),
        )
        ours.append(float(book.equity(at[None])))
    np.testing.assert_allclose(ours, theirs.value().to_numpy().ravel(), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), agents=st.integers(1, 4), n=st.integers(1, 3))
def test_money_is_conserved(seed: int, agents: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    book, paid = ledger(50_000.0, n_envs=2, agents=agents, n=n), torch.zeros(2, agents, dtype=F64)
    shape, given_to_others = (2, agents, n), torch.zeros(2, agents, dtype=F64)
    for _ in range(12):
        opens = torch.as_tensor(rng.uniform(5, 20, (2, n)))
        low, high = opens * rng.uniform(0.9, 1.0), opens * rng.uniform(1.0, 1.1)
        book.open_session(torch.as_tensor(rng.random(2) < 0.7))
        before = book.cash.clone()
        met = bar(
            2,
            n,
            open=opens,
            low=low,
            high=high,
            volume=torch.as_tensor(rng.uniform(0, 60_000, (2, n))),
            sigma=0.02,
            adv=50_000.0,
            buy_bps=2.6,
            sell_bps=7.6,
            minimum=5.0,
            lock=torch.as_tensor(rng.random(n) < 0.5),
            least=100.0,
            step=100.0,
        )
        fills = execute(
            book,
            orders(
                2,
                agents,
                n,
                market=torch.as_tensor(rng.uniform(-4_000, 4_000, shape)),
                bid=torch.as_tensor(rng.uniform(0, 900, shape)),
                bid_price=opens[:, None] * 0.98,
                ask=torch.as_tensor(rng.uniform(0, 900, shape)),
                ask_price=opens[:, None] * 1.02,
            ),
            met,
        )
        flow = (fills.bought - fills.sold) * opens[:, None]
        flow = flow + fills.bid * fills.bid_price - fills.ask * fills.ask_price
        given_to_others += flow.sum(-1)
        slip = fills.bought * (fills.buy_price - opens)[:, None]
        slip = slip + fills.sold * (opens - fills.sell_price)[:, None]
        paid += slip.sum(-1)
        assert (book.cash >= -1e-6).all()
        assert (book.units >= -1e-9).all()
        used = (fills.bought + fills.sold + fills.bid + fills.ask).sum(1)
        assert (used <= 0.1 * met.volume + 1e-6).all()
        assert torch.isfinite(before).all()
    total = book.cash + given_to_others + book.fees + paid
    torch.testing.assert_close(total, book.capital.expand_as(total), rtol=1e-9, atol=0.0)
    own = book.cash + book.spent + book.fees + book.impact
    torch.testing.assert_close(own, book.capital.expand_as(own), rtol=1e-9, atol=0.0)


def test_a_purchase_is_locked_until_the_next_session() -> None:
    book, t_plus_one = ledger(), bar(lock=True)
    execute(book, orders(market=100.0), t_plus_one)
    execute(book, orders(market=-100.0), t_plus_one)
    assert float(book.units) == 100.0
    book.open_session(torch.tensor([True]))
    execute(book, orders(market=-100.0), t_plus_one)
    assert float(book.units) == 0.0


def test_a_short_sale_needs_a_market_that_allows_it() -> None:
    for allowed, units in ((False, 0.0), (True, -1_000.0)):
        book = ledger(10_000.0)
        execute(book, orders(market=-5_000.0), bar(shortable=allowed))
        assert float(book.units) == units  # as much as its equity of 10,000 covers at 10
    assert float(book.equity(torch.tensor([[11.0]], dtype=F64))) == 9_000.0


def test_a_ruined_agent_is_closed_out_and_stays_out() -> None:
    book = ledger(10_000.0, agents=2)
    execute(book, orders(agents=2, market=torch.tensor([[1_000.0], [10.0]])), bar())
    crash = torch.tensor([[0.9]], dtype=F64)
    book.find_ruin(crash)
    assert book.ruined.tolist() == [[True, False]]
    execute(book, orders(agents=2, market=500.0, bid=500.0, bid_price=20.0), bar(open=0.9, low=0.5, high=1.0))
    assert book.units[0, 0].item() == 0.0
    assert book.cash[0, 0].item() == pytest.approx(900.0)
    book.find_ruin(torch.tensor([[100.0]], dtype=F64))
    assert book.ruined[0, 0].item()


def test_a_ruined_short_is_covered_even_on_credit() -> None:
    book = ledger(10_000.0)
    execute(book, orders(market=-1_000.0), bar(shortable=True))
    book.find_ruin(torch.tensor([[25.0]], dtype=F64))
    execute(book, orders(), bar(open=25.0, shortable=True))
    assert float(book.units) == 0.0
    assert float(book.cash) == -5_000.0


def test_cash_pays_for_a_share_of_what_is_wanted() -> None:
    share = affordable(
        torch.tensor([[1_000.0]], dtype=F64),
        torch.tensor([[[600.0, 600.0]]], dtype=F64),
        torch.tensor([10.0], dtype=F64),
        torch.tensor([5.0], dtype=F64),
    )
    assert share.item() == pytest.approx((1_000 - 10) / (1_200 * 1.001))

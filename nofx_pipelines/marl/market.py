"""Orders against the next bar: who is filled, how much, at what price.

**Market orders** decided at the close of bar t fill at the open of bar t+1: no purchase of what opens at
limit-up, no sale of what opens at limit-down, nothing without volume. Each moves the price by
``Y · sigma · sqrt(Q / ADV)`` (the square-root law), Q being what all agents trade on the same side, sigma
and ADV known at bar t; an instrument without a known ADV is not filled.

**Limit orders** fill only when bar t+1 trades *through* their price, at that price or at a better open.

**One liquidity.** All fills of a bar, of all agents and both sides, share ``participation`` of its volume:
market orders first, limit orders with what is left, pro rata.

**Lots.** Orders are whole lots; a remainder may be sold in one order. Prices are adjusted for corporate
actions, so a lot is its units at that session.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.ledger import Ledger, affordable, fees

PARTICIPATION = 0.1
"""Of a bar's volume, for all agents together."""
IMPACT = 1.0
"""Y of the square-root law; about one for equities (Tóth et al. 2011, Phys. Rev. X 1, 021006)."""
IMPACT_CAP = 0.25
"""An order of a participation-capped size never moves the price further, relatively."""
_LOT_SLACK = 1e-9


@dataclass(frozen=True)
class Bar:
    """The bar that orders meet, one of each copy, and the terms of its session."""

    open: Tensor  # [E, N] where nothing traded: any finite number
    high: Tensor  # [E, N]
    low: Tensor  # [E, N]
    volume: Tensor  # [E, N] units, 0 where nothing traded
    can_buy: Tensor  # [E, N] bool: trades and does not open at limit-up
    can_sell: Tensor  # [E, N] bool
    limit_up: Tensor  # [E, N] inf: none
    limit_down: Tensor  # [E, N] 0: none
    least: Tensor  # [E, N] least order in units
    step: Tensor  # [E, N] units
    sigma: Tensor  # [E, N] of one bar's log return, known at the decision
    adv: Tensor  # [E, N] average units a bar, known at the decision
    buy_bps: Tensor  # [E]
    sell_bps: Tensor  # [E]
    minimum: Tensor  # [E] least fee of an order
    lock: Tensor  # [N] bool: T+1
    shortable: Tensor  # [N] bool


@dataclass(frozen=True)
class Orders:
    """What agents ask for, ``[E, A, N]`` in units; ``market`` is signed, quotes of 0 units are none."""

    market: Tensor
    bid: Tensor
    bid_price: Tensor
    ask: Tensor
    ask_price: Tensor


@dataclass(frozen=True)
class Fills:
    """What was filled, ``[E, A, N]`` in units, and at which prices."""

    bought: Tensor  # by market orders
    sold: Tensor
    bid: Tensor  # by limit orders
    ask: Tensor
    buy_price: Tensor  # [E, N] with impact
    sell_price: Tensor  # [E, N]
    bid_price: Tensor  # [E, A, N]
    ask_price: Tensor

    @property
    def value(self) -> Tensor:
        """Value traded ``[E, A]``, bought plus sold."""
        taken = self.bought * self.buy_price[:, None] + self.sold * self.sell_price[:, None]
        return (taken + self.bid * self.bid_price + self.ask * self.ask_price).sum(-1)


def whole_lots(units: Tensor, least: Tensor, step: Tensor) -> Tensor:
    """The largest orders of at most ``units``: ``least`` and steps above it, or nothing.

    >>> whole_lots(torch.tensor([310.7, 150.0]), torch.tensor(200.0), torch.tensor(1.0))
    tensor([310.,   0.])
    """
    lots = least + torch.floor((units - least) / step + _LOT_SLACK) * step
    return torch.where(units >= least * (1 - _LOT_SLACK), lots.clamp(min=0.0), torch.zeros_like(units))


def execute(ledger: Ledger, orders: Orders, bar: Bar, participation: float = PARTICIPATION) -> Fills:
    """Fill ``orders`` against ``bar`` and book them; ruined agents are closed out whatever they asked."""
    asked = _closing(ledger, orders)
    known = bar.adv > 0
    room = torch.where(known, participation * bar.volume, torch.zeros_like(bar.volume))  # [E, N]
    bought, sold, prices = _take(ledger, asked.market, bar, room)
    terms = (bar.buy_bps, bar.sell_bps, bar.minimum)
    sellable = ledger.sellable() - sold  # before today's purchases
    ledger.trade(bought, sold, bar.open[:, None], (prices[0][:, None], prices[1][:, None]), terms, bar.lock)
    left = (room - (bought + sold).sum(1)).clamp(min=0.0)
    bid, ask, quoted = _rest(ledger, asked, bar, left, sellable)
    _book_quotes(ledger, bid, ask, quoted, terms, bar.lock)
    return Fills(bought, sold, bid, ask, *prices, *quoted)


def _book_quotes(
    ledger: Ledger,
    bid: Tensor,
    ask: Tensor,
    quoted: tuple[Tensor, Tensor],
    terms: tuple[Tensor, Tensor, Tensor],
    lock: Tensor,
) -> None:
    """Quotes pay no impact: their own price is the market's, each side by itself."""
    none = torch.zeros_like(bid)
    ledger.trade(bid, none, quoted[0], quoted, terms, lock)
    ledger.trade(none, ask, quoted[1], quoted, terms, lock)


def _closing(ledger: Ledger, orders: Orders) -> Orders:
    """Ruined agents sell all they hold, cover all they owe, and quote nothing."""
    out = ledger.ruined[..., None]
    return Orders(
        torch.where(out, -ledger.units, orders.market),
        orders.bid * ~out,
        orders.bid_price,
        orders.ask * ~out,
        orders.ask_price,
    )


def _take(
    ledger: Ledger, market: Tensor, bar: Bar, room: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Market orders: units bought and sold ``[E, A, N]`` and the prices ``[E, N]`` with impact."""
    least, step = bar.least[:, None], bar.step[:, None]
    can_buy, can_sell = bar.can_buy[:, None], bar.can_sell[:, None]
    most = _most_sold(ledger, bar)
    sells = torch.minimum((-market).clamp(min=0.0), most) * can_sell
    buys = market.clamp(min=0.0) * can_buy
    share = _share(room, (buys + sells).sum(1))[:, None]
    sells = _sale_lots(sells * share, ledger.units, least, step)
    buys = buys * share
    sell_price = _moved(bar, sells.sum(1), -1.0)
    received = sells * sell_price[:, None]
    cash = ledger.cash + received.sum(-1) - _fee(received, bar.sell_bps, bar.minimum)
    for moved in (False, True):  # what cash buys at the open, then at the price which that moves it to
        price = _moved(bar, buys.sum(1), 1.0) if moved else bar.open
        paid = affordable(cash, buys * price[:, None], bar.buy_bps, bar.minimum)
        paid = torch.where(ledger.ruined, torch.ones_like(paid), paid)  # what is owed is covered on credit
        buys = buys * paid[..., None]
    buys = whole_lots(buys, least, step)
    return buys, sells, (_moved(bar, buys.sum(1), 1.0), sell_price)


def _rest(
    ledger: Ledger, orders: Orders, bar: Bar, room: Tensor, sellable: Tensor
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Limit orders: units filled ``[E, A, N]`` a side and the prices of both."""
    opened, least, step = bar.open[:, None], bar.least[:, None], bar.step[:, None]
    bid_price = torch.minimum(orders.bid_price, bar.limit_up[:, None])
    ask_price = torch.maximum(orders.ask_price, bar.limit_down[:, None])
    traded = (bar.volume > 0)[:, None]
    bids = orders.bid * (traded & (bar.low[:, None] < bid_price))
    asks = torch.minimum(orders.ask, sellable) * (traded & (bar.high[:, None] > ask_price))
    share = _share(room, (bids + asks).sum(1))[:, None]
    asks = _sale_lots(asks * share, ledger.units, least, step)
    bid_price, ask_price = torch.minimum(bid_price, opened), torch.maximum(ask_price, opened)
    paid = affordable(ledger.cash, bids * share * bid_price, bar.buy_bps, bar.minimum)
    bids = whole_lots(bids * share * paid[..., None], least, step)
    return bids, asks, (bid_price, ask_price)


def _most_sold(ledger: Ledger, bar: Bar) -> Tensor:
    """What may be sold: what is sellable and, where shorts are allowed, as much again as equity covers."""
    sellable = ledger.sellable()
    if not bool(bar.shortable.any()):
        return sellable
    equity = ledger.equity(bar.open).clamp(min=0.0)
    owed = (ledger.units.clamp(max=0.0) * bar.open[:, None]).sum(-1)  # [E, A] not positive
    more = ((equity + owed).clamp(min=0.0) / bar.open.shape[-1])[..., None] / bar.open[:, None]
    return sellable + more * bar.shortable


def _share(room: Tensor, wanted: Tensor) -> Tensor:
    return torch.where(wanted > room, room / wanted.clamp(min=1e-300), torch.ones_like(room))


def _sale_lots(units: Tensor, held: Tensor, least: Tensor, step: Tensor) -> Tensor:
    """Whole lots, or all that is held."""
    every = (units > 0) & (units >= held * (1 - _LOT_SLACK)) & (held > 0)
    exact = torch.where(units <= held * (1 + _LOT_SLACK), held, units)
    return torch.where(every & (units <= held * (1 + _LOT_SLACK)), exact, whole_lots(units, least, step))


def _moved(bar: Bar, units: Tensor, sign: float) -> Tensor:
    """The open after ``units [E, N]`` traded on one side, within the session's limits."""
    drift = (IMPACT * bar.sigma * torch.sqrt(units / bar.adv.clamp(min=1e-300))).clamp(max=IMPACT_CAP)
    price = bar.open * (1 + sign * torch.where(units > 0, drift, torch.zeros_like(drift)))
    return torch.minimum(torch.maximum(price, bar.limit_down), bar.limit_up)


def _fee(values: Tensor, bps: Tensor, minimum: Tensor) -> Tensor:
    return fees(values, bps[:, None, None], minimum[:, None, None]).sum(-1)

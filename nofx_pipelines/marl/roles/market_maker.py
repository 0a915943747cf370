"""Market maker: quotes both sides and lives on the spread; paid by its return, fined for inventory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.roles.role import (
    Decision,
    Outcome,
    Quotes,
    View,
    allowed,
    keep,
    legal,
    observation,
    pick,
    rule,
)

_INVENTORY = 0.2
"""Fine, in percent a bar, for all of the equity in inventory."""
_FULL = 0.6
"""Exposure above which the rule quotes no more bids."""
_DISTANCES = (0.25, 0.5, 1.0)
"""Of a quote from the last close, in standard deviations of a bar."""


@dataclass(frozen=True)
class MarketMaker:
    """Bids and asks around the last close at three widths, one side only, or out at the market."""

    name: str = "market_maker"
    actions: tuple[str, ...] = ("hold", "tight", "normal", "wide", "bids", "asks", "flat")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Range, volatility ratio, volume and limit locks of each instrument, sellable inventory."""
        seen = observation(
            view,
            me,
            ("range", "volatility_ratio", "volume_surprise", "opens_up_limited", "opens_down_limited"),
            ("index_volatility",),
        )
        return torch.cat([seen, view.sellable[:, me].float()], dim=1)

    def mask(self, view: View, me: int) -> Tensor:
        """Bids need cash, asks inventory that may be sold."""
        cash, stock = view.exposure(me) < 0.99, (view.sellable[:, me] > 1e-6).any(-1)
        return legal(view, me, [cash | stock, cash | stock, cash | stock, cash, stock, stock])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Quotes at ticks; a bid is an equal part of half the equity, an ask a half of the inventory."""
        flat = torch.zeros_like(view.price)
        target = torch.where((action == 6)[:, None], flat, keep(view))
        distance = torch.tensor([1.0, *_DISTANCES, 0.5, 0.5, 1.0], device=action.device)[action][:, None]
        away = distance.to(torch.float64) * view.sigma
        bids = torch.isin(action, torch.tensor([1, 2, 3, 4], device=action.device))[:, None]
        asks = torch.isin(action, torch.tensor([1, 2, 3, 5], device=action.device))[:, None]
        size = 0.5 / view.price.shape[1]
        quotes = Quotes(
            bid=(flat + size) * bids,
            bid_price=torch.floor(view.price * torch.exp(-away) / view.tick) * view.tick,
            ask=pick([view.sellable[:, me] / 2, view.sellable[:, me]], (action == 5).long()) * asks,
            ask_price=torch.ceil(view.price * torch.exp(away) / view.tick) * view.tick,
        )
        return Decision(target=target, quotes=quotes)

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The own return less a fine that grows with the square of the inventory."""
        inventory = outcome.weights[:, me].abs().sum(-1)
        return outcome.own[:, me] - _INVENTORY * inventory**2

    def baseline(self, view: View, me: int) -> Tensor:
        """Half a standard deviation on both sides; asks only when full."""
        full = view.exposure(me) > _FULL
        return allowed(rule(view, me, (full, 5), otherwise=2), self.mask(view, me))


ROLE = MarketMaker()

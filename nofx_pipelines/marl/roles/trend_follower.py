"""Trend follower: holds what has been rising; paid by its own return."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.roles.role import (
    Decision,
    Outcome,
    View,
    allowed,
    equal_weight,
    keep,
    legal,
    observation,
    pick,
    rule,
    top_third,
)


@dataclass(frozen=True)
class TrendFollower:
    """Momentum over 5, 20 and 60 bars; sizes by inverse volatility where it follows all that rises."""

    name: str = "trend_follower"
    actions: tuple[str, ...] = ("hold", "flat", "leaders", "rising", "breakout", "half_rising")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Three momenta of each instrument, the index's, own weights, growth and drawdown."""
        momenta = ("momentum_5", "momentum_20", "momentum_60")
        return observation(view, me, momenta, ("index_momentum", "index_volatility"))

    def mask(self, view: View, me: int) -> Tensor:
        """Nothing that falls is bought; flat needs a position."""
        rising, breaking = _rising(view).any(-1), _breaking(view).any(-1)
        return legal(view, me, [view.held(me), rising, rising, breaking, rising])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Target weights."""
        rising = _rising(view)
        sized = rising / view.sigma
        sized = sized / sized.sum(-1, keepdim=True).clamp(min=1e-12)
        leaders = equal_weight(top_third(view.asset("momentum_20")) & rising)
        flat = torch.zeros_like(sized)
        options = [keep(view), flat, leaders, sized, equal_weight(_breaking(view)), sized / 2]
        return Decision(target=pick(options, action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The own return after costs."""
        return outcome.own[:, me]

    def baseline(self, view: View, me: int) -> Tensor:
        """All that rises while the index does, else out."""
        up = view.indicator("index_momentum") > 0
        weekly = view.age % 5 == 0
        wanted = rule(view, me, (~weekly & up, 0), (up, 3), otherwise=1)
        return allowed(wanted, self.mask(view, me))


ROLE = TrendFollower()


def _rising(view: View) -> Tensor:
    return view.asset("momentum_20") > 0


def _breaking(view: View) -> Tensor:
    return (view.asset("momentum_60") > 0.5) & (view.asset("momentum_5") > 0.5)

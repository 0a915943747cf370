"""Hedger: makes the whole team's result steadier; paid for the square it takes off the team's returns."""

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

_STEADINESS = 0.5
"""Weight of a squared percent of the team's return against a percent of the own."""


@dataclass(frozen=True)
class Hedger:
    """Defensive instruments, those that the team lacks and, where allowed, a short market."""

    name: str = "hedger"
    actions: tuple[str, ...] = ("hold", "flat", "low_beta", "low_volatility", "complement", "short_market")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Betas, the team's weights and drawdown, the index."""
        seen = observation(view, me, ("beta", "volatility_ratio"), ("index_return", "index_volatility"))
        team = [view.team_weights.float(), view.team_drawdown[:, None].float()]
        return torch.cat([seen, *team], dim=1)

    def mask(self, view: View, me: int) -> Tensor:
        """A complement needs a team that holds something; a short a market that allows it."""
        exposed = view.team_weights.sum(-1) > 0.05
        yes = torch.ones_like(exposed)
        several = yes & (view.price.shape[1] > 1)
        short = exposed & view.shortable.any()
        return legal(view, me, [view.held(me), several, yes, exposed & several, short])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Target weights."""
        calm = 1 / view.sigma
        calm = calm / calm.sum(-1, keepdim=True)
        low_beta = equal_weight(top_third(-view.asset("beta")))
        lacking = equal_weight(top_third(-view.team_weights))
        short = -0.5 * equal_weight(view.shortable.expand_as(calm))
        flat = torch.zeros_like(calm)
        return Decision(target=pick([keep(view), flat, low_beta, calm, lacking, short], action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """What the team's squared return is less with the own account than without it, and the own return."""
        without = outcome.team - outcome.share[:, me] * outcome.own[:, me]
        # the same money in cash instead
        return outcome.own[:, me] + _STEADINESS * (without**2 - outcome.team**2)

    def baseline(self, view: View, me: int) -> Tensor:
        """Low beta while the index falls, else out."""
        falling = view.indicator("index_momentum") < 0
        wanted = rule(view, me, (falling & ~view.held(me), 2), (falling, 0), otherwise=1)
        return allowed(wanted, self.mask(view, me))


ROLE = Hedger()

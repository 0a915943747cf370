"""Mean reversion: buys what has fallen away from its mean; paid for what it earns above its exposure's."""

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
class MeanReversion:
    """Distance from the 20-bar mean in standard deviations, gaps, the bar's range."""

    name: str = "mean_reversion"
    actions: tuple[str, ...] = ("hold", "flat", "oversold", "deep", "losers", "sell_recovered")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Distance from the mean, last return, gap and range of each instrument, and dispersion."""
        return observation(view, me, ("reversal", "return_1", "gap", "range"), ("dispersion", "index_return"))

    def mask(self, view: View, me: int) -> Tensor:
        """Bought is only what lies that far below its mean; recovered is only what is held."""
        z, held = view.asset("reversal"), view.held(me)
        recovered = ((view.weights[:, me] > 1e-6) & (z >= 0)).any(-1)
        falling = (view.asset("momentum_5") < 0).any(-1)
        return legal(view, me, [held, (z < -1).any(-1), (z < -2).any(-1), falling, recovered])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Target weights; no more than a third in one instrument that fell."""
        z = view.asset("reversal")
        oversold, deep = (equal_weight(z < level).clamp(max=1 / 3) for level in (-1.0, -2.0))
        fallen = view.asset("momentum_5")
        losers = equal_weight(top_third(-fallen) & (fallen < 0))
        recovered = torch.where(z >= 0, torch.zeros_like(oversold), keep(view))
        options = [keep(view), torch.zeros_like(oversold), oversold, deep, losers, recovered]
        return Decision(target=pick(options, action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The own return less the index's at the own exposure: rising with the market earns nothing."""
        return outcome.own[:, me] - outcome.weights[:, me].sum(-1) * outcome.index

    def baseline(self, view: View, me: int) -> Tensor:
        """Buy one standard deviation below the mean, sell at the mean."""
        mask = self.mask(view, me)
        wanted = rule(view, me, (mask[:, 5], 5), (mask[:, 2] & ~view.held(me), 2))
        return allowed(wanted, mask)


ROLE = MeanReversion()

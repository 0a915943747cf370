"""Sentiment analyst: reads the crowd from volume and breadth; paid for beating the market.

There are no news or posts in our data. Attention is volume against its mean of 20 bars, mood is the share
of instruments that rose.
"""

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
)

_LOUD, _QUIET = 0.3, -0.3
"""Log of volume over its mean."""


@dataclass(frozen=True)
class SentimentAnalyst:
    """Follows or fades what is traded loudly, holds what is quiet, or all while the mood is good."""

    name: str = "sentiment_analyst"
    actions: tuple[str, ...] = ("hold", "flat", "follow", "fade", "quiet", "mood")
    trades: bool = True

    def observe(self, view: View, me: int) -> Tensor:
        """Attention and return of each instrument, breadth, attention and dispersion of the market."""
        return observation(view, me, ("volume_surprise", "return_1"), ("breadth", "attention", "dispersion"))

    def mask(self, view: View, me: int) -> Tensor:
        """Follow needs loud winners, fade loud losers, mood more winners than losers."""
        flags = [options.any(-1) for options in _groups(view)]
        return legal(view, me, [view.held(me), *flags, view.indicator("breadth") > 0])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """Target weights."""
        groups = [equal_weight(chosen) for chosen in _groups(view)]
        flat = torch.zeros_like(groups[0])
        every = equal_weight(torch.ones_like(flat, dtype=torch.bool))
        return Decision(target=pick([keep(view), flat, *groups, every], action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The own return less the index's: being out while it falls pays, while it rises costs."""
        return outcome.own[:, me] - outcome.index

    def baseline(self, view: View, me: int) -> Tensor:
        """Follow the crowd in a good mood, out in a bad one."""
        breadth = view.indicator("breadth")
        return allowed(rule(view, me, (breadth > 0.3, 2), (breadth < -0.3, 1)), self.mask(view, me))


ROLE = SentimentAnalyst()


def _groups(view: View) -> list[Tensor]:
    """Loud winners, loud losers, quiet instruments ``[E, N]``."""
    loud, rose = view.asset("volume_surprise"), view.asset("return_1") > 0
    return [(loud > _LOUD) & rose, (loud > _LOUD) & ~rose, loud < _QUIET]

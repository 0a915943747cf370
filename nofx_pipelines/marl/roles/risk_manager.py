"""Risk manager: caps what the whole team may have at work; paid by the team's return less its drawdowns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.roles.role import Decision, Outcome, View, allowed, legal, pick, rule

_CAPS = (1.0, 0.6, 0.3, 0.0)
_DRAWDOWN = 0.10
"""Below the peak, beyond which the cap may not be raised."""
_SWING = 0.012
"""Standard deviation of the team's return a bar that the rule tolerates at full cap."""
_TOLERATED = 5.0
"""Percent of drawdown that costs nothing."""
_FINE = 1.0
"""For a percent of deeper drawdown beyond it, in percent of return."""


@dataclass(frozen=True)
class RiskManager:
    """One cap on every trader's exposure; positions above it are sold at the next bar."""

    name: str = "risk_manager"
    actions: tuple[str, ...] = ("hold", "full", "reduced", "low", "out")
    trades: bool = False

    def observe(self, view: View, me: int) -> Tensor:
        """The team's drawdown, recent return and swing, exposure by instrument, the cap, the index."""
        team = [
            view.team_drawdown[:, None] * 10,
            view.team_recent.sum(-1, keepdim=True) * 10,
            view.team_recent.std(-1, unbiased=False, keepdim=True) * 100,
            view.team_recent.clamp(max=0.0).sum(-1, keepdim=True) * 10,
            view.team_weights,
            view.cap[:, None],
        ]
        index = [view.indicator(name)[:, None] for name in ("index_return", "index_volatility", "dispersion")]
        return torch.cat([*(t.float() for t in team), *index], dim=1)

    def mask(self, view: View, me: int) -> Tensor:
        """Only another cap than the present; in a deep drawdown no higher one, and out only there."""
        deep = view.team_drawdown > _DRAWDOWN
        flags = [(view.cap != cap) & ~(deep & (view.cap < cap)) & (deep | (cap > 0)) for cap in _CAPS]
        return legal(view, me, flags)

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """The cap."""
        caps = torch.tensor([torch.nan, *_CAPS], dtype=torch.float64, device=action.device)
        return Decision(cap=pick([cap.expand(len(action)) for cap in caps], action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The team's return less a fine for each percent of deeper drawdown beyond what is tolerated."""
        beyond = (outcome.drawdown - _TOLERATED).clamp(min=0.0)
        return outcome.team - _FINE * torch.minimum(outcome.deeper, beyond)

    def baseline(self, view: View, me: int) -> Tensor:
        """Full while the team swings little and is near its peak, reduced or low otherwise."""
        swing = view.team_recent.std(-1, unbiased=False)
        far, wild = view.team_drawdown > _DRAWDOWN, swing > _SWING
        return allowed(rule(view, me, (far, 3), (wild, 2), otherwise=1), self.mask(view, me))


ROLE = RiskManager()

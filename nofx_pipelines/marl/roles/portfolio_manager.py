"""Portfolio manager: gives each trader its budget, once a week; paid by the team's return."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.roles.role import Decision, Outcome, View, allowed, legal, pick, rule

_PERIOD = 5
"""Bars between two changes of budgets."""
_REST = 0.3
"""Budget of those who are not favoured."""


@dataclass(frozen=True)
class PortfolioManager:
    """Budgets, 0 to 1, of how much of its equity each trader may have at work."""

    name: str = "portfolio_manager"
    actions: tuple[str, ...] = ("hold", "all", "half", "winners", "steady")
    trades: bool = False

    def observe(self, view: View, me: int) -> Tensor:
        """Every account's recent return and volatility, growth, exposure and budget, and the index."""
        accounts = [
            view.recent.sum(-1) * 10,
            view.recent.std(-1, unbiased=False) * 100,
            view.growth.clamp(min=-1.0),
            view.weights.sum(-1),
            view.budget,
        ]
        index = [view.indicator(name)[:, None] for name in ("index_momentum", "index_volatility", "breadth")]
        return torch.cat([*(a.float() for a in accounts), *index], dim=1)

    def mask(self, view: View, me: int) -> Tensor:
        """Budgets change on every fifth bar only; winners need a past of as many."""
        due = view.age % _PERIOD == 0
        known = due & (view.age >= _PERIOD)
        return legal(view, me, [due, due, known, known])

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """A budget of each agent."""
        every = torch.ones_like(view.budget)
        earned = view.recent.sum(-1).masked_fill(~view.traders, -torch.inf)
        half = max(int(view.traders.sum()) // 2, 1)
        best = earned >= earned.topk(half).values[:, -1:]
        winners = torch.where(best, every, every * _REST)
        swing = view.recent.std(-1, unbiased=False).masked_fill(~view.traders, torch.inf)
        steady = ((swing.amin(-1, keepdim=True) + 1e-4) / (swing + 1e-4)).clamp(_REST, 1.0)
        kept = torch.full_like(every, torch.nan)
        return Decision(budget=pick([kept, every, every / 2, winners, steady], action))

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """The team's return."""
        return outcome.team

    def baseline(self, view: View, me: int) -> Tensor:
        """Favour the better half, every fourth week."""
        due = (view.age % (4 * _PERIOD) == 0) & (view.age > 0)
        return allowed(rule(view, me, (due, 3)), self.mask(view, me))


ROLE = PortfolioManager()

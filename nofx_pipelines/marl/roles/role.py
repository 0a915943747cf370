"""What a role is: its observation, legal actions, decisions, reward and the rule that it must beat.

Roles are pure functions of what is known at a close. Action 0 is ``hold`` in every role: nothing is asked
of the market and no limit is moved; it is always legal, and the only legal action of a ruined agent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nofx_pipelines.marl.features import ASSET_FEATURES, MARKET_FEATURES

HOLD = 0
_ASSET = {name: place for place, name in enumerate(ASSET_FEATURES)}
_MARKET = {name: place for place, name in enumerate(MARKET_FEATURES)}


@dataclass(frozen=True)
class View:
    """What is known at the close of bar t, in E copies with A agents and N instruments."""

    features: Tensor  # [E, N, C] float32
    indicators: Tensor  # [E, M] float32
    price: Tensor  # [E, N] float64, last close
    sigma: Tensor  # [E, N] float64, of one bar's log return
    tick: Tensor  # [E, N] float64
    weights: Tensor  # [E, A, N] float64, position's value over the agent's equity
    sellable: Tensor  # [E, A, N] float64, part of the weight that may be sold at the next bar
    growth: Tensor  # [E, A] float64, log of equity over that of 60 bars ago
    drawdown: Tensor  # [E, A] float64, below the highest of 60 bars, not negative
    recent: Tensor  # [E, A, H] float64, log returns of the last H bars, newest last
    budget: Tensor  # [E, A] float64, what the portfolio manager allows, 0 to 1
    cap: Tensor  # [E] float64, what the risk manager allows, 0 to 1
    team_weights: Tensor  # [E, N] float64, of all accounts together
    team_drawdown: Tensor  # [E] float64
    team_recent: Tensor  # [E, H] float64
    ruined: Tensor  # [E, A] bool
    shortable: Tensor  # [N] bool
    traders: Tensor  # [A] bool: has an account
    age: Tensor  # [E] int64, bars since the episode began

    def asset(self, name: str) -> Tensor:
        """One feature of every instrument, ``[E, N]``."""
        return self.features[..., _ASSET[name]]

    def indicator(self, name: str) -> Tensor:
        """One feature of the market, ``[E]``."""
        return self.indicators[:, _MARKET[name]]

    def held(self, me: int) -> Tensor:
        """Whether the agent holds anything, ``[E]``."""
        return (self.weights[:, me].abs() > 1e-6).any(-1)

    def exposure(self, me: int) -> Tensor:
        """Sum of the agent's weights, ``[E]``."""
        return self.weights[:, me].sum(-1)


@dataclass(frozen=True)
class Outcome:
    """What one bar brought, in percent: log returns after all costs, seen from before and after it."""

    own: Tensor  # [E, A] of each account
    team: Tensor  # [E] of all accounts together
    index: Tensor  # [E] mean of the instruments
    assets: Tensor  # [E, N]
    weights: Tensor  # [E, A, N] after the bar's fills
    betas: Tensor  # [E, N] known at the decision
    share: Tensor  # [E, A] of each account in the team's equity, before
    drawdown: Tensor  # [E] of the team, after, in percent
    deeper: Tensor  # [E] by how much the team's drawdown grew, in percent


@dataclass(frozen=True)
class Quotes:
    """Limit orders ``[E, N]``: share of equity and price of each side; a share of 0 is none."""

    bid: Tensor
    bid_price: Tensor
    ask: Tensor
    ask_price: Tensor


@dataclass(frozen=True)
class Decision:
    """What an action asks for; what is None stays as it is."""

    target: Tensor | None = None  # [E, N] weights; NaN keeps a position
    quotes: Quotes | None = None
    budget: Tensor | None = None  # [E, A] NaN keeps
    cap: Tensor | None = None  # [E] NaN keeps


class Role(Protocol):
    """One kind of agent; ``me`` is its place among the agents."""

    @property
    def name(self) -> str:
        """As the report shows it."""
        ...

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the K actions, ``hold`` first."""
        ...

    @property
    def trades(self) -> bool:
        """Whether it has an account; managers have none."""
        ...

    def observe(self, view: View, me: int) -> Tensor:
        """Observation ``[E, F]`` float32; F depends on the number of instruments and agents only."""
        ...

    def mask(self, view: View, me: int) -> Tensor:
        """Legal actions ``[E, K]``, ``hold`` always among them."""
        ...

    def decide(self, view: View, me: int, action: Tensor) -> Decision:
        """What ``action [E]`` asks for."""
        ...

    def reward(self, outcome: Outcome, me: int) -> Tensor:
        """Reward ``[E]`` of a bar."""
        ...

    def baseline(self, view: View, me: int) -> Tensor:
        """The rule: legal actions ``[E]``."""
        ...


def observation(view: View, me: int, assets: tuple[str, ...], market: tuple[str, ...]) -> Tensor:
    """Features of the instruments and the market, then the own weights and drawdown: ``[E, F]`` float32."""
    columns = [view.asset(name) for name in assets]
    columns += [view.indicator(name)[:, None] for name in market]
    columns += [view.weights[:, me].float(), view.drawdown[:, me, None].float()]
    return torch.cat(columns, dim=1)


def equal_weight(chosen: Tensor) -> Tensor:
    """Weights ``[E, N]`` that share everything equally among the chosen; none chosen is cash.

    >>> equal_weight(torch.tensor([[True, True, False]])).tolist()
    [[0.5, 0.5, 0.0]]
    """
    count = chosen.sum(-1, keepdim=True).clamp(min=1)
    return chosen.to(torch.float64) / count


def top_third(score: Tensor) -> Tensor:
    """The third of the instruments with the highest score, rounded up, ``[E, N]`` bool; ties go to the first.

    >>> top_third(torch.tensor([[0.1, 0.3, 0.2, 0.0]])).tolist()
    [[False, True, True, False]]
    """
    places = -(-score.shape[-1] // 3)
    order = score.argsort(dim=-1, descending=True, stable=True)
    return torch.zeros_like(score, dtype=torch.bool).scatter(-1, order[:, :places], True)


def pick(options: list[Tensor], action: Tensor) -> Tensor:
    """Of K options ``[E, …]`` the one that each copy's ``action [E]`` names."""
    stacked = torch.stack(options)  # [K, E, …]
    return stacked[action, torch.arange(len(action), device=action.device)]


def keep(view: View) -> Tensor:
    """The target that keeps every position."""
    return torch.full_like(view.price, torch.nan)


def legal(view: View, me: int, flags: list[Tensor]) -> Tensor:
    """``[E, K]``: ``hold`` and the flags ``[E]`` of the other actions, none of them to a ruined agent."""
    others = torch.stack(flags, dim=1)
    able = ~view.ruined[:, me, None]
    return torch.cat([torch.ones_like(able), others & able], dim=1)


def rule(view: View, me: int, *choices: tuple[Tensor, int], otherwise: int = HOLD) -> Tensor:
    """The first choice whose condition ``[E]`` holds, as action ``[E]``."""
    action = torch.full_like(view.age, otherwise)
    for condition, wanted in reversed(choices):
        action = torch.where(condition, torch.full_like(action, wanted), action)
    return action


def allowed(action: Tensor, mask: Tensor) -> Tensor:
    """``action`` where it is legal, else ``hold``."""
    return torch.where(mask.gather(1, action[:, None])[:, 0], action, torch.full_like(action, HOLD))

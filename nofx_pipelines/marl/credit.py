"""Who earned it: the Shapley value of each role, exact over all coalitions.

The value of a coalition is what the team earns when its members act by their policy and all others hold.
Source: Shapley (1953), "A value for n-person games". R roles are 2^R coalitions, 256 for eight, in one
batch; `roles.opening.MOST_ROLES` bounds R.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.scenario import Scenario
from nofx_pipelines.marl.trading import Draw


class Actor(Protocol):
    """A trained team: greedy without a generator."""

    def act(self, observation: Tensor, mask: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Actions ``[E, A]`` for observations ``[E, A, F]`` and masks ``[E, A, K]``."""
        ...


@dataclass(frozen=True)
class Credit:
    """What each role brought, as log growth of the team's equity over the whole span."""

    roles: tuple[str, ...]
    value: tuple[float, ...]
    alone: tuple[float, ...]
    """What the role earns when all others hold."""
    everyone: float
    """What the whole team earned: the sum of ``value``."""


def coalitions(agents: int) -> Tensor:
    """Every coalition ``[2**A, A]`` bool; row ``i`` holds the agents whose bit is set in ``i``.

    >>> coalitions(2).tolist()
    [[False, False], [True, False], [False, True], [True, True]]
    """
    rows = torch.arange(2**agents)[:, None]
    return (rows >> torch.arange(agents)) % 2 == 1


def shapley(values: Tensor) -> Tensor:
    """Shapley values ``[A]`` of a game given by the value ``[2**A]`` of each row of `coalitions`.

    >>> shapley(torch.tensor([0.0, 1.0, 2.0, 4.0], dtype=torch.float64)).tolist()
    [1.5, 2.5]
    """
    agents = int(math.log2(len(values)))
    rows = torch.arange(len(values))
    size = coalitions(agents).sum(1)
    weight = torch.tensor(
        [math.factorial(s) * math.factorial(max(agents - s - 1, 0)) for s in range(agents + 1)],
        dtype=torch.float64,
    ) / math.factorial(agents)
    shares = []
    for agent in range(agents):
        without = rows[(rows >> agent) % 2 == 0]
        gain = values[without | (1 << agent)] - values[without]
        shares.append((weight[size[without]] * gain.to(torch.float64)).sum())
    return torch.stack(shares)


def credit(
    panel: MarketPanel, actor: Actor, start: int, pick: Sequence[int], length: int, scenario: Scenario
) -> Credit:
    """Run all coalitions of a greedy team side by side.

    Parameters
    ----------
    panel:
        The bars.
    actor:
        The team.
    start, length:
        The first bar seen, and how many are played.
    pick:
        The instruments' places in the panel.
    scenario:
        What the team was trained in.
    """
    members = coalitions(len(scenario.roles)).to(panel.open.device)
    floor = scenario.judging_floor(panel, _draw(start, pick, len(members)), length)
    step = floor.reset(torch.Generator())
    for _ in range(length):
        action = actor.act(step.observation, step.action_mask, None)
        step = floor.step(torch.where(members, action, torch.zeros_like(action)))
    worth = (floor.equity.sum(1) / floor.capital.sum()).clamp(min=1e-6).log().cpu()
    singles = worth[2 ** torch.arange(floor.n_agents)]
    return Credit(
        roles=floor.agents,
        value=tuple(shapley(worth).tolist()),
        alone=tuple(singles.tolist()),
        everyone=float(worth[-1] - worth[0]),
    )


def _draw(start: int, pick: Sequence[int], copies: int) -> Draw:
    return Draw(torch.full((copies,), start), torch.tensor(list(pick)).repeat(copies, 1))

"""Two agents see half of a target each and act continuously: the sum of their actions should meet it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.games.game import Game


@dataclass
class Team(Game):
    """One step; both get minus the squared distance of the sum of actions to the sum of what both saw.

    The best is each agent answering its own half: 0.
    """

    names: tuple[str, ...] = ("first", "second")
    observation_width: int = 2
    action_count: int = 2
    has_discrete: bool = False

    def reset(self, generator: torch.Generator) -> Step:
        """Targets between -.5 and .5."""
        self.halves = self.uniform(generator, 2, 2) - 0.5
        return self.seen(self.halves, self.zeros(2), done=False)

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """The episode ends."""
        miss = (action.sum(dim=1) - self.halves.sum(dim=1)).square().sum(dim=-1)
        return self.seen(self.halves, self.shared(-miss), done=True)

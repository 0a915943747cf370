"""Reward 1 when exactly one of two agents acts: no agent's own action says anything about the reward."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.games.game import Game


@dataclass
class Xor(Game):
    """One step; nothing is seen."""

    names: tuple[str, ...] = ("first", "second")
    observation_width: int = 1
    action_count: int = 2

    def reset(self, generator: torch.Generator) -> Step:
        """Nothing is drawn."""
        return self.seen(self.zeros(2, 1), self.zeros(2), done=False)

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """The episode ends."""
        reward = (action[:, 0] != action[:, 1]).float()
        return self.seen(self.zeros(2, 1), self.shared(reward), done=True)

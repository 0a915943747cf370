"""One agent sees which of five things is meant, the other has to name it: without a message one in five."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.games.game import Game


@dataclass
class Referential(Game):
    """Two steps: the sender sees, then the receiver, who saw nothing, chooses; 1 for both if it is right."""

    things: int = 5
    names: tuple[str, ...] = ("sender", "receiver")
    observation_width: int = 6
    action_count: int = 5

    def reset(self, generator: torch.Generator) -> Step:
        """A thing for each copy."""
        self.target = self.choice(generator, self.things)
        self.time = 0
        sight = torch.cat([F.one_hot(self.target, self.things).float(), self.zeros(1)], dim=-1)
        blind = self.zeros(self.things + 1)
        return self.seen(torch.stack([sight, blind], dim=1), self.zeros(2), done=False)

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """After the first step all are blind and asked; after the second it ends."""
        self.time += 1
        asked = self.zeros(2, self.things + 1)
        asked[:, :, -1] = 1.0
        right = (action[:, 1] == self.target).float() if self.time == 2 else self.zeros()
        return self.seen(asked, self.shared(right), done=self.time == 2)

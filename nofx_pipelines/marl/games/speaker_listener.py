"""Cooperative communication (Lowe et al. 2017): one knows the goal and cannot move, the other moves.

The same world as mpe2's ``simple_speaker_listener`` with discrete actions, as tensors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.environment import Step
from nofx_pipelines.marl.games.game import Game

STEPS = 25
_DT, _DAMPING, _FORCE = 0.1, 0.25, 5.0
_COLOURS = ((0.65, 0.15, 0.15), (0.15, 0.65, 0.15), (0.15, 0.15, 0.65))
_MOVES = ((0.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))


@dataclass
class SpeakerListener(Game):
    """Agent 0 says one of three words, agent 1 hears it a step later and moves; both get minus the squared
    distance to the goal."""

    names: tuple[str, ...] = ("speaker", "listener")
    observation_width: int = 11
    action_count: int = 5

    def reset(self, generator: torch.Generator) -> Step:
        """New goals and places."""
        self.goal = self.choice(generator, 3)
        places = 2 * self.uniform(generator, 4, 2) - 1
        self.place_at(self.goal, places[:, 0], places[:, 1:])
        return self._step(done=False, reward=self.zeros())

    def place_at(self, goal: Tensor, listener: Tensor, landmarks: Tensor) -> None:
        """Set the world: goals ``[E]``, listener ``[E, 2]`` at rest, landmarks ``[E, 3, 2]``."""
        self.goal, self.at, self.landmarks = goal, listener.clone(), landmarks
        self.speed = torch.zeros_like(self.at)
        self.word = self.zeros(3)
        self.time = 0

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """Move by the speed so far, then let it decay and push."""
        self.at = self.at + self.speed * _DT
        push = _FORCE * torch.tensor(_MOVES, device=self.device)[action[:, 1]]
        self.speed = self.speed * (1 - _DAMPING) + push * _DT
        self.word = torch.nn.functional.one_hot(action[:, 0].clamp(max=2), 3).float()
        self.time += 1
        target = self.landmarks[torch.arange(self.copies, device=self.device), self.goal]
        distance = (self.at - target).square().sum(dim=-1)
        return self._step(done=self.time >= STEPS, reward=-distance)

    def _step(self, *, done: bool, reward: Tensor) -> Step:
        colour = torch.tensor(_COLOURS, device=self.device)[self.goal]
        speaker = torch.cat([colour, self.zeros(8)], dim=-1)
        relative = (self.landmarks - self.at[:, None]).flatten(start_dim=1)
        listener = torch.cat([self.speed, relative, self.word], dim=-1)
        both = torch.stack([speaker, listener], dim=1)
        return self.seen(both, self.shared(reward), done)

    def mask(self, shape: tuple[int, int, int]) -> Tensor:
        """The speaker has three words, the listener five moves."""
        allowed = torch.ones(shape, dtype=torch.bool, device=self.device)
        allowed[:, 0, 3:] = False
        return allowed

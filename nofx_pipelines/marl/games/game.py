"""What the small worlds share: sizes that are known beforehand, and every action allowed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nofx_pipelines.marl.environment import Step


@dataclass
class Game:
    """E copies; a subclass keeps its own state and says what is seen."""

    copies: int = 32
    device: str = "cpu"

    names: tuple[str, ...] = ()
    observation_width: int = 0
    action_count: int = 0
    has_discrete: bool = True
    state_width: int = 0

    @property
    def n_envs(self) -> int:
        """E."""
        return self.copies

    @property
    def n_agents(self) -> int:
        """A."""
        return len(self.names)

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents."""
        return self.names

    @property
    def observation_size(self) -> int:
        """F."""
        return self.observation_width

    @property
    def n_actions(self) -> int:
        """K, or D of a continuous game."""
        return self.action_count

    @property
    def state_size(self) -> int:
        """S."""
        return self.state_width or self.n_agents * self.observation_width

    @property
    def discrete(self) -> bool:
        """Whether actions are choices."""
        return self.has_discrete

    def seen(self, observation: Tensor, reward: Tensor, done: bool, state: Tensor | None = None) -> Step:
        """A step in which every action is allowed; the state is all observations unless given."""
        shape = (self.copies, self.n_agents, self.action_count)
        return Step(
            observation=observation,
            action_mask=self.mask(shape),
            state=observation.flatten(start_dim=1) if state is None else state,
            reward=reward,
            done=torch.full((self.copies,), done, device=self.device),
        )

    def mask(self, shape: tuple[int, int, int]) -> Tensor:
        """Allowed actions."""
        return torch.ones(shape, dtype=torch.bool, device=self.device)

    def zeros(self, *shape: int) -> Tensor:
        """Zeros for every copy, ``[E, *shape]``."""
        return torch.zeros(self.copies, *shape, device=self.device)

    def uniform(self, generator: torch.Generator, *shape: int) -> Tensor:
        """Numbers in [0, 1) for every copy."""
        return torch.rand(self.copies, *shape, generator=generator, device=self.device)

    def choice(self, generator: torch.Generator, count: int) -> Tensor:
        """One of ``count`` for every copy."""
        return torch.randint(count, (self.copies,), generator=generator, device=self.device)

    def shared(self, reward: Tensor) -> Tensor:
        """The same reward ``[E]`` for every agent, ``[E, A]``."""
        return reward[:, None].expand(-1, self.n_agents).clone()

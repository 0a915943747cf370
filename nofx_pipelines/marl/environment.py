"""What algorithms see of an environment: E copies of one world with A agents, stepped together.

Shapes: E copies, A agents, F observation size of the widest role, K actions of the widest role,
S state size, D width of a continuous action.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Step:
    """What the agents see after a reset or an action."""

    observation: Tensor  # [E, A, F] float32, zero-padded to the widest role
    action_mask: Tensor  # [E, A, K] bool, padded and forbidden actions False
    state: Tensor  # [E, S] float32, what the centralised critic sees
    reward: Tensor  # [E, A] float32, zero after a reset
    done: Tensor  # [E] bool, the copy's episode ended with this step


class Environment(Protocol):
    """E copies of one world; ``step`` moves all of them by one action of every agent.

    Same generator state, same actions: same steps, bit for bit. A copy whose episode ended goes on
    with ``reset``, which starts all copies anew.
    """

    @property
    def n_envs(self) -> int:
        """E."""
        ...

    @property
    def n_agents(self) -> int:
        """A."""
        ...

    @property
    def observation_size(self) -> int:
        """F."""
        ...

    @property
    def n_actions(self) -> int:
        """K when discrete, else D."""
        ...

    @property
    def state_size(self) -> int:
        """S."""
        ...

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of the agents, in the order of the tensors' second axis."""
        ...

    @property
    def discrete(self) -> bool:
        """Actions are [E, A] int64 when true, else [E, A, D] float32 in [-1, 1]."""
        ...

    def reset(self, generator: torch.Generator) -> Step:
        """Start all copies; what is random about the start comes from ``generator``."""
        ...

    def step(self, action: Tensor, message: Tensor | None = None) -> Step:
        """Apply one action of every agent; ``message`` is for environments that carry messages."""
        ...

"""Algorithms: one file each. All are called alike.

``train(make, config, seed=…, checkpoint=…, on_iteration=…)`` makes the environment, trains a ``Policy`` and
returns it; ``on_iteration`` gets each iteration's rows of the table ``marl_history``. A checkpoint that lies
at ``checkpoint`` is gone on from, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nofx_pipelines.marl.environment import Environment

Make: TypeAlias = Callable[[], Environment]


@dataclass(frozen=True)
class AgentRow:
    """One agent's iteration: a row of ``marl_history`` without its run."""

    iteration: int
    agent: str
    frames: int
    """Steps of all copies so far."""
    reward: float
    """Mean over copies of the episode's sum."""
    losses: dict[str, float]
    entropy: float | None
    kl: float | None


OnIteration: TypeAlias = Callable[[list[AgentRow]], None]

"""What an algorithm is, and what it tells of each iteration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.marl.environment import Environment
from nofx_pipelines.marl.policy import Policy

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
    """``policy`` and ``value``, those that the algorithm has."""
    entropy: float | None
    kl: float | None


OnIteration: TypeAlias = Callable[[list[AgentRow]], None]


class Algorithm(Protocol):
    """Trains a policy for all agents of an environment."""

    @property
    def name(self) -> str:
        """As messages show it."""
        ...

    def train(
        self,
        make: Make,
        config: MarlConfig,
        *,
        seed: int,
        checkpoint: Path | None = None,
        on_iteration: OnIteration | None = None,
        device: str = "cpu",
    ) -> Policy:
        """Train a policy; the same arguments give the same bits, killed and resumed or not.

        Parameters
        ----------
        make:
            Gives the environment, ``config.envs`` copies whose episodes last ``config.window`` steps.
        config:
            The budget, ``config.iterations`` above all.
        seed:
            Of all that is random.
        checkpoint:
            Where the training is written as it goes, to be gone on from when it was killed. An algorithm
            that writes nothing there begins anew.
        on_iteration:
            Takes each iteration's rows, one an agent, in the environment's order.
        device:
            Where the environment's tensors are and the policy's shall be.

        Returns
        -------
        Policy
            For the environment's agents and sizes, silent (its messages have no words).
        """
        ...

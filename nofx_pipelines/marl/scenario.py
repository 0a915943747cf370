"""What a team acts in: a task, its roles and what they are paid, by the names in ``nofx.toml``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nofx_pipelines.config import MarlConfig
from nofx_pipelines.marl.panel import MarketPanel
from nofx_pipelines.marl.rewards import rewards
from nofx_pipelines.marl.rewards.protocol import Reward
from nofx_pipelines.marl.roles import roles
from nofx_pipelines.marl.roles.role import Role
from nofx_pipelines.marl.tasks import task
from nofx_pipelines.marl.tasks.protocol import Floor, Task
from nofx_pipelines.marl.trading import Draw


@dataclass(frozen=True)
class Scenario:
    """A task, its roles and their rewards."""

    task: Task
    roles: tuple[Role, ...]
    rewards: tuple[Reward, ...]

    def training_floor(self, panel: MarketPanel, *, n_envs: int, length: int, span: tuple[int, int]) -> Floor:
        """A floor of random windows within the bars ``span``; raises NotEnoughData when none fits."""
        return self.task.environment(
            panel, n_envs=n_envs, length=length, span=span, roles=self.roles, rewards=self.rewards
        )

    def judging_floor(
        self, panel: MarketPanel, draw: Draw, length: int, roles: Sequence[Role] | None = None
    ) -> Floor:
        """A floor of these windows for the team, or for ``roles``; nobody is paid there."""
        return self.task.environment(
            panel,
            n_envs=len(draw.start),
            length=length,
            span=(0, 0),
            roles=self.roles if roles is None else roles,
            rewards=(),
            draw=draw,
        )


def open_scenario(config: MarlConfig, folder: Path | None = None) -> Scenario:
    """The scenario that a configuration names; ``folder`` holds the home's plug-ins.

    Raises ConfigError for unknown names and teams that make no sense, PluginError for members that break
    their protocol.
    """
    return Scenario(
        task=task(config.task, folder),
        roles=roles(config.roles, folder),
        rewards=rewards(config.rewards, folder),
    )

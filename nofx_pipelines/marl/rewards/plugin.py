"""A reward of a plug-in: whatever it raises or returns wrongly is refused by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from nofx_pipelines.marl.plugin_checks import require_protocol, require_tensor
from nofx_pipelines.marl.rewards.protocol import Reward
from nofx_pipelines.marl.roles.role import Outcome, Role
from nofx_pipelines.plugins import Reference, find


def open_reward(name: str, folder: Path | None) -> Reward:
    """The reward by name; `nofx_pipelines.marl.rewards.rewards` says what is refused."""
    reference = find("rewards", name, folder)
    reward: Reward = reference.load()
    if reference.origin == "built-in":
        return reward
    require_protocol(reference, reward, ["value"])
    return PluginReward(reward, reference)


class PluginReward:
    """A `Reward` that calls the plug-in's; PluginError for what it must not do."""

    def __init__(self, reward: Reward, reference: Reference) -> None:
        self._reward, self._reference = reward, reference
        self.name = reward.name

    def value(self, outcome: Outcome, roles: Sequence[Role], me: int) -> Tensor:
        """What agent ``me`` is paid, ``[E]``."""
        with self._reference.guard(f"paying {roles[me].name}"):
            value = self._reward.value(outcome, roles, me)
        shape, device = tuple(outcome.team.shape), outcome.team.device
        return require_tensor(self._reference, "the reward", value, shape, device=device)

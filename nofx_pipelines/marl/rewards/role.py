"""What each role itself is paid for: its own return, the team's, what it takes off a risk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nofx_pipelines.marl.roles.role import Outcome, Role


@dataclass(frozen=True)
class RoleReward:
    """The role's own `Role.reward`."""

    name: str = "role"

    def value(self, outcome: Outcome, roles: Sequence[Role], me: int) -> Tensor:
        """What the role says, ``[E]``."""
        return roles[me].reward(outcome, me)


REWARD = RoleReward()

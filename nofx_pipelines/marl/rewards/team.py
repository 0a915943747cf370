"""The team's log return, the same for everyone: beside ``role`` it makes agents mind the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from nofx_pipelines.marl.roles.role import Outcome, Role


@dataclass(frozen=True)
class TeamReward:
    """The log return of all accounts together, in percent."""

    name: str = "team"

    def value(self, outcome: Outcome, roles: Sequence[Role], me: int) -> Tensor:
        """``[E]``, whoever asks."""
        return outcome.team


REWARD = TeamReward()
